package queue

import (
	"context"
	"time"

	"recado/queue/sqlite"
)

// Steady is what a Clock may know beside the time of day. Intervals (back-offs,
// evidence windows, rates) go by it, so that nobody who sets the clock makes
// them shorter or longer. A Clock without it is never set.
type Steady interface {
	// Steady is a time that only passes; over a restart of the box it goes on.
	Steady() time.Time
	// Instant is all of it at one moment, and how often the box was started: no
	// clock is set between its parts. firm: what is over by now may end for that;
	// not while now is a time that was leapt to just lately.
	Instant() (now, steady time.Time, boot int64, trusted, firm bool)
}

// Calendar is what a Steady clock may know of the day, while it is trusted and not
// firm.
type Calendar interface {
	// Day says that a new day has begun if Now says so, for a person or somebody beside
	// the network does; else when, by Now, the clock will be firm if nobody contradicts
	// it.
	Day() (known bool, firm time.Time)
}

// SteadyNow is the steady clock of c.
func SteadyNow(c Clock) time.Time {
	if s, ok := c.(Steady); ok {
		return s.Steady()
	}
	return c.Now()
}

// instant is now, by both clocks, as one piece of work sees it.
type instant struct {
	now     time.Time // the time of day; what it decides needs trusted
	steady  int64     // Unix ms of the steady clock
	trusted bool
	// firm: what is over by it may end for that. Else it only is not begun.
	firm bool
	// dated: a new day or month of the limits may begin by it. Else, where rests is
	// set, one may from then on by this clock.
	dated bool
	rests time.Time
	boot  int64
	// least is a time that is certainly over; zero when none is known.
	least time.Time
}

func (s *Store) instant() instant {
	c, ok := s.clock.(Steady)
	if !ok {
		n := instant{trusted: s.clock.Trusted(), now: s.clock.Now()}
		n.steady, n.firm, n.dated = ms(n.now), n.trusted, n.trusted
		return n
	}
	now, steady, boot, trusted, firm := c.Instant()
	n := instant{now: now, steady: ms(steady), boot: boot, trusted: trusted, firm: firm, dated: firm}
	if k, ok := s.clock.(Calendar); ok && trusted && !firm {
		n.dated, n.rests = k.Day()
	}
	if k, ok := s.clock.(interface{ AtLeast() time.Time }); ok && !trusted {
		switch n.least = k.AtLeast(); {
		case n.least.UnixMilli() > 0:
		case now.Year() >= 2026: // a clock that is set, by whomever; this program was not there before
			n.least = now
		default:
			n.least = time.Time{}
		}
	}
	return n
}

// line is how far the time of day is ahead of the steady clock.
func (n instant) line() int64 { return ms(n.now) - n.steady }

// day is the time of day at a time of the steady clock.
func (n instant) day(steady int64) time.Time {
	return n.now.Add(time.Duration(steady-n.steady) * time.Millisecond)
}

// steadyAt is the steady clock at a time of day that has just been taken.
func (s *Store) steadyAt(just time.Time) time.Time {
	c, ok := s.clock.(Steady)
	switch {
	case ok:
		return c.Steady()
	case just.IsZero():
		return s.clock.Now()
	}
	return just
}

// longestWait is more than any back-off or evidence window: a wait that ends
// later was of another clock.
const longestWait = 24 * time.Hour

// shortenSQL looks only at what waits: a partial index is used where its own
// condition is repeated.
var shortenSQL = []string{
	`UPDATE message INDEXED BY message_backoff SET not_before = ?1 WHERE not_before > ?1 AND not_before > 0 AND state IN ('queued','sending')`,
	`UPDATE message INDEXED BY message_decide SET decide_at = ?1 WHERE decide_at > ?1 AND decide_at > 0`,
	`UPDATE message INDEXED BY message_avoid SET avoid_until = ?1 WHERE avoid_until > ?1 AND avoid_until > 0`,
}

// shortenWaits ends the waits that a clock which was set has made endless: those
// of the versions before there was a steady one, and of a file from elsewhere.
func (s *Store) shortenWaits(ctx context.Context) error {
	now := s.instant().steady
	most := now + longestWait.Milliseconds()
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for _, query := range shortenSQL {
			if _, err := tx.Exec(query, most); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(shortenPrefer, now+longestPatience.Milliseconds()); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE sim SET credit_asked = ?1 WHERE credit_asked > ?1`, now)
		return err
	})
}
