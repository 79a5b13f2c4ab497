package webui

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/pool"
	"recado/queue"
	"recado/webui/auth"
)

// simPool is what a SIM's page has about what it may send, and when.
type simPool struct {
	Open   string // the part whose form was refused
	Errors []string
	Stale  bool // because somebody else has changed it

	Limits   []limitView
	Form     limitsForm
	Seen     string // what Form was filled with
	HourSeen string // and Hours
	Defaults bool   // nobody chose the limits
	Warming  string // what holds today, in words; "" once it has warmed up
	Hours    hoursForm
	Days     []string
	Rate     string // what holds of its pace, in words
	Routes   []routeRow
	Money    string // the balance in words; "" not known
	Low      string // the alarm's limit as a field shows it; "" the default
	Sign     string // of its currency
	Readings []readingView
	Asked    *readingView // the answer to the question just asked
	Canaries []canaryView
	Mute     string // why it is in quarantine, by canaries
}

// limitsForm is the form of the limits as it was entered.
type limitsForm struct {
	Rows          []limitRow
	Reserve       string
	ResetDay      string
	WarmUp, HasUp bool // HasUp: the box is shown
}

type limitRow struct{ Window, Segments, People string }

// hoursForm is the form of pace and send window.
type hoursForm struct {
	Pace     string // limits, none, own
	PerMin   string
	Always   bool
	From, To string
	Days     []string
}

// Has says whether a day is ticked.
func (h hoursForm) Has(day string) bool { return slices.Contains(h.Days, day) }

type readingView struct {
	At     time.Time
	Money  string
	Answer string
	Error  string
	Tone   string
}

func readingOf(l *locale, r queue.CreditReading) readingView {
	v := readingView{At: r.At, Answer: r.Answer, Tone: "ok"}
	if r.Known {
		v.Money = pool.Credit{SIMCredit: queue.SIMCredit{Known: true, Minor: r.Minor, Currency: r.Currency}}.Money().Text(l.code)
	} else {
		v.Tone, v.Error = "warn", l.tor("balance_error."+r.Error, r.Error)
	}
	return v
}

