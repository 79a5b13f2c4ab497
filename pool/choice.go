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
	// unlike speed the next single messages are not all the slow one's.
	debtMost = 4
	// aheadMost is how many turns a SIM may be ahead of the others of its route,
	// where that gives them unlike weights.
	aheadMost = 1
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
}

// worn is a SIM's use on one account.
type worn struct {
	time   float64
	stride float64 // of the next use, as far as is known
	last   float64 // of the last one
}

// use counts a submission: on a route's account by the SIM's weight there, and
// on that of all traffic. left is 0–1.
func (w *wear) use(route int64, sim string, weight int, left float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step(allTraffic, sim, 1, left)
	if route != allTraffic {
		w.step(route, sim, weight, left)
	}
}

func (w *wear) step(account int64, sim string, weight int, left float64) {
	s := w.of(account, sim)
	s.stride = stride(weight, left)
	s.last = s.stride
	s.time += s.stride
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
		if least, ok := w.least(a, sim); ok {
			s.time = least
		}
		a[sim] = s
	}
	return s
}

// least is the smallest time in an account of the SIMs that are here, but for
// one. w.mu is held.
func (w *wear) least(a map[string]*worn, but string) (least float64, ok bool) {
	for sim, s := range a {
		if sim != but && w.here[sim] && (!ok || s.time < least) {
			least, ok = s.time, true
		}
	}
	return least, ok
}

// present says which SIMs can send now. One that comes back begins as far as the
// least of the others: what it missed is not made up for.
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
			if least, ok := w.least(a, sim); ok && s.time < least {
				s.time = least
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

// ahead says how many of its own turns a SIM is ahead of the least of others on
// an account; 0 without others.
func (w *wear) ahead(account int64, sim string, others []string) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := w.of(account, sim)
	least := mine.time
	for _, o := range others {
		least = min(least, w.of(account, o).time)
	}
	return (mine.time - least) / mine.stride
}

// due says that a SIM is no further ahead of others on an account than it may be.
func (w *wear) due(account int64, sim string, others []string) bool {
	return w.ahead(account, sim, others) <= aheadMost+1e-6
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

// candidate is how an idle line stands.
func (l *line) candidate(now time.Time) candidate {
	c := candidate{used: l.lastUsed(), left: l.quality() * l.p.leftOf(l.simKey())}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.faulted) < doubtFor {
		c.doubt = l.doubts()
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
	if to != nil && slices.ContainsFunc(who, func(i int) bool { return to.weights[idle[i].sim] > 0 }) {
		account = to.ID
	}
	sims, strides, list := make([]string, len(who)), make([]float64, len(who)), make([]candidate, len(who))
	for j, i := range who {
		weight := 1
		if account != allTraffic {
			weight = to.weights[idle[i].sim]
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
	case p.alone(to, sims[i]):
		return who[i], queue.WhyOnly
	case account != allTraffic:
		return who[i], whyRoute
	case len(who) == 1:
		return who[i], queue.WhyFirst
	}
	return who[i], whyMostLeft
}

// alone says that no other SIM could send now what is on a route; nil: any.
func (p *Pool) alone(to *route, sim string) bool {
	return !slices.ContainsFunc(*p.able.Load(), func(other string) bool {
		return other != sim && (to == nil || to.weights[other] > 0)
	})
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
// others: then it is tried with what can wait.
const doubtFor = 5 * time.Minute

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

func (l *line) doubt() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubts()
}

// othersAreWell says that another line can send, and nothing speaks against it.
func (p *Pool) othersAreWell(not *line) bool {
	return slices.ContainsFunc(p.all(), func(l *line) bool { return l != not && l.able() && l.doubt() == 0 })
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
