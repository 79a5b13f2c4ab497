package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/sqlite"
)

// Erased counts what Erase deleted.
type Erased struct {
	Messages, Inbound, Reports, Events int
	Answers                            int // kept answers to Idempotency-Keys that named the number
	Audit                              int // rows of the audit trail in which the number was masked
	Raw                                int // received TPDUs that made no message
	// Scrubbed says what was done so that the files hold no trace either.
	Scrubbed sqlite.Scrubbed
}

// Erase deletes every trace of a number, or of a sender's name: the messages to
// it (what waits is cancelled first), their reports, everything received from
// it, the conversation, events, kept answers, references; in the audit trail the
// number is masked. One row there says that it was done, with the number masked.
// Then the database's free space and its log are overwritten.
//
// The number counts in all its forms (queue.Numbers.Forms). What other people
// wrote about it stays, as do backups made before and what has been told to
// webhooks. The hash of what was received lately stays for some days, so that
// what still lies on a SIM does not come again.
//
// It errs with *queue.Invalid for what is no number and no name, and with
// queue.ErrSubmitting when a message to it is being handed to the network.
// It works in small batches; when it errs it may be called again. sqlite.ErrScrub
// says that everything is deleted, and only the overwriting failed.
func (s *Store) Erase(ctx context.Context, number, who string) (Erased, error) {
	forms := s.queue.Numbers().Forms(number)
	if len(forms) == 0 {
		return Erased{}, &queue.Invalid{Field: "number", Detail: "is a phone number, a short code or a sender's name", Value: nil}
	}
	var e Erased
	out, err := s.queue.EraseNumber(ctx, forms)
	e.Messages, e.Reports, e.Answers = out.Messages, out.Reports, out.Answers
	if err != nil {
		return e, fmt.Errorf("erase a number: %w", err)
	}
	ids, err := s.eraseReceived(ctx, forms, &e)
	if err != nil {
		return e, fmt.Errorf("erase a number: %w", err)
	}
	if err := s.eraseRaw(ctx, forms, &e); err != nil {
		return e, fmt.Errorf("erase a number: %w", err)
	}
	events, answers, err := s.queue.EraseMentions(ctx, slices.Concat(forms, out.IDs, ids))
	e.Events, e.Answers = events, e.Answers+answers
	if err != nil {
		return e, fmt.Errorf("erase a number: %w", err)
	}
	if err := s.eraseAudit(ctx, forms, who, &e); err != nil {
		return e, fmt.Errorf("erase a number: %w", err)
	}
	if e.Scrubbed, err = s.db.Scrub(ctx); err != nil {
		return e, fmt.Errorf("erase a number: %w", err)
	}
	return e, nil
}

const eraseBatch = 100

