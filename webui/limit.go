package webui

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits on connections: sixteen thousand half-open ones are the oldest trick.
const (
	maxConns      = 512
	maxConnsPerIP = 32 // not counted on the box itself
)

// Limit keeps the number of open connections bounded, in all and from one
// address. One too many is closed at once.
func Limit(l net.Listener) net.Listener {
	return &limited{Listener: l, all: maxConns, each: maxConnsPerIP, byIP: map[netip.Addr]int{}}
}

type limited struct {
	net.Listener
	all, each int

	mu   sync.Mutex
	open int
	byIP map[netip.Addr]int
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var ip netip.Addr
		if addr, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			ip = addr.AddrPort().Addr().Unmap()
		}
		if l.take(ip) {
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.give(ip) })}, nil
		}
		conn.Close()
	}
}

func (l *limited) take(ip netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.all || !ip.IsLoopback() && l.byIP[ip] >= l.each {
		return false
	}
	l.open++
	l.byIP[ip]++
	return true
}

func (l *limited) give(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byIP[ip]--; l.byIP[ip] == 0 {
		delete(l.byIP, ip)
	}
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// failures slows down who sends wrong credentials: ten at once, then one in six
// seconds, for each address.
type failures struct {
	mu   sync.Mutex
	byIP map[netip.Addr]*rate.Limiter
}

func newFailures() *failures { return &failures{byIP: map[netip.Addr]*rate.Limiter{}} }

const failureBurst = 10

// add counts one and tells how long to wait; 0: not yet too many.
func (f *failures) add(ip netip.Addr) time.Duration {
	if ip.Is6() { // a whole /64 is one customer
		if p, err := ip.Prefix(64); err == nil {
			ip = p.Addr()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.byIP) >= 4096 { // strangers do not decide how much memory this takes
		clear(f.byIP)
	}
	l := f.byIP[ip]
	if l == nil {
		l = rate.NewLimiter(rate.Every(6*time.Second), failureBurst)
		f.byIP[ip] = l
	}
	if l.Allow() {
		return 0
	}
	return 6 * time.Second
}
