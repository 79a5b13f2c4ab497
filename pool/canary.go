package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"recado/queue"
)

// Errors of canaries that callers branch on.
var (
	// ErrNoNumber: a canary needs the number of the SIM that is to receive it.
	ErrNoNumber = errors.New("the SIM's own number is not known: enter it on the SIM's page (it was not on the SIM)")
	// ErrNotFit: the line cannot send or receive now.
	ErrNotFit = errors.New("the SIM cannot take part now: it is in no modem that is ready, is switched off or paused, or this is outside the hours in which it may send")
	// ErrPaused: nothing is sent now.
	ErrPaused = errors.New("sending is paused: resume it first")
	// ErrUnreachable: an emulated SIM and a real one do not reach each other.
	ErrUnreachable = errors.New("an emulated SIM and a real one cannot reach each other")
)

// canaries is the pool's care for its canaries: one SIM of the box texts another
// to see that what is accepted also arrives. A line that is registered and yet
// sends nothing, or receives nothing, is found by them and put into quarantine.
type canaries struct {
	// mutes are the SIMs in quarantine, and those that were just released; a new
	// map with each change.
	mutes atomic.Pointer[map[string]queue.Mute]
	// wake has a token when the keeper should look.
	wake chan struct{}

	mu sync.Mutex // guards what follows
	// changing is held while mutes are replaced and kept.
	changing sync.Mutex
	traffic  map[string]*traffic // by SIM key
}

func newCanaries() canaries {
	return canaries{wake: make(chan struct{}, 1), traffic: map[string]*traffic{}}
}

func (c *canaries) hint() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Canary lets the SIM from text the SIM to; with to "" one that the pool
// chooses, and the SIM itself when there is no other. It returns when the
// message is on disk; Store.Canary shows what becomes of it. who asked goes into
// its record. It errs with ErrNoSIM, ErrNoNumber, ErrNotFit, ErrPaused,
// ErrUnreachable and queue.ErrCanaryRunning.
func (p *Pool) Canary(ctx context.Context, from, to, who string) (queue.Canary, error) {
	if to == "" {
		to = p.canaryPeer(from)
	}
	for _, key := range []string{from, to} {
		if err := p.canaryFit(key); err != nil {
			return queue.Canary{}, fmt.Errorf("SIM %s: %w", p.simName(key), err)
		}
	}
	a, b := p.lineOfSIM(from), p.lineOfSIM(to)
	switch {
	case p.shutFor(from, queue.Normal):
		return queue.Canary{}, ErrPaused
	case !a.open():
		return queue.Canary{}, fmt.Errorf("SIM %s: %w", p.simName(from), ErrNotFit)
	case a.port.Emulated != b.port.Emulated:
		return queue.Canary{}, ErrUnreachable
	}
	return p.startCanary(ctx, from, to, who)
}

// TestSIM sends a canary from the SIM to another and one back, or one to itself
// when there is no other. What could be started is in the list also when it
// errs, as Canary does.
func (p *Pool) TestSIM(ctx context.Context, iccid, who string) ([]queue.Canary, error) {
	peer := p.canaryPeer(iccid)
	there, err := p.Canary(ctx, iccid, peer, who)
	if err != nil {
		return nil, err
	}
	list := []queue.Canary{there}
	if peer == iccid {
		return list, nil
	}
	back, err := p.Canary(ctx, peer, iccid, who)
	if err != nil {
		return list, err
	}
	return append(list, back), nil
}

// Quarantine is a SIM that canaries found mute, with what says so.
type Quarantine struct {
	queue.Mute
	// At is since when, NextProbe when it is looked at again, zero: not by itself
	// any more; times of day.
	At, NextProbe time.Time
	// Evidence are the canaries that tell against it, as far as they are kept.
	Evidence []queue.Canary
}

// Quarantines are the SIMs that canaries found mute, in the order of the ports.
func (p *Pool) Quarantines(ctx context.Context) ([]Quarantine, error) {
	var list []Quarantine
	for _, l := range p.all() {
		q, ok, err := p.Quarantine(ctx, l.simKey())
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, q)
		}
	}
	return list, nil
}

// Quarantine of one SIM by canaries; false: it is in none.
func (p *Pool) Quarantine(ctx context.Context, iccid string) (Quarantine, bool, error) {
	m, ok := p.mute(iccid)
	if !ok {
		return Quarantine{}, false, nil
	}
	now, steady := p.clock.Now(), queue.SteadyNow(p.clock)
	day := func(ms int64) time.Time { return now.Add(time.UnixMilli(ms).Sub(steady)).UTC() }
	q := Quarantine{Mute: m, At: day(m.Since), NextProbe: day(m.Next)}
	settings, err := p.store.CanarySettings(ctx)
	if err != nil {
		return Quarantine{}, false, err
	}
	if l := p.lineOfSIM(iccid); l != nil && probed(l, settings, m, time.UnixMilli(m.Next)) {
		q.NextProbe = time.Time{}
	}
	for _, id := range m.Legs {
		c, err := p.store.Canary(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			continue
		}
		if err != nil {
			return Quarantine{}, false, err
		}
		q.Evidence = append(q.Evidence, c)
	}
	return q, true, nil
}

