package pool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"recado/modem"
	"recado/queue"
)

// line is one port with its modem and, when that is ready, its SIM.
type line struct {
	p     *Pool
	port  Port
	modem *modem.Modem
	// work gives serve its first message; the line was taken before.
	work chan *queue.Claimed
	// news has the token of a changed snapshot.
	news chan struct{}
	// stop ends its goroutines, which alive counts; nil before Run. Guarded by
	// p.mu.
	stop  context.CancelFunc
	alive sync.WaitGroup
	// following: another segment of the message in hand is to go.
	following atomic.Bool
	// dialling counts who waits for the network's answer to a USSD code: nothing can
	// be sent meanwhile.
	dialling atomic.Int32

	mu sync.Mutex
	// heard is the modem's last snapshot; snap the same with an ID of its own.
	heard, snap modem.Snapshot
	// key is the SIM's: its ICCID, or what stands for it; "" while unknown. It
	// follows raw, whose SIM it is by what the modem says.
	key, raw string
	// nameless: the SIM has been in the modem since that said nothing of whose it is.
	nameless bool
	// kept is the key whose row is on disk: no message before that.
	kept string
	// twin names the port that has this SIM already.
	twin string
	// busy: a message is in hand, or being claimed; now is its id, seq its number
	// in the queue.
	busy bool
	now  string
	seq  int64
	// missed: the dispatcher went round while the line was busy, after the line
	// had last looked for itself.
	missed bool
	// leaving: Remove has begun, no message begins any more.
	leaving bool
	// used is when the line last began a message; zero: never in this run.
	used time.Time
	// prompt is how long the modem took to the last prompt; 0: it did not come.
	// Owned by serve.
	prompt time.Duration
	health
	reports reports
	speed   speed
	// up is since when the modem has been ready without a break; zero: it is not.
	up time.Time
}

func newLine(p *Pool, port Port) *line {
	l := &line{p: p, port: port, work: make(chan *queue.Claimed, 1), news: make(chan struct{}, 1)}
	settle := time.Duration(0)
	if port.Emulated {
		settle = -1
	}
	l.modem = modem.New(modem.Config{
		Name: port.Name, Open: tapped(port.Open), Sink: l.sink(), Log: p.log, Now: p.clock.Now, Settle: settle,
		USBPath: port.USBPath, PINs: pinMemory{p.store}, USBReset: port.USBReset, PowerCycle: port.PowerCycle, Disturb: l.mayDisturb,
		More: l.more, Links: &p.links,
	})
	l.heard = l.modem.Snapshot()
	l.snap = l.heard
	return l
}

// snapshot is the modem's, with an ID that is unique in the pool.
func (l *line) snapshot() modem.Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.snap
	if l.twin != "" && s.Reason == "" {
		s.Reason = "this SIM is already in use on " + l.twin
	}
	if s.Reason == "" {
		s.Reason = l.p.held(l.key)
	}
	if s.Reason == "" {
		s.Reason = l.p.noCredit(l.key)
	}
	if s.Reason == "" {
		s.Reason = l.quarantine(time.Now())
	}
	if s.Reason == "" {
		s.Reason = l.p.muteWhy(l.key)
	}
	if s.Reason == "" {
		s.Reason = alarms[s.Alarm]
	}
	return s
}

// queueLine is the line as the store knows it.
func (l *line) queueLine() queue.Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return queue.Line{ICCID: l.key, IMSI: l.snap.SIM.IMSI, Number: l.p.numberOf(l.key, l.snap.SIM.Number), Modem: l.snap.ID}
}

func (l *line) simKey() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.key
}

func (l *line) isBusy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// able says that the line could send, busy or not.
func (l *line) able() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ableLocked(time.Now())
}

func (l *line) ableLocked(now time.Time) bool {
	return !l.p.silenced(l.key) && l.fitLocked(now)
}

// fitLocked is ableLocked, also of a SIM that canaries found not to send.
func (l *line) fitLocked(now time.Time) bool {
	if l.leaving {
		return false
	}
	switch l.snap.State {
	case modem.StateReady, modem.StateSending:
	default:
		return false
	}
	return l.key != "" && l.kept == l.key && l.twin == "" && l.p.inUse(l.key) && l.p.held(l.key) == "" && l.p.noCredit(l.key) == "" && !l.resting(now)
}

func (l *line) takeable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy && l.ableLocked(time.Now())
}

