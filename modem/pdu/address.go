package pdu

import (
	"strings"

	"github.com/warthog618/sms/encoding/semioctet"
	"github.com/warthog618/sms/encoding/tpdu"
)

// Types of address of TS 23.040 9.1.2.5 that we make: ISDN numbering plan with
// an international or an unknown type of number, and alphanumeric. A short code
// as an international number, as the library makes it, reaches nobody.
const (
	toaInternational = 0x91
	toaUnknown       = 0x81
	toaAlphanumeric  = 0xD0
)

// maxName is how many septets an alphanumeric address has room for.
const maxName = 11

// number makes the address of a recipient: "+" and 3 to 15 digits, or 3 to 15
// digits alone for a short code or a national number.
func number(s string) (tpdu.Address, error) {
	digits, international := strings.CutPrefix(s, "+")
	switch {
	case digits == "":
		return tpdu.Address{}, &AddressError{Address: s, Reason: "it has no digits"}
	case strings.Trim(digits, "0123456789") != "":
		return tpdu.Address{}, &AddressError{Address: s, Reason: "only digits are allowed, and a + before them"}
	case len(digits) < 3 || len(digits) > 15:
		return tpdu.Address{}, &AddressError{Address: s, Reason: "it must have 3 to 15 digits"}
	}
	toa := byte(toaUnknown)
	if international {
		toa = toaInternational
	}
	return tpdu.Address{TOA: toa, Addr: digits}, nil
}

// foreignNumber makes the address of whatever number a network may know: up to
// 20 of the digits that half octets can say.
func foreignNumber(s string) (tpdu.Address, error) {
	digits, international := strings.CutPrefix(s, "+")
	if digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789*#abc") != "" {
		return tpdu.Address{}, &AddressError{Address: s, Reason: "it must have 1 to 20 digits"}
	}
	toa := byte(toaUnknown)
	if international {
		toa = toaInternational
	}
	return tpdu.Address{TOA: toa, Addr: digits}, nil
}

// marshalSender makes the octets of TP-OA: a number, else a name of up to 11
// septets of the GSM 7-bit alphabet.
func marshalSender(from string) ([]byte, error) {
	if strings.ContainsAny(from, "0123456789") || from == "" {
		if a, err := foreignNumber(from); err == nil {
			return a.MarshalBinary()
		}
	}
	if from == "" {
		return nil, &AddressError{Address: from, Reason: "a sender has a number or a name"}
	}
	var septets []byte
	for _, r := range from {
		if (gsm7Tables{}).septets(r) == 0 {
			return nil, &AddressError{Address: from, Reason: "a sender's name is made of GSM 7-bit characters"}
		}
		septets = gsm7Tables{}.append(septets, r)
	}
	if len(septets) > maxName {
		return nil, &AddressError{Address: from, Reason: "a sender's name has at most 11 characters"}
	}
	packed := packSeptets(septets, 0)
	// The length counts half octets in use, for names too.
	return append([]byte{byte((len(septets)*7 + 3) / 4), toaAlphanumeric}, packed...), nil
}

// readAddress reads an address field: the length in half octets, the type, the
// value. It returns the octets it took.
func readAddress(src []byte) (a string, alphanumeric bool, n int, err error) {
	if len(src) < 2 {
		return "", false, 0, errShort("address")
	}
	half := int(src[0])
	n = 2 + (half+1)/2
	if len(src) < n {
		return "", false, 0, errShort("address")
	}
	a, alphanumeric = addressValue(src[1], src[2:n], half)
	return a, alphanumeric, n, nil
}

// addressValue reads up to half half octets. The fill of an odd number is not
// looked for: some networks leave it out.
func addressValue(toa byte, value []byte, half int) (a string, alphanumeric bool) {
	switch (toa >> 4) & 7 {
	case 5:
		septets := unpackSeptets(value, 0, half*4/7)
		return gsm7Tables{}.decode(septets), true
	case 1:
		return "+" + digits(value, half), false
	default:
		return digits(value, half), false
	}
}

// digits reads half octets, low one first; 0xF is fill wherever it stands.
func digits(value []byte, half int) string {
	const digit = "0123456789*#abc"
	var b strings.Builder
	for i := range half {
		d := value[i/2] >> (4 * (i % 2)) & 0xF
		if d != 0xF {
			b.WriteByte(digit[d])
		}
	}
	return b.String()
}

// WithSMSC puts the service centre's address before a TPDU, as +CMGR gives it
// and +CMGS takes it (TS 27.005 3.1); "" is none.
func WithSMSC(sca string, tpdu []byte) ([]byte, error) {
	if sca == "" {
		return append([]byte{0}, tpdu...), nil
	}
	a, err := foreignNumber(sca)
	if err != nil {
		return nil, err
	}
	value, err := semioctet.Encode([]byte(a.Addr))
	if err != nil {
		return nil, &AddressError{Address: sca, Reason: err.Error()}
	}
	out := append([]byte{byte(len(value) + 1), a.TOA}, value...)
	return append(out, tpdu...), nil
}

// readSMSC reads the service centre's address: the length in octets with the
// type counted in, the type, the digits.
func readSMSC(src []byte) (sca string, n int, err error) {
	if len(src) == 0 {
		return "", 0, errShort("SMSC address")
	}
	n = 1 + int(src[0])
	switch {
	case len(src) < n:
		return "", 0, errShort("SMSC address")
	case n <= 2:
		return "", n, nil
	}
	sca, _ = addressValue(src[1], src[2:n], 2*(n-2))
	return sca, n, nil
}
