package pdu

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/warthog618/sms/encoding/tpdu"
)

// errShort says that the octets end before or within a field.
func errShort(field string) error { return fmt.Errorf("%s: %w", field, tpdu.ErrUnderflow) }

// Decode reads a PDU as +CMGR, +CMGL, +CMT and +CDS give it: the service
// centre's address first (TS 27.005 3.1). It never fails and never panics:
// whatever the octets, Raw has them, Err says what could not be read.
//
// TP-MTI 1 is taken for a SUBMIT, which SIMs store; a SUBMIT-REPORT never comes
// this way. The reserved TP-MTI 3 is read as a DELIVER (9.2.3.1).
func Decode(raw []byte) Received {
	r := blank(raw)
	sca, n, err := readSMSC(raw)
	if err != nil {
		r.Err = err
		return r
	}
	r.SCA = sca
	body := raw[n:]
	if len(body) > 0 && body[0]&3 == 1 {
		r.read(body, MO)
	} else {
		r.read(body, MT)
	}
	return r
}

// DecodeHex reads the line of hex digits that carries a PDU. When it is no hex,
// Raw is the line itself.
func DecodeHex(line string) Received {
	trimmed := strings.TrimSpace(line)
	raw, err := hex.DecodeString(trimmed)
	r := Decode(raw) // as far as there were digits
	if err != nil {
		r.Raw = []byte(line)
		r.Err = both(fmt.Errorf("PDU line: %w", err), r.Err)
	}
	return r
}

// DecodeTPDU reads a TPDU without SMSC octets, as tolerantly as Decode.
func DecodeTPDU(octets []byte, dir Direction) Received {
	r := blank(octets)
	r.read(octets, dir)
	return r
}

// DecodeSubmit reads the SMS-SUBMIT that a modem is given.
func DecodeSubmit(octets []byte) Received { return DecodeTPDU(octets, MO) }

func blank(raw []byte) Received {
	return Received{Raw: append([]byte(nil), raw...), Class: -1, DstPort: -1, SrcPort: -1}
}

// read reads a TPDU into r.
//
// The library's own reader refuses whole TPDUs for a stray bit (faults C4 to
// C10 of the driver notes: padding, reserved coding schemes, time stamps, names
// with an escape, missing fill, absent optional fields), so the walk through
// the fields is ours. Tests hold it against the library's wherever that one
// succeeds.
func (r *Received) read(octets []byte, dir Direction) {
	c := cursor{rest: octets}
	first := c.octet("first octet")
	switch mti := first & 3; {
	case c.err != nil:
	case dir == MT && (mti == 0 || mti == 3):
		r.readDeliver(&c, first)
	case dir == MT && mti == 1:
		r.readSubmitReport(&c, first)
	case dir == MT && mti == 2:
		r.readStatusReport(&c, first)
	case dir == MO && mti == 1:
		r.readSubmit(&c, first)
	default:
		c.fail(fmt.Errorf("first octet: %w", tpdu.ErrUnsupportedSmsType(first)))
	}
	r.Err = c.err
}

// readDeliver: 9.2.2.1.
func (r *Received) readDeliver(c *cursor, first byte) {
	r.Kind = KindDeliver
	r.Address, r.Alphanumeric = c.address()
	r.PID = c.octet("TP-PID")
	r.DCS = c.octet("TP-DCS")
	r.SCTS = c.time("TP-SCTS")
	r.readUserData(c, first&tpdu.FoUDHI != 0)
}

// readSubmit: 9.2.2.2.
func (r *Received) readSubmit(c *cursor, first byte) {
	r.Kind = KindSubmit
	r.Report = first&tpdu.FoSRR != 0
	r.MR = c.octet("TP-MR")
	r.Address, r.Alphanumeric = c.address()
	r.PID = c.octet("TP-PID")
	r.DCS = c.octet("TP-DCS")
	switch tpdu.FirstOctet(first).VPF() {
	case tpdu.VpfRelative:
		vp := c.octet("TP-VP")
		if !c.short {
			r.Validity = vpDuration(vp)
		}
	case tpdu.VpfEnhanced, tpdu.VpfAbsolute:
		c.take("TP-VP", 7)
	}
	r.readUserData(c, first&tpdu.FoUDHI != 0)
}