// take reserves an idle line; false when it no longer is.
func (l *line) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || !l.ableLocked(time.Now()) {
		return false
	}
	l.busy = true
	return true
}

// rest makes a line idle again; true: it should be offered work once more.
func (l *line) rest() bool {
	l.mu.Lock()
	missed := l.missed
	l.busy, l.now, l.seq, l.missed = false, "", 0, false
	l.speed.rests()
	l.mu.Unlock()
	l.p.changed()
	return missed
}

// passOver notes that the dispatcher went round without this line.
func (l *line) passOver() {
	l.mu.Lock()
	l.missed = l.busy
	l.mu.Unlock()
}

// looks notes that the line looks for work itself now.
func (l *line) looks() {
	l.mu.Lock()
	l.missed = false
	l.mu.Unlock()
}

// holding notes which message the line has in hand.
func (l *line) holding(c *queue.Claimed) {
	l.mu.Lock()
	l.seq = c.Message.Seq
	l.mu.Unlock()
}

// serve sends what the dispatcher hands over, and then what the line pulls.
func (l *line) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			select {
			case c := <-l.work: // handed over in the last moment
				l.giveBack(c, queue.Outcome{Verdict: queue.NotSent, MR: -1, Retry: true})
			default:
			}
			return
		case c := <-l.work:
			for b := (*begun)(nil); c != nil; {
				c, b = l.send(ctx, c, b)
			}
			// Something came after the last look, or waits for the SIM's next turn, or for
			// room in its limits.
			key := l.simKey()
			if l.rest() || l.p.paced(key) || l.p.waitsForRoom(ctx, key) {
				l.p.kick()
			}
		}
	}
}

// send submits the claimed message's next segment, commits what became of it,
// and returns what to send next: that message's next segment, another message,
// or nil. b is c's submission when the modem has been asked for its prompt already.
func (l *line) send(ctx context.Context, c *queue.Claimed, b *begun) (*queue.Claimed, *begun) {
	// What is known must reach the disk also while the program stops.
	ctx = context.WithoutCancel(ctx)
	me := c.Line // whatever SIM is in the modem by now
	l.holding(c)
	l.mu.Lock()
	l.now, l.used = c.Message.ID, time.Now()
	l.speed.begins(l.used)
	smsc := l.snap.SIM.SMSC
	l.mu.Unlock()
	l.p.changed()

	if b == nil {
		b = l.begin(ctx, c)
		b.open()
	}
	o, late := b.outcome()
	if late {
		l.tooLate(ctx, b, o)
		return nil, nil
	}
	attempt, start := b.attempt, b.at
	l.prompt = o.Prompted
	if attempt != 0 {
		l.p.used(c, start, l.quality())
	}
	l.p.met.submitted(o, time.Since(start))
	l.p.record(me.ICCID, o)
	l.p.creditOutcome(ctx, me.ICCID, o, c.Message)
	l.learn(o, time.Since(start), attempt)
	if o.HoldSIM {
		l.p.hold(me.ICCID, o.Detail, smsc)
	}

	out := l.outcome(o, c.Message)
	next := l.next()
	if attempt == 0 {
		// Also when the gate said that the message is no longer ours: the store
		// looks for itself.
		l.giveBack(c, out)
		return l.p.took(l.pull(ctx, next)), nil
	}
	following, ahead, err := l.settleAhead(ctx, attempt, out, next, c.Message.ID)
	if err != nil {
		l.unsettled()
		return nil, nil
	}
	if o.Late != nil {
		l.p.wg.Go(func() { l.await(ctx, me.ICCID, smsc, attempt, o.Late, c.Message) })
	}
	return l.p.took(following), ahead
}

// unsettled: the attempt stays open on disk, and nothing more leaves on this SIM
// until the next start makes it uncertain.
func (l *line) unsettled() { l.suspend("the outcome of a submission could not be stored") }

// next is what the line may take now; nil when it takes nothing.
func (l *line) next() *queue.Line {
	if !l.mayPull() {
		l.passOver()
		return nil
	}
	l.looks() // first: who goes round from here on is told again
	now := l.asks()
	return &now
}

