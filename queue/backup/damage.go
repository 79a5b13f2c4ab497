package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"recado/queue/sqlite"
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
	// DamageSalvaged: there was no good copy, but every row could still be read;
	// a new file of them is in its place, and what was not final is held.
	DamageSalvaged = "salvaged"
)

// Alarm says that the database was found damaged, until an administrator has
// taken note of it.
type Alarm struct {
	// What is one of DamageRestored, DamageSalvaged, DamageFresh, DamageLogLost.
	What string    `json:"what"`
	At   time.Time `json:"at"`
	// Reason is what SQLite said.
	Reason string `json:"reason"`
	// Quarantine is the folder that the damaged files are in, "" when they are
	// where they were.
	Quarantine string `json:"quarantine,omitempty"`
	// Earlier are the quarantines of alarms that nobody had acknowledged when this
	// one came.
	Earlier []string `json:"earlier,omitempty"`
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

// raise raises an alarm, which takes over what the one before, if any, still had
// to say of quarantines.
func (f Folder) raise(a *Alarm) error {
	if was, err := f.Alarm(); err == nil && was != nil {
		a.Earlier = slices.DeleteFunc(append(was.Earlier, was.Quarantine), func(q string) bool { return q == "" || q == a.Quarantine })
		slices.Sort(a.Earlier)
		a.Earlier = slices.Compact(a.Earlier)
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err == nil {
		err = writeFile(f.in(alarmName), text)
	}
	if err != nil {
		return fmt.Errorf("raise the alarm: %w", err)
	}
	return nil
}

// Recover does what can be done when the database was found damaged, for reason.
// Its files go into quarantine. The newest automatic copy that is good takes their
// place; without one, a new file with what can be read of the damaged one, if that
// is all of it; without that, the place is left empty for a new database.
// What was not final is held, and the alarm stays until it is acknowledged.
func (f Folder) Recover(ctx context.Context, key []byte, reason error, o RestoreOptions) (a Alarm, err error) {
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
			return f.raise(&a)
		}
		r, err := f.restoreFile(ctx, c.Path, secret, o)
		if ctx.Err() != nil || err != nil && f.Unfinished() {
			return a, errors.Join(err, ctx.Err()) // once decided, the next start goes on
		}
		if err != nil {
			f.log().Error("a backup cannot be used", "file", c.Path, "error", err)
			continue
		}
		f.log().Error("the newest good backup was restored; what was not final is held until somebody releases it",
			"file", c.Path, "made", r.Manifest.At, "held", r.Open, "quarantine", r.Quarantine)
		return a, nil
	}
	a = Alarm{At: a.At, Reason: a.Reason}
	switch err := f.salvage(ctx, &a, o.At); {
	case err == nil:
		f.log().Error("there is no good backup, but the damaged database could be read; what was not final is held until somebody releases it",
			"held", a.Open, "quarantine", a.Quarantine)
		return a, nil
	case ctx.Err() != nil || f.Unfinished():
		return a, errors.Join(err, ctx.Err())
	default:
		f.log().Error("the damaged database cannot be read as a whole", "error", err)
	}
	if _, err := f.stage(); err != nil {
		return a, fmt.Errorf("put the damaged database aside: %w", err)
	}
	// First the alarm: an empty database must not look as if nothing had been.
	a = Alarm{At: a.At, Reason: a.Reason, What: DamageFresh}
	if err := f.replace(&a, nil, o.At); err != nil {
		return a, err
	}
	f.log().Error("there is no good backup: Recado begins with an empty database; restore a backup of yours with recado restore FILE", "quarantine", a.Quarantine)
	return a, nil
}

// replace raises the alarm and puts the files of the staging folder in place.
func (f Folder) replace(a *Alarm, files []string, at time.Time) error {
	p := f.plan(files, at)
	a.Quarantine = f.in(quarantineName, p.Quarantine)
	if err := f.raise(a); err != nil {
		return err
	}
	if err := f.decide(p); err != nil {
		return fmt.Errorf("put the damaged database aside: %w", err)
	}
	return f.Finish()
}

// salvageLimit is how long reading a damaged file may take: a box waits to start.
const salvageLimit = 15 * time.Second

// salvage makes a new database of what the damaged one still holds; it errs
// unless that is all of it.
func (f Folder) salvage(ctx context.Context, a *Alarm, at time.Time) (err error) {
	staging, err := f.stage()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !f.Unfinished() {
			err = errors.Join(err, os.RemoveAll(staging))
		}
	}()
	limited, cancel := context.WithTimeout(ctx, salvageLimit)
	defer cancel()
	file := filepath.Join(staging, DatabaseName)
	if err := sqlite.Salvage(limited, f.database(), file); err != nil {
		return err
	}
	if a.Open, err = mark(ctx, file); err != nil {
		return err
	}
	a.What = DamageSalvaged
	return f.replace(a, []string{DatabaseName}, at)
}

func (f Folder) restoreFile(ctx context.Context, name string, secret Secret, o RestoreOptions) (Restored, error) {
	file, err := os.Open(name)
	if err != nil {
		return Restored{}, err
	}
	defer file.Close()
	return f.Restore(ctx, file, secret, o)
}
