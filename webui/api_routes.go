package webui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"recado/pool"
	"recado/queue"
)

// Route says which SIMs may send the messages that match it.
type Route struct {
	ID        int64      `json:"id"`
	Position  int        `json:"position" doc:"From 1: of all enabled routes the first that matches holds"`
	Name      string     `json:"name"`
	Enabled   bool       `json:"enabled"`
	Prefixes  []string   `json:"prefixes" nullable:"false" doc:"Beginnings of the recipient's number, with + and the country code; bare digits for short codes. Of each condition one value must match; an empty one matches everything"`
	Countries []string   `json:"countries" nullable:"false" doc:"ISO 3166 alpha-2"`
	Operators []string   `json:"operators" nullable:"false" doc:"Names of those that the number's range was given to, or their beginnings; a ported number has another by now"`
	Classes   []string   `json:"classes" nullable:"false"`
	Keys      []string   `json:"keys" nullable:"false" doc:"Ids of the API keys and people that ask"`
	SIMs      []RouteSIM `json:"sims" nullable:"false"`
	Fallback  string     `json:"fallback" enum:"any,wait" doc:"When none of its SIMs has been able to send for a minute: any other may, or the messages wait"`
	CreatedAt time.Time  `json:"created_at"`
}

// RouteSIM is a SIM of a route.
type RouteSIM struct {
	SIM    string `json:"sim" maxLength:"64" doc:"ICCID, or in a request its name"`
	Weight int    `json:"weight,omitempty" minimum:"1" maximum:"100" default:"1" doc:"Its share of the route's messages, among those that are able"`
}

func routeOf(r queue.Route) Route {
	out := Route{ID: r.ID, Position: r.Position, Name: r.Name, Enabled: r.Enabled, Prefixes: texts(r.Prefixes), Countries: texts(r.Countries),
		Operators: texts(r.Operators), Classes: texts(r.Classes), Keys: texts(r.Keys), SIMs: []RouteSIM{}, Fallback: r.Fallback, CreatedAt: r.CreatedAt.UTC()}
	for _, sim := range r.SIMs {
		out.SIMs = append(out.SIMs, RouteSIM{sim.ICCID, sim.Weight})
	}
	return out
}

// texts is never nil.
func texts[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, one := range list {
		out[i] = string(one)
	}
	return out
}

// RouteRequest is a route as somebody gives it.
type RouteRequest struct {
	Name      *string     `json:"name,omitempty" nullable:"false" maxLength:"64" doc:"Needed for a new one"`
	Position  *int        `json:"position,omitempty" nullable:"false" minimum:"1" doc:"From 1; a new one without it is the last"`
	Enabled   *bool       `json:"enabled,omitempty" nullable:"false" doc:"true for a new one"`
	Prefixes  *[]string   `json:"prefixes,omitempty" nullable:"false" example:"[\"+3469\"]"`
	Countries *[]string   `json:"countries,omitempty" nullable:"false" example:"[\"ES\"]"`
	Operators *[]string   `json:"operators,omitempty" nullable:"false" example:"[\"Movistar\"]"`
	Classes   *[]string   `json:"classes,omitempty" nullable:"false" enum:"otp,alert,normal,bulk"`
	Keys      *[]string   `json:"keys,omitempty" nullable:"false"`
	SIMs      *[]RouteSIM `json:"sims,omitempty" nullable:"false" doc:"At least one"`
	Fallback  *string     `json:"fallback,omitempty" nullable:"false" enum:"any,wait" doc:"any for a new one"`
}

// apply changes what is there.
func (s *Server) applyRoute(ctx context.Context, b RouteRequest, r *queue.Route) error {
	if b.Name != nil {
		r.Name = *b.Name
	}
	if b.Position != nil {
		r.Position = *b.Position
	}
	if b.Enabled != nil {
		r.Enabled = *b.Enabled
	}
	for _, l := range []struct {
		from *[]string
		into *[]string
	}{{b.Prefixes, &r.Prefixes}, {b.Countries, &r.Countries}, {b.Operators, &r.Operators}, {b.Keys, &r.Keys}} {
		if l.from != nil {
			*l.into = *l.from
		}
	}
	if b.Classes != nil {
		r.Classes = nil
		for _, c := range *b.Classes {
			r.Classes = append(r.Classes, queue.Class(c))
		}
	}
	if b.Fallback != nil {
		r.Fallback = *b.Fallback
	}
	if b.SIMs == nil {
		return nil
	}
	r.SIMs = nil
	for i, one := range *b.SIMs {
		sim, err := s.pool.SIM(ctx, one.SIM)
		if errors.Is(err, pool.ErrNoSIM) {
			return invalid("body.sims["+itoa(i)+"].sim", "there is no SIM with this ICCID or name; see GET /sims", one.SIM)
		}
		if err != nil {
			return err
		}
		r.SIMs = append(r.SIMs, queue.RouteSIM{ICCID: sim.ICCID, Weight: one.Weight})
	}
	return nil
}

