package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nyaruka/phonenumbers"

	"recado/queue/sqlite"
)

// Bucket is what waits for the same SIMs and has the same quiet hours: a line
// asks for messages by the buckets that it may send.
type Bucket struct {
	ID int64
	// Route of its messages; 0: any SIM may send them. Those of a route that was
	// deleted or switched off have 0 too, until they are moved (see reroute).
	Route int64
	// Zone is the recipients' time zone (IANA), or several that show different
	// times, sorted, with commas between; "" when none is known.
	Zone string
}

// routes is what the Store knows of routes and buckets.
type routes struct {
	now   atomic.Pointer[routing]
	zones *zones
	// pending: messages may be in another bucket than the rules of now say; see
	// moveOn.
	pending atomic.Bool
	moving  moving // by Wake

	mu    sync.Mutex // of replacing now, and of telling it
	tell  func([]Route, []Bucket)
	basis string // by Wake: see basis
}

// routing is the routes and buckets at one moment. Nothing in it changes.
type routing struct {
	gen     int64 // another one, other routes
	routes  []Route
	rules   []rule // of the enabled ones
	buckets []Bucket
	ids     map[spot]int64
	byID    map[int64]int64 // the route of a bucket, as it is stored
}

// spot is where a message belongs.
type spot struct {
	route int64
	zone  string
}

func newRouting(gen int64, list []Route, buckets []Bucket) *routing {
	t := &routing{gen: gen, routes: list, ids: map[spot]int64{}, byID: map[int64]int64{}}
	live := map[int64]bool{}
	for _, r := range list {
		if r.Enabled {
			t.rules = append(t.rules, newRule(r))
			live[r.ID] = true
		}
	}
	for _, b := range buckets {
		t.ids[spot{b.Route, b.Zone}] = b.ID
		t.byID[b.ID] = b.Route
		if !live[b.Route] {
			b.Route = 0
		}
		t.buckets = append(t.buckets, b)
	}
	return t
}

// stored are the buckets as they are stored.
func (t *routing) stored() []Bucket {
	list := slices.Clone(t.buckets)
	for i := range list {
		list[i].Route = t.byID[list[i].ID]
	}
	return list
}

// allows says whether a SIM may send what has a route.
func (t *routing) allows(route int64, iccid string) bool {
	if route == 0 {
		return true
	}
	i := slices.IndexFunc(t.routes, func(r Route) bool { return r.ID == route })
	return i < 0 || t.routes[i].Allows(iccid)
}

// routeOf is the route of a bucket, 0 when it has none that is in force.
func (t *routing) routeOf(bucket int64) int64 {
	i := slices.IndexFunc(t.buckets, func(b Bucket) bool { return b.ID == bucket })
	if i < 0 {
		return 0
	}
	return t.buckets[i].Route
}

// match is the route that holds for a message; 0: none.
func (t *routing) match(a *asked) int64 {
	for _, u := range t.rules {
		if u.matches(a) {
			return u.route
		}
	}
	return 0
}

// place is where a message belongs by the routes of one moment.
type place struct {
	on *routing
	spot
}

// placeOf works out where a message to a number belongs.
func (s *Store) placeOf(to string, c Class, key string) place {
	on, home := s.routes.now.Load(), s.numbers.Country()
	return place{on, spot{on.match(&asked{to: to, class: c, key: key, home: home}),
		s.routes.zones.of(to, phonenumbers.GetCountryCodeForRegion(home))}}
}

// bucketIn gives the bucket of a place, and makes it when it is the first.
func (s *Store) bucketIn(tx *sqlite.Tx, p spot) (int64, error) {
	if id, ok := s.routes.now.Load().ids[p]; ok {
		return id, nil
	}
	b := Bucket{Route: p.route, Zone: p.zone}
	err := tx.QueryRow(`SELECT id FROM bucket WHERE route = ? AND zone = ?`, p.route, p.zone).Scan(&b.ID)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRow(`INSERT INTO bucket (id, route, zone) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM bucket), ?, ?) RETURNING id`,
			p.route, p.zone).Scan(&b.ID)
	}
	if err != nil {
		return 0, fmt.Errorf("make a bucket: %w", err)
	}
	tx.AfterCommit(func() {
		s.routes.replace(func(t *routing) *routing {
			if _, ok := t.byID[b.ID]; ok {
				return t
			}
			return newRouting(t.gen, t.routes, append(t.stored(), b))
		})
	})
	return b.ID, nil
}

