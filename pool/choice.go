package pool

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"recado/queue"
)

const (
	// leastLeft is what a SIM's remaining allowance counts as when it is nearly
	// used up: it is not starved entirely while it may send.
	leastLeft = 0.01
	// debtMost bounds, in turns of its own, what a SIM that was busy when its turn
	// came is given before the others afterwards: after a campaign on modems of
	// unlike speed the next single messages are not all the slow one's. Of what a SIM
	// sends when it is nobody's turn, codes and what is its own, it makes up for as many.
	debtMost = 4
	// aheadMost is how many turns a SIM may be ahead of the others of its route,
	// where that gives them unlike weights.
	aheadMost = 1
	// awaitMost is how long, at most, one that is ahead waits for another that takes
	// nothing: that has other things to do, or cannot send what waits after all.
	awaitMost = 9 * time.Second
	// allTraffic is the account of a SIM's whole use; routes have accounts of their
	// own, by their id.
	allTraffic = int64(0)
)

// wear shares messages among SIMs by stride scheduling: every use moves a SIM's
// virtual time on by 1 ÷ (its weight × what is left of its allowance), and the
// one that would be least far afterwards goes next. Each route has an account of its own, so that
// its weights hold whatever else its SIMs send.
type wear struct {
	mu       sync.Mutex
	accounts map[int64]map[string]*worn
	here     map[string]bool // SIMs that could send when somebody last looked
	// again is when one that was found ahead of the others waits no longer for one
	// of them; past: look for yourself.
	again time.Time
}

// worn is a SIM's use on one account.
type worn struct {
	time   float64
	stride float64 // of the next use, as far as is known
	// message is whose segment it sent last; last is what that has used so far.
	message int64
	last    float64
	// turn is the message that it took last at its turn, since what that has used so
	// far, the last time at used. out is what it has used beside since it took that,
	// debtMost strides at most.
	turn       int64
	since, out float64
	used       time.Time
	// ahead is since when it has been too far ahead of others that it waits for, by
	// lane; zero: it is not.
	ahead [lanes]time.Time
}

// use is a submission, as it is counted.
type use struct {
	message int64 // whose segment it is
	// turn: with it a message begins that was taken for the route's sake: neither
	// urgent nor the SIM's own.
	turn bool
}

// use counts a submission: on a route's account by the SIM's weight there, and
// on that of all traffic. left is 0–1.
func (w *wear) use(route int64, sim string, weight int, left float64, u use) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step(allTraffic, sim, 1, left, u)
	if route != allTraffic {
		w.step(route, sim, weight, left, u)
	}
}

func (w *wear) step(account int64, sim string, weight int, left float64, u use) {
	s := w.of(account, sim)
	s.stride = stride(weight, left)
	s.time += s.stride
	if s.message != u.message {
		s.message, s.last = u.message, 0
	}
	s.last += s.stride
	if u.turn {
		s.turn, s.since, s.out = u.message, 0, 0
	}
	if s.turn == u.message {
		s.since += s.stride
		s.used = time.Now()
	} else {
		s.out = min(s.out+s.stride, debtMost*s.stride)
	}
}

// stride is by how much a use moves a SIM on.
func stride(weight int, left float64) float64 {
	return 1 / (float64(max(weight, 1)) * max(left, leastLeft))
}

// of is a SIM's place in an account; one that is new there begins as far as the
// least of those that are here. w.mu is held.
func (w *wear) of(account int64, sim string) *worn {
	if w.accounts == nil {
		w.accounts = map[int64]map[string]*worn{}
	}
	a := w.accounts[account]
	if a == nil {
		a = map[string]*worn{}
		w.accounts[account] = a
	}
	s := a[sim]
	if s == nil {
		s = &worn{stride: 1}
		if least, _, ok := w.span(a, sim); ok {
			s.time = least
		}
		a[sim] = s
	}
	return s
}