func amount(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// simPool gathers it; p has what is special this time.
func (s *Server) simPool(c echo.Context, sim pool.SIM, p simPool) (simPool, error) {
	ctx, l := c.Request().Context(), s.words(c)
	limits, err := s.pool.Limits(ctx, sim.ICCID)
	if err != nil && !errors.Is(err, queue.ErrNoSIM) {
		return p, err
	}
	p.Limits, p.Defaults, p.Seen = s.limitViews(c, limits), !limits.Chosen, seenLimits(limits)
	if limits.Warm > 0 {
		p.Warming = l.t("limits.warming", "Now", l.num(limits.Warm), "Full", l.num(limits.Full))
	}
	if p.Form.Rows == nil {
		for _, u := range setLimits(limits) {
			p.Form.Rows = append(p.Form.Rows, limitRow{string(u.Window), amount(u.MaxSegments), amount(u.MaxRecipients)})
		}
		p.Form.Reserve, p.Form.ResetDay, p.Form.WarmUp = strconv.Itoa(limits.ReservePercent), strconv.Itoa(limits.ResetDay), limits.Warm > 0
	}
	p.Form.HasUp = limits.Warm > 0
	p.Days, p.HourSeen = weekdays, seenHours(sim)
	if p.Hours.Pace == "" {
		p.Hours = hoursForm{Pace: "limits", Always: sim.Window.None(), From: "08:00", To: "21:00", Days: weekdays}
		switch {
		case sim.Pace < 0:
			p.Hours.Pace = "none"
		case sim.Pace > 0:
			p.Hours.Pace, p.Hours.PerMin = "own", strconv.Itoa(sim.Pace)
		}
		if w := windowOf(sim.Window); w != nil {
			p.Hours.From, p.Hours.To, p.Hours.Days = w.From, w.To, w.Days
		}
	}
	p.Rate = l.t("hours.rate_none")
	if sim.PerMinute > 0 {
		p.Rate = l.tn("hours.rate", sim.PerMinute)
	}
	routes, err := s.store.Routes(ctx)
	if err != nil {
		return p, err
	}
	for i, r := range routes {
		if r.Allows(sim.ICCID) {
			p.Routes = append(p.Routes, routeRow{ID: r.ID, N: i + 1, Name: r.Name, Enabled: r.Enabled})
		}
	}
	if sim.Credit.Known {
		p.Money = sim.Credit.Money().Text(l.code)
	}
	p.Sign = sim.Credit.Currency
	if p.Sign == "" {
		p.Sign = "EUR"
	}
	if p.Low == "" && sim.Credit.Low > 0 {
		p.Low = strconv.FormatFloat(float64(sim.Credit.Low)/100, 'f', 2, 64)
	} else if p.Low == "" && sim.Credit.Low < 0 {
		p.Low = "0"
	}
	readings, err := s.pool.CreditReadings(ctx, sim.ICCID, 5)
	if err != nil {
		return p, err
	}
	for _, r := range readings {
		p.Readings = append(p.Readings, readingOf(l, r))
	}
	if p.Canaries, err = s.canaryViews(c, sim.ICCID, 6); err != nil {
		return p, err
	}
	if q, is, err := s.pool.Quarantine(ctx, sim.ICCID); err == nil && is {
		p.Mute = sentence(q.In(l.code))
	}
	return p, nil
}

// again shows a SIM's page with what is wrong in one part.
func (s *Server) simAgain(c echo.Context, sim pool.SIM, part string, p simPool, lines ...string) error {
	p.Open, p.Errors = part, lines
	status := http.StatusUnprocessableEntity
	if p.Stale {
		status = staleStatus
	}
	return s.simPagePool(c, status, sim, p)
}

func (s *Server) simPagePool(c echo.Context, status int, sim pool.SIM, p simPool) error {
	c.Set(simPoolKey, p)
	return s.simPage(c, status, sim, simForm{sim.Name, sim.Number, sim.Enabled}, nil, ussdView{Code: balanceCode(sim.Operator)})
}

// simPoolKey is where a request keeps what its page shall say.
const simPoolKey = "sim-pool"

// thisSIM is the SIM in the address.
func (s *Server) thisSIM(c echo.Context) (pool.SIM, error) {
	return s.pool.SIM(c.Request().Context(), simID(c))
}

// whole reads a field that is a whole number; "" is 0.
func whole(text string) (int, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0
}

// setLimitsPage changes the limits of a SIM.
func (s *Server) setLimitsPage(c echo.Context) error {
	sim, err := s.thisSIM(c)
	if err != nil {
		return err
	}
	ctx, l := c.Request().Context(), s.words(c)
	if c.FormValue("usual") != "" {
		if _, err := s.updateSIM(ctx, sim.ICCID, SIMPatch{Limits: Settable[LimitRequests]{Set: true}}); err != nil {
			return err
		}
		return s.done(c, simAddress(sim.ICCID)+"#limits", "limits", 0)
	}
	f := limitsForm{Reserve: c.FormValue("reserve"), ResetDay: c.FormValue("reset_day"), WarmUp: c.FormValue("warm_up") != ""}
	var list LimitRequests
	var wrong []string
	for _, w := range queue.Windows {
		row := limitRow{string(w), strings.TrimSpace(c.FormValue("segments_" + string(w))), strings.TrimSpace(c.FormValue("people_" + string(w)))}
		f.Rows = append(f.Rows, row)
		segments, ok := whole(row.Segments)
		people, also := whole(row.People)
		if !ok || !also || segments > 100_000_000 || people > 100_000_000 {
			wrong = append(wrong, l.t("limits.wrong", "Window", l.t("limits.name_"+string(w))))
		}
		if segments > 0 || people > 0 {
			list = append(list, LimitRequest{Window: string(w), MaxSegments: counted(segments), MaxRecipients: counted(people)})
		}
	}
	reserve, ok := whole(f.Reserve)
	if !ok || reserve > 95 {
		wrong = append(wrong, l.t("limits.wrong_reserve"))
	}
	day, ok := whole(f.ResetDay)
	if !ok || day < 1 || day > 31 {
		wrong = append(wrong, l.t("limits.wrong_day"))
	}
	if wrong != nil {
		return s.simAgain(c, sim, "limits", simPool{Form: f}, wrong...)
	}
	if list == nil {
		list = LimitRequests{}
	}
	patch := SIMPatch{ReservePercent: &reserve, ResetDay: &day}
	s.changing.Lock()
	defer s.changing.Unlock()
	was, err := s.pool.Limits(ctx, sim.ICCID)
	if err != nil {
		return err
	}
	if stale(c, seenLimits(was)) {
		return s.simAgain(c, sim, "limits", simPool{Stale: true}, l.t("form.stale"))
	}
	if !same(list, was) { // else the defaults would be a choice
		patch.Limits = Settable[LimitRequests]{Set: true, Value: &list}
	}
	if was.Warm > 0 && !f.WarmUp {
		patch.WarmUp = new(false)
	}
	_, err = s.updateSIM(ctx, sim.ICCID, patch)
	if lines, ok := s.explain(c, err); ok {
		return s.simAgain(c, sim, "limits", simPool{Form: f}, lines...)
	}
	if err != nil {
		return err
	}
	return s.done(c, simAddress(sim.ICCID)+"#limits", "limits", 0)
}

// seenLimits names what the form of the limits is filled with.
func seenLimits(l queue.SIMLimits) string {
	what := []any{l.Chosen, l.ReservePercent, l.ResetDay}
	for _, u := range setLimits(l) {
		what = append(what, u.Limit)
	}
	return seen(what...)
}

// same says that nobody has changed the table.
func same(list LimitRequests, was queue.SIMLimits) bool {
	shown := LimitRequests{}
	for _, u := range setLimits(was) {
		if u.MaxSegments > 0 || u.MaxRecipients > 0 {
			shown = append(shown, LimitRequest{string(u.Window), counted(u.MaxSegments), counted(u.MaxRecipients)})
		}
	}
	return slices.EqualFunc(list, shown, func(a, b LimitRequest) bool {
		value := func(n *int) int {
			if n == nil {
				return 0
			}
			return *n
		}
		return a.Window == b.Window && value(a.MaxSegments) == value(b.MaxSegments) && value(a.MaxRecipients) == value(b.MaxRecipients)
	})
}

// setHoursPage changes a SIM's pace and when it may send.
func (s *Server) setHoursPage(c echo.Context) error {
	sim, err := s.thisSIM(c)
	if err != nil {
		return err
	}
	l := s.words(c)
	f := hoursForm{Pace: c.FormValue("pace"), PerMin: strings.TrimSpace(c.FormValue("per_minute")), Always: c.FormValue("window") != "some",
		From: c.FormValue("from"), To: c.FormValue("to"), Days: c.Request().PostForm["day"]}
	if stale(c, seenHours(sim)) {
		return s.simAgain(c, sim, "hours", simPool{Stale: true}, l.t("form.stale"))
	}
	patch := SIMPatch{SendWindow: Settable[SendWindow]{Set: true}}
	switch f.Pace {
	case "none":
		patch.Pace = new(-1)
	case "own":
		n, ok := whole(f.PerMin)
		if !ok || n < 1 || n > 600 {
			return s.simAgain(c, sim, "hours", simPool{Hours: f}, l.t("hours.wrong_pace"))
		}
		patch.Pace = &n
	default:
		f.Pace, patch.Pace = "limits", new(0)
	}
	if !f.Always {
		if len(f.Days) == 0 {
			return s.simAgain(c, sim, "hours", simPool{Hours: f}, l.t("hours.wrong_days"))
		}
		patch.SendWindow.Value = &SendWindow{From: f.From, To: f.To, Days: f.Days}
	}
	_, err = s.updateSIM(c.Request().Context(), sim.ICCID, patch)
	if lines, ok := s.explain(c, err); ok {
		return s.simAgain(c, sim, "hours", simPool{Hours: f}, lines...)
	}
	if err != nil {
		return err
	}
	return s.done(c, simAddress(sim.ICCID)+"#hours", "saved", 0)
}

// seenHours names what the form of pace and send window is filled with.
func seenHours(sim pool.SIM) string { return seen(sim.Pace, sim.Window) }

// balancePage asks for the balance and shows what the network said.
func (s *Server) balancePage(c echo.Context) error {
	sim, err := s.thisSIM(c)
	if err != nil {
		return err
	}
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(balancePatience + 5*time.Second))
	l := s.words(c)
	r, err := s.balance(c.Request().Context(), sim.ICCID)
	if p, is := errors.AsType[*Problem](err); is && p.Status == http.StatusConflict {
		words, _ := l.said(p.Detail)
		return s.simAgain(c, sim, "credit", simPool{}, sentence(words))
	}
	if err != nil {
		return err
	}
	if sim, err = s.thisSIM(c); err != nil {
		return err
	}
	asked := readingOf(l, r)
	return s.simPagePool(c, http.StatusOK, sim, simPool{Open: "credit", Asked: &asked})
}

