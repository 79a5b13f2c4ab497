package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"recado/queue"
	"recado/queue/sqlite"
)

const (
	// maxTotal requests run at once, and maxEach to one endpoint.
	maxTotal, maxEach = 16, 8
	// behind is how long the oldest delivery of an endpoint may have waited before
	// more than one request to it runs at once.
	behind = time.Second
	// pace is the least time between two looks for events.
	pace = 20 * time.Millisecond
	// stopGrace is how long an orderly stop waits for answers.
	stopGrace = 3 * time.Second
	// after an error of the database
	trouble = time.Second
)

// Options for New.
type Options struct {
	Clock queue.Clock // needed
	// Key (queue.KeySize octets) is what secrets are kept under. Without one they
	// can be read in this run only.
	Key []byte
	// Loopback lets webhooks with AllowPrivate reach programs on this machine.
	Loopback bool
	Log      *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer

	// What a test puts in the place of the system's; nil: the system's.
	Pulse    Pulse
	Resolver Resolver
	Own      func() ([]netip.Addr, error) // the machine's addresses
	TLS      *tls.Config
}

// Outbox keeps the endpoints and delivers events to them. Its methods may be
// called by any goroutine; what is delivered is Run's.
type Outbox struct {
	db      *sqlite.DB
	events  *queue.Store
	wall    queue.Clock
	clock   *tickClock
	pulse   Pulse
	seal    *sealer
	guard   *guard
	public  *http.Client
	private *http.Client
	log     *slog.Logger
	metrics *metrics

	stale atomic.Bool   // the endpoints were changed
	poke  chan struct{} // … or something else that Run should look at
	tests chan struct{} // seats

	// Of Run alone.
	lanes   map[string]*lane
	results chan result
	flying  int
	first   int // of the lanes in the next round
	tidied  int64
}

// endpoint is what Run knows of one.
type endpoint struct {
	id, url           string
	patterns          []string
	private           bool
	secret, oldSecret []byte
	oldUntil, cursor  int64
	health
}

// health is how an endpoint did, as the database keeps it.
type health struct {
	failures                 int
	failingSince             int64 // ms
	pausedUntil, recovered   int64 // ticks
	lastError                string
	lastStatus               int
	lastAttempt, lastSuccess int64 // ms
	gone                     bool
}

// lane is one active endpoint and what is on its way to it.
type lane struct {
	*endpoint
	flying   map[int64]bool // webhook_delivery.seq
	failedAt int64          // tick at which the last failure was seen
}

// New makes the outbox over an open database and its events. It starts nothing.
func New(ctx context.Context, db *sqlite.DB, events *queue.Store, o Options) (*Outbox, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Pulse == nil {
		o.Pulse = systemPulse{time.Now()}
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Own == nil {
		o.Own = ownAddresses
	}
	b := &Outbox{db: db, events: events, wall: o.Clock, pulse: o.Pulse, log: o.Log, guard: &guard{o.Loopback, o.Own},
		poke: make(chan struct{}, 1), tests: make(chan struct{}, 2), lanes: map[string]*lane{}, results: make(chan result, maxTotal)}
	var err error
	if b.seal, err = newSealer(o.Key); err != nil {
		return nil, err
	}
	if b.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("register the webhooks' metrics: %w", err)
	}
	if b.clock, err = loadClock(ctx, db, o.Pulse, o.Clock); err != nil {
		return nil, err
	}
	b.public = newClient(dialer{b.guard, false, o.Resolver}, o.TLS.Clone())
	b.private = newClient(dialer{b.guard, true, o.Resolver}, o.TLS.Clone())
	b.stale.Store(true)
	return b, nil
}

// look has Run look again at once; changed, at the endpoints too.
func (o *Outbox) look() {
	select {
	case o.poke <- struct{}{}:
	default:
	}
}

func (o *Outbox) changed() {
	o.stale.Store(true)
	o.look()
}

// Run delivers until ctx ends, then waits a few seconds for answers. What was
// not answered by then is delivered again by the next run.
func (o *Outbox) Run(ctx context.Context) error {
	hint, unwatch := o.events.Watch()
	defer unwatch()
	posting, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer o.public.CloseIdleConnections()
	defer o.private.CloseIdleConnections()
	defer o.land(cut)
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		wait, err := o.round(ctx, posting)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			o.log.Error("webhooks wait for the database", "err", err)
			o.stale.Store(true)
			wait = trouble
		}
		wake, stop := o.pulse.After(wait)
		resting := false
	sleep:
		for {
			select {
			case r := <-o.results:
				if o.settle(ctx, r) != nil {
					stop()
					return nil // ctx has ended
				}
			case <-o.poke:
			case <-wake:
			case <-hint:
				if !resting {
					resting = true
					rest.Reset(pace)
				}
				continue
			case <-rest.C:
				if !resting {
					continue
				}
			case <-ctx.Done():
				stop()
				return nil
			}
			break sleep
		}
		stop()
	}
}

// round looks at what there is to do, begins it, and says when to look again
// though nothing happens.
func (o *Outbox) round(ctx, posting context.Context) (time.Duration, error) {
	if o.stale.Swap(false) {
		if err := o.reload(ctx); err != nil {
			return 0, err
		}
	}
	if err := o.tidy(ctx); err != nil {
		return 0, err
	}
	if len(o.lanes) == 0 {
		return tidyRound, nil
	}
	more, err := o.collect(ctx)
	if err != nil {
		return 0, err
	}
	wait, err := o.dispatch(ctx, posting)
	if more {
		wait = 0
	}
	return wait, err
}

