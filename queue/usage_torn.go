package queue

import (
	"fmt"

	"recado/queue/sqlite"
)

// DamagedSIM is the kind (DamagedEvent) of a SIM's limits, or of what it has used of
// them.
const DamagedSIM = "sim"

// mendUsage puts, for what cannot be read of what a SIM has used, what is certainly
// not less: a count of a day or month is full, and a segment has just been sent. So
// the limits hold, and it ends with its window.
func (s *Store) mendUsage(tx *sqlite.Tx, iccid string, n instant) error {
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`UPDATE usage_period SET segments = iif(typeof(segments) = 'integer', segments, ?2), recipients = iif(typeof(recipients) = 'integer', recipients, ?2)
			WHERE iccid = ?1 AND (typeof(segments) <> 'integer' OR typeof(recipients) <> 'integer')`, []any{iccid, tornCount}},
		{`DELETE FROM usage WHERE iccid = ? AND typeof(attempt) <> 'integer'`, []any{iccid}}, // nobody knows of which try
		{`UPDATE usage SET at = ?2 WHERE iccid = ?1 AND typeof(at) <> 'integer'`, []any{iccid, n.steady}},
		{`UPDATE usage SET recipient = 'torn-' || attempt WHERE iccid = ?1 AND typeof(recipient) <> 'text'`, []any{iccid}},
	} {
		if _, err := tx.Exec(step.query, step.args...); err != nil {
			return fmt.Errorf("mend what the SIM has used: %w", err)
		}
	}
	return s.toldTorn(tx, iccid, "what the SIM has sent cannot be read: its limits count as reached until their windows end; check the disk")
}

// shutTold tells, once, that a SIM's limits cannot be read.
func (s *Store) shutTold(tx *sqlite.Tx, iccid string, shut bool) error {
	s.usage.mu.Lock()
	was := s.usage.shut[iccid]
	s.usage.mu.Unlock()
	if was == shut {
		return nil
	}
	tx.AfterCommit(func() {
		s.usage.mu.Lock()
		defer s.usage.mu.Unlock()
		s.usage.shut[iccid] = shut
	})
	if !shut {
		return nil
	}
	return s.toldTorn(tx, iccid, "the SIM's limits cannot be read: it sends nothing until somebody sets them anew, and its reserve and the beginning of its month; check the disk")
}

func (s *Store) toldTorn(tx *sqlite.Tx, iccid, detail string) error {
	tx.AfterCommit(func() {
		s.log.Error("a stored row is not what was written: check the disk, and restore a backup if there are more", "kind", DamagedSIM, "iccid", iccid, "what", detail)
		s.metrics.damaged.WithLabelValues(DamagedSIM).Inc()
	})
	return s.AppendEvent(tx, "system.damaged", DamagedEvent{DamagedSIM, iccid, detail})
}

// healSQL puts the defaults for what cannot be read beside the limits.
const healSQL = `UPDATE sim SET emulated = iif(typeof(emulated) = 'integer', emulated, 0),
	reserve_percent = iif(typeof(reserve_percent) = 'integer' AND reserve_percent BETWEEN 0 AND 95, reserve_percent, 20),
	reset_day = iif(typeof(reset_day) = 'integer', reset_day, 1) WHERE iccid = ?`
