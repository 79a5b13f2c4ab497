package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// Keep is how long something is kept, counted from its end: of a message on its
// way out when it is final, or uncertain for good; of a received one when it
// came.
type Keep struct {
	Body     time.Duration // its text, its TPDUs and every copy of them
	Metadata time.Duration // everything else: to whom, when, what became of it
}

// Retention says how long what is kept.
type Retention struct {
	OTP, Alert, Normal, Bulk Keep
	Inbound                  Keep
}

const (
	settingRetention = "retention"
	// A code is of no use to anybody soon after it was sent, but to a thief.
	mostOTPBody = 15 * time.Minute
	mostKeep    = 10 * 366 * 24 * time.Hour
	// leastMetadata: events, kept answers and reports without a message name the
	// numbers as long.
	leastMetadata = keepEvents
	day24         = 24 * time.Hour
)

// DefaultRetention is what counts until somebody sets another.
func DefaultRetention() Retention {
	usual := Keep{Body: 30 * day24, Metadata: 365 * day24}
	return Retention{OTP: Keep{Body: mostOTPBody, Metadata: 365 * day24}, Alert: usual, Normal: usual, Bulk: usual, Inbound: usual}
}

// Of is how long messages of a class are kept.
func (r Retention) Of(c Class) Keep {
	switch c {
	case OTP:
		return r.OTP
	case Alert:
		return r.Alert
	case Bulk:
		return r.Bulk
	default:
		return r.Normal
	}
}

// Check says what is wrong with it, as *Invalid; nil when it may be set.
func (r Retention) Check() error {
	for _, k := range []struct {
		name string
		keep Keep
		most time.Duration
	}{{"otp", r.OTP, mostOTPBody}, {"alert", r.Alert, mostKeep}, {"normal", r.Normal, mostKeep}, {"bulk", r.Bulk, mostKeep}, {"inbound", r.Inbound, mostKeep}} {
		switch {
		case k.keep.Body < 0 || k.keep.Body > k.most:
			return &Invalid{k.name + ".body", fmt.Sprintf("is from 0 to %d minutes", k.most/time.Minute), int64(k.keep.Body / time.Minute)}
		case k.keep.Metadata < leastMetadata || k.keep.Metadata > mostKeep:
			return &Invalid{k.name + ".metadata", fmt.Sprintf("is from %d to %d days", leastMetadata/day24, mostKeep/day24), int64(k.keep.Metadata / day24)}
		case k.keep.Metadata < k.keep.Body:
			return &Invalid{k.name + ".metadata", "cannot be shorter than body: a text is deleted before or with the rest of its message", int64(k.keep.Metadata / day24)}
		}
	}
	return nil
}

// keptJSON is Retention as the setting holds it: seconds.
type keptJSON struct {
	Body     int64 `json:"body"`
	Metadata int64 `json:"metadata"`
}

// Retention is what is set, or the default.
func (s *Store) Retention(ctx context.Context) (Retention, error) {
	r := DefaultRetention()
	v, err := s.setting(ctx, settingRetention)
	if err != nil || v == "" {
		return r, err
	}
	var kept map[string]keptJSON
	if err := json.Unmarshal([]byte(v), &kept); err != nil {
		return r, fmt.Errorf("read how long what is kept: %w", err)
	}
	for name, into := range r.fields() {
		if k, ok := kept[name]; ok {
			*into = Keep{time.Duration(k.Body) * time.Second, time.Duration(k.Metadata) * time.Second}
		}
	}
	if err := r.Check(); err != nil {
		return DefaultRetention(), fmt.Errorf("read how long what is kept: %w", err)
	}
	return r, nil
}

func (r *Retention) fields() map[string]*Keep {
	return map[string]*Keep{"otp": &r.OTP, "alert": &r.Alert, "normal": &r.Normal, "bulk": &r.Bulk, "inbound": &r.Inbound}
}

// SetRetention sets how long what is kept, from now on and for what is there.
// It errs with *Invalid for what Check refuses. who goes into the audit trail.
func (s *Store) SetRetention(ctx context.Context, r Retention, who string) error {
	if err := r.Check(); err != nil {
		return err
	}
	kept := map[string]keptJSON{}
	for name, k := range r.fields() {
		kept[name] = keptJSON{int64(k.Body / time.Second), int64(k.Metadata / time.Second)}
	}
	v, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("set how long what is kept: %w", err)
	}
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, 'retention.set', '', ?)`, ms(s.clock.Now()), who, string(v))
		return errors.Join(err, set(tx, settingRetention, string(v)))
	})
	if err != nil {
		return fmt.Errorf("set how long what is kept: %w", err)
	}
	s.mu.Lock()
	s.keptAt, s.codesAt = time.Time{}, 0
	s.mu.Unlock()
	s.readied() // the next Wake looks
	return nil
}

// ended notes since when a message is kept; at an untrusted time a round stamps
// it later.
func (s *Store) ended(r *record) {
	switch {
	case !r.State.final() && (r.State != Uncertain || r.decideAt != 0):
		r.endedAt = 0
	case r.endedAt == 0:
		if r.endedAt = s.trusted(); r.endedAt == 0 {
			r.endedAt = -1
		}
	}
}
