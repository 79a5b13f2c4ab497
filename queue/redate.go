package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// settingDated is the clock that unfinished messages were last brought up to.
	settingDated = "clock_dated"
	// redateOver is how far the clock must have been moved for that.
	redateOver = time.Minute
	// redateBatch messages are put right in one transaction.
	redateBatch = 500
	// redateLook messages are looked at for those at once.
	redateLook = 5000
	// redateFor is how long one Wake works at it: whoever calls must not seem to
	// stand still, and a database of a card may have hundreds of thousands.
	redateFor = time.Second
)

// dated is the clock that the times of messages are of.
type dated struct {
	Boot int64 `json:"boot"`
	Line int64 `json:"line"`
}

// following is how far followClock has come.
type following struct {
	to    dated
	state int // index in redated
	after int64
}

// redated are the states that followClock brings up to the clock.
var redated = []State{Scheduled, Held, Queued, Sending, Uncertain}

// redateSQL puts the times of a message right: it was accepted as long ago as
// the steady clock says, and has as much of its validity left. Of one from
// before the box was started anew only the first is known; its validity begins
// anew. A time that somebody asked for stays. ?1 line, ?2 boot, ?3 now, ?4 seq.
const redateSQL = `UPDATE message SET
	created_at = min(created_at + (?1 - clock_line), ?3),
	expires_at = CASE WHEN send_at > 0 THEN expires_at
		WHEN clock_boot = ?2 THEN min(expires_at + (?1 - clock_line), ?3 + valid_ms)
		ELSE ?3 + valid_ms END,
	sent_at = CASE WHEN sent_at > 0 THEN min(sent_at + (?1 - clock_line), ?3) ELSE 0 END,
	delivered_at = CASE WHEN delivered_at > 0 THEN min(delivered_at + (?1 - clock_line), ?3) ELSE 0 END,
	clock_line = ?1, clock_boot = ?2, clock_doubt = 0
	WHERE seq = ?4`

// redate puts right the times of messages that were taken by a clock which was
// wrong: those that were accepted while it could not be trusted, and, when a
// trusted clock was put right, those that are unfinished. It works for redateFor;
// before it is done, nothing may expire.
func (s *Store) redate(ctx context.Context, n instant) (done bool, err error) {
	if !n.trusted {
		return true, nil
	}
	begun := time.Now() // monotonic
	over := func() bool { return time.Since(begun) >= s.redateFor }
	more, err := s.anyDoubt(ctx)
	if err != nil {
		return false, fmt.Errorf("look for times to put right: %w", err)
	}
	for first := true; more; first = false {
		if !first && over() {
			return false, nil
		}
		err := s.db.Write(ctx, sqlite.Lengthy, func(tx *sqlite.Tx) error {
			seqs, err := numbersOf(tx, `SELECT seq FROM message INDEXED BY message_doubt WHERE clock_doubt = 1 LIMIT ?`, redateBatch)
			if err != nil {
				return err
			}
			more = len(seqs) == redateBatch
			for _, seq := range seqs {
				if err := redateAttempts(tx, n, seq); err != nil {
					return err
				}
			}
			return s.redateAll(tx, n, seqs)
		})
		if err != nil {
			return false, fmt.Errorf("put times right: %w", err)
		}
	}
	return s.followClock(ctx, n, over)
}

