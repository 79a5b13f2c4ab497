package webhook

import (
	"context"
	"fmt"
	"time"
)

const (
	tidyRound = time.Hour
	// keepDone is how long the outbox shows what arrived; keepDead how long
	// somebody has for replaying what did not.
	keepDone = 7 * 24 * time.Hour
	keepDead = 30 * 24 * time.Hour
	// maxDead letters of an endpoint are kept, the newest.
	maxDead  = 50_000
	tidyRows = 500
)

// The statements of tidy. Each finds its rows by an index (a test asks SQLite how):
// they hold the writer, and the table may have hundreds of thousands.
const (
	// ?1 webhook, ?2 a tick, ?3 the time, ?4 this tick, ?5 how many
	giveUpBehind = `UPDATE webhook_delivery SET state = 'dead', done_at = ?3, error = CASE error WHEN '' THEN '` + longFailed + `' ELSE error END
		WHERE seq IN (SELECT seq FROM webhook_delivery WHERE webhook = ?1 AND state = 'pending' AND first_tick < ?2 AND next_tick <= ?4 LIMIT ?5)`
	// ?1 webhook, ?2 how many, ?3 the newest that stay
	dropOverflow = `DELETE FROM webhook_delivery WHERE seq IN (SELECT seq FROM webhook_delivery
		WHERE webhook = ?1 AND state = 'dead' ORDER BY event DESC LIMIT ?2 OFFSET ?3)`
	// ?1 a tick, ?2 how many
	dropDone = `DELETE FROM webhook_delivery WHERE seq IN (SELECT seq FROM webhook_delivery INDEXED BY webhook_delivery_done
		WHERE state IN ('delivered','skipped','failed') AND first_tick < ?1 LIMIT ?2)`
	dropStale = `DELETE FROM webhook_delivery WHERE seq IN (SELECT seq FROM webhook_delivery INDEXED BY webhook_delivery_stale
		WHERE state IN ('dead','pending') AND first_tick < ?1 LIMIT ?2)`
)

// tidy deletes, once an hour, what is past its keeping, and gives up what waits
// behind an endpoint that has failed for longer than a delivery is tried: not each
// of many thousands needs to knock once more.
func (o *Outbox) tidy(ctx context.Context) error {
	now := o.clock.tick()
	if o.tidied > 0 && now-o.tidied < tidyRound.Milliseconds() {
		return nil
	}
	before := func(d time.Duration) int64 { return now - d.Milliseconds() }
	for _, l := range o.lanes {
		if l.failures < pauseAfter {
			continue
		}
		err := o.inBatches(ctx, o.metrics.dead.Add, giveUpBehind,
			l.id, before(giveUp+tidyRound), o.wall.Now().UnixMilli(), now, tidyRows)
		if err != nil {
			return err
		}
	}
	list, err := o.rows(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		o.tidied = now
		return nil
	}
	for _, r := range list {
		err := o.inBatches(ctx, o.metrics.dropped.Add, dropOverflow, r.id, tidyRows, maxDead)
		if err != nil {
			return err
		}
	}
	ignore := func(float64) {}
	if err := o.inBatches(ctx, ignore, dropDone, before(keepDone), tidyRows); err != nil {
		return err
	}
	if err := o.inBatches(ctx, o.metrics.dropped.Add, dropStale, before(keepDead), tidyRows); err != nil {
		return err
	}
	o.tidied = now
	return nil
}

// inBatches repeats a statement while it finds as many rows as it may change at
// once.
func (o *Outbox) inBatches(ctx context.Context, count func(float64), query string, args ...any) error {
	for {
		n, err := o.some(ctx, query, args...)
		if err != nil {
			return fmt.Errorf("delete what is past its keeping: %w", err)
		}
		if count(float64(n)); n < tidyRows {
			return nil
		}
	}
}
