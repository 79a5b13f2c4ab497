package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"recado/queue/sqlite"
)

// Reasons of a held message: stable codes.
const (
	ReasonRestored = "restored" // the database is a backup's: what it calls unfinished may have been sent since
	ReasonCloned   = "cloned"   // the database is a copy: the box that it was copied from may be sending it
	ReasonLate     = "late"     // its time was missed by more than the grace
	ReasonClock    = "clock"    // it waits for a clock that can be trusted
)

const (
	// holdBatch messages are held or released in one transaction.
	holdBatch = 1000
	// heldEvents is how many messages a hold tells of one by one; beyond, and in
	// any case, queue.held says how many there are.
	heldEvents = 1000
	// holdSays is how often a hold that takes long says how far it is.
	holdSays = 5 * time.Second
	// settingHold names a hold that is not finished: see pendingHold.
	settingHold = "hold_pending"
)

// HeldEvent is the data of the event queue.held: everything unfinished was
// held, and how much that was.
type HeldEvent struct {
	Reason   string        `json:"reason"`
	Messages int           `json:"messages"`
	Classes  map[Class]int `json:"classes"`
}

// pendingHold is a hold that has begun; the next start finishes it when this
// run does not.
type pendingHold struct {
	Reason string `json:"reason"`
	UpTo   int64  `json:"up_to"` // Message.Seq: what is accepted later is not meant
}

// HoldAll holds every message that is not at its end: nothing of it is sent
// until Release, whatever happens meanwhile. Scheduled ones keep their time. A
// message whose answer was lost stays uncertain, and one whose answer is
// awaited becomes what the answer says, but neither is sent again by itself.
// Messages that are accepted while it runs are not held. n is how many it held.
//
// It works in batches, so that a million messages do not stop a modem's gate;
// from its first to its last nothing is claimed. When it errs, nothing is
// claimed until it was called again or the Store was opened anew, which
// finishes it.
func (s *Store) HoldAll(ctx context.Context, reason string) (n int, err error) {
	if reason == "" {
		return 0, errors.New("hold the queue: give a reason")
	}
	s.holding.Store(true)
	var upTo int64
	err = s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		if err := tx.QueryRow(`SELECT coalesce(max(seq), 0) FROM message`).Scan(&upTo); err != nil {
			return err
		}
		mark, err := json.Marshal(pendingHold{reason, upTo})
		if err != nil {
			return err
		}
		// A line that has claimed one finds its gate shut.
		if _, err := tx.Exec(`UPDATE message SET claimed_by = '' WHERE claimed_by <> ''
			AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = message.seq AND a.phase = 'prepared')`); err != nil {
			return err
		}
		return set(tx, settingHold, string(mark))
	})
	if err != nil {
		return 0, fmt.Errorf("hold the queue: %w", err)
	}
	return s.hold(ctx, reason, upTo, nil)
}

// hold does HoldAll's work up to a message; finish shares its last transaction.
func (s *Store) hold(ctx context.Context, reason string, upTo int64, finish func(*sqlite.Tx) error) (n int, err error) {
	s.holding.Store(true)
	told, said := 0, time.Now() // monotonic
	for _, from := range []State{Sending, Queued, Scheduled, Held, Uncertain} {
		last := int64(0)
		for {
			b := batch{reason: reason, from: from, after: last, upTo: upTo, tell: heldEvents - told}
			err := s.db.Write(ctx, sqlite.Lengthy, func(tx *sqlite.Tx) error {
				return s.holdNext(tx, &b)
			})
			if err != nil {
				return n, fmt.Errorf("hold the queue: %w", err)
			}
			if b.last == 0 {
				break
			}
			n, told, last = n+b.held, told+b.told, b.last
			if time.Since(said) >= s.holdSays {
				s.log.Info("holding messages", "reason", reason, "held", n, "state", from, "at", last, "up_to", upTo)
				said = time.Now()
			}
		}
	}
	err = s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		if err := s.toldHeld(tx, reason); err != nil {
			return err
		}
		if finish != nil {
			if err := finish(tx); err != nil {
				return err
			}
		}
		return set(tx, settingHold, "")
	})
	if err != nil {
		return n, fmt.Errorf("hold the queue: %w", err)
	}
	s.holding.Store(false)
	if n > 0 {
		s.log.Warn("messages are held until somebody releases or discards them", "reason", reason, "messages", n)
	}
	s.readied() // what was accepted meanwhile
	return n, nil
}

