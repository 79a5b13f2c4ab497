// Package queue holds the messages on their way out: what they are, the states
// they go through, and the Store that keeps them (states.md draws them). It knows no hardware: the
// pool claims from it, asks it to open the gate and tells it the outcome.
//
// What it promises: Submit returns when the rows are on disk (WAL, FULL). At
// most one attempt is open per segment and per SIM. No message leaves its state
// but by a guarded UPDATE.
package queue

import (
	"errors"
	"fmt"
	"time"
)

// Class sets a message's lane and what happens when an answer is lost.
type Class string

const (
	OTP    Class = "otp"
	Alert  Class = "alert"
	Normal Class = "normal"
	Bulk   Class = "bulk"
)

// State is where a message is. Beside each: who moves it out.
type State string

const (
	Scheduled   State = "scheduled"   // Store.Wake, when send_at has come and the clock is trusted
	Held        State = "held"        // an operator, or what held it
	Queued      State = "queued"      // a line's gate; Cancel; Expire
	Sending     State = "sending"     // Store.Outcome; unclaimed between two segments of a long message
	Sent        State = "sent"        // a status report
	Delivered   State = "delivered"   // final
	Undelivered State = "undelivered" // final
	Uncertain   State = "uncertain"   // evidence, the class's policy, Resolve
	Failed      State = "failed"      // final
	Expired     State = "expired"     // final
	Cancelled   State = "cancelled"   // final
)

// States in the order pages show them.
var States = []State{Scheduled, Held, Queued, Sending, Sent, Delivered, Undelivered, Uncertain, Failed, Expired, Cancelled}

// Delivery is what to do when an answer is lost after the gate.
type Delivery string

const (
	AtMostOnce  Delivery = "at_most_once"  // never sent again
	AtLeastOnce Delivery = "at_least_once" // again, flagged, up to three attempts
	Bounded     Delivery = "bounded"       // one flagged retry: the default of normal
)

// SegmentState is where one segment is.
type SegmentState string

const (
	SegmentPending     SegmentState = "pending"
	SegmentSending     SegmentState = "sending"
	SegmentSent        SegmentState = "sent"
	SegmentDelivered   SegmentState = "delivered"
	SegmentUndelivered SegmentState = "undelivered"
	SegmentUncertain   SegmentState = "uncertain"
	SegmentFailed      SegmentState = "failed"
)

// Sentinels that callers branch on.
var (
	ErrNotFound = errors.New("no such message")
	// ErrState: the message is not in a state that allows this.
	ErrState = errors.New("the message's state does not allow this")
	// ErrNotClaimed: the gate was asked for a message that the line no longer
	// has (cancelled, expired, claimed anew): do not send.
	ErrNotClaimed = errors.New("the message is no longer this line's to send")
	// ErrMismatch: the Idempotency-Key was used with another body.
	ErrMismatch = errors.New("this Idempotency-Key was used with another body")
	// ErrAllRejected: no recipient was accepted; Result.Rejected says why.
	ErrAllRejected = errors.New("no recipient was accepted")
	// ErrTextDeleted is an ErrState: what would be sent again is not there any
	// more.
	ErrTextDeleted = fmt.Errorf("%w: its text has been deleted because its keeping was over; write it again as a new message", ErrState)
	// ErrDamaged is an ErrState: what is stored of the message is not what was
	// written.
	ErrDamaged = fmt.Errorf("%w: its stored text or number is damaged; write it again as a new message", ErrState)
	// ErrNoSIM: no SIM with this ICCID was ever seen.
	ErrNoSIM = errors.New("no such SIM")
	// ErrSIMName: another SIM has this name.
	ErrSIMName = errors.New("another SIM has this name")
)

// Request asks for one text to one or more recipients: a message each.
type Request struct {
	To            []string // as given; Submit normalises
	Text          string
	Class         Class  // "" is Normal
	Encoding      string // auto, gsm7, ucs2; "" is auto
	Transliterate bool
	MaxSegments   int // 0 is 10
	Flash         bool
	SIM           string        // ICCID, or "" for the pool's choice (names are resolved before)
	SendAt        time.Time     // zero: now
	ValidFor      time.Duration // 0: by class
	Delivery      Delivery      // "": by class
	Report        bool          // shows reports; they are requested from the network always
	Reference     string
	KeyID         string // the API key or person that asked, for the record
	ReplyTo       string // inbound message or conversation that this answers; ""
}

// RejectCode says why a recipient was refused.
type RejectCode string

const (
	InvalidNumber     RejectCode = "invalid_number"
	PremiumNumber     RejectCode = "premium_number"
	CountryNotAllowed RejectCode = "country_not_allowed"
	OptedOut          RejectCode = "opted_out"
	Duplicate         RejectCode = "duplicate"
)

// Rejection is a recipient that got no message.
type Rejection struct {
	To     string
	Code   RejectCode
	Detail string
}

