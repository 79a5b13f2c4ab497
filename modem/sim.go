package modem

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recado/modem/at"
)

// How often and how long a SIM that says that it is busy is asked again every
// two seconds: it takes up to a minute after power-on. After that, and while
// there is none, it is looked at every simAgain, and when the modem says
// something about it.
const (
	busyLooks      = 7
	busyLooksKnown = 30 // there was a SIM that worked
	simAgain       = 15 * time.Second
)

// doEnterPUK is what an operator, and nobody else, can do.
const doEnterPUK = "enter its PUK and a new PIN, or unblock it in a phone"

// waitSIM gets the SIM ready, or waits until an operator or a new SIM does.
func (s *session) waitSIM(ctx context.Context) error {
	m := s.m
	m.setState(StateSIM, "")
	s.radioOn(ctx)
	s.offered = ""
	s.askAnew(aboutSIM)
	busy, failed, bare := 0, 0, 0
	for s.err == nil {
		state := s.cpin(ctx)
		if s.err != nil {
			break
		}
		if state == cpinBare {
			// Some never say more: then the SIM shows by what it does.
			if bare++; bare >= 3 {
				state = cpinReady
			} else {
				state = cpinBusy
			}
		}
		s.simState = state
		m.update(func(n *Snapshot) { n.SIM.State = state })
		wait := simAgain
		switch {
		case simOpen(state):
			s.unlocked(ctx)
			if err := s.knowSIM(ctx); err != nil {
				return err
			}
			m.life.simReset = false
			s.opened(ctx)
			return s.err
		case state == cpinBusy:
			if busy++; busy > s.busyLooks() {
				m.setState(StateNoSIM, "the SIM stays busy: take it out and put it in again")
			} else {
				wait = 2 * time.Second
			}
		case state == cpinPIN:
			s.asksStill(ctx, CodePIN)
			if s.offerPIN(ctx) {
				continue
			}
		case state == cpinPUK:
			s.asksStill(ctx, CodePUK)
			s.iccid(ctx)
			m.setState(StateSIMBlocked, withTries("the SIM is blocked: "+doEnterPUK, s.tries(ctx, CodePUK)))
		case state == cpinAbsent:
			m.setState(StateNoSIM, "no SIM: "+doSeat)
			s.forgetSIM()
			m.life.code = nil
		case state == cpinFailed:
			m.setState(StateNoSIM, "the SIM failed: "+doSeat)
			if failed++; failed == 4 && !m.life.simReset && m.mayReset() {
				m.life.simReset = true // once: a broken SIM stays broken
				return &demand{step: stepReset, why: "the SIM failed"}
			}
		case state == cpinWrong:
			m.setState(StateSIMBlocked, "wrong SIM: "+doUnlock)
		case state == cpinOff:
			m.setState(StateNoSIM, "the modem has switched the SIM off: "+doSeat)
			s.ask(ctx, "+CFUN=1", radioAnswer)
			wait = 2 * time.Second
			if busy++; busy > s.busyLooks() {
				wait = simAgain
			}
		default:
			m.setState(StateSIMBlocked, lockReason(state))
		}
		_ = s.wait(ctx, wait)
	}
	return s.err
}

// busyLooks is how often a busy SIM is looked at in quick succession.
func (s *session) busyLooks() int {
	if sim := s.m.Snapshot().SIM; sim.ICCID != "" || sim.IMSI != "" {
		return busyLooksKnown
	}
	return busyLooks
}

// radioOn sets full functionality when the modem has less; true when it had, and
// took it.
func (s *session) radioOn(ctx context.Context) bool {
	lines, err := s.ask(ctx, "+CFUN?", simAnswer)
	if rest, ok := after(lines, "+CFUN"); err == nil && ok {
		if n, ok := number(fields(rest), 0); ok && n != 1 {
			_, err := s.ask(ctx, "+CFUN=1", radioAnswer)
			return err == nil
		}
	}
	return false
}

func imsi(lines []string) string {
	for _, l := range lines {
		if d := digits(l); len(d) >= 6 && len(d) <= 15 {
			return d
		}
	}
	return ""
}

