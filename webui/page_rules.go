package webui

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/queue"
	"recado/webui/auth"
)

// rulesPage is what rules.html shows: which SIM sends what, and when nothing is
// sent.
type rulesPage struct {
	Open   string // the part whose form was refused
	Stale  string // the part that somebody else has changed: its form shows what holds
	Errors []string

	Routes                []routeRow
	Quiet                 quietForm
	Classes               []string
	Canary                CanarySettings
	Every                 string // hours, as entered
	Hours                 []string
	Balance               BalanceSettings
	QuietSeen, CanarySeen string // what the forms were filled with

	One *routeForm // the route that is edited, or added
}

// routeRow is a route in the list.
type routeRow struct {
	ID          int64
	N           int // its place, from 1
	Name        string
	Enabled     bool
	First, Last bool
	When, Then  string // in words
}

// quietForm is the form of the quiet hours.
type quietForm struct {
	Classes  []string
	From, To string
	Sunday   bool
	Holidays string
	Chosen   bool
}

// Has says whether a class is ticked.
func (q quietForm) Has(class string) bool { return slices.Contains(q.Classes, class) }

// routeForm is the form of one route.
type routeForm struct {
	ID                             int64 // 0: a new one
	Name                           string
	Enabled                        bool
	Prefixes, Countries, Operators string
	Classes, Keys                  []string
	SIMs                           []routeSIMRow
	Fallback                       string
	Apps                           []appRow
	Seen                           string // what it was filled with
}

type routeSIMRow struct {
	ICCID, Name string
	On          bool
	Weight      int
}

// appRow is who may ask for messages: a program or a person.
type appRow struct {
	ID, Name string
	On       bool
}

// HasClass says whether a class is ticked.
func (f routeForm) HasClass(class string) bool { return slices.Contains(f.Classes, class) }

// routeWords say when a route holds, and which SIMs it names.
func (s *Server) routeWords(l *locale, r queue.Route, names func(string) string, apps map[string]string) (cond, then string) {
	var parts []string
	add := func(key string, list []string) {
		if len(list) > 0 {
			parts = append(parts, l.t(key, "List", strings.Join(list, ", ")))
		}
	}
	add("routes.if_prefix", r.Prefixes)
	add("routes.if_country", r.Countries)
	add("routes.if_operator", r.Operators)
	var kinds, keys []string
	for _, c := range r.Classes {
		kinds = append(kinds, l.t("class."+string(c)))
	}
	add("routes.if_class", kinds)
	for _, k := range r.Keys {
		name := apps[k]
		if name == "" {
			name = k
		}
		keys = append(keys, name)
	}
	add("routes.if_key", keys)
	cond = l.t("routes.if_all")
	if len(parts) > 0 {
		cond = strings.Join(parts, " · ")
	}
	var sims []string
	uneven := slices.ContainsFunc(r.SIMs, func(one queue.RouteSIM) bool { return one.Weight != r.SIMs[0].Weight })
	for _, one := range r.SIMs {
		name := names(one.ICCID)
		if uneven {
			name += " (" + strconv.Itoa(one.Weight) + ")"
		}
		sims = append(sims, name)
	}
	then = strings.Join(sims, ", ") + " · " + l.t("routes.then_"+r.Fallback)
	return cond, then
}

// askers are those who may ask for messages, by id, and a row for each that is
// there or is ticked: a condition that its form does not show would be lost with it,
// and a route without conditions takes everything.
func (s *Server) askers(ctx context.Context, l *locale, ticked []string) (map[string]string, []appRow, error) {
	all, err := s.auth.Askers(ctx)
	if err != nil {
		return nil, nil, err
	}
	names, rows := map[string]string{}, []appRow{}
	for _, a := range all {
		name := a.Name
		if a.Kind == auth.KindPerson {
			name = l.t("routes.person", "Name", name)
		}
		if a.Gone {
			name += " (" + l.t("routes.gone") + ")"
		}
		names[a.ID] = name
		if on := slices.Contains(ticked, a.ID); on || !a.Gone {
			rows = append(rows, appRow{a.ID, name, on})
		}
	}
	for _, id := range ticked {
		if names[id] == "" {
			rows = append(rows, appRow{id, id, true})
		}
	}
	return names, rows, nil
}

