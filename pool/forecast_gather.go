package pool

import (
	"cmp"
	"context"
	"slices"
	"time"

	"recado/queue"
)

const (
	// restTold is how long a rest of a line may last to be counted on: who is away
	// longer may stay away.
	restTold = time.Hour
	// workPlace is where work that is not in the queue stands in the order of
	// acceptance: behind all that is.
	workPlace = int64(1) << 40
)

// Forecast says what becomes of some work that is given to the queue now: it
// simulates the lines with what waits, their limits and all that hinders them.
func (p *Pool) Forecast(ctx context.Context, w Work) (Forecast, error) {
	s, err := p.situation(ctx, w)
	if err != nil {
		return Forecast{}, err
	}
	short, cancel := context.WithTimeout(ctx, simulationMost)
	defer cancel()
	f := Simulate(short, s)
	return f, ctx.Err()
}

// situation is all that a forecast goes by, as it is now.
func (p *Pool) situation(ctx context.Context, w Work) (Situation, error) {
	backlog, err := p.store.Backlog(ctx)
	if err != nil {
		return Situation{}, err
	}
	s := Situation{Now: backlog.Now.In(time.Local), Trusted: backlog.Firm, Paused: p.paused.Load(),
		OverBulk: int(p.turns.overBulk.Load()), OverNormal: int(p.turns.overNormal.Load())}
	g := gathering{Pool: p, rules: p.rules.Load(), now: backlog.Now, trusted: p.clock.Trusted(), places: map[string]int{}}
	if s.Lines, err = g.lines(ctx); err != nil {
		return Situation{}, err
	}
	for _, waits := range backlog.Waiting {
		s.Ahead = append(s.Ahead, g.waiting(waits))
	}
	if s.Work, err = g.work(ctx, w); err != nil {
		return Situation{}, err
	}
	return s, nil
}

// gathering is what a situation is made from.
type gathering struct {
	*Pool
	rules   *rules
	now     time.Time
	trusted bool
	places  map[string]int // of the lines, by SIM
	sims    []string       // by place
	stands  []candidate    // by place
	allowed map[string]queue.Allowance
}

// lines are those that have a SIM.
func (g *gathering) lines(ctx context.Context) ([]SimLine, error) {
	var list []SimLine
	var known, n time.Duration
	for _, l := range g.all() {
		key := l.simKey()
		if _, twice := g.places[key]; key == "" || twice {
			continue
		}
		g.places[key] = len(list)
		g.sims = append(g.sims, key)
		s := l.forecast(key, time.Now())
		g.stands = append(g.stands, l.candidate(time.Now()))
		if s.Guessed {
			took, err := g.formerly(ctx, key)
			if err != nil {
				return nil, err
			}
			if took > 0 {
				s.Took, s.Guessed = took, false
			}
		}
		if !s.Guessed {
			known, n = known+s.Took, n+1
		}
		list = append(list, s)
	}
	var err error
	if g.allowed, err = g.store.Allowances(ctx, g.sims); err != nil {
		return nil, err
	}
	strides := make([]float64, len(list))
	for i := range list {
		strides[i] = stride(1, g.stands[i].left)
		if s := &list[i]; s.Guessed && n > 0 { // likely as the others are
			s.Took = known / n
		}
		g.limits(&list[i])
	}
	order := make([]int, len(list))
	for i, far := range g.wear.far(allTraffic, g.sims, strides) {
		g.stands[i].time, order[i] = far.Time+strides[i], i
	}
	slices.SortStableFunc(order, func(i, j int) int { // as best does
		a, b := g.stands[i], g.stands[j]
		return cmp.Or(cmp.Compare(a.doubt, b.doubt), near(a.time, b.time), a.used.Compare(b.used))
	})
	for rank, i := range order {
		list[i].Rank = float64(rank)
	}
	return list, nil
}

