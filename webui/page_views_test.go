package webui

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/pdu"
)

var fixedNow = time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC)

func localeOf(t *testing.T, lang string) *locale {
	t.Helper()
	all, err := newLocales()
	require.NoError(t, err)
	return all[lang]
}

func TestDatesAndNumbersFollowTheLanguage(t *testing.T) {
	es, en := localeOf(t, "es"), localeOf(t, "en")
	require.Equal(t, "15:00", es.date(fixedNow.Add(-4*time.Minute-5*time.Second), fixedNow))
	require.Equal(t, "3 sept, 15:04", es.date(time.Date(2026, 9, 3, 15, 4, 5, 0, time.UTC), fixedNow))
	require.Equal(t, "3 Sep 2025, 15:04", en.date(time.Date(2025, 9, 3, 15, 4, 5, 0, time.UTC), fixedNow))
	require.Equal(t, "", en.date(time.Time{}, fixedNow))
	require.Equal(t, "22 nov 2026, 15:04:05", es.dateFull(fixedNow))
	require.Equal(t, "1.234.567", es.num(1234567))
	require.Equal(t, "1,234,567", en.num(1234567))
	require.Equal(t, "Enviar 1 mensaje", es.tn("write.send", 1))
	require.Equal(t, "Enviar 12 mensajes", es.tn("write.send", 12))
	for d, want := range map[time.Duration]string{0: "unos segundos", 6 * time.Second: "6 segundos", 100 * time.Second: "2 minutos",
		3 * time.Hour: "3 horas", 72 * time.Hour: "3 días"} {
		require.Equal(t, want, es.span(d))
	}
	require.Equal(t, "[no.such]", es.t("no.such"))
	require.Equal(t, "its own words", es.tor("code.cms_9999", "its own words"))
}

func TestTheReadersZoneIsUsed(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	require.Equal(t, time.Local, zoneOf(r))
	r.Header.Set("Cookie", cookieZone+"=Europe/Madrid")
	v := view{locale: localeOf(t, "es"), zone: zoneOf(r), now: fixedNow}
	require.Equal(t, "16:04", v.Date(fixedNow))
	require.Equal(t, "Europe/Madrid (CET)", v.Zone())
	for _, wrong := range []string{"../../etc/passwd", "Nowhere/AtAll", "%2F"} {
		r.Header.Set("Cookie", cookieZone+"="+wrong)
		require.Equal(t, time.Local, zoneOf(r), wrong)
	}
}

func TestTheLanguageIsTheChosenThePersonsOrTheBrowsers(t *testing.T) {
	for _, c := range []struct{ cookie, person, accept, want string }{
		{"", "", "", "es"}, {"", "", "en-GB,en;q=0.9", "en"}, {"", "", "fr-FR,de", "es"}, {"", "", "ca-ES,es;q=0.8", "es"},
		{"", "", ";;;", "es"}, {"", "en", "es", "en"}, {"es", "en", "en", "es"}, {"xx", "", "en", "en"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", c.accept)
		r.Header.Set("Cookie", cookieLang+"="+c.cookie)
		require.Equal(t, c.want, languageOf(r, c.person), "%+v", c)
	}
}

func TestBackToThisBoxOnly(t *testing.T) {
	for next, want := range map[string]string{
		"/messages?state=sent": "/messages?state=sent", "/": "/", "": "/", "messages": "/", "//evil.example/x": "/",
		"https://evil.example": "/", "/\\evil.example": "/", "/\tx": "/", "javascript:alert(1)": "/", "/inbox?done=read&with=%2B34": "/inbox?with=%2B34",
	} {
		require.Equal(t, want, localPath(next), "%q", next)
	}
}

func TestPhoneAndSignal(t *testing.T) {
	require.Equal(t, "+34 600 11 12 22", phone("+34600111222"))
	require.Equal(t, "22000", phone("22000"))
	require.Equal(t, "AYTO", phone("AYTO"))
	require.Equal(t, "+999999", phone("+999999"))
	require.Equal(t, -1, signalBars(modem.Signal{}))
	for rssi, bars := range map[int]int{-113: 0, -107: 1, -95: 2, -85: 3, -75: 4, -51: 4} {
		require.Equal(t, bars, signalBars(modem.Signal{Known: true, RSSI: rssi}))
	}
}

func TestRecipientsAreSplit(t *testing.T) {
	f := writeForm{To: " 600 111 222,\r\n+34 655-555-555 ;; 22000\n\n"}
	require.Equal(t, []string{"600 111 222", "+34 655-555-555", "22000"}, f.recipients())
	require.Empty(t, writeForm{To: " ,;\n"}.recipients())
}

func TestTheDifferenceIsShownBeforeReplacing(t *testing.T) {
	text := "Á – ñ 🎄!"
	m := pdu.Count(text, pdu.Options{})
	var old, plain string
	for _, p := range diffOf(text, m.OutsideGSM7) {
		old += p.Old
		if p.Same {
			plain += p.Old
		} else {
			plain += p.New
		}
	}
	require.Equal(t, text, old)
	require.Equal(t, pdu.Transliterate(text), plain)
}
