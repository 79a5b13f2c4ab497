package pdu

import "github.com/warthog618/sms/encoding/gsm7"

// packSeptets packs septets after fill bits (TS 23.038 6.1.2.1).
func packSeptets(septets []byte, fill int) []byte { return gsm7.Pack7Bit(septets, fill) }

// unpackSeptets gives at most n septets. What is left over after them is
// padding whatever its value: one network fills with ones.
func unpackSeptets(packed []byte, fill, n int) []byte {
	u := gsm7.Unpack7Bit(packed, fill)
	// The last of them may be cut off by the end of the octets.
	whole := max(0, (len(packed)*8-fill)/7)
	return u[:max(0, min(n, whole, len(u)))]
}

// fillBits is what stands between a header of h octets, its length octet
// included, and the first septet; septets is what both take.
func fillBits(h int) (fill, septets int) {
	septets = (h*8 + 6) / 7
	return septets*7 - h*8, septets
}