// EndQuarantine lets a SIM send again by order of a person, whatever it was in
// quarantine for. What canaries said of it before does not count any more.
// ErrNoSIM when it was never seen.
func (p *Pool) EndQuarantine(ctx context.Context, iccid string) error {
	p.simMu.Lock()
	known := p.sims[iccid] != nil
	p.simMu.Unlock()
	if !known {
		return ErrNoSIM
	}
	if err := p.acquit(ctx, iccid); err != nil {
		return err
	}
	for _, l := range p.all() {
		if l.simKey() == iccid {
			l.forgive()
		}
	}
	p.release(iccid)
	return nil
}

// mute is why a SIM is in quarantine by canaries; false: it is not.
func (p *Pool) mute(key string) (queue.Mute, bool) {
	mutes := p.canaries.mutes.Load()
	if mutes == nil || key == "" {
		return queue.Mute{}, false
	}
	m, ok := (*mutes)[key]
	return m, ok && (m.NoSend || m.NoReceive)
}

// silenced says that canaries found that a SIM does not send: it is given nothing.
// One that sends and does not receive is, when no other can.
func (p *Pool) silenced(key string) bool {
	m, _ := p.mute(key)
	return m.NoSend
}

// doubted is what is likely of a SIM and not proven, one of queue's doubts; "" nothing.
func (p *Pool) doubted(key string) string { return p.mutesNow()[key].Doubt }

// muteWhy is that in plain words; "" when it is not.
func (p *Pool) muteWhy(key string) string {
	m, ok := p.mute(key)
	if !ok {
		return ""
	}
	return muteWords(m, "en")
}

// lineOfSIM is the line that has the SIM and may use it; nil: none.
func (p *Pool) lineOfSIM(key string) *line {
	var twin *line
	for _, l := range p.all() {
		l.mu.Lock()
		its, double := l.key == key, l.twin != ""
		l.mu.Unlock()
		switch {
		case its && key != "" && !double:
			return l
		case its && key != "":
			twin = l
		}
	}
	return twin
}

// canaryFit says why a SIM cannot take part; nil when it can.
func (p *Pool) canaryFit(key string) error {
	p.simMu.Lock()
	known := p.sims[key] != nil
	p.simMu.Unlock()
	if !known {
		return ErrNoSIM
	}
	l := p.lineOfSIM(key)
	if l == nil || !l.fit() {
		return ErrNotFit
	}
	if p.ownNumber(key) == "" {
		return ErrNoNumber
	}
	return nil
}

// ownNumber is the number that a person entered for the SIM, else what is on it;
// "" unknown.
func (p *Pool) ownNumber(key string) string {
	own := ""
	if l := p.lineOfSIM(key); l != nil {
		own = l.said().SIM.Number
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.sims[key]
	switch {
	case r == nil || r.row.Number == "" && own != "":
		return own
	case r.row.Number != "":
		return r.row.Number
	}
	return r.row.OwnNumber
}

// simName is what people call the SIM, else its ICCID.
func (p *Pool) simName(key string) string {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	if r := p.sims[key]; r != nil && r.row.Name != "" {
		return r.row.Name
	}
	return key
}

// canaryPeer is whom a SIM should text: another one that could, of those the one
// that is in no quarantine, whose number nobody doubts, and that has rested longest; itself when there is none.
func (p *Pool) canaryPeer(key string) string {
	me := p.lineOfSIM(key)
	if me == nil {
		return key
	}
	best, muted := key, true
	var used time.Time
	for _, l := range p.all() {
		its := l.simKey()
		if its == key || its == "" || l.port.Emulated != me.port.Emulated || p.canaryFit(its) != nil || !l.open() {
			continue
		}
		_, m := p.mute(its)
		m = m || p.doubted(its) == queue.DoubtNumber
		if when := l.lastUsed(); best == key || muted && !m || muted == m && when.Before(used) {
			best, muted, used = its, m, when
		}
	}
	return best
}

func (p *Pool) startCanary(ctx context.Context, from, to, who string) (queue.Canary, error) {
	c, err := p.store.StartCanary(ctx, from, to, p.ownNumber(to), who)
	if err == nil {
		p.canaries.hint()
	}
	return c, err
}
