package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"recado/queue/failpoint"
)

const (
	// firstAfter is how long after its start a Keeper makes its first copy, when
	// the newest is old; retryAfter how long after a failure.
	firstAfter = 5 * time.Minute
	retryAfter = 10 * time.Minute
	// deepEvery: so often the whole of a copy is checked (integrity_check).
	deepEvery = 7 * 24 * time.Hour
	deepName  = "checked" // its modification time is when, in the folder of the copies

	defaultEvery, defaultHourly, defaultDaily = time.Hour, 24, 14
)

// ErrPaused: no copy is made because there is little room.
var ErrPaused = errors.New("automatic backups are paused: there is little room on the disk; free some, or keep fewer")

// Clock is the wall clock; copies are named after it.
type Clock interface{ Now() time.Time }

// Options of NewKeeper.
type Options struct {
	// Source is what is copied; its Extra goes only into copies under a passphrase.
	Source Source
	// Key is the box's (recado.key): copies in the data folder are under it.
	Key []byte
	// Folder is a second place for copies, such as a USB disk; "" none. Passphrase
	// gives the secret for those, each time anew.
	Folder     string
	Passphrase func() (Secret, error)
	// Every is the time between copies, Hourly how many of the newest are kept,
	// Daily of how many days one is kept; 0: an hour, 24, 14.
	Every         time.Duration
	Hourly, Daily int
	// Room says how much of the disk under a folder is free and how large it is,
	// in octets. Low says that the database's own disk is low by its own rules;
	// may be nil.
	Room func(folder string) (free, total int64, err error)
	Low  func() bool
	// Clock names the copies; intervals are After's, nil: time.After.
	Clock Clock
	After func(time.Duration) <-chan time.Time
	Log   *slog.Logger
}

// Status of a Keeper, for the pages.
type Status struct {
	// LastAt, File and Size (octets) are of the last good copy in the data folder,
	// of this run or an earlier one; LastAt is zero when there is none.
	LastAt time.Time
	File   string
	Size   int64
	// Copies are how many there are in the data folder.
	Copies int
	// CheckedAt is when the whole of a copy was last checked; zero: never.
	CheckedAt time.Time
	// Error is why the last attempt failed, "" when it did not; Since when it was
	// first so. Paused: because of the room.
	Error  string
	Since  time.Time
	Paused bool
	// NextAt is when the next is due.
	NextAt time.Time
	// Folder is the second place, "" when there is none.
	Folder string
}

// Keeper makes automatic copies and keeps as many as it is told. Run does it;
// the other methods may be called by any goroutine.
type Keeper struct {
	o    Options
	log  *slog.Logger
	work sync.Mutex // one copy at a time: each needs room for a plain one

	soon chan struct{} // something was erased

	mu     sync.Mutex
	status Status
	// asked is how often something was erased, erasing how much is just now.
	asked   int64
	erasing int
}

// NewKeeper makes a Keeper; it does nothing before Run.
func NewKeeper(o Options) *Keeper {
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.Hourly <= 0 {
		o.Hourly = defaultHourly
	}
	if o.Daily <= 0 {
		o.Daily = defaultDaily
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{o: o, log: o.Log, soon: make(chan struct{}, 1), status: Status{Folder: o.Folder}}
	k.look()
	return k
}

func (k *Keeper) local() string { return LocalFolder(filepath.Dir(k.o.Source.Database)) }

// Status tells how it goes.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// Run makes copies until ctx ends: the first five minutes after the start unless
// there is one of the last hour, then every hour; ten minutes after a failure. A
// renewal that is owed (Erasing) comes at once, also one of an earlier run.
func (k *Keeper) Run(ctx context.Context) error {
	for wait := k.first(ctx); ; {
		k.mu.Lock()
		k.status.NextAt = k.o.Clock.Now().Add(wait)
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-k.o.After(wait):
		case <-k.soon:
		}
		wait = k.o.Every
		work := k.Make
		if k.owed() {
			work = k.Renew
		}
		if err := work(ctx); err != nil {
			wait = min(wait, retryAfter)
		}
	}
}

// first is how long the first copy may wait.
func (k *Keeper) first(ctx context.Context) time.Duration {
	if k.owed() {
		return 0
	}
	list, err := Copies(k.local())
	if err != nil || len(list) == 0 {
		return firstAfter
	}
	age := k.o.Clock.Now().Sub(list[0].At)
	if age < 0 || age >= k.o.Every {
		return firstAfter
	}
	// One that this box cannot open, after another's key was restored, is none.
	secret, err := BoxSecret(k.o.Key)
	if err == nil {
		err = opens(ctx, list[0].Path, secret)
	}
	if err != nil {
		return firstAfter
	}
	return max(k.o.Every-age, min(firstAfter, k.o.Every))
}

// opens says whether a secret opens an archive, without reading all of it.
func opens(ctx context.Context, name string, secret Secret) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	stop := errors.New("seen")
	_, err = read(ctx, file, secret, func(File) (io.WriteCloser, error) { return nil, stop })
	if errors.Is(err, stop) {
		return nil
	}
	return err
}

