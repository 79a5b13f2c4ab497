package webui

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/modem"
	"recado/pool"
)

// simView is a SIM as the pages show it.
type simView struct {
	pool.SIM
	Why   string // what is wrong and what to do; "" when all is well
	NowTo string // to whom it sends, when it does
	Tail  string // the ICCID's last digits, for a SIM without name and operator
}

// modemView is a modem in the list.
type modemView struct {
	modem.Snapshot
	Why string
	// Href of its page: an id may be a path with slashes.
	Href string
}

// simLabel is what people call a SIM.
func simLabel(sim pool.SIM) string {
	switch {
	case sim.Name != "":
		return sim.Name
	case sim.Operator != "" && sim.Number != "":
		return sim.Operator + " " + phone(sim.Number)
	case sim.Number != "":
		return phone(sim.Number)
	default:
		return "SIM …" + tail(sim.ICCID)
	}
}

func tail(iccid string) string { return iccid[max(0, len(iccid)-4):] }

// simViews are all SIMs, those in a modem first.
func (s *Server) simViews(c echo.Context) ([]simView, error) {
	sims, err := s.pool.SIMs(c.Request().Context())
	if err != nil {
		return nil, err
	}
	list := make([]simView, len(sims))
	for i, sim := range sims {
		list[i] = s.simView(c, sim)
	}
	return list, nil
}

func (s *Server) simView(c echo.Context, sim pool.SIM) simView {
	v := simView{SIM: sim, Tail: tail(sim.ICCID)}
	l := s.words(c)
	switch sim.State {
	case pool.SIMReady, pool.SIMBusy:
	case pool.SIMUnavailable, pool.SIMBlocked:
		v.Why = l.t("sim_help.no_modem")
		if m, ok := s.pool.Modem(sim.Modem); ok {
			v.Why = l.t("modem_help." + string(m.State))
		}
	default:
		v.Why = l.t("sim_help." + sim.State)
	}
	if sim.Now != "" {
		if m, err := s.store.Message(c.Request().Context(), sim.Now); err == nil {
			v.NowTo = phone(m.To)
		}
	}
	return v
}

// linesPage is what lines.html shows.
type linesPage struct {
	SIMs   []simView
	Modems []modemView
}

func (s *Server) showLines(c echo.Context) error {
	sims, err := s.simViews(c)
	if err != nil {
		return err
	}
	p := linesPage{SIMs: sims}
	l := s.words(c)
	for _, m := range s.pool.Modems() {
		v := modemView{Snapshot: m, Href: modemAddress(m.ID)}
		if m.State != modem.StateReady && m.State != modem.StateSending {
			v.Why = l.t("modem_help." + string(m.State))
		}
		p.Modems = append(p.Modems, v)
	}
	return s.page(c, http.StatusOK, "lines", "lines", p)
}

func modemAddress(id string) string { return "/modems/" + url.PathEscape(id) }

// simPage is what sim.html shows.
type simPage struct {
	Title     string
	SIM       simView
	ModemHref string
	Form      simForm
	Errors    []string
}

type simForm struct {
	Name, Number string
	Enabled      bool
}

func (s *Server) showSIM(c echo.Context) error {
	sim, err := s.pool.SIM(c.Request().Context(), c.Param("iccid"))
	if err != nil {
		return err
	}
	return s.simPage(c, http.StatusOK, sim, simForm{sim.Name, sim.Number, sim.Enabled}, nil)
}

func (s *Server) simPage(c echo.Context, status int, sim pool.SIM, f simForm, errs []string) error {
	return s.page(c, status, "sim", "lines", simPage{Title: simLabel(sim), SIM: s.simView(c, sim),
		ModemHref: modemAddress(sim.Modem), Form: f, Errors: errs})
}

