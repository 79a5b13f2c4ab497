package webui

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/modem"
	"recado/pool"
)

// simPage is what sim.html shows.
type simPage struct {
	Title     string
	SIM       simView
	ModemHref string
	Form      simForm
	Errors    []string
	Seen      string // what Form was filled with
	// Remembers says that its PIN is kept.
	Remembers bool
	// Away says that it is in no modem that could ask the network.
	Away bool
	USSD ussdView
	// Pool is what it may send, and when.
	Pool simPool
}

type simForm struct {
	Name, Number string
	Enabled      bool
}

// ussdView is the panel that asks the network.
type ussdView struct {
	Code string // in the field
	// Text is the network's answer over one line or several, Note what is to be
	// said of it, Error why there is none.
	Text, Note, Error string
	Answered, Wants   bool
}

// balanceCodes ask for the balance, by a part of the operator's name. What a
// virtual operator takes is its own affair: the field can be changed.
var balanceCodes = []struct{ operator, code string }{
	{"movistar", "*133#"}, {"vodafone", "*134#"}, {"orange", "*111#"}, {"yoigo", "*111#"},
}

func balanceCode(operator string) string {
	for _, b := range balanceCodes {
		if strings.Contains(strings.ToLower(operator), b.operator) {
			return b.code
		}
	}
	return ""
}

// simAddress is a SIM's page. Behind the ICCID of two SIMs that claim the same one
// stands the port, which may have slashes.
func simAddress(iccid string) string { return "/lines/" + url.PathEscape(iccid) }

// simID is the id in the address.
func simID(c echo.Context) string {
	id := c.Param("iccid")
	if plain, err := url.PathUnescape(id); err == nil {
		return plain
	}
	return id
}

func (s *Server) showSIM(c echo.Context) error {
	sim, err := s.pool.SIM(c.Request().Context(), simID(c))
	if err != nil {
		return err
	}
	return s.simPage(c, http.StatusOK, sim, simForm{sim.Name, sim.Number, sim.Enabled}, nil, ussdView{Code: balanceCode(sim.Operator)})
}

func (s *Server) simPage(c echo.Context, status int, sim pool.SIM, f simForm, errs []string, u ussdView) error {
	p := simPage{Title: simLabel(sim), SIM: s.simView(c, sim), ModemHref: modemAddress(sim.Modem), Form: f, Errors: errs, Seen: seenSIM(sim), USSD: u}
	special, _ := c.Get(simPoolKey).(simPool)
	var err error
	if p.Pool, err = s.simPool(c, sim, special); err != nil {
		return err
	}
	m, ok := s.pool.Modem(sim.Modem)
	switch m.State {
	case modem.StateReady, modem.StateSending, modem.StateUnknown:
		p.Away = !ok
	default:
		p.Away = true
	}
	if ok {
		p.SIM.Findings = s.about(c, slices.DeleteFunc(ofModem(s.findings(c.Request().Context()), m.ID), func(f pool.Finding) bool { return onBanners(f) || p.SIM.says(f) }))
	}
	if len(p.SIM.Findings) > 0 {
		p.SIM.Why = ""
	}
	v := s.view(c, "lines", nil)
	if v.Person.Admin {
		if p.Remembers, err = s.pool.RemembersPIN(c.Request().Context(), sim.ICCID); err != nil {
			return err
		}
	}
	v.It, v.Path = p, simAddress(sim.ICCID) // also when a form that was posted shows it
	return s.write(c, status, "sim", "", v)
}

// seenSIM names what the form of a SIM is filled with, but for its number, which
// changes by itself when the modem reads another: the form says in number_was which
// it showed.
func seenSIM(sim pool.SIM) string { return seen(sim.Name, sim.Enabled) }

