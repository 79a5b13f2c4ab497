package pool

import (
	"time"

	"recado/modem"
	"recado/queue"
)

// decision is what happens to a message after an attempt that did not succeed.
type decision struct {
	retry bool
	// after is how long the message waits first.
	after time.Duration
	// avoid keeps it off the SIM that just refused it.
	avoid bool
	// degrade is what it is sent without from now on.
	degrade modem.Degrade
	// class is what the error counts as by now; reason is the stable code of a
	// message that fails.
	class  modem.ErrorClass
	reason string
}

// elsewhere is what other lines could do for a message.
type elsewhere struct {
	sim      bool // another SIM can send
	operator bool // one of another operator
}

// without is the plan for what the error tables know nothing of: the gate
// failed, so nothing was sent and neither message nor modem is to blame.
var without = modem.Stage{Wait: 5 * time.Second, Most: 30 * time.Minute}

// decide reads the plan of an outcome that was refused or never left. tries
// counts the times in a row that the message was tried again for this same
// error.
func decide(o modem.Outcome, tries int, others elsewhere) decision {
	s, spent, ok := without, tries, true
	if len(o.Plan) > 0 {
		s, spent, ok = o.Plan.At(tries)
	}
	if ok && s.SIMs == modem.OneOtherSIM && !others.sim {
		s, spent, ok = o.Plan.At(tries - spent + s.Tries) // nobody else to ask
	}
	if !ok {
		return decision{class: s.Class, reason: queue.ReasonRejected}
	}
	d := decision{retry: true, class: s.Class, degrade: s.Degrade}
	switch {
	case s.Untouched, s.Degrade != modem.DegradeNone:
		return d
	case others.sim && (s.SIMs == modem.OtherSIM || s.SIMs == modem.OneOtherSIM):
		d.avoid = true
		if spent == 0 {
			return d // at once: the other has nothing to do with it
		}
		spent--
	case others.operator && s.SIMs == modem.OtherOperator:
		d.avoid = true
	}
	d.after = backoff(s.Wait, spent, s.Most)
	return d
}

// triesOf are how often a message was tried again for this error, in a row.
func triesOf(o modem.Outcome, m queue.Message) int {
	if m.Error == nil || m.Error.Code != o.Code {
		return 0
	}
	return m.Failures
}

// backoff doubles first for each failure so far, up to most.
func backoff(first time.Duration, failures int, most time.Duration) time.Duration {
	d := first
	for range failures {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}
