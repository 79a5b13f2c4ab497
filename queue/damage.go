package queue

import (
	"context"
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
	detail := "the stored message is damaged (" + what + ") and was not sent; check the disk, and write it again as a new message"
	left := r.left()
	if left > 0 {
		detail = fmt.Sprintf("%s (%d of %d segments had been sent)", detail, left, max(len(r.Segments), r.parts))
	}
	if err := s.FoundDamage(tx, DamagedMessage, r.Seq, r.ID, detail); err != nil {
		return err
	}
	var doubts int
	if err := tx.QueryRow(`SELECT count(*) FROM attempt WHERE message = ? AND edition = ? AND outcome = 'ambiguous'`, r.Seq, r.edition).Scan(&doubts); err != nil {
		return fmt.Errorf("look for lost answers: %w", err)
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
	for i, g := range r.Segments {
		if g.N == i+1 && !g.out() && doubts == 0 {
			r.segment(i + 1).State = SegmentFailed
		}
	}
	if r.torn {
		return s.bury(tx, r)
	}
	return s.save(tx, r)
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
	for i, g := range r.Segments {
		if !g.out() {
			r.segment(i + 1).State = SegmentFailed
		}
	}
}
