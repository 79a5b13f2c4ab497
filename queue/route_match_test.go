package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// sees makes SIMs known, and gives their ICCIDs.
func (b *box) sees(n int) (list []string) {
	b.t.Helper()
	for i := range n {
		l := line(i + 1)
		require.NoError(b.t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID, IMSI: l.IMSI}))
		list = append(list, l.ICCID)
	}
	return list
}

// route adds one to SIMs.
func (b *box) route(r Route, sims ...string) Route {
	b.t.Helper()
	r.Enabled = true
	for _, s := range sims {
		r.SIMs = append(r.SIMs, RouteSIM{ICCID: s})
	}
	r, err := b.AddRoute(context.Background(), r)
	require.NoError(b.t, err)
	return r
}

func TestTheFirstRouteThatMatchesHolds(t *testing.T) {
	b := newBox(t)
	b.Numbers().Set("ES", true)
	sims := b.sees(2)
	add := func(r Route) { b.route(r, sims[0]) }
	add(Route{Name: "codes abroad", Countries: []string{"us", "PT"}, Classes: []Class{OTP}})
	add(Route{Name: "Lisbon", Prefixes: []string{"+351 21"}})
	add(Route{Name: "Portugal", Countries: []string{"PT"}})
	add(Route{Name: "Canada", Countries: []string{"CA"}})
	add(Route{Name: "voting", Prefixes: []string{"7373"}})
	add(Route{Name: "the shop's newsletter", Classes: []Class{Bulk}, Keys: []string{"shop"}})
	add(Route{Name: "Digi", Operators: []string{"digi"}})
	add(Route{Name: "MÁSMÓVIL or Yoigo", Operators: []string{"Mas Movil", "YOIGO"}})
	add(Route{Name: "Orange's bulk", Operators: []string{"Orange"}, Classes: []Class{Bulk}})
	add(Route{Name: "short codes and home", Countries: []string{"ES"}, Classes: []Class{Alert}})

	for _, c := range []struct {
		to    string
		class Class
		key   string
		want  string // "" none
	}{
		{"+12125551234", OTP, "", "codes abroad"},
		{"+16475551234", OTP, "", "Canada"}, // +1 too, but not the US
		{"+16475551234", Normal, "", "Canada"},
		{"+12125551234", Normal, "", ""},
		{"+351912345678", OTP, "", "codes abroad"},
		{"+351212345678", OTP, "", "codes abroad"}, // before Lisbon
		{"+351212345678", Normal, "", "Lisbon"},
		{"+351912345678", Normal, "", "Portugal"},
		{"7373", Normal, "", "voting"},
		{"+17373555123", Normal, "", ""}, // 7373 is no beginning of it
		{"2345", Alert, "", "short codes and home"},
		{"2345", Normal, "", ""},
		{"+34600111222", Alert, "", "short codes and home"},
		{"+34600111222", Bulk, "shop", "the shop's newsletter"},
		{"+34600111222", Bulk, "else", ""},
		{"+34600111222", Normal, "shop", ""},
		{"+34642000000", Normal, "", "Digi"}, // DigiMobil
		{"+34622000000", Normal, "", "MÁSMÓVIL or Yoigo"},
		{"+34601600000", Bulk, "", "Orange's bulk"},
		{"+34601600000", Normal, "", ""},
		{"+88213123456", Normal, "", ""}, // no country's
	} {
		r, _, ok := b.Match(c.to, c.class, c.key)
		require.Equal(t, c.want, r.Name, "%s %s %q; its operator is %q", c.to, c.class, c.key, OperatorOf(c.to))
		require.Equal(t, c.want != "", ok)
	}
}

func TestOrderAndSwitchOfRoutes(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	first := b.route(Route{Name: "first"}, sims[0])
	second := b.route(Route{Name: "second"}, sims[1])
	holds := func() string {
		r, _, _ := b.Match("+34600111222", Normal, "")
		return r.Name
	}
	require.Equal(t, "first", holds())
	require.NoError(t, b.MoveRoute(ctx, second.ID, 1))
	require.Equal(t, "second", holds())
	list, err := b.Routes(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, []int{list[0].Position, list[1].Position})
	require.Equal(t, second.ID, list[0].ID)

	second = list[0]
	second.Enabled = false
	_, err = b.UpdateRoute(ctx, second)
	require.NoError(t, err)
	require.Equal(t, "first", holds(), "one that is switched off matches nothing")
	third := b.route(Route{Name: "third", Position: 1}, sims[1])
	require.Equal(t, 1, third.Position)
	require.Equal(t, "third", holds())
	require.NoError(t, b.DeleteRoute(ctx, third.ID))
	require.Equal(t, "first", holds())
	require.NoError(t, b.DeleteRoute(ctx, first.ID))
	_, _, ok := b.Match("+34600111222", Normal, "")
	require.False(t, ok)
	require.ErrorIs(t, b.DeleteRoute(ctx, first.ID), ErrNoRoute)
	require.ErrorIs(t, b.MoveRoute(ctx, first.ID, 1), ErrNoRoute)
	_, err = b.UpdateRoute(ctx, first)
	require.ErrorIs(t, err, ErrNoRoute)
	_, err = b.Route(ctx, first.ID)
	require.ErrorIs(t, err, ErrNoRoute)

	again := b.route(Route{Name: "again"}, sims[0])
	require.NotContains(t, []int64{first.ID, second.ID, third.ID}, again.ID, "an id is not given twice: messages may still have the old one's bucket")
	b.restart()
	list, err = b.Routes(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"second", "again"}, []string{list[0].Name, list[1].Name})
	require.Equal(t, again, list[1])
}

