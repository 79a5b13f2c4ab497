package inbox

import (
	"log/slog"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// Options for New.
type Options struct {
	// Clock; nil is the system's clock.
	Clock queue.Clock
	Log   *slog.Logger
}

// Store keeps what was received. Its methods may be called by any goroutine; it
// starts none of its own.
type Store struct {
	db    *sqlite.DB
	queue *queue.Store
	clock queue.Clock
	log   *slog.Logger

	keeping keeping // by Tick
}

// New makes the Store over an open database. Its events go out through q.
func New(db *sqlite.DB, q *queue.Store, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	return &Store{db: db, queue: q, clock: o.Clock, log: o.Log}
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }
func (systemClock) Trusted() bool  { return true }

// ms is a time as the schema keeps it; 0 for the zero time.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// maxMS is the end of the year 9999.
const maxMS = 253402300799999

// at is ms undone.
func at(ms int64) time.Time {
	if ms <= 0 || ms > maxMS { // a damaged row's: no clock gave it
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
