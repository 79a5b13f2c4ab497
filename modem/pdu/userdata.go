package pdu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/tpdu"
)

// errCompressed: nobody is known to have used the compression of TS 23.042.
var errCompressed = errors.New("TP-UD: the text is compressed")

// codingScheme reads a TP-DCS (TS 23.038 clause 4). Reserved codings mean the
// GSM 7-bit default alphabet, as a receiver shall assume.
func codingScheme(dcs byte) (e Encoding, class int, compressed, waiting bool) {
	class = -1
	switch {
	case dcs&0x80 == 0: // general data coding, and marked for automatic deletion
		compressed = dcs&0x20 != 0
		e = [4]Encoding{GSM7, Binary, UCS2, GSM7}[dcs>>2&3]
		if dcs&0x10 != 0 {
			class = int(dcs & 3)
		}
	case dcs&0xF0 == 0xE0:
		e, waiting = UCS2, true
	case dcs&0xE0 == 0xC0:
		e, waiting = GSM7, true
	case dcs&0xF0 == 0xF0:
		e, class = GSM7, int(dcs&3)
		if dcs&0x04 != 0 {
			e = Binary
		}
	default:
		e = GSM7
	}
	return e, class, compressed, waiting
}

// readUserData reads TP-UDL, the header and the text. Octets after the user
// data are padding: a SIM's record has 176 octets whatever the message.
func (r *Received) readUserData(c *cursor, header bool) {
	var compressed, waiting bool
	r.Encoding, r.Class, compressed, waiting = codingScheme(r.DCS)
	r.MWI = r.MWI || waiting
	udl := int(c.octet("TP-UDL"))
	if c.short {
		return
	}
	octets := udl
	if r.Encoding == GSM7 && !compressed {
		octets = (udl*7 + 7) / 8
	}
	ud := c.rest[:min(octets, len(c.rest))]
	h := 0
	if header && len(ud) > 0 {
		if h = 1 + int(ud[0]); h > len(ud) {
			c.fail(errShort("TP-UDH"))
			h = 0
		} else if err := r.readHeader(ud[:h]); err != nil {
			c.fail(err)
		}
	}
	// A header alone need not be followed by the octet that its fill bits reach
	// into.
	if len(ud) < octets && !(h == len(ud) && octets == h+1 && r.Encoding == GSM7) {
		c.fail(errShort("TP-UD"))
	}
	switch {
	case compressed:
		r.Encoding = Binary
		r.Data = append([]byte(nil), ud[h:]...)
		c.fail(errCompressed)
	case r.Encoding == GSM7:
		fill, septets := fillBits(h)
		r.Data = unpackSeptets(ud[h:], fill, udl-septets)
	default:
		r.Data = append([]byte(nil), ud[h:]...)
		if r.Encoding == UCS2 && len(r.Data)%2 == 1 {
			c.fail(fmt.Errorf("TP-UD: %w", tpdu.ErrOddUCS2Length))
		}
	}
	r.Text = JoinText([]Received{*r})
}

// readHeader reads the information elements that we know. Of elements that
// exclude each other the last counts (9.2.3.24).
func (r *Received) readHeader(udh []byte) error {
	r.UDH = append([]byte(nil), udh...)
	for id, data := range elements(udh) {
		switch {
		case id == ieConcat && len(data) == 3:
			r.setConcat(Concat{Ref: uint16(data[0]), Total: data[1], Seq: data[2]})
		case id == ieConcatWide && len(data) == 4:
			r.setConcat(Concat{Ref: binary.BigEndian.Uint16(data), Total: data[2], Seq: data[3], Wide: true})
		case id == iePorts8 && len(data) == 2:
			r.DstPort, r.SrcPort = int(data[0]), int(data[1])
		case id == iePorts16 && len(data) == 4:
			r.DstPort, r.SrcPort = int(binary.BigEndian.Uint16(data)), int(binary.BigEndian.Uint16(data[2:]))
		case id == ieIndication, id == ieVoiceMail:
			r.MWI = true
		case id >= ieToolkit && id <= ieToolkitEnd:
			r.Toolkit = true
		}
	}
	length := 1
	for _, data := range elements(udh) {
		length += 2 + len(data)
	}
	if length != len(udh) {
		return fmt.Errorf("TP-UDH: information element: %w", tpdu.ErrUnderflow)
	}
	return nil
}

