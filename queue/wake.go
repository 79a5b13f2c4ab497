package queue

import (
	"context"
	"errors"
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
	// tidyBudget is what one Wake spends on it, and tidyBatch rows go in one
	// transaction.
	tidyBudget = 200 * time.Millisecond
	tidyBatch  = 500
	// overAhead is how far dueOver sees: Wake is called again by then.
	overAhead = time.Minute
)

// due finds what Wake has to do, soonest first. Of a message whose times are
// still to be put right it is not known when it expires.
const (
	dueTime   = `SELECT seq, not_before FROM message INDEXED BY message_due WHERE not_before > 0 AND state = 'scheduled' ORDER BY not_before LIMIT ?`
	dueFrom   = `SELECT seq, not_before FROM message INDEXED BY message_due WHERE not_before > 0 AND state = 'scheduled' AND not_before >= ?2 ORDER BY not_before LIMIT ?1`
	dueWait   = `SELECT seq, not_before FROM message INDEXED BY message_backoff WHERE not_before > 0 AND state IN ('queued','sending') ORDER BY not_before LIMIT ?`
	dueDecide = `SELECT seq, decide_at FROM message WHERE decide_at > 0 ORDER BY decide_at LIMIT ?`
	dueAvoid  = `SELECT seq, avoid_until FROM message WHERE avoid_until > 0 ORDER BY avoid_until LIMIT ?`
	dueExpiry = `SELECT seq, expires_at FROM message INDEXED BY message_expiry WHERE state IN ('scheduled','held','queued','sending') AND clock_doubt = 0 ORDER BY expires_at LIMIT ?`
	// dueOver is dueExpiry while the clock is not firm: see record.over. It sees
	// the next minute only, or it would read all that waits.
	dueOver = `SELECT seq, expires_at FROM message INDEXED BY message_expiry WHERE state IN ('scheduled','held','queued','sending') AND clock_doubt = 0
		AND expires_at <= ?2 AND send_at = 0 AND clock_boot = ?3 AND abs(clock_line - ?4) <= ?5 ORDER BY expires_at LIMIT ?1`
)

