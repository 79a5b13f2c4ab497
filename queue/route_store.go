package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"recado/queue/sqlite"
)

// Routes in their order. It reads nothing from the disk.
func (s *Store) Routes(context.Context) ([]Route, error) {
	return slices.Clone(s.routes.now.Load().routes), nil
}

// Route with an id; ErrNoRoute.
func (s *Store) Route(_ context.Context, id int64) (Route, error) {
	list := s.routes.now.Load().routes
	if i := slices.IndexFunc(list, func(r Route) bool { return r.ID == id }); i >= 0 {
		return list[i], nil
	}
	return Route{}, ErrNoRoute
}

// AddRoute adds a route at its Position, or, when that is 0 or too high, after the
// others. It holds from its return on, also for messages that wait already and have
// not begun. It errs with *Invalid.
func (s *Store) AddRoute(ctx context.Context, r Route) (Route, error) {
	r, err := r.tidy()
	if err != nil {
		return Route{}, err
	}
	err = s.changeRoutes(ctx, func(tx *sqlite.Tx, list []Route) ([]Route, error) {
		if len(list) >= maxRoutes {
			return nil, &Invalid{"name", fmt.Sprintf("there are %d routes already: delete one, or put its conditions into another", maxRoutes), nil}
		}
		if err := unlike(list, r); err != nil {
			return nil, err
		}
		// Never the number of another: messages may still have its bucket.
		err := tx.QueryRow(`INSERT INTO floor (name, value)
			SELECT 'route', coalesce(max(m), 0) + 1 FROM (SELECT max(id) AS m FROM route UNION ALL SELECT max(route) FROM bucket) WHERE true
			ON CONFLICT (name) DO UPDATE SET value = max(excluded.value, value + 1) RETURNING value`).Scan(&r.ID)
		if err != nil {
			return nil, err
		}
		r.CreatedAt = at(ms(s.clock.Now()))
		at := len(list)
		if r.Position > 0 {
			at = min(r.Position-1, at)
		}
		return slices.Insert(list, at, r), nil
	})
	if err != nil {
		return Route{}, wrapRoute("add route", err)
	}
	return s.Route(ctx, r.ID)
}

// UpdateRoute replaces the route with r.ID; with Position 0 it stays where it is.
// It holds as AddRoute's does. It errs with ErrNoRoute or *Invalid.
func (s *Store) UpdateRoute(ctx context.Context, r Route) (Route, error) {
	r, err := r.tidy()
	if err != nil {
		return Route{}, err
	}
	err = s.changeRoutes(ctx, func(_ *sqlite.Tx, list []Route) ([]Route, error) {
		i := slices.IndexFunc(list, func(o Route) bool { return o.ID == r.ID })
		if i < 0 {
			return nil, ErrNoRoute
		}
		if err := unlike(list, r); err != nil {
			return nil, err
		}
		r.CreatedAt = list[i].CreatedAt
		at := i
		if r.Position > 0 {
			at = min(r.Position, len(list)) - 1
		}
		return slices.Insert(slices.Delete(list, i, i+1), at, r), nil
	})
	if err != nil {
		return Route{}, wrapRoute("change route", err)
	}
	return s.Route(ctx, r.ID)
}

// MoveRoute gives a route another position, from 1; too high a one is the last. It
// errs with ErrNoRoute or *Invalid.
func (s *Store) MoveRoute(ctx context.Context, id int64, position int) error {
	if position < 1 {
		return &Invalid{"position", "is from 1, the first", position}
	}
	r, err := s.Route(ctx, id)
	if err == nil {
		err = s.changeRoutes(ctx, func(_ *sqlite.Tx, list []Route) ([]Route, error) {
			i := slices.IndexFunc(list, func(o Route) bool { return o.ID == r.ID })
			if i < 0 {
				return nil, ErrNoRoute
			}
			r := list[i]
			return slices.Insert(slices.Delete(list, i, i+1), min(position, len(list))-1, r), nil
		})
	}
	return wrapRoute("move route", err)
}

