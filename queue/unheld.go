package queue

import (
	"context"
	"fmt"
	"slices"

	"recado/queue/sqlite"
)

// claim is one claim of a message; a later one of the same message is another.
type claim struct {
	seq, no int64
	by      string
}

// FreeClaims gives back the claims that no line has: held are the messages
// (Message.Seq) that the lines are busy with. It is the safety net under lines
// that lose one; freed says how many were lost. A claim is given back when two
// calls running did not find it in held, so that one made while the caller was
// asking its lines is not: call it once a minute or so, never twice at once.
// What has an open attempt waits for its outcome.
func (s *Store) FreeClaims(ctx context.Context, held []int64) (freed int, err error) {
	s.mu.Lock()
	before := s.unheld
	s.mu.Unlock()
	var now, gone []claim
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) (err error) {
		if now, err = claims(tx); err != nil {
			return err
		}
		now = slices.DeleteFunc(now, func(c claim) bool { return slices.Contains(held, c.seq) })
		gone = nil
		for _, c := range now {
			if !slices.Contains(before, c) {
				continue
			}
			gone = append(gone, c)
			if _, err := tx.Exec(`UPDATE message SET claimed_by = '' WHERE seq = ?`, c.seq); err != nil {
				return err
			}
			if err := s.rebucketThese(tx, []int64{c.seq}); err != nil {
				return err
			}
		}
		if len(gone) > 0 {
			tx.AfterCommit(s.readied)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("free claims: %w", err)
	}
	s.mu.Lock()
	s.unheld = slices.DeleteFunc(now, func(c claim) bool { return slices.Contains(gone, c) })
	s.mu.Unlock()
	for _, c := range gone {
		s.log.Warn("a message was claimed by a line that does not have it; it is given back", "message", c.seq, "sim", c.by)
	}
	return len(gone), nil
}

// claims that are not under way.
func claims(tx *sqlite.Tx) (list []claim, err error) {
	rows, err := tx.Query(`SELECT seq, claims, claimed_by FROM message m WHERE claimed_by <> ''
		AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = m.seq AND a.phase = 'prepared')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c claim
		if err := rows.Scan(&c.seq, &c.no, &c.by); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}