// Make makes one copy in each place, verifies it, and only then lets old ones
// go. It errs with ErrPaused when there is little room.
func (k *Keeper) Make(ctx context.Context) error {
	k.work.Lock()
	defer k.work.Unlock()
	_, err := k.make(ctx)
	if err == nil {
		err = k.expireOld()
	}
	return k.told(ctx, err)
}

func (k *Keeper) make(ctx context.Context) (made []Copy, err error) {
	total, err := k.room()
	if err != nil {
		return nil, err
	}
	secret, err := BoxSecret(k.o.Key)
	if err != nil {
		return nil, err
	}
	now := k.o.Clock.Now()
	deep := k.deepDue(now)
	s, err := take(ctx, k.o.Source, now, deep)
	if err != nil {
		return nil, fmt.Errorf("make the automatic backup: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if deep {
		if err := k.checked(now); err != nil {
			return nil, err
		}
	}
	inside := *s
	inside.extra, inside.manifest.Files = nil, s.manifest.Files[:1] // the key would lie under itself
	c, err := k.place(ctx, &inside, k.local(), secret, total/4)
	if err != nil {
		return nil, err
	}
	made = append(made, c)
	if k.o.Folder == "" {
		return made, nil
	}
	outside, err := k.o.Passphrase()
	if err != nil {
		return made, fmt.Errorf("back up to %s: %w", k.o.Folder, err)
	}
	// Never made by us: where a disk should be mounted and is not, it would fill
	// the box's own.
	if _, err := os.Stat(k.o.Folder); err != nil {
		return made, fmt.Errorf("back up to %s: %w: is its disk mounted?", k.o.Folder, err)
	}
	if c, err = k.place(ctx, s, k.o.Folder, outside, 0); err != nil {
		return made, fmt.Errorf("back up to %s: %w", k.o.Folder, err)
	}
	return append(made, c), nil
}

// place writes a snapshot to a folder and lets the surplus of it go.
func (k *Keeper) place(ctx context.Context, s *snapshot, folder string, secret Secret, most int64) (Copy, error) {
	list, err := Copies(folder)
	if err != nil {
		return Copy{}, err
	}
	no := int64(1)
	if len(list) > 0 {
		no = list[0].No + 1
	}
	c, err := s.into(ctx, folder, no, secret, func() { failpoint.Hit(failpoint.BackupRename) })
	if err != nil {
		return c, err
	}
	for _, old := range surplus(append([]Copy{c}, list...), k.o.Hourly, k.o.Daily, most) {
		if err := os.Remove(old.Path); err != nil {
			return c, fmt.Errorf("let an old backup go: %w", err)
		}
	}
	k.log.Info("backed up", "file", c.Path, "octets", c.Size)
	return c, nil
}

// room errs with ErrPaused when a copy, plain and encrypted, would leave the disk
// with little; total is its size.
func (k *Keeper) room() (total int64, err error) {
	if k.o.Low != nil && k.o.Low() {
		return 0, ErrPaused
	}
	if k.o.Room == nil {
		return 0, nil
	}
	folder := filepath.Dir(k.o.Source.Database)
	free, total, err := k.o.Room(folder)
	if err != nil {
		return 0, fmt.Errorf("ask for the room in %s: %w", folder, err)
	}
	info, err := os.Stat(k.o.Source.Database)
	if err != nil {
		return 0, err
	}
	// What the database itself calls low, and a little more.
	if low := max(min(96<<20, total/16), 8<<20); free-2*info.Size() < low {
		return 0, ErrPaused
	}
	return total, nil
}

func (k *Keeper) deepDue(now time.Time) bool {
	info, err := os.Stat(filepath.Join(k.local(), deepName))
	if err != nil {
		return true
	}
	age := now.Sub(info.ModTime())
	return age >= deepEvery || age < 0
}

// checked notes that the whole of a copy was found good.
func (k *Keeper) checked(now time.Time) error {
	name := filepath.Join(k.local(), deepName)
	err := os.MkdirAll(k.local(), 0o700)
	if err == nil {
		err = os.WriteFile(name, nil, 0o600)
	}
	if err == nil {
		err = os.Chtimes(name, now, now)
	}
	if err != nil {
		return fmt.Errorf("note that the backup was checked: %w", err)
	}
	return nil
}

// told keeps what became of an attempt, and logs it; it gives it back.
func (k *Keeper) told(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	k.look()
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.status.Error
	k.status.Paused = errors.Is(err, ErrPaused)
	if err == nil {
		k.status.Error, k.status.Since = "", time.Time{}
		if before != "" {
			k.log.Info("automatic backups work again")
		}
		return nil
	}
	k.status.Error = err.Error()
	if before == "" {
		k.status.Since = k.o.Clock.Now()
	}
	k.log.Error("the automatic backup failed", "error", err)
	return err
}

// look reads what copies there are.
func (k *Keeper) look() {
	list, err := Copies(k.local())
	if err != nil {
		k.log.Warn("the automatic backups cannot be listed", "error", err)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.status
	s.Copies, s.LastAt, s.File, s.Size, s.CheckedAt = len(list), time.Time{}, "", 0, time.Time{}
	if len(list) > 0 {
		s.LastAt, s.File, s.Size = list[0].At, list[0].Path, list[0].Size
	}
	if info, err := os.Stat(filepath.Join(k.local(), deepName)); err == nil {
		s.CheckedAt = info.ModTime()
	}
}
