package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// Claim reserves the next message for a line: of the best lane that its SIM has
// room for the one that was accepted first. nil, nil: there is none for this SIM.
func (s *Store) Claim(ctx context.Context, l Line) (*Claimed, error) {
	c, _, err := s.ClaimFor(ctx, []Line{l}, nil)
	return c, err
}

// ClaimFor reserves the best message of what the lines may take: of the best lane
// the one that was accepted first. Of anybody's message choose picks among the
// lines that may send it (who: indexes of lines) and says why; below 0: none of
// them now. who is whose it is. nil: there is nothing for any of them. choose may
// be called more than once, and may be nil: the first that may.
func (s *Store) ClaimFor(ctx context.Context, lines []Line, choose func(h Head, who []int) (i int, why string)) (c *Claimed, who int, err error) {
	err = s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		c, who, err = s.claimFor(tx, lines, choose)
		return err
	})
	if err != nil {
		return nil, -1, fmt.Errorf("claim: %w", err)
	}
	return c, who, nil
}

func (s *Store) claim(tx *sqlite.Tx, l Line) (*Claimed, error) {
	c, _, err := s.claimFor(tx, []Line{l}, nil)
	return c, err
}

const claimSQL = `UPDATE message SET claimed_by = ?, claims = claims + 1 WHERE seq = ? AND ` + ready

func (s *Store) claimFor(tx *sqlite.Tx, lines []Line, choose func(Head, []int) (int, string)) (*Claimed, int, error) {
	if s.holding.Load() {
		return nil, -1, nil
	}
	for range mostDamaged {
		h, who, why, err := s.pick(tx, lines, choose)
		if err != nil || h == nil {
			return nil, -1, err
		}
		l := lines[who]
		res, err := tx.Exec(claimSQL, l.ICCID, h.seq)
		if err != nil {
			return nil, -1, err
		}
		if n, err := res.RowsAffected(); err != nil {
			return nil, -1, err
		} else if n == 0 { // the index shows what the table does not have
			return nil, -1, s.reindex(tx)
		}
		r, err := load(tx, h.seq)
		if err != nil {
			return nil, -1, err
		}
		if what := r.look(); what != "" {
			if err := s.corrupt(tx, r, what); err != nil {
				return nil, -1, err
			}
			continue
		}
		if aside, err := s.setAside(tx, r, l, h.lane); err != nil {
			return nil, -1, err
		} else if aside {
			continue
		}
		if moved, err := s.misplaced(tx, r); err != nil {
			return nil, -1, err
		} else if moved {
			continue
		}
		l.Offer, l.why = nil, cmp.Or(r.whose(), why)
		return &Claimed{Message: r.Message, Line: l, Next: r.next() - 1, Why: l.why}, who, nil
	}
	tx.AfterCommit(s.readied) // a line comes back for the rest
	return nil, -1, nil
}

func (s *Store) reindex(tx *sqlite.Tx) error {
	s.log.Error("the index of waiting messages does not fit its table; it is built anew")
	_, err := tx.Exec(`REINDEX message_ready`)
	tx.AfterCommit(s.readied)
	return err
}

// mostDamaged messages are ended in one claim, so that it stays short.
const mostDamaged = 32

// trusted is now in the schema's milliseconds, 0 while the clock cannot be
// trusted: then nothing expires.
func (s *Store) trusted() int64 {
	n := s.instant()
	if !n.trusted {
		return 0
	}
	return ms(n.now)
}

// Unclaim gives a message back before its gate: nothing of this claim was
// sent. o says what hindered it and when it may be tried again; with a Reason
// and without Retry the message fails. It does nothing when the line no longer
// has the message.
func (s *Store) Unclaim(ctx context.Context, iccid string, seq int64, o Outcome) error {
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		r, err := load(tx, seq)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.claimedBy != iccid || r.open() {
			return nil
		}
		if !r.has(r.next()) {
			return s.corrupt(tx, r, r.look())
		}
		if err := s.refused(tx, r, o, iccid, r.next()); err != nil {
			return err
		}
		return s.save(tx, r)
	})
	if err != nil {
		return fmt.Errorf("give message back: %w", err)
	}
	return nil
}

// refused puts a message back, or fails it, after a try that certainly sent
// nothing. n is the segment that was tried. When an earlier try may have
// arrived, it is uncertain instead of failed.
func (s *Store) refused(tx *sqlite.Tx, r *record, o Outcome, iccid string, n int) error {
	if o.Code != "" {
		if r.Error == nil || r.Error.Code != o.Code {
			r.Failures = 0
		}
		r.Error = &Error{Code: o.Code, Class: o.Class, Detail: o.Detail}
	}
	if o.Retry && o.Degrade != "" {
		done, err := s.degrade(tx, r, o.Degrade)
		if err != nil {
			return err
		}
		if !done {
			o.Retry, o.Reason = false, ReasonRejected
		}
	}
	if !o.Retry && (o.Verdict == Rejected || o.Reason != "") {
		r.segment(n).State = SegmentFailed
		if open, err := s.leaveOpen(tx, r, "it cannot be sent again, and an earlier try may have arrived"); open || err != nil {
			return err
		}
		r.State, r.Reason = Failed, o.Reason
		if r.Reason == "" {
			r.Reason = ReasonRejected
		}
		if left := r.left(); left > 0 && r.Error != nil {
			r.Error.Detail = fmt.Sprintf("%s (%d of %d segments had been sent)", r.Error.Detail, left, len(r.Segments))
		}
		return nil
	}
	if g := r.segment(n); g.State == SegmentSending || g.State == SegmentUncertain {
		g.State = SegmentPending
	}
	when := s.steadyAt(o.At)
	var after time.Time
	if o.After > 0 {
		after = when.Add(o.After)
	}
	if o.After > 0 || o.AvoidSIM || o.Degrade != "" {
		if r.Preferred {
			r.letGo()
		}
		r.Failures++
	}
	r.back(after)
	if o.AvoidSIM && r.SIM == "" {
		r.avoidSIM, r.avoidUntil = iccid, ms(when.Add(o.After).Add(avoidFor))
	}
	return nil
}
