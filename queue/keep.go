package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// keepRound is how often it is looked for what has been kept long enough.
	keepRound = 5 * time.Second
	// keepBudget is what one Wake spends on it, keepSlice one transaction: a
	// modem's gate waits no longer.
	keepBudget = 200 * time.Millisecond
	keepSlice  = 5 * time.Millisecond
	keepBatch  = 200
)

// What is due, oldest first: a seek in an index of its own, whatever the table
// holds.
const (
	dueUnstamped = `SELECT seq FROM message INDEXED BY message_unstamped WHERE ended_at = -1 ORDER BY seq LIMIT ?1`
	dueBody      = `SELECT seq FROM message INDEXED BY message_body WHERE class = ?1 AND ended_at > 0 AND ended_at <= ?2 AND text_deleted_at = 0 ORDER BY ended_at LIMIT ?3`
	dueMetadata  = `SELECT seq FROM message INDEXED BY message_meta WHERE class = ?1 AND ended_at > 0 AND ended_at <= ?2 AND text_deleted_at > 0 ORDER BY ended_at LIMIT ?3`
)

// keep deletes what has been kept long enough: texts, then messages. A part of
// it, when there is much: the next call goes on where it was. Nothing while the
// clock is not trusted, or has just leapt: a wrong one must not delete; but codes,
// whose minutes the steady clock counts too.
func (s *Store) keep(ctx context.Context, n instant) error {
	// What hinders one of them hinders no other.
	err := s.sweep(ctx, sweepPace)
	if err != nil {
		err = fmt.Errorf("look for damage: %w", err)
	}
	return errors.Join(err, s.keepCodes(ctx, n), s.scrubLog(ctx, n), s.keepAged(ctx, n.now))
}

// keepAged deletes what is old by the time of day.
func (s *Store) keepAged(ctx context.Context, now time.Time) error {
	if !Settled(s.clock) {
		return nil
	}
	s.mu.Lock()
	wait := !s.keptAt.IsZero() && now.Sub(s.keptAt) < keepRound && !now.Before(s.keptAt)
	s.mu.Unlock()
	if wait {
		return nil
	}
	ret, err := s.Retention(ctx)
	if err != nil {
		s.log.Error("nobody can say how long what is kept; the defaults count", "error", err)
	}
	done, err := s.keepFor(ctx, ret, now, keepBudget)
	if err != nil {
		return fmt.Errorf("delete what was kept long enough: %w", err)
	}
	if done {
		s.mu.Lock()
		s.keptAt = now
		s.mu.Unlock()
	}
	return nil
}

// Settled says whether what is old by c may be deleted for its age: c is trusted,
// and, when it knows that, has not just leapt forward.
func Settled(c Clock) bool {
	if k, ok := c.(interface{ Settled() bool }); ok {
		return k.Settled()
	}
	return c.Trusted()
}

// keepFor works for about a span of time; done: nothing is left that is due.
func (s *Store) keepFor(ctx context.Context, ret Retention, now time.Time, span time.Duration) (done bool, err error) {
	begun := time.Now() // monotonic
	for {
		worked := false
		for _, c := range []Class{OTP, Alert, Normal, Bulk} {
			k := ret.Of(c)
			for _, job := range []struct {
				due    string
				old    time.Duration
				secure bool
				do     func(tx *sqlite.Tx, seqs []int64, now time.Time) error
			}{{dueBody, k.Body, true, s.blank}, {dueMetadata, k.Metadata, false, s.drop}} {
				seqs, err := s.seqs(ctx, job.due, string(c), ms(now.Add(-job.old)), keepBatch)
				if err != nil {
					return false, err
				}
				if len(seqs) == 0 {
					continue
				}
				worked = true
				// Overwriting costs next to nothing for texts, which lie inside pages
				// that are written anyway; only long ones give pages back. Whole rows
				// give back many, and have no text any more.
				write := func(tx *sqlite.Tx) error { return job.do(tx, seqs, now) }
				if job.secure {
					write = sqlite.Secure(write)
				}
				if err := s.db.Write(ctx, sqlite.LaneOf(len(seqs)), write); err != nil {
					return false, err
				}
			}
		}
		stamped, err := s.stamp(ctx, now)
		if err != nil {
			return false, err
		}
		if !worked && !stamped {
			return true, nil
		}
		if time.Since(begun) > span {
			return false, nil
		}
	}
}

// stamp begins the keeping of what ended while nobody could say when.
func (s *Store) stamp(ctx context.Context, now time.Time) (bool, error) {
	seqs, err := s.seqs(ctx, dueUnstamped, keepBatch)
	if err != nil || len(seqs) == 0 {
		return false, err
	}
	return true, s.db.Write(ctx, sqlite.LaneOf(len(seqs)), func(tx *sqlite.Tx) error {
		begun := time.Now()
		for _, seq := range seqs {
			if _, err := tx.Exec(`UPDATE message SET ended_at = ? WHERE seq = ? AND ended_at = -1`, ms(now), seq); err != nil {
				return err
			}
			if time.Since(begun) > keepSlice {
				break
			}
		}
		return nil
	})
}

