package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"recado/modem/at"
	"recado/modem/family"
	"recado/modem/tty"
)

// session is one open port, from opening to closing. Owned by Run's goroutine
// but for what says otherwise.
type session struct {
	m   *Modem
	ch  *at.Channel
	fam atomic.Pointer[family.Family] // read by the channel's goroutine too
	// heard counts the lines that have come.
	heard atomic.Int64
	ack   atomic.Bool // AT+CSMS=1 is on: +CMT and +CDS want AT+CNMA

	// err sticks: once something fatal has happened every further command gives
	// it, so that a phase can be written without a check after each line.
	err      error
	timeouts int  // in a row
	passive  bool // what SetPassive said last
	unswept  bool // the memories have not been looked through since the set-up
	skipped  bool // something was left out since: another port has the SIM
	// unanswered counts what got no answer, however it was asked, by command.
	unanswered map[string]int
	poked      bool // the modem said something that ends a wait
	serving    bool // ready: sends may go in front of the next command

	simState string // the last answer to AT+CPIN?
	offered  string // the SIM that was given its PIN since waitSIM began
	opening  bool   // a code is on its way to the SIM
	// busyChecks counts how often a SIM that was ready said that it is busy, in a row.
	busyChecks int
	domains    map[string]registration
	// lostAt is since when no domain is registered; zero: registered. searching
	// is since when the way up waits for one.
	lostAt, searching time.Time
	denials           int // "denied" in a row

	mem       string   // what AT+CPMS has as first memory
	selected  string   // the one that is read from at the moment; "" unknown
	oneMemory bool     // AT+CPMS is not understood: there is one, whatever its name
	mems      []string // every memory that may hold something for us
	listBy    listWay
	hints     []hint
	deletes   []slot
	taken     map[slot]bool   // handed to the keeper, or waiting for deletion
	deleted   map[slot]string // deleted, and what was there
	foreign   int             // stored SUBMITs of others, at the last sweep
	epoch     int             // counts SIMs: a slot of the last one is not this one's
	acks      int             // AT+CNMA owed
	full      bool            // the memory is nearly full
	noNotices bool            // AT+CNMI was refused altogether
	hinted    bool            // something was announced in this session

	shelf
	memento
	hushes
	untold
	chores
	zone         zone
	ussd         ussd
	link         linkNow
	sent         int       // submissions of this session
	lastSend     time.Time // when the last one ended
	hitches      int       // commands that were lost, and answered when repeated
	deviceErrors int       // submissions in a row that the modem itself spoilt
	readyAt      time.Time
}

// demand is an error that says what has to be done next rather than what
// failed: go back to a step of the way up, or restart the module.
type demand struct {
	step step
	why  string
	calm bool // nothing is wrong
	rung rung // of the ladder, when it is not what the step says; see session.reset
}

func (d *demand) Error() string { return d.why }

var (
	errDisabled = errors.New("switched off by an operator")
	errReopen   = errors.New("the port is opened anew")
	errMute     = errors.New("the modem does not answer to AT")
	errRebooted = errors.New("the modem restarted by itself")
)

// fatal says that a session cannot go on as it was.
func fatal(err error) bool {
	_, demanded := errors.AsType[*demand](err)
	return demanded || errors.Is(err, at.ErrGone) || errors.Is(err, errDisabled) || errors.Is(err, errMute) || errors.Is(err, errReopen)
}

// session opens the port, lives in it, closes it, and says why it ended.
func (m *Modem) session(ctx context.Context) error {
	if m.life.disabled {
		return errDisabled
	}
	port, appeared, err := m.open(ctx)
	if err != nil {
		return err
	}
	s := &session{
		m: m, domains: map[string]registration{}, simState: "",
		unanswered: map[string]int{}, taken: map[slot]bool{}, deleted: map[slot]string{},
	}
	s.fam.Store(m.life.family)
	s.planChores()
	f := s.family()
	s.ch = at.New(port, at.Options{
		URC: func(u at.URC) { m.heard(s, u) }, Trace: s.trace, Log: m.log, Now: m.c.Now,
		PromptTimeout: f.PromptTimeout, ResultTimeout: s.resultTimeout(), Doubt: func(err error, after time.Duration) bool { return doubts(s.family())(err, after) }, References: m.refers(), Counted: m.life.counted, Wakes: m.life.wakes, Pace: max(f.Pace, m.life.pace), AfterPrompt: f.AfterPrompt,
	})
	err = s.live(ctx, appeared)
	m.stopSends()
	s.learnManners()
	if cerr := s.ch.Close(); cerr != nil && !errors.Is(err, at.ErrGone) && ctx.Err() == nil {
		m.log.Debug("closing the port", "error", cerr)
	}
	return err
}

