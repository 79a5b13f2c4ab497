package queue

import (
	"recado/queue/sqlite"
)

const (
	// deepest is how many messages behind one that a SIM may not send are looked at.
	deepest = 200
	// deepRest is when somebody looks behind those too, so many at a time, and passedFor
	// when the first are looked at anew, whatever is known (ms).
	deepRest, passedFor = 1000, 10_000
)

// deepRows are the first messages (?10 of them) of a bucket's lane (?1 SIM, ?3
// bucket, ?4 lane) behind one (?11), but those that have just failed on a SIM (?5).
const deepRows = `SELECT seq, recipient, avoid_sim, segments, next, error_code FROM message INDEXED BY message_ready
	WHERE sim = ?1 AND bucket = ?3 AND lane = ?4 AND seq > ?11 AND ` + ready + ` AND ` + alive + ` AND avoid_sim <> ?5 ORDER BY seq LIMIT +?10`

// deepSQL are those of them that the SIM may send. ?6 and ?8: only to whom it has
// texted (its contract is ?12) in a day, a month that began then, or then (?7, ?9).
const deepSQL = `
SELECT seq, recipient, avoid_sim, segments, next, error_code FROM (` + deepRows + `) m
WHERE (?6 IS NULL OR EXISTS (SELECT 1 FROM usage_recipient u WHERE u.iccid = ?12 AND u.window = 'day' AND u.start IN (?6, ?7) AND u.recipient = m.recipient))
  AND (?8 IS NULL OR EXISTS (SELECT 1 FROM usage_recipient u WHERE u.iccid = ?12 AND u.window = 'month' AND u.start IN (?8, ?9) AND u.recipient = m.recipient))
ORDER BY seq`

// deepEnd says how far they go.
const deepEnd = `SELECT count(*), coalesce(max(seq), 0) FROM (` + deepRows + `)`

// passed is what is known of what waits somewhere for a SIM that may not write to
// new recipients: up to upTo there is nothing that it may send. Only the writer's
// goroutine has to do with it.
type passed struct {
	by   passedBy
	upTo int64
	// end: there was nothing more, when so many messages had been accepted (new ones
	// are behind); deeper: there was, which is for a round.
	end, deeper bool
	joined      int64
	since, at   int64 // of the first look, of the last
}

// round is how far somebody has come who looks behind all that is passed, for a SIM,
// and begins again at the end. Nothing that happens meanwhile sends him back, so that
// what the SIM may send is found in the end, wherever it is.
type round struct {
	upTo int64
	rest int64 // until then nobody goes on
}

type roundOf struct {
	iccid string
	waits
}

// mostRounds are more than there are SIMs and buckets: those of old ones are forgotten.
const mostRounds = 4096

// passedBy is what must be as it was.
type passedBy struct {
	turns   int64 // of messages that came back, or moved
	starts  [4]any
	full    [windows]bool
	trusted bool
	adds    int64 // of the meter
}

// behind is the first message behind a head that the line may take; nil.
func (s *Store) behind(tx *sqlite.Tx, v *view, i int, first *head, n instant) (*head, error) {
	by := passedBy{turns: s.turns.Load(), trusted: n.trusted}
	from, now, joined, was := first.seq-1, int64(0), s.joined.Load(), passed{since: n.steady}
	if v.meter != nil {
		by.adds = v.meter.adds
		by.full, _ = v.meter.crowded(first.lane, n)
		for w := daily; w <= monthly; w++ {
			if by.full[w] {
				in := v.meter.knowing(w, first.lane, n)
				by.starts[2*(w-daily)], by.starts[2*(w-daily)+1] = in[0], in[1]
			}
		}
		if p, ok := v.meter.passed[first.waits]; ok && p.by == by && n.steady >= p.at && n.steady-p.since < passedFor {
			if p.end && p.joined == joined {
				return nil, nil
			}
			from, was = max(from, p.upTo), p
		}
	}
	if n.trusted {
		now = ms(n.now)
	}
	look := func(from int64) (h *head, upTo int64, end bool, err error) {
		args := []any{first.sim, now, first.bucket, first.lane, v.ICCID, by.starts[0], by.starts[1], by.starts[2], by.starts[3], deepest, from, Contract(v.ICCID)}
		if h, err = s.deep(tx, v, i, first, n, args); err != nil || v.meter == nil {
			return h, 0, false, err
		}
		if h != nil {
			return h, h.seq - 1, false, nil
		}
		var rows, last int64
		for i := 5; i < 9; i++ {
			args[i] = nil
		}
		err = tx.QueryRow(deepEnd, args[:11]...).Scan(&rows, &last)
		return nil, max(from, last), rows < deepest, err
	}
	var h *head
	if !was.deeper {
		var err error
		if h, was.upTo, was.end, err = look(from); err != nil || v.meter == nil {
			return h, err
		}
		was.deeper = h == nil && !was.end
	}
	was.by, was.at, was.joined = by, n.steady, joined
	tx.AfterCommit(func() { // not before: what this transaction has taken may come back
		if v.meter.passed == nil {
			v.meter.passed = map[waits]passed{}
		}
		v.meter.passed[first.waits] = was
	})
	if !was.deeper {
		return h, nil
	}
	of := roundOf{v.ICCID, first.waits}
	r, begun := s.rounds[of]
	switch {
	case !begun, n.steady < r.rest-deepRest: // the first were looked at just now; or a clock was set back
		r.rest = n.steady + deepRest
	case n.steady < r.rest:
		return nil, nil
	default:
		var end bool
		var err error
		if h, r.upTo, end, err = look(max(r.upTo, was.upTo)); err != nil {
			return nil, err
		}
		if end {
			r.upTo = 0
		}
		if h == nil {
			r.rest = n.steady + deepRest
		}
	}
	tx.AfterCommit(func() {
		if len(s.rounds) >= mostRounds {
			clear(s.rounds)
		}
		if s.rounds == nil {
			s.rounds = map[roundOf]round{}
		}
		s.rounds[of] = r
	})
	return h, nil
}

func (s *Store) deep(tx *sqlite.Tx, v *view, i int, first *head, n instant, args []any) (*head, error) {
	rows, err := tx.Query(deepSQL, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		h := &head{waits: first.waits, who: []int{i}, rank: v.rank(first.lane)}
		if h.torn, err = Scanned(rows, &h.seq, &h.recipient, &h.avoid, &h.segments, &h.next, &h.code); err != nil {
			return nil, err
		}
		if h.seq <= first.seq {
			continue
		}
		fits, err := s.fits(tx, v, h, n)
		if err != nil {
			return nil, err
		}
		if fits {
			return h, nil
		}
	}
	return nil, rows.Err()
}
