package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"recado/queue/sqlite"
)

// What becomes of a scheduled message whose time was missed by more than the
// grace, because the box was off or its clock was not trusted.
const (
	MisfireHold = "hold" // somebody decides
	MisfireSend = "send" // it goes late
	MisfireSkip = "skip" // it expires
)

const (
	settingMisfireGrace  = "misfire_grace" // seconds
	settingMisfirePolicy = "misfire_policy"
	misfireGrace         = 15 * time.Minute
	maxMisfireGrace      = 7 * 24 * time.Hour
	// restGrace is the least grace while the clock is not firm: whoever calls Wake
	// comes a little after the time.
	restGrace = time.Minute
)

// Misfire says what becomes of scheduled messages that missed their time.
type Misfire struct {
	// Grace is how late a message may leave all the same; 15 minutes unless
	// changed.
	Grace time.Duration
	// Policy is MisfireHold unless changed, MisfireSend or MisfireSkip.
	Policy string
}

// grace is how late a message may leave by n.
func (m Misfire) grace(n instant) time.Duration {
	if n.firm {
		return m.Grace
	}
	return max(m.Grace, restGrace)
}

// Misfire reads the setting.
func (s *Store) Misfire(ctx context.Context) (Misfire, error) {
	return readMisfire(func(key string) (string, error) { return s.setting(ctx, key) })
}

func readMisfire(setting func(string) (string, error)) (Misfire, error) {
	m := Misfire{Grace: misfireGrace, Policy: MisfireHold}
	grace, err := setting(settingMisfireGrace)
	if err != nil {
		return m, err
	}
	if n, err := strconv.Atoi(grace); err == nil {
		m.Grace = time.Duration(n) * time.Second
	}
	policy, err := setting(settingMisfirePolicy)
	if err != nil {
		return m, err
	}
	switch policy {
	case MisfireSend, MisfireSkip:
		m.Policy = policy
	}
	return m, nil
}

// SetMisfire changes it; who goes into the record. It errs with *Invalid.
func (s *Store) SetMisfire(ctx context.Context, m Misfire, who string) error {
	switch m.Policy {
	case MisfireHold, MisfireSend, MisfireSkip:
	default:
		return &Invalid{"misfire_policy", "is one of hold, send, skip", m.Policy}
	}
	if m.Grace < 0 || m.Grace > maxMisfireGrace {
		return &Invalid{"misfire_grace", fmt.Sprintf("is from 0 to %d seconds", maxMisfireGrace/time.Second), int64(m.Grace / time.Second)}
	}
	grace := strconv.FormatInt(int64(m.Grace/time.Second), 10)
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for key, value := range map[string]string{settingMisfireGrace: grace, settingMisfirePolicy: m.Policy} {
			if _, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, 'misfire.set', '', ?)`,
			ms(s.clock.Now()), who, m.Policy+" after "+m.Grace.String())
		return err
	})
}

// fire lets a scheduled message go at its time, or not when that was missed.
func (s *Store) fire(tx *sqlite.Tx, r *record, n instant) error {
	if r.State != Scheduled || r.notBefore == 0 || r.notBefore > ms(n.now) {
		return nil
	}
	late := time.Duration(ms(n.now)-r.notBefore) * time.Millisecond
	m, err := readMisfire(func(key string) (v string, err error) {
		err = tx.QueryRow(`SELECT coalesce((SELECT value FROM setting WHERE key = ?), '')`, key).Scan(&v)
		return v, err
	})
	if err != nil {
		return fmt.Errorf("read what becomes of missed times: %w", err)
	}
	missed := late > m.grace(n)
	if missed && !n.firm {
		return nil // by a clock that has just leapt nobody can tell
	}
	r.notBefore = 0
	r.State = Queued
	if missed && m.Policy != MisfireSend {
		r.State, r.Reason = Held, ReasonLate
		if m.Policy == MisfireSkip {
			r.State = Expired
		}
		if err := s.note(tx, r.Seq, "late", "its time was missed by "+late.Round(time.Second).String()); err != nil {
			return err
		}
	}
	if r.State == Queued {
		if err := s.aside(tx, "look which SIM a recipient knows", func() error { return s.stick(tx, r, n) }); err != nil {
			return err
		}
	}
	return s.save(tx, r)
}
