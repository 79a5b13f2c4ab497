package queue

import (
	"context"
	"fmt"

	"recado/queue/sqlite"
)

// boundTo lists the long messages that wait for a SIM and may go whole on
// another.
const boundTo = `SELECT seq FROM message INDEXED BY message_bound
	WHERE sim = ? AND segments > 1 AND delivery = 'at_least_once' AND state IN ('queued','sending') AND wish <> sim AND prefer_until = 0
		AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = message.seq AND a.phase = 'prepared')
	ORDER BY seq LIMIT ?`

// SIMGone says that a SIM has been away for five minutes. What is at_least_once
// and was bound to it, because a segment has left there or may have, is freed:
// the whole message goes again, with a new concatenation reference, on any SIM,
// and is flagged (reliability §2.5). What was asked to leave on this very SIM
// waits for it, as does what is bounded or at_most_once. Call it every minute as
// long as the SIM is away: a lost answer's window may still run the first time.
func (s *Store) SIMGone(ctx context.Context, iccid string) error {
	for {
		seqs, err := s.bound(ctx, iccid)
		if err != nil {
			return fmt.Errorf("look for what waits for the SIM: %w", err)
		}
		if len(seqs) == 0 {
			return nil
		}
		moved := 0
		err = s.db.Write(ctx, sqlite.LaneOf(len(seqs)), func(tx *sqlite.Tx) error {
			moved = 0
			for _, seq := range seqs {
				ok := false
				err := tx.Try(func() (err error) {
					ok, err = s.move(tx, seq, iccid)
					return err
				})
				if err != nil && !sqlite.OfStorage(err) {
					ok, err = true, s.spoil(tx, seq, err) // it waits for no SIM any more
				}
				if err != nil {
					return err
				}
				if ok {
					moved++
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("free what waits for the SIM: %w", err)
		}
		if moved > 0 {
			s.log.Warn("a SIM is gone; the long messages that were bound to it go whole on others", "sim", iccid, "messages", moved)
		}
		if moved == 0 || len(seqs) < wakeBatch {
			return nil
		}
	}
}

func (s *Store) bound(ctx context.Context, iccid string) ([]int64, error) {
	return s.seqs(ctx, boundTo, iccid, wakeBatch)
}

// move makes a message whole again: a new edition of its segments, none of
// which has been sent.
func (s *Store) move(tx *sqlite.Tx, seq int64, iccid string) (bool, error) {
	r, err := load(tx, seq)
	if err != nil {
		return false, err
	}
	if r.SIM != iccid || r.wish == iccid || r.open() || !r.bound() || r.State != Queued && r.State != Sending {
		return false, nil // it has changed since
	}
	if r.Damaged && r.TextDeletedAt.IsZero() {
		return false, errTorn
	}
	if done, err := s.renew(tx, r, r.options()); err != nil || !done {
		if err == nil {
			s.log.Error("a long message cannot be encoded anew; it waits for its SIM", "message", seq, "sim", iccid)
		}
		return false, err
	}
	r.PossibleDuplicate = true
	r.back(at(r.notBefore))
	if err := s.note(tx, seq, "retry", "its SIM is gone; the whole message goes again on another, and may arrive twice"); err != nil {
		return false, err
	}
	return true, s.save(tx, r)
}

// answeredBefore is the late answer of an attempt of an earlier edition: it is
// kept, and changes nothing of the segments that are sent instead.
func (s *Store) answeredBefore(tx *sqlite.Tx, r *record, a attempt, o Outcome) error {
	name := verdictNames[o.Verdict]
	if o.Verdict == Accepted {
		var err error
		if name, err = acceptedName(tx, a); err != nil {
			return err
		}
		if err := s.countSegment(tx, a.iccid, nil); err != nil {
			return err
		}
	} else {
		r.lost--
		r.lostBefore--
	}
	if err := a.close(tx, name, o); err != nil {
		return err
	}
	return s.save(tx, r)
}
