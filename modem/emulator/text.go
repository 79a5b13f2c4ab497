package emulator

import (
	"encoding/hex"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/gsm7/charset"
)

type alphabet uint8

const (
	gsm7 alphabet = iota
	octets
	ucs2
)

// alphabetOf reads a DCS (TS 23.038 clause 4).
func alphabetOf(dcs byte) alphabet {
	switch {
	case dcs&0x80 == 0: // general data coding and automatic deletion groups
		switch dcs >> 2 & 3 {
		case 1:
			return octets
		case 2:
			return ucs2
		}
	case dcs&0xf0 == 0xe0:
		return ucs2
	case dcs&0xf4 == 0xf4:
		return octets
	}
	return gsm7
}

// classOf is the message class 0–3 of a DCS, -1 without one.
func classOf(dcs byte) int {
	if dcs&0xf0 == 0xf0 || dcs&0x90 == 0x10 {
		return int(dcs & 3)
	}
	return -1
}

// udOctets is how many octets of user data a TP-UDL announces.
func udOctets(dcs, udl byte) int {
	if alphabetOf(dcs) == gsm7 {
		return (int(udl)*7 + 7) / 8
	}
	return int(udl)
}

// userText reads the text of user data; of 8-bit data the hex.
func userText(dcs, udl byte, ud, udh []byte) string {
	switch alphabetOf(dcs) {
	case octets:
		return strings.ToUpper(hex.EncodeToString(ud[len(udh):]))
	case ucs2:
		return ucs2Text(ud[len(udh):])
	}
	skip := (len(udh)*8 + 6) / 7
	if int(udl) < skip {
		return ""
	}
	locking, shift := nationalTables(udh)
	return gsmText(unpack(ud, int(udl), 0)[skip:], locking, shift)
}

func ucs2Text(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}

// element finds an information element in a user data header.
func element(udh []byte, id byte) []byte {
	for b := udh[min(1, len(udh)):]; len(b) >= 2 && len(b) >= 2+int(b[1]); b = b[2+int(b[1]):] {
		if b[0] == id {
			return b[2 : 2+int(b[1])]
		}
	}
	return nil
}

// nationalTables reads elements 0x24 (single shift) and 0x25 (locking).
func nationalTables(udh []byte) (locking, shift int) {
	if e := element(udh, 0x25); len(e) == 1 {
		locking = int(e[0])
	}
	if e := element(udh, 0x24); len(e) == 1 {
		shift = int(e[0])
	}
	return locking, shift
}

// concatOf reads elements 0x00 and 0x08; total is 0 when there is none.
func concatOf(udh []byte) (ref, total, seq int) {
	if e := element(udh, 0x00); len(e) == 3 {
		return int(e[0]), int(e[1]), int(e[2])
	}
	if e := element(udh, 0x08); len(e) == 4 {
		return int(e[0])<<8 | int(e[1]), int(e[2]), int(e[3])
	}
	return 0, 0, 0
}

// tables are the alphabets of TS 23.038 clause 6.2.1 and annex A, copied once:
// the library builds its own on first use, unguarded.
type tables struct {
	locking, shift [charset.End]charset.Decoder
	encode         map[rune][]byte
}

var gsmTables = sync.OnceValue(func() *tables {
	t := &tables{encode: make(map[rune][]byte)}
	for i := range charset.End {
		t.locking[i], t.shift[i] = charset.NewDecoder(i), charset.NewExtDecoder(i)
	}
	for b, r := range t.shift[0] {
		t.encode[r] = []byte{0x1b, b}
	}
	for b, r := range t.locking[0] {
		t.encode[r] = []byte{b}
	}
	delete(t.encode, 0x1b)
	return t
})

