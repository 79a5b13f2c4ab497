package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrScrub: what was deleted may still be read out of the database's files.
var ErrScrub = errors.New("what was deleted could not be overwritten everywhere yet; Recado goes on with it by itself, also after a restart")

const (
	// scrubWhole is how much the database may hold for it to be written anew: so
	// much memory is taken for a moment, and so much is written while gates wait.
	scrubWhole = 8 << 20
	// scrubPatience is how long Scrub waits; a large file takes minutes.
	scrubPatience = 15 * time.Second
	// scrubAgain is the pause after which the log is tried again that a reader held.
	scrubAgain = 250 * time.Millisecond
	// backRows are the rows of reserve_room, of a step each, that are given back at
	// once. What is made as a reserve has no more than keptRows.
	backRows, keptRows = 16, 64 + reserveFree/step
	// settingScrub says that a Scrub was asked for and has not ended, and counts how
	// often since none was.
	settingScrub = "scrub_pending"
)

// Scrubbed says what Scrub did.
type Scrubbed struct {
	// Log: the write-ahead log with its old pages was cut off.
	Log bool
	// Whole: every page was written anew, so that no piece of an earlier row is
	// left inside one. Not done to a database of more than 8 MiB of content, nor
	// when that has no room on the disk a second time: there the free pages are
	// overwritten (Free). What is deleted is overwritten where it stood
	// (secure_delete); but when SQLite divides a full page between two, it may leave
	// a piece of what it moved in the unused middle of one, until that fills up.
	Whole, Free bool
}

// Scrub overwrites what deleted rows have left in the database's files: it
// writes the content anew, or overwrites the free pages of a large one, and cuts
// the write-ahead log off. A large one's pages are overwritten a few at a time, so
// that gates do not wait; that takes no room on the disk beside the log's. Scrub
// errs with ErrScrub when it is not done after 15 s, because the file is large or a
// reader holds the log: then it goes on behind, also after a restart. What the disk
// itself keeps of overwritten blocks nobody can reach from here (flash cards keep
// old blocks for a long time).
func (db *DB) Scrub(ctx context.Context) (done Scrubbed, err error) {
	if err := ctx.Err(); err != nil {
		return done, err
	}
	err = db.Write(ctx, Ordinary, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, '1') ON CONFLICT (key) DO UPDATE SET value = value + 1`, settingScrub)
		return err
	})
	if err != nil {
		return done, fmt.Errorf("%w: %w", ErrScrub, err)
	}
	type result struct {
		done Scrubbed
		err  error
	}
	ended := make(chan result, 1)
	if !db.behind(func(life context.Context) {
		done, err := db.scrubAll(life)
		ended <- result{done, err}
	}) {
		return done, ErrClosed
	}
	patience := time.NewTimer(db.scrubPatience)
	defer patience.Stop()
	select {
	case r := <-ended:
		return r.done, r.err
	case <-ctx.Done():
		return done, ErrScrub
	case <-patience.C:
		return done, ErrScrub
	}
}

// scrubUnfinished goes on with what an earlier run did not finish.
func (db *DB) scrubUnfinished(ctx context.Context) {
	var n int
	err := db.Read().QueryRowContext(ctx, `SELECT count(*) FROM setting WHERE key = ?`, settingScrub).Scan(&n)
	if err == nil {
		err = db.scrubBack(ctx)
	}
	if err == nil && n > 0 {
		_, err = db.scrubAll(ctx)
	}
	if err != nil && ctx.Err() == nil {
		db.log.Warn("overwriting what was deleted", "error", err)
	}
}

// scrubAll scrubs until it is done, one after the other.
func (db *DB) scrubAll(ctx context.Context) (done Scrubbed, err error) {
	db.scrubbing.Lock()
	defer db.scrubbing.Unlock()
	var asked string // what is asked for from now on is not done by this one
	err = db.Read().QueryRowContext(ctx, `SELECT value FROM setting WHERE key = ?`, settingScrub).Scan(&asked)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return done, fmt.Errorf("%w: %w", ErrScrub, err)
	}
	whole, err := db.scrubStep(ctx, func() (more bool, err error) { return db.w.scrubWhole(db.scrubMost) })
	if errors.Is(err, ErrFull) {
		// Another program took the room. The log has become long all the same.
		err = db.scrubCut(ctx)
	}
	if err != nil {
		return done, err
	}
	if done.Whole = whole; !whole {
		for more := true; more; {
			if more, err = db.scrubStep(ctx, db.w.scrubSome); err != nil {
				break
			}
		}
		if back := db.scrubBack(ctx); err == nil {
			err = back
		}
		if err != nil {
			return done, err
		}
		done.Free = true
	}
	// The log in any case: it holds what was deleted as it was.
	if err := db.scrubCut(ctx); err != nil {
		return done, err
	}
	done.Log = true
	err = db.Write(ctx, Ordinary, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM setting WHERE key = ? AND value = ?`, settingScrub, asked)
		return err
	})
	if err != nil {
		return done, fmt.Errorf("%w: %w", ErrScrub, err)
	}
	return done, nil
}

