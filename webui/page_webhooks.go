package webui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/pool"
	"recado/queue/webhook"
)

// webhooksPage is what webhooks.html shows: all webhooks, or one.
type webhooksPage struct {
	Errors []string
	Secret string // of one just made or rotated: shown this once
	For    string // whose it is

	Hooks []hookView
	Form  hookForm

	One        *hookView
	State      string
	States     []string
	Deliveries []deliveryView
	First      string // addresses
	Next       string
	Tested     *deliveryView
	Open       bool // the form
}

type hookView struct {
	webhook.Endpoint
	Name, Href, Tone, Icon string
	Why                    string // LastError in the reader's language
}

type deliveryView struct {
	webhook.Delivery
	Href, Tone, Icon string
	Why              string // Error in the reader's language
}

// hookError puts what an attempt came to into words; "" for nothing. The outbox
// keeps it in English.
func (l *locale) hookError(raw string) string {
	if raw == "" {
		return ""
	}
	code, what := webhook.Reason(raw)
	if code == "" { // of an earlier version
		if l.code == "en" {
			return raw
		}
		code = "unknown"
	}
	return l.t("hook_error."+code, "A", what)
}

type hookForm struct {
	URL, Description      string
	Choices               []hookChoice
	Active, Private, Full bool // Full: it has events that the form does not offer
}

type hookChoice struct {
	Name, Key string
	On        bool
}

func formOf(e webhook.Endpoint) hookForm {
	f := hookForm{URL: e.URL, Description: e.Description, Active: e.Active, Private: e.AllowPrivate}
	for _, name := range slices.Concat(hookChoices, e.Events) {
		if !slices.ContainsFunc(f.Choices, func(c hookChoice) bool { return c.Name == name }) {
			key := ""
			if slices.Contains(hookChoices, name) {
				key = strings.NewReplacer(".*", "", ".", "_").Replace(name)
			}
			f.Choices = append(f.Choices, hookChoice{name, key, slices.Contains(e.Events, name)})
		}
	}
	return f
}

// entered is what a form says.
func entered(c echo.Context) webhook.Endpoint {
	return webhook.Endpoint{URL: strings.TrimSpace(c.FormValue("url")), Description: strings.TrimSpace(c.FormValue("description")),
		Events: c.Request().PostForm["event"], Active: c.FormValue("active") != "", AllowPrivate: c.FormValue("private") != ""}
}

func hookAddress(id string) string { return "/settings/webhooks/" + url.PathEscape(id) }

// hookName is what people call a webhook: its description, or its host.
func hookName(e webhook.Endpoint) string {
	if e.Description != "" {
		return e.Description
	}
	if u, err := url.Parse(e.URL); err == nil {
		return u.Host
	}
	return e.ID
}

func hookViewOf(l *locale, e webhook.Endpoint) hookView {
	v := hookView{Endpoint: e, Name: hookName(e), Why: l.hookError(e.LastError), Href: hookAddress(e.ID), Tone: "idle", Icon: "pause"}
	switch e.Health {
	case webhook.HealthOK:
		v.Tone, v.Icon = "ok", "circle-check"
	case webhook.HealthNew:
		v.Icon = "clock"
	case webhook.HealthFailing:
		v.Tone, v.Icon = "bad", "circle-x"
	case webhook.HealthGone:
		v.Tone, v.Icon = "warn", "triangle-alert"
	}
	return v
}

func deliveryViewOf(l *locale, d webhook.Delivery) deliveryView {
	v := deliveryView{Delivery: d, Why: l.hookError(d.Error), Href: hookAddress(d.Webhook) + "/deliveries/" + url.PathEscape(d.ID) + "/replay", Tone: "idle", Icon: "ban"}
	switch d.State {
	case webhook.Delivered:
		v.Tone, v.Icon = "ok", "check"
	case webhook.Pending:
		v.Tone, v.Icon = "info", "clock"
	case webhook.Dead, webhook.Failed:
		v.Tone, v.Icon = "bad", "circle-x"
	}
	return v
}

// withHooks is a page that needs the outbox.
func (s *Server) withHooks(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if s.hooks == nil {
			return newProblem(http.StatusNotFound, "")
		}
		return hooked(h(c))
	}
}

func (s *Server) showWebhooks(c echo.Context) error {
	return s.webhooks(c, http.StatusOK, webhooksPage{Form: formOf(webhook.Endpoint{Events: []string{"message.*", "inbound.received"}, Active: true})})
}

// webhooks shows the list; p has what is special this time.
func (s *Server) webhooks(c echo.Context, status int, p webhooksPage) error {
	all, err := s.hooks.List(c.Request().Context())
	if err != nil {
		return err
	}
	for _, e := range all {
		p.Hooks = append(p.Hooks, hookViewOf(s.words(c), e))
	}
	v := s.view(c, "settings", p)
	v.Path = "/settings/webhooks"
	return s.write(c, status, "webhooks", "", v)
}

func (s *Server) addWebhook(c echo.Context) error {
	e := entered(c)
	made, secret, err := s.hooks.Create(c.Request().Context(), e)
	if lines, ok := s.explainHook(c, err); ok {
		return s.webhooks(c, http.StatusUnprocessableEntity, webhooksPage{Errors: lines, Form: formOf(e), Open: true})
	}
	if err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.create", made.ID, "")
	return s.oneWebhook(c, http.StatusOK, made, webhooksPage{Secret: secret, For: hookName(made)})
}

