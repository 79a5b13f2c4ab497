package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// The texts of codes that are at their end: oldest first by the steady clock.
const (
	codesAny     = `SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_code WHERE class = 'otp' AND ended_at <> 0 AND text_deleted_at = 0)`
	codesUnnoted = `SELECT seq FROM message INDEXED BY message_code WHERE class = 'otp' AND ended_at <> 0 AND text_deleted_at = 0 AND ended_steady = 0 AND ?1 = 0 LIMIT ?2`
	codesAhead   = `SELECT seq FROM message INDEXED BY message_code WHERE class = 'otp' AND ended_at <> 0 AND text_deleted_at = 0 AND ended_steady > ?1 LIMIT ?2`
	codesDue     = `SELECT seq FROM message INDEXED BY message_code WHERE class = 'otp' AND ended_at <> 0 AND text_deleted_at = 0 AND ended_steady BETWEEN 1 AND ?1 ORDER BY ended_steady LIMIT ?2`
)

// keepCodes deletes the texts of codes by the steady clock: they are of use to a
// thief only, and go whether anybody knows the time of day or not. An end is noted
// in the round after it, as of the round before.
func (s *Store) keepCodes(ctx context.Context, n instant) error {
	s.mu.Lock()
	wait := s.codesAt != 0 && n.steady >= s.codesAt && n.steady-s.codesAt < keepRound.Milliseconds()
	s.mu.Unlock()
	if wait {
		return nil
	}
	var any bool
	if err := s.db.Read().QueryRowContext(ctx, codesAny).Scan(&any); err != nil {
		return fmt.Errorf("look for codes: %w", err)
	}
	if !any {
		s.codesDone(n)
		return nil
	}
	ret, err := s.Retention(ctx)
	if err != nil {
		s.log.Error("nobody can say how long what is kept; the defaults count", "error", err)
	}
	noted := max(n.steady-keepRound.Milliseconds(), 1)
	note := func(tx *sqlite.Tx, seqs []int64) error {
		for _, seq := range seqs {
			if _, err := tx.Exec(`UPDATE message SET ended_steady = ? WHERE seq = ? AND ended_at <> 0`, noted, seq); err != nil {
				return err
			}
		}
		return nil
	}
	begun := time.Now() // monotonic
	for worked := true; worked; {
		worked = false
		for _, job := range []struct {
			query string
			until int64
			do    func(tx *sqlite.Tx, seqs []int64) error
		}{
			// Ahead is what a steady clock noted that has lost its memory.
			{codesUnnoted, 0, note}, {codesAhead, n.steady, note},
			{codesDue, n.steady - ret.OTP.Body.Milliseconds(), func(tx *sqlite.Tx, seqs []int64) error { return s.blank(tx, seqs, n.now) }},
		} {
			seqs, err := s.seqs(ctx, job.query, job.until, keepBatch)
			if err == nil && len(seqs) > 0 {
				err = s.db.Write(ctx, sqlite.LaneOf(len(seqs)), sqlite.Secure(func(tx *sqlite.Tx) error { return job.do(tx, seqs) }))
				worked = true
			}
			if err != nil {
				return fmt.Errorf("delete codes: %w", err)
			}
		}
		if time.Since(begun) > keepBudget {
			return nil
		}
	}
	s.codesDone(n)
	return nil
}

func (s *Store) codesDone(n instant) {
	s.mu.Lock()
	s.codesAt = n.steady
	s.mu.Unlock()
}

const (
	// settingScrub says that the log is to be cut off: how often texts were deleted
	// since it was.
	settingScrub = "scrub_log"
	// scrubCodes lies between two cuts after codes, scrubTexts after other texts:
	// each writes 8 MiB, the reserve. scrubAgain is when one that a reader hindered
	// is tried again.
	scrubCodes = 15 * time.Minute
	scrubTexts = 24 * time.Hour
	scrubAgain = time.Minute
)

// scrub is what is known of the log's old pages, by the steady clock.
type scrub struct {
	loaded       bool
	codes, texts bool // deleted since the last cut
	last, next   int64
}

// deleted notes, with the deletion, that the log still has what was deleted.
func (s *Store) deleted(tx *sqlite.Tx, codes, texts int) error {
	if codes+texts == 0 {
		return nil
	}
	tx.AfterCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.scrub.codes, s.scrub.texts = s.scrub.codes || codes > 0, s.scrub.texts || texts > 0
	})
	_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1`, settingScrub)
	return err
}

// scrubLog cuts the write-ahead log off some time after texts were deleted: until
// it comes round by itself, which on a quiet box takes days, its old pages hold
// them. Not while there is little room: what the cut gives back to the disk is
// the reserve, and another program might take it.
func (s *Store) scrubLog(ctx context.Context, n instant) error {
	s.mu.Lock()
	w := s.scrub
	s.mu.Unlock()
	if !w.loaded {
		v, err := s.setting(ctx, settingScrub)
		if err != nil {
			return err
		}
		w.loaded, w.codes, w.last = true, v != "", n.steady-scrubCodes.Milliseconds()
		s.mu.Lock()
		s.scrub.loaded, s.scrub.codes, s.scrub.last = true, w.codes || s.scrub.codes, w.last
		s.mu.Unlock()
	}
	rest := scrubTexts
	if w.codes {
		rest = scrubCodes
	}
	if !w.codes && !w.texts || n.steady-w.last < rest.Milliseconds() && n.steady >= w.last || n.steady < w.next {
		return nil
	}
	if state := s.db.Health().State; state != sqlite.HealthOK && state != sqlite.HealthChecking {
		return nil
	}
	// What is deleted from now on may be in the log after it was cut.
	s.mu.Lock()
	w.codes, w.texts = s.scrub.codes, s.scrub.texts
	s.scrub.codes, s.scrub.texts = false, false
	s.mu.Unlock()
	noted, err := s.setting(ctx, settingScrub)
	if err == nil {
		err = s.db.ScrubLog(ctx)
	}
	s.mu.Lock()
	if err == nil {
		s.scrub.last, s.scrub.next = n.steady, 0
	} else {
		s.scrub.codes, s.scrub.texts = s.scrub.codes || w.codes, s.scrub.texts || w.texts
	}
	again := errors.Is(err, sqlite.ErrScrub) && !sqlite.OfStorage(err)
	if again {
		s.scrub.next = n.steady + scrubAgain.Milliseconds()
	}
	s.mu.Unlock()
	if again {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cut the log off: %w", err)
	}
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DELETE FROM setting WHERE key = ? AND value = ?`, settingScrub, noted)
		return err
	})
}
