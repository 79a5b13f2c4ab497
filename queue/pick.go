package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recado/queue/sqlite"
)

// ready is what a line may claim: the condition of the index message_ready.
const ready = `state IN ('queued','sending') AND claimed_by = '' AND not_before = 0`

// alive leaves out what is over: ?2 is now, 0 while the clock is untrusted.
const alive = `(expires_at > ?2 OR clock_doubt = 1)`

// headsSQL gives, of what is for some SIMs (?1, a JSON array; ” is anybody's), the
// first message of each bucket and lane. It steps from one to the next in the index,
// whatever lies between them, so that its cost does not grow with the queue.
const headsSQL = placesSQL + firstSQL + ` ORDER BY seq LIMIT 1)`

const placesSQL = `
WITH RECURSIVE g(sim, k) AS (
  SELECT j.value, (SELECT bucket * 4 + lane FROM message INDEXED BY message_ready
    WHERE sim = j.value AND ` + ready + ` ORDER BY bucket, lane LIMIT 1) FROM json_each(?1) j
  UNION ALL
  SELECT g.sim, coalesce(
    (SELECT bucket * 4 + lane FROM message INDEXED BY message_ready
      WHERE sim = g.sim AND bucket = g.k >> 2 AND lane > g.k & 3 AND ` + ready + ` ORDER BY lane LIMIT 1),
    (SELECT bucket * 4 + lane FROM message INDEXED BY message_ready
      WHERE sim = g.sim AND bucket > g.k >> 2 AND ` + ready + ` ORDER BY bucket, lane LIMIT 1)) FROM g WHERE g.k IS NOT NULL)`

const firstSQL = `
SELECT g.sim, g.k >> 2, g.k & 3, m.seq, m.recipient, m.avoid_sim, m.segments, m.next, m.error_code
FROM g CROSS JOIN message m ON m.seq = (SELECT seq FROM message INDEXED BY message_ready
  WHERE sim = g.sim AND bucket = g.k >> 2 AND lane = g.k & 3 AND ` + ready + ` AND ` + alive

// waits is where a message waits.
type waits struct {
	sim    string
	bucket int64
	lane   int
}

// head is a message that may be next.
type head struct {
	waits
	seq              int64
	recipient, avoid string
	segments, next   int
	code             string
	torn             bool  // its row cannot be read whole: whoever claims it ends it
	who              []int // views that may have it
	rank             int
}

func (h *head) left() int    { return max(h.segments-h.next+1, 1) }
func (h *head) begins() bool { return h.next <= 1 }

// view is a line as pick sees it.
type view struct {
	Line
	offered  bool // else it takes everything
	own, any map[int64]Lanes
	turn     int
	over     int
	meter    *meter // nil: no limits
	shut     bool   // what its SIM may send cannot be seen: it takes nothing
}

func (s *Store) view(tx *sqlite.Tx, l Line, n instant) (v view, err error) {
	if l.ICCID == "" {
		return v, errors.New("the line has no SIM")
	}
	v = view{Line: l, turn: -1}
	if o := l.Offer; o != nil {
		v.offered, v.turn, v.over = true, o.Turn, o.Over
		v.own, v.any = opened(o.Own), opened(o.Any)
		if o.Rules != 0 && o.Rules != s.Rules() {
			v.any = nil
		}
	}
	if v.meter, err = s.meter(tx, l.ICCID, n); err != nil && !sqlite.OfStorage(err) {
		// The SIM's own trouble hinders no other.
		s.unseen(l.ICCID, err)
		v.shut, err = true, nil
	} else if err == nil {
		s.blind.Delete(l.ICCID)
	}
	return v, err
}

// unseen tells, once, of a SIM whose limits cannot be looked at.
func (s *Store) unseen(iccid string, err error) {
	if _, told := s.blind.Swap(iccid, true); !told {
		s.log.Error("it cannot be seen what a SIM may send, and it sends nothing: check the disk, and set its limits anew", "iccid", iccid, "error", err)
	}
}

func opened(list []Open) map[int64]Lanes {
	m := make(map[int64]Lanes, len(list))
	for _, o := range list {
		m[o.Bucket] |= o.Lanes
	}
	return m
}

// open says that the line may take what waits there, and that its SIM has room for
// a segment of the lane.
func (v *view) open(w waits, n instant) bool {
	switch {
	case v.shut:
		return false
	case !v.offered:
	case w.sim == "" && !v.any[w.bucket].Has(w.lane), w.sim != "" && !v.own[w.bucket].Has(w.lane):
		return false
	}
	return (w.sim == "" || w.sim == v.ICCID) && (v.meter == nil || v.meter.fits(w.lane, 1, false, n))
}

