package webui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/sqlite"
	"recado/queue/webhook"
	"recado/webui/auth"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// wall is the system's clock, which a test may move on and distrust.
type wall struct {
	mu     sync.Mutex
	ahead  time.Duration
	doubts bool
}

func (w *wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}
func (w *wall) Trusted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.doubts
}
func (w *wall) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// box is the appliance from the database to the HTTP server, with emulated
// modems.
type box struct {
	t     testing.TB
	s     *Server
	auth  *auth.Store
	db    *sqlite.DB
	pool  *pool.Pool
	net   *emulator.Network
	clock *wall
	logs  *lockedBuffer
	http  *httptest.Server
	admin string // an API key that may everything
}

// lockedBuffer is where the log goes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// withoutTimes is the log without when each line was written: nine digits of a
// second may be anything.
func (b *lockedBuffer) withoutTimes() string { return logTime.ReplaceAllString(b.String(), "") }

var logTime = regexp.MustCompile(`"time":"[^"]*",?`)

// newBox starts everything with so many emulated modems. change may alter the
// server's options.
func newBox(t testing.TB, modems int, change ...func(*Options)) *box {
	t.Helper()
	b := &box{t: t, clock: &wall{}, logs: &lockedBuffer{}}
	log := slog.New(slog.NewJSONHandler(b.logs, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.logs.String())
		}
	})
	var err error
	b.db, err = sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "recado.db"), sqlite.Options{Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.db.Close()) })
	registry := prometheus.NewRegistry()
	store, err := queue.New(context.Background(), b.db, queue.Options{Clock: b.clock, Log: log, Registerer: registry})
	require.NoError(t, err)
	in := inbox.New(b.db, store, inbox.Options{Clock: b.clock, Log: log})
	b.auth = auth.New(b.db, b.clock, auth.Options{Log: log})
	b.pool = pool.New(pool.Options{Store: store, Inbox: in, Clock: b.clock, Log: log, Registerer: registry})
	b.net = emulator.NewNetwork(emulator.NetworkOptions{ReportDelay: 10 * time.Millisecond})
	for i := range modems {
		require.NoError(t, b.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i), Open: b.net.AddModem(emulator.ModemOptions{}).Open, Emulated: true}))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.pool.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); _ = b.net.Close() })

	hooks, err := webhook.New(context.Background(), b.db, store, webhook.Options{Clock: b.clock, Loopback: true, Log: log})
	require.NoError(t, err)
	running.Go(func() { _ = hooks.Run(ctx) })
	o := Options{Webhooks: hooks, Store: store, Inbox: in, Pool: b.pool, Auth: b.auth, Clock: b.clock, Log: log, Registry: registry, Version: "test",
		Hosts: []string{"Recado.Example:8080"}}
	if modems > 0 {
		o.Emulator = func(_ context.Context, sim, from, text string) error { return b.net.Inbound(sim, from, text) }
	}
	for _, f := range change {
		f(&o)
	}
	b.s, err = New(o)
	require.NoError(t, err)
	b.http = httptest.NewUnstartedServer(nil)
	b.http.Config = b.s.HTTP(b.s.Handler())
	b.http.Listener = Limit(b.http.Listener)
	b.http.Start()
	t.Cleanup(func() { b.s.Close(); b.http.Close() })
	b.admin = b.key(auth.Admin)
	return b
}

// key makes an API key with scopes.
func (b *box) key(scopes ...auth.Scope) string {
	b.t.Helper()
	secret, _, err := b.auth.CreateKey(context.Background(), auth.NewKey{Name: "test", Scopes: scopes})
	require.NoError(b.t, err)
	return secret
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body []byte
}

// json is the body as an object.
func (a answer) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// do sends a request. Headers are name, value pairs; the admin's key is sent
// unless the headers say something about credentials.
func (b *box) do(method, path string, body any, headers ...string) answer {
	b.t.Helper()
	var r io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(body)
	case io.Reader:
		r = body
	default:
		raw, err := json.Marshal(body)
		require.NoError(b.t, err)
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, b.http.URL+path, r)
	require.NoError(b.t, err)
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+b.admin)
	for i := 0; i+1 < len(headers); i += 2 {
		switch name := http.CanonicalHeaderKey(headers[i]); {
		case name == "Host":
			req.Host = headers[i+1]
		case headers[i+1] == "":
			req.Header.Del(name)
		default:
			if name == "X-Api-Key" || name == "Cookie" {
				req.Header.Del("Authorization")
			}
			req.Header.Set(name, headers[i+1])
		}
	}
	client := &http.Client{Transport: b.http.Client().Transport, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return answer{resp, raw}
}

// problem checks that an answer is the problem that it should be, in every
// field that the contract names.
func (b *box) problem(a answer, status int, code string) Problem {
	b.t.Helper()
	require.Equal(b.t, status, a.StatusCode, "%s", a.body)
	require.Equal(b.t, "application/problem+json", a.Header.Get("Content-Type"), "%s", a.body)
	var p Problem
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	require.NoError(b.t, d.Decode(&p), "%s", a.body)
	require.Equal(b.t, code, p.Code, "%s", a.body)
	require.Equal(b.t, status, p.Status)
	require.Equal(b.t, "urn:recado:error:"+code, p.Type)
	require.NotEmpty(b.t, p.Title)
	require.NotEmpty(b.t, p.Detail)
	require.NotEmpty(b.t, a.Header.Get("X-Request-Id"))
	require.Equal(b.t, "urn:uuid:"+a.Header.Get("X-Request-Id"), p.Instance)
	return p
}

// ready waits until so many lines can send.
func (b *box) ready(lines int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.pool.Ready() == lines }, 20*time.Second, 10*time.Millisecond)
}

// until asks for a message until it is in a state.
func (b *box) until(id, state string) map[string]any {
	b.t.Helper()
	var m map[string]any
	require.Eventually(b.t, func() bool {
		m = b.do("GET", v1+"/messages/"+id, nil).json(b.t)
		return m["state"] == state
	}, 20*time.Second, 10*time.Millisecond, "%v", m)
	return m
}

// cookie signs a person of a role in and gives the cookie.
func (b *box) cookie(role auth.Role) string {
	b.t.Helper()
	name := "the " + string(role)
	p, err := b.auth.CreatePerson(context.Background(), name, role, "correct horse battery")
	require.NoError(b.t, err)
	r := httptest.NewRequest("POST", "/login", nil)
	w := httptest.NewRecorder()
	require.NoError(b.t, b.s.signIn(b.s.echo.NewContext(r, w), p))
	c := w.Result().Cookies()[0]
	require.True(b.t, c.HttpOnly)
	return c.Name + "=" + c.Value
}

type echoContext = echo.Context

// request is a request as Echo hands it to the gate, from the box itself.
func (b *box) request(method, path string, headers ...string) echo.Context {
	r := httptest.NewRequest(method, "http://localhost"+path, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	c := b.s.echo.NewContext(r, httptest.NewRecorder())
	c.SetPath(path)
	return c
}

type netipAddr = netip.Addr

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }
