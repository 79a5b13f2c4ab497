// Package pool owns the lines: it brings modems up, lets each ready line claim
// and send the next message, and puts what they receive into the store. Only
// pool knows both the hardware and the queue.
//
// A dispatcher hands the next message to the idle line whose turn it is (see
// wear); a busy line pulls its next one itself, in the transaction that commits
// the outcome of the last. What a line may take at this moment is its offer: the
// routes, quiet hours, paces, windows and kill switches are in it, and the store
// adds the SIM's limits. An unplugged line just stops asking.
package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recado/modem"
	"recado/modem/at"
	"recado/queue"
	"recado/queue/inbox"
)

// Port is a place where a modem may be.
type Port struct {
	// Name as the operator gave it: /dev/ttyUSB2, a pty's path, tcp:HOST:PORT,
	// emulated:N, usb:1-1.2:2.
	Name string
	Open func(ctx context.Context) (io.ReadWriteCloser, error)
	// USBPath of the device, "1-1.2"; "" when it is on no USB socket, or on one
	// that is not known.
	USBPath  string
	Emulated bool
	// Submission is how long one may take, where that is known before any has been
	// measured; 0: it is not.
	Submission time.Duration
	// USBReset takes the device off the bus and brings it back, PowerCycle cuts
	// its power for a moment; nil: cannot be done.
	USBReset, PowerCycle func(ctx context.Context) error
}

// Options are what a Pool works with. All but Registerer are needed.
type Options struct {
	Store      *queue.Store
	Inbox      *inbox.Store
	Clock      queue.Clock
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
	// Evidence is told what the networks say of the time; nil: nobody is.
	Evidence Evidence
	// OpenLimits: no pace, no quiet hours and no send windows, for measuring.
	OpenLimits bool
	// Home is the time zone of the box, in which send windows are; nil: the
	// system's.
	Home *time.Location
}

// Sentinels that callers branch on.
var (
	ErrNoModem = errors.New("no such modem")
	ErrNoSIM   = errors.New("no such SIM")
	// errPaused refuses the gate while sending, the SIM or the class is paused, or
	// the program stops.
	errPaused = errors.New("sending is paused")
	// errOtherSIM refuses it when the SIM was changed after the claim.
	errOtherSIM = errors.New("the modem has another SIM now")
)

// Pool is all lines of this box.
type Pool struct {
	store *queue.Store
	inbox *inbox.Store
	clock queue.Clock
	log   *slog.Logger
	met   *metrics
	times Evidence // nil: none

	openLimits bool
	home       *time.Location
	// rules are those in force; ruling is held while they are changed, pausing
	// while a kill switch is kept on disk. unkept writes those that could not be, by
	// which they are; pausing is held.
	rules      atomic.Pointer[rules]
	ruling     sync.Mutex
	pausing    sync.Mutex
	unkept     map[string]func(context.Context) error
	timetables timetables
	wear       wear
	turns      turns
	fallbacks  fallbacks
	// able are the SIMs that could send something when the dispatcher went round last.
	able atomic.Pointer[map[string]ability]
	// long are how many segments the messages then had that were first: see lengths.
	long atomic.Pointer[map[fallback]int]

	paused   atomic.Bool
	draining atomic.Bool
	// gates is held for reading while a gate opens.
	gates sync.RWMutex
	// keys is held while a line's SIM key is worked out from what all lines have.
	keys sync.Mutex
	// work has a token when something may have become claimable, or a line free.
	work chan struct{}
	// progressed is the last round of the dispatcher, timed that of the keeper of
	// time, both on the monotonic clock since began.
	progressed, timed atomic.Int64
	began             time.Time
	// complained is when a disk that cannot be written was last logged, Unix ns.
	complained atomic.Int64

	mu    sync.Mutex
	lines []*line
	run   context.Context // nil before Run
	owed  []queue.Owed    // answers that the run before this one did not live to hear
	watch map[chan struct{}]bool
	wg    sync.WaitGroup

	simMu sync.Mutex
	sims  map[string]*simRecord // by SIM key

	canaries canaries

	credit credits
	links  links
	former formerSpeeds
}

// New makes a pool without lines; Add them, then Run.
func New(o Options) *Pool {
	p := &Pool{
		store: o.Store, inbox: o.Inbox, clock: o.Clock, log: o.Log, times: o.Evidence,
		met:   newMetrics(o.Registerer),
		began: time.Now(),
		work:  make(chan struct{}, 1),
		watch: map[chan struct{}]bool{},
		sims:  map[string]*simRecord{},

		unkept: map[string]func(context.Context) error{},

		openLimits: o.OpenLimits, home: cmp.Or(o.Home, time.Local),
		canaries: newCanaries(),
	}
	p.links.p = p
	p.rules.Store(&rules{quiet: DefaultQuietHours, buckets: []bucket{{zones: []*time.Location{p.home}}}})
	p.able.Store(&map[string]ability{})
	p.long.Store(&map[fallback]int{})
	return p
}

// Add brings a modem on a port under the pool's care, at once when it runs.
func (p *Pool) Add(port Port) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(p.lines, func(l *line) bool { return l.port.Name == port.Name }) {
		return fmt.Errorf("the port %s was named twice", port.Name)
	}
	l := newLine(p, port)
	p.lines = append(p.lines, l)
	if p.run != nil {
		p.start(l)
	}
	return nil
}

