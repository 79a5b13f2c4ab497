package modem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"recado/modem/at"
	"recado/modem/family"
)

const (
	// openFor is how long a submission's answer may be owed, counted from the
	// gate (longer where the family says so); until then the line listens and writes nothing.
	openFor = 180 * time.Second
	// openAfterBoot is the same after the modem said that it has restarted: it
	// will not come, unless the line meant something else.
	openAfterBoot = 5 * time.Second
	// openAfterDoubt is the same after an answer that may have been another
	// program's, and was more likely its own.
	openAfterDoubt = time.Minute
	// slowAfter is when a submission without an answer is shown as such.
	slowAfter = 45 * time.Second
	// lostWindow is how long a lost answer is held against the modem.
	lostWindow = 10 * time.Minute
	// spoiltToReset are submissions in a row that the modem itself spoilt.
	spoiltToReset = 3
)

func (s *session) resultTimeout() time.Duration {
	return cmp.Or(s.m.c.ResultTimeout, s.family().ResultTimeout)
}

// submit carries out one Send. What the outcome demands of the modem is left
// in s.err; the caller of Send has its outcome before any of it.
func (s *session) submit(ctx context.Context, r *sendRequest) {
	m := s.m
	if err := r.ctx.Err(); err != nil {
		r.done <- notSent(err)
		return
	}
	if m.isPassive() {
		r.done <- notSent(errPassive)
		return
	}
	if s.ackFirst(ctx); s.err != nil {
		r.done <- notSent(s.err)
		return
	}
	if err := s.pduFirst(ctx); err != nil {
		r.done <- notSent(err)
		return
	}
	if s.linkFirst(ctx); s.err != nil {
		r.done <- notSent(s.err)
		return
	}
	last, begun := s.link.last, time.Now()
	s.countAnew()
	open, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	m.setState(StateSending, "")
	var gateAt time.Time
	var prompted time.Duration
	slow := m.watchSlow()
	asked := time.Now()
	sub := s.ch.Submit(open, r.tpdu, func() error {
		prompted = time.Since(asked)
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if s.echoIsBack() { // of AT+CMGS: is this the prompt for a PDU?
			return errForgot
		}
		if err := r.gate(); err != nil {
			return err
		}
		gateAt = time.Now()
		m.beginSend(r.tpdu, interrupt)
		return nil
	})
	m.answeredSend()
	slow()
	if errors.Is(context.Cause(open), errRebooted) && sub.Err != nil && !answered(sub.Err) {
		sub.Err = errRebooted
	}
	out := outcomeFor(s.family(), sub)
	if errors.Is(sub.Err, errForgot) {
		out = notSent(fmt.Errorf("%w: %w", ErrNotReady, errForgot))
	}
	out.MR, out.Prompted = m.credible(out), prompted
	s.sent++
	s.lastSend = time.Now()
	s.linkTold(out, sub, begun, last, s.lastSend)
	if out.Verdict == Accepted {
		m.endSend(out.MR)
		// First of all the answer: the next message depends on it.
		s.timeouts, s.deviceErrors = 0, 0
		m.wasAccepted()
		m.well()
		changed := m.edit(func(n *Snapshot) { n.State, n.Reason = StateReady, "" })
		r.done <- out
		if changed {
			m.tell()
		}
		return
	}
	m.log.Info("a submission failed", "code", out.Code, "phase", sub.Phase, "verdict", out.Verdict)
	var late chan Outcome
	owed := sub.Phase == at.PhasePDUSent && (errors.Is(sub.Err, at.ErrTimeout) || errors.Is(sub.Err, at.ErrNoReference) || errors.Is(sub.Err, errRebooted))
	if owed {
		late = make(chan Outcome, 1)
		out.Late = late
		m.stopSends()
		m.setState(StateUnknown, "the network's answer to a message is owed: listening for it")
		m.note(EntrySend, "", "the answer to a submission was lost", out.Detail)
	}
	if !owed {
		m.endSend(-1)
	}
	s.blame(out)
	s.ussdInTheWay(out)
	switch {
	case owed:
		r.done <- out
		until := gateAt.Add(max(openFor, s.family().ResultTimeout))
		if errors.Is(sub.Err, errRebooted) {
			until = time.Now().Add(openAfterBoot)
		} else if errors.Is(sub.Err, at.ErrNoReference) {
			until = time.Now().Add(openAfterDoubt)
		}
		m.endSend(s.listen(ctx, until, late))
		s.mend(ctx, "the network's answer to a message was lost")
	case s.afterwards(sub, out):
		m.stopSends()
		m.setState(StateRecover, "")
		r.done <- out
		s.mend(ctx, "no answer to a submission")
		if sub.Phase == at.PhaseCommand {
			s.lostInReady(ctx)
		}
	default:
		s.becomeReady()
		r.done <- out
	}
}

