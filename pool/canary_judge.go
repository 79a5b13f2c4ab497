package pool

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"recado/queue"
)

const (
	// canaryWindow is how far back canaries tell of the present.
	canaryWindow = time.Hour
	// canaryNear: what left or came so shortly before a canary began tells of the
	// same moment.
	canaryNear = 2 * time.Minute
	// A line is at fault when so many canaries say so: a network loses one now and
	// then.
	canaryEnough = 2
	// canaryEnoughSlow where some take so long that others may take too long.
	canaryEnoughSlow = 3
	// canaryTries are how many other lines are asked about each side of one that
	// did not arrive.
	canaryTries = 3
	// canaryDark are how many more are sent while none arrives anywhere: then it is
	// the network, and each costs.
	canaryDark = 3
	// canaryMost are how many are sent within canaryWindow to find a fault.
	canaryMost = 16
	// canaryFollow are how many the box sends by itself after one that a person
	// asked for, where nobody gave it leave to send any.
	canaryFollow = 3
)

// side is what a line does not do.
type side uint8

const (
	sending side = iota
	receiving
)

// blame is a side of a SIM.
type blame struct {
	sim  string
	side side
}

// party is a line that can take part.
type party struct {
	iccid    string
	emulated bool // they reach each other, and nobody else
	fit      bool // ready, in quarantine or not
	// sure says that its number is its own: what was sent there has arrived on it,
	// or it is an emulated SIM's. Else what does not arrive tells of the number.
	sure bool
	// selves says that the network has carried what this SIM texted itself.
	selves bool
	// leave says that canaries may be sent on it by themselves.
	leave bool
	// mute are the sides that it is in quarantine for.
	mute [2]bool
	// silent says that something else speaks against it too: see suspicion.
	silent [2]bool
	// since is when it was last found well, or forgiven: what began before does
	// not count against it.
	since time.Time
	// heard is when it last received anything, a report included; zero: not that
	// one knows.
	heard time.Time
}

// trial is what is known; its times are of the steady clock.
type trial struct {
	now     time.Time
	legs    []queue.Canary // of canaryWindow, oldest first
	parties []party
	// slow says that canaries take too long to be sure of one that is missed.
	slow bool
	// selves says that the network carries what a SIM texts to itself.
	selves bool
}

// verdict is what follows.
type verdict struct {
	// guilty has the canaries that say so.
	guilty map[blame][]int64
	// untold are SIMs that only texted themselves: nobody can tell the side.
	untold map[string][]int64
	// doubts are SIMs that most likely something is wrong with, and what: somebody
	// is told, and nothing else follows.
	doubts map[string]doubtful
	// ask are the canaries to send to know more.
	ask []pair
}

// doubtful is one of queue's doubts, with the canaries that tell of it.
type doubtful struct {
	what string
	legs []int64
}

func (v verdict) doubt(sim, what string, leg int64) {
	d := v.doubts[sim]
	if d.what != "" && d.what != what {
		return
	}
	v.doubts[sim] = doubtful{what, append(d.legs, leg)}
}

type pair struct{ from, to string }

func (t *trial) party(iccid string) *party {
	for i := range t.parties {
		if t.parties[i].iccid == iccid {
			return &t.parties[i]
		}
	}
	return nil
}

// proven says that another canary than c shows the side of a SIM to work at
// about c's time, or later.
func (t *trial) proven(b blame, c *queue.Canary) bool {
	from := c.Start.Add(-canaryNear)
	return slices.ContainsFunc(t.legs, func(o queue.Canary) bool {
		if o.ID == c.ID || o.State == queue.CanaryVoid {
			return false
		}
		arrived := o.State == queue.CanaryArrived
		if b.side == receiving {
			return o.To == b.sim && arrived && !o.Start.Add(o.Arrived).Before(from)
		}
		// A report is about a message that the network really has.
		left := arrived || o.Detail == queue.CanaryDelivered || o.Detail == queue.CanaryUndelivered
		return o.From == b.sim && left && !o.Start.Add(max(o.Accepted, 0)).Before(from)
	})
}

