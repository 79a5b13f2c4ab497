package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"recado/cmd/recado/console"
	"recado/modem/emulator"
	"recado/modem/pdu"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue"
	"recado/webui"
	"recado/webui/auth"
)

// unpack reads a bundle: what each file is called without its folder, and what is in it.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.Open(file)
	require.NoError(t, err)
	defer raw.Close()
	plain, err := gzip.NewReader(raw)
	require.NoError(t, err)
	files := map[string]string{}
	for archive := tar.NewReader(plain); ; {
		head, err := archive.Next()
		if err == io.EOF {
			return files
		}
		require.NoError(t, err)
		text, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.Equal(t, int64(0o600), head.Mode)
		files[path.Base(head.Name)] = string(text)
	}
}

// disguises of a text: as it is, and as modems and PDUs write it.
func disguises(text string) []string {
	var ucs2 []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		ucs2 = append(ucs2, byte(unit>>8), byte(unit))
	}
	list := []string{text, hex.EncodeToString([]byte(text)), hex.EncodeToString(ucs2), base64.StdEncoding.EncodeToString([]byte(text))}
	if packed, ok := pdu.PackUSSD(text); ok {
		list = append(list, hex.EncodeToString(packed[:len(packed)-1]))
	}
	return list
}

// swapped is a number as a PDU has it (TS 23.040 9.1.2.3).
func swapped(digits string) string {
	if len(digits)%2 == 1 {
		digits += "F"
	}
	b := []byte(digits)
	for i := 0; i < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	return string(b)
}

