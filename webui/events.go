package webui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"recado/queue"
	"recado/webui/auth"
)

const (
	heartbeat = 15 * time.Second
	// eventPace is the least time between two looks for events: a thousand
	// messages a second are told in twenty batches.
	eventPace  = 50 * time.Millisecond
	eventBatch = 200
)

// Event is what happened, as live streams and webhooks tell it.
type Event struct {
	Type      string          `json:"type" doc:"message.sent, inbound.received, sim.state, …" example:"message.delivered"`
	Timestamp time.Time       `json:"timestamp"`
	Sequence  int64           `json:"sequence" doc:"Grows; the id of the stream's event"`
	Data      json.RawMessage `json:"data" doc:"What it happened to"`
}

// eventScope is who may see events of a type; false: everybody who may listen.
func eventScope(typ string) (auth.Scope, bool) {
	kind, _, _ := strings.Cut(typ, ".")
	switch kind {
	case "message":
		return auth.MessagesRead, true
	case "inbound":
		return auth.InboxRead, true
	case "contact":
		return auth.ContactsRead, true
	case "campaign":
		return auth.CampaignsRead, true
	case "sim", "modem":
		return auth.SIMsRead, true
	case "system":
		return "", false
	}
	return auth.Admin, true // a kind that is not known here is shown to the least
}

// streamEvents tells what happens, as it happens, until the client or the server
// has enough (text/event-stream, HTML living standard 9.2). What the client has
// missed since Last-Event-ID comes first.
func (s *Server) streamEvents(c echo.Context) error {
	ctx := c.Request().Context()
	after, err := s.resumeAfter(c)
	if err != nil {
		return err
	}
	// Before the first look, so that nothing falls between.
	hint, stop := s.store.Watch()
	defer stop()
	out, err := s.startStream(c)
	if err != nil {
		return err
	}
	defer out.end()
	if err := out.write("retry: 3000\n: hello\n\n"); err != nil {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	pace := time.NewTimer(0)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
		case <-beat.C:
			if !s.still(c) || out.write(": still here\n\n") != nil {
				return nil
			}
			continue
		case <-out.closing:
			return nil
		case <-ctx.Done():
			return nil
		}
		events, err := s.store.Events(ctx, after, eventBatch)
		if err != nil {
			return err
		}
		if text := s.eventText(s.person(c), events); text != "" && out.write(text) != nil {
			return nil
		}
		if len(events) > 0 {
			after = events[len(events)-1].Seq
		}
		if len(events) == eventBatch {
			pace.Reset(0)
			continue
		}
	wait:
		for {
			select {
			case <-hint:
				pace.Reset(eventPace)
				break wait
			case <-beat.C:
				if !s.still(c) || out.write(": still here\n\n") != nil {
					return nil
				}
			case <-out.closing:
				return nil
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// eventText is the events that p may see, in the stream's form.
func (s *Server) eventText(p auth.Principal, events []queue.Event) string {
	var b strings.Builder
	for _, e := range events {
		if scope, needed := eventScope(e.Type); needed && !p.May(scope) {
			continue
		}
		data, err := json.Marshal(Event{e.Type, e.At.UTC(), e.Seq, e.Data})
		if err != nil {
			s.log.Error("an event cannot be told", "seq", e.Seq, "err", err)
			continue
		}
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data)
	}
	return b.String()
}

// resumeAfter is the sequence number after which the client wants to hear. A
// new one hears from now on.
func (s *Server) resumeAfter(c echo.Context) (int64, error) {
	last, err := s.store.LastEvent(c.Request().Context())
	if err != nil {
		return 0, err
	}
	id := c.Request().Header.Get("Last-Event-ID")
	if id == "" {
		return last, nil
	}
	after, err := strconv.ParseInt(id, 10, 64)
	if err != nil || after < 0 {
		return 0, invalid("header.Last-Event-ID", "this is not the id of an event; leave it out to hear from now on", id)
	}
	return min(after, last), nil
}

// still tells whether the stream's client may go on listening: the key may have
// been revoked since, the session have ended.
func (s *Server) still(c echo.Context) bool {
	p := s.person(c)
	r := c.Request()
	switch p.Kind {
	case auth.KindConsole:
		return true
	case auth.KindKey:
		now, err := s.auth.Verify(r.Context(), credentials(r), remote(r))
		return err == nil && now.ID == p.ID
	case auth.KindPerson:
		now, err := s.fromSession(c, false)
		return err == nil && now.ID == p.ID
	}
	return false
}

// describeEvents adds the stream to the OpenAPI description.
func (s *Server) describeEvents(api *huma.OpenAPI, path string, who access) {
	schemas := api.Components.Schemas
	api.AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: path, OperationID: "stream-events", Tags: []string{"Events"},
		Summary: "What happens, as it happens",
		Description: describeAccess("Server-sent events. Each has id (the sequence number), event (the type) and data (JSON as below). "+
			"Shown are those that the key's read scopes cover: messages:read message.*, inbox:read inbound.*, sims:read sim.* and modem.*, "+
			"contacts:read contact.*, campaigns:read campaign.*. A comment comes every 15 seconds when nothing happens.", who),
		Parameters: []*huma.Param{{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "The id of the last event that was seen; what was missed comes first. Without it: from now on"}},
		Responses: map[string]*huma.Response{
			"200": {Description: "A stream without end", Content: map[string]*huma.MediaType{
				"text/event-stream": {Schema: schemas.Schema(reflect.TypeFor[Event](), true, "Event")}}},
			"default": problemResponse(schemas),
		},
		Security: security(),
	})
}

// stream is one answer that goes on.
type stream struct {
	c       echo.Context
	control *http.ResponseController
	closing <-chan struct{}
	slowest time.Duration
	end     func()
}

// startStream counts the stream in and sends its headers. Call end when done.
func (s *Server) startStream(c echo.Context) (*stream, error) {
	release, err := s.streams.open(s.person(c).String())
	if err != nil {
		return nil, err
	}
	s.metrics.streams.Inc()
	st := &stream{c: c, control: http.NewResponseController(c.Response()), closing: s.streams.closing, slowest: s.streams.slowest,
		end: func() { s.metrics.streams.Dec(); release() }}
	// The server's read timeout is for requests that dribble; this one has been read.
	if err := st.control.SetReadDeadline(time.Time{}); err != nil && c.Request().Context().Err() == nil {
		s.log.Debug("a stream has no deadlines", "err", err)
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream; charset=utf-8")
	h.Set(echo.HeaderCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no")
	c.Response().WriteHeader(http.StatusOK)
	return st, nil
}

// write sends text now. Each write has its own deadline in place of the
// server's for a whole answer; who does not read is dropped.
func (st *stream) write(text string) error {
	if err := st.control.SetWriteDeadline(time.Now().Add(st.slowest)); err != nil && st.c.Request().Context().Err() != nil {
		return context.Cause(st.c.Request().Context())
	}
	if _, err := st.c.Response().Write([]byte(text)); err != nil {
		return err
	}
	return st.control.Flush()
}