// DeleteRoute deletes a route; its messages that have not begun go by the routes
// that are left. It errs with ErrNoRoute.
func (s *Store) DeleteRoute(ctx context.Context, id int64) error {
	return wrapRoute("delete route", s.changeRoutes(ctx, func(_ *sqlite.Tx, list []Route) ([]Route, error) {
		i := slices.IndexFunc(list, func(o Route) bool { return o.ID == id })
		if i < 0 {
			return nil, ErrNoRoute
		}
		return slices.Delete(list, i, i+1), nil
	}))
}

// wrapRoute says what was attempted, but for what the caller is to read as it is.
func wrapRoute(what string, err error) error {
	if _, bad := errors.AsType[*Invalid](err); err == nil || bad || errors.Is(err, ErrNoRoute) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// unlike refuses a name that another route has.
func unlike(list []Route, r Route) error {
	for _, o := range list {
		if o.ID != r.ID && fold(o.Name) == fold(r.Name) {
			return &Invalid{"name", "another route has this name: choose a different one", r.Name}
		}
	}
	return nil
}

// changeRoutes puts the list that change makes of the present one into its place.
// When it returns, the pool has been told, nothing prefers a SIM that its route does
// not allow, and the move of what waits has begun.
func (s *Store) changeRoutes(ctx context.Context, change func(*sqlite.Tx, []Route) ([]Route, error)) error {
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		was, err := readRoutesTx(tx, s.log)
		if err != nil {
			return err
		}
		list, err := change(tx, slices.Clone(was))
		if err != nil {
			return err
		}
		for i := range list {
			list[i].Position = i + 1
		}
		if err := knownSIMs(tx, was, list); err != nil {
			return err
		}
		if err := writeRoutes(tx, was, list); err != nil {
			return err
		}
		moves := !sameRules(was, list)
		if moves {
			if err := set(tx, settingMoving, newMove()); err != nil {
				return err
			}
		}
		tx.AfterCommit(func() {
			s.routes.replace(func(t *routing) *routing { return newRouting(t.gen+1, list, t.stored()) })
			if moves {
				s.routes.pending.Store(true)
			}
			s.readied()
		})
		return nil
	})
	if err != nil {
		return err
	}
	// By now whatever is submitted goes by the new routes; what was submitted in the
	// same commit may not have.
	return s.db.Write(ctx, sqlite.Ordinary, s.unstick)
}

// newMove is a move that has not begun, unlike any other.
func newMove() string { return moving{Rules: rand.Text()}.String() }

// sameRules says whether every message has the same route by both lists.
func sameRules(a, b []Route) bool {
	of := func(list []Route) string {
		var out []any
		for _, r := range list {
			if r.Enabled {
				out = append(out, r.ID, r.Prefixes, r.Countries, r.Operators, r.Classes, r.Keys)
			}
		}
		text, _ := json.Marshal(out) // strings and numbers: cannot err
		return string(text)
	}
	return of(a) == of(b)
}