// start runs a line's goroutines; p.mu is held.
func (p *Pool) start(l *line) {
	ctx, stop := context.WithCancel(p.run)
	l.stop = stop
	p.expect(ctx, l)
	l.alive.Go(func() {
		if err := l.modem.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("a modem's care ended by itself", "port", l.port.Name, "error", err)
		}
	})
	l.alive.Go(func() { l.follow(ctx) })
	l.alive.Go(func() { l.serve(ctx) })
	p.wg.Go(func() {
		l.alive.Wait()
		stop()
	})
}

// Run drives all lines until ctx ends, then waits for them. Call Drain first
// for an orderly stop: Run's end closes ports whatever is in flight.
func (p *Pool) Run(ctx context.Context) error {
	if err := p.loadRules(ctx); err != nil {
		return err
	}
	if err := p.loadSIMs(ctx); err != nil {
		return err
	}
	p.store.OnLimit(p.limited)
	if err := p.loadCredit(ctx); err != nil {
		return err
	}
	if err := p.loadLinks(ctx); err != nil {
		return err
	}
	if err := p.loadOwed(ctx); err != nil {
		return err
	}
	if err := p.loadMutes(ctx); err != nil {
		return err
	}
	p.progressed.Store(int64(time.Since(p.began)))
	p.timed.Store(int64(time.Since(p.began)))
	p.store.OnReady(p.kick)
	p.store.OnProved(func(attempt int64) {
		for _, l := range p.all() {
			l.redeem(attempt)
		}
	})
	p.mu.Lock()
	p.run = ctx
	for _, l := range p.lines {
		p.start(l)
	}
	p.mu.Unlock()
	p.wg.Go(func() { p.dispatch(ctx) })
	p.wg.Go(func() { p.keepTime(ctx) })
	p.wg.Go(func() { p.careForCanaries(ctx) })
	p.kick()
	<-ctx.Done()
	p.wg.Wait()
	return nil
}

// Drain stops claiming and waits until no submission is open, or ctx ends.
func (p *Pool) Drain(ctx context.Context) error {
	p.draining.Store(true)
	hint, cancel := p.Watch()
	defer cancel()
	for {
		n := p.InFlight()
		if n == 0 {
			return nil
		}
		select {
		case <-hint:
		case <-ctx.Done():
			return fmt.Errorf("%d submissions were still waiting for the network's answer", n)
		}
	}
}

// InFlight is how many lines have a message in hand.
func (p *Pool) InFlight() int {
	n := 0
	for _, l := range p.all() {
		if l.isBusy() {
			n++
		}
	}
	return n
}

// Ready is how many lines can send now.
func (p *Pool) Ready() int {
	n := 0
	for _, l := range p.all() {
		if l.able() {
			n++
		}
	}
	return n
}

// Progress is when both the dispatcher and the keeper of time had gone round
// last: at least every second while they are well. For the watchdog. It has a
// monotonic reading: the wall clock may jump.
func (p *Pool) Progress() time.Time {
	return p.began.Add(time.Duration(min(p.progressed.Load(), p.timed.Load())))
}

// Watch returns a channel that gets a token after something visible changed: a
// modem's state, a signal, what a line sends. Call the function when done.
func (p *Pool) Watch() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	p.mu.Lock()
	p.watch[c] = true
	p.mu.Unlock()
	return c, func() {
		p.mu.Lock()
		delete(p.watch, c)
		p.mu.Unlock()
	}
}

func (p *Pool) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// kick wakes the dispatcher; it never blocks.
func (p *Pool) kick() {
	select {
	case p.work <- struct{}{}:
	default:
	}
}

func (p *Pool) all() []*line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// Modems are snapshots of all modems, in the order their ports were named.
// Their ID is unique in the pool, also when two devices claim one IMEI; their
// SIM's ICCID is the one that SIMs gives, also where the modem does not say it.
func (p *Pool) Modems() []modem.Snapshot {
	lines := p.all()
	s := make([]modem.Snapshot, len(lines))
	for i, l := range lines {
		s[i] = l.view()
	}
	return s
}

// Modem is the snapshot of one.
func (p *Pool) Modem(id string) (modem.Snapshot, bool) {
	if l := p.lineOf(id); l != nil {
		return l.view(), true
	}
	return modem.Snapshot{}, false
}

func (p *Pool) lineOf(id string) *line {
	for _, l := range p.all() {
		if l.snapshot().ID == id {
			return l
		}
	}
	return nil
}

// Restart resets a modem and forgives its line. ErrNoModem when there is none.
func (p *Pool) Restart(ctx context.Context, id string) error {
	l := p.lineOf(id)
	if l == nil {
		return ErrNoModem
	}
	l.forgive()
	p.complain(ctx, "ending a quarantine", p.acquit(ctx, l.simKey()))
	p.release(l.simKey())
	return l.modem.Restart(ctx)
}

// EnterPIN hands an operator's PIN to a modem; one that opens the SIM is
// remembered. ErrNoModem when there is none.
func (p *Pool) EnterPIN(ctx context.Context, id, pin string) error {
	l := p.lineOf(id)
	if l == nil {
		return ErrNoModem
	}
	return l.modem.EnterPIN(ctx, pin)
}

// Trace is the modem's last redacted AT dialogue. ErrNoModem when there is none.
func (p *Pool) Trace(id string) ([]at.TraceEntry, error) {
	l := p.lineOf(id)
	if l == nil {
		return nil, ErrNoModem
	}
	return l.modem.Trace(), nil
}
