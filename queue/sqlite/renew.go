package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	// failureWindow: a second failure within it ends writing.
	failureWindow = 10 * time.Minute
	// readerPatience is how long the file is not opened anew for the sake of
	// readers that have it still.
	readerPatience = 3 * time.Second

	walHeader, frameHeader = 32, 24
)

// renewal is what the writer knows of failures. After a failed fsync the kernel
// takes pages for written that are not on the disk, and a later fsync says that
// all is well: whoever tries the same commit again on the same file loses it
// without knowing (Rebello et al., USENIX ATC 2020). So the transaction is taken
// out of the WAL, the file is opened anew, and a second failure ends writing.
type renewal struct {
	// doubt is what everybody gets until the file has been opened anew; nil: none.
	doubt error
	// cause is what happened, damaged that it was the file and not the disk.
	cause   error
	damaged bool
	last    time.Time // of the last failure
	// open gives fresh pools, after close has let the old ones go.
	close func()
	open  func(context.Context) (*sql.DB, error)

	hookMu sync.Mutex
	hooked sync.WaitGroup
	onOpen []func(context.Context) error
	// stop ends what the hooks wait for when the database is closed.
	hookCtx context.Context
	stop    context.CancelFunc
}

type hookKey struct{}

// OnReopen has f called after a write to the file failed and the file was opened
// anew, before anybody else's writes go on; f may write with the ctx that it
// gets. What a Write that gave ErrFailed meant to do is not in the file then.
// The error of f is only logged.
func (db *DB) OnReopen(f func(context.Context) error) {
	db.w.hookMu.Lock()
	defer db.w.hookMu.Unlock()
	db.w.onOpen = append(db.w.onOpen, f)
}

// stopped says that nothing is written through this connection any more.
func (w *writer) stopped() bool { return w.doubt != nil || w.over.Load() != nil }

// failing looks at an error before it is told to anybody: one that makes the
// connection doubtful ends it.
func (w *writer) failing(err error) error {
	if doubtful(err) {
		w.broke(err)
	}
	if err != nil && w.doubt != nil {
		return w.doubt
	}
	if err = named(err); errors.Is(err, ErrFull) {
		w.cond.refused.Store(true)
	}
	return err
}

// broke notes that the connection must not be written through any more.
func (w *writer) broke(err error) {
	if w.doubt != nil {
		return
	}
	w.cause = err
	w.damaged = errors.Is(damage(err), ErrDamaged)
	w.doubt = fmt.Errorf("%w: %v", ErrFailed, err)
}

// renew opens the file anew after a failure, or ends writing.
func (w *writer) renew() {
	now := time.Now()
	again := !w.last.IsZero() && now.Sub(w.last) < failureWindow
	w.last = now
	w.log.Error("a write to the database failed", "error", w.cause, "again", again)
	frames, err := w.undo()
	switch {
	case w.damaged:
		w.end("the database file is damaged (" + w.cause.Error() + ")")
		return
	case again:
		w.end("writing to the disk failed twice within ten minutes (" + w.cause.Error() + ")")
		return
	case err != nil:
		w.end("writing to the disk failed (" + err.Error() + ")")
		return
	}
	if err := w.replace(frames); err != nil {
		w.end("the database could not be opened again after a failed write (" + err.Error() + ")")
		return
	}
	w.log.Warn("the database was opened anew; what was not acknowledged is not in it", "failure", w.cause)
	w.cond.healed("writing to the disk failed once (" + w.cause.Error() + "): check the disk, and replace it if this comes again")
	w.doubt, w.cause = nil, nil
	w.alive()
	w.runHooks()
}

// undo takes the transaction that failed out of the WAL, so that nobody finds it
// there and takes it for committed. It says how many frames stay. SQLite tells
// others of a transaction only after its fsync, so that nobody has read it.
func (w *writer) undo() (frames int64, err error) {
	if !w.raw.AutoCommit() {
		_ = w.once("ROLLBACK") // one that fails ends with the connection
	}
	var busy, moved int64
	if err := w.conn.QueryRowContext(background, "PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &frames, &moved); err != nil {
		return 0, fmt.Errorf("count the frames of the WAL: %w", err)
	}
	f, err := os.OpenFile(w.path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return frames, nil
	}
	if err != nil {
		return 0, err
	}
	at := walHeader + frames*(frameHeader+w.page)
	st, err := f.Stat()
	if err == nil && st.Size() > at {
		// A frame without its salt is none, nor is what follows it.
		_, err = f.WriteAt(make([]byte, frameHeader), at)
	}
	return frames, errors.Join(err, f.Sync(), f.Close())
}

// replace lets the old connections go and opens the file with new ones.
func (w *writer) replace(frames int64) error {
	if err := w.detach(); err != nil {
		w.log.Warn("closing the database after a failed write", "error", err)
	}
	w.renewal.close()
	db, err := w.renewal.open(background)
	if err != nil {
		return err
	}
	if err := w.attach(background, db); err != nil {
		return err
	}
	now, _, err := w.frames()
	if err == nil && now > frames {
		err = fmt.Errorf("the WAL has %d frames, not %d: a transaction that failed has come back", now, frames)
	}
	return err
}

// end ends writing for good. Reading goes on.
func (w *writer) end(why string) {
	final := fmt.Errorf("%w: %s", ErrReadOnly, why)
	// First, so that whoever is refused finds the reason in the health.
	w.cond.end(why + ": nothing more is written or sent, and what is there can be read. Check the disk or replace it, make sure of a backup, then restart Recado")
	w.mu.Lock()
	w.over.Store(&final)
	var left []*job
	for lane := range w.waiting {
		left = append(left, w.waiting[lane]...)
		w.waiting[lane] = nil
	}
	w.mu.Unlock()
	w.log.Error("the database is read-only from now on", "why", why)
	for _, j := range left {
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			j.done <- final
		}
	}
	w.doubt = nil
}

// runHooks calls what is to follow a reopening, and serves only that meanwhile.
func (w *writer) runHooks() {
	w.hookMu.Lock()
	todo := append([]func(context.Context) error{}, w.onOpen...)
	w.hookMu.Unlock()
	if len(todo) == 0 {
		return
	}
	w.mu.Lock()
	w.hooking = true
	w.mu.Unlock()
	w.hooked.Go(func() {
		for _, f := range todo {
			if err := f(w.hookCtx); err != nil {
				w.log.Error("after the database was opened anew", "error", err)
			}
		}
		w.mu.Lock()
		w.hooking = false
		w.mu.Unlock()
		w.nudge()
	})
}