func TestARouteThatCannotBeIsRefused(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(1)
	b.route(Route{Name: "There"}, sims[0])
	good := func() Route { return Route{Name: "r", SIMs: []RouteSIM{{ICCID: sims[0]}}} }
	for _, c := range []struct {
		field, says string
		with        func(*Route)
	}{
		{"name", "give the route a name", func(r *Route) { r.Name = "  " }},
		{"name", "at most 64", func(r *Route) { r.Name = strings.Repeat("ñ", 65) }},
		{"name", "another route has this name", func(r *Route) { r.Name = "there" }},
		{"prefixes", "such as +346", func(r *Route) { r.Prefixes = []string{"6x"} }},
		{"prefixes", "at least one digit", func(r *Route) { r.Prefixes = []string{"+"} }},
		{"prefixes", "instead of 00", func(r *Route) { r.Prefixes = []string{"0034"} }},
		{"prefixes", "short code", func(r *Route) { r.Prefixes = []string{"6001112"} }},
		{"prefixes", "15 digits", func(r *Route) { r.Prefixes = []string{"+1234567890123456"} }},
		{"prefixes", "at most 1000", func(r *Route) { r.Prefixes = make([]string, 1001) }},
		{"countries", "ISO 3166", func(r *Route) { r.Countries = []string{"Spain"} }},
		{"countries", "ISO 3166", func(r *Route) { r.Countries = []string{"XX"} }},
		{"operators", "such as Movistar", func(r *Route) { r.Operators = []string{" - "} }},
		{"classes", "otp, alert, normal, bulk", func(r *Route) { r.Classes = []Class{"urgent"} }},
		{"keys", "by its id", func(r *Route) { r.Keys = []string{""} }},
		{"sims", "at least one SIM", func(r *Route) { r.SIMs = nil }},
		{"sims", "ICCID", func(r *Route) { r.SIMs = []RouteSIM{{}} }},
		{"sims", "named twice", func(r *Route) { r.SIMs = append(r.SIMs, r.SIMs[0]) }},
		{"sims", "1 to 100", func(r *Route) { r.SIMs[0].Weight = 101 }},
		{"sims", "1 to 100", func(r *Route) { r.SIMs[0].Weight = -1 }},
		{"sims", "ever seen", func(r *Route) { r.SIMs[0].ICCID = "8934999" }},
		{"fallback", "any", func(r *Route) { r.Fallback = "none" }},
	} {
		r := good()
		c.with(&r)
		_, err := b.AddRoute(ctx, r)
		bad, ok := errors.AsType[*Invalid](err)
		require.True(t, ok, "%s: %v", c.says, err)
		require.Equal(t, c.field, bad.Field)
		require.Contains(t, bad.Detail, c.says)
	}
	bad, ok := errors.AsType[*Invalid](b.MoveRoute(ctx, 1, 0))
	require.True(t, ok)
	require.Equal(t, "position", bad.Field)
	list, err := b.Routes(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)

	r := good()
	r.Prefixes, r.Countries, r.Operators = []string{" +34 (6) ", "+346"}, []string{"es", "ES"}, []string{" Mas   Movil"}
	r.Classes = []Class{Bulk, OTP, Bulk}
	r, err = b.AddRoute(ctx, r)
	require.NoError(t, err)
	require.Equal(t, []string{"+346"}, r.Prefixes)
	require.Equal(t, []string{"ES"}, r.Countries)
	require.Equal(t, []string{"Mas Movil"}, r.Operators)
	require.Equal(t, []Class{OTP, Bulk}, r.Classes)
	require.Equal(t, FallbackAny, r.Fallback)
	require.Equal(t, []RouteSIM{{ICCID: sims[0], Weight: 1}}, r.SIMs)
}

// What is damaged of a route does not let its messages go anywhere by its rule, and
// keeps nothing else from being read.
func TestADamagedRouteIsSwitchedOff(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	b.route(Route{Name: "whole", Countries: []string{"ES"}}, sims...)
	bad := b.route(Route{Name: "torn", Position: 1}, sims[0])
	require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE route SET classes = '["bu' WHERE id = ?`, bad.ID)
		return err
	}))
	b.restart()
	list, err := b.Routes(context.Background())
	require.NoError(t, err)
	require.Equal(t, []string{"torn", "whole"}, []string{list[0].Name, list[1].Name})
	require.False(t, list[0].Enabled)
	r, _, _ := b.Match("+34600111222", Bulk, "")
	require.Equal(t, "whole", r.Name)
	list[0].Enabled, list[0].Classes = true, nil
	_, err = b.UpdateRoute(context.Background(), list[0])
	require.NoError(t, err)
	b.restart()
	r, _, _ = b.Match("+34600111222", Bulk, "")
	require.Equal(t, "torn", r.Name)
}

func TestOnRoutesIsToldBeforeTheAnswer(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	var routes []Route
	var buckets []Bucket
	b.OnRoutes(func(r []Route, k []Bucket) { routes, buckets = r, k })
	require.Empty(t, routes)
	require.Equal(t, []Bucket{{}}, buckets)
	r := b.route(Route{Name: "r", Classes: []Class{Bulk}, Fallback: FallbackWait}, sims[0])
	require.Equal(t, []Route{r}, routes)
	b.submit(Request{Class: Bulk})
	require.Equal(t, b.Buckets(), buckets)
	require.True(t, slices.ContainsFunc(buckets, func(k Bucket) bool { return k.Route == r.ID && k.Zone == "Europe/Madrid" }), "%v", buckets)
	r.Enabled = false
	_, err := b.UpdateRoute(context.Background(), r)
	require.NoError(t, err)
	require.False(t, routes[0].Enabled)
	require.False(t, slices.ContainsFunc(buckets, func(k Bucket) bool { return k.Route != 0 }), "a bucket of a route that is off is nobody's")
}
