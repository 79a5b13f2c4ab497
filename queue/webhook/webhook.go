// Package webhook tells other programs what happens: it keeps the endpoints and
// the outbox, and delivers events over HTTP as Standard Webhooks lays down.
//
// What it promises: every event that an active endpoint wants is delivered at
// least once, or ends as a dead letter that can be replayed, or was erased. A
// change of state writes its event in its own transaction (queue.AppendEvent).
// Each endpoint has a cursor over the events; the rows of the outbox are made
// from them in the transaction that moves the cursor, so that no event falls
// between commit and delivery wherever the program dies, and a transaction of the
// queue pays nothing for webhooks. An answer is marked after it came: dying
// between the two delivers again, with the same webhook-id. What is kept in
// memory does not grow with what waits.
//
// Order is kept as far as it goes: one request at a time, oldest first, until an
// endpoint falls behind. What fails is put back and blocks nothing behind it; the
// sequence number in the body says the true order.
package webhook

import (
	"encoding/json"
	"errors"
	"time"
)

const (
	// MaxEndpoints that may be kept.
	MaxEndpoints = 32
	// RotationOverlap is how long the old secret signs beside the new one.
	RotationOverlap = 24 * time.Hour
)

// Sentinels that callers branch on.
var (
	ErrNotFound   = errors.New("no such webhook")
	ErrNoDelivery = errors.New("no such delivery")
	// ErrErased: the event of a delivery is not kept any more.
	ErrErased = errors.New("the event is not kept any more: it cannot be sent again")
	// ErrTooMany: MaxEndpoints are there already.
	ErrTooMany = errors.New("there are 32 webhooks already: delete one that is not needed")
	// ErrBusy: so many tests run that another has to wait.
	ErrBusy = errors.New("too many tests run at this moment: try again in a few seconds")
	// ErrSealed: the secret cannot be read; most likely the key is another.
	ErrSealed = errors.New("the secret cannot be read with this recado.key: rotate it")
)

// Health of an endpoint.
const (
	HealthNew     = "new"     // nothing was delivered yet
	HealthOK      = "ok"      // the last attempts arrived
	HealthFailing = "failing" // the last three attempts or more failed
	HealthOff     = "off"     // switched off by somebody
	HealthGone    = "gone"    // switched off because it answered 410
)

// failingAfter is how many failures in a row make an endpoint fail in others' eyes.
const failingAfter = 3

// Endpoint is where events go.
type Endpoint struct {
	ID           string // UUIDv7
	URL          string
	Events       []string // patterns: message.sent, message.*, *
	Description  string
	Active       bool
	AllowPrivate bool // private networks, their ports, and http
	CreatedAt    time.Time
	// OldSecretUntil is when the secret before the last rotation stops signing;
	// zero: there is none.
	OldSecretUntil time.Time

	Health       string
	FailingSince time.Time // zero unless HealthFailing
	LastError    string    // of the last attempt; "" it arrived
	LastStatus   int       // HTTP's, of the last answer; 0 none
	LastAttempt  time.Time
	LastSuccess  time.Time
	Pending      int // deliveries that wait
	Dead         int // deliveries that were given up
}

// Change says what shall be otherwise; nil leaves a field as it is.
type Change struct {
	URL, Description     *string
	Events               []string // nil: as they are
	Active, AllowPrivate *bool
}

// State of a delivery.
type State string

const (
	Pending   State = "pending"   // waits for its first or next attempt
	Delivered State = "delivered" // answered 2xx
	Dead      State = "dead"      // given up after 72 h, or refused for good; Replay makes it pending
	Skipped   State = "skipped"   // the event was erased before it arrived
	Failed    State = "failed"    // a test, which is not tried again
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID        string // UUIDv7
	Webhook   string
	Sequence  int64 // the event's
	EventID   string
	Type      string
	State     State
	Attempts  int
	Status    int    // HTTP's, of the last answer; 0 none
	Error     string // why the last attempt failed
	CreatedAt time.Time
	TriedAt   time.Time
	NextAt    time.Time // by the clock as it is now; zero unless Pending
	DoneAt    time.Time
}

// Body is what is posted.
type Body struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // when it happened
	Sequence  int64           `json:"sequence"`
	Data      json.RawMessage `json:"data"`
	// ClockTrusted is there, and false, while the box does not know the time.
	ClockTrusted *bool `json:"clock_trusted,omitempty"`
}