// knownSIMs refuses SIMs that were never seen, unless the route had them before.
func knownSIMs(tx *sqlite.Tx, was, list []Route) error {
	for _, r := range list {
		i := slices.IndexFunc(was, func(o Route) bool { return o.ID == r.ID })
		for _, sim := range r.SIMs {
			if i >= 0 && was[i].Allows(sim.ICCID) {
				continue
			}
			var known bool
			if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM sim WHERE iccid = ?)`, sim.ICCID).Scan(&known); err != nil {
				return err
			}
			if !known {
				return &Invalid{"sims", "no SIM with this ICCID was ever seen here: put it into a modem first, or correct it", sim.ICCID}
			}
		}
	}
	return nil
}

// writeRoutes writes what differs.
func writeRoutes(tx *sqlite.Tx, was, list []Route) error {
	for _, r := range was {
		if slices.ContainsFunc(list, func(o Route) bool { return o.ID == r.ID }) {
			continue
		}
		if _, err := tx.Exec(`DELETE FROM route WHERE id = ?`, r.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM route_sim WHERE route = ?`, r.ID); err != nil {
			return err
		}
	}
	for _, r := range list {
		text := func(v any) string {
			b, _ := json.Marshal(v) // strings: cannot err
			return string(b)
		}
		if _, err := tx.Exec(`INSERT INTO route (id, position, name, enabled, prefixes, countries, operators, classes, keys, fallback, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET position = excluded.position, name = excluded.name, enabled = excluded.enabled, prefixes = excluded.prefixes,
				countries = excluded.countries, operators = excluded.operators, classes = excluded.classes, keys = excluded.keys, fallback = excluded.fallback`,
			r.ID, r.Position, r.Name, r.Enabled, text(r.Prefixes), text(r.Countries), text(r.Operators), text(r.Classes), text(r.Keys), r.Fallback, ms(r.CreatedAt)); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM route_sim WHERE route = ?`, r.ID); err != nil {
			return err
		}
		for _, sim := range r.SIMs {
			if _, err := tx.Exec(`INSERT INTO route_sim (route, iccid, weight) VALUES (?, ?, ?)`, r.ID, sim.ICCID, sim.Weight); err != nil {
				return err
			}
		}
	}
	return nil
}

// asker is a database or a transaction.
type asker interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

type txAsker struct{ tx *sqlite.Tx }

func (t txAsker) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.Query(query, args...)
}

func readRoutesTx(tx *sqlite.Tx, log *slog.Logger) ([]Route, error) {
	return readRoutes(context.Background(), txAsker{tx}, log)
}

// readRoutes reads all routes. One that cannot be read, because its row is damaged,
// is there without conditions and switched off: nobody can tell what it meant.
func readRoutes(ctx context.Context, from asker, log *slog.Logger) ([]Route, error) {
	rows, err := from.QueryContext(ctx, `SELECT id, name, enabled, prefixes, countries, operators, classes, keys, fallback, created_at FROM route ORDER BY position, id`)
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	defer rows.Close()
	list := []Route{}
	for rows.Next() {
		r := Route{Position: len(list) + 1, SIMs: []RouteSIM{}}
		var prefixes, countries, operators, classes, keys string
		var created int64
		torn, err := Scanned(rows, &r.ID, &r.Name, &r.Enabled, &prefixes, &countries, &operators, &classes, &keys, &r.Fallback, &created)
		if err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		r.CreatedAt = at(created)
		bad := errors.Join(json.Unmarshal([]byte(prefixes), &r.Prefixes), json.Unmarshal([]byte(countries), &r.Countries),
			json.Unmarshal([]byte(operators), &r.Operators), json.Unmarshal([]byte(classes), &r.Classes), json.Unmarshal([]byte(keys), &r.Keys))
		if torn || bad != nil {
			log.Error("a route's row is damaged; it is switched off: look at its conditions and switch it on again", "route", r.ID, "name", r.Name)
			r.Enabled = false
		}
		list = append(list, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	sims, err := from.QueryContext(ctx, `SELECT route, iccid, weight FROM route_sim ORDER BY route, iccid`)
	if err != nil {
		return nil, fmt.Errorf("read the routes' SIMs: %w", err)
	}
	defer sims.Close()
	for sims.Next() {
		var id int64
		var sim RouteSIM
		torn, err := Scanned(sims, &id, &sim.ICCID, &sim.Weight)
		if err != nil {
			return nil, fmt.Errorf("read the routes' SIMs: %w", err)
		}
		if i := slices.IndexFunc(list, func(r Route) bool { return r.ID == id }); i >= 0 && !torn {
			sim.Weight = min(max(sim.Weight, 1), maxWeight)
			list[i].SIMs = append(list[i].SIMs, sim)
		}
	}
	return list, sims.Err()
}