// RouteList are the routes in their order.
type RouteList list[Route]

// RouteID is a route's place in a path.
type RouteID struct {
	ID int64 `path:"id" doc:"The route's id"`
}

type routeOut struct{ Body Route }

func (s *Server) listRoutes() *operation {
	type out struct{ Body RouteList }
	return op(operation{id: "list-routes", tag: "Routes", summary: "Which SIMs send what",
		description: "In their order, all of them. Of all enabled routes the first that matches a message holds; one that matches none may leave on any SIM. A message that was asked to leave on a certain SIM does, whatever its route."},
		func(ctx context.Context, _ *struct{}) (*out, error) {
			all, err := s.store.Routes(ctx)
			return &out{RouteList(listed(all, "", routeOf))}, err
		})
}

func (s *Server) getRoute() *operation {
	return op(operation{id: "get-route", tag: "Routes", summary: "One route"},
		func(ctx context.Context, in *RouteID) (*routeOut, error) {
			r, err := s.store.Route(ctx, in.ID)
			return &routeOut{routeOf(r)}, err
		})
}

func (s *Server) createRoute() *operation {
	return op(operation{id: "create-route", tag: "Routes", summary: "Add a route", status: http.StatusCreated,
		description: "It holds from the answer on, also for messages that wait already and have not begun."},
		func(ctx context.Context, in *struct{ Body RouteRequest }) (*routeOut, error) {
			r, err := s.addRoute(ctx, in.Body)
			return &routeOut{routeOf(r)}, err
		})
}

func (s *Server) addRoute(ctx context.Context, b RouteRequest) (queue.Route, error) {
	r := queue.Route{Enabled: true}
	if err := s.applyRoute(ctx, b, &r); err != nil {
		return r, err
	}
	r, err := s.store.AddRoute(ctx, r)
	if err == nil {
		s.audited(ctx, "route.add", strconv.FormatInt(r.ID, 10), r.Name)
	}
	return r, err
}

func (s *Server) patchRoute() *operation {
	return op(operation{id: "patch-route", tag: "Routes", summary: "Change a route, or its place",
		description: "What is absent stays; a list that is there replaces the one of before."},
		func(ctx context.Context, in *struct {
			RouteID
			Body RouteRequest
		}) (*routeOut, error) {
			s.changing.Lock()
			defer s.changing.Unlock()
			r, err := s.changeRoute(ctx, in.ID, in.Body)
			return &routeOut{routeOf(r)}, err
		})
}

// changeRoute changes what a request names; s.changing is held.
func (s *Server) changeRoute(ctx context.Context, id int64, b RouteRequest) (queue.Route, error) {
	r, err := s.store.Route(ctx, id)
	if err != nil {
		return r, err
	}
	if err := s.applyRoute(ctx, b, &r); err != nil {
		return r, err
	}
	if b.Position == nil {
		r.Position = 0 // where it is
	}
	if r, err = s.store.UpdateRoute(ctx, r); err == nil {
		s.audited(ctx, "route.change", strconv.FormatInt(id, 10), r.Name)
	}
	return r, err
}

func (s *Server) deleteRoute() *operation {
	return op(operation{id: "delete-route", tag: "Routes", summary: "Delete a route", status: http.StatusNoContent,
		description: "Its messages that have not begun go by the routes that are left."},
		func(ctx context.Context, in *RouteID) (*struct{}, error) { return nil, s.dropRoute(ctx, in.ID) })
}

func (s *Server) dropRoute(ctx context.Context, id int64) error {
	err := s.store.DeleteRoute(ctx, id)
	if err == nil {
		s.audited(ctx, "route.delete", strconv.FormatInt(id, 10), "")
	}
	return err
}

// routesOf are the routes as they are to be, so that these and no others name a SIM;
// s.changing is held.
func (s *Server) routesOf(ctx context.Context, iccid string, ids []int64) (changed []queue.Route, err error) {
	all, err := s.store.Routes(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(r queue.Route) bool { return r.ID == id }) {
			return nil, invalid("body.routes", "there is no route with this id; see GET /routes", id)
		}
	}
	for _, r := range all {
		wanted := slices.Contains(ids, r.ID)
		if wanted == r.Allows(iccid) {
			continue
		}
		r.SIMs = slices.DeleteFunc(slices.Clone(r.SIMs), func(one queue.RouteSIM) bool { return one.ICCID == iccid })
		if wanted {
			r.SIMs = append(r.SIMs, queue.RouteSIM{ICCID: iccid, Weight: 1})
		}
		if len(r.SIMs) == 0 {
			return nil, invalid("body.routes", fmt.Sprintf("it is the only SIM of the route %q: give that route another SIM first, or delete it", r.Name), r.ID)
		}
		r.Position = 0
		changed = append(changed, r)
	}
	return changed, nil
}

// commas splits what people write into one field.
func commas(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == '\n' || r == '\r' })
}
