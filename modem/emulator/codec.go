package emulator

import (
	"errors"
	"strings"
	"time"
)

// The network reads and writes TPDUs with code of its own, not with modem/pdu:
// a fault there would else be mirrored here and go unseen. It is strict where
// a service centre is strict.

// First octet (TS 23.040 clause 9.2.3).
const (
	mtiMask   = 0x03
	mtiSubmit = 0x01
	foMMS     = 0x04 // of DELIVER and STATUS-REPORT: no more messages wait
	foVPF     = 0x18
	foSRR     = 0x20
	foUDHI    = 0x40
)

var errTPDU = errors.New("no valid SMS-SUBMIT")

// submit is an SMS-SUBMIT as the network reads it.
type submit struct {
	raw      []byte
	fo, mr   byte
	da       []byte // as in the TPDU: length, TOA, digits
	number   string
	pid, dcs byte
	validity time.Duration // 0: none given
	udl      byte
	ud       []byte // with header
	udh      []byte // with its length octet; nil when none
	text     string
}

// parseSubmit reads a TPDU whose length must be exact.
func parseSubmit(b []byte, now time.Time) (submit, error) {
	t := submit{raw: b}
	if len(b) < 7 || b[0]&mtiMask != mtiSubmit {
		return t, errTPDU
	}
	t.fo, t.mr = b[0], b[1]
	n := 2 + (int(b[2])+1)/2
	if b[2] == 0 || b[2] > 20 || len(b) < 2+n+3 {
		return t, errTPDU
	}
	t.da = b[2 : 2+n]
	var ok bool
	if t.number, ok = addressText(t.da); !ok {
		return t, errTPDU
	}
	b = b[2+n:]
	t.pid, t.dcs = b[0], b[1]
	b = b[2:]
	if t.validity, n, ok = parseValidity(t.fo&foVPF, b, now); !ok || len(b) < n+1 {
		return t, errTPDU
	}
	t.udl, t.ud = b[n], b[n+1:]
	if len(t.ud) != udOctets(t.dcs, t.udl) || len(t.ud) > 140 {
		return t, errTPDU
	}
	if t.fo&foUDHI != 0 {
		if len(t.ud) == 0 || len(t.ud) < 1+int(t.ud[0]) {
			return t, errTPDU
		}
		t.udh = t.ud[:1+int(t.ud[0])]
	}
	t.text = userText(t.dcs, t.udl, t.ud, t.udh)
	return t, nil
}

// parseValidity reads TP-VP (clause 9.2.3.12) and its length in octets.
func parseValidity(format byte, b []byte, now time.Time) (d time.Duration, n int, ok bool) {
	switch {
	case format == 0:
		return 0, 0, true
	case format == 0x10 && len(b) >= 1:
		return relativeValidity(b[0]), 1, true
	case format == 0x18 && len(b) >= 7:
		until, ok := parseTimestamp(b[:7])
		return max(until.Sub(now), time.Second), 7, ok
	case format == 0x08 && len(b) >= 7:
		switch b[0] & 0x07 {
		case 0:
			return 0, 7, true
		case 1:
			return relativeValidity(b[1]), 7, true
		case 2:
			return time.Duration(b[1]) * time.Second, 7, true
		case 3:
			h, m, s := unswap(b[1]), unswap(b[2]), unswap(b[3])
			return time.Duration(h*3600+m*60+s) * time.Second, 7, h >= 0 && m >= 0 && s >= 0
		}
	}
	return 0, 0, false
}

func relativeValidity(vp byte) time.Duration {
	v := time.Duration(vp)
	switch {
	case v <= 143:
		return (v + 1) * 5 * time.Minute
	case v <= 167:
		return 12*time.Hour + (v-143)*30*time.Minute
	case v <= 196:
		return (v - 166) * 24 * time.Hour
	}
	return (v - 192) * 7 * 24 * time.Hour
}

