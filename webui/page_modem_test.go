package webui

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/webui/auth"
)

// lockedModem adds an emulated modem and waits until its SIM asks for the PIN.
func lockedModem(t *testing.T, b *box, o emulator.ModemOptions, change ...func(*pool.Port)) string {
	t.Helper()
	m := b.net.AddModem(o)
	port := pool.Port{Name: fmt.Sprintf("emulated:%d", 90+len(b.net.Modems())), Open: m.Open, Emulated: true}
	for _, f := range change {
		f(&port)
	}
	require.NoError(t, b.pool.Add(port))
	wantsPIN(t, b, m.IMEI())
	return m.IMEI()
}

// wantsPIN waits until a modem's SIM asks for its PIN, and nobody looks it up.
func wantsPIN(t *testing.T, b *box, id string) {
	t.Helper()
	require.Eventually(t, func() bool {
		m, ok := b.pool.Modem(id)
		return ok && m.State == modem.StateSIMBlocked && m.SIM.State == "SIM PIN"
	}, 20*time.Second, 10*time.Millisecond)
}

// blockSIM enters three wrong PINs into the SIM itself, and waits until it asks
// for the PUK: Recado would not spend the last try.
func blockSIM(t *testing.T, b *box, id string) {
	t.Helper()
	for _, m := range b.net.Modems() {
		if m.IMEI() != id {
			continue
		}
		port, far := net.Pipe() // beside the session that the pool has
		served := make(chan error)
		go func() { served <- m.Serve(t.Context(), far) }()
		for range 3 {
			_, err := io.WriteString(port, "AT+CPIN=\"0001\"\r")
			require.NoError(t, err)
			var said []byte
			for !bytes.Contains(said, []byte("ERROR")) {
				octets := make([]byte, 256)
				n, err := port.Read(octets)
				require.NoError(t, err)
				said = append(said, octets[:n]...)
			}
		}
		require.NoError(t, port.Close())
		<-served
	}
	require.NoError(t, b.pool.Restart(t.Context(), id))
	require.Eventually(t, func() bool {
		m, _ := b.pool.Modem(id)
		return m.State == modem.StateSIMBlocked && m.SIM.State == "SIM PUK"
	}, 20*time.Second, 10*time.Millisecond)
}

// text is a page's words, in one line.
func text(a answer) string {
	plain := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(a.body), " ")
	return strings.Join(strings.Fields(html.UnescapeString(plain)), " ")
}

// Codes of tests that look for them where they must not be: of eight digits, which no
// count, status or part of a number has by chance.
const (
	rightPIN, wrongPIN, newPIN = "60407182", "93186042", "75019463"
	rightPUK, wrongPUK         = "41870925", "87052641"
)

