package pool

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"recado/modem"
	"recado/queue"
)

const (
	// A SIM that was never asked, or not for longer than it should, is asked some
	// minutes after it was first seen in this run.
	balanceFirst, balanceFirstMost = 2 * time.Minute, 10 * time.Minute
	// balanceIdle is how long a line has had nothing to send before it asks.
	balanceIdle = time.Minute
	// balanceAgain is the pause after a question that came to nothing, and doubles;
	// an answer that cannot be read will be the same tomorrow.
	balanceAgain, balanceAgainMost = 10 * time.Minute, 24 * time.Hour
	// A SIM without credit is asked again for a top-up, ever less often.
	topUpFirst, topUpMost = 15 * time.Minute, 6 * time.Hour
	// Where nobody can ask, or something is left, a message is tried as well.
	tryFirst, tryMost = 30 * time.Minute, 6 * time.Hour
	// balancePatience is how long a balance that is due waits for a line that is never
	// idle; then messages wait for it, up to balanceYieldAsked.
	balancePatience = 2 * time.Hour
	// balanceBusyGap is the pause after messages went before such a question.
	balanceBusyGap = time.Hour
	// personPause is how long a person's own USSD dialogue is left alone.
	personPause = 5 * time.Minute
	// balanceGap is the least time between two questions that nobody asked.
	balanceGap = 10 * time.Minute
	// refusalsToAsk refusals in a row that want of credit brings, and others bring
	// as well, have the balance asked for.
	refusalsToAsk = 2
	// repeatsToCount refusals in a row of messages that were refused before do not
	// count among them.
	repeatsToCount = 6
)

// asked notes how a question ended; credits.mu is held.
func (c *simCredit) asked(r queue.CreditReading, err error) {
	now := time.Now()
	c.lastAsked = now
	gap := balanceGap
	if !c.busySince.IsZero() && now.Sub(c.busySince) >= balancePatience {
		gap = balanceBusyGap
	}
	if err == nil {
		c.busySince = time.Time{}
	}
	switch {
	case err == nil && r.Error == "":
		c.err, c.failures = "", 0
		c.notBefore = now.Add(balanceGap)
	case err == nil && (r.Error == balanceUnreadable || r.Error == balanceMany):
		c.err = r.Error
		c.failures++
		c.notBefore = now.Add(balanceAgainMost)
	case err == nil:
		c.err = r.Error
		c.failures++
		c.notBefore = now.Add(backoff(balanceAgain, c.failures-1, balanceAgainMost))
	case errors.Is(err, ErrBalanceInterrupted), errors.Is(err, modem.ErrUSSDBusy), errors.Is(err, modem.ErrNotReady), errors.Is(err, context.Canceled):
		c.notBefore = now.Add(gap)
	default:
		c.failures++
		c.notBefore = now.Add(backoff(balanceAgain, c.failures-1, balanceAgainMost))
	}
	if c.Stop > queue.CreditGoes && err == nil {
		c.stops++
		if r.Error == "" {
			c.notBefore = now.Add(backoff(topUpFirst, c.stops-1, topUpMost))
		}
	} else if err == nil && r.Known {
		c.stops, c.tries = 0, 0
	}
}

// dueLocked is when a SIM's balance is asked for without a person; false: it is
// not. The lock of credits is held.
func (p *Pool) dueLocked(c *simCredit, s SIM, way CreditWay) (time.Time, bool) {
	b, now := &p.credit, p.clock.Now()
	floor := now
	if wait := time.Until(c.notBefore); wait > 0 {
		floor = now.Add(wait)
	}
	if way.Code == "" || b.settings.Check == queue.CreditNever {
		return time.Time{}, false
	}
	if b.settings.Check != queue.CreditAlways && !way.trusted() && !s.Emulated {
		return time.Time{}, false // nobody knows what the code does, or costs
	}
	last := c.At
	if last.After(now) {
		last = time.Time{}
	}
	if way.charges() && !c.AskedAt.IsZero() { // the operator counts what is dialled, not what it answers
		last = now.Add(min(0, c.AskedAt.Sub(queue.SteadyNow(p.clock))))
	}
	if c.Stop > queue.CreditGoes || c.refusals >= refusalsToAsk { // the network itself gives cause
		if free := last.Add(way.Every); way.charges() && !last.IsZero() && free.After(floor) {
			floor = free
		}
		return floor, true
	}
	if !p.clock.Trusted() {
		return time.Time{}, false
	}
	if last.IsZero() {
		return floor, true
	}
	if at := quietTime(last, way.Every, b.settings, s.ICCID); at.After(floor) {
		return at, true
	}
	return floor, true
}