// TestNothingSecretLeavesInABundle: an appliance in which everything that is secret has been
// used, and every file of its bundle is searched for each, in every way it can be written.
func TestNothingSecretLeavesInABundle(t *testing.T) {
	const (
		pin, wrong, puk = "48291357", "97531864", "61524837"
		recipient       = "600111222"
		sender          = "655443322"
		text            = "Clave secreta 593817 Gutierrez"
		answer          = "Respuesta privada Echeverria"
		password        = "una contraseña larguísima 77"
	)
	ctx := t.Context()
	dir := dataDir(filepath.Join(t.TempDir(), "data"))
	require.NoError(t, dir.create())
	book := newLogbook()
	log := newLogger(io.Discard, book, slog.LevelDebug)
	clock := newClock(true)
	kept, err := openStores(ctx, dir, phoneFlag{Country: "ES"}, clock, log, prometheus.NewRegistry())
	require.NoError(t, err)
	lines := pool.New(pool.Options{Store: kept.queue, Inbox: kept.inbox, Clock: clock, Log: log})
	network := emulator.NewNetwork(emulator.NetworkOptions{ReportDelay: time.Millisecond})
	open := network.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	locked := network.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, PIN: pin, PUK: puk})
	for i, m := range []*emulator.Modem{open, locked} {
		require.NoError(t, lines.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i), Open: m.Open, Emulated: true}))
	}
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- lines.Run(running) }()
	t.Cleanup(func() {
		stop()
		<-ended
		require.NoError(t, network.Close())
		require.NoError(t, kept.db.Close())
	})
	ready := func(n int) {
		t.Helper()
		eventually(t, func() bool { return lines.Ready() == n }, "lines ready")
	}

	// The SIM wants its PIN: a wrong one first, then the right one.
	ready(1)
	eventually(t, func() bool { m, ok := lines.Modem(locked.IMEI()); return ok && m.State == "sim_blocked" }, "a PIN is wanted")
	require.Error(t, lines.EnterPIN(ctx, locked.IMEI(), wrong))
	require.Error(t, lines.EnterPUK(ctx, locked.IMEI(), puk, pin), "it does not ask for it")
	require.NoError(t, lines.EnterPIN(ctx, locked.IMEI(), pin))
	ready(2)

	// A message, its report, and an answer.
	submitted, err := kept.queue.Submit(ctx, queue.Request{To: []string{recipient}, Text: text, Report: true, SIM: open.ICCID()}, nil)
	require.NoError(t, err)
	require.Len(t, submitted.Messages, 1)
	eventually(t, func() bool {
		m, err := kept.queue.Message(ctx, submitted.Messages[0].ID)
		return err == nil && m.State == queue.Delivered
	}, "delivered")
	require.NoError(t, network.Inbound(open.ICCID(), "+34"+sender, answer))
	eventually(t, func() bool { n, err := kept.inbox.Unread(ctx); return err == nil && n == 1 }, "the answer")

	// A sender with a name, and a USSD dialogue.
	require.NoError(t, network.Inbound(open.ICCID(), "Zubizarret", answer))
	eventually(t, func() bool { n, err := kept.inbox.Unread(ctx); return err == nil && n == 2 }, "the one with a name")
	var said []string
	for _, code := range []string{"*100#", "*101#", "*102#", "*110#", "*113#"} {
		got, err := lines.USSD(ctx, open.ICCID(), code)
		require.NoError(t, err)
		for line := range strings.Lines(got.Text) {
			if line = strings.TrimSpace(line); len(line) > 7 {
				said = append(said, line)
			}
		}
	}
	require.Greater(t, len(said), 5)

	// A key, a first administrator, a session.
	code, _, err := kept.auth.Setup(ctx)
	require.NoError(t, err)
	_, err = kept.auth.Claim(ctx, code, "ana", password, "es")
	require.NoError(t, err)
	key, _, err := kept.auth.CreateKey(ctx, auth.NewKey{Name: "app", Scopes: []auth.Scope{auth.Admin}})
	require.NoError(t, err)
	seen := &ward{pool: lines, db: kept.db, dir: dir, book: book, check: &progress{db: kept.db, pool: lines, started: time.Now()}, started: time.Now()}
	web, err := webui.New(webui.Options{Store: kept.queue, Inbox: kept.inbox, Pool: lines, Auth: kept.auth, Clock: clock, Log: log,
		Version: "test", Storage: dir.room, Findings: seen.beside})
	require.NoError(t, err)
	t.Cleanup(web.Close)
	login := httptest.NewRequest("POST", "http://localhost/login", strings.NewReader(url.Values{"name": {"ana"}, "password": {password}}.Encode()))
	login.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	told := httptest.NewRecorder()
	web.Handler().ServeHTTP(told, login)
	require.Len(t, told.Result().Cookies(), 1, told.Body.String())
	session := told.Result().Cookies()[0].Value
	// A log line that should never be, of a library or a careless hand.
	log.Warn("careless", "key", key, "number", "+34 600 111 222", "pin", pin, "setup_code", code, "cookie", session, "password", password)

	secret, err := os.ReadFile(dir.secretFile())
	if err != nil { // the key may be a credential elsewhere
		secret = []byte("no key in a file")
	}
	config := filepath.Join(t.TempDir(), "recado.toml")
	require.NoError(t, os.WriteFile(config, []byte("# the PIN is "+pin+"\nhost = [\"caja.example\"]\n"), 0o600))

	local := &control{auth: kept.auth, pool: lines, book: book, ward: seen, info: func(*http.Request) (console.Info, error) {
		return console.Info{SetupCode: code, PID: os.Getpid()}, nil
	}}
	ask := &client{http: &http.Client{Transport: inProcess{local.handler(web.Local())}}}
	e := examination{ask: ask, look: look{dir: dir, tree: tty.Tree{Sys: t.TempDir(), Dev: t.TempDir(), Proc: t.TempDir()}}}
	require.NoError(t, ask.Do(ctx, "GET", "/control/doctor", nil, &e.report))
	name := filepath.Join(t.TempDir(), "b.tar.gz")
	file, err := createBundle(name)
	require.NoError(t, err)
	var shown bytes.Buffer
	require.NoError(t, (&doctorCmd{configFlag: configFlag{Config: configFile(config)}}).bundle(ctx, &shown, file, e))
	require.NoError(t, file.Close())

	files := unpack(t, name)
	for _, wanted := range []string{"CONTENTS.txt", "doctor.txt", "about.txt", "config.txt", "usb.txt", "data.txt", "modems.json", "sims.json",
		"findings.json", "log.txt", "database.txt", "health.json", "status.json",
		"modem-1-history.txt", "modem-1-dialogue.txt", "modem-2-history.txt", "modem-2-dialogue.txt"} {
		require.NotEmpty(t, files[wanted], wanted)
		if wanted != "CONTENTS.txt" {
			require.Contains(t, shown.String(), wanted, "the summary names it")
		}
	}
	// What is left says enough.
	require.Contains(t, files["modem-1-dialogue.txt"], "AT+CMGS=")
	require.Regexp(t, `> <PDU of \d+ octets><Ctrl-Z>`, files["modem-1-dialogue.txt"])
	require.Contains(t, files["modem-2-dialogue.txt"], `AT+CPIN="********"`)
	require.Contains(t, files["modem-2-history.txt"], "PIN")
	require.Contains(t, files["config.txt"], "host = [caja.example]")
	require.Contains(t, files["log.txt"], "msg=careless")
	for _, name := range []string{"modems.json", "sims.json", "findings.json", "health.json", "status.json"} {
		require.True(t, json.Valid([]byte(files[name])), name)
	}
	require.Contains(t, files["modems.json"], `"ID": "***********`+open.IMEI()[11:]+`"`)

	needles := map[string][]string{
		"the PIN": {pin}, "the wrong PIN": {wrong}, "the PUK": {puk},
		"the API key": {key, key[3:20]}, "the session": {session}, "the password": disguises(password),
		"the setup code": {code, code[:10]}, "the key of the PINs": {string(secret), hex.EncodeToString(secret)},
	}
	for what, private := range map[string]string{"the text": text, "the answer": answer, "a word": "secreta", "a name": "Gutierrez", "a code": "593817", "another word": "Echeverria",
		"the sender's name": "Zubizarret", "a USSD code": "*113#"} {
		needles[what] = disguises(private)
	}
	for _, line := range said {
		needles["a USSD answer"] = append(needles["a USSD answer"], disguises(line)...)
	}
	for what, number := range map[string]string{"the recipient": recipient, "the sender": sender, "our own number": strings.TrimPrefix(open.Number(), "+34")} {
		for _, n := range []string{number, "34" + number} {
			needles[what] = append(append(needles[what], disguises(n)...), swapped(n), n[:3]+" "+n[3:6]+" "+n[6:])
		}
	}
	for what, id := range map[string]string{"the IMEI": open.IMEI(), "the ICCID": open.ICCID()} {
		needles[what] = []string{id, id[:len(id)-4], swapped(id)}
	}
	for name, content := range files {
		lower := strings.ToLower(content)
		for what, list := range needles {
			for _, needle := range list {
				require.NotContains(t, lower, strings.ToLower(needle), "%s has %s", name, what)
			}
		}
	}
}

