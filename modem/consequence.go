package modem

import (
	"context"
	"time"

	"recado/modem/at"
)

// AlarmNoSMSService is Snapshot.Alarm when one submission after the other ends
// in the modem's catch-all error: it is registered, mostly on LTE, and the
// network does not take its messages.
const AlarmNoSMSService = "lte_without_sms"

const (
	// alarmAfter are errors in a row that make an alarm.
	alarmAfter = 3
	// barredLook is how often a modem that the network does not take is looked
	// at: it may have another SIM, for which that is not so.
	barredLook = time.Minute
)

// refusals counts the submissions in a row that ended in the same error.
type refusals struct {
	code string
	n    int
}

func (r *refusals) count(code string) int {
	if r.code != code {
		*r = refusals{code: code}
	}
	r.n++
	return r.n
}

// act does what a refused submission demands of the modem by its row of the
// error tables.
func (s *session) act(row Meaning) {
	m := s.m
	n := m.life.errors.count(row.Code)
	next := row.after
	if n > 1 && row.again != stepNone {
		next = row.again
	}
	if row.Do == doReport {
		m.log.Error("a message was refused as if it were not built right", "code", row.Code, "says", row.Says)
	}
	if row.Alarm != "" && n >= alarmAfter {
		m.raise(row.Alarm, row.Detail())
	}
	switch next {
	case stepNone:
	case stepSweep:
		s.full = true
		s.want(s.sweepHere, 0)
	default:
		s.demand(next, row.Detail())
	}
}

// raise shows an alarm until a message is accepted.
func (m *Modem) raise(alarm, why string) {
	if m.Snapshot().Alarm == alarm {
		return
	}
	m.note(EntryFault, "", "the network takes no messages from this modem", why)
	m.update(func(n *Snapshot) { n.Alarm = alarm })
}

// wasAccepted ends what refusals have added up to.
func (m *Modem) wasAccepted() {
	m.life.errors = refusals{}
	if m.Snapshot().Alarm != "" {
		m.update(func(n *Snapshot) { n.Alarm = "" })
	}
}

// barred leaves a modem alone that the network does not take as a device: until
// an operator acts, it starts anew, or it has another SIM.
func (s *session) barred(ctx context.Context) error {
	m := s.m
	m.setState(StateFault, m.Snapshot().Reason)
	sim := m.Snapshot().SIM.ICCID
	for next := time.Now().Add(barredLook); s.err == nil; {
		_ = s.wait(ctx, time.Until(next))
		if s.err != nil || time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(barredLook)
		if id, _ := s.iccid(ctx); id != "" && id != sim {
			break
		}
	}
	return s.err
}

// revise is the row as it counts in the phase that a submission had reached:
// before the PDU has left nothing was sent, whatever the code.
func (m Meaning) revise(phase at.Phase) Meaning {
	if phase >= at.PhasePDUSent {
		return m
	}
	m.Verdict = NotSent
	if m.Class == ClassUnknown || m.Class == ClassNone {
		m.Class = ClassDevice
	}
	return m
}
