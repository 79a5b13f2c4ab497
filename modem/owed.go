package modem

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"recado/modem/pdu"
)

// errReported ends the wait for an answer that will not come: the service centre
// has reported on the message.
var errReported = errors.New("a status report came, and no answer to the submission")

const (
	// afterReport is how long +CMGS may come after its status report: some modems
	// give them in this order.
	afterReport = 10 * time.Second
	// reportEarly is how much before the gate the service centre's time stamp may
	// lie: its clock is not ours.
	reportEarly = 30 * time.Second
	// referencesKept bounds the references of accepted messages: half a turn of
	// the 8 bits of TP-MR.
	referencesKept = 128
)

// openSend is the submission whose answer is awaited or owed, from its gate on.
// Guarded by Modem.mu.
type openSend struct {
	to     string        // digits of TP-DA
	gateAt time.Time     // wall clock
	told   bool          // its report has come
	mr     int           // the SIM's next reference, when the report had it; else -1
	over   chan struct{} // closed when, after that, no answer came
}

// references are the TP-MRs that a SIM's accepted messages got, newest last.
// Guarded by Modem.mu.
type references struct {
	sim  string // the identity of the SIM
	list []uint8
	// broken: a submission since the last accepted one may have used a reference
	// up that nobody told us; which is the next is not known until one is accepted.
	broken bool
	// nameless are the submissions that left and got no reference. Each may be
	// what a report with a reference that nobody knows is about.
	nameless []nameless
}

// nameless is a submission without a reference: its recipient and its end.
type nameless struct {
	to string
	at time.Time
}

// namelessFor is how long a report on such a message may come: a day of validity
// and more.
const namelessFor = 72 * time.Hour

// beginSend notes the submission whose gate has opened.
func (m *Modem) beginSend(tpdu []byte, interrupt context.CancelCauseFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupt = interrupt
	m.pending = &openSend{to: destination(tpdu), gateAt: m.c.Now(), mr: -1, over: make(chan struct{})}
}

// answeredSend ends the wait for the answer; what is owed stays open.
func (m *Modem) answeredSend() {
	m.mu.Lock()
	m.interrupt = nil
	m.mu.Unlock()
}

// endSend closes the submission. mr is its reference; -1 when there is none.
func (m *Modem) endSend(mr int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := m.pending
	m.pending = nil
	r := m.refs.of(identityOf(m.snap.SIM))
	if mr < 0 {
		if open != nil {
			r.broken = true
			r.nameless = append(r.nameless, nameless{open.to, time.Now()})
		}
		return
	}
	r.broken = false
	if r.list = append(r.list, uint8(mr)); len(r.list) > referencesKept {
		r.list = r.list[len(r.list)-referencesKept:]
	}
}

// of makes the references those of a SIM.
func (r *references) of(sim string) *references {
	if r.sim != sim {
		*r = references{sim: sim}
	}
	return r
}

// reported looks whether a status report is of the submission that is open, and
// ends the wait for its answer when that does not follow. Called by the
// channel's goroutine.
func (m *Modem) reported(trailer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	open := m.pending
	if open == nil || open.told {
		return
	}
	rep := pdu.DecodeHex(trailer)
	next, ok := m.refs.of(identityOf(m.snap.SIM)).proves(rep, open)
	if !ok {
		return
	}
	if open.told = true; next {
		open.mr = int(rep.MR)
	}
	time.AfterFunc(afterReport, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.pending != open {
			return
		}
		close(open.over)
		if m.interrupt != nil {
			m.interrupt(errReported)
		}
	})
}

// proves says that a report can be of the open submission alone: it is for the
// same recipient, the service centre got the message after the gate, and no
// earlier message to this recipient can have its reference. next: the reference
// is the one after that of the SIM's last message, which was accepted. Only that
// is enough to take the message as accepted; and without it one earlier message
// to the recipient whose reference is not known is enough for no proof at all. Or
// else what one message got would be claimed of another, which nobody has, and a
// modem would be written to that still has one in hand.
func (r *references) proves(rep pdu.Received, open *openSend) (next, ok bool) {
	if rep.Kind != pdu.KindStatusReport || !sameDigits(rep.Address, open.to) || slices.Contains(r.list, rep.MR) ||
		rep.SCTS.IsZero() || rep.SCTS.Before(open.gateAt.Add(-reportEarly)) {
		return false, false
	}
	n := len(r.list)
	next = n > 0 && !r.broken && rep.MR == r.list[n-1]+1
	return next, next || !r.doubted(open.to)
}

// doubted says that a message to the recipient is about without a reference.
func (r *references) doubted(to string) bool {
	r.nameless = slices.DeleteFunc(r.nameless, func(n nameless) bool { return time.Since(n.at) > namelessFor })
	return slices.ContainsFunc(r.nameless, func(n nameless) bool { return n.to == "" || sameDigits(n.to, to) })
}

// destination is TP-DA of an SMS-SUBMIT, its digits; "" when it has none (TS
// 23.040 9.2.2.2, 9.1.2.5).
func destination(tpdu []byte) string {
	if len(tpdu) < 4 || tpdu[0]&3 != 1 {
		return ""
	}
	n := int(tpdu[2])
	if len(tpdu) < 4+(n+1)/2 || tpdu[3]>>4&7 == 5 { // alphanumeric
		return ""
	}
	var b strings.Builder
	for i := range n {
		d := tpdu[4+i/2] >> (4 * (i % 2)) & 0xf
		if d > 9 {
			return ""
		}
		b.WriteByte('0' + d)
	}
	return b.String()
}

// sameDigits compares numbers as networks write them, with or without the
// country: the last eight digits, all of them when there are fewer.
func sameDigits(a, b string) bool {
	a, b = digits(a), digits(b)
	if a == "" || b == "" {
		return false
	}
	const end = 8
	if len(a) < end || len(b) < end {
		return a == b
	}
	return a[len(a)-end:] == b[len(b)-end:]
}
