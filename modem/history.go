package modem

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
)

// EntryKind is what an Entry of the history is about.
type EntryKind string

const (
	EntryState   EntryKind = "state"   // it has become something that lasts
	EntryFault   EntryKind = "fault"   // something went wrong
	EntryStep    EntryKind = "step"    // a rung of the ladder was taken, or has ended
	EntrySIM     EntryKind = "sim"     // the SIM came, went, was changed, or wants something
	EntryNetwork EntryKind = "network" // lost, back, denied
	EntryStorage EntryKind = "storage" // of the memory for messages
	EntryUSSD    EntryKind = "ussd"
	EntryOrder   EntryKind = "order" // of an operator
	EntrySend    EntryKind = "send"  // a submission's answer was lost, or came late
)

// Entry is one thing that happened to a modem. It has no text of a message, no
// PIN, and of a long number the last three digits.
type Entry struct {
	At   time.Time
	Kind EntryKind
	// Step is the rung of the ladder, "L0" to "L7"; "" when it is none.
	Step string
	// Text says what happened, in plain words.
	Text string
	// Detail is the evidence, over several lines: an error, the dialogue before a
	// rung, how often it happened again. "" when there is none.
	Detail string
}

const (
	// historyMost bounds the history: a modem that misbehaves all day long must
	// not fill the memory.
	historyMost = 200
	// entryMost bounds the octets of Text, detailMost those of Detail.
	entryMost, detailMost = 300, 4000
	// passing is how long a state that only leads to another must last to be
	// worth a line.
	passing = 10 * time.Second
	forLong = ", for long" // is said of it
	// evidence is how many lines of the dialogue a rung of the ladder keeps.
	evidence = 12
	// digitsShown of a run of digitsHidden or more are shown.
	digitsShown, digitsHidden = 3, 6
)

// History is what happened to the modem, oldest first: at most 200 entries of
// this run of the program.
func (m *Modem) History() []Entry { return m.history.entries() }

// note adds to the history, from any goroutine. It hides what must not be
// shown, so that a caller needs no care but for PINs and texts.
func (m *Modem) note(kind EntryKind, step, text, detail string) {
	m.history.add(Entry{
		At: m.c.Now(), Kind: kind, Step: step,
		Text: presentable(text, entryMost), Detail: presentable(detail, detailMost),
	})
}

// told is an entry with its repetitions.
type told struct {
	Entry
	again  int
	detail string // before they were counted in it
}

// history is the ring behind History.
type history struct {
	mu   sync.Mutex
	list []told

	// What follows belongs to the holder of Modem.mu: see follow.
	state     State // that was told last
	reason    string
	lost      bool      // the network, as told last
	sim       SIM       // that was told last
	since     time.Time // when the state of the snapshot was entered
	faultSaid string
}

// lookBack is how many entries are looked through for the same one, which is then
// only counted. A modem that leaves commands unanswered is resynced and set up
// again and again: what else happened must not drown in that.
func lookBack(e Entry) int {
	switch {
	case e.Step == string(rungResync), e.Step == string(rungSetup):
		return historyMost / 4
	case e.Kind == EntryFault, e.Kind == EntryState && strings.HasSuffix(e.Text, forLong):
		return 4
	}
	return 1
}

// add keeps one entry; the same once more only counts.
func (h *history) add(e Entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.list) - 1; i >= max(0, len(h.list)-lookBack(e)); i-- {
		if last := &h.list[i]; last.Kind == e.Kind && last.Step == e.Step && last.Text == e.Text {
			last.again++
			last.Detail = strings.TrimPrefix(fmt.Sprintf("%s\n%d times more, last at %s", last.detail, last.again, e.At.UTC().Format(time.RFC3339)), "\n")
			return
		}
	}
	if len(h.list) >= historyMost {
		h.list = append(h.list[:0:0], h.list[len(h.list)-historyMost+1:]...)
	}
	h.list = append(h.list, told{Entry: e, detail: e.Detail})
}

func (h *history) entries() []Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Entry, len(h.list))
	for i := range h.list {
		list[i] = h.list[i].Entry
	}
	return list
}

// presentable makes s fit to be shown: no control characters but the ends of
// lines, no long number, no more than most octets.
func presentable(s string, most int) string {
	var b strings.Builder
	run := 0
	flush := func(end int) {
		if run >= digitsHidden {
			b.WriteString(strings.Repeat("*", run-digitsShown) + s[end-digitsShown:end])
		} else {
			b.WriteString(s[end-run : end])
		}
		run = 0
	}
	s = strings.ToValidUTF8(s, ".")
	for i, r := range s {
		switch {
		case r >= '0' && r <= '9':
			run++
			continue
		case run > 0:
			flush(i)
		}
		if unicode.IsControl(r) && r != '\n' {
			r = '.'
		}
		b.WriteRune(r)
	}
	if run > 0 {
		flush(len(s))
	}
	out := b.String()
	if len(out) > most {
		out = strings.ToValidUTF8(out[:most], "") + "…"
	}
	return out
}