func (s *session) trace(e at.TraceEntry) {
	if !e.Out {
		s.heard.Add(1)
	}
	s.m.trace.add(e)
}

func (s *session) family() *family.Family { return s.fam.Load() }

// open waits until the port can be opened. appeared says that it was not there
// at first.
func (m *Modem) open(ctx context.Context) (port io.ReadWriteCloser, appeared bool, err error) {
	for try := 0; ctx.Err() == nil; try++ {
		if m.life.disabled {
			return nil, false, errDisabled
		}
		port, err := m.c.Open(ctx)
		if err == nil {
			// A name such as /dev/ttyUSB2 may lead to another socket each time.
			if on, ok := port.(interface{ USBPath() string }); ok && on.USBPath() != "" {
				m.edit(func(s *Snapshot) { s.USBPath = on.USBPath() })
			}
			return port, appeared, nil
		}
		if ctx.Err() != nil {
			break
		}
		wait := time.Second
		switch {
		case errors.Is(err, tty.ErrBusy), errors.Is(err, syscall.EBUSY):
			m.setState(StateLocked, err.Error()+": stop that program, or tell it to leave this port alone")
			wait = 3 * time.Second
		case errors.Is(err, tty.ErrPermission), errors.Is(err, tty.ErrNotTTY), errors.Is(err, tty.ErrName):
			m.setState(StateFault, err.Error())
			wait = 5 * time.Second
		default:
			appeared = true
			m.setState(StateAbsent, err.Error())
			if try >= 60 {
				wait = 2 * time.Second
			}
		}
		m.pause(ctx, wait)
	}
	return nil, false, ctx.Err()
}

// live goes up from the first AT to ready, and back to where an error demands,
// until the port has to be closed.
func (s *session) live(ctx context.Context, appeared bool) error {
	quiet := s.family().Quiet
	if settle := s.m.c.Settle; appeared && settle > 0 && quiet == 0 {
		s.m.setState(StateSettling, "")
		if err := s.wait(ctx, settle); err != nil && fatal(err) {
			if _, ok := errors.AsType[*demand](err); !ok { // a boot message is no surprise now
				return err
			}
		}
	}
	if appeared && quiet > 0 {
		if err := s.untilBoot(ctx, quiet); err != nil {
			return err
		}
	}
	rounds := 0
	for from := stepIdentify; ; {
		s.err, s.poked, s.readyAt = nil, false, time.Time{}
		err := s.climb(ctx, from)
		s.leaveReady()
		d, ok := errors.AsType[*demand](err)
		if !ok {
			return err
		}
		if !s.readyAt.IsZero() && time.Since(s.readyAt) > time.Minute {
			rounds = 0
		}
		own := d.why == errRebooted.Error() // it has done for itself what L3 would do
		if own {
			s.ch.CountAnew()
		}
		if !d.calm && !own {
			rounds++
		}
		from = d.step
		radio := d.rung == rungRadio && from < stepReset
		if from < stepReset && from != stepRegister {
			switch {
			case rounds > roundsToReset:
				from = stepReset
			case rounds > roundsToRadio && s.m.life.ladder.top < rungRadio && s.m.has(rungRadio):
				radio = true
			}
		}
		switch {
		case from >= stepReset:
			return s.reset(ctx, d)
		case radio:
			s.err = nil
			back, err := s.radio(ctx, d.why)
			if err != nil {
				return err
			}
			from = max(from, back)
		case from != stepRegister && !d.calm:
			if !own {
				s.m.take(rungSetup, d.why)
			}
			s.m.fault(StateRecover, d.why, nil)
		}
	}
}

// untilBoot leaves a port alone until the modem behind it says that it is up,
// or d is over.
func (s *session) untilBoot(ctx context.Context, d time.Duration) error {
	s.m.setState(StateSettling, "")
	for end := time.Now().Add(d); s.err == nil && time.Now().Before(end); {
		_ = s.wait(ctx, time.Until(end))
	}
	if _, up := errors.AsType[*demand](s.err); up {
		return nil
	}
	return s.err
}

