package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"recado/queue/sqlite"
)

// Event is one row of the outbox that live pages and webhooks read.
type Event struct {
	Seq  int64  // grows without reuse; resume after it
	ID   string // UUIDv7, stable over retries
	Type string // message.sent, inbound.received, sim.state, …
	At   time.Time
	Data json.RawMessage
}

// AppendEvent writes an event in the caller's transaction and wakes the
// watchers after its commit. data is marshalled to JSON.
func (s *Store) AppendEvent(tx *sqlite.Tx, typ string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("append event %s: %w", typ, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("append event %s: %w", typ, err)
	}
	if _, err := tx.Exec(`INSERT INTO event (id, type, at, data) VALUES (?, ?, ?, ?)`,
		id.String(), typ, ms(s.clock.Now()), string(raw)); err != nil {
		return fmt.Errorf("append event %s: %w", typ, err)
	}
	tx.AfterCommit(s.changed)
	return nil
}

// Emit writes an event in a transaction of its own.
func (s *Store) Emit(ctx context.Context, typ string, data any) error {
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		return s.AppendEvent(tx, typ, data)
	})
}

// Events gives up to limit events after seq, oldest first.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]Event, error) {
	rows, err := s.db.Read().QueryContext(ctx,
		`SELECT seq, id, type, at, data FROM event WHERE seq > ? ORDER BY seq LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	var list []Event
	for rows.Next() {
		var e Event
		var when int64
		var data string
		if err := rows.Scan(&e.Seq, &e.ID, &e.Type, &when, &data); err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		e.At, e.Data = at(when), json.RawMessage(data)
		list = append(list, e)
	}
	return list, rows.Err()
}

// LastEvent is the newest event's seq; 0 when there is none. A reader that
// wants only what comes from now on begins here.
func (s *Store) LastEvent(ctx context.Context) (int64, error) {
	var seq int64
	err := s.db.Read().QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM event`).Scan(&seq)
	if err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	return seq, nil
}
