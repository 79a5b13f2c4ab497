package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// spare is the room that a restore leaves on the disk, in octets: what a daemon
// needs to start.
const spare = 24 << 20

// RestoreOptions of Folder.Restore.
type RestoreOptions struct {
	// At names the quarantine of what was there.
	At time.Time
	// Free gives the room on the folder's disk in octets; nil: not looked at.
	Free func() (int64, error)
	// Quick leaves it at quick_check: for copies that were checked when they were
	// made, when a box waits to start.
	Quick bool
	// Say is told from time to time how far Recover is; may be nil.
	Say func(text string)

	// decided is called with what is known before anything is changed; may be nil.
	decided func(Restored) error
}

// Restored says what Restore did.
type Restored struct {
	Manifest Manifest
	// Open is how many messages were not final: they are held, and nothing of
	// them leaves before somebody releases them.
	Open int64
	// Quarantine is the folder that holds what was there; "" when nothing was.
	Quarantine string
	// Key: recado.key came with it.
	Key bool
}

// Restore puts the data of an archive in the place of what is there. The archive
// is read to its end and its database checked before anything is changed; what
// was there goes into quarantine/ and stays. When the program ends on the way,
// Finish completes or undoes it. It errs with ErrPassphrase, ErrArchive, ErrRoom,
// sqlite.ErrNewer or sqlite.ErrDamaged and has then changed nothing.
func (f Folder) Restore(ctx context.Context, from io.Reader, secret Secret, o RestoreOptions) (r Restored, err error) {
	staging, err := f.stage()
	if err != nil {
		return r, fmt.Errorf("prepare the restore: %w", err)
	}
	defer func() {
		if err != nil && !f.Unfinished() && f.died == nil {
			err = errors.Join(err, os.RemoveAll(staging))
		}
	}()
	r.Manifest, err = read(ctx, from, secret, func(file File) (io.WriteCloser, error) { return f.receive(file, o) })
	if err != nil {
		return r, err
	}
	if err := f.step("received"); err != nil {
		return r, err
	}
	database := filepath.Join(staging, DatabaseName)
	figures, err := sqlite.Inspect(ctx, database, !o.Quick)
	switch {
	case err != nil:
		return r, fmt.Errorf("check the backup's database: %w", err)
	case figures.Schema == 0:
		return r, fmt.Errorf("%w (its database has no schema)", ErrArchive)
	case figures.Schema != r.Manifest.Schema || !maps.Equal(figures.Rows, r.Manifest.Rows):
		return r, fmt.Errorf("%w (its database has not the rows that its manifest counts)", ErrArchive)
	}
	if r.Open, err = mark(ctx, database); err != nil {
		return r, fmt.Errorf("prepare the backup's database: %w", err)
	}
	files := []string{DatabaseName}
	if exists(filepath.Join(staging, KeyName)) {
		files, r.Key = append(files, KeyName), true
	}
	before := exists(f.database())
	if err := errors.Join(f.step("marked"), ctx.Err()); err != nil {
		return r, err
	}
	p := f.plan(files, o.At)
	if before {
		r.Quarantine = f.in(quarantineName, p.Quarantine)
	}
	if o.decided != nil {
		if err := o.decided(r); err != nil {
			return r, err
		}
	}
	if err := f.decide(p); err != nil {
		return r, fmt.Errorf("decide the restore: %w", err)
	}
	return r, f.Finish()
}

// receive opens the file in the staging folder that a file of the archive goes to.
func (f Folder) receive(file File, o RestoreOptions) (io.WriteCloser, error) {
	if o.Free != nil {
		free, err := o.Free()
		if err != nil {
			return nil, err
		}
		if file.Size > free-spare {
			return nil, fmt.Errorf("%w (it needs %d MB, %d MB are free)", ErrRoom, file.Size>>20, free>>20)
		}
	}
	out, err := os.OpenFile(f.in(stagingName, file.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return synced{out}, nil
}

// synced flushes a file when it is closed.
type synced struct{ *os.File }

func (s synced) Close() error { return errors.Join(s.Sync(), s.File.Close()) }

// mark brings a database that is in nobody's use up to this program's schema and
// says in it that it was restored; open is how many of its messages are not
// final. Afterwards its file stands alone.
func mark(ctx context.Context, path string) (open int64, err error) {
	db, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return 0, err
	}
	err = queue.MarkRestored(ctx, db)
	if err == nil {
		err = db.Read().QueryRowContext(ctx, `SELECT count(*) FROM message
			WHERE state IN ('scheduled','held','queued','sending') OR state = 'uncertain' AND decide_at > 0`).Scan(&open)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return 0, err
	}
	if err := sqlite.Alone(ctx, path); err != nil {
		return 0, err
	}
	for _, left := range append(sqlite.OldCopies(path), path+".clean") {
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
	return open, nil
}
