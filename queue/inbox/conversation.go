package inbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"recado/queue"
	"recado/queue/sqlite"
)

const conversationColumns = `number, last_at, last_text, last_out, iccid, unread`

// Conversations lists them, the one written last first; next is "" at the end.
// Of the filter From, Search, Unread, SIM, Limit and Cursor count; Search looks
// at the number and at every text received from it.
func (s *Store) Conversations(ctx context.Context, f Filter) (list []Conversation, next string, err error) {
	limit := pageSize(f.Limit)
	cond := []string{"1"}
	var args []any
	add := func(c string, v ...any) { cond, args = append(cond, c), append(args, v...) }
	if f.Cursor != "" {
		when, number, ok := strings.Cut(f.Cursor, "~")
		last, err := strconv.ParseInt(when, 10, 64)
		if err != nil || !ok {
			return nil, "", badCursor(f.Cursor)
		}
		add("(last_at < ? OR (last_at = ? AND number > ?))", last, last, number)
	}
	if f.From != "" {
		add("number = ?", f.From)
	}
	if f.SIM != "" {
		add("iccid = ?", f.SIM)
	}
	if f.Unread {
		add("unread > 0")
	}
	if f.Search != "" {
		like := queue.Like(f.Search)
		add(`(number LIKE ? ESCAPE '\' OR last_text LIKE ? ESCAPE '\'
			OR EXISTS (SELECT 1 FROM inbound WHERE sender = conversation.number AND text LIKE ? ESCAPE '\'))`, like, like, like)
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+conversationColumns+` FROM conversation WHERE `+strings.Join(cond, " AND ")+
		` ORDER BY last_at DESC, number LIMIT `+strconv.Itoa(limit+1), args...)
	if err != nil {
		return nil, "", fmt.Errorf("list conversations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list = []Conversation{}
	for rows.Next() {
		var c Conversation
		var last int64
		if _, err := queue.Scanned(rows, &c.Number, &last, &c.LastText, &c.LastOut, &c.SIM, &c.Unread); err != nil {
			return nil, "", fmt.Errorf("list conversations: %w", err)
		}
		c.LastAt = at(last)
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list conversations: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		end := list[limit-1]
		next = fmt.Sprintf("%d~%s", ms(end.LastAt), end.Number)
	}
	return list, next, nil
}

// Conversation with one number; ErrNotFound when it never wrote.
func (s *Store) Conversation(ctx context.Context, number string) (Conversation, error) {
	list, _, err := s.Conversations(ctx, Filter{From: number, Limit: 1})
	if err != nil {
		return Conversation{}, err
	}
	if len(list) == 0 || number == "" {
		return Conversation{}, ErrNotFound
	}
	return list[0], nil
}

// Thread gives what was exchanged with a number, in and out merged, newest
// first; next is "" at the end.
func (s *Store) Thread(ctx context.Context, number string, limit int, cursor string) (list []Entry, next string, err error) {
	limit = pageSize(limit)
	inBefore, outBefore, err := threadCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	q, args := `WHERE sender = ?`, []any{number}
	if inBefore > 0 {
		q, args = q+` AND seq < ?`, append(args, inBefore)
	}
	in, err := s.read(ctx, q+` ORDER BY seq DESC LIMIT `+strconv.Itoa(limit+1), args...)
	if err != nil {
		return nil, "", fmt.Errorf("read conversation: %w", err)
	}
	out, err := s.queue.MessagesTo(ctx, number, outBefore, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("read conversation: %w", err)
	}
	list = []Entry{}
	for len(list) < limit && (len(in) > 0 || len(out) > 0) {
		if len(out) == 0 || len(in) > 0 && in[0].ReceivedAt.After(out[0].CreatedAt) {
			list = append(list, Entry{At: in[0].ReceivedAt, In: &in[0]})
			inBefore, in = in[0].Seq, in[1:]
		} else {
			list = append(list, Entry{At: out[0].CreatedAt, Out: &out[0]})
			outBefore, out = out[0].Seq, out[1:]
		}
	}
	if len(in) > 0 || len(out) > 0 {
		next = fmt.Sprintf("%d~%d", inBefore, outBefore)
	}
	return list, next, nil
}

// threadCursor is how far both sides have been read; 0: from the newest.
func threadCursor(cursor string) (in, out int64, err error) {
	if cursor == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(cursor, "~")
	in, err1 := strconv.ParseInt(a, 10, 64)
	out, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, badCursor(cursor)
	}
	return in, out, nil
}

// SetConversationRead marks all of a number's messages read.
func (s *Store) SetConversationRead(ctx context.Context, number string) error {
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`UPDATE inbound SET read_at = ? WHERE sender = ? AND read_at = 0`, now, number); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE conversation SET unread = 0 WHERE number = ?`, number)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark conversation read: %w", err)
	}
	return nil
}
