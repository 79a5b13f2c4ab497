package webui

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/queue"
)

// typeFrom is how many messages it takes for a decision to be typed, not only
// pressed.
const typeFrom = 50

// heldPage is what held.html shows. Asked is the decision to confirm.
type heldPage struct {
	Total   int
	Reasons []heldReason
	Asked   *heldAsk
	Errors  []string
}

// heldReason is what one reason holds.
type heldReason struct {
	Reason string
	N      int
	Groups []HeldGroup
}

// heldAsk is a decision about many that is asked back for.
type heldAsk struct {
	Action, Reason, Class string
	N                     int
	Type                  bool // the number has to be typed
}

func (s *Server) heldReasons(c echo.Context) (heldPage, error) {
	h, err := s.held(c.Request().Context())
	p := heldPage{Total: h.Total}
	for _, g := range h.Items {
		i := 0
		for i < len(p.Reasons) && p.Reasons[i].Reason != g.Reason {
			i++
		}
		if i == len(p.Reasons) {
			p.Reasons = append(p.Reasons, heldReason{Reason: g.Reason})
		}
		p.Reasons[i].N += g.Count
		p.Reasons[i].Groups = append(p.Reasons[i].Groups, g)
	}
	return p, err
}

func (s *Server) showHeld(c echo.Context) error {
	p, err := s.heldReasons(c)
	if err != nil {
		return err
	}
	return s.page(c, http.StatusOK, "held", "messages", p)
}

// askHeld asks back before many messages leave, or end.
func (s *Server) askHeld(c echo.Context) error {
	p, err := s.heldReasons(c)
	if err != nil {
		return err
	}
	p.Asked = p.ask(c.QueryParam("action"), c.QueryParam("reason"), c.QueryParam("class"))
	if p.Asked == nil {
		return s.done(c, "/held", "held_none", 0)
	}
	return s.page(c, http.StatusOK, "held", "messages", p)
}

// ask is the decision to confirm; nil when nothing is meant by it.
func (p heldPage) ask(action, reason, class string) *heldAsk {
	a := &heldAsk{Action: action, Reason: reason, Class: class}
	for _, r := range p.Reasons {
		for _, g := range r.Groups {
			if r.Reason == reason && (class == "" || class == g.Class) {
				a.N += g.Count
			}
		}
	}
	if a.N == 0 || action != "release" && action != "discard" {
		return nil
	}
	a.Type = a.N >= typeFrom
	return a
}

// decidePage does what was confirmed.
func (s *Server) decidePage(c echo.Context) error {
	p, err := s.heldReasons(c)
	if err != nil {
		return err
	}
	p.Asked = p.ask(c.FormValue("action"), c.FormValue("reason"), c.FormValue("class"))
	if p.Asked == nil {
		return s.done(c, "/held", "held_none", 0)
	}
	if p.Asked.Type && strings.TrimSpace(c.FormValue("count")) != strconv.Itoa(p.Asked.N) {
		p.Errors = []string{s.words(c).t("held.count_wrong", "N", p.Asked.N)}
		return s.page(c, http.StatusUnprocessableEntity, "held", "messages", p)
	}
	do, notice := s.store.Release, "released"
	if p.Asked.Action == "discard" {
		do, notice = s.store.Discard, "discarded"
	}
	f := queue.HeldFilter{Reason: p.Asked.Reason, Class: queue.Class(p.Asked.Class), Within: heldWithin}
	n, err := do(c.Request().Context(), f, s.person(c).String())
	if err != nil {
		return err
	}
	return s.done(c, "/held", notice, n)
}

func (s *Server) releasePage(c echo.Context) error {
	id := c.Param("id")
	_, err := s.store.Release(c.Request().Context(), queue.HeldFilter{ID: id}, s.person(c).String())
	if errors.Is(err, queue.ErrState) {
		return newProblem(http.StatusConflict, "")
	}
	if err != nil {
		return err
	}
	return s.done(c, "/messages/"+url.PathEscape(id), "released", 1)
}
