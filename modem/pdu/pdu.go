// Package pdu turns texts into SMS-SUBMIT TPDUs once, and received octets into
// something readable whatever they hold (3GPP TS 23.040, TS 23.038).
//
// It knows no hardware and no SQL. The encoder is deterministic: equal text and
// options give equal octets, so that a retry sends what was stored. The decoder
// never fails on foreign bytes: what cannot be read is kept raw and said so.
package pdu

import (
	"time"
)

// Encoding is the alphabet of a message (TS 23.038 clause 4).
type Encoding uint8

const (
	// Auto takes GSM 7-bit when the whole text fits it, else UCS-2.
	Auto Encoding = iota
	// GSM7 is the GSM 7-bit default alphabet with its extension table, and the
	// national tables that Options names.
	GSM7
	// UCS2 is 16-bit; supplementary characters travel as surrogate pairs that
	// are never split over two segments.
	UCS2
	// Binary is 8-bit data. Only received, never encoded.
	Binary
)

// Table is a national language table, by its identifier in TS 23.038 clause
// 6.2.1.2.4: 1 Turkish, 2 Spanish, 3 Portuguese, …
type Table uint8

// Spanish is the national language single shift table 2 of TS 23.038.
const Spanish Table = 2

// Options say how Encode and Count make segments of a text.
type Options struct {
	Encoding Encoding
	// Shift and Locking name the national tables that may be used. None unless
	// asked: handsets' support is uneven.
	Shift, Locking []Table
	// Flash sets message class 0 (TS 23.038 clause 4).
	Flash bool
	// Ref is the concatenation reference; its low 8 bits count unless Wide.
	Ref  uint16
	Wide bool
	// Validity becomes the relative TP-VP, rounded up to what its octet can say
	// (5 minutes to 63 weeks); 0 or less leaves it out.
	Validity time.Duration
	// Report sets TP-SRR.
	Report bool
}

// Segment is one SMS-SUBMIT of a message, ready to be stored and sent.
type Segment struct {
	// TPDU has no SMSC octets before it; TP-MR is 0, the modem sets it.
	TPDU []byte
	// Text is the part of the text that this segment carries.
	Text string
}

// Outside is a character that keeps a text out of GSM 7-bit.
type Outside struct {
	// Char is what a reader takes for one character: a letter with its combining
	// marks, an emoji with its modifiers.
	Char string
	// At is its first place in the text as given, counted in runes from 0.
	At int
	// Suggestion is the nearest GSM 7-bit text; "" when there is none, or when
	// Drop is set.
	Suggestion string
	// Drop says that nothing is lost by leaving it out: a control or zero-width
	// character.
	Drop bool
}

// Measure says what a text will cost; it counts exactly as Encode encodes.
type Measure struct {
	Encoding Encoding
	// Characters as the alphabet counts them: septets for GSM7 (an extension
	// character takes two), 16-bit units for UCS2.
	Characters int
	Segments   int
	// PerSegment is the room of each segment in the same units.
	PerSegment int
	// LeftInSegment is the room left in the last one.
	LeftInSegment int
	// OutsideGSM7 names what keeps the text out of GSM 7-bit, each distinct
	// character once, at its first place; nil when the text fits.
	OutsideGSM7 []Outside
}

// Kind is the type of a received TPDU.
type Kind uint8

const (
	// KindUnknown is a TPDU that could not be read; Raw has it.
	KindUnknown Kind = iota
	KindDeliver
	KindStatusReport
	// KindSubmit is found stored on SIMs by other devices, and is what an
	// emulated modem is given.
	KindSubmit
	// KindSubmitReport is the ackpdu of +CMGS when +CSMS is 1.
	KindSubmitReport
)

// Direction tells apart the TPDUs that share a TP-MTI (9.2.3.1).
type Direction uint8

