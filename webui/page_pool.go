package webui

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/pool"
	"recado/queue"
)

// shortly is a short local time, as view.Date has it.
func (s *Server) shortly(c echo.Context, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	zone := zoneOf(c.Request())
	return s.words(c).date(t.In(zone), s.clock.Now().In(zone))
}

// limitView is one window of a SIM's limits in words, with its bars.
type limitView struct {
	Window   string
	Words    string // "312 of 500 today; mailings stop at 400"
	People   string // the same of different recipients; "" without a limit
	Resets   string // when there is more
	Segments meterView
	Persons  meterView
}

// meterView is a bar: Used and Mark in parts of a hundred; Mark is where mailings
// stop, 0 nowhere.
type meterView struct {
	Used, Mark int
	Tone       string
	On         bool // there is a limit
}

func meterOf(used, most, reserve int) meterView {
	if most <= 0 {
		return meterView{}
	}
	m := meterView{On: true, Used: min(100, used*100/most), Tone: "ok"}
	if reserve > 0 {
		m.Mark = 100 - reserve
	}
	switch {
	case used >= most:
		m.Tone = "bad"
	case used*5 >= most*4: // 80 %, as the event has it
		m.Tone = "warn"
	}
	return m
}

// bulkMost is how far mailings may use a limit.
func bulkMost(most, reserve int) int { return queue.BulkMost(most, reserve) }

// limitViews are a SIM's limits in words.
func (s *Server) limitViews(c echo.Context, limits queue.SIMLimits) []limitView {
	l := s.words(c)
	list := []limitView{}
	for _, u := range limits.Limits {
		w := string(u.Window)
		one := limitView{Window: w, Segments: meterOf(u.UsedSegments, u.MaxSegments, limits.ReservePercent),
			Persons: meterOf(u.UsedRecipients, u.MaxRecipients, limits.ReservePercent)}
		one.Words = limitWords(l, "segments", w, u.UsedSegments, u.MaxSegments, limits.ReservePercent)
		if u.MaxRecipients > 0 {
			one.People = limitWords(l, "people", w, u.UsedRecipients, u.MaxRecipients, limits.ReservePercent)
		}
		if !u.ResetsAt.IsZero() && (one.Segments.On || one.Persons.On) {
			key := "limits.resets"
			if u.Window == queue.WindowMinute || u.Window == queue.WindowHour {
				key = "limits.slides"
			}
			one.Resets = l.t(key, "At", s.shortly(c, u.ResetsAt))
		}
		list = append(list, one)
	}
	return list
}

// limitWords says how much of a limit is used, and where mailings stop.
func limitWords(l *locale, what, window string, used, most, reserve int) string {
	if most <= 0 {
		return l.t("limits.free_"+window, "Used", l.num(used))
	}
	words := l.t("limits."+what+"_"+window, "Used", l.num(used), "Most", l.num(most))
	if reserve > 0 {
		words += "; " + l.t("limits.bulk_stops", "At", l.num(bulkMost(most, reserve)))
	}
	return words
}

// tightView is the limit that a SIM is near or at, with what to do; nil: none.
type tightView struct {
	Tone, Words, Do string
}

func (s *Server) tight(c echo.Context, sim pool.SIM) *tightView {
	l := s.words(c)
	if sim.Credit.State() != queue.CreditOK {
		t := &tightView{Tone: "warn", Words: l.t("credit.low"), Do: l.t("credit.low_do")}
		if sim.Credit.State() == queue.CreditNone {
			t = &tightView{Tone: "bad", Words: l.t("credit.none"), Do: l.t("credit.none_do")}
		}
		if sim.Credit.Known {
			t.Words += " (" + sim.Credit.Money().Text(l.code) + ")"
		}
		return t
	}
	var worst *tightView
	share := 0.8
	for _, u := range sim.Limits.Limits {
		if u.Window == queue.WindowMinute {
			continue // it always is while there is work
		}
		for _, of := range []struct {
			what       string
			used, most int
		}{{"segments", u.UsedSegments, u.MaxSegments}, {"people", u.UsedRecipients, u.MaxRecipients}} {
			if of.most == 0 || float64(of.used)/float64(of.most) < share {
				continue
			}
			share = float64(of.used) / float64(of.most)
			t := &tightView{Tone: "warn", Words: limitWords(l, of.what, string(u.Window), of.used, of.most, 0), Do: l.t("limits.near_do")}
			if of.used >= of.most {
				t.Tone = "bad"
				t.Do = l.t("limits.reached_do")
				if !u.ResetsAt.IsZero() {
					t.Do = l.t("limits.reached_until", "At", s.shortly(c, u.ResetsAt))
				}
			}
			worst = t
		}
	}
	return worst
}

// pauseView is a kill switch that is thrown.
type pauseView struct {
	Kind, Key string // all, sim, class; its ICCID or class
	Name      string
	Who       string
	At        time.Time
}

// pauses are the kill switches that are thrown, with who threw them.
func (s *Server) pauses(ctx context.Context, l *locale) []pauseView {
	p := s.pool.Pauses()
	list := []pauseView{}
	add := func(kind, key, object, name string) {
		v := pauseView{Kind: kind, Key: key, Name: name}
		if e, found, err := s.auth.LastAudit(ctx, switched(true), object); err != nil {
			s.log.Warn("who stopped sending is not known", "err", err)
		} else if found {
			v.At, v.Who = e.At, whoName(l, e.Who)
		}
		list = append(list, v)
	}
	if p.All {
		add("all", "", "", "")
	}
	for _, c := range p.Classes {
		add("class", string(c), "class "+string(c), l.t("class."+string(c)))
	}
	if len(p.SIMs) == 0 {
		return list
	}
	names := map[string]string{}
	if sims, err := s.pool.SIMs(ctx); err == nil {
		for _, sim := range sims {
			names[sim.ICCID] = simLabel(sim)
		}
	}
	for _, iccid := range p.SIMs {
		name := names[iccid]
		if name == "" {
			name = "SIM …" + tail(iccid)
		}
		add("sim", iccid, "sim "+iccid, name)
	}
	return list
}

