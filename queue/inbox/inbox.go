// Package inbox keeps what was received: every TPDU as it came, the messages
// put together from them, and the conversations they belong to.
//
// What it promises: Ingest returns nil when the TPDU is on disk, so that the
// modem may delete it; one TPDU makes one raw row, one message, one event,
// however often it is read again (queue.RepeatWithin says for how long);
// nothing received is thrown away because it
// could not be read.
package inbox

import (
	"errors"
	"time"

	"recado/modem/pdu"
	"recado/queue"
)

// Errors that callers branch on.
var ErrNotFound = errors.New("no such received message")

// Kinds of a received message.
const (
	KindText        = "text"
	KindFlash       = "flash"       // a text of class 0, which a phone shows at once and need not keep
	KindBinary      = "binary"      // data, WAP push, port-addressed, for the SIM: kept, never interpreted
	KindUndecodable = "undecodable" // kept raw and visible
	// Only on raw rows, they make no message:
	KindSilent  = "silent"         // type 0 (TS 23.040 9.2.3.9)
	KindMWI     = "mwi"            // message waiting indication, voice mail
	KindForeign = "foreign"        // a SUBMIT that another device left on the SIM
	KindCanary  = queue.KindCanary // one SIM of this box texted another, to see whether it gets there
)

// In is a received TPDU with where it came from.
type In struct {
	PDU         pdu.Received
	ICCID, IMSI string
	Number      string // the SIM's own, "" unknown
	Modem       string
	// Memory is what the modem calls the memory that it was read from, "" when it
	// came without a copy there (+CMT).
	Memory string
	// Fresh says that the modem announced it since it has this SIM: nobody has
	// left it there.
	Fresh bool
	At    time.Time
}

// inModem says that the TPDU may have lain in the modem since before its SIM was
// put in: SM is on the SIM, everything else is not, or not all of it (MT).
func (in In) inModem() bool { return in.Memory != "" && in.Memory != "SM" && !in.Fresh }

// Message is a received message, put together from its segments.
type Message struct {
	Seq        int64
	ID         string // UUIDv7
	From       string // TP-OA
	To         string // the SIM's own number, "" unknown
	Text       string // with Gap where a segment is missing
	Kind       string
	SIM        string // ICCID
	ReceivedAt time.Time
	SentAt     time.Time // TP-SCTS; zero when unreadable
	Complete   bool
	Have, Of   int // segments
	Read       bool
	// TextDeletedAt is when its text was deleted because its keeping was over
	// (see queue.Retention); zero: it is there.
	TextDeletedAt time.Time
	// Damaged: what is stored of it is not what was received. It is shown as far
	// as it can be read.
	Damaged bool
}

// Gap stands in a text where a segment is missing.
const Gap = "[…]"

// Filter narrows List and Conversations. Zero fields do not.
type Filter struct {
	From   string // exact number or name
	Search string // part of the number or of the text
	SIM    string // ICCID
	Kind   string // one of the Kinds; List only
	Unread bool   // only unread
	Since  time.Time
	Until  time.Time
	Limit  int // 0 is 50, at most 500
	Cursor string
}

// Conversation is everything exchanged with one number.
type Conversation struct {
	Number   string
	LastAt   time.Time
	LastText string
	LastOut  bool   // the last one was ours
	SIM      string // ICCID that received last: a reply leaves on it
	Unread   int
}

// Entry of a thread: one of the two is set.
type Entry struct {
	At  time.Time
	In  *Message
	Out *queue.Message
}
