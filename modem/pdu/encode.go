package pdu

import (
	"fmt"
	"time"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/tpdu"
)

// Information elements of the user data header (TS 23.040 9.2.3.24). Its table
// is hexadecimal: the library's numbers 24 and 25 for the national languages are
// those of WVG pictures.
const (
	ieConcat      = 0x00
	ieIndication  = 0x01
	iePorts8      = 0x04
	iePorts16     = 0x05
	ieConcatWide  = 0x08
	ieVoiceMail   = 0x23
	ieSingleShift = 0x24
	ieLocking     = 0x25
	// From ieToolkit to ieToolkitEnd are commands to the SIM's applications.
	ieToolkit, ieToolkitEnd = 0x70, 0x7F
)

// Data coding schemes that we make (TS 23.038 clause 4).
const (
	dcsUCS2   = 0x08
	dcsClass0 = 0x10
)

// Encode turns a text into the SMS-SUBMITs that carry it to a number ("+34…",
// or 3 to 15 bare digits). It is deterministic: equal arguments give equal
// octets. The text is encoded in composed form (NFC), so that Segment.Text may
// differ from the text given in code points but not in what a reader sees.
//
// Errors: ErrEmpty; *AddressError; *EncodingError when GSM7 was asked for and
// does not fit; *TooLongError over MaxSegments. Nothing is returned with one.
func Encode(to, text string, o Options) ([]Segment, error) {
	da, err := number(to)
	if err != nil {
		return nil, err
	}
	template := tpdu.TPDU{Direction: tpdu.MO, FirstOctet: tpdu.FirstOctet(tpdu.MtSubmit), DA: da}
	if o.Report {
		template.FirstOctet |= tpdu.FoSRR
	}
	if o.Validity > 0 {
		template.SetVP(validityPeriod(relativeVP(o.Validity)))
	}
	parts, err := encodeParts(text, o)
	if err != nil {
		return nil, err
	}
	segments := make([]Segment, len(parts))
	for i, part := range parts {
		octets, err := part.marshal(template)
		if err != nil {
			return nil, fmt.Errorf("encode segment %d: %w", i+1, err)
		}
		segments[i] = Segment{TPDU: octets, Text: part.text}
	}
	return segments, nil
}

// part is what one segment carries, whichever TPDU it goes into.
type part struct {
	text string
	udh  tpdu.UserDataHeader
	ud   []byte // septets for GSM7, octets for UCS2
	dcs  byte
}

// marshal puts the part into a copy of the template.
func (p part) marshal(template tpdu.TPDU) ([]byte, error) {
	template.DCS = tpdu.DCS(p.dcs)
	if len(p.udh) > 0 {
		template.SetUDH(p.udh)
	}
	template.UD = p.ud
	return template.MarshalBinary()
}

func encodeParts(text string, o Options) ([]part, error) {
	p := newPlan(text, o)
	switch {
	case p.encoding != GSM7 && p.encoding != UCS2:
		return nil, &EncodingError{Encoding: o.Encoding}
	case len(p.runes) == 0:
		return nil, ErrEmpty
	case len(p.ends) == 0:
		return nil, &EncodingError{Encoding: o.Encoding, Outside: p.outside}
	case len(p.ends) > MaxSegments:
		return nil, &TooLongError{Segments: len(p.ends)}
	}
	parts := make([]part, len(p.ends))
	begin := 0
	for i, end := range p.ends {
		parts[i] = part{
			text: string(p.runes[begin:end]),
			udh:  p.elements(o.Ref, i+1),
			ud:   p.userData(p.runes[begin:end]),
			dcs:  p.codingScheme(o.Flash),
		}
		begin = end
	}
	return parts, nil
}

// elements are those of segment n's header. Concatenation comes first: some
// handsets look for it nowhere else.
func (p *plan) elements(ref uint16, n int) tpdu.UserDataHeader {
	var udh tpdu.UserDataHeader
	total := byte(len(p.ends))
	switch {
	case total > 1 && p.wide:
		udh = append(udh, tpdu.InformationElement{ID: ieConcatWide, Data: []byte{byte(ref >> 8), byte(ref), total, byte(n)}})
	case total > 1:
		udh = append(udh, tpdu.InformationElement{ID: ieConcat, Data: []byte{byte(ref), total, byte(n)}})
	}
	if p.encoding != GSM7 {
		return udh
	}
	if p.tables.shift != 0 {
		udh = append(udh, tpdu.InformationElement{ID: ieSingleShift, Data: []byte{byte(p.tables.shift)}})
	}
	if p.tables.locking != 0 {
		udh = append(udh, tpdu.InformationElement{ID: ieLocking, Data: []byte{byte(p.tables.locking)}})
	}
	return udh
}

func (p *plan) userData(runes []rune) []byte {
	ud := make([]byte, 0, udOctets*8/7)
	if p.encoding == UCS2 {
		for _, u := range utf16.Encode(runes) {
			ud = append(ud, byte(u>>8), byte(u))
		}
		return ud
	}
	for _, r := range runes {
		ud = p.tables.append(ud, r)
	}
	return ud
}

func (p *plan) codingScheme(flash bool) byte {
	var dcs byte
	if p.encoding == UCS2 {
		dcs |= dcsUCS2
	}
	if flash {
		dcs |= dcsClass0
	}
	return dcs
}

const day = 24 * time.Hour

// relativeVP is the smallest relative TP-VP that is at least d, 255 when d is
// over 63 weeks (9.2.3.12.1).
func relativeVP(d time.Duration) byte {
	ceil := func(unit time.Duration) int { return int((d + unit - 1) / unit) }
	switch {
	case d <= 12*time.Hour:
		return byte(max(1, ceil(5*time.Minute)) - 1)
	case d <= day:
		return byte(143 + ceil(30*time.Minute) - 24)
	case d <= 30*day:
		return byte(166 + ceil(day))
	case d <= 63*7*day:
		return byte(192 + ceil(7*day))
	default:
		return 255
	}
}

// vpDuration is what a relative TP-VP means.
func vpDuration(vp byte) time.Duration {
	n := time.Duration(vp)
	switch {
	case vp <= 143:
		return (n + 1) * 5 * time.Minute
	case vp <= 167:
		return 12*time.Hour + (n-143)*30*time.Minute
	case vp <= 196:
		return (n - 166) * day
	default:
		return (n - 192) * 7 * day
	}
}

// validityPeriod asks the library for exactly this octet. It rounds down, and
// gives 5 minutes the octet of 10.
func validityPeriod(vp byte) (v tpdu.ValidityPeriod) {
	d := vpDuration(vp)
	if vp == 0 {
		d = 0
	}
	v.SetRelative(d)
	return v
}
