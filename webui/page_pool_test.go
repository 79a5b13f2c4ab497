package webui

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/pool"
	"recado/queue"
	"recado/webui/auth"
)

func TestLimitsInAClerksWords(t *testing.T) {
	es, en := localeOf(t, "es"), localeOf(t, "en")
	require.Equal(t, "312 of 500 SMS today; mailings stop at 400", limitWords(en, "segments", "day", 312, 500, 20))
	require.Equal(t, "312 de 500 SMS hoy; los envíos generales paran en 400", limitWords(es, "segments", "day", 312, 500, 20))
	require.Equal(t, "3 of 7 different people this month", limitWords(en, "people", "month", 3, 7, 0))
	require.Equal(t, "1,200 SMS this month, no limit", limitWords(en, "segments", "month", 1200, 0, 20))
	require.Equal(t, 5, bulkMost(7, 20), "rounded down, as the gate does")
	for _, c := range []struct {
		used, most int
		tone       string
		width      int
	}{{0, 10, "ok", 0}, {7, 10, "ok", 70}, {8, 10, "warn", 80}, {10, 10, "bad", 100}, {11, 10, "bad", 100}} {
		m := meterOf(c.used, c.most, 20)
		require.Equal(t, []any{c.tone, c.width, 80}, []any{m.Tone, m.Used, m.Mark})
	}
	require.False(t, meterOf(5, 0, 20).On)
}

func TestTheReasonForASIMIsInWords(t *testing.T) {
	for _, code := range []string{"es", "en"} {
		l := localeOf(t, code)
		for _, why := range []string{queue.WhyPinned, queue.WhyBound, queue.WhySticky, queue.WhyFirst, queue.WhyOnly, "route", "most_left", "failover:cms_38"} {
			words := whyWords(l, why)
			require.NotEmpty(t, words, why)
			require.NotEqual(t, why, words)
		}
		require.Empty(t, whyWords(l, ""), "of an attempt of an earlier version")
		require.Equal(t, "something_new", whyWords(l, "something_new"))
	}
	require.Contains(t, whyWords(localeOf(t, "en"), "failover:cms_38"), "another failed")
}

