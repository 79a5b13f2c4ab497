package pool

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"recado/pool/credit"
	"recado/queue"
)

var (
	// ErrNoBalanceCode: nobody knows how this SIM's balance is asked for.
	ErrNoBalanceCode = errors.New("no code is known that asks for this SIM's balance")
	// ErrBalanceInterrupted: messages were waiting for the line, and go first.
	ErrBalanceInterrupted = errors.New("the question for the balance was given up: messages were waiting for this SIM")
)

// Credit is what is known of a SIM's credit, and how it is asked for.
type Credit struct {
	queue.SIMCredit
	// Way is how it is asked for; Way.Code "" when nobody knows.
	Way CreditWay
	// Error is the code of what went wrong with the last question: unreadable,
	// many_amounts, no_answer, refused, unsupported, ended; "" when all is well.
	Error string
	// Asking: a question is under way.
	Asking bool
	// NextAt is when it will be asked for by itself; zero when it will not.
	NextAt time.Time
}

// Money is the balance; only when Known.
func (c Credit) Money() credit.Money {
	return credit.Money{Minor: c.Minor, Currency: cmp.Or(c.Currency, c.Way.Currency)}
}

// facts of a finding about it.
func (c Credit) facts() []string {
	if !c.Known || c.Stop == queue.CreditRefused {
		return nil
	}
	units, cents := c.Money().Parts()
	return []string{"units", units, "cents", cents, "currency", c.Money().Currency}
}

// CreditWay is how the balance of a SIM is asked for.
type CreditWay struct {
	// Operator that it is shipped for; "" for a rule of one's own.
	Operator string
	Code     string // USSD
	Reply    string // to the menu that it brings; "" none
	Pattern  string // "" what most answers look like
	Currency string // of an amount without one
	// Own: somebody gave it, in a rule.
	Own bool
	// Tested: somebody has seen it work, ConfirmedBy in this installation. What is
	// shipped is not.
	Tested      bool
	ConfirmedBy string
	// Every is the least time between two questions that no person asked, but for the
	// hours by which one quiet time differs from the next. Where it is more than a day
	// it holds whatever came of the last one.
	Every time.Duration
}

// trusted says that it may be asked without a person: it is somebody's own, or
// somebody has confirmed it.
func (w CreditWay) trusted() bool { return w.Own || w.Tested }

// charges says that the operator asks for money where it is asked too often.
func (w CreditWay) charges() bool { return w.Every > 24*time.Hour }

// credits is what the pool knows of all SIMs' credit.
type credits struct {
	// stopped counts the SIMs that are out of credit: mostly none is.
	stopped atomic.Int32
	// setting is held while the settings are changed.
	setting sync.Mutex

	mu       sync.Mutex
	settings queue.CreditSettings
	sims     map[string]*simCredit
	// checking: a question that no person asked is under way. One at a time.
	checking bool
}

// simCredit is one SIM's; guarded by credits.mu.
type simCredit struct {
	queue.SIMCredit
	err    string
	asking bool
	// notBefore is when it may be asked without a person again, failures are the
	// questions in a row that came to nothing. dialogue is when a person's own
	// USSD dialogue last moved.
	notBefore, dialogue, lastAsked time.Time
	failures                       int
	// refusals are in a row, of the kind that want of credit brings; stops are the
	// questions put since the SIM was stopped, and tries the messages that it was let
	// try: what ends a stop is looked for ever less often.
	// repeats are refusals that did not count, of messages refused before.
	refusals, repeats, stops, tries int
	stoppedAt                       time.Time
	// busySince is since when the balance has been due and the line never idle long
	// enough; zero: it is not so.
	busySince time.Time
}

func (p *Pool) loadCredit(ctx context.Context) error {
	all, err := p.store.Credits(ctx)
	if err != nil {
		return err
	}
	settings, err := p.store.CreditSettings(ctx)
	if err != nil {
		p.log.Error("the settings of the credit cannot be read; nothing is asked by itself", "error", err)
		settings.Check = queue.CreditNever
	}
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	p.credit.settings = settings
	p.credit.sims = map[string]*simCredit{}
	for key, c := range all {
		p.credit.of(key).set(c)
	}
	p.credit.count()
	return nil
}

// of is the SIM's; the lock is held.
func (b *credits) of(key string) *simCredit {
	if b.sims == nil {
		b.sims = map[string]*simCredit{}
	}
	c := b.sims[key]
	if c == nil {
		c = &simCredit{SIMCredit: queue.SIMCredit{ICCID: key}}
		b.sims[key] = c
	}
	return c
}

func (c *simCredit) set(now queue.SIMCredit) {
	if now.Stop > queue.CreditGoes && c.Stop <= queue.CreditGoes {
		c.stoppedAt = time.Now()
	}
	if c.AskedAt.After(now.AskedAt) { // what was kept before the question
		now.AskedAt = c.AskedAt
	}
	c.SIMCredit = now
}

func (b *credits) count() {
	n := int32(0)
	for _, c := range b.sims {
		if c.Stop > queue.CreditGoes {
			n++
		}
	}
	b.stopped.Store(n)
}

// noCredit is why a SIM that is out of credit sends nothing; "" when it may send.
func (p *Pool) noCredit(key string) string {
	if p.credit.stopped.Load() == 0 {
		return ""
	}
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	for _, name := range []string{key, queue.Contract(key)} {
		if c := p.credit.sims[name]; c != nil && c.why() != "" {
			return c.why()
		}
	}
	return ""
}

