package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"recado/queue/sqlite"
)

// Stats is what a dashboard shows.
type Stats struct {
	// Today counts the messages that came into each state since local midnight.
	Today map[State]int
	// Messages that the SMSC took whole, in the last minute, hour and day.
	SentMinute, SentHour, SentDay int
	Uncertain                     int // now
}

// Stats reads counters that every change keeps; its cost does not grow with
// the queue.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	now := s.clock.Now()
	st := Stats{Today: make(map[State]int, len(States))}
	for _, state := range States {
		st.Today[state] = 0
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT state, n FROM daily WHERE day = ?`, day(now))
	if err != nil {
		return Stats{}, fmt.Errorf("read counters: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var state State
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return Stats{}, fmt.Errorf("read counters: %w", err)
		}
		st.Today[state] = n
	}
	if err := rows.Err(); err != nil {
		return Stats{}, fmt.Errorf("read counters: %w", err)
	}
	depth, err := s.Depth(ctx)
	if err != nil {
		return Stats{}, err
	}
	for _, n := range depth[Uncertain] {
		st.Uncertain += n
	}
	st.SentMinute, st.SentHour, st.SentDay = s.rate.read(at(s.instant().steady))
	return st, nil
}

// Depth counts the messages by state and class; states and classes without any
// are 0 or absent.
func (s *Store) Depth(ctx context.Context) (map[State]map[Class]int, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT state, class, n FROM tally`)
	if err != nil {
		return nil, fmt.Errorf("count messages: %w", err)
	}
	defer func() { _ = rows.Close() }()
	depth := make(map[State]map[Class]int, len(States))
	for _, state := range States {
		depth[state] = map[Class]int{}
	}
	for rows.Next() {
		var state State
		var class Class
		var n int
		if err := rows.Scan(&state, &class, &n); err != nil {
			return nil, fmt.Errorf("count messages: %w", err)
		}
		depth[state][class] = n
	}
	return depth, rows.Err()
}

const (
	dayMinutes  = 24 * 60
	rateSeconds = 61
)

// rate counts what was sent in rings of a minute's seconds and a day's minutes.
type rate struct {
	mu      sync.Mutex
	seconds [rateSeconds]slot
	minutes [dayMinutes + 1]slot
}

// slot is one second or minute of Unix time.
type slot struct {
	when int64
	n    int
}

func (s *slot) add(when int64, n int) {
	if s.when != when {
		*s = slot{when: when}
	}
	s.n += n
}

func (r *rate) add(now time.Time) { r.addN(now, 1) }

func (r *rate) addN(now time.Time, n int) {
	sec := now.Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seconds[sec%rateSeconds].add(sec, n)
	r.minutes[sec/60%int64(len(r.minutes))].add(sec/60, n)
}

func (r *rate) read(now time.Time) (minute, hour, day int) {
	sec := now.Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seconds {
		if s.when > sec-60 && s.when <= sec {
			minute += s.n
		}
	}
	for _, s := range r.minutes {
		age := sec/60 - s.when
		if age >= 0 && age < 60 {
			hour += s.n
		}
		if age >= 0 && age < dayMinutes {
			day += s.n
		}
	}
	return minute, hour, day
}

// loadRate counts the last day from the table, once at start.
// By what time of day that was is as sure as the clock.
func loadRate(ctx context.Context, db *sqlite.DB, n instant) (*rate, error) {
	r := &rate{}
	add := func(times int, query string, args ...any) error {
		rows, err := db.Read().QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var sec int64
			var count int
			if err := rows.Scan(&sec, &count); err != nil {
				return err
			}
			r.addN(time.Unix(sec, 0).Add(-time.Duration(n.line())*time.Millisecond), times*count)
		}
		return rows.Err()
	}
	from, to := ms(n.now.Add(-24*time.Hour)), ms(n.now)
	if err := add(1, `SELECT sent_at / 1000, count(*) FROM message WHERE sent_at > ? AND sent_at <= ? GROUP BY 1`, from, to); err != nil {
		return nil, err
	}
	// Canaries do not count: taken off again, so that the index alone has the others.
	err := add(-1, `SELECT m.sent_at / 1000, count(*) FROM canary c JOIN message m ON m.id = c.message
		WHERE c.id > (SELECT coalesce(max(id), 0) FROM canary) - ? AND m.sent_at > ? AND m.sent_at <= ? GROUP BY 1`, canariesADay, from, to)
	return r, err
}

// canariesADay are more than there can be within a day.
const canariesADay = 5000
