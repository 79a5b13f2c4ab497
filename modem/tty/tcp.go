package tty

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// dial opens tcp:HOST:PORT, a modem behind a terminal server or an emulated one.
func dial(ctx context.Context, name, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("open port %s: %w; write tcp:HOST:PORT, or tcp:[ADDRESS]:PORT for IPv6", name, ErrName)
	}
	// A peer that vanished without a word is noticed within half a minute.
	d := net.Dialer{
		Timeout:         10 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	switch {
	case err == nil:
		return &deadlineConn{Conn: conn, limit: writeTimeout}, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("open port %s: %w", name, context.Cause(ctx))
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("open port %s: %w: connection refused, nothing listens there", name, ErrAbsent)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return nil, fmt.Errorf("open port %s: %w: host not found (%s)", name, ErrAbsent, dns.Err)
	}
	return nil, fmt.Errorf("open port %s: %w: %w", name, ErrAbsent, err)
}

// deadlineConn gives every write a deadline.
type deadlineConn struct {
	net.Conn
	limit time.Duration
}

func (c *deadlineConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
