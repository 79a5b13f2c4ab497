package modem

import (
	"context"
	"errors"
	"time"

	"recado/modem/at"
)

// Owed is a submission of an earlier run of the program, whose process ended
// while the network's answer was awaited. The modem may still give it.
type Owed struct {
	TPDU []byte
	// GateAt is when it passed the gate, by the wall clock.
	GateAt time.Time
	// Listen is how long, from the session's start, nothing at all is written,
	// so that the answer can come. A modem that answers to nothing after that is
	// taken to be busy with the message for Until, and listened to on.
	Listen, Until time.Duration
	// Late gets the answer, should it come, and is closed when it is not waited
	// for any more. It needs room for one.
	Late chan<- Outcome
}

// Expect has the modem wait for what an earlier run did not live to hear, before
// anything is written to the port. Call it before Run.
func (m *Modem) Expect(o Owed) { m.life.owed = owed{Owed: &o} }

// owed is what Expect said. Owned by Run's goroutine.
type owed struct {
	*Owed
	listen, until time.Time
}

// forget closes the account; nobody waits any more.
func (m *Modem) forgetOwed() {
	if m.life.owed.Owed != nil {
		close(m.life.owed.Late)
		m.life.owed = owed{}
	}
}

// greet is sync, with the wait for what an earlier run is owed before it.
func (s *session) greet(ctx context.Context) error {
	m := s.m
	o := &m.life.owed
	if o.Owed == nil {
		return s.sync(ctx)
	}
	now := time.Now()
	if o.until.IsZero() { // it outlives a port that goes away
		o.listen, o.until = now.Add(o.Listen), now.Add(o.Until)
	}
	if !now.Before(o.until) {
		m.forgetOwed()
		return s.sync(ctx)
	}
	came, err := s.hearEarlier(ctx, o.listen)
	if err == nil {
		// An answer may also come while the dialogue is brought into step.
		results := s.ch.LateResult()
		err = s.sync(ctx)
		for errors.Is(err, errMute) && !came && time.Now().Before(o.until) {
			// Nobody answers who has a message in hand.
			s.err = nil
			if came, err = s.hearEarlier(ctx, o.until); err != nil {
				break
			}
			results = s.ch.LateResult()
			err = s.sync(ctx)
		}
		if !came {
			select {
			case sub, ok := <-results:
				if ok {
					s.tellEarlier(sub)
				}
			default:
			}
		}
	}
	if !errors.Is(err, at.ErrGone) && ctx.Err() == nil {
		m.forgetOwed()
	}
	return err
}

// hearEarlier listens, writing nothing, until the answer comes or time is up.
func (s *session) hearEarlier(ctx context.Context, until time.Time) (came bool, err error) {
	m := s.m
	m.update(func(n *Snapshot) { n.Earlier = true })
	defer m.update(func(n *Snapshot) { n.Earlier = false })
	m.setState(StateUnknown, "the network's answer to a message from before the restart may still come: listening for it")
	s.ch.AwaitEarlier()
	m.mu.Lock()
	m.pending = &openSend{to: destination(m.life.owed.TPDU), gateAt: m.life.owed.GateAt, mr: -1, over: make(chan struct{})}
	m.mu.Unlock()
	late := make(chan Outcome, 1)
	mr := s.listen(ctx, until, late)
	m.endSend(mr)
	if out, ok := <-late; ok {
		m.life.owed.Late <- out
		m.forgetOwed()
		came = true
	}
	return came, s.err
}

// tellEarlier passes an answer on that came between two listenings.
func (s *session) tellEarlier(sub at.Submission) {
	out := outcomeFor(s.family(), sub)
	if out.Verdict == Ambiguous {
		return
	}
	out.MR = s.m.credible(out)
	s.m.note(EntrySend, "", "the answer to a submission came late", "")
	s.m.life.owed.Late <- out
	s.m.forgetOwed()
}
