package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// bootCheck is how long Open looks a file over that was not closed in order, of
// the 10 s in which all must be ready on a slow card and a busy board; the rest
// follows in the background.
const bootCheck = 3 * time.Second

// cleanName is the marker that an orderly Close leaves: what the file was like.
func cleanName(path string) string { return path + ".clean" }

// likeness is what the file was like, to notice that it is another one.
func likeness(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d\n", st.Size(), st.ModTime().UnixNano()), nil
}

// takeMarker says whether the file was closed in order and nobody has touched it
// since, and removes the marker: from now on it is in use.
func takeMarker(path string) (clean bool, err error) {
	was, err := os.ReadFile(cleanName(path))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = os.Remove(cleanName(path))
	}
	if err == nil {
		err = syncFile(filepath.Dir(path))
	}
	if err != nil {
		return false, err
	}
	is, err := likeness(path)
	return err == nil && is == string(was), nil
}

// leaveMarker says that the file was closed in order. Without it the next Open
// only takes longer.
func leaveMarker(path string) error {
	is, err := likeness(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(cleanName(path), []byte(is), 0o600); err != nil {
		return err
	}
	if err := syncFile(cleanName(path)); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// logMoved says that all of the WAL is in the file itself.
func logMoved(db *sql.DB) bool {
	var busy, all, moved int64
	err := db.QueryRow("PRAGMA wal_checkpoint(FULL)").Scan(&busy, &all, &moved)
	return err == nil && busy == 0 && all == moved
}

// forgetLog makes a WAL whose content is in the file an empty one of the same
// size (without its header, https://sqlite.org/fileformat2.html#the_write_ahead_log,
// it holds no frames). It stays for the reserve; left as it was, SQLite would
// apply it to whatever file somebody puts beside it, such as another box's.
func forgetLog(name string) error {
	const header = 32
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, header), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// checkAtOpen looks the file over for at most bound. done is false when that was
// not long enough.
func checkAtOpen(ctx context.Context, path string, bound time.Duration) (done bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, errOutOfTime)
	defer cancel()
	db := sql.OpenDB(looker{path})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	err = quickCheck(ctx, db, "")
	if err != nil && errors.Is(context.Cause(ctx), errOutOfTime) && !errors.Is(err, ErrDamaged) {
		return false, nil
	}
	return err == nil, err
}

var errOutOfTime = errors.New("the check of the database takes long")

// quickCheck runs PRAGMA quick_check on a table, or on all with "".
func quickCheck(ctx context.Context, db *sql.DB, table string) error {
	query := "PRAGMA quick_check(1)"
	if table != "" {
		query = "PRAGMA quick_check('" + strings.ReplaceAll(table, "'", "''") + "')"
	}
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return damage(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return damage(err)
		}
		if line != "ok" {
			return fmt.Errorf("%w: %s", ErrDamaged, line)
		}
	}
	return damage(rows.Err())
}

// checkBehind looks the file over table by table beside the work that goes on,
// and rests as long as each took. A table at a time, because while it is read
// the WAL grows; and not while the disk is full, because then it must not.
func (db *DB) checkBehind(ctx context.Context) {
	defer db.cond.checking.Store(false)
	err := func() error {
		own := sql.OpenDB(looker{db.path})
		own.SetMaxOpenConns(1)
		defer own.Close()
		tables, err := tableNames(ctx, own)
		for _, table := range tables {
			if err != nil {
				break
			}
			for ctx.Err() == nil && db.cond.look().State != HealthChecking {
				pause(ctx, roomRound)
			}
			begun := time.Now()
			err = quickCheck(ctx, own, table)
			pause(ctx, time.Since(begun))
		}
		return err
	}()
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrDamaged):
		db.w.give(func() { db.w.broke(err); db.w.damaged = true })
	case err != nil:
		db.log.Error("looking the database over", "error", err)
	default:
		db.log.Info("the database was looked over and is whole")
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// explain finds out whether an error of Open means that the file is damaged.
// SQLite says it in many ways: it cannot open what it does not understand, and
// opens for reading only what a later version may understand.
func explain(path string, err error) error {
	if err = damage(err); err == nil || errors.Is(err, ErrDamaged) {
		return err
	}
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case sqlite3.ErrError, sqlite3.ErrCantOpen, sqlite3.ErrReadonly:
	default:
		return err
	}
	if f, ferr := os.OpenFile(path, os.O_RDWR, 0); ferr == nil {
		ferr = errors.Join(soundHeaders(f, path+"-wal"), f.Close())
		if ferr != nil {
			return fmt.Errorf("%w (%w): %w", ErrDamaged, ferr, err)
		}
	}
	return err
}

// soundHeaders errs when what stands at the head of the file or of its WAL is not
// what Recado's has (sqlite.org/fileformat2.html 1.3 and 4.1).
func soundHeaders(f io.ReaderAt, wal string) error {
	h := make([]byte, 100)
	if _, err := f.ReadAt(h, 0); err != nil {
		return fmt.Errorf("the file's header cannot be read: %w", err)
	}
	switch {
	case !bytes.HasPrefix(h, []byte("SQLite format 3\x00")),
		h[18] < 1 || h[18] > 2 || h[19] < 1 || h[19] > 2, // versions
		h[21] != 64 || h[22] != 32 || h[23] != 32,        // payload fractions
		h[44]|h[45]|h[46] != 0 || h[47] > 4,              // schema format
		h[56]|h[57]|h[58] != 0 || h[59] > 3:              // text encoding
		return errors.New("the file's header is not a database's")
	}
	log, err := os.Open(wal)
	if err != nil {
		return nil // none, and that is no fault
	}
	defer log.Close()
	w := make([]byte, 8)
	if _, err := log.ReadAt(w, 0); err != nil {
		return nil
	}
	if bytes.HasPrefix(w, []byte{0x37, 0x7f, 0x06}) && !bytes.Equal(w[4:8], []byte{0, 0x2d, 0xe2, 0x18}) { // 3007000
		return errors.New("the WAL's header is not a WAL's")
	}
	return nil
}