// iccid reads the ICCID by the first command that gives one, and notes a SIM
// that is not the one from before. busy: it may give one later.
func (s *session) iccid(ctx context.Context) (id string, busy bool) {
	for _, cmd := range s.family().ICCID {
		lines, err := s.ask(ctx, cmd, simAnswer)
		if err != nil {
			busy = busy || s.busy(err)
			continue
		}
		if id := parseICCID(lines); id != "" {
			if s.m.Snapshot().SIM.ICCID != id {
				s.changeSIM()
				s.m.update(func(n *Snapshot) { n.SIM = SIM{ICCID: id, State: n.SIM.State, PINTries: -1} })
			}
			return id, false
		}
	}
	return "", busy
}

func (s *session) forgetSIM() {
	s.m.update(func(n *Snapshot) {
		n.SIM = SIM{State: n.SIM.State, PINTries: -1}
		n.Operator, n.AccessTechnology, n.Registration = "", "", "unknown"
	})
	s.domains = map[string]registration{}
}

// How often a SIM that says that it is busy is asked, every two seconds, whose it
// is: as long as nothing of it is known it would be another SIM for the pool.
const (
	nothingTold = 15
	halfTold    = 4 // the ICCID or the IMSI is known
)

// nameFirst is when a SIM that did not say whose it is is asked again, nameMost
// how often in the end.
const nameFirst, nameMost = 5 * time.Second, 30 * time.Second

