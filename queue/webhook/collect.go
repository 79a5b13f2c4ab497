package webhook

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"recado/queue/sqlite"
)

// collectRows is about how many rows are made in one transaction, so that a
// modem's gate never waits long.
const collectRows = 400

// collect makes the rows of the next events for the endpoints that want them,
// and moves their cursors in the same transaction. It says whether there is more.
func (o *Outbox) collect(ctx context.Context) (more bool, err error) {
	after := int64(-1)
	for _, l := range o.lanes {
		if after < 0 || l.cursor < after {
			after = l.cursor
		}
	}
	limit := max(20, collectRows/len(o.lanes))
	list, err := o.heads(ctx, after, limit)
	if err != nil || len(list) == 0 {
		return false, err
	}
	last := list[len(list)-1].seq
	now, wall := o.clock.tick(), o.wall.Now().UnixMilli()
	made, moved := 0, []*lane{}
	err = o.db.Write(ctx, sqlite.LaneOf(len(list)), func(tx *sqlite.Tx) error {
		made, moved = 0, moved[:0]
		for _, l := range o.lanes {
			if l.cursor >= last {
				continue
			}
			is, err := affects(tx.Exec(`UPDATE webhook SET cursor = ?3 WHERE id = ?1 AND cursor = ?2 AND active = 1`, l.id, l.cursor, last))
			if err != nil {
				return err
			}
			if !is { // deleted or changed by somebody
				o.stale.Store(true)
				continue
			}
			moved = append(moved, l)
			for _, e := range list {
				if e.seq <= l.cursor || !wanted(l.patterns, e.typ) {
					continue
				}
				id, err := uuid.NewV7()
				if err != nil {
					return err
				}
				if _, err := tx.Exec(`INSERT INTO webhook_delivery (id, webhook, event, event_id, type, state, first_tick, next_tick, created_at)
					VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?6, ?7)`, id[:], l.id, e.seq, e.id, e.typ, now, wall); err != nil {
					return err
				}
				made++
			}
		}
		return o.clock.note(tx, o.wall)
	})
	if err != nil {
		return false, fmt.Errorf("collect events for webhooks: %w", err)
	}
	for _, l := range moved {
		l.cursor = last
	}
	o.metrics.collected.Add(float64(made))
	return len(list) == limit, nil
}

// head is of an event what collect needs.
type head struct {
	seq     int64
	id, typ string
}

func (o *Outbox) heads(ctx context.Context, after int64, limit int) ([]head, error) {
	rows, err := o.db.Read().QueryContext(ctx, `SELECT seq, id, type FROM event WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read events for webhooks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []head
	for rows.Next() {
		var h head
		if err := rows.Scan(&h.seq, &h.id, &h.typ); err != nil {
			return nil, fmt.Errorf("read events for webhooks: %w", err)
		}
		list = append(list, h)
	}
	return list, rows.Err()
}
