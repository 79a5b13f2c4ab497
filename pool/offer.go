package pool

import (
	"context"
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
	// firstRound is how often, at most, it is looked how long the messages are that
	// come first on a route.
	firstRound = time.Second
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

// ability is what a SIM could send now to anybody, were it idle.
type ability struct {
	lanes queue.Lanes
	// longest is of how many segments a message may be by what its day and month
	// have left.
	longest [lanes]int
	// doubtful: something speaks against its health. unproven: so much that it counts
	// as able only when a message is accepted. mute: it does not receive.
	doubtful, unproven, mute bool
}

// fallback is a lane of a route: what others send when none of its SIMs can.
type fallback struct {
	route int64
	lane  int
}

// fallbacks are those that none of the route's SIMs is able to send, and since when.
type fallbacks struct {
	mu    sync.Mutex
	since map[fallback]time.Time
	// first are how many segments the first messages have, as they were at asked.
	// Owned by the dispatcher.
	first map[fallback]int
	asked time.Time
}

// fallBack notes what none of its route's SIMs is able to send; next is when another
// fallback comes into force, zero: none will.
func (p *Pool) fallBack(ctx context.Context, r *rules, able map[string]ability, now time.Time) (next time.Time) {
	f := &p.fallbacks
	fresh := now.Sub(f.asked) >= firstRound
	if fresh {
		f.first, f.asked = map[fallback]int{}, now
	}
	var stuck []fallback
	for id, to := range r.routes {
		if !to.Enabled || to.Fallback != queue.FallbackAny {
			continue
		}
		for lane := range lanes {
			longest := 0
			for sim := range to.weights {
				if can := able[sim]; can.lanes.Has(lane) && !can.unproven {
					longest = max(longest, can.longest[lane])
				}
			}
			one := fallback{id, lane}
			if longest > 0 && longest < mostSegments && !fresh {
				next = f.asked.Add(firstRound)
			}
			if longest == 0 || longest < mostSegments && longest < p.firstOf(ctx, r, one) {
				stuck = append(stuck, one)
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	since := make(map[fallback]time.Time, len(stuck))
	for _, one := range stuck {
		from, known := f.since[one]
		if !known {
			from = now
		}
		since[one] = from
		if due := from.Add(fallbackAfter); due.After(now) && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	f.since = since
	return next
}

// firstOf is how many segments the longest has of the messages that are first in
// the buckets of a route, in a lane: it may fit no day of the route's SIMs.
func (p *Pool) firstOf(ctx context.Context, r *rules, of fallback) int {
	most, known := p.fallbacks.first[of]
	if known {
		return most
	}
	for _, b := range r.buckets {
		if b.Route != of.route {
			continue
		}
		n, err := p.store.FirstLeft(ctx, b.ID, of.lane)
		if err != nil {
			p.complain(ctx, "looking what waits on a route", err)
		}
		most = max(most, n)
	}
	p.fallbacks.first[of] = most
	return most
}

// lengths are how many segments the messages have that are first on each route, by
// lane, where that matters to who leaves what to whom: a day may have no room for them.
func (p *Pool) lengths(ctx context.Context, r *rules, lines []*line, able map[string]ability) map[fallback]int {
	flawed := slices.ContainsFunc(lines, func(l *line) bool { return l.flaws(l.simKey(), time.Now()) != (flaws{}) })
	if !flawed {
		return nil
	}
	var long map[fallback]int
	for lane := range lanes {
		short := false
		for _, can := range able {
			short = short || can.lanes.Has(lane) && can.longest[lane] < mostSegments
		}
		if !short {
			continue
		}
		for _, b := range r.buckets {
			one := fallback{b.Route, lane}
			if n := p.firstOf(ctx, r, one); n > 1 {
				if long == nil {
					long = map[fallback]int{}
				}
				long[one] = n
			}
		}
	}
	return long
}

// open are the lanes of a route that any SIM may send.
func (f *fallbacks) open(route int64, now time.Time) (open queue.Lanes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for lane := range lanes {
		if since, ok := f.since[fallback{route, lane}]; ok && now.Sub(since) >= fallbackAfter {
			open |= 1 << lane
		}
	}
	return open
}

// flaws are why a line leaves to others what they could send: it is then theirs,
// busy or not, as long as theirs are lesser ones.
type flaws struct {
	// doubtful: something speaks against its health; unproven: so much that others may
	// send what is on its route.
	doubtful, unproven bool
	// mute: its SIM does not receive; who is written to on it cannot answer.
	mute bool
	// dials: the network's answer to a USSD code is awaited; what it is given waits.
	dials bool
}

// flaws of the line, whose SIM has that key.
func (l *line) flaws(key string, now time.Time) flaws {
	f := flaws{doubtful: l.doubt(now) > 0, dials: l.dialling.Load() > 0}
	f.unproven = f.doubtful && l.unproven()
	_, f.mute = l.p.mute(key)
	return f
}

// flaw is how much they say against a lane of a route, 0 nothing. open: others than
// the route's may send it.
func (f flaws) flaw(lane int, open bool) int {
	switch {
	case f.dials:
		return 4
	case f.mute:
		return 3
	case f.unproven && open: // it is tried again later
		return 2
	case f.doubtful && !pacedLanes.Has(lane): // what cannot wait is not tried on it
		return 1
	}
	return 0
}

// mate is another line that could send something, busy or not.
type mate struct {
	flaws
	sim string
	can ability
}

// mates of a SIM's line.
func (p *Pool) mates(sim string) (list []mate) {
	able, now := *p.able.Load(), time.Now()
	for _, l := range p.all() {
		if key := l.simKey(); key != sim && able[key].lanes != 0 && l.able() {
			list = append(list, mate{l.flaws(key, now), key, able[key]})
		}
	}
	return list
}

// left are the lanes of a route that a line with flaws leaves to its mates: to those
// that may have them, with lesser flaws. So there is always one that may have what
// waits, if any may.
func (p *Pool) left(r *rules, id int64, mine flaws, mates []mate) (left queue.Lanes) {
	if mine == (flaws{}) {
		return 0
	}
	open := queue.Lanes(0)
	if id != 0 && r.routes[id] != nil {
		open = p.fallbacks.open(id, time.Now())
	}
	long := *p.long.Load()
	for _, its := range mates {
		may := its.can.lanes & p.onRoute(r, id, its.sim)
		for lane := range lanes {
			if may.Has(lane) && its.can.longest[lane] >= long[fallback{id, lane}] && its.flaw(lane, open.Has(lane)) < mine.flaw(lane, open.Has(lane)) {
				left |= 1 << lane
			}
		}
	}
	return left
}

// standing is what decides what a SIM may send at this moment, beside the queue
// and its limits.
type standing struct {
	flaws
	sim      string
	emulated bool
	lanes    queue.Lanes
	// candidate is what choose goes by.
	candidate candidate
}

// standing of the line's SIM by the rules r.
func (l *line) standing(key string, r *rules) standing {
	p := l.p
	now := time.Now()
	s := standing{flaws: l.flaws(key, now), sim: key, emulated: l.port.Emulated, lanes: queue.AllLanes &^ r.paused}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	sim := p.terms(key)
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
	if now.Before(sim.pacedUntil) {
		s.lanes &^= pacedLanes
	}
	return s
}

// offer is what a SIM may take now, by the rules.
func (p *Pool) offer(r *rules, s standing) *queue.Offer {
	o := &queue.Offer{Own: []queue.Open{}, Any: []queue.Open{}, Shut: r.paused, Rules: r.number}
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
	var mates []mate
	if s.flaws != (flaws{}) {
		mates = p.mates(s.sim)
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
		lanes &^= p.left(r, b.Route, s.flaws, mates)
		if lanes = p.turnOn(r, b.Route, s.sim, lanes); lanes != 0 {
			o.Any = append(o.Any, queue.Open{Bucket: b.ID, Lanes: lanes})
		}
	}
	return o
}

// onRoute are the lanes of what is on a route that a SIM may send, now or when its
// turn comes: it is one of the route's, or others may.
func (p *Pool) onRoute(r *rules, id int64, sim string) queue.Lanes {
	to := r.routes[id]
	switch {
	case id == 0, to == nil, to.weight(sim) > 0: // without a rule, or its rule is gone
		return queue.AllLanes
	}
	return p.fallbacks.open(id, time.Now())
}

// turnOn are those of some lanes of a route that are a SIM's to send now. Where the
// route gives its SIMs unlike weights, one that is ahead leaves what is not urgent
// to the others that could send it.
func (p *Pool) turnOn(r *rules, id int64, sim string, mine queue.Lanes) queue.Lanes {
	to, now := r.routes[id], time.Now()
	if id == 0 || to == nil { // without a rule, or its rule is gone
		return mine
	}
	able := *p.able.Load()
	if to.weight(sim) == 0 {
		mine &= p.fallbacks.open(id, now)
	}
	if mine&pacedLanes == 0 || !to.uneven || to.weight(sim) == 0 {
		return mine
	}
	var mates []string
	for lane := queue.LaneNormal; lane < lanes; lane++ {
		if !mine.Has(lane) {
			continue
		}
		mates = mates[:0]
		for other := range to.weights {
			if can := able[other]; other != sim && can.lanes.Has(lane) && !can.doubtful && !can.mute {
				mates = append(mates, other)
			}
		}
		if !p.wear.due(id, sim, mates, lane, now) {
			mine &^= 1 << lane
		}
	}
	return mine
}

// asks is the line with what it may take now.
func (l *line) asks() queue.Line {
	q := l.queueLine()
	r := l.p.rules.Load()
	q.Offer = l.p.offer(r, l.standing(q.ICCID, r))
	return q
}
