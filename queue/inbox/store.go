package inbox

import (
	"context"
	"log/slog"

	"recado/queue"
	"recado/queue/sqlite"
)

// Options for New.
type Options struct {
	// Clock; nil is the system's clock.
	Clock queue.Clock
	Log   *slog.Logger
}

// Store keeps what was received.
type Store struct {
	db    *sqlite.DB
	queue *queue.Store
	clock queue.Clock
	log   *slog.Logger
}

// New makes the Store over an open database. Events go out through q.
func New(db *sqlite.DB, q *queue.Store, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{db: db, queue: q, clock: o.Clock, log: o.Log}
}

// Ingest makes a received TPDU durable.
func (s *Store) Ingest(ctx context.Context, in In) error { panic("not built yet") }

// List gives received messages, newest first; next is "" at the end.
func (s *Store) List(ctx context.Context, f Filter) (list []Message, next string, err error) {
	panic("not built yet")
}

// Get gives one received message; ErrNotFound.
func (s *Store) Get(ctx context.Context, id string) (Message, error) { panic("not built yet") }

// SetRead marks one read or unread; ErrNotFound.
func (s *Store) SetRead(ctx context.Context, id string, read bool) (Message, error) {
	panic("not built yet")
}

// Conversations lists them, the one written last first.
func (s *Store) Conversations(ctx context.Context, f Filter) (list []Conversation, next string, err error) {
	panic("not built yet")
}

// Conversation with one number; ErrNotFound.
func (s *Store) Conversation(ctx context.Context, number string) (Conversation, error) {
	panic("not built yet")
}

// Thread gives what was exchanged with number, newest first.
func (s *Store) Thread(ctx context.Context, number string, limit int, cursor string) (list []Entry, next string, err error) {
	panic("not built yet")
}

// SetConversationRead marks all of a number's messages read.
func (s *Store) SetConversationRead(ctx context.Context, number string) error {
	panic("not built yet")
}

// Tick tells of messages that still miss segments after 10 minutes, and closes
// those that do after 72 h.
func (s *Store) Tick(ctx context.Context) error { panic("not built yet") }

// Unread counts the unread messages.
func (s *Store) Unread(ctx context.Context) (int, error) { panic("not built yet") }
