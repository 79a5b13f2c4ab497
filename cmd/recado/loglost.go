package main

import (
	"context"
	"fmt"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// logLost does what is to be done when the database's log of the last moments was gone:
// the alarm, which an administrator acknowledges, and nothing that is not final is sent
// before somebody releases it, as after a restore: what is missing may be that it was sent.
// Killed in between, the next start does it again.
func (d dataDir) logLost(ctx context.Context, db *sqlite.DB, log logger) error {
	why := db.LogLost()
	if why == "" {
		return nil
	}
	if err := d.folder(log).LogLost("recado.db-wal: "+why, time.Now()); err != nil {
		return err
	}
	if err := queue.MarkRestored(ctx, db); err != nil {
		return err
	}
	if err := db.LogLossTold(); err != nil {
		return fmt.Errorf("note that the loss of the database's log was told: %w", err)
	}
	return nil
}
