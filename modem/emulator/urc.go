package emulator

import (
	"strings"
	"time"
)

// post queues an unsolicited result code; the session sends it when it may.
func (s *session) post(u unsolicited) {
	s.mu.Lock()
	s.urcs = append(s.urcs, u)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// sendUnsolicited writes the queued result codes.
func (s *session) sendUnsolicited() {
	s.mu.Lock()
	urcs := s.urcs
	s.urcs = nil
	s.mu.Unlock()
	for _, u := range urcs {
		text := "\r\n" + u.line + "\r\n"
		if u.trailer != "" {
			if _, lost := s.m.fault("", FaultLostTrailer); !lost {
				text += u.trailer + "\r\n"
			}
		}
		s.send([]byte(text), time.Now())
	}
}

// stick stops the reading, for d when it is above 0.
func (s *session) stick(d time.Duration) {
	s.setStuck(true)
	if d > 0 {
		s.m.net.after(d, s.unstick)
	}
}

func (s *session) unstick() { s.setStuck(false) }

func (s *session) setStuck(on bool) {
	s.mu.Lock()
	s.stuck = on
	s.flow.Broadcast()
	s.mu.Unlock()
	if p, ok := s.rw.(*pipeEnd); ok {
		p.stop(on)
	}
}

// startChatter begins what the family says by itself.
func (s *session) startChatter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.m.fam.Chatter {
		s.chat = append(s.chat, nil)
		s.chat[i] = time.AfterFunc(c.After, func() {
			if !s.m.chats() {
				return
			}
			s.post(unsolicited{line: c.Line})
			s.mu.Lock()
			if s.err == nil {
				s.chat[i].Reset(c.After)
			}
			s.mu.Unlock()
		})
	}
}

// hush ends the chatter when the command is the one that does.
func (m *Modem) hush(cmd string) {
	for _, q := range m.fam.Quiet {
		if strings.HasPrefix(cmd, q) {
			m.mu.Lock()
			m.state.quieted = true
			m.mu.Unlock()
		}
	}
}

// Say makes the modem say a line by itself, with an optional second line, as a
// test or a trainer wants it. Nothing is said while nobody has the port open.
func (m *Modem) Say(line, trailer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sayLocked(line, trailer)
}

func (m *Modem) sayLocked(line, trailer string) {
	if m.hung {
		return
	}
	for _, s := range m.sessions {
		s.post(unsolicited{line: line, trailer: trailer})
	}
}

// notifyLocked is sayLocked for the result codes that AT+CNMI governs: with
// <mode> 0 they stay in the modem (TS 27.005 clause 3.4.1).
func (m *Modem) notifyLocked(line, trailer string) {
	if m.state.mum {
		return
	}
	if m.state.cnmi[0] == 0 {
		m.state.held = append(m.state.held, unsolicited{line: line, trailer: trailer})
		return
	}
	m.sayLocked(line, trailer)
}
