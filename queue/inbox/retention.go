package inbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

const (
	// keepBudget is what one Tick spends on what has been kept long enough,
	// keepSlice one transaction: a modem's gate waits no longer.
	keepBudget = 500 * time.Millisecond
	keepSlice  = 5 * time.Millisecond
	keepBatch  = 200
	// keepHash is how long the hash of what was received outlives its message,
	// counted from when it was last seen on a SIM: longer than the same octets
	// are the same message (queue.StampWithin).
	keepHash = 2 * queue.StampWithin
	// keepEvents: older ones are deleted anyway.
	keepEvents = 7 * 24 * time.Hour
	// sweepSpan rows are looked at for damage at each Tick.
	sweepSpan = 2000
)

// What is due, oldest first, each by a seek in an index of its own. A message
// that waits for segments is not at its end.
const (
	dueUnstamped    = `SELECT seq FROM inbound INDEXED BY inbound_unstamped WHERE aged = -1 AND ?1 = ?1 ORDER BY seq LIMIT ?2`
	dueRawUnstamped = `SELECT id FROM inbound_raw INDEXED BY inbound_raw_unstamped WHERE aged = -1 AND ?1 = ?1 ORDER BY id LIMIT ?2`
	dueBody         = `SELECT seq FROM inbound INDEXED BY inbound_body WHERE aged > 0 AND aged <= ?1 AND text_deleted_at = 0 AND open = 0 ORDER BY aged LIMIT ?2`
	dueMetadata     = `SELECT seq FROM inbound INDEXED BY inbound_meta WHERE aged > 0 AND aged <= ?1 AND text_deleted_at > 0 ORDER BY aged LIMIT ?2`
	dueRaw          = `SELECT id FROM inbound_raw INDEXED BY inbound_raw_body WHERE aged > 0 AND aged <= ?1 AND blanked_at = 0 AND inbound IS NULL ORDER BY aged LIMIT ?2`
	dueHash         = `SELECT id FROM inbound_raw INDEXED BY inbound_raw_meta WHERE aged > 0 AND aged <= ?1 AND blanked_at > 0 AND inbound IS NULL AND seen_at <= ?3 ORDER BY aged LIMIT ?2`
)

// keeping is how far the rounds of Tick have come.
type keeping struct {
	events int64 // event.seq: up to it the texts are deleted
	swept  int64 // inbound.seq: up to it this round has looked for damage
}

// keep deletes what has been kept long enough, a part of it when there is much,
// and looks at a few rows for damage. Nothing is deleted while the clock is not
// trusted, or has just leapt.
func (s *Store) keep(ctx context.Context, now time.Time) error {
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("look for damage: %w", err)
	}
	if !queue.Settled(s.clock) {
		return nil
	}
	ret, err := s.queue.Retention(ctx)
	if err != nil {
		s.log.Error("nobody can say how long what is kept; the defaults count", "error", err)
	}
	if err := s.keepFor(ctx, ret.Inbound, now, keepBudget); err != nil {
		return fmt.Errorf("delete what was kept long enough: %w", err)
	}
	return nil
}

func (s *Store) keepFor(ctx context.Context, k queue.Keep, now time.Time, span time.Duration) error {
	begun := time.Now() // monotonic
	body, meta := ms(now.Add(-k.Body)), ms(now.Add(-k.Metadata))
	for {
		worked := false
		for _, job := range []struct {
			due    string
			args   []any
			secure bool
			do     func(tx *sqlite.Tx, n int64, now time.Time) error
		}{
			{dueUnstamped, []any{0, keepBatch}, false, stampMessage}, {dueRawUnstamped, []any{0, keepBatch}, false, stampRaw},
			{dueBody, []any{body, keepBatch}, true, s.blank}, {dueMetadata, []any{meta, keepBatch}, false, s.drop},
			{dueRaw, []any{body, keepBatch}, true, s.blankRaw}, {dueHash, []any{meta, keepBatch, ms(now.Add(-keepHash))}, false, s.dropRaw},
		} {
			list, err := numbersOf(ctx, s.db.Read(), job.due, job.args...)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				continue
			}
			worked = true
			write := func(tx *sqlite.Tx) error {
				slice := time.Now()
				for _, n := range list {
					if err := job.do(tx, n, now); err != nil {
						return err
					}
					if time.Since(slice) > keepSlice {
						break
					}
				}
				return nil
			}
			if job.secure {
				write = sqlite.Secure(write)
			}
			if err := s.db.Write(ctx, sqlite.LaneOf(len(list)), write); err != nil {
				return err
			}
		}
		if k.Body < keepEvents {
			more, err := s.blankEvents(ctx, body, now)
			if err != nil {
				return err
			}
			worked = worked || more
		}
		if !worked || time.Since(begun) > span {
			return nil
		}
	}
}

