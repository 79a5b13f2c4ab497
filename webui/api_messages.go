package webui

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/modem/pdu"
	"recado/pool"
	"recado/queue"
)

// Message is one text to one recipient, as the API shows it.
type Message struct {
	ID                string        `json:"id" doc:"UUIDv7"`
	To                string        `json:"to" doc:"E.164, or a short code" example:"+34600111222"`
	From              *string       `json:"from" doc:"The sending SIM's number; null before it is sent or when it is not known"`
	Text              string        `json:"text"`
	Class             string        `json:"class" enum:"otp,alert,normal,bulk"`
	State             string        `json:"state" enum:"scheduled,held,queued,sending,sent,delivered,undelivered,uncertain,failed,expired,cancelled"`
	Reason            *string       `json:"reason" doc:"Why it is held, failed or uncertain: a stable code"`
	Reference         *string       `json:"reference" doc:"The application's own"`
	Encoding          string        `json:"encoding" enum:"gsm7,ucs2"`
	Delivery          string        `json:"delivery" enum:"at_most_once,at_least_once,bounded" doc:"What happens when the network's answer is lost; bounded: one flagged retry"`
	SIM               *string       `json:"sim" doc:"ICCID of the SIM that sends or sent it; before that the one that was asked for"`
	Campaign          *string       `json:"campaign"`
	Segments          []Segment     `json:"segments" nullable:"false"`
	Attempts          int           `json:"attempts" doc:"Tries to hand a segment to the network"`
	PossibleDuplicate bool          `json:"possible_duplicate" doc:"An answer was lost and the message was sent again"`
	CreatedAt         time.Time     `json:"created_at"`
	SendAt            *time.Time    `json:"send_at" doc:"Null: at once"`
	ExpiresAt         *time.Time    `json:"expires_at"`
	SentAt            *time.Time    `json:"sent_at"`
	DeliveredAt       *time.Time    `json:"delivered_at"`
	Error             *MessageError `json:"error" doc:"The last error, while it matters"`
}

// TransformSchema says what a pointer to an object does not: that it may be null.
func (Message) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	nullable(r, s, "error", reflect.TypeFor[MessageError]())
	return s
}

// nullable makes a property either the object or null.
func nullable(r huma.Registry, s *huma.Schema, property string, object reflect.Type) {
	p := s.Properties[property]
	s.Properties[property] = &huma.Schema{Description: p.Description,
		AnyOf: []*huma.Schema{r.Schema(object, true, ""), {Type: "null"}}}
}

// Segment is one SMS of a message.
type Segment struct {
	N            int        `json:"n" doc:"From 1"`
	State        string     `json:"state" enum:"pending,sending,sent,delivered,undelivered,uncertain,failed"`
	MR           *int       `json:"mr" doc:"TP-MR (3GPP TS 23.040 9.2.3.6); null before the network gave it"`
	SentAt       *time.Time `json:"sent_at"`
	ReportAt     *time.Time `json:"report_at"`
	ReportStatus *int       `json:"report_status" doc:"TP-ST of the last status report (9.2.3.15)"`
	ReportText   *string    `json:"report_status_text" doc:"What that means, in English"`
}

// MessageError is why a message did not go on.
type MessageError struct {
	Code   string `json:"code" example:"cms_38"`
	Class  string `json:"class" doc:"recipient, content, network, sim, device, storage, busy or unknown" example:"network"`
	Detail string `json:"detail"`
}

// simOf is the SIM that sends or sent a message, or that was asked for: not one that
// it only prefers.
func simOf(m queue.Message) string {
	if m.Preferred {
		return ""
	}
	return m.SIM
}

