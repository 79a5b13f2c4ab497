package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"recado/modem/at"
)

const (
	// modeFor is how long an OK to AT+CMGF=0 is believed under load, beside some
	// pauses of a modem that needs them: in text mode the length in AT+CMGS is a
	// phone number, and the PDU a text to it. An idle line asks each time: it costs
	// no message any time that others need. backToBack is what load is.
	modeFor    = 2500 * time.Millisecond
	backToBack = 100 * time.Millisecond
	// missFirst is when what went unanswered at the set-up is asked again, missLast
	// how often at the end.
	missFirst, missLast = 15 * time.Second, 30 * time.Minute
	// forgetful is how often in remindWithin an echo that is back means a restart.
	forgetful, remindWithin = 4, 10 * time.Minute
)

var errForgot = errors.New("the modem has forgotten what it was told: it may have restarted")

// memento is what shows that a modem is still the one that was set up. The zero
// value trusts nothing.
type memento struct {
	toldMode  time.Time // when it last said OK to AT+CMGF=0
	oneMode   bool      // it did not at the set-up
	echoes    int       // that came before it was told to keep from it
	echoStays bool      // it echoes nevertheless
	regN      int       // <n> of +CREG as it was answered first; -1: not yet
	regDoubts int       // other answers in a row
	numbered  bool      // it has given errors their number
	doubtedAt time.Time // when plain errors last led to a look at the settings
	forgot    []time.Time

	missed    map[string]bool // commands of the set-up that went unanswered
	missAgain time.Duration
	makingUp  bool
}

// refers says that this modem, with this SIM, has given a submission a reference.
func (m *Modem) refers() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.refs.list) > 0
}

// credible is the reference of an accepted message, -1 when it looks like the
// next one of the SIM with a digit lost on the line: another message may get the
// report that has it.
func (m *Modem) credible(out Outcome) int {
	if out.Verdict != Accepted || out.MR < 0 {
		return out.MR
	}
	m.mu.Lock()
	list := m.refs.list
	m.mu.Unlock()
	if len(list) == 0 {
		return out.MR
	}
	next, got := strconv.Itoa(int(list[len(list)-1]+1)), strconv.Itoa(out.MR)
	for i := range next {
		if len(next) > 1 && next[:i]+next[i+1:] == got {
			return -1
		}
	}
	return out.MR
}

// pduFirst makes sure of the PDU mode before a submission. When it errs nothing
// may be submitted.
func (s *session) pduFirst(ctx context.Context) error {
	pace := max(s.m.life.pace, s.family().Pace)
	if time.Since(s.lastSend) < backToBack+pace && time.Since(s.toldMode) < modeFor+32*pace {
		return nil
	}
	was := s.pairing
	s.pairing = true // no other send before this one
	defer func() { s.pairing = was }()
	_, err := s.ask(ctx, "+CMGF=0", confirmAnswer)
	if s.err == nil && answered(err) && !s.busy(err) {
		lines, _ := s.ask(ctx, "+CMGF?", confirmAnswer)
		if mode, told := after(lines, "+CMGF"); told && mode == "0" || !told && s.oneMode {
			err = nil
		}
	}
	switch {
	case s.err != nil:
		return fmt.Errorf("%w: %w", ErrNotReady, s.err)
	case err == nil:
		s.toldMode = time.Now()
		return nil
	}
	return fmt.Errorf("%w: the PDU mode is not certain: %w", ErrNotReady, err)
}

// echoIsBack says that a modem which was told to keep from echoing echoes again.
func (s *session) echoIsBack() bool {
	if s.echoStays || !s.serving || s.ch.Echoes() == s.echoes {
		return false
	}
	if s.forgets("the modem echoes again"); s.err == nil {
		s.echoStays = true // it does so by itself, and a line can live with it
	}
	return s.err != nil
}

// forgets goes back to the first step with a modem that shows that it has lost
// its settings. One that shows it again and again does so by itself.
func (s *session) forgets(why string) {
	s.mistrust()
	s.echoes = s.ch.Echoes()
	if s.err != nil || !s.serving {
		return
	}
	s.forgot = append(within(s.forgot, remindWithin), time.Now())
	if len(s.forgot) > forgetful {
		s.want(s.checkSettings, 0)
		return
	}
	s.m.log.Info("the modem may have restarted", "sign", why)
	s.m.note(EntryFault, "", why+": it may have restarted, and is set up anew", "")
	s.err = &demand{step: stepIdentify, why: why, calm: true}
}