// deliverOf is the SMS-DELIVER that brings a SUBMIT to its recipient: the user
// data goes over octet for octet.
func deliverOf(t submit, from string, scts time.Time) []byte {
	out := append([]byte{foMMS | t.fo&foUDHI}, address(from)...)
	out = append(out, t.pid, t.dcs)
	out = append(out, timestamp(scts)...)
	return append(append(out, t.udl), t.ud...)
}

// statusReport is the SMS-STATUS-REPORT on a submit.
func statusReport(mr byte, ra []byte, scts, dt time.Time, st byte) []byte {
	out := append([]byte{0x02 | foMMS, mr}, ra...)
	out = append(out, timestamp(scts)...)
	out = append(out, timestamp(dt)...)
	return append(out, st)
}

// submitReport is the SMS-SUBMIT-REPORT for RP-ACK (clause 9.2.2.2a), which
// some modems add to +CMGS.
func submitReport(scts time.Time) []byte {
	return append([]byte{0x01, 0x00}, timestamp(scts)...)
}

// timestamp is TP-SCTS (clause 9.2.3.11) in the time's own zone.
func timestamp(t time.Time) []byte {
	_, offset := t.Zone()
	sign := byte(0)
	if offset < 0 {
		sign, offset = 0x08, -offset
	}
	return []byte{
		swap(t.Year() % 100), swap(int(t.Month())), swap(t.Day()),
		swap(t.Hour()), swap(t.Minute()), swap(t.Second()),
		swap(offset/900%100) | sign,
	}
}

func parseTimestamp(b []byte) (time.Time, bool) {
	var v [6]int
	for i := range v {
		if v[i] = unswap(b[i]); v[i] < 0 {
			return time.Time{}, false
		}
	}
	zone := unswap(b[6] &^ 0x08)
	if zone < 0 || v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 59 {
		return time.Time{}, false
	}
	if b[6]&0x08 != 0 {
		zone = -zone
	}
	return time.Date(2000+v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], 0, time.FixedZone("", zone*900)), true
}

// swap makes semi-octets of 0–99, low digit in the high nibble.
func swap(n int) byte { return byte(n%10<<4 | n/10) }

// unswap is swap's inverse; -1 when a nibble is no digit.
func unswap(b byte) int {
	lo, hi := int(b&0x0f), int(b>>4)
	if lo > 9 || hi > 9 {
		return -1
	}
	return lo*10 + hi
}

// address makes an address field (clause 9.1.2.5): international with +, else
// national digits as unknown, alphanumeric when there is a letter.
func address(s string) []byte {
	if s == "" {
		return []byte{0, 0x81}
	}
	if strings.Trim(s, "+0123456789*#") != "" {
		septets, _ := gsmSeptets(s)
		septets = septets[:min(len(septets), 11)]
		packed := pack(septets, 0)
		return append([]byte{byte((len(septets)*7 + 3) / 4), 0xd0}, packed...)
	}
	toa := byte(0x81)
	if strings.HasPrefix(s, "+") {
		toa = 0x91
	}
	d := strings.ReplaceAll(s, "+", "")
	out := []byte{byte(len(d)), toa}
	for i := 0; i < len(d); i += 2 {
		b := semiOctet(d[i])
		if i+1 < len(d) {
			b |= semiOctet(d[i+1]) << 4
		} else {
			b |= 0xf0
		}
		out = append(out, b)
	}
	return out
}

const semiOctets = "0123456789*#abc"

func semiOctet(c byte) byte { return byte(strings.IndexByte(semiOctets, c)) }

// addressText reads an address field.
func addressText(a []byte) (string, bool) {
	n, toa := int(a[0]), a[1]
	if toa&0x70 == 0x50 {
		return gsmText(unpack(a[2:], n*4/7, 0), 0, 0), true
	}
	var b strings.Builder
	if toa&0x70 == 0x10 {
		b.WriteByte('+')
	}
	for i := range n {
		d := a[2+i/2] >> (4 * (i % 2)) & 0x0f
		if d == 0x0f {
			return "", false
		}
		b.WriteByte(semiOctets[d])
	}
	// An odd number of digits is filled with F (clause 9.1.2.3).
	return b.String(), n%2 == 0 || a[2+n/2]>>4 == 0x0f
}