func messageOf(m queue.Message) Message {
	out := Message{
		ID: m.ID, To: m.To, From: some(m.From), Text: m.Text, Class: string(m.Class), State: string(m.State),
		Reason: some(m.Reason), Reference: some(m.Reference), Encoding: m.Encoding, Delivery: string(m.Delivery),
		SIM: some(simOf(m)), Campaign: some(m.Campaign), Segments: make([]Segment, len(m.Segments)),
		Attempts: m.Attempts, PossibleDuplicate: m.PossibleDuplicate, CreatedAt: m.CreatedAt.UTC(), SendAt: when(m.SendAt),
		ExpiresAt: when(m.ExpiresAt), SentAt: when(m.SentAt), DeliveredAt: when(m.DeliveredAt),
	}
	for i, g := range m.Segments {
		out.Segments[i] = Segment{N: g.N, State: string(g.State), MR: known(g.MR), SentAt: when(g.SentAt),
			ReportAt: when(g.ReportAt), ReportStatus: known(g.ReportStatus)}
		if g.ReportStatus >= 0 {
			out.Segments[i].ReportText = new(pdu.StatusText(uint8(g.ReportStatus)))
		}
	}
	if m.Error != nil {
		out.Error = &MessageError{Code: m.Error.Code, Class: m.Error.Class, Detail: m.Error.Detail}
	}
	return out
}

// Recipients is one number or a list of them.
type Recipients []string

// maxRecipients of one request.
const maxRecipients = 1000

// Schema implements huma.SchemaProvider.
func (Recipients) Schema(huma.Registry) *huma.Schema {
	one, least, most := 1, 1, maxRecipients
	number := &huma.Schema{Type: "string", MinLength: &one, Description: "E.164, or national to the configured country"}
	return &huma.Schema{
		Description: "One number or up to 1000; each gets a message of its own",
		OneOf:       []*huma.Schema{number, {Type: "array", Items: number, MinItems: &least, MaxItems: &most}},
		Examples:    []any{"+34600111222", []string{"+34600111222", "600333444"}},
	}
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Recipients) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*r = make(Recipients, 1)
		return json.Unmarshal(b, &(*r)[0])
	}
	return json.Unmarshal(b, (*[]string)(r))
}

// MessageRequest asks for one text to one or more recipients.
type MessageRequest struct {
	To            Recipients `json:"to"`
	Text          string     `json:"text" minLength:"1" doc:"The text; characters outside GSM 7-bit make it UCS-2 and longer"`
	Class         string     `json:"class,omitempty" enum:"otp,alert,normal,bulk" default:"normal" doc:"Its lane, and what happens when an answer is lost"`
	Encoding      string     `json:"encoding,omitempty" enum:"auto,gsm7,ucs2" default:"auto" doc:"auto: GSM 7-bit if the text fits it, else UCS-2"`
	Transliterate bool       `json:"transliterate,omitempty" doc:"Replace characters outside GSM 7-bit by their nearest"`
	MaxSegments   int        `json:"max_segments,omitempty" minimum:"1" maximum:"255" default:"10" doc:"Refuse a text that would take more"`
	Flash         bool       `json:"flash,omitempty" doc:"Shown at once and not kept (message class 0)"`
	SIM           string     `json:"sim,omitempty" maxLength:"64" doc:"ICCID or name of the only SIM that may send it; the pool chooses when absent"`
	SendAt        *time.Time `json:"send_at,omitempty" doc:"Not before; at once when absent"`
	ValidFor      int        `json:"valid_for,omitempty" minimum:"1" maximum:"38102400" doc:"Seconds from the moment it may be sent; by class when absent"`
	Delivery      string     `json:"delivery,omitempty" enum:"at_most_once,at_least_once" doc:"What to do when the network's answer is lost; by class when absent"`
	Report        *bool      `json:"report,omitempty" default:"true" doc:"Show delivery reports"`
	Reference     string     `json:"reference,omitempty" maxLength:"128" doc:"The application's own"`
}

// TransformSchema gives an example that works as it is.
func (MessageRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Examples = []any{map[string]any{"to": "+34600111222", "text": "Su cita es mañana a las 9:30", "reference": "cita-4711"}}
	return s
}

