package emulator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// cmsError and cmeError are final results with a number (TS 27.005 clause
// 3.2.5, TS 27.007 clause 9.2).
type cmsError int

func (e cmsError) Error() string { return fmt.Sprintf("+CMS ERROR: %d", int(e)) }

type cmeError int

func (e cmeError) Error() string { return fmt.Sprintf("+CME ERROR: %d", int(e)) }

var (
	errPlain = errors.New("ERROR")
	// errSilent: no final result, now or ever.
	errSilent = errors.New("no answer")
)

// need is what must be there before a command is carried out.
type need uint8

const (
	needNothing need = iota
	needSIM          // else +CME ERROR
	needSMS          // a SIM, else +CMS ERROR
)

// entry is a command that the modem knows.
type entry struct {
	// test is the answer to AT+CMD=? after the name; "-" leaves it to run.
	test string
	need need
	run  func(s *session, c command) error
}

// commandLine executes one line from the host.
func (s *session) commandLine(line string) {
	upper := strings.ToUpper(line)
	if strings.HasSuffix(upper, "A/") && s.last != "" {
		line, upper = s.last, strings.ToUpper(s.last)
	}
	i := strings.Index(upper, "AT")
	if i >= 0 && strings.HasPrefix(upper[i+2:], "+XFAULT") {
		s.faultCommand(line[i+2+len("+XFAULT"):])
		return
	}
	if i < 0 || !s.m.running() {
		return
	}
	s.last = line
	s.cmd = upper[i+2:]
	s.measured.Commands++
	s.measured.Command = s.rxAt
	if s.tooFast() {
		return
	}
	if s.m.tooSoon() {
		s.reboot()
		return
	}
	if len(line) > lineLimit {
		s.finish(errPlain)
		return
	}
	start := s.rxAt
	if now := time.Now(); start.Before(now.Add(-time.Second)) {
		start = now // the line had waited for the modem
	}
	if !s.wait(start.Add(s.m.net.o.CommandLatency), false) {
		return
	}
	if f, ok := s.m.fault(s.cmd, FaultSlow); ok && !s.wait(time.Now().Add(f.Delay), false) {
		return
	}
	if _, ok := s.m.fault(s.cmd, FaultMute); ok {
		return
	}
	if f, ok := s.m.fault(s.cmd, FaultAnswer); ok {
		s.send([]byte(f.Text), time.Now())
		return
	}
	if f, ok := s.m.fault(s.cmd, FaultError); ok {
		s.finish(s.codeFor(f.Code))
		return
	}
	if !strings.HasPrefix(s.cmd, "+CMGS") {
		if f, ok := s.m.fault(s.cmd, FaultStuckReader); ok {
			s.stick(f.Delay)
		}
	}
	s.m.hush(s.cmd)
	if slices.Contains(s.m.fam.Reset, s.cmd) {
		s.finish(nil)
		s.reboot()
		return
	}
	s.finish(s.execute(line[i+2:]))
}

// codeFor makes the error that suits the running command; plain ERROR for 0.
func (s *session) codeFor(code int) error {
	switch {
	case code == 0:
		return errPlain
	case strings.HasPrefix(s.cmd, "+CM") || strings.HasPrefix(s.cmd, "+CNM") || strings.HasPrefix(s.cmd, "+CPMS") || strings.HasPrefix(s.cmd, "+CSCA"):
		return cmsError(code)
	}
	return cmeError(code)
}

// execute carries out the commands of a line up to the first that fails.
func (s *session) execute(line string) error {
	cmds, syntax := parseLine(line)
	for _, c := range cmds {
		if err := s.executeOne(c); err != nil {
			return err
		}
	}
	if syntax != nil {
		return errPlain
	}
	return nil
}

func (s *session) executeOne(c command) error {
	e, known := s.m.net.table[c.name]
	if !known && len(c.name) > 1 && c.name[0] == 'S' {
		return s.register(c)
	}
	if !known {
		return s.familyCommand(c)
	}
	if err := s.m.missing(e.need, s.cmd); err != nil {
		return err
	}
	if c.verb == test && e.test != "-" {
		if e.test != "" {
			s.say(c.name + ": " + e.test)
		}
		return nil
	}
	return e.run(s, c)
}

