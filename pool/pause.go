package pool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"recado/queue"
)

const (
	// settingPaused keeps the kill switch over a restart, settingPausedClasses
	// those of the classes.
	settingPaused        = "sending_paused"
	settingPausedClasses = "sending_paused_classes"
	// keptSIM and an ICCID names a SIM's among those that are to be kept.
	keptSIM = "sim "
)

// everyClass in the order of their lanes.
var everyClass = []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk}

// Pauses are the kill switches that are thrown.
type Pauses struct {
	All     bool
	SIMs    []string // ICCIDs, in their order
	Classes []queue.Class
}

// Pauses says which they are.
func (p *Pool) Pauses() Pauses {
	s := Pauses{All: p.paused.Load(), SIMs: []string{}, Classes: []queue.Class{}}
	lanes := p.rules.Load().paused
	for _, c := range everyClass {
		if lanes.Has(queue.Lane(c)) {
			s.Classes = append(s.Classes, c)
		}
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	for key, r := range p.sims {
		if r.row.Paused {
			s.SIMs = append(s.SIMs, key)
		}
	}
	slices.Sort(s.SIMs)
	return s
}

// Paused says whether the kill switch of everything is thrown.
func (p *Pool) Paused() bool { return p.paused.Load() }

// ErrUnkept: a kill switch holds, but could not be written: a restart would undo it.
// It is tried again.
var ErrUnkept = errors.New("keep a kill switch")

// Pause is the kill switch: from its return on no gate opens, also when it errs, with
// ErrUnkept. The queue stays. It is kept over a restart, also when ctx ends before it
// is; so are the other kill switches.
func (p *Pool) Pause(ctx context.Context) error {
	throw := func() { p.shut(func() { p.paused.Store(true) }) }
	throw() // at once, whether it can be kept or not, and whatever else is being kept
	p.changed()
	p.pausing.Lock()
	defer p.pausing.Unlock()
	throw() // somebody's Resume may have come between
	defer p.changed()
	return p.keep(ctx, settingPaused, func(ctx context.Context) error { return p.store.SetSetting(ctx, settingPaused, "1") })
}

// Resume undoes Pause, not what was paused beside it.
func (p *Pool) Resume(ctx context.Context) error {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	if err := p.store.SetSetting(context.WithoutCancel(ctx), settingPaused, "0"); err != nil {
		return err
	}
	delete(p.unkept, settingPaused)
	p.paused.Store(false)
	p.changed()
	p.kick()
	return nil
}

// PauseSIM is the kill switch of one SIM: from its return on no gate opens on
// it. What waits for it waits on, and what only prefers it leaves on others.
// ErrNoSIM, ErrUnkept.
func (p *Pool) PauseSIM(ctx context.Context, iccid string, paused bool) error {
	if !p.known(iccid) {
		return ErrNoSIM
	}
	iccid = queue.Contract(iccid)
	set := func() {
		p.simMu.Lock()
		if r := p.sims[iccid]; r != nil {
			r.row.Paused = paused
		}
		p.simMu.Unlock()
	}
	if paused {
		p.shut(set) // as in Pause
	}
	p.pausing.Lock()
	defer p.pausing.Unlock()
	if paused {
		p.shut(set)
	}
	// Also of one that is paused and not kept its state is another.
	defer p.kick()
	defer p.hintAll(iccid)
	write := func(ctx context.Context) error {
		return p.store.UpdateSIM(ctx, iccid, queue.SIMPatch{Paused: &paused})
	}
	if paused {
		return p.keep(ctx, keptSIM+iccid, write)
	}
	if err := write(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	delete(p.unkept, keptSIM+iccid)
	set()
	return nil
}

// PauseClass is the kill switch of one class: from its return on no gate opens
// for its messages. It errs with *queue.Invalid and ErrUnkept.
func (p *Pool) PauseClass(ctx context.Context, c queue.Class, paused bool) error {
	if !slices.Contains(everyClass, c) {
		return &queue.Invalid{Field: "class", Detail: "is one of otp, alert, normal, bulk", Value: string(c)}
	}
	throw := func() { p.shut(func() { p.ruled(func(r *rules) { r.paused |= queue.LanesOf(c) }) }) }
	if paused {
		throw() // as in Pause
	}
	p.pausing.Lock()
	defer p.pausing.Unlock()
	if paused {
		throw()
	}
	defer p.changed()
	if paused {
		return p.keep(ctx, settingPausedClasses, func(ctx context.Context) error { return p.writeClasses(ctx, p.rules.Load().paused) })
	}
	if err := p.writeClasses(context.WithoutCancel(ctx), p.rules.Load().paused&^queue.LanesOf(c)); err != nil {
		return err
	}
	delete(p.unkept, settingPausedClasses)
	p.ruled(func(r *rules) { r.paused &^= queue.LanesOf(c) })
	return nil
}

// writeClasses keeps the lanes of the classes that are paused.
func (p *Pool) writeClasses(ctx context.Context, lanes queue.Lanes) error {
	list := []queue.Class{}
	for _, c := range everyClass {
		if lanes.Has(queue.Lane(c)) {
			list = append(list, c)
		}
	}
	v, err := json.Marshal(list)
	if err == nil {
		err = p.store.SetSetting(ctx, settingPausedClasses, string(v))
	}
	if err != nil {
		return fmt.Errorf("keep which classes are paused: %w", err)
	}
	return nil
}

// keep writes a kill switch that was thrown, whether its caller still waits or not.
// One that cannot be written is tried again by keepTime. p.pausing is held.
func (p *Pool) keep(ctx context.Context, which string, write func(context.Context) error) error {
	err := write(context.WithoutCancel(ctx))
	if err == nil {
		delete(p.unkept, which)
		return nil
	}
	p.unkept[which] = write
	p.quietly("a kill switch holds, but is not kept; it is tried again", err)
	return fmt.Errorf("%w: %w", ErrUnkept, err)
}

// keepUnkept writes the kill switches that could not be written when they were thrown.
func (p *Pool) keepUnkept(ctx context.Context) {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	for which, write := range p.unkept {
		if write(ctx) == nil {
			delete(p.unkept, which)
			p.log.Info("a kill switch that could not be kept is now", "switch", which)
		}
	}
}

// shut throws a switch when the gates that are opening have opened: none opens
// against it from then on.
func (p *Pool) shut(throw func()) {
	p.gates.Lock()
	defer p.gates.Unlock()
	throw()
}

// loadPauses reads which classes are paused, and whether all is.
func (p *Pool) loadPauses(ctx context.Context) (lanes queue.Lanes, err error) {
	all, err := p.store.Setting(ctx, settingPaused)
	if err != nil {
		return 0, fmt.Errorf("reading whether sending is paused: %w", err)
	}
	p.paused.Store(all == "1")
	kept, err := p.store.Setting(ctx, settingPausedClasses)
	if err != nil {
		return 0, fmt.Errorf("reading which classes are paused: %w", err)
	}
	if kept == "" {
		return 0, nil
	}
	var list []queue.Class
	if err := json.Unmarshal([]byte(kept), &list); err != nil {
		// Whoever paused something wants nothing to leave by mistake.
		p.log.Error("which classes are paused cannot be read: all are", "error", err)
		return queue.AllLanes, nil
	}
	return queue.LanesOf(list...), nil
}

// shutFor says that a kill switch keeps a SIM from sending a message of a class.
func (p *Pool) shutFor(key string, c queue.Class) bool {
	if p.paused.Load() || p.draining.Load() || p.rules.Load().paused.Has(queue.Lane(c)) {
		return true
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.terms(key)
	return r != nil && r.row.Paused
}

// known says that a SIM was ever seen.
func (p *Pool) known(iccid string) bool {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	return p.sims[iccid] != nil
}