// knowSIM reads whose SIM it is. Only the ICCID or the IMSI is needed; each is
// asked for again while the SIM says that it is busy, and after that when the
// line is at work already.
func (s *session) knowSIM(ctx context.Context) error {
	for try := 1; ; try++ {
		id, busy := s.iccid(ctx)
		lines, err := s.ask(ctx, "+CIMI", simAnswer)
		if s.err != nil {
			return s.err
		}
		var who string
		if err == nil {
			who = imsi(lines)
		}
		busy = busy || s.busy(err)
		if id != "" || who != "" {
			if id == "" && s.m.Snapshot().SIM.IMSI != who {
				s.changeSIM()
			}
			s.m.update(func(n *Snapshot) {
				if id == "" && n.SIM.IMSI != who {
					n.SIM = SIM{State: n.SIM.State, PINTries: n.SIM.PINTries} // another SIM, of which no ICCID is told
				}
				n.SIM.IMSI = who
			})
		}
		most := nothingTold
		if id != "" || who != "" {
			most = halfTold
		}
		if !busy || id != "" && who != "" || try >= most {
			s.simPause = 0
			s.askName(id != "" || who != "" && !busy, 0)
			break
		}
		if err := s.wait(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	s.ownNumber(ctx)
	return s.err
}

// askName plans the next look at whose SIM it is, unless that is told. took is how
// long the last one took: a SIM that does not answer must not cost the line much.
func (s *session) askName(told bool, took time.Duration) {
	if told {
		s.simPause = 0
		return
	}
	s.simPause = min(max(2*s.simPause, nameFirst), nameMost)
	s.want(s.checkSIM, max(s.simPause, 20*took))
}

// ownNumber reads the number that the SIM has for itself.
func (s *session) ownNumber(ctx context.Context) {
	if lines, err := s.ask(ctx, "+CNUM", simAnswer); err == nil {
		var own string
		for _, l := range lines {
			if rest, ok := cutPrefix(l, "+CNUM"); ok && own == "" {
				own = parseOwnNumber(rest)
			}
		}
		s.m.update(func(n *Snapshot) { n.SIM.Number = own })
	}
}

// checkSIMSwap looks whether it is still the same SIM, and whether it is there
// at all: modems do not always say that it was taken out.
func (s *session) checkSIMSwap(ctx context.Context) {
	was, began := s.m.Snapshot().SIM, time.Now()
	lines, err := s.ask(ctx, "+CPIN?", simAnswer)
	state := cpinBare
	if rest, ok := after(lines, "+CPIN"); ok {
		state = cpinWord(rest)
	} else if err != nil && answered(err) && !errors.Is(err, at.ErrFailed) {
		state = cpinError(err)
	}
	switch {
	case s.err != nil:
		return
	case state == cpinBusy:
		// It is being read anew, or the modem has other work: only in the end a
		// matter of the SIM.
		if s.busyChecks++; s.busyChecks <= busyLooks {
			s.want(s.checkSIM, 2*time.Second)
			return
		}
		s.busyChecks = 0
		s.demand(stepSIM, "the SIM stays busy")
		return
	case state != cpinBare && !simOpen(state):
		s.demand(stepSIM, "the SIM says "+state)
		return
	}
	s.busyChecks = 0
	if was.ICCID == "" {
		s.askAnew(aboutSIM)
	}
	who := ""
	id, busy := s.iccid(ctx)
	if id == "" { // a modem that knows only the IMSI, or does not say more now
		lines, err := s.ask(ctx, "+CIMI", simAnswer)
		if err == nil {
			who = imsi(lines)
		}
		busy = busy || s.busy(err)
	}
	switch {
	case s.err != nil:
	case was.ICCID == "" && (id != "" || was.IMSI == "" && who != ""):
		s.err = &demand{step: stepSIM, why: "the SIM says by now whose it is", calm: true}
	case id != "" && id != was.ICCID, who != "" && was.IMSI != "" && who != was.IMSI:
		s.demand(stepSIM, "another SIM was put in")
	default:
		s.askName(was.ICCID != "" || was.IMSI != "" && !busy, time.Since(began))
	}
}

// lookAtSIM is checkSIMSwap for a modem that looks for a network: every minute,
// and when the modem has said something about its SIM.
func (s *session) lookAtSIM(ctx context.Context) {
	s.want(s.checkSIM, time.Minute)
	if !s.checkSIM.due.After(time.Now()) {
		s.do(ctx, s.checkSIM)
	}
}

// offerPIN gives the SIM the PIN that has opened it before, when that is safe;
// true when the modem took it. It says what an operator has to do when not.
func (s *session) offerPIN(ctx context.Context) bool {
	m := s.m
	if s.skipped = s.skipped || m.isPassive(); m.isPassive() {
		m.setState(StateSIMBlocked, reasonPassive)
		return false
	}
	const wants = "the SIM wants its PIN: "
	sim, sure := s.whichSIM(ctx)
	if s.err != nil {
		return false
	}
	pin, err := "", error(nil)
	if sure && sim != s.offered {
		pin, err = m.pins.PIN(ctx, sim)
	}
	switch {
	case err != nil:
		m.log.Error("the PIN on record could not be read", "error", err)
		m.setState(StateSIMBlocked, withTries(wants+"the one on record cannot be read, enter it", s.tries(ctx, CodePIN)))
		return false
	case sim == s.offered:
		if left := s.tries(ctx, CodePIN); m.Snapshot().State != StateSIMBlocked {
			m.setState(StateSIMBlocked, withTries(wants+"the one on record did not open it, enter the right one", left))
		}
		return false // and the reason stays
	case pin == "":
		m.setState(StateSIMBlocked, withTries(wants+"enter it", s.tries(ctx, CodePIN)))
		return false
	case !validPIN(pin):
		m.setState(StateSIMBlocked, wants+"the one on record has not 4 to 8 digits, enter the right one")
		return false
	}
	s.offered = sim
	if err := s.tryCode(ctx, CodePIN, pin, pin, false); err != nil {
		m.setState(StateSIMBlocked, withTries(wants+err.Error(), m.Snapshot().SIM.PINTries))
		return false
	}
	return true
}

func withTries(reason string, left int) string {
	if left >= 0 {
		return fmt.Sprintf("%s (tries left: %d)", reason, left)
	}
	return reason
}

// unlocked sends what the make needs as soon as the SIM is open.
func (s *session) unlocked(ctx context.Context) {
	for _, cmd := range s.family().Unlocked {
		for try := range 3 {
			if try > 0 && s.wait(ctx, time.Second) != nil {
				return
			}
			if _, err := s.ask(ctx, cmd, memoryAnswer); err == nil {
				break
			}
		}
	}
}
