package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// claimSQL reserves the first message that a SIM may send: of its own (sim =
// ICCID) and of anybody's (sim = ”), each read from the front of the same
// partial index, so that its cost does not grow with the queue. ?1 ICCID, ?2
// now, 0 while the clock is untrusted.
const claimSQL = `
UPDATE message SET claimed_by = ?1, claims = claims + 1 WHERE seq = (
  SELECT seq FROM (
    SELECT * FROM (
      SELECT lane, seq FROM message
      WHERE sim = ?1 AND state IN ('queued','sending') AND claimed_by = '' AND not_before = 0 AND (expires_at > ?2 OR clock_doubt = 1)
      ORDER BY lane, seq LIMIT 1)
    UNION ALL
    SELECT * FROM (
      SELECT lane, seq FROM message
      WHERE sim = '' AND state IN ('queued','sending') AND claimed_by = '' AND not_before = 0 AND (expires_at > ?2 OR clock_doubt = 1)
        AND avoid_sim <> ?1
      ORDER BY lane, seq LIMIT 1))
  ORDER BY lane, seq LIMIT 1)
RETURNING seq`

// Claim reserves the next message for a line: of the best lane the one that
// was accepted first. nil, nil: there is none for this SIM.
func (s *Store) Claim(ctx context.Context, l Line) (*Claimed, error) {
	var c *Claimed
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		c, err = s.claim(tx, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return c, nil
}

func (s *Store) claim(tx *sqlite.Tx, l Line) (*Claimed, error) {
	if l.ICCID == "" {
		return nil, errors.New("the line has no SIM")
	}
	if s.holding.Load() {
		return nil, nil
	}
	var last int64
	for range mostDamaged {
		var seq int64
		err := tx.QueryRow(claimSQL, l.ICCID, s.trusted()).Scan(&seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if seq == last { // the index shows what the table does not have
			s.log.Error("the index of waiting messages does not fit its table; it is built anew")
			_, err := tx.Exec(`REINDEX message_ready`)
			tx.AfterCommit(s.readied)
			return nil, err
		}
		last = seq
		r, err := load(tx, seq)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		what := r.look()
		if what == "" {
			return &Claimed{Message: r.Message, Line: l, Next: r.next() - 1}, nil
		}
		if err := s.corrupt(tx, r, what); err != nil {
			return nil, err
		}
	}
	tx.AfterCommit(s.readied) // a line comes back for the rest
	return nil, nil
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
		r.Failures++
	}
	r.back(after)
	if o.AvoidSIM && r.SIM == "" {
		r.avoidSIM, r.avoidUntil = iccid, ms(when.Add(o.After).Add(avoidFor))
	}
	return nil
}
