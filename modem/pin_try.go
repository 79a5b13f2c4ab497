package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recado/modem/at"
	"recado/modem/family"
)

// unsettledSends bounds how often a code may be sent whose fate stayed unknown
// each time, although the SIM counted none of them.
const unsettledSends = 2

// memoryWrite bounds how long the actor waits for its memory of codes.
const memoryWrite = 20 * time.Second

// errOpening: a second order came while the first one was carried out.
var errOpening = errors.New("a PIN or PUK is being entered just now: wait for what comes of it")

// codeSent is a code that was sent and whose effect is still to be seen.
type codeSent struct {
	from *session
	sim  string
	sure bool // sim is an ICCID
	kind CodeKind
	code string
	// pin is the one that opens the SIM if this worked.
	pin     string
	before  int // tries left; -1 unknown
	ordered bool
}

// EnterPUK unblocks the SIM with its PUK and gives it a new PIN, by order of an
// operator and never otherwise. The same PUK is sent to a SIM at most once
// unless it worked, and none when fewer than two tries are known to be left.
func (m *Modem) EnterPUK(ctx context.Context, puk, newPIN string) error {
	if len(puk) != 8 || strings.Trim(puk, "0123456789") != "" {
		return errors.New("a PUK has 8 digits")
	}
	if !validPIN(newPIN) {
		return errors.New("a PIN has 4 to 8 digits")
	}
	return m.ask(ctx, &order{kind: orderPUK, puk: puk, pin: newPIN})
}

// enter carries out EnterPIN and EnterPUK.
func (s *session) enter(ctx context.Context, o *order) error {
	wanted, kind, code, what := cpinPIN, CodePIN, o.pin, "PIN"
	if o.kind == orderPUK {
		wanted, kind, code, what = cpinPUK, CodePUK, o.puk, "PUK"
	}
	switch {
	case s.opening:
		return errOpening
	case s.simState != wanted:
		return fmt.Errorf("the SIM does not ask for a %s", what)
	}
	return s.tryCode(ctx, kind, code, o.pin, true)
}

// validPIN: TS 31.101 9.5.1 has 4 to 8 digits.
func validPIN(pin string) bool {
	return len(pin) >= 4 && len(pin) <= 8 && strings.Trim(pin, "0123456789") == ""
}

// mayTry is the policy: nil when the code may be sent. left is -1 when the modem
// does not say how many tries there are; sure, when the SIM is known by its
// ICCID.
func mayTry(kind CodeKind, rec PINRecord, left int, ordered, sure bool) error {
	what := strings.ToUpper(string(kind))
	known := left >= 0
	switch {
	// Behind an IMEI may be another SIM by now: one with more tries than there
	// were after the refusal is.
	case rec.State == CodeRefused && (sure || !known || rec.After < 0 || left <= rec.After):
		return fmt.Errorf("the SIM has refused this %s before: enter another one", what)
	case known && left < 2:
		return fmt.Errorf("only %d try is left: unblock the SIM in a phone, so that it is not lost", left)
	// Its answer was lost. The SIM did not count it as wrong if it has all the
	// tries that it had.
	case rec.State == CodeSent && !(known && rec.Before >= 0 && left >= rec.Before && rec.Sends < unsettledSends):
		return fmt.Errorf("this %s was sent before, and nobody knows what came of it: enter it in a phone, or switch the PIN off there", what)
	case rec.State == CodeSent && !rec.Worked && !ordered:
		return fmt.Errorf("this %s was sent before, and nobody knows what came of it: enter it by hand", what)
	case !known && rec.Failed:
		return fmt.Errorf("a %s was refused, and the modem does not say how many tries are left: unblock the SIM in a phone", what)
	case !known && !ordered && rec.State != CodeWorked:
		return fmt.Errorf("the modem does not say how many tries are left: enter the %s by hand", what)
	}
	return nil
}

