package webui

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/queue"
)

// writeForm is the write page's form as it was filled in, kept on errors.
type writeForm struct {
	To, Text, Class, SendAt, ValidFor, SIM, Reference string
	Once                                              string // names this form, so that a double click sends once
	Flash                                             bool
}

// More says that one of the folded options is set.
func (f writeForm) More() bool {
	return f.SendAt != "" || f.ValidFor != "" || f.SIM != "" || f.Reference != "" || f.Flash
}

// writePage is what write.html shows.
type writePage struct {
	Form       writeForm
	Quote      *writeQuote
	Classes    []string
	Validities []string // hours; "" by class
	SIMs       []simView
	Errors     []string
}

func readWriteForm(c echo.Context) writeForm {
	f := writeForm{
		To: c.FormValue("to"), Text: unixLines(c.FormValue("text")), Class: c.FormValue("class"), SendAt: c.FormValue("send_at"),
		ValidFor: c.FormValue("valid_for"), SIM: c.FormValue("sim"), Reference: strings.TrimSpace(c.FormValue("reference")),
		Once: c.FormValue("once"), Flash: c.FormValue("flash") != "",
	}
	if f.Class == "" {
		f.Class = string(queue.Normal)
	}
	if len(f.Once) < 16 || len(f.Once) > 64 {
		f.Once = rand.Text()
	}
	return f
}

