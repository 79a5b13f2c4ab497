package modem

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// errPassive: the SIM is another port's.
var errPassive = fmt.Errorf("%w: another port of the same module has its SIM", ErrNotReady)

// reasonPassive is what a passive modem shows.
const reasonPassive = "another port of the same module has its SIM: this one only watches the signal"

// SetPassive tells the modem that another port has its SIM (true), or has no
// longer (false). A passive modem works no more on the SIM: it reads, deletes
// and announces no messages, sends none (Send gives NotSent) and tries no PIN;
// it only watches signal and registration. When it ends the SIM is looked at
// anew, and everything in the memories is read.
//
// It may be called at any time, also from within Sink.Changed; it does not wait
// for the command that runs.
func (m *Modem) SetPassive(on bool) {
	m.mu.Lock()
	changed := m.passive != on
	m.passive = on
	m.mu.Unlock()
	if changed {
		m.wake()
	}
}

func (m *Modem) isPassive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.passive
}

// simWork are the commands that a passive modem does not give. One that reads
// the SIM's state or identity harms nobody, and says when it is another SIM.
var simWork = []string{"+CMGL", "+CMGR", "+CMGD", "+CPMS", "+CNMI", "+CSMS", "+CPIN=", "+CNUM", "+CSCA"}

// mayAsk keeps a passive modem from the SIM, wherever the change finds it.
func (s *session) mayAsk(cmd string) error {
	if !s.m.isPassive() {
		return nil
	}
	if slices.ContainsFunc(simWork, func(w string) bool { return strings.HasPrefix(cmd, w) }) {
		s.skipped = true
		return errPassive
	}
	return nil
}

// followPassive takes note of SetPassive.
func (s *session) followPassive() {
	on := s.m.isPassive()
	if on == s.passive {
		return
	}
	s.passive, s.poked = on, true
	s.m.isSpared()  // and stays so until it is ready by itself
	s.forgetSlots() // the other port deletes what it reads
	if !on {
		s.want(s.resume, 0)
	} else if s.serving {
		s.m.stopSends()
		s.m.setState(StateReady, reasonPassive)
	}
}

// resumeSIM goes back to the SIM: it may be another one by now, and the other
// port may have left messages behind.
func (s *session) resumeSIM(context.Context) {
	if s.skipped {
		s.skipped = false
		s.err = &demand{step: stepSIM, why: "the module's other port is gone", calm: true}
		return
	}
	s.becomeReady() // it changed to and fro
}

// unlessPassive is a chore of a modem that has its SIM for itself.
func (s *session) unlessPassive(run func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		if s.skipped = s.skipped || s.m.isPassive(); !s.m.isPassive() {
			run(ctx)
		}
	}
}

// becomeReady takes sends, unless another port has the SIM.
func (s *session) becomeReady() {
	s.m.came("ready")
	if s.m.openSends() {
		s.m.life.ladder.spared = false
		s.m.setState(StateReady, "")
	} else {
		s.m.setState(StateReady, reasonPassive)
	}
}
