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

// statusRow is what a range of TP-ST means. Says is the cause in plain words.
type statusRow struct {
	from, to uint8
	status   Status
	says     string
}

// statuses are all octets, in order (TS 23.040 9.2.3.15). Reserved values count
// as the first of their group, as the standard wants it.
var statuses = []statusRow{
	{0x00, 0x00, StatusDelivered, "received by the recipient"},
	{0x01, 0x01, StatusDeliveredUnconfirmed, "forwarded; the service centre cannot confirm the delivery"},
	{0x02, 0x02, StatusReplaced, "replaced by a later message in the service centre"},
	{0x03, 0x1F, StatusDeliveredUnconfirmed, "completed, in the service centre's own words"},

	{0x20, 0x20, StatusBuffered, "congestion"},
	{0x21, 0x21, StatusBuffered, "the recipient's phone is busy"},
	{0x22, 0x22, StatusBuffered, "no response from the recipient's phone"},
	{0x23, 0x23, StatusBuffered, "service rejected"},
	{0x24, 0x24, StatusBuffered, "quality of service not available"},
	{0x25, 0x25, StatusBuffered, "error in the recipient's phone"},
	{0x26, 0x3F, StatusBuffered, "delayed"},

	{0x40, 0x40, StatusFailed, "remote procedure error"},
	{0x41, 0x41, StatusFailed, "incompatible destination"},
	{0x42, 0x42, StatusFailed, "connection rejected by the recipient's phone"},
	{0x43, 0x43, StatusFailed, "not obtainable"},
	{0x44, 0x44, StatusFailed, "quality of service not available"},
	{0x45, 0x45, StatusFailed, "no interworking available"},
	{0x46, 0x46, StatusExpired, "the validity period has expired"},
	{0x47, 0x47, StatusCancelled, "deleted by its sender"},
	{0x48, 0x48, StatusFailed, "deleted by the service centre's administration"},
	{0x49, 0x49, StatusFailed, "the service centre does not know the message"},
	{0x4A, 0x5F, StatusFailed, "a permanent error"},

	{0x60, 0x60, StatusFailedTemporary, "congestion"},
	{0x61, 0x61, StatusFailedTemporary, "the recipient's phone is busy"},
	{0x62, 0x62, StatusFailedTemporary, "no response from the recipient's phone"},
	{0x63, 0x63, StatusFailedTemporary, "service rejected"},
	{0x64, 0x64, StatusFailedTemporary, "quality of service not available"},
	{0x65, 0x65, StatusFailedTemporary, "error in the recipient's phone"},
	{0x66, 0x7F, StatusFailedTemporary, "a temporary error"},

	{0x80, 0xFF, StatusReserved, "a status that the standard does not define"},
}

func rowOf(st uint8) statusRow {
	for _, r := range statuses {
		if st <= r.to {
			return r
		}
	}
	return statuses[len(statuses)-1]
}

// StatusOf reads a TP-ST.
func StatusOf(st uint8) Status { return rowOf(st).status }

// Final says that no later report can change it.
func (s Status) Final() bool { return s != StatusBuffered && s != StatusReserved }

// Delivered says that the segment reached the recipient, as far as the service
// centre can know. A replaced one counts: its successor was sent in its place.
func (s Status) Delivered() bool {
	return s == StatusDelivered || s == StatusDeliveredUnconfirmed || s == StatusReplaced
}

// Failed says that the segment will not be delivered.
func (s Status) Failed() bool { return s.Final() && !s.Delivered() }

// StatusText says in plain English what a TP-ST means.
func StatusText(st uint8) string {
	r := rowOf(st)
	switch r.status {
	case StatusBuffered:
		return r.says + "; the service centre is still trying"
	case StatusFailedTemporary:
		return r.says + "; the service centre gave up"
	}
	return r.says
}
