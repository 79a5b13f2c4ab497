package family

// USSDCoding is how the text of AT+CUSD=1,"…",15 is written.
type USSDCoding uint8

const (
	// USSDText is characters of the set that AT+CSCS chose, as TS 27.007 7.15
	// has it.
	USSDText USSDCoding = iota
	// USSDUCS2 is UCS-2 in hex digits, as AT+CSCS="UCS2" wants it.
	USSDUCS2
	// USSDPacked is GSM 7-bit septets packed into octets, in hex digits; a text
	// of 8n-1 characters ends with CR, so that no @ is read (TS 23.038 6.1.2.3.1).
	// Answers with dcs 15 are written so too.
	USSDPacked
)
