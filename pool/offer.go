package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"recado/queue"
)

const (
	// After turnBulk messages of better lanes in a row one of bulk goes, and after
	// turnNormal of otp and alert one of normal, if there is one: nothing waits for
	// ever. turnAgain more when there was none.
	turnBulk, turnNormal = 50, 25
	turnAgain            = 5
	// fallbackAfter is how long none of a route's SIMs must have been able before
	// others send its messages.
	fallbackAfter = time.Minute
)

// turns counts what was taken in a row while lower lanes may have waited.
type turns struct {
	overBulk, overNormal atomic.Int32
}

// next is the lane that a line looks at before its place, and before which: -1
// none. One line gets a turn; if it finds nothing, another soon does. The turn of
// bulk is not at the cost of a code, unless nothing but codes has left for long.
func (t *turns) next() (turn, over int) {
	urgent := t.overNormal.Load() >= turnNormal
	switch {
	case isDue(&t.overBulk, turnBulk):
		if urgent {
			return queue.LaneBulk, queue.LaneOTP
		}
		return queue.LaneBulk, queue.LaneNormal
	case urgent && isDue(&t.overNormal, turnNormal):
		return queue.LaneNormal, queue.LaneOTP
	}
	return -1, 0
}

func isDue(count *atomic.Int32, turn int32) bool {
	n := count.Load()
	return n >= turn && count.CompareAndSwap(n, turn-turnAgain)
}

// took counts what a line got.
func (t *turns) took(lane int) {
	switch {
	case lane == queue.LaneBulk:
		t.overBulk.Store(0)
		t.overNormal.Store(0)
	case lane == queue.LaneNormal:
		t.overBulk.Add(1)
		t.overNormal.Store(0)
	default:
		t.overBulk.Add(1)
		t.overNormal.Add(1)
	}
}

// took counts what a line got, and gives it back.
func (p *Pool) took(c *queue.Claimed) *queue.Claimed {
	if c != nil {
		p.turns.took(queue.Lane(c.Message.Class))
	}
	return c
}

// fallbacks are the routes none of whose SIMs is able, and since when.
type fallbacks struct {
	mu    sync.Mutex
	since map[int64]time.Time
}

// look notes which routes have an able SIM; next is when another fallback comes
// into force, zero: none will.
func (f *fallbacks) look(r *rules, able []string, now time.Time) (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := map[int64]time.Time{}
	for id, to := range r.routes {
		if !to.Enabled || to.Fallback != queue.FallbackAny || slices.ContainsFunc(able, func(sim string) bool { return to.weights[sim] > 0 }) {
			continue
		}
		from, known := f.since[id]
		if !known {
			from = now
		}
		since[id] = from
		if due := from.Add(fallbackAfter); due.After(now) && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	f.since = since
	return next
}

// open says that any SIM may send what is on a route.
func (f *fallbacks) open(route int64, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	since, ok := f.since[route]
	return ok && now.Sub(since) >= fallbackAfter
}

// standing is what decides what a SIM may send at this moment, beside the queue
// and its limits.
type standing struct {
	sim      string
	emulated bool
	lanes    queue.Lanes
	// doubtful: something speaks against its health while others are well. What
	// cannot wait is not tried on it.
	doubtful bool
	// candidate is what choose goes by.
	candidate candidate
}

// standing of the line's SIM by the rules r.
func (l *line) standing(key string, r *rules) standing {
	p := l.p
	s := standing{sim: key, emulated: l.port.Emulated, lanes: queue.AllLanes &^ r.paused}
	s.doubtful = l.doubt() > 0 && p.othersAreWell(l)
	p.simMu.Lock()
	defer p.simMu.Unlock()
	sim := p.sims[key]
	switch {
	case sim == nil:
		return s
	case sim.row.Paused:
		s.lanes = 0
	case p.openLimits:
		return s
	}
	if !sim.row.Window.None() {
		switch {
		case !p.clock.Trusted(): // nobody knows whether it is open: what is urgent goes
			s.lanes &^= pacedLanes
		case !opens(sim.row.Window, p.clock.Now().In(p.home)):
			s.lanes = 0
		}
	}
	if time.Now().Before(sim.pacedUntil) {
		s.lanes &^= pacedLanes
	}
	return s
}

// offer is what a SIM may take now, by the rules.
func (p *Pool) offer(r *rules, s standing) *queue.Offer {
	o := &queue.Offer{Own: []queue.Open{}, Any: []queue.Open{}}
	o.Turn, o.Over = p.turns.next()
	if s.lanes == 0 {
		return o
	}
	var bound queue.Lanes
	if !p.openLimits && (r.quietChosen || !s.emulated) {
		bound = queue.LanesOf(r.quiet.Classes...)
	}
	var t *timetable
	if bound&s.lanes != 0 {
		t = p.today(r)
	}
	for i, b := range r.buckets {
		lanes := s.lanes
		if t != nil && t.quiet[i] {
			lanes &^= bound
		}
		if lanes == 0 {
			continue
		}
		o.Own = append(o.Own, queue.Open{Bucket: b.ID, Lanes: lanes})
		if s.doubtful {
			lanes &= pacedLanes
		}
		if lanes != 0 && p.onRoute(r, b.Route, s.sim) {
			o.Any = append(o.Any, queue.Open{Bucket: b.ID, Lanes: lanes})
		}
	}
	return o
}

// onRoute says whether a SIM may send what is on a route now: it is one of the
// route's and not ahead of its share, or the route's fallback is in force.
func (p *Pool) onRoute(r *rules, id int64, sim string) bool {
	to := r.routes[id]
	switch {
	case id == 0 || to == nil: // without a rule, or its rule is gone
		return true
	case to.weights[sim] == 0:
		return p.fallbacks.open(id, time.Now())
	case !to.uneven:
		return true
	}
	var mates []string
	for _, other := range *p.able.Load() {
		if other != sim && to.weights[other] > 0 {
			mates = append(mates, other)
		}
	}
	return p.wear.due(id, sim, mates)
}

// asks is the line with what it may take now.
func (l *line) asks() queue.Line {
	q := l.queueLine()
	r := l.p.rules.Load()
	q.Offer = l.p.offer(r, l.standing(q.ICCID, r))
	return q
}