// span is from the smallest to the largest time in an account of the SIMs that are
// here, but for one. w.mu is held.
func (w *wear) span(a map[string]*worn, but string) (least, most float64, ok bool) {
	for sim, s := range a {
		if sim == but || !w.here[sim] {
			continue
		}
		if !ok {
			least, most, ok = s.time, s.time, true
		}
		least, most = min(least, s.time), max(most, s.time)
	}
	return least, most, ok
}

// present says which SIMs can send now. One that comes back begins no less far than
// the least of the others, and no further than the one that is furthest: what it
// missed is not made up for, nor by them what the last of its allowance counted as.
func (w *wear) present(sims []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	here := make(map[string]bool, len(sims))
	for _, sim := range sims {
		here[sim] = true
	}
	for _, sim := range sims {
		if w.here[sim] {
			continue
		}
		for _, a := range w.accounts {
			s := a[sim]
			if s == nil {
				continue
			}
			if least, most, ok := w.span(a, sim); ok {
				s.time = min(max(s.time, least), most)
			}
		}
	}
	w.here = here
}

// times are how far SIMs would be on an account after one more use each, by the
// strides that they have now. What one is behind because others went at its turn
// is cut to debtMost turns.
func (w *wear) times(account int64, sims []string, strides []float64) []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]float64, len(sims))
	for i, sim := range sims {
		s := w.of(account, sim)
		s.stride = strides[i]
		for other, o := range w.accounts[account] {
			if other != sim && (w.here[other] || slices.Contains(sims, other)) {
				s.time = max(s.time, o.time-o.last-debtMost*s.stride)
			}
		}
		list[i] = s.time + s.stride
	}
	return list
}

// due says that a SIM may take something of a paced lane on an account: it is no
// further ahead of the others than it may be, or those that it is ahead of have
// sent nothing at their turn for awaitMost.
func (w *wear) due(account int64, sim string, others []string, lane int, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := w.of(account, sim)
	ahead, until := false, time.Time{}
	for _, other := range others {
		its := w.of(account, other)
		// When it was last due, or chosen because a turn of the other would have taken
		// that further, it was no further ahead than this: more is what the other missed
		// when nobody waited for it.
		its.time = max(its.time, mine.time-mine.since-mine.out-aheadMost*max(mine.stride, its.stride))
		if mine.time-its.time <= aheadMost*mine.stride+1e-6 {
			continue
		}
		if !ahead && mine.ahead[lane].IsZero() {
			mine.ahead[lane] = now
		}
		ahead = true
		since := mine.ahead[lane]
		if its.used.After(since) {
			since = its.used
		}
		if end := since.Add(awaitMost); end.After(now) && end.After(until) {
			until = end
		}
	}
	if !ahead {
		mine.ahead[lane] = time.Time{}
	}
	if until.IsZero() {
		return true
	}
	if !w.again.After(now) || until.Before(w.again) {
		w.again = until
	}
	return false
}

// look is when somebody waits no longer for another's turn; zero: nobody waits.
func (w *wear) look(now time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.again.After(now) {
		return time.Time{}
	}
	return w.again
}

// candidate is an idle line that may send a message.
type candidate struct {
	// doubt is what speaks against its health, 0 nothing (see doubts).
	doubt int
	// left is what is left of its allowance, less for answers that were lost.
	left float64
	// time is its virtual time on the message's account, were it to send it.
	time float64
	// used is when it last began a message.
	used time.Time
}

// muteDoubt is more than all that doubts can count.
const muteDoubt = 8

// candidate is how an idle line stands.
func (l *line) candidate(now time.Time) candidate {
	c := candidate{used: l.lastUsed(), left: l.quality() * l.p.leftOf(l.simKey())}
	c.doubt = l.doubt(now)
	if _, mute := l.p.mute(l.simKey()); mute { // it does not receive: last of all
		c.doubt += muteDoubt
	}
	return c
}

// Why a SIM sends a message, beside the reasons that the store has: it is one of
// the route's, or has the most left of its allowance.
const (
	whyRoute    = "route"
	whyMostLeft = "most_left"
)

