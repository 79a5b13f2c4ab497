package modem

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"recado/modem/at"
)

// The flight recorder: the last lines of the AT dialogue as they were, before
// them what said something new, and copies from the moments when a ready modem
// ceased to be one.
const (
	// recentLines are kept whatever they say: half an hour of an idle modem.
	recentLines = 500
	// olderLines are kept of what came before; without the routine they reach
	// back hours or days.
	olderLines = 1000
	// crashLines are copied when a ready modem fails, of which crashesMost are kept.
	crashLines, crashesMost = 150, 3
)

// Crash is the dialogue that led to the end of a ready modem.
type Crash struct {
	At time.Time
	// State is what the modem was afterwards, Reason why.
	State  State
	Reason string
	// Dialogue is what was said before, redacted, oldest first.
	Dialogue []at.TraceEntry
}

// Domains are what the modem last said of its registrations, in the words of
// Snapshot.Registration: CS by AT+CREG, PS by AT+CGREG, EPS (LTE) by AT+CEREG.
// "" is not known; refused means that it does not know the command, as a modem
// without LTE does not know AT+CEREG. An emergency-only registration is
// "emergency".
type Domains struct{ CS, PS, EPS string }

// refused is the word for a domain that the modem has not.
const refused = "refused"

// Recording is all that is kept of the dialogue, redacted, oldest first: what
// the last half hour said, and what was out of the ordinary before.
func (m *Modem) Recording() []at.TraceEntry { return m.trace.all() }

// Crashes are the last moments in which this modem ceased to be ready by itself,
// oldest first: at most three.
func (m *Modem) Crashes() []Crash {
	m.trace.mu.Lock()
	defer m.trace.mu.Unlock()
	return append([]Crash(nil), m.trace.crashes...)
}

// Domains are the registrations by domain, which the snapshot shows as one.
func (m *Modem) Domains() Domains {
	m.trace.mu.Lock()
	defer m.trace.mu.Unlock()
	return m.trace.domains
}

// traceRing keeps the dialogue.
type traceRing struct {
	mu   sync.Mutex
	ring [recentLines]at.TraceEntry
	n    int // lines ever
	// older is what left the ring and was worth keeping; the exchange that is
	// leaving it now is in leaving.
	older, leaving []at.TraceEntry
	// answers are the last ones to the routine questions; skipped counts the
	// exchanges since the last kept line that said the same again.
	answers map[string]string
	skipped int

	crashes []Crash
	asked   string // the last command
	domains Domains
}

func (t *traceRing) add(e at.TraceEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slot := &t.ring[t.n%len(t.ring)]
	if t.n >= len(t.ring) {
		t.leave(*slot)
	}
	*slot = e
	t.n++
	t.listen(e)
}

// lines are the last ones, oldest first.
func (t *traceRing) lines() []at.TraceEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last(len(t.ring))
}

// last are the last so many lines; t.mu is held.
func (t *traceRing) last(most int) []at.TraceEntry {
	first := max(0, t.n-min(most, len(t.ring)))
	out := make([]at.TraceEntry, 0, t.n-first)
	for i := first; i < t.n; i++ {
		out = append(out, t.ring[i%len(t.ring)])
	}
	return out
}

func (t *traceRing) all() []at.TraceEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := append([]at.TraceEntry(nil), t.older...)
	if t.skipped > 0 {
		out = append(out, t.gap(t.leaving, t.ring[t.n%len(t.ring)]))
	}
	return append(append(out, t.leaving...), t.last(len(t.ring))...)
}

// leave takes a line that leaves the ring. A command and what followed it are
// judged together.
func (t *traceRing) leave(e at.TraceEntry) {
	if e.Out && len(t.leaving) > 0 {
		t.settle()
	}
	t.leaving = append(t.leaving, e)
	if len(t.leaving) >= olderLines/2 { // a flood without a command in it
		t.settle()
	}
}

