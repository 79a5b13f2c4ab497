package emulator

import (
	"fmt"
	"strings"
	"time"
)

func simCommands() map[string]entry {
	return map[string]entry{
		"+CPIN": {run: cpin},
		"+CSIM": {run: csim},
		"+CRSM": {run: crsm, need: needSIM},
		"+CIMI": {run: imsi, need: needSIM},
		"+CNUM": {run: cnum, need: needSIM},
		"+CLCK": {run: clck, need: needSIM, test: `("SC","AO","AI","PN")`},
		"+CUSD": {run: cusd, need: needSIM, test: "(0-2)"},
	}
}

// cpin is AT+CPIN: the state, the PIN, or the PUK with a new PIN.
func cpin(s *session, c command) error {
	m := s.m
	if err := m.missing(needSIM, s.cmd); err != nil {
		if code, ok := err.(cmeError); !ok || code != 11 && code != 12 {
			return err
		}
	}
	m.mu.Lock()
	switch c.verb {
	case read:
		defer m.mu.Unlock()
		if _, bare := m.faultLocked("", s.cmd, FaultCPINBareOK); bare {
			return nil
		}
		state := "READY"
		if m.sim.blocked() {
			state = "SIM PUK"
		} else if !m.sim.unlocked {
			state = "SIM PIN"
		}
		s.say("+CPIN: " + state)
		return nil
	case set:
	default:
		m.mu.Unlock()
		return nil
	}
	a := arguments(c.args)
	was := m.sim.unlocked
	ok := false
	switch {
	case m.sim.blocked():
		if len(a) < 2 {
			m.mu.Unlock()
			return cmeError(12)
		}
		ok = m.sim.unblock(a[0].text, a[1].text)
	case was:
		m.mu.Unlock()
		return cmeError(3)
	default:
		ok = m.sim.enter(a[0].text)
	}
	blocked := m.sim.blocked()
	m.mu.Unlock()
	switch {
	case ok:
		m.mu.Lock()
		m.openedAt = time.Now()
		m.mu.Unlock()
		m.attachNetwork()
		return nil
	case blocked:
		return cmeError(12)
	}
	return cmeError(16)
}

// csim answers the one APDU that drivers ask: VERIFY without data, which gives
// the tries left and uses none (TS 31.101 clause 11.1.9).
func csim(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sim == nil {
		return cmeError(10)
	}
	a := arguments(c.args)
	if c.verb != set || len(a) != 2 {
		return cmeError(50)
	}
	status := "6D00"
	switch strings.ToUpper(a[1].text) {
	case "0020000100":
		status = fmt.Sprintf("63C%X", m.sim.pinTries)
	case "002C000100":
		status = fmt.Sprintf("63C%X", m.sim.pukTries)
	}
	s.say(fmt.Sprintf("+CSIM: %d,%q", len(status), status))
	return nil
}

// crsm reads EF_ICCID (TS 27.007 clause 8.18, TS 31.102: nibbles swapped).
func crsm(s *session, c command) error {
	a := arguments(c.args)
	if len(a) < 2 {
		return cmeError(50)
	}
	command, _ := a[0].number(0)
	file, _ := a[1].number(0)
	if command != 176 || file != 12258 {
		s.say("+CRSM: 106,130") // file not found
		return nil
	}
	iccid := s.m.ICCID()
	if len(iccid)%2 == 1 {
		iccid += "F"
	}
	b := []byte(iccid)
	for i := 0; i+1 < len(b); i += 2 {
		b[i], b[i+1] = b[i+1], b[i]
	}
	s.say(fmt.Sprintf("+CRSM: 144,0,%q", b))
	return nil
}

func imsi(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.say(s.m.sim.imsi)
	return nil
}

func cnum(s *session, _ command) error {
	if number := s.m.Number(); number != "" {
		toa := 129
		if strings.HasPrefix(number, "+") {
			toa = 145
		}
		s.say(fmt.Sprintf(`+CNUM: "",%q,%d`, number, toa))
	}
	return nil
}

// clck tells of the SIM's lock; it changes none.
func clck(s *session, c command) error {
	a := arguments(c.args)
	if len(a) < 2 || a[1].text != "2" {
		return cmeError(3)
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	on := 0
	if a[0].text == "SC" && s.m.sim.pin != "" {
		on = 1
	}
	s.say(fmt.Sprintf("+CLCK: %d", on))
	return nil
}

// familyCommand is what only this family knows.
func (s *session) familyCommand(c command) error {
	m := s.m
	if form, ok := m.fam.ICCID[c.name]; ok {
		if err := m.missing(needSIM, s.cmd); err != nil {
			if code, ok := err.(cmeError); !ok || code != 11 && code != 12 {
				return err
			}
		}
		if c.verb != test {
			s.say(fmt.Sprintf(form, m.ICCID()))
		}
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if form, ok := m.fam.Retries[c.name]; ok {
		if m.sim == nil {
			return cmeError(10)
		}
		s.say(fmt.Sprintf(form, m.sim.pinTries))
		return nil
	}
	if line, ok := m.fam.Extra[c.name]; ok {
		m.ussdMode(c)
		if line != "" && c.verb != test {
			s.say(line)
		}
		return nil
	}
	return errPlain
}
