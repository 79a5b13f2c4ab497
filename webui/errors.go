package webui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"recado/modem"
	"recado/pool"
	"recado/queue"
	"recado/queue/backup"
	"recado/queue/inbox"
	"recado/queue/sqlite"
	"recado/webui/auth"
)

// Problem is what every error is told as (RFC 9457).
type Problem struct {
	Type     string         `json:"type" doc:"A URN that names the kind of error" example:"urn:recado:error:invalid"`
	Title    string         `json:"title" doc:"The kind of error in words, always the same for one code" example:"The request cannot be accepted as it is"`
	Status   int            `json:"status" doc:"The HTTP status" example:"422"`
	Detail   string         `json:"detail" doc:"What is wrong this time, and what to do"`
	Instance string         `json:"instance" doc:"Names this occurrence: urn:uuid: and the X-Request-Id" example:"urn:uuid:0f9b7c1e-2f4b-4a7a-9f0e-6a1f0d1c2b3a"`
	Code     string         `json:"code" doc:"Stable, for programs" example:"invalid"`
	Errors   []ProblemError `json:"errors,omitempty" nullable:"false" doc:"Of a refused request: each thing that is wrong with it"`

	// RetryAfter becomes the header of that name; 0 none.
	RetryAfter time.Duration `json:"-"`
	// words are those that a page has for it; empty: those of its status.
	words string
}

// ProblemError is one thing that is wrong with a request.
type ProblemError struct {
	Location string `json:"location" doc:"Where: body.text, body.to[3], query.limit, path.id" example:"body.to[3]"`
	Message  string `json:"message" doc:"What is wrong with it"`
	Value    any    `json:"value,omitempty" doc:"What was there, when it is short"`
	Code     string `json:"code,omitempty" doc:"Stable, where there is one: why a recipient or an Idempotency-Key was refused" example:"invalid_number"`
}

// kinds of problem by status: the stable code, the title and what is said when
// there is nothing more exact. What a client may know of an error of ours is
// that there was one.
var kinds = map[int]struct{ code, title, detail string }{
	400: {"invalid", "The request cannot be accepted as it is", "the request is not valid HTTP"},
	401: {"unauthorized", "Who asks is not known", "send an API key as Authorization: Bearer rk_…"},
	403: {"forbidden", "This is not allowed", "this is not allowed"},
	404: {"not_found", "There is no such thing", "there is nothing at this address"},
	405: {"method_not_allowed", "This address does not take that method", "use another method"},
	406: {"not_acceptable", "That form of answer is not available", "accept application/json"},
	408: {"timeout", "The request took too long to arrive", "send it again"},
	409: {"conflict", "The state of things does not allow this", "look at it again"},
	413: {"too_large", "The request is too large", "send less at once"},
	415: {"unsupported_media_type", "The request's content type is not understood", "send JSON, with Content-Type: application/json"},
	421: {"wrong_host", "The request is addressed to another host", "use the box's own name or address"},
	422: {"invalid", "The request cannot be accepted as it is", "see errors"},
	429: {"rate_limited", "Too many requests", "wait and try again"},
	500: {"internal", "Something went wrong here", "try again; if it stays, look for the request id in the log"},
	503: {"overloaded", "Too much to do", "try again in a moment"},
	507: {"storage_full", "The storage is full", "what was accepted is still being sent; make room, then send again"},
}

func newProblem(status int, detail string) *Problem {
	k, ok := kinds[status]
	if !ok {
		k.code, k.title, k.detail = "http_"+strconv.Itoa(status), http.StatusText(status), http.StatusText(status)
	}
	if status == 400 { // one status for what cannot be accepted
		status = 422
	}
	p := &Problem{Status: status, Detail: detail}
	if p.Detail == "" {
		p.Detail = k.detail
	}
	p.name(k.code, k.title)
	if status == 503 || status == 507 || status == 429 {
		p.RetryAfter = map[int]time.Duration{503: 2 * time.Second, 507: time.Minute, 429: 6 * time.Second}[status]
	}
	return p
}

