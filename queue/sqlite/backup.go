package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

const (
	// copyWAL is how far the WAL may grow while a copy is read: until its end
	// nothing of the WAL can be used again.
	copyWAL = 64 << 20
	// copyLook is how often that is looked at.
	copyLook = 100 * time.Millisecond
	// oldCopies is how many copies made before migrations are kept.
	oldCopies = 3
)

// ErrCopyBehind: the database was written to faster than it could be copied.
var ErrCopyBehind = errors.New("the database was written to faster than it could be copied; try again when less is sent")

// Copy writes a copy of the database at path to file, which must not exist or be
// empty: one state of it, whole, with nothing of what was deleted, also while
// others write to it. The copy is mode 0600 and flushed to disk; it needs no
// WAL. It reads through a connection of its own, which holds no writer up, and
// gives up with ErrCopyBehind before the WAL has grown beyond 64 MiB. After an
// error file is gone.
func Copy(ctx context.Context, path, file string) (err error) {
	return copyWithin(ctx, path, file, copyWAL)
}

func copyWithin(ctx context.Context, path, file string, most int64) (err error) {
	if err := private(file); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file))
		}
	}()
	// Not query_only, which would forbid VACUUM INTO.
	db := sql.OpenDB(wary{path, "mode=ro&_busy_timeout=5000"})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()

	limited, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watchWAL(limited, path+"-wal", most, cancel)
	}()
	_, err = db.ExecContext(limited, `VACUUM INTO ?`, file)
	cancel(nil)
	<-ended
	switch {
	case err == nil:
		return syncFile(file)
	case errors.Is(context.Cause(limited), ErrCopyBehind):
		return ErrCopyBehind
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("copy the database: %w", damage(named(err)))
}

// watchWAL ends a copy when the WAL has grown beyond most octets, or beyond what
// it had at the beginning when that was more.
func watchWAL(ctx context.Context, wal string, most int64, end context.CancelCauseFunc) {
	size := func() int64 {
		st, err := os.Stat(wal)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	most = max(most, size())
	tick := time.NewTicker(copyLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if size() > most {
			end(ErrCopyBehind)
			return
		}
	}
}

// wary makes connections to a file as the query of its URI says, which believe
// little of what is in it.
type wary struct{ path, query string }

func (w wary) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// Connect implements driver.Connector.
func (w wary) Connect(context.Context) (driver.Conn, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: w.path, RawQuery: w.query}
	conn, err := (&sqlite3.SQLiteDriver{}).Open(u.String())
	if err != nil {
		return nil, err
	}
	for _, set := range []string{"trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "cache_size=-1000", "temp_store=MEMORY"} {
		if _, err := ask(conn.(*sqlite3.SQLiteConn), "PRAGMA "+set); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// Inspect looks over a database file of unknown origin, such as one from a
// backup: nothing in it is executed or changed, not even made beside it, so it
// must have no WAL. deep runs PRAGMA integrity_check, else it is quick_check.
// The error matches ErrDamaged when that found something, and ErrNewer (see
// NewerError) when the schema is of a newer version than this program's.
func Inspect(ctx context.Context, path string, deep bool) (f Figures, err error) {
	db := sql.OpenDB(wary{path, "mode=ro&immutable=1&_query_only=true"})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if f, err = figures(ctx, db); err != nil {
		return f, damage(err)
	}
	if know := newest(); f.Schema > know {
		return f, &NewerError{Have: f.Schema, Know: know}
	}
	check := "PRAGMA quick_check(5)"
	if deep {
		check = "PRAGMA integrity_check(5)"
	}
	return f, examine(ctx, db, check)
}

// IsDamage says that SQLite found a database damaged, or that it is none.
func IsDamage(err error) bool { return errors.Is(damage(err), ErrDamaged) }

// newest is the schema that this program makes.
func newest() (know int64) {
	entries, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return 0 // embedded: it is there
	}
	for _, e := range entries {
		digits, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			know = max(know, n)
		}
	}
	return know
}

