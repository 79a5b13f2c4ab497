package pdu

const cr = 0x0D

// PackUSSD packs characters of the default alphabet for USSD (TS 23.038
// 6.1.2.3). ok is false when the alphabet lacks one. Where seven bits are left
// over, or a CR stands at an octet's end, a CR is added, so that no @ is read
// and the CR is not lost (6.1.2.3.1).
func PackUSSD(text string) (octets []byte, ok bool) {
	var g gsm7Tables
	var septets []byte
	for _, r := range text {
		if g.septets(r) == 0 {
			return nil, false
		}
		septets = g.append(septets, r)
	}
	n := len(septets)
	if n%8 == 7 || n > 0 && n%8 == 0 && septets[n-1] == cr {
		septets = append(septets, cr)
	}
	return packSeptets(septets, 0), true
}

// UnpackUSSD reads packed septets as USSD has them. The CR that only fills the
// last octet is dropped; so is an @ there, with which some networks fill.
func UnpackUSSD(octets []byte) string {
	septets := unpackSeptets(octets, 0, len(octets)*8/7)
	if n := len(septets); n > 0 && n%8 == 0 && (septets[n-1] == cr || septets[n-1] == 0) {
		septets = septets[:n-1]
	}
	return DecodeSeptets(septets)
}

// DecodeSeptets reads characters of the default alphabet, one an octet, with its
// extension (TS 23.038 6.2.1): what AT+CSCS="GSM" gives.
func DecodeSeptets(septets []byte) string { return gsm7Tables{}.decode(septets) }
