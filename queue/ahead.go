package queue

import (
	"context"
	"fmt"

	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// OutcomeThen is Outcome with a line that goes on, and opens the gate of what it
// claims in the same transaction (Claimed.Attempt): one commit for a message instead
// of two. early, when it is not nil, is told of it as soon as the transaction has it,
// on the writer's goroutine and before anything is durable: the modem may be asked for
// its prompt meanwhile, which ESC takes back. The TPDU and Ctrl-Z may leave only when
// OutcomeThen has returned the same attempt of the same message. early may be told of
// what does not come to be, and more than once: a transaction can be tried again.
func (s *Store) OutcomeThen(ctx context.Context, id int64, o Outcome, next Line, early func(Claimed)) (*Claimed, error) {
	if o.At.IsZero() {
		o.At = s.clock.Now()
	}
	var c *Claimed
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		c = nil
		if err := s.answered(tx, id, o); err != nil {
			return err
		}
		if c, err = s.claimOpen(tx, next); err != nil {
			return err
		}
		if err := failpoint.Err(failpoint.OutcomeBefore); err != nil {
			return err
		}
		if c != nil && c.Attempt != 0 {
			if err := failpoint.Err(failpoint.GateBefore); err != nil {
				return err
			}
			if early != nil {
				early(*c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("commit outcome: %w", err)
	}
	failpoint.Hit(failpoint.OutcomeCommitted)
	if c != nil && c.Attempt != 0 {
		failpoint.Hit(failpoint.GateCommitted)
	}
	s.metrics.attempt(o.Verdict)
	return c, nil
}

// claimOpen claims a message and opens its gate. What the gate refuses is claimed all
// the same, as if it had not been tried: the line opens it in its turn and learns why.
func (s *Store) claimOpen(tx *sqlite.Tx, l Line) (c *Claimed, err error) {
	err = tx.Try(func() (err error) {
		if c, err = s.claim(tx, l); c == nil || err != nil {
			return err
		}
		// What was read and checked in this very transaction needs no second look.
		c.Attempt, err = s.gate(tx, c.Line, c.Message.Seq, c.Message.Segments[c.Next].N)
		return err
	})
	if err == nil || sqlite.OfStorage(err) {
		return c, err
	}
	c = nil
	err = s.aside(tx, "claim the next message", func() (err error) { c, err = s.claim(tx, l); return err })
	return c, err
}
