package pool

import (
	"context"
	"slices"
	"time"

	"recado/queue/failpoint"
)

const (
	// safetyRound is how often the dispatcher looks without having been told:
	// every hint is also sent, so this only bounds a mistake.
	safetyRound = 5 * time.Second
	// inboxRound is how often incomplete inbound messages are looked at.
	inboxRound = 30 * time.Second
)

// dispatch hands messages to idle lines, the one that rested longest first, so
// that the SIMs are used evenly also when there is little to do. Busy lines pull
// for themselves (line.send).
func (p *Pool) dispatch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		told := true
		select {
		case <-ctx.Done():
			return
		case <-p.work:
		case <-tick.C:
			told = false
		}
		now := time.Now()
		p.progressed.Store(int64(now.Sub(p.began)))
		failpoint.Hit(failpoint.DispatchRound)
		if told || now.Sub(last) >= safetyRound {
			last = now
			p.handOut(ctx)
		}
	}
}

func (p *Pool) handOut(ctx context.Context) {
	if p.paused.Load() || p.draining.Load() {
		return
	}
	idle := slices.DeleteFunc(p.all(), func(l *line) bool {
		if l.takeable() {
			return false
		}
		l.passOver()
		return true
	})
	used := make(map[*line]time.Time, len(idle))
	for _, l := range idle {
		used[l] = l.lastUsed()
	}
	slices.SortStableFunc(idle, func(a, b *line) int { return used[a].Compare(used[b]) })
	for _, l := range idle {
		if !l.take() {
			continue
		}
		c, err := p.store.Claim(ctx, l.queueLine())
		if err != nil {
			_ = l.rest()
			if ctx.Err() == nil {
				p.quietly("claiming a message", err)
			}
			return
		}
		if c == nil {
			_ = l.rest() // another line may have one pinned to its SIM
			continue
		}
		l.holding(c)
		l.work <- c
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
