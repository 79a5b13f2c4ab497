package pool

import (
	"context"
	"slices"
	"time"

	"recado/queue"
	"recado/queue/failpoint"
)

const (
	// safetyRound is how often the dispatcher looks without having been told:
	// every hint is also sent, so this only bounds a mistake.
	safetyRound = 5 * time.Second
	// inboxRound is how often incomplete inbound messages are looked at.
	inboxRound = 30 * time.Second
)

// dispatch hands messages to idle lines. Busy lines pull for themselves
// (line.send). It goes round when it is told that something may leave, exactly
// when a pace, a limit, quiet hours or a send window end, and every safetyRound.
func (p *Pool) dispatch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	var next due
	last := time.Now()
	for {
		told, look := false, true
		select {
		case <-ctx.Done():
			return
		case <-p.work:
			told = true
		case <-alarm.C:
		case <-tick.C:
			look = next.come(time.Now(), p.clock)
		}
		now := time.Now()
		p.progressed.Store(int64(now.Sub(p.began)))
		failpoint.Hit(failpoint.DispatchRound)
		if all := now.Sub(last) >= safetyRound; look || all {
			if told || all {
				last = now
			}
			next = p.handOut(ctx, told, all)
			alarm.Reset(next.wait(now, p.clock.Now()))
		}
	}
}

// due is when the dispatcher has to look again for what it has not been told of.
type due struct {
	steady  time.Time // by the monotonic clock; zero: not for that
	wall    time.Time // by the time of day; zero: not for that
	trusted bool      // as the time of day was; it is another matter when that changes
}

// by makes it no later than t, by the monotonic clock.
func (d *due) by(t time.Time) {
	if !t.IsZero() && (d.steady.IsZero() || t.Before(d.steady)) {
		d.steady = t
	}
}

// at makes it no later than t, by the time of day.
func (d *due) at(t time.Time) {
	if !t.IsZero() && (d.wall.IsZero() || t.Before(d.wall)) {
		d.wall = t
	}
}

// come says that it has: also that somebody has set the clock.
func (d *due) come(now time.Time, c queue.Clock) bool {
	return d.trusted != c.Trusted() || !d.steady.IsZero() && !now.Before(d.steady) || !d.wall.IsZero() && !c.Now().Before(d.wall)
}

// wait is how long it is until then.
func (d *due) wait(now, wall time.Time) time.Duration {
	wait := time.Hour
	if !d.steady.IsZero() {
		wait = min(wait, d.steady.Sub(now))
	}
	if !d.wall.IsZero() {
		wait = min(wait, d.wall.Sub(wall))
	}
	return max(wait, time.Millisecond)
}

// handOut gives what waits to the lines that are idle, and says when there may be
// more that they could take. told: something may have come; all: what is kept in
// memory is looked up anew.
func (p *Pool) handOut(ctx context.Context, told, all bool) due {
	next := due{trusted: p.clock.Trusted()}
	rules := p.rules.Load()
	lines := p.all()
	if all {
		p.readLimits(ctx)
	}
	able := p.survey(ctx, rules, lines, &next)
	var here []string
	for sim, can := range able {
		if can.lanes.Has(queue.LaneNormal) {
			here = append(here, sim)
		}
	}
	p.wear.present(here)
	next.by(p.fallBack(ctx, rules, able, time.Now()))
	p.able.Store(&able)
	long := p.lengths(ctx, rules, lines, able)
	p.long.Store(&long)
	p.letGo(ctx, lines, told || all, &next)
	if p.paused.Load() || p.draining.Load() {
		return next
	}
	var idle []*line
	for _, l := range lines {
		if l.take() {
			idle = append(idle, l)
		} else {
			l.passOver()
		}
	}
	p.share(ctx, idle)
	next.by(p.wear.look(time.Now()))
	return next
}