// creditPage changes the alarm, takes a person's word that a SIM may send, or that
// the way of asking works.
func (s *Server) creditPage(c echo.Context) error {
	sim, err := s.thisSIM(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	here := simAddress(sim.ICCID) + "#credit"
	if c.FormValue("ignore") != "" {
		if _, err := s.updateSIM(ctx, sim.ICCID, SIMPatch{CreditIgnored: new(true)}); err != nil {
			return err
		}
		return s.done(c, here, "credit", 0)
	}
	if c.FormValue("confirm") != "" {
		// From then on the box sends that code by itself, on every SIM of the operator.
		if needed := role(auth.RoleAdmin); !needed.allows(s.person(c), false) {
			return newProblem(http.StatusForbidden, "this needs "+needed.String())
		}
		if err := s.pool.ConfirmCredit(ctx, sim.Credit.Way.Operator, true, s.person(c).String()); err != nil {
			return err
		}
		return s.done(c, here, "saved", 0)
	}
	text := strings.TrimSpace(c.FormValue("low"))
	low := int64(0)
	if text != "" {
		f, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
		if err != nil || !(f >= 0 && f <= 1_000_000) {
			return s.simAgain(c, sim, "credit", simPool{Low: text}, s.words(c).t("credit.wrong_low"))
		}
		if low = int64(f*100 + 0.5); low == 0 {
			low = -1
		}
	}
	if _, err := s.updateSIM(ctx, sim.ICCID, SIMPatch{CreditLow: &low}); err != nil {
		return err
	}
	return s.done(c, here, "saved", 0)
}

// canaryPage sends a test message from a SIM, and one back.
func (s *Server) canaryPage(c echo.Context) error {
	sim, err := s.thisSIM(c)
	if err != nil {
		return err
	}
	_, err = s.canary(c.Request().Context(), sim.ICCID, "")
	for known, words := range map[error]string{pool.ErrNoNumber: "canary.no_number", pool.ErrNotFit: "canary.not_fit", pool.ErrPaused: "canary.paused",
		pool.ErrUnreachable: "canary.unreachable", queue.ErrCanaryRunning: "canary.running"} {
		if p, is := errors.AsType[*Problem](err); is && p.Detail == known.Error() || errors.Is(err, known) {
			return s.simAgain(c, sim, "canary", simPool{}, s.words(c).t(words))
		}
	}
	if err != nil {
		return err
	}
	return s.done(c, simAddress(sim.ICCID)+"#canary", "canary", 0)
}

// freePage ends a SIM's quarantine.
func (s *Server) freePage(c echo.Context) error {
	sim, err := s.free(c.Request().Context(), simID(c))
	if err != nil {
		return err
	}
	return s.done(c, simAddress(sim.ICCID), "freed", 0)
}
