package pool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"recado/modem"
	"recado/queue"
)

const (
	// canaryLeave is how long a canary waits to leave.
	canaryLeave = 5 * time.Minute
	// One that was refused for the time being is tried again for so long.
	canaryTried = 2 * time.Minute
	// canarySettle is how long one that is being handed to the network may take
	// more.
	canarySettle = 5 * time.Minute
	// canaryGone: one that was accepted says nothing any more when its SIM was not
	// there to receive it for so long; the service centre has dropped it.
	canaryGone = 20 * time.Minute
	// How long a canary may be under way before it is missed: many times what the
	// last ones took, within these bounds; while none is known, canaryFirst.
	canaryFirst     = 3 * time.Minute
	canaryLeast     = 2 * time.Minute
	canaryLongest   = 10 * time.Minute
	canaryTimes     = 6
	canaryRemember  = 20
	canaryRemembers = 48 * time.Hour

	// A line in quarantine is looked at again, each time that is in vain after
	// twice as long.
	probeFirst = 15 * time.Minute
	probeMost  = 4 * time.Hour

	// The keeper looks so often while a canary is under way, and so often else: no
	// look costs anything then.
	canaryRound = 2 * time.Second
	canaryIdle  = 15 * time.Second
	canaryPrune = time.Hour
)

// keeper is what careForCanaries remembers between its rounds.
type keeper struct {
	p        *Pool
	settings queue.CanarySettings
	round    time.Time // of the schedule, steady
	// live says that canaries were under way at the last look.
	live              bool
	pruned, suspected time.Time
	last              []queue.Canary
}

// loadMutes has the quarantines of the last run before any line may send.
func (p *Pool) loadMutes(ctx context.Context) error {
	mutes, err := p.store.Mutes(ctx)
	if err != nil {
		p.log.Error("the lines that were in quarantine are not known any more", "error", err)
		mutes = map[string]queue.Mute{}
	}
	p.canaries.mutes.Store(&mutes)
	p.store.OnCanary(p.canaries.hint)
	return ctx.Err()
}

// careForCanaries follows the canaries, judges the lines by them, and sends the
// next ones, until ctx ends.
func (p *Pool) careForCanaries(ctx context.Context) {
	k := &keeper{p: p, live: true, pruned: time.Now()}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for told := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-p.canaries.wake:
			told = true
		case <-timer.C:
		}
		if err := k.look(ctx, told); err != nil && ctx.Err() == nil {
			p.quietly("caring for canaries", err)
		}
		told = false
		d := canaryIdle
		if k.live {
			d = canaryRound
		}
		timer.Reset(d)
	}
}

// look does what is due.
func (k *keeper) look(ctx context.Context, told bool) error {
	p := k.p
	now := queue.SteadyNow(p.clock)
	if k.round.IsZero() {
		if err := k.begin(ctx, now); err != nil {
			return err
		}
	}
	if told {
		settings, err := p.store.CanarySettings(ctx)
		if err != nil {
			return err
		}
		k.settings = settings
	}
	if told || k.live || k.last == nil {
		if err := k.follow(ctx, now); err != nil {
			return err
		}
	}
	k.heard(ctx)
	if !p.paused.Load() && !p.draining.Load() {
		if err := k.probe(ctx, now); err != nil {
			return err
		}
		if err := k.scheduled(ctx, now); err != nil {
			return err
		}
		if err := k.suspect(ctx, now); err != nil {
			return err
		}
	}
	if time.Since(k.pruned) >= canaryPrune {
		k.pruned = time.Now()
		return p.store.PruneCanaries(ctx)
	}
	return nil
}

func (k *keeper) begin(ctx context.Context, now time.Time) (err error) {
	if k.settings, err = k.p.store.CanarySettings(ctx); err != nil {
		k.p.quietly("reading the canaries' settings", err) // the default counts
	}
	round, err := k.p.store.CanaryRound(ctx)
	if err != nil || round.IsZero() || round.After(now) {
		if err := k.p.store.SetCanaryRound(ctx, now); err != nil {
			return err
		}
		round = now
	}
	k.round = round
	return nil
}

