package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

func noAddresses() ([]netip.Addr, error) { return nil, nil }

func TestAddresses(t *testing.T) {
	own := netip.MustParseAddr("192.168.7.7")
	g := &guard{own: func() ([]netip.Addr, error) { return []netip.Addr{own}, nil }}
	open := &guard{loopback: true, own: g.own}
	const (
		public  = iota // anybody
		private        // with allow_private
		box            // with allow_private and --webhook-loopback
		never
	)
	for text, who := range map[string]int{
		"8.8.8.8": public, "1.1.1.1": public, "2606:4700::1111": public, "::ffff:8.8.8.8": public,
		"64:ff9b::8.8.8.8": public, "2002:808:808::1": public, "172.15.0.1": public, "172.32.0.1": public, "100.128.0.1": public, "11.0.0.1": public,

		"10.0.0.1": private, "172.16.0.1": private, "172.31.255.255": private, "192.168.1.1": private, "100.64.0.1": private,
		"fd12:3456::1": private, "fc00::1": private, "::ffff:10.0.0.1": private, "64:ff9b::10.0.0.1": private, "64:ff9b::c0a8:101": private,
		"2002:c0a8:101::1": private,

		"127.0.0.1": box, "127.1.2.3": box, "::1": box, "::ffff:127.0.0.1": box, "64:ff9b::127.0.0.1": box, "64:ff9b::7f00:1": box,
		"2002:7f00:1::": box, "192.168.7.7": box, "::ffff:192.168.7.7": box, "64:ff9b::192.168.7.7": box,

		"0.0.0.0": never, "0.1.2.3": never, "::": never, "255.255.255.255": never, "240.0.0.1": never, "224.0.0.1": never, "239.1.1.1": never,
		"ff02::1": never, "ff0e::1": never, "169.254.1.1": never, "169.254.169.254": never, "::ffff:169.254.169.254": never,
		"64:ff9b::169.254.169.254": never, "64:ff9b::a9fe:a9fe": never, "2002:a9fe:a9fe::1": never, "fe80::1": never, "fe80::1%eth0": never, "fd00:ec2::254": never,
		"fd20:ce::254": never, "100.100.100.200": never, "168.63.129.16": never, "192.0.0.192": never, "192.0.2.1": never, "198.51.100.1": never,
		"203.0.113.1": never, "198.18.0.1": never, "2001:db8::1": never, "2001::1": never, "::127.0.0.1": never, "::8.8.8.8": never,
		"fec0::1": never, "64:ff9b:1::7f00:1": never, "100::1": never, "::ffff:0:127.0.0.1": never, "4000::1": never,
	} {
		ip := netip.MustParseAddr(text)
		for _, try := range []struct {
			g       *guard
			private bool
			least   int
		}{{g, false, public}, {open, false, public}, {g, true, private}, {open, true, box}} {
			err := try.g.check(ip, try.private)
			if who <= try.least {
				require.NoError(t, err, "%s private=%v loopback=%v", text, try.private, try.g.loopback)
			} else {
				require.ErrorIs(t, err, ErrRefused, "%s private=%v loopback=%v", text, try.private, try.g.loopback)
			}
		}
	}
	require.ErrorIs(t, g.check(netip.Addr{}, true), ErrRefused)
	blind := &guard{own: func() ([]netip.Addr, error) { return nil, errors.New("no interfaces") }}
	require.Error(t, blind.check(netip.MustParseAddr("8.8.8.8"), true), "who does not know its own addresses connects to none")
}

func TestURLs(t *testing.T) {
	g := &guard{own: noAddresses}
	for text, private := range map[string]bool{
		"https://example.org/hook?x=1": false, "https://example.org": false, "https://example.org:8443/": false, "https://EXAMPLE.org.:443/": false,
		"https://8.8.8.8/": false, "https://[2606:4700::1111]/": false, "https://example.org:80/": false, "https://xn--maana-pta.example/": false,
		"http://example.org/": true, "http://192.168.1.10:3000/x": true, "https://10.0.0.1:9443/": true, "http://nas:8080/": true, "http://nas.local:65535/": true,
	} {
		_, err := g.checkURL(text, true)
		require.NoError(t, err, text)
		_, err = g.checkURL(text, false)
		if private {
			require.Error(t, err, text)
		} else {
			require.NoError(t, err, text)
		}
	}
	for _, text := range []string{
		"", "example.org", "//example.org", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org:70/", "unix:///run/x", "https:example.org",
		"https://", "https:///x", "https://user@example.org/", "https://user:pass@example.org/", "https://example.org/#x", "https://exa mple.org/",
		"https://mañana.example/", "https://example.org:22/", "https://example.org:0/", "https://example.org:1023/", "https://example.org:70000/",
		"https://example..org/", "https://.example.org/", "https://exam%70le.org/", "https://example.org\\@127.0.0.1/",
		"https://localhost/", "https://LOCALHOST./", "https://a.localhost:8443/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:7f00:1]/",
		"https://2130706433/", "https://0x7f000001/", "https://0x7F.0.0.1/", "https://0177.0.0.1/", "https://017700000001/", "https://127.1/", "https://127.0.1/",
		"https://0/", "https://0x/", "https://[fe80::1%25eth0]/", "https://[64:ff9b::7f00:1]/", "https://169.254.169.254/latest", "https://[fd00:ec2::254]/",
		"https://256.1.1.1/", "https://1.2.3.4.5/", "https://example.123/", "https://192.168.1.010/", "https://example.org\n/", "https://example.org/\r\nHost:x",
		"https://" + strings.Repeat("a", 2000) + ".org/",
	} {
		_, err := g.checkURL(text, true)
		_, is := errors.AsType[*queue.Invalid](err)
		require.True(t, is, "%q: %v", text, err)
	}
	open := &guard{loopback: true, own: noAddresses}
	for _, text := range []string{"http://localhost:9000/", "http://127.0.0.1:9000/", "http://[::1]:9000/"} {
		_, err := open.checkURL(text, true)
		require.NoError(t, err, text)
		_, err = open.checkURL(strings.Replace(text, "http:", "https:", 1), false)
		require.Error(t, err, "%s without allow_private", text)
	}
}

