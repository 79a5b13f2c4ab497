package modem

import (
	"strings"
	"time"

	"recado/modem/at"
	"recado/modem/family"
	"recado/modem/pdu"
)

// urcKind is what an unsolicited result code is about.
type urcKind uint8

const (
	urcOther urcKind = iota // chatter, signal: nothing of ours
	urcHint                 // +CMTI, +CDSI: something was stored
	urcReg                  // +CREG, +CGREG, +CEREG
	urcRing                 // a call
	urcUSSD                 // +CUSD, asked for or not
	urcSIM                  // the SIM came, went, or wants something
	urcFull                 // the SMS storage is full
	urcRoom                 // how full the SMS storage is may have changed
	urcBoot                 // the modem has restarted, or is going down
	urcTime                 // the network has told the time
	urcLate                 // a part of it is ready: long after a start, or when the SIM was read anew
)

// simNews are beginnings of lines about the SIM.
var simNews = []string{"+CPIN", "+QUSIM", "^SIMST", "+SIMCARD", "+QSIMSTAT", "+UUSIMSTAT", "+ZUSIMR", "#QSS"}

// lateNews are beginnings of lines that many modems say up to a minute after a
// start, and some after no start at all: they end nothing.
var lateNews = []string{"Call Ready", "SMS Ready", "SMS DONE", "PB DONE", "+QIND: SMS DONE", "+QIND: PB DONE", "+CFUN:"}

// classify sorts a line. What is not known is chatter: every make has its own.
func classify(line string, f *family.Family) urcKind {
	line = strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(line, "+CMTI"), strings.HasPrefix(line, "+CDSI"):
		return urcHint
	case strings.HasPrefix(line, "+CREG"), strings.HasPrefix(line, "+CGREG"), strings.HasPrefix(line, "+CEREG"):
		return urcReg
	case line == "RING", strings.HasPrefix(line, "+CRING"):
		return urcRing
	case strings.HasPrefix(line, "+CUSD"):
		return urcUSSD
	case beginsWithAny(line, lateNews):
		return urcLate
	case beginsWithAny(line, f.Boot):
		return urcBoot
	case strings.HasPrefix(line, "+CIEV"):
		return indicator(line)
	case beginsWithAny(line, f.Full):
		return urcFull
	case beginsWithAny(line, simNews):
		return urcSIM
	case beginsWithAny(line, toldTime):
		return urcTime
	}
	return urcOther
}

// indicator reads +CIEV (TS 27.007 8.10): by name, or by a number that only the
// modem's own AT+CIND=? explains, so that any indicator that is on may mean a
// full storage.
func indicator(line string) urcKind {
	_, rest, _ := strings.Cut(line, ":")
	fs := fields(rest)
	value, ok := number(fs, len(fs)-1)
	_, numbered := number(fs, 0)
	switch on := ok && value > 0; {
	case strings.EqualFold(fs[0], "smsfull") && (on || len(fs) == 1):
		return urcFull
	case strings.EqualFold(fs[0], "smsfull"), numbered && on && value == 1 && len(fs) == 2:
		return urcRoom
	}
	return urcOther
}

func beginsWithAny(line string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return false
}

// takePDU sends what came with its PDU (+CDS, +CMT) to the keeper. Without
// AT+CSMS=1 the modem has acknowledged it to the network already, so this is
// the only copy. Called by the channel's goroutine.
func (s *session) takePDU(u at.URC) bool {
	switch {
	case strings.HasPrefix(u.Line, "+CDS:"), strings.HasPrefix(u.Line, "+CMT:"):
	case strings.HasPrefix(u.Line, "+CBM"):
		return true // cell broadcast is not ours
	default:
		return false
	}
	if u.Trailer == "" {
		s.m.log.Warn("the modem announced a message and lost it", "code", u.Line[:4])
		return true
	}
	ack := s.ack.Load()
	if ack {
		s.owe()
	}
	s.m.keeper.put(keep{r: s.received(u.Trailer), from: s, ack: ack})
	return true
}

// received decodes a line of hex digits; what cannot be decoded is kept raw.
func (s *session) received(line string) Received {
	snap := s.m.Snapshot()
	return Received{
		PDU: pdu.DecodeHex(line), ICCID: snap.SIM.ICCID, IMSI: snap.SIM.IMSI,
		Modem: snap.ID, At: s.m.c.Now(),
	}
}

// hear takes in what the modem has said by itself, and what the sink has
// stored, since the last time.
func (s *session) hear() {
	m := s.m
	m.mu.Lock()
	urcs := m.urcs
	m.urcs = nil
	m.mu.Unlock()
	s.followPassive()
	s.heardKept()
	for _, u := range urcs {
		s.react(u.Line)
	}
}

func (s *session) react(line string) {
	switch classify(line, s.family()) {
	case urcHint:
		if s.passive {
			return // the other port looks for itself
		}
		_, rest, _ := strings.Cut(line, ":")
		mem, index := parseHint(rest)
		s.noteHint(hint{mem: mem, index: index, heard: time.Now()})
	case urcTime:
		s.heardTime()
	case urcReg:
		s.toldMode = time.Time{} // some forget their settings with the network
		domain, rest, ok := strings.Cut(line, ":")
		if !ok {
			return
		}
		if r, ok := parseRegistration(rest, true); ok {
			s.noteRegistration(strings.TrimSpace(domain), r)
			s.poked = true
		}
	case urcUSSD:
		s.hearUSSD(line)
	case urcRing:
		s.want(s.hangUp, 0)
	case urcFull:
		s.full = true
		s.want(s.sweepHere, 0)
		if _, rest, _ := strings.Cut(line, ":"); s.mem != "" && !strings.Contains(rest, s.mem) {
			s.want(s.sweepMems, 0) // it is another one, or it does not say which
		}
	case urcRoom:
		s.want(s.checkUsed, 10*time.Second)
	case urcBoot:
		s.demand(stepIdentify, errRebooted.Error())
	case urcLate:
		s.mistrust()
		s.poked = true
		s.lookAgain()
	case urcSIM:
		s.poked = true
		if rest, ok := cutPrefix(line, "+CPIN"); ok && s.serving && unquote(rest) != "READY" {
			s.demand(stepSIM, "the SIM says "+printable(unquote(rest), 20))
			return
		}
		s.lookAgain() // whatever it means in this make's words
	}
}

// lookAgain looks whether the SIM and the settings are still what they were.
func (s *session) lookAgain() {
	s.want(s.checkSIM, time.Second)
	s.want(s.checkSettings, time.Second)
}
