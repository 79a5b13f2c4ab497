package emulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// commands is the table of what every family knows.
func commands() map[string]entry {
	t := map[string]entry{
		// V.250
		"E":  {run: setFlag(func(st *atState) *bool { return &st.echo })},
		"V":  {run: setFlag(func(st *atState) *bool { return &st.verbose })},
		"Q":  {run: setFlag(func(st *atState) *bool { return &st.quiet })},
		"Z":  {run: factory},
		"&F": {run: factory},
		"&C": {run: accept}, "&D": {run: accept}, "&K": {run: accept}, "&W": {run: accept},
		"&S": {run: accept}, "X": {run: accept}, "L": {run: accept}, "M": {run: accept},
		"I": {run: identify}, "H": {run: hangUp}, "A": {run: hangUp}, "D": {run: dial, need: needSIM},
		"+CHUP": {run: hangUp},
		"+GMI":  {run: tell(func(m *Modem) string { return m.fam.Manufacturer })},
		"+GMM":  {run: tell(func(m *Modem) string { return m.fam.Model })},
		"+GMR":  {run: tell(func(m *Modem) string { return m.o.Firmware })},
		"+GSN":  {run: tell((*Modem).IMEI)},
		"+GCAP": {run: tell(func(*Modem) string { return "+GCAP: +CGSM,+DS,+ES" })},
		"+IPR":  {test: "(),(9600,19200,38400,57600,115200)", run: baud},
		"+IFC":  {test: "(0-2),(0-2)", run: accept},
		"+ICF":  {test: "(0-6),(0-3)", run: accept},
		// TS 27.007
		"+CGMI": {run: tell(func(m *Modem) string { return m.fam.Manufacturer })},
		"+CGMM": {run: tell(func(m *Modem) string { return m.fam.Model })},
		"+CGMR": {run: tell(func(m *Modem) string { return m.o.Firmware })},
		"+CGSN": {run: serial, test: "(0-3)"},
		"+CMEE": {run: cmee, test: "-"},
		"+CSCS": {run: charsetCommand, test: `("GSM","IRA","UCS2","HEX","8859-1","PCCP437")`},
		"+CLAC": {run: list},
		"+CPAS": {run: activity, test: "(0,2,3,4)"},
		"+CFUN": {run: cfun, test: "(0,1,4),(0,1)"},
		"+CLIP": {run: clip, test: "(0,1)"},
		"+CRC":  {run: accept, test: "(0,1)"},
		"+CCLK": {run: clock},
		"+CTZU": {run: zones("+CTZU", func(r *rtc) *int { return &r.update }), test: "(0-3)"},
		"+CTZR": {run: zones("+CTZR", func(r *rtc) *int { return &r.report }), test: "(0-3)"},
		"+CLCC": {run: accept}, "+CPBS": {run: accept, test: `("SM","ON")`},
		"+WS46": {run: accept},
	}
	for _, more := range []map[string]entry{simCommands(), networkCommands(), smsCommands()} {
		for name, e := range more {
			t[name] = e
		}
	}
	return t
}

func accept(*session, command) error { return nil }

// tell makes a command that says one line.
func tell(line func(*Modem) string) func(*session, command) error {
	return func(s *session, c command) error {
		if c.verb == set {
			return errPlain
		}
		s.say(line(s.m))
		return nil
	}
}

// setFlag makes a basic command with 0 or 1.
func setFlag(field func(*atState) *bool) func(*session, command) error {
	return func(s *session, c command) error {
		if c.args != "" && c.args != "0" && c.args != "1" {
			return errPlain
		}
		on := c.args == "1"
		if c.name == "E" && !on {
			if _, stuck := s.m.fault(s.cmd, FaultEchoStuck); stuck {
				on = true
			}
		}
		s.m.mu.Lock()
		*field(&s.m.state) = on
		s.m.mu.Unlock()
		return nil
	}
}

func factory(s *session, _ command) error {
	s.m.factory()
	return nil
}

func identify(s *session, _ command) error {
	s.say("Manufacturer: " + s.m.fam.Manufacturer)
	s.say("Model: " + s.m.fam.Model)
	s.say("Revision: " + s.m.o.Firmware)
	s.say("IMEI: " + s.m.o.IMEI)
	return nil
}

func baud(s *session, c command) error {
	if c.verb == read {
		s.say(fmt.Sprintf("+IPR: %d", s.m.net.o.Baud))
	}
	return nil
}

