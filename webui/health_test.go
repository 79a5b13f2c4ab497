package webui

import (
	"context"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/webui/auth"
)

func TestHealth(t *testing.T) {
	extra := []Check{}
	b := newBox(t, 1, func(o *Options) { o.Checks = func(context.Context) []Check { return extra } })
	b.ready(1)
	a := b.do("GET", "/health/live", nil, "Authorization", "")
	require.Equal(t, 200, a.StatusCode)
	require.JSONEq(t, `{"status":"pass"}`, string(a.body))
	require.Equal(t, 200, b.do("HEAD", "/health/ready", nil, "Authorization", "").StatusCode)

	ready := func() (int, map[string]any) {
		a := b.do("GET", "/health/ready", nil, "Authorization", "")
		return a.StatusCode, a.json(t)
	}
	status, h := ready()
	require.Equal(t, 200, status)
	require.Equal(t, "pass", h["status"])
	require.NoError(t, b.pool.Pause(t.Context()))
	status, h = ready()
	require.Equal(t, 200, status)
	require.Equal(t, "warn", h["status"])
	b.clock.mu.Lock()
	b.clock.doubts = true
	b.clock.mu.Unlock()
	_, h = ready()
	require.Contains(t, h["checks"], map[string]any{"name": "clock", "status": "warn", "detail": "the clock cannot be trusted yet: nothing scheduled is sent"})
	extra = []Check{{"storage", Fail, "the disk is full"}}
	status, h = ready()
	require.Equal(t, 503, status)
	require.Equal(t, "fail", h["status"])

	// A stranger elsewhere learns that something is wrong, not what.
	r := httptest.NewRequest("GET", "http://localhost/health/ready", nil)
	r.RemoteAddr = "192.168.1.50:1234"
	w := httptest.NewRecorder()
	b.s.Handler().ServeHTTP(w, r)
	require.Equal(t, 503, w.Code)
	require.NotContains(t, w.Body.String(), "the disk is full")
	require.Contains(t, w.Body.String(), "storage")
}

func TestMetricsAreForTheBoxOrAKey(t *testing.T) {
	b := newBox(t, 0)
	ask := func(from, key string) int {
		r := httptest.NewRequest("GET", "http://localhost/metrics", nil)
		r.RemoteAddr = from
		if key != "" {
			r.Header.Set("X-API-Key", key)
		}
		w := httptest.NewRecorder()
		b.s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, 200, ask("127.0.0.1:1", ""))
	require.Equal(t, 200, ask("[::1]:1", ""))
	require.Equal(t, 401, ask("192.168.1.50:1", ""))
	require.Equal(t, 200, ask("192.168.1.50:1", b.key(auth.SIMsRead)))
	text := string(b.do("GET", "/metrics", nil, "Authorization", "").body)
	require.Contains(t, text, `recado_http_request_duration_seconds_count{method="GET",route="/metrics",status="200"}`)
	require.NotContains(t, text, "+34")
}

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &limited{Listener: inner, all: 3, each: 2, byIP: map[netipAddr]int{}}
	require.True(t, l.take(addr("10.0.0.1")))
	require.True(t, l.take(addr("10.0.0.1")))
	require.False(t, l.take(addr("10.0.0.1")), "one address")
	require.True(t, l.take(addr("10.0.0.2")))
	require.False(t, l.take(addr("10.0.0.3")), "in all")
	l.give(addr("10.0.0.1"))
	require.True(t, l.take(addr("127.0.0.1")))
	l.give(addr("127.0.0.1"))
	l.give(addr("10.0.0.1"))
	l.give(addr("10.0.0.2"))
	require.Empty(t, l.byIP)
	for range 3 {
		require.True(t, l.take(addr("127.0.0.1")), "the box itself is bounded only by the whole")
	}
	require.False(t, l.take(addr("127.0.0.1")))
	// One too many is closed at once, and does not stop the others.
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			accepted <- c
		}
		close(accepted)
	}()
	c, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Close())
	l.give(addr("127.0.0.1"))
	c, err = net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	one := <-accepted
	require.NoError(t, one.Close())
	_ = one.Close() // twice gives one place back
	require.NoError(t, c.Close())
	require.NoError(t, inner.Close())
	<-accepted
	require.Equal(t, 2, l.open)
}
