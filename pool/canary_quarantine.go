package pool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"recado/queue"
)

// parties are the lines as a trial sees them, but for what the keeper knows: see
// acquaint.
func (p *Pool) parties() []party {
	var list []party
	seen := map[string]bool{}
	for _, l := range p.all() {
		key := l.simKey()
		if key == "" || seen[key] {
			continue
		}
		seen[key] = true
		one := party{iccid: key, emulated: l.port.Emulated, fit: p.canaryFit(key) == nil && l.open()}
		if mutes := p.canaries.mutes.Load(); mutes != nil {
			if m, ok := (*mutes)[key]; ok {
				one.mute = [2]bool{m.NoSend, m.NoReceive}
				one.since = time.UnixMilli(m.Cleared)
			}
		}
		one.heard, one.silent = p.canaries.history(key, queue.SteadyNow(p.clock))
		list = append(list, one)
	}
	return list
}

// change replaces the quarantines, on disk first.
func (p *Pool) change(ctx context.Context, with func(map[string]queue.Mute)) error {
	p.canaries.changing.Lock()
	defer p.canaries.changing.Unlock()
	mutes := map[string]queue.Mute{}
	if now := p.canaries.mutes.Load(); now != nil {
		mutes = maps.Clone(*now)
	}
	with(mutes)
	if err := p.store.SetMutes(ctx, mutes); err != nil {
		return err
	}
	p.canaries.mutes.Store(&mutes)
	return nil
}

// convict puts the lines at fault into quarantine.
func (p *Pool) convict(ctx context.Context, now time.Time, v verdict) error {
	if len(v.guilty) == 0 && len(v.untold) == 0 {
		return p.suspectOf(ctx, now, v)
	}
	var names []string
	err := p.change(ctx, func(mutes map[string]queue.Mute) {
		names = nil
		add := func(key string, ids []int64, with func(*queue.Mute)) {
			m := mutes[key]
			if !m.NoSend && !m.NoReceive {
				m = queue.Mute{ICCID: key, Since: now.UnixMilli(), Next: now.Add(probeFirst).UnixMilli(), Cleared: m.Cleared} // no mere doubt any more
			}
			with(&m)
			for _, id := range ids {
				if !slices.Contains(m.Legs, id) {
					m.Legs = append(m.Legs, id)
				}
			}
			slices.Sort(m.Legs)
			if l := p.lineOfSIM(key); l != nil {
				m.Modem = l.snapshot().ID
			}
			mutes[key] = m
			names = append(names, key)
		}
		for b, ids := range v.guilty {
			add(b.sim, ids, func(m *queue.Mute) {
				m.NoSend, m.NoReceive = m.NoSend || b.side == sending, m.NoReceive || b.side == receiving
			})
		}
		for key, ids := range v.untold {
			add(key, ids, func(m *queue.Mute) { m.NoSend, m.NoReceive, m.NoTell = true, true, true })
		}
	})
	if err != nil {
		return fmt.Errorf("put a line into quarantine: %w", err)
	}
	for _, key := range names {
		p.log.Warn("a line was put into quarantine by canaries", "sim", key, "why", p.muteWhy(key))
		p.hintAll(key)
	}
	p.kick() // what preferred it may go elsewhere
	return p.suspectOf(ctx, now, v)
}

// suspectOf keeps what is likely of a SIM and not proven: somebody is told.
func (p *Pool) suspectOf(ctx context.Context, now time.Time, v verdict) error {
	news := map[string]doubtful{}
	for key, d := range v.doubts {
		m := p.mutesNow()[key]
		if !m.NoSend && !m.NoReceive && (m.Doubt != d.what || len(m.Legs) < len(d.legs)) {
			news[key] = d
		}
	}
	if len(news) == 0 {
		return nil
	}
	err := p.change(ctx, func(mutes map[string]queue.Mute) {
		for key, d := range news {
			m := mutes[key]
			m.ICCID, m.Doubt, m.Legs, m.Since = key, d.what, d.legs, now.UnixMilli()
			mutes[key] = m
		}
	})
	if err != nil {
		return fmt.Errorf("keep what canaries make likely: %w", err)
	}
	for key, d := range news {
		p.log.Warn("test messages to a SIM do not arrive on it", "sim", key, "likely", d.what, "messages", len(d.legs))
		p.hintAll(key)
	}
	return nil
}

// acquit ends a quarantine; what was before does not count any more.
func (p *Pool) acquit(ctx context.Context, key string) error {
	now := queue.SteadyNow(p.clock).UnixMilli()
	m, was := p.mute(key)
	if key == "" {
		return nil
	}
	p.canaries.forgive(key)
	err := p.change(ctx, func(mutes map[string]queue.Mute) {
		mutes[key] = queue.Mute{ICCID: key, Cleared: now}
		for other, m := range mutes { // nobody looks back so far
			if !m.NoSend && !m.NoReceive && m.Doubt == "" && now-m.Cleared > 2*canaryWindow.Milliseconds() {
				delete(mutes, other)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("end a quarantine: %w", err)
	}
	if was {
		p.log.Info("a line is out of the quarantine that canaries had put it into", "sim", key, "probes", m.Probes)
	}
	p.hintAll(key)
	p.kick()
	return nil
}

// probeSoon has a SIM in quarantine looked at at once: something about it was
// changed. What was only likely of it is forgotten.
func (p *Pool) probeSoon(ctx context.Context, key string) error {
	if _, muted := p.mute(key); !muted {
		if p.mutesNow()[key].Doubt != "" {
			return p.acquit(ctx, key)
		}
		return nil
	}
	now := queue.SteadyNow(p.clock).UnixMilli()
	err := p.change(ctx, func(mutes map[string]queue.Mute) {
		m := mutes[key]
		m.Next, m.Asked, m.Probes = now, now, 0
		mutes[key] = m
	})
	p.canaries.hint()
	return err
}

// redeem lets go what a canary shows to work: one of those that told against the
// SIM and came after all, or one that was sent since.
func (k *keeper) redeem(ctx context.Context, legs []queue.Canary) error {
	mutes := k.p.canaries.mutes.Load()
	if mutes == nil {
		return nil
	}
	for key, m := range *mutes {
		if !m.NoSend && !m.NoReceive && m.Doubt == "" {
			continue
		}
		sends, receives := false, false
		for _, c := range legs {
			if c.State != queue.CanaryArrived || c.Start.Add(c.Arrived).UnixMilli() < m.Since {
				continue
			}
			sends, receives = sends || c.From == key, receives || c.To == key
		}
		if !sends && !receives || m.Doubt != "" && !receives {
			continue
		}
		if (sends || !m.NoSend) && (receives || !m.NoReceive) {
			if err := k.p.acquit(ctx, key); err != nil {
				return err
			}
			continue
		}
		if sends && m.NoSend || receives && m.NoReceive { // half of it
			err := k.p.change(ctx, func(mutes map[string]queue.Mute) {
				m := mutes[key]
				m.NoSend, m.NoReceive, m.NoTell = m.NoSend && !sends, m.NoReceive && !receives, false
				mutes[key] = m
			})
			if err != nil {
				return err
			}
			k.p.hintAll(key)
		}
	}
	return nil
}