// forecast is the line as it stands.
func (l *line) forecast(key string, now time.Time) SimLine {
	s := SimLine{ICCID: key}
	able := l.able()
	s.Unproven = l.unproven()
	_, s.Mute = l.p.mute(key)
	l.mu.Lock()
	if l.doubts() > 0 {
		s.DoubtedUntil = max(l.doubtedUntil().Sub(now), 0)
	}
	s.Took = l.speed.each()
	if s.Took == 0 {
		s.Took, s.Guessed = cmp.Or(l.port.Submission, submissionGuess), l.port.Submission == 0
	}
	if l.busy && !l.used.IsZero() {
		s.Free = max(s.Took-now.Sub(l.used), s.Took/10)
	}
	if !able {
		s.Out = WaitLine
		if rest := l.restUntil.Sub(now); rest > 0 && rest < restTold && l.ableLocked(l.restUntil) {
			s.Out, s.Free = "", rest
		}
	}
	l.mu.Unlock()
	p := l.p
	p.simMu.Lock()
	defer p.simMu.Unlock()
	r := p.terms(key)
	s.Restless = p.openLimits || l.port.Emulated && !p.rules.Load().quietChosen
	switch {
	case r == nil:
		return s
	case r.row.Paused:
		s.Out = WaitSIMPaused
	case p.openLimits:
		return s
	}
	s.PaceFree = max(r.pacedUntil.Sub(now), 0)
	if n := r.pace(); n > 0 {
		s.Pace = pause(n, 0.5)
	}
	if !r.row.Window.None() {
		if s.Hours = (windowHours{r.row.Window, p.home}); !p.clock.Trusted() {
			s.Hours, s.Urgent = nil, true
		}
	}
	return s
}

// limits puts in what the line's SIM may send.
func (g *gathering) limits(s *SimLine) {
	a, ok := g.allowed[s.ICCID]
	if !ok {
		return
	}
	for w, l := range a.Limits {
		s.Limits[w] = SimLimit{Segments: l.MaxSegments, Recipients: l.MaxRecipients, UsedSegments: l.UsedSegments, UsedRecipients: l.UsedRecipients}
	}
	for _, u := range a.Uses {
		s.Uses = append(s.Uses, Use(u))
	}
	s.Spans, s.Reserve, s.ResetDay, s.Warm = a.Spans, a.Reserve, a.ResetDay, a.Warm
}

// waiting is a part of the queue.
func (g *gathering) waiting(w queue.Waiting) Batch {
	b := Batch{Class: w.Class, Messages: w.Messages, Segments: w.Segments, First: w.First, Last: w.Last, From: w.From,
		Expires: w.Expires, LastExpires: w.LastExpires}
	i := slices.IndexFunc(g.rules.buckets, func(b bucket) bool { return b.ID == w.Bucket })
	var to *route
	zones := []*time.Location{g.home}
	if i >= 0 {
		to, zones = g.rules.routes[g.rules.buckets[i].Route], g.rules.buckets[i].zones
	}
	prefer := ""
	if w.Prefer > 0 {
		prefer = w.SIM
	}
	g.place(&b, to, w.SIM, prefer, w.Prefer, zones)
	return b
}

// place says who may send a batch, and when. prefer is the SIM that it waits for,
// for a while, sim the one that it is bound to.
func (g *gathering) place(b *Batch, to *route, sim, prefer string, patience time.Duration, zones []*time.Location) {
	b.Later = never
	if g.rules.paused.Has(queue.Lane(b.Class)) {
		b.Why = WaitClass
	}
	if slices.Contains(g.rules.quiet.Classes, b.Class) {
		b.Hours = quietHours{&g.rules.quiet, zones, g.home, g.trusted}
	}
	switch {
	case prefer != "":
		b.Only, b.Later, b.LetGo, b.Own = g.only(prefer), patience, true, true
		if to != nil {
			b.Else = g.routed(to)
		}
	case sim != "":
		b.Only, b.Own = g.only(sim), true
	case to != nil:
		b.Only, b.Route = g.routed(to), to.ID
		if to.Fallback == queue.FallbackAny {
			b.Fallback = g.fallbacks.left(fallback{to.ID, queue.Lane(b.Class)}, time.Now())
		}
		if to.uneven {
			strides := make([]float64, len(g.sims))
			for i, sim := range g.sims {
				b.Weights = append(b.Weights, to.weight(sim))
				strides[i] = stride(to.weight(sim), g.stands[i].left)
			}
			b.Worn = g.wear.far(to.ID, g.sims, strides)
		}
	}
}

func (g *gathering) only(sim string) []int {
	if i, ok := g.places[sim]; ok {
		return []int{i}
	}
	return []int{}
}

func (g *gathering) routed(to *route) []int {
	list := []int{}
	for i, sim := range g.sims {
		if to.weight(sim) > 0 {
			list = append(list, i)
		}
	}
	return list
}

