package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"recado/queue/sqlite"
)

// ReasonDiscarded: failed, because somebody discarded it while it was held and
// it had been tried before.
const ReasonDiscarded = "discarded"

// HeldFilter says which held messages are meant. Zero fields do not narrow.
type HeldFilter struct {
	Reason string
	Class  Class
	ID     string // this one; it must be held
	// Within ends the work after about so long, with what was done by then; 0:
	// never.
	Within time.Duration
}

// Release lets held messages go: scheduled ones wait for their time again, unless
// they were held because it was missed; the others join the queue where they were,
// as old as they are. What is no longer
// valid by a trusted clock expires instead. who goes into the record. n is how
// many are no longer held. For an ID it errs with ErrNotFound, or ErrState when
// that message is not held.
func (s *Store) Release(ctx context.Context, f HeldFilter, who string) (n int, err error) {
	n, err = s.decideHeld(ctx, f, who, "released", s.release)
	if err != nil {
		return n, fmt.Errorf("release held messages: %w", err)
	}
	return n, nil
}

// Discard ends held messages: cancelled when they were never tried, uncertain
// when an earlier try may have arrived, failed else. who goes into the record.
// n and the errors are as Release's.
func (s *Store) Discard(ctx context.Context, f HeldFilter, who string) (n int, err error) {
	n, err = s.decideHeld(ctx, f, who, "discarded", s.discard)
	if err != nil {
		return n, fmt.Errorf("discard held messages: %w", err)
	}
	return n, nil
}

