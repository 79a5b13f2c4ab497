package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryReasonHasACode: what is kept of a failure is found again by its words,
// and nothing else is taken for it.
func TestEveryReasonHasACode(t *testing.T) {
	for i, r := range reasons {
		what := ""
		if r.varies {
			what = fmt.Sprint("x", i)
		}
		code, got := Reason(r.of(what))
		require.Equal(t, r.code, code, r.of(what))
		require.Equal(t, what, got)
	}
	for _, text := range []string{"", "it answered ", "no connection", "webhooks do not go to this address (", "the end"} {
		code, what := Reason(text)
		require.Empty(t, code, text)
		require.Empty(t, what, text)
	}
}

// TestWhatGoesWrongHasACode goes through the errors that net and the guard give.
func TestWhatGoesWrongHasACode(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	refused := func(ip string, private bool) error {
		g := guard{own: func() ([]netip.Addr, error) { return nil, nil }}
		err := g.check(netip.MustParseAddr(ip), private)
		require.Error(t, err, ip)
		return dial(err)
	}
	for _, c := range []struct {
		err        error
		code, what string
	}{
		{&net.DNSError{Name: "x", IsNotFound: true}, "no_name", ""},
		{&net.DNSError{Name: "x", IsTemporary: true}, "lookup", ""},
		{x509.HostnameError{Certificate: &x509.Certificate{}}, "cert_host", ""},
		{x509.UnknownAuthorityError{}, "cert_unknown", ""},
		{&tls.CertificateVerificationError{Err: errors.New("expired")}, "cert", ""},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "closed", ""},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no_route", ""},
		{dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), "offline", ""},
		{dial(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)), "dial", "cannot assign requested address"},
		{dial(os.ErrDeadlineExceeded), "no_connection", ""},
		{context.DeadlineExceeded, "slow", ""},
		{errors.New("unexpected EOF"), "broken", ""},
		{dial(fmt.Errorf("%w: port 22", ErrRefused)), "refused", ""},
		{refused("127.0.0.1", true), "own", "127.0.0.1"},
		{refused("10.0.0.1", false), "private", "10.0.0.1"},
		{refused("169.254.1.1", true), "special", "169.254.1.1"},
		{refused("224.0.0.1", true), "special", "224.0.0.1"},
		{refused("4000::1", true), "special", "4000::1"},
	} {
		text := explain(&url.Error{Op: "Post", URL: "https://example.org/secret", Err: c.err})
		code, what := Reason(text)
		require.Equal(t, c.code, code, text)
		require.Equal(t, c.what, what, text)
		require.NotContains(t, text, "secret")
	}
}