// register reads and sets an S-register (V.250 clause 5.3.2). Nothing here
// depends on them.
func (s *session) register(c command) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	v, set := s.m.state.sregs[c.name]
	if !set {
		v = map[string]string{"S3": "013", "S4": "010", "S5": "008"}[c.name]
	}
	switch {
	case c.verb == read:
		s.say(fmt.Sprintf("%03s", v))
	case c.args != "":
		s.m.state.sregs[c.name] = c.args
	}
	return nil
}

// missing is the error of a command whose need is not met.
func (m *Modem) missing(n need, cmd string) error {
	if n == needNothing {
		return nil
	}
	code := func(cme, cms int) error {
		if n == needSMS {
			return cmsError(cms)
		}
		return cmeError(cme)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, busy := m.faultLocked("", cmd, FaultSIMBusy); busy {
		return code(14, 314)
	}
	switch {
	case m.sim == nil:
		return code(10, 310)
	case time.Now().Before(m.simReady):
		return code(14, 314)
	case m.sim.blocked():
		return code(12, 316)
	case !m.sim.unlocked:
		return code(11, 311)
	}
	return nil
}

// say adds a line of information text to the answer.
func (s *session) say(line string) { s.answer = append(s.answer, line) }

// finish writes the information text and the final result of a line.
func (s *session) finish(err error) {
	info := s.answer
	s.answer = nil
	if errors.Is(err, errSilent) || s.unheard() {
		return
	}
	if _, speechless := s.m.fault(s.cmd, FaultSpeechless); speechless {
		return
	}
	v := s.m.verbosity()
	var b strings.Builder
	if f, ok := s.m.fault(s.cmd, FaultGarbage); ok {
		text := f.Text
		if text == "" {
			text = "\x00\xff\xfe\r\n+CM\r\n\x00%&/\r\n"
		}
		b.WriteString(text)
	}
	if f, ok := s.m.fault(s.cmd, FaultURC); ok {
		text := f.Text
		if text == "" {
			text = `+CMTI: "SM",0`
		}
		after := min(f.Code, len(info))
		b.WriteString(v.information(info[:after]) + "\r\n" + text + "\r\n")
		info = info[after:]
	}
	text, result := v.information(info), ""
	_, lost := s.m.fault(s.cmd, FaultLostResult)
	if strings.HasPrefix(s.cmd, "+CPIN?") {
		_, noOK := s.m.fault(s.cmd, FaultCPINNoOK)
		lost = lost || noOK || s.m.fam.BareCPIN && err == nil
	}
	if !lost {
		result = v.result(err)
	}
	b.WriteString(s.distorted(text, result))
	if _, echo := s.m.fault(s.cmd, FaultEchoBack); echo {
		s.m.mu.Lock()
		s.m.state.echo = true
		s.m.mu.Unlock()
	}
	if f, ok := s.m.fault(s.cmd, FaultPartial); ok {
		s.dribble(b.String(), f.Delay)
		return
	}
	s.send([]byte(b.String()), s.moment())
	s.answered = time.Now()
	s.m.net.timings.submitted(s, err)
}

// dribble writes a text octet by octet.
func (s *session) dribble(text string, gap time.Duration) {
	if gap <= 0 {
		gap = time.Millisecond
	}
	for i := range len(text) {
		s.send([]byte{text[i]}, time.Now())
		if !s.wait(time.Now().Add(gap), false) {
			return
		}
	}
}

// verbosity is how results are written (V.250 clauses 6.2.5 and 6.2.6, TS
// 27.007 clause 9.1).
type verbosity struct {
	verbose, quiet bool
	cmee           int
}

func (v verbosity) information(lines []string) string {
	switch {
	case len(lines) == 0:
		return ""
	case v.verbose:
		return "\r\n" + strings.Join(lines, "\r\n") + "\r\n"
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

func (v verbosity) result(err error) string {
	if v.quiet {
		return ""
	}
	text, digit := "OK", "0"
	var cms cmsError
	var cme cmeError
	switch {
	case err == nil:
	case errors.As(err, &cms):
		text = cms.Error()
		if v.cmee == 2 {
			text = "+CMS ERROR: " + cmsText(int(cms))
		}
		digit = text
	case errors.As(err, &cme) && v.cmee > 0:
		text = cme.Error()
		if v.cmee == 2 {
			text = "+CME ERROR: " + cmeText(int(cme))
		}
		digit = text
	default:
		text, digit = "ERROR", "4"
	}
	if v.verbose {
		return "\r\n" + text + "\r\n"
	}
	return digit + "\r"
}
