package queue

import (
	"context"
	"time"

	"recado/modem/pdu"
	"recado/queue/sqlite"
)

// Signatures first, so that the packages above can be built beside this one;
// the bodies follow in the files named for their subject.

type metrics struct{}

func newMetrics(any) (*metrics, error) { panic("not built yet") }

type rate struct{}

func loadRate(context.Context, *sqlite.DB, time.Time) (*rate, error)     { panic("not built yet") }
func (s *Store) recover(context.Context) error                           { panic("not built yet") }
func (s *Store) setting(ctx context.Context, key string) (string, error) { panic("not built yet") }

// Numbers normalises recipients' numbers.
type Numbers struct{}

// NewNumbers completes national numbers with country (ISO 3166 alpha-2); abroad allows other countries.
func NewNumbers(country string, abroad bool) *Numbers { panic("not built yet") }

// Set changes the country and whether others are allowed.
func (n *Numbers) Set(country string, abroad bool) { panic("not built yet") }

// Country is the home country.
func (n *Numbers) Country() string { panic("not built yet") }

// Normalize gives E.164 or a short code.
func (n *Numbers) Normalize(raw string) (string, *Rejection) { panic("not built yet") }

// Submit accepts a text for its recipients.
func (s *Store) Submit(ctx context.Context, r Request, key *Idempotency) (Result, error) {
	panic("not built yet")
}

// Quote is what a Request would cost.
type Quote struct {
	pdu.Measure
	TransliteratedText   string
	Recipients, Accepted int
	Rejected             []Rejection
	TotalSegments        int // over all accepted recipients
}

// Quote measures a Request and stores nothing.
func (s *Store) Quote(ctx context.Context, r Request) (Quote, error) { panic("not built yet") }

// Claim reserves the next message for a line; nil, nil when there is none.
func (s *Store) Claim(ctx context.Context, l Line) (*Claimed, error) { panic("not built yet") }

// Unclaim gives a message back before its gate.
func (s *Store) Unclaim(ctx context.Context, iccid string, seq int64, o Outcome) error {
	panic("not built yet")
}

// Gate makes the attempt durable; n is the segment, from 1.
func (s *Store) Gate(ctx context.Context, l Line, seq int64, n int) (attempt int64, err error) {
	panic("not built yet")
}

// Outcome commits what became of an attempt, and claims the line's next
// message in the same transaction when next is given: the same message's next
// segment, unless something of a higher lane goes first.
func (s *Store) Outcome(ctx context.Context, attempt int64, o Outcome, next *Line) (*Claimed, error) {
	panic("not built yet")
}

// ReportIn is a status report with where it came from.
type ReportIn struct {
	ICCID, IMSI string
	Modem       string
	PDU         pdu.Received
	At          time.Time
}

// Report makes a status report durable and applies it.
func (s *Store) Report(ctx context.Context, in ReportIn) error { panic("not built yet") }

// Cancel takes back a message that never passed the gate.
func (s *Store) Cancel(ctx context.Context, id string) (Message, error) { panic("not built yet") }

// What Resolve may do with an uncertain message.
const (
	ResolveResend = "resend"
	ResolveSent   = "mark_sent"
	ResolveFailed = "mark_failed"
)

// Resolve decides an uncertain message; who is for the record.
func (s *Store) Resolve(ctx context.Context, id, action, who string) (Message, error) {
	panic("not built yet")
}

// Wake does what has fallen due and says when to call again; zero: nothing waits.
func (s *Store) Wake(ctx context.Context) (next time.Time, err error) { panic("not built yet") }

// Filter narrows Messages. Zero fields do not.
type Filter struct {
	States                   []State
	To                       string // exact, as Normalize gives it
	Search                   string // part of the number or of the text
	Class                    Class
	Reference, Campaign, SIM string
	Since, Until             time.Time // of acceptance
	Limit                    int       // 0 is 50, at most 500
	Cursor                   string
}

// Message by its id.
func (s *Store) Message(ctx context.Context, id string) (Message, error) { panic("not built yet") }

// Messages lists, newest first; next is "" at the end.
func (s *Store) Messages(ctx context.Context, f Filter) (list []Message, next string, err error) {
	panic("not built yet")
}

// TimelineEntry is one thing that happened to a message.
type TimelineEntry struct {
	At time.Time
	// Event: accepted, gate, answer, report, and what history keeps: held,
	// released, queued, retry, uncertain, resolved, expired, cancelled, failed, …
	Event        string
	Segment      int // 0: the whole message
	Attempt      int // its number within the message, from 1; 0 none
	SIM, Modem   string
	MR           int    // -1 unknown
	Verdict      string // of an answer: accepted, rejected, ambiguous, not_sent, duplicate
	Status       int    // TP-ST of a report, -1 else
	Code, Detail string
}

// Timeline gives everything that happened to a message, oldest first.
func (s *Store) Timeline(ctx context.Context, id string) ([]TimelineEntry, error) {
	panic("not built yet")
}

// Depth counts the messages by state and class.
func (s *Store) Depth(ctx context.Context) (map[State]map[Class]int, error) { panic("not built yet") }

// Stats is what a dashboard shows.
type Stats struct {
	// Today counts the changes into each state since local midnight.
	Today map[State]int
	// Messages that the SMSC accepted whole, in the last minute, hour, day.
	SentMinute, SentHour, SentDay int
	Uncertain                     int // now
}

// Stats reads the counters; cheap.
func (s *Store) Stats(ctx context.Context) (Stats, error) { panic("not built yet") }

// SIMRow is what is kept of a SIM.
type SIMRow struct {
	ICCID, IMSI, Name   string
	Number              string // entered by a person
	OwnNumber           string // AT+CNUM
	Operator, SMSC      string
	Enabled, Emulated   bool
	FirstSeen, LastSeen time.Time
	SentTotal           int
	LastSentAt          time.Time
}

// SIMPatch changes what a person may change; nil leaves it.
type SIMPatch struct {
	Name, Number *string
	Enabled      *bool
}

// SawSIM records that a SIM is there: identity and what the network says, never
// what a person entered.
func (s *Store) SawSIM(ctx context.Context, r SIMRow) error { panic("not built yet") }

// SIMs that were ever seen, by name then ICCID.
func (s *Store) SIMs(ctx context.Context) ([]SIMRow, error) { panic("not built yet") }

// UpdateSIM changes a SIM; ErrNoSIM, ErrSIMName.
func (s *Store) UpdateSIM(ctx context.Context, iccid string, p SIMPatch) error {
	panic("not built yet")
}