// tryCode sends a code, once, when mayTry lets it; it is written down before.
// pin is the PIN that opens the SIM if it works.
func (s *session) tryCode(ctx context.Context, kind CodeKind, code, pin string, ordered bool) error {
	m, what := s.m, strings.ToUpper(string(kind))
	if m.isPassive() {
		return errPassive
	}
	s.opening = true // orders are obeyed while it waits
	defer func() { s.opening = false }()
	sim, sure := s.whichSIM(ctx)
	if s.err == nil && !sure && !ordered {
		return fmt.Errorf("the modem does not say which SIM it is while that is locked: enter the %s by hand", what)
	}
	left := s.tries(ctx, kind)
	if s.err != nil {
		return s.err
	}
	rec, err := m.pins.Tried(ctx, sim, kind, code)
	if err != nil {
		return fmt.Errorf("the %s was not sent, because it cannot be looked up whether it was before: %w", what, err)
	}
	if err := mayTry(kind, rec, left, ordered, sure); err != nil {
		return err
	}
	err = m.remember(ctx, func(ctx context.Context) error { return m.pins.Try(ctx, sim, kind, code, left) })
	if err != nil {
		return fmt.Errorf("the %s was not sent, because that could not be written down first: %w", what, err)
	}
	sent := &codeSent{from: s, sim: sim, sure: sure, kind: kind, code: code, pin: pin, before: left, ordered: ordered}
	m.life.code = sent
	cmd := fmt.Sprintf(`+CPIN="%s"`, code)
	if kind == CodePUK {
		cmd = fmt.Sprintf(`+CPIN="%s","%s"`, code, pin)
	}
	_, err = s.ask(ctx, cmd, pinAnswer)
	switch {
	case err == nil:
		m.note(EntrySIM, "", "the modem took the "+what, "")
		m.setState(StateSIM, "")
		s.leaveAlone(ctx)
		return s.err
	case s.err != nil:
		m.note(EntrySIM, "", "the answer to the "+what+" was lost", "")
		return fmt.Errorf("nobody knows what came of the %s: the modem did not answer (%w)", what, s.err)
	}
	same := true // it may have been changed before the modem answered again
	if !refusesCode(kind, err) {
		now, _ := s.whichSIM(ctx)
		same = now == sim
	}
	left = s.tries(ctx, kind)
	if !refusesCode(kind, err) && !(same && sent.before >= 0 && left >= 0 && left < sent.before) {
		// It stays in m.life.code: what the SIM says next may tell.
		m.note(EntrySIM, "", "the modem gave no clear answer to the "+what, "")
		return fmt.Errorf("nobody knows what came of the %s: the modem said that %s", what, meaningFor(s.family(), err).Says)
	}
	s.noteRefused(ctx, sent, left)
	return errors.New(refusal(s.family(), kind, err))
}

// leaveAlone waits for what a make needs after its PIN, whatever it says
// meanwhile.
func (s *session) leaveAlone(ctx context.Context) {
	for end := time.Now().Add(s.family().AfterPIN); s.err == nil && time.Now().Before(end); {
		_ = s.wait(ctx, time.Until(end))
	}
}

// whichSIM names the SIM that is in the modem now, for its memory; sure when by
// its ICCID. What the snapshot has may be another's: it is read anew.
func (s *session) whichSIM(ctx context.Context) (sim string, sure bool) {
	for try := range 4 {
		if try > 0 && s.wait(ctx, 2*time.Second) != nil {
			break
		}
		id, busy := s.iccid(ctx)
		if id != "" {
			return id, true
		}
		if !busy {
			break
		}
	}
	return s.standIn(), false
}

// standIn is what a SIM goes by that does not tell its ICCID while it is locked.
func (s *session) standIn() string {
	if imei := s.m.Snapshot().IMEI; imei != "" {
		return "imei-" + imei
	}
	return "port-" + s.m.c.Name
}

// refusesCode says that the modem's answer to a code means that it is wrong.
func refusesCode(kind CodeKind, err error) bool {
	if e, ok := errors.AsType[at.CMEError](err); ok {
		return e == 16 || e == 12 || e == 262 || e == 11 && kind == CodePIN
	}
	if e, ok := errors.AsType[at.CMSError](err); ok {
		return e == 316 || e == 311 && kind == CodePIN
	}
	return false
}

