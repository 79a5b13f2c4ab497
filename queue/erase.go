package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recado/queue/sqlite"
)

// ErrSubmitting: a message to the number is with the network at this moment;
// what becomes of it must be known before it can be forgotten.
var ErrSubmitting = errors.New("a message to this number is being handed to the network just now; what was waiting for it is cancelled: ask again in a few minutes")

const eraseBatch = 100

// ErasedOut counts what EraseNumber deleted.
type ErasedOut struct {
	Messages, Reports, Events, Answers int
	// IDs of the messages.
	IDs []string
}

// EraseNumber deletes every message to a number, in all the forms given (see
// Numbers.Forms), with its segments, attempts, reports and history, the reports
// of the number that found no message, and what else names it: events, kept
// answers, references. What waits is cancelled first, so that nothing of it is
// sent meanwhile. ErrSubmitting when a submission is open. It works in small
// batches, and goes on where it was when it is called again. Erasing what was
// received, and the audit trail, is package inbox's.
func (s *Store) EraseNumber(ctx context.Context, forms []string) (e ErasedOut, err error) {
	list, err := json.Marshal(forms)
	if err != nil {
		return e, err
	}
	if err := s.cancelAll(ctx, string(list)); err != nil {
		return e, err
	}
	for {
		var n ErasedOut
		left := 0
		err := s.db.Write(ctx, sqlite.Lengthy, sqlite.Secure(func(tx *sqlite.Tx) (err error) {
			n, left, err = s.eraseSome(tx, string(list))
			return err
		}))
		if err != nil {
			return e, fmt.Errorf("erase messages: %w", err)
		}
		e.Messages, e.Reports, e.Answers, e.IDs = e.Messages+n.Messages, e.Reports+n.Reports, e.Answers+n.Answers, append(e.IDs, n.IDs...)
		if n.Messages == 0 && left > 0 {
			return e, ErrSubmitting
		}
		if left == 0 {
			break
		}
	}
	if err := s.eraseUsage(ctx, forms); err != nil {
		return e, fmt.Errorf("erase what counts the SIM's recipients: %w", err)
	}
	n, err := s.eraseOrphans(ctx, forms)
	if err != nil {
		return e, fmt.Errorf("erase reports: %w", err)
	}
	e.Reports += n
	s.changed()
	return e, nil
}