// anyDoubt spares the transaction when there is nothing to do.
func (s *Store) anyDoubt(ctx context.Context) (bool, error) {
	var any bool
	err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_doubt WHERE clock_doubt = 1)`).Scan(&any)
	return any, err
}

// redateAttempts puts right when the message's attempts were: a report is found
// by that.
func redateAttempts(tx *sqlite.Tx, n instant, seq int64) error {
	var was int64
	if err := tx.QueryRow(`SELECT clock_line FROM message WHERE seq = ?`, seq).Scan(&was); err != nil {
		return err
	}
	for _, query := range []string{
		`UPDATE attempt SET gate_at = min(gate_at + ?1, ?2), done_at = CASE WHEN done_at > 0 THEN min(done_at + ?1, ?2) ELSE 0 END WHERE message = ?3`,
		`UPDATE segment SET sent_at = min(sent_at + ?1, ?2) WHERE message = ?3 AND sent_at > 0`,
	} {
		if _, err := tx.Exec(query, n.line()-was, ms(n.now), seq); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) redateAll(tx *sqlite.Tx, n instant, seqs []int64) error {
	for _, seq := range seqs {
		if _, err := tx.Exec(redateSQL, n.line(), n.boot, ms(n.now), seq); err != nil {
			return err
		}
		s.returned(seq) // it may be over no more
	}
	return nil
}

// followClock brings unfinished messages of this start of the box up to a clock
// that was put right although it was trusted, as when NTP corrects the network.
// It does some of it at least, and goes on where it was.
func (s *Store) followClock(ctx context.Context, n instant, over func() bool) (done bool, err error) {
	now := dated{n.boot, n.line()}
	if s.dated == (dated{}) {
		if text, err := s.setting(ctx, settingDated); err != nil {
			return false, err
		} else if text != "" && json.Unmarshal([]byte(text), &s.dated) != nil {
			s.dated = dated{} // written anew below
		}
	}
	same := s.dated.Boot == now.Boot
	if same && distance(s.dated.Line, now.Line) <= redateOver.Milliseconds() {
		s.following = following{}
		return true, nil
	}
	// What was accepted meanwhile is of this clock.
	if f := s.following.to; f.Boot != now.Boot || distance(f.Line, now.Line) > redateOver.Milliseconds() {
		s.following = following{to: now}
	}
	for f := &s.following; same && f.state < len(redated); {
		seqs, last, err := s.otherwiseDated(ctx, redated[f.state], f.after, now)
		if err == nil && len(seqs) > 0 {
			err = s.db.Write(ctx, sqlite.LaneOf(len(seqs)), func(tx *sqlite.Tx) error { return s.redateAll(tx, n, seqs) })
		}
		if err != nil {
			return false, fmt.Errorf("put times right: %w", err)
		}
		if f.after = last; last == 0 {
			f.state++
		}
		if f.state < len(redated) && over() {
			return false, nil
		}
	}
	text, err := json.Marshal(now)
	if err != nil {
		return false, err
	}
	if err := s.SetSetting(ctx, settingDated, string(text)); err != nil {
		return false, fmt.Errorf("put times right: %w", err)
	}
	s.dated, s.following = now, following{}
	return true, nil
}

// otherwiseDated lists a batch of messages whose times are of another clock; last
// is the last one looked at, 0 when there were none. It reads beside the writer:
// to put a message right that has been is to change nothing.
func (s *Store) otherwiseDated(ctx context.Context, state State, after int64, now dated) (seqs []int64, last int64, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT seq, clock_boot = ?1 AND abs(clock_line - ?2) > ?3 FROM message INDEXED BY message_state
		WHERE state = ?4 AND seq > ?5 ORDER BY seq LIMIT ?6`, now.Boot, now.Line, redateOver.Milliseconds(), string(state), after, redateLook)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for len(seqs) < redateBatch && rows.Next() {
		var other bool
		if err := rows.Scan(&last, &other); err != nil {
			return nil, 0, err
		}
		if other {
			seqs = append(seqs, last)
		}
	}
	return seqs, last, rows.Err()
}

// revalidated notes that a message's expires_at was taken by the clock of now,
// whatever its other times are of.
func (s *Store) revalidated(tx *sqlite.Tx, seq int64) error {
	n := s.instant()
	_, err := tx.Exec(`UPDATE message SET created_at = created_at + CASE WHEN clock_boot = ?2 THEN ?1 - clock_line ELSE 0 END,
		clock_line = ?1, clock_boot = ?2, clock_doubt = ?3 WHERE seq = ?4`, n.line(), n.boot, !n.trusted, seq)
	if err != nil {
		return fmt.Errorf("note the clock of a message: %w", err)
	}
	return nil
}

// numbersOf reads one column.
func numbersOf(tx *sqlite.Tx, query string, args ...any) (list []int64, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}
