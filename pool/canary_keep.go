package pool

import (
	"context"
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
	// probesWithoutLeave is for how long on a real SIM, where canaries cost money
	// and nobody has switched them on.
	probesWithoutLeave = 24 * time.Hour

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
	if err := k.acquaint(ctx, t); err != nil {
		return err
	}
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

// acquaint tells a trial what is known of its lines from before this run, and what
// they may do.
func (k *keeper) acquaint(ctx context.Context, t *trial) error {
	if len(t.legs) == 0 {
		return nil
	}
	proven, err := k.p.store.CanaryNumbers(ctx)
	if err != nil {
		return err
	}
	for i := range t.parties {
		one := &t.parties[i]
		one.leave = one.emulated || k.settings.RealSIMs
		one.sure = one.emulated && !k.p.numberGiven(one.iccid) || proven.Has(one.iccid, k.p.ownNumber(one.iccid))
		if !t.alone(one) {
			continue
		}
		if one.selves, err = k.p.store.CanaryWorked(ctx, one.iccid); err != nil {
			return err
		}
		last, err := k.p.store.LastHeard(ctx, one.iccid, 2*canaryWindow)
		if err != nil {
			return err
		}
		if last.After(one.heard) {
			one.heard = last
		}
	}
	return nil
}

// numberGiven says that a person entered the SIM's number, and it is not what is on it.
func (p *Pool) numberGiven(key string) bool {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.sims[key]
	return r != nil && r.row.Number != "" && r.row.Number != r.row.OwnNumber
}

// carry hands the canaries of lines in quarantine to them: they claim nothing
// themselves.
func (k *keeper) carry(ctx context.Context) error {
	for _, c := range k.last {
		if !k.p.silenced(c.From) || !c.EndedAt.IsZero() || c.State != queue.CanaryWaiting {
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