// setConcat ignores an element with impossible counts, as 9.2.3.24.1 asks. One
// segment of one is whole.
func (r *Received) setConcat(c Concat) {
	if c.Seq == 0 || c.Seq > c.Total {
		return
	}
	r.Concat = nil
	if c.Total > 1 {
		r.Concat = &c
	}
}

// elements goes through a header's information elements, up to one that does
// not fit in it.
func elements(udh []byte) func(yield func(id byte, data []byte) bool) {
	return func(yield func(byte, []byte) bool) {
		if len(udh) == 0 {
			return
		}
		for rest := udh[1:]; len(rest) >= 2; {
			n := 2 + int(rest[1])
			if n > len(rest) || !yield(rest[0], rest[2:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// tables are the national ones that a received header names; unknown ones mean
// the default (9.2.3.24.15).
func (r Received) tables() (g gsm7Tables) {
	for id, data := range elements(r.UDH) {
		if len(data) != 1 || Table(data[0]) > lastTable {
			continue
		}
		switch id {
		case ieSingleShift:
			g.shift = Table(data[0])
		case ieLocking:
			g.locking = Table(data[0])
		}
	}
	return g
}

// JoinText is the text of a message from its segments in order; a missing one
// is simply left out of parts. It decodes the segments' Data anew, so that a
// surrogate pair or an escape that a foreign encoder split over two segments is
// whole again. What stays alone shows as U+FFFD, a lone escape as a space.
// Binary segments have no text.
func JoinText(parts []Received) string {
	var b strings.Builder
	var carry []byte // the half of a character at the end of the part before
	for i, p := range parts {
		data := p.Data
		if len(carry) > 0 {
			data = append(append([]byte(nil), carry...), data...)
			carry = nil
		}
		if i+1 < len(parts) && follows(p, parts[i+1]) {
			data, carry = cutHalf(p.Encoding, data)
		}
		switch p.Encoding {
		case GSM7:
			b.WriteString(p.tables().decode(data))
		case UCS2:
			units := make([]uint16, len(data)/2)
			for u := range units {
				units[u] = binary.BigEndian.Uint16(data[2*u:])
			}
			b.WriteString(string(utf16.Decode(units)))
		}
	}
	return b.String()
}

// follows says that q carries on where p ends.
func follows(p, q Received) bool {
	return p.Encoding == q.Encoding && p.Concat != nil && q.Concat != nil && q.Concat.Seq == p.Concat.Seq+1
}

// cutHalf separates half a character from the end of data: an escape, a high
// surrogate, an odd octet.
func cutHalf(e Encoding, data []byte) (whole, half []byte) {
	n := len(data)
	switch {
	case e == GSM7 && n > 0 && data[n-1] == esc && !endsInPair(data):
		n--
	case e == UCS2 && n%2 == 1:
		n--
		if n >= 2 && data[n-2]&0xFC == 0xD8 {
			n -= 2
		}
	case e == UCS2 && n >= 2 && data[n-2]&0xFC == 0xD8:
		n -= 2
	}
	return data[:n], data[n:]
}

// endsInPair says that the escape at the end of the septets is itself escaped.
func endsInPair(septets []byte) bool {
	n := 0
	for n < len(septets) && septets[len(septets)-1-n] == esc {
		n++
	}
	return n%2 == 0
}

// JoinData is the octets of a binary message from its segments in order.
func JoinData(parts []Received) []byte {
	var data []byte
	for _, p := range parts {
		data = append(data, p.Data...)
	}
	return data
}
