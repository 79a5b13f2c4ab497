package pool

import (
	"context"
	"math"
	"strconv"
	"time"

	"recado/modem"
	"recado/queue"
)

const (
	// letGoAfter is how long a SIM is away before what only prefers it leaves on
	// others; what a limit, its hours, a fault or a person keeps from sending lets go at
	// once.
	letGoAfter = 10 * time.Second
	// letGoRound is how often, at most, that is looked for of one that cannot send.
	letGoRound = 250 * time.Millisecond
)

// Limits of a SIM, what is used of them and what it may still send. ErrNoSIM.
func (p *Pool) Limits(ctx context.Context, iccid string) (queue.SIMLimits, error) {
	return p.store.Limits(ctx, iccid)
}

// SetLimits changes a SIM's limits, in force from the return on: ErrNoSIM,
// *queue.Invalid.
func (p *Pool) SetLimits(ctx context.Context, iccid string, patch queue.LimitsPatch) error {
	if err := p.store.SetLimits(ctx, iccid, patch); err != nil {
		return err
	}
	p.readLimits(ctx)
	p.look(ctx, iccid)
	p.kick()
	return nil
}

// limited is told that a SIM has come near a limit, has reached it or is free of
// it again. It is called on the store's writer.
func (p *Pool) limited(iccid string, near bool, l queue.LimitUse) { p.kick() }

