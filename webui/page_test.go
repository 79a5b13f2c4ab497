package webui

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// browse asks as a browser does.
func (b *box) browse(method, path, cookie string, form url.Values) answer {
	b.t.Helper()
	headers := []string{"Authorization", "", "Accept", "text/html,application/xhtml+xml", "Sec-Fetch-Site", "same-origin"}
	if cookie != "" {
		headers = append(headers, "Cookie", cookie)
	}
	if form == nil {
		return b.do(method, path, nil, headers...)
	}
	return b.do(method, path, form.Encode(), append(headers, "Content-Type", "application/x-www-form-urlencoded")...)
}

// TestStrangersGetTheDoorAndNothingElse walks the pages: a redirect must not
// carry the page it guards.
func TestStrangersGetTheDoorAndNothingElse(t *testing.T) {
	b := newBox(t, 0)
	for _, door := range []string{"/setup", "/login"} {
		if door == "/login" {
			b.cookie(auth.RoleAdmin)
		}
		for _, r := range b.s.pageRoutes() {
			if r.who.public || r.who.setup {
				continue
			}
			a := b.browse(r.method, strings.NewReplacer("{", "x", "}", "").Replace(r.path), "", nil)
			require.Equal(t, http.StatusSeeOther, a.StatusCode, r.path)
			require.True(t, strings.HasPrefix(a.Header.Get("Location"), door), "%s: %s", r.path, a.Header.Get("Location"))
			require.Empty(t, a.body, r.path)
		}
	}
	require.NotContains(t, b.logs.String(), "panicked")
	require.Equal(t, "/login?next=%2Fmessages%3Fstate%3Dsent", b.browse("GET", "/messages?state=sent", "", nil).Header.Get("Location"))
	// A form of somebody who was signed out meanwhile leads back to its page.
	for referer, to := range map[string]string{
		b.http.URL + "/settings?x=1": "/login?next=%2Fsettings%3Fx%3D1", b.http.URL + "/messages/abc": "/login?next=%2Fmessages%2Fabc",
		b.http.URL + "/settings/retention": "/login", "http://evil.example/settings": "/login", "": "/login", "%zz": "/login", b.http.URL: "/login",
	} {
		a := b.do("POST", "/settings/retention", "x=1", "Authorization", "", "Accept", "text/html", "Sec-Fetch-Site", "same-origin",
			"Content-Type", "application/x-www-form-urlencoded", "Referer", referer)
		require.Equal(t, http.StatusSeeOther, a.StatusCode)
		require.Equal(t, to, a.Header.Get("Location"), referer)
	}
}

func TestFirstStart(t *testing.T) {
	b := newBox(t, 0)
	code, needed, err := b.auth.Setup(t.Context())
	require.NoError(t, err)
	require.True(t, needed)
	form := url.Values{"code": {"WRONG"}, "name": {"ana"}, "password": {"una frase muy larga"}, "again": {"una frase muy larga"}}
	a := b.browse("POST", "/setup", "", form)
	require.Equal(t, 422, a.StatusCode)
	require.Contains(t, string(a.body), `value="ana"`)
	require.NotContains(t, string(a.body), "una frase muy larga")
	form.Set("code", code)
	form.Set("again", "otra")
	require.Equal(t, 422, b.browse("POST", "/setup", "", form).StatusCode)
	form.Set("again", "una frase muy larga")
	a = b.browse("POST", "/setup", "", form)
	require.Equal(t, 303, a.StatusCode, "%s", a.body)
	require.Equal(t, "/?done=welcome", a.Header.Get("Location"))
	cookie := a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
	require.Contains(t, string(b.browse("GET", "/", cookie, nil).body), "¿A quién le deja un recado?")
	require.Equal(t, 404, b.browse("GET", "/setup", "", nil).StatusCode, "the door is closed behind")

	a = b.browse("POST", "/login", "", url.Values{"name": {"ana"}, "password": {"wrong"}, "next": {"/lines"}})
	require.Equal(t, 422, a.StatusCode)
	a = b.browse("POST", "/login", "", url.Values{"name": {"ana"}, "password": {"una frase muy larga"}, "next": {"//evil.example"}})
	require.Equal(t, "/", a.Header.Get("Location"))
	require.Equal(t, "/login", b.browse("POST", "/logout", cookie, url.Values{}).Header.Get("Location"))
	require.Equal(t, 303, b.browse("GET", "/", cookie, nil).StatusCode)
}