// cancelAll takes back everything to the number that may still be sent.
func (s *Store) cancelAll(ctx context.Context, forms string) error {
	for more := true; more; {
		var open bool
		err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
			seqs, err := numbersOf(tx, `SELECT seq FROM message m WHERE recipient IN (SELECT value FROM json_each(?1))
				AND (state IN ('scheduled','held','queued','sending') OR decide_at > 0)
				AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = m.seq AND a.phase = 'prepared') LIMIT ?2`, forms, eraseBatch)
			if err != nil {
				return err
			}
			more = len(seqs) == eraseBatch
			for _, seq := range seqs {
				if _, err := tx.Exec(`UPDATE message SET state = CASE state WHEN 'uncertain' THEN state ELSE 'cancelled' END, reason = '', hold = '',
					claimed_by = '', not_before = 0, decide_at = 0, avoid_sim = '', avoid_until = 0 WHERE seq = ?`, seq); err != nil {
					return err
				}
			}
			return tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM attempt a JOIN message m ON m.seq = a.message
				WHERE a.phase = 'prepared' AND m.recipient IN (SELECT value FROM json_each(?)))`, forms).Scan(&open)
		})
		if err != nil {
			return fmt.Errorf("cancel what waits: %w", err)
		}
		if open && !more {
			return ErrSubmitting
		}
	}
	return nil
}

// eraseSome deletes the first messages to the number; left is how many there
// were before, up to a batch.
func (s *Store) eraseSome(tx *sqlite.Tx, forms string) (n ErasedOut, left int, err error) {
	seqs, err := numbersOf(tx, `SELECT seq FROM message WHERE recipient IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?`, forms, eraseBatch)
	if err != nil || len(seqs) == 0 {
		return n, 0, err
	}
	if err := RaiseFloors(tx); err != nil {
		return n, 0, err
	}
	answers := map[answerKey][]string{}
	for _, seq := range seqs {
		var id string
		var reports int
		var open bool
		if err := tx.QueryRow(`SELECT coalesce(CAST(id AS TEXT), ''), (SELECT count(*) FROM report WHERE message = ?1),
			EXISTS (SELECT 1 FROM attempt WHERE message = ?1 AND phase = 'prepared') FROM message WHERE seq = ?1`, seq).Scan(&id, &reports, &open); err != nil {
			return n, 0, err
		}
		if open { // accepted since everything was cancelled
			continue
		}
		key, err := answerOf(tx, seq)
		if err != nil {
			return n, 0, err
		}
		if key != (answerKey{}) {
			answers[key] = append(answers[key], id)
		}
		for _, q := range []string{`DELETE FROM message WHERE seq = ?`, `DELETE FROM damaged WHERE kind = 'message' AND seq = ?`} {
			if _, err := tx.Exec(q, seq); err != nil {
				return n, 0, err
			}
		}
		n.Messages, n.Reports, n.IDs = n.Messages+1, n.Reports+reports, append(n.IDs, id)
	}
	for key, ids := range answers {
		if err := key.edit(tx, func(v any) any { return without(v, false, ids) }); err != nil {
			return n, 0, err
		}
		n.Answers++
	}
	_, err = tx.Exec(`DELETE FROM concat_ref WHERE recipient IN (SELECT value FROM json_each(?))`, forms)
	return n, len(seqs), err
}

// eraseOrphans deletes the number's reports that found no message: TP-RA comes
// in whatever form the network likes.
func (s *Store) eraseOrphans(ctx context.Context, forms []string) (n int, err error) {
	err = s.db.Write(ctx, sqlite.Lengthy, sqlite.Secure(func(tx *sqlite.Tx) error {
		n = 0
		rows, err := tx.Query(`SELECT id, recipient FROM report WHERE message IS NULL`)
		if err != nil {
			return err
		}
		defer rows.Close()
		var ids []int64
		for rows.Next() {
			var id int64
			var ra string
			if err := rows.Scan(&id, &ra); err != nil {
				return err
			}
			if slices.ContainsFunc(forms, func(f string) bool { return f == ra || sameNumber(f, ra) == 3 }) {
				ids = append(ids, id)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.Exec(`DELETE FROM report WHERE id = ?`, id); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	}))
	return n, err
}

// EraseMentions deletes the events that name one of the words (the forms of a
// number, the ids of what was deleted), and takes them out of kept answers; an
// answer whose key names one is kept under the key's hash. Words shorter than three characters
// are left out: they are part of everything.
func (s *Store) EraseMentions(ctx context.Context, words []string) (events, answers int, err error) {
	named := map[string]bool{}
	for _, w := range words {
		if len(w) >= 3 {
			named[w] = true
		}
	}
	for after := int64(0); ; {
		list, err := s.Events(ctx, after, 1000)
		if err != nil {
			return events, answers, err
		}
		if len(list) == 0 {
			break
		}
		var gone []int64
		for _, e := range list {
			after = e.Seq
			if mentions(e.Data, named) {
				gone = append(gone, e.Seq)
			}
		}
		for part := range slices.Chunk(gone, eraseBatch) {
			err := s.db.Write(ctx, sqlite.LaneOf(len(part)), sqlite.Secure(func(tx *sqlite.Tx) error {
				for _, seq := range part {
					if _, err := tx.Exec(`DELETE FROM event WHERE seq = ?`, seq); err != nil {
						return err
					}
				}
				return nil
			}))
			if err != nil {
				return events, answers, fmt.Errorf("erase events: %w", err)
			}
		}
		events += len(gone)
	}
	answers, err = s.eraseAnswers(ctx, named)
	if err != nil {
		return events, answers, fmt.Errorf("erase kept answers: %w", err)
	}
	return events, answers, nil
}

// eraseAnswers looks through the answers that are kept: those of the last days.
func (s *Store) eraseAnswers(ctx context.Context, named map[string]bool) (n int, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT scope, key, answer FROM idempotency`)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	var edit, hide []answerKey // edited first, under their old keys
	for rows.Next() {
		var k answerKey
		var answer []byte
		if err := rows.Scan(&k.scope, &k.key, &answer); err != nil {
			return 0, err
		}
		inKey := false // a hash has digits too, by chance
		for w := range named {
			inKey = inKey || !strings.HasPrefix(k.key, hashedKey) && strings.Contains(k.key, w)
		}
		if inKey {
			hide = append(hide, k)
		}
		if mentions(answer, named) {
			edit = append(edit, k)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, err
	}
	var words []string
	for w := range named {
		words = append(words, w)
	}
	for part := range slices.Chunk(edit, eraseBatch) {
		if err := s.db.Write(ctx, sqlite.LaneOf(len(part)), sqlite.Secure(func(tx *sqlite.Tx) error {
			for _, k := range part {
				if err := k.edit(tx, func(v any) any { return without(v, false, words) }); err != nil {
					return err
				}
			}
			return nil
		})); err != nil {
			return 0, err
		}
	}
	for part := range slices.Chunk(hide, eraseBatch) {
		if err := s.db.Write(ctx, sqlite.LaneOf(len(part)), sqlite.Secure(func(tx *sqlite.Tx) error {
			for _, k := range part {
				// The request that comes again is still not sent again.
				if _, err := tx.Exec(`UPDATE OR REPLACE idempotency SET key = ? WHERE scope = ? AND key = ?`, k.hashed(), k.scope, k.key); err != nil {
					return err
				}
			}
			return nil
		})); err != nil {
			return 0, err
		}
	}
	changed := map[answerKey]bool{}
	for _, k := range slices.Concat(edit, hide) {
		changed[k] = true
	}
	return len(changed), nil
}

// naming says whether a field of events and answers holds numbers or ids; others
// hold words that a sender may be called, such as "otp".
func naming(field string) bool {
	switch field {
	case "to", "from", "number", "id", "IDs", "ids", "value", "recipient", "sender", "message", "inbound", "reply_to":
		return true
	}
	return false
}

// mentions says whether a JSON value names one of the words. What is no JSON
// cannot be told, and counts as one that does.
func mentions(raw []byte, words map[string]bool) bool {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return true
	}
	return holds(v, false, func(s string) bool { return words[s] })
}

// holds looks for a word in the fields that name something; inside says that v
// is in one.
func holds(v any, inside bool, is func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return inside && is(v)
	case map[string]any:
		for name, inner := range v {
			if holds(inner, naming(name), is) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(inner any) bool { return holds(inner, inside, is) })
	}
	return false
}

// without is a JSON value without the elements of lists that name one of the
// words; where one stands alone it becomes "".
func without(v any, inside bool, words []string) any {
	is := func(s string) bool { return slices.Contains(words, s) }
	switch v := v.(type) {
	case string:
		if inside && is(v) {
			return ""
		}
	case map[string]any:
		for name, inner := range v {
			v[name] = without(inner, naming(name), words)
		}
	case []any:
		list := make([]any, 0, len(v))
		for _, inner := range v {
			if !holds(inner, inside, is) {
				list = append(list, inner)
			}
		}
		return list
	}
	return v
}