// mend brings the dialogue into step after a submission that upset it, and
// opens the mailbox again when that is enough.
func (s *session) mend(ctx context.Context, why string) {
	if s.err != nil {
		return // the session goes back further anyway
	}
	if s.resync(ctx, why); s.err == nil {
		s.becomeReady()
	}
}

// outcomeOf is outcomeFor of a modem that nobody knows.
func outcomeOf(sub at.Submission) Outcome { return outcomeFor(&family.Generic, sub) }

// outcomeFor reads the tables, the make's own numbers first. Before the PDU has
// left nothing was sent.
func outcomeFor(f *family.Family, sub at.Submission) Outcome {
	out := Outcome{MR: -1, Phase: sub.Phase, Err: sub.Err}
	if sub.Err == nil {
		out.Verdict, out.MR, out.SCTS = Accepted, sub.MR, sub.SCTS
		return out
	}
	if sub.Phase == at.PhaseGate {
		out.Verdict, out.Code, out.Detail = NotSent, "refused", sub.Err.Error()
		return out
	}
	m := meaningFor(f, sub.Err).revise(sub.Phase)
	if sub.Phase == at.PhasePDUSent && (sub.Took < 0 || doubts(f)(sub.Err, sub.Took)) && m.Verdict == NotSent {
		m.Verdict = Ambiguous
	}
	out.Verdict, out.Class, out.Code, out.Detail = m.Verdict, m.Class, m.Code, m.Detail()
	out.Plan, out.HoldSIM = m.Plan(), m.HoldSIM
	return out
}

// localWithin is how long after Ctrl-Z a modem may say that it has not tried: it
// knows that at once. What it says later it may say of a message that it has sent
// (reliability §2.1: 515 after 30 s, and then +CMGS).
const localWithin = 10 * time.Second

// doubts says whether an error that a submission got that long after Ctrl-Z, and
// that by the tables means that nothing was sent, came too late for that.
func doubts(f *family.Family) func(err error, after time.Duration) bool {
	return func(err error, after time.Duration) bool {
		return after > localWithin && meaningFor(f, err).Verdict == NotSent
	}
}

// notSent is the outcome of a Send that never reached the modem.
func notSent(err error) Outcome {
	out := outcomeOf(at.Submission{Err: err})
	if out.Code == "unknown" {
		out.Code = "not_ready"
	}
	return out
}

// blame keeps the account of what the modem spoils.
func (s *session) blame(out Outcome) {
	m := s.m
	if out.Verdict == Ambiguous {
		m.life.lost = append(m.life.lost, time.Now())
	}
	m.life.lost = within(m.life.lost, lostWindow)
	m.update(func(n *Snapshot) {
		n.AmbiguousRecent = len(m.life.lost)
		if out.Code != "refused" {
			n.LastError = fmt.Sprintf("%s: %s", out.Code, out.Detail)
		}
	})
	s.want(s.checkLosses, lostWindow)
	if out.Class == ClassDevice {
		s.deviceErrors++
	} else if out.Code != "refused" {
		s.deviceErrors = 0
	}
}