// seeSigns looks for signs of a restart that nobody was told of in an answer.
func (s *session) seeSigns(cmd string, lines []string, err error) {
	if !s.serving {
		s.echoes = s.ch.Echoes()
	}
	_, cms := errors.AsType[at.CMSError](err)
	_, cme := errors.AsType[at.CMEError](err)
	if e, ok := errors.AsType[at.CMSError](err); ok && e == 305 { // text mode
		s.mistrust()
		s.want(s.checkSettings, 0)
	}
	switch {
	case cms || cme:
		s.numbered = true
	case errors.Is(err, at.ErrFailed) && s.numbered && s.serving && time.Since(s.doubtedAt) > 30*time.Second:
		s.doubtedAt = time.Now()
		s.mistrust()
		s.want(s.checkSettings, 0)
	case err == nil && cmd == "+CREG?":
		s.seeRegistration(lines)
	}
	s.echoIsBack()
}

// seeRegistration compares <n> of +CREG: <n>,<stat>, which a restart makes 0,
// with what it was. Only what it says twice counts.
func (s *session) seeRegistration(lines []string) {
	rest, ok := after(lines, "+CREG")
	fs := strings.SplitN(rest, ",", 3)
	n, isNumber := number(fields(rest), 0)
	switch {
	case !ok || !isNumber || len(fs) < 2 || !isStat(fs[1]):
	case s.regN < 0 || !s.serving:
		s.regN = n
	case n == s.regN:
		s.regDoubts = 0
	default:
		if s.regDoubts++; s.regDoubts < 2 {
			s.mistrust()
			s.want(s.checkHealth, 0)
			return
		}
		s.regDoubts = 0
		s.regN = n
		s.forgets("the modem reports its registration in another way than it was told")
	}
}

// miss notes what got no answer at the set-up.
func (s *session) miss(cmd string) {
	if s.serving && !s.makingUp {
		return
	}
	if s.missed == nil {
		s.missed = map[string]bool{}
	}
	s.missed[name(cmd)] = true
}

// makeUp asks once more what went unanswered at the set-up: it was perhaps the
// line that lost it.
func (s *session) makeUp(ctx context.Context) {
	missed := s.missed
	s.missed = nil
	s.makingUp = true
	defer func() { s.makingUp = false }()
	for _, step := range []struct {
		names []string
		again func()
	}{
		{[]string{"+CSMS"}, func() { s.phase2(ctx) }},
		{[]string{"+CPMS", "+CMGL"}, func() {
			if s.chooseMemory(ctx); s.err == nil {
				s.want(s.sweepMems, 0)
			}
		}},
		{[]string{"+CNMI"}, func() { s.notices(ctx) }},
		{[]string{"+CSCA"}, func() { s.smsc(ctx) }},
		{[]string{"+CNUM"}, func() { s.ownNumber(ctx) }},
		{[]string{"+COPS"}, func() { s.ask(ctx, "+COPS=3,0", shortAnswer); s.operator(ctx) }},
		{[]string{"+CREG"}, func() { s.ask(ctx, "+CREG=2", shortAnswer); s.regN = -1 }},
		{s.family().ICCID, func() { s.iccidAgain(ctx) }},
	} {
		due := false
		for _, cmd := range step.names {
			if missed[name(cmd)] {
				due = true
				delete(s.unanswered, name(cmd))
			}
		}
		if due && s.err == nil {
			step.again()
			s.timeouts = 0 // the command's fault, if anybody's
		}
		for _, cmd := range step.names {
			if s.missed[name(cmd)] && slices.Contains(optional, name(cmd)) {
				s.unanswered[name(cmd)] = enough(cmd)
			}
		}
	}
	if len(s.missed) > 0 {
		s.missAgain = min(4*s.missAgain, missLast)
		s.want(s.askMissed, s.missAgain)
	}
}

// iccidAgain reads the ICCID of a SIM that is known by its IMSI only.
func (s *session) iccidAgain(ctx context.Context) {
	if s.m.Snapshot().SIM.ICCID == "" {
		s.want(s.checkSIM, 0)
	}
}
