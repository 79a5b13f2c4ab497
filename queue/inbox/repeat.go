package inbox

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// stuckAfter is how far apart two different messages of one SIM arrive for
// their identical TP-SCTS to show that the service centre's clock stands still.
const stuckAfter = 2 * time.Minute

// earlier is the last copy of a TPDU that was stored.
type earlier struct {
	id, received, seen int64
	iccid              string
	hash               []byte
}

// repeats says whether a TPDU came before on its SIM, or on another one out of
// the same modem's memory, and counts it. With a credible TP-SCTS the same octets
// are the same message, sent or read again. Without one (unreadable, days away
// from our clock, or of a centre whose clock stands still) only when it was last
// seen a short while ago: later it is another message with the same words.
func repeats(tx *sqlite.Tx, in In, hash []byte) (bool, error) {
	was, err := before(tx, in, hash)
	if err != nil {
		return false, fmt.Errorf("look for the TPDU: %w", err)
	}
	if was == nil {
		return false, nil
	}
	stuck, err := stuckClock(tx, in, *was)
	if err != nil {
		return false, err
	}
	if !queue.SameTPDU(ms(in.PDU.SCTS), ms(in.At), was.seen, stuck) {
		return false, nil
	}
	if _, err := tx.Exec(`UPDATE inbound_raw SET dup_count = dup_count + 1, seen_at = ? WHERE id = ?`, ms(in.At), was.id); err != nil {
		return false, fmt.Errorf("count the TPDU: %w", err)
	}
	return true, nil
}

// before finds the octets under the SIM's name; else under another name in the
// same modem, when that is a name of the same SIM (some say their ICCID late), or
// when they may lie there since before the SIMs were changed. A copy on the other
// SIM went with it. Two SIMs that get the same text from one sender in the same
// second are still two messages: in two modems, or in one that has announced the
// second since it has its SIM.
func before(tx *sqlite.Tx, in In, hash []byte) (*earlier, error) {
	const columns = `SELECT id, received_at, seen_at, iccid, hash FROM inbound_raw `
	e := &earlier{}
	err := tx.QueryRow(columns+`WHERE hash = ? ORDER BY id DESC LIMIT 1`, hash).Scan(&e.id, &e.received, &e.seen, &e.iccid, &e.hash)
	if errors.Is(err, sql.ErrNoRows) && len(in.PDU.Raw) > 0 && in.Modem != "" {
		standIn := "imsi-" + in.IMSI        // what a SIM without ICCID is called
		digest := sha256.Sum256(in.PDU.Raw) // of a row whose octets are deleted
		err = tx.QueryRow(columns+`WHERE modem = ?1 AND scts = ?2 AND (raw = ?3 OR digest = ?8) AND (
			imsi = ?4 AND ?4 <> '' AND (?5 OR iccid IN ('', ?6)) OR ?7 AND memory <> 'SM') ORDER BY id DESC LIMIT 1`,
			in.Modem, ms(in.PDU.SCTS), in.PDU.Raw, in.IMSI, in.ICCID == "" || in.ICCID == standIn, standIn, in.inModem(), digest[:]).
			Scan(&e.id, &e.received, &e.seen, &e.iccid, &e.hash)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return e, err
}

// stuckClock says that another TPDU of the SIM carries the same TP-SCTS,
// though it came minutes before or after the first copy of this one. Segments
// of long messages are left out: those of one message may share a stamp and
// come late.
func stuckClock(tx *sqlite.Tx, in In, was earlier) (stuck bool, err error) {
	if in.PDU.SCTS.IsZero() || in.PDU.Concat != nil {
		return false, nil
	}
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM inbound_raw r WHERE iccid = ?1 AND scts = ?2 AND hash <> ?3 AND abs(received_at - ?4) > ?5
			AND NOT EXISTS (SELECT 1 FROM inbound m WHERE m.seq = r.inbound AND m.total > 1))`,
		was.iccid, ms(in.PDU.SCTS), was.hash, was.received, stuckAfter.Milliseconds()).Scan(&stuck)
	if err != nil {
		return false, fmt.Errorf("compare time stamps: %w", err)
	}
	return stuck, nil
}