// reload reads the active endpoints anew.
func (o *Outbox) reload(ctx context.Context) error {
	list, err := o.active(ctx)
	if err != nil {
		return err
	}
	lanes := map[string]*lane{}
	for _, e := range list {
		l := &lane{endpoint: e, flying: map[int64]bool{}}
		if old := o.lanes[e.id]; old != nil {
			l.flying, l.failedAt = old.flying, old.failedAt
		}
		lanes[e.id] = l
	}
	o.lanes = lanes
	return nil
}

// dispatch begins the attempts that are due, as many as may run. It begins with
// another endpoint each time.
func (o *Outbox) dispatch(ctx, posting context.Context) (time.Duration, error) {
	ids := slices.Sorted(maps.Keys(o.lanes))
	o.first++
	wait := tidyRound
	for i := range ids {
		l := o.lanes[ids[(i+o.first)%len(ids)]]
		now := o.clock.tick()
		if l.pausedUntil > now {
			wait = min(wait, ticks(l.pausedUntil-now))
			continue
		}
		jobs, due, err := o.due(ctx, l, now)
		if err != nil {
			return 0, err
		}
		if due > now {
			wait = min(wait, ticks(due-now))
		}
		for _, j := range jobs {
			if o.flying == maxTotal {
				break // an answer begins the next round
			}
			o.flying++
			l.flying[j.delivery] = true
			go func() { o.results <- o.post(posting, j) }() // land waits for as many results as fly
		}
	}
	return wait, nil
}

func ticks(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// due are the deliveries of an endpoint to attempt now, oldest first, and the
// tick at which the next one will be; 0 none.
func (o *Outbox) due(ctx context.Context, l *lane, now int64) ([]job, int64, error) {
	width := 1
	if l.failures == 0 {
		width = maxEach
	}
	room := width - len(l.flying)
	if room <= 0 {
		return nil, 0, nil
	}
	query := `SELECT seq, event, attempts, first_tick, next_tick FROM webhook_delivery
		WHERE webhook = ?1 AND state = 'pending' AND ?2 = ?2 AND ?3 = ?3 ORDER BY next_tick, event LIMIT ?4`
	if l.recovered > 0 {
		// Behind an endpoint that is back again everything goes, in its true order.
		query = `SELECT seq, event, attempts, first_tick, CASE WHEN next_tick <= ?2 THEN next_tick ELSE first_tick END FROM webhook_delivery
			WHERE webhook = ?1 AND state = 'pending' AND (next_tick <= ?2 OR tried_tick < ?3) ORDER BY event LIMIT ?4`
	}
	rows, err := o.db.Read().QueryContext(ctx, query, l.id, now, l.recovered, len(l.flying)+room)
	if err != nil {
		return nil, 0, fmt.Errorf("look for deliveries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var jobs []job
	for rows.Next() {
		j := job{endpoint: l.endpoint}
		var when int64
		if err := rows.Scan(&j.delivery, &j.event, &j.attempts, &j.first, &when); err != nil {
			return nil, 0, fmt.Errorf("look for deliveries: %w", err)
		}
		if when > now {
			return jobs, when, nil
		}
		if l.flying[j.delivery] || len(jobs) == room {
			continue
		}
		// One at a time, so that they arrive in order, until it falls behind.
		if late := max(when, j.first) + behind.Milliseconds(); late > now && len(jobs)+len(l.flying) > 0 {
			return jobs, late, nil
		}
		jobs = append(jobs, j)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("look for deliveries: %w", err)
	}
	if l.recovered > 0 && len(jobs)+len(l.flying) == 0 {
		l.recovered = 0 // all has gone; written down with the next mark
		return o.due(ctx, l, now)
	}
	return jobs, 0, nil
}

// land waits for what is in flight, marks it, and cuts what takes too long.
func (o *Outbox) land(cut context.CancelFunc) {
	defer cut()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	bound, cancel := context.WithTimeout(context.Background(), 2*stopGrace)
	defer cancel()
	for o.flying > 0 {
		select {
		case r := <-o.results:
			if err := o.settle(bound, r); err != nil {
				o.log.Warn("deliveries were not marked and are made again", "err", err)
			}
		case <-grace.C:
			cut()
		}
	}
}

// settle takes a result and those that came with it, and marks them. Until that
// is on disk nothing more is sent: what cannot be marked would be sent for ever.
// It errs only when ctx ends.
func (o *Outbox) settle(ctx context.Context, r result) error {
	batch := []result{r}
	for len(batch) < maxTotal {
		select {
		case r := <-o.results:
			batch = append(batch, r)
			continue
		default:
		}
		break
	}
	o.flying -= len(batch)
	marks := o.judge(batch)
	for wait := trouble; ; wait = min(2*wait, time.Minute) {
		err := o.mark(context.WithoutCancel(ctx), marks)
		if err == nil {
			break
		}
		if ctx.Err() != nil || errors.Is(err, sqlite.ErrClosed) {
			return errors.Join(ctx.Err(), err)
		}
		o.log.Error("what webhooks answered cannot be written down; nothing more is sent until it can", "err", err)
		wake, stop := o.pulse.After(wait)
		select {
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
	for _, r := range batch {
		if l := o.lanes[r.endpoint.id]; l != nil {
			delete(l.flying, r.delivery)
		}
	}
	return nil
}