// Invalid is a Request that cannot be accepted whatever the recipient.
type Invalid struct {
	Field  string // JSON name: "text", "max_segments", …
	Detail string // says what to do
	Value  any
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Detail }

// Idempotency ties a Submit to a key for at least 72 h.
type Idempotency struct {
	Scope string // whose key: the API key's id
	Key   string
	Hash  []byte // of the request's body
	// Answer makes the answer to keep from the result, inside the transaction.
	Answer func(Result) []byte
}

// Result of a Submit.
type Result struct {
	Messages []Message
	Rejected []Rejection
	// Replayed is the kept answer when the key had been used before.
	Replayed []byte
}

// Message is one text to one recipient.
type Message struct {
	Seq       int64  // order of acceptance
	ID        string // UUIDv7
	To        string // E.164, or a short code
	From      string // the SIM's number, "" before it is sent or unknown
	Text      string
	Class     Class
	State     State
	Reason    string // why held, failed, uncertain; a stable code
	Reference string
	Encoding  string // gsm7, ucs2
	Delivery  Delivery
	Report    bool
	Flash     bool
	SIM       string // ICCID that sends or sent it; the wished one before, or, while Preferred, the one that its recipient knows
	// Preferred: any SIM of its route may send it soon, when SIM has not: see LetGo.
	Preferred bool
	// Bucket says which SIMs may send it and when its recipient sleeps: see
	// Store.RouteOf, Bucket.
	Bucket   int64
	Campaign string
	Segments []Segment
	// Attempts passed the gate. PossibleDuplicate: one of them lost its answer
	// and another was made.
	Attempts int
	// Failures are the tries in a row that ended in the same error (Error.Code):
	// the back-off's exponent. Reset by an accepted segment.
	Failures          int
	PossibleDuplicate bool
	CreatedAt         time.Time
	SendAt            time.Time // zero: at once
	ExpiresAt         time.Time
	SentAt            time.Time
	DeliveredAt       time.Time
	// TextDeletedAt is when its text was deleted because its keeping was over
	// (see Retention); Text and the segments' TPDUs are empty since. Zero: it is
	// there.
	TextDeletedAt time.Time
	// Damaged: what is stored of it is not what was written. It is shown as far
	// as it can be read, and never sent.
	Damaged bool
	Error   *Error
}

// Segment is one SMS-SUBMIT of a message.
type Segment struct {
	N            int // from 1
	State        SegmentState
	TPDU         []byte
	MR           int // -1 before it is known
	SentAt       time.Time
	ReportAt     time.Time
	ReportStatus int // TP-ST of the last report, -1 none

	damaged bool // its octets are not what was stored
}

// Error is the last error of a message.
type Error struct {
	Code   string // "cms_38", "timeout", …
	Class  string // modem.ErrorClass
	Detail string // plain words
}

// Line is who asks for work: one SIM in one modem.
type Line struct {
	ICCID, IMSI, Number string
	Modem               string // modem id
	// Offer is what it may take; nil: everything that is for its SIM or anybody's.
	Offer *Offer
	// why it has a message: Gate keeps it.
	why string
}

// Claimed is a message reserved for a line, with what it needs to send. A claim
// is for one segment: Outcome gives it back, and the message's next segment is
// claimed anew, before or after what has a better lane.
type Claimed struct {
	Message Message
	// Line is who claimed it, as it was then: Gate and Unclaim take this one,
	// whatever SIM the line has by now.
	Line Line
	// Next is the index in Message.Segments of the segment to send now.
	Next int
	// Why this SIM: WhyPinned, …
	Why string
	// Attempt is that of segment Next when its gate is open already: see OutcomeThen.
	Attempt int64
}

// Verdict mirrors modem.Verdict: queue knows no hardware.
type Verdict uint8

const (
	NotSent Verdict = iota
	Accepted
	Rejected
	Ambiguous
)

// Outcome is what the pool tells of one attempt.
type Outcome struct {
	Verdict Verdict
	MR      int // -1 unknown
	SCTS    time.Time
	Code    string
	Class   string
	Detail  string
	At      time.Time
	// What the pool decided: Retry puts the message back, not before After from
	// At. Without Retry a Rejected one, and a NotSent one with a Reason, fails
	// with Reason. AvoidSIM keeps it off this SIM on the next try, as long as
	// another may take it (a minute). Degrade ("validity", "class", "alphabet")
	// has it encoded anew without that, and fails it when that cannot be done.
	// After, AvoidSIM and Degrade count as a failure.
	Retry    bool
	After    time.Duration
	Reason   string
	AvoidSIM bool
	Degrade  string
}

// Clock is the wall clock. Nothing that depends on wall time happens while it
// is not trusted.
type Clock interface {
	Now() time.Time
	Trusted() bool
}
