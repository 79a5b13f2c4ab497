package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"recado/queue/sqlite"
)

// Contract is the SIM whose limits and settings hold for one by that name. A SIM
// that seems to be in two modems goes by its ICCID in one of them and by
// ICCID@port in the other: together they may send what one may.
func Contract(iccid string) string {
	sim, _, _ := strings.Cut(iccid, "@")
	return sim
}

// ErrInHand: a message is in the hands of the SIM's line.
var ErrInHand = errors.New("the SIM has a message in hand")

// AdoptSIM says which SIM a name stood for that was given before its ICCID was
// known, or while it seemed to be in two modems. What was sent under that name
// counts as the SIM's; what a person has set there holds where nothing was set for
// the SIM, a kill switch in any case; what waits for it waits for the SIM, and its
// row goes. Nobody may use the name any more: ErrInHand while a message is claimed
// under it. Of a name that was never seen nothing is done. ErrNoSIM.
func (s *Store) AdoptSIM(ctx context.Context, standIn, iccid string) error {
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error { return s.adopt(tx, standIn, iccid) })
	if err == nil {
		err = s.AdoptReports(ctx, standIn, iccid)
	}
	if err != nil {
		return fmt.Errorf("take the SIM for the one that it is: %w", err)
	}
	return nil
}

func (s *Store) adopt(tx *sqlite.Tx, standIn, iccid string) error {
	var known, open bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM sim WHERE iccid = ?1),
		EXISTS (SELECT 1 FROM attempt INDEXED BY attempt_open_sim WHERE iccid = ?1 AND phase = 'prepared')
			OR EXISTS (SELECT 1 FROM message INDEXED BY message_claim WHERE claimed_by = ?1 AND claimed_by <> '')`, standIn).Scan(&known, &open)
	switch {
	case err != nil || !known || standIn == iccid:
		return err
	case open:
		return ErrInHand
	}
	if contract := Contract(iccid); Contract(standIn) == standIn { // else all of it is the contract's already
		n := s.instant()
		of, err := s.load(tx, standIn, n) // what of it cannot be read is mended
		if err != nil {
			return err
		}
		to, err := s.load(tx, contract, n)
		if err != nil {
			return err
		}
		if to == nil {
			return ErrNoSIM
		}
		if err := adoptLimits(tx, standIn, contract, of, to); err != nil {
			return err
		}
		if err := adoptUsage(tx, standIn, contract, of, to, n); err != nil {
			return err
		}
		tx.AfterCommit(func() { s.usage.forget(standIn, contract) })
	}
	if err := adoptRow(tx, standIn, iccid); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		s.readied()
		s.changed()
	})
	return nil
}

// adoptLimits lets what somebody chose for a name hold for the SIM that it stood for,
// when nobody has chosen anything for that, and lets it go on warming up.
func adoptLimits(tx *sqlite.Tx, standIn, iccid string, of, to *meter) error {
	var steps []string
	if to.warm == 0 && of.warm != 0 {
		to.warm, to.warmDay = of.warm, of.warmDay
		steps = append(steps, `UPDATE sim SET warm = s.warm, warm_day = s.warm_day FROM (SELECT warm, warm_day FROM sim WHERE iccid = ?1) s WHERE iccid = ?2`)
	}
	if of.chosen && !to.chosen && !of.shut {
		steps = append(steps, `UPDATE sim SET limits_set = 1, reserve_percent = s.reserve_percent FROM (SELECT reserve_percent FROM sim WHERE iccid = ?1) s WHERE iccid = ?2`,
			`INSERT OR REPLACE INTO sim_limit (iccid, window, max_segments, max_recipients) SELECT ?2, window, max_segments, max_recipients FROM sim_limit WHERE iccid = ?1`)
	}
	if to.reset == 1 && len(to.periods[monthly-daily]) == 0 {
		to.reset = of.reset
		steps = append(steps, `UPDATE sim SET reset_day = s.reset_day FROM (SELECT reset_day FROM sim WHERE iccid = ?1) s WHERE iccid = ?2`)
	}
	for _, query := range steps {
		if _, err := tx.Exec(query, standIn, iccid); err != nil {
			return fmt.Errorf("take over the limits: %w", err)
		}
	}
	if _, err := tx.Exec(`DELETE FROM sim_limit WHERE iccid = ?`, standIn); err != nil {
		return fmt.Errorf("take over the limits: %w", err)
	}
	return nil
}

// adoptUsage counts for a SIM what was counted under another name of it. Where their
// months begin on other days, what may be of the present one is.
func adoptUsage(tx *sqlite.Tx, standIn, iccid string, of, to *meter, n instant) error {
	for w := daily; w <= monthly; w++ {
		for _, p := range of.periods[w-daily] {
			label := p.start
			if now := to.start(w, n); w == monthly && of.reset != to.reset && label != unknownDay {
				if now == "" {
					label = unknownDay
				} else if t, err := time.Parse(time.DateOnly, now); err != nil || label > t.AddDate(0, 0, -31).Format(time.DateOnly) {
					label = now
				}
			}
			args := []any{standIn, string(Windows[w]), p.start, iccid, label}
			for _, query := range []string{
				`INSERT INTO usage_recipient (iccid, window, start, recipient, n)
					SELECT ?4, window, ?5, recipient, n FROM usage_recipient WHERE iccid = ?1 AND window = ?2 AND start = ?3
					ON CONFLICT (iccid, window, start, recipient) DO UPDATE SET n = n + excluded.n`,
				`INSERT INTO usage_period (iccid, window, start, segments, recipients)
					SELECT ?4, window, ?5, segments, recipients FROM usage_period WHERE iccid = ?1 AND window = ?2 AND start = ?3
					ON CONFLICT (iccid, window, start) DO UPDATE SET segments = segments + excluded.segments, recipients = max(recipients, excluded.recipients)`,
				// Of days long past nobody knows any more whom.
				`UPDATE usage_period SET recipients = max(recipients, (SELECT count(*) FROM usage_recipient r WHERE r.iccid = ?4 AND r.window = ?2 AND r.start = ?5))
					WHERE iccid = ?4 AND window = ?2 AND start = ?5`,
			} {
				if _, err := tx.Exec(query, args...); err != nil {
					return fmt.Errorf("count what the SIM has sent: %w", err)
				}
			}
			if w == monthly && label != p.start {
				if _, err := tx.Exec(`UPDATE usage SET month = ? WHERE iccid = ? AND month = ?`, label, standIn, p.start); err != nil {
					return fmt.Errorf("count what the SIM has sent: %w", err)
				}
			}
		}
	}
	if _, err := tx.Exec(`UPDATE usage SET iccid = ? WHERE iccid = ?`, iccid, standIn); err != nil {
		return fmt.Errorf("count what the SIM has sent: %w", err)
	}
	for _, query := range []string{`DELETE FROM usage_recipient WHERE iccid = ?`, `DELETE FROM usage_period WHERE iccid = ?`} {
		if _, err := tx.Exec(query, standIn); err != nil {
			return fmt.Errorf("count what the SIM has sent: %w", err)
		}
	}
	return nil
}

// adoptRow moves the rest of what is kept of a SIM, and what waits for it.
func adoptRow(tx *sqlite.Tx, standIn, iccid string) error {
	var name string
	if err := tx.QueryRow(`SELECT name FROM sim WHERE iccid = ?`, standIn).Scan(&name); err != nil {
		return fmt.Errorf("take over the SIM's name: %w", err)
	}
	const mine = `UPDATE message SET sim = ?2, wish = iif(wish = ?1, ?2, wish) WHERE sim = ?1 AND `
	for _, query := range []string{
		`UPDATE sim SET paused = max(sim.paused, s.paused), enabled = min(sim.enabled, s.enabled),
			number = iif(sim.number = '', s.number, sim.number),
			sent_total = sim.sent_total + s.sent_total, last_sent_at = max(sim.last_sent_at, s.last_sent_at),
			sent_day = iif(sim.sent_on = s.sent_on, sim.sent_day + s.sent_day, iif(sim.sent_on > s.sent_on, sim.sent_day, s.sent_day)),
			sent_on = max(sim.sent_on, s.sent_on), pace = iif(sim.pace = 0, s.pace, sim.pace),
			window_from = iif(sim.window_from < 0, s.window_from, sim.window_from), window_to = iif(sim.window_from < 0, s.window_to, sim.window_to),
			window_days = iif(sim.window_from < 0, s.window_days, sim.window_days)
			FROM (SELECT * FROM sim WHERE iccid = ?1) s WHERE sim.iccid = ?2`,
		mine + `state IN ('queued','sending') AND claimed_by = '' AND not_before = 0`,
		mine + `state IN ('queued','sending') AND not_before > 0`,
		mine + `state = 'scheduled' AND not_before > 0`,
		mine + `state = 'held'`,
		`UPDATE conversation SET iccid = ?2 WHERE iccid = ?1`,
	} {
		if _, err := tx.Exec(query, standIn, iccid); err != nil {
			return fmt.Errorf("take over what is kept of the SIM: %w", err)
		}
	}
	_, err := tx.Exec(`DELETE FROM sim WHERE iccid = ?`, standIn)
	if err == nil { // a name is one SIM's only
		_, err = tx.Exec(`UPDATE sim SET name = ? WHERE iccid = ? AND name = ''`, name, iccid)
	}
	if err != nil {
		return fmt.Errorf("take over what is kept of the SIM: %w", err)
	}
	return nil
}