// choose picks the idle line that sends a message, and says why it is that one.
// It is called on the store's writer.
func (p *Pool) choose(r *rules, idle []standing, h queue.Head, who []int) (int, string) {
	account := allTraffic
	to := r.routeOf(h.Bucket)
	if to != nil {
		// Others help out only while none of its own is well.
		its := slices.DeleteFunc(slices.Clone(who), func(i int) bool { return to.weight(idle[i].sim) == 0 })
		if slices.ContainsFunc(its, func(i int) bool { return idle[i].candidate.doubt == 0 }) || len(its) == len(who) {
			account, who = to.ID, its
		}
	}
	sims, strides, list := make([]string, len(who)), make([]float64, len(who)), make([]candidate, len(who))
	for j, i := range who {
		weight := 1
		if account != allTraffic {
			weight = to.weight(idle[i].sim)
		}
		sims[j], list[j] = idle[i].sim, idle[i].candidate
		strides[j] = stride(weight, list[j].left)
	}
	for j, t := range p.wear.times(account, sims, strides) {
		list[j].time = t
	}
	i := best(list)
	switch {
	case h.Failover != "":
		return who[i], queue.WhyFailover + h.Failover
	case p.alone(to, queue.Lane(h.Class), sims[i]):
		return who[i], queue.WhyOnly
	case account != allTraffic:
		return who[i], whyRoute
	case len(who) == 1:
		return who[i], queue.WhyFirst
	}
	return who[i], whyMostLeft
}

// alone says that no other SIM could send now what is on a route; nil: any.
func (p *Pool) alone(to *route, lane int, sim string) bool {
	for other, can := range *p.able.Load() {
		if other != sim && can.lanes.Has(lane) && (to == nil || to.weight(other) > 0) {
			return false
		}
	}
	return true
}

// best is the index of the candidate that sends next: of the healthiest the one
// with the smallest virtual time, then the one that rested longest.
func best(c []candidate) int {
	i := 0
	for j := range c {
		if cmp.Or(cmp.Compare(c[j].doubt, c[i].doubt), near(c[j].time, c[i].time), c[j].used.Compare(c[i].used)) < 0 {
			i = j
		}
	}
	return i
}

// near compares sums of the same numbers in another order as equal.
func near(a, b float64) int {
	if d := a - b; d < 1e-6 && d > -1e-6 {
		return 0
	}
	return cmp.Compare(a, b)
}

// doubtFor is how long what speaks against a line's health keeps it behind the
// others when it could send again, and what cannot wait away from it: it heals with
// the first message that is accepted, but where only codes are sent it gets none
// before. It is twice as long after each try that fails, up to doubtMost.
const doubtFor, doubtMost = 5 * time.Minute, time.Hour

// doubts counts what speaks against a line's health since a message was accepted
// on it last.
func (h *health) doubts() (n int) {
	if n, _ = h.lostLast(); n > 0 {
		n = 1
	}
	if h.quarantines > 0 {
		n += 2
	}
	if h.deviceErrors+h.simErrors+h.networkErrors > 0 {
		n++
	}
	return n
}

// doubt is what speaks against the line's health, 0 nothing (see doubts).
func (l *line) doubt(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.doubtedUntil()) {
		return 0
	}
	return l.doubts()
}

// doubtedUntil is when what speaks against the health no longer counts.
func (h *health) doubtedUntil() time.Time {
	since := h.faulted
	if h.restUntil.After(since) {
		since = h.restUntil
	}
	// What is tried on it and refused again may have to wait for long.
	return since.Add(backoff(doubtFor, max(h.networkErrors-networkErrorsMost, 0)+max(h.quarantines-1, 0), doubtMost))
}

// unproven says that the line was taken out for refusals or lost answers, and has
// had nothing accepted since, however able it is again.
func (l *line) unproven() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost, _ := l.lostLast()
	return l.quarantines > 0 || l.networkErrors >= networkErrorsMost || lost >= lostInARow
}

// quality is the share of the line's submissions of late that were answered, 0–1.
func (l *line) quality() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := 0
	for _, s := range l.submitted {
		if s.lost {
			lost++
		}
	}
	return 1 - float64(lost)/float64(max(len(l.submitted), 1))
}
