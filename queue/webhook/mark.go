package webhook

import (
	"context"
	"fmt"

	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// mark is what is written down of an attempt.
type mark struct {
	result
	state    State
	attempts int
	next     int64
	lane     *lane // nil: the endpoint is not active any more
}

// judge decides what becomes of deliveries and endpoints after attempts. It
// changes the lanes as mark writes it down.
func (o *Outbox) judge(batch []result) []mark {
	now := o.clock.tick()
	var marks []mark
	for _, r := range batch {
		if r.outcome == cut {
			continue
		}
		m := mark{result: r, attempts: r.attempts + 1, lane: o.lanes[r.endpoint.id]}
		switch r.outcome {
		case arrived:
			m.state = Delivered
			o.metrics.attempts.WithLabelValues("arrived").Inc()
		case erased:
			m.state, m.attempts, m.reason = Skipped, r.attempts, reasonErased.of("")
		case gone:
			m.state = Dead
			o.metrics.attempts.WithLabelValues("gone").Inc()
		case failed:
			m.state = Pending
			o.metrics.attempts.WithLabelValues("failed").Inc()
			var again bool
			if m.next, again = next(r.first, now, m.attempts, r.wait); !again {
				m.state = Dead
			}
		}
		if m.state == Dead {
			o.metrics.dead.Inc()
		}
		if m.lane != nil && r.outcome != erased {
			m.lane.after(r, now)
		}
		marks = append(marks, m)
	}
	return marks
}

// after changes an endpoint's health by what came of an attempt.
func (l *lane) after(r result, now int64) {
	l.lastAttempt, l.lastStatus, l.lastError = r.at.UnixMilli(), r.status, r.reason
	switch r.outcome {
	case arrived:
		if l.failures >= pauseAfter {
			l.recovered = now
		}
		l.failures, l.failingSince, l.pausedUntil, l.lastSuccess = 0, 0, 0, l.lastAttempt
	case gone:
		l.gone = true
	case failed:
		if r.tick < l.failedAt {
			return // it ran beside another that failed: that was one failure of the endpoint
		}
		l.failedAt = now
		if l.failures++; l.failures == 1 {
			l.failingSince = l.lastAttempt
		}
		if l.failures >= pauseAfter {
			l.pausedUntil, l.recovered = now+jitter(pause(l.failures)).Milliseconds(), 0
		}
		if r.status == 429 || r.status == 503 {
			l.pausedUntil = max(l.pausedUntil, now+r.wait.Milliseconds())
		}
	}
}

// mark writes down what came of attempts, in one transaction. A delivery or an
// endpoint that was deleted meanwhile stays so.
func (o *Outbox) mark(ctx context.Context, marks []mark) error {
	if len(marks) == 0 {
		return nil
	}
	if err := failpoint.Err(failpoint.OutboxMark); err != nil {
		return err
	}
	err := o.db.Write(ctx, sqlite.LaneOf(len(marks)), func(tx *sqlite.Tx) error {
		touched := map[*lane]bool{}
		for _, m := range marks {
			if err := o.markOne(tx, m); err != nil {
				return err
			}
			if m.lane != nil {
				touched[m.lane] = true
			}
		}
		for l := range touched {
			if err := l.save(tx); err != nil {
				return err
			}
		}
		return o.clock.note(tx, o.wall)
	})
	if err != nil {
		return fmt.Errorf("mark deliveries: %w", err)
	}
	for _, m := range marks {
		if m.lane != nil && m.lane.gone {
			o.log.Warn("a webhook is switched off: it answered 410", "webhook", m.lane.id)
			o.changed()
		}
	}
	return nil
}

// markOne changes the row of a delivery, unless somebody has asked for it anew
// while it was under way: what failed then counts from there.
func (o *Outbox) markOne(tx *sqlite.Tx, m mark) error {
	done := int64(0)
	if m.state != Pending {
		done = m.at.UnixMilli()
	}
	_, err := tx.Exec(`UPDATE webhook_delivery SET state = ?2, attempts = ?3, next_tick = ?4, tried_tick = ?5, tried_at = ?6, done_at = ?7, status = ?8, error = ?9
		WHERE seq = ?1 AND state = 'pending' AND (first_tick = ?10 OR ?2 = 'delivered')`,
		m.delivery, string(m.state), m.attempts, m.next, m.tick, m.at.UnixMilli(), done, m.status, m.reason, m.first)
	return err
}

// save writes an endpoint's health.
func (l *lane) save(tx *sqlite.Tx) error {
	h := l.health
	_, err := tx.Exec(`UPDATE webhook SET failures = ?2, failing_since = ?3, paused_until = ?4, recovered = ?5, last_error = ?6, last_status = ?7,
		last_attempt_at = ?8, last_success_at = ?9, gone = ?10, active = active AND NOT ?10 WHERE id = ?1`,
		l.id, h.failures, h.failingSince, h.pausedUntil, h.recovered, h.lastError, h.lastStatus, h.lastAttempt, h.lastSuccess, h.gone)
	return err
}
