package queue

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// Gate makes the attempt to submit segment n (from 1) durable. Only when it
// returned nil may the TPDU and Ctrl-Z leave. It errs with ErrNotClaimed when
// the message is no longer this line's to send: cancelled, expired, resolved by
// evidence, claimed anew; with ErrLimit when the SIM would send more than its
// limits allow. The unique indexes refuse a second open attempt of
// the segment or of the SIM whatever the callers do.
func (s *Store) Gate(ctx context.Context, l Line, seq int64, n int) (attempt int64, err error) {
	return s.GateTPDU(ctx, l, seq, n, nil)
}

// GateTPDU is Gate for the octets that are about to leave: what leaves is what
// is stored, and that is what was written. It errs with ErrDamaged, and the
// message fails, when the stored segment is damaged; with ErrNotClaimed when
// tpdu is not it.
func (s *Store) GateTPDU(ctx context.Context, l Line, seq int64, n int, tpdu []byte) (attempt int64, err error) {
	var damaged bool
	err = s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		attempt = 0
		if damaged, err = s.checkSegment(tx, l, seq, n, tpdu); damaged || err != nil {
			return err
		}
		if attempt, err = s.gate(tx, l, seq, n); err != nil {
			return err
		}
		return failpoint.Err(failpoint.GateBefore)
	})
	if err == nil && damaged {
		err = ErrDamaged
	}
	if err != nil {
		return 0, fmt.Errorf("open the gate: %w", err)
	}
	failpoint.Hit(failpoint.GateCommitted)
	return attempt, nil
}

// checkSegment looks at the segment once more; damaged: the message has been
// ended.
func (s *Store) checkSegment(tx *sqlite.Tx, l Line, seq int64, n int, tpdu []byte) (damaged bool, err error) {
	var stored []byte
	var sum int64
	err = tx.QueryRow(`SELECT tpdu, crc FROM segment WHERE message = ? AND n = ?`, seq, n).Scan(&stored, &sum)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, ErrNotClaimed
	case err != nil:
		return false, err
	case len(stored) > 0 && sum == segmentSum(seq, n, stored):
		if tpdu != nil && !bytes.Equal(tpdu, stored) {
			return false, ErrNotClaimed
		}
		return false, nil
	}
	r, err := load(tx, seq)
	if err != nil {
		return false, err
	}
	if r.claimedBy != l.ICCID {
		return false, ErrNotClaimed
	}
	return true, s.corrupt(tx, r, fmt.Sprintf("segment %d is not what was stored", n))
}

func (s *Store) gate(tx *sqlite.Tx, l Line, seq int64, n int) (int64, error) {
	now := s.instant()
	if err := s.usage.current(tx); err != nil {
		return 0, err
	}
	var no, edition int
	var recipient string
	var class Class
	err := tx.QueryRow(`UPDATE message SET state = 'sending', reason = '', sim = ?1, sender = ?2, modem = ?3, attempts = attempts + 1,
			avoid_sim = '', avoid_until = 0, prefer_until = 0
		WHERE seq = ?4 AND claimed_by = ?1 AND state IN ('queued','sending') AND next = ?5 AND (expires_at > ?6 OR clock_doubt = 1)
		RETURNING attempts, edition, recipient, class`,
		l.ICCID, l.Number, l.Modem, seq, n, s.trusted()).Scan(&no, &edition, &recipient, &class)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNotClaimed
	}
	if err != nil {
		return 0, err
	}
	res, err := tx.Exec(`UPDATE segment SET state = 'sending' WHERE message = ? AND n = ? AND state = 'pending'`, seq, n)
	if err != nil {
		return 0, err
	}
	if rows, err := res.RowsAffected(); err != nil || rows != 1 {
		return 0, errors.Join(ErrNotClaimed, err)
	}
	res, err = tx.Exec(`INSERT INTO attempt (id, message, n, no, modem, iccid, imsi, boot_id, gate_at, phase, prev_mr, edition, why)
		VALUES (max(coalesce((SELECT max(id) FROM attempt), 0), coalesce((SELECT value FROM floor WHERE name = 'attempt'), 0)) + 1,
			?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'prepared', coalesce((SELECT last_mr FROM sim WHERE iccid = ?5), -1), ?9, ?10)`,
		seq, n, no, l.Modem, l.ICCID, l.IMSI, s.boot, ms(now.now), edition, l.why)
	if err != nil {
		return 0, fmt.Errorf("record the attempt: %w", err)
	}
	attempt, err := res.LastInsertId()
	if err != nil {
		return 0, err
	}
	if err := s.charge(tx, l.ICCID, attempt, recipient, class, now); err != nil {
		return 0, err
	}
	tx.AfterCommit(s.changed)
	return attempt, nil
}