func (s *Server) showRules(c echo.Context) error { return s.rules(c, http.StatusOK, rulesPage{}) }

// rules shows the page; p has what is special this time.
func (s *Server) rules(c echo.Context, status int, p rulesPage) error {
	ctx, l := c.Request().Context(), s.words(c)
	routes, err := s.store.Routes(ctx)
	if err != nil {
		return err
	}
	names, err := s.simNames(c)
	if err != nil {
		return err
	}
	apps, _, err := s.askers(ctx, l, nil)
	if err != nil {
		return err
	}
	for i, r := range routes {
		row := routeRow{ID: r.ID, N: i + 1, Name: r.Name, Enabled: r.Enabled, First: i == 0, Last: i == len(routes)-1}
		row.When, row.Then = s.routeWords(l, r, names, apps)
		p.Routes = append(p.Routes, row)
	}
	q := s.quietHours()
	if p.Open != "quiet" {
		p.Quiet = quietForm{Classes: q.Classes, From: q.From, To: q.To, Sunday: q.Sunday, Holidays: strings.Join(q.Holidays, ", ")}
	}
	p.Quiet.Chosen, p.Classes = q.Chosen, classes
	set, err := s.store.CanarySettings(ctx)
	if err != nil {
		return err
	}
	if p.Open != "canary" {
		p.Canary, p.Every = CanarySettings{set.EveryHours, set.RealSIMs, set.Suspicion}, strconv.Itoa(set.EveryHours)
	}
	p.Balance, p.QuietSeen, p.CanarySeen = s.balanceSettings(), seen(q), seen(set)
	v := s.view(c, "lines", p)
	v.Path = "/rules"
	return s.write(c, status, "rules", "", v)
}

func (s *Server) showNewRoute(c echo.Context) error {
	return s.routePage(c, http.StatusOK, routeForm{Enabled: true, Fallback: queue.FallbackAny}, nil)
}

// thisRoute is the route in the address.
func (s *Server) thisRoute(c echo.Context) (queue.Route, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return queue.Route{}, queue.ErrNoRoute
	}
	return s.store.Route(c.Request().Context(), id)
}

func (s *Server) showRoute(c echo.Context) error {
	r, err := s.thisRoute(c)
	if err != nil {
		return err
	}
	return s.routePage(c, http.StatusOK, formOfRoute(r), nil)
}

// seenRoute names what a route's form is filled with: not its place.
func seenRoute(r queue.Route) string {
	r.Position = 0
	return seen(r)
}

func formOfRoute(r queue.Route) routeForm {
	f := routeForm{ID: r.ID, Name: r.Name, Enabled: r.Enabled, Prefixes: strings.Join(r.Prefixes, ", "), Countries: strings.Join(r.Countries, ", "),
		Operators: strings.Join(r.Operators, ", "), Classes: texts(r.Classes), Keys: r.Keys, Fallback: r.Fallback, Seen: seenRoute(r)}
	for _, one := range r.SIMs {
		f.SIMs = append(f.SIMs, routeSIMRow{ICCID: one.ICCID, On: true, Weight: one.Weight})
	}
	return f
}