// judge works out which side of which line is at fault, and whom to ask next:
// each canary that does not arrive is the fault of its sender or of its
// receiver, and of the two it is the one whose counterpart is shown to work by
// another canary.
func (t *trial) judge() verdict {
	v := verdict{guilty: map[blame][]int64{}, untold: map[string][]int64{}, doubts: map[string]doubtful{}}
	t.selves = t.selves || slices.ContainsFunc(t.legs, func(c queue.Canary) bool { return c.From == c.To && c.State == queue.CanaryArrived })
	said := map[blame][]int64{}
	var open []*queue.Canary    // whose fault they are is not known
	var refused []*queue.Canary // nobody else has tried at that time
	for i := range t.legs {
		c := &t.legs[i]
		from, to := t.party(c.From), t.party(c.To)
		if from == nil || to == nil || from.mute[sending] || to.mute[receiving] {
			continue
		}
		s, r := blame{c.From, sending}, blame{c.To, receiving}
		counts := func(p *party) bool { return !c.Start.Before(p.since) }
		switch c.State {
		case queue.CanaryRefused:
			switch {
			case !counts(from) || t.proven(s, c):
			case t.othersTaken(c):
				said[s] = append(said[s], c.ID)
			default:
				refused = append(refused, c)
			}
		case queue.CanaryMissed:
			if c.From == c.To && !t.selves && !t.alone(from) {
				continue
			}
			sends := c.Detail == queue.CanaryDelivered || c.Detail == queue.CanaryUndelivered || t.proven(s, c)
			receives := t.proven(r, c)
			switch {
			case sends && receives: // the network has lost it
			case sends && counts(to) && !to.sure:
				v.doubt(c.To, queue.DoubtNumber, c.ID)
			case sends && counts(to):
				said[r] = append(said[r], c.ID)
			case receives && counts(from):
				said[s] = append(said[s], c.ID)
			case c.From == c.To && !from.selves && t.alone(from): // perhaps the network does not carry it
				if counts(from) && !from.heard.After(c.Start) {
					v.doubt(c.From, queue.DoubtAlone, c.ID)
				}
			case !sends && !receives && counts(from) && counts(to):
				open = append(open, c)
			}
		}
	}
	for b, ids := range said {
		if len(ids) >= t.enough() || t.party(b.sim).silent[b.side] {
			v.guilty[b] = ids
		}
	}
	t.alones(open, v)
	t.plan(open, refused, said, &v)
	return v
}

// enough are the canaries that it takes against a line.
func (t *trial) enough() int {
	if t.slow {
		return canaryEnoughSlow
	}
	return canaryEnough
}

// othersTaken says that the network took another line's canary at about that
// time: it is not the network that refuses.
func (t *trial) othersTaken(c *queue.Canary) bool {
	return slices.ContainsFunc(t.legs, func(o queue.Canary) bool {
		return o.From != c.From && o.Accepted >= 0 && !o.Start.Add(o.Accepted).Before(c.Start.Add(-canaryNear))
	})
}

// alone says that nobody but itself could text the SIM, or be texted by it.
func (t *trial) alone(p *party) bool {
	return !slices.ContainsFunc(t.parties, func(o party) bool {
		return o.iccid != p.iccid && o.emulated == p.emulated && o.fit && !o.mute[sending] && !o.mute[receiving]
	})
}

// alones convicts a line without others when two canaries to itself brought
// nothing, not even a report, and nothing else came in meanwhile. The network has
// carried such messages before: see judge.
func (t *trial) alones(open []*queue.Canary, v verdict) {
	for i := range t.parties {
		p := &t.parties[i]
		if !t.alone(p) {
			continue
		}
		var ids []int64
		var first time.Time
		for _, c := range open {
			if c.From == p.iccid && c.To == p.iccid && c.Detail != queue.CanaryDelivered && c.Detail != queue.CanaryUndelivered {
				if ids = append(ids, c.ID); first.IsZero() {
					first = c.Start
				}
			}
		}
		if len(ids) >= t.enough() && !p.heard.After(first) {
			v.untold[p.iccid] = ids
		}
	}
}