func serial(s *session, c command) error {
	switch {
	case c.verb == exec || c.args == "0":
		s.say(s.m.o.IMEI)
	case c.args == "1":
		s.say(`+CGSN: "` + s.m.o.IMEI + `"`)
	case c.args == "2":
		s.say(`+CGSN: "` + s.m.o.IMEI[:14] + `01"`)
	case c.args == "3":
		s.say(`+CGSN: "01"`)
	default:
		return cmeError(50)
	}
	return nil
}

func cmee(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	switch c.verb {
	case test:
		s.say("+CMEE: " + ranges(s.m.fam.CMEE))
	case read:
		s.say(fmt.Sprintf("+CMEE: %d", s.m.state.cmee))
	default:
		n, ok := argument{text: c.args}.number(0)
		if !ok || !slices.Contains(s.m.fam.CMEE, n) {
			return errPlain
		}
		s.m.state.cmee = n
	}
	return nil
}

func charsetCommand(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if c.verb == read {
		s.say(fmt.Sprintf("+CSCS: %q", s.m.state.charset))
		return nil
	}
	name := strings.ToUpper(arguments(c.args)[0].text)
	if !slices.Contains([]string{"GSM", "IRA", "UCS2", "HEX", "8859-1", "PCCP437"}, name) {
		return cmeError(50)
	}
	s.m.state.charset = name
	return nil
}

func list(s *session, _ command) error {
	var names []string
	for name := range s.m.net.table {
		names = append(names, "AT"+name)
	}
	slices.Sort(names)
	for _, name := range names {
		s.say(name)
	}
	return nil
}

func activity(s *session, _ command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	status := 0
	if s.m.state.ringing != "" {
		status = 3
	}
	s.say(fmt.Sprintf("+CPAS: %d", status))
	return nil
}

// cfun is the functionality: radio off, on, flight mode, and reboot.
func cfun(s *session, c command) error {
	m := s.m
	if c.verb == read {
		m.mu.Lock()
		s.say(fmt.Sprintf("+CFUN: %d", m.state.fun))
		m.mu.Unlock()
		return nil
	}
	a := arguments(c.args)
	fun, ok := a[0].number(1)
	reset := len(a) > 1 && a[1].text == "1"
	if !ok || fun != 0 && fun != 1 && fun != 4 && fun != 16 {
		return cmeError(50)
	}
	if reset || fun == 16 {
		s.finish(nil)
		s.reboot()
		return errSilent
	}
	m.mu.Lock()
	was := m.state.fun
	m.state.fun = fun
	m.mu.Unlock()
	m.register()
	if was == 0 && fun == 1 {
		m.mu.Lock()
		m.laterLocked(m.fam.Ready)
		m.mu.Unlock()
	}
	return nil
}

// reboot is a reboot that the host asked for: its OK is heard before.
func (s *session) reboot() {
	s.drain()
	s.m.Reboot()
}

func clip(s *session, c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if c.verb == read {
		s.say(fmt.Sprintf("+CLIP: %d,1", s.m.state.clip))
		return nil
	}
	s.m.state.clip, _ = strconv.Atoi(c.args)
	return nil
}

// dial refuses voice calls politely: nobody is at the other end.
func dial(s *session, _ command) error {
	s.send([]byte("\r\nNO CARRIER\r\n"), time.Now())
	return errSilent
}

func hangUp(s *session, _ command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.state.ringing = ""
	return nil
}

// Ring lets someone call the modem: RING, and +CLIP when asked for, every
// three seconds until the host hangs up or the caller does after rings times.
func (m *Modem) Ring(from string, rings int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.power != powerOn || m.state.reg != regHome {
		return
	}
	m.state.ringing = from
	m.ringLocked(rings)
}

func (m *Modem) ringLocked(left int) {
	from := m.state.ringing
	if from == "" {
		return
	}
	if left == 0 {
		m.state.ringing = ""
		m.sayLocked("NO CARRIER", "")
		return
	}
	m.sayLocked("RING", "")
	if m.state.clip == 1 {
		toa := 129
		if strings.HasPrefix(from, "+") {
			toa = 145
		}
		m.sayLocked(fmt.Sprintf(`+CLIP: %q,%d,"",,"",0`, from, toa), "")
	}
	boot := m.boots
	m.net.after(3*time.Second, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.boots == boot {
			m.ringLocked(left - 1)
		}
	})
}

// ranges writes the values of a test command: (0-2) or (0,2,3).
func ranges(v []int) string {
	n := len(v)
	if n > 1 && v[n-1]-v[0] == n-1 {
		return fmt.Sprintf("(%d-%d)", v[0], v[n-1])
	}
	s := make([]string, n)
	for i, x := range v {
		s[i] = strconv.Itoa(x)
	}
	return "(" + strings.Join(s, ",") + ")"
}