// follow ends what is over, and draws the conclusions.
func (k *keeper) follow(ctx context.Context, now time.Time) error {
	legs, err := k.legs(ctx, now)
	if err != nil {
		return err
	}
	patience, slow, err := k.patience(ctx)
	if err != nil {
		return err
	}
	ended := false
	for _, c := range legs {
		if !c.EndedAt.IsZero() {
			continue
		}
		state, detail := k.p.canaryOver(c, now, patience)
		if state == "" {
			continue
		}
		if err := k.p.store.EndCanary(ctx, c.ID, state, detail); err != nil {
			return err
		}
		ended = true
	}
	if ended {
		if legs, err = k.legs(ctx, now); err != nil {
			return err
		}
	}
	k.last = legs
	if err := k.conclude(ctx, now, legs, slow); err != nil {
		return err
	}
	k.live = slices.ContainsFunc(k.last, func(c queue.Canary) bool { return c.EndedAt.IsZero() })
	return k.carry(ctx)
}

func (k *keeper) legs(ctx context.Context, now time.Time) ([]queue.Canary, error) {
	legs, err := k.p.store.CanariesSince(ctx, now.Add(-canaryWindow))
	if legs == nil {
		legs = []queue.Canary{}
	}
	return legs, err
}

// patience is how long a canary may be under way, and whether some take long.
func (k *keeper) patience(ctx context.Context) (d time.Duration, slow bool, err error) {
	list, _, err := k.p.store.Canaries(ctx, queue.CanaryFilter{State: queue.CanaryArrived, Limit: canaryRemember})
	if err != nil {
		return 0, false, err
	}
	now := queue.SteadyNow(k.p.clock)
	list = slices.DeleteFunc(list, func(c queue.Canary) bool { return now.Sub(c.Start) > canaryRemembers })
	d, slow = patienceOf(list, len(k.p.parties()) == 1)
	return d, slow, nil
}

// patienceOf is how long to wait by what those that arrived took, and whether some
// took so long that others may take too long. alone: nothing can be compared.
func patienceOf(arrived []queue.Canary, alone bool) (d time.Duration, slow bool) {
	switch {
	case len(arrived) == 0 && alone:
		return canaryLongest, false
	case len(arrived) == 0:
		return canaryFirst, false
	}
	longest := time.Duration(0)
	for _, c := range arrived {
		longest = max(longest, c.Arrived-max(c.Accepted, 0))
	}
	return min(max(canaryTimes*longest, canaryLeast), canaryLongest), longest > canaryLongest/3
}

// canaryOver says how a canary has ended; "" when it has not.
func (p *Pool) canaryOver(c queue.Canary, now time.Time, patience time.Duration) (queue.CanaryState, string) {
	age := now.Sub(c.Start)
	switch c.MessageState {
	case queue.Sent, queue.Delivered, queue.Undelivered:
		return p.canaryAwaited(c, now, patience)
	case queue.Uncertain:
		if age >= max(canaryLeave, patience) {
			if !p.receptive(c.To, patience) {
				return queue.CanaryVoid, queue.CanaryNotReady
			}
			return queue.CanaryMissed, queue.CanaryUnconfirmed
		}
		return "", ""
	case queue.Failed:
		if c.ErrorClass == string(modem.ClassRecipient) || c.ErrorClass == string(modem.ClassContent) {
			return queue.CanaryVoid, queue.CanaryBadNumber
		}
		return queue.CanaryRefused, orNotTaken(c.ErrorCode)
	case queue.Expired:
		if c.ErrorCode != "" {
			return queue.CanaryRefused, orNotTaken(c.ErrorCode)
		}
		return queue.CanaryVoid, queue.CanaryNoTurn
	case queue.Queued, queue.Sending:
		switch {
		case c.ErrorCode != "" && c.MessageState == queue.Queued && age >= canaryTried:
		case age < canaryLeave, c.MessageState == queue.Sending && age < canaryLeave+canarySettle:
			return "", ""
		}
		l := p.lineOfSIM(c.From)
		switch {
		case p.shutFor(c.From, queue.Normal):
			return queue.CanaryVoid, queue.CanaryPaused
		case c.ErrorCode != "": // tried, and never taken
			return queue.CanaryRefused, orNotTaken(c.ErrorCode)
		case l == nil || !l.fit():
			return queue.CanaryVoid, queue.CanaryNotReady
		}
		return queue.CanaryVoid, queue.CanaryNoTurn
	}
	return queue.CanaryVoid, queue.CanaryCancelled
}

func orNotTaken(code string) string {
	if code == "" {
		return queue.CanaryNotTaken
	}
	return code
}

