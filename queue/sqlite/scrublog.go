package sqlite

import (
	"context"
	"fmt"
)

// ScrubLog moves the write-ahead log into the file and cuts it off, so that a text
// that was deleted is not left in its old pages. It waits for no reader: ErrScrub
// when one still needs the log, as a backup that is being made does. The log's
// reserve is written anew after it (8 MiB), so that it is not to be called often.
func (db *DB) ScrubLog(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	ended := make(chan struct{})
	db.w.give(func() {
		defer close(ended)
		err = db.w.scrubLog()
	})
	select {
	case <-ended:
		return err
	case <-db.w.done:
		return ErrClosed
	}
}

func (w *writer) scrubLog() error {
	if w.stopped() {
		return ErrReadOnly
	}
	defer w.alive()
	var busy, all, moved int64
	err := w.one("PRAGMA wal_checkpoint(PASSIVE)", &busy, &all, &moved)
	if err == nil && (busy != 0 || moved < all) {
		return ErrScrub
	}
	w.alive()
	if err == nil {
		err = w.once("PRAGMA busy_timeout=0") // modems wait
	}
	if err == nil {
		err = w.dropNote()
	}
	if err == nil {
		err = w.one("PRAGMA wal_checkpoint(TRUNCATE)", &busy, &all, &moved)
	}
	if again := w.once("PRAGMA busy_timeout=5000"); err == nil {
		err = again
	}
	switch {
	case err != nil:
		w.trouble(err)
		return fmt.Errorf("%w: %w", ErrScrub, err)
	case busy != 0:
		return ErrScrub
	}
	return nil
}
