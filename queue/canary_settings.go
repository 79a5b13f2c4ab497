package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// CanarySettings say when the box sends canaries by itself. Each counts in its
// SIM's limits, and on a real SIM it costs what a message costs.
type CanarySettings struct {
	// EveryHours between two rounds, in which each line sends one and receives one;
	// 0: no rounds.
	EveryHours int `json:"every_hours"`
	// RealSIMs: also on real SIMs, not only on emulated ones. Those that a person
	// asks for need no leave. Without it a few more follow such a one, to know whose
	// fault it was, and a line in quarantine is looked at for a day.
	RealSIMs bool `json:"real_sims"`
	// Suspicion: one more when a line has grown silent (see the pool).
	Suspicion bool `json:"suspicion"`
}

const (
	settingCanary     = "canary"
	settingMutes      = "canary_quarantine"
	settingRound      = "canary_round"
	mostCanaryHours   = 30 * 24
	usualCanaryHours  = 6
	canarySettingName = "canary.set"
)

// DefaultCanarySettings is what counts until somebody sets another: nothing that
// costs money.
func DefaultCanarySettings() CanarySettings {
	return CanarySettings{EveryHours: usualCanaryHours, Suspicion: true}
}

// Check says what is wrong with it, as *Invalid; nil when it may be set.
func (c CanarySettings) Check() error {
	if c.EveryHours < 0 || c.EveryHours > mostCanaryHours {
		return &Invalid{"every_hours", fmt.Sprintf("is from 0 (never) to %d", mostCanaryHours), c.EveryHours}
	}
	return nil
}

// CanarySettings is what is set, or the default.
func (s *Store) CanarySettings(ctx context.Context) (CanarySettings, error) {
	c := DefaultCanarySettings()
	v, err := s.setting(ctx, settingCanary)
	if err != nil || v == "" {
		return c, err
	}
	if err := json.Unmarshal([]byte(v), &c); err != nil {
		return DefaultCanarySettings(), fmt.Errorf("read the canaries' settings: %w", err)
	}
	if err := c.Check(); err != nil {
		return DefaultCanarySettings(), fmt.Errorf("read the canaries' settings: %w", err)
	}
	return c, nil
}

// SetCanarySettings sets when canaries are sent by themselves. It errs with
// *Invalid for what Check refuses. who goes into the audit trail.
func (s *Store) SetCanarySettings(ctx context.Context, c CanarySettings, who string) error {
	if err := c.Check(); err != nil {
		return err
	}
	v, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("set the canaries' settings: %w", err)
	}
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, ?, '', ?)`, ms(s.clock.Now()), who, canarySettingName, string(v)); err != nil {
			return err
		}
		tx.AfterCommit(s.canaried)
		return set(tx, settingCanary, string(v))
	})
	if err != nil {
		return fmt.Errorf("set the canaries' settings: %w", err)
	}
	return nil
}

// Mute is a SIM in quarantine because canaries did not get there: registered,
// and yet it does not send, or does not receive, or both.
type Mute struct {
	ICCID string `json:"iccid"`
	// NoSend and NoReceive say which; both with NoTell when it only texted itself:
	// nobody can tell.
	NoSend    bool `json:"no_send"`
	NoReceive bool `json:"no_receive"`
	NoTell    bool `json:"no_tell,omitempty"`
	// Legs are the canaries that tell against it.
	Legs []int64 `json:"legs"`
	// Since when, by the steady clock, in ms; Next is when it is looked at again,
	// Probes how often that was in vain.
	Since  int64 `json:"since"`
	Next   int64 `json:"next"`
	Probes int   `json:"probes"`
	// Modem that it was in then.
	Modem string `json:"modem,omitempty"`
	// Asked is when somebody, or something that was changed, last gave cause to look
	// at it again; 0 not since then.
	Asked int64 `json:"asked,omitempty"`
	// Doubt is what canaries make likely and do not prove, with neither side at
	// fault: the SIM is used as before, and somebody is told.
	Doubt string `json:"doubt,omitempty"`
	// Cleared is when it was last found well, or a person ended its quarantine:
	// what began before does not count against it. With neither side at fault that
	// is all that is kept.
	Cleared int64 `json:"cleared,omitempty"`
}

// What canaries make likely of a SIM.
const (
	// DoubtNumber: what is sent to its number does not arrive on it, and nothing
	// ever did: most likely the number that is kept is another's.
	DoubtNumber = "number"
	// DoubtAlone: nobody else can text it, and what it texted itself got lost; but
	// nothing of the kind ever arrived, and not every network carries it.
	DoubtAlone = "alone"
)

// Mutes are the SIMs in quarantine, by ICCID.
func (s *Store) Mutes(ctx context.Context) (map[string]Mute, error) {
	mutes := map[string]Mute{}
	v, err := s.setting(ctx, settingMutes)
	if err != nil || v == "" {
		return mutes, err
	}
	if err := json.Unmarshal([]byte(v), &mutes); err != nil {
		return map[string]Mute{}, fmt.Errorf("read which lines are in quarantine: %w", err)
	}
	return mutes, nil
}

// SetMutes keeps the SIMs in quarantine over a restart.
func (s *Store) SetMutes(ctx context.Context, mutes map[string]Mute) error {
	v, err := json.Marshal(mutes)
	if err != nil {
		return fmt.Errorf("keep which lines are in quarantine: %w", err)
	}
	return s.SetSetting(ctx, settingMutes, string(v))
}

// CanaryRound is when the last round of the schedule was, by the steady clock;
// zero: never.
func (s *Store) CanaryRound(ctx context.Context) (time.Time, error) {
	v, err := s.setting(ctx, settingRound)
	if err != nil || v == "" {
		return time.Time{}, err
	}
	when, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the last canaries were sent: %w", err)
	}
	return when, nil
}

// SetCanaryRound keeps when the last round of the schedule was.
func (s *Store) SetCanaryRound(ctx context.Context, steady time.Time) error {
	return s.SetSetting(ctx, settingRound, steady.UTC().Format(time.RFC3339Nano))
}
