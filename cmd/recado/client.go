package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// client asks an appliance over its control socket: the running daemon's, or, when none
// runs, one in this process (see attach). It implements console.API.
type client struct {
	http *http.Client
	// alone: no daemon runs, nothing is sent until one does.
	alone bool
}

// problem is what the appliance says when it does not do what was asked (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

func (p *problem) Error() string {
	text := p.Detail
	if text == "" {
		text = strings.ToLower(p.Title)
	}
	for _, e := range p.Errors {
		if e.Message != "" && !strings.Contains(text, e.Message) {
			text += ": " + e.Message
		}
	}
	return text
}

// Do sends in as JSON (nil: no body) and reads the answer into out (nil: not wanted). What
// the appliance refuses is a *problem.
func (c *client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	answer, err := c.roundTrip(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return fmt.Errorf("read the appliance's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// Stream reads an answer that goes on until ctx ends or the daemon stops.
func (c *client) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	if c.alone {
		return nil, errNoDaemon
	}
	answer, err := c.roundTrip(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Alone says that no daemon runs on this data.
func (c *client) Alone() bool { return c.alone }

var errNoDaemon = errors.New("no recado is running on this data: start it with recado serve")

func (c *client) roundTrip(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the running recado: %w", plain(err))
	}
	if answer.StatusCode < 400 {
		return answer, nil
	}
	defer answer.Body.Close()
	p := &problem{Status: answer.StatusCode, Title: answer.Status}
	// An answer that is no problem+json keeps the status line as its text.
	_ = json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(p)
	return nil, p
}

// plain takes off what net/http says of an address that is none, and of a socket that is gone.
func plain(err error) error {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return errNoDaemon
	}
	return err
}

// attach finds the daemon that works on the data, or opens the data under its lock when none
// runs. create makes a folder that is not there. The closer must be closed at the end.
func attach(ctx context.Context, dir dataDir, phones phoneFlag, create bool) (*client, io.Closer, error) {
	if c := dialDaemon(dir); c != nil {
		return c, c, nil
	}
	if !create && !dir.exists() {
		return nil, nil, fmt.Errorf("there is no appliance's data in %s: name its folder with --data, or start it with recado serve --data %s", dir, dir)
	}
	if err := dir.create(); err != nil {
		return nil, nil, err
	}
	if err := dir.becomeOwner(); err != nil {
		return nil, nil, err
	}
	lock, err := dir.lock()
	if locked, ok := errors.AsType[*lockedError](err); ok {
		// It may have come up since.
		if c := dialDaemon(dir); c != nil {
			return c, c, nil
		}
		return nil, nil, fmt.Errorf("recado (PID %d) has %s but does not answer: it is starting or stopping, try again in a moment", locked.pid, dir)
	}
	if err != nil {
		return nil, nil, err
	}
	return attachAlone(ctx, dir, phones, lock)
}

// dialDaemon is a client of the running daemon, nil when there is none.
func dialDaemon(dir dataDir) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", dir.socket())
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w: run this as root or as the user that runs recado", err)
		}
		return conn, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := dial(ctx, "", "")
	// A socket that nobody may open still belongs to a daemon: let the first request say so.
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if conn != nil {
		conn.Close()
	}
	return &client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close ends idle connections.
func (c *client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}
