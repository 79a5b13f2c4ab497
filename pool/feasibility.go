package pool

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"recado/queue"
)

const (
	// unlimited is more than any work has.
	unlimited = math.MaxInt / 4
	// simulationHorizon is how far Simulate looks, from now or from the time at
	// which the work may begin.
	simulationHorizon = 366 * 24 * time.Hour
	// simulationSteps bound its work, whatever it is given.
	simulationSteps = 1_000_000
	// simulationLook is after how many steps it looks whether anybody still waits for
	// it, simulationMost how long a Forecast takes: it is asked for while one types.
	simulationLook = 64
	simulationMost = 2 * time.Second
	// Up to so many messages are taken one by one: with few it matters which goes
	// where. Of more a line's part is cut into simulationSlices, at least, and
	// smaller ones towards the end: so all lines end together, to one message.
	simulationFine   = 4000
	simulationSlices = 16
	// simulationEven: of more than so many, what a minute allows is thought to be
	// spread over it evenly.
	simulationEven = 30_000
	// turnLook is how often, at least, a line looks whether its turn on a route has
	// come.
	turnLook = 500 * time.Millisecond
	// waitShown is the shortest time without a submission that is worth telling,
	// and waitsMost are told.
	waitShown = 30 * time.Second
	waitsMost = 12
)

// Simulate works out what becomes of the work: the lines take from the queue as
// the pool's do, within all limits. It takes from each line as many submissions
// at once as nothing can come between, and fewer towards the end. It is pure,
// and ends whatever it is given, or with ctx: what it knows by then is Cut.
func Simulate(ctx context.Context, s Situation) Forecast { return simulate(ctx, s, simulationFine) }

// simulate takes up to fine messages one by one.
func simulate(ctx context.Context, s Situation, fine int) Forecast {
	m := newSimulation(s, fine)
	if m.left > 0 && !s.Paused {
		for n := 0; m.left > 0; n++ {
			if m.cut = n == simulationSteps || n%simulationLook == 0 && ctx.Err() != nil; m.cut || !m.step() {
				break
			}
		}
	}
	return m.forecast()
}

// simulation is the state of one Simulate.
type simulation struct {
	Situation
	lines   []*simLine
	batches []*simBatch // of all lanes: the better lane first
	later   []*simBatch // of what is ahead: not before their From, the first first
	left    int         // messages of the work
	lane    int         // of the work
	horizon time.Duration
	all     int  // messages
	fine    bool // one by one

	worn map[int64][]simWorn // by route and line

	begun, done time.Duration // of the work; begun never: not yet
	covered     time.Duration // until then something of the work is being sent
	expired     int
	cut         bool // it was ended before its end
	waits       []Wait
	hits        []LimitHit
}

const lanes = 4

func newSimulation(s Situation, fine int) *simulation {
	m := &simulation{Situation: s, begun: never, worn: map[int64][]simWorn{}}
	for _, list := range [2][]Batch{s.Ahead, s.Work} {
		for _, b := range list {
			m.all = min(m.all+max(b.Messages, 0), unlimited)
		}
	}
	m.fine = m.all <= fine
	for i := range s.Lines {
		m.lines = append(m.lines, newSimLine(s.Lines[i].sane(), i, s, m.all > simulationEven && !m.fine))
	}
	m.horizon = simulationHorizon
	for _, w := range s.Work {
		m.horizon = max(m.horizon, simulationHorizon+min(max(w.From, 0), simulationHorizon))
	}
	for i := range s.Ahead {
		m.add(s.Ahead[i], false)
	}
	for i := range s.Work {
		m.add(s.Work[i], true)
	}
	slices.SortStableFunc(m.batches, func(a, b *simBatch) int { return cmp.Compare(a.lane, b.lane) })
	slices.SortStableFunc(m.later, func(a, b *simBatch) int { return cmp.Compare(a.From, b.From) })
	return m
}