// whoName is who did something as people call them.
func whoName(l *locale, who string) string {
	if who == "console" {
		return l.t("sending.console")
	}
	if _, name, ok := strings.Cut(who, ":"); ok {
		return name
	}
	return who
}

// switchPart is a class or SIM on the start page's panel.
type switchPart struct {
	Kind, Key, Name string
	Off             bool
}

// switchParts are what can be stopped by itself.
func switchParts(l *locale, sims []simView, p pool.Pauses) (list []switchPart) {
	for _, class := range classes {
		list = append(list, switchPart{"class", class, l.t("class." + class), slices.Contains(p.Classes, queue.Class(class))})
	}
	for _, sim := range sims {
		list = append(list, switchPart{"sim", sim.ICCID, simLabel(sim.SIM), sim.Paused})
	}
	return list
}

// canaryView is a test message in words.
type canaryView struct {
	At         time.Time
	From, To   string
	Tone, Icon string
	Says       string
	Open       bool
}

func (s *Server) canaryViews(c echo.Context, iccid string, most int) ([]canaryView, error) {
	all, _, err := s.store.Canaries(c.Request().Context(), queue.CanaryFilter{SIM: iccid, Limit: most})
	if err != nil {
		return nil, err
	}
	names, err := s.simNames(c)
	if err != nil {
		return nil, err
	}
	list := []canaryView{}
	for _, one := range all {
		v := canaryView{At: one.StartedAt, From: names(one.From), To: names(one.To), Tone: "idle", Icon: "clock", Open: one.EndedAt.IsZero(),
			Says: sentence(pool.CanaryIn(one, s.words(c).code))}
		switch one.State {
		case queue.CanaryArrived:
			v.Tone, v.Icon = "ok", "check-check"
		case queue.CanaryOut:
			v.Tone, v.Icon = "info", "send"
		case queue.CanaryMissed, queue.CanaryRefused:
			v.Tone, v.Icon = "bad", "circle-x"
		case queue.CanaryVoid:
			v.Icon = "circle-question-mark"
		}
		list = append(list, v)
	}
	return list, nil
}

// whyWords says why this SIM was chosen; "" when nobody knows.
func whyWords(l *locale, why string) string {
	code, failed, _ := strings.Cut(why, ":")
	if code == "" {
		return ""
	}
	if code == "failover" {
		return l.t("why.failover", "Error", l.tor("code."+failed, failed))
	}
	return l.tor("why."+code, why)
}

// forecastView is what the write page says beyond how long it takes.
type forecastView struct {
	Finish   string // when the last leaves, of what is no matter of minutes
	Limit    string // the limit that runs out first
	Waits    []string
	OTP      string // what is left for one-time codes, when it is little
	NoOTP    bool   // nothing is
	Late     string // what would not leave in time
	Guessed  bool
	Shares   []string
	NotSoon  bool
	Feasible bool
}

// forecast puts a forecast into words.
func (s *Server) forecastView(c echo.Context, f pool.Forecast) (*forecastView, error) {
	l := s.words(c)
	names, err := s.simNames(c)
	if err != nil {
		return nil, err
	}
	out := &forecastView{Guessed: f.Guessed, Feasible: f.Feasible}
	if f.ETA >= 5*time.Minute {
		out.Finish = s.shortly(c, f.Finish)
	}
	if hit := f.FirstLimit(); hit != nil && hit.Window != string(queue.WindowMinute) {
		kind := "segments"
		if hit.Recipients {
			kind = "people"
		}
		out.Limit = l.t("forecast.limit_"+kind, "SIM", names(hit.ICCID), "Window", l.t("limits.of_"+hit.Window), "At", s.shortly(c, hit.At))
	}
	seen := map[string]bool{}
	for _, w := range f.Waits {
		if seen[w.Why] || w.Why == pool.WaitAhead || w.Why == pool.WaitMinute {
			continue
		}
		seen[w.Why] = true
		words := l.tor("forecast.wait_"+w.Why, w.Why)
		if !w.Until.IsZero() {
			words += " " + l.t("forecast.until", "At", s.shortly(c, w.Until))
		}
		out.Waits = append(out.Waits, words)
	}
	least := math.MaxInt
	for _, left := range f.Left {
		if left.Segments < 0 {
			least = math.MaxInt
			break
		}
		if least == math.MaxInt {
			least = 0
		}
		least += left.Segments
	}
	switch {
	case least == 0 && len(f.Left) > 0:
		out.OTP, out.NoOTP = l.t("forecast.otp_none"), true
	case least != math.MaxInt:
		out.OTP = l.tn("forecast.otp", least)
	}
	if f.Expired > 0 {
		out.Late = l.tn("forecast.late", f.Expired)
	}
	for _, share := range f.Shares {
		out.Shares = append(out.Shares, names(share.ICCID)+": "+strconv.Itoa(int(math.Round(share.Share*100)))+" %")
	}
	return out, nil
}
