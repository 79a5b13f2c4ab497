package webui

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"recado/webui/auth"
)

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	b := newBox(t, 0)
	for _, path := range []string{"/health/live", v1 + "/status", v1 + "/nothing", "/", "/login", "/static/nothing"} {
		h := b.do("GET", path, nil, "Authorization", "").Header
		require.Contains(t, h.Get("Content-Security-Policy"), "script-src 'self'", path)
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe", path)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.NotEmpty(t, h.Get("Referrer-Policy"), path)
		require.NotEmpty(t, h.Get("X-Request-Id"), path)
		require.Empty(t, h.Get("Server"), path)
	}
}

func TestUnknownAddressesAndMethodsAreProblems(t *testing.T) {
	b := newBox(t, 0)
	b.problem(b.do("GET", "/api/v1/nothing", nil), 404, "not_found")
	b.problem(b.do("GET", "/api/v2/messages", nil, "Accept", "text/html"), 404, "not_found")
	a := b.do("PUT", v1+"/messages", nil)
	b.problem(a, 405, "method_not_allowed")
	require.Contains(t, a.Header.Get("Allow"), "POST")
	b.problem(b.do("TRACE", v1+"/messages", nil), 405, "method_not_allowed")
	b.problem(b.do("GET", v1+"/messages/0192f0c1-0000-7000-8000-000000000000", nil), 404, "not_found")
}

func TestNoMethodOverride(t *testing.T) {
	b := newBox(t, 0)
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		a := b.do("POST", v1+"/messages/0192f0c1-0000-7000-8000-000000000000", nil, header, "DELETE")
		b.problem(a, 405, "method_not_allowed")
	}
	a := b.do("GET", v1+"/messages?_method=POST", nil)
	b.problem(a, 422, "invalid")
}

func TestHosts(t *testing.T) {
	b := newBox(t, 0)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1": 200, "127.0.0.1:99": 200, "[::1]:80": 200,
		"recado.example": 200, "RECADO.example:80": 200, "recado.example.": 200,
		"evil.example": 421, "recado.example.evil": 421, "192.168.7.7": 421, "0x7f000001.evil": 421, "": 400,
	} {
		if host == "" {
			continue // net/http refuses it itself
		}
		a := b.do("GET", v1+"/status", nil, "Host", host)
		require.Equal(t, status, a.StatusCode, host)
		if status == 421 {
			b.problem(a, 421, "wrong_host")
		}
	}
}

// TestCSRF is the matrix of where a request says it comes from: what changes
// something must come from our own pages or from no page at all.
func TestCSRF(t *testing.T) {
	b := newBox(t, 0)
	cookie := b.cookie(auth.RoleAdmin)
	host := strings.TrimPrefix(b.http.URL, "http://")
	for _, c := range []struct {
		method, site, origin string
		ok                   bool
	}{
		{"POST", "same-origin", "", true},
		{"POST", "none", "", true},
		{"POST", "", "http://" + host, true},
		{"POST", "", "", true}, // no browser
		{"POST", "cross-site", "", false},
		{"POST", "same-site", "", false},
		{"POST", "", "http://evil.example", false},
		{"POST", "", "null", false},
		{"DELETE", "cross-site", "", false},
		{"PATCH", "cross-site", "", false},
		{"GET", "cross-site", "", true}, // changes nothing
	} {
		path := map[string]string{"POST": v1 + "/sending/resume", "DELETE": v1 + "/keys/x", "PATCH": v1 + "/sims/x", "GET": v1 + "/status"}[c.method]
		for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
			a := b.do(c.method, path, nil, "Cookie", cookie, "Sec-Fetch-Site", c.site, "Origin", c.origin, "Content-Type", kind)
			if c.ok {
				require.Equal(t, 200, a.StatusCode, "%+v %s", c, a.body)
			} else {
				b.problem(a, 403, "forbidden")
			}
		}
	}
}

