package emulator

import (
	"fmt"
	"slices"
	"strings"
)

func smsCommands() map[string]entry {
	return map[string]entry{
		"+CSMS":  {run: csms, test: "-"},
		"+CPMS":  {run: cpms, test: "-", need: needSMS},
		"+CMGF":  {run: cmgf, test: "(0,1)"},
		"+CSCA":  {run: csca, need: needSMS},
		"+CSMP":  {run: csmp},
		"+CSDH":  {run: csdh, test: "(0,1)"},
		"+CNMI":  {run: cnmi, test: "-"},
		"+CNMA":  {run: cnma, test: "(0-2)"},
		"+CGSMS": {run: setting("+CGSMS", 3, func(st *atState) *int { return &st.cgsms }), test: "(0-3)"},
		"+CMMS":  {run: setting("+CMMS", 2, func(st *atState) *int { return &st.cmms }), test: "(0-2)"},
		"+CSCB":  {run: accept, test: "(0,1)"},
		"+CSAS":  {run: accept}, "+CRES": {run: accept},
		"+CMGS": {run: cmgs, need: needSMS},
		"+CMGW": {run: cmgw, need: needSMS},
		"+CMSS": {run: cmss, need: needSMS},
		"+CMGL": {run: cmgl, test: "-", need: needSMS},
		"+CMGR": {run: cmgr, need: needSMS},
		"+CMGD": {run: cmgd, test: "-", need: needSMS},
	}
}

// setting makes a command that keeps a number from 0 to limit.
func setting(name string, limit int, field func(*atState) *int) func(*session, command) error {
	return func(s *session, c command) error {
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		v := field(&s.m.state)
		if c.verb == read {
			s.say(fmt.Sprintf("%s: %d", name, *v))
			return nil
		}
		n, ok := argument{text: c.args}.number(0)
		if !ok || n > limit {
			return cmsError(305)
		}
		*v = n
		return nil
	}
}

// csms chooses the message service: 1 is phase 2+, with AT+CNMA.
func csms(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	switch c.verb {
	case test:
		s.say("+CSMS: " + ranges(s.m.fam.CSMS))
	case read:
		s.say(fmt.Sprintf("+CSMS: %d,1,1,1", s.m.state.service))
	default:
		n, ok := argument{text: c.args}.number(0)
		if !ok || !slices.Contains(s.m.fam.CSMS, n) {
			return cmsError(303)
		}
		s.m.state.service = n
		s.say("+CSMS: 1,1,1")
	}
	return nil
}

// cpms chooses the storages and says how full they are.
func cpms(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.verb == test {
		if m.fam.CPMSTest != "" {
			s.say("+CPMS: " + m.fam.CPMSTest)
			return nil
		}
		names := `("` + strings.Join(m.fam.Memories, `","`) + `")`
		s.say("+CPMS: " + names + "," + names + "," + names)
		return nil
	}
	if c.verb == set {
		a := arguments(c.args)
		if len(a) > 3 || m.fam.CPMSOne && len(a) > 2 {
			return cmsError(302)
		}
		for i, x := range a {
			if name := strings.ToUpper(x.text); slices.Contains(m.fam.Memories, name) {
				m.state.mem[i] = name
			} else if x.text != "" {
				return cmsError(302)
			}
		}
	}
	lie, lies := m.faultLocked("", s.cmd, FaultStorageLies)
	parts := make([]string, 3)
	for i, name := range m.state.mem {
		st := m.storage(name)
		used := st.used()
		if lies {
			used = lie.Code
		}
		parts[i] = fmt.Sprintf("%d,%d", used, st.total())
		if c.verb == read {
			parts[i] = fmt.Sprintf("%q,%s", name, parts[i])
		}
	}
	s.say("+CPMS: " + strings.Join(parts, ","))
	return nil
}

func cmgf(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if c.verb == read {
		s.say(fmt.Sprintf("+CMGF: %d", s.m.state.mode))
		return nil
	}
	n, ok := argument{text: c.args}.number(0)
	if !ok || n > 1 {
		return cmsError(303)
	}
	s.m.state.mode = n
	return nil
}

func csca(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.verb != set {
		toa := 129
		if strings.HasPrefix(m.o.SMSC, "+") {
			toa = 145
		}
		s.say(fmt.Sprintf("+CSCA: %q,%d", m.textTo(m.o.SMSC), toa))
		return nil
	}
	a := arguments(c.args)
	number := m.textFrom(a[0].text)
	if len(a) > 1 && a[1].text == "145" && !strings.HasPrefix(number, "+") {
		number = "+" + number
	}
	if len(digits(number)) < 3 || len(digits(number)) > 20 {
		return cmsError(304)
	}
	m.o.SMSC = number
	return nil
}

// csmp sets the parameters of messages sent in text mode.
func csmp(s *session, c command) error {
	st := &s.m.state
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if c.verb == read {
		s.say(fmt.Sprintf("+CSMP: %d,%d,%d,%d", st.fo, st.vp, st.pid, st.dcs))
		return nil
	}
	if c.verb != set {
		return nil
	}
	if _, wipes := s.m.faultLocked("", s.cmd, FaultCSMPWipes); wipes {
		s.m.o.SMSC = ""
	}
	values := []*byte{&st.fo, &st.vp, &st.pid, &st.dcs}
	for i, a := range arguments(c.args) {
		if i >= len(values) {
			return cmsError(305)
		}
		n, ok := a.number(int(*values[i]))
		if !ok || n > 255 {
			return cmsError(305)
		}
		*values[i] = byte(n)
	}
	return nil
}

func csdh(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if c.verb == read {
		on := 0
		if s.m.state.show {
			on = 1
		}
		s.say(fmt.Sprintf("+CSDH: %d", on))
		return nil
	}
	s.m.state.show = c.args == "1"
	return nil
}

// cnmi says what is done with what arrives, within what the family can.
func cnmi(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	switch c.verb {
	case test:
		parts := make([]string, 5)
		for i, v := range m.fam.CNMI {
			parts[i] = ranges(v)
		}
		s.say("+CNMI: " + strings.Join(parts, ","))
		m.mu.Unlock()
		return nil
	case read:
		v := m.state.cnmi
		s.say(fmt.Sprintf("+CNMI: %d,%d,%d,%d,%d", v[0], v[1], v[2], v[3], v[4]))
		m.mu.Unlock()
		return nil
	}
	var v [5]int
	v[4] = m.fam.CNMI[4][0]
	err := func() error {
		a := arguments(c.args)
		if len(a) > 5 {
			return cmsError(302)
		}
		for i, x := range a {
			n, ok := x.number(v[i])
			if !ok || !slices.Contains(m.fam.CNMI[i], n) {
				return cmsError(303)
			}
			v[i] = n
		}
		if m.fam.DirectNeedsService && m.state.service == 0 && (v[1] > 1 || v[3] == 1) {
			return cmsError(303)
		}
		return nil
	}()
	if err == nil {
		m.state.cnmi = v
		if v[0] != 0 {
			held := m.state.held
			m.state.held = nil
			for _, u := range held {
				if v[4] == 0 {
					m.sayLocked(u.line, u.trailer)
				}
			}
		}
	}
	m.mu.Unlock()
	m.net.poke(m)
	return err
}

// cnma acknowledges what +CMT or +CDS brought in phase 2+.
func cnma(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	ack := m.state.unacked
	m.state.unacked = nil
	m.mu.Unlock()
	if ack == nil {
		return cmsError(340)
	}
	ack(c.verb != set || !strings.HasPrefix(c.args, "2"))
	return nil
}
