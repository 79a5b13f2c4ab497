package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

const (
	// maxBatch functions share a commit, or as many as fit in the time of longest, so
	// that a gate never waits long behind a bulk enqueue.
	maxBatch               = 256
	maxHold                = 25 * time.Millisecond
	leastHold, leastUrgent = 5 * time.Millisecond, 2 * time.Millisecond
	// idleProof is how often an idle writer shows that it is alive.
	idleProof = time.Second
)

// States of a job: whoever swaps it away from waiting decides.
const (
	jobWaiting int32 = iota
	jobTaken
	jobAbandoned
)

type job struct {
	fn    func(*Tx) error
	lane  Lane
	given time.Time
	state atomic.Int32
	done  chan error
	err   error
	after []func()
}

// writer owns the one connection that writes. Its goroutine takes what waits,
// urgent lane first, and commits it together.
type writer struct {
	path  string
	log   *slog.Logger
	conn  *sql.Conn
	raw   *sqlite3.SQLiteConn // the same connection, to ask whether it is in a transaction
	stmts *statements
	cond  *condition
	reserve
	renewal

	mu      sync.Mutex
	waiting [lanes][]*job
	closing bool
	// hurried: what is Unhurried has waited long enough, or is enough to go by itself.
	hurried bool
	// hooking: OnReopen's functions run, and only they are served.
	hooking bool
	given   []func()

	wake chan struct{} // capacity 1
	done chan struct{} // the goroutine has ended
	// served is when each lane's last job had run; the goroutine's own.
	served [lanes]time.Time
	// commitTook is about what a commit takes on this disk.
	commitTook time.Duration
	// ran are the statements since the WAL's length was asked for; it is asked for
	// again after lookAfter of them.
	ran, lookAfter int64
	over           atomic.Pointer[error]
	progress       atomic.Pointer[time.Time]
}

// attach takes the connection that it writes through from a pool of one.
func (w *writer) attach(ctx context.Context, db *sql.DB) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	w.conn = conn
	w.capped = false
	err = w.conn.Raw(func(c any) error { w.raw = c.(*sqlite3.SQLiteConn); return nil })
	w.stmts = newStatements(conn, w.raw)
	if err == nil {
		err = w.one("PRAGMA page_size", &w.page)
	}
	if err == nil && w.free > 0 {
		err = w.foundHeld()
	}
	if err != nil {
		return errors.Join(err, w.detach())
	}
	return nil
}

// detach frees the connection.
func (w *writer) detach() error {
	errs := []error{w.stmts.close()}
	if err := w.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Write runs fn in the writer's transaction and returns when it is on disk, or
// with fn's error and nothing of it kept. It may share its commit with others.
// fn may be run a second time when the shared transaction had to be undone, so
// it must set, not add to, what it captures. A caller whose ctx ends before fn
// has begun gets ctx's error and fn never runs; once begun, Write waits.
func (db *DB) Write(ctx context.Context, lane Lane, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Value(hookKey{}) == db {
		lane = hooks
	}
	j := &job{fn: fn, lane: lane, given: time.Now(), done: make(chan error, 1)}
	if err := db.w.put(lane, j); err != nil {
		return err
	}
	if lane == Unhurried {
		t := time.AfterFunc(patience, db.w.hurry)
		defer t.Stop()
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobAbandoned) {
			return ctx.Err()
		}
		return <-j.done
	}
}

func (w *writer) run() {
	defer close(w.done)
	proof := time.NewTicker(idleProof)
	defer proof.Stop()
	for {
		j := w.first()
		if j != nil {
			w.batch(j)
		}
		w.runGiven()
		if w.doubt != nil {
			w.renew()
			continue
		}
		if more := w.upkeep(w.busy()); j != nil || w.busy() {
			continue
		} else if w.ending() {
			return
		} else if more {
			w.alive()
			continue
		}
		w.alive()
		select {
		case <-w.wake:
		case <-proof.C:
		}
	}
}

// give has the writer's goroutine run f between two transactions, soon.
func (w *writer) give(f func()) {
	w.mu.Lock()
	w.given = append(w.given, f)
	w.mu.Unlock()
	w.nudge()
}

func (w *writer) runGiven() {
	w.mu.Lock()
	todo := w.given
	w.given = nil
	w.mu.Unlock()
	for _, f := range todo {
		f()
	}
}

func (w *writer) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writer) ending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closing && !w.hooking
}

