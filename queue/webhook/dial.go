package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	connectLimit = 5 * time.Second
	totalLimit   = 10 * time.Second
	// maxAnswer is what is read of an answer, and thrown away, so that the
	// connection can be used again.
	maxAnswer = 64 << 10
	maxHeader = 16 << 10
)

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to what the guard allows.
type dialer struct {
	guard    *guard
	private  bool
	resolver Resolver
}

// dial resolves the name once and tries its addresses in turn, each with its
// share of the time. Control sees the very address that is connected to: a name
// that resolves otherwise the next time gains nothing.
func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	var list []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		list = []netip.Addr{ip}
	} else if list, err = d.resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	var errs []error
	for i, ip := range list {
		share := connectLimit
		if end, ok := ctx.Deadline(); ok {
			share = time.Until(end) / time.Duration(len(list)-i)
		}
		one := net.Dialer{Timeout: share, Control: d.control}
		conn, err := one.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return nil, errors.Join(errs...)
}

// control is called for each address right before it is connected to.
func (d dialer) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrRefused, address)
	}
	if !allowedPort(int(to.Port()), d.private) {
		return fmt.Errorf("%w: port %d", ErrRefused, to.Port())
	}
	return d.guard.check(to.Addr(), d.private)
}

// newClient makes the client of endpoints that may, or may not, reach private
// networks: what one kind has connected to the other does not use. No proxy is
// asked, whatever the environment says, and no redirect is followed.
func newClient(d dialer, config *tls.Config) *http.Client {
	return &http.Client{
		Timeout:       totalLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: d.dial, TLSClientConfig: config, TLSHandshakeTimeout: connectLimit,
			DisableCompression: true, MaxResponseHeaderBytes: maxHeader, MaxIdleConnsPerHost: 2, MaxIdleConns: 2 * MaxEndpoints,
			IdleConnTimeout: 30 * time.Second, MaxConnsPerHost: maxTotal,
		},
	}
}
