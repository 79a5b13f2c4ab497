package emulator

import (
	"strings"
	"time"
)

// Faults of the line between the modem and the host: what was said arrives, or
// does not, in other octets.
const (
	// FaultLostOctets loses every Code-th octet (7th) of the answer.
	FaultLostOctets FaultKind = "lost octets"
	// FaultDoubledLines says every line of the answer twice, the final result too.
	FaultDoubledLines FaultKind = "doubled lines"
	// FaultCROnly and FaultLFOnly end the answer's lines with one octet.
	FaultCROnly FaultKind = "CR only"
	FaultLFOnly FaultKind = "LF only"
	// FaultOKFirst says the final result before the information text.
	FaultOKFirst FaultKind = "OK before the information"
	// FaultGlued ends the answer without a line end, so that Text (RING) follows
	// in the same line.
	FaultGlued FaultKind = "OK glued to the next line"
	// FaultLongLine puts a line of Code (100,000) octets before the answer.
	FaultLongLine FaultKind = "very long line"
	// FaultNUL puts a NUL before every octet of the answer.
	FaultNUL FaultKind = "NUL bytes"
	// FaultBaud makes the answer what another baud rate makes of it.
	FaultBaud FaultKind = "baud rate garbage"
	// FaultOtherAnswer gives the information text of another command: Text, or
	// that of AT+CSQ.
	FaultOtherAnswer FaultKind = "another command's answer"
	// FaultEchoBack switches the echo on again after the answer.
	FaultEchoBack FaultKind = "echo comes back"
	// FaultDeaf loses a command line that comes within Delay (100 ms) of the last
	// answer: the half-duplex habit of old modules.
	FaultDeaf FaultKind = "half-duplex deafness"
	// FaultSpeechless obeys and says nothing.
	FaultSpeechless FaultKind = "obeys without an answer"
	// FaultOtherProgram: another program has the port open too and gives commands
	// of its own, one every Delay (1 s), whose answers come here: all kinds in
	// turn, or Text. It begins at once and gives Count of them.
	FaultOtherProgram FaultKind = "another program"
	// FaultFlood is chatter of Code (1,000) lines a second for Delay (0: until
	// ClearFaults), or until a command that silences the family. It begins at
	// once.
	FaultFlood FaultKind = "chatter flood"
	// FaultSpontaneousError says ERROR, or Text, by itself, at once.
	FaultSpontaneousError FaultKind = "spontaneous ERROR"
)

// distorted is an answer as the faults of the line leave it.
func (s *session) distorted(info, result string) string {
	on := func(k FaultKind) (Fault, bool) { return s.m.fault(s.cmd, k) }
	text := info + result
	if f, ok := on(FaultOtherAnswer); ok {
		text = "\r\n" + orText(f.Text, "+CSQ: 9,99") + "\r\n" + result
	}
	if _, ok := on(FaultOKFirst); ok {
		text = result + info
	}
	if _, ok := on(FaultDoubledLines); ok {
		var b strings.Builder
		for _, l := range strings.SplitAfter(text, "\r\n") {
			b.WriteString(l)
			if strings.TrimSpace(l) != "" {
				b.WriteString(l)
			}
		}
		text = b.String()
	}
	if f, ok := on(FaultGlued); ok {
		text = strings.TrimSuffix(text, "\r\n") + orText(f.Text, "RING") + "\r\n"
	}
	if f, ok := on(FaultLongLine); ok {
		text = "\r\n" + strings.Repeat("x", orCode(f.Code, 100_000)) + "\r\n" + text
	}
	if f, ok := on(FaultLostOctets); ok {
		every := orCode(f.Code, 7)
		var b []byte
		for i := range len(text) {
			if (i+1)%every != 0 {
				b = append(b, text[i])
			}
		}
		text = string(b)
	}
	if _, ok := on(FaultCROnly); ok {
		text = strings.ReplaceAll(text, "\r\n", "\r")
	}
	if _, ok := on(FaultLFOnly); ok {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	if _, ok := on(FaultNUL); ok {
		var b []byte
		for i := range len(text) {
			b = append(b, 0, text[i])
		}
		text = string(b)
	}
	if _, ok := on(FaultBaud); ok {
		b := []byte(text)
		for i := range b {
			b[i] = b[i]<<1 | 0x81
		}
		text = string(b)
	}
	return text
}

func orText(text, def string) string {
	if text == "" {
		return def
	}
	return text
}

// tooFast says that a command line is lost because it came right after an
// answer.
func (s *session) tooFast() bool {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.faults {
		if f.Kind == FaultDeaf && !s.answered.IsZero() && time.Since(s.answered) < orTime(f.Delay, 100*time.Millisecond) {
			_, deaf := m.faultLocked("", s.cmd, FaultDeaf)
			return deaf
		}
	}
	return false
}

func orTime(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// intrude says the answers to another program's commands.
func (m *Modem) intrude(turn int, f Fault, i int) {
	said := []string{
		"\r\n+CSQ: 31,99\r\n\r\nOK\r\n", "\r\nOK\r\n", "\r\n+CREG: 2,0\r\n\r\nOK\r\n", "\r\nERROR\r\n",
		"\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n", "\r\n+CGMI: ModemManager\r\n\r\nOK\r\n", "\r\n+CME ERROR: 50\r\n",
	}
	if f.Text != "" {
		said = []string{f.Text}
	}
	if f.Count > 0 && i >= f.Count {
		return
	}
	m.net.after(orTime(f.Delay, time.Second), func() {
		m.mu.Lock()
		if m.turn != turn {
			m.mu.Unlock()
			return
		}
		if m.power == powerOn && !m.hung {
			m.rawLocked(said[i%len(said)])
		}
		m.mu.Unlock()
		m.intrude(turn, f, i+1)
	})
}

// flood says ten lines at a time.
func (m *Modem) flood(turn int, f Fault, until time.Time, i int) {
	said := []string{"^RSSI:18", "^BOOT:23594356,0,0,0,72", "^DSFLOWRPT:0000001E,00000000,00000000,0000000000000C3A,0000000000001ADE,0003E800,0003E800"}
	m.net.after(10*time.Second/time.Duration(orCode(f.Code, 1000)), func() {
		m.mu.Lock()
		if m.turn != turn || m.state.quieted || !until.IsZero() && !time.Now().Before(until) {
			m.mu.Unlock()
			return
		}
		if m.power == powerOn && !m.hung {
			var b strings.Builder
			for j := range 10 {
				b.WriteString("\r\n" + said[(i+j)%len(said)] + "\r\n")
			}
			m.rawLocked(b.String())
		}
		m.mu.Unlock()
		m.flood(turn, f, until, i+1)
	})
}

// rawLocked writes octets to everyone who has the port open, at once, wherever
// they are in their dialogue.
func (m *Modem) rawLocked(text string) {
	for _, s := range m.sessions {
		select {
		case s.out <- piece{b: []byte(text)}:
		default:
		}
	}
}
