package sqlite

import (
	"context"
	"errors"
	"fmt"
)

// ErrScrub: what was deleted may still be read out of the database's files.
var ErrScrub = errors.New("what was deleted could not be overwritten everywhere; ask again when the box is quieter")

const (
	// scrubWhole is how much the database may hold for it to be written anew: so
	// much memory is taken for a moment.
	scrubWhole = 32 << 20
	// scrubFree is how much free space is overwritten otherwise, at most.
	scrubFree = 128 << 20
)

// Scrubbed says what Scrub did.
type Scrubbed struct {
	// Log: the write-ahead log with its old pages was cut off.
	Log bool
	// Whole: every page was written anew, so that no piece of an earlier row is
	// left inside one. Not done to a database of more than 32 MiB of content:
	// there the free pages are overwritten (Free), and what SQLite has moved from
	// page to page may have left pieces between the rows, until the pages are
	// used again.
	Whole, Free bool
}

// Scrub overwrites what deleted rows have left in the database's files: it
// writes the content anew, or overwrites the free pages of a large one, and cuts
// the write-ahead log off. The writer does nothing else meanwhile. It errs with
// ErrScrub when readers kept it from that. What the disk itself keeps of
// overwritten blocks nobody can reach from here (flash cards keep old blocks for
// a long time).
func (db *DB) Scrub(ctx context.Context) (done Scrubbed, err error) {
	if err := ctx.Err(); err != nil {
		return done, err
	}
	ended := make(chan struct{})
	db.w.give(func() {
		defer close(ended)
		done, err = db.w.scrub()
	})
	select {
	case <-ended:
		return done, err
	case <-db.w.done:
		return Scrubbed{}, ErrClosed
	}
}

func (w *writer) scrub() (done Scrubbed, err error) {
	if w.stopped() {
		return done, ErrReadOnly
	}
	s, err := w.sizes()
	if err != nil {
		return done, fmt.Errorf("%w: %w", ErrScrub, err)
	}
	page := w.reserve.page
	switch {
	case (s.pages-s.unused)*page <= scrubWhole:
		err = w.once("VACUUM")
		done.Whole = err == nil
	case s.unused*page <= scrubFree:
		err = w.overwriteFree(s)
		done.Free = err == nil
	}
	w.alive()
	// The log in any case: it holds what was deleted as it was.
	var busy, all, moved int64
	w.noted = false
	err = errors.Join(err, dropNote(w.path), w.one("PRAGMA wal_checkpoint(TRUNCATE)", &busy, &all, &moved))
	w.alive()
	switch {
	case err != nil:
		w.trouble(err)
		return done, fmt.Errorf("%w: %w", ErrScrub, err)
	case busy != 0:
		return done, ErrScrub
	}
	done.Log = true
	return done, nil
}

// overwriteFree takes all free pages and gives them back as zeros.
func (w *writer) overwriteFree(s sizes) (err error) {
	if s.unused < 4 {
		return nil
	}
	if err := w.once("PRAGMA secure_delete=ON"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.once("PRAGMA secure_delete=FAST")) }()
	if err := w.begin(); err != nil {
		return err
	}
	for _, query := range []string{
		"CREATE TABLE scrub_room (room BLOB)",
		// 4 octets of a page chain it to the next.
		fmt.Sprintf("INSERT INTO scrub_room VALUES (zeroblob(%d))", (s.unused-3)*(w.reserve.page-4)),
		"DELETE FROM scrub_room",
		"DROP TABLE scrub_room",
	} {
		if err := w.once(query); err != nil {
			w.rollback()
			return err
		}
	}
	if err := w.exec("COMMIT"); err != nil {
		w.rollback()
		return err
	}
	return nil
}
