package pdu

// Status is what a TP-ST says of a segment, in one word.
type Status string

// The words of TS 23.040 9.2.3.15, grouped by what they mean to the sender.
const (
	StatusDelivered            Status = "delivered"             // the SME has it
	StatusDeliveredUnconfirmed Status = "delivered_unconfirmed" // forwarded; the SC cannot say more
	StatusReplaced             Status = "replaced"              // a later message took its place in the SC
	StatusBuffered             Status = "buffered"              // not yet: the SC is still trying
	StatusFailed               Status = "failed"                // permanent
	StatusExpired              Status = "expired"               // its validity ran out in the SC
	StatusCancelled            Status = "cancelled"             // deleted by its sender
	StatusFailedTemporary      Status = "failed_temporary"      // a passing fault, but the SC gave up
	StatusReserved             Status = "reserved"              // means nothing: keep the state
)

// StatusOf reads a TP-ST.
func StatusOf(st uint8) Status {
	switch {
	case st == 0x00:
		return StatusDelivered
	case st == 0x02:
		return StatusReplaced
	case st <= 0x1F:
		return StatusDeliveredUnconfirmed
	case st <= 0x3F:
		return StatusBuffered
	case st == 0x46:
		return StatusExpired
	case st == 0x47:
		return StatusCancelled
	case st <= 0x5F:
		return StatusFailed
	case st <= 0x7F:
		return StatusFailedTemporary
	default:
		return StatusReserved
	}
}

// Final says that no later report can change it.
func (s Status) Final() bool { return s != StatusBuffered && s != StatusReserved }

// Delivered says that the segment reached the recipient, as far as the service
// centre can know. A replaced one counts: its successor was sent in its place.
func (s Status) Delivered() bool {
	return s == StatusDelivered || s == StatusDeliveredUnconfirmed || s == StatusReplaced
}

// Failed says that the segment will not be delivered.
func (s Status) Failed() bool { return s.Final() && !s.Delivered() }

// reasons are the causes that 9.2.3.15 numbers; 0x20–0x25 and 0x60–0x65 share
// theirs.
var reasons = map[uint8]string{
	0x00: "received by the recipient",
	0x01: "forwarded; the service centre cannot confirm the delivery",
	0x02: "replaced by a later message in the service centre",
	0x20: "congestion",
	0x21: "the recipient's phone is busy",
	0x22: "no response from the recipient's phone",
	0x23: "service rejected",
	0x24: "quality of service not available",
	0x25: "error in the recipient's phone",
	0x40: "remote procedure error",
	0x41: "incompatible destination",
	0x42: "connection rejected by the recipient's phone",
	0x43: "not obtainable",
	0x44: "quality of service not available",
	0x45: "no interworking available",
	0x46: "the validity period has expired",
	0x47: "deleted by its sender",
	0x48: "deleted by the service centre's administration",
	0x49: "the service centre does not know the message",
}

// StatusText says in plain English what a TP-ST means.
func StatusText(st uint8) string {
	cause, known := reasons[st]
	if st >= 0x60 && st <= 0x65 {
		cause, known = reasons[st-0x40]
	}
	switch s := StatusOf(st); {
	case s.Delivered():
		if known {
			return cause
		}
		return "completed, in the service centre's own words"
	case s == StatusBuffered:
		if known {
			return cause + "; the service centre is still trying"
		}
		return "delayed; the service centre is still trying"
	case s == StatusFailedTemporary:
		if known {
			return cause + "; the service centre gave up"
		}
		return "a temporary error; the service centre gave up"
	case s == StatusReserved:
		return "a status that the standard does not define"
	case known:
		return cause
	default:
		return "a permanent error"
	}
}