func (s *Store) seqs(ctx context.Context, query string, args ...any) (list []int64, err error) {
	rows, err := s.db.Read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		list = append(list, seq)
	}
	return list, rows.Err()
}

// blank deletes messages' texts and every copy of them: TPDUs, reports' octets,
// kept answers, the conversation's line. Only of those that are still at their
// end; as many as a slice of time allows.
func (s *Store) blank(tx *sqlite.Tx, seqs []int64, now time.Time) error {
	begun := time.Now()
	answers := map[answerKey][]string{}
	blanked, codes := 0, 0
	for _, seq := range seqs {
		// A damaged row does not become a right one by this.
		var id, to, class string
		err := tx.QueryRow(`UPDATE message SET text = '', text_deleted_at = ?2,
				crc = CASE WHEN crc = crc32c(seq, id, recipient, class, text) THEN crc32c(seq, id, recipient, class, '') ELSE -1 END
			WHERE seq = ?1 AND ended_at <> 0 AND text_deleted_at = 0
			AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = message.seq AND a.phase = 'prepared')
			RETURNING id, recipient, class`, seq, max(ms(now), 1)).Scan(&id, &to, &class)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete a text: %w", err)
		}
		if _, err := tx.Exec(`UPDATE segment SET tpdu = x'', crc = crc32c(message, n, x'') WHERE message = ?`, seq); err != nil {
			return fmt.Errorf("delete a text: %w", err)
		}
		if _, err := tx.Exec(`UPDATE report SET raw = x'' WHERE message = ?`, seq); err != nil {
			return fmt.Errorf("delete a text: %w", err)
		}
		if _, err := tx.Exec(`UPDATE conversation SET last_text = '' WHERE number = ?1 AND last_out = 1
			AND NOT EXISTS (SELECT 1 FROM message m WHERE m.recipient = ?1 AND m.seq > ?2)`, to, seq); err != nil {
			return fmt.Errorf("delete a text: %w", err)
		}
		key, err := answerOf(tx, seq)
		if err != nil {
			return err
		}
		if key != (answerKey{}) {
			answers[key] = append(answers[key], id)
		}
		if blanked++; class == string(OTP) {
			codes++
		}
		if time.Since(begun) > keepSlice {
			break
		}
	}
	if err := s.deleted(tx, codes, blanked-codes); err != nil {
		return err
	}
	for key, ids := range answers {
		if err := key.edit(tx, func(v any) any { return withoutTexts(v, ids, now) }); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() { s.metrics.blanked.WithLabelValues("text").Add(float64(blanked)) })
	return nil
}

// drop deletes messages with everything that names them.
func (s *Store) drop(tx *sqlite.Tx, seqs []int64, _ time.Time) error {
	begun := time.Now()
	if err := RaiseFloors(tx); err != nil {
		return err
	}
	dropped := 0
	for _, seq := range seqs {
		var to string
		err := tx.QueryRow(`DELETE FROM message WHERE seq = ? AND ended_at > 0 AND text_deleted_at > 0 RETURNING recipient`, seq).Scan(&to)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete a message: %w", err)
		}
		for _, q := range []string{
			`DELETE FROM concat_ref WHERE recipient = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE recipient = ?1)`,
			`DELETE FROM conversation WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM inbound WHERE sender = ?1) AND NOT EXISTS (SELECT 1 FROM message WHERE recipient = ?1)`,
		} {
			if _, err := tx.Exec(q, to); err != nil {
				return fmt.Errorf("delete what named a message: %w", err)
			}
		}
		if _, err := tx.Exec(`DELETE FROM damaged WHERE kind = 'message' AND seq = ?`, seq); err != nil {
			return fmt.Errorf("delete what named a message: %w", err)
		}
		dropped++
		if time.Since(begun) > keepSlice {
			break
		}
	}
	tx.AfterCommit(func() { s.metrics.blanked.WithLabelValues("message").Add(float64(dropped)) })
	return nil
}

// RaiseFloors keeps the numbers of rows that are about to be deleted from being
// given again: a line may still wait for the answer to an attempt of that number.
func RaiseFloors(tx *sqlite.Tx) error {
	for _, q := range []string{
		`UPDATE floor SET value = max(value, coalesce((SELECT max(seq) FROM message), 0)) WHERE name = 'message'`,
		`UPDATE floor SET value = max(value, coalesce((SELECT max(id) FROM attempt), 0), coalesce((SELECT max(attempt) FROM usage), 0)) WHERE name = 'attempt'`,
		`UPDATE floor SET value = max(value, coalesce((SELECT max(seq) FROM inbound), 0)) WHERE name = 'inbound'`,
	} {
		if _, err := tx.Exec(q); err != nil {
			return fmt.Errorf("keep the numbers of deleted rows: %w", err)
		}
	}
	return nil
}
