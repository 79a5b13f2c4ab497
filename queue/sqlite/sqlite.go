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
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that callers branch on.
var (
	// ErrNewer: the file was written by a newer Recado; see NewerError.
	ErrNewer = errors.New("the database is of a newer Recado")
	// ErrClosed: the database is closing or closed.
	ErrClosed = errors.New("the database is closed")
	// ErrFailed: the write to the file failed, and whether the disk holds it was
	// unknown at that moment. The file is opened anew, without it: what matters
	// must be written again.
	ErrFailed = errors.New("the disk failed to write")
	// ErrReadOnly: writing has ended, because the disk failed to write twice or the
	// file was found damaged. Reading goes on. Health says why.
	ErrReadOnly = errors.New("the database is read-only")
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
	// Room says how much can still be written on the disk and how large it is, in
	// octets; nil asks the file system of the file's folder.
	Room func() (free, total int64, err error)
	// ReserveWAL and ReserveFree are the octets kept in the WAL and in unused
	// pages of the file for the day the disk is full; 0 is 8 MiB each, less than
	// 0 is none.
	ReserveWAL, ReserveFree int64
	// ScrubWhole is how much content Scrub writes anew as a whole, in memory; 0 is
	// 8 MiB, less than 0 is nothing.
	ScrubWhole int64
}

