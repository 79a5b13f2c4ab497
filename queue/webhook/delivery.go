package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"recado/queue"
	"recado/queue/sqlite"
)

// States in the order pages show them.
var States = []State{Pending, Dead, Delivered, Failed, Skipped}

const deliveryColumns = `id, webhook, event, event_id, type, state, attempts, next_tick, status, error, created_at, tried_at, done_at`

func (o *Outbox) scanDelivery(s interface{ Scan(...any) error }) (Delivery, error) {
	var d Delivery
	var id []byte
	var next, created, tried, done int64
	err := s.Scan(&id, &d.Webhook, &d.Sequence, &d.EventID, &d.Type, &d.State, &d.Attempts, &next, &d.Status, &d.Error, &created, &tried, &done)
	if err != nil {
		return d, err
	}
	name, err := uuid.FromBytes(id)
	d.ID, d.CreatedAt, d.TriedAt, d.DoneAt = name.String(), at(created), at(tried), at(done)
	if d.State == Pending {
		d.NextAt = o.wall.Now().Add(max(0, ticks(next-o.clock.tick()))).UTC()
	}
	return d, err
}

// Deliveries of an endpoint, newest first; state "" is any. next is the cursor of
// what follows, "" at the end. ErrNotFound when there is no such endpoint.
func (o *Outbox) Deliveries(ctx context.Context, webhook string, state State, limit int, cursor string) (list []Delivery, next string, err error) {
	if _, err := o.row(ctx, webhook); err != nil {
		return nil, "", err
	}
	if state != "" && !slices.Contains(States, state) {
		return nil, "", &queue.Invalid{Field: "state", Detail: "there is no such state", Value: string(state)}
	}
	before := int64(1<<63 - 1)
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before < 1 {
			return nil, "", &queue.Invalid{Field: "cursor", Detail: "this is no cursor of this list", Value: cursor}
		}
	}
	query := `SELECT ` + deliveryColumns + ` FROM webhook_delivery WHERE webhook = ?1 AND event < ?2`
	switch state {
	case "":
	case Pending, Dead: // constants, so that their indexes serve
		query += ` AND state = '` + string(state) + `'`
	default:
		query += ` AND state = ?4`
	}
	rows, err := o.db.Read().QueryContext(ctx, query+` AND ?4 = ?4 ORDER BY event DESC LIMIT ?3`, webhook, before, limit+1, string(state))
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		d, err := o.scanDelivery(rows)
		if err != nil {
			return nil, "", fmt.Errorf("list deliveries: %w", err)
		}
		list = append(list, d)
	}
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].Sequence, 10)
	}
	return list, next, rows.Err()
}

// Delivery gives one; ErrNoDelivery.
func (o *Outbox) Delivery(ctx context.Context, id string) (Delivery, error) {
	name, err := uuid.Parse(id)
	if err != nil {
		return Delivery{}, ErrNoDelivery
	}
	d, err := o.scanDelivery(o.db.Read().QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM webhook_delivery WHERE id = ?`, name[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return d, ErrNoDelivery
	}
	if err != nil {
		return d, fmt.Errorf("read a delivery: %w", err)
	}
	return d, nil
}

// Replay sends an event again, with the same webhook-id: one that was given up or
// delivered begins anew, one that waits goes at once. ErrErased when there is
// nothing left to send. To an endpoint that is switched off it goes when that is
// switched on.
func (o *Outbox) Replay(ctx context.Context, id string) (Delivery, error) {
	d, err := o.Delivery(ctx, id)
	if err != nil {
		return d, err
	}
	if d.State == Skipped {
		return d, ErrErased
	}
	if _, err := o.event(ctx, d.Sequence); err != nil {
		return d, fmt.Errorf("replay a delivery: %w", err)
	}
	name := uuid.MustParse(d.ID)
	err = o.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`UPDATE webhook_delivery SET next_tick = ?2, done_at = 0, state = 'pending',
			attempts = CASE WHEN state = 'pending' THEN attempts ELSE 0 END, first_tick = CASE WHEN state = 'pending' THEN first_tick ELSE ?2 END
			WHERE id = ?1`, name[:], o.clock.tick()); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE webhook SET paused_until = 0 WHERE id = ?`, d.Webhook)
		return err
	})
	if err != nil {
		return d, fmt.Errorf("replay a delivery: %w", err)
	}
	o.changed()
	return o.Delivery(ctx, id)
}

