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
	Pace                int // normal and bulk submissions a minute; 0 as its limits say, -1 as fast as it can
	Window              SendWindow
	Paused              bool // by a person: nothing leaves on it, and the queue stays
}

// SendWindow is when a SIM may send at all, by the box's time of day: its
// contract says so, or who pays it.
type SendWindow struct {
	// From is its first minute of the day and To the first one after it, which may
	// be on the next day; equal: the whole day. From below 0: there is no window.
	From, To int
	Days     int // on which it begins: bit 0 Monday … bit 6 Sunday
}

// AllDays is every day of the week.
const AllDays = 127

// None says that there is no window: it may send always.
func (w SendWindow) None() bool { return w.From < 0 }

// SIMPatch changes what a person may change; nil leaves it.
type SIMPatch struct {
	Name, Number *string
	Enabled      *bool
	Pace         *int
	Window       *SendWindow
	Paused       *bool
}

// check errs with *Invalid.
func (p SIMPatch) check() error {
	if p.Pace != nil && (*p.Pace < -1 || *p.Pace > maxPace) {
		return &Invalid{"pace", fmt.Sprintf("is from 1 to %d a minute, 0 for what the limits say, -1 for none", maxPace), *p.Pace}
	}
	w := p.Window
	if w == nil || w.None() {
		return nil
	}
	if w.From < 0 || w.From >= minutesOfDay || w.To < 0 || w.To >= minutesOfDay {
		return &Invalid{"send_window", "begins and ends at a time of day", nil}
	}
	if w.Days < 1 || w.Days > AllDays {
		return &Invalid{"send_window.days", "names at least one day of the week", w.Days}
	}
	return nil
}

const (
	maxPace      = 600
	minutesOfDay = 24 * 60
)

// SawSIM records that a SIM is there: its identity and what the network says.
// What a person entered stays, what is empty does not overwrite, and a new SIM
// is enabled.
func (s *Store) SawSIM(ctx context.Context, r SIMRow) error {
	if r.ICCID == "" {
		return fmt.Errorf("record SIM: it has no ICCID")
	}
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		// Limits that are there were chosen, also when the SIM's row has been lost.
		_, err := tx.Exec(`INSERT INTO sim (iccid, imsi, own_number, operator, smsc, emulated, first_seen, last_seen, limits_set)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, EXISTS (SELECT 1 FROM sim_limit WHERE iccid = ?1))
			ON CONFLICT (iccid) DO UPDATE SET last_seen = ?7, emulated = ?6,
				imsi = CASE WHEN ?2 <> '' THEN ?2 ELSE imsi END,
				own_number = CASE WHEN ?3 <> '' THEN ?3 ELSE own_number END,
				operator = CASE WHEN ?4 <> '' THEN ?4 ELSE operator END,
				smsc = CASE WHEN ?5 <> '' THEN ?5 ELSE smsc END`,
			r.ICCID, r.IMSI, r.OwnNumber, r.Operator, r.SMSC, r.Emulated, now)
		if contract := Contract(r.ICCID); err == nil && contract != r.ICCID { // it has the limits
			_, err = tx.Exec(`INSERT INTO sim (iccid, imsi, emulated, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (iccid) DO NOTHING`,
				contract, r.IMSI, r.Emulated, now)
		}
		tx.AfterCommit(func() { s.usage.saw(r.ICCID, r.Emulated); s.changed() })
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
		first_seen, last_seen, sent_total, last_sent_at, CASE WHEN sent_on = ? THEN sent_day ELSE 0 END,
		pace, window_from, window_to, window_days, paused FROM sim ORDER BY name = '', name, iccid`, day(s.clock.Now()))
	if err != nil {
		return nil, fmt.Errorf("read SIMs: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []SIMRow{}
	for rows.Next() {
		var r SIMRow
		var first, last, sent int64
		if err := rows.Scan(&r.ICCID, &r.IMSI, &r.Name, &r.Number, &r.OwnNumber, &r.Operator, &r.SMSC, &r.Enabled, &r.Emulated,
			&first, &last, &r.SentTotal, &sent, &r.SentDay,
			&r.Pace, &r.Window.From, &r.Window.To, &r.Window.Days, &r.Paused); err != nil {
			return nil, fmt.Errorf("read SIMs: %w", err)
		}
		r.FirstSeen, r.LastSeen, r.LastSentAt = at(first), at(last), at(sent)
		list = append(list, r)
	}
	return list, rows.Err()
}

// UpdateSIM changes a SIM. ErrNoSIM when it was never seen, ErrSIMName when
// another has the name, *Invalid.
func (s *Store) UpdateSIM(ctx context.Context, iccid string, p SIMPatch) error {
	if err := p.check(); err != nil {
		return err
	}
	var from, to, days *int
	if w := p.Window; w != nil {
		from, to, days = &w.From, &w.To, &w.Days
	}
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		res, err := tx.Exec(`UPDATE sim SET name = coalesce(?, name), number = coalesce(?, number), enabled = coalesce(?, enabled),
				pace = coalesce(?, pace), window_from = coalesce(?, window_from), window_to = coalesce(?, window_to),
				window_days = coalesce(?, window_days), paused = coalesce(?, paused) WHERE iccid = ?`,
			p.Name, p.Number, p.Enabled, p.Pace, from, to, days, p.Paused, iccid)
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
		if p.Enabled != nil || p.Paused != nil {
			return s.unstick(tx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("change SIM: %w", err)
	}
	return nil
}

// countSegment counts a segment that the network has accepted from a SIM; o, unless
// nil, is the answer that said so just now.
func (s *Store) countSegment(tx *sqlite.Tx, iccid string, o *Outcome) (err error) {
	const count = `UPDATE sim SET sent_total = sent_total + 1, sent_day = CASE WHEN sent_on = ?1 THEN sent_day + 1 ELSE 1 END, sent_on = ?1`
	if today := day(s.clock.Now()); o != nil {
		_, err = tx.Exec(count+`, last_sent_at = ?3, last_mr = ?4 WHERE iccid = ?2`, today, iccid, ms(o.At), o.MR)
	} else {
		_, err = tx.Exec(count+` WHERE iccid = ?2`, today, iccid)
	}
	if err != nil {
		return fmt.Errorf("count the SIM's segments: %w", err)
	}
	return nil
}
