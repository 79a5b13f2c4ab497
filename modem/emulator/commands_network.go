package emulator

import (
	"fmt"
	"strings"
)

func networkCommands() map[string]entry {
	return map[string]entry{
		"+CSQ":   {run: csq, test: "(0-31,99),(0-7,99)"},
		"+CREG":  {run: creg(0), test: "(0-2)"},
		"+CGREG": {run: creg(1), test: "(0-2)"},
		"+CEREG": {run: creg(2), test: "(0-2)"},
		"+COPS":  {run: cops, test: "-", need: needSIM},
		"+CGATT": {run: cgatt, test: "(0,1)", need: needSIM},
	}
}

// csq says 99 where there is no network to measure.
func csq(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	rssi := s.m.o.Signal
	if s.m.state.fun != 1 {
		rssi = 99
	}
	s.say(fmt.Sprintf("+CSQ: %d,99", rssi))
	return nil
}

func creg(domain int) func(*session, command) error {
	return func(s *session, c command) error {
		m := s.m
		m.mu.Lock()
		defer m.mu.Unlock()
		n := &m.state.creg[domain]
		if c.verb == read {
			stat := m.state.reg
			if domain == 0 && stat == regHome && m.withoutSMSLocked() {
				stat = regNone
			}
			line := fmt.Sprintf("%s: %d,%d", registrations()[domain], *n, stat)
			if *n == 2 && stat == regHome {
				line += "," + m.cell(domain)
			}
			s.say(line)
			return nil
		}
		v, ok := argument{text: c.args}.number(0)
		if !ok || v > 2 {
			return cmeError(50)
		}
		*n = v
		return nil
	}
}

// cops tells the operator, long or numeric, and obeys 0 (automatic), 2
// (deregister) and 3 (format only).
func cops(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	numeric := "21407"
	if m.sim != nil && len(m.sim.imsi) >= 5 {
		numeric = m.sim.imsi[:5]
	}
	switch c.verb {
	case test:
		s.say(fmt.Sprintf("+COPS: (2,%q,%q,%q,2),,(0-4),(0-2)", m.o.Operator, short(m.o.Operator), numeric))
		m.mu.Unlock()
		return nil
	case read, exec:
		switch {
		case m.state.reg != regHome:
			s.say("+COPS: 0")
		case m.state.copsFormat == 2:
			s.say(fmt.Sprintf("+COPS: 0,2,%q,2", numeric))
		case m.state.copsFormat == 1:
			s.say(fmt.Sprintf("+COPS: 0,1,%q,2", short(m.o.Operator)))
		default:
			s.say(fmt.Sprintf("+COPS: 0,0,%q,2", m.o.Operator))
		}
		m.mu.Unlock()
		return nil
	}
	a := arguments(c.args)
	mode, ok := a[0].number(0)
	format := 0
	if len(a) > 1 {
		format, ok = a[1].number(0)
	}
	if !ok || mode > 4 || format > 2 {
		m.mu.Unlock()
		return cmeError(50)
	}
	switch mode {
	case 2:
		m.setRegistrationLocked(regNone)
		m.mu.Unlock()
		return nil
	case 3:
		m.state.copsFormat = format
		m.mu.Unlock()
		return nil
	}
	m.mu.Unlock()
	m.register()
	return nil
}

func short(operator string) string {
	return strings.ReplaceAll(operator, " ", "")[:min(8, len(strings.ReplaceAll(operator, " ", "")))]
}

func cgatt(s *session, c command) error {
	if c.verb == read {
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		on := 0
		if s.m.state.reg == regHome {
			on = 1
		}
		s.say(fmt.Sprintf("+CGATT: %d", on))
	}
	return nil
}
