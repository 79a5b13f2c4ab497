package modem

import (
	"context"
	"errors"
	"time"

	"recado/modem/at"
)

const (
	// ackWithin is how soon AT+CNMA must follow a +CMT or +CDS: TR2M of TS 24.011
	// 10 is 12 to 20 s. After that the network sends it again, and many modems
	// have set <mt> and <ds> of AT+CNMI to 0 (TS 27.005 3.4.4).
	ackWithin = 12 * time.Second
	// ackPatience is how long a submission waits for the sink to have what is to
	// be acknowledged.
	ackPatience = 10 * time.Second
)

// owe notes that the network waits for AT+CNMA. Called by the channel's
// goroutine.
func (s *session) owe() {
	if s.owed.Add(1) == 1 {
		s.owedAt.Store(time.Now().UnixNano())
	}
}

// ackFirst sees to it that no submission begins while an acknowledgement is
// owed: it would hold the port longer than the network waits. It gives the sink
// some time to have what is to be acknowledged.
func (s *session) ackFirst(ctx context.Context) {
	if s.owed.Load() == 0 || s.acking {
		return
	}
	t := time.NewTimer(ackPatience)
	defer t.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for s.err == nil && s.owed.Load() > 0 {
		if s.ackKept(ctx) {
			continue
		}
		select {
		case <-look.C:
		case <-t.C:
			s.m.log.Warn("what came could not be stored in time to acknowledge it: the network will send it again")
			s.owed.Store(0)
		case <-s.ch.Gone():
			s.err = at.ErrGone
		case <-ctx.Done():
			s.err = ctx.Err()
		}
	}
}

// ackKept acknowledges what the sink has by now, before anything else is asked
// of the modem; false when there is nothing to acknowledge.
func (s *session) ackKept(ctx context.Context) bool {
	if s.acking || s.owed.Load() == 0 && s.acks == 0 {
		return false
	}
	s.heardKept()
	if s.acks == 0 {
		return false
	}
	s.sendAcks(ctx)
	return true
}

// heardKept hears from the keeper alone, in the middle of something.
func (s *session) heardKept() {
	m := s.m
	m.mu.Lock()
	kepts := m.kept
	m.kept = nil
	m.mu.Unlock()
	for _, k := range kepts {
		if k.from == s {
			s.wasKept(k)
		}
	}
}

// sendAcks acknowledges what came directly, after it was stored.
func (s *session) sendAcks(ctx context.Context) {
	if s.acking {
		return
	}
	s.acking = true
	defer func() { s.acking = false }()
	for s.acks > 0 && s.err == nil {
		s.acks--
		if s.owed.Add(-1) < 0 {
			s.owed.Store(0)
		}
		late := time.Since(time.Unix(0, s.owedAt.Load())) > ackWithin
		_, err := s.ask(ctx, s.family().Ack, confirmAnswer)
		e, refused := errors.AsType[at.CMSError](err)
		switch {
		case err == nil && !late:
		case refused && e == 340 && !late:
			s.ack.Store(false) // none was expected: it acknowledges by itself
			s.acks = 0
			s.owed.Store(0)
		case s.err == nil:
			// The network has given up on it, and the modem may have on us.
			s.m.note(EntryStorage, "", "an acknowledgement to the network came too late, or was refused: AT+CNMI is looked at", "")
			s.want(s.checkSettings, 0)
			s.want(s.sweepHere, 0)
		}
	}
	if s.owed.Load() > 0 {
		s.owedAt.Store(time.Now().UnixNano()) // the next came after the last was acknowledged
	}
}
