package queue

import (
	"encoding/json"
	"fmt"

	"recado/queue/sqlite"
)

// headsPastSQL is headsSQL behind what is known to be over: up to a seq, ?3, a JSON
// object by place.
const headsPastSQL = placesSQL + firstSQL + ` AND seq > coalesce((SELECT o.value FROM json_each(?3) o WHERE o.key = g.k || ' ' || g.sim), 0) ORDER BY seq LIMIT 1)`

// lastsSQL are the last messages of each place.
const lastsSQL = placesSQL + `
SELECT g.sim, g.k >> 2, g.k & 3, (SELECT seq FROM message INDEXED BY message_ready
  WHERE sim = g.sim AND bucket = g.k >> 2 AND lane = g.k & 3 AND ` + ready + ` ORDER BY seq DESC LIMIT 1) FROM g WHERE g.k IS NOT NULL`

// anyOverSQL says that something waits that is over (?1 now).
const anyOverSQL = `SELECT EXISTS (SELECT 1 FROM message INDEXED BY message_expiry WHERE state IN ('scheduled','held','queued','sending') AND expires_at <= ?1)`

// overFor is how long it is believed, by the steady clock (ms).
const overFor = 10_000

// over is up to where all is over in some places of the index of waiting messages, while
// they cannot end yet: because there are many, or the clock has just leapt. Without it
// each claim would step over all of them. Only the writer's goroutine has to do with it.
type over struct {
	upTo map[waits]int64
	// What must be as it was: of what came back at once, of the clock, and when it began.
	turns, now, since int64
	changes           int64 // how often something came back, one by one
}

// past is what one look at the heads knows, and learns, of over.
type past struct {
	list    string
	upTo    map[waits]int64
	changes int64
}

// pastOver is where a look begins; nil: nothing is over.
func (s *Store) pastOver(tx *sqlite.Tx, sims string, now int64, n instant) (*past, error) {
	any := false
	if now > 0 {
		if err := tx.QueryRow(anyOverSQL, now).Scan(&any); err != nil {
			return nil, fmt.Errorf("look whether something is over: %w", err)
		}
	}
	o := &s.over
	if turns := s.moves.Load(); !any || o.turns != turns || now < o.now || n.steady < o.since || n.steady-o.since > overFor {
		o.upTo, o.turns, o.since = map[waits]int64{}, turns, n.steady
	}
	if o.now = now; !any {
		return nil, nil
	}
	p := &past{upTo: map[waits]int64{}, changes: o.changes}
	keys := make(map[string]int64, len(o.upTo))
	for w, seq := range o.upTo {
		keys[fmt.Sprintf("%d %s", w.bucket<<2|int64(w.lane), w.sim)] = seq
	}
	list, err := json.Marshal(keys)
	p.list = string(list)
	return p, err
}

// found is a place's first message that is not over.
func (p *past) found(h *head) {
	if p != nil {
		p.upTo[h.waits] = h.seq - 1
	}
}

// learn keeps what was seen. Where nothing was found all is over.
func (p *past) learn(tx *sqlite.Tx, s *Store, sims string) error {
	if p == nil {
		return nil
	}
	rows, err := tx.Query(lastsSQL, sims)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var w waits
		var last int64
		if err := rows.Scan(&w.sim, &w.bucket, &w.lane, &last); err != nil {
			return err
		}
		if _, found := p.upTo[w]; !found {
			p.upTo[w] = last
		}
	}
	tx.AfterCommit(func() {
		if s.over.changes == p.changes && s.over.turns == s.moves.Load() {
			for w, seq := range p.upTo {
				s.over.upTo[w] = seq
			}
		}
	})
	return rows.Err()
}

// returned is called in the transaction in which a message becomes claimable.
func (s *Store) returned(seq int64) {
	s.over.changes++
	for w, upTo := range s.over.upTo {
		s.over.upTo[w] = min(upTo, seq-1)
	}
}
