package modem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"recado/modem/at"
	"recado/modem/family"
)

// Modem is one modem. Run owns it; the other methods may be called from any
// goroutine.
//
// The actor's mailbox has three openings, and their order is the priority of
// what waits there: sends, so that a waiting message goes before any chore's
// next command; orders of an operator; and news, what the modem said by itself
// and what the sink has stored.
type Modem struct {
	c      Config
	log    *slog.Logger
	sends  chan *sendRequest
	orders chan *order
	news   chan struct{} // cap 1: there is something in urcs or kept
	ended  chan struct{} // closed when Run takes no more orders
	trace  traceRing
	keeper *keeper
	pins   PINMemory

	history history

	notifying sync.Mutex // orders the calls of Sink.Changed

	mu   sync.Mutex // guards what follows
	snap Snapshot
	urcs []at.URC
	kept []kept
	// closing is closed when the modem stops taking sends; nil: takes none now.
	closing chan struct{}
	passive bool // another port has the SIM: see SetPassive
	// interrupt ends the wait for the network's answer; nil when none is open.
	interrupt context.CancelCauseFunc
	// asking ends the wait for the answer to a plain command of a ready modem.
	asking    context.CancelCauseFunc
	pending   *openSend // the submission whose answer is awaited or owed
	refs      references
	linkShown LinkMeasure

	life life // owned by Run's goroutine
}

// life is what outlives a port's being open. Owned by Run's goroutine.
type life struct {
	manners
	owed     owed
	disabled bool
	family   *family.Family // of the last session: the channel is built for it
	pace     time.Duration  // pause between commands that this modem has turned out to need
	// said is the trouble that was logged last, and when.
	said   string
	saidAt time.Time
	// paceAgain is how long such a pause stays before the modem is tried without;
	// each time it is found to be needed again, twice as long.
	paceAgain time.Duration
	known     bool      // something here has answered to AT before
	mutes     int       // sessions in a row in which nothing answered
	away      time.Time // until when a restarted modem may stay away
	ladder    ladder
	// searching is since when a modem with a good SIM looks for a network, through
	// the restarts that this leads to; zero: it does not. searched are the rungs
	// that were taken for it.
	searching time.Time
	searched  map[rung]bool
	quick     bool        // known not to be deaf after its answers
	lost      []time.Time // ambiguous submissions
	errors    refusals    // of submissions, in a row
	code      *codeSent   // the PIN or PUK that was sent last, until one knows what came of it
	simReset  bool        // the module was restarted because the SIM failed, and it has not worked since
	// flippedTo is the <ds> of AT+CNMI that is tried first because reports did
	// not come by the other; 0: the family's order.
	flippedTo int
	// links are what is found of AT+CMMS, by the SIM's ICCID.
	links map[string]*linkTrial
	// ussd is how this modem takes USSD, by its ID.
	ussd map[string]family.USSDCoding
}

// ErrNoPower: no way to cut the modem's power is configured.
var ErrNoPower = errors.New("no power switch is configured for this modem's socket")

// ErrNotReady: the modem cannot take the order now; the snapshot says why.
var ErrNotReady = errors.New("the modem is not ready")

// diesMost is the longest pause after a port that died as soon as it was open.
const diesMost = 10 * time.Second

// urcBacklog bounds what a chattering modem can make us keep.
const urcBacklog = 1000

type sendRequest struct {
	ctx  context.Context
	tpdu []byte
	gate func() error
	done chan Outcome // cap 1
}

type orderKind uint8

const (
	orderRestart orderKind = iota
	orderPIN
	orderPUK
	orderDisable
	orderEnable
	orderFlip // of the way of reports
	orderUSSD
	orderPower
	orderForeign // delete what other devices stored
	orderForgetLink
)

type order struct {
	kind orderKind
	pin  string // of orderPIN and orderPUK; the ICCID of orderForgetLink
	puk  string
	done chan error // cap 1
	ussd *ussdRequest
	// count is the answer to orderForeign; set before done.
	count int
}

// New makes a modem; nothing happens before Run.
func New(c Config) *Modem {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.PINs == nil {
		c.PINs = newRunMemory()
	}
	c.Settle = cmp.Or(c.Settle, 2*time.Second)
	m := &Modem{
		c:      c,
		pins:   c.PINs,
		log:    c.Log.With("port", c.Name),
		sends:  make(chan *sendRequest),
		orders: make(chan *order),
		news:   make(chan struct{}, 1),
		ended:  make(chan struct{}),
		snap: Snapshot{
			ID: c.Name, Port: c.Name, USBPath: c.USBPath, State: StateAbsent, Since: c.Now(),
			SIM: SIM{PINTries: -1}, Signal: Signal{BER: -1}, Registration: "unknown",
		},
		life: life{family: &family.Generic},
	}
	m.keeper = newKeeper(m)
	return m
}