var agreed = regexp.MustCompile(`name="agreed" value="([^"]+)"`)

func TestWriteSendsWhatTheButtonSaid(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleOperator)
	count := func() int {
		list, _, err := b.s.store.Messages(t.Context(), queue.Filter{})
		require.NoError(t, err)
		return len(list)
	}
	form := url.Values{"to": {"600111222\n600 111 223; 807123456"}, "text": {"Hola,\r\nmañana"}, "class": {"normal"}, "once": {strings.Repeat("a", 26)}}
	a := b.browse("POST", "/write", cookie, form)
	require.Equal(t, 200, a.StatusCode, "nothing was agreed to yet")
	require.Contains(t, string(a.body), "Enviar 2 mensajes")
	require.Contains(t, string(a.body), "807123456")
	require.Zero(t, count())
	require.Equal(t, "2x1", agreed.FindStringSubmatch(string(a.body))[1])

	form.Set("agreed", "1x1")
	require.Equal(t, 200, b.browse("POST", "/write", cookie, form).StatusCode, "the button said another number")
	require.Zero(t, count())
	form.Set("agreed", "2x1")
	for range 2 { // a double click
		a = b.browse("POST", "/write", cookie, form)
		require.Equal(t, 303, a.StatusCode, "%s", a.body)
		require.Equal(t, "/messages?done=many&n=2", a.Header.Get("Location"))
		require.Equal(t, 2, count())
	}
	list, _, err := b.s.store.Messages(t.Context(), queue.Filter{})
	require.NoError(t, err)
	require.Equal(t, "Hola,\nmañana", list[0].Text, "a line break is one character")

	form.Set("text", "Otra cosa")
	require.Equal(t, 303, b.browse("POST", "/write", cookie, form).StatusCode, "other words are another message")
	require.Equal(t, 4, count())

	for name, bad := range map[string]url.Values{
		"nothing": {}, "no text": {"to": {"600111222"}, "agreed": {"1x1"}}, "no number": {"text": {"x"}, "agreed": {"1x1"}},
		"refused": {"to": {"807123456"}, "text": {"x"}}, "past": {"to": {"600111222"}, "text": {"x"}, "send_at": {"2001-01-01T10:00"}},
		"no date": {"to": {"600111222"}, "text": {"x"}, "send_at": {"soon"}}, "no SIM": {"to": {"600111222"}, "text": {"x"}, "sim": {"123"}, "agreed": {"1x1"}},
		"long": {"to": {"600111222"}, "text": {strings.Repeat("largo ", 400)}, "agreed": {"1x16"}}, "class": {"to": {"600111222"}, "text": {"x"}, "class": {"x"}},
		"validity": {"to": {"600111222"}, "text": {"x"}, "valid_for": {"-1"}},
	} {
		a := b.browse("POST", "/write", cookie, bad)
		require.Equal(t, 422, a.StatusCode, name)
		require.Contains(t, string(a.body), `role="alert"`, name)
		require.Contains(t, string(a.body), bad.Get("text"), "%s: what was typed is kept", name)
	}
	require.Equal(t, 4, count())
	a = b.browse("POST", "/write/plain", cookie, url.Values{"to": {"600111222"}, "text": {"“sí”"}})
	require.Contains(t, string(a.body), "&#34;si&#34;</textarea>")
	require.Equal(t, 413, b.browse("POST", "/write", cookie, url.Values{"text": {strings.Repeat("x", maxForm+1)}}).StatusCode)
}