// numbersOf is the first column of a query.
func numbersOf(ctx context.Context, db *sql.DB, query string, args ...any) (list []int64, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// stampMessage begins the keeping of what came while the time was not known.
func stampMessage(tx *sqlite.Tx, seq int64, now time.Time) error {
	_, err := tx.Exec(`UPDATE inbound SET aged = ? WHERE seq = ? AND aged = -1`, ms(now), seq)
	return err
}

func stampRaw(tx *sqlite.Tx, id int64, now time.Time) error {
	_, err := tx.Exec(`UPDATE inbound_raw SET aged = ? WHERE id = ? AND aged = -1`, ms(now), id)
	return err
}

// blank deletes a message's text and every copy of it. No segment joins it any
// more; the same octets are still known.
func (s *Store) blank(tx *sqlite.Tx, seq int64, now time.Time) error {
	var from string
	err := tx.QueryRow(`UPDATE inbound SET text = '', text_deleted_at = ?2, shut = 1,
			crc = CASE WHEN crc = crc32c(id, sender, text) THEN crc32c(id, sender, '') ELSE -1 END
		WHERE seq = ?1 AND text_deleted_at = 0 AND open = 0 RETURNING sender`, seq, ms(now)).Scan(&from)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE inbound_segment SET udh = NULL, data = NULL, hash = x'' WHERE inbound = ?`, seq); err != nil {
		return err
	}
	raws, err := rawsOf(tx, seq)
	if err != nil {
		return err
	}
	for _, id := range raws {
		if err := s.blankRaw(tx, id, now); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`UPDATE conversation SET last_text = '' WHERE number = ? AND last_out = 0 AND last_in = ?`, from, seq)
	return err
}

func rawsOf(tx *sqlite.Tx, seq int64) (list []int64, err error) {
	rows, err := tx.Query(`SELECT id FROM inbound_raw INDEXED BY inbound_raw_of WHERE inbound = ?`, seq)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}

// blankRaw deletes the octets of what was received, but not what tells them
// when they are read again.
func (s *Store) blankRaw(tx *sqlite.Tx, id int64, now time.Time) error {
	var raw []byte
	err := tx.QueryRow(`SELECT raw FROM inbound_raw WHERE id = ? AND blanked_at = 0`, id).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	digest := sha256.Sum256(raw)
	_, err = tx.Exec(`UPDATE inbound_raw SET raw = x'', crc = crc32c(x''), error = '', digest = ?, blanked_at = ? WHERE id = ?`, digest[:], ms(now), id)
	return err
}

// drop deletes a message with everything that names it; its octets' hash stays
// a while.
func (s *Store) drop(tx *sqlite.Tx, seq int64, _ time.Time) error {
	if err := queue.RaiseFloors(tx); err != nil {
		return err
	}
	var from string
	var read int64
	err := tx.QueryRow(`DELETE FROM inbound WHERE seq = ? AND aged > 0 AND text_deleted_at > 0 RETURNING sender, read_at`, seq).Scan(&from, &read)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE inbound_raw SET inbound = NULL WHERE inbound = ?`, seq); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE conversation SET unread = max(unread - ?, 0) WHERE number = ?`, read == 0, from); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM conversation WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM inbound WHERE sender = ?1)
		AND NOT EXISTS (SELECT 1 FROM message WHERE recipient = ?1)`, from); err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM damaged WHERE kind = ? AND seq = ?`, queue.DamagedInbound, seq)
	return err
}

func (s *Store) dropRaw(tx *sqlite.Tx, id int64, _ time.Time) error {
	_, err := tx.Exec(`DELETE FROM inbound_raw WHERE id = ? AND inbound IS NULL AND blanked_at > 0`, id)
	return err
}

// blankEvents deletes the texts of events about received messages that are
// older than a text is kept. more: there may be more of them.
func (s *Store) blankEvents(ctx context.Context, until int64, now time.Time) (more bool, err error) {
	list, err := numbersOf(ctx, s.db.Read(), `SELECT seq FROM event WHERE seq > ? AND at <= ? AND type LIKE 'inbound.%' ORDER BY seq LIMIT ?`,
		s.keeping.events, until, keepBatch)
	if err != nil || len(list) == 0 {
		return false, err
	}
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for _, seq := range list {
			if err := queue.EditEvent(tx, seq, func(v any) any { return withoutText(v, now) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.keeping.events = list[len(list)-1]
	}
	return true, err
}

func withoutText(v any, now time.Time) any {
	if m, ok := v.(map[string]any); ok && m["text"] != "" {
		m["text"], m["text_deleted_at"] = "", now.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
	}
	return v
}

// sweep looks at the next few messages for damage: it is told of before
// anybody reads them. From the first again after the last.
func (s *Store) sweep(ctx context.Context) error {
	from := s.keeping.swept
	var last int64
	if err := s.db.Read().QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM inbound`).Scan(&last); err != nil {
		return err
	}
	for _, kind := range []struct{ query, what string }{
		{`SELECT seq FROM inbound WHERE seq > ? AND seq <= ? AND damaged = 0 AND crc <> crc32c(id, sender, text)`,
			"the stored sender or text of a received message is not what came; it is shown as far as it can be read"},
		{`SELECT m.seq FROM inbound m JOIN inbound_raw r INDEXED BY inbound_raw_of ON r.inbound = m.seq WHERE m.seq > ? AND m.seq <= ? AND r.crc <> crc32c(r.raw)`,
			"the octets of a received message are not what came; its text was made from them before"},
	} {
		bad, err := numbersOf(ctx, s.db.Read(), kind.query, from, from+sweepSpan)
		if err != nil {
			return err
		}
		if err := s.flag(ctx, bad, kind.what); err != nil {
			return err
		}
	}
	s.keeping.swept = from + sweepSpan
	if s.keeping.swept >= last {
		s.keeping.swept = 0
	}
	return nil
}

// flag records damaged messages. They stay readable.
func (s *Store) flag(ctx context.Context, seqs []int64, what string) error {
	if len(seqs) == 0 {
		return nil
	}
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for _, seq := range seqs {
			var id string
			err := tx.QueryRow(`UPDATE inbound SET damaged = 1 WHERE seq = ? RETURNING coalesce(CAST(id AS TEXT), '')`, seq).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			if err := s.queue.FoundDamage(tx, queue.DamagedInbound, seq, id, what); err != nil {
				return err
			}
		}
		return nil
	})
}
