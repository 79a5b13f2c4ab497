// Package sqlite is the one place that names the database driver: it opens
// Recado's file with the settings that make a commit mean "on disk", migrates
// its schema, and gives one writer with group commit and a pool of readers.
//
// What it promises: Write returns nil only after COMMIT with journal_mode=WAL
// and synchronous=FULL, read back on every connection. A function given to
// Write happens wholly or not at all. After a failed write to the file nothing
// more is written through the same handle.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNewer: the file was written by a newer Recado; see NewerError.
	ErrNewer = errors.New("the database is of a newer Recado")
	// ErrClosed: the database is closing or closed.
	ErrClosed = errors.New("the database is closed")
	// ErrFailed: a write to the file failed; what the disk holds is unknown
	// until the file is opened anew, so nothing more is written.
	ErrFailed = errors.New("the database stopped after a failed write; restart Recado, and check the disk")
	// ErrOverloaded: too many writes wait already; try again in a moment.
	ErrOverloaded = errors.New("the database has too many writes waiting")
	// ErrFull: the disk is full (SQLITE_FULL). Nothing of the function was kept.
	ErrFull = errors.New("no space left for the database")
)

// Options for Open; the zero value is right.
type Options struct {
	// Log; nil discards.
	Log *slog.Logger
	// Readers is the size of the read pool; 0 is 4.
	Readers int
	// Now names the backups made before migrations; time.Now when nil.
	Now func() time.Time
}

// DB is an open database: one writer, several readers.
type DB struct {
	path string
	log  *slog.Logger
	wdb  *sql.DB // one connection, owned by the writer goroutine
	rdb  *sql.DB
	w    *writer
}

// Open opens the file, makes it when there is none (mode 0600), verifies the
// settings, backs up and migrates. It errs with ErrNewer when the schema is of
// a newer version. Its caller closes what it returns.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if err := private(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	wdb := sql.OpenDB(connector{path: path})
	wdb.SetMaxOpenConns(1)
	wdb.SetMaxIdleConns(1)
	if err := migrate(ctx, wdb, path, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), wdb.Close())
	}
	w, err := newWriter(ctx, wdb, o.Log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), wdb.Close())
	}
	rdb := sql.OpenDB(connector{path: path, readOnly: true})
	rdb.SetMaxOpenConns(o.Readers)
	rdb.SetMaxIdleConns(o.Readers)
	db := &DB{path: path, log: o.Log, wdb: wdb, rdb: rdb, w: w}
	if err := rdb.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

// private makes the file when there is none, and keeps others from reading it:
// SQLite gives the WAL and its index the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// Path of the database file.
func (db *DB) Path() string { return db.path }

// Read gives the pool of connections that cannot write (query_only). Keep
// transactions on it short: they hold the WAL's checkpoint back.
func (db *DB) Read() *sql.DB { return db.rdb }

// Progress is when the writer last committed or proved that it is idle and
// able to. A watchdog that sees it stand still knows that the writer hangs.
func (db *DB) Progress() time.Time { return db.w.progressAt() }

// Failed is closed when a write to the file failed: every Write gives
// ErrFailed from then on, and the program should be started anew.
func (db *DB) Failed() <-chan struct{} { return db.w.failed }

// Close refuses new writes, commits those that wait, and closes the file.
func (db *DB) Close() error {
	werr := db.w.close()
	return errors.Join(werr, db.rdb.Close(), db.wdb.Close())
}