// far is how far SIMs are on an account, as times cuts it; it changes nothing.
func (w *wear) far(account int64, sims []string, strides []float64) []Worn {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.accounts[account]
	list := make([]Worn, len(sims))
	for i, sim := range sims {
		if s := a[sim]; s != nil {
			list[i] = Worn{s.time, s.since, s.out}
		} else {
			list[i].Time, _, _ = w.span(a, sim)
		}
		for other, o := range a {
			if other != sim && (w.here[other] || slices.Contains(sims, other)) {
				list[i].Time = max(list[i].Time, o.time-o.last-debtMost*strides[i])
			}
		}
	}
	return list
}

// left is how long none of a route's SIMs must be able from now on until others
// may send its messages.
func (f *fallbacks) left(of fallback, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	since, ok := f.since[of]
	if !ok {
		return fallbackAfter
	}
	return max(fallbackAfter-now.Sub(since), time.Millisecond)
}

// work is what is asked about, by where its messages would wait.
func (g *gathering) work(ctx context.Context, w Work) ([]Batch, error) {
	n := max(w.Messages, len(w.To))
	if n <= 0 {
		return nil, nil
	}
	from := time.Duration(0)
	if !w.SendAt.IsZero() {
		from = max(w.SendAt.Sub(g.now), 0)
	}
	spots, err := g.store.Spots(ctx, w.To, w.Class, w.KeyID, w.SIM == "" && from == 0)
	if err != nil {
		return nil, err
	}
	if len(spots) == 0 {
		spots = []queue.Spot{{N: 1}}
	}
	asked := 0
	for _, spot := range spots {
		asked += spot.N
	}
	known, err := g.knownTo(ctx, w.To)
	if err != nil {
		return nil, err
	}
	var list []Batch
	done, given := 0, 0
	for _, spot := range spots {
		given += spot.N
		b := Batch{Class: w.Class, Messages: share(n, given, asked) - done, From: from, Known: known,
			First: workPlace + int64(spot.First), Last: workPlace + int64(spot.Last)}
		done += b.Messages
		b.Segments = b.Messages * max(w.Segments, 1)
		if w.ValidFor > 0 && g.trusted {
			b.Expires = from + w.ValidFor
			b.LastExpires = b.Expires
		}
		g.place(&b, g.rules.routes[spot.Route], w.SIM, spot.Prefer, queue.Patience(w.Class), zonesOf(spot.Zone, g.home))
		if from > 0 && !g.trusted && b.Why == "" {
			b.Why = WaitClock
		}
		list = append(list, b)
	}
	return list, nil
}

// knownTo is the share of the recipients that each line's SIM has texted already,
// where a limit may ask.
func (g *gathering) knownTo(ctx context.Context, to []string) ([][4]float64, error) {
	if len(to) == 0 {
		return nil, nil
	}
	var shares [][4]float64
	for i, sim := range g.sims {
		a := g.allowed[sim]
		tight := slices.ContainsFunc(a.Limits[windowDay:], func(l queue.LimitUse) bool {
			return l.MaxRecipients > 0 && l.UsedRecipients > 0 && l.UsedRecipients+len(to) > queue.BulkMost(l.MaxRecipients, a.Reserve)
		})
		if !tight {
			continue
		}
		n, err := g.store.KnownTo(ctx, sim, a, to)
		if err != nil {
			return nil, err
		}
		if shares == nil {
			shares = make([][4]float64, len(g.sims))
		}
		for w, n := range n {
			shares[i][windowDay+w] = float64(n) / float64(len(to))
		}
	}
	return shares, nil
}

// windowHours are a SIM's send window.
type windowHours struct {
	window queue.SendWindow
	home   *time.Location
}

// At is Hours.
func (h windowHours) At(t time.Time) (open bool, until time.Time) {
	return windowUntil(h.window, t, h.home)
}

// quietHours are when what they bind may be sent.
type quietHours struct {
	quiet   *QuietHours
	zones   []*time.Location
	home    *time.Location
	trusted bool
}

// At is Hours.
func (h quietHours) At(t time.Time) (open bool, until time.Time) {
	if !h.trusted {
		return false, time.Time{}
	}
	quiet, until := h.quiet.until(t, h.zones)
	if quiet && until.IsZero() && len(h.zones) > 1 {
		quiet, until = h.quiet.until(t, []*time.Location{h.home})
	}
	return !quiet, until
}