const (
	// MT is from the network to the mobile: DELIVER, SUBMIT-REPORT,
	// STATUS-REPORT.
	MT Direction = iota
	// MO is from the mobile to the network: SUBMIT.
	MO
)

// Concat is the concatenation element of a user data header (TS 23.040
// 9.2.3.24.1 and 9.2.3.24.8).
type Concat struct {
	Ref   uint16
	Total uint8 // at least 2
	Seq   uint8 // from 1
	Wide  bool  // 16-bit reference
}

// Received is a decoded TPDU. Fields that its kind does not have are zero.
type Received struct {
	Kind Kind
	// Raw is all octets as received, SMSC address included when there was one.
	Raw []byte
	// SCA is the service centre's number, "" when absent.
	SCA string
	// Address is TP-OA of a DELIVER, TP-RA of a STATUS-REPORT, TP-DA of a
	// SUBMIT: "+34…" when international, bare digits else, or an alphanumeric
	// name.
	Address      string
	Alphanumeric bool
	// MR is TP-MR of a STATUS-REPORT, or of a SUBMIT.
	MR uint8
	// ST is TP-ST of a STATUS-REPORT (9.2.3.15); StatusOf reads it.
	ST uint8
	// FCS is TP-FCS of a SUBMIT-REPORT that refuses (9.2.3.22), 0 else.
	FCS uint8
	// SCTS is the service centre's time stamp; zero when unreadable.
	SCTS time.Time
	// DT is TP-DT of a STATUS-REPORT; zero when unreadable.
	DT time.Time
	// Report is TP-SRR and Validity the relative TP-VP of a SUBMIT.
	Report   bool
	Validity time.Duration
	// PID and DCS as received.
	PID, DCS uint8
	Encoding Encoding
	// Class is the message class 0–3, -1 when the DCS names none.
	Class int
	// Text is this segment's own text. A character that a foreign encoder split
	// over two segments shows as U+FFFD or a space here; JoinText mends it.
	Text string
	// Data is the user data without its header: one septet an octet for GSM7,
	// octets as received for UCS2 and Binary.
	Data []byte
	// UDH is the user data header with its length octet first; nil when absent.
	UDH    []byte
	Concat *Concat // nil when the message is whole
	// DstPort and SrcPort are of an application port header; -1 when absent.
	DstPort, SrcPort int
	// MWI says that it is a message-waiting indication.
	MWI bool
	// Toolkit says that it is for an application of the SIM (9.2.3.24: (U)SIM
	// Toolkit Security Headers), not for a reader.
	Toolkit bool
	// Err says what could not be read; the rest is a best effort then. A
	// deviation that costs nothing (padding, a missing fill digit, a reserved
	// coding scheme) is no error. A STATUS-REPORT without a readable TP-ST is
	// KindUnknown, so that nobody takes its zero for "delivered".
	Err error
}

// Values of TP-PID (9.2.3.9) that say what a message is for.
const (
	pidType0      = 0x40
	pidReturnCall = 0x5F // somebody has left a message: call back
	pidANSI136    = 0x7C // from here on to pidSIMData: for the modem or the SIM
	pidSIMData    = 0x7F
)

// Download says that it is data for the modem or the SIM (TP-PID 0x7C to 0x7F, or
// a toolkit's header): nothing for a reader.
func (r Received) Download() bool {
	return r.Kind == KindDeliver && (r.PID >= pidANSI136 && r.PID <= pidSIMData || r.Toolkit)
}

// Waiting says that it tells of a message that waits elsewhere: a voice mail
// (TS 23.038 clause 4, TS 23.040 9.2.3.24.2 and 9.2.3.9).
func (r Received) Waiting() bool {
	return r.Kind == KindDeliver && (r.MWI || r.PID == pidReturnCall)
}

// Silent says that it is a type 0 short message (TP-PID 0x40, 9.2.3.9): to be
// acknowledged and dropped, never shown.
func (r Received) Silent() bool { return r.Kind == KindDeliver && r.PID == pidType0 }