// await takes the real answer to an attempt that was given up as lost, should
// it still come while the modem listens. sim, with its service centre's number, is
// the one that it was made on: it need not be in the modem any more.
func (l *line) await(ctx context.Context, sim, smsc string, attempt int64, late <-chan modem.Outcome, m queue.Message) {
	o, ok := <-late
	if !ok {
		return
	}
	l.redeem(attempt)
	if o.HoldSIM {
		l.p.hold(sim, o.Detail, smsc)
	}
	_, _ = l.settle(ctx, attempt, l.outcome(o, m), nil, m.ID)
}

// pullNext claims what the line may take now.
func (l *line) pullNext(ctx context.Context) *queue.Claimed { return l.pull(ctx, l.next()) }

func (l *line) pull(ctx context.Context, me *queue.Line) *queue.Claimed {
	if me == nil {
		return nil
	}
	c, err := l.p.store.Claim(ctx, *me)
	if err != nil {
		l.p.quietly("claiming a message", err)
		return nil
	}
	return c
}

// gate makes the attempt durable, unless sending, the SIM or the class is paused,
// the program stops, or the modem has another SIM by now.
func (l *line) gate(ctx context.Context, c *queue.Claimed, n int) (int64, error) {
	// Pause waits for gates that were already on their way.
	l.p.gates.RLock()
	defer l.p.gates.RUnlock()
	if err := l.mayPassLocked(c); err != nil {
		return 0, err
	}
	return l.p.store.GateTPDU(ctx, c.Line, c.Message.Seq, n, c.Message.Segments[n-1].TPDU)
}

func (l *line) giveBack(c *queue.Claimed, o queue.Outcome) {
	_ = l.p.persist("giving a message back", c.Message.ID, func() error {
		return l.p.store.Unclaim(context.Background(), c.Line.ICCID, c.Message.Seq, o)
	})
}

// mayPull says whether the line may take another message now.
func (l *line) mayPull() bool {
	return !l.p.paused.Load() && !l.p.draining.Load() && l.able()
}

// outcome translates the modem's words into the store's, with the decision.
func (l *line) outcome(o modem.Outcome, m queue.Message) queue.Outcome {
	out := queue.Outcome{
		Verdict: verdicts[o.Verdict], MR: o.MR, SCTS: o.SCTS, Code: o.Code, Class: string(o.Class),
		At: l.p.clock.Now(),
	}
	if out.Detail = o.Detail; out.Detail == "" && o.Err != nil {
		out.Detail = o.Err.Error()
	}
	if o.Verdict == modem.Accepted || o.Verdict == modem.Ambiguous {
		return out
	}
	if refusedHere(o.Err) {
		out.Retry, out.Code = true, ""
		return out
	}
	d := l.p.waitsForCredit(l.simKey(), o, decide(o, triesOf(o, m), l.p.others(l, m)))
	out.Retry, out.After, out.AvoidSIM, out.Reason = d.retry, d.after, d.avoid, d.reason
	out.Class, out.Degrade = string(d.class), string(d.degrade)
	return out
}

// refusedHere says that the gate was refused by ourselves: neither the message
// nor the modem is to blame.
func refusedHere(err error) bool {
	return errors.Is(err, errPaused) || errors.Is(err, errOtherSIM) || errors.Is(err, errLate) || errors.Is(err, errNotAhead) || errors.Is(err, queue.ErrNotClaimed) ||
		errors.Is(err, queue.ErrDamaged) || errors.Is(err, queue.ErrLimit)
}

var verdicts = map[modem.Verdict]queue.Verdict{
	modem.NotSent: queue.NotSent, modem.Accepted: queue.Accepted,
	modem.Rejected: queue.Rejected, modem.Ambiguous: queue.Ambiguous,
}

// others says what other lines could do for the message.
func (p *Pool) others(not *line, m queue.Message) (e elsewhere) {
	for _, s := range m.Segments {
		if s.State != queue.SegmentPending && s.State != queue.SegmentSending {
			return e // a part has left: it stays on its SIM
		}
	}
	if m.SIM != "" && !m.Preferred {
		return e
	}
	rules, route, lane := p.rules.Load(), int64(0), queue.Lane(m.Class)
	if to := rules.routeOf(m.Bucket); to != nil {
		route = to.ID
	}
	mine, able := not.said().Operator, *p.able.Load()
	for _, l := range p.all() {
		if key := l.simKey(); l == not || !l.able() || !able[key].lanes.Has(lane) || !p.onRoute(rules, route, key).Has(lane) {
			continue
		}
		e.sim = true
		if its := l.said().Operator; its != "" && its != mine {
			e.operator = true
		}
	}
	return e
}
