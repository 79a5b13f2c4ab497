package inbox

import (
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

// repeats says whether a TPDU came before on its SIM, and counts it. With a
// credible TP-SCTS the same octets are the same message, sent or read again.
// Without one (unreadable, days away from our clock, or of a centre whose clock
// stands still) only when it was last seen a short while ago: later it is
// another message with the same words.
func repeats(tx *sqlite.Tx, in In, hash []byte) (bool, error) {
	var id, received, seen int64
	err := tx.QueryRow(`SELECT id, received_at, seen_at FROM inbound_raw WHERE hash = ? ORDER BY id DESC LIMIT 1`, hash).Scan(&id, &received, &seen)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the TPDU: %w", err)
	}
	stuck, err := stuckClock(tx, in, hash, received)
	if err != nil {
		return false, err
	}
	if !queue.SameTPDU(ms(in.PDU.SCTS), ms(in.At), seen, stuck) {
		return false, nil
	}
	if _, err := tx.Exec(`UPDATE inbound_raw SET dup_count = dup_count + 1, seen_at = ? WHERE id = ?`, ms(in.At), id); err != nil {
		return false, fmt.Errorf("count the TPDU: %w", err)
	}
	return true, nil
}

// stuckClock says that another TPDU of this SIM carries the same TP-SCTS,
// though it came minutes before or after the first copy of this one. Segments
// of long messages are left out: those of one message may share a stamp and
// come late.
func stuckClock(tx *sqlite.Tx, in In, hash []byte, received int64) (stuck bool, err error) {
	if in.PDU.SCTS.IsZero() || in.PDU.Concat != nil {
		return false, nil
	}
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM inbound_raw r WHERE iccid = ?1 AND scts = ?2 AND hash <> ?3 AND abs(received_at - ?4) > ?5
			AND NOT EXISTS (SELECT 1 FROM inbound m WHERE m.seq = r.inbound AND m.total > 1))`,
		in.ICCID, ms(in.PDU.SCTS), hash, received, stuckAfter.Milliseconds()).Scan(&stuck)
	if err != nil {
		return false, fmt.Errorf("compare time stamps: %w", err)
	}
	return stuck, nil
}