// FuzzURL: whatever is entered, an accepted URL is one that net/url and the guard
// read alike, with a host that is a name or an allowed address.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"https://example.org/", "http://10.0.0.1:8080/", "https://[::ffff:127.0.0.1]/", "https://0x7f.1/", "https://a@b/", "https://[64:ff9b::1]:443", "https://%31/"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	g := &guard{own: noAddresses}
	f.Fuzz(func(t *testing.T, text string, private bool) {
		u, err := g.checkURL(text, private)
		if err != nil {
			return
		}
		again, err := url.Parse(text)
		if err != nil || again.Host != u.Host || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !private) {
			t.Fatalf("%q became %v", text, u)
		}
		if _, err := http.NewRequest(http.MethodPost, text, nil); err != nil {
			t.Fatalf("%q cannot be called: %v", text, err)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if ip, err := netip.ParseAddr(host); err == nil {
			if g.check(ip, private) != nil {
				t.Fatalf("%q names a refused address", text)
			}
		} else if ip := net.ParseIP(host); ip != nil {
			t.Fatalf("%q is an address for others", text)
		}
	})
}

// names is a resolver that a test makes up.
type names func(host string) []netip.Addr

func (f names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if list := f(host); list != nil {
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// TestDialChecksTheVeryAddress: what a name means is decided once, and looked at
// right before the connection: a name that is harmless when it is entered and not
// when it is called gains nothing.
func TestDialChecksTheVeryAddress(t *testing.T) {
	var hits atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	home := netip.MustParseAddr("127.0.0.1")

	asked := 0
	rebinding := names(func(string) []netip.Addr {
		if asked++; asked == 1 {
			return []netip.Addr{netip.MustParseAddr("192.168.99.99")}
		}
		return []netip.Addr{home}
	})
	_, err = rebinding.LookupNetIP(t.Context(), "ip", "rebind.example") // as somebody who checked before would
	require.NoError(t, err)
	for name, d := range map[string]dialer{
		"rebinding":    {&guard{own: noAddresses}, true, rebinding},
		"mapped":       {&guard{own: noAddresses}, true, names(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")} })},
		"two":          {&guard{own: noAddresses}, true, names(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("::1"), home} })},
		"unspecified":  {&guard{own: noAddresses}, true, names(func(string) []netip.Addr { return []netip.Addr{netip.MustParseAddr("0.0.0.0")} })},
		"own":          {&guard{own: func() ([]netip.Addr, error) { return []netip.Addr{home}, nil }}, true, names(func(string) []netip.Addr { return []netip.Addr{home} })},
		"not private":  {&guard{loopback: true, own: noAddresses}, false, names(func(string) []netip.Addr { return []netip.Addr{home} })},
		"the system's": {&guard{own: noAddresses}, true, net.DefaultResolver},
	} {
		host := "rebind.example"
		if name == "the system's" {
			host = "localhost"
		}
		client := newClient(d, nil)
		_, err := client.Get("http://" + net.JoinHostPort(host, port))
		require.ErrorIs(t, err, ErrRefused, name)
		client.CloseIdleConnections()
	}
	// As a resolver may read them, beside what checkURL refuses.
	for _, host := range []string{"127.1", "0x7f000001", "2130706433", "0177.0.0.1"} {
		client := newClient(dialer{&guard{own: noAddresses}, true, net.DefaultResolver}, nil)
		_, err := client.Get("http://" + net.JoinHostPort(host, port))
		require.Error(t, err, host)
	}
	require.Zero(t, hits.Load())

	// With the flag and the switch it is reached: the refusals above were ours.
	client := newClient(dialer{&guard{loopback: true, own: noAddresses}, true, names(func(string) []netip.Addr { return []netip.Addr{home} })}, nil)
	resp, err := client.Get("http://" + net.JoinHostPort("rebind.example", port))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	client.CloseIdleConnections()
	require.EqualValues(t, 1, hits.Load())
	_, err = client.Get("http://rebind.example:22/")
	require.ErrorIs(t, err, ErrRefused, "ports are checked there too")
}

// TestRedirectsAndProxiesAreNotFollowed.
func TestRedirectsAndProxiesAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, other.URL)
	}
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.says(func(w http.ResponseWriter, _ request) {
		w.Header().Set("Location", other.URL)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	e := b.add(s, "*")
	d, err := b.o.Test(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, Failed, d.State)
	require.Equal(t, 307, d.Status)
	require.Contains(t, d.Error, "redirects are not followed")
	require.Zero(t, elsewhere.Load())
}

// TestAnswersAreNotKept: of an endless answer 64 KiB are read.
func TestAnswersAreNotKept(t *testing.T) {
	b := newBench(t)
	s := newSink(t)
	over := make(chan int, 1)
	s.says(func(w http.ResponseWriter, _ request) {
		n := 0
		for ; n < 64<<20; n += 32 << 10 {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				break
			}
		}
		over <- n
	})
	e := b.add(s, "*")
	d, err := b.o.Test(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, Delivered, d.State)
	require.Less(t, <-over, 32<<20)
	b.o.private.CloseIdleConnections()
}

