package pool

import (
	"context"
	"time"

	"recado/queue"
)

const (
	suspectRound = time.Minute
	// So many accepted without a report, the first of them so long ago, while
	// another line got so many reports since: reports have stopped. Where none has
	// ever come it takes more.
	unreportedMost   = 8
	unreportedNever  = 24
	unreportedFor    = 5 * time.Minute
	peersReports     = 3
	rememberTraffic  = 32
	receivedLeast    = 8 // messages tell how often some come
	silenceTimes     = 8 // their mean distance
	silenceLeast     = 2 * time.Hour
	peersReceived    = 5
	suspectAgain     = 6 * time.Hour // after a canary has looked
	suspicionHistory = 10
)

// traffic is what a SIM sent and received in this run, by the monotonic clock;
// guarded by canaries.mu.
type traffic struct {
	heard      time.Time // anything received
	received   []time.Time
	reports    []time.Time
	unreported int // accepted since the last report
	first      time.Time
	silent     [2]bool
}

func (c *canaries) of(key string) *traffic {
	t := c.traffic[key]
	if t == nil {
		t = &traffic{}
		c.traffic[key] = t
	}
	return t
}

func remember(list []time.Time, t time.Time) []time.Time {
	if len(list) >= rememberTraffic {
		list = append(list[:0], list[1:]...)
	}
	return append(list, t)
}

// accepted counts a submission that the network took.
func (c *canaries) accepted(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(key)
	if t.unreported++; t.unreported == 1 {
		t.first = time.Now()
	}
}

// arrived counts something that a SIM received.
func (c *canaries) arrived(key string, report bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(key)
	now := time.Now()
	t.heard = now
	if report {
		t.reports = remember(t.reports, now)
		t.unreported, t.silent[sending] = 0, false
		return
	}
	t.received = remember(t.received, now)
	t.silent[receiving] = false
	if m := c.mutes.Load(); m != nil && (*m)[key].NoReceive {
		c.hint()
	}
}

// history is when the SIM last received anything, by the steady clock, and for
// which sides it has grown silent.
func (c *canaries) history(key string, steady time.Time) (heard time.Time, silent [2]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(key)
	if !t.heard.IsZero() {
		heard = steady.Add(-time.Since(t.heard))
	}
	return heard, t.silent
}

// forgive forgets that the SIM has grown silent.
func (c *canaries) forgive(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(key)
	t.silent, t.unreported = [2]bool{}, 0
}

func after(list []time.Time, t time.Time) (n int) {
	for _, when := range list {
		if when.After(t) {
			n++
		}
	}
	return n
}

// reportsStopped says that no report comes any more for what a SIM sends, while
// its peers get theirs.
func (t *traffic) reportsStopped(now time.Time, peers []*traffic) bool {
	most := unreportedNever
	if len(t.reports) > 0 {
		most = unreportedMost
	}
	if t.unreported < most || now.Sub(t.first) < unreportedFor {
		return false
	}
	for _, o := range peers {
		if after(o.reports, t.first) >= peersReports {
			return true
		}
	}
	return false
}

// messagesStopped says that a SIM which received messages receives none any
// more, while its peers do.
func (t *traffic) messagesStopped(now time.Time, peers []*traffic) bool {
	n := len(t.received)
	if n < receivedLeast {
		return false
	}
	last := t.received[n-1]
	mean := last.Sub(t.received[0]) / time.Duration(n-1)
	if now.Sub(last) < max(silenceLeast, silenceTimes*mean) {
		return false
	}
	theirs := 0
	for _, o := range peers {
		theirs += after(o.received, last)
	}
	return theirs >= peersReceived
}

// suspect looks for lines that have grown silent, and sends a canary to know.
func (k *keeper) suspect(ctx context.Context, now time.Time) error {
	if !k.settings.Suspicion || time.Since(k.suspected) < suspectRound {
		return nil
	}
	k.suspected = time.Now()
	var list []pair
	parties := k.p.parties()
	for _, one := range parties {
		if !one.fit || !one.emulated && !k.settings.RealSIMs {
			continue
		}
		for _, s := range k.p.canaries.suspects(one, parties) {
			if one.mute[s] {
				continue
			}
			looked, err := k.looked(ctx, one.iccid, s, now)
			if err != nil {
				return err
			}
			peer := k.p.canaryPeer(one.iccid)
			switch {
			case looked || peer == one.iccid || s == receiving && k.p.doubted(one.iccid) == queue.DoubtNumber:
			case s == sending:
				list = append(list, pair{one.iccid, peer})
			default:
				list = append(list, pair{peer, one.iccid})
			}
		}
	}
	return k.send(ctx, list, queue.CanarySuspicion)
}

// suspects are the sides for which a line has grown silent.
func (c *canaries) suspects(one party, parties []party) (sides []side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var peers []*traffic
	for _, o := range parties {
		if o.iccid != one.iccid && o.emulated == one.emulated {
			peers = append(peers, c.of(o.iccid))
		}
	}
	now := time.Now()
	t := c.of(one.iccid)
	if t.reportsStopped(now, peers) {
		t.silent[sending] = true
		sides = append(sides, sending)
	}
	if t.messagesStopped(now, peers) {
		t.silent[receiving] = true
		sides = append(sides, receiving)
	}
	return sides
}

// looked says that a canary has looked at this side of the SIM lately, or is
// about to.
func (k *keeper) looked(ctx context.Context, key string, s side, now time.Time) (bool, error) {
	list, _, err := k.p.store.Canaries(ctx, queue.CanaryFilter{SIM: key, Limit: suspicionHistory})
	if err != nil {
		return false, err
	}
	for _, c := range list {
		its := c.From
		if s == receiving {
			its = c.To
		}
		if its == key && c.State != queue.CanaryVoid && now.Sub(c.Start) < suspectAgain {
			return true, nil
		}
	}
	return false, nil
}

func (p *Pool) mutesNow() map[string]queue.Mute {
	if m := p.canaries.mutes.Load(); m != nil {
		return *m
	}
	return nil
}

// receivedSince says that a message, or for one that nobody can tell of or that is
// only doubted anything, came in on the SIM after a time of the steady clock.
func (p *Pool) receivedSince(key string, m queue.Mute) bool {
	steady := queue.SteadyNow(p.clock)
	c := &p.canaries
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.of(key)
	last := t.heard
	if !m.NoTell && m.Doubt == "" {
		last = time.Time{}
		if n := len(t.received); n > 0 {
			last = t.received[n-1]
		}
	}
	return !last.IsZero() && steady.Add(-time.Since(last)).UnixMilli() > m.Since
}
