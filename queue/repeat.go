package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// StampWithin is how far TP-SCTS may lie from our clock for it to say when a
	// TPDU was made. Then the same octets are the same TPDU: a second one would
	// carry another second.
	StampWithin = 72 * time.Hour
	// RepeatWithin is for TPDUs whose TP-SCTS says nothing: the same octets are
	// the same TPDU when it was last seen not longer ago. A modem that cannot
	// delete shows it at every sweep, each minute.
	RepeatWithin = 10 * time.Minute
	// twins left within this time of each other: their reports, when the modem
	// gives both the same MR, may be the same to the last octet.
	twins = 10 * time.Second
)

// SameTPDU says whether octets that a SIM has given before, last at seen, are
// the same TPDU again: read again, or sent again by the service centre. Times
// are Unix milliseconds, scts 0 when it is unreadable; stuck says that the
// centre's clock is known to stand still.
func SameTPDU(scts, arrived, seen int64, stuck bool) bool {
	if scts != 0 && !stuck && distance(scts, arrived) <= StampWithin.Milliseconds() {
		return true
	}
	return distance(arrived, seen) <= RepeatWithin.Milliseconds()
}

// repeats says whether a report came before, and counts it. twin is another
// segment that it is of all the same: the earlier one's is decided, and this
// left at nearly the same time with the same MR to the same number.
func (s *Store) repeats(tx *sqlite.Tx, hash []byte, rep report) (again bool, twin *attempt, err error) {
	var id, seen int64
	var message sql.NullInt64
	var n int
	err = tx.QueryRow(`SELECT id, seen_at, message, n FROM report WHERE hash = +? ORDER BY id DESC LIMIT 1`, hash).Scan(&id, &seen, &message, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("look for the report: %w", err)
	}
	if !SameTPDU(rep.scts, rep.arrive, seen, false) {
		return false, nil, nil
	}
	if _, err := tx.Exec(`UPDATE report SET dup_count = dup_count + 1, seen_at = ? WHERE id = ?`, rep.arrive, id); err != nil {
		return true, nil, fmt.Errorf("count the report: %w", err)
	}
	if !message.Valid {
		return true, nil, nil
	}
	twin, err = twinOf(tx, rep, message.Int64, n)
	return true, twin, err
}

// twinOf is the oldest attempt without a final report that left within twins
// of an attempt of segment n of message, on the same SIM, to the same number
// and with the same MR.
func twinOf(tx *sqlite.Tx, rep report, message int64, n int) (*attempt, error) {
	list, err := candidates(tx, rep.recipient, `WHERE a.iccid = +? AND a.mr = +? AND a.outcome IN ('accepted','duplicate')
		AND a.gate_at BETWEEN +? AND +? ORDER BY a.id`,
		rep.iccid, rep.mr, rep.arrive-wrapBack.Milliseconds(), rep.arrive+near.Milliseconds())
	if err != nil {
		return nil, err
	}
	var first *candidate
	for i := range list {
		if c := &list[i]; c.message == message && c.n == n {
			if !c.final() {
				return nil, nil // a repeat says nothing new of it
			}
			first = c
		}
	}
	if first == nil {
		return nil, nil
	}
	for i := range list {
		if c := &list[i]; !c.final() && distance(c.gateAt, first.gateAt) <= twins.Milliseconds() {
			return &c.attempt, nil
		}
	}
	return nil, nil
}