func (c *simCredit) why() string {
	switch c.Stop {
	case queue.CreditRead:
		return "no credit: the balance is " + credit.Money{Minor: c.Minor, Currency: c.Currency}.Text("en") + "; top the SIM up"
	case queue.CreditRefused:
		return "no credit: the network refuses its messages; top the SIM up"
	}
	return ""
}

// creditOf is what is known of a SIM's credit.
func (p *Pool) creditOf(s SIM) Credit {
	p.credit.mu.Lock()
	defer p.credit.mu.Unlock()
	way := p.credit.way(s)
	c := Credit{SIMCredit: queue.SIMCredit{ICCID: s.ICCID}, Way: way}
	if r := p.credit.sims[s.ICCID]; r != nil {
		c.SIMCredit, c.Error, c.Asking = r.SIMCredit, r.err, r.asking
		if at, ok := p.dueLocked(r, s, way); ok {
			c.NextAt = at
		}
	}
	return c
}

// way is how a SIM's balance is asked for: by a rule for the SIM, its network or
// its operator, else as it is shipped; the lock is held.
func (b *credits) way(s SIM) CreditWay {
	fits := []func(queue.CreditRule) bool{
		func(r queue.CreditRule) bool { return r.SIM != "" && r.SIM == s.ICCID },
		func(r queue.CreditRule) bool { return r.Network != "" && strings.HasPrefix(s.IMSI, r.Network) },
		func(r queue.CreditRule) bool {
			return r.Operator != "" && strings.Contains(strings.ToLower(s.Operator), strings.ToLower(r.Operator))
		},
	}
	for _, fit := range fits {
		if i := slices.IndexFunc(b.settings.Rules, fit); i >= 0 {
			r := b.settings.Rules[i]
			if r.Code == "" {
				return CreditWay{Own: true} // not to be asked
			}
			w := CreditWay{Code: r.Code, Reply: r.Reply, Pattern: r.Pattern, Currency: cmp.Or(r.Currency, "EUR"), Own: true, Every: 24 * time.Hour}
			if o, ok := credit.Of(s.IMSI, s.Operator); ok && o.Code == r.Code {
				w.Every = o.Every // what it costs is the same
			}
			return w
		}
	}
	o, ok := credit.Of(s.IMSI, s.Operator)
	if s.Emulated && strings.EqualFold(s.Operator, credit.Emulated.Name) {
		o, ok = credit.Emulated, true
	}
	if !ok {
		return CreditWay{}
	}
	w := CreditWay{Operator: o.Name, Code: o.Code, Reply: o.Reply, Pattern: o.Pattern, Currency: o.Currency, Tested: o.Tested, Every: o.Every}
	if i := slices.IndexFunc(b.settings.Confirmed, func(c queue.CreditConfirmation) bool { return strings.EqualFold(c.Operator, o.Name) }); i >= 0 {
		w.Tested, w.ConfirmedBy = true, b.settings.Confirmed[i].Who
	}
	return w
}

// CreditReadings of a SIM, by its ICCID or name, the newest first. ErrNoSIM.
func (p *Pool) CreditReadings(ctx context.Context, sim string, limit int) ([]queue.CreditReading, error) {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return nil, err
	}
	return p.store.CreditReadings(ctx, s.ICCID, limit)
}

// SetCreditLow sets the alarm's limit of a SIM in the smallest unit of its
// currency: 0 the default (200), below 0 no alarm. ErrNoSIM, *queue.Invalid.
func (p *Pool) SetCreditLow(ctx context.Context, sim string, low int64, who string) (Credit, error) {
	return p.changeCredit(ctx, sim, func(key string) (queue.SIMCredit, error) { return p.store.SetCreditLow(ctx, key, low, who) })
}

// IgnoreCredit is a person's word that a SIM may send, whatever is known of its
// credit: one that has a bundle, say, sends with nothing on its account. ErrNoSIM.
func (p *Pool) IgnoreCredit(ctx context.Context, sim, who string) (Credit, error) {
	return p.changeCredit(ctx, sim, func(key string) (queue.SIMCredit, error) {
		p.credit.mu.Lock()
		c := p.credit.of(key)
		c.refusals, c.stops, c.tries = 0, 0, 0
		p.credit.mu.Unlock()
		return p.store.IgnoreCredit(ctx, key, who)
	})
}

func (p *Pool) changeCredit(ctx context.Context, sim string, change func(key string) (queue.SIMCredit, error)) (Credit, error) {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return Credit{}, err
	}
	c, err := change(s.ICCID)
	if err != nil {
		return Credit{}, err
	}
	p.learntCredit(c)
	return p.creditOf(s), nil
}

// learntCredit takes what the store says of a SIM's credit now.
func (p *Pool) learntCredit(c queue.SIMCredit) {
	p.credit.mu.Lock()
	r := p.credit.of(c.ICCID)
	was := r.Stop > queue.CreditGoes
	r.set(c)
	p.credit.count()
	p.credit.mu.Unlock()
	if is := c.Stop > queue.CreditGoes; was != is {
		p.log.Info("a SIM's credit", "sim", "…"+c.ICCID[max(0, len(c.ICCID)-3):], "state", c.State())
		p.hintAll(c.ICCID)
		p.kick()
	}
	p.changed()
}