// refusal is what an operator is told.
func refusal(f *family.Family, kind CodeKind, err error) string {
	cme, _ := errors.AsType[at.CMEError](err)
	cms, _ := errors.AsType[at.CMSError](err)
	switch {
	case kind == CodePUK:
		return "the SIM refused the PUK: it is wrong, and will not be sent again; enter the right one"
	case cme == 12 || cme == 262 || cms == 316:
		return "the SIM refused the PIN, and is blocked now: " + doEnterPUK
	case cme == 16 || cme == 11 || cms == 311:
		return "the SIM refused the PIN: it is wrong, and will not be sent again; enter the right one"
	}
	return fmt.Sprintf("the SIM refused the PIN (%s), and it will not be sent again; enter the right one", meaningFor(f, err).Says)
}

// remember runs a write to the memory of codes. What is known must be kept even
// when the program is told to stop.
func (m *Modem) remember(ctx context.Context, write func(context.Context) error) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), memoryWrite)
	defer cancel()
	err := write(limited)
	if err != nil {
		m.log.Error("what a SIM was sent could not be kept", "error", err)
	}
	return err
}

func (s *session) noteRefused(ctx context.Context, c *codeSent, left int) {
	m := s.m
	m.life.code = nil
	m.note(EntrySIM, "", "the SIM refused the "+strings.ToUpper(string(c.kind)), "")
	_ = m.remember(ctx, func(ctx context.Context) error { return m.pins.Refused(ctx, c.sim, c.kind, c.code, left) })
}

// opened takes note that the SIM is open: the code that was sent last has
// worked, and may be sent again when the modem restarts. Only what the SIM
// refused, or what did not help, stays. An operator's PIN is remembered.
func (s *session) opened(ctx context.Context) {
	m, id := s.m, s.m.Snapshot().SIM.ICCID
	c := m.life.code
	m.life.code = nil
	if c == nil {
		if id != "" {
			_ = m.remember(ctx, func(ctx context.Context) error { return m.pins.Opened(ctx, id) })
		}
		return
	}
	if c.from != s && (!c.sure || id != c.sim) || c.sure && id != "" && id != c.sim {
		return // another SIM, for all one knows
	}
	s.noteWorked(ctx, c, id)
}

// noteWorked keeps what worked. id is the SIM's ICCID now, "" when it is not
// told: a PIN is remembered under an ICCID only.
func (s *session) noteWorked(ctx context.Context, c *codeSent, id string) {
	m, keep := s.m, ""
	if c.ordered {
		keep = c.pin
	}
	m.note(EntrySIM, "", "the "+strings.ToUpper(string(c.kind))+" opened the SIM", "")
	_ = m.remember(ctx, func(ctx context.Context) error {
		if c.sure {
			return m.pins.Worked(ctx, c.sim, c.kind, c.code, keep)
		}
		err := m.pins.Worked(ctx, c.sim, c.kind, c.code, "")
		if err == nil && id != "" {
			err = m.pins.Worked(ctx, id, c.kind, c.code, keep)
		}
		return err
	})
}

// asksStill settles the fate of a code when the SIM asks for wanted again,
// after it was sent.
func (s *session) asksStill(ctx context.Context, wanted CodeKind) {
	m, c := s.m, s.m.life.code
	if c == nil {
		return
	}
	sim, sure := s.whichSIM(ctx)
	left := s.tries(ctx, c.kind)
	if s.err != nil {
		return
	}
	m.life.code = nil
	switch {
	case sim != c.sim || !sure && c.from != s: // another SIM, for all one knows
	case c.kind == CodePUK && wanted == CodePIN: // unblocked, and the modem has restarted
		s.noteWorked(ctx, c, "")
	case c.kind == CodePIN && wanted == CodePUK: // it was the last try
		s.noteRefused(ctx, c, 0)
	case c.before >= 0 && left >= 0 && left < c.before:
		s.noteRefused(ctx, c, left)
	}
}

// tries asks how many tries a code has left, by the commands of the family; -1
// when none of them tells.
func (s *session) tries(ctx context.Context, kind CodeKind) int {
	queries := s.family().PINTries
	if kind == CodePUK {
		queries = s.family().PUKTries
	}
	left := -1
	for _, q := range queries {
		lines, err := s.ask(ctx, q.Command, simAnswer)
		if err != nil {
			continue
		}
		if n, ok := q.Tries(lines); ok {
			left = n
			break
		}
	}
	if kind == CodePIN {
		s.m.update(func(n *Snapshot) { n.SIM.PINTries = left })
	}
	return left
}