func TestPINAndPUKOnTheModemsPage(t *testing.T) {
	b := newBox(t, 0)
	id := lockedModem(t, b, emulator.ModemOptions{Family: "huawei", PIN: rightPIN, PUK: rightPUK})
	page, admin := modemAddress(id), b.cookie(auth.RoleAdmin)
	pin := func(pin string) answer { return b.browse("POST", page+"/pin", admin, url.Values{"pin": {pin}}) }

	a := b.browse("GET", page, admin, nil)
	require.Contains(t, text(a), "La SIM del módem de emulated:91 pide su PIN (intentos que quedan: 3).")
	require.Contains(t, text(a), "Quedan 3 intentos.")
	require.NotContains(t, text(a), "recado console", "a page has a button for it")
	require.NotContains(t, string(a.body), page+`#unlock`, "the form is on this very page")
	require.Contains(t, string(b.browse("GET", "/lines", admin, nil).body), page+`#unlock`)
	require.Contains(t, text(b.browse("GET", page, b.cookie(auth.RoleOperator), nil)), "Pida a un administrador")
	require.NotContains(t, string(b.browse("GET", page, b.cookie(auth.RoleReader), nil).body), `name="pin"`)

	require.Contains(t, text(pin("12x4")), "El PIN son de 4 a 8 cifras.")
	a = pin(wrongPIN)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, text(a), "La SIM no ha aceptado el PIN")
	require.NotContains(t, string(a.body), wrongPIN)
	require.Contains(t, string(a.body), `hx-get="`+page+`"`, "live parts ask the page, not the form's address")
	require.NotContains(t, string(a.body), `hx-get="`+page+`/pin"`)
	require.Eventually(t, func() bool { return strings.Contains(text(b.browse("GET", page, admin, nil)), "Quedan 2 intentos.") }, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, text(pin(wrongPIN)), "La SIM ya rechazó ese PIN antes")
	a = pin(rightPIN)
	require.Equal(t, 303, a.StatusCode, "%s", a.body)
	require.Equal(t, page+"?done=pin", a.Header.Get("Location"))
	b.ready(1)

	// It is remembered until a person has it forgotten.
	sim := "/lines/" + b.net.Modems()[0].ICCID()
	require.Contains(t, text(b.browse("GET", sim, admin, nil)), "PIN recordado")
	require.Equal(t, 403, b.browse("POST", sim+"/pin/forget", b.signedIn(auth.RoleOperator), url.Values{}).StatusCode)
	require.Equal(t, sim+"?done=forgotten", b.browse("POST", sim+"/pin/forget", admin, url.Values{}).Header.Get("Location"))
	require.NotContains(t, text(b.browse("GET", sim, admin, nil)), "PIN recordado")
	require.NoError(t, b.pool.Restart(t.Context(), id))
	wantsPIN(t, b, id)

	blockSIM(t, b, id)
	a = b.browse("GET", page, admin, nil)
	require.Contains(t, text(a), "Diez PUK erróneos destruyen la SIM para siempre. Quedan 10 intentos.")
	puk := func(puk, pin, again string) answer {
		return b.browse("POST", page+"/puk", admin, url.Values{"puk": {puk}, "pin": {pin}, "again": {again}})
	}
	require.Contains(t, text(puk("1234567", newPIN, newPIN)), "El PUK son 8 cifras.")
	require.Contains(t, text(puk(rightPUK, newPIN, "7778")), "no son iguales")
	require.Contains(t, text(puk(wrongPUK, newPIN, newPIN)), "La SIM no ha aceptado el PUK")
	require.Equal(t, page+"?done=puk", puk(rightPUK, newPIN, newPIN).Header.Get("Location"))
	b.ready(1)
	a = b.browse("GET", page, admin, nil)
	for _, words := range []string{"El PUK ha abierto la SIM", "Se introdujo un PIN", "La SIM no ha aceptado el PUK", "Listo"} {
		require.Contains(t, text(a), words, "the history, in the reader's language")
	}

	rows := b.auditRows()
	for _, row := range []string{"modem.pin " + id + " refused", "modem.pin " + id + " taken", "modem.puk " + id + " taken", "sim.forget-pin"} {
		require.Contains(t, rows, row)
	}
	for _, code := range []string{rightPIN, wrongPIN, rightPUK, wrongPUK, newPIN} {
		require.NotContains(t, rows+b.logs.withoutTimes(), code)
	}
}

// signedIn is the cookie of one more person of a role.
func (b *box) signedIn(role auth.Role) string {
	b.t.Helper()
	name := fmt.Sprintf("another %s", role)
	_, err := b.auth.CreatePerson(b.t.Context(), name, role, "correct horse battery")
	require.NoError(b.t, err)
	a := b.browse("POST", "/login", "", url.Values{"name": {name}, "password": {"correct horse battery"}})
	return a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
}

func TestCodesOverTheAPIAreRepeatedNowhere(t *testing.T) {
	b := newBox(t, 0)
	id := lockedModem(t, b, emulator.ModemOptions{Family: "huawei", PIN: rightPIN})
	path := v1 + "/modems/" + id
	m := b.do("GET", path, nil).json(t)
	require.Equal(t, "SIM PIN", m["pin_state"])
	require.Equal(t, float64(3), m["pin_tries"])
	for _, body := range []map[string]any{{"pin": wrongPIN + "x"}, {"pin": 93186042}, {"pin": wrongPIN + wrongPIN}} {
		a := b.do("POST", path+"/pin", body)
		require.Equal(t, "body.pin", b.problem(a, 422, "invalid").Errors[0].Location)
		require.NotContains(t, string(a.body), wrongPIN)
	}
	b.problem(b.do("POST", path+"/puk", map[string]any{"puk": "1234567", "new_pin": "1"}), 422, "invalid")
	require.Contains(t, b.problem(b.do("POST", path+"/puk", map[string]any{"puk": rightPUK, "new_pin": "1234"}), 409, "conflict").Detail, "does not ask for a PUK")
	require.Contains(t, b.problem(b.do("POST", path+"/pin", map[string]any{"pin": wrongPIN}), 409, "conflict").Detail, "refused the PIN")
	b.problem(b.do("POST", v1+"/modems/nope/pin", map[string]any{"pin": wrongPIN}), 404, "not_found")
	b.problem(b.do("POST", path+"/power", nil), 409, "conflict")
	require.Equal(t, 200, b.do("POST", path+"/pin", map[string]any{"pin": rightPIN}).StatusCode)
	b.ready(1)
	m = b.do("GET", path, nil).json(t)
	require.Equal(t, "READY", m["pin_state"])
	require.Equal(t, "home", m["registration"])
	require.NotZero(t, m["reports_by"])
	require.NotNil(t, m["signal"].(map[string]any)["rssi_dbm"])
	require.NotZero(t, m["storage"].(map[string]any)["total"])
	require.Equal(t, false, m["power"])
	b.problem(b.do("DELETE", v1+"/sims/nope/pin", nil), 404, "not_found")
}

