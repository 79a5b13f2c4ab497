package emulator

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// textTo writes a text in the host's character set (AT+CSCS).
func (m *Modem) textTo(s string) string {
	switch m.state.charset {
	case "UCS2":
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u>>8), byte(u))
		}
		return upperHex(b)
	case "HEX":
		septets, _ := gsmSeptets(s)
		return upperHex(septets)
	case "GSM":
		septets, _ := gsmSeptets(s)
		return string(septets)
	case "IRA", "PCCP437":
		return narrow(s, 0x7f)
	}
	return narrow(s, 0xff)
}

// narrow writes a character set of one octet a character.
func narrow(s string, last rune) string {
	var b []byte
	for _, r := range s {
		if r > last {
			r = '?'
		}
		b = append(b, byte(r))
	}
	return string(b)
}

// textFrom reads what the host wrote in its character set.
func (m *Modem) textFrom(s string) string {
	switch m.state.charset {
	case "UCS2":
		if b, err := hex.DecodeString(s); err == nil {
			return ucs2Text(b)
		}
		return s
	case "HEX":
		if b, err := hex.DecodeString(s); err == nil {
			return gsmText(b, 0, 0)
		}
		return s
	case "GSM":
		return gsmText([]byte(s), 0, 0)
	}
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// textSubmit makes the SMS-SUBMIT of a message typed in text mode, with the
// parameters of AT+CSMP (TS 27.005 clause 3.1 says how <data> is read).
func (m *Modem) textSubmit(number string, body []byte) ([]byte, error) {
	st := &m.state
	fo := st.fo&^mtiMask | mtiSubmit
	out := append([]byte{fo, 0}, address(number)...)
	out = append(out, st.pid, st.dcs)
	switch fo & foVPF {
	case 0:
	case 0x10:
		out = append(out, st.vp)
	default: // AT+CSMP holds one octet only
		return nil, cmsError(305)
	}
	if fo&foUDHI != 0 || alphabetOf(st.dcs) != gsm7 {
		b, err := hex.DecodeString(strings.TrimSpace(string(body)))
		if err != nil {
			return nil, cmsError(305)
		}
		if len(b) > 140 {
			return nil, cmsError(305)
		}
		udl := len(b)
		if alphabetOf(st.dcs) == gsm7 {
			udl = len(b) * 8 / 7
		}
		return append(append(out, byte(udl)), b...), nil
	}
	septets, _ := gsmSeptets(m.textFrom(string(body)))
	if len(septets) > 160 {
		return nil, cmsError(305)
	}
	return append(append(out, byte(len(septets))), pack(septets, 0)...), nil
}

// timeText is a time as text mode writes it (TS 27.005 clause 3.1, <scts>).
func timeText(t time.Time) string {
	_, offset := t.Zone()
	return fmt.Sprintf("%s%+03d", t.Format("06/01/02,15:04:05"), offset/900)
}

// textForm is a TPDU as text mode shows it: the parameters after <stat>, and
// the <data> line; the details of AT+CSDH=1 when wanted, all of them in full.
func (m *Modem) textForm(tpdu []byte, full bool) (params, data string) {
	number := func(a []byte) (string, int) {
		text, _ := addressText(a)
		return m.textTo(text), int(a[1])
	}
	field := func(at int) []byte { // an address field, when it is whole
		if at+2 > len(tpdu) || at+2+(int(tpdu[at])+1)/2 > len(tpdu) {
			return nil
		}
		return tpdu[at : at+2+(int(tpdu[at])+1)/2]
	}
	broken := func() (string, string) { return `"",,""`, upperHex(tpdu) }
	switch tpdu[0] & mtiMask {
	case 0x02:
		ra := field(2)
		if ra == nil || len(tpdu) < 2+len(ra)+15 {
			return broken()
		}
		text, toa := number(ra)
		rest := tpdu[2+len(ra):]
		scts, _ := parseTimestamp(rest[:7])
		dt, _ := parseTimestamp(rest[7:14])
		return fmt.Sprintf("%d,%d,%q,%d,%q,%q,%d", tpdu[0], tpdu[1], text, toa, timeText(scts), timeText(dt), rest[14]), ""
	case mtiSubmit:
		t, err := parseSubmit(tpdu, m.net.o.Now())
		if err != nil {
			return broken()
		}
		text, toa := number(t.da)
		params = fmt.Sprintf("%q,", text)
		if m.state.show && full {
			params += fmt.Sprintf(",%d,%d,%d,%d,%d,%q,%d,%d", toa, t.fo, t.pid, t.dcs, m.state.vp, m.textTo(m.o.SMSC), 145, t.udl)
		}
		return params, m.dataText(t.fo, t.dcs, t.udl, t.ud, t.udh)
	}
	oa := field(1)
	if oa == nil || len(tpdu) < 1+len(oa)+10 {
		return broken()
	}
	rest := tpdu[1+len(oa):]
	pid, dcs, udl, ud := rest[0], rest[1], rest[9], rest[10:]
	scts, _ := parseTimestamp(rest[2:9])
	if len(ud) < udOctets(dcs, udl) {
		return broken()
	}
	var udh []byte
	if tpdu[0]&foUDHI != 0 && len(ud) > 0 && 1+int(ud[0]) <= len(ud) {
		udh = ud[:1+int(ud[0])]
	}
	text, toa := number(oa)
	params = fmt.Sprintf("%q,,%q", text, timeText(scts))
	if m.state.show && full {
		params += fmt.Sprintf(",%d,%d,%d,%d,%q,145,%d", toa, tpdu[0], pid, dcs, m.textTo(m.o.SMSC), udl)
	} else if m.state.show {
		params += fmt.Sprintf(",%d,%d", toa, udl)
	}
	return params, m.dataText(tpdu[0], dcs, udl, ud, udh)
}

// dataText is user data as <data>: hex where it is no text of 7 bits, but for
// UCS-2, which a host that reads UCS-2 gets as it is anyway.
func (m *Modem) dataText(fo, dcs, udl byte, ud, udh []byte) string {
	if fo&foUDHI != 0 || alphabetOf(dcs) != gsm7 {
		return upperHex(ud)
	}
	return m.textTo(userText(dcs, udl, ud, udh))
}
