package webui

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/webui/auth"
)

// listener reads a stream of events.
type listener struct {
	t    *testing.T
	resp *http.Response
	got  chan [3]string // id, event, data
	end  chan struct{}
}

// listen opens the stream and waits for its first words: what happens after it
// returns is told.
func (b *box) listen(headers ...string) *listener {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", b.http.URL+v1+"/events", nil)
	require.NoError(b.t, err)
	req.Header.Set("X-API-Key", b.admin)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.http.Client().Do(req)
	require.NoError(b.t, err)
	require.Equal(b.t, 200, resp.StatusCode)
	require.Contains(b.t, resp.Header.Get("Content-Type"), "text/event-stream")
	l := &listener{t: b.t.(*testing.T), resp: resp, got: make(chan [3]string, 100), end: make(chan struct{})}
	hello := make(chan struct{})
	go func() {
		defer close(l.end)
		defer resp.Body.Close()
		var e [3]string
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case lines.Text() == ": hello":
				close(hello)
			case name == "id":
				e[0] = value
			case name == "event":
				e[1] = value
			case name == "data":
				e[2] = value
			case lines.Text() == "" && e[0] != "":
				select {
				case l.got <- e:
				case <-ctx.Done():
				}
				e = [3]string{}
			}
		}
	}()
	<-hello
	b.t.Cleanup(func() { cancel(); <-l.end })
	return l
}

func (l *listener) next() (id, event string, data Event) {
	l.t.Helper()
	select {
	case e := <-l.got:
		require.NoError(l.t, json.Unmarshal([]byte(e[2]), &data))
		require.Equal(l.t, e[1], data.Type)
		return e[0], e[1], data
	case <-time.After(10 * time.Second):
		l.t.Fatal("no event")
	}
	return
}

func TestEventsAreToldAndResumed(t *testing.T) {
	b := newBox(t, 0)
	emit := func(typ string, n int) {
		require.NoError(t, b.s.store.Emit(t.Context(), typ, map[string]int{"n": n}))
	}
	emit("system.test", 0)
	l := b.listen()
	emit("message.sent", 1)
	emit("inbound.received", 2)
	id, typ, e := l.next()
	require.Equal(t, "message.sent", typ, "from now on: what was before is not told")
	require.Equal(t, "2", id)
	require.Equal(t, int64(2), e.Sequence)
	require.JSONEq(t, `{"n":1}`, string(e.Data))
	require.WithinDuration(t, time.Now(), e.Timestamp, time.Minute)
	_, typ, _ = l.next()
	require.Equal(t, "inbound.received", typ)

	// Away for a while: more than a batch is missed.
	for i := range eventBatch + 20 {
		emit("message.delivered", i)
	}
	again := b.listen("Last-Event-ID", "2")
	for want := int64(3); want <= 2+1+eventBatch+20; want++ {
		_, _, e := again.next()
		require.Equal(t, want, e.Sequence)
	}
	b.problem(b.do("GET", v1+"/events", nil, "Last-Event-ID", "x"), 422, "invalid")
}

func TestEventsNeedAScope(t *testing.T) {
	b := newBox(t, 0)
	b.problem(b.do("GET", v1+"/events", nil, "Authorization", ""), 401, "unauthorized")
	b.problem(b.do("GET", v1+"/events", nil, "X-API-Key", b.key(auth.MessagesSend)), 403, "forbidden")
	l := b.listen("X-API-Key", b.key(auth.InboxRead))
	for _, typ := range []string{"message.sent", "sim.state", "contact.opted_out", "campaign.started", "something.new", "inbound.received"} {
		require.NoError(t, b.s.store.Emit(t.Context(), typ, nil))
	}
	_, typ, _ := l.next()
	require.Equal(t, "inbound.received", typ, "and nothing before it")
	require.NoError(t, b.s.store.Emit(t.Context(), "system.test", nil))
	_, typ, _ = l.next()
	require.Equal(t, "system.test", typ)
}

func TestStreamsEndAtShutdown(t *testing.T) {
	b := newBox(t, 0)
	l := b.listen()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, b.http.Config.Shutdown(ctx), "does not wait for streams for ever")
	<-l.end
	_, err := b.s.streams.open("x")
	require.Error(t, err)
}

func TestStreamsAreBounded(t *testing.T) {
	s := newStreams()
	var release []func()
	for range maxStreamsOne {
		f, err := s.open("key:a")
		require.NoError(t, err)
		release = append(release, f)
	}
	_, err := s.open("key:a")
	require.Error(t, err)
	release[0]()
	release[0]() // once counts
	f, err := s.open("key:a")
	require.NoError(t, err)
	_, err = s.open("key:a")
	require.Error(t, err)
	f()
	for _, f := range release[1:] {
		f()
	}
	s.close()
	require.Empty(t, s.by)
}

// TestARevokedKeyHearsNoMore asks the question that every heartbeat asks.
func TestARevokedKeyHearsNoMore(t *testing.T) {
	b := newBox(t, 0)
	secret, key, err := b.auth.CreateKey(t.Context(), auth.NewKey{Name: "k", Scopes: []auth.Scope{auth.MessagesRead}})
	require.NoError(t, err)
	still := func(headers ...string) bool {
		var answer bool
		c := b.request("GET", v1+"/status", headers...)
		require.NoError(t, b.s.gate(func(echoContext) error { answer = b.s.still(c); return nil })(c))
		return answer
	}
	require.True(t, still("X-API-Key", secret))
	c := b.request("GET", v1+"/status", "X-API-Key", secret)
	require.NoError(t, b.s.gate(func(echoContext) error {
		require.NoError(t, b.auth.RevokeKey(t.Context(), key.ID))
		require.False(t, b.s.still(c))
		return nil
	})(c))
	cookie := b.cookie(auth.RoleReader)
	require.True(t, still("Cookie", cookie))
	c = b.request("GET", v1+"/status", "Cookie", cookie)
	require.NoError(t, b.s.gate(func(echoContext) error {
		b.clock.pass(sessionIdle + 2*time.Second)
		require.False(t, b.s.still(c), "an open page is no activity")
		return nil
	})(c))
}

// TestASlowReaderIsDropped: who does not read holds nothing for long.
func TestASlowReaderIsDropped(t *testing.T) {
	b := newBox(t, 0)
	b.s.streams.slowest = 200 * time.Millisecond
	conn, err := net.Dial("tcp", b.http.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1024))
	_, err = conn.Write([]byte("GET " + v1 + "/events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + b.admin + "\r\n\r\n"))
	require.NoError(t, err)
	open := func() int {
		b.s.streams.mu.Lock()
		defer b.s.streams.mu.Unlock()
		return b.s.streams.count
	}
	require.Eventually(t, func() bool { return open() == 1 }, 5*time.Second, time.Millisecond)
	big := strings.Repeat("x", 200_000)
	for range 100 { // 20 MB: more than any buffer between us
		require.NoError(t, b.s.store.Emit(t.Context(), "system.test", big))
	}
	require.Eventually(t, func() bool { return open() == 0 }, 5*time.Second, 10*time.Millisecond)
}
