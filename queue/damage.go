package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// ErrorCorrupt is the code (Error.Code) of a message whose stored octets are not
// what was written: it is failed, with reason corrupt or, when segments had
// left, partial.
const ErrorCorrupt = "corrupt"

// Kinds of Damage.
const (
	DamagedMessage = "message"
	DamagedInbound = "inbound"
)

// Damage is a row that was found not to be what was written.
type Damage struct {
	Kind    string // DamagedMessage or DamagedInbound
	ID      string // the message's; "" when that cannot be read
	FoundAt time.Time
	Detail  string // plain words: what happened and what to do
}

// DamagedEvent is the data of the event system.damaged.
type DamagedEvent struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Detail string `json:"detail"`
}

// Damaged counts the damaged rows that were found, and lists the newest. They
// are forgotten with their messages.
func (s *Store) Damaged(ctx context.Context, limit int) (n int, list []Damage, err error) {
	if err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM damaged`).Scan(&n); err != nil {
		return 0, nil, fmt.Errorf("read what is damaged: %w", err)
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT kind, coalesce(CASE kind WHEN 'message' THEN (SELECT id FROM message m WHERE m.seq = d.seq)
		ELSE (SELECT id FROM inbound i WHERE i.seq = d.seq) END, ''), found_at, detail FROM damaged d ORDER BY found_at DESC, kind, seq LIMIT ?`, limit)
	if err != nil {
		return 0, nil, fmt.Errorf("read what is damaged: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var d Damage
		var found int64
		if _, err := Scanned(rows, &d.Kind, &d.ID, &found, &d.Detail); err != nil {
			return 0, nil, fmt.Errorf("read what is damaged: %w", err)
		}
		d.FoundAt = at(found)
		list = append(list, d)
	}
	return n, list, rows.Err()
}