// readLimits reads the SIMs' limits a minute, which their paces are made of.
func (p *Pool) readLimits(ctx context.Context) {
	all, err := p.store.AllLimits(ctx)
	if err != nil {
		p.complain(ctx, "reading the SIMs' limits", err)
		return
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	for key, limits := range all {
		r := p.sims[key]
		if r == nil {
			continue
		}
		r.perMinute = 0
		for _, l := range limits.Limits {
			if l.Window == queue.WindowMinute {
				r.perMinute = l.MaxSegments
			}
		}
	}
}

// leftOf is the smallest share that is left of a SIM's limits, 0–1.
func (p *Pool) leftOf(key string) float64 {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	if r := p.sims[key]; r != nil {
		return r.left
	}
	return 1
}

// waitsForRoom says that what a SIM has just sent has it wait for more room sooner than
// the dispatcher, who looked before, knows. The store tells only that a limit is
// reached, once: not that it is again, nor that bulk's part of it is.
func (p *Pool) waitsForRoom(ctx context.Context, key string) bool {
	was := p.moreAt(key)
	p.look(ctx, key)
	is := p.moreAt(key)
	return !is.IsZero() && (is.Before(was) || !was.After(time.Now()))
}

// moreAt is when a SIM has more room, as far as one knew; zero: it waits for none.
func (p *Pool) moreAt(key string) time.Time {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	if r := p.sims[key]; r != nil {
		return r.moreAt
	}
	return time.Time{}
}

// look notes what a SIM may send by its limits now.
func (p *Pool) look(ctx context.Context, key string) {
	room, err := p.store.Room(ctx, key)
	if err != nil {
		p.complain(ctx, "reading what a SIM may still send", err)
		return
	}
	now := time.Now()
	p.simMu.Lock()
	r := p.sims[key]
	if r == nil {
		p.simMu.Unlock()
		return
	}
	r.left, r.moreAt = room.Left, time.Time{}
	if !room.Until.IsZero() {
		// The schema counts in whole milliseconds.
		r.moreAt = now.Add(room.Until.Sub(queue.SteadyNow(p.clock)) + 2*time.Millisecond)
	}
	// A lane that has room again in a moment is not shut for that, as it is not for a
	// pace; one that is stays so until it has.
	shut, strangers := queue.Lanes(0), queue.Lanes(0)
	for lane := range lanes {
		if room.Segments[lane] > 0 && room.Recipients[lane] > 0 {
			continue
		}
		opens := room.Opens[lane]
		if r.shut.Has(lane) || opens.IsZero() || opens.Sub(queue.SteadyNow(p.clock)) > momentOf(lane, pause(p.terms(key).pace(), 0.5)) {
			shut |= 1 << lane
			if room.Segments[lane] > 0 {
				strangers |= 1 << lane
			}
		}
	}
	full := shut.Has(queue.LaneNormal) && room.Segments[queue.LaneNormal] <= 0
	capped := !full && shut.Has(queue.LaneNormal)
	changed := full != r.full || capped != r.capped
	r.full, r.capped, r.tight, r.shut, r.strangers, r.longest = full, capped, room.Tight, shut, strangers, room.Longest
	p.simMu.Unlock()
	if changed {
		p.hintAll(key) // its state is another
	}
}

// momentOf is how soon a SIM of a pace must have room again in a lane for its limits
// not to count as reached: soon, or, what keeps the pace, as that has it wait. That is
// as fast as the minute allows, so chance decides which of them is in the way.
func momentOf(lane int, pace time.Duration) time.Duration {
	if !pacedLanes.Has(lane) {
		return letGoAfter
	}
	return max(letGoAfter, 3*pace)
}

// letGo lets what only prefers a SIM leave on others, when that SIM cannot send it:
// at once when a limit, its hours, a fault or a person is in the way, or when it does
// not receive; after letGoAfter when it is away. told: something may prefer it since
// the last time.
func (p *Pool) letGo(ctx context.Context, lines []*line, told bool, next *due) {
	now := time.Now()
	can, faulty := map[string]bool{}, map[string]bool{}
	for _, l := range lines {
		key := l.simKey()
		_, mute := p.mute(key)
		switch {
		case key == "":
		case mute, !l.able() && !l.comesBack():
			faulty[key] = true
		case l.able():
			can[key] = true
		}
	}
	free := map[string]queue.Refusal{}
	p.simMu.Lock()
	for key, r := range p.sims {
		shut := r.refuses()
		switch {
		case !p.terms(key).row.Enabled, p.terms(key).row.Paused, faulty[key]:
			shut.Lanes = queue.AllLanes
		case can[key]:
			r.fled = time.Time{}
		case r.fled.IsZero():
			r.fled = now
		}
		if !r.fled.IsZero() && shut.Lanes != queue.AllLanes {
			if due := r.fled.Add(letGoAfter); now.Before(due) {
				next.by(due)
			} else {
				shut.Lanes = queue.AllLanes
			}
		}
		r.unfreed = !shut.None() && (r.unfreed || told || shut != r.refused)
		switch due := r.freed.Add(letGoRound); {
		case shut.None():
			r.refused = shut
		case !now.Before(due):
			r.freed, r.refused, r.unfreed = now, shut, false
			free[key] = shut
		case r.unfreed:
			next.by(due)
		}
	}
	p.simMu.Unlock()
	if len(free) == 0 {
		return
	}
	preferred, err := p.store.Preferred(ctx)
	if err != nil {
		p.complain(ctx, "looking what prefers a SIM that cannot send", err)
		return
	}
	for _, key := range preferred {
		shut, is := free[key]
		if !is {
			continue
		}
		if _, err := p.store.LetGoOf(ctx, key, shut); err != nil {
			p.complain(ctx, "letting go what prefers a SIM", err)
			return
		}
	}
}

// refuses is what may not leave on the SIM, by its limits and its hours; simMu is
// held.
func (r *simRecord) refuses() queue.Refusal {
	no := queue.Refusal{Lanes: r.shut&^r.strangers | r.closed, Strangers: r.strangers &^ r.closed, Longest: r.longest}
	for lane := range no.Longest {
		if no.Longest[lane] == 0 { // it is shut, or opens in a moment, or nobody has looked yet
			no.Longest[lane] = math.MaxInt
		}
	}
	return no
}

// comesBack says that a line which cannot send will be able to in a moment, as
// far as one knows.
func (l *line) comesBack() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.leaving, l.twin != "", l.p.held(l.key) != "", l.p.noCredit(l.key) != "", l.p.muteWhy(l.key) != "",
		l.quarantine(time.Now()) != "":
		return false
	}
	return l.heard.State != modem.StateSIMBlocked && l.heard.State != modem.StateSIMDenied
}

// tightest are the facts of the limit that is used up most.
func (s SIM) tightest() []string {
	var facts []string
	best := 0.0
	for _, l := range s.Limits.Limits {
		for _, part := range [][2]int{{l.UsedSegments, l.MaxSegments}, {l.UsedRecipients, l.MaxRecipients}} {
			if part[1] == 0 {
				continue
			}
			if share := float64(part[0]) / float64(part[1]); share > best {
				best, facts = share, []string{"used", strconv.Itoa(part[0]), "most", strconv.Itoa(part[1])}
			}
		}
	}
	return facts
}