// toldHeld appends queue.held with what the reason holds now.
func (s *Store) toldHeld(tx *sqlite.Tx, reason string) error {
	e := HeldEvent{Reason: reason, Classes: map[Class]int{}}
	rows, err := tx.Query(`SELECT class, n FROM held_tally WHERE reason = ? AND n > 0`, reason)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Class
		var n int
		if err := rows.Scan(&c, &n); err != nil {
			return err
		}
		e.Classes[c], e.Messages = n, e.Messages+n
	}
	if err := rows.Err(); err != nil || e.Messages == 0 {
		return err
	}
	return s.AppendEvent(tx, "queue.held", e)
}

// batch is a part of a hold: messages of one state in the order of their seq.
type batch struct {
	reason      string
	from        State
	after, upTo int64
	tell        int // so many events at most

	held, told int
	last       int64 // seq of the last one looked at; 0: there was none
}

// mayHold: not what a restore holds already, which is for a release to decide.
const mayHold = `state = ?1 AND hold = ''`

// holdNext holds a batch, one by one when a damaged row hinders that.
func (s *Store) holdNext(tx *sqlite.Tx, b *batch) error {
	seqs, err := numbersOf(tx, `SELECT seq FROM message WHERE state = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, string(b.from), b.after, b.upTo, holdBatch)
	if b.held, b.told, b.last = 0, 0, 0; err != nil || len(seqs) == 0 {
		return err
	}
	b.last = seqs[len(seqs)-1]
	held, told := 0, 0
	err = s.together(tx, seqs, func(tx *sqlite.Tx, some []int64) error {
		part := *b
		part.after, part.last, part.tell = some[0]-1, some[len(some)-1], b.tell-told
		if err := s.holdSome(tx, &part); err != nil {
			return err
		}
		held, told = held+part.held, told+part.told
		return nil
	})
	b.held, b.told = held, told
	return err
}

func (s *Store) holdSome(tx *sqlite.Tx, b *batch) error {
	if b.from == Uncertain {
		return s.holdUncertain(tx, b)
	}
	// Of those that are sending: the ones whose answer is awaited. Their outcome
	// finds the mark (see save).
	if b.from == Sending {
		if _, err := tx.Exec(`UPDATE message SET hold = ?4 WHERE `+mayHold+` AND seq > ?2 AND seq <= ?3
			AND EXISTS (SELECT 1 FROM attempt a WHERE a.message = message.seq AND a.phase = 'prepared')`,
			string(b.from), b.after, b.last, b.reason); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`INSERT INTO history (message, at, event, detail)
		SELECT seq, ?4, 'held', ?5 FROM message WHERE `+mayHold+` AND seq > ?2 AND seq <= ?3`,
		string(b.from), b.after, b.last, ms(s.clock.Now()), b.reason); err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	classes, tell, err := s.toHold(tx, b)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE message SET state = 'held', reason = ?4, hold = ?4, claimed_by = '', not_before = 0,
		avoid_sim = '', avoid_until = 0 WHERE `+mayHold+` AND seq > ?2 AND seq <= ?3`,
		string(b.from), b.after, b.last, b.reason); err != nil {
		return err
	}
	for _, seq := range tell {
		r, err := load(tx, seq)
		if err != nil {
			return err
		}
		if err := s.AppendEvent(tx, told[Held], EventOf(r.Message)); err != nil {
			return err
		}
	}
	b.told = len(tell)
	for _, n := range classes {
		b.held += n
	}
	if b.from == Held { // it was held before, for another reason
		return nil
	}
	return s.enteredMany(tx, Held, classes)
}

// toHold counts what a batch holds and picks the messages that are told of.
func (s *Store) toHold(tx *sqlite.Tx, b *batch) (classes map[Class]int, tell []int64, err error) {
	rows, err := tx.Query(`SELECT seq, class FROM message WHERE `+mayHold+` AND seq > ?2 AND seq <= ?3 ORDER BY seq`,
		string(b.from), b.after, b.last)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	classes = map[Class]int{}
	for rows.Next() {
		var seq int64
		var c Class
		if err := rows.Scan(&seq, &c); err != nil {
			return nil, nil, err
		}
		classes[c]++
		if len(tell) < b.tell {
			tell = append(tell, seq)
		}
	}
	return classes, tell, rows.Err()
}

