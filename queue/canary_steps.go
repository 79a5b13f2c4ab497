package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"recado/queue/sqlite"
)

// flock are the messages of the canaries that have not ended, so that the many
// others cost nothing, and who is told of them.
type flock struct {
	mu   sync.Mutex
	seqs []int64
	tell atomic.Pointer[func()]
}

func (f *flock) add(seq int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.seqs, seq) {
		f.seqs = append(f.seqs, seq)
	}
	if len(f.seqs) > 256 { // they have long ended
		f.seqs = slices.Delete(f.seqs, 0, 128)
	}
}

func (f *flock) has(seq int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.seqs, seq)
}

// OnCanary sets the function called after each commit that changed a canary. It
// is called on the writer's goroutine and must not block.
func (s *Store) OnCanary(f func()) { s.canaries.tell.Store(&f) }

// canaried is called after commits.
func (s *Store) canaried() {
	if f := s.canaries.tell.Load(); f != nil {
		(*f)()
	}
	s.changed()
}

// loadCanaries finds those that the last run left.
func (s *Store) loadCanaries(ctx context.Context) error {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT m.seq FROM canary c JOIN message m ON m.id = c.message WHERE c.ended_at = 0`)
	if err != nil {
		return fmt.Errorf("read canaries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return fmt.Errorf("read canaries: %w", err)
		}
		s.canaries.add(seq)
	}
	return rows.Err()
}

// canaryStep notes, with the change of a canary's message, when the network had
// accepted it and when its report came.
func (s *Store) canaryStep(tx *sqlite.Tx, r *record) error {
	if !s.canaries.has(r.Seq) {
		return nil
	}
	accepted := r.left() > 0
	reported := slices.ContainsFunc(r.Segments, func(g Segment) bool { return !g.ReportAt.IsZero() })
	if _, err := tx.Exec(`UPDATE canary SET
			submitted_at = CASE WHEN submitted_at = 0 AND ?1 THEN ?3 ELSE submitted_at END,
			reported_at = CASE WHEN reported_at = 0 AND ?2 THEN ?3 ELSE reported_at END,
			state = CASE WHEN state = 'waiting' AND ?1 THEN 'out' ELSE state END
		WHERE message = ?4 AND (submitted_at = 0 OR reported_at = 0)`, accepted, reported, s.instant().steady, r.ID); err != nil {
		return fmt.Errorf("note a canary's step: %w", err)
	}
	tx.AfterCommit(s.canaried)
	return nil
}

// CanaryArrived notes in the caller's transaction that a text with a canary's
// token came in on a SIM. false: it is none that this box sent, or not its text
// that came but somebody's who quotes it: a message like any other.
func (s *Store) CanaryArrived(tx *sqlite.Tx, iccid, text string) (bool, error) {
	token := CanaryOf(text)
	if token == "" {
		return false, nil
	}
	var id, arrived int64
	var to string
	var state CanaryState
	err := tx.QueryRow(`SELECT id, to_iccid, state, arrived_at FROM canary WHERE token = ?`, token).Scan(&id, &to, &state, &arrived)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look a canary up: %w", err)
	}
	now := s.instant().steady
	switch {
	case iccid != to && text != canaryText(token):
		return false, nil
	case arrived > 0: // twice
		return true, nil
	case iccid != to:
		_, err = tx.Exec(`UPDATE canary SET state = 'void', detail = ?, ended_at = ? WHERE id = ? AND state <> 'arrived'`, CanaryOtherSIM+":"+iccid, now, id)
	default:
		late := ""
		if state == CanaryMissed || state == CanaryVoid {
			late = CanaryLate
		}
		_, err = tx.Exec(`UPDATE canary SET state = 'arrived', detail = ?, arrived_at = ?, ended_at = ? WHERE id = ?`, late, now, now, id)
	}
	if err == nil && iccid == to {
		err = provenNumber(tx, iccid, id)
	}
	if err != nil {
		return false, fmt.Errorf("note a canary's arrival: %w", err)
	}
	tx.AfterCommit(s.canaried)
	return true, nil
}

// ClaimCanary reserves a canary's message for its SIM's line, though that is in
// quarantine and claims nothing else. nil, nil: it is not there to be claimed.
func (s *Store) ClaimCanary(ctx context.Context, l Line, message string) (*Claimed, error) {
	if l.ICCID == "" {
		return nil, errors.New("the line has no SIM")
	}
	var c *Claimed
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		c = nil
		if s.holding.Load() {
			return nil
		}
		var seq int64
		err := tx.QueryRow(`UPDATE message SET claimed_by = ?1, claims = claims + 1
			WHERE id = ?2 AND sim = ?1 AND state = 'queued' AND claimed_by = '' AND not_before = 0 AND (expires_at > ?3 OR clock_doubt = 1)
			RETURNING seq`, l.ICCID, message, s.trusted()).Scan(&seq)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := load(tx, seq)
		if err != nil {
			return err
		}
		if what := r.look(); what != "" {
			return s.corrupt(tx, r, what)
		}
		l.Offer, l.why = nil, WhyPinned
		c = &Claimed{Message: r.Message, Line: l, Next: r.next() - 1, Why: l.why}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim a canary: %w", err)
	}
	return c, nil
}