// Wake does what has fallen due: scheduled messages and back-offs become
// claimable, lost answers are decided by their class's policy, messages expire.
// When the time of day has become known, it first puts right what was dated
// while it was not. It says when to call again; zero: nothing waits. Call it at
// least every minute: the clock may jump. Not twice at once.
func (s *Store) Wake(ctx context.Context) (next time.Time, err error) {
	n := s.instant()
	// What hinders one of them hinders no other.
	more, err := s.tidy(ctx, n)
	errs := []error{err}
	if more {
		next = n.now
	}
	for _, job := range []func(context.Context, instant) (time.Time, error){s.patient, s.moveOn} {
		t, err := job(ctx, n)
		errs = append(errs, err)
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	// By times that are still to be put right nothing may end.
	done, dated := s.redate(ctx, n)
	errs = append(errs, dated)
	if !done && dated == nil {
		return n.now, errors.Join(errs...)
	}
	errs = append(errs, s.keep(ctx, n), s.freeLimits(ctx, n))
	// While the clock has just leapt nothing ends by it: what is over is not sent,
	// and waits; what has missed its time by more than the grace does too. Both
	// are as they were when the clock is put back. What it has dated itself ends:
	// that needs the steady clock only.
	times, over := due{query: dueTime}, due{query: dueExpiry}
	if n.trusted && !n.firm {
		m, err := s.Misfire(ctx)
		if err != nil {
			return next, errors.Join(append(errs, err)...)
		}
		times = due{query: dueFrom, from: []any{ms(n.now.Add(-m.grace(n)))}}
		over = due{query: dueOver, from: []any{ms(n.now.Add(overAhead)), n.boot, n.line(), redateOver.Milliseconds()}}
	}
	for _, job := range []struct {
		due
		timely bool // by the time of day, while that is trusted; else by the steady clock
		do     func(*sqlite.Tx, *record, instant) error
	}{
		{due{query: dueDecide}, false, s.decide}, {over, true, s.expire}, {times, true, s.fire},
		{due{query: dueWait}, false, s.readyNow}, {due{query: dueAvoid}, false, s.unavoid},
	} {
		if job.timely && (!n.trusted || sqlite.OfStorage(dated)) {
			continue
		}
		t, err := s.wake(ctx, n, job.timely, job.due, job.do)
		if err != nil {
			errs = append(errs, fmt.Errorf("do what is due: %w", err))
		}
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !n.trusted {
		if round := n.now.Add(untrustedRound); next.IsZero() || round.Before(next) {
			next = round
		}
	}
	return next, errors.Join(errs...)
}

// due is a query for what is due, and what it takes beside the limit.
type due struct {
	query string
	from  []any
}

// wake does one kind of work and says when its next is due.
func (s *Store) wake(ctx context.Context, n instant, timely bool, what due, do func(*sqlite.Tx, *record, instant) error) (time.Time, error) {
	seqs, next, err := s.due(ctx, n, timely, what)
	if err != nil || len(seqs) == 0 {
		return next, err
	}
	err = s.wakeThese(ctx, n, seqs, do)
	if err == nil || sqlite.OfStorage(err) {
		return next, err
	}
	// One of them hinders the others: one by one, and that one is put aside.
	var errs []error
	for _, seq := range seqs {
		err := s.wakeThese(ctx, n, []int64{seq}, do)
		if err != nil && !sqlite.OfStorage(err) {
			why := err
			err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error { return s.spoil(tx, seq, why) })
		}
		if sqlite.OfStorage(err) {
			return next, errors.Join(append(errs, err)...)
		}
		errs = append(errs, err)
	}
	return next, errors.Join(errs...)
}

// wakeThese does one kind of work for some messages, all or none.
func (s *Store) wakeThese(ctx context.Context, n instant, seqs []int64, do func(*sqlite.Tx, *record, instant) error) error {
	return s.db.Write(ctx, sqlite.LaneOf(len(seqs)), func(tx *sqlite.Tx) error {
		for _, seq := range seqs {
			r, err := load(tx, seq)
			switch {
			case errors.Is(err, ErrNotFound):
				continue // deleted meanwhile
			case err != nil:
				return err
			case r.torn:
				return errTorn
			}
			if err := do(tx, r, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// due lists what has come, and when the rest will; now when there is more.
func (s *Store) due(ctx context.Context, n instant, timely bool, what due) (seqs []int64, next time.Time, err error) {
	rows, err := s.db.Read().QueryContext(ctx, what.query, append([]any{wakeBatch}, what.from...)...)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = rows.Close() }()
	now := n.steady
	if timely {
		now = ms(n.now)
	}
	for rows.Next() {
		var seq, when int64
		torn, err := Scanned(rows, &seq, &when)
		if err != nil {
			return nil, time.Time{}, err
		}
		if !torn && when > now {
			if timely {
				return seqs, at(when), nil
			}
			return seqs, n.day(when), nil
		}
		seqs = append(seqs, seq)
	}
	if len(seqs) == wakeBatch {
		next = n.now
	}
	return seqs, next, rows.Err()
}

// readyNow ends a back-off.
func (s *Store) readyNow(tx *sqlite.Tx, r *record, n instant) error {
	if r.State != Queued && r.State != Sending || r.notBefore == 0 || r.notBefore > n.steady {
		return nil
	}
	r.notBefore = 0
	return s.save(tx, r)
}

// unavoid lets a message go on the SIM that failed it: no other took it.
func (s *Store) unavoid(tx *sqlite.Tx, r *record, n instant) error {
	if r.avoidUntil == 0 || r.avoidUntil > n.steady {
		return nil
	}
	r.avoidSIM, r.avoidUntil = "", 0
	return s.save(tx, r)
}

// decide ends the wait for evidence of a lost answer by the class's policy.
func (s *Store) decide(tx *sqlite.Tx, r *record, n instant) error {
	if r.State != Uncertain || r.decideAt == 0 || r.decideAt > n.steady {
		return nil
	}
	r.decideAt = 0
	again, err := mayRetryAll(tx, r)
	if err != nil {
		return err
	}
	if r.over(n) || !again {
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
			r.segment(r.Segments[i].N).State = SegmentPending
		}
	}
	last := r.SIM
	r.PossibleDuplicate = true
	r.back(time.Time{})
	if r.SIM == "" && last != "" {
		r.avoidSIM, r.avoidUntil = last, n.steady+avoidFor.Milliseconds()
	}
	if err := s.note(tx, r.Seq, "retry", "no evidence came; sent again, it may arrive twice"); err != nil {
		return err
	}
	return s.save(tx, r)
}

// expire ends a message that was not sent in time. A submission that is open
// ends first.
func (s *Store) expire(tx *sqlite.Tx, r *record, n instant) error {
	if r.open() || r.State.final() || r.State == Uncertain || !r.over(n) {
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

// tidy deletes, once an hour, what is past its keeping: by the steady clock, so
// that a wrong time of day deletes nothing. more: its time was over before the
// work was.
func (s *Store) tidy(ctx context.Context, n instant) (more bool, err error) {
	s.mu.Lock()
	wait := s.tidied != 0 && n.steady-s.tidied < tidyRound.Milliseconds() && n.steady >= s.tidied
	s.mu.Unlock()
	if wait {
		return false, nil
	}
	begun := time.Now() // monotonic
	type deletion struct {
		query string
		args  []any
	}
	list := []deletion{
		{`INSERT INTO tidy_mark (steady, event, report) SELECT ?, coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(id) FROM report), 0)
			WHERE true ON CONFLICT (steady) DO NOTHING`, []any{n.steady}},
		{`DELETE FROM idempotency WHERE (scope, key) IN (SELECT scope, key FROM idempotency WHERE created_at < ? LIMIT ?)`,
			[]any{n.steady - keepKeys.Milliseconds(), tidyBatch}},
		{`DELETE FROM report WHERE id IN (SELECT id FROM report WHERE message IS NULL
			AND id <= (SELECT max(report) FROM tidy_mark WHERE steady <= ?) LIMIT ?)`, []any{n.steady - keepOrphans.Milliseconds(), tidyBatch}},
		{`DELETE FROM event WHERE seq IN (SELECT seq FROM event
			WHERE seq <= (SELECT max(event) FROM tidy_mark WHERE steady <= ?)
			AND NOT EXISTS (SELECT 1 FROM webhook w WHERE w.active = 1 AND w.cursor < event.seq)
			AND NOT EXISTS (SELECT 1 FROM webhook w JOIN webhook_delivery d ON d.webhook = w.id AND d.event = event.seq
				WHERE d.state IN ('pending','dead')) ORDER BY seq LIMIT ?)`, []any{n.steady - keepEvents.Milliseconds(), tidyBatch}},
		{`DELETE FROM tidy_mark WHERE steady < ?`, []any{n.steady - 2*max(keepOrphans, keepEvents).Milliseconds()}},
	}
	for _, query := range tidyUsage {
		list = append(list, deletion{query, []any{n.steady - keepUsage.Milliseconds(), tidyBatch}})
	}
	for _, d := range list {
		for changed := int64(tidyBatch); changed >= tidyBatch; {
			if time.Since(begun) > tidyBudget {
				return true, nil
			}
			err := s.db.Write(ctx, sqlite.Lengthy, func(tx *sqlite.Tx) error {
				done, err := tx.Exec(d.query, d.args...)
				if err == nil {
					changed, err = done.RowsAffected()
				}
				return err
			})
			if err != nil {
				return false, fmt.Errorf("delete what is past its keeping: %w", err)
			}
		}
	}
	s.mu.Lock()
	s.tidied = n.steady
	s.mu.Unlock()
	return false, nil
}
