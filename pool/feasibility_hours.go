package pool

import "time"

// Hours say when something may be sent.
type Hours interface {
	// At says whether that is so at t, and until when it stays so: after t, or
	// zero when it stays for ever.
	At(t time.Time) (open bool, until time.Time)
}

// gate is Hours in a simulation's time, asked only when they change.
type gate struct {
	hours Hours
	now   time.Time
	open  bool
	until time.Duration // from when on it has to be asked again
}

func newGate(h Hours, now time.Time) gate {
	if h == nil {
		return gate{open: true, until: never}
	}
	return gate{hours: h, now: now}
}

// at says whether it is open, and until when it stays as it is.
func (g *gate) at(t time.Duration) (open bool, until time.Duration) {
	for rounds := 0; t >= g.until && g.until != never; rounds++ {
		open, until := g.hours.At(g.now.Add(t))
		g.open = open
		switch next := until.Sub(g.now); {
		case until.IsZero():
			g.until = never
		case next <= t: // it says nothing of use: look again later
			g.until = t + time.Minute
		default:
			g.until = next
		}
	}
	return g.open, g.until
}

// calendar is one of a limit's two windows that begin anew by the local time of
// day.
type calendar struct {
	next func(time.Time) time.Time // after t; nil: it never begins anew
	ends time.Duration
}

// over says that the window has begun anew by t, and works out its next end.
func (c *calendar) over(now time.Time, t time.Duration) bool {
	if c.next == nil || t < c.ends {
		return false
	}
	c.ends = c.next(now.Add(t)).Sub(now)
	if c.ends <= t {
		c.ends = t + time.Hour
	}
	return true
}

// nextDay is the local midnight after t.
func nextDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, t.Location())
}

// nextMonth is the local midnight after t on which a billing month begins that
// begins on that day, or on the month's last in a shorter one.
func nextMonth(t time.Time, day int) time.Time {
	y, m, _ := t.Date()
	for i := range 3 {
		first := time.Date(y, m+time.Month(i), 1, 0, 0, 0, 0, t.Location())
		last := time.Date(y, m+time.Month(i)+1, 0, 0, 0, 0, 0, t.Location()).Day()
		if begins := time.Date(first.Year(), first.Month(), min(max(day, 1), last), 0, 0, 0, 0, t.Location()); begins.After(t) {
			return begins
		}
	}
	return t.AddDate(0, 1, 0)
}