// survey looks what each line's SIM could send now, were it idle, of those that
// could send anything. next becomes when that may change by itself.
func (p *Pool) survey(ctx context.Context, r *rules, lines []*line, next *due) map[string]ability {
	able := make(map[string]ability, len(lines))
	if !p.openLimits && len(r.quiet.Classes) > 0 {
		next.at(p.today(r).until)
	}
	for _, l := range lines {
		key := l.simKey()
		if key == "" {
			continue
		}
		p.look(ctx, key)
		ready, now := l.able(), time.Now()
		can := ability{doubtful: l.doubt(now) > 0, unproven: l.unproven()}
		_, can.mute = p.mute(key)
		p.simMu.Lock()
		sim := p.sims[key]
		if sim == nil {
			p.simMu.Unlock()
			continue
		}
		can.lanes, can.longest = queue.AllLanes&^sim.shut, sim.longest
		if now.Before(sim.moreAt) {
			next.by(sim.moreAt)
		}
		terms := p.terms(key)
		if now.Before(terms.pacedUntil) {
			next.by(terms.pacedUntil)
		}
		sim.closed = 0
		if window := terms.row.Window; !window.None() && !p.openLimits {
			open, change := windowUntil(window, p.clock.Now(), p.home)
			switch {
			case !next.trusted: // nobody knows whether it is open: what is urgent goes
				sim.closed = pacedLanes
			case !open:
				sim.closed = queue.AllLanes
			}
			next.at(change)
		}
		can.lanes &^= sim.closed
		p.simMu.Unlock()
		if ready && can.lanes != 0 {
			able[key] = can
		}
	}
	return able
}

// share gives the idle lines, which are taken, what they may have: one message
// each, the best first, and each to the line whose turn it is.
func (p *Pool) share(ctx context.Context, idle []*line) {
	asked := make([]queue.Line, len(idle))
	has := make([]standing, len(idle))
	var r *rules
	for len(idle) > 0 {
		// Each goes by the rules of its moment: they may have been changed since the
		// round began.
		now, last := time.Now(), r
		r = p.rules.Load()
		for i, l := range idle {
			if r != last {
				asked[i] = l.queueLine()
				has[i] = l.standing(asked[i].ICCID, r)
				has[i].candidate = l.candidate(now)
			}
			asked[i].Offer = p.offer(r, has[i])
		}
		c, who, err := p.store.ClaimFor(ctx, asked, func(h queue.Head, who []int) (int, string) {
			return p.choose(r, has, h, who)
		})
		if err != nil && ctx.Err() == nil {
			p.quietly("claiming a message", err)
		}
		if err != nil || c == nil {
			break // another line may have one pinned to its SIM
		}
		l := idle[who]
		p.took(c)
		l.holding(c)
		l.work <- c
		idle, asked, has = slices.Delete(idle, who, who+1), slices.Delete(asked, who, who+1), slices.Delete(has, who, who+1)
	}
	again := false
	for _, l := range idle {
		again = l.rest() || again
	}
	if again {
		p.kick()
	}
}

// keepTime does what is due at a time: scheduled messages, back-offs, expiry,
// the end of evidence windows, inbound messages that wait for segments.
func (p *Pool) keepTime(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var inboxAt time.Time
	u := upkeep{last: time.Now(), away: map[string]time.Time{}}
	for {
		p.timed.Store(int64(time.Since(p.began)))
		failpoint.Hit(failpoint.TimeRound)
		next, err := p.store.Wake(ctx)
		p.complain(ctx, "looking for messages that are due", err)
		p.keepUnkept(ctx)
		now := time.Now()
		if now.Sub(inboxAt) >= inboxRound {
			inboxAt = now
			p.complain(ctx, "looking for incomplete inbound messages", p.inbox.Tick(ctx))
		}
		p.round(ctx, &u, now)
		// A due time nearer than the next tick is met exactly.
		var due <-chan time.Time
		if d := next.Sub(p.clock.Now()); !next.IsZero() && d < time.Second {
			due = time.After(max(d, 10*time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-due:
		}
	}
}