// climb does the steps from the given one to ready, and serves until something
// ends that.
func (s *session) climb(ctx context.Context, from step) error {
	if from == stepBarred {
		if err := s.barred(ctx); err != nil {
			return err
		}
	}
	if from >= stepIdentify {
		s.link = linkNow{} // it may have restarted
		if err := s.greet(ctx); err != nil {
			return err
		}
		if err := s.identify(ctx); err != nil {
			return err
		}
	}
	if from >= stepSIM {
		if err := s.waitSIM(ctx); err != nil {
			return err
		}
	}
	if from >= stepSetup {
		if err := s.configure(ctx); err != nil {
			return err
		}
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	return s.serve(ctx)
}

// ask runs one command. When the modem is ready a waiting send goes first.
// Errors of the modem's own are the caller's; fatal ones stick.
func (s *session) ask(ctx context.Context, cmd string, timeout time.Duration) ([]string, error) {
	if s.serving {
		s.letSendGo(ctx)
	}
	if s.err == nil {
		s.err = ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	if err := s.mayAsk(cmd); err != nil {
		return nil, err
	}
	if s.leftOut(cmd) {
		s.miss(cmd)
		return nil, errUnanswered
	}
	lines, err := s.command(ctx, cmd, timeout)
	s.seeSigns(cmd, lines, err)
	if noAnswer(err) && ctx.Err() == nil && !s.serving && timeout <= simAnswer && !strings.HasPrefix(cmd, "+CPIN=") {
		lines, err = s.askAgain(ctx, cmd, timeout)
	}
	if noAnswer(err) || errors.Is(err, errUnanswered) {
		s.miss(cmd)
	}
	switch {
	case s.err != nil:
	case err == nil:
		s.timeouts = 0
	case ctx.Err() != nil:
		s.err = ctx.Err()
	case errors.Is(err, at.ErrGone):
		s.err = at.ErrGone
	case noAnswer(err):
		s.mistrust()
		s.resync(ctx, "no answer to AT"+shown(cmd))
		s.lostInReady(ctx)
	default:
		s.timeouts = 0 // a refusal is an answer
	}
	s.heardOf(cmd, err)
	if s.err != nil {
		err = s.err
	}
	return lines, err
}

// command runs one command. A ready modem that says meanwhile that it has
// restarted will not answer it any more.
func (s *session) command(ctx context.Context, cmd string, timeout time.Duration) ([]string, error) {
	if !s.serving {
		return s.ch.Command(ctx, cmd, timeout)
	}
	asking, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	s.m.setAsking(interrupt)
	lines, err := s.ch.Command(asking, cmd, timeout)
	s.m.setAsking(nil)
	if err != nil && errors.Is(context.Cause(asking), errRebooted) && !answered(err) {
		s.demand(stepIdentify, errRebooted.Error())
	}
	return lines, err
}

// setAsking notes what ends the wait for a plain command's answer.
func (m *Modem) setAsking(f context.CancelCauseFunc) {
	m.mu.Lock()
	m.asking = f
	m.mu.Unlock()
}

// shown is the part of a command that may be shown: never a PIN.
func shown(cmd string) string {
	for i, c := range cmd {
		if c == '=' {
			return cmd[:i]
		}
	}
	return cmd
}

// wait lets time pass with the port open: orders are obeyed, news is heard. It
// ends early, without an error, when the modem says something about the SIM or
// the network.
func (s *session) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	for s.err == nil {
		if s.poked {
			s.poked = false
			return nil
		}
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			s.err = ctx.Err()
		case <-s.ch.Gone():
			s.err = at.ErrGone
		case o := <-s.m.orders:
			s.obey(ctx, o)
		case <-s.m.news:
			s.hear()
		}
	}
	return s.err
}

// demand asks for a step; the deepest that was asked for counts.
func (s *session) demand(to step, why string) {
	if d, ok := errors.AsType[*demand](s.err); s.err == nil || ok && d.step < to {
		s.err = &demand{step: to, why: why}
	}
}

// obey carries out an operator's order.
func (s *session) obey(ctx context.Context, o *order) {
	s.m.noteOrder(o.kind)
	switch o.kind {
	case orderRestart:
		o.done <- nil
		s.demand(stepOrderedReset, "restarted by an operator")
	case orderPIN, orderPUK:
		o.done <- s.enter(ctx, o)
		s.poked = true
	case orderPower:
		o.done <- nil
		if d := (&demand{step: stepOrderedReset, why: "ordered by an operator", rung: rungPower}); s.err == nil || fatal(s.err) {
			s.err = d
		}
	case orderDisable:
		s.m.life.disabled = true
		s.err = errDisabled
		o.done <- nil
	case orderEnable:
		o.done <- nil
	case orderUSSD:
		o.done <- s.takeUSSD(o.ussd)
	case orderFlip:
		o.done <- s.flip(ctx)
	case orderForeign:
		var err error
		o.count, err = s.deleteForeign(ctx)
		o.done <- err
	case orderForgetLink:
		s.forgetLink(o.pin)
		o.done <- nil
	default:
		o.done <- fmt.Errorf("unknown order %d", o.kind)
	}
}