// routePage shows one route; SIMs of f are those that are ticked.
func (s *Server) routePage(c echo.Context, status int, f routeForm, errs []string) error {
	ctx := c.Request().Context()
	sims, err := s.pool.SIMs(ctx)
	if err != nil {
		return err
	}
	ticked := f.SIMs
	f.SIMs = nil
	for _, sim := range sims {
		row := routeSIMRow{ICCID: sim.ICCID, Name: simLabel(sim), Weight: 1}
		if i := slices.IndexFunc(ticked, func(one routeSIMRow) bool { return one.ICCID == sim.ICCID }); i >= 0 {
			row.On, row.Weight = ticked[i].On, ticked[i].Weight
		}
		f.SIMs = append(f.SIMs, row)
	}
	for _, one := range ticked { // nobody knows it any more
		if !slices.ContainsFunc(f.SIMs, func(row routeSIMRow) bool { return row.ICCID == one.ICCID }) {
			one.Name = "SIM …" + tail(one.ICCID)
			f.SIMs = append(f.SIMs, one)
		}
	}
	if _, f.Apps, err = s.askers(ctx, s.words(c), f.Keys); err != nil {
		return err
	}
	p := rulesPage{One: &f, Errors: errs, Classes: classes}
	v := s.view(c, "lines", p)
	v.Path = "/rules/new"
	if f.ID != 0 {
		v.Path = routeAddress(f.ID)
	}
	return s.write(c, status, "rules", "", v)
}

func routeAddress(id int64) string { return "/rules/" + strconv.FormatInt(id, 10) }

// enteredRoute is what a form says.
func enteredRoute(c echo.Context) (routeForm, RouteRequest) {
	post := c.Request().PostForm
	f := routeForm{Name: strings.TrimSpace(c.FormValue("name")), Enabled: c.FormValue("enabled") != "", Prefixes: c.FormValue("prefixes"),
		Countries: c.FormValue("countries"), Operators: c.FormValue("operators"), Classes: post["class"], Keys: post["key"], Fallback: c.FormValue("fallback"), Seen: c.FormValue("seen")}
	sims := []RouteSIM{}
	for _, iccid := range post["sim"] {
		weight, err := strconv.Atoi(c.FormValue("weight_" + iccid))
		if err != nil {
			weight = -1 // which is refused
		}
		f.SIMs = append(f.SIMs, routeSIMRow{ICCID: iccid, On: true, Weight: weight})
		sims = append(sims, RouteSIM{SIM: iccid, Weight: weight})
	}
	list := func(text string) *[]string { l := commas(text); return &l }
	classes, keys := append([]string{}, f.Classes...), append([]string{}, f.Keys...)
	return f, RouteRequest{Name: &f.Name, Enabled: &f.Enabled, Prefixes: list(f.Prefixes), Countries: list(f.Countries), Operators: list(f.Operators),
		Classes: &classes, Keys: &keys, SIMs: &sims, Fallback: &f.Fallback}
}

func (s *Server) addRoutePage(c echo.Context) error {
	f, b := enteredRoute(c)
	_, err := s.addRoute(c.Request().Context(), b)
	return s.routeDone(c, f, err)
}

func (s *Server) editRoutePage(c echo.Context) error {
	r, err := s.thisRoute(c)
	if err != nil {
		return err
	}
	f, b := enteredRoute(c)
	f.ID = r.ID
	if r, err = s.saveRoute(c, f, b); errors.Is(err, errStale) {
		return s.routePage(c, staleStatus, formOfRoute(r), []string{s.words(c).t("form.stale")})
	}
	return s.routeDone(c, f, err)
}

// saveRoute changes the route in the address to what its form says, unless somebody
// else has changed it: errStale, with the route as it is.
func (s *Server) saveRoute(c echo.Context, f routeForm, b RouteRequest) (queue.Route, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	r, err := s.thisRoute(c)
	if err != nil {
		return r, err
	}
	if stale(c, seenRoute(r)) {
		return r, errStale
	}
	// What nobody touched stays as it is: a name with a comma in it is one.
	for _, field := range []struct {
		text string
		was  []string
		into **[]string
	}{{f.Prefixes, r.Prefixes, &b.Prefixes}, {f.Countries, r.Countries, &b.Countries}, {f.Operators, r.Operators, &b.Operators}} {
		if field.text == strings.Join(field.was, ", ") {
			*field.into = nil
		}
	}
	return s.changeRoute(c.Request().Context(), r.ID, b)
}

// routeDone leads on, or back to the form.
func (s *Server) routeDone(c echo.Context, f routeForm, err error) error {
	if lines, ok := s.explainRoute(c, err); ok {
		return s.routePage(c, http.StatusUnprocessableEntity, f, lines)
	}
	if err != nil {
		return err
	}
	return s.done(c, "/rules", "route", 0)
}

