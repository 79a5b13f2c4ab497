package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"recado/queue/sqlite"
)

// How many days and billing months of a SIM's usage are kept, and of how many of
// them the recipients: a new billing month may share days with the last one, and the
// clock may have been ahead for a while.
const (
	keepDays, keepMonths                     = 62, 25
	keepDaysRecipients, keepMonthsRecipients = 3, 4
)

// tidyUsage are the statements that delete, in portions, what no limit looks at
// any more: ?1 the steady clock, ?2 how many rows. A gate deletes those of its SIM
// itself: these are of SIMs that rest. Days and months go by what is
// counted in them, not by a clock that may be wrong.
var tidyUsage = []string{
	`DELETE FROM usage WHERE (iccid, attempt) IN (SELECT u.iccid, u.attempt FROM sim CROSS JOIN usage u ON u.iccid = sim.iccid
		AND u.attempt IN (SELECT attempt FROM usage x WHERE x.iccid = sim.iccid ORDER BY attempt LIMIT ?2) WHERE u.at < ?1
		AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.id = u.attempt AND a.phase = 'prepared') LIMIT ?2)`,
	fmt.Sprintf(`DELETE FROM usage_recipient WHERE (iccid, window, start, recipient) IN (
		SELECT r.iccid, r.window, r.start, r.recipient FROM usage_period p CROSS JOIN usage_recipient r ON r.iccid = p.iccid AND r.window = p.window AND r.start = p.start
		WHERE ?1 > 0 AND (SELECT count(*) FROM usage_period q WHERE q.iccid = p.iccid AND q.window = p.window AND q.start > p.start AND q.start < '%s')
			>= CASE p.window WHEN 'day' THEN %d ELSE %d END LIMIT ?2)`, unknownDay, keepDaysRecipients, keepMonthsRecipients),
	fmt.Sprintf(`DELETE FROM usage_period WHERE (iccid, window, start) IN (
		SELECT iccid, window, start FROM usage_period p
		WHERE ?1 > 0 AND (SELECT count(*) FROM usage_period q WHERE q.iccid = p.iccid AND q.window = p.window AND q.start > p.start AND q.start < '%s')
			>= CASE window WHEN 'day' THEN %d ELSE %d END LIMIT ?2)`, unknownDay, keepDays, keepMonths),
}

// eraseUsage takes a number out of what the SIMs have used: that they texted
// somebody still counts, but not whom.
func (s *Store) eraseUsage(ctx context.Context, forms []string) error {
	list, err := json.Marshal(forms)
	if err != nil {
		return err
	}
	nobody := "erased-" + rand.Text()
	type key struct {
		iccid, window, start, recipient string
		attempt                         int64
	}
	for {
		var keys []key
		rows, err := s.db.Read().QueryContext(ctx, `SELECT iccid, '', '', recipient, attempt FROM usage WHERE recipient IN (SELECT value FROM json_each(?1))
			UNION ALL SELECT iccid, window, start, recipient, 0 FROM usage_recipient WHERE recipient IN (SELECT value FROM json_each(?1)) LIMIT ?2`, string(list), eraseBatch)
		if err != nil {
			return err
		}
		for rows.Next() {
			var k key
			if err := rows.Scan(&k.iccid, &k.window, &k.start, &k.recipient, &k.attempt); err != nil {
				return errors.Join(err, rows.Close())
			}
			keys = append(keys, k)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(keys) == 0 {
			return err
		}
		err = s.db.Write(ctx, sqlite.Ordinary, sqlite.Secure(func(tx *sqlite.Tx) error {
			for _, k := range keys {
				var err error
				if k.window == "" {
					_, err = tx.Exec(`UPDATE usage SET recipient = ? WHERE iccid = ? AND attempt = ?`, nobody, k.iccid, k.attempt)
				} else {
					// Two forms of one number become one.
					_, err = tx.Exec(`INSERT INTO usage_recipient (iccid, window, start, recipient, n)
						SELECT iccid, window, start, ?, n FROM usage_recipient WHERE iccid = ? AND window = ? AND start = ? AND recipient = ?
						ON CONFLICT (iccid, window, start, recipient) DO UPDATE SET n = n + excluded.n`, nobody, k.iccid, k.window, k.start, k.recipient)
					if err == nil {
						_, err = tx.Exec(`DELETE FROM usage_recipient WHERE iccid = ? AND window = ? AND start = ? AND recipient = ?`, k.iccid, k.window, k.start, k.recipient)
					}
				}
				if err != nil {
					return err
				}
			}
			tx.AfterCommit(func() { s.usage.forget() })
			return nil
		}))
		if err != nil {
			return err
		}
	}
}