// lasting are the states that a modem stays in; the others lead to one of them.
func lasting(s State) bool {
	switch s {
	case StateAbsent, StateLocked, StateNoSIM, StateSIMBlocked, StateSIMDenied, StateReady, StateFault, StateDisabled:
		return true
	}
	return false
}

// follow notes what a change of the snapshot means. m.mu is held.
func (m *Modem) follow(was, is Snapshot) {
	h := &m.history
	if was.State != is.State {
		if took := time.Since(h.since); !h.since.IsZero() && took >= passing && !lasting(was.State) && was.State != StateSending {
			m.note(EntryState, "", stateWords[was.State]+forLong, strings.TrimSuffix("for "+span(took)+"\n"+was.Reason, "\n"))
		}
		h.since = time.Now()
	}
	if lasting(is.State) && (is.State != h.state || is.Reason != h.reason && is.State != StateReady) {
		// A fault was told as such already.
		if is.Reason != h.faultSaid || is.State == StateReady {
			m.note(EntryState, "", stateWords[is.State], is.Reason)
		}
		h.state, h.reason = is.State, is.Reason
	}
	m.followSIM(was.SIM, is.SIM)
	if was.Registration == is.Registration {
		return
	}
	switch is.Registration {
	case "home", "roaming", "sms_only":
		if h.lost {
			m.note(EntryNetwork, "", "registered again: "+is.Registration, "")
		}
		h.lost = false
	case "denied":
		m.note(EntryNetwork, "", "the network denied the registration", "")
		h.lost = true
	case "searching", "not_registered":
		if was.Registration == "home" || was.Registration == "roaming" || was.Registration == "sms_only" {
			m.note(EntryNetwork, "", "the network was lost: "+is.Registration, "")
			h.lost = true
		}
	}
}

// followSIM notes that another SIM is there, or none. What a modem does not say
// while it starts is no change.
func (m *Modem) followSIM(was, is SIM) {
	h := &m.history
	known, here := identityOf(h.sim), identityOf(is)
	same := h.sim.ICCID == is.ICCID && is.ICCID != "" ||
		(h.sim.ICCID == "" || is.ICCID == "") && h.sim.IMSI == is.IMSI && is.IMSI != ""
	switch {
	case here != "" && known == "":
		m.note(EntrySIM, "", "the SIM "+here+" is there", "")
		h.sim = is
	case here != "" && !same:
		m.note(EntrySIM, "", "another SIM: "+here+" in place of "+known, "")
		h.sim = is
	case here != "":
		h.sim = is
	case known != "" && is.State == cpinAbsent:
		m.note(EntrySIM, "", "the SIM "+known+" is gone", "")
		h.sim = SIM{}
	}
	if was.State != is.State && is.State == cpinPUK {
		m.note(EntrySIM, "", "the SIM asks for its PUK", "")
	}
}

func identityOf(s SIM) string { return cmp.Or(s.ICCID, s.IMSI) }

// stateWords are the states as an operator reads them.
var stateWords = map[State]string{
	StateAbsent: "not there", StateSettling: "settling", StateOpening: "opening the port", StateLocked: "held by another program",
	StateSync: "looking for an answer", StateIdent: "identifying", StateSIM: "waiting for the SIM", StateNoSIM: "no usable SIM",
	StateSIMBlocked: "the SIM is blocked", StateConfig: "configuring", StateRegister: "looking for the network",
	StateSIMDenied: "refused by the network", StateReady: "ready", StateSending: "sending",
	StateUnknown: "listening for an answer that is owed", StateRecover: "recovering", StateFault: "out of order", StateDisabled: "switched off",
}

// orderWords are the orders of an operator as the history tells them.
var orderWords = map[orderKind]string{
	orderRestart: "restart", orderPIN: "a PIN was entered", orderPUK: "a PUK was entered", orderDisable: "switch off", orderEnable: "switch on",
	orderFlip: "have reports come the other way", orderPower: "cut the power for a moment",
	orderForeign: "delete what other devices have stored", orderForgetLink: "try AT+CMMS anew",
}

func (m *Modem) noteOrder(k orderKind) {
	if what, ok := orderWords[k]; ok {
		m.note(EntryOrder, "", what, "")
	}
}

// dialogue is the end of the trace, as evidence.
func (m *Modem) dialogue() string {
	lines := m.trace.lines()
	var b strings.Builder
	for _, e := range lines[max(0, len(lines)-evidence):] {
		way := "<"
		if e.Out {
			way = ">"
		}
		fmt.Fprintf(&b, "%s %s %s\n", e.At.UTC().Format("15:04:05.000"), way, e.Line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
