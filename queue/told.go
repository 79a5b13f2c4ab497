package queue

import (
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// MessageEvent is the data of a message.* event: the API's message without its
// text.
type MessageEvent struct {
	ID                string         `json:"id"`
	To                string         `json:"to"`
	From              *string        `json:"from"`
	Class             Class          `json:"class"`
	State             State          `json:"state"`
	Reason            *string        `json:"reason"`
	Reference         *string        `json:"reference"`
	Encoding          string         `json:"encoding"`
	Delivery          Delivery       `json:"delivery"`
	SIM               *string        `json:"sim"`
	Campaign          *string        `json:"campaign"`
	Segments          []SegmentEvent `json:"segments"`
	Attempts          int            `json:"attempts"`
	PossibleDuplicate bool           `json:"possible_duplicate"`
	CreatedAt         *time.Time     `json:"created_at"`
	SendAt            *time.Time     `json:"send_at"`
	ExpiresAt         *time.Time     `json:"expires_at"`
	SentAt            *time.Time     `json:"sent_at"`
	DeliveredAt       *time.Time     `json:"delivered_at"`
	Error             *ErrorEvent    `json:"error"`
}

// SegmentEvent is one segment of a MessageEvent.
type SegmentEvent struct {
	N            int          `json:"n"`
	State        SegmentState `json:"state"`
	MR           *int         `json:"mr"`
	SentAt       *time.Time   `json:"sent_at"`
	ReportAt     *time.Time   `json:"report_at"`
	ReportStatus *int         `json:"report_status"`
}

// ErrorEvent is the last error of a MessageEvent.
type ErrorEvent struct {
	Code   string `json:"code"`
	Class  string `json:"class"`
	Detail string `json:"detail"`
}

// EventOf is the message as events carry it.
func EventOf(m Message) MessageEvent {
	e := MessageEvent{
		ID: m.ID, To: m.To, From: said(m.From), Class: m.Class, State: m.State, Reason: said(m.Reason), Reference: said(m.Reference),
		Encoding: m.Encoding, Delivery: m.Delivery, SIM: said(m.SIM), Campaign: said(m.Campaign), Attempts: m.Attempts,
		PossibleDuplicate: m.PossibleDuplicate, CreatedAt: moment(m.CreatedAt), SendAt: moment(m.SendAt),
		ExpiresAt: moment(m.ExpiresAt), SentAt: moment(m.SentAt), DeliveredAt: moment(m.DeliveredAt),
		Segments: make([]SegmentEvent, len(m.Segments)),
	}
	if m.Preferred { // it may leave on another
		e.SIM = nil
	}
	for i, g := range m.Segments {
		e.Segments[i] = SegmentEvent{N: g.N, State: g.State, MR: known(g.MR), SentAt: moment(g.SentAt),
			ReportAt: moment(g.ReportAt), ReportStatus: known(g.ReportStatus)}
	}
	if m.Error != nil {
		e.Error = &ErrorEvent{m.Error.Code, m.Error.Class, m.Error.Detail}
	}
	return e
}

// said is null in JSON for "".
func said(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// moment is null in JSON for the zero time; else in the milliseconds that are
// kept, so that an event and the API give the same.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// known is null in JSON for -1.
func known(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

// told are the states whose entering is an event.
var told = map[State]string{
	Held: "message.held", Sent: "message.sent", Delivered: "message.delivered", Undelivered: "message.undelivered",
	Uncertain: "message.uncertain", Failed: "message.failed", Expired: "message.expired", Cancelled: "message.cancelled",
}

// sent says that the SMSC has taken the whole message.
func (s State) sent() bool { return s == Sent || s == Delivered || s == Undelivered }

// entered records that the message came from one state into another: the day's
// count, the event, the metrics; nothing of a canary's, which nobody wrote to anybody. One that a report shows to be delivered before
// it was known to be sent counts as both.
func (s *Store) entered(tx *sqlite.Tx, r *record, was State) error {
	if r.keyID == CanaryReference {
		tx.AfterCommit(s.changed)
		return nil
	}
	now := s.clock.Now()
	counted := []State{r.State}
	sent := r.State.sent() && !was.sent()
	if sent && r.State != Sent {
		counted = append(counted, Sent)
	}
	for _, state := range counted {
		if _, err := tx.Exec(`INSERT INTO daily (day, state, n) VALUES (?, ?, 1) ON CONFLICT (day, state) DO UPDATE SET n = n + 1`,
			day(now), string(state)); err != nil {
			return fmt.Errorf("count: %w", err)
		}
	}
	class := r.Class
	tx.AfterCommit(func() {
		for _, state := range counted {
			s.metrics.entered(state, class)
		}
		if sent {
			s.rate.add(at(s.instant().steady))
		}
	})
	typ, ok := told[r.State]
	if !ok {
		return nil
	}
	return s.AppendEvent(tx, typ, EventOf(r.Message))
}

// day is the local day that the counts of "today" go by.
func day(t time.Time) string { return t.Local().Format(time.DateOnly) }