func (m *simulation) add(b Batch, work bool) {
	sane := b.sane()
	given := &sane
	if given.Messages <= 0 || !work && given.Why != "" {
		return
	}
	sim := &simBatch{Batch: given, lane: queue.Lane(given.Class), work: work, gate: newGate(given.Hours, m.Now), total: given.Segments}
	sim.only, sim.other = m.those(given.Only), m.those(given.Else)
	if len(given.Weights) == len(m.lines) && m.worn[given.Route] == nil {
		m.worn[given.Route] = newWorn(len(m.lines), given.Worn)
	}
	if !work && given.From > 0 {
		m.later = append(m.later, sim)
		return
	}
	m.batches = append(m.batches, sim)
	if work {
		m.left += given.Messages
		m.lane = sim.lane
	}
}

// those are lines by their places; nil: all.
func (m *simulation) those(places []int) []bool {
	if places == nil {
		return nil
	}
	set := make([]bool, len(m.lines))
	for _, i := range places {
		if i >= 0 && i < len(set) {
			set[i] = true
		}
	}
	return set
}

// step lets the line that is free first take something, or has it look again
// later; false: no line ever will.
func (m *simulation) step() bool {
	var l *simLine
	for _, c := range m.lines {
		if c.at < m.horizon && (l == nil || c.at < l.at || c.at == l.at && c.Rank < l.Rank) {
			l = c
		}
	}
	if l == nil {
		return false
	}
	t := l.at
	l.refresh(m, t)
	if l.rest > 0 {
		m.goOn(l, t)
		return true
	}
	b, wake := m.choose(l, t)
	if b == nil {
		l.at = max(wake, t+time.Millisecond)
		for _, c := range m.lines { // it may be full: who leaves things to it looks
			if c.leaves && !l.leaves && c.at > t {
				c.at = t
			}
		}
		return true
	}
	l.leaves = false // it is busy now
	m.take(l, b, t, wake)
	return true
}

// choose finds what the line takes at t: of the best lane what was accepted
// first. wake is when something may be otherwise: when it finds nothing the time
// to look again, else the end of what can be taken at once.
func (m *simulation) choose(l *simLine, t time.Duration) (*simBatch, time.Duration) {
	m.comes(t)
	l.leaves = false
	wake := m.next()
	var best [lanes]*simBatch
	for i := 0; i < len(m.batches); i++ {
		b := m.batches[i]
		m.expired += b.expire(m, t)
		if b.left() == 0 {
			m.batches = slices.Delete(m.batches, i, i+1)
			i--
			continue
		}
		why, when := m.hindered(l, b, t)
		wake = min(wake, when)
		switch {
		case why != "":
			if b.work {
				l.why = why
			}
		case best[b.lane] == nil || b.head() < best[b.lane].head():
			best[b.lane] = b
		}
	}
	turn, over := m.turn()
	rank := func(b *simBatch) int {
		if b.lane == turn {
			return min(2*over-1, 2*b.lane)
		}
		return 2 * b.lane
	}
	var b *simBatch
	for _, c := range best {
		if c != nil && (b == nil || rank(c) < rank(b)) {
			b = c
		}
	}
	if b == nil {
		return nil, wake
	}
	// Not so many at once that another lane's turn is passed over.
	b.turn = unlimited
	if slices.ContainsFunc(best[:b.lane], func(b *simBatch) bool { return b != nil }) {
		b.turn = 1
	}
	if slices.ContainsFunc(best[b.lane+1:], func(b *simBatch) bool { return b != nil && b.lane >= queue.LaneNormal }) {
		b.turn = min(b.turn, max(turnBulk-m.OverBulk, 1))
		if b.lane < queue.LaneNormal {
			b.turn = min(b.turn, max(turnNormal-m.OverNormal, 1))
		}
	}
	return b, wake
}

// comes moves what may go from t on to the rest. Time never goes back.
func (m *simulation) comes(t time.Duration) {
	n := 0
	for n < len(m.later) && m.later[n].From <= t {
		n++
	}
	m.batches = append(m.batches, m.later[:n]...)
	m.later = m.later[n:]
}

