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

// Lane says who goes first.
type Lane uint8

const (
	// Urgent is what a modem or the network waits for: gate, outcome, inbound.
	Urgent Lane = iota
	// Ordinary is everything else: enqueue, settings.
	Ordinary
	lanes
)

const (
	// maxBatch functions share a commit, or as many as fit in maxHold, so that
	// a gate never waits long behind a bulk enqueue.
	maxBatch = 256
	maxHold  = 25 * time.Millisecond
	// maxWaiting functions of a lane; beyond, Write gives ErrOverloaded.
	maxWaiting = 8192
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
	state atomic.Int32
	done  chan error
	err   error
	after []func()
}

// writer owns the one connection that writes. Its goroutine takes what waits,
// urgent lane first, and commits it together.
type writer struct {
	log   *slog.Logger
	conn  *sql.Conn
	raw   *sqlite3.SQLiteConn // the same connection, to ask whether it is in a transaction
	stmts map[string]*sql.Stmt

	mu      sync.Mutex
	waiting [lanes][]*job
	closing bool

	wake     chan struct{} // capacity 1
	done     chan struct{} // the goroutine has ended
	failed   chan struct{}
	failure  atomic.Pointer[error]
	progress atomic.Pointer[time.Time]
}

func newWriter(ctx context.Context, db *sql.DB, log *slog.Logger) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{log: log, conn: conn, stmts: map[string]*sql.Stmt{},
		wake: make(chan struct{}, 1), done: make(chan struct{}), failed: make(chan struct{})}
	if err := conn.Raw(func(c any) error { w.raw = c.(*sqlite3.SQLiteConn); return nil }); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w.alive()
	go w.run()
	return w, nil
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
	j := &job{fn: fn, done: make(chan error, 1)}
	if err := db.w.put(lane, j); err != nil {
		return err
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

func (w *writer) put(lane Lane, j *job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failure.Load(); err != nil {
		return *err
	}
	if w.closing {
		return ErrClosed
	}
	if len(w.waiting[lane]) >= maxWaiting {
		return ErrOverloaded
	}
	w.waiting[lane] = append(w.waiting[lane], j)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// take gives the next job that its caller still wants; nil when none waits.
func (w *writer) take() *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	for lane := range w.waiting {
		q := w.waiting[lane]
		for len(q) > 0 {
			j := q[0]
			q[0] = nil
			q = q[1:]
			if j.state.CompareAndSwap(jobWaiting, jobTaken) {
				w.waiting[lane] = q
				return j
			}
		}
		w.waiting[lane] = nil // lets the grown array go
	}
	return nil
}

func (w *writer) run() {
	defer close(w.done)
	proof := time.NewTicker(idleProof)
	defer proof.Stop()
	for {
		if j := w.take(); j != nil {
			w.batch(j)
			continue
		}
		w.mu.Lock()
		end := w.closing
		w.mu.Unlock()
		if end {
			return
		}
		w.alive()
		select {
		case <-w.wake:
		case <-proof.C:
		}
	}
}

// batch runs first and what else waits in one transaction, then answers all.
func (w *writer) batch(first *job) {
	begun := time.Now()
	var kept, all []*job
	if err := w.begin(); err != nil {
		w.broke(err)
		w.answer([]*job{first}, err)
		return
	}
	for j := first; j != nil; j = w.take() {
		all = append(all, j)
		j.err = w.apply(j, len(kept) > 0)
		switch {
		case j.err == nil:
			kept = append(kept, j)
		case w.raw.AutoCommit():
			// SQLite undid the whole transaction (disk full, I/O error): the
			// others are innocent, each gets one of its own.
			w.alone(kept)
			kept = nil
			if err := w.begin(); err != nil {
				w.broke(err)
				w.answer(all, nil)
				return
			}
		}
		if len(all) >= maxBatch || time.Since(begun) > maxHold {
			break
		}
	}
	w.finish(kept)
	w.answer(all, nil)
}

// finish commits what was kept. When the commit fails for want of space each
// function is tried alone; any other failure ends this writer.
func (w *writer) finish(kept []*job) {
	if len(kept) == 0 {
		w.rollback()
		return
	}
	err := w.exec("COMMIT")
	if err == nil {
		w.committed(kept)
		return
	}
	w.rollback()
	if mayTryAgain(err) && len(kept) > 1 {
		w.alone(kept)
		return
	}
	err = named(err)
	if !errors.Is(err, ErrFull) {
		w.broke(err)
	}
	for _, j := range kept {
		j.err = fmt.Errorf("commit: %w", err)
	}
}

// alone runs each function again in a transaction of its own.
func (w *writer) alone(jobs []*job) {
	for _, j := range jobs {
		if err := w.begin(); err != nil {
			w.broke(err)
			j.err = err
			continue
		}
		if j.err = w.apply(j, false); j.err != nil {
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
	tx := &Tx{conn: w.conn, stmts: w.stmts}
	err := named(call(j.fn, tx, w.log))
	j.after = tx.after
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

// broke ends writing: after a failed fsync pages are marked clean that are not
// on disk, so the same handle must not be trusted with another commit.
func (w *writer) broke(err error) {
	if errors.Is(named(err), ErrFull) || w.failure.Load() != nil {
		return
	}
	final := fmt.Errorf("%w: %v", ErrFailed, err)
	w.mu.Lock()
	w.failure.Store(&final)
	var left []*job
	for lane := range w.waiting {
		left = append(left, w.waiting[lane]...)
		w.waiting[lane] = nil
	}
	w.mu.Unlock()
	w.log.Error("the database stopped writing", "error", err)
	for _, j := range left {
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			j.done <- final
		}
	}
	close(w.failed)
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
	if err := w.failure.Load(); err != nil && query != "ROLLBACK" {
		return *err
	}
	tx := Tx{conn: w.conn, stmts: w.stmts}
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
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	<-w.done
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	w.stmts = nil
	if err := w.conn.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
