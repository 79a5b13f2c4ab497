package queue

import (
	"context"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// SIMRow is what is kept of a SIM over runs.
type SIMRow struct {
	ICCID, IMSI, Name   string
	Number              string // entered by a person; wins over the SIM's own
	OwnNumber           string // AT+CNUM
	Operator, SMSC      string
	Enabled, Emulated   bool
	FirstSeen, LastSeen time.Time
	SentTotal           int // segments accepted
	SentDay             int // of them since local midnight; a proved one counts on the day that it was proved
	LastSentAt          time.Time
}

// SIMPatch changes what a person may change; nil leaves it.
type SIMPatch struct {
	Name, Number *string
	Enabled      *bool
}

// SawSIM records that a SIM is there: its identity and what the network says.
// What a person entered stays, what is empty does not overwrite, and a new SIM
// is enabled.
func (s *Store) SawSIM(ctx context.Context, r SIMRow) error {
	if r.ICCID == "" {
		return fmt.Errorf("record SIM: it has no ICCID")
	}
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO sim (iccid, imsi, own_number, operator, smsc, emulated, first_seen, last_seen)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
			ON CONFLICT (iccid) DO UPDATE SET last_seen = ?7, emulated = ?6,
				imsi = CASE WHEN ?2 <> '' THEN ?2 ELSE imsi END,
				own_number = CASE WHEN ?3 <> '' THEN ?3 ELSE own_number END,
				operator = CASE WHEN ?4 <> '' THEN ?4 ELSE operator END,
				smsc = CASE WHEN ?5 <> '' THEN ?5 ELSE smsc END`,
			r.ICCID, r.IMSI, r.OwnNumber, r.Operator, r.SMSC, r.Emulated, now)
		tx.AfterCommit(s.changed)
		return err
	})
	if err != nil {
		return fmt.Errorf("record SIM: %w", err)
	}
	return nil
}

// SIMs that were ever seen, by name, then ICCID.
func (s *Store) SIMs(ctx context.Context) ([]SIMRow, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT iccid, imsi, name, number, own_number, operator, smsc, enabled, emulated,
		first_seen, last_seen, sent_total, last_sent_at, CASE WHEN sent_on = ? THEN sent_day ELSE 0 END FROM sim ORDER BY name = '', name, iccid`, day(s.clock.Now()))
	if err != nil {
		return nil, fmt.Errorf("read SIMs: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []SIMRow{}
	for rows.Next() {
		var r SIMRow
		var first, last, sent int64
		if err := rows.Scan(&r.ICCID, &r.IMSI, &r.Name, &r.Number, &r.OwnNumber, &r.Operator, &r.SMSC, &r.Enabled, &r.Emulated,
			&first, &last, &r.SentTotal, &sent, &r.SentDay); err != nil {
			return nil, fmt.Errorf("read SIMs: %w", err)
		}
		r.FirstSeen, r.LastSeen, r.LastSentAt = at(first), at(last), at(sent)
		list = append(list, r)
	}
	return list, rows.Err()
}

// UpdateSIM changes a SIM. ErrNoSIM when it was never seen, ErrSIMName when
// another has the name.
func (s *Store) UpdateSIM(ctx context.Context, iccid string, p SIMPatch) error {
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		res, err := tx.Exec(`UPDATE sim SET name = coalesce(?, name), number = coalesce(?, number), enabled = coalesce(?, enabled) WHERE iccid = ?`,
			p.Name, p.Number, p.Enabled, iccid)
		if sqlite.IsUnique(err) {
			return ErrSIMName
		}
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return ErrNoSIM
		}
		tx.AfterCommit(s.changed)
		return nil
	})
	if err != nil {
		return fmt.Errorf("change SIM: %w", err)
	}
	return nil
}

// countSegment counts a segment that the network has accepted from a SIM.
func (s *Store) countSegment(tx *sqlite.Tx, iccid string) error {
	_, err := tx.Exec(`UPDATE sim SET sent_total = sent_total + 1, sent_day = CASE WHEN sent_on = ?1 THEN sent_day + 1 ELSE 1 END, sent_on = ?1
		WHERE iccid = ?2`, day(s.clock.Now()), iccid)
	if err != nil {
		return fmt.Errorf("count the SIM's segments: %w", err)
	}
	return nil
}
