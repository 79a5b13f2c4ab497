package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recado/modem/at"
)

// Answers to AT+CPIN? (TS 27.007 8.3), and our words for the errors that come
// in their place.
const (
	cpinReady  = "READY"
	cpinPIN    = "SIM PIN"
	cpinPUK    = "SIM PUK"
	cpinAbsent = "NOT INSERTED"
	cpinBusy   = "BUSY"
	cpinFailed = "FAILURE"
	cpinWrong  = "WRONG"
	cpinBare   = "OK" // and no word about the SIM
)

// pinTry is a PIN that was tried on a SIM in this run.
type pinTry struct{ iccid, pin string }

// waitSIM gets the SIM ready, or waits until an operator or a new SIM does.
func (s *session) waitSIM(ctx context.Context) error {
	m := s.m
	m.setState(StateSIM, "")
	s.radioOn(ctx)
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
		wait := 15 * time.Second
		switch state {
		case cpinReady, "SIM PIN2", "SIM PUK2": // the second PIN is of no concern to SMS
			m.life.pinWorked()
			s.unlocked(ctx)
			return s.knowSIM(ctx)
		case cpinBusy:
			// A SIM takes up to a minute after power-on.
			if busy++; busy > 30 {
				m.setState(StateNoSIM, "the SIM stays busy: take it out and put it in again")
			} else {
				wait = 2 * time.Second
			}
		case cpinPIN:
			s.iccid(ctx) // readable without a PIN: which PIN belongs to it?
			if s.offerPIN(ctx) {
				continue
			}
		case cpinPUK:
			m.setState(StateSIMBlocked, "the SIM is blocked: "+doPUK)
		case cpinAbsent:
			m.setState(StateNoSIM, "no SIM: "+doSeat)
			s.forgetSIM()
		case cpinFailed:
			m.setState(StateNoSIM, "the SIM failed: "+doSeat)
			if failed++; failed == 4 && m.mayReset() {
				return &demand{step: stepReset, why: "the SIM failed"}
			}
		case cpinWrong:
			m.setState(StateSIMBlocked, "wrong SIM: "+doUnlock)
		default: // PH-NET PIN and its like: a lock of the modem
			m.setState(StateSIMBlocked, fmt.Sprintf("the modem asks for %s: %s", printable(state, 20), doUnlock))
		}
		_ = s.wait(ctx, wait)
	}
	return s.err
}

// radioOn sets full functionality when the modem has less.
func (s *session) radioOn(ctx context.Context) {
	lines, err := s.ask(ctx, "+CFUN?", simAnswer)
	if rest, ok := after(lines, "+CFUN"); err == nil && ok {
		if n, ok := number(fields(rest), 0); ok && n != 1 {
			s.ask(ctx, "+CFUN=1", radioAnswer)
		}
	}
}

// cpin asks for the SIM's state. Some say it without a final OK, some say OK
// and nothing else.
func (s *session) cpin(ctx context.Context) string {
	bare, oks := false, 0
	for range 3 {
		lines, err := s.ask(ctx, "+CPIN?", simAnswer)
		if rest, ok := after(lines, "+CPIN"); ok {
			return cpinWord(rest)
		}
		if s.err != nil {
			return ""
		}
		if err != nil && !errors.Is(err, at.ErrTimeout) && !errors.Is(err, at.ErrFailed) {
			return cpinError(err)
		}
		if err == nil {
			oks++
		}
		bare = bare || err == nil || errors.Is(err, at.ErrFailed)
	}
	// No word about it: a SIM that tells its IMSI is open.
	if lines, err := s.ask(ctx, "+CIMI", simAnswer); err == nil && len(imsi(lines)) >= 6 {
		return cpinReady
	}
	if oks == 3 {
		return cpinBare
	}
	if bare {
		return cpinBusy
	}
	s.demand(stepReset, "the modem does not say how its SIM is")
	return ""
}

func cpinWord(s string) string {
	s = strings.ToUpper(unquote(s))
	switch s {
	case "NOT READY", "SIM BUSY":
		return cpinBusy
	case "NOT INSERTED", "SIM NOT INSERTED", "REMOVED", "SIM REMOVED", "NO SIM":
		return cpinAbsent
	case "SIM FAILURE":
		return cpinFailed
	}
	return s
}

