package emulator

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// errEscaped: the host gave up waiting for the prompt.
var errEscaped = errors.New("cancelled")

// prompt asks for the message (TS 27.005 clause 3.5.1).
const prompt = "\r\n> "

// cmgs sends a message.
func cmgs(s *session, c command) error {
	if c.verb != set {
		return errPlain
	}
	tpdu, err := s.askTPDU(c)
	if err != nil || tpdu == nil {
		return err
	}
	mr, scts, err := s.submit(tpdu)
	if err != nil {
		return err
	}
	s.say(s.reference("+CMGS", mr, scts))
	return nil
}

func (s *session) reference(name string, mr byte, scts time.Time) string {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	line := fmt.Sprintf("%s: %d", name, mr)
	if m.fam.SubmitReport && m.state.service == 1 {
		if m.state.mode == 1 {
			return line + `,"` + timeText(scts) + `"`
		}
		return line + `,"` + upperHex(submitReport(scts)) + `"`
	}
	return line
}

// askTPDU gets the message of AT+CMGS and AT+CMGW from the host as a TPDU. It
// is nil without an error when the host cancelled.
func (s *session) askTPDU(c command) ([]byte, error) {
	m := s.m
	m.mu.Lock()
	text := m.state.mode == 1
	m.mu.Unlock()
	a := arguments(c.args)
	length, number := 0, ""
	if text {
		m.mu.Lock()
		number = m.textFrom(a[0].text)
		m.mu.Unlock()
		if len(a) > 1 && a[1].text == "145" && !strings.HasPrefix(number, "+") {
			number = "+" + number
		}
		if c.name == "+CMGS" && (digits(number) == "" || len(digits(number)) > 20) {
			return nil, cmsError(304)
		}
	} else {
		var ok bool
		length, ok = a[0].number(0)
		if !ok || length < 7 || length > 164 {
			return nil, cmsError(304)
		}
	}
	if err := s.beforePrompt(); errors.Is(err, errEscaped) {
		return nil, s.cancelled()
	} else if err != nil {
		return nil, err
	}
	body, sent := s.body(text)
	if !sent {
		return nil, s.cancelled()
	}
	if _, twice := m.fault(s.cmd, FaultDoublePrompt); twice {
		s.send([]byte(prompt), time.Now())
	}
	if text {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.textSubmit(number, body)
	}
	return parsePDU(body, length)
}

// cancelled is ESC instead of a message, which ends in OK, or the host's
// leaving, which ends in nothing.
func (s *session) cancelled() error {
	if s.over() {
		return errSilent
	}
	return nil
}

// beforePrompt is what can go wrong up to the prompt, and the prompt.
func (s *session) beforePrompt() error {
	m := s.m
	if s.powerFault(PhaseCommand) {
		return errSilent
	}
	if f, ok := m.fault(s.cmd, FaultCMSBeforePrompt); ok {
		return cmsError(orCode(f.Code, 302))
	}
	if _, ok := m.fault(s.cmd, FaultNoPrompt); ok {
		if _, sent := s.body(false); sent {
			return errSilent
		}
		return errEscaped
	}
	if f, ok := m.fault(s.cmd, FaultLatePrompt); ok && !s.wait(time.Now().Add(f.Delay), false) {
		return errSilent
	}
	p := prompt
	if _, ok := m.fault(s.cmd, FaultPromptCR); ok {
		p = "\r> "
	}
	s.send([]byte(p), s.moment())
	s.measured.Prompt = s.lineFree()
	if f, ok := m.fault(s.cmd, FaultStuckReader); ok {
		s.stick(f.Delay)
	}
	if s.powerFault(PhasePrompt) {
		return errSilent
	}
	return nil
}

func orCode(code, def int) int {
	if code == 0 {
		return def
	}
	return code
}

// body reads up to Ctrl-Z; false after ESC or when the session ended. In text
// mode every CR brings a new prompt.
func (s *session) body(text bool) ([]byte, bool) {
	var b []byte
	for {
		c, ok := s.next(false)
		if !ok {
			return nil, false
		}
		switch c {
		case 0x1a, 0x1b:
			if s.measured.CtrlZ = s.rxAt; c == 0x1b {
				s.measured.CtrlZ = time.Time{}
			}
			s.sendEcho()
			return b, s.wait(s.rxAt, false) && c == 0x1a
		case '\b':
			b = b[:max(len(b)-1, 0)]
			continue
		}
		if len(b) < 2*lineLimit {
			b = append(b, c)
		}
		if s.m.echoes() {
			s.echo = append(s.echo, c)
			if text && c == '\r' {
				s.echo = append(s.echo, "\n> "...)
			}
		}
	}
}

