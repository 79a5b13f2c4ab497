package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// alarmName is a file in the data folder: it must be there also when the
// database is not.
const alarmName = "alarm.json"

// What was done about a damaged database.
const (
	// DamageRestored: the newest good automatic copy is in its place, and what was
	// not final in it is held.
	DamageRestored = "restored"
	// DamageFresh: there was no good copy; an empty database is in its place.
	DamageFresh = "fresh"
	// DamageReadOnly: there was no good copy; it is open for reading, and nothing
	// is sent.
	DamageReadOnly = "read_only"
)

// Alarm says that the database was found damaged, until an administrator has
// taken note of it.
type Alarm struct {
	// What is one of DamageRestored, DamageFresh, DamageReadOnly.
	What string    `json:"what"`
	At   time.Time `json:"at"`
	// Reason is what SQLite said.
	Reason string `json:"reason"`
	// Quarantine is the folder that the damaged files are in, "" when they are
	// where they were.
	Quarantine string `json:"quarantine,omitempty"`
	// From is the copy that was restored, CopiedAt when it was made, Open how many
	// messages of it are held.
	From     string    `json:"from,omitempty"`
	CopiedAt time.Time `json:"copied_at,omitzero"`
	Open     int64     `json:"open,omitempty"`
}

// Alarm of a data folder; nil when there is none, or when it was acknowledged.
// The folder's lock is not needed.
func (f Folder) Alarm() (*Alarm, error) {
	text, err := os.ReadFile(f.in(alarmName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the alarm: %w", err)
	}
	a := &Alarm{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("read the alarm: %w", err)
	}
	return a, nil
}

// Acknowledge ends the alarm: an administrator has seen it.
func (f Folder) Acknowledge() error {
	if err := os.Remove(f.in(alarmName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("acknowledge the alarm: %w", err)
	}
	return syncFolder(f.Path)
}

func (f Folder) raise(a Alarm) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err == nil {
		err = writeFile(f.in(alarmName), text)
	}
	if err != nil {
		return fmt.Errorf("raise the alarm: %w", err)
	}
	return nil
}

// Recover does what can be done when the database was found damaged, for reason:
// its files go into quarantine, and the newest automatic copy that is good takes
// their place, marked as restored. Without one, the files are left where they
// are as long as something can be read of them (DamageReadOnly), else the place
// is left empty for a new database (DamageFresh). Either way the alarm stays
// until it is acknowledged. readable says whether something can be read.
func (f Folder) Recover(ctx context.Context, key []byte, reason error, readable func() bool, o RestoreOptions) (a Alarm, err error) {
	a = Alarm{At: o.At.UTC(), Reason: reason.Error()}
	f.log().Error("the database is damaged; looking for the newest good backup", "error", reason)
	list, err := Copies(f.in(localName))
	if err != nil {
		f.log().Error("the automatic backups cannot be listed", "error", err)
	}
	secret, err := BoxSecret(key)
	if err != nil {
		list = nil
	}
	o.Quick = true
	for _, c := range list {
		o.decided = func(r Restored) error {
			a.What, a.Quarantine, a.From, a.CopiedAt, a.Open = DamageRestored, r.Quarantine, c.Path, r.Manifest.At, r.Open
			return f.raise(a)
		}
		r, err := f.restoreFile(ctx, c.Path, secret, o)
		if ctx.Err() != nil {
			return a, ctx.Err()
		}
		if err != nil && f.Unfinished() {
			return a, err // decided: the next start goes on
		}
		if err != nil {
			f.log().Error("a backup cannot be used", "file", c.Path, "error", err)
			continue
		}
		f.log().Error("the newest good backup was restored; what was not final is held until somebody releases it",
			"file", c.Path, "made", r.Manifest.At, "held", r.Open, "quarantine", r.Quarantine)
		return a, nil
	}
	a.Quarantine, a.From, a.CopiedAt, a.Open = "", "", time.Time{}, 0
	if readable() {
		a.What = DamageReadOnly
		f.log().Error("there is no good backup: the damaged database is open for reading, and nothing is sent; restore a backup of yours with recado restore FILE")
		return a, f.raise(a)
	}
	if _, err := f.stage(); err != nil {
		return a, fmt.Errorf("put the damaged database aside: %w", err)
	}
	p := f.plan(nil, o.At)
	a.What, a.Quarantine = DamageFresh, f.in(quarantineName, p.Quarantine)
	// First the alarm: an empty database must not look as if nothing had been.
	if err := errors.Join(f.raise(a), f.decide(p), f.Finish()); err != nil {
		return a, err
	}
	f.log().Error("there is no good backup: Recado begins with an empty database; restore a backup of yours with recado restore FILE", "quarantine", a.Quarantine)
	return a, nil
}

func (f Folder) restoreFile(ctx context.Context, name string, secret Secret, o RestoreOptions) (Restored, error) {
	file, err := os.Open(name)
	if err != nil {
		return Restored{}, err
	}
	defer file.Close()
	return f.Restore(ctx, file, secret, o)
}
