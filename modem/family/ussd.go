package family

// USSDCoding is how the text of AT+CUSD=1,"…",15 is written.
type USSDCoding uint8

const (
	// USSDText is characters of the set that AT+CSCS chose, as TS 27.007 7.15
	// has it.
	USSDText USSDCoding = iota
	// USSDUCS2 is UCS-2 in hex digits, as AT+CSCS="UCS2" wants it, which is set
	// for as long as the request lasts.
	USSDUCS2
	// USSDPacked is GSM 7-bit septets packed into octets, in hex digits; a text
	// of 8n-1 characters ends with CR, so that no @ is read (TS 23.038 6.1.2.3.1).
	// Answers with dcs 15 are written so too.
	USSDPacked
)

// String names the coding in a modem's history.
func (c USSDCoding) String() string {
	switch c {
	case USSDText:
		return "text"
	case USSDUCS2:
		return "UCS-2"
	case USSDPacked:
		return "packed septets"
	}
	return "unknown"
}
