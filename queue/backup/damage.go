package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"recado/queue/sqlite"
)

// alarmName is a file in the data folder: it must be there also when the
// database is not.
const alarmName = "alarm.json"

// What was done about a damaged database.
const (
	// DamageRestored: nothing of it could be read. The newest good automatic copy is
	// in its place, and what was not final in it is held.
	DamageRestored = "restored"
	// DamageFresh: there was no good copy either; an empty database is in its place.
	DamageFresh = "fresh"
	// DamageSalvaged: a new file of the rows that could still be read is in its
	// place, with what the newest good copy had beside them; what was not final is
	// held.
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
	// Messages and Inbound are how many could be read of the damaged files,
	// LostMessages and LostInbound how many could not, as far as is known, and
	// AddedMessages and AddedInbound how many of those came from the copy.
	Messages      int64 `json:"messages,omitempty"`
	Inbound       int64 `json:"inbound,omitempty"`
	LostMessages  int64 `json:"lost_messages,omitempty"`
	LostInbound   int64 `json:"lost_inbound,omitempty"`
	AddedMessages int64 `json:"added_messages,omitempty"`
	AddedInbound  int64 `json:"added_inbound,omitempty"`
	// Broken are the tables of which something could not be read: of person, nobody
	// may be left to sign in.
	Broken []string `json:"broken,omitempty"`
	// From is the copy that was restored or drawn on, "" none, CopiedAt when it was
	// made. Open is how many messages are held.
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
// Its files go into quarantine. What can still be read of it takes their place, row
// by row, for it is the newest that there is; what broken pages held is taken from
// the newest automatic copy that is good, as it was then. When nothing can be read,
// that copy takes the place; without one it is left empty for a new database. What
// was not final is held, and the alarm stays until it is acknowledged. What only
// could not be saved, or restored, as for lack of room, stays where it is.
func (f Folder) Recover(ctx context.Context, key []byte, reason error, o RestoreOptions) (a Alarm, err error) {
	a = Alarm{At: o.At.UTC(), Reason: reason.Error()}
	f.log().Error("the database is damaged; reading what is left of it", "error", reason)
	list, err := Copies(f.in(localName))
	if err != nil {
		f.log().Error("the automatic backups cannot be listed", "error", err)
	}
	secret, err := BoxSecret(key)
	if err != nil {
		list = nil
	}
	err = f.salvage(ctx, &a, list, secret, o)
	switch {
	case err == nil:
		f.log().Error("what could be read of the damaged database was saved; what was not final is held until somebody releases it",
			"messages", a.Messages, "received", a.Inbound, "lost_messages", a.LostMessages, "lost_received", a.LostInbound,
			"from_backup", a.AddedMessages+a.AddedInbound, "held", a.Open, "quarantine", a.Quarantine)
		return a, nil
	case ctx.Err() != nil || f.Unfinished():
		return a, errors.Join(err, ctx.Err()) // once decided, the next start goes on
	case !errors.Is(err, sqlite.ErrDamaged) && !errors.Is(err, errTooLong):
		return a, err // what is there stays: it may be readable where the disk has room, or by a newer program
	}
	f.log().Error("nothing of the damaged database can be read; looking for the newest good backup", "error", err)
	a = Alarm{At: a.At, Reason: a.Reason}
	o.Quick = true
	for _, c := range list {
		o.decided = func(r Restored) error {
			a.What, a.Quarantine, a.From, a.CopiedAt, a.Open = DamageRestored, r.Quarantine, c.Path, r.Manifest.At, r.Open
			return f.raise(&a)
		}
		r, err := f.restoreFile(ctx, c.Path, secret, o)
		if ctx.Err() != nil || err != nil && f.Unfinished() {
			return a, errors.Join(err, ctx.Err())
		}
		if noRoom(err) {
			return a, err // an older copy, or none, is no answer to a full disk
		}
		if err != nil {
			f.log().Error("a backup cannot be used", "file", c.Path, "error", err)
			continue
		}
		f.log().Error("the newest good backup was restored; what was not final is held until somebody releases it",
			"file", c.Path, "made", r.Manifest.At, "held", r.Open, "quarantine", r.Quarantine)
		return a, nil
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

// noRoom says that a copy may be good, and only has no room here.
func noRoom(err error) bool {
	for _, is := range []error{ErrRoom, sqlite.ErrFull, unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
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

func (f Folder) restoreFile(ctx context.Context, name string, secret Secret, o RestoreOptions) (Restored, error) {
	file, err := os.Open(name)
	if err != nil {
		return Restored{}, err
	}
	defer file.Close()
	return f.Restore(ctx, file, secret, o)
}