// next is when the next of what is scheduled ahead of the work comes.
func (m *simulation) next() time.Duration {
	if len(m.later) == 0 {
		return never
	}
	return m.later[0].From
}

// turn is whose a line that asks has, as turns does it.
func (m *simulation) turn() (turn, over int) {
	urgent := m.OverNormal >= turnNormal
	switch {
	case m.OverBulk >= turnBulk:
		m.OverBulk = turnBulk - turnAgain
		if urgent {
			return queue.LaneBulk, queue.LaneOTP
		}
		return queue.LaneBulk, queue.LaneNormal
	case urgent:
		m.OverNormal = turnNormal - turnAgain
		return queue.LaneNormal, queue.LaneOTP
	}
	return -1, 0
}

// counted keeps how many segments have gone before the lower lanes, as turns does.
func (m *simulation) counted(lane, n int) {
	switch lane {
	case queue.LaneBulk:
		m.OverBulk, m.OverNormal = 0, 0
		return
	case queue.LaneNormal:
		m.OverNormal = 0
	default:
		m.OverNormal = min(m.OverNormal+n, unlimited)
	}
	m.OverBulk = min(m.OverBulk+n, unlimited)
}

// hindered says why the line may not take from the batch at t, "" when it may,
// and when that may be otherwise.
func (m *simulation) hindered(l *simLine, b *simBatch, t time.Duration) (why string, when time.Duration) {
	switch {
	case b.Why != "":
		return b.Why, never
	case b.From > t:
		return WaitScheduled, b.From
	}
	when = never
	if b.only != nil && !b.only[l.place] {
		if b.other != nil && !b.other[l.place] {
			return WaitLine, never
		}
		if free := m.elsewhere(b, t); free > t {
			if b.LetGo { // it leaves that to those, while they can send it
				l.leaves = true
				free = min(free, lookAgain(t))
			}
			return WaitLine, free
		}
	}
	if !l.Restless {
		open, until := b.gate.at(t)
		if !open {
			return WaitQuiet, until
		}
		when = min(when, until)
	}
	if open, until := l.gate.at(t); !open {
		return WaitWindow, until
	} else {
		when = min(when, until)
	}
	if l.Urgent && b.lane >= 2 {
		return WaitClock, never
	}
	if m.leaves(l, b, t) {
		l.leaves = true
		again := lookAgain(t)
		if l.DoubtedUntil > t {
			again = min(again, l.DoubtedUntil)
		}
		return WaitLine, again
	}
	if why, until := l.full(m, b, t); why != "" {
		return why, until
	}
	if b.lane >= 2 && l.paceFree > t {
		return waitPace, l.paceFree
	}
	if turn := m.turnAt(l, b, t); turn > t {
		return waitPace, turn
	}
	return "", when
}

// lookAgain is when a line looks whether others have taken what it could not, or can
// still send what it leaves to them, should none of them have had it look before.
func lookAgain(t time.Duration) time.Duration { return t + max(turnLook, t/50) }

// elsewhere is when lines beyond those that a batch is for may take it; later
// than t: look again then.
func (m *simulation) elsewhere(b *simBatch, t time.Duration) time.Duration {
	at := b.Later
	if at <= t || !b.LetGo && b.Fallback <= 0 {
		return at
	}
	since := b.Fallback
	for i, l := range m.lines {
		switch {
		case !b.only[i] || l.Out != "" || l.Unproven && !b.LetGo || l.Mute && b.LetGo:
		case l.able(b, t) && l.holds(b, t):
			if b.Fallback > 0 {
				at = min(at, max(t, l.at)+fallbackAfter)
			}
			return at
		default:
			since = max(since, l.last+fallbackAfter)
		}
	}
	if b.LetGo {
		return t
	}
	return min(at, since)
}