// TestHostileTextsStayText sends and receives texts that would like to be HTML,
// and looks for them on every page that shows them.
func TestHostileTextsStayText(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleAdmin)
	sim := b.pool.Modems()[0].SIM.ICCID
	hostile := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</textarea><script>x</script>`, `' onmouseover='alert(1)`,
		`{{.It}} {{t "x"}}`, `<a href="javascript:alert(1)">x</a>`, "<!--", "\u202eevil", `<svg/onload=alert(1)>`,
	}
	raw := regexp.MustCompile(`(?i)<script>|<img src=x|onmouseover='|<svg/onload|href="javascript|<!--`)
	var id string
	for _, text := range hostile {
		r, err := b.s.store.Submit(t.Context(), queue.Request{To: []string{"600111222"}, Text: text, Reference: text}, nil)
		require.NoError(t, err)
		id = r.Messages[0].ID
		require.NoError(t, b.net.Inbound(sim, "+34600111222", text))
	}
	require.NoError(t, b.net.Inbound(sim, "<b>x</b>", "from a name"))
	require.Eventually(t, func() bool {
		n, err := b.s.inbox.Unread(t.Context())
		return err == nil && n == len(hostile)+1
	}, 20*time.Second, 10*time.Millisecond)
	for _, path := range []string{"/", "/messages", "/messages/" + id, "/inbox", "/inbox?with=%2B34600111222", "/inbox?with=" + url.QueryEscape(`"><script>alert(1)</script>`),
		"/messages?q=" + url.QueryEscape(`"><script>alert(1)</script>`), "/write?to=" + url.QueryEscape(`</textarea><script>x</script>`), "/nothing?" + url.QueryEscape("<script>")} {
		a := b.browse("GET", path, cookie, nil)
		require.Contains(t, []int{200, 404}, a.StatusCode, path)
		require.Empty(t, raw.FindAllString(string(a.body), -1), path)
	}
	thread := string(b.browse("GET", "/inbox?with=%2B34600111222", cookie, nil).body)
	for _, text := range hostile {
		require.Contains(t, html.UnescapeString(thread), text)
	}
	require.NoError(t, func() error {
		_, err := b.s.updateSIM(consoleContext(t), sim, SIMPatch{Name: new(`"><script>`)})
		return err
	}())
	for _, path := range []string{"/", "/lines", "/lines/" + sim, "/write", "/inbox?with=%2B34600111222"} {
		require.Empty(t, raw.FindAllString(string(b.browse("GET", path, cookie, nil).body), -1), path)
	}
}

// TestAnUncertainMessageIsExplainedAndDecided: what each choice risks is said,
// and the decision is kept with who made it.
func TestAnUncertainMessageIsExplainedAndDecided(t *testing.T) {
	b := newBox(t, 0)
	cookie := b.cookie(auth.RoleOperator)
	submit := func() string {
		r, err := b.s.store.Submit(t.Context(), queue.Request{To: []string{"600111222"}, Text: "x"}, nil)
		require.NoError(t, err)
		return "/messages/" + r.Messages[0].ID
	}
	lost := func(path string) {
		line := queue.Line{ICCID: "8934", IMSI: "21407", Modem: "m"}
		c, err := b.s.store.Claim(t.Context(), line)
		require.NoError(t, err)
		attempt, err := b.s.store.Gate(t.Context(), line, c.Message.Seq, 1)
		require.NoError(t, err)
		_, err = b.s.store.Outcome(t.Context(), attempt, queue.Outcome{Verdict: queue.Ambiguous, MR: -1, Code: "timeout", Class: "unknown", At: b.clock.Now()}, nil)
		require.NoError(t, err)
		body := string(b.browse("GET", path, cookie, nil).body)
		for _, words := range []string{"Por aclarar", "El módem no contestó a tiempo.", "lo recibirá dos veces", "La respuesta de la red se perdió"} {
			require.Contains(t, body, words)
		}
		require.NotContains(t, body, "/cancel", "it may have left")
	}
	queued := submit()
	require.Contains(t, string(b.browse("GET", queued, cookie, nil).body), queued+"/cancel")
	require.Equal(t, 409, b.browse("POST", queued+"/resolve", cookie, url.Values{"action": {"mark_sent"}}).StatusCode)
	require.Equal(t, 303, b.browse("POST", queued+"/cancel", cookie, url.Values{}).StatusCode)
	require.Contains(t, string(b.browse("GET", queued, cookie, nil).body), "</svg>Cancelado</span>")
	for _, c := range [][2]string{{"mark_sent", "Enviado"}, {"mark_failed", "Fallido"}, {"resend", "En cola"}} {
		action, state := c[0], c[1]
		path := submit()
		lost(path)
		require.Equal(t, 422, b.browse("POST", path+"/resolve", cookie, url.Values{"action": {"guess"}}).StatusCode)
		require.Equal(t, 303, b.browse("POST", path+"/resolve", cookie, url.Values{"action": {action}}).StatusCode)
		body := string(b.browse("GET", path, cookie, nil).body)
		require.Contains(t, body, "</svg>"+state+"</span>", action)
		require.Contains(t, body, "por the operator", action)
		if action == "resend" {
			require.Contains(t, body, "puede que le haya llegado dos veces")
		}
	}
}

