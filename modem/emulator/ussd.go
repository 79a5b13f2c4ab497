package emulator

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// USSD is what a family does in its own way with AT+CUSD (TS 27.007 7.15).
type USSD struct {
	// Packed: texts are packed septets in hex both ways, and a plain one is
	// ERROR, until AT^USSDMODE=0.
	Packed bool
	// Form is the line of an answer, with {m}, {text} and {dcs}; "" is the
	// standard's.
	Form string
	// DCS of an answer in the default alphabet; 15 when 0.
	DCS int
	// First: the answer comes before OK.
	First bool
	// Echo: AT+CUSD=2 that ends a dialogue brings +CUSD: 2.
	Echo bool
}

// ussdPatience is how long the network waits for a reply.
const ussdPatience = 2 * time.Minute

// dialogue is a USSD dialogue of a modem with the network. Guarded by Modem.mu.
type dialogue struct {
	// next takes the reply; nil while the network has not answered.
	next ussdState
	stop []func() // timers
}

// ussdWords is one thing that the network says in a dialogue.
type ussdWords struct {
	after time.Duration // beside the latency
	m     int
	text  string
	bare  bool   // <m> alone
	dcs   int    // 0: by the text
	wide  bool   // UCS-2
	lang  string // before the text
	// patience is how long the network waits for a reply to it; ussdPatience
	// when 0.
	patience time.Duration
}

// ussdState answers what the person sent: the network's words, and who takes the
// reply to the last of them; nil: the dialogue is over then.
type ussdState func(m *Modem, input string) ([]ussdWords, ussdState, error)

// cusd is AT+CUSD.
func cusd(s *session, c command) error {
	m := s.m
	m.mu.Lock()
	if c.verb == read {
		s.say("+CUSD: " + strconv.Itoa(m.state.ussdOn))
		m.mu.Unlock()
		return nil
	}
	a := arguments(c.args)
	n, ok := a[0].number(0)
	if !ok || n > 2 {
		m.mu.Unlock()
		return cmeError(50)
	}
	if n == 2 {
		m.endDialogueLocked(m.fam.USSD.Echo)
		m.mu.Unlock()
		return nil
	}
	m.state.ussdOn = n
	if len(a) < 2 {
		m.mu.Unlock()
		return nil
	}
	d, words, next, err := m.askNetworkLocked(a[1].text)
	latency := m.net.latency()
	if err != nil || !m.fam.USSD.First || len(words) == 0 {
		if err == nil {
			m.answerLocked(d, words, next, latency)
		}
		m.mu.Unlock()
		return err
	}
	m.mu.Unlock()
	// The first words come before OK.
	if !s.wait(time.Now().Add(latency+words[0].after), true) {
		return errSilent
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.dialogue == d {
		s.say(m.ussdLine(words[0]))
		m.answerLocked(d, words[1:], next, 0)
		if len(words) == 1 {
			m.moveLocked(d, next, ussdPatience)
		}
	}
	return nil
}

// askNetworkLocked sends what the host wrote to the network, and gives what it
// will say.
func (m *Modem) askNetworkLocked(written string) (*dialogue, []ussdWords, ussdState, error) {
	if m.state.reg != regHome {
		return nil, nil, nil, cmeError(30)
	}
	input, ok := m.ussdInput(written)
	if !ok {
		if m.fam.USSD.Packed {
			return nil, nil, nil, errPlain
		}
		return nil, nil, nil, cmeError(50)
	}
	d := m.state.dialogue
	state := ussdState(nil)
	switch {
	case d == nil:
		d, state = &dialogue{}, m.ussdService(input)
	case d.next == nil:
		return nil, nil, nil, cmeError(258) // the network has not answered yet
	default:
		d.cancel()
		state = d.next
	}
	words, next, err := state(m, input)
	if err != nil {
		m.state.dialogue = nil
		return nil, nil, nil, err
	}
	d.next = nil
	m.state.dialogue = d
	return d, words, next, nil
}

// answerLocked says words as the network gives them, and then moves the dialogue
// on, unless it is ended before. Without words the network never answers.
func (m *Modem) answerLocked(d *dialogue, words []ussdWords, next ussdState, at time.Duration) {
	for i, w := range words {
		at += w.after
		m.laterInDialogue(d, at, func() {
			if m.state.ussdOn == 1 {
				m.sayLocked(m.ussdLine(w), "")
			}
			if i == len(words)-1 {
				m.moveLocked(d, next, cmp.Or(w.patience, ussdPatience))
			}
		})
	}
}

// moveLocked lets the dialogue wait for a reply, or ends it.
func (m *Modem) moveLocked(d *dialogue, next ussdState, patience time.Duration) {
	if d.next = next; next == nil {
		m.state.dialogue = nil
		return
	}
	m.laterInDialogue(d, patience, func() { m.endDialogueLocked(true) })
}

// laterInDialogue runs f with the lock held, which it is now too, unless the
// dialogue or the power goes before.
func (m *Modem) laterInDialogue(d *dialogue, after time.Duration, f func()) {
	if after <= 0 {
		f()
		return
	}
	over, boot := false, m.boots
	stop := m.net.after(after, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !over && m.boots == boot {
			f()
		}
	})
	d.stop = append(d.stop, func() { over = true; stop() })
}