func (p *Problem) name(code, title string) {
	p.Code, p.Title, p.Type = code, title, "urn:recado:error:"+code
}

func unauthorized(detail string) *Problem { return newProblem(http.StatusUnauthorized, detail) }

// invalid is a 422 about one place in the request.
func invalid(location, message string, value any) *Problem {
	p := newProblem(http.StatusUnprocessableEntity, location+": "+message)
	p.Errors = []ProblemError{{Location: location, Message: message, Value: brief(value)}}
	return p
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="recado"`)
	}
	return h
}

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problem turns an error into what the client is told. What is not foreseen is
// an internal error, whose text goes to the log alone.
func (s *Server) problem(ctx context.Context, err error) *Problem {
	var (
		p        *Problem
		he       *echo.HTTPError
		field    *queue.Invalid
		account  *auth.Invalid
		throttle *auth.Throttled
	)
	switch {
	case errors.As(err, &p):
		q := *p
		return &q
	case errors.As(err, &he):
		return newProblem(he.Code, "")
	case errors.As(err, &field):
		return invalid(place(field.Field), field.Detail, field.Value)
	case errors.As(err, &account):
		return invalid(place(account.Field), account.Detail, account.Value)
	case errors.As(err, &throttle):
		p = newProblem(http.StatusTooManyRequests, throttle.Error())
		p.RetryAfter = throttle.RetryAfter
		return p
	}
	for _, known := range []struct {
		is     error
		status int
	}{
		{queue.ErrNotFound, 404}, {inbox.ErrNotFound, 404}, {queue.ErrNoSIM, 404}, {pool.ErrNoSIM, 404}, {queue.ErrNoRoute, 404},
		{pool.ErrNoModem, 404}, {auth.ErrNoKey, 404}, {auth.ErrNoPerson, 404},
		{queue.ErrState, 409}, {queue.ErrSubmitting, 409}, {sqlite.ErrCopyBehind, 503}, {backup.ErrRoom, 507}, {queue.ErrSIMName, 409}, {auth.ErrNameTaken, 409}, {modem.ErrNotReady, 409},
		{auth.ErrSetupDone, 409}, {auth.ErrSetupCode, 403}, {auth.ErrBadLogin, 401},
	} {
		if errors.Is(err, known.is) {
			return newProblem(known.status, known.is.Error())
		}
	}
	switch {
	case errors.Is(err, queue.ErrMismatch):
		p = newProblem(422, "this Idempotency-Key was used with another body; take a new key for a new request")
		p.name("idempotency_mismatch", "The Idempotency-Key belongs to another request")
		return p
	case errors.Is(err, pool.ErrUnkept):
		p = newProblem(503, "it is stopped, but that could not be stored, and a restart would undo it: it is tried again by itself; look at the disk")
		p.name("storage_failed", "The storage failed")
		p.words = "unkept"
		return p
	case errors.Is(err, sqlite.ErrFull):
		return newProblem(507, "")
	case errors.Is(err, sqlite.ErrReadOnly):
		p = newProblem(503, "the disk failed, and nothing can be stored any more: what is there can be read; check or replace the disk, then restart Recado")
		p.name("storage_read_only", "The storage is read-only")
		p.RetryAfter = time.Minute
		p.words = "read_only"
		return p
	case errors.Is(err, sqlite.ErrFailed):
		p = newProblem(503, "the disk failed to store this, and it was undone; send it again, with the same Idempotency-Key")
		p.name("storage_failed", "The storage failed")
		p.words = "not_stored"
		return p
	case errors.Is(err, sqlite.ErrOverloaded), errors.Is(err, sqlite.ErrClosed):
		return newProblem(503, "")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newProblem(503, "the request was given up before it was done")
	}
	who := callerOf(ctx)
	s.log.Error("a request failed", "err", err, "method", who.method, "route", who.route, "request", who.request)
	return newProblem(500, "")
}

// place is where a field of the domain came from in a request.
func place(field string) string {
	switch field {
	case "cursor", "limit":
		return "query." + field
	case "id", "iccid", "number":
		return "path." + field
	}
	return "body." + field
}

// failed is Echo's error handler: a page for people, problem+json for programs.
func (s *Server) failed(err error, c echo.Context) {
	if c.Response().Committed {
		if !errors.Is(err, context.Canceled) {
			s.log.Warn("an answer broke off", "err", err, "route", c.Path(), "request", requestID(c))
		}
		return
	}
	p := s.problem(c.Request().Context(), err)
	s.stamp(c, p)
	if wantsPage(c) {
		if err = s.pageProblem(c, p); err == nil || c.Response().Committed {
			return
		}
		s.log.Error("an error page failed", "err", err, "request", requestID(c))
	}
	if err := writeProblem(c, p); err != nil {
		s.log.Debug("an error was not delivered", "err", err, "request", requestID(c))
	}
}

// stamp sets what belongs to this occurrence.
func (s *Server) stamp(c echo.Context, p *Problem) {
	p.Instance = "urn:uuid:" + requestID(c)
	for name, values := range p.GetHeaders() {
		c.Response().Header()[name] = values
	}
}

func writeProblem(c echo.Context, p *Problem) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return c.Blob(p.Status, p.ContentType(""), append(b, '\n'))
}

// wantsPage tells a browser that looks at pages from a program.
func wantsPage(c echo.Context) bool {
	path := c.Request().URL.Path
	return !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/health/") &&
		path != "/metrics" && path != "/openapi.json" &&
		strings.Contains(c.Request().Header.Get(echo.HeaderAccept), "text/html")
}

// fromHuma turns what huma found wrong with a request into ours.
func fromHuma(m *huma.ErrorModel) *Problem {
	p := newProblem(m.Status, "")
	for _, e := range m.Errors {
		if e == nil {
			continue
		}
		d := ProblemError{Location: e.Location, Message: e.Message, Value: brief(e.Value)}
		switch e.Location {
		case "body.pin", "body.puk", "body.new_pin": // codes are repeated nowhere
			d.Value = nil
		case keyHeader: // its length is all that huma looks at
			d.Code = "idempotency_key_long"
		}
		if period := keptRange(e.Location); period != "" && strings.HasPrefix(e.Message, "expected number") {
			d.Message = period
		}
		if m.Status == 400 { // JSON that cannot be read: its text is the sender's own
			d.Value = nil
			d.Message = "this is not readable JSON: " + e.Message
		}
		if strings.HasPrefix(d.Message, "unexpected property") {
			d.Message = "there is no such field"
		}
		p.Errors = append(p.Errors, d)
	}
	switch {
	case m.Status == 413:
		p.Errors = nil
	case m.Status == 415:
		p.Errors = nil
	case p.Status != 422:
	case len(p.Errors) == 0 && m.Detail != "": // "request body is required"
		p.Detail = m.Detail
		p.Errors = []ProblemError{{Location: "body", Message: m.Detail}}
	case len(p.Errors) == 1:
		p.Detail = p.Errors[0].Location + ": " + p.Errors[0].Message
	case len(p.Errors) > 1:
		p.Detail = fmt.Sprintf("%s: %s (and %d more)", p.Errors[0].Location, p.Errors[0].Message, len(p.Errors)-1)
	}
	return p
}

// brief repeats a value only when it is short: nobody wants a megabyte back.
func brief(v any) any {
	switch v := v.(type) {
	case string:
		if r := []rune(v); len(r) > 100 {
			return string(r[:100]) + "…"
		}
		if v == "" {
			return nil
		}
		return v
	case bool, float64, int, int64:
		return v
	}
	return nil
}