func TestAClerkChangesLimits(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	here := "/lines/" + b.iccid(0)
	cookie := b.cookie(auth.RoleOperator)
	form := url.Values{"segments_minute": {"10"}, "segments_hour": {""}, "segments_day": {"500"}, "segments_month": {""}, "people_month": {"300"}, "reserve": {"20"}, "reset_day": {"15"}}
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, form).StatusCode)
	page := string(b.browse("GET", here, cookie, nil).body)
	for _, words := range []string{"0 de 500 SMS hoy; los envíos generales paran en 400", "0 de 300 personas distintas este mes", "0 SMS en la última hora, sin límite", `name="reset_day" inputmode="numeric" autocomplete="off" maxlength="2" value="15"`} {
		require.Contains(t, page, words)
	}
	limits, err := b.pool.Limits(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.Equal(t, []int{10, 0, 500, 0}, []int{limits.Limits[0].MaxSegments, limits.Limits[1].MaxSegments, limits.Limits[2].MaxSegments, limits.Limits[3].MaxSegments})

	for field, bad := range map[string]string{"segments_day": "muchos", "people_month": "-1", "reserve": "96", "reset_day": "0"} {
		wrong := url.Values{}
		for k, v := range form {
			wrong[k] = v
		}
		wrong.Set(field, bad)
		a := b.browse("POST", here+"/limits", cookie, wrong)
		require.Equal(t, 422, a.StatusCode, field)
		require.Contains(t, string(a.body), `role="alert"`, field)
		require.Contains(t, string(a.body), `value="`+bad+`"`, "%s: what was typed is kept", field)
	}
	require.Equal(t, 303, b.browse("POST", here+"/limits", cookie, url.Values{"usual": {"1"}}).StatusCode)
	limits, err = b.pool.Limits(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.False(t, limits.Chosen)
	require.Equal(t, 403, b.browse("POST", here+"/limits", b.cookie(auth.RoleReader), form).StatusCode)

	hours := url.Values{"pace": {"own"}, "per_minute": {"12"}, "window": {"some"}, "from": {"08:00"}, "to": {"20:30"}, "day": {"mon", "tue"}}
	require.Equal(t, 303, b.browse("POST", here+"/hours", cookie, hours).StatusCode)
	sim, err := b.pool.SIM(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.Equal(t, queue.SendWindow{From: 480, To: 1230, Days: 3}, sim.Window)
	require.Equal(t, 12, sim.Pace)
	require.Contains(t, string(b.browse("GET", here, cookie, nil).body), "de 08:00 a 20:30")
	for field, bad := range map[string]string{"per_minute": "0", "from": "8", "day": ""} {
		wrong := url.Values{}
		for k, v := range hours {
			wrong[k] = v
		}
		wrong.Set(field, bad)
		if bad == "" {
			wrong.Del(field)
		}
		a := b.browse("POST", here+"/hours", cookie, wrong)
		require.Equal(t, 422, a.StatusCode, field)
		require.Contains(t, string(a.body), `role="alert"`, field)
	}
}

// TestAWarmingLimitIsNotKeptForGood: the table shows the limit of today; saved as
// it is, it must not be taken for a choice.
func TestAWarmingLimitIsNotKeptForGood(t *testing.T) {
	was := queue.SIMLimits{Limits: []queue.LimitUse{{Limit: queue.Limit{Window: queue.WindowMinute, MaxSegments: 10}}, {Limit: queue.Limit{Window: queue.WindowHour}},
		{Limit: queue.Limit{Window: queue.WindowDay, MaxSegments: 50}}, {Limit: queue.Limit{Window: queue.WindowMonth, MaxRecipients: 500}}}, Warm: 50}
	list := LimitRequests{{Window: "minute", MaxSegments: new(10)}, {Window: "day", MaxSegments: new(50)}, {Window: "month", MaxRecipients: new(500)}}
	require.True(t, same(list, was))
	list[1].MaxSegments = new(51)
	require.False(t, same(list, was))
	require.False(t, same(list[:1], was))
}

func TestThePageOfRules(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	cookie, reader := b.cookie(auth.RoleOperator), b.cookie(auth.RoleReader)
	require.Contains(t, string(b.browse("GET", "/rules", reader, nil).body), "No hay ninguna ruta")
	require.NotContains(t, string(b.browse("GET", "/rules", reader, nil).body), "/rules/new")
	form := url.Values{"name": {"Portugal"}, "prefixes": {"+351, +3519"}, "class": {"bulk"}, "sim": {b.iccid(1)}, "weight_" + b.iccid(1): {"5"}, "fallback": {"wait"}, "enabled": {"1"}}
	require.Equal(t, 303, b.browse("POST", "/rules", cookie, form).StatusCode)
	form.Set("name", "Códigos")
	form.Set("prefixes", "")
	require.Equal(t, 303, b.browse("POST", "/rules", cookie, form).StatusCode)
	routes, err := b.s.store.Routes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"+351", "+3519"}, routes[0].Prefixes)
	require.Equal(t, []queue.RouteSIM{{ICCID: b.iccid(1), Weight: 5}}, routes[0].SIMs)
	page := string(b.browse("GET", "/rules", cookie, nil).body)
	require.Contains(t, page, "números que empiezan por &#43;351, &#43;3519 · clase Envío general")
	require.Contains(t, page, "si ninguna puede, espera")
	second := routeAddress(routes[1].ID)
	require.Equal(t, 303, b.browse("POST", second+"/move", cookie, url.Values{"to": {"up"}}).StatusCode)
	routes, err = b.s.store.Routes(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Códigos", routes[0].Name)

	form.Set("countries", "España")
	a := b.browse("POST", second, cookie, form)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "Un país se escribe con dos letras")
	require.Contains(t, string(a.body), `value="España"`, "what was typed is kept")
	form.Del("sim")
	form.Del("countries")
	require.Contains(t, string(b.browse("POST", second, cookie, form).body), "Marque al menos una SIM")
	require.Equal(t, 303, b.browse("POST", second+"/delete", cookie, url.Values{}).StatusCode)
	require.Equal(t, 404, b.browse("GET", second, cookie, nil).StatusCode)
	require.Equal(t, 403, b.browse("POST", "/rules", reader, form).StatusCode)

	require.Equal(t, 303, b.browse("POST", "/rules/quiet", cookie, url.Values{"class": {"bulk", "normal"}, "from": {"22:00"}, "to": {"08:00"}, "holidays": {"12-25, 01-06"}}).StatusCode)
	quiet, chosen := b.pool.QuietHours()
	require.True(t, chosen)
	require.Equal(t, []string{"12-25", "01-06"}, quiet.Holidays)
	a = b.browse("POST", "/rules/quiet", cookie, url.Values{"from": {"22:00"}, "to": {"08:00"}, "holidays": {"Navidad"}})
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), "Un festivo se escribe como")
	require.Equal(t, 303, b.browse("POST", "/rules/canary", cookie, url.Values{"every": {"12"}, "real": {"1"}}).StatusCode)
	require.Equal(t, 422, b.browse("POST", "/rules/canary", cookie, url.Values{"every": {"often"}}).StatusCode)
	set, err := b.s.store.CanarySettings(t.Context())
	require.NoError(t, err)
	require.Equal(t, queue.CanarySettings{EveryHours: 12, RealSIMs: true}, set)
	require.Equal(t, 403, b.browse("POST", "/rules/balance", cookie, url.Values{"check": {"always"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", "/rules/balance", b.cookie(auth.RoleAdmin), url.Values{"check": {"always"}}).StatusCode)
	require.Equal(t, queue.CreditAlways, b.pool.CreditSettings().Check)
}

func TestKillSwitchesOnTheStartPage(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleOperator)
	require.Equal(t, 303, b.browse("POST", "/sending/pause", cookie, url.Values{"class": {"bulk"}}).StatusCode)
	a := b.browse("POST", "/sending/pause", cookie, url.Values{"sim": {b.iccid(0)}, "next": {"/lines/" + b.iccid(0)}})
	require.Equal(t, "/lines/"+b.iccid(0), a.Header.Get("Location"))
	page := string(b.browse("GET", "/", cookie, nil).body)
	require.Contains(t, page, "La clase «Envío general» está parada.")
	require.Regexp(t, `La SIM .* está parada\.</strong> Lo hizo the operator \(\d\d:\d\d\)\.`, page)
	require.Equal(t, pool.Pauses{SIMs: []string{b.iccid(0)}, Classes: []queue.Class{queue.Bulk}}, b.pool.Pauses())
	require.NotContains(t, string(b.browse("GET", "/", b.cookie(auth.RoleReader), nil).body), `action="/sending`)
	require.Equal(t, 303, b.browse("POST", "/sending/resume", cookie, url.Values{"class": {"bulk"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", "/sending/resume", cookie, url.Values{"sim": {b.iccid(0)}}).StatusCode)
	require.Empty(t, b.pool.Pauses().SIMs)
	require.Equal(t, 422, b.browse("POST", "/sending/pause", cookie, url.Values{"class": {"spam"}}).StatusCode)
}

func TestCreditAndTestMessagesOnTheSIMsPage(t *testing.T) {
	b := newBox(t, 2)
	b.ready(2)
	cookie, here := b.cookie(auth.RoleOperator), "/lines/"+b.iccid(0)
	a := b.browse("POST", here+"/balance", cookie, url.Values{})
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, string(a.body), "12,34 €")
	require.Equal(t, 303, b.browse("POST", here+"/credit", cookie, url.Values{"low": {"20,50"}}).StatusCode)
	sim, err := b.pool.SIM(t.Context(), b.iccid(0))
	require.NoError(t, err)
	require.Equal(t, int64(2050), sim.Credit.Limit())
	require.Contains(t, string(b.browse("GET", "/", cookie, nil).body), "Queda poco saldo (12,34 €)")
	require.Equal(t, 422, b.browse("POST", here+"/credit", cookie, url.Values{"low": {"poco"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", here+"/canary", cookie, url.Values{}).StatusCode)
	a = b.browse("POST", here+"/canary", cookie, url.Values{})
	require.Contains(t, []int{303, 422}, a.StatusCode, "the first may have ended")
	require.Eventually(t, func() bool {
		list, _, err := b.s.store.Canaries(t.Context(), queue.CanaryFilter{SIM: b.iccid(0), State: queue.CanaryArrived})
		return err == nil && len(list) >= 2
	}, 30*time.Second, 50*time.Millisecond)
	require.Contains(t, string(b.browse("GET", here, cookie, nil).body), "Llegó; aceptado a los")
	require.Equal(t, 303, b.browse("POST", here+"/free", cookie, url.Values{}).StatusCode)
	reader := b.cookie(auth.RoleReader)
	for _, deed := range []string{"balance", "credit", "canary", "free", "limits", "hours"} {
		require.Equal(t, 403, b.browse("POST", here+"/"+deed, reader, url.Values{}).StatusCode, deed)
		require.Equal(t, 404, b.browse("POST", "/lines/none/"+deed, cookie, url.Values{}).StatusCode, deed)
	}
}

func TestTheWritePageSaysWhatItTakes(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleOperator)
	require.Equal(t, 303, b.browse("POST", "/lines/"+b.iccid(0)+"/limits", cookie, url.Values{"segments_day": {"10"}, "reserve": {"20"}, "reset_day": {"1"}}).StatusCode)
	to := ""
	for i := range 12 {
		to += fmt.Sprintf("6551112%02d\n", i)
	}
	page := string(b.browse("POST", "/write", cookie, url.Values{"to": {to}, "text": {"Corte de agua"}, "class": {"bulk"}, "once": {"x"}}).body)
	require.Contains(t, page, "se le acaba el límite del día")
	require.Contains(t, page, "Espera al día siguiente")
	require.Equal(t, 303, b.browse("POST", "/sending/pause", cookie, url.Values{"class": {"bulk"}}).StatusCode)
	page = string(b.browse("POST", "/write", cookie, url.Values{"to": {"655111200"}, "text": {"x"}, "class": {"bulk"}, "once": {"x"}}).body)
	require.Contains(t, page, "Esta clase está parada.")
	require.NotContains(t, page, "Ahora no hay línea", "there is one")
}
