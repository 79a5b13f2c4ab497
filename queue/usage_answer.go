package queue

import (
	"database/sql"
	"errors"
	"fmt"

	"recado/queue/sqlite"
)

// dateByAnswer dates what an attempt was counted for by its answer, which has just
// come or never will: the network's own count lies before it. After midnight that is
// in the new day, and in a new month.
func (s *Store) dateByAnswer(tx *sqlite.Tx, iccid string, attempt int64) error {
	iccid = Contract(iccid)
	n := s.instant()
	m, err := s.meter(tx, iccid, n)
	if err != nil {
		return err
	}
	var recipient string
	var was [2]string
	err = tx.QueryRow(`UPDATE usage SET at = ? WHERE iccid = ? AND attempt = ? RETURNING recipient, day, month`, n.steady, iccid, attempt).
		Scan(&recipient, &was[0], &was[1])
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("date what was counted: %w", err)
	}
	tx.AfterCommit(func() { s.usage.answered(iccid, attempt, n.steady) })
	if m == nil {
		return nil
	}
	s.usage.mu.Lock()
	is := [2]string{m.label(daily, n), m.label(monthly, n)}
	s.usage.mu.Unlock()
	for w := range is {
		// What nobody knows the day of stays there, on either side; and a clock that
		// was set back moves nothing.
		if was[w] >= is[w] || is[w] == unknownDay {
			is[w] = was[w]
		}
	}
	if is == was {
		return nil
	}
	for w, start := range was {
		if start == is[w] {
			continue
		}
		if err := uncount(tx, iccid, Windows[daily+w], start, recipient); err != nil {
			return fmt.Errorf("count in the new day: %w", err)
		}
		if err := recount(tx, iccid, Windows[daily+w], is[w], recipient); err != nil {
			return fmt.Errorf("count in the new day: %w", err)
		}
	}
	if _, err := tx.Exec(`UPDATE usage SET day = ?, month = ? WHERE iccid = ? AND attempt = ?`, is[0], is[1], iccid, attempt); err != nil {
		return fmt.Errorf("count in the new day: %w", err)
	}
	tx.AfterCommit(func() { s.usage.forget(iccid) }) // what was read before in this transaction, too
	s.usage.forget(iccid)                            // and for its next gate
	return nil
}

// answered has the meter follow dateByAnswer.
func (u *usage) answered(iccid string, attempt, now int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m := u.sims[iccid]; m != nil {
		for w := range m.slides {
			m.slides[w].answered(attempt, now)
		}
	}
}

// recount counts a segment in a day or month that it was not counted in at its gate.
func recount(tx *sqlite.Tx, iccid string, window Window, start, recipient string) error {
	var times int
	if err := tx.QueryRow(`INSERT INTO usage_recipient (iccid, window, start, recipient, n) VALUES (?, ?, ?, ?, 1)
		ON CONFLICT (iccid, window, start, recipient) DO UPDATE SET n = n + 1 RETURNING n`, iccid, string(window), start, recipient).Scan(&times); err != nil {
		return err
	}
	_, err := tx.Exec(`INSERT INTO usage_period (iccid, window, start, segments, recipients) VALUES (?, ?, ?, 1, ?4)
		ON CONFLICT (iccid, window, start) DO UPDATE SET segments = segments + 1, recipients = recipients + ?4`,
		iccid, string(window), start, times == 1)
	return err
}

// uncount takes back that a segment was counted in a day or month.
func uncount(tx *sqlite.Tx, iccid string, window Window, start, recipient string) error {
	res, err := tx.Exec(`UPDATE usage_recipient SET n = n - 1 WHERE iccid = ? AND window = ? AND start = ? AND recipient = ? AND typeof(n) = 'integer'`,
		iccid, string(window), start, recipient)
	if err != nil {
		return err
	}
	gone := int64(0)
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n > 0 {
		res, err := tx.Exec(`DELETE FROM usage_recipient WHERE iccid = ? AND window = ? AND start = ? AND recipient = ? AND n <= 0`,
			iccid, string(window), start, recipient)
		if err != nil {
			return err
		}
		if gone, err = res.RowsAffected(); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`UPDATE usage_period SET segments = max(segments - 1, 0), recipients = max(recipients - ?, 0)
		WHERE iccid = ? AND window = ? AND start = ? AND typeof(segments) = 'integer' AND typeof(recipients) = 'integer'`,
		gone, iccid, string(window), start)
	return err
}

// refund gives back what was counted for an attempt of which certainly nothing has
// left.
func (s *Store) refund(tx *sqlite.Tx, iccid string, attempt int64) error {
	iccid = Contract(iccid)
	var recipient, day, month string
	err := tx.QueryRow(`DELETE FROM usage WHERE iccid = ? AND attempt = ? RETURNING recipient, day, month`, iccid, attempt).Scan(&recipient, &day, &month)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give back what was counted: %w", err)
	}
	for w, start := range [2]string{day, month} {
		if err := uncount(tx, iccid, Windows[daily+w], start, recipient); err != nil {
			return fmt.Errorf("give back what was counted: %w", err)
		}
	}
	tx.AfterCommit(func() {
		s.usage.forget(iccid)
		s.readied()
	})
	return nil
}