func (s *Server) editSIM(c echo.Context) error {
	ctx := c.Request().Context()
	sim, err := s.pool.SIM(ctx, c.Param("iccid"))
	if err != nil {
		return err
	}
	f := simForm{strings.TrimSpace(c.FormValue("name")), strings.TrimSpace(c.FormValue("number")), c.FormValue("enabled") != ""}
	patch := SIMPatch{Name: &f.Name, Enabled: &f.Enabled}
	if f.Number != sim.Number { // the SIM's own number, shown in the field, does not become an entered one
		patch.Number = &f.Number
	}
	_, err = s.updateSIM(ctx, sim.ICCID, patch)
	if lines, ok := s.explain(c, err); ok {
		return s.simPage(c, http.StatusUnprocessableEntity, sim, f, lines)
	}
	if err != nil {
		return err
	}
	return s.done(c, "/lines/"+url.PathEscape(sim.ICCID), "saved", 0)
}

// modemPage is what modem.html shows.
type modemPage struct {
	Title    string
	Href     string
	Modem    modem.Snapshot
	WantsPIN bool
	Trace    []traceLine
	Errors   []string
}

// traceLine is one line of the redacted AT dialogue.
type traceLine struct {
	At   string
	Out  bool
	Line string
}

// traceLines of the dialogue that a page shows: the newest.
const traceLines = 150

// modemID is the id in the address.
func modemID(c echo.Context) string {
	id := c.Param("id")
	if plain, err := url.PathUnescape(id); err == nil {
		return plain
	}
	return id
}

func (s *Server) showModem(c echo.Context) error { return s.modemPage(c, http.StatusOK, nil) }

func (s *Server) modemPage(c echo.Context, status int, errs []string) error {
	m, ok := s.pool.Modem(modemID(c))
	if !ok {
		return pool.ErrNoModem
	}
	p := modemPage{Title: strings.TrimSpace(m.Manufacturer + " " + m.Model), Href: modemAddress(m.ID), Modem: m, Errors: errs,
		WantsPIN: m.SIM.State == "SIM PIN"}
	if p.Title == "" {
		p.Title = m.Port
	}
	v := s.view(c, "lines", nil)
	if v.Person.Admin {
		trace, err := s.pool.Trace(m.ID)
		if err != nil {
			return err
		}
		for _, e := range slices.Backward(trace) { // newest first
			if len(p.Trace) == traceLines {
				break
			}
			p.Trace = append(p.Trace, traceLine{e.At.In(v.zone).Format("15:04:05.000"), e.Out, e.Line})
		}
	}
	v.It = p
	return s.write(c, status, "modem", "", v)
}

func (s *Server) restartPage(c echo.Context) error {
	id := modemID(c)
	if _, ok := s.pool.Modem(id); !ok {
		return pool.ErrNoModem
	}
	if err := s.pool.Restart(c.Request().Context(), id); err != nil {
		s.log.Warn("a modem was not restarted", "modem", id, "err", err)
		return s.modemPage(c, http.StatusConflict, []string{s.words(c).t("modem.not_restarted")})
	}
	s.audit(c, s.person(c), "modem.restart", id, "")
	return s.done(c, modemAddress(id), "restarting", 0)
}

var pinFormat = regexp.MustCompile(`^[0-9]{4,8}$`)

// enterPIN hands a PIN to the SIM. The PIN is not kept and not repeated.
func (s *Server) enterPIN(c echo.Context) error {
	id, pin := modemID(c), c.FormValue("pin")
	if _, ok := s.pool.Modem(id); !ok {
		return pool.ErrNoModem
	}
	l := s.words(c)
	if !pinFormat.MatchString(pin) {
		return s.modemPage(c, http.StatusUnprocessableEntity, []string{l.t("modem.pin_format")})
	}
	s.audit(c, s.person(c), "modem.pin", id, "")
	if err := s.pool.EnterPIN(c.Request().Context(), id, pin); err != nil {
		s.log.Warn("a PIN was not accepted", "modem", id, "err", err)
		return s.modemPage(c, http.StatusUnprocessableEntity, []string{l.t("modem.pin_refused")})
	}
	return s.done(c, modemAddress(id), "pin", 0)
}
