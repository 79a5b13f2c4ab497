package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"recado/queue"
)

// ErrRefused: Recado does not connect to that address, whoever asks.
var ErrRefused = errors.New("webhooks do not go to this address")

const maxURL = 2000

// BadURL is an address that cannot be an endpoint's. It is a queue.Invalid.
type BadURL struct {
	Code   string // stable: length, ascii, form, user, fragment, scheme, port, host, own, private, special
	Detail string
}

func (e *BadURL) Error() string { return "url: " + e.Detail }

// Unwrap gives the queue.Invalid.
func (e *BadURL) Unwrap() error { return &queue.Invalid{Field: "url", Detail: e.Detail} }

// guard says which addresses webhooks may reach. It is asked about the URL when
// one is entered, and about the address after DNS, right before the connection.
type guard struct {
	// loopback lets endpoints with allow_private reach this machine.
	loopback bool
	// own are the machine's addresses.
	own func() ([]netip.Addr, error)
}

// checkURL reads an endpoint's URL. Its host is a name or an address in the
// usual form: what else resolvers take for one (decimal, hex, octal, short) is
// refused.
func (g *guard) checkURL(text string, private bool) (*url.URL, error) {
	bad := func(code, detail string) error { return &BadURL{code, detail} }
	if len(text) > maxURL {
		return nil, bad("length", "the address is longer than 2000 characters")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return nil, bad("ascii", "the address has a space or a letter outside ASCII: write it percent-encoded, and a name as xn--…")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, bad("form", "this is no address: it must look like https://example.org/path")
	case u.User != nil:
		return nil, bad("user", "the address must not hold a name or a password: check the signature instead")
	case u.Fragment != "":
		return nil, bad("fragment", "the address must not have a part after #")
	case u.Scheme == "http" && !private:
		return nil, bad("scheme", "the address must begin with https://; http:// is only for private networks (allow_private)")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, bad("scheme", "the address must begin with https://")
	}
	port, err := portOf(u)
	if err != nil || !allowedPort(port, private) {
		if private {
			return nil, bad("port", "this port is not allowed: take 443, 80 or one from 1024")
		}
		return nil, bad("port", "this port is not allowed: take 443, 8443 or 80; others only on private networks (allow_private)")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		if err := g.check(ip, private); err != nil {
			code := "special"
			if no, is := errors.AsType[*refusal](err); is {
				code = no.code
			}
			return nil, bad(code, err.Error())
		}
		return u, nil
	}
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if host == "" || strings.ContainsFunc(host, notInName) || slices.Contains(labels, "") || number(last) {
		return nil, bad("host", "this is no host: write a name, or an address as 192.0.2.1 or [2001:db8::1]")
	}
	if last == "localhost" && !(g.loopback && private) {
		return nil, bad("own", ownAdvice)
	}
	return u, nil
}

// Why an address is refused.
const (
	ownAdvice     = "this is the box itself: programs on it are reached only when Recado is started with --webhook-loopback, by webhooks with allow_private"
	privateAdvice = "it is in a private network, which this webhook may not reach: an administrator can allow it (allow_private)"
	localAdvice   = "link-local addresses and metadata services are not reached"
	specialAdvice = "it is no address of a single machine"
)

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
}

// number tells a label that is read as a number: then the whole host is an IPv4
// address (WHATWG URL, "ends in a number").
func number(label string) bool {
	if digits, hex := strings.CutPrefix(label, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

func portOf(u *url.URL) (int, error) {
	if u.Port() == "" {
		if u.Scheme == "https" {
			return 443, nil
		}
		return 80, nil
	}
	return strconv.Atoi(u.Port())
}

func allowedPort(port int, private bool) bool {
	return port == 443 || port == 8443 || port == 80 || private && port >= 1024 && port <= 65535
}

// Networks that nobody is reached in by way of the Internet; see the IANA
// special-purpose address registries (RFC 6890).
var (
	privateNets = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
	// The metadata services of clouds hand out credentials to who asks.
	metadata = prefixes("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32",
		"fd00:ec2::254/128", "fd20:ce::254/128")
	neverNets = prefixes("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/32", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "3fff::/20", "5f00::/16")
	global6 = netip.MustParsePrefix("2000::/3") // all that is assigned
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixto4  = netip.MustParsePrefix("2002::/16")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, text := range list {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// check says whether a connection to an address may be made.
func (g *guard) check(ip netip.Addr, private bool) error {
	if ip.Zone() != "" {
		return refuse(ip, "special", localAdvice)
	}
	ip = ip.Unmap()
	if ip.IsLoopback() {
		if g.loopback && private {
			return nil
		}
		return refuse(ip, "own", ownAdvice)
	}
	switch {
	case within(metadata, ip):
		return refuse(ip, "special", localAdvice)
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast(), within(neverNets, ip):
		return refuse(ip, "special", specialAdvice)
	}
	own, err := g.own()
	if err != nil {
		return fmt.Errorf("look for the box's own addresses: %w", err)
	}
	if slices.Contains(own, ip) && !(g.loopback && private) {
		return refuse(ip, "own", ownAdvice)
	}
	if within(privateNets, ip) {
		if private {
			return nil
		}
		return refuse(ip, "private", privateAdvice)
	}
	if ip.Is4() {
		return nil
	}
	// What is translated on the way is checked as what it becomes.
	octets := ip.As16()
	switch {
	case nat64.Contains(ip):
		return g.check(netip.AddrFrom4([4]byte(octets[12:])), private)
	case sixto4.Contains(ip):
		return g.check(netip.AddrFrom4([4]byte(octets[2:6])), private)
	case !global6.Contains(ip):
		return refuse(ip, "special", specialAdvice)
	}
	return nil
}

// refusal says why an address is not connected to. It is an ErrRefused.
type refusal struct {
	ip   netip.Addr
	code string // as BadURL's
	why  string
}

func refuse(ip netip.Addr, code, why string) error { return &refusal{ip, code, why} }

func (r *refusal) Error() string     { return refusedAs(r.code, r.why).of(r.ip.String()) }
func (r *refusal) Is(err error) bool { return err == ErrRefused }

// ownAddresses are those of the machine's interfaces.
func ownAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own, nil
}