// canaryAwaited is the end of one that the network has: missed when its SIM was
// there all the time and nothing came.
func (p *Pool) canaryAwaited(c queue.Canary, now time.Time, patience time.Duration) (queue.CanaryState, string) {
	out := now.Sub(c.Start.Add(max(c.Accepted, 0)))
	switch {
	case out < patience:
		return "", ""
	case !p.receptive(c.To, patience):
		if out < canaryGone {
			return "", ""
		}
		return queue.CanaryVoid, queue.CanaryNotReady
	case c.MessageState == queue.Delivered:
		return queue.CanaryMissed, queue.CanaryDelivered
	case c.MessageState == queue.Undelivered:
		return queue.CanaryMissed, queue.CanaryUndelivered
	}
	return queue.CanaryMissed, queue.CanaryNoReport
}

// receptive says that the SIM's modem has been ready for so long without a break.
func (p *Pool) receptive(key string, d time.Duration) bool {
	l := p.lineOfSIM(key)
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.up.IsZero() && time.Since(l.up) >= d
}

// conclude judges the lines by the canaries, puts those at fault into quarantine,
// lets those out that work again, and asks on.
func (k *keeper) conclude(ctx context.Context, now time.Time, legs []queue.Canary, slow bool) error {
	if err := k.redeem(ctx, legs); err != nil {
		return err
	}
	selves, err := k.p.store.CanaryWorked(ctx, "")
	if err != nil {
		return err
	}
	t := &trial{now: now, legs: legs, parties: k.p.parties(), selves: selves, slow: slow}
	v := t.judge()
	if err := k.p.convict(ctx, now, v); err != nil {
		return err
	}
	if k.p.paused.Load() || k.p.draining.Load() {
		return nil
	}
	for _, q := range v.ask {
		c, err := k.p.startCanary(ctx, q.from, q.to, queue.CanaryConfirm)
		if err != nil {
			return err
		}
		k.last = append(k.last, c)
	}
	return nil
}

// parties are the lines as a trial sees them.
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
		return nil
	}
	var names []string
	err := p.change(ctx, func(mutes map[string]queue.Mute) {
		names = nil
		add := func(key string, ids []int64, with func(*queue.Mute)) {
			m := mutes[key]
			if !m.NoSend && !m.NoReceive {
				m = queue.Mute{ICCID: key, Since: now.UnixMilli(), Next: now.Add(probeFirst).UnixMilli(), Cleared: m.Cleared}
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
			if !m.NoSend && !m.NoReceive && now-m.Cleared > 2*canaryWindow.Milliseconds() {
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
// changed.
func (p *Pool) probeSoon(ctx context.Context, key string) error {
	if _, muted := p.mute(key); !muted {
		return nil
	}
	now := queue.SteadyNow(p.clock).UnixMilli()
	err := p.change(ctx, func(mutes map[string]queue.Mute) {
		m := mutes[key]
		m.Next, m.Probes = now, 0
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
		if !m.NoSend && !m.NoReceive {
			continue
		}
		sends, receives := false, false
		for _, c := range legs {
			if c.State != queue.CanaryArrived || c.Start.Add(c.Arrived).UnixMilli() < m.Since {
				continue
			}
			sends, receives = sends || c.From == key, receives || c.To == key
		}
		if !sends && !receives {
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

// carry hands the canaries of lines in quarantine to them: they claim nothing
// themselves.
func (k *keeper) carry(ctx context.Context) error {
	for _, c := range k.last {
		if _, muted := k.p.mute(c.From); !muted || !c.EndedAt.IsZero() || c.State != queue.CanaryWaiting {
			continue
		}
		l := k.p.lineOfSIM(c.From)
		if l == nil || !l.open() || !l.takeMuted() {
			continue
		}
		claimed, err := k.p.store.ClaimCanary(ctx, l.queueLine(), c.Message)
		if claimed == nil || err != nil {
			_ = l.rest()
			if err != nil {
				return err
			}
			continue
		}
		l.holding(claimed)
		l.work <- claimed
	}
	return nil
}

// takeMuted reserves an idle line that is in quarantine, for a canary.
func (l *line) takeMuted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || !l.fitLocked(time.Now()) {
		return false
	}
	l.busy = true
	return true
}

// open says that nothing but its health keeps the SIM from sending a canary now:
// no person has paused it, or what is of its lane, and it is not outside its hours.
func (l *line) open() bool {
	key := l.simKey()
	return !l.p.shutFor(key, queue.Normal) && l.standing(key, l.p.rules.Load()).lanes.Has(queue.LaneAlert)
}

// fit says that the line could send, busy or not, in quarantine by canaries or
// not.
func (l *line) fit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fitLocked(time.Now())
}
