package inbox

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

const (
	pageDefault = 50
	pageMost    = 500
)

const columns = `seq, id, sender, number, text, kind, iccid, received_at, sent_at, complete, have, total, read_at, text_deleted_at, damaged, crc`

// scan reads columns. What is damaged in the row does not hinder it.
func scan(rows *sql.Rows) (Message, error) {
	var m Message
	var received, sent, read, blanked, stored int64
	torn, err := queue.Scanned(rows, &m.Seq, &m.ID, &m.From, &m.To, &m.Text, &m.Kind, &m.SIM, &received, &sent, &m.Complete, &m.Have, &m.Of, &read,
		&blanked, &m.Damaged, &stored)
	m.TextDeletedAt = at(blanked)
	m.Damaged = m.Damaged || torn || stored != sum(m)
	m.ReceivedAt, m.SentAt, m.Read = at(received), at(sent), read > 0
	return m, err
}

func (s *Store) read(ctx context.Context, rest string, args ...any) ([]Message, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+columns+` FROM inbound `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	list := []Message{}
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// List gives received messages, newest first; next is "" at the end. It errs
// with *queue.Invalid for a cursor that it did not give.
func (s *Store) List(ctx context.Context, f Filter) (list []Message, next string, err error) {
	limit := pageSize(f.Limit)
	cond := []string{"1"}
	var args []any
	add := func(c string, v ...any) { cond, args = append(cond, c), append(args, v...) }
	if f.Cursor != "" {
		before, err := strconv.ParseInt(f.Cursor, 10, 64)
		if err != nil {
			return nil, "", badCursor(f.Cursor)
		}
		add("seq < ?", before)
	}
	if f.From != "" {
		add("sender = ?", f.From)
	}
	if f.SIM != "" {
		add("iccid = ?", f.SIM)
	}
	if f.Kind != "" {
		add("kind = ?", f.Kind)
	}
	if f.Unread {
		add("read_at = 0")
	}
	if !f.Since.IsZero() {
		add("received_at >= ?", ms(f.Since))
	}
	if !f.Until.IsZero() {
		add("received_at < ?", ms(f.Until))
	}
	if f.Search != "" {
		like := queue.Like(f.Search)
		add(`(sender LIKE ? ESCAPE '\' OR text LIKE ? ESCAPE '\')`, like, like)
	}
	list, err = s.read(ctx, "WHERE "+strings.Join(cond, " AND ")+" ORDER BY seq DESC LIMIT "+strconv.Itoa(limit+1), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list received messages: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].Seq, 10)
	}
	return list, next, nil
}

func pageSize(limit int) int {
	if limit <= 0 {
		return pageDefault
	}
	return min(limit, pageMost)
}

func badCursor(c string) error {
	return &queue.Invalid{Field: "cursor", Detail: "take it from the page before", Value: c}
}

// Get gives one received message; ErrNotFound.
func (s *Store) Get(ctx context.Context, id string) (Message, error) {
	list, err := s.read(ctx, `WHERE id = ?`, id)
	if err != nil {
		return Message{}, fmt.Errorf("read received message: %w", err)
	}
	if len(list) == 0 {
		return Message{}, ErrNotFound
	}
	return list[0], nil
}

func find(tx *sqlite.Tx, id string) (Message, error) {
	rows, err := tx.Query(`SELECT `+columns+` FROM inbound WHERE id = ?`, id)
	if err != nil {
		return Message{}, err
	}
	defer rows.Close()
	if !rows.Next() {
		return Message{}, cmp.Or(rows.Err(), ErrNotFound)
	}
	return scan(rows)
}

// SetRead marks one read or unread; ErrNotFound.
func (s *Store) SetRead(ctx context.Context, id string, read bool) (Message, error) {
	var m Message
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		var err error
		m, err = find(tx, id)
		if err != nil || m.Read == read {
			return err
		}
		m.Read = read
		change, when := 1, int64(0)
		if read {
			change, when = -1, now
		}
		if _, err := tx.Exec(`UPDATE inbound SET read_at = ? WHERE seq = ?`, when, m.Seq); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE conversation SET unread = max(unread + ?, 0) WHERE number = ?`, change, m.From)
		return err
	})
	if err != nil {
		return Message{}, fmt.Errorf("mark received message: %w", err)
	}
	return m, nil
}

// Unread counts the unread messages of the conversations; what nobody signed is
// in none.
func (s *Store) Unread(ctx context.Context) (int, error) {
	var n int
	if err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM inbound WHERE read_at = 0 AND sender <> ''`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unread messages: %w", err)
	}
	return n, nil
}

// Event is the data of an inbound.* event: the API's received message, text
// and all, so that an application can answer without asking again.
type Event struct {
	ID         string     `json:"id"`
	From       string     `json:"from"`
	To         *string    `json:"to"`
	Text       string     `json:"text"`
	SIM        string     `json:"sim"`
	Kind       string     `json:"kind"`
	ReceivedAt time.Time  `json:"received_at"`
	SentAt     *time.Time `json:"sent_at"`
	Complete   bool       `json:"complete"`
	Segments   HaveOf     `json:"segments"`
	Read       bool       `json:"read"`
}

// HaveOf counts a message's segments.
type HaveOf struct {
	Have int `json:"have"`
	Of   int `json:"of"`
}

// EventOf is the message as events carry it.
func EventOf(m Message) Event {
	e := Event{ID: m.ID, From: m.From, Text: m.Text, SIM: m.SIM, Kind: m.Kind,
		ReceivedAt: m.ReceivedAt.UTC().Truncate(time.Millisecond), Complete: m.Complete,
		Segments: HaveOf{m.Have, m.Of}, Read: m.Read}
	if m.To != "" {
		e.To = &m.To
	}
	if !m.SentAt.IsZero() {
		e.SentAt = new(m.SentAt.UTC())
	}
	return e
}
