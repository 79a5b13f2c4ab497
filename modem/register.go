package modem

import (
	"context"
	"time"
)

const (
	registerPoll = 5 * time.Second
	deniedPoll   = 10 * time.Second // it may be allowed again, and not say so
	mumPoll      = time.Second      // of a modem that says nothing of its registration
	// lostFor is how long a ready modem may be without the network before it
	// counts as no line.
	lostFor = time.Minute
	// radioLook is how often a modem that does not even search is asked whether its
	// radio is on; one that was switched on and does not search is left alone for
	// twice as long each time, up to radioMost.
	radioLook, radioMost = 10 * time.Second, 5 * time.Minute
)

// register waits until the network has taken the modem in.
func (s *session) register(ctx context.Context) error {
	m := s.m
	m.setState(StateRegister, "")
	s.denials = 0
	silent := 0
	looked, again := time.Now(), radioLook
	for s.err == nil {
		mute, bare := s.askRegistration(ctx)
		if s.err != nil {
			break
		}
		if silent++; len(s.domains) > 0 {
			silent = 0
		} else if mute {
			silent = 3
		}
		// A modem that cannot say whether it is registered is taken at its work.
		if s.isRegistered() || silent >= 3 {
			m.life.searching = time.Time{}
			s.operator(ctx)
			s.signal(ctx)
			return s.err
		}
		s.searchOn()
		if s.err != nil {
			break
		}
		if s.isIdle() && !m.isPassive() && time.Since(looked) >= again {
			if looked = time.Now(); s.radioOn(ctx) {
				again = min(2*again, radioMost)
			}
		}
		wait := registerPoll
		if bare {
			wait = mumPoll
		}
		if s.isDenied() {
			s.denials++
		} else {
			s.denials = 0
		}
		switch {
		case s.denials >= 3:
			m.setState(StateSIMDenied, "the network refuses this SIM: "+doSIM)
			wait = deniedPoll
		case m.Snapshot().State == StateSIMDenied:
			m.setState(StateRegister, "")
		case time.Since(s.searching) > time.Minute:
			m.setState(StateRegister, "no network: "+doCoverage)
		}
		s.signal(ctx)
		if s.unswept { // what is there need not wait for the network
			s.unswept = false
			s.unlessPassive(s.sweepAll)(ctx)
		}
		s.lookAtSIM(ctx)
		_ = s.wait(ctx, wait)
	}
	return s.err
}

// searchOn takes the rungs of the ladder that a long search for the network leads
// to. A network that refuses the SIM is no fault of the modem's.
func (s *session) searchOn() {
	l := &s.m.life
	if l.searching.IsZero() || s.isDenied() || s.m.isPassive() {
		return
	}
	took := time.Since(l.searching)
	why := "no network for " + span(took)
	if l.searched == nil {
		l.searched = map[rung]bool{}
	}
	switch {
	case took >= searchToReset && !l.searched[rungModule] && s.m.may(rungModule):
		l.searched[rungModule] = true
		s.err = &demand{step: stepReset, why: why}
	case took >= searchToRadio && !l.searched[rungRadio] && s.m.has(rungRadio):
		l.searched[rungRadio] = true
		s.err = &demand{step: stepSIM, why: why, rung: rungRadio}
	}
}

// askRegistration asks all three domains. A modem needs to know only one; mute:
// it refuses all three for good; bare: it says OK to all of them and no more.
func (s *session) askRegistration(ctx context.Context) (mute, bare bool) {
	mute, bare = true, true
	if s.searching.IsZero() {
		s.searching = time.Now()
	}
	if s.m.life.searching.IsZero() {
		s.m.life.searching = time.Now()
	}
	for _, domain := range []string{"+CREG", "+CGREG", "+CEREG"} {
		lines, err := s.ask(ctx, domain+"?", regAnswer)
		if err != nil {
			mute, bare = mute && answered(err) && !s.busy(err), false
			continue
		}
		mute = false
		if rest, ok := after(lines, domain); ok {
			bare = false
			if r, ok := parseRegistration(rest, false); ok {
				s.noteRegistration(domain, r)
			}
		}
	}
	return mute, bare
}

func (s *session) isRegistered() bool {
	for _, r := range s.domains {
		if r.registered() {
			return true
		}
	}
	return false
}

// isIdle says that the modem looks for no network in any domain, as with its
// radio off.
func (s *session) isIdle() bool {
	for _, r := range s.domains {
		if r.Stat != 0 && r.Stat != 4 {
			return false
		}
	}
	return len(s.domains) > 0
}

func (s *session) isDenied() bool {
	for _, r := range s.domains {
		if r.Stat == 3 {
			return true
		}
	}
	return false
}

// noteRegistration keeps what a domain said, by answer or by itself. The
// circuit-switched one is shown, unless only another is registered.
func (s *session) noteRegistration(domain string, r registration) {
	s.domains[domain] = r
	shown, ok := s.domains["+CREG"]
	for _, d := range []string{"+CEREG", "+CGREG"} {
		if other, known := s.domains[d]; known && (!ok || !shown.registered() && other.registered()) {
			shown, ok = other, true
		}
	}
	act := shown.AcT
	if eps := s.domains["+CEREG"]; act < 0 && eps.registered() {
		act = eps.AcT
	}
	if s.isRegistered() {
		s.lostAt, s.searching = time.Time{}, time.Time{}
		s.m.life.searching = time.Time{}
		clear(s.m.life.searched)
	} else if s.lostAt.IsZero() {
		s.lostAt = time.Now()
		s.want(s.checkLost, lostFor)
		s.want(s.checkSIM, 2*time.Second) // a SIM that was taken out has no network
	}
	s.m.update(func(n *Snapshot) {
		n.Registration = shown.word()
		if t := technology(act); t != "" {
			n.AccessTechnology = t
		}
	})
}

// stillLost is due a minute after the registration was lost.
func (s *session) stillLost(ctx context.Context) {
	if s.lostAt.IsZero() {
		return
	}
	s.askRegistration(ctx)
	if s.err == nil && !s.isRegistered() {
		s.demand(stepRegister, "the network was lost")
	}
}

// health is what is asked of an idle modem now and then; it keeps it awake too.
// A registration may be lost without a word: those that hold the line are asked.
func (s *session) health(ctx context.Context) {
	s.signal(ctx)
	for _, domain := range []string{"+CREG", "+CGREG", "+CEREG"} {
		if domain != "+CREG" && (s.domains["+CREG"].registered() || !s.domains[domain].registered()) {
			continue
		}
		lines, err := s.ask(ctx, domain+"?", regAnswer)
		if rest, ok := after(lines, domain); err == nil && ok {
			if r, ok := parseRegistration(rest, false); ok {
				s.noteRegistration(domain, r)
			}
		}
	}
	s.imeiAgain(ctx)
}

func (s *session) signal(ctx context.Context) {
	lines, err := s.ask(ctx, "+CSQ", shortAnswer)
	if err != nil {
		return
	}
	if rest, ok := after(lines, "+CSQ"); ok {
		if sig, ok := parseSignal(rest); ok {
			s.m.update(func(n *Snapshot) { n.Signal = sig })
		}
	}
}

func (s *session) operator(ctx context.Context) {
	lines, err := s.ask(ctx, "+COPS?", simAnswer)
	if err != nil {
		return
	}
	if rest, ok := after(lines, "+COPS"); ok {
		name, act := parseOperator(rest)
		s.m.update(func(n *Snapshot) {
			if n.Operator = name; act >= 0 {
				n.AccessTechnology = technology(act)
			}
		})
	}
}
