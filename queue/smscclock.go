package queue

import (
	"database/sql"
	"errors"
	"fmt"

	"recado/queue/sqlite"
)

const (
	// learnStep is how far a report must move what is known of the centre's
	// clock to be written down, in ms.
	learnStep = 5_000
	// learnFrom is the longest submission that says when the centre stamped it,
	// in ms: a lost answer ends when somebody gave it up, minutes later.
	learnFrom = 60_000
)

// clockOffset is how far the clock of a SIM's service centre is ahead of ours,
// in ms; not known: 0.
func clockOffset(tx *sqlite.Tx, iccid string) (offset int64, known bool, err error) {
	var v sql.NullInt64
	err = tx.QueryRow(`SELECT clock_offset FROM sim WHERE iccid = ?`, iccid).Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, false, fmt.Errorf("read the centre's clock: %w", err)
	}
	return v.Int64, v.Valid, nil
}

// learn takes the attempt for a report and, when no other could be meant,
// measures the centre's clock by it: the last measure holds, so that a change
// of daylight saving is followed at once. Nothing is learnt from nonsense, nor
// by a clock of ours that is not trusted.
func (s *Store) learn(tx *sqlite.Tx, rep report, c *candidate, only bool) (found, error) {
	f := found{attempt: &c.attempt}
	if !only || c.fit < 3 || !credible(rep) || !s.clock.Trusted() || c.doneAt == 0 || c.doneAt-c.gateAt > learnFrom {
		return f, nil
	}
	offset := c.ahead(rep.scts)
	last, known, err := clockOffset(tx, rep.iccid)
	// What the clock as it is known explains teaches nothing; nor does a repetition.
	if err != nil || known && (c.away(rep.scts-last) < learnStep || c.final()) {
		return f, err
	}
	if _, err := tx.Exec(`UPDATE sim SET clock_offset = ? WHERE iccid = ?`, offset, rep.iccid); err != nil {
		return found{}, fmt.Errorf("keep the centre's clock: %w", err)
	}
	f.learnt = true
	return f, nil
}
