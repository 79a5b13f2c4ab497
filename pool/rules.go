package pool

import (
	"context"
	"fmt"
	"sync"
	"time"

	"recado/queue"
)

// rules are what people have decided about who sends what and when; a value is
// never changed once it is in force.
type rules struct {
	quiet       QuietHours
	quietChosen bool
	// paused are the lanes of the classes that a person has paused.
	paused  queue.Lanes
	buckets []bucket
	routes  map[int64]*route
	number  int64 // of the routes, queue.Store.Rules
}

// bucket is a set of messages that the same lines may send at the same times.
type bucket struct {
	queue.Bucket
	zones []*time.Location // of the recipients; at least one
}

// route is a rule for its buckets.
type route struct {
	queue.Route
	weights map[string]int // by ICCID
	uneven  bool           // the weights differ
}

// weight of a SIM on the route, 0: it is not on it. One that seems to be in two modems
// is, in both.
func (r *route) weight(sim string) int {
	if w := r.weights[sim]; w > 0 {
		return w
	}
	return r.weights[queue.Contract(sim)]
}

// routeOf is the route of a bucket; nil: any SIM may send what is in it.
func (r *rules) routeOf(id int64) *route {
	for i := range r.buckets {
		if r.buckets[i].ID == id {
			return r.routes[r.buckets[i].Route]
		}
	}
	return nil
}

// loadRules reads them, and follows the routes from then on.
func (p *Pool) loadRules(ctx context.Context) error {
	quiet, err := p.store.Setting(ctx, settingQuiet)
	if err != nil {
		return fmt.Errorf("reading the quiet hours: %w", err)
	}
	q, chosen, err := readQuiet(quiet)
	if err != nil {
		p.log.Error("the quiet hours that were chosen cannot be read; the usual ones are in force", "error", err)
	}
	paused, err := p.loadPauses(ctx)
	if err != nil {
		return err
	}
	p.ruled(func(r *rules) { r.quiet, r.quietChosen, r.paused = q, chosen, paused })
	p.store.OnRoutes(p.routed)
	return nil
}

// routed takes over the routes and buckets that the store has by now. It is
// called on the store's writer.
func (p *Pool) routed(list []queue.Route, buckets []queue.Bucket) {
	number := p.store.Rules()
	p.ruled(func(r *rules) {
		r.number = number
		r.routes = make(map[int64]*route, len(list))
		for _, one := range list {
			to := &route{Route: one, weights: map[string]int{}}
			for _, s := range one.SIMs {
				to.weights[s.ICCID] = s.Weight
				to.uneven = to.uneven || s.Weight != one.SIMs[0].Weight
			}
			r.routes[one.ID] = to
		}
		zones := map[string][]*time.Location{}
		for _, b := range r.buckets {
			zones[b.Zone] = b.zones // a new bucket reads no more than its own
		}
		r.buckets = make([]bucket, len(buckets))
		for i, b := range buckets {
			if zones[b.Zone] == nil {
				zones[b.Zone] = zonesOf(b.Zone, p.home)
			}
			r.buckets[i] = bucket{b, zones[b.Zone]}
		}
	})
}

// ruled puts changed rules in force, and looks what may leave by them. It may be
// called on the store's writer: it waits for nobody.
func (p *Pool) ruled(change func(*rules)) {
	p.ruling.Lock()
	next := *p.rules.Load()
	change(&next)
	p.rules.Store(&next)
	p.ruling.Unlock()
	p.kick()
}

// timetable says which buckets are in quiet hours, for as long as nothing
// changes that.
type timetable struct {
	of      *rules
	trusted bool
	// quiet is by the index in rules.buckets.
	quiet []bool
	// from and until bound by the time of day for how long that holds; until is
	// zero when nothing changes soon.
	from, until time.Time
}

// timetables keeps the timetable of now.
type timetables struct {
	mu  sync.Mutex
	now *timetable
}

// today is the timetable of now by the rules r.
func (p *Pool) today(r *rules) *timetable {
	now, trusted := p.clock.Now(), p.clock.Trusted()
	p.timetables.mu.Lock()
	defer p.timetables.mu.Unlock()
	c := p.timetables.now
	if c != nil && c.of == r && c.trusted == trusted && !now.Before(c.from) && (c.until.IsZero() || now.Before(c.until)) {
		return c
	}
	c = &timetable{of: r, trusted: trusted, quiet: make([]bool, len(r.buckets)), from: now}
	p.timetables.now = c
	if !trusted {
		// Nobody can tell what the time is there: what quiet hours bind waits.
		for i := range c.quiet {
			c.quiet[i] = true
		}
		return c
	}
	type spell struct {
		quiet  bool
		change time.Time
	}
	known := map[string]spell{}
	for i, b := range r.buckets {
		s, ok := known[b.Zone]
		if !ok {
			s.quiet, s.change = r.quiet.until(now, b.zones)
			if s.quiet && s.change.IsZero() && len(b.zones) > 1 {
				// They never leave an hour that suits all its zones: ours decides.
				s.quiet, s.change = r.quiet.until(now, []*time.Location{p.home})
			}
			known[b.Zone] = s
		}
		c.quiet[i] = s.quiet
		if !s.change.IsZero() && (c.until.IsZero() || s.change.Before(c.until)) {
			c.until = s.change
		}
	}
	return c
}