// request makes the queue's Request; names of SIMs are resolved, and a key that
// may send one class only is held to it.
func (s *Server) request(ctx context.Context, b *MessageRequest) (queue.Request, error) {
	who := callerOf(ctx).principal
	if who.Class != "" && b.Class != who.Class {
		return queue.Request{}, newProblem(http.StatusForbidden, "this API key may only send the class "+who.Class)
	}
	r := queue.Request{
		To: b.To, Text: b.Text, Class: queue.Class(b.Class), Encoding: b.Encoding, Transliterate: b.Transliterate,
		MaxSegments: b.MaxSegments, Flash: b.Flash, ValidFor: time.Duration(b.ValidFor) * time.Second,
		Delivery: queue.Delivery(b.Delivery), Report: b.Report == nil || *b.Report, Reference: b.Reference, KeyID: who.ID,
	}
	if b.SendAt != nil {
		r.SendAt = b.SendAt.UTC()
	}
	if b.SIM != "" {
		sim, err := s.pool.SIM(ctx, b.SIM)
		if errors.Is(err, pool.ErrNoSIM) {
			return r, invalid("body.sim", "there is no SIM with this ICCID or name; see GET /sims", b.SIM)
		}
		if err != nil {
			return r, err
		}
		r.SIM = sim.ICCID
	}
	return r, nil
}

// Submitted says what became of each recipient.
type Submitted struct {
	Messages []Message   `json:"messages" nullable:"false"`
	Rejected []Rejection `json:"rejected" nullable:"false"`
}

// Rejection is a recipient that gets no message.
type Rejection struct {
	To     string `json:"to"`
	Code   string `json:"code" enum:"invalid_number,premium_number,country_not_allowed,opted_out,duplicate"`
	Detail string `json:"detail"`
}

func rejectionOf(r queue.Rejection) Rejection {
	return Rejection{To: r.To, Code: string(r.Code), Detail: r.Detail}
}

func submittedOf(r queue.Result) Submitted {
	out := Submitted{Messages: make([]Message, len(r.Messages)), Rejected: make([]Rejection, len(r.Rejected))}
	for i, m := range r.Messages {
		out.Messages[i] = messageOf(m)
	}
	for i, j := range r.Rejected {
		out.Rejected[i] = rejectionOf(j)
	}
	return out
}

type submitIn struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"The same key with the same body gives the first answer again, for at least 72 h. Printable ASCII, not blank"`
	Body           MessageRequest

	keys []string // the header's values as they came: an empty one is no missing one
}

// keyHeader is where a Problem says the key is.
const keyHeader = "header.Idempotency-Key"

// Resolve implements huma.Resolver.
func (in *submitIn) Resolve(ctx huma.Context) []error {
	ctx.EachHeader(func(name, value string) {
		if strings.EqualFold(name, "Idempotency-Key") {
			in.keys = append(in.keys, value)
		}
	})
	return nil
}

// checkKey refuses a key that cannot tell one request from another. Who sends one
// relies on it: taken for none, a repeat would be a second message.
func (in *submitIn) checkKey() error {
	bad := func(code, message string) error {
		p := invalid(keyHeader, message, nil)
		p.Errors[0].Code = code
		return p
	}
	switch {
	case len(in.keys) == 0:
		return nil
	case len(in.keys) > 1:
		return bad("idempotency_key_twice", "there is more than one: send it once")
	// As the IETF's draft writes it, the value is in quotes.
	case strings.Trim(in.IdempotencyKey, ` "`) == "":
		return bad("idempotency_key_empty", "it is empty: take a new one for each request, such as a UUID, or leave the header out")
	case strings.ContainsFunc(in.IdempotencyKey, func(r rune) bool { return r < ' ' || r > '~' }):
		return bad("idempotency_key_ascii", "take printable ASCII characters, such as a UUID")
	}
	return nil
}

type submitOut struct {
	Replayed string `header:"Idempotency-Replayed" doc:"true: this is the kept answer of an earlier request"`
	Body     Submitted
}

