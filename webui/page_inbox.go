package webui

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/webui/auth"
)

// inboxPage is what inbox.html shows: the conversations, and one of them.
type inboxPage struct {
	Q             string
	Conversations []talk
	More          string // address of older conversations

	With     string // "" none is open
	Thread   []bubble
	Older    string // address of older messages
	Unread   bool
	CanReply bool
	ReplySIM string
	Once     string
	Text     string
	Errors   []string
	Training *training
}

// talk is a conversation in the list.
type talk struct {
	Number, Text, Href string
	Key                string // for the element's id
	At                 time.Time
	Out                bool
	Unread             int
}

// bubble is one message of a conversation.
type bubble struct {
	ID, Text, SIM string
	Missing       string // in words, when segments are
	State         queue.State
	At            time.Time
	Out           bool
	Deleted       bool // its text, because its keeping was over
}

// training lets an answer arrive at an emulated SIM.
type training struct {
	From, SIM string
	SIMs      []pool.SIM
	Open      bool // unfolded, while nothing has arrived yet
}

// training is nil when no emulated modems run.
func (s *Server) training(c echo.Context, from string) (*training, error) {
	if s.emulator == nil || rank(s.person(c).Role) < rank(auth.RoleOperator) {
		return nil, nil
	}
	sims, err := s.pool.SIMs(c.Request().Context())
	if err != nil {
		return nil, err
	}
	t := &training{From: from}
	for _, sim := range sims {
		if sim.Emulated && sim.Modem != "" {
			t.SIMs = append(t.SIMs, sim)
		}
	}
	if len(t.SIMs) == 0 {
		return nil, nil
	}
	// Most likely an answer to what was sent last, on the SIM that sent it.
	last, _, err := s.store.Messages(c.Request().Context(), queue.Filter{To: from, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(last) > 0 {
		t.From, t.SIM = last[0].To, last[0].SIM
	}
	if t.From == "" {
		t.From = "+34600111222"
	}
	return t, nil
}

func (s *Server) trainInbound(c echo.Context) error {
	if s.emulator == nil {
		return newProblem(http.StatusNotFound, "")
	}
	ctx := c.Request().Context()
	iccid, err := s.emulatedSIM(ctx, c.FormValue("sim"))
	if err != nil {
		return err
	}
	from, text := strings.TrimSpace(c.FormValue("from")), unixLines(c.FormValue("text"))
	if number, no := s.store.Numbers().Normalize(from); no == nil {
		from = number
	}
	if from == "" || len(from) > 32 || strings.TrimSpace(text) == "" || len(text) > 10000 {
		return newProblem(http.StatusUnprocessableEntity, "")
	}
	if err := s.emulator(ctx, iccid, from, text); err != nil {
		return newProblem(http.StatusUnprocessableEntity, err.Error())
	}
	return s.done(c, localPath(c.FormValue("next")), "arriving", 0)
}

func (s *Server) showInbox(c echo.Context) error {
	return s.inboxPage(c, http.StatusOK, c.QueryParam("with"), "", rand.Text(), nil)
}

func (s *Server) inboxPage(c echo.Context, status int, with, text, once string, errs []string) error {
	ctx := c.Request().Context()
	p := inboxPage{Q: strings.TrimSpace(c.QueryParam("q")), With: with, Text: text, Once: once, Errors: errs}
	var err error
	list, next, err := s.inbox.Conversations(ctx, inbox.Filter{Search: p.Q, Cursor: c.QueryParam("list"), Limit: 40})
	if err != nil {
		return err
	}
	for _, t := range list {
		p.Conversations = append(p.Conversations, talk{Number: t.Number, Text: t.LastText, At: t.LastAt, Out: t.LastOut, Unread: t.Unread,
			Href: inboxAddress(t.Number, p.Q, "", ""), Key: elementID(t.Number)})
		p.Unread = p.Unread || t.Number == with && t.Unread > 0
	}
	if next != "" {
		p.More = inboxAddress("", p.Q, next, "")
	}
	if with != "" {
		if err := s.thread(c, &p); err != nil {
			return err
		}
	}
	if p.Training, err = s.training(c, with); err != nil {
		return err
	}
	v := s.view(c, "inbox", p)
	v.Path = inboxAddress(with, p.Q, c.QueryParam("list"), c.QueryParam("before"))
	return s.write(c, status, "inbox", "", v)
}

// thread fills in the open conversation.
func (s *Server) thread(c echo.Context, p *inboxPage) error {
	ctx, l := c.Request().Context(), s.words(c)
	names, err := s.simNames(c)
	if err != nil {
		return err
	}
	last := "" // a SIM is named where it changes
	name := func(iccid string) string {
		if iccid == last {
			return ""
		}
		last = iccid
		return names(iccid)
	}
	entries, next, err := s.inbox.Thread(ctx, p.With, 50, c.QueryParam("before"))
	if err != nil {
		return err
	}
	slices.Reverse(entries) // newest first in the store, last on the page
	for _, e := range entries {
		if e.Out != nil {
			p.Thread = append(p.Thread, bubble{ID: e.Out.ID, Text: e.Out.Text, Deleted: !e.Out.TextDeletedAt.IsZero(), SIM: name(e.Out.SIM), State: e.Out.State, At: e.At, Out: true})
			continue
		}
		b := bubble{ID: e.In.ID, Text: e.In.Text, Deleted: !e.In.TextDeletedAt.IsZero(), SIM: name(e.In.SIM), At: e.At}
		switch {
		case e.In.Kind == inbox.KindBinary:
			b.Missing = l.t("inbox.binary")
		case e.In.Kind == inbox.KindUndecodable:
			b.Missing = l.t("inbox.undecodable")
		case !e.In.Complete:
			b.Missing = l.t("inbox.partial", "Have", e.In.Have, "Of", e.In.Of)
		}
		p.Thread = append(p.Thread, b)
	}
	if next != "" {
		p.Older = inboxAddress(p.With, p.Q, "", next)
	}
	talk, err := s.inbox.Conversation(ctx, p.With)
	if err != nil && !errors.Is(err, inbox.ErrNotFound) {
		return err
	}
	p.Unread = talk.Unread > 0
	_, no := s.store.Numbers().Normalize(p.With)
	p.CanReply = no == nil
	p.ReplySIM = l.t("message.from_pool")
	if talk.SIM != "" {
		p.ReplySIM = names(talk.SIM)
	}
	return nil
}

// inboxAddress is a conversation's place; empty parts are left out.
func inboxAddress(with, q, list, before string) string {
	v := url.Values{}
	for name, value := range map[string]string{"with": with, "q": q, "list": list, "before": before} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(v) == 0 {
		return "/inbox"
	}
	return "/inbox?" + v.Encode()
}

// elementID makes an id of a sender's name or number.
func elementID(s string) string { return strconv.QuoteToASCII(url.QueryEscape(s))[1:] }

func (s *Server) showUnread(c echo.Context) error { return s.fragment(c, "inbox", "unread", nil) }

func (s *Server) markRead(c echo.Context) error {
	with := c.FormValue("with")
	if err := s.inbox.SetConversationRead(c.Request().Context(), with); err != nil && !errors.Is(err, inbox.ErrNotFound) {
		return err
	}
	if c.Request().Header.Get("HX-Request") != "" {
		c.Response().Header().Set("HX-Trigger", "recado:inbox")
		return c.NoContent(http.StatusNoContent)
	}
	return c.Redirect(http.StatusSeeOther, inboxAddress(with, "", "", ""))
}

// replyPage answers on the SIM that received last.
func (s *Server) replyPage(c echo.Context) error {
	ctx, with, text, once := c.Request().Context(), c.FormValue("with"), unixLines(c.FormValue("text")), c.FormValue("once")
	talk, err := s.inbox.Conversation(ctx, with)
	if err != nil && !errors.Is(err, inbox.ErrNotFound) {
		return err
	}
	if len(once) < 16 || len(once) > 64 {
		once = rand.Text()
	}
	_, err = s.submitOnce(c, queue.Request{To: []string{with}, Text: text, Class: queue.Normal, SIM: talk.SIM, ReplyTo: with,
		Report: true, MaxSegments: maxPageSegments, KeyID: s.person(c).ID}, once)
	if lines, ok := s.explain(c, err); ok {
		return s.inboxPage(c, http.StatusUnprocessableEntity, with, text, once, lines)
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, inboxAddress(with, "", "", ""))
}