// TestPrivateConnectionsAreNotShared: what one webhook was allowed to open
// another, which is not, does not use.
func TestPrivateConnectionsAreNotShared(t *testing.T) {
	b := newBench(t)
	s := newSink(t)
	e := b.add(s, "*")
	_, err := b.o.Test(t.Context(), e.ID)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.http.URL, nil)
	require.NoError(t, err)
	_, err = b.o.public.Do(request)
	require.ErrorIs(t, err, ErrRefused)
	b.o.private.CloseIdleConnections()
}

func TestWhatIsRefusedIsSaid(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Loopback = false
		o.Resolver = names(func(host string) []netip.Addr {
			if host == "home.example" {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
			}
			return nil
		})
	})
	for host, says := range map[string]string{"home.example": "--webhook-loopback", "nobody.example": "no such name"} {
		e, _, err := b.o.Create(t.Context(), Endpoint{URL: fmt.Sprintf("https://%s/", host), Events: []string{"*"}, Active: true, AllowPrivate: true})
		require.NoError(t, err)
		d, err := b.o.Test(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, Failed, d.State)
		require.Contains(t, d.Error, says)
		require.NotContains(t, d.Error, "dial tcp")
	}
}

func TestPatterns(t *testing.T) {
	for _, wrong := range [][]string{nil, {""}, {"message"}, {"message."}, {"mess*"}, {"message.*.x"}, {"*.*"}, {"nothing.*"}, {"message.sent "}, {"**"}, make([]string, 40)} {
		_, err := checkPatterns(wrong)
		require.Error(t, err, "%q", wrong)
	}
	list, err := checkPatterns([]string{"message.*", "inbound.received", "message.*"})
	require.NoError(t, err)
	require.Equal(t, []string{"message.*", "inbound.received"}, list)
	require.True(t, wanted([]string{"sim.*"}, "sim.limit"))
	require.True(t, wanted([]string{"*"}, "modem.state"))
	require.False(t, wanted([]string{"*"}, typeTest))
	require.False(t, wanted([]string{"sim.*"}, "simx.limit"))
	require.False(t, wanted([]string{"message.sent"}, "message.sent_twice"))
}

func TestSchedule(t *testing.T) {
	require.Equal(t, 10*time.Second, gap(1))
	require.Equal(t, 20*time.Second, gap(2))
	require.Equal(t, 24*time.Hour, gap(15))
	require.Equal(t, 24*time.Hour, gap(1000))
	require.Zero(t, pause(4))
	for n := 1; n < 100; n++ {
		require.LessOrEqual(t, pause(n), gap(n)*8/10, "a pause never holds a delivery of its own up")
		w := jitter(gap(n))
		require.GreaterOrEqual(t, w, gap(n)*9/10)
		require.LessOrEqual(t, w, gap(n)*11/10)
	}
	_, again := next(0, giveUp.Milliseconds(), 3, 0)
	require.False(t, again)
	tick, again := next(0, (71 * time.Hour).Milliseconds(), 16, 0)
	require.True(t, again)
	require.Equal(t, giveUp.Milliseconds(), tick)
	tick, _ = next(0, 0, 1, 2*time.Hour)
	require.Equal(t, (2 * time.Hour).Milliseconds(), tick)
	date := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999999": longestGap, "100000000": longestGap,
		date.Add(time.Minute).Format(http.TimeFormat): time.Minute, date.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {text}, "Date": {date.Format(http.TimeFormat)}}), text)
	}
	require.Zero(t, retryAfter(http.Header{"Retry-After": {date.Format(http.TimeFormat)}}))
}