// eraseReceived deletes what came from the number, and its conversation.
func (s *Store) eraseReceived(ctx context.Context, forms []string, e *Erased) (ids []string, err error) {
	list, err := json.Marshal(forms)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	for {
		var got []string
		err := s.db.Write(ctx, sqlite.Lengthy, sqlite.Secure(func(tx *sqlite.Tx) (err error) {
			got, err = s.eraseSome(tx, string(list), now)
			return err
		}))
		if err != nil {
			return ids, err
		}
		if len(got) == 0 {
			break
		}
		ids, e.Inbound = append(ids, got...), e.Inbound+len(got)
	}
	return ids, s.db.Write(ctx, sqlite.Ordinary, sqlite.Secure(func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DELETE FROM conversation WHERE number IN (SELECT value FROM json_each(?))`, string(list))
		return err
	}))
}

func (s *Store) eraseSome(tx *sqlite.Tx, forms string, now time.Time) (ids []string, err error) {
	rows, err := tx.Query(`SELECT seq, coalesce(CAST(id AS TEXT), '') FROM inbound WHERE sender IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?`, forms, eraseBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var seqs []int64
	for rows.Next() {
		var seq int64
		var id string
		if err := rows.Scan(&seq, &id); err != nil {
			return nil, err
		}
		seqs, ids = append(seqs, seq), append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(seqs) == 0 {
		return nil, err
	}
	if err := queue.RaiseFloors(tx); err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		raws, err := rawsOf(tx, seq)
		if err != nil {
			return nil, err
		}
		for _, id := range raws {
			if err := s.forgetRaw(tx, id, now); err != nil {
				return nil, err
			}
		}
		for _, q := range []string{`DELETE FROM inbound WHERE seq = ?`, `DELETE FROM damaged WHERE kind = 'inbound' AND seq = ?`} {
			if _, err := tx.Exec(q, seq); err != nil {
				return nil, err
			}
		}
	}
	return ids, nil
}

// forgetRaw deletes a received TPDU; of one that a SIM may still show only its
// octets.
func (s *Store) forgetRaw(tx *sqlite.Tx, id int64, now time.Time) error {
	if err := s.blankRaw(tx, id, now); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE inbound_raw SET inbound = NULL WHERE id = ?`, id); err != nil {
		return err
	}
	if !s.clock.Trusted() {
		return nil // nobody knows how long ago it was seen
	}
	_, err := tx.Exec(`DELETE FROM inbound_raw WHERE id = ? AND seen_at < ?`, id, ms(now.Add(-keepHash)))
	return err
}

// eraseRaw deletes what was received from the number, or is addressed to it, and
// made no message: silent ones, indications, what another device left on the SIM.
func (s *Store) eraseRaw(ctx context.Context, forms []string, e *Erased) error {
	now := s.clock.Now()
	for after := int64(0); ; {
		rows, err := s.db.Read().QueryContext(ctx, `SELECT id, raw FROM inbound_raw WHERE inbound IS NULL AND blanked_at = 0 AND id > ? ORDER BY id LIMIT 500`, after)
		if err != nil {
			return err
		}
		var gone []int64
		n := 0
		for rows.Next() {
			var id int64
			var raw []byte
			if err := rows.Scan(&id, &raw); err != nil {
				return errors.Join(err, rows.Close())
			}
			n, after = n+1, id
			if got := pdu.Decode(raw); slices.Contains(forms, got.Address) || slices.Contains(forms, s.sender(got)) {
				gone = append(gone, id)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		err = s.db.Write(ctx, sqlite.LaneOf(len(gone)), sqlite.Secure(func(tx *sqlite.Tx) error {
			for _, id := range gone {
				if err := s.forgetRaw(tx, id, now); err != nil {
					return err
				}
			}
			return nil
		}))
		if err != nil {
			return err
		}
		e.Raw += len(gone)
		if n < 500 {
			return nil
		}
	}
}

// eraseAudit masks the number in the audit trail, whose rows stay, and adds who
// erased it.
func (s *Store) eraseAudit(ctx context.Context, forms []string, who string, e *Erased) error {
	name := forms[0]
	for _, f := range forms {
		if f[0] == '+' {
			name = f
		}
	}
	return s.db.Write(ctx, sqlite.Lengthy, sqlite.Secure(func(tx *sqlite.Tx) error {
		e.Audit = 0
		rows, err := tx.Query(`SELECT id, who, object, detail FROM audit`)
		if err != nil {
			return err
		}
		defer rows.Close()
		type row struct {
			id                  int64
			who, object, detail string
		}
		var changed []row
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.id, &r.who, &r.object, &r.detail); err != nil {
				return err
			}
			if m := (row{r.id, r.who, masked(r.object, forms), masked(r.detail, forms)}); m != r {
				changed = append(changed, m)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, r := range changed {
			if _, err := tx.Exec(`UPDATE audit SET object = ?, detail = ? WHERE id = ?`, r.object, r.detail, r.id); err != nil {
				return err
			}
		}
		e.Audit = len(changed)
		_, err = tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, 'erase', ?, ?)`, ms(s.clock.Now()), who, queue.Masked(name),
			fmt.Sprintf("%d messages, %d received, %d reports, %d events", e.Messages, e.Inbound, e.Reports, e.Events))
		return err
	}))
}

// masked is a text of the audit trail in which the forms of a number are masked
// where they stand alone: a piece of a date, an id or another number is none. A
// number of less than five digits stays: it says nothing about a person.
func masked(text string, forms []string) string {
	forms = slices.Clone(forms)
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	for _, f := range forms {
		if digits := strings.TrimPrefix(f, "+"); len(digits) < 5 && strings.Trim(digits, "0123456789") == "" {
			continue
		}
		for from := 0; ; {
			i := strings.Index(text[from:], f)
			if i < 0 {
				break
			}
			i, from = from+i, from+i+len(f)
			before, _ := utf8.DecodeLastRuneInString(text[:i])
			after, _ := utf8.DecodeRuneInString(text[from:])
			if inWord(before) || inWord(after) {
				continue
			}
			m := queue.Masked(f)
			text, from = text[:i]+m+text[from:], i+len(m)
		}
	}
	return text
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }
