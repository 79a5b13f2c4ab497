package pool

import (
	"context"
	"sync"
	"time"

	"recado/modem"
	"recado/queue"
)

// links remembers for the modems with which SIMs AT+CMMS helps.
type links struct {
	p *Pool

	mu    sync.Mutex
	known map[string]modem.LinkState
}

func (p *Pool) loadLinks(ctx context.Context) error {
	all, err := p.store.Links(ctx)
	if err != nil {
		return err
	}
	p.links.mu.Lock()
	defer p.links.mu.Unlock()
	p.links.known = make(map[string]modem.LinkState, len(all))
	for iccid, link := range all {
		p.links.known[iccid] = modem.LinkState(link)
	}
	return nil
}

// Link is modem.LinkMemory's.
func (k *links) Link(iccid string) modem.LinkState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[iccid]
}

// KeepLink is modem.LinkMemory's. The row is written later: nothing depends on it
// but whether the next run measures once more.
func (k *links) KeepLink(iccid string, state modem.LinkState, _ string) {
	k.mu.Lock()
	if k.known == nil {
		k.known = map[string]modem.LinkState{}
	}
	k.known[iccid] = state
	k.mu.Unlock()
	k.p.wg.Go(func() {
		k.p.complain(context.Background(), "keeping whether AT+CMMS helps", k.p.store.SetLink(context.Background(), iccid, int(state)))
		k.p.changed()
	})
}

// moreMost bounds the look into the queue: the modem waits for it.
const moreMost = 50 * time.Millisecond

// more says whether another message waits behind the one in hand.
func (l *line) more() bool {
	if l.following.Load() {
		return true
	}
	ctx, stop := context.WithTimeout(context.Background(), moreMost)
	defer stop()
	more, err := l.p.store.MoreWaits(ctx, l.simKey())
	return err == nil && more
}

// Link is what was found of AT+CMMS with a SIM, by its ICCID or name: the measure
// only while a modem of this run has it. ErrNoSIM.
func (p *Pool) Link(ctx context.Context, sim string) (modem.LinkMeasure, error) {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return modem.LinkMeasure{}, err
	}
	state := p.links.Link(s.ICCID)
	for _, l := range p.all() {
		if l.simKey() == s.ICCID {
			if m := l.modem.LinkMeasure(); m.State == state {
				return m, nil
			}
		}
	}
	return modem.LinkMeasure{State: state}, nil
}

// ForgetLink has AT+CMMS tried anew with a SIM: its modem, or the network, is
// another than it was. ErrNoSIM.
func (p *Pool) ForgetLink(ctx context.Context, sim string) error {
	s, err := p.SIM(ctx, sim)
	if err != nil {
		return err
	}
	if err := p.store.SetLink(ctx, s.ICCID, queue.LinkUnknown); err != nil {
		return err
	}
	p.links.mu.Lock()
	delete(p.links.known, s.ICCID)
	p.links.mu.Unlock()
	for _, l := range p.all() {
		if l.hasSIM(s.ICCID) {
			return l.modem.ForgetLink(ctx, s.ICCID)
		}
	}
	return nil
}