func TestAKeyInTheAddressIsRefused(t *testing.T) {
	b := newBox(t, 0)
	for _, query := range []string{"?api_key=" + b.admin, "?key=" + b.admin, "?access_token=x", "?reference=" + b.admin} {
		for _, credentials := range []string{"", "Bearer " + b.admin} {
			p := b.problem(b.do("GET", v1+"/messages"+query, nil, "Authorization", credentials), 401, "unauthorized")
			require.Contains(t, p.Detail, "Authorization: Bearer")
		}
	}
	require.NotContains(t, b.logs.String(), b.admin)
}

func TestWrongCredentialsAreSlowedDownAndRightOnesAreNot(t *testing.T) {
	b := newBox(t, 0)
	for range failureBurst {
		a := b.do("GET", v1+"/status", nil, "Authorization", "Bearer rk_wrong")
		b.problem(a, 401, "unauthorized")
		require.Contains(t, a.Header.Get("WWW-Authenticate"), "Bearer")
	}
	a := b.do("GET", v1+"/status", nil, "Authorization", "Bearer rk_wrong")
	b.problem(a, 429, "rate_limited")
	require.Equal(t, "6", a.Header.Get("Retry-After"))
	require.Equal(t, 200, b.do("GET", v1+"/status", nil).StatusCode)
	b.problem(b.do("GET", v1+"/status", nil, "Authorization", ""), 401, "unauthorized")
	b.problem(b.do("GET", v1+"/status", nil, "Authorization", "Basic YTpi"), 429, "rate_limited")
}

func TestBodiesTooLarge(t *testing.T) {
	b := newBox(t, 0)
	big := func(n int) string { return `{"to":"+34600111222","text":"` + strings.Repeat("a", n) + `"}` }
	for name, body := range map[string]any{
		"declared": big(2 << 20),
		"chunked":  struct{ io.Reader }{strings.NewReader(big(2 << 20))},
	} {
		var a answer
		if r, ok := body.(struct{ io.Reader }); ok {
			a = b.do("POST", v1+"/messages", io.Reader(r))
		} else {
			a = b.do("POST", v1+"/messages", body)
		}
		b.problem(a, 413, "too_large")
		require.Less(t, len(a.body), 1000, name)
	}
	b.problem(b.do("PATCH", v1+"/sims/x", `{"name":"`+strings.Repeat("a", 64<<10)+`"}`), 413, "too_large")
	// A thousand recipients fit.
	to := make([]string, maxRecipients)
	for i := range to {
		to[i] = "+346001" + strings.Repeat("0", 5-len(itoa(i))) + itoa(i)
	}
	a := b.do("POST", v1+"/messages", map[string]any{"to": to, "text": strings.Repeat("a", 1000)})
	require.Equal(t, 202, a.StatusCode, "%.500s", a.body)
	require.Len(t, a.json(t)["messages"], maxRecipients)
	b.problem(b.do("POST", v1+"/messages", map[string]any{"to": append(to, "+34600999999"), "text": "a"}), 422, "invalid")
}

func TestAPanicIsContained(t *testing.T) {
	b := newBox(t, 0)
	b.s.emulator = nil
	b.s.storage = func() (Storage, error) { panic("secret internals") }
	a := b.do("GET", v1+"/status", nil)
	b.problem(a, 500, "internal")
	require.NotContains(t, string(a.body), "secret internals")
	require.Contains(t, b.logs.String(), "secret internals")
	require.Contains(t, b.logs.String(), a.Header.Get("X-Request-Id"))
	require.Equal(t, 200, b.do("GET", v1+"/inbox", nil).StatusCode, "the server lives on")
	require.Contains(t, string(b.do("GET", "/metrics", nil).body), "recado_http_panics_total 1")
}