func TestPowerIsCutOnlyWhereItCanBe(t *testing.T) {
	b := newBox(t, 0)
	var cuts atomic.Int32
	fails := atomic.Bool{}
	m := b.net.AddModem(emulator.ModemOptions{})
	require.NoError(t, b.pool.Add(pool.Port{Name: "emulated:91", Open: m.Open, Emulated: true, PowerCycle: func(context.Context) error {
		if fails.Load() {
			return errors.New("the hub is gone")
		}
		cuts.Add(1)
		return nil
	}}))
	plain := b.net.AddModem(emulator.ModemOptions{})
	require.NoError(t, b.pool.Add(pool.Port{Name: "emulated:92", Open: plain.Open, Emulated: true}))
	b.ready(2)
	operator := b.cookie(auth.RoleOperator)
	page := modemAddress(m.IMEI())
	require.Contains(t, text(b.browse("GET", page, operator, nil)), "Apagar y encender")
	require.NotContains(t, text(b.browse("GET", modemAddress(plain.IMEI()), operator, nil)), "Apagar y encender")
	require.Contains(t, text(b.browse("POST", modemAddress(plain.IMEI())+"/power", operator, url.Values{})), "No se le ha podido quitar la corriente.")
	require.Equal(t, 403, b.browse("POST", page+"/power", b.cookie(auth.RoleReader), url.Values{}).StatusCode)
	require.Equal(t, page+"?done=power", b.browse("POST", page+"/power", operator, url.Values{}).Header.Get("Location"))
	require.Eventually(t, func() bool { return cuts.Load() == 1 }, 20*time.Second, 10*time.Millisecond)
	require.Contains(t, b.auditRows(), "modem.power "+m.IMEI())
	require.Eventually(t, func() bool {
		return strings.Contains(text(b.browse("GET", page, operator, nil)), "Se le quita la corriente un momento")
	}, 20*time.Second, 10*time.Millisecond)
}

func TestUSSDOnTheSIMsPage(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	admin, page := b.cookie(auth.RoleAdmin), "/lines/"+b.net.Modems()[0].ICCID()
	ask := func(form url.Values) answer { return b.browse("POST", page+"/ussd", admin, form) }
	require.Contains(t, text(b.browse("GET", page, admin, nil)), "Preguntar a la red")
	require.NotContains(t, string(b.browse("GET", page, b.cookie(auth.RoleOperator), nil).body), `name="code"`)
	require.Equal(t, 403, b.browse("POST", page+"/ussd", b.signedIn(auth.RoleOperator), url.Values{"code": {"*123#"}}).StatusCode)

	a := ask(url.Values{"code": {"*123#"}})
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, text(a), "Su saldo es 12,34 EUR.")
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))

	a = ask(url.Values{"code": {"*100#"}})
	require.Contains(t, string(a.body), `name="reply"`)
	require.Contains(t, text(a), "La red espera una respuesta")
	a = ask(url.Values{"reply": {"#31#"}})
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, text(a), "Ese código muestra u oculta números, y no se envía.")
	require.Contains(t, string(a.body), `name="reply"`, "the session is still open")
	require.Contains(t, text(ask(url.Values{"reply": {"2"}})), "1 GB 5 €")
	require.Contains(t, text(ask(url.Values{"end": {"1"}})), "Consulta terminada.")

	for code, words := range map[string]string{
		"**21*600111222#": "Ese código cambia desvíos de llamadas, y no se envía.", "hola": "Un código tiene de 1 a 30 signos",
		"*109#": "El módem o la red no han aceptado ese código.", "*107#": "La red no conoce este código.", "*105#": "La red ha terminado la consulta.",
	} {
		require.Contains(t, text(ask(url.Values{"code": {code}})), words, code)
	}
	require.Contains(t, text(ask(url.Values{"reply": {"1"}})), "La red ya no espera ninguna respuesta")
	// A part of a page that htmx asks for is shown only with a good status.
	a = b.do("POST", page+"/ussd", "code=hola", "Authorization", "", "Accept", "text/html", "Cookie", admin, "Sec-Fetch-Site", "same-origin",
		"Content-Type", "application/x-www-form-urlencoded", "HX-Request", "true")
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, text(a), "Un código tiene de 1 a 30 signos")
	require.Contains(t, b.auditRows(), "sim.ussd")
	require.NotContains(t, b.auditRows()+b.logs.String(), "600111222")

	b.net.Modems()[0].Unplug()
	require.Eventually(t, func() bool { return b.pool.Ready() == 0 }, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, text(b.browse("GET", page, admin, nil)), "la SIM no está en un módem listo")
}

