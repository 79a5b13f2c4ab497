package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"recado/cmd/recado/console"
	"recado/pool"
	"recado/webui"
)

// attachAlone opens the data in this process: the same handlers as the daemon's control
// socket, without modems and without a port. What is sent waits for the daemon.
func attachAlone(ctx context.Context, dir dataDir, phones phoneFlag, lock io.Closer) (*client, io.Closer, error) {
	down := &teardown{log: slog.New(slog.DiscardHandler)}
	down.add("lock", func(context.Context) error { return lock.Close() })
	closer := closeFunc(func() error { return down.run(context.Background()) })

	// What matters here comes back as an answer; a log would only be noise on a terminal.
	log := slog.New(slog.DiscardHandler)
	clock := newClock(false)
	kept, err := openStores(ctx, dir, phones, clock, log, nil)
	if err != nil {
		return nil, nil, errors.Join(err, closer())
	}
	down.add("database", func(context.Context) error { return kept.db.Close() })
	lines := pool.New(pool.Options{Store: kept.queue, Inbox: kept.inbox, Clock: clock, Log: log})
	web, err := webui.New(webui.Options{
		Store: kept.queue, Inbox: kept.inbox, Pool: lines, Auth: kept.auth,
		Clock: clock, Log: log, Version: versionText(), Storage: dir.room,
		Care: dir.care(kept, clock, nil),
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("prepare the data's handlers: %w", err), closer())
	}
	looked := &ward{pool: lines, db: kept.db, dir: dir}
	local := &control{auth: kept.auth, pool: lines, book: newLogbook(), ward: looked, info: func(*http.Request) (console.Info, error) {
		return console.Info{Version: versionText(), Host: hostname(), Addresses: []string{}, PID: os.Getpid(),
			Paused: lines.Paused(), ClockTrusted: clock.Trusted()}, nil
	}}
	transport := inProcess{local.handler(web.Local())}
	return &client{http: &http.Client{Transport: transport, Timeout: time.Minute}, alone: true}, closer, nil
}

type closeFunc func() error

func (f closeFunc) Close() error { return f() }

// inProcess asks a handler without a network between.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := r.Clone(r.Context())
	asked.RequestURI = r.URL.RequestURI()
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	defer asked.Body.Close()
	got := &answerBuffer{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(got, asked)
	return &http.Response{
		Status: fmt.Sprintf("%d %s", got.status, http.StatusText(got.status)), StatusCode: got.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: got.header, Body: io.NopCloser(&got.body), ContentLength: int64(got.body.Len()), Request: r,
	}, nil
}

// answerBuffer is an http.ResponseWriter that keeps the answer.
type answerBuffer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answerBuffer) Header() http.Header { return a.header }

func (a *answerBuffer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answerBuffer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}