func TestInternalsDoNotLeak(t *testing.T) {
	b := newBox(t, 0)
	require.NoError(t, b.db.Read().Close()) // as if the disk had gone
	a := b.do("GET", v1+"/messages", nil)
	p := b.problem(a, 500, "internal")
	require.NotContains(t, p.Detail, "sql")
	require.Contains(t, b.logs.String(), "sql: database is closed")
}

func TestSessionsIdleOut(t *testing.T) {
	b := newBox(t, 0)
	cookie := b.cookie(auth.RoleReader)
	ask := func() int { return b.do("GET", v1+"/messages", nil, "Cookie", cookie).StatusCode }
	require.Equal(t, 200, ask())
	for range 23 { // every half hour but a minute, for almost twelve hours
		b.clock.pass(sessionIdle - time.Minute)
		require.Equal(t, 200, ask())
	}
	b.clock.pass(sessionIdle + time.Minute)
	require.Equal(t, 401, ask())

	cookie = b.cookie2(t)
	b.clock.pass(sessionIdle + 2*time.Second)
	require.Equal(t, 401, ask())
}

func (b *box) cookie2(t *testing.T) string {
	t.Helper()
	p, err := b.auth.CreatePerson(t.Context(), "another", auth.RoleReader, "correct horse battery")
	require.NoError(t, err)
	w := httptest.NewRecorder()
	require.NoError(t, b.s.signIn(b.s.echo.NewContext(httptest.NewRequest("POST", "/login", nil), w), p))
	c := w.Result().Cookies()[0]
	return c.Name + "=" + c.Value
}

func TestSignInGivesANewTokenAndSignOutEndsIt(t *testing.T) {
	b := newBox(t, 0)
	p, err := b.auth.CreatePerson(t.Context(), "ana", auth.RoleReader, "correct horse battery")
	require.NoError(t, err)
	in := func(cookie string) *http.Cookie {
		r := httptest.NewRequest("POST", "https://localhost/login", nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		require.NoError(t, b.s.signIn(b.s.echo.NewContext(r, w), p))
		return w.Result().Cookies()[0]
	}
	one := in("")
	require.Equal(t, "__Host-recado", one.Name, "on TLS")
	require.True(t, one.Secure && one.HttpOnly && one.Path == "/" && one.SameSite == http.SameSiteLaxMode)
	two := in(one.Name + "=" + one.Value)
	require.NotEqual(t, one.Value, two.Value, "a token that was there before is not taken over")
	var n int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM session`).Scan(&n))
	require.Equal(t, 1, n, "and the one before has ended")

	r := httptest.NewRequest("POST", "https://localhost/logout", nil)
	r.Header.Set("Cookie", two.Name+"="+two.Value)
	w := httptest.NewRecorder()
	require.NoError(t, b.s.signOut(b.s.echo.NewContext(r, w)))
	require.Negative(t, w.Result().Cookies()[0].MaxAge)
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM session`).Scan(&n))
	require.Zero(t, n)
}

func TestErrAbortHandlerIsLeftAlone(t *testing.T) {
	b := newBox(t, 0)
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		c := b.s.echo.NewContext(httptest.NewRequest("GET", "http://localhost/health/live", nil), httptest.NewRecorder())
		c.SetPath("/health/live")
		_ = b.s.gate(func(echo.Context) error { panic(http.ErrAbortHandler) })(c)
	})
}

func TestNothingSecretIsLogged(t *testing.T) {
	b := newBox(t, 0)
	b.do("POST", v1+"/messages", map[string]any{"to": "+34600111222", "text": "the secret text"})
	b.do("POST", v1+"/messages", map[string]any{"to": "+34600111222", "text": "the secret text", "nope": 1})
	b.do("POST", v1+"/messages", bytes.NewReader([]byte(`{"text":"the secret text"`)))
	b.do("POST", v1+"/keys", map[string]any{"name": "k", "scopes": []string{"admin"}})
	for _, secret := range []string{"the secret text", "+34600111222", "600111222", b.admin, "rk_"} {
		require.NotContains(t, b.logs.String(), secret)
	}
}