func TestCheckUpAndItsBundle(t *testing.T) {
	var beside []pool.Finding
	b := newBox(t, 1, func(o *Options) {
		o.Findings = func(context.Context) []pool.Finding { return beside }
		o.Bundle = func(_ context.Context, out io.Writer) error {
			packed := gzip.NewWriter(out)
			archive := tar.NewWriter(packed)
			_ = archive.WriteHeader(&tar.Header{Name: "doctor.txt", Size: 2})
			_, _ = archive.Write([]byte("ok"))
			return errors.Join(archive.Close(), packed.Close())
		}
	})
	b.ready(1)
	admin, reader := b.cookie(auth.RoleAdmin), b.cookie(auth.RoleReader)
	require.Contains(t, text(b.browse("GET", "/doctor", reader, nil)), "Todo va bien.")
	beside = []pool.Finding{
		pool.NewFinding("disk_low", pool.FindingWarn, pool.AboutBox, "", map[string]string{"free": "90"}),
		pool.NewFinding("part_stalled", pool.FindingFail, pool.AboutProgram, "", map[string]string{"reason": "the writer has stopped"}),
	}
	a := b.browse("GET", "/doctor", reader, nil)
	require.Contains(t, text(a), "Conviene mirarlo Al disco de los datos le quedan 90 MB. Haga sitio pronto.")
	require.Contains(t, text(a), "Una parte de Recado está parada: algo que se cuenta en los detalles técnicos.")
	require.Contains(t, text(a), "Detalles técnicos the writer has stopped")
	require.Contains(t, string(a.body), `lang="en">the writer has stopped`)
	require.NotContains(t, string(a.body), "/doctor/bundle", "for an administrator")
	require.Contains(t, text(b.browse("GET", "/lines", reader, nil)), "1 cosa no funciona · 1 conviene mirarla")

	require.Equal(t, 403, b.browse("POST", "/doctor/bundle", reader, url.Values{}).StatusCode)
	a = b.browse("POST", "/doctor/bundle", admin, url.Values{})
	require.Equal(t, 200, a.StatusCode)
	require.Regexp(t, `^attachment; filename="recado-support-\d{8}-\d{6}\.tar\.gz"$`, a.Header.Get("Content-Disposition"))
	packed, err := gzip.NewReader(bytes.NewReader(a.body))
	require.NoError(t, err)
	head, err := tar.NewReader(packed).Next()
	require.NoError(t, err)
	require.Equal(t, "doctor.txt", head.Name)
	require.Contains(t, b.auditRows(), "doctor.bundle")
	require.Equal(t, 200, b.browse("POST", "/doctor/bundle", admin, url.Values{}).StatusCode)
	a = b.browse("POST", "/doctor/bundle", admin, url.Values{})
	require.Equal(t, 429, a.StatusCode, "not again and again")
	require.Equal(t, "20", a.Header.Get("Retry-After"))
}

