package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"recado/queue/sqlite"
)

const (
	// sweepBatch messages are looked at in one go, sweepPace apart: a million in
	// half an hour or so, without anybody noticing.
	sweepBatch = 500
	sweepPace  = time.Second
	// sweepRest lies between two rounds, sweepSave between two notes of how far
	// the round has come.
	sweepRest = 24 * time.Hour
	sweepSave = time.Minute

	settingSweep = "sweep"
)

// sweepStates hold what may still be sent.
var sweepStates = []State{Queued, Sending, Uncertain, Scheduled, Held}

// sweep is how far the round through the unfinished messages has come; a round
// that is interrupted goes on where it was. Times are monotonic.
type sweep struct {
	At    int   `json:"at"` // of sweepStates
	After int64 `json:"after"`

	loaded     bool
	last, save time.Time
	restUntil  time.Time
}

// sweep looks at the next few messages that may still be sent, when the last
// look is as long ago as pace: damage is found before a line comes to it.
func (s *Store) sweep(ctx context.Context, pace time.Duration) error {
	w := &s.sweeping // Wake is not called twice at once
	now := time.Now()
	if now.Sub(w.last) < pace || now.Before(w.restUntil) {
		return nil
	}
	w.last = now
	if !w.loaded {
		text, err := s.setting(ctx, settingSweep)
		if err != nil {
			return err
		}
		if text != "" && json.Unmarshal([]byte(text), w) != nil || w.At < 0 || w.At >= len(sweepStates) {
			w.At, w.After = 0, 0
		}
		w.loaded, w.save = true, now
	}
	list, err := s.read(ctx, `WHERE state = ? AND seq > ? ORDER BY seq LIMIT `+strconv.Itoa(sweepBatch), string(sweepStates[w.At]), w.After)
	if err != nil {
		return err
	}
	var bad []int64
	for _, m := range list {
		w.After = max(w.After, m.Seq)
		if m.Damaged {
			bad = append(bad, m.Seq)
		}
	}
	if err := s.endDamaged(ctx, bad); err != nil {
		return err
	}
	if len(list) < sweepBatch {
		w.At, w.After = w.At+1, 0
	}
	if w.At == len(sweepStates) {
		w.At, w.restUntil = 0, now.Add(sweepRest)
	}
	if len(list) == sweepBatch && now.Sub(w.save) < sweepSave || w.At != 0 && len(list) == 0 {
		return nil
	}
	w.save = now
	text, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if kept, err := s.setting(ctx, settingSweep); err != nil || kept == string(text) {
		return err
	}
	return s.SetSetting(ctx, settingSweep, string(text))
}

// endDamaged ends messages that were seen to be damaged, if they still are; one
// whose submission is open waits for its outcome.
func (s *Store) endDamaged(ctx context.Context, seqs []int64) error {
	if len(seqs) == 0 {
		return nil
	}
	return s.db.Write(ctx, sqlite.LaneOf(len(seqs)), func(tx *sqlite.Tx) error {
		for _, seq := range seqs {
			r, err := load(tx, seq)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			what := r.look()
			if what == "" || r.open() || r.State.final() || !r.TextDeletedAt.IsZero() {
				continue
			}
			if err := s.corrupt(tx, r, what); err != nil {
				return fmt.Errorf("end a damaged message: %w", err)
			}
		}
		return nil
	})
}

// VerifyQueued looks at every message that may still be sent, at once, and ends
// those that are damaged. It says how many it looked at and how many of them
// are damaged. It is for an operator who asks; the Store does the same by itself,
// slowly.
func (s *Store) VerifyQueued(ctx context.Context) (looked, damaged int, err error) {
	for _, state := range sweepStates {
		for after := int64(0); ; {
			list, err := s.read(ctx, `WHERE state = ? AND seq > ? ORDER BY seq LIMIT `+strconv.Itoa(sweepBatch), string(state), after)
			if err != nil {
				return looked, damaged, fmt.Errorf("look for damage: %w", err)
			}
			var bad []int64
			for _, m := range list {
				after = max(after, m.Seq)
				if m.Damaged {
					bad = append(bad, m.Seq)
				}
			}
			looked, damaged = looked+len(list), damaged+len(bad)
			if err := s.endDamaged(ctx, bad); err != nil {
				return looked, damaged, fmt.Errorf("look for damage: %w", err)
			}
			if len(list) < sweepBatch {
				break
			}
		}
	}
	return looked, damaged, nil
}