// leaves says that the line leaves the batch to others that may have it, with lesser
// flaws, as Pool.left has it.
func (m *simulation) leaves(l *simLine, b *simBatch, t time.Duration) bool {
	if l.flaws(t) == (flaws{}) {
		return false
	}
	free := b.only == nil || m.elsewhere(b, t) <= t
	if !free && b.own(l) {
		return false
	}
	open := free && b.Fallback > 0
	mine := l.flaws(t).flaw(b.lane, open)
	return mine > 0 && slices.ContainsFunc(m.lines, func(o *simLine) bool {
		may := b.only == nil || b.only[o.place] || free && (b.other == nil || b.other[o.place])
		return may && o.flaws(t).flaw(b.lane, open) < mine && o.able(b, t) && o.holds(b, t)
	})
}

// take gives the line as many of the batch's messages as nothing can come
// between before until.
func (m *simulation) take(l *simLine, b *simBatch, t, until time.Duration) {
	if b.work && t > m.covered {
		m.gap(l, max(m.covered, 0), t)
	}
	m.granted(l, b)
	gap := l.gap(b)
	until = min(until, m.next())
	for _, other := range m.batches { // what comes meanwhile may go before
		if other.From > t {
			until = min(until, other.From)
		}
	}
	most := min(b.left(), max(b.fitting(b.turn), 1), m.part(b, gap))
	if until < never {
		most = min(most, b.fitting(int((until-t-1)/gap)+1))
	}
	if b.Expires > 0 && b.Expires < never { // it goes as long as it is valid
		most = min(most, b.fitting(int((b.headExpires()-t-1)/gap)+1))
	}
	sliding, fixed := l.room(b, t, gap)
	most = max(1, min(most, fixed))
	n := min(most, b.fitting(sliding))
	if n == 0 { // its first message needs more than the minute or hour has
		l.rest, l.of = b.size(1), b
		l.began(m, b, t, gap, 1, 0)
		b.taken++
		m.goOn(l, t)
		return
	}
	size := b.size(n)
	b.taken += n
	l.began(m, b, t, gap, n, size)
	m.sent(l, b, t, gap, n, size)
}

// goOn sends what is left of a long message, as far as minute and hour allow.
func (m *simulation) goOn(l *simLine, t time.Duration) {
	b := l.of
	gap := l.gap(b)
	if b.lane >= 2 && l.paceFree > t {
		l.at = l.paceFree
		return
	}
	free, _ := l.room(b, t, gap)
	if free == 0 {
		l.at = max(l.roomAt(b, t), t+time.Millisecond)
		return
	}
	size := min(free, l.rest)
	l.rest -= size
	done := 0
	if l.rest == 0 {
		done = 1
	}
	l.use(m, b, t, gap, size)
	m.sent(l, b, t, gap, done, size)
}

// sent keeps that a line submits size segments, one each gap, with which n
// messages are done.
func (m *simulation) sent(l *simLine, b *simBatch, t, gap time.Duration, n, size int) {
	m.counted(b.lane, size)
	last := t + time.Duration(size-1)*gap
	l.at = last + l.Took
	if b.lane < queue.LaneNormal { // the others look at paceFree
		l.at = last + max(l.Took, l.pace[b.lane])
	}
	l.paceFree = last + l.pace[max(b.lane, queue.LaneNormal)]
	m.wear(l, b, t, last+l.Took, size)
	if !b.work {
		return
	}
	m.begun = min(m.begun, t)
	m.done = max(m.done, l.at)
	m.covered = max(m.covered, l.at, l.paceFree)
	m.left -= n
	l.work += size
}

// part is how many messages a line may take at once so that all of them end
// together: a small part of what they all have to do.
func (m *simulation) part(b *simBatch, gap time.Duration) int {
	if m.fine || b.Weights != nil {
		return 1
	}
	var rate float64
	for _, c := range m.lines {
		if c.at < m.horizon && b.sendable(c.place) {
			rate += 1 / float64(max(c.gap(b), 1))
		}
	}
	span := float64(b.total-b.upTo(b.taken)) / rate / simulationSlices
	return max(1, b.fitting(int(min(span/float64(gap), unlimited))))
}