// Alone takes what the WAL of a closed database holds into its file and the WAL
// away, so that the file can be moved by itself; it is flushed to disk.
func Alone(ctx context.Context, path string) (err error) {
	// Not by a connector, whose connections leave the WAL where it is.
	db := sql.OpenDB(wary{path, "mode=rw&_synchronous=FULL&_busy_timeout=1000"})
	db.SetMaxOpenConns(1)
	var mode string
	err = db.QueryRowContext(ctx, `PRAGMA journal_mode=DELETE`).Scan(&mode)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("take the WAL into %s: %w", filepath.Base(path), err)
	}
	if mode != "delete" {
		return fmt.Errorf("take the WAL into %s: its journal mode stays %q, somebody else has it open", filepath.Base(path), mode)
	}
	return syncFile(path)
}

// backup writes a whole copy of the database to file before a migration. The
// copy is on disk under its name or not there at all.
func backup(ctx context.Context, db *sql.DB, file string) error {
	part := file + ".part"
	if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
		return err
	}
	// Made first, to give it its mode before anything is in it: VACUUM INTO
	// takes an empty file.
	if err := private(part); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, part); err != nil {
		return err
	}
	if err := markCopy(ctx, part); err != nil {
		return err
	}
	if err := syncFile(part); err != nil {
		return err
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	return syncFile(filepath.Dir(file))
}

// markCopy has what is unfinished in a copy held should it ever take the place of
// the database: by then it may have been sent (see queue.MarkRestored). Versions
// before schema 5 do not know it.
func markCopy(ctx context.Context, file string) error {
	db := sql.OpenDB(wary{file, "mode=rw"})
	db.SetMaxOpenConns(1)
	var known int
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'setting'`).Scan(&known)
	if err == nil && known > 0 {
		_, err = db.ExecContext(ctx, `INSERT INTO setting (key, value) VALUES ('restore_epoch', 'before migrating, ' || lower(hex(randomblob(16))))
			ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
	}
	return errors.Join(err, db.Close())
}

var oldCopyName = regexp.MustCompile(`\.schema(\d+)-(\d{8}-\d{6})\.bak(\.part)?$`)

// OldCopies lists the copies that migrations of the database at path have made,
// newest schema first.
func OldCopies(path string) []string {
	found, _ := filepath.Glob(globbed(path) + ".schema*.bak")
	found = slices.DeleteFunc(found, func(f string) bool { return !oldCopyName.MatchString(f) })
	slices.SortFunc(found, func(a, b string) int {
		x, y := oldCopyName.FindStringSubmatch(a), oldCopyName.FindStringSubmatch(b)
		m, _ := strconv.Atoi(x[1])
		n, _ := strconv.Atoi(y[1])
		return cmp.Or(cmp.Compare(n, m), strings.Compare(y[2], x[2]))
	})
	return found
}

// OldCopyAt is when a file of OldCopies was made, as its name says.
func OldCopyAt(file string) (time.Time, bool) {
	parts := oldCopyName.FindStringSubmatch(file)
	if parts == nil {
		return time.Time{}, false
	}
	at, err := time.Parse("20060102-150405", parts[2])
	return at, err == nil
}

// tidyOldCopies keeps the newest three and takes away what a crash left half
// written.
func tidyOldCopies(path string) error {
	var errs []error
	halves, _ := filepath.Glob(globbed(path) + ".schema*.bak.part")
	all := OldCopies(path)
	for _, f := range append(halves, all[min(oldCopies, len(all)):]...) {
		if oldCopyName.MatchString(f) {
			errs = append(errs, os.Remove(f))
		}
	}
	return errors.Join(errs...)
}

// globbed is a path as a pattern that matches only itself.
func globbed(path string) string {
	return regexp.MustCompile(`[*?\[\\]`).ReplaceAllString(path, `\$0`)
}

// syncFile flushes a file or a folder to disk.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