// explainHook says what is wrong with what was entered.
func (s *Server) explainHook(c echo.Context, err error) ([]string, bool) {
	if p, ok := hooked(err).(*Problem); ok && p.Status == http.StatusConflict {
		return []string{s.words(c).t("webhooks.too_many")}, true
	}
	if bad, ok := errors.AsType[*webhook.BadURL](err); ok {
		return []string{s.words(c).tor("invalid."+("url_"+bad.Code), bad.Detail)}, true
	}
	return s.explain(c, err)
}

func (s *Server) showWebhook(c echo.Context) error {
	e, err := s.hooks.Get(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.oneWebhook(c, http.StatusOK, e, webhooksPage{})
}

// oneWebhook shows one and its deliveries.
func (s *Server) oneWebhook(c echo.Context, status int, e webhook.Endpoint, p webhooksPage) error {
	one := hookViewOf(s.words(c), e)
	p.One, p.State = &one, c.QueryParam("state")
	if p.Form.Choices == nil {
		p.Form = formOf(e)
	}
	for _, state := range webhook.States {
		p.States = append(p.States, string(state))
	}
	if !slices.Contains(p.States, p.State) {
		p.State = ""
	}
	at := func(cursor string) string {
		q := url.Values{}
		if p.State != "" {
			q.Set("state", p.State)
		}
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		if len(q) == 0 {
			return one.Href
		}
		return one.Href + "?" + q.Encode()
	}
	list, next, err := s.hooks.Deliveries(c.Request().Context(), e.ID, webhook.State(p.State), 25, c.QueryParam("cursor"))
	if err != nil {
		return err
	}
	for _, d := range list {
		p.Deliveries = append(p.Deliveries, deliveryViewOf(s.words(c), d))
	}
	if c.QueryParam("cursor") != "" {
		p.First = at("")
	}
	if next != "" {
		p.Next = at(next)
	}
	v := s.view(c, "settings", p)
	if c.Request().Method == http.MethodPost {
		v.Path = one.Href
	}
	return s.write(c, status, "webhooks", "", v)
}

func (s *Server) editWebhook(c echo.Context) error {
	ctx, id, e := c.Request().Context(), c.Param("id"), entered(c)
	if e.Events == nil {
		e.Events = []string{}
	}
	_, err := s.hooks.Update(ctx, id, webhook.Change{URL: &e.URL, Description: &e.Description, Events: e.Events, Active: &e.Active, AllowPrivate: &e.AllowPrivate})
	if lines, ok := s.explainHook(c, err); ok {
		was, err := s.hooks.Get(ctx, id)
		if err != nil {
			return err
		}
		return s.oneWebhook(c, http.StatusUnprocessableEntity, was, webhooksPage{Errors: lines, Form: formOf(e), Open: true})
	}
	if err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.change", id, "")
	return s.done(c, hookAddress(id), "saved", 0)
}

// testWebhookPage shows at once what came of the test.
func (s *Server) testWebhookPage(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	d, err := s.hooks.Test(ctx, id)
	if err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.test", id, "")
	e, err := s.hooks.Get(ctx, id)
	if err != nil {
		return err
	}
	tested := deliveryViewOf(s.words(c), d)
	tested.Why = sentence(tested.Why)
	return s.oneWebhook(c, http.StatusOK, e, webhooksPage{Tested: &tested})
}

func (s *Server) rotateWebhookPage(c echo.Context) error {
	e, secret, err := s.hooks.Rotate(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.rotate", e.ID, "")
	return s.oneWebhook(c, http.StatusOK, e, webhooksPage{Secret: secret, For: hookName(e)})
}

func (s *Server) deleteWebhookPage(c echo.Context) error {
	if err := s.hooks.Delete(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.delete", c.Param("id"), "")
	return s.done(c, "/settings/webhooks", "hook_deleted", 0)
}

// replayWebhookPage sends everything again that was given up.
func (s *Server) replayWebhookPage(c echo.Context) error {
	if _, err := s.hooks.ReplayDead(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.replay", c.Param("id"), "")
	return s.done(c, hookAddress(c.Param("id")), "hook_replay", 0)
}

func (s *Server) replayDeliveryPage(c echo.Context) error {
	d, err := s.hooks.Replay(c.Request().Context(), c.Param("delivery"))
	if err != nil {
		return err
	}
	s.audit(c, s.person(c), "webhook.replay", d.Webhook, d.ID)
	return s.done(c, hookAddress(d.Webhook), "hook_replay", 0)
}

// hookPatience is how long a webhook may fail before somebody is told.
const hookPatience = 5 * time.Minute

// WebhookFindings are what is wrong with webhooks, for the doctor.
func WebhookFindings(ctx context.Context, hooks *webhook.Outbox, now time.Time) ([]pool.Finding, error) {
	if hooks == nil {
		return nil, nil
	}
	all, err := hooks.List(ctx)
	if err != nil {
		return nil, err
	}
	var list []pool.Finding
	for _, e := range all {
		facts := map[string]string{"webhook": hookName(e), "waiting": strconv.Itoa(e.Pending), "dead": strconv.Itoa(e.Dead), "reason": e.LastError}
		found := func(code string) {
			list = append(list, pool.NewFinding(code, pool.FindingWarn, pool.AboutProgram, e.ID, facts))
		}
		switch {
		case e.Health == webhook.HealthGone:
			found("webhook_gone")
		case e.Health == webhook.HealthFailing && now.Sub(e.FailingSince) >= hookPatience:
			found("webhook_failing")
		case e.Dead > 0:
			facts["reason"] = ""
			found("webhook_dead")
		}
	}
	return list, nil
}
