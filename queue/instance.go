package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"recado/queue/sqlite"
)

const (
	settingEpoch    = "restore_epoch"   // of the backup that this database came from
	settingHandled  = "restore_handled" // the epoch whose messages were held
	settingInstance = "instance"        // what the box was that last opened it: JSON
)

// eventLeap is more events than there can have been since a backup: whoever reads
// on after the last that he knows misses none.
const eventLeap = 1_000_000

// MarkRestored says that a database was brought back from a backup: the next
// New over it, on any box, holds everything that is not final before anything
// can be claimed, once. Nobody is signed in any more, who may have been signed out
// since, and the events to come have other numbers than any that were told since.
// Call it on the restored file before a daemon opens it.
func MarkRestored(ctx context.Context, db *sqlite.DB) error {
	epoch, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("mark the database as restored: %w", err)
	}
	err = db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`DELETE FROM session`); err != nil {
			return err
		}
		res, err := tx.Exec(`UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'event'`, eventLeap)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 { // there was none yet
			if _, err := tx.Exec(`INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)`, eventLeap); err != nil {
				return err
			}
		}
		return set(tx, settingEpoch, epoch.String())
	})
	if err != nil {
		return fmt.Errorf("mark the database as restored: %w", err)
	}
	return nil
}

// holdAtStart holds what must not be sent by itself: what an interrupted hold
// left, what a restore brought back, what a copied card has. Each is done with
// only when its last message is held: a start that is killed in between is
// made up for by the next.
func (s *Store) holdAtStart(ctx context.Context, instance map[string]string) error {
	upTo, err := s.lastSeq(ctx)
	if err != nil {
		return err
	}
	if err := s.finishHold(ctx); err != nil {
		return err
	}
	epoch, err := s.setting(ctx, settingEpoch)
	if err != nil {
		return err
	}
	handled, err := s.setting(ctx, settingHandled)
	if err != nil {
		return err
	}
	if epoch != handled {
		if _, err := s.hold(ctx, ReasonRestored, upTo, func(tx *sqlite.Tx) error { return set(tx, settingHandled, epoch) }); err != nil {
			return err
		}
	}
	return s.checkInstance(ctx, instance, upTo)
}

// finishHold goes on with a HoldAll that did not come to its end.
func (s *Store) finishHold(ctx context.Context) error {
	raw, err := s.setting(ctx, settingHold)
	if err != nil || raw == "" {
		return err
	}
	var p pendingHold
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return fmt.Errorf("read setting %s: %w", settingHold, err)
	}
	_, err = s.hold(ctx, p.Reason, p.UpTo, nil)
	return err
}

// checkInstance compares the box with the one that the database knows. A
// component that either does not know says nothing; one that differs says that
// the card, the disk or the folder is a copy, or that it was put into another
// box: nobody can tell the two apart, so everything is held, once.
func (s *Store) checkInstance(ctx context.Context, now map[string]string, upTo int64) error {
	if len(now) == 0 {
		return nil
	}
	raw, err := s.setting(ctx, settingInstance)
	if err != nil {
		return err
	}
	was := map[string]string{}
	if raw != "" {
		if err := json.Unmarshal([]byte(raw), &was); err != nil {
			return fmt.Errorf("read setting %s: %w", settingInstance, err)
		}
	}
	merged := maps.Clone(was)
	var other []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if now[name] == "" {
			continue
		}
		if was[name] != "" && was[name] != now[name] {
			other = append(other, name)
		}
		merged[name] = now[name]
	}
	if maps.Equal(was, merged) {
		return nil
	}
	kept, err := json.Marshal(merged)
	if err != nil {
		return err
	}
	keep := func(tx *sqlite.Tx) error { return set(tx, settingInstance, string(kept)) }
	if len(other) == 0 { // a database of before, or a component that is new
		return s.db.Write(ctx, sqlite.Urgent, keep)
	}
	s.log.Warn("this database belongs to another box, or is a copy of one: nothing of it is sent before somebody releases it",
		"differs", strings.Join(other, ", "))
	_, err = s.hold(ctx, ReasonCloned, upTo, keep)
	return err
}

func (s *Store) lastSeq(ctx context.Context) (seq int64, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM message`).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("look for the last message: %w", err)
	}
	return seq, nil
}
