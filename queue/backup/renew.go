package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"recado/queue/sqlite"
)

const (
	// renewName marks, in the folder of the copies, that they must be replaced.
	renewName = "renew"
	// bakKept is how long the plain copy that was made before a migration stays.
	bakKept = 7 * 24 * time.Hour
)

// Erasing asks for a Renew, on disk when it comes back: call it before something
// is deleted, and done after, whatever became of it. Run renews then, again and
// again until it has worked; a box that dies meanwhile does it at its next start.
func (k *Keeper) Erasing() (done func(), err error) {
	k.mu.Lock()
	k.asked++
	k.erasing++
	k.mu.Unlock()
	done = sync.OnceFunc(func() {
		k.mu.Lock()
		k.erasing--
		k.mu.Unlock()
		select {
		case k.soon <- struct{}{}:
		default:
		}
	})
	err = os.MkdirAll(k.local(), 0o700)
	if err == nil {
		err = writeFile(filepath.Join(k.local(), renewName), nil)
	}
	if err != nil {
		done()
		return nil, fmt.Errorf("note that the backups must be replaced: %w", err)
	}
	return done, nil
}

func (k *Keeper) owed() bool { return exists(filepath.Join(k.local(), renewName)) }

// Renew makes a copy and takes all others away, in both places, with what
// migrations have put beside the database: for after something was erased.
// Where the second place fails, the copies of the first are replaced all the
// same. Quarantined data and copies made by hand stay. Why it failed is told by
// Status.
func (k *Keeper) Renew(ctx context.Context) error {
	k.work.Lock()
	defer k.work.Unlock()
	k.mu.Lock()
	asked, quiet := k.asked, k.erasing == 0
	k.mu.Unlock()
	made, err := k.make(ctx)
	errs := []error{err}
	for _, c := range made {
		list, err := Copies(filepath.Dir(c.Path))
		errs = append(errs, err)
		for _, old := range list {
			if old.Path != c.Path {
				errs = append(errs, os.Remove(old.Path))
			}
		}
	}
	if len(made) > 0 {
		for _, old := range sqlite.OldCopies(k.o.Source.Database) {
			errs = append(errs, os.Remove(old))
		}
	}
	if err = errors.Join(errs...); err == nil && quiet {
		err = k.renewed(asked)
	}
	if err != nil {
		err = fmt.Errorf("older backups still hold what was erased: %w", err)
	}
	return k.told(ctx, err)
}

// renewed takes the mark away, unless it was asked for again meanwhile.
func (k *Keeper) renewed(asked int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked != asked {
		return nil
	}
	if err := os.Remove(filepath.Join(k.local(), renewName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncFolder(k.local())
}

// expireOld takes away, after a good copy, the plain ones of migrations that are
// old: they hold what was deleted since. One of the future stays.
func (k *Keeper) expireOld() error {
	now := k.o.Clock.Now()
	var errs []error
	for _, old := range sqlite.OldCopies(k.o.Source.Database) {
		if at, ok := sqlite.OldCopyAt(old); ok && now.Sub(at) > bakKept {
			errs = append(errs, os.Remove(old))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("let the copy made before a migration go: %w", err)
	}
	return nil
}