// readStatusReport: 9.2.2.3. Some networks announce optional fields in TP-PI
// and leave them out, so these are read only as far as they are there.
func (r *Received) readStatusReport(c *cursor, first byte) {
	r.MR = c.octet("TP-MR")
	r.Address, r.Alphanumeric = c.address()
	r.SCTS = c.time("TP-SCTS")
	r.DT = c.time("TP-DT")
	r.ST = c.octet("TP-ST")
	if c.short {
		return
	}
	r.Kind = KindStatusReport
	r.readOptional(c, first)
}

// readSubmitReport: 9.2.2.2a. With an RP-ACK there is no TP-FCS, which is at
// least 0x80; TP-PI never is, as long as its extension bit is not used.
func (r *Received) readSubmitReport(c *cursor, first byte) {
	r.Kind = KindSubmitReport
	if len(c.rest) > 0 && c.rest[0] >= 0x80 {
		r.FCS = c.octet("TP-FCS")
	}
	if len(c.rest) == 0 {
		c.fail(errShort("TP-PI"))
		return
	}
	pi := c.rest[0]
	c.rest = c.rest[1:]
	r.SCTS = c.time("TP-SCTS")
	if !c.short {
		r.readAnnounced(c, first, pi)
	}
}

// readOptional reads TP-PI and what it announces.
func (r *Received) readOptional(c *cursor, first byte) {
	if len(c.rest) == 0 {
		return
	}
	pi := c.rest[0]
	c.rest = c.rest[1:]
	// Bit 7 says that another such octet follows (9.2.3.27).
	for more := pi; more&0x80 != 0 && len(c.rest) > 0; c.rest = c.rest[1:] {
		more = c.rest[0]
	}
	r.readAnnounced(c, first, pi)
}

func (r *Received) readAnnounced(c *cursor, first, pi byte) {
	if pi&tpdu.PiPID != 0 && len(c.rest) > 0 {
		r.PID = c.octet("TP-PID")
	}
	if pi&tpdu.PiDCS != 0 && len(c.rest) > 0 {
		r.DCS = c.octet("TP-DCS")
	}
	if pi&tpdu.PiUDL != 0 && len(c.rest) > 0 {
		r.readUserData(c, first&tpdu.FoUDHI != 0)
	}
}

// cursor goes through the fields. After the octets have run out, short is set
// and every further field is zero; a field that is there but makes no sense
// only adds to err.
type cursor struct {
	rest  []byte
	short bool
	err   error
}

func (c *cursor) fail(err error) { c.err = both(c.err, err) }

// both keeps two errors on one line.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

func (c *cursor) take(field string, n int) []byte {
	if c.short {
		return nil
	}
	if len(c.rest) < n {
		c.short, c.rest = true, nil
		c.fail(errShort(field))
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) octet(field string) byte {
	if b := c.take(field, 1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) address() (string, bool) {
	if c.short {
		return "", false
	}
	a, alphanumeric, n, err := readAddress(c.rest)
	if err != nil {
		c.short, c.rest = true, nil
		c.fail(err)
		return "", false
	}
	c.rest = c.rest[n:]
	return a, alphanumeric
}

// time reads a time stamp (9.2.3.11), zero when it is not one. A stamp with an
// unreadable zone is none: it could be half a day off.
func (c *cursor) time(field string) time.Time {
	b := c.take(field, 7)
	if b == nil {
		return time.Time{}
	}
	t, err := timeStamp(b)
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", field, err))
	}
	return t
}

func timeStamp(b []byte) (time.Time, error) {
	var t tpdu.Timestamp
	if err := t.UnmarshalBinary(b); err != nil {
		return time.Time{}, err
	}
	// The library accepts a month 0 or a 31st of February and moves the date.
	again, err := t.MarshalBinary()
	if err != nil || string(again[:6]) != string(b[:6]) {
		return time.Time{}, fmt.Errorf("no such time: %w", tpdu.ErrInvalid)
	}
	return t.Time, nil
}