func cpinError(err error) string {
	if e, ok := errors.AsType[at.CMEError](err); ok {
		switch e {
		case 10:
			return cpinAbsent
		case 11:
			return cpinPIN
		case 12, 262:
			return cpinPUK
		case 13:
			return cpinFailed
		case 15:
			return cpinWrong
		case 5, 6, 7, 40, 41, 42, 43, 44, 45, 46, 47, 48:
			return "PH-LOCK"
		}
		return cpinBusy
	}
	if e, ok := errors.AsType[at.CMSError](err); ok {
		switch e {
		case 310:
			return cpinAbsent
		case 311:
			return cpinPIN
		case 313:
			return cpinFailed
		case 315:
			return cpinWrong
		case 316:
			return cpinPUK
		}
	}
	return cpinBusy
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
				s.forgetSlots()
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

// knowSIM reads whose SIM it is. Only the ICCID or the IMSI is needed; each is
// asked for again while the SIM says that it is busy; any other refusal is final.
func (s *session) knowSIM(ctx context.Context) error {
	for try := range 4 {
		if try > 0 {
			if err := s.wait(ctx, 2*time.Second); err != nil {
				return err
			}
		}
		id, wait := s.iccid(ctx)
		lines, err := s.ask(ctx, "+CIMI", simAnswer)
		var who string
		if err == nil {
			who = imsi(lines)
		}
		wait = wait || s.busy(err)
		if id == "" && who == "" {
			if !wait {
				break
			}
			continue
		}
		if id == "" && s.m.Snapshot().SIM.IMSI != who {
			s.forgetSlots()
		}
		s.m.update(func(n *Snapshot) {
			if id == "" && n.SIM.IMSI != who {
				n.SIM = SIM{State: n.SIM.State, PINTries: n.SIM.PINTries} // another SIM, of which no ICCID is told
			}
			n.SIM.IMSI = who
		})
		if who != "" || !wait {
			break
		}
	}
	if lines, err := s.ask(ctx, "+CNUM", simAnswer); err == nil {
		var own string
		for _, l := range lines {
			if rest, ok := cutPrefix(l, "+CNUM"); ok && own == "" {
				own = parseOwnNumber(rest)
			}
		}
		s.m.update(func(n *Snapshot) { n.SIM.Number = own })
	}
	return s.err
}

// checkSIMSwap looks whether it is still the same SIM: modems do not always say
// that it was taken out.
func (s *session) checkSIMSwap(ctx context.Context) {
	was := s.m.Snapshot().SIM
	id, _ := s.iccid(ctx)
	if id == "" && was.ICCID == "" { // a modem that knows only the IMSI
		if lines, err := s.ask(ctx, "+CIMI", simAnswer); err == nil {
			if who := imsi(lines); who != "" && who != was.IMSI {
				s.demand(stepSIM, "another SIM was put in")
			}
		}
		return
	}
	if id != "" && id != was.ICCID {
		s.demand(stepSIM, "another SIM was put in")
	}
}

// offerPIN tries the known PIN, when that is safe; true when it was accepted.
// It says what an operator has to do when not.
func (s *session) offerPIN(ctx context.Context) bool {
	m := s.m
	if s.skipped = s.skipped || m.isPassive(); m.isPassive() {
		m.setState(StateSIMBlocked, reasonPassive)
		return false
	}
	iccid := m.Snapshot().SIM.ICCID
	var pin string
	if m.c.PIN != nil {
		pin = m.c.PIN(iccid)
	}
	if pin == "" {
		s.pinTries(ctx)
		m.setState(StateSIMBlocked, s.withTries("the SIM wants its PIN: enter it"))
		return false
	}
	if err := s.tryPIN(ctx, pin, false); err != nil {
		m.setState(StateSIMBlocked, s.withTries("the SIM wants its PIN: "+err.Error()))
		return false
	}
	return true
}

func (s *session) withTries(reason string) string {
	if n := s.m.Snapshot().SIM.PINTries; n >= 0 {
		return fmt.Sprintf("%s (tries left: %d)", reason, n)
	}
	return reason
}

// tryPIN sends a PIN once. Never the same one twice on a SIM that it did not open; never when fewer
// than two tries are left; when the number is unknown, only by an operator's
// order, and not after a failure.
func (s *session) tryPIN(ctx context.Context, pin string, ordered bool) error {
	m := s.m
	if !validPIN(pin) {
		return errors.New("the PIN on record has not 4 to 8 digits: enter the right one")
	}
	if m.isPassive() {
		return errPassive
	}
	try := pinTry{m.Snapshot().SIM.ICCID, pin}
	if m.life.tried[try] {
		return errors.New("this PIN was tried already: enter another one")
	}
	left, known := s.pinTries(ctx)
	switch {
	case s.err != nil:
		return s.err
	case known && left < 2:
		return fmt.Errorf("only %d try is left: unblock the SIM in a phone, so that it is not lost", left)
	case !known && !ordered:
		return errors.New("the modem does not say how many tries are left: enter the PIN by hand")
	case !known && m.life.refused[try.iccid]:
		return errors.New("a PIN was refused, and the modem does not say how many tries are left: unblock the SIM in a phone")
	}
	m.life.tried[try] = true
	_, err := s.ask(ctx, fmt.Sprintf(`+CPIN="%s"`, pin), pinAnswer)
	if err != nil {
		m.life.refused[try.iccid] = true
		s.pinTries(ctx)
		return fmt.Errorf("the SIM refused the PIN (%s): enter the right one", meaningFor(s.family(), err).Says)
	}
	m.life.sent = try
	m.setState(StateSIM, "")
	// Whatever it says meanwhile, it is left alone.
	for end := time.Now().Add(s.family().AfterPIN); s.err == nil && time.Now().Before(end); {
		_ = s.wait(ctx, time.Until(end))
	}
	return s.err
}

// pinWorked forgets the PIN that has opened the SIM: it may be given again when
// the modem restarts. Only what the SIM refused, or what did not help, stays.
func (l *life) pinWorked() {
	if l.sent == (pinTry{}) {
		return
	}
	delete(l.tried, l.sent)
	delete(l.refused, l.sent.iccid) // its tries are all there again
	l.sent = pinTry{}
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

// pinTries asks how many tries are left, by the commands of the family.
func (s *session) pinTries(ctx context.Context) (int, bool) {
	for _, q := range s.family().PINTries {
		lines, err := s.ask(ctx, q.Command, simAnswer)
		if err != nil {
			continue
		}
		if n, ok := q.Tries(lines); ok {
			s.m.update(func(snap *Snapshot) { snap.SIM.PINTries = n })
			return n, true
		}
	}
	s.m.update(func(snap *Snapshot) { snap.SIM.PINTries = -1 })
	return -1, false
}

func validPIN(pin string) bool {
	return len(pin) >= 4 && len(pin) <= 8 && strings.Trim(pin, "0123456789") == ""
}
