package pool

import (
	"context"
	"errors"
	"regexp"
	"time"

	"recado/modem"
	"recado/modem/at"
	"recado/queue"
)

// poorWords are a modem's words for want of credit, where it gives a refusal in
// words (AT+CMEE=2, TS 27.005 3.2.5).
var poorWords = regexp.MustCompile(`(?i)\b(?:no|insufficient|not enough|low|sin|falta de|out of|exhausted) ?(?:credit|balance|funds|money|saldo|cr[eé]dito)\b|\b(?:credit|balance|saldo|funds) (?:expired|exhausted|exceeded|agotado|insuficiente|caducado|too low)\b`)

// poorCodes are refusals that want of credit brings, and other things as well
// (TS 24.011 8.2.5.4): barred by the operator, rejected, facility rejected, not
// subscribed, not implemented.
var poorCodes = map[string]bool{"cms_8": true, "cms_21": true, "cms_29": true, "cms_50": true, "cms_69": true}

// creditOutcome draws from an attempt's outcome whether the SIM is out of credit.
// The network's own words stop it at once. The refusals that have other causes too
// have the balance asked for: what that says decides. A message that was refused so
// before counts less: a number that the network does not like comes again and again.
func (p *Pool) creditOutcome(ctx context.Context, key string, o modem.Outcome, m queue.Message) {
	b := &p.credit
	words := false
	if e, ok := errors.AsType[*at.TextError](o.Err); ok {
		words = poorWords.MatchString(e.Text)
	}
	b.mu.Lock()
	c := b.of(key)
	change := (func(context.Context, string) (queue.SIMCredit, error))(nil)
	switch {
	case o.Verdict == modem.Accepted:
		c.refusals, c.repeats, c.stops, c.tries = 0, 0, 0, 0
		if c.Stop == queue.CreditRefused {
			change = p.store.ResumeCredit
		}
	case words:
		c.refusals++
		c.soon()
		change = p.store.StopCredit
	case poorCodes[o.Code]:
		if m.Error != nil && m.Error.Code == o.Code && c.repeats < repeatsToCount {
			c.repeats++
			break
		}
		if c.refusals++; c.refusals == refusalsToAsk {
			c.soon()
			if c.Known && c.IsLow() {
				change = p.store.StopCredit
			}
		}
	case o.Verdict == modem.Rejected && o.Class != modem.ClassNetwork:
		c.refusals, c.repeats = 0, 0
	}
	b.mu.Unlock()
	if change == nil {
		return
	}
	is, err := change(ctx, key)
	if err != nil {
		p.complain(ctx, "keeping that a SIM has no credit", err)
		return
	}
	p.learntCredit(is)
}

// waitsForCredit has a message wait that was refused for good with one of
// poorCodes by a SIM that has little or no credit: what it wants is a top-up, or
// another SIM.
func (p *Pool) waitsForCredit(key string, o modem.Outcome, d decision) decision {
	if d.retry || !poorCodes[o.Code] {
		return d
	}
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	if c := p.credit.sims[key]; c != nil && (c.Stop > queue.CreditGoes || c.IsLow()) {
		return decision{retry: true, after: creditWait, class: modem.ClassSIM}
	}
	return d
}

// creditWait is how long such a message waits before it may be tried again.
const creditWait = 5 * time.Minute

// soon has the balance asked for at the next round, but not again and again.
func (c *simCredit) soon() {
	if at := c.lastAsked.Add(refusedGap); !c.lastAsked.IsZero() && at.After(time.Now()) {
		c.notBefore = at
		return
	}
	c.notBefore = time.Now()
}

// refusedGap is the least time between two questions that refusals give cause to:
// some operators charge for them.
const refusedGap = time.Hour