// gsmText reads septets; what the tables lack becomes a space, as TS 23.038
// clause 6.2.1.1 asks of an unknown extension.
func gsmText(septets []byte, locking, shift int) string {
	t := gsmTables()
	if locking >= charset.End {
		locking = 0
	}
	if shift >= charset.End {
		shift = 0
	}
	var b strings.Builder
	for i := 0; i < len(septets); i++ {
		table := t.locking[locking]
		if septets[i] == 0x1b && i+1 < len(septets) {
			i++
			if r, ok := t.shift[shift][septets[i]]; ok {
				b.WriteRune(r)
				continue
			}
		}
		r, ok := table[septets[i]]
		if !ok {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// gsmSeptets writes a text in the default alphabet; ok is false when a
// character is missing there, and a question mark stands for it.
func gsmSeptets(s string) (septets []byte, ok bool) {
	t := gsmTables()
	ok = true
	for _, r := range s {
		b, known := t.encode[r]
		if !known {
			b, ok = []byte{'?'}, false
		}
		septets = append(septets, b...)
	}
	return septets, ok
}

// pack packs septets after fill bits (TS 23.038 clause 6.1.2.1).
func pack(septets []byte, fill int) []byte {
	out := make([]byte, (len(septets)*7+fill+7)/8)
	for i, s := range septets {
		bit := i*7 + fill
		v := uint16(s) << (bit % 8)
		out[bit/8] |= byte(v)
		if v > 0xff {
			out[bit/8+1] |= byte(v >> 8)
		}
	}
	return out
}

func unpack(b []byte, n, fill int) []byte {
	out := make([]byte, n)
	for i := range out {
		bit := i*7 + fill
		if bit/8 >= len(b) {
			return out[:i]
		}
		v := uint16(b[bit/8])
		if bit/8+1 < len(b) {
			v |= uint16(b[bit/8+1]) << 8
		}
		out[i] = byte(v>>(bit%8)) & 0x7f
	}
	return out
}

// segment is the user data of one SMS.
type segment struct {
	udhi bool
	dcs  byte
	udl  byte
	ud   []byte
	text string
}

// segments makes the user data of a text: GSM 7-bit when it fits, else UCS-2;
// concatenated with an 8-bit reference when one SMS is too small. Neither an
// extension sequence nor a surrogate pair is split.
func segments(text string, ref byte) []segment {
	_, gsm := gsmSeptets(text)
	width := func(r rune) int { return 2 * len(utf16.Encode([]rune{r})) }
	single, room, dcs := 140, 134, byte(0x08)
	if gsm {
		width = func(r rune) int { return len(gsmTables().encode[r]) }
		single, room, dcs = 160, 153, 0x00
	}
	total := 0
	for _, r := range text {
		total += width(r)
	}
	if total <= single {
		return []segment{makeSegment(text, dcs, nil)}
	}
	var parts []string
	start, used := 0, 0
	for i, r := range text {
		if used+width(r) > room {
			parts = append(parts, text[start:i])
			start, used = i, 0
		}
		used += width(r)
	}
	parts = append(parts, text[start:])
	out := make([]segment, len(parts))
	for i, p := range parts {
		out[i] = makeSegment(p, dcs, []byte{5, 0, 3, ref, byte(len(parts)), byte(i + 1)})
	}
	return out
}

func makeSegment(text string, dcs byte, udh []byte) segment {
	s := segment{udhi: udh != nil, dcs: dcs, text: text}
	if dcs == 0x08 {
		s.ud = append([]byte(nil), udh...)
		for _, u := range utf16.Encode([]rune(text)) {
			s.ud = append(s.ud, byte(u>>8), byte(u))
		}
		s.udl = byte(len(s.ud))
		return s
	}
	septets, _ := gsmSeptets(text)
	header := (len(udh)*8 + 6) / 7
	s.ud = pack(septets, header*7)
	copy(s.ud, udh)
	s.udl = byte(header + len(septets))
	return s
}

// deliver makes the SMS-DELIVER of a segment.
func (s segment) deliver(from string, scts time.Time) []byte {
	fo := byte(foMMS)
	if s.udhi {
		fo |= foUDHI
	}
	out := append([]byte{fo}, address(from)...)
	out = append(out, 0, s.dcs)
	out = append(out, timestamp(scts)...)
	return append(append(out, s.udl), s.ud...)
}