func (s *Server) editSIM(c echo.Context) error {
	ctx := c.Request().Context()
	sim, err := s.pool.SIM(ctx, simID(c))
	if err != nil {
		return err
	}
	f := simForm{strings.TrimSpace(c.FormValue("name")), strings.TrimSpace(c.FormValue("number")), c.FormValue("enabled") != ""}
	s.changing.Lock()
	defer s.changing.Unlock()
	if sim, err = s.pool.SIM(ctx, sim.ICCID); err != nil {
		return err
	}
	overtaken := stale(c, seenSIM(sim))
	if was := c.FormValue("number_was"); c.Request().PostForm.Has("number_was") && was != sim.Number {
		if f.Number == was { // nobody touched it
			f.Number = sim.Number
		}
		overtaken = overtaken || f.Number != sim.Number
	}
	if overtaken {
		return s.simPage(c, staleStatus, sim, simForm{sim.Name, sim.Number, sim.Enabled}, []string{s.words(c).t("form.stale")}, ussdView{Code: balanceCode(sim.Operator)})
	}
	patch := SIMPatch{Name: &f.Name, Enabled: &f.Enabled}
	if f.Number != sim.Number { // the SIM's own number, shown in the field, does not become an entered one
		patch.Number = &f.Number
	}
	_, err = s.updateSIM(ctx, sim.ICCID, patch)
	if lines, ok := s.explain(c, err); ok {
		return s.simPage(c, http.StatusUnprocessableEntity, sim, f, lines, ussdView{Code: balanceCode(sim.Operator)})
	}
	if err != nil {
		return err
	}
	return s.done(c, simAddress(sim.ICCID), "saved", 0)
}

func (s *Server) forgetPINPage(c echo.Context) error {
	ctx := c.Request().Context()
	sim, err := s.pool.SIM(ctx, simID(c))
	if err != nil {
		return err
	}
	if err := s.pool.ForgetPIN(ctx, sim.ICCID); err != nil {
		return err
	}
	s.audited(ctx, "sim.forget-pin", sim.ICCID, "")
	return s.done(c, simAddress(sim.ICCID), "forgotten", 0)
}

// ussdPage asks the network and shows what it said. The answer is on no page that
// can be loaded again: it may be about money.
func (s *Server) ussdPage(c echo.Context) error {
	ctx := c.Request().Context()
	sim, err := s.pool.SIM(ctx, simID(c))
	if err != nil {
		return err
	}
	// A network may take longer than other answers may.
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(ussdWrite))
	u := ussdView{Code: strings.TrimSpace(c.FormValue("code"))}
	var ask USSDRequest
	reply := c.FormValue("reply")
	switch {
	case c.FormValue("end") != "":
		ask.End = true
	case c.Request().PostForm.Has("reply"):
		ask.Reply = &reply
	default:
		ask.Code = &u.Code
	}
	answer, err := s.ussd(ctx, sim.ICCID, ask)
	status := http.StatusOK
	if u.Error = s.ussdProblem(c, err); err != nil && u.Error == "" {
		return err
	}
	l := s.words(c)
	switch {
	case err != nil:
		if c.Request().Header.Get("HX-Request") == "" { // htmx shows no answer that is an error
			status = http.StatusUnprocessableEntity
		}
		u.Wants = ask.Reply != nil && !errors.Is(err, modem.ErrNoUSSDSession) && isRefusal(err)
	case ask.End:
		u.Note = l.t("ussd.over")
	default:
		u.Answered, u.Text, u.Wants = true, answer.Text, answer.Status == modem.USSDReplyWanted
		if answer.Status != modem.USSDDone {
			u.Note = l.t("ussd." + string(answer.Status))
		} else if answer.Text == "" {
			u.Note = l.t("ussd.empty")
		}
	}
	if u.Code == "" {
		u.Code = balanceCode(sim.Operator)
	}
	return s.simPage(c, status, sim, simForm{sim.Name, sim.Number, sim.Enabled}, nil, u)
}

// isRefusal says that nothing was sent: what was asked is not sent for anybody.
func isRefusal(err error) bool {
	p, is := errors.AsType[*Problem](err)
	return is && p.Status == http.StatusUnprocessableEntity
}

// ussdProblem says in the reader's language why nothing was asked; "" for an
// error that is not the asker's.
func (s *Server) ussdProblem(c echo.Context, err error) string {
	l := s.words(c)
	p, is := errors.AsType[*Problem](err)
	switch {
	case !is:
		return ""
	case p.Status == http.StatusUnprocessableEntity && len(p.Errors) > 0:
		words, _ := l.said(p.Errors[0].Message)
		return sentence(words)
	case p.Status == http.StatusConflict:
		words, _ := l.said(p.Detail)
		return sentence(words)
	}
	return ""
}