// Run lives the modem's life until ctx ends: it opens, brings up, serves,
// recovers and never gives up. It closes the port, waits for what it started,
// and returns ctx's error. A submission that is open then is Ambiguous: let it
// end first. Run is called once.
func (m *Modem) Run(ctx context.Context) error {
	// The keeper outlives ctx by a moment: what has no copy in the modem must
	// still reach the sink.
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { m.keeper.run(keeping) })
	for died := 0; ctx.Err() == nil; {
		start := time.Now()
		m.between(ctx, m.session(ctx))
		if time.Since(start) >= time.Second || m.life.disabled {
			died = 0
			continue
		}
		// A port that opens and dies at once, as a serial server's that serves another.
		died++
		m.pause(ctx, min(time.Duration(died)*time.Second, diesMost))
	}
	close(m.ended)
	m.forgetOwed()
	flush := time.AfterFunc(5*time.Second, stop)
	m.keeper.finish()
	wg.Wait()
	flush.Stop()
	stop()
	m.setState(StateAbsent, "stopped")
	return ctx.Err()
}

// Snapshot copies what is known now.
func (m *Modem) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snap
}

// Trace is the last 500 lines of the dialogue, redacted, oldest first.
func (m *Modem) Trace() []at.TraceEntry { return m.trace.lines() }

// Send submits one TPDU (without SMSC octets) and returns what became of it.
// Only a ready modem sends; else the outcome is NotSent at once. gate is called
// after the modem's prompt and before the first octet of the TPDU; when it errs
// nothing is sent. Before the gate ctx ends the wait; after it only the modem's
// answer, its end, or the timeout does.
//
// One at a time: a second call waits for the first.
func (m *Modem) Send(ctx context.Context, tpdu []byte, gate func() error) Outcome {
	m.mu.Lock()
	closing, state, passive := m.closing, m.snap.State, m.passive
	m.mu.Unlock()
	r := &sendRequest{ctx: ctx, tpdu: tpdu, gate: gate, done: make(chan Outcome, 1)}
	if passive {
		return notSent(errPassive)
	}
	if closing == nil {
		return notSent(fmt.Errorf("%w: %s", ErrNotReady, state))
	}
	select {
	case m.sends <- r:
		return <-r.done
	case <-closing:
		return notSent(ErrNotReady)
	case <-ctx.Done():
		return notSent(ctx.Err())
	}
}

// Restart restarts the module (AT+CFUN=1,1 where it can), else reopens the
// port. A submission that is open is waited for, as long as ctx lasts. nil
// means that the restart has begun.
func (m *Modem) Restart(ctx context.Context) error {
	return m.ask(ctx, &order{kind: orderRestart})
}

// PowerCycleNow cuts the modem's power for a moment, by order of an operator:
// the limits of the ladder do not count. A submission whose answer is owed is
// waited for, as long as ctx lasts. nil means that it has begun; the history
// says what came of it. ErrNoPower when it cannot be done.
func (m *Modem) PowerCycleNow(ctx context.Context) error {
	if m.c.PowerCycle == nil {
		return ErrNoPower
	}
	return m.ask(ctx, &order{kind: orderPower})
}

// EnterPIN gives the SIM its PIN, by order of an operator: the same one again
// only after it has worked, and none when only one try is known to be left. A PIN
// that opens the SIM is remembered: see PINMemory.
func (m *Modem) EnterPIN(ctx context.Context, pin string) error {
	if !validPIN(pin) {
		return errors.New("a PIN has 4 to 8 digits")
	}
	return m.ask(ctx, &order{kind: orderPIN, pin: pin})
}

// Disable closes the port and leaves it closed until Enable.
func (m *Modem) Disable(ctx context.Context) error {
	return m.ask(ctx, &order{kind: orderDisable})
}

// Enable ends Disable.
func (m *Modem) Enable(ctx context.Context) error {
	return m.ask(ctx, &order{kind: orderEnable})
}