// decideHeld works the filter's messages off in batches.
func (s *Store) decideHeld(ctx context.Context, f HeldFilter, who, event string, do func(*sqlite.Tx, []int64) error) (n int, err error) {
	begun := time.Now() // monotonic
	var from, after, upTo int64
	var parts []heldPart
	for first := true; ; first = false {
		var seqs []int64
		next, last := parts, after
		err := s.db.Write(ctx, sqlite.Lengthy, func(tx *sqlite.Tx) (err error) {
			next, last, seqs = parts, after, nil
			if first {
				if from, upTo, err = heldRange(tx, f.ID); err != nil {
					return err
				}
				if next, err = heldParts(tx, f); err != nil {
					return err
				}
				last = from
			}
			for ; len(next) > 0; next, last = next[1:], from {
				some, err := next[0].batch(tx, last, upTo, holdBatch-len(seqs))
				if err != nil {
					return err
				}
				if seqs = append(seqs, some...); len(seqs) == holdBatch {
					last = seqs[holdBatch-1]
					break
				}
			}
			if len(seqs) == 0 {
				return nil
			}
			list, err := json.Marshal(seqs)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO history (message, at, event, detail) SELECT value, ?, ?, ? FROM json_each(?)`,
				ms(s.clock.Now()), event, "by "+who, string(list)); err != nil {
				return fmt.Errorf("keep history: %w", err)
			}
			if err := s.auditHeld(tx, f, who, event, len(seqs)); err != nil {
				return err
			}
			return s.together(tx, seqs, do)
		})
		if err != nil {
			return n, err
		}
		if len(seqs) == 0 {
			return n, nil
		}
		n, parts, after = n+len(seqs), next, last
		if f.Within > 0 && time.Since(begun) > f.Within {
			return n, nil
		}
	}
}

// heldRange is where the work begins and ends: what is held later is not meant.
func heldRange(tx *sqlite.Tx, id string) (after, upTo int64, err error) {
	if id == "" {
		err = tx.QueryRow(`SELECT coalesce(max(seq), 0) FROM message`).Scan(&upTo)
		return 0, upTo, err
	}
	r, err := loadByID(tx, id)
	if err != nil {
		return 0, 0, err
	}
	if r.State != Held {
		return 0, 0, ErrState
	}
	return r.Seq - 1, r.Seq, nil
}

// heldPart is what is held for one reason of one class, or, zero, all of it: each
// has an index that gives it in order, without looking at the others.
type heldPart struct {
	reason string
	class  Class
}

const (
	heldAll  = `SELECT seq FROM message INDEXED BY message_state WHERE state = 'held' AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3`
	heldSome = `SELECT seq FROM message INDEXED BY message_held WHERE state = 'held' AND seq > ?1 AND seq <= ?2 AND reason = ?4 AND class = ?5 ORDER BY seq LIMIT ?3`
)

// heldParts are the parts that a filter means, the urgent classes first.
func heldParts(tx *sqlite.Tx, f HeldFilter) (parts []heldPart, err error) {
	if f.Reason == "" && f.Class == "" {
		return []heldPart{{}}, nil
	}
	rows, err := tx.Query(`SELECT reason, class FROM held_tally WHERE n > 0 AND (?1 = '' OR reason = ?1) AND (?2 = '' OR class = ?2) ORDER BY reason, class`,
		f.Reason, string(f.Class))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p heldPart
		if err := rows.Scan(&p.reason, &p.class); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b heldPart) int { return policies[a.class].lane - policies[b.class].lane })
	return parts, rows.Err()
}

// query lists the next of a part.
func (p heldPart) query(after, upTo int64, most int) (query string, args []any) {
	if p == (heldPart{}) {
		return heldAll, []any{after, upTo, most}
	}
	return heldSome, []any{after, upTo, most, p.reason, string(p.class)}
}

func (p heldPart) batch(tx *sqlite.Tx, after, upTo int64, most int) ([]int64, error) {
	query, args := p.query(after, upTo, most)
	return numbersOf(tx, query, args...)
}

// auditHeld records who decided what of how many: a row a batch, each with
// what became durable together with it.
func (s *Store) auditHeld(tx *sqlite.Tx, f HeldFilter, who, event string, n int) error {
	object := f.ID
	if object == "" {
		object = fmt.Sprintf("reason=%s class=%s", f.Reason, f.Class)
	}
	_, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, ?, ?, ?)`,
		ms(s.clock.Now()), who, "held."+event, object, fmt.Sprintf("%d messages", n))
	if err != nil {
		return fmt.Errorf("record who decided: %w", err)
	}
	return nil
}

// release puts held messages back, all at once but for those that are over.
func (s *Store) release(tx *sqlite.Tx, seqs []int64) error {
	list, err := json.Marshal(seqs)
	if err != nil {
		return err
	}
	n := s.instant()
	var now, come, missed int64 // come: what was to be sent by then goes; missed: also what was held as late
	if n.trusted {
		now, missed = ms(n.now), ms(n.now)
	} else {
		missed = ms(n.least)
	}
	if n.firm {
		come = now
	}
	over, err := pastValidity(tx, string(list), now)
	if err != nil {
		return err
	}
	for _, seq := range over {
		r, err := load(tx, seq)
		if err != nil {
			return err
		}
		r.hold = ""
		if err := s.expire(tx, r, n); err != nil {
			return err
		}
	}
	// A segment that has left binds the rest: then it is sending, as between two
	// segments. A time to send at that has not come, or that nobody can tell of, as
	// by a clock that has just leapt, is waited for. What was held because it had
	// missed its time goes now: it would only be held again.
	classes := map[State]map[Class]int{}
	const waits = `attempts = 0 AND send_at > 0 AND CASE reason WHEN '` + ReasonLate + `' THEN send_at > ?3 AND ?3 > 0 ELSE send_at > ?2 OR ?2 = 0 END`
	rows, err := tx.Query(`UPDATE message SET reason = '', hold = '',
			state = CASE WHEN attempts > 0 AND EXISTS (SELECT 1 FROM segment g WHERE g.message = message.seq
					AND g.state IN ('sent','delivered','undelivered')) THEN 'sending'
				WHEN `+waits+` THEN 'scheduled'
				ELSE 'queued' END,
			not_before = CASE WHEN `+waits+` THEN send_at ELSE 0 END
		WHERE state = 'held' AND seq IN (SELECT value FROM json_each(?1)) RETURNING state, class`, string(list), come, missed)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state State
		var c Class
		if err := rows.Scan(&state, &c); err != nil {
			return err
		}
		if classes[state] == nil {
			classes[state] = map[Class]int{}
		}
		classes[state][c]++
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	if err := s.rebucketAll(tx, string(list)); err != nil {
		return err
	}
	for state, of := range classes {
		if err := s.enteredMany(tx, state, of); err != nil {
			return err
		}
	}
	tx.AfterCommit(s.readied)
	return nil
}

// pastValidity are those of the list that are no longer valid; none while the
// clock is not trusted (now 0).
func pastValidity(tx *sqlite.Tx, list string, now int64) (seqs []int64, err error) {
	rows, err := tx.Query(`SELECT seq FROM message WHERE seq IN (SELECT value FROM json_each(?)) AND expires_at <= ? AND clock_doubt = 0`, list, now)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return seqs, rows.Err()
}

// discarded ends a message that somebody does not want sent: it is now known
// how much of it the network has.
func (r *record) discarded() {
	r.State, r.Reason = Failed, ReasonDiscarded
	if left := r.left(); left > 0 {
		r.Reason = ReasonPartial
		r.Error = &Error{Code: ReasonDiscarded, Detail: fmt.Sprintf("%d of %d segments had been sent when it was discarded", left, len(r.Segments))}
	}
}

// discard ends held messages, each told of: whoever sent it waits for its end.
func (s *Store) discard(tx *sqlite.Tx, seqs []int64) error {
	for _, seq := range seqs {
		r, err := load(tx, seq)
		if err != nil {
			return err
		}
		open, err := s.leaveOpen(tx, r, "it was discarded, and an earlier try may have arrived")
		if err != nil {
			return err
		}
		r.hold = ""
		if open { // whatever evidence says of it: nothing releases it again
			r.hold = ReasonDiscarded
		}
		switch {
		case open:
		case r.Attempts == 0:
			r.State, r.Reason = Cancelled, ""
		default:
			r.discarded()
		}
		if err := s.save(tx, r); err != nil {
			return err
		}
	}
	return nil
}