// replace puts a routing in the place of the one that is, and tells of it.
func (r *routes) replace(with func(*routing) *routing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.now.Load()
	t := with(was)
	if t == was {
		return
	}
	r.now.Store(t)
	if r.tell != nil {
		r.tell(slices.Clone(t.routes), slices.Clone(t.buckets))
	}
}

// OnRoutes sets the function that is told the routes and the buckets: at once, and
// after each commit that changed them, before whoever changed them is answered. It
// is called on the writer's goroutine then, and must neither block nor change what
// it is given.
func (s *Store) OnRoutes(f func([]Route, []Bucket)) {
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	s.routes.tell = f
	t := s.routes.now.Load()
	f(slices.Clone(t.routes), slices.Clone(t.buckets))
}

// Rules is the number of the present routes, another one after each change of them,
// never 0. It reads nothing from the disk, and may be called by what OnRoutes has set.
func (s *Store) Rules() int64 { return s.routes.now.Load().gen }

// Buckets that there are. It reads nothing from the disk.
func (s *Store) Buckets() []Bucket { return slices.Clone(s.routes.now.Load().buckets) }

// RouteOf is the route of a message by its bucket; false: it has none, and any SIM
// may send it. It reads nothing from the disk.
func (s *Store) RouteOf(bucket int64) (Route, bool) {
	t := s.routes.now.Load()
	id := t.routeOf(bucket)
	i := slices.IndexFunc(t.routes, func(r Route) bool { return r.ID == id })
	if i < 0 {
		return Route{}, false
	}
	return t.routes[i], true
}

// Match says which route a message would have, and which time zones its recipient;
// false: none, and any SIM may send it. It stores nothing.
func (s *Store) Match(to string, c Class, key string) (r Route, zone string, ok bool) {
	p := s.placeOf(to, c, key)
	i := slices.IndexFunc(p.on.routes, func(r Route) bool { return r.ID == p.route })
	if i < 0 {
		return Route{}, p.zone, false
	}
	return p.on.routes[i], p.zone, true
}

// OperatorOf is the operator that the range of an E.164 number was given to, "" when
// that is not known. A number that was ported since has another by now.
func OperatorOf(number string) string { return operatorOf(number) }

// loadRoutes is New's part.
func (s *Store) loadRoutes(ctx context.Context) error {
	s.routes.zones = newZones(time.Local)
	list, err := readRoutes(ctx, s.db.Read(), s.log)
	if err != nil {
		return err
	}
	if err := s.pruneBuckets(ctx); err != nil {
		return err
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, route, zone FROM bucket ORDER BY id`)
	if err != nil {
		return fmt.Errorf("read buckets: %w", err)
	}
	defer rows.Close()
	var buckets []Bucket
	for rows.Next() {
		var b Bucket
		torn, err := Scanned(rows, &b.ID, &b.Route, &b.Zone)
		if err != nil {
			return fmt.Errorf("read buckets: %w", err)
		}
		if torn { // its messages are moved to another
			s.routes.pending.Store(true)
			continue
		}
		buckets = append(buckets, b)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read buckets: %w", err)
	}
	if !slices.ContainsFunc(buckets, func(b Bucket) bool { return b.ID == 0 }) {
		buckets = append(buckets, Bucket{})
	}
	s.routes.now.Store(newRouting(1, list, buckets))
	return nil
}

// fewBuckets of deleted routes do no harm: every claim looks into each.
const fewBuckets = 16

// pruneBuckets deletes the buckets of deleted routes in which nothing waits any more,
// once there are many. It is for New, when nothing else is done: it looks at all that
// is not at its end.
func (s *Store) pruneBuckets(ctx context.Context) error {
	const gone = `FROM bucket WHERE id <> 0 AND route <> 0 AND route NOT IN (SELECT id FROM route)`
	var n int
	if err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) `+gone).Scan(&n); err != nil || n <= fewBuckets {
		return err
	}
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DELETE ` + gone + ` AND id NOT IN (SELECT bucket FROM message INDEXED BY message_state
			WHERE state IN ('scheduled','held','queued','sending','uncertain'))`)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete the buckets of deleted routes: %w", err)
	}
	return nil
}