// ReplayDead begins all dead letters of an endpoint anew and says how many.
func (o *Outbox) ReplayDead(ctx context.Context, webhook string) (int, error) {
	if _, err := o.row(ctx, webhook); err != nil {
		return 0, err
	}
	all := 0
	for {
		n, err := o.some(ctx, `UPDATE webhook_delivery SET state = 'pending', attempts = 0, first_tick = ?2, next_tick = ?2, done_at = 0
			WHERE seq IN (SELECT seq FROM webhook_delivery WHERE webhook = ?1 AND state = 'dead' ORDER BY event LIMIT 500)`, webhook, o.clock.tick())
		if err != nil {
			return all, fmt.Errorf("replay dead letters: %w", err)
		}
		if all += int(n); n == 0 {
			break
		}
	}
	if err := o.write(ctx, `UPDATE webhook SET paused_until = 0 WHERE id = ?`, webhook); err != nil {
		return all, fmt.Errorf("replay dead letters: %w", err)
	}
	o.changed()
	return all, nil
}

// Test posts a system.test event to one endpoint at once, also to one that is
// switched off, and says what came of it. It is not tried again. One that
// arrives ends the pauses of an endpoint that had failed.
func (o *Outbox) Test(ctx context.Context, id string) (Delivery, error) {
	r, err := o.row(ctx, id)
	if err != nil {
		return Delivery{}, err
	}
	select {
	case o.tests <- struct{}{}:
		defer func() { <-o.tests }()
	default:
		return Delivery{}, ErrBusy
	}
	name, err := uuid.NewV7()
	if err != nil {
		return Delivery{}, fmt.Errorf("test a webhook: %w", err)
	}
	j := job{endpoint: &r.endpoint}
	err = o.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if err := o.events.AppendEvent(tx, typeTest, map[string]string{"webhook": id}); err != nil {
			return err
		}
		res, err := tx.Exec(`INSERT INTO webhook_delivery (id, webhook, event, event_id, type, state, first_tick, next_tick, created_at, error)
			SELECT ?1, ?2, seq, id, type, 'failed', ?4, 0, ?3, ?5 FROM event ORDER BY seq DESC LIMIT 1`,
			name[:], id, o.wall.Now().UnixMilli(), o.clock.tick(), reasonUnseen.of(""))
		if err != nil {
			return err
		}
		if j.delivery, err = res.LastInsertId(); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT event FROM webhook_delivery WHERE seq = ?`, j.delivery).Scan(&j.event)
	})
	if err != nil {
		return Delivery{}, fmt.Errorf("test a webhook: %w", err)
	}
	got := o.post(ctx, j)
	state := Failed
	if got.outcome == arrived {
		state = Delivered
	}
	// The answer is worth keeping though who asked has gone.
	err = o.db.Write(context.WithoutCancel(ctx), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`UPDATE webhook_delivery SET state = ?2, attempts = 1, status = ?3, error = ?4, tried_at = ?5, done_at = ?5, tried_tick = ?6 WHERE seq = ?1`,
			j.delivery, string(state), got.status, got.reason, got.at.UnixMilli(), got.tick); err != nil {
			return err
		}
		if state == Delivered && r.failures > 0 {
			return o.revive(tx, id)
		}
		return nil
	})
	if err != nil {
		return Delivery{}, fmt.Errorf("test a webhook: %w", err)
	}
	o.changed()
	return o.Delivery(ctx, name.String())
}