// settle keeps the exchange that has left, unless it is a routine question that
// was answered as it was the last time.
func (t *traceRing) settle() {
	x := t.leaving
	t.leaving = nil
	if question := x[0].Line; x[0].Out && routine(question) {
		var b strings.Builder
		for _, e := range x[1:] {
			if question == "AT+CSQ" && strings.HasPrefix(e.Line, "+CSQ: ") && e.Line != "+CSQ: 99,99" {
				continue // it is never the same twice
			}
			b.WriteString(e.Line + "\n")
		}
		if t.answers == nil {
			t.answers = map[string]string{}
		}
		if before, known := t.answers[question]; known && before == b.String() {
			t.skipped++
			return
		}
		if len(t.answers) < 100 {
			t.answers[question] = b.String()
		}
	}
	if t.skipped > 0 {
		t.older = append(t.older, t.gap(x, at.TraceEntry{}))
		t.skipped = 0
	}
	t.older = append(t.older, x...)
	if over := len(t.older) - olderLines; over > olderLines/4 {
		t.older = append(t.older[:0:0], t.older[over:]...)
	}
}

// gap is the line that stands for what was skipped, at the time of what follows.
func (t *traceRing) gap(next []at.TraceEntry, or at.TraceEntry) at.TraceEntry {
	if len(next) > 0 {
		or = next[0]
	}
	return at.TraceEntry{At: or.At, Line: fmt.Sprintf("<%d routine questions, answered as before>", t.skipped)}
}

// routine says whether a question is asked again and again.
func routine(line string) bool {
	switch line {
	case "AT", "AT+CSQ", "AT+CMGL=4", `AT+CMGL="ALL"`, "AT+CCID", "AT+ICCID", "AT+QCCID", "AT+CIMI", "<ESC>":
		return true
	}
	return strings.HasPrefix(line, "AT+CPMS=") || strings.HasPrefix(line, "AT+CRSM=") || strings.HasSuffix(line, "?") && !strings.HasSuffix(line, "=?")
}

// listen notes what is said of the registrations.
func (t *traceRing) listen(e at.TraceEntry) {
	if e.Out {
		t.asked = e.Line
		return
	}
	about := domainOf(e.Line)
	if about == "" && strings.HasSuffix(t.asked, "REG?") && (e.Line == "ERROR" || strings.HasPrefix(e.Line, "+CME ERROR")) {
		if domain := t.domain(domainOf(t.asked[2:])); domain != nil && *domain == "" {
			*domain = refused
		}
	}
	domain := t.domain(about)
	if domain == nil {
		return
	}
	if r, ok := parseRegistration(strings.TrimSpace(e.Line[len(about)+1:]), t.asked != "AT"+about+"?"); ok {
		if *domain = r.word(); r.Stat == 8 {
			*domain = "emergency"
		}
	}
}

// domainOf is +CREG, +CGREG or +CEREG when the line is about one; "" else.
func domainOf(line string) string {
	i := strings.IndexAny(line, ":?")
	if i < 0 || !strings.HasSuffix(line[:i], "REG") {
		return ""
	}
	return line[:i]
}

func (t *traceRing) domain(name string) *string {
	switch name {
	case "+CREG":
		return &t.domains.CS
	case "+CGREG":
		return &t.domains.PS
	case "+CEREG":
		return &t.domains.EPS
	}
	return nil
}

// follow copies the dialogue when a ready modem has ceased to be one by itself.
func (t *traceRing) follow(was, is Snapshot) {
	if !serving(was.State) || serving(is.State) || is.State == StateDisabled || is.State == was.State {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.crashes) == crashesMost {
		t.crashes = append(t.crashes[:0:0], t.crashes[1:]...)
	}
	t.crashes = append(t.crashes, Crash{At: is.Since, State: is.State, Reason: is.Reason, Dialogue: t.last(crashLines)})
}

// serving says that a modem in this state was able to send.
func serving(s State) bool { return s == StateReady || s == StateSending || s == StateUnknown }