// forgetLosses lets the account of lost answers run out.
func (s *session) forgetLosses(context.Context) {
	m := s.m
	m.life.lost = within(m.life.lost, lostWindow)
	m.update(func(n *Snapshot) { n.AmbiguousRecent = len(m.life.lost) })
	if len(m.life.lost) > 0 {
		s.want(s.checkLosses, lostWindow-time.Since(m.life.lost[0])+time.Second)
	}
}

// afterwards is what an unsuccessful submission demands of the modem; false
// when the line can go on as it is.
func (s *session) afterwards(sub at.Submission, out Outcome) (upset bool) {
	if sub.Phase == at.PhaseGate && !errors.Is(sub.Err, at.ErrGone) && !errors.Is(sub.Err, at.ErrTimeout) {
		return false // refused by us: nothing is wrong
	}
	meaning := meaningFor(s.family(), sub.Err)
	switch {
	case errors.Is(sub.Err, at.ErrGone):
		s.err = at.ErrGone
	case errors.Is(sub.Err, errRebooted):
		s.demand(stepIdentify, errRebooted.Error())
	case errors.Is(sub.Err, at.ErrInvalid): // our own mistake: nothing was written
	case errors.Is(sub.Err, at.ErrTimeout), errors.Is(sub.Err, at.ErrUnsynced), !answered(sub.Err):
		return true // no prompt in time, or given up
	case s.deviceErrors >= spoiltToReset:
		s.demand(stepReset, fmt.Sprintf("%d submissions in a row failed: %s", s.deviceErrors, out.Detail))
	default:
		s.act(meaning)
	}
	return s.err != nil
}

// listen waits for the answer of a submission that was given up, writing
// nothing: until it comes, until the modem shows that it knows of none any
// more, until a status report shows that the network has the message, or until
// time is up. It gives the message's reference, -1 when that did not come.
func (s *session) listen(ctx context.Context, until time.Time, late chan<- Outcome) (mr int) {
	defer close(late)
	mr = -1
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	results := s.ch.LateResult()
	s.m.mu.Lock()
	pending := s.m.pending
	s.m.mu.Unlock()
	var rebooted *demand
	defer func() {
		if rebooted != nil {
			s.demand(rebooted.step, rebooted.why)
		}
	}()
	for s.err == nil {
		select {
		case sub, ok := <-results:
			if ok {
				if out := outcomeFor(s.family(), sub); out.Verdict != Ambiguous {
					out.MR = s.m.credible(out)
					s.settle(out)
					s.m.note(EntrySend, "", "the answer to a submission came late", "")
					late <- out
					mr = out.MR
				}
			}
			return mr
		case <-pending.over:
			s.m.note(EntrySend, "", errReported.Error(), "")
			if mr = pending.mr; mr >= 0 {
				out := Outcome{Verdict: Accepted, MR: mr, Phase: at.PhasePDUSent}
				s.settle(out)
				late <- out
			}
			return mr
		case <-s.m.news:
			s.hear()
			if d, ok := errors.AsType[*demand](s.err); ok && d.step == stepIdentify {
				rebooted, s.err = d, nil
				t.Reset(min(time.Until(until), openAfterBoot))
			}
		case <-s.ch.Gone():
			s.err = at.ErrGone
		case <-ctx.Done():
			s.err = ctx.Err()
		case <-t.C:
			return mr
		}
	}
	return mr
}

// settle takes back the blame for an answer that came after all.
func (s *session) settle(out Outcome) {
	if out.Verdict == Accepted {
		s.m.wasAccepted()
	}
	if n := len(s.m.life.lost); n > 0 {
		s.m.life.lost = s.m.life.lost[:n-1]
	}
	s.m.update(func(n *Snapshot) { n.AmbiguousRecent = len(s.m.life.lost) })
}

// watchSlow shows a submission that waits long for its answer. The function it
// returns ends the watch; nothing is shown after it has returned.
func (m *Modem) watchSlow() (stop func()) {
	var mu sync.Mutex
	over := false
	t := time.AfterFunc(slowAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			m.setState(StateUnknown, "no answer from the network yet: listening for it")
		}
	})
	return func() {
		t.Stop()
		mu.Lock()
		over = true
		mu.Unlock()
	}
}
