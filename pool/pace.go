package pool

import (
	"math"
	"math/rand/v2"
	"time"

	"recado/queue"
)

const (
	// paceJitter is by what part a pause between two submissions is shorter or
	// longer than the SIM's pace says: even pauses are a machine's.
	paceJitter = 0.3
)

// pacedLanes keep a SIM's pace; what is urgent goes at once.
const pacedLanes queue.Lanes = 1<<queue.LaneNormal | 1<<queue.LaneBulk

// pause is how long a SIM waits after a submission before the next one that its
// pace binds. chance is 0–1.
func pause(perMinute int, chance float64) time.Duration {
	if perMinute <= 0 {
		return 0
	}
	even := float64(time.Minute) / float64(perMinute)
	return time.Duration(math.Round(even * (1 + paceJitter*(2*chance-1))))
}

// paceOf is a SIM's pace in submissions a minute, 0 none: what a person chose,
// else of a real SIM its limit a minute, spread evenly.
func paceOf(chosen int, emulated bool, perMinute int) int {
	switch {
	case chosen != 0:
		return max(chosen, 0)
	case emulated:
		return 0
	}
	return perMinute
}

// opens says whether a SIM's send window is open at a local time.
func opens(w queue.SendWindow, local time.Time) bool {
	m := 60*local.Hour() + local.Minute()
	day := (int(local.Weekday()) + 6) % 7 // from Monday
	on := func(day int) bool { return w.Days>>day&1 == 1 }
	switch {
	case w.None():
		return true
	case w.From == w.To:
		return on(day)
	case w.From < w.To:
		return w.From <= m && m < w.To && on(day)
	case m >= w.From:
		return on(day)
	}
	return m < w.To && on((day+6)%7) // it began yesterday
}

// windowUntil says whether a SIM's send window is open, and when that changes;
// zero: not soon.
func windowUntil(w queue.SendWindow, t time.Time, home *time.Location) (open bool, change time.Time) {
	if w.None() {
		return true, time.Time{}
	}
	is := func(t time.Time) bool { return opens(w, t.In(home)) }
	return changes(t, []*time.Location{home}, is, 0, Minute(w.From), Minute(w.To))
}

// used notes that a submission has left on a SIM: the next one that its pace
// binds waits, and others have their turn. quality is its line's.
func (p *Pool) used(c *queue.Claimed, when time.Time, quality float64) {
	key := c.Line.ICCID
	left := 1.0
	p.simMu.Lock()
	if r := p.sims[key]; r != nil {
		left = r.left
		r = p.terms(key)
		// What is urgent is bound by no pace and moves none: many codes would keep
		// the rest from ever leaving.
		if wait := pause(r.pace(), rand.Float64()); wait > 0 && !p.openLimits && pacedLanes.Has(queue.Lane(c.Message.Class)) {
			r.pacedUntil = when.Add(wait)
		}
	}
	p.simMu.Unlock()

	to := p.rules.Load().routeOf(c.Message.Bucket)
	if to == nil || to.weight(key) == 0 {
		p.wear.use(allTraffic, key, 1, left*quality, useOf(c))
		return
	}
	p.wear.use(to.ID, key, to.weight(key), left*quality, useOf(c))
	if to.uneven {
		p.kick() // another may have waited for this one's turn
	}
}

// useOf is a claimed message's submission, as wear counts it.
func useOf(c *queue.Claimed) use {
	u := use{message: c.Message.Seq}
	switch c.Why {
	case queue.WhyPinned, queue.WhySticky, queue.WhyBound:
	default:
		u.turn = c.Next == 0 && pacedLanes.Has(queue.Lane(c.Message.Class))
	}
	return u
}

// paced says that a SIM's pace has it wait now.
func (p *Pool) paced(key string) bool {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.terms(key)
	return r != nil && time.Now().Before(r.pacedUntil)
}

// pace is the SIM's in submissions a minute, 0 none; simMu is held.
func (r *simRecord) pace() int { return paceOf(r.row.Pace, r.row.Emulated, r.perMinute) }
