package pool

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"recado/modem"
	"recado/pool/credit"
	"recado/queue"
)

const (
	// A message that waits behind a question for the balance goes first after
	// this: sooner when no person has asked.
	balanceYield      = 1500 * time.Millisecond
	balanceYieldAsked = 5 * time.Second
	// balanceLook is how often one looks whether a message waits.
	balanceLook = 200 * time.Millisecond
	// balanceMost bounds one question with its menu.
	balanceMost = 90 * time.Second
)

// Codes of CreditReading.Error.
const (
	balanceUnreadable  = "unreadable"   // there is no amount in the answer
	balanceMany        = "many_amounts" // there are several: a pattern must say which
	balanceNoAnswer    = "no_answer"    // the network said nothing in time
	balanceRefused     = "refused"      // the modem or the network refused the code
	balanceUnsupported = "unsupported"  // the network has no USSD here
	balanceEnded       = "ended"        // the network ended the dialogue without a word
)

// Balance asks the network for a SIM's balance, by its ICCID or name, and keeps
// what it says: a reading without a balance says why in Error. While messages
// wait for the line they go first: ErrBalanceInterrupted after five seconds.
// Errors beside: ErrNoSIM, ErrSIMAway, ErrNoBalanceCode, *USSDRefusedError,
// modem.ErrUSSDBusy, modem.ErrNotReady, and the context's.
func (p *Pool) Balance(ctx context.Context, sim string) (queue.CreditReading, error) {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return queue.CreditReading{}, err
	}
	p.credit.mu.Lock()
	way := p.credit.way(s)
	p.credit.mu.Unlock()
	if way.Code == "" {
		return queue.CreditReading{}, ErrNoBalanceCode
	}
	l, err := p.lineWith(ctx, s.ICCID)
	if err != nil {
		return queue.CreditReading{}, err
	}
	return p.askBalance(ctx, l, s.ICCID, way, balanceYieldAsked)
}

// askBalance carries out one question and keeps the reading. yield is how long a
// message may wait for it.
func (p *Pool) askBalance(ctx context.Context, l *line, key string, way CreditWay, yield time.Duration) (queue.CreditReading, error) {
	p.credit.mu.Lock()
	c := p.credit.of(key)
	if c.asking {
		p.credit.mu.Unlock()
		return queue.CreditReading{}, modem.ErrUSSDBusy
	}
	c.asking = true
	p.credit.mu.Unlock()
	p.changed()
	r, err := queue.CreditReading{}, p.asksNow(ctx, key)
	if err == nil {
		r, err = p.question(ctx, l, way, yield)
	}
	if err == nil {
		r.ICCID, r.Code = key, way.Code
		err = p.keepReading(context.WithoutCancel(ctx), &r)
	}
	p.credit.mu.Lock()
	c.asking = false
	c.asked(r, err)
	p.credit.mu.Unlock()
	p.changed()
	return r, err
}

// asksNow keeps that the balance is asked for, before it is: the operator counts
// what is dialled, whatever comes of it, and whether or not this program remembers.
func (p *Pool) asksNow(ctx context.Context, key string) error {
	is, err := p.store.AskCredit(ctx, key)
	if err != nil {
		return err
	}
	p.credit.mu.Lock()
	p.credit.of(key).AskedAt = is.AskedAt
	p.credit.mu.Unlock()
	return nil
}

// countsToo keeps that a person dials the code that asks for the balance, where the
// operator charges for many. It hinders nobody who dials.
func (p *Pool) countsToo(ctx context.Context, sim, code string) {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return
	}
	p.credit.mu.Lock()
	way := p.credit.way(s)
	p.credit.mu.Unlock()
	if !way.charges() || code != way.Code {
		return
	}
	if err := p.asksNow(ctx, s.ICCID); err != nil {
		p.complain(ctx, "keeping that a balance is asked for", err)
	}
}

// keepReading keeps a reading and draws from it whether the SIM may send.
func (p *Pool) keepReading(ctx context.Context, r *queue.CreditReading) error {
	r.At = p.clock.Now()
	c, err := p.store.AddCredit(ctx, *r)
	if err != nil {
		return err
	}
	p.credit.mu.Lock()
	refused := p.credit.of(r.ICCID).refusals
	if r.Known {
		p.credit.of(r.ICCID).refusals = 0
	}
	p.credit.mu.Unlock()
	if r.Known && refused >= refusalsToAsk && c.Stop == queue.CreditGoes && c.IsLow() {
		// What is left does not pay for a message.
		if c, err = p.store.StopCredit(ctx, r.ICCID); err != nil {
			return err
		}
	}
	p.learntCredit(c)
	return nil
}

// question is the dialogue with the network. What it makes of the answer is no
// error but in the reading.
func (p *Pool) question(ctx context.Context, l *line, way CreditWay, yield time.Duration) (r queue.CreditReading, err error) {
	if err := checkUSSD(way.Code); err != nil {
		return r, err // the list may be longer than when the rule was made
	}
	var pattern *regexp.Regexp
	if way.Pattern != "" {
		if pattern, err = credit.Compile(way.Pattern); err != nil {
			return r, fmt.Errorf("the rule for this SIM's balance: %w", err)
		}
	}
	ctx, stop := context.WithTimeout(ctx, balanceMost)
	defer stop()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	watched := make(chan struct{})
	defer func() { <-watched }()
	over, end := context.WithCancel(ctx)
	defer end()
	go func() {
		defer close(watched)
		l.yieldTo(over, yield, func() { interrupt(ErrBalanceInterrupted) })
	}()

	defer l.dials()()
	a, err := l.modem.USSD(ctx, way.Code)
	if err == nil && a.Status == modem.USSDReplyWanted && way.Reply != "" {
		a, err = l.modem.USSDReply(ctx, way.Reply)
	}
	if errors.Is(context.Cause(ctx), ErrBalanceInterrupted) {
		err = ErrBalanceInterrupted
	}
	if err != nil || a.Status == modem.USSDReplyWanted {
		// The menu below the balance wants no answer.
		if e := l.modem.USSDEnd(context.WithoutCancel(ctx)); e != nil && err == nil {
			p.log.Debug("ending the question for a balance", "port", l.port.Name, "error", e)
		}
	}
	p.toldUSSD(l, "balance", way.Code, a, err)
	r.Answer = a.Text
	switch {
	case errors.Is(err, modem.ErrUSSDRefused):
		r.Error = balanceRefused
		return r, nil
	case err != nil:
		return r, err
	case a.Text == "":
		r.Error = map[modem.USSDStatus]string{modem.USSDTimeout: balanceNoAnswer, modem.USSDUnsupported: balanceUnsupported}[a.Status]
		if r.Error == "" {
			r.Error = balanceEnded
		}
		return r, nil
	}
	read := credit.Read
	if way.Own && pattern != nil {
		read = credit.ReadBy // who gave a pattern of their own wants no guess
	}
	switch m, err := read(a.Text, pattern, way.Currency); {
	case errors.Is(err, credit.ErrManyAmounts):
		r.Error = balanceMany
	case err != nil:
		r.Error = balanceUnreadable
	default:
		r.Known, r.Minor, r.Currency = true, m.Minor, m.Currency
	}
	return r, nil
}

// yieldTo calls give once a message has been waiting for the line longer than d:
// it is in hand, and the modem has not begun it.
func (l *line) yieldTo(ctx context.Context, d time.Duration, give func()) {
	tick := time.NewTicker(balanceLook)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.isBusy() || l.modem.Snapshot().State != modem.StateReady {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) >= d-balanceLook {
			give()
			return
		}
	}
}