// holdUncertain: evidence still counts, but nobody waits for it any more, and
// what it would send again is held.
func (s *Store) holdUncertain(tx *sqlite.Tx, b *batch) error {
	var waiting []int64
	rows, err := tx.Query(`SELECT seq FROM message WHERE `+mayHold+` AND seq > ?2 AND seq <= ?3 AND decide_at > 0 ORDER BY seq`,
		string(b.from), b.after, b.last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return err
		}
		waiting = append(waiting, seq)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE message SET hold = ?4 WHERE `+mayHold+` AND seq > ?2 AND seq <= ?3`,
		string(b.from), b.after, b.last, b.reason); err != nil {
		return err
	}
	for _, seq := range waiting {
		r, err := load(tx, seq)
		if err != nil {
			return err
		}
		if err := s.note(tx, seq, "undecided", "it is not sent again by itself: "+b.reason); err != nil {
			return err
		}
		if err := s.save(tx, r); err != nil { // see underHold
			return err
		}
		if err := s.AppendEvent(tx, told[Uncertain], EventOf(r.Message)); err != nil {
			return err
		}
	}
	return nil
}

// underHold keeps a message that a hold has marked out of the queue, whatever
// would put it back: a lost answer's window, a late refusal, a report of one of
// several segments.
func (r *record) underHold() {
	if r.hold == "" || r.open() {
		return
	}
	switch r.State {
	case Queued, Sending, Scheduled:
		if r.hold == ReasonDiscarded {
			r.discarded()
			return
		}
		r.State, r.Reason = Held, r.hold
		r.claimedBy, r.notBefore, r.decideAt = "", 0, 0
		r.avoidSIM, r.avoidUntil = "", 0
	case Uncertain:
		if r.decideAt > 0 {
			r.Reason, r.decideAt = ReasonNoEvidence, 0
		}
	}
}

// enteredMany counts messages that came into a state together.
func (s *Store) enteredMany(tx *sqlite.Tx, state State, classes map[Class]int) error {
	total := 0
	for _, n := range classes {
		total += n
	}
	if total == 0 {
		return nil
	}
	if _, err := tx.Exec(`INSERT INTO daily (day, state, n) VALUES (?, ?, ?) ON CONFLICT (day, state) DO UPDATE SET n = n + excluded.n`,
		day(s.clock.Now()), string(state), total); err != nil {
		return fmt.Errorf("count: %w", err)
	}
	tx.AfterCommit(func() {
		for c, n := range classes {
			s.metrics.states.WithLabelValues(string(state), string(c)).Add(float64(n))
		}
		s.changed()
	})
	return nil
}

// HeldCount is how many messages one reason holds of one class.
type HeldCount struct {
	Reason string
	Class  Class
	N      int
	Oldest time.Time // when the first of them was accepted
}

// HeldCounts says what is held, by reason and class; its cost does not grow
// with how much that is.
func (s *Store) HeldCounts(ctx context.Context) ([]HeldCount, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT reason, class, n, coalesce((SELECT created_at FROM message INDEXED BY message_held
			WHERE state = 'held' AND message.reason = held_tally.reason AND message.class = held_tally.class ORDER BY message.seq LIMIT 1), 0)
		FROM held_tally WHERE n > 0 ORDER BY reason, class`)
	if err != nil {
		return nil, fmt.Errorf("count what is held: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []HeldCount{}
	for rows.Next() {
		var c HeldCount
		var oldest int64
		if err := rows.Scan(&c.Reason, &c.Class, &c.N, &oldest); err != nil {
			return nil, fmt.Errorf("count what is held: %w", err)
		}
		c.Oldest = at(oldest)
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b HeldCount) int { return policies[a.Class].lane - policies[b.Class].lane })
	return list, rows.Err()
}

// set writes a setting; "" removes it.
func set(tx *sqlite.Tx, key, value string) error {
	if value == "" {
		_, err := tx.Exec(`DELETE FROM setting WHERE key = ?`, key)
		return err
	}
	_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	return err
}
