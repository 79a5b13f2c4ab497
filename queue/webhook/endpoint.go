package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"recado/queue"
	"recado/queue/sqlite"
)

// columns of the table webhook, in the order that scan takes them.
const columns = `id, url, events, description, active, allow_private, secret, old_secret, old_until, cursor, gone, failures, failing_since,
	paused_until, recovered, last_error, last_status, last_attempt_at, last_success_at, created_at`

// row is an endpoint as the database has it.
type row struct {
	endpoint
	description string
	active      bool
	created     int64
}

func scan(s interface{ Scan(...any) error }) (*row, error) {
	var r row
	var patterns string
	err := s.Scan(&r.id, &r.url, &patterns, &r.description, &r.active, &r.private, &r.secret, &r.oldSecret, &r.oldUntil, &r.cursor, &r.gone,
		&r.failures, &r.failingSince, &r.pausedUntil, &r.recovered, &r.lastError, &r.lastStatus, &r.lastAttempt, &r.lastSuccess, &r.created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	r.patterns = strings.Fields(patterns)
	return &r, err
}

// active are the endpoints that events are collected for.
func (o *Outbox) active(ctx context.Context) ([]*endpoint, error) {
	rows, err := o.rows(ctx)
	if err != nil {
		return nil, err
	}
	var list []*endpoint
	for _, r := range rows {
		if r.active {
			list = append(list, &r.endpoint)
		}
	}
	return list, nil
}

func (o *Outbox) rows(ctx context.Context) ([]*row, error) {
	rows, err := o.db.Read().QueryContext(ctx, `SELECT `+columns+` FROM webhook ORDER BY id DESC`)
	if err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []*row
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read webhooks: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// List gives all endpoints, newest first, without their secrets.
func (o *Outbox) List(ctx context.Context) ([]Endpoint, error) {
	rows, err := o.rows(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Endpoint, len(rows))
	for i, r := range rows {
		if list[i], err = o.told(ctx, r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Get gives one endpoint; ErrNotFound.
func (o *Outbox) Get(ctx context.Context, id string) (Endpoint, error) {
	r, err := o.row(ctx, id)
	if err != nil {
		return Endpoint{}, err
	}
	return o.told(ctx, r)
}

func (o *Outbox) row(ctx context.Context, id string) (*row, error) {
	r, err := scan(o.db.Read().QueryRowContext(ctx, `SELECT `+columns+` FROM webhook WHERE id = ?`, id))
	if err != nil {
		return nil, fmt.Errorf("read a webhook: %w", err)
	}
	return r, nil
}

// told is a row as others see it.
func (o *Outbox) told(ctx context.Context, r *row) (Endpoint, error) {
	e := Endpoint{ID: r.id, URL: r.url, Events: r.patterns, Description: r.description, Active: r.active, AllowPrivate: r.private,
		CreatedAt: at(r.created), LastError: r.lastError, LastStatus: r.lastStatus, LastAttempt: at(r.lastAttempt), LastSuccess: at(r.lastSuccess)}
	if left := r.oldUntil - o.clock.tick(); len(r.oldSecret) > 0 && left > 0 {
		e.OldSecretUntil = o.wall.Now().Add(ticks(left)).UTC().Truncate(time.Second)
	}
	switch {
	case r.gone:
		e.Health = HealthGone
	case !r.active:
		e.Health = HealthOff
	case r.failures >= failingAfter:
		e.Health, e.FailingSince = HealthFailing, at(r.failingSince)
	case r.lastSuccess == 0:
		e.Health = HealthNew
	default:
		e.Health = HealthOK
	}
	err := o.db.Read().QueryRowContext(ctx, `SELECT (SELECT count(*) FROM webhook_delivery WHERE webhook = ?1 AND state = 'pending'),
		(SELECT count(*) FROM webhook_delivery WHERE webhook = ?1 AND state = 'dead')`, r.id).Scan(&e.Pending, &e.Dead)
	if err != nil {
		return e, fmt.Errorf("count deliveries: %w", err)
	}
	return e, nil
}

// Create keeps a new endpoint. It hears of what happens from now on. The secret
// is shown this once.
func (o *Outbox) Create(ctx context.Context, e Endpoint) (_ Endpoint, secret string, err error) {
	if e.Events, err = checkPatterns(e.Events); err != nil {
		return Endpoint{}, "", err
	}
	if err := o.check(e.URL, e.Description, e.AllowPrivate); err != nil {
		return Endpoint{}, "", err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("name a webhook: %w", err)
	}
	secret, sealed := o.seal.fresh(id.String())
	err = o.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM webhook`).Scan(&n); err != nil {
			return err
		}
		if n >= MaxEndpoints {
			return ErrTooMany
		}
		_, err := tx.Exec(`INSERT INTO webhook (id, url, events, description, active, allow_private, secret, cursor, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) FROM event), ?)`,
			id.String(), e.URL, strings.Join(e.Events, " "), e.Description, e.Active, e.AllowPrivate, sealed, o.wall.Now().UnixMilli())
		return err
	})
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("keep a webhook: %w", err)
	}
	o.changed()
	e, err = o.Get(ctx, id.String())
	return e, secret, err
}

const maxDescription = 200

func (o *Outbox) check(url, description string, private bool) error {
	if len([]rune(description)) > maxDescription {
		return &queue.Invalid{Field: "description", Detail: "at most 200 characters"}
	}
	_, err := o.guard.checkURL(url, private)
	return err
}

// Update changes an endpoint. One that is switched on hears of what happens from
// then on, and what had waited for it goes at once.
func (o *Outbox) Update(ctx context.Context, id string, c Change) (Endpoint, error) {
	r, err := o.row(ctx, id)
	if err != nil {
		return Endpoint{}, err
	}
	if c.Events != nil {
		if r.patterns, err = checkPatterns(c.Events); err != nil {
			return Endpoint{}, err
		}
	}
	was := *r
	set(&r.url, c.URL)
	set(&r.description, c.Description)
	set(&r.active, c.Active)
	set(&r.private, c.AllowPrivate)
	if err := o.check(r.url, r.description, r.private); err != nil {
		return Endpoint{}, err
	}
	// Another address, or switched on anew: its failures are the old one's.
	fresh := r.active && (!was.active || r.url != was.url || r.private != was.private)
	err = o.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		is, err := affects(tx.Exec(`UPDATE webhook SET url = ?2, events = ?3, description = ?4, active = ?5, allow_private = ?6,
			cursor = CASE WHEN ?5 AND NOT active THEN (SELECT coalesce(max(seq), cursor) FROM event) ELSE cursor END, gone = gone AND NOT ?5 WHERE id = ?1`,
			id, r.url, strings.Join(r.patterns, " "), r.description, r.active, r.private))
		if err != nil || !is {
			return errors.Join(err, missing(is))
		}
		if fresh {
			return o.revive(tx, id)
		}
		return nil
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("change a webhook: %w", err)
	}
	o.changed()
	return o.Get(ctx, id)
}

// revive forgets an endpoint's failures: what waits goes at once.
func (o *Outbox) revive(tx *sqlite.Tx, id string) error {
	_, err := tx.Exec(`UPDATE webhook SET failures = 0, failing_since = 0, paused_until = 0, recovered = ? WHERE id = ?`, o.clock.tick(), id)
	return err
}

func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

func missing(is bool) error {
	if is {
		return nil
	}
	return ErrNotFound
}

func affects(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Delete forgets an endpoint and its deliveries. A request that is under way may
// still arrive.
func (o *Outbox) Delete(ctx context.Context, id string) error {
	if _, err := o.row(ctx, id); err != nil {
		return err
	}
	// Switched off first, so that nothing is added while its rows go, a few at a time.
	err := o.write(ctx, `UPDATE webhook SET active = 0 WHERE id = ?`, id)
	o.changed()
	for n := int64(1); n > 0 && err == nil; {
		n, err = o.some(ctx, `DELETE FROM webhook_delivery WHERE seq IN (SELECT seq FROM webhook_delivery WHERE webhook = ? LIMIT 500)`, id)
	}
	if err == nil {
		err = o.write(ctx, `DELETE FROM webhook WHERE id = ?`, id)
	}
	if err != nil {
		return fmt.Errorf("delete a webhook: %w", err)
	}
	return nil
}

func (o *Outbox) write(ctx context.Context, query string, args ...any) error {
	_, err := o.some(ctx, query, args...)
	return err
}

// some runs one statement in a transaction of its own, and says how many rows it
// changed.
func (o *Outbox) some(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = o.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		r, err := tx.Exec(query, args...)
		if err != nil {
			return err
		}
		n, err = r.RowsAffected()
		return err
	})
	return n, err
}

// Rotate gives an endpoint a new secret, shown this once. The old one signs
// beside it for RotationOverlap; one that was older signs no more.
func (o *Outbox) Rotate(ctx context.Context, id string) (_ Endpoint, secret string, err error) {
	if _, err := o.row(ctx, id); err != nil {
		return Endpoint{}, "", err
	}
	secret, sealed := o.seal.fresh(id)
	err = o.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		is, err := affects(tx.Exec(`UPDATE webhook SET old_secret = secret, old_until = ?, secret = ? WHERE id = ?`,
			o.clock.tick()+RotationOverlap.Milliseconds(), sealed, id))
		return errors.Join(err, missing(is || err != nil))
	})
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("rotate a webhook's secret: %w", err)
	}
	o.changed()
	e, err := o.Get(ctx, id)
	return e, secret, err
}

// at is a time as the schema keeps it; zero for 0.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
