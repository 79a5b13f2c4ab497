package webui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"recado/modem"
	"recado/pool"
	"recado/webui/auth"
)

// findingView is a finding as the pages show it.
type findingView struct {
	Code, Tone, Icon, Severity string
	Says, Do                   string
	// Where is what it is about, with its page; "" when that is clear, or none.
	Where, Href string
	// Raw is what the modem or the system said itself; "" nothing.
	Raw string
	// The one button that helps: a link, or a form to post. Label "" none.
	Label, Go string
	Post      bool
}

// findingButtons are what helps, by the finding's code.
var findingButtons = map[string]struct {
	label, at string // at: modem, restart, sim or an address
	anchor    string
	post      bool
	role      auth.Role
}{
	"sim_pin":               {"finding.enter_pin", "modem", "#unlock", false, auth.RoleAdmin},
	"sim_puk":               {"finding.enter_puk", "modem", "#unlock", false, auth.RoleAdmin},
	"modem_mute":            {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"modem_fault":           {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"modem_recovering":      {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"modem_slow":            {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"sim_absent":            {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"sim_failure":           {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"sim_busy":              {"modem.restart", "modem", "/restart", true, auth.RoleOperator},
	"sim_held":              {"finding.release", "modem", "/restart", true, auth.RoleOperator},
	"line_quarantined":      {"finding.release", "modem", "/restart", true, auth.RoleOperator},
	"line_no_send":          {"finding.release", "modem", "/restart", true, auth.RoleOperator},
	"line_no_receive":       {"finding.release", "modem", "/restart", true, auth.RoleOperator},
	"line_mute":             {"finding.release", "modem", "/restart", true, auth.RoleOperator},
	"line_mute_alone":       {"finding.release", "modem", "/restart", true, auth.RoleOperator},
	"sim_refused":           {"finding.balance", "sim", "#ussd", false, auth.RoleAdmin},
	"sim_failing":           {"finding.balance", "sim", "#ussd", false, auth.RoleAdmin},
	"sim_no_credit":         {"finding.balance", "sim", "#credit", false, auth.RoleAdmin},
	"sim_credit_low":        {"finding.balance", "sim", "#credit", false, auth.RoleAdmin},
	"sim_credit_unreadable": {"finding.balance", "sim", "#credit", false, auth.RoleAdmin},
	"sim_disabled":          {"finding.enable", "sim", "#edit", false, auth.RoleOperator},
	"storage_foreign":       {"finding.foreign", "modem", "#storage", false, auth.RoleOperator},
	"webhook_failing":       {"webhooks.open", "/settings/webhooks", "", false, auth.RoleAdmin},
	"webhook_gone":          {"webhooks.open", "/settings/webhooks", "", false, auth.RoleAdmin},
	"webhook_dead":          {"webhooks.open", "/settings/webhooks", "", false, auth.RoleAdmin},
	"messages_held":         {"alarm.held_look", "/held", "", false, auth.RoleReader},
	"clock_untrusted":       {"clock.title", "/settings#clock", "", false, auth.RoleOperator},
	"sending_paused":        {"action.resume", "/sending/resume", "", true, auth.RoleOperator},
}

// about are findings in the reader's language, with a button each where one helps.
func (s *Server) about(c echo.Context, list []pool.Finding) []findingView {
	l, who := s.words(c), s.person(c)
	views := make([]findingView, len(list))
	for i, f := range list {
		views[i] = s.aboutOne(c.Request().Context(), l, who, f)
	}
	return views
}

func (s *Server) aboutOne(ctx context.Context, l *locale, who auth.Principal, f pool.Finding) findingView {
	v := findingView{Code: f.Code, Severity: l.t("severity." + f.Severity), Raw: f.Facts["reason"]}
	v.Tone, v.Icon = severityLook(f.Severity)
	f.Facts = maps.Clone(f.Facts)
	if v.Raw != "" {
		if strings.HasPrefix(f.Code, "webhook_") {
			f.Facts["reason"] = l.hookError(v.Raw)
		} else {
			f.Facts["reason"], _ = l.said(v.Raw)
		}
	}
	if state := f.Facts["state"]; state != "" {
		f.Facts["state"] = l.t("modem_state." + state)
	}
	if technology := f.Facts["technology"]; technology != "" {
		f.Facts["technology"] = l.tor("tech."+technology, technology)
	}
	if names := f.Facts["classes"]; names != "" {
		var kinds []string
		for _, class := range strings.Split(names, ", ") {
			kinds = append(kinds, l.tor("class."+class, class))
		}
		f.Facts["classes"] = strings.Join(kinds, ", ")
	}
	delete(f.Facts, "reasons") // codes, which the page that the button leads to has words for
	id := f.Facts["modem"]
	m, there := s.pool.Modem(id)
	sim, err := s.pool.SIM(ctx, f.Facts["sim"])
	if err != nil && there && m.SIM.ICCID != "" {
		sim, err = s.pool.SIM(ctx, m.SIM.ICCID)
	}
	if err == nil {
		f.Facts["sim"] = simLabel(sim)
	}
	v.Says, v.Do = f.In(l.code)
	v.Do = l.tor("finding_do."+f.Code, v.Do)
	if there {
		v.Where, v.Href = modemName(m), modemAddress(id)
	}
	b, known := findingButtons[f.Code]
	if !known || rank(who.Role) < rank(b.role) {
		return v
	}
	switch {
	case b.at == "modem" && there:
		v.Go = modemAddress(id) + b.anchor
	case b.at == "sim" && err == nil:
		v.Go = simAddress(sim.ICCID) + b.anchor
	case strings.HasPrefix(b.at, "/"):
		v.Go = b.at
	default:
		return v
	}
	v.Label, v.Post = l.t(b.label), b.post
	return v
}

// severityLook is the colour and the icon of a severity; a word says it too.
func severityLook(severity string) (tone, icon string) {
	switch severity {
	case pool.FindingFail:
		return "bad", "circle-x"
	case pool.FindingWarn:
		return "warn", "triangle-alert"
	}
	return "info", "info"
}

// modemName is what people call a modem.
func modemName(m modem.Snapshot) string {
	if name := strings.TrimSpace(m.Manufacturer + " " + m.Model); name != "" {
		return name
	}
	return m.Port
}

// ofModem are the findings about one modem, its port, its SIM and its network.
func ofModem(list []pool.Finding, id string) []pool.Finding {
	var out []pool.Finding
	for _, f := range list {
		if f.Facts["modem"] == id && id != "" {
			out = append(out, f)
		}
	}
	return out
}

// doctorPage is what doctor.html shows.
type doctorPage struct {
	Findings      []findingView
	Fails, Looks  int
	Lines, Modems int
	Bundle        bool
}

func (s *Server) showDoctor(c echo.Context) error {
	list := s.findings(c.Request().Context())
	p := doctorPage{Findings: s.about(c, list), Lines: s.pool.Ready(), Modems: len(s.pool.Modems()), Bundle: s.bundle != nil}
	p.Fails, p.Looks = tally(list)
	return s.page(c, http.StatusOK, "doctor", "lines", p)
}

// tally is how many are out of order, and how many should be looked at.
func tally(list []pool.Finding) (fails, looks int) {
	for _, f := range list {
		switch f.Severity {
		case pool.FindingFail:
			fails++
		case pool.FindingWarn:
			looks++
		}
	}
	return fails, looks
}

// A bundle takes time and room to make: two at once, then one in twenty seconds,
// whoever asks.
const (
	bundleEvery = 20 * time.Second
	bundleBurst = 2
	// bundleLimit is how long one may take.
	bundleLimit = 25 * time.Second
)

func newBundleLimit() *rate.Limiter { return rate.NewLimiter(rate.Every(bundleEvery), bundleBurst) }

// sendBundle gives an administrator the support bundle as a file.
func (s *Server) sendBundle(c echo.Context) error {
	if s.bundle == nil {
		return newProblem(http.StatusNotFound, "")
	}
	if !s.bundles.Allow() {
		p := newProblem(http.StatusTooManyRequests, "")
		p.RetryAfter = bundleEvery
		return p
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), bundleLimit)
	defer cancel()
	var b bytes.Buffer // whole before the first octet leaves: an error becomes an error page
	if err := s.bundle(ctx, &b); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return newProblem(http.StatusServiceUnavailable, "")
		}
		return err
	}
	s.audit(c, s.person(c), "doctor.bundle", "", "")
	name := "recado-support-" + s.clock.Now().UTC().Format("20060102-150405") + ".tar.gz"
	h := c.Response().Header()
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	return c.Blob(http.StatusOK, "application/gzip", b.Bytes())
}

// bundleFunc writes the support bundle.
type bundleFunc = func(context.Context, io.Writer) error