// plan asks others about both sides of each canary whose fault is not known,
// whether the network refuses them too, and once more about a side that one speaks
// against.
func (t *trial) plan(open, refused []*queue.Canary, said map[blame][]int64, v *verdict) {
	asked, arrived := 0, false
	for _, c := range t.legs {
		if c.AskedBy == queue.CanaryConfirm {
			asked++
		}
		arrived = arrived || c.State == queue.CanaryArrived && (len(open) == 0 || c.Start.Add(c.Arrived).After(open[0].Start.Add(-canaryNear)))
	}
	most := canaryMost
	if !arrived {
		most = canaryDark
	}
	more := t.following()
	ask := func(q pair, ok bool) {
		if !ok || asked >= most || slices.Contains(v.ask, q) {
			return
		}
		if from := t.party(q.from); !from.leave {
			if more <= 0 {
				return
			}
			more--
		}
		v.ask = append(v.ask, q)
		asked++
	}
	known := func(b blame) bool { return v.guilty[b] != nil }
	for _, c := range open {
		if known(blame{c.From, sending}) || known(blame{c.To, receiving}) || v.untold[c.From] != nil {
			continue
		}
		ask(t.into(c.To, c.From, c.Start))
		ask(t.outOf(c.From, c.To, c.Start))
		if c.From != c.To && t.pairOnly(c.From, c.To) {
			ask(pair{c.To, c.From}, t.tries(pair{c.To, c.From}, c.Start) == 0)
		}
	}
	for _, c := range refused {
		ask(t.into(c.To, c.From, c.Start))
	}
	for _, b := range slices.SortedFunc(maps.Keys(said), func(a, b blame) int {
		return cmp.Or(cmp.Compare(a.sim, b.sim), cmp.Compare(a.side, b.side))
	}) {
		ids := said[b]
		if known(b) {
			continue
		}
		c := t.leg(ids[0])
		if b.side == sending {
			ask(t.outOf(b.sim, c.To, c.Start))
		} else {
			ask(t.into(b.sim, c.From, c.Start))
		}
	}
}

// following are how many more may follow what a person asked for last, on lines
// where none is sent without being asked for.
func (t *trial) following() int {
	more := 0
	for _, c := range t.legs {
		from := t.party(c.From)
		switch {
		case !queue.CanaryByItself(c.AskedBy):
			more = canaryFollow
		case c.AskedBy == queue.CanaryConfirm && from != nil && !from.leave:
			more--
		}
	}
	return more
}

func (t *trial) leg(id int64) *queue.Canary {
	i := slices.IndexFunc(t.legs, func(c queue.Canary) bool { return c.ID == id })
	return &t.legs[i]
}

// tries are how often a pair was tried since, what is under way included.
func (t *trial) tries(q pair, since time.Time) (n int) {
	for _, c := range t.legs {
		if c.From == q.from && c.To == q.to && c.State != queue.CanaryVoid && !c.Start.Before(since.Add(-canaryNear)) {
			n++
		}
	}
	return n
}

// into is who should text a SIM next, rather not not: false when one is under
// way, or enough were asked.
func (t *trial) into(sim, not string, since time.Time) (pair, bool) {
	return t.next(func(o string) pair { return pair{o, sim} }, sending, sim, not, since)
}

// outOf is whom a SIM should text next.
func (t *trial) outOf(sim, not string, since time.Time) (pair, bool) {
	return t.next(func(o string) pair { return pair{sim, o} }, receiving, sim, not, since)
}

// next chooses the other end of a canary, whose part role is: one that is shown
// to do it first, then others, the one that was asked before, the SIM itself;
// those last that were asked already.
func (t *trial) next(with func(other string) pair, role side, sim, not string, since time.Time) (best pair, ok bool) {
	me := t.party(sim)
	if me == nil || !me.fit {
		return pair{}, false
	}
	asked, rank := -1, 0 // the one in question is no try
	for _, o := range t.parties {
		q := with(o.iccid)
		n := t.tries(q, since)
		asked += n
		switch {
		case t.underWay(q):
			return pair{}, false
		case o.emulated != me.emulated || !o.fit || o.mute[role] || n >= t.enough():
			continue
		}
		r := 1 + 4*n
		if role == receiving && !o.sure { // what does not arrive there may be its number's fault
			r++
		}
		switch {
		case o.iccid == sim && t.pairOnly(sim, not):
			r += 2
		case o.iccid == sim: // not every network carries those
			r += 4 * canaryMost
		case o.iccid == not:
			r++
		case t.proven(blame{o.iccid, role}, &queue.Canary{Start: since}):
			r--
		}
		if !ok || r < rank {
			best, ok, rank = q, true, r
		}
	}
	return best, ok && asked < canaryTries
}

func (t *trial) underWay(q pair) bool {
	return slices.ContainsFunc(t.legs, func(c queue.Canary) bool { return c.From == q.from && c.To == q.to && c.EndedAt.IsZero() })
}

// pairOnly says that the two SIMs have only each other.
func (t *trial) pairOnly(a, b string) bool {
	p := t.party(a)
	return !slices.ContainsFunc(t.parties, func(o party) bool {
		return o.iccid != a && o.iccid != b && o.emulated == p.emulated && o.fit && !o.mute[sending] && !o.mute[receiving]
	})
}