// fits says that the line may take a message.
func (s *Store) fits(tx *sqlite.Tx, v *view, h *head, n instant) (bool, error) {
	switch {
	case h.torn:
		return true, nil
	case h.sim == "" && h.avoid == v.ICCID:
		return false, nil
	case v.meter == nil:
		return true, nil
	case !v.meter.fits(h.lane, h.left(), h.begins(), n):
		return false, nil
	}
	full, any := v.meter.crowded(h.lane, n)
	if !any {
		return true, nil
	}
	who := s.usage.who(h.recipient)
	for w := range windows {
		switch {
		case !full[w]:
		case w < daily:
			if !v.meter.slides[w].knows(who, spans[w], n.steady) {
				return false, nil
			}
		default:
			known := false
			for _, start := range v.meter.knowing(w, h.lane, n) {
				is, err := knownIn(tx, v.ICCID, w, start, h.recipient)
				if err != nil {
					return false, err
				}
				known = known || is
			}
			if !known {
				return false, nil
			}
		}
	}
	return true, nil
}

// pick finds the best message that one of the lines may send, nil when there is
// none, and whose it is. choose may be nil: the first line's.
func (s *Store) pick(tx *sqlite.Tx, lines []Line, choose func(Head, []int) (int, string)) (h *head, who int, why string, err error) {
	n := s.instant()
	if err := s.usage.current(tx); err != nil {
		return nil, 0, "", err
	}
	views, sims := make([]view, len(lines)), make([]string, 0, len(lines)+1)
	sims = append(sims, "")
	for i, l := range lines {
		if views[i], err = s.view(tx, l, n); err != nil {
			return nil, 0, "", err
		}
		if !slices.Contains(sims, l.ICCID) {
			sims = append(sims, l.ICCID)
		}
	}
	heads, err := s.heads(tx, views, sims, n)
	if err != nil {
		return nil, 0, "", err
	}
	for len(heads) > 0 {
		slices.SortStableFunc(heads, func(a, b *head) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.seq, b.seq)) })
		h := heads[0]
		heads = heads[1:]
		var able, not []int
		for _, i := range h.who {
			fits, err := s.fits(tx, &views[i], h, n)
			if err != nil {
				return nil, 0, "", err
			}
			if fits {
				able = append(able, i)
			} else {
				not = append(not, i)
			}
		}
		if len(able) > 0 {
			if h.sim != "" || choose == nil {
				return h, able[0], h.why(WhyFirst), nil
			}
			i, why := choose(Head{Seq: h.seq, Bucket: h.bucket, Class: classOf(h.lane), Segments: h.left(), Failover: h.failover()}, able)
			if i >= 0 && !slices.Contains(able, i) {
				return nil, 0, "", fmt.Errorf("line %d was chosen, which cannot send the message", i)
			}
			if i >= 0 {
				return h, i, h.why(why), nil
			}
		}
		for _, i := range not { // nobody has it: what is behind is dear to find
			behind, err := s.behind(tx, &views[i], i, h, n)
			if err != nil {
				return nil, 0, "", err
			}
			if behind != nil {
				heads = append(heads, behind)
			}
		}
	}
	return nil, 0, "", nil
}

// heads of what is open to the lines.
func (s *Store) heads(tx *sqlite.Tx, views []view, sims []string, n instant) (heads []*head, err error) {
	list, err := json.Marshal(sims)
	if err != nil {
		return nil, err
	}
	now := int64(0)
	if n.trusted {
		now = ms(n.now)
	}
	query, args := headsSQL, []any{string(list), now}
	past, err := s.pastOver(tx, string(list), now, n)
	if err != nil {
		return nil, err
	}
	if past != nil {
		query, args = headsPastSQL, append(args, past.list)
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		h := &head{}
		if h.torn, err = Scanned(rows, &h.sim, &h.bucket, &h.lane, &h.seq, &h.recipient, &h.avoid, &h.segments, &h.next, &h.code); err != nil {
			return nil, err
		}
		past.found(h)
		h.rank = 2 * laneCount
		for i := range views {
			if v := &views[i]; v.open(h.waits, n) {
				h.who = append(h.who, i)
				h.rank = min(h.rank, v.rank(h.lane))
			}
		}
		if len(h.who) > 0 {
			heads = append(heads, h)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	return heads, past.learn(tx, s, string(list))
}

// rank of a lane for a line: it may be another one's turn.
func (v *view) rank(lane int) int {
	if lane == v.turn {
		return min(2*v.over-1, 2*lane)
	}
	return 2 * lane
}

// failover is the error with which another SIM has just failed it.
func (h *head) failover() string {
	if h.avoid == "" {
		return ""
	}
	return cmp.Or(h.code, "unknown")
}

// why a line has it, when it is anybody's.
func (h *head) why(chosen string) string {
	if code := h.failover(); code != "" && !strings.HasPrefix(chosen, WhyFailover) {
		return WhyFailover + code
	}
	return cmp.Or(chosen, WhyFirst)
}

func classOf(lane int) Class {
	for class, p := range policies {
		if p.lane == lane {
			return class
		}
	}
	return Bulk
}

// whose says why a claimed message is its line's alone; "" when it was anybody's.
func (r *record) whose() string {
	switch {
	case r.SIM == "":
		return ""
	case r.Preferred:
		return WhySticky
	case r.wish == r.SIM:
		return WhyPinned
	}
	return WhyBound
}