// batch runs first and what else waits in one transaction, then answers all.
func (w *writer) batch(first *job) {
	begun := time.Now()
	urgent, lengthy := false, true
	var kept, all []*job
	if err := w.begin(); err != nil {
		w.answer([]*job{first}, w.failing(err))
		return
	}
	for j := first; j != nil; j = w.join(lengthy) {
		all = append(all, j)
		urgent = urgent || j.lane < Ordinary || j.lane == hooks
		lengthy = lengthy && j.lane == Lengthy
		j.err = w.failing(w.apply(j, len(kept) > 0))
		now := time.Now()
		w.served[j.lane] = now
		switch {
		case w.doubt != nil:
		case j.err == nil:
			kept = append(kept, j)
		case w.raw.AutoCommit():
			// SQLite undid the whole transaction (disk full): the others are
			// innocent, each gets one of its own.
			w.alone(kept)
			kept = nil
			if err := w.begin(); err != nil {
				_ = w.failing(err)
				w.answer(all, nil)
				return
			}
		}
		over := now.Sub(begun) > w.longest(urgent)
		if w.doubt != nil || len(all) >= maxBatch || over && !lengthy {
			break
		}
		if over { // what came in meanwhile need not wait for a second commit
			lengthy, begun = false, now
		}
	}
	w.finish(kept)
	w.answer(all, nil)
}

// longest is how long functions are taken into a transaction. The longer a commit
// takes, the more should share it; where it takes next to nothing, waiting for
// others only costs those time who came first, above all the urgent.
func (w *writer) longest(urgent bool) time.Duration {
	if urgent {
		return min(max(w.commitTook, leastUrgent), maxHold)
	}
	return min(max(2*w.commitTook, leastHold), maxHold)
}

// finish commits what was kept. When the commit fails for want of space, or
// because of one of them, each function is tried alone; after any other failure
// the file is opened anew.
func (w *writer) finish(kept []*job) {
	if len(kept) == 0 {
		w.rollback()
		return
	}
	begun := time.Now()
	err := w.exec("COMMIT")
	if err == nil {
		w.commitTook += (time.Since(begun) - w.commitTook) / 8
		w.committed(kept)
		return
	}
	w.rollback()
	if mayTryAgain(err) && len(kept) > 1 {
		w.alone(kept)
		return
	}
	if !mayTryAgain(err) {
		w.broke(err)
		err = w.doubt
	}
	for _, j := range kept {
		j.err = fmt.Errorf("commit: %w", named(err))
	}
}

// alone runs each function again in a transaction of its own.
func (w *writer) alone(jobs []*job) {
	for _, j := range jobs {
		if j.err = w.failing(w.begin()); j.err != nil {
			continue
		}
		if j.err = w.failing(w.apply(j, false)); j.err != nil {
			w.rollback()
			continue
		}
		w.finish([]*job{j})
	}
}

// apply runs one function. With a savepoint when others share the
// transaction, else on the bare transaction, which is undone and begun anew
// when the function fails.
func (w *writer) apply(j *job, shared bool) error {
	if shared {
		if err := w.exec("SAVEPOINT one"); err != nil {
			return named(err)
		}
	}
	tx := &Tx{statements: w.stmts}
	err := named(call(j.fn, tx, w.log))
	j.after = tx.after
	w.ran += tx.ran
	if w.raw.AutoCommit() {
		if err == nil {
			err = errors.New("the function ended the transaction")
		}
		return err
	}
	switch {
	case err == nil && shared:
		return named(w.exec("RELEASE one"))
	case err != nil && shared:
		return errors.Join(err, w.exec("ROLLBACK TO one"), w.exec("RELEASE one"))
	case err != nil:
		w.rollback()
		return errors.Join(err, w.begin())
	}
	return nil
}

// call turns a panic of fn into an error: one bad write must not take the
// modems down.
func call(fn func(*Tx) error, tx *Tx, log *slog.Logger) (err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Error("a write panicked", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("write panicked: %v", r)
		}
	}()
	return fn(tx)
}

// committed runs what was to follow the commit.
func (w *writer) committed(jobs []*job) {
	w.alive()
	for _, j := range jobs {
		for _, f := range j.after {
			f()
		}
	}
}

// answer tells the callers; err, when given, stands for all.
func (w *writer) answer(jobs []*job, err error) {
	for _, j := range jobs {
		if err != nil {
			j.err = err
		}
		j.done <- j.err
	}
}

func (w *writer) begin() error { return w.exec("BEGIN IMMEDIATE") }

func (w *writer) rollback() {
	if w.raw.AutoCommit() {
		return
	}
	if err := w.exec("ROLLBACK"); err != nil {
		w.broke(err)
	}
}

func (w *writer) exec(query string) error {
	if w.doubt != nil && query != "ROLLBACK" {
		return w.doubt
	}
	tx := Tx{statements: w.stmts}
	_, err := tx.Exec(query)
	return err
}

func (w *writer) alive() {
	now := time.Now()
	w.progress.Store(&now)
}

func (w *writer) progressAt() time.Time { return *w.progress.Load() }

// close lets the writer finish what waits, then frees its connection.
func (w *writer) close() error {
	w.mu.Lock()
	w.closing = true
	w.hurried = len(w.waiting[Unhurried]) > 0
	w.mu.Unlock()
	w.stop()
	w.nudge()
	<-w.done
	w.hooked.Wait()
	return w.detach()
}
