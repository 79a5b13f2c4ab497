package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"recado/queue"
	"recado/queue/sqlite"
)

// TestMain lets the test binary be the program that TestKilledBetweenAnswerAndMark kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(killEnv); path != "" {
		victim(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// hand is a Pulse that a test moves on.
type hand struct {
	mu      sync.Mutex
	elapsed time.Duration
	waiting map[chan time.Time]time.Duration
}

func newHand() *hand { return &hand{waiting: map[chan time.Time]time.Duration{}} }

func (h *hand) Elapsed() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.elapsed
}

func (h *hand) After(d time.Duration) (<-chan time.Time, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan time.Time, 1)
	if d <= 0 {
		c <- time.Time{}
		return c, func() {}
	}
	h.waiting[c] = h.elapsed + d
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.waiting, c)
	}
}

func (h *hand) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.elapsed += d
	for c, when := range h.waiting {
		if when <= h.elapsed {
			delete(h.waiting, c)
			c <- time.Time{}
		}
	}
}

// wall is a wall clock that a test sets.
type wall struct {
	mu     sync.Mutex
	ahead  time.Duration
	doubts bool
}

func (w *wall) Now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return time.Now().Add(w.ahead) }
func (w *wall) Trusted() bool  { w.mu.Lock(); defer w.mu.Unlock(); return !w.doubts }
func (w *wall) set(ahead time.Duration, doubts bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead, w.doubts = ahead, doubts
}

// bench is an outbox over a database, with a hand on its clock.
type bench struct {
	t      testing.TB
	path   string
	db     *sqlite.DB
	queue  *queue.Store
	o      *Outbox
	hand   *hand
	wall   *wall
	change func(*Options)
	stop   func()
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newBench(t testing.TB, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "recado.db"), hand: newHand(), wall: &wall{}, stop: func() {}}
	b.change = func(o *Options) {
		for _, f := range change {
			f(o)
		}
	}
	b.open()
	t.Cleanup(func() { b.shut() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	b.db, err = sqlite.Open(context.Background(), b.path, sqlite.Options{})
	require.NoError(b.t, err)
	b.queue, err = queue.New(context.Background(), b.db, queue.Options{Clock: b.wall})
	require.NoError(b.t, err)
	o := Options{Clock: b.wall, Key: testKey, Loopback: true, Pulse: b.hand}
	b.change(&o)
	b.o, err = New(context.Background(), b.db, b.queue, o)
	require.NoError(b.t, err)
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.o.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	b.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
}

func (b *bench) shut() {
	b.stop()
	require.NoError(b.t, b.db.Close())
}

// again is a restart: the monotonic clock begins anew.
func (b *bench) again() {
	b.t.Helper()
	b.shut()
	b.hand = newHand()
	b.open()
	b.run()
}

// pass lets time pass.
func (b *bench) pass(d time.Duration) { b.hand.advance(d); b.o.look() }

// emit writes events that say their number.
func (b *bench) emit(typ string, from, to int) {
	b.t.Helper()
	require.NoError(b.t, b.db.Write(b.t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for i := from; i < to; i++ {
			if err := b.queue.AppendEvent(tx, typ, map[string]int{"n": i}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// add keeps an endpoint at a sink's address.
func (b *bench) add(s *sink, events ...string) Endpoint {
	b.t.Helper()
	e, secret, err := b.o.Create(b.t.Context(), Endpoint{URL: s.http.URL + "/hook", Events: events, Active: true, AllowPrivate: true})
	require.NoError(b.t, err)
	s.know(b.t, secret)
	return e
}

// until waits for an endpoint's state; what comes over the network comes when it does.
func (b *bench) until(id string, is func(Endpoint) bool) Endpoint {
	b.t.Helper()
	var e Endpoint
	require.Eventually(b.t, func() bool {
		var err error
		e, err = b.o.Get(b.t.Context(), id)
		require.NoError(b.t, err)
		return is(e)
	}, 30*time.Second, 2*time.Millisecond, "%+v", &e)
	return e
}

// request is what arrived at a sink, its signature checked.
type request struct {
	id   string
	body Body
	raw  []byte
	head http.Header
}

func (r request) n() int {
	var v struct{ N int }
	_ = json.Unmarshal(r.body.Data, &v)
	return v.N
}

// sink is a receiver. answer decides what it says.
type sink struct {
	http *httptest.Server
	got  chan request

	mu      sync.Mutex
	checks  []*standardwebhooks.Webhook
	answer  func(w http.ResponseWriter, r request)
	refused []string
}

func newSink(t testing.TB) *sink {
	s := &sink{got: make(chan request, 20_000), answer: func(w http.ResponseWriter, _ request) { w.WriteHeader(http.StatusNoContent) }}
	s.http = httptest.NewServer(s)
	t.Cleanup(func() {
		s.http.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		require.Empty(t, s.refused, "signatures that the library of Standard Webhooks refused")
	})
	return s
}

func (s *sink) know(t testing.TB, secret string) {
	check, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, check)
}

func (s *sink) says(answer func(w http.ResponseWriter, r request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *sink) status(code int) {
	s.says(func(w http.ResponseWriter, _ request) { w.WriteHeader(code) })
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	got := request{id: r.Header.Get("webhook-id"), raw: raw, head: r.Header}
	s.mu.Lock()
	answer := s.answer
	bad := json.Unmarshal(raw, &got.body) != nil || len(s.checks) == 0
	for _, check := range s.checks { // each secret that the endpoint has
		bad = bad || check.VerifyIgnoringTimestamp(raw, r.Header) != nil
	}
	if bad {
		s.refused = append(s.refused, got.id)
	}
	s.mu.Unlock()
	answer(w, got)
	s.got <- got
}

func (s *sink) next(t testing.TB) request {
	t.Helper()
	select {
	case r := <-s.got:
		return r
	case <-time.After(30 * time.Second):
		require.FailNow(t, "nothing arrived")
		return request{}
	}
}

func (s *sink) silent(t testing.TB) {
	t.Helper()
	require.Empty(t, s.got)
}