// quietTime is the first quiet time after every has passed since last, but for the
// hours by which one quiet time differs from the next, with a part of it that is
// the SIM's own on that day.
func quietTime(last time.Time, every time.Duration, set queue.CreditSettings, iccid string) time.Time {
	length := time.Duration((set.To-set.From+minutesDay)%minutesDay) * time.Minute
	earliest := last.Add(every - length - time.Hour).Local()
	y, m, d := earliest.Date()
	for ; ; d++ {
		begin := time.Date(y, m, d, 0, set.From, 0, 0, time.Local)
		if begin.Before(earliest) {
			continue
		}
		h := fnv.New64a()
		_, _ = h.Write([]byte(iccid + begin.Format(time.DateOnly)))
		return begin.Add(time.Duration(h.Sum64() % uint64(max(length, time.Minute))))
	}
}

// creditRound asks, at most one at a time, a line that has nothing to do for the
// balance that is due, and lets the SIMs try that nobody can ask.
func (p *Pool) creditRound(ctx context.Context) {
	if p.draining.Load() {
		return
	}
	sims, err := p.SIMs(ctx)
	if err != nil {
		p.complain(ctx, "looking for balances that are due", err)
		return
	}
	for _, l := range p.all() {
		key := l.simKey()
		i := slices.IndexFunc(sims, func(s SIM) bool { return s.ICCID == key })
		if i < 0 || !l.hasSIM(key) {
			continue
		}
		s := sims[i]
		p.tryWithout(ctx, s)
		if p.paused.Load() || !s.Enabled || s.Paused {
			continue // a person wants nothing to leave
		}
		idle := l.idleFor() >= p.idleWanted(key) && l.modem.Snapshot().State == modem.StateReady
		yield := balanceYield
		if !idle {
			yield = balanceYieldAsked
		}
		if way, ok := p.beginBalance(s, idle); ok {
			p.wg.Go(func() {
				defer p.endBalance()
				if _, err := p.askBalance(ctx, l, key, way, yield); err != nil && ctx.Err() == nil {
					p.log.Info("the question for a balance came to nothing", "port", l.port.Name, "error", err)
				}
			})
			return
		}
	}
}

// idleWanted is how long a line has had nothing to send before it asks: less when
// refusals give cause to.
func (p *Pool) idleWanted(key string) time.Duration {
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	if p.credit.of(key).refusals >= refusalsToAsk {
		return balanceIdle / 12
	}
	return balanceIdle
}

// beginBalance takes the turn to ask for a SIM's balance, when that is due. idle: its
// line has nothing to send; else it has to be due for balancePatience.
func (p *Pool) beginBalance(s SIM, idle bool) (CreditWay, bool) {
	b := &p.credit
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.of(s.ICCID)
	if c.notBefore.IsZero() { // seen for the first time in this run
		c.notBefore = time.Now().Add(balanceFirst + jitterOf(s.ICCID, balanceFirstMost-balanceFirst))
	}
	way := b.way(s)
	if b.checking || c.asking || time.Since(c.dialogue) < personPause && !c.dialogue.IsZero() || time.Now().Before(c.notBefore) {
		return way, false
	}
	if at, ok := p.dueLocked(c, s, way); !ok || at.After(p.clock.Now()) {
		c.busySince = time.Time{}
		return way, false
	}
	if !idle {
		if c.busySince.IsZero() {
			c.busySince = time.Now()
		}
		if time.Since(c.busySince) < balancePatience {
			return way, false
		}
	}
	b.checking = true
	return way, true
}

func (p *Pool) endBalance() {
	p.credit.mu.Lock()
	p.credit.checking = false
	p.credit.mu.Unlock()
}

// jitterOf is a part of most that is the SIM's own.
func jitterOf(iccid string, most time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(iccid))
	return time.Duration(h.Sum64() % uint64(max(most, 1)))
}

// tryWithout lets a SIM send again that the network had refused for want of credit,
// when its balance cannot be had, or not before days are over, or says that something
// is left, which may do: the next message shows it.
func (p *Pool) tryWithout(ctx context.Context, s SIM) {
	b := &p.credit
	b.mu.Lock()
	c := b.of(s.ICCID)
	way := b.way(s)
	_, asks := p.dueLocked(c, s, way)
	due := c.Stop == queue.CreditRefused && (!asks || way.charges() || c.failures > 0 || c.Known && c.Minor > 0) &&
		!c.stoppedAt.IsZero() && time.Since(c.stoppedAt) >= backoff(tryFirst, c.tries, tryMost)
	if due {
		c.tries++
		c.refusals, c.repeats = 0, 0
	}
	b.mu.Unlock()
	if !due {
		return
	}
	now, err := p.store.ResumeCredit(ctx, s.ICCID)
	if err != nil {
		p.complain(ctx, "letting a SIM try that had no credit", err)
		return
	}
	p.learntCredit(now)
}

// idleFor is how long the line has had nothing to send.
func (l *line) idleFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		return 0
	}
	if l.used.IsZero() {
		return balanceIdle
	}
	return time.Since(l.used)
}

// personal notes that a person's own USSD dialogue with the SIM moves.
func (b *credits) personal(key string) {
	b.mu.Lock()
	b.of(key).dialogue = time.Now()
	b.mu.Unlock()
}
