package queue

import (
	"context"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

// What Resolve may do with an uncertain message.
const (
	ResolveResend = "resend"
	ResolveSent   = "mark_sent"
	ResolveFailed = "mark_failed"
)

// Cancel takes back a message that never passed the gate. ErrState once a
// segment has, or when the message is at its end; cancelling a cancelled one
// changes nothing.
func (s *Store) Cancel(ctx context.Context, id string) (Message, error) {
	var m Message
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		r, err := loadByID(tx, id)
		if err != nil {
			return err
		}
		switch r.State {
		case Cancelled:
			m = r.Message
			return nil
		case Scheduled, Held, Queued:
		default:
			return ErrState
		}
		if r.Attempts > 0 {
			return ErrState
		}
		r.State, r.Reason = Cancelled, ""
		if err := s.save(tx, r); err != nil {
			return err
		}
		m = r.Message
		return nil
	})
	if err != nil {
		return Message{}, fmt.Errorf("cancel message: %w", err)
	}
	return m, nil
}

// Resolve decides an uncertain message: send it again (flagged, and valid
// anew), or take its word for sent or failed. who goes into the record. ErrState
// when the message is not uncertain.
func (s *Store) Resolve(ctx context.Context, id, action, who string) (Message, error) {
	switch action {
	case ResolveResend, ResolveSent, ResolveFailed:
	default:
		return Message{}, &Invalid{"action", "is one of resend, mark_sent, mark_failed", action}
	}
	var m Message
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		r, err := loadByID(tx, id)
		if err != nil {
			return err
		}
		switch {
		case r.State != Uncertain:
			return ErrState
		case action == ResolveResend && !r.TextDeletedAt.IsZero():
			return ErrTextDeleted
		case action == ResolveResend && r.Damaged:
			return ErrDamaged
		}
		if err := s.resolve(tx, r, action, who); err != nil {
			return err
		}
		m = r.Message
		return nil
	})
	if err != nil {
		return Message{}, fmt.Errorf("resolve message: %w", err)
	}
	return m, nil
}

func (s *Store) resolve(tx *sqlite.Tx, r *record, action, who string) error {
	now := s.clock.Now()
	r.decideAt = 0
	for i := range r.Segments {
		if r.Segments[i].State != SegmentUncertain {
			continue
		}
		g := r.segment(r.Segments[i].N)
		switch action {
		case ResolveResend:
			g.State = SegmentPending
		case ResolveSent:
			g.State, g.SentAt = SegmentSent, now
		case ResolveFailed:
			g.State = SegmentFailed
		}
	}
	switch action {
	case ResolveResend:
		r.PossibleDuplicate, r.hold = true, ""
		r.ExpiresAt = at(ms(now) + r.validMS)
		if err := s.revalidated(tx, r.Seq); err != nil {
			return err
		}
		r.back(time.Time{})
	case ResolveSent:
		r.Reason = ""
		r.settle(now)
	case ResolveFailed:
		r.State, r.Reason = Failed, ReasonResolved
	}
	if err := s.note(tx, r.Seq, "resolved", action+" by "+who); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, 'message.resolve', ?, ?)`,
		ms(now), who, r.ID, action); err != nil {
		return fmt.Errorf("record who decided: %w", err)
	}
	return s.save(tx, r)
}
