package queue

import (
	"context"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// wakeBatch messages are put right in one transaction, so that a modem's
	// gate never waits long.
	wakeBatch = 200
	// untrustedRound is when to look again whether the clock is trusted.
	untrustedRound = 10 * time.Second
	// tidyRound is how often what is past its keeping is deleted.
	tidyRound = time.Hour
)

// due finds what Wake has to do, soonest first. ?1 says that the clock is
// trusted: without that nothing scheduled goes and nothing expires.
const (
	dueWait   = `SELECT seq, not_before FROM message WHERE not_before > 0 AND (?1 OR state <> 'scheduled') ORDER BY not_before LIMIT ?2`
	dueDecide = `SELECT seq, decide_at FROM message WHERE decide_at > 0 AND ?1 = ?1 ORDER BY decide_at LIMIT ?2`
	dueAvoid  = `SELECT seq, avoid_until FROM message WHERE avoid_until > 0 AND ?1 = ?1 ORDER BY avoid_until LIMIT ?2`
	dueExpiry = `SELECT seq, expires_at FROM message INDEXED BY message_expiry WHERE state IN ('scheduled','held','queued','sending') AND ?1 ORDER BY expires_at LIMIT ?2`
)

// Wake does what has fallen due: scheduled messages and back-offs become
// claimable, lost answers are decided by their class's policy, messages expire.
// It says when to call again; zero: nothing waits. Call it at least every
// minute: the clock may jump.
func (s *Store) Wake(ctx context.Context) (next time.Time, err error) {
	now := s.clock.Now()
	if err := s.tidy(ctx, now); err != nil {
		return time.Time{}, err
	}
	if err := s.keep(ctx, now); err != nil {
		return time.Time{}, err
	}
	for _, job := range []struct {
		query string
		do    func(*sqlite.Tx, *record, time.Time) error
	}{
		{dueDecide, s.decide}, {dueExpiry, s.expire}, {dueWait, s.readyNow}, {dueAvoid, s.unavoid},
	} {
		t, err := s.wake(ctx, now, job.query, job.do)
		if err != nil {
			return time.Time{}, fmt.Errorf("do what is due: %w", err)
		}
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !s.clock.Trusted() {
		if round := now.Add(untrustedRound); next.IsZero() || round.Before(next) {
			next = round
		}
	}
	return next, nil
}

// wake does one kind of work and says when its next is due.
func (s *Store) wake(ctx context.Context, now time.Time, query string, do func(*sqlite.Tx, *record, time.Time) error) (time.Time, error) {
	seqs, next, err := s.due(ctx, now, query)
	if err != nil || len(seqs) == 0 {
		return next, err
	}
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for _, seq := range seqs {
			r, err := load(tx, seq)
			if err != nil {
				return err
			}
			if err := do(tx, r, now); err != nil {
				return err
			}
		}
		return nil
	})
	return next, err
}

// due lists what has come, and when the rest will; now when there is more.
func (s *Store) due(ctx context.Context, now time.Time, query string) (seqs []int64, next time.Time, err error) {
	rows, err := s.db.Read().QueryContext(ctx, query, s.clock.Trusted(), wakeBatch)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq, when int64
		if err := rows.Scan(&seq, &when); err != nil {
			return nil, time.Time{}, err
		}
		if when > ms(now) {
			return seqs, at(when), nil
		}
		seqs = append(seqs, seq)
	}
	if len(seqs) == wakeBatch {
		next = now
	}
	return seqs, next, rows.Err()
}

// readyNow ends a back-off, or a schedule.
func (s *Store) readyNow(tx *sqlite.Tx, r *record, now time.Time) error {
	if r.notBefore == 0 || r.notBefore > ms(now) {
		return nil
	}
	r.notBefore = 0
	if r.State == Scheduled {
		r.State = Queued
	}
	return s.save(tx, r)
}

// unavoid lets a message go on the SIM that failed it: no other took it.
func (s *Store) unavoid(tx *sqlite.Tx, r *record, now time.Time) error {
	if r.avoidUntil == 0 || r.avoidUntil > ms(now) {
		return nil
	}
	r.avoidSIM, r.avoidUntil = "", 0
	return s.save(tx, r)
}

// decide ends the wait for evidence of a lost answer by the class's policy.
func (s *Store) decide(tx *sqlite.Tx, r *record, now time.Time) error {
	if r.State != Uncertain || r.decideAt == 0 || r.decideAt > ms(now) {
		return nil
	}
	r.decideAt = 0
	expired := s.clock.Trusted() && !r.ExpiresAt.After(now)
	if expired || !mayRetry(r.Delivery, r.lost) {
		r.Reason = ReasonNoEvidence
		if err := s.note(tx, r.Seq, "undecided", "no evidence came; it is not sent again by itself"); err != nil {
			return err
		}
		if err := s.save(tx, r); err != nil {
			return err
		}
		return s.AppendEvent(tx, told[Uncertain], EventOf(r.Message))
	}
	for i := range r.Segments {
		if r.Segments[i].State == SegmentUncertain {
			r.segment(i + 1).State = SegmentPending
		}
	}
	last := r.SIM
	r.PossibleDuplicate = true
	r.back(time.Time{})
	if r.SIM == "" && last != "" {
		r.avoidSIM, r.avoidUntil = last, ms(now.Add(avoidFor))
	}
	if err := s.note(tx, r.Seq, "retry", "no evidence came; sent again, it may arrive twice"); err != nil {
		return err
	}
	return s.save(tx, r)
}

// expire ends a message that was not sent in time. A submission that is open
// ends first.
func (s *Store) expire(tx *sqlite.Tx, r *record, now time.Time) error {
	if r.open() || r.State.final() || r.State == Uncertain || r.ExpiresAt.After(now) {
		return nil
	}
	if open, err := s.leaveOpen(tx, r, "its validity is over, and an earlier try may have arrived"); err != nil {
		return err
	} else if open {
		return s.save(tx, r)
	}
	if left := r.left(); left > 0 {
		r.State, r.Reason = Failed, ReasonPartial
		r.Error = &Error{Code: "expired", Class: "", Detail: fmt.Sprintf("%d of %d segments had been sent when its validity ended", left, len(r.Segments))}
	} else {
		r.State, r.Reason = Expired, ReasonValidity
	}
	return s.save(tx, r)
}

// tidy deletes, once an hour, what is past its keeping.
func (s *Store) tidy(ctx context.Context, now time.Time) error {
	if !s.clock.Trusted() {
		return nil // a wrong clock must not delete
	}
	s.mu.Lock()
	wait := !s.tidied.IsZero() && now.Sub(s.tidied) < tidyRound && now.After(s.tidied)
	if !wait {
		s.tidied = now
	}
	s.mu.Unlock()
	if wait {
		return nil
	}
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for _, d := range []struct {
			query string
			keep  time.Duration
		}{
			{`DELETE FROM idempotency WHERE (scope, key) IN (SELECT scope, key FROM idempotency WHERE created_at < ? LIMIT 5000)`, keepKeys},
			{`DELETE FROM report WHERE id IN (SELECT id FROM report WHERE message IS NULL AND received_at < ? LIMIT 5000)`, keepOrphans},
			{`DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE at < ? ORDER BY at LIMIT 5000)`, keepEvents},
		} {
			if _, err := tx.Exec(d.query, ms(now.Add(-d.keep))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete what is past its keeping: %w", err)
	}
	return nil
}