func TestScrub(t *testing.T) {
	for text, want := range map[string]string{
		"number=+34600111222 x":                                  "number=+********222 x",
		"+34 600 111 222":                                        "+********222",
		"imei 867698041234567":                                   "imei ***********4567",
		"key=rk_ABCDEFGHIJKLMNOP now":                            "key=rk_<hidden> now",
		"Authorization: Bearer rk_XYZ12345":                      "Authorization: <hidden> <hidden>",
		`pin=1234 "pin": "1234" PIN: 1234`:                       `pin=<hidden> "pin": <hidden> PIN: <hidden>`,
		"wants its PIN: enter it":                                "wants its PIN: enter it",
		`password="with \" quote" x`:                             `password=<hidden> x`,
		"code ABCDEFGHIJKLMNOPQRSTUVWXYZ":                        "code <hidden>",
		"ABCD-EFGH-IJKL-MNOP":                                    "<hidden>",
		"E8329BFD06DDDF723619AB":                                 "<hex of 22>",
		"0193a5b2-1111-7222-8333-444455556666":                   "0193a5b2-1111-7222-8333-*********666",
		"cookie 8wq0m3n1x7k2c5v9b4z6l8j0h3g1f5d7s9a2p4o6 ":       "cookie <hidden> ",
		"2026-11-22T18:00:00.123Z level=INFO msg=ready modems=2": "2026-11-22T18:00:00.123Z level=INFO msg=ready modems=2",
		"cms_38 after 135 s, 512 of 1024":                        "cms_38 after 135 s, 512 of 1024",
	} {
		require.Equal(t, want, scrub(text))
	}
}

// TestAJSONPaperStaysJSON: a number that is masked is a string then.
func TestAJSONPaperStaysJSON(t *testing.T) {
	text := `{"all": [9223372036854775807, -12345678, 12.3333333333, 1e3, 42], "share":0.0166666666, "says": "\"5 of 12345678: -1\\"}`
	got := fitting([]paper{{Name: "sims.json", Text: text}}, 1<<20, 1<<20)[0].Text
	require.True(t, json.Valid([]byte(got)), got)
	require.Contains(t, got, `"***************5807", "-*****678", "12.*******333", 1e3, 42], "share":"0.*******666"`)
	require.Contains(t, got, `"says": "\"5 of *****678: -1\\"`)
}

// TestABundleIsBounded, whatever the papers are; of a log the end is kept.
func TestABundleIsBounded(t *testing.T) {
	long := strings.Repeat("ñ a line of the log\n", 3000)
	const each, all = 16 << 10, 160 << 10
	papers := []paper{{Name: "log", Text: long + "the last line\n", Tail: true}, {Name: "head", Text: "the first line\n" + long}}
	for i := range 20 {
		papers = append(papers, paper{Name: fmt.Sprint(i), Text: long})
	}
	papers = fitting(papers, each, all)
	require.True(t, strings.HasSuffix(papers[0].Text, "the last line\n"))
	require.Regexp(t, `^\(what was before this is left out\)\nñ a line`, papers[0].Text)
	require.True(t, strings.HasPrefix(papers[1].Text, "the first line\n"))
	require.True(t, strings.HasSuffix(papers[1].Text, "of the log\n(what comes after this is left out)\n"))
	sum := 0
	for _, p := range papers {
		sum += len(p.Text)
		require.LessOrEqual(t, len(p.Text), each+100)
	}
	require.LessOrEqual(t, sum, all)
	name := filepath.Join(t.TempDir(), "b.tar.gz")
	file, err := createBundle(name)
	require.NoError(t, err)
	_, err = writeBundle(file, papers)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Len(t, unpack(t, name), len(papers)+1)
}

func TestConfigurationInABundle(t *testing.T) {
	t.Setenv("RECADO_API_KEY", "hush")
	t.Setenv("RECADO_POWER_HOOK", "/bin/relay --pass hush")
	t.Setenv("RECADO_LISTEN", "127.0.0.1:1")
	text := (&doctorCmd{}).configText()
	require.NotContains(t, text, "hush")
	require.Contains(t, text, "RECADO_API_KEY = <hidden>")
	require.Contains(t, text, "RECADO_LISTEN = 127.0.0.1:1")
}
