package webui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/modem"
	"recado/pool"
)

// simView is a SIM as the pages show it.
type simView struct {
	pool.SIM
	Why   string // what is wrong and what to do; "" when all is well, or when the findings say it
	NowTo string // to whom it sends, when it does
	// Stopped: by the kill switch, and not out of use otherwise.
	Stopped bool
	Tail    string // the ICCID's last digits, for a SIM without name and operator
	// Tight is the limit it is near or at, or its credit; nil: none.
	Tight *tightView
	// Findings are what the doctor says of it and its network.
	Findings []findingView
}

// modemView is a modem in the list.
type modemView struct {
	modem.Snapshot
	Why string
	// Href of its page: an id may be a path with slashes.
	Href     string
	Findings []findingView
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

// tail is the end of an ICCID; of two SIMs that claim one, the port stands behind it.
func tail(iccid string) string {
	iccid, _, _ = strings.Cut(iccid, "@")
	return iccid[max(0, len(iccid)-4):]
}

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
	v := simView{SIM: sim, Tail: tail(sim.ICCID), Tight: s.tight(c, sim)}
	l := s.words(c)
	switch sim.State {
	case pool.SIMReady, pool.SIMBusy:
	case pool.SIMUnavailable, pool.SIMBlocked:
		m, ok := s.pool.Modem(sim.Modem)
		switch {
		case !ok:
			v.Why = l.t("sim_help.no_modem")
		case m.State == modem.StateReady || m.State == modem.StateSending: // its own reason, not the modem's
			words, _ := l.said(sim.Reason)
			v.Why = sentence(words)
		default:
			v.Why = l.t("modem_help." + string(m.State))
		}
	case pool.SIMLimitReached, pool.SIMNoCredit:
		if v.Tight == nil { // else that says it, and until when
			v.Why = l.t("sim_help." + sim.State)
		}
	default:
		v.Why = l.t("sim_help." + sim.State)
	}
	if v.Stopped = sim.Paused && sim.Enabled; v.Stopped && (v.Why == "" || sim.State == pool.SIMDisabled) {
		v.Why = l.t("sim_help.paused")
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
	// Beside are the findings about no line; Fails and Looks count all.
	Beside       []findingView
	Fails, Looks int
}

func (s *Server) showLines(c echo.Context) error {
	sims, err := s.simViews(c)
	if err != nil {
		return err
	}
	p := linesPage{SIMs: sims}
	all := s.findings(c.Request().Context())
	p.Fails, p.Looks = tally(all)
	all = slices.DeleteFunc(all, onBanners)
	l := s.words(c)
	shown := map[string]bool{} // modems whose SIM has a row
	told := map[string]bool{}  // and whose row says what is wrong
	for i := range p.SIMs {
		sim := &p.SIMs[i]
		if sim.Modem == "" {
			continue
		}
		shown[sim.Modem] = true
		sim.Findings = s.about(c, slices.DeleteFunc(ofModem(all, sim.Modem), func(f pool.Finding) bool { return !ofSubscription(f) || sim.says(f) }))
		if len(sim.Findings) > 0 {
			sim.Why, told[sim.Modem] = "", true
		}
	}
	for _, m := range s.pool.Modems() {
		v := modemView{Snapshot: m, Href: modemAddress(m.ID)}
		v.Findings = s.about(c, slices.DeleteFunc(ofModem(all, m.ID), func(f pool.Finding) bool { return shown[m.ID] && ofSubscription(f) }))
		if m.State != modem.StateReady && m.State != modem.StateSending && len(v.Findings) == 0 && !told[m.ID] {
			v.Why = l.t("modem_help." + string(m.State))
		}
		p.Modems = append(p.Modems, v)
	}
	p.Beside = s.about(c, slices.DeleteFunc(all, func(f pool.Finding) bool {
		_, line := s.pool.Modem(f.Facts["modem"])
		return line
	}))
	return s.page(c, http.StatusOK, "lines", "lines", p)
}

// onBanners says that a finding stands over every page, with who did it and the
// button that undoes it.
func onBanners(f pool.Finding) bool {
	return f.Code == "sending_paused" || f.Code == "class_paused" || f.Code == "sim_paused"
}

// says that what a finding has to say stands beside the SIM already.
func (v simView) says(f pool.Finding) bool {
	return v.Tight != nil && (f.Code == "sim_limit" || f.Code == "sim_credit_low" || f.Code == "sim_no_credit")
}

// ofSubscription says that a finding belongs to a SIM's row, not to its modem's.
func ofSubscription(f pool.Finding) bool {
	return f.Subject == pool.AboutSIM || f.Subject == pool.AboutNetwork
}

func modemAddress(id string) string { return "/modems/" + url.PathEscape(id) }