func (s *Server) submitMessages() *operation {
	return op(operation{id: "submit-messages", tag: "Messages", summary: "Send a text", status: http.StatusAccepted, maxBody: 256 << 10,
		description: "Answers when the messages are on disk; they are not yet sent. One message per recipient."},
		func(ctx context.Context, in *submitIn) (*submitOut, error) {
			key, done, err := s.idempotency(ctx, in)
			if err != nil {
				return nil, err
			}
			defer done()
			if key != nil { // before anything is checked that may have changed since
				if kept, err := s.store.Kept(ctx, key); kept != nil || err != nil {
					return replayed(kept, err)
				}
			}
			r, err := s.request(ctx, &in.Body)
			if err != nil {
				return nil, err
			}
			result, err := s.store.Submit(ctx, r, key)
			if errors.Is(err, queue.ErrAllRejected) {
				return nil, allRejected(in.Body.To, result.Rejected)
			}
			if err != nil {
				return nil, err
			}
			if result.Replayed != nil {
				return replayed(result.Replayed, nil)
			}
			s.metrics.accepted(r.Class, len(result.Messages))
			return &submitOut{Body: submittedOf(result)}, nil
		})
}

// replayed is the answer that was kept.
func replayed(kept []byte, err error) (*submitOut, error) {
	if err != nil {
		return nil, err
	}
	out := &submitOut{Replayed: "true"}
	return out, json.Unmarshal(kept, &out.Body)
}

// idempotency ties the request to its key. While one with the same key is being
// worked on, another is refused: its answer is not known yet.
func (s *Server) idempotency(ctx context.Context, in *submitIn) (*queue.Idempotency, func(), error) {
	if err := in.checkKey(); err != nil {
		return nil, nil, err
	}
	if len(in.keys) == 0 {
		return nil, func() {}, nil
	}
	type running struct{ scope, key string }
	mine := running{callerOf(ctx).principal.ID, in.IdempotencyKey}
	if _, busy := s.running.LoadOrStore(mine, true); busy {
		p := newProblem(http.StatusConflict, "a request with this Idempotency-Key is still running; ask again in a moment")
		p.RetryAfter = time.Second
		return nil, nil, p
	}
	// The meaning of the body, not its octets: a client may write it otherwise the second time.
	body, err := json.Marshal(&in.Body)
	if err != nil {
		s.running.Delete(mine)
		return nil, nil, err
	}
	hash := sha256.Sum256(body)
	return &queue.Idempotency{Scope: mine.scope, Key: mine.key, Hash: hash[:], Answer: func(r queue.Result) []byte {
		answer, err := json.Marshal(submittedOf(r))
		if err != nil { // texts and numbers always marshal
			panic(err)
		}
		return answer
	}}, func() { s.running.Delete(mine) }, nil
}

// allRejected is the 422 that names each recipient's reason.
func allRejected(to []string, rejected []queue.Rejection) *Problem {
	p := newProblem(http.StatusUnprocessableEntity, "no recipient was accepted")
	taken := make([]bool, len(to))
	for _, r := range rejected {
		e := ProblemError{Location: "body.to", Message: r.Detail, Value: brief(r.To), Code: string(r.Code)}
		for i := range to {
			if !taken[i] && to[i] == r.To {
				taken[i] = true
				if len(to) > 1 {
					e.Location = "body.to[" + itoa(i) + "]"
				}
				break
			}
		}
		p.Errors = append(p.Errors, e)
	}
	if len(p.Errors) == 1 {
		p.Detail = p.Errors[0].Message
	}
	return p
}

type messageOut struct{ Body Message }

type MessageID struct {
	ID string `path:"id" maxLength:"64" doc:"The message's id"`
}

func (s *Server) getMessage() *operation {
	return op(operation{id: "get-message", tag: "Messages", summary: "One message"},
		func(ctx context.Context, in *MessageID) (*messageOut, error) {
			m, err := s.store.Message(ctx, in.ID)
			return &messageOut{messageOf(m)}, err
		})
}

func (s *Server) cancelMessage() *operation {
	return op(operation{id: "cancel-message", tag: "Messages", summary: "Take a message back",
		description: "Possible until a segment has been handed to a modem; 409 afterwards."},
		func(ctx context.Context, in *MessageID) (*messageOut, error) {
			m, err := s.store.Cancel(ctx, in.ID)
			if errors.Is(err, queue.ErrState) {
				return nil, newProblem(http.StatusConflict, "it cannot be taken back any more: it has left, or it is finished")
			}
			return &messageOut{messageOf(m)}, err
		})
}