// explainRoute says what is wrong with a route.
func (s *Server) explainRoute(c echo.Context, err error) ([]string, bool) {
	l := s.words(c)
	if bad, is := errors.AsType[*queue.Invalid](err); is {
		words := l.tor("invalid_route."+bad.Field, bad.Detail)
		if text, ok := bad.Value.(string); ok && text != "" {
			words += " «" + text + "»"
		}
		return []string{words}, true
	}
	return s.explain(c, err)
}

func (s *Server) moveRoutePage(c echo.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	r, err := s.thisRoute(c)
	if err != nil {
		return err
	}
	to := r.Position + 1
	if c.FormValue("to") == "up" {
		to = max(1, r.Position-1)
	}
	if _, err := s.changeRoute(c.Request().Context(), r.ID, RouteRequest{Position: &to}); err != nil {
		return err
	}
	return s.done(c, "/rules", "route", 0)
}

func (s *Server) dropRoutePage(c echo.Context) error {
	r, err := s.thisRoute(c)
	if err != nil {
		return err
	}
	if err := s.dropRoute(c.Request().Context(), r.ID); err != nil {
		return err
	}
	return s.done(c, "/rules", "route_gone", 0)
}

func (s *Server) setQuietPage(c echo.Context) error {
	f := quietForm{Classes: c.Request().PostForm["class"], From: c.FormValue("from"), To: c.FormValue("to"), Sunday: c.FormValue("sunday") != "", Holidays: c.FormValue("holidays")}
	days := []string{}
	for _, day := range commas(f.Holidays) {
		days = append(days, strings.TrimSpace(day))
	}
	classes := append([]string{}, f.Classes...)
	s.changing.Lock()
	defer s.changing.Unlock()
	if stale(c, seen(s.quietHours())) {
		return s.rules(c, staleStatus, rulesPage{Stale: "quiet", Errors: []string{s.words(c).t("form.stale")}})
	}
	err := s.setQuiet(c.Request().Context(), QuietHoursPatch{Classes: &classes, From: &f.From, To: &f.To, Sunday: &f.Sunday, Holidays: &days})
	if p, is := errors.AsType[*Problem](err); is && len(p.Errors) > 0 {
		_, field, _ := strings.Cut(p.Errors[0].Location, ".")
		return s.rules(c, http.StatusUnprocessableEntity, rulesPage{Open: "quiet", Quiet: f, Errors: []string{s.words(c).tor("invalid_quiet."+field, p.Errors[0].Message)}})
	}
	if err != nil {
		return err
	}
	return s.done(c, "/rules#quiet", "saved", 0)
}

func (s *Server) setCanaryPage(c echo.Context) error {
	set := CanarySettings{RealSIMs: c.FormValue("real") != "", Suspicion: c.FormValue("suspicion") != ""}
	every := strings.TrimSpace(c.FormValue("every"))
	n, ok := whole(every)
	set.EveryHours = n
	if !ok {
		n = -1
	}
	ctx := c.Request().Context()
	s.changing.Lock()
	defer s.changing.Unlock()
	now, err := s.store.CanarySettings(ctx)
	if err != nil {
		return err
	}
	if stale(c, seen(now)) {
		return s.rules(c, staleStatus, rulesPage{Stale: "canary", Errors: []string{s.words(c).t("form.stale")}})
	}
	err = s.store.SetCanarySettings(ctx, queue.CanarySettings{EveryHours: n, RealSIMs: set.RealSIMs, Suspicion: set.Suspicion}, s.person(c).String())
	if _, is := errors.AsType[*queue.Invalid](err); is {
		return s.rules(c, http.StatusUnprocessableEntity, rulesPage{Open: "canary", Canary: set, Every: every, Errors: []string{s.words(c).t("canary.wrong_every")}})
	}
	if err != nil {
		return err
	}
	return s.done(c, "/rules#canary", "saved", 0)
}