// FoundDamage records a damaged row, once, and tells of it. It is for the
// packages that keep rows of their own beside the Store's.
func (s *Store) FoundDamage(tx *sqlite.Tx, kind string, seq int64, id, detail string) error {
	res, err := tx.Exec(`INSERT INTO damaged (kind, seq, found_at, detail) VALUES (?, ?, ?, ?) ON CONFLICT (kind, seq) DO NOTHING`,
		kind, seq, ms(s.clock.Now()), detail)
	if err != nil {
		return fmt.Errorf("record what is damaged: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	s.log.Error("a stored row is not what was written: check the disk, and restore a backup if there are more", "kind", kind, "seq", seq, "id", id, "what", detail)
	tx.AfterCommit(func() { s.metrics.damaged.WithLabelValues(kind).Inc() })
	return s.AppendEvent(tx, "system.damaged", DamagedEvent{kind, id, detail})
}

// corrupt ends a message whose stored octets are not what was written: it is
// not sent, whatever is left of it. When an earlier try may have arrived it is
// uncertain, as everywhere.
func (s *Store) corrupt(tx *sqlite.Tx, r *record, what string) error {
	doubts, err := mayHaveArrived(tx, r)
	if err != nil {
		return err
	}
	detail := "the stored message is damaged (" + what + ") and was not sent; check the disk, and write it again as a new message"
	if doubts > 0 {
		detail = "the stored message is damaged (" + what + ") and may have arrived; it is not sent again: check the disk"
	}
	left := r.left()
	if left > 0 {
		detail = fmt.Sprintf("%s (%d of %d segments had been sent)", detail, left, max(len(r.Segments), r.parts))
	}
	if err := s.FoundDamage(tx, DamagedMessage, r.Seq, r.ID, detail); err != nil {
		return err
	}
	r.claimedBy, r.notBefore, r.decideAt, r.hold = "", 0, 0, ""
	r.Error = &Error{Code: ErrorCorrupt, Class: "storage", Detail: detail}
	switch {
	case doubts > 0:
		r.State, r.Reason = Uncertain, ReasonNoEvidence
	case left > 0:
		r.State, r.Reason = Failed, ReasonPartial
	default:
		r.State, r.Reason = Failed, ReasonCorrupt
	}
	for _, g := range r.Segments {
		switch {
		case g.out():
		case doubts == 0:
			r.segment(g.N).State = SegmentFailed
		case g.State == SegmentSending:
			r.segment(g.N).State = SegmentUncertain
		}
	}
	if r.torn {
		return s.bury(tx, r)
	}
	return s.save(tx, r)
}

// mayHaveArrived counts the tries of a damaged message that the network may
// have, or has, and that its segments do not show: a segment's row may be gone.
func mayHaveArrived(tx *sqlite.Tx, r *record) (n int, err error) {
	err = tx.QueryRow(`SELECT count(*) FROM attempt a WHERE message = ? AND (edition = ? OR ?)
		AND (phase = 'prepared' OR outcome = 'ambiguous' OR outcome = 'accepted' AND NOT EXISTS (
			SELECT 1 FROM segment g WHERE g.message = a.message AND g.n = a.n AND g.state IN ('sent','delivered','undelivered')))`,
		r.Seq, r.edition, r.torn).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("look for lost answers: %w", err)
	}
	return n, nil
}

var (
	// errAstray: a row names a segment that its message does not have.
	errAstray = errors.New("the segment that is named is not there")
	// errTorn: a message's row cannot be read whole.
	errTorn = errors.New("the message's row is damaged")
)

// spoil ends, as corrupt does, a message of which something cannot be done
// because a row is damaged: why. One that is at its end stays as it is, but is
// noted. What hinders that too is not looked at: its row alone is put aside.
func (s *Store) spoil(tx *sqlite.Tx, seq int64, why error) error {
	r, err := load(tx, seq)
	if errors.Is(err, ErrNotFound) {
		return s.FoundDamage(tx, DamagedMessage, seq, "", "a message that is not there is named: check the disk")
	}
	if err != nil {
		return err
	}
	what := r.look()
	if what == "" || !r.TextDeletedAt.IsZero() {
		what = "what belongs to it does not fit it"
	}
	s.log.Error("something could not be done for a damaged message; the others are not kept from it", "message", r.ID, "error", why)
	if r.State.final() {
		if err := s.FoundDamage(tx, DamagedMessage, seq, r.ID, "the stored message is damaged ("+what+"): check the disk"); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE message SET claimed_by = '', not_before = 0, decide_at = 0, avoid_sim = '', avoid_until = 0
			WHERE seq = ? AND (claimed_by <> '' OR not_before <> 0 OR decide_at <> 0 OR avoid_until <> 0)`, seq)
		return err
	}
	err = tx.Try(func() error { return s.corrupt(tx, r, what) })
	if err == nil || sqlite.OfStorage(err) || r.Error == nil || r.Error.Code != ErrorCorrupt {
		return err
	}
	return s.bury(tx, r)
}

// together does something for messages at once. When a damaged row hinders that, it
// is done for one after the other, and that one ends, as spoil says.
func (s *Store) together(tx *sqlite.Tx, seqs []int64, do func(*sqlite.Tx, []int64) error) error {
	if len(seqs) > 1 {
		err := tx.Try(func() error { return do(tx, seqs) })
		if err == nil || sqlite.OfStorage(err) {
			return err
		}
	}
	for _, seq := range seqs {
		err := tx.Try(func() error { return do(tx, []int64{seq}) })
		if err != nil && !sqlite.OfStorage(err) {
			err = s.spoil(tx, seq, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// aside does what must not undo the rest of a transaction: when a row hinders it,
// it is not done, and logged.
func (s *Store) aside(tx *sqlite.Tx, what string, do func() error) error {
	err := tx.Try(do)
	if err == nil || sqlite.OfStorage(err) {
		return err
	}
	s.log.Error("something could not be done because of a row: check the disk, and restore a backup if there are more", "what", what, "error", err)
	return nil
}

// bury ends a message in whose row not even the numbers can be trusted: the
// guard of save might not find it.
func (s *Store) bury(tx *sqlite.Tx, r *record) error {
	if _, ok := policies[r.Class]; !ok {
		r.Class = Normal
	}
	_, err := tx.Exec(`UPDATE message SET state = ?1, reason = ?2, class = ?3, claimed_by = '', hold = '', not_before = 0, avoid_sim = '', avoid_until = 0,
		decide_at = 0, sent_at = ?4, delivered_at = ?5, expires_at = ?6, error_code = ?7, error_class = ?8, error_detail = ?9 WHERE seq = ?10`,
		string(r.State), r.Reason, string(r.Class), ms(r.SentAt), ms(r.DeliveredAt), ms(r.ExpiresAt), r.Error.Code, r.Error.Class, r.Error.Detail, r.Seq)
	if err != nil {
		return fmt.Errorf("end a damaged message: %w", err)
	}
	r.was = r.State
	return s.entered(tx, r, Queued)
}

// unsendable keeps a message out of the queue whose text has been deleted since
// it ended: late evidence of one of its segments may free another.
func (r *record) unsendable() {
	if r.TextDeletedAt.IsZero() || r.open() {
		return
	}
	switch r.State {
	case Queued, Sending, Scheduled, Held:
	default:
		return
	}
	r.State, r.Reason = Failed, ReasonTextDeleted
	r.Error = &Error{Code: ReasonTextDeleted, Detail: "its text had been deleted when it became known that it was not sent; write it again as a new message"}
	if left := r.left(); left > 0 {
		r.Reason = ReasonPartial
		r.Error.Detail = fmt.Sprintf("%d of %d segments had been sent; the text has been deleted since, and the rest will not be", left, len(r.Segments))
	}
	for _, g := range r.Segments {
		if !g.out() {
			r.segment(g.N).State = SegmentFailed
		}
	}
}