// unixLines undoes what HTML forms do to line ends: a line break counts as one
// character, not two.
func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// recipients are what was written one a line or with commas and semicolons
// between.
func (f writeForm) recipients() []string {
	var list []string
	for part := range strings.FieldsFuncSeq(f.To, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' || r == ';' }) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// request is the form as the queue takes it; problems are in the reader's words.
func (s *Server) formRequest(c echo.Context, f writeForm) (queue.Request, []string) {
	l := s.words(c)
	r := queue.Request{To: f.recipients(), Text: f.Text, Class: queue.Class(f.Class), Flash: f.Flash, SIM: f.SIM,
		Report: true, Reference: f.Reference, KeyID: s.person(c).ID}
	var problems []string
	if f.SendAt != "" {
		at, err := time.ParseInLocation("2006-01-02T15:04", f.SendAt, zoneOf(c.Request()))
		switch {
		case err != nil:
			problems = append(problems, l.t("write.send_at_unreadable"))
		case at.Before(s.clock.Now()):
			problems = append(problems, l.t("write.send_at_past"))
		}
		r.SendAt = at
	}
	if f.ValidFor != "" {
		hours, err := strconv.Atoi(f.ValidFor)
		if err != nil || hours < 1 || hours > 24*31 {
			problems = append(problems, l.t("invalid.valid_for"))
		}
		r.ValidFor = time.Duration(hours) * time.Hour
	}
	return r, problems
}

func (s *Server) showWrite(c echo.Context) error {
	f := writeForm{To: c.QueryParam("to"), Class: string(queue.Normal), Once: rand.Text()}
	return s.writeAgain(c, http.StatusOK, f, nil)
}

// writeAgain shows the form as it was filled in, with what is wrong with it.
func (s *Server) writeAgain(c echo.Context, status int, f writeForm, errs []string) error {
	q, err := s.quoteForm(c, f)
	if err != nil {
		return err
	}
	p, err := s.writePage(c, f, q)
	if err != nil {
		return err
	}
	p.Errors = errs
	v := s.view(c, "write", p)
	v.Path = "/write"
	return s.write(c, status, "write", "", v)
}

func (s *Server) writePage(c echo.Context, f writeForm, q *writeQuote) (writePage, error) {
	sims, err := s.simViews(c)
	return writePage{Form: f, Quote: q, SIMs: sims,
		Classes:    []string{string(queue.Normal), string(queue.OTP), string(queue.Alert), string(queue.Bulk)},
		Validities: []string{"", "1", "6", "24", "72"}}, err
}

// quoteWrite answers each change of the form.
func (s *Server) quoteWrite(c echo.Context) error {
	f := readWriteForm(c)
	q, err := s.quoteForm(c, f)
	if err != nil {
		return err
	}
	if c.Request().Header.Get("HX-Request") == "" { // without script: the whole page
		return s.writeAgain(c, http.StatusOK, f, nil)
	}
	return s.fragment(c, "write", "fragment", writePage{Form: f, Quote: q})
}

// plainWrite is the one-click replacement without script.
func (s *Server) plainWrite(c echo.Context) error {
	f := readWriteForm(c)
	q, err := s.quoteForm(c, f)
	if err != nil {
		return err
	}
	if q.Plain != "" {
		f.Text = q.Plain
	}
	return s.writeAgain(c, http.StatusOK, f, nil)
}

// doWrite sends. What the button promised must still hold: else the form comes
// back with the new figures.
func (s *Server) doWrite(c echo.Context) error {
	f := readWriteForm(c)
	q, err := s.quoteForm(c, f)
	if err != nil {
		return err
	}
	l := s.words(c)
	switch {
	case len(q.Problems) > 0:
		return s.writeAgain(c, http.StatusUnprocessableEntity, f, q.Problems)
	case len(f.recipients()) == 0:
		return s.writeAgain(c, http.StatusUnprocessableEntity, f, []string{l.t("invalid.to")})
	case !q.Counted:
		return s.writeAgain(c, http.StatusUnprocessableEntity, f, []string{l.t("invalid.text")})
	case q.Accepted == 0:
		return s.writeAgain(c, http.StatusUnprocessableEntity, f, []string{l.t("write.all_refused")})
	case c.FormValue("agreed") != fmt.Sprintf("%dx%d", q.Accepted, q.Segments):
		return s.writeAgain(c, http.StatusOK, f, []string{l.t("write.check_again")})
	}
	r, _ := s.formRequest(c, f)
	sent, err := s.submitOnce(c, r, f.Once)
	if lines, ok := s.explain(c, err); ok {
		return s.writeAgain(c, http.StatusUnprocessableEntity, f, lines)
	}
	if err != nil {
		return err
	}
	switch {
	case len(sent.IDs) > 1:
		to := "/messages"
		if f.Reference != "" {
			to += "?reference=" + url.QueryEscape(f.Reference)
		}
		return s.done(c, to, "many", len(sent.IDs))
	case sent.again:
		return s.done(c, "/messages/"+sent.IDs[0], "already", 0)
	case f.SendAt != "":
		return s.done(c, "/messages/"+sent.IDs[0], "scheduled", 0)
	}
	return s.done(c, "/messages/"+sent.IDs[0], "queued", 0)
}

// sentOnce is the kept answer to a form.
type sentOnce struct {
	IDs   []string
	again bool
}

// submitOnce hands a form's request to the queue. The same form with the same
// content gives the first answer again: a double click sends one message.
func (s *Server) submitOnce(c echo.Context, r queue.Request, once string) (sentOnce, error) {
	content, err := json.Marshal(r)
	if err != nil {
		return sentOnce{}, err
	}
	hash := sha256.Sum256(content)
	res, err := s.store.Submit(c.Request().Context(), r, &queue.Idempotency{
		Scope: "page:" + cmp.Or(r.KeyID, "console"), Key: once + hex.EncodeToString(hash[:8]), Hash: hash[:],
		Answer: func(res queue.Result) []byte {
			b, err := json.Marshal(sentIDs(res))
			if err != nil { // strings always marshal
				panic(err)
			}
			return b
		}})
	if err != nil {
		return sentOnce{}, err
	}
	if res.Replayed == nil {
		s.metrics.accepted(r.Class, len(res.Messages))
		return sentIDs(res), nil
	}
	kept := sentOnce{again: true}
	if err := json.Unmarshal(res.Replayed, &kept); err != nil {
		return kept, err
	}
	if len(kept.IDs) == 0 {
		return kept, errors.New("a kept answer names no message")
	}
	return kept, nil
}

func sentIDs(res queue.Result) sentOnce {
	out := sentOnce{IDs: make([]string, len(res.Messages))}
	for i, m := range res.Messages {
		out.IDs[i] = m.ID
	}
	return out
}