// TestPhrasesCoverWhatModemsSay reads the sources of package modem: what it notes
// in a history, and why a modem is in a state, has words in both languages.
func TestPhrasesCoverWhatModemsSay(t *testing.T) {
	es := localeOf(t, "es")
	files, err := filepath.Glob("../modem/*.go")
	require.NoError(t, err)
	literal := regexp.MustCompile(`(?:\bnote\(Entry\w+, "", |setState\(State\w+, |\bfault\(State\w+, |says := |why := |return "[a-z]+", (?:fmt\.Sprintf\()?)"([a-zA-Z][^"]{6,})"`)
	found := 0
	var missing []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range literal.FindAllStringSubmatch(string(source), -1) {
			raw := strings.NewReplacer("%s", "SM (9 of 10)", "%d", "9").Replace(m[1])
			for begun, rest := range map[string]string{"the ": "PIN", "the SIM ": "89 is there", "another SIM: ": "89 in place of 90"} {
				if strings.HasSuffix(raw, begun) { // what the rest of the line makes of it
					raw += rest
					break
				}
			}
			if raw == "stopped" { // at the program's end
				continue
			}
			_, known := es.said(raw)
			if !known {
				missing = append(missing, filepath.Base(file)+": "+m[1])
			}
			found++
		}
	}
	require.Greater(t, found, 35)
	require.Empty(t, missing, "said, and without words")

	history, err := os.ReadFile("../modem/history.go")
	require.NoError(t, err)
	of := func(name string) []string {
		_, block, ok := strings.Cut(string(history), "var "+name+" = map")
		require.True(t, ok)
		block, _, _ = strings.Cut(block, "\n}\n")
		var texts []string
		for _, m := range regexp.MustCompile(`: "([^"]+)"`).FindAllStringSubmatch(block, -1) {
			texts = append(texts, m[1])
		}
		require.Greater(t, len(texts), 6)
		return texts
	}
	for _, word := range of("stateWords") {
		require.Contains(t, historyStates, word)
	}
	for _, order := range of("orderWords") {
		_, known := es.said(order)
		require.True(t, known, order)
	}
}

// TestEveryPhraseIsReached: one that comes before takes none away from another.
func TestEveryPhraseIsReached(t *testing.T) {
	for lang, want := range map[string]string{"es": "SIM …016", "en": "SIM …016"} {
		words, known := localeOf(t, lang).said("the SIM ****************016 is there")
		require.True(t, known)
		require.Contains(t, words, want)
	}
	words, known := localeOf(t, "en").said("something quite new.")
	require.False(t, known)
	require.Equal(t, "something quite new", words)
	words, _ = localeOf(t, "es").said("something quite new.")
	require.Equal(t, "algo que se cuenta en los detalles técnicos", words)
	require.Equal(t, "Él va.", sentence("él va"))
	require.Empty(t, sentence(""))
}

// TestHistoryInWords: each rung and each kind, as a reader and an administrator
// see it.
func TestHistoryInWords(t *testing.T) {
	v := view{locale: localeOf(t, "es"), zone: time.UTC, now: fixedNow, Person: &viewer{Admin: true}}
	for e, want := range map[modem.Entry][2]string{
		{Kind: modem.EntryStep, Step: "L3", Text: "module restart: the modem is mute"}:                     {"Se reinicia el módem.", "Motivo: el módem ha dejado de contestar."},
		{Kind: modem.EntryStep, Step: "L3", Text: "module restart: did not help"}:                          {"Se reinicia el módem.", "No ha servido."},
		{Kind: modem.EntryStep, Step: "L0", Text: "no answer to AT+CSQ: resync, in step"}:                  {"Se vuelve a poner de acuerdo el diálogo con el módem.", "Ha funcionado."},
		{Kind: modem.EntryStep, Step: "L5", Text: "USB reset: failed (open: permission denied)"}:           {"Se quita del USB y se vuelve a poner.", "No se ha podido hacer."},
		{Kind: modem.EntryState, Text: "ready"}:                                                            {"Listo", ""},
		{Kind: modem.EntryState, Text: "looking for the network, for long"}:                                {"Buscando red: ha durado más de lo normal", ""},
		{Kind: modem.EntryState, Text: "not there", Detail: "the port went away: check the cable"}:         {"Desconectado.", "El puerto ha desaparecido: mire el cable y la alimentación."},
		{Kind: modem.EntryState, Text: "not there", Detail: "something quite new"}:                         {"Desconectado", ""},
		{Kind: modem.EntryStep, Step: "L1", Text: "set up again: something quite new"}:                     {"Se prepara el módem de nuevo, desde el principio", ""},
		{Kind: modem.EntrySend, Text: "the answer to a submission was lost", Detail: "x"}:                  {"Se ha perdido la respuesta de la red a un envío", ""},
		{Kind: modem.EntryNetwork, Text: "the network was lost: searching"}:                                {"Se ha perdido la red", ""},
		{Kind: modem.EntryFault, Text: "the network takes no messages from this modem", Detail: "CMS 500"}: {"La red no acepta mensajes de este módem", ""},
	} {
		h := v.happening(e)
		require.Equal(t, want, [2]string{h.Title, h.More}, e.Text)
		require.NotEmpty(t, h.Kind)
	}
	secret := modem.Entry{Kind: modem.EntryFault, Text: "new", Detail: "AT+X"}
	require.Equal(t, "new\nAT+X", v.happening(secret).Detail)
	v.Person = &viewer{}
	require.Empty(t, v.happening(secret).Detail, "the dialogue is for administrators")
}