// DB is an open database: one writer, several readers.
type DB struct {
	path    string
	log     *slog.Logger
	readers int
	wdb     *sql.DB // one connection, owned by the writer goroutine
	w       *writer
	cond    *condition
	file    *os.File // see reserve
	logLost string   // see LogLost
	logTold atomic.Bool

	mu  sync.RWMutex // held while the file is opened anew
	rdb *sql.DB

	// What works behind: it ends with stop.
	life   context.Context
	stop   context.CancelFunc
	lifeMu sync.Mutex
	closed bool
	tasks  sync.WaitGroup

	scrubbing     sync.Mutex
	scrubMost     int64
	scrubPatience time.Duration

	closing  sync.Once
	closeErr error
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
	o.ReserveWAL = cmp.Or(o.ReserveWAL, reserveWAL)
	o.ReserveFree = cmp.Or(o.ReserveFree, reserveFree)
	if err := private(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := &DB{path: path, log: o.Log, readers: o.Readers, cond: newCondition(path, o),
		scrubMost: cmp.Or(o.ScrubWhole, scrubWhole), scrubPatience: scrubPatience}
	db.life, db.stop = context.WithCancel(context.Background())
	if err := db.start(ctx, st.Size() == 0, o); err != nil {
		db.stop()
		return nil, fmt.Errorf("open database %s: %w", path, explain(path, err))
	}
	return db, nil
}

// start opens the connections, after looking the file over when nobody closed it
// in order. What it opened it closes when it errs.
func (db *DB) start(ctx context.Context, fresh bool, o Options) (err error) {
	marked := false // that it is lost
	if !fresh {
		if db.logLost, err = logLost(db.path); err != nil {
			db.log.Warn("looking at the database's log", "error", err)
		}
		marked = db.logLost != "" && err == nil
		if db.logLost != "" {
			db.log.Error("the database's log of the last moments is not whole: what was accepted then may be missing", "why", db.logLost)
		}
	}
	clean, err := takeMarker(db.path)
	if err != nil {
		return err
	}
	looked := true
	if !clean && !fresh {
		begun := time.Now()
		if looked, err = checkAtOpen(ctx, db.path, bootCheck); err != nil {
			return err
		}
		db.log.Info("the database was not closed in order and was looked over", "whole", looked, "took", time.Since(begun).Round(time.Millisecond))
	}
	if db.file, err = os.OpenFile(db.path, os.O_RDWR, 0); err != nil {
		return err
	}
	if !clean && !fresh {
		defer notTheLast(db.path).Close()
	}
	wdb, err := db.openWriter(ctx)
	if err != nil {
		return errors.Join(err, db.file.Close())
	}
	db.wdb = wdb
	if err := migrate(ctx, wdb, db.path, o); err != nil {
		return errors.Join(err, wdb.Close(), db.file.Close())
	}
	if marked {
		// SQLite would write on before the gap, and leave the commits behind it there:
		// they would be found again after the next kill, and taken for another loss.
		if err := cutLog(ctx, wdb, db.path, 0); err != nil {
			db.log.Warn("the loss of the database's log may be told again", "error", err)
		}
	}
	w := &writer{path: db.path, log: o.Log, cond: db.cond, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.reserve = reserve{wal: o.ReserveWAL, free: o.ReserveFree, file: db.file, noted: db.logLost != ""}
	w.renewal.close, w.renewal.open = db.letGo, db.reopen
	if err := w.attach(ctx, wdb); err != nil {
		return errors.Join(err, wdb.Close(), db.file.Close())
	}
	hookCtx, stop := context.WithCancel(context.WithValue(context.Background(), hookKey{}, db))
	w.hookCtx, w.stop = hookCtx, stop
	db.rdb = db.openReaders()
	w.alive()
	go w.run()
	db.w = w
	if err := db.rdb.PingContext(ctx); err != nil {
		return errors.Join(err, db.Close())
	}
	if !looked {
		db.cond.checking.Store(true)
		db.behind(db.checkBehind)
	}
	db.behind(db.scrubUnfinished)
	return nil
}

// behind does something beside the work that goes on, until the database is closed;
// false: it is.
func (db *DB) behind(do func(context.Context)) bool {
	db.lifeMu.Lock()
	defer db.lifeMu.Unlock()
	if db.closed {
		return false
	}
	db.tasks.Go(func() { do(db.life) })
	return true
}

// endTasks ends what works behind.
func (db *DB) endTasks() {
	db.lifeMu.Lock()
	db.closed = true
	db.lifeMu.Unlock()
	db.stop()
	db.tasks.Wait()
}

// notTheLast has the file open until it is closed. SQLite moves the WAL into the
// file when the last connection closes; what is found wrong while it is opened
// must be left as it was.
func notTheLast(path string) io.Closer {
	db := sql.OpenDB(looker{path})
	var version int64
	_ = db.QueryRow("PRAGMA data_version").Scan(&version) // has the file from now on
	return db
}

func (db *DB) openWriter(ctx context.Context) (*sql.DB, error) {
	wdb := sql.OpenDB(connector{path: db.path})
	wdb.SetMaxOpenConns(1)
	wdb.SetMaxIdleConns(1)
	if err := wdb.PingContext(ctx); err != nil {
		return nil, errors.Join(err, wdb.Close())
	}
	return wdb, nil
}

func (db *DB) openReaders() *sql.DB {
	rdb := sql.OpenDB(connector{path: db.path, readOnly: true})
	rdb.SetMaxOpenConns(db.readers)
	rdb.SetMaxIdleConns(db.readers)
	return rdb
}

// letGo closes all connections; reads wait from then on until reopen. Readers
// that are at work are waited for a little: as long as one has the file, the
// index of the WAL stays what it is, which is right too.
func (db *DB) letGo() {
	db.mu.Lock()
	if err := errors.Join(db.rdb.Close(), db.wdb.Close()); err != nil {
		db.log.Warn("closing the database after a failed write", "error", err)
	}
	for begun := time.Now(); db.rdb.Stats().OpenConnections > 0 && time.Since(begun) < readerPatience; {
		time.Sleep(5 * time.Millisecond)
	}
}

// reopen follows letGo.
func (db *DB) reopen(ctx context.Context) (*sql.DB, error) {
	defer db.mu.Unlock()
	db.rdb = db.openReaders()
	wdb, err := db.openWriter(ctx)
	if err != nil {
		return nil, err
	}
	db.wdb = wdb
	return wdb, nil
}

// private makes the file when there is none, and keeps others from reading it:
// SQLite gives the WAL and its index the same mode.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// Path of the database file.
func (db *DB) Path() string { return db.path }

// Read gives the pool of connections that cannot write (query_only); ask for it
// anew each time. Keep transactions on it short: they hold the WAL's checkpoint
// back. While the file is opened anew after a failed write, Read waits.
func (db *DB) Read() *sql.DB {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.rdb
}

// Progress is when the writer last committed or proved that it is idle and
// able to. A watchdog that sees it stand still knows that the writer hangs.
func (db *DB) Progress() time.Time { return db.w.progressAt() }

// Close refuses new writes, commits those that wait, and closes the file. Who
// closes it again gets what the first time gave.
func (db *DB) Close() error {
	db.closing.Do(func() { db.closeErr = db.close() })
	return db.closeErr
}

func (db *DB) close() error {
	db.endTasks()
	err := errors.Join(db.w.close(), db.Read().Close())
	moved := err == nil && db.w.over.Load() == nil && logMoved(db.wdb)
	err = errors.Join(err, db.wdb.Close(), db.file.Close())
	if err == nil && moved {
		if db.logLost == "" || db.logTold.Load() {
			err = dropNote(db.path)
		}
		if err == nil {
			err = forgetLog(db.path + "-wal")
		}
	}
	if err == nil && db.w.over.Load() == nil {
		if err := leaveMarker(db.path); err != nil {
			db.log.Warn("the database will be looked over at the next start", "error", err)
		}
	}
	return err
}