func consoleContext(t *testing.T) context.Context {
	t.Helper()
	return context.WithValue(t.Context(), callerKey{}, &caller{principal: auth.Console()})
}

func TestLiveTellsWhatChanged(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.http.URL+"/live", nil)
	require.NoError(t, err)
	req.Header.Set("Cookie", b.cookie(auth.RoleReader))
	resp, err := b.http.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream; charset=utf-8", resp.Header.Get("Content-Type"))
	lines := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: "+want {
				return
			}
		}
		require.Fail(t, "the stream ended before "+want)
	}
	next("tick")
	_, err = b.s.store.Submit(t.Context(), queue.Request{To: []string{"600111222"}, Text: "x"}, nil)
	require.NoError(t, err)
	next("messages")
	next("lines")
	require.NoError(t, b.net.Inbound(b.pool.Modems()[0].SIM.ICCID, "+34600111222", "y"))
	next("inbox")
}

func TestReadersSeeAndChangeNothing(t *testing.T) {
	b := newBox(t, 1)
	b.ready(1)
	cookie := b.cookie(auth.RoleReader)
	for _, path := range []string{"/", "/messages", "/inbox", "/lines", "/settings", "/modems/" + url.PathEscape(b.pool.Modems()[0].ID)} {
		a := b.browse("GET", path, cookie, nil)
		require.Equal(t, 200, a.StatusCode, path)
		require.NotContains(t, string(a.body), `action="/sending`, path)
		require.NotContains(t, string(a.body), "AT+CMG", "the dialogue with the modem is the administrators'")
	}
	require.NoError(t, b.net.Inbound(b.pool.Modems()[0].SIM.ICCID, "+34600111222", "x"))
	require.Eventually(t, func() bool {
		n, err := b.s.inbox.Unread(t.Context())
		return err == nil && n == 1
	}, 20*time.Second, 10*time.Millisecond)
	thread := string(b.browse("GET", "/inbox?with=%2B34600111222", cookie, nil).body)
	require.NotContains(t, thread, `action="/inbox/`, "looking marks nothing as read")
	a := b.browse("POST", "/sending/pause", cookie, url.Values{})
	require.Equal(t, 403, a.StatusCode)
	require.Contains(t, string(a.body), "No puede hacer esto")
	require.False(t, b.pool.Paused())
}

