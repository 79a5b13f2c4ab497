package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"recado/queue/sqlite"
)

const (
	// maxLimit is beyond what any SIM sends.
	maxLimit = 100_000_000
	// mostReserve leaves bulk a little.
	mostReserve = 95
)

// SetLimits changes a SIM's limits: ErrNoSIM, *Invalid. It holds from its return
// on; what was sent before counts.
func (s *Store) SetLimits(ctx context.Context, iccid string, p LimitsPatch) error {
	if err := p.check(); err != nil {
		return err
	}
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error { return s.changeLimits(tx, Contract(iccid), p) })
	if err != nil {
		return fmt.Errorf("set the SIM's limits: %w", err)
	}
	return nil
}

func (s *Store) changeLimits(tx *sqlite.Tx, iccid string, p LimitsPatch) error {
	n := s.instant()
	m, err := s.meter(tx, iccid, n)
	if err != nil {
		return err
	}
	if m == nil {
		return ErrNoSIM
	}
	// With the gates of this transaction, of which memory does not know yet.
	if m, err = s.load(tx, iccid, n); err != nil {
		return err
	}
	if p.Limits != nil {
		if err := setLimits(tx, iccid, *p.Limits); err != nil {
			return err
		}
		if m.shut { // who sets the limits is told that the rest is the default now
			if _, err := tx.Exec(healSQL, iccid); err != nil {
				return err
			}
		}
	}
	if p.ReservePercent != nil {
		if _, err := tx.Exec(`UPDATE sim SET reserve_percent = ? WHERE iccid = ?`, *p.ReservePercent, iccid); err != nil {
			return err
		}
	}
	if p.ResetDay != nil && (*p.ResetDay != m.reset || m.shut) {
		if err := setResetDay(tx, iccid, m, *p.ResetDay, n); err != nil {
			return err
		}
	}
	if p.WarmUp != nil {
		if m, err = s.load(tx, iccid, n); err != nil {
			return err
		}
		warm := -1
		if full := m.base[daily].MaxSegments; *p.WarmUp && full > 0 {
			warm = max(1, full/10)
		} else if *p.WarmUp {
			return &Invalid{"warm_up", "needs a limit of segments a day, of which it begins with a tenth", true}
		}
		if _, err := tx.Exec(`UPDATE sim SET warm = ?, warm_day = '' WHERE iccid = ?`, warm, iccid); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() {
		s.usage.forget(iccid)
		s.readied()
	})
	return nil
}

func (p LimitsPatch) check() error {
	if p.Limits != nil {
		seen := map[Window]bool{}
		for _, l := range *p.Limits {
			switch {
			case !slices.Contains(Windows, l.Window):
				return &Invalid{"limits", "window is one of minute, hour, day, month", string(l.Window)}
			case seen[l.Window]:
				return &Invalid{"limits", "names each window once", string(l.Window)}
			case l.MaxSegments < 0 || l.MaxSegments > maxLimit:
				return &Invalid{"limits", fmt.Sprintf("max_segments is from 1 to %d, or null for no limit", maxLimit), l.MaxSegments}
			case l.MaxRecipients < 0 || l.MaxRecipients > maxLimit:
				return &Invalid{"limits", fmt.Sprintf("max_recipients is from 1 to %d, or null for no limit", maxLimit), l.MaxRecipients}
			}
			seen[l.Window] = true
		}
	}
	switch {
	case p.ReservePercent != nil && (*p.ReservePercent < 0 || *p.ReservePercent > mostReserve):
		return &Invalid{"reserve_percent", fmt.Sprintf("is from 0 to %d", mostReserve), *p.ReservePercent}
	case p.ResetDay != nil && (*p.ResetDay < 1 || *p.ResetDay > 31):
		return &Invalid{"reset_day", "is a day of the month, from 1 to 31", *p.ResetDay}
	}
	return nil
}

func setLimits(tx *sqlite.Tx, iccid string, limits []Limit) error {
	if _, err := tx.Exec(`DELETE FROM sim_limit WHERE iccid = ?`, iccid); err != nil {
		return err
	}
	for _, l := range limits {
		if _, err := tx.Exec(`INSERT INTO sim_limit (iccid, window, max_segments, max_recipients) VALUES (?, ?, nullif(?, 0), nullif(?, 0))`,
			iccid, string(l.Window), l.MaxSegments, l.MaxRecipients); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`UPDATE sim SET limits_set = ? WHERE iccid = ?`, limits != nil, iccid)
	return err
}

// setResetDay moves the beginning of the billing month: what was sent since then
// counts in the new one. Recipients are known by month, so that those of a month
// that the new one shares days with count too.
func setResetDay(tx *sqlite.Tx, iccid string, m *meter, reset int, n instant) error {
	if _, err := tx.Exec(`UPDATE sim SET reset_day = ? WHERE iccid = ?`, reset, iccid); err != nil {
		return err
	}
	old := m.start(monthly, n)
	start := unknownDay // whatever month it will turn out to be
	if n.dated {
		start = month(n.now, reset)
	}
	if start == old {
		return nil
	}
	from := old
	if start < old {
		// The month before has days in the new one.
		t, err := time.Parse(time.DateOnly, start)
		if err != nil {
			return err
		}
		from = t.AddDate(0, 0, -31).Format(time.DateOnly)
	}
	segments := 0
	for _, p := range m.periods[0] {
		if p.start >= start {
			segments += p.segments
		}
	}
	if !n.dated {
		segments, _ = m.used(monthly, n)
	}
	type step struct {
		query string
		args  []any
	}
	steps := []step{{`INSERT INTO usage_recipient (iccid, window, start, recipient, n)
		SELECT iccid, window, ?2, recipient, sum(n) FROM usage_recipient WHERE iccid = ?1 AND window = 'month' AND start >= ?3 AND start <> ?2 GROUP BY recipient
		ON CONFLICT (iccid, window, start, recipient) DO UPDATE SET n = n + excluded.n`, []any{iccid, start, from}}}
	if n.dated {
		steps = append(steps, step{`DELETE FROM usage_recipient WHERE iccid = ? AND window = 'month' AND start > ?`, []any{iccid, start}},
			step{`DELETE FROM usage_period WHERE iccid = ? AND window = 'month' AND start > ?`, []any{iccid, start}})
	} else {
		steps = append(steps, step{`DELETE FROM usage_recipient WHERE iccid = ? AND window = 'month' AND start = ?`, []any{iccid, old}},
			step{`UPDATE usage_period SET segments = 0, recipients = 0 WHERE iccid = ? AND window = 'month' AND start = ?`, []any{iccid, old}})
	}
	steps = append(steps, step{`INSERT OR REPLACE INTO usage_period (iccid, window, start, segments, recipients) VALUES (?, 'month', ?, ?, 0)`, []any{iccid, start, segments}},
		step{recountSQL, []any{iccid, "month", start, 0}},
		step{`UPDATE usage SET month = ? WHERE iccid = ?`, []any{start, iccid}})
	for _, step := range steps {
		if _, err := tx.Exec(step.query, step.args...); err != nil {
			return err
		}
	}
	return nil
}
