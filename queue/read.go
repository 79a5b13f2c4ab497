package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter narrows Messages. Zero fields do not.
type Filter struct {
	States    []State
	To        string // exact, as Normalize gives it
	Search    string // part of the number or of the text
	Class     Class
	Reference string // CanaryReference: those of canaries, which are left out else
	Campaign  string
	SIM       string    // ICCID
	Since     time.Time // of acceptance, included
	Until     time.Time // of acceptance, excluded
	Limit     int       // 0 is 50, at most 500
	Cursor    string    // what the page before gave as next
}

const (
	pageDefault = 50
	pageMost    = 500
)

// Message by its id; ErrNotFound.
func (s *Store) Message(ctx context.Context, id string) (Message, error) {
	list, err := s.read(ctx, `WHERE id = ?`, id)
	if err != nil {
		return Message{}, fmt.Errorf("read message: %w", err)
	}
	if len(list) == 0 {
		return Message{}, ErrNotFound
	}
	return list[0], nil
}

// Messages lists, newest first; next is "" at the end. The box's own canaries are
// not among them unless their reference is asked for. It errs with *Invalid
// for a cursor that it did not give.
func (s *Store) Messages(ctx context.Context, f Filter) (list []Message, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = pageDefault
	}
	limit = min(limit, pageMost)
	where, args, err := f.where()
	if err != nil {
		return nil, "", err
	}
	// A state at a time: each is read from its index in order.
	var parts []string
	var all []any
	states := f.States
	if len(states) == 0 || len(f.States) == len(States) {
		states = []State{""}
	}
	for _, state := range states {
		q, a := where, args
		if state != "" {
			q, a = append(slices.Clone(q), "state = ?"), append(slices.Clone(a), string(state))
		}
		cond := ""
		if len(q) > 0 {
			cond = " WHERE " + strings.Join(q, " AND ")
		}
		parts = append(parts, "SELECT * FROM (SELECT seq FROM message"+cond+" ORDER BY seq DESC LIMIT "+strconv.Itoa(limit+1)+")")
		all = append(all, a...)
	}
	list, err = s.read(ctx, "WHERE seq IN (SELECT seq FROM ("+strings.Join(parts, " UNION ALL ")+") ORDER BY seq DESC LIMIT "+
		strconv.Itoa(limit+1)+") ORDER BY seq DESC", all...)
	if err != nil {
		return nil, "", fmt.Errorf("list messages: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].Seq, 10)
	}
	return list, next, nil
}

// where makes the conditions; values travel as arguments only.
func (f Filter) where() (cond []string, args []any, err error) {
	add := func(c string, v ...any) { cond, args = append(cond, c), append(args, v...) }
	if f.Cursor != "" {
		before, err := strconv.ParseInt(f.Cursor, 10, 64)
		if err != nil {
			return nil, nil, &Invalid{"cursor", "take it from the page before", f.Cursor}
		}
		add("seq < ?", before)
	}
	if f.To != "" {
		add("recipient = ?", f.To)
	}
	if f.Class != "" {
		add("class = ?", string(f.Class))
	}
	if f.Reference != CanaryReference {
		add("key_id <> ?", CanaryReference)
	}
	if f.Reference != "" {
		add("reference = ? AND reference <> ''", f.Reference)
	}
	if f.Campaign != "" {
		add("campaign = ? AND campaign <> ''", f.Campaign)
	}
	if f.SIM != "" {
		add("sim = ?", f.SIM)
	}
	if !f.Since.IsZero() {
		add("created_at >= ?", ms(f.Since))
	}
	if !f.Until.IsZero() {
		add("created_at < ?", ms(f.Until))
	}
	if f.Search != "" {
		like := Like(f.Search)
		add(`(recipient LIKE ? ESCAPE '\' OR text LIKE ? ESCAPE '\')`, like, like)
	}
	return cond, args, nil
}

// Like is the LIKE pattern (ESCAPE '\') of everything that contains part.
func Like(part string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part) + "%"
}

// read gives the messages that rest selects, with their segments.
func (s *Store) read(ctx context.Context, rest string, args ...any) ([]Message, error) {
	tx, err := s.db.Read().BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // both queries see the same moment
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	rows, err := tx.QueryContext(ctx, `SELECT `+messageColumns+` FROM message `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	list := []Message{}
	var parts []int
	for rows.Next() {
		var r record
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		list = append(list, r.Message)
		parts = append(parts, r.parts)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := segmentsOf(ctx, tx, list); err != nil {
		return nil, err
	}
	for i := range list {
		m := &list[i]
		m.Damaged = m.Damaged || len(m.Segments) != parts[i] || slices.ContainsFunc(m.Segments, func(g Segment) bool { return g.damaged })
	}
	return list, nil
}

// segmentsOf fills the messages' segments in.
func segmentsOf(ctx context.Context, tx *sql.Tx, list []Message) error {
	if len(list) == 0 {
		return nil
	}
	at := make(map[int64]*Message, len(list))
	marks := make([]string, len(list))
	seqs := make([]any, len(list))
	for i := range list {
		at[list[i].Seq], marks[i], seqs[i] = &list[i], "?", list[i].Seq
	}
	rows, err := tx.QueryContext(ctx, `SELECT `+segmentColumns+` FROM segment WHERE message IN (`+strings.Join(marks, ",")+`) ORDER BY message, n`, seqs...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		seq, g, err := scanSegment(rows)
		if err != nil {
			return err
		}
		if m := at[seq]; m != nil { // a damaged row may name another
			m.Segments = append(m.Segments, g)
		}
	}
	return rows.Err()
}

// MessagesTo gives up to limit messages to a number with seq below before
// (0: from the newest), newest first: one side of a conversation, without canaries.
func (s *Store) MessagesTo(ctx context.Context, number string, before int64, limit int) ([]Message, error) {
	q, args := `WHERE recipient = ? AND key_id <> ?`, []any{number, CanaryReference}
	if before > 0 {
		q, args = q+` AND seq < ?`, append(args, before)
	}
	list, err := s.read(ctx, q+` ORDER BY seq DESC LIMIT `+strconv.Itoa(limit), args...)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return list, nil
}

func (s *Store) setting(ctx context.Context, key string) (string, error) {
	var v string
	err := s.db.Read().QueryRowContext(ctx, `SELECT value FROM setting WHERE key = ?`, key).Scan(&v)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read setting %s: %w", key, err)
	}
	return v, nil
}