func TestErrorPagesSpeakTheReadersLanguage(t *testing.T) {
	b := newBox(t, 0)
	a := b.do("GET", "/nowhere", nil, "Authorization", "", "Accept", "text/html", "Accept-Language", "en")
	require.Equal(t, 404, a.StatusCode)
	require.Contains(t, string(a.body), `<html lang="en"`)
	require.Contains(t, string(a.body), "There is nothing here")
	a = b.do("GET", "/", nil, "Authorization", "", "Accept", "text/html", "Host", "evil.example")
	require.Equal(t, 421, a.StatusCode)
	require.Contains(t, string(a.body), "Este aparato no se llama así")
	cookie := b.cookie(auth.RoleAdmin)
	require.Equal(t, 404, b.browse("GET", "/messages/none", cookie, nil).StatusCode)
	require.Equal(t, 404, b.browse("GET", "/lines/none", cookie, nil).StatusCode)
	require.Equal(t, 404, b.browse("GET", "/modems/none", cookie, nil).StatusCode)
	require.Equal(t, 404, b.browse("POST", "/training/inbound", cookie, url.Values{}).StatusCode, "no emulated modems run")
	for err, word := range map[error]string{
		sqlite.ErrReadOnly: "El disco ha fallado", sqlite.ErrFailed: "El disco no lo ha guardado", sqlite.ErrOverloaded: "Demasiado trabajo ahora",
	} {
		c := b.request("POST", "/write", "Accept", "text/html")
		b.s.failed(fmt.Errorf("write: %w", err), c)
		require.Equal(t, 503, c.Response().Status)
		require.Contains(t, c.Response().Writer.(*httptest.ResponseRecorder).Body.String(), word)
	}
	require.NoError(t, b.db.Close())
	a = b.browse("GET", "/messages", cookie, nil)
	require.GreaterOrEqual(t, a.StatusCode, 500)
	require.NotContains(t, string(a.body), "sql")
}

func TestKeysAndPeople(t *testing.T) {
	b := newBox(t, 0)
	cookie := b.cookie(auth.RoleAdmin)
	a := b.browse("POST", "/settings/keys", cookie, url.Values{"name": {"Padrón"}, "scope": {"messages:send", "made:up"}})
	require.Equal(t, 200, a.StatusCode)
	secret := regexp.MustCompile(`rk_[A-Za-z0-9]{20,}`).FindString(string(a.body))
	require.NotEmpty(t, secret)
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	a = b.browse("GET", "/settings", cookie, nil)
	require.NotContains(t, string(a.body), secret)
	require.Contains(t, string(a.body), "Padrón")
	p, err := b.auth.Verify(t.Context(), secret, remote(&http.Request{RemoteAddr: "127.0.0.1:1"}))
	require.NoError(t, err)
	require.Equal(t, []auth.Scope{auth.MessagesSend}, p.Scopes)
	require.Equal(t, 303, b.browse("POST", "/settings/keys/revoke", cookie, url.Values{"id": {p.ID}}).StatusCode)
	_, err = b.auth.Verify(t.Context(), secret, remote(&http.Request{RemoteAddr: "127.0.0.1:1"}))
	require.ErrorIs(t, err, auth.ErrBadKey)
	require.Equal(t, 422, b.browse("POST", "/settings/keys", cookie, url.Values{"name": {"x"}}).StatusCode, "a key without rights")
	require.Equal(t, 422, b.browse("POST", "/settings/keys/revoke", cookie, url.Values{"id": {"none"}}).StatusCode)

	person := url.Values{"name": {"luis"}, "role": {"operator"}, "password": {"corta"}}
	a = b.browse("POST", "/settings/people", cookie, person)
	require.Equal(t, 422, a.StatusCode)
	require.NotContains(t, string(a.body), "corta\"")
	person.Set("password", "una frase muy larga")
	require.Equal(t, 303, b.browse("POST", "/settings/people", cookie, person).StatusCode)
	require.Equal(t, 422, b.browse("POST", "/settings/people", cookie, person).StatusCode, "the name is taken")
	require.Equal(t, 303, b.browse("POST", "/settings/people/reset", cookie, url.Values{"name": {"luis"}, "password": {"otra frase bien larga"}}).StatusCode)
	_, err = b.auth.Login(t.Context(), "luis", "otra frase bien larga", "127.0.0.1")
	require.NoError(t, err)
	change := url.Values{"current": {"wrong"}, "password": {"tercera frase larga"}, "again": {"tercera frase larga"}}
	require.Equal(t, 422, b.browse("POST", "/settings/password", cookie, change).StatusCode)
	change.Set("current", "correct horse battery")
	a = b.browse("POST", "/settings/password", cookie, change)
	require.Equal(t, 303, a.StatusCode)
	require.Equal(t, 303, b.browse("GET", "/settings", cookie, nil).StatusCode, "the old session has ended")
	fresh := a.Cookies()[0]
	require.Equal(t, 200, b.browse("GET", "/settings", fresh.Name+"="+fresh.Value, nil).StatusCode)
}