func (m *Modem) ask(ctx context.Context, o *order) error {
	o.done = make(chan error, 1)
	select {
	case m.orders <- o:
	case <-m.ended:
		return fmt.Errorf("%w: stopped", ErrNotReady)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotReady, ctx.Err())
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// between is what happens when a port has been closed: what it says of the
// modem, and how long to leave it alone.
func (m *Modem) between(ctx context.Context, why error) {
	m.update(func(n *Snapshot) { // nobody knows any more
		n.Signal, n.Registration, n.Operator, n.AccessTechnology = Signal{BER: -1}, "unknown", "", ""
	})
	var d *demand
	switch {
	case ctx.Err() != nil, errors.Is(why, errReopen):
		return
	case errors.Is(why, errDisabled):
		m.setState(StateDisabled, "switched off by an operator")
		for m.life.disabled && ctx.Err() == nil {
			m.pause(ctx, time.Hour)
		}
	case errors.As(why, &d):
		if d.rung == rungUSB || d.rung == rungPower {
			m.jolt(ctx, d.rung, d.why)
		} // else a restart: told and waited for by the session
	case errors.Is(why, errMute):
		m.muted(ctx)
	case errors.Is(why, errExhausted):
		m.despair(why.Error(), why)
		m.pause(ctx, silentPause)
	case errors.Is(why, at.ErrGone):
		if !time.Now().Before(m.life.away) {
			m.life.searching = time.Time{} // it may come back in another place
		}
		m.fault(StateAbsent, "the port went away: check the cable and the power", why)
	default:
		m.fault(StateRecover, "the port is opened anew: "+why.Error(), why)
		m.pause(ctx, time.Second)
	}
}

// pause waits without a port: only orders are served.
func (m *Modem) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case o := <-m.orders:
			m.noteOrder(o.kind)
			switch o.kind {
			case orderDisable:
				m.life.disabled = true
				o.done <- nil
			case orderEnable:
				m.life.disabled = false
				o.done <- nil
			case orderRestart:
				o.done <- nil // the port is opened at once
			case orderPower:
				o.done <- nil
				m.jolt(ctx, rungPower, "ordered by an operator")
			default:
				o.done <- ErrNotReady
				continue
			}
			return
		case <-m.news:
			// What was stored for a port that is closed needs no deletion.
			m.mu.Lock()
			m.kept, m.urcs = nil, nil
			m.mu.Unlock()
		}
	}
}

// update changes the snapshot and tells the sink when it did change.
func (m *Modem) update(change func(*Snapshot)) {
	if m.edit(change) {
		m.tell()
	}
}

func (m *Modem) edit(change func(*Snapshot)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.snap
	change(&m.snap)
	if m.snap.State != was.State {
		m.snap.Since = m.c.Now()
	}
	if m.snap == was {
		return false
	}
	m.snap.Version++
	m.follow(was, m.snap)
	m.trace.follow(was, m.snap)
	return true
}

// tell hands the sink the newest snapshot; the calls are in order.
func (m *Modem) tell() {
	m.notifying.Lock()
	defer m.notifying.Unlock()
	m.c.Sink.Changed(m.Snapshot())
}

func (m *Modem) setState(s State, reason string) {
	if was := m.Snapshot(); was.State != s || was.Reason != reason {
		m.log.Debug("modem state", "state", s, "reason", reason)
	}
	m.update(func(n *Snapshot) { n.State, n.Reason = s, reason })
}

// fault is setState for what should be remembered as the last error.
func (m *Modem) fault(s State, reason string, err error) {
	detail := ""
	if err != nil {
		detail = err.Error()
	}
	m.note(EntryFault, "", reason, detail)
	m.update(func(n *Snapshot) {
		m.history.faultSaid = reason
		n.State, n.Reason, n.LastError = s, reason, reason
		if err != nil {
			n.LastError = err.Error()
		}
	})
	level := slog.LevelInfo
	if again := fmt.Sprint(s, reason, err); again != m.life.said || time.Since(m.life.saidAt) > time.Minute {
		m.life.said, m.life.saidAt = again, time.Now()
	} else {
		level = slog.LevelDebug // the same once more
	}
	m.log.Log(context.Background(), level, "modem trouble", "state", s, "reason", reason, "error", err)
}

// heard is the channel's callback for unsolicited result codes. Reports and
// messages without a stored copy go to the keeper at once: they must not wait
// behind an open submission.
func (m *Modem) heard(s *session, u at.URC) {
	if strings.HasPrefix(u.Line, "+CDS:") {
		m.reported(u.Trailer)
	}
	if s.takePDU(u) {
		return
	}
	kind := classify(u.Line, s.family())
	if kind == urcOther {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if kind == urcBoot && m.interrupt != nil {
		m.interrupt(errRebooted) // the modem has forgotten the submission
	}
	if kind == urcBoot && m.asking != nil {
		m.asking(errRebooted)
	}
	if len(m.urcs) < urcBacklog {
		m.urcs = append(m.urcs, u)
	}
	m.wake()
}

// wake tells the actor that there is news.
func (m *Modem) wake() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}
