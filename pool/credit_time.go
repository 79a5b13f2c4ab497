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
	// Where nobody can ask, a message is tried instead.
	tryFirst, tryMost = 30 * time.Minute, 6 * time.Hour
	// personPause is how long a person's own USSD dialogue is left alone.
	personPause = 5 * time.Minute
	// balanceGap is the least time between two questions that nobody asked.
	balanceGap = 10 * time.Minute
	// refusalsToAsk refusals in a row that want of credit brings, and others bring
	// as well, have the balance asked for.
	refusalsToAsk = 2
)

// asked notes how a question ended; credits.mu is held.
func (c *simCredit) asked(r queue.CreditReading, err error) {
	now := time.Now()
	c.lastAsked = now
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
		c.notBefore = now.Add(balanceGap)
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
		c.stops = 0
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
	if c.Stop > queue.CreditGoes || c.refusals >= refusalsToAsk {
		return floor, true // the network itself gives cause
	}
	if b.settings.Check != queue.CreditAlways && !way.trusted() && !s.Emulated || !p.clock.Trusted() {
		return time.Time{}, false
	}
	if c.At.IsZero() || c.At.After(now) {
		return floor, true
	}
	if at := quietTime(c.At, way.Every, b.settings, s.ICCID); at.After(floor) {
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
		if l.idleFor() < p.idleWanted(key) || l.modem.Snapshot().State != modem.StateReady {
			continue
		}
		if way, ok := p.beginBalance(s); ok {
			p.wg.Go(func() {
				defer p.endBalance()
				if _, err := p.askBalance(ctx, l, key, way, balanceYield); err != nil && ctx.Err() == nil {
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

// beginBalance takes the turn to ask for a SIM's balance, when that is due.
func (p *Pool) beginBalance(s SIM) (CreditWay, bool) {
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
		return way, false
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
// when its balance cannot be had: the next message shows whether it was topped up.
func (p *Pool) tryWithout(ctx context.Context, s SIM) {
	b := &p.credit
	b.mu.Lock()
	c := b.of(s.ICCID)
	due := c.Stop == queue.CreditRefused && (b.way(s).Code == "" || c.failures > 0 || b.settings.Check == queue.CreditNever) &&
		!c.stoppedAt.IsZero() && time.Since(c.stoppedAt) >= backoff(tryFirst, c.stops, tryMost)
	if due {
		c.stops++
		c.refusals = 0
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