// cancel takes back what the network was about to say.
func (d *dialogue) cancel() {
	for _, stop := range d.stop {
		stop()
	}
	d.stop = nil
}

func (m *Modem) endDialogueLocked(tell bool) {
	d := m.state.dialogue
	if d == nil {
		return
	}
	d.cancel()
	m.state.dialogue = nil
	if tell {
		m.sayLocked("+CUSD: 2", "")
	}
}

// ussdMode is AT^USSDMODE of the families that have it.
func (m *Modem) ussdMode(c command) {
	if c.name == "^USSDMODE" && c.verb == set {
		m.state.ussdPlain = c.args == "0"
	}
}

// ussdInput reads what the host wrote, in its coding; false: it is none.
func (m *Modem) ussdInput(written string) (string, bool) {
	if m.fam.USSD.Packed && !m.state.ussdPlain {
		octets, err := hex.DecodeString(written)
		if err != nil || len(octets) == 0 {
			return "", false
		}
		septets := unpack(octets, len(octets)*8/7, 0)
		if n := len(septets); n%8 == 0 && septets[n-1] == '\r' {
			septets = septets[:n-1]
		}
		return gsmText(septets, 0, 0), true
	}
	if cs := m.state.charset; cs == "UCS2" || cs == "HEX" {
		if b, err := hex.DecodeString(written); err != nil || cs == "UCS2" && len(b)%2 != 0 {
			return "", false
		}
	}
	text := m.textFrom(written)
	return text, text != ""
}

// ussdLine writes words as this family does.
func (m *Modem) ussdLine(w ussdWords) string {
	if w.bare {
		return "+CUSD: " + strconv.Itoa(w.m)
	}
	form := m.fam.USSD.Form
	if form == "" {
		form = `+CUSD: {m},"{text}",{dcs}`
	}
	dcs, text := w.dcs, ""
	packed := m.fam.USSD.Packed && !m.state.ussdPlain
	switch {
	case w.wide && w.lang != "":
		septets, _ := gsmSeptets(w.lang)
		dcs, text = 0x11, upperHex(append(pack(septets, 0), wideOctets(w.text)...))
	case w.wide:
		dcs, text = 72, upperHex(wideOctets(w.text))
	case packed:
		septets, _ := gsmSeptets(w.text)
		if len(septets)%8 == 7 {
			septets = append(septets, '\r')
		}
		text = upperHex(pack(septets, 0))
	default:
		text = m.textTo(w.text)
	}
	if dcs == 0 {
		if dcs = m.fam.USSD.DCS; dcs == 0 {
			dcs = 15
		}
	}
	return strings.NewReplacer("{m}", strconv.Itoa(w.m), "{text}", text, "{dcs}", strconv.Itoa(dcs)).Replace(form)
}

func wideOctets(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

// NotifyUSSD lets the network send a USSD message that nobody asked for; with
// asks it wants a reply, and answers one with thanks. ErrNoSuchSIM: no modem
// holds the SIM.
func (n *Network) NotifyUSSD(iccidOrNumber, text string, asks bool) error {
	n.mu.Lock()
	s := n.simLocked(iccidOrNumber)
	if s == nil || s.modem == nil {
		n.mu.Unlock()
		return ErrNoSuchSIM
	}
	m := s.modem
	n.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	w := ussdWords{text: text}
	if asks {
		w.m = 1
		m.endDialogueLocked(true)
		m.state.dialogue = &dialogue{next: thanks}
	}
	m.sayLocked(m.ussdLine(w), "")
	return nil
}