// scrubCut cuts the log off, as soon as no reader needs it.
func (db *DB) scrubCut(ctx context.Context) error {
	for {
		_, err := db.scrubStep(ctx, func() (bool, error) { return false, db.w.scrubLog() })
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrClosed) || db.w.over.Load() != nil || OfStorage(err) {
			return err
		}
		pause(ctx, scrubAgain)
	}
}

// scrubBack gives back what scrubSome holds.
func (db *DB) scrubBack(ctx context.Context) (err error) {
	for more := true; more && err == nil; {
		more, err = db.scrubStep(ctx, db.w.scrubEnd)
	}
	return err
}

// scrubStep has the writer do a step between two transactions.
func (db *DB) scrubStep(ctx context.Context, step func() (bool, error)) (more bool, err error) {
	if ctx.Err() != nil {
		return false, ErrScrub
	}
	ended := make(chan struct{})
	db.w.give(func() {
		defer close(ended)
		if db.w.stopped() {
			err = ErrReadOnly
			return
		}
		more, err = step()
		db.w.alive()
	})
	select {
	case <-ended:
	case <-db.w.done:
		return false, ErrClosed
	}
	if err != nil && !errors.Is(err, ErrScrub) {
		err = fmt.Errorf("%w: %w", ErrScrub, err)
	}
	return more, err
}

// scrubWhole writes a database that holds at most so much anew; false: it is larger,
// or the log, which gets all of it, would take the disk's last room.
func (w *writer) scrubWhole(most int64) (bool, error) {
	s, err := w.sizes()
	holds := (s.pages - s.unused - w.held) * w.page
	if err != nil || holds > most {
		return false, err
	}
	free, total, err := w.cond.room()
	if soft, _ := roomLimits(total); err != nil || free-soft <= holds+w.cond.missing.Load() {
		return false, err
	}
	if err := w.once("VACUUM"); err != nil {
		w.trouble(err)
		return false, named(err)
	}
	return true, nil
}

// scrubSome takes some of the free pages and fills them with zeros. They are held
// until there are no more (see hold): SQLite would use them again at once. Pages
// that become free meanwhile it takes as well.
func (w *writer) scrubSome() (more bool, err error) {
	s, err := w.sizes()
	if err != nil {
		return false, err
	}
	if w.overwriting && w.held == 0 {
		return false, errors.New("the disk is full, and needs the free pages")
	}
	w.overwriting = true
	n := min(s.unused, step/w.page)
	if n == 0 {
		return false, nil
	}
	if err := w.hold(s, n); err != nil {
		w.trouble(err)
		return false, err
	}
	return s.unused > n, nil
}

// scrubEnd makes some of the pages free again; that reads them.
func (w *writer) scrubEnd() (more bool, err error) {
	if w.overwriting && w.held > 0 {
		if err = w.once(fmt.Sprintf("DELETE FROM reserve_room WHERE rowid IN (SELECT rowid FROM reserve_room LIMIT %d)", backRows)); err == nil {
			err = w.one("SELECT EXISTS (SELECT 1 FROM reserve_room)", &more)
		}
	}
	if err == nil && !more {
		w.overwriting = false
		err = w.giveBack()
	}
	if err != nil {
		w.trouble(err)
	}
	return more && err == nil, err
}