// parsePDU reads the hex of a PDU: the service centre's address and as many
// octets as AT+CMGS announced.
func parsePDU(body []byte, length int) ([]byte, error) {
	text := strings.TrimSpace(string(body))
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) == 0 || len(raw) != 1+int(raw[0])+length || raw[0] > 12 {
		return nil, cmsError(304)
	}
	return raw[1+int(raw[0]):], nil
}

// submit brings a TPDU to the network and waits for its answer.
func (s *session) submit(raw []byte) (mr byte, scts time.Time, err error) {
	m, n := s.m, s.m.net
	handed := s.rxAt // Ctrl-Z had arrived
	if now := time.Now(); handed.Before(now.Add(-time.Second)) {
		handed = now
	}
	t, err := parseSubmit(raw, n.o.Now())
	if err != nil {
		return 0, scts, cmsError(304)
	}
	m.mu.Lock()
	card, registered, boot, centre := m.sim, m.state.reg == regHome, m.boots, m.o.SMSC
	m.mu.Unlock()
	switch {
	case card == nil:
		return 0, scts, cmsError(310)
	case !registered:
		return 0, scts, cmsError(331)
	case centre == "":
		return 0, scts, cmsError(330)
	}
	sub := n.begin(m, card, t)
	kept := m.linkKept(handed)
	defer func() { m.linkUsed(time.Now()) }()
	e := s.scripted(sub.effect)
	if kept {
		if f, ok := m.fault(s.cmd, FaultLinkBreaks); ok {
			e.CMS, e.Sent = orCode(f.Code, 42), false
		}
	}
	sub.effect = e
	if s.powerFault(PhasePDU) {
		n.refuse(sub, false, 0)
		return 0, scts, errSilent
	}
	s.wait(handed.Add(n.submitLatency(kept)), true)
	taken := e.CMS == 0 && !e.Silent || e.Sent
	m.mu.Lock()
	alive := m.boots == boot
	m.mu.Unlock()
	if !alive || !taken {
		if alive && !e.Silent && e.Late > 0 && !s.wait(time.Now().Add(e.Late), true) {
			e.Silent = true
		}
		n.refuse(sub, alive && !e.Silent && !s.unheard(), e.CMS)
		if !alive || e.Silent {
			return 0, scts, errSilent
		}
		if e.CMS < 0 {
			return 0, scts, errPlain
		}
		return 0, scts, cmsError(e.CMS)
	}
	// When only the host has left, the radio goes on.
	last, lastOK := m.faultIn(PhaseAccepted, s.cmd, FaultUnplug, FaultReboot)
	n.accept(sub, e.CMS == 0 && !e.Silent && !lastOK && !s.unheard(), e.CMS)
	switch {
	case lastOK:
		s.power(last)
		return 0, scts, errSilent
	case e.Silent:
		return 0, scts, errSilent
	}
	if e.Late > 0 && !s.wait(time.Now().Add(e.Late), true) {
		return 0, scts, errSilent
	}
	if e.ReportFirst {
		s.sendUnsolicited()
	}
	if e.CMS != 0 {
		return 0, scts, cmsError(e.CMS)
	}
	return sub.mr, sub.scts, nil
}

// scripted puts the modem's faults into what the network's rules say.
func (s *session) scripted(e Effect) Effect {
	m := s.m
	if f, ok := m.fault(s.cmd, FaultLateCMGS); ok {
		e.Late += f.Delay
	}
	if _, ok := m.fault(s.cmd, FaultNeverCMGS); ok {
		e.Silent, e.Sent = true, true
	}
	if _, ok := m.fault(s.cmd, FaultLostSubmit); ok {
		e.Silent, e.Sent = true, false
	}
	if f, ok := m.fault(s.cmd, FaultCMSSent); ok {
		e.CMS, e.Sent = orCode(f.Code, 500), true
	}
	if f, ok := m.fault(s.cmd, FaultCMSRefused); ok {
		e.CMS, e.Sent = orCode(f.Code, 38), false
	}
	if f, ok := m.fault(s.cmd, FaultNoSMS); ok {
		e.CMS, e.Sent, e.Late = orCode(f.Code, 350), false, orTime(f.Delay, 135*time.Second)
	}
	if _, ok := m.fault(s.cmd, FaultErrorAfterPDU); ok {
		e.CMS, e.Sent = -1, false
	}
	if _, ok := m.fault(s.cmd, FaultCDSFirst); ok {
		e.ReportFirst = true
	}
	return e
}

// powerFault carries out an unplugging or a reboot of this phase.
func (s *session) powerFault(p Phase) bool {
	f, ok := s.m.faultIn(p, s.cmd, FaultUnplug, FaultReboot)
	if ok {
		s.power(f)
	}
	return ok
}

func (s *session) power(f Fault) {
	s.drain()
	if f.Kind == FaultReboot {
		s.m.Reboot()
		return
	}
	s.m.Unplug()
	if f.Delay > 0 {
		s.m.net.after(f.Delay, s.m.Replug)
	}
}
