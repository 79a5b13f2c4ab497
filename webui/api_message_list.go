package webui

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recado/modem/pdu"
	"recado/pool"
	"recado/queue"
)

func itoa(i int) string { return strconv.Itoa(i) }

// MessageList is a part of the messages.
type MessageList list[Message]

type listMessagesIn struct {
	Paging
	State     []string  `query:"state" enum:"scheduled,held,queued,sending,sent,delivered,undelivered,uncertain,failed,expired,cancelled" doc:"One or more, separated by commas"`
	To        string    `query:"to" maxLength:"32" doc:"The recipient's number"`
	Class     string    `query:"class" enum:"otp,alert,normal,bulk"`
	Reference string    `query:"reference" maxLength:"128"`
	Campaign  string    `query:"campaign" maxLength:"64"`
	Since     time.Time `query:"since" doc:"Accepted at or after"`
	Until     time.Time `query:"until" doc:"Accepted before"`
}

func (s *Server) listMessages() *operation {
	type out struct{ Body MessageList }
	return op(operation{id: "list-messages", tag: "Messages", summary: "Messages, newest first"},
		func(ctx context.Context, in *listMessagesIn) (*out, error) {
			f := queue.Filter{Class: queue.Class(in.Class), Reference: in.Reference, Campaign: in.Campaign,
				Since: in.Since, Until: in.Until, Limit: in.Limit, Cursor: in.Cursor, To: s.number(in.To)}
			for _, state := range in.State {
				f.States = append(f.States, queue.State(state))
			}
			messages, next, err := s.store.Messages(ctx, f)
			return &out{MessageList(listed(messages, next, messageOf))}, err
		})
}

// number completes a number that somebody looks for; what is none stays as it is
// and finds nothing. A + that a query string turned into a space is put back.
func (s *Server) number(raw string) string {
	if raw == "" {
		return ""
	}
	if e164, rejected := s.store.Numbers().Normalize(strings.Replace(raw, " ", "+", 1)); strings.HasPrefix(raw, " ") && rejected == nil {
		return e164
	}
	if e164, rejected := s.store.Numbers().Normalize(raw); rejected == nil {
		return e164
	}
	return raw
}

// TimelineEntry is one thing that happened to a message.
type TimelineEntry struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event" doc:"accepted, gate, answer, report, held, released, queued, retry, uncertain, resolved, expired, cancelled, failed, …"`
	Segment *int      `json:"segment" doc:"Null: the whole message"`
	Attempt *int      `json:"attempt" doc:"Its number within the message, from 1"`
	SIM     *string   `json:"sim" doc:"ICCID"`
	Modem   *string   `json:"modem"`
	MR      *int      `json:"mr" doc:"TP-MR that the network gave"`
	Verdict *string   `json:"verdict" doc:"Of an answer: accepted, rejected, ambiguous, not_sent, duplicate"`
	Status  *int      `json:"status" doc:"TP-ST of a status report"`
	Code    *string   `json:"code"`
	Detail  *string   `json:"detail"`
	Why     *string   `json:"why" doc:"Of a gate, why this SIM: pinned (asked for), bound (it sent an earlier segment), sticky (the recipient knows its number), route, only (no other could), most_left, first_free, failover:CODE (another failed with that)"`
}

func timelineOf(e queue.TimelineEntry) TimelineEntry {
	return TimelineEntry{At: e.At.UTC(), Event: e.Event, Segment: counted(e.Segment), Attempt: counted(e.Attempt), SIM: some(e.SIM),
		Modem: some(e.Modem), MR: known(e.MR), Verdict: some(e.Verdict), Status: known(e.Status), Code: some(e.Code), Detail: some(e.Detail), Why: some(e.Why)}
}

// counted is nil for 0, where things count from 1.
func counted(n int) *int {
	if n < 1 {
		return nil
	}
	return &n
}

// Timeline is everything that happened to a message, oldest first.
type Timeline list[TimelineEntry]

func (s *Server) messageTimeline() *operation {
	type out struct{ Body Timeline }
	return op(operation{id: "get-message-timeline", tag: "Messages", summary: "Everything that happened to a message",
		description: "Every attempt, answer and report, oldest first; the whole of it."},
		func(ctx context.Context, in *MessageID) (*out, error) {
			entries, err := s.store.Timeline(ctx, in.ID)
			return &out{Timeline(listed(entries, "", timelineOf))}, err
		})
}

type resolveIn struct {
	MessageID
	Body struct {
		Action string `json:"action" enum:"resend,mark_sent,mark_failed" doc:"Send it again, take it as sent, or as failed"`
	} `nameHint:"Resolution"`
}

func (s *Server) resolveMessage() *operation {
	return op(operation{id: "resolve-message", tag: "Messages", summary: "Decide an uncertain message",
		description: "For messages in state uncertain only: the network's answer was lost, and somebody knows better. 409 for others."},
		func(ctx context.Context, in *resolveIn) (*messageOut, error) {
			who := callerOf(ctx).principal
			m, err := s.store.Resolve(ctx, in.ID, in.Body.Action, who.String())
			switch {
			case errors.Is(err, queue.ErrTextDeleted), errors.Is(err, queue.ErrDamaged):
				return nil, newProblem(http.StatusConflict, "it cannot be sent again: its text is deleted or damaged; send a new message, and take this one as sent or failed")
			case errors.Is(err, queue.ErrState):
				return nil, newProblem(http.StatusConflict, "only an uncertain message can be resolved")
			}
			return &messageOut{messageOf(m)}, err
		})
}

// Quote is what a request would cost.
type Quote struct {
	Encoding           string      `json:"encoding" enum:"gsm7,ucs2"`
	Characters         int         `json:"characters" doc:"As the alphabet counts: an extension character of GSM 7-bit is two"`
	Segments           int         `json:"segments" doc:"Of one message"`
	PerSegment         int         `json:"per_segment" doc:"Room of each, in the same units"`
	LeftInSegment      int         `json:"left_in_segment" doc:"Room left in the last one"`
	OutsideGSM7        []Outside   `json:"outside_gsm7" nullable:"false" doc:"The characters that GSM 7-bit does not have"`
	TransliteratedText string      `json:"transliterated_text" doc:"The text with those replaced by their nearest"`
	Recipients         int         `json:"recipients"`
	Accepted           int         `json:"accepted"`
	Rejected           []Rejection `json:"rejected" nullable:"false"`
	TotalSegments      int         `json:"total_segments" doc:"Over all accepted recipients"`
	ETASeconds         *int        `json:"eta_seconds" doc:"From now until the network has answered the last, behind what waits and within limits, paces and quiet hours; null: nobody knows, see waits"`
	Feasible           bool        `json:"feasible" doc:"All of it leaves before it expires, as far as is known now"`
	Begins             *time.Time  `json:"begins" doc:"When the first would leave"`
	Finish             *time.Time  `json:"finish" doc:"When the last would have left"`
	SIMs               []SIMShare  `json:"sims" nullable:"false" doc:"How the SIMs would share it"`
	FirstLimit         *LimitHit   `json:"first_limit" doc:"The limit that runs out first; null: none does"`
	LeftForOTP         []LeftOTP   `json:"left_for_otp" nullable:"false" doc:"What each SIM has left for one-time codes when it is done"`
	Waits              []QuoteWait `json:"waits" nullable:"false" doc:"Times in which nothing of it leaves"`
	Expired            int         `json:"expired" doc:"Messages whose validity would be over before they leave"`
	Unsent             int         `json:"unsent" doc:"Messages that would not leave at all, as things are"`
	Guessed            bool        `json:"guessed" doc:"Of a SIM nobody has measured yet how fast it sends"`
}

// TransformSchema says what a pointer to an object does not: that it may be null.
func (Quote) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	nullable(r, s, "first_limit", reflect.TypeFor[LimitHit]())
	return s
}

// LimitHit is a limit that runs out.
type LimitHit struct {
	SIM    string    `json:"sim" doc:"ICCID"`
	Window string    `json:"window" enum:"minute,hour,day,month"`
	Kind   string    `json:"kind" enum:"segments,recipients"`
	At     time.Time `json:"at"`
}

// LeftOTP is what a SIM has left for one-time codes; null: no limit.
type LeftOTP struct {
	SIM      string `json:"sim" doc:"ICCID"`
	Segments *int   `json:"segments" doc:"When all is done"`
	Least    *int   `json:"least" doc:"At the worst moment until then"`
}

// QuoteWait is a time in which nothing leaves.
type QuoteWait struct {
	Why   string     `json:"why" enum:"scheduled,ahead,paused,class,sim_paused,quiet_hours,send_window,limit_minute,limit_hour,limit_day,limit_month,limit_recipients,no_line,clock"`
	From  time.Time  `json:"from"`
	Until *time.Time `json:"until" doc:"Null: nobody knows"`
}

// Outside is a character that GSM 7-bit does not have.
type Outside struct {
	Char       string  `json:"char"`
	At         int     `json:"at" doc:"Its place in the text, in characters from 0"`
	Suggestion *string `json:"suggestion" doc:"The nearest; null when there is none"`
}

// SIMShare is a SIM's part of some work.
type SIMShare struct {
	SIM      string  `json:"sim" doc:"ICCID"`
	Share    float64 `json:"share" doc:"0 to 1"`
	Segments int     `json:"segments"`
}

func (s *Server) quoteMessages() *operation {
	type (
		in  struct{ Body MessageRequest }
		out struct{ Body Quote }
	)
	return op(operation{id: "quote-messages", tag: "Messages", summary: "What a text would cost", maxBody: 256 << 10,
		description: "Takes what POST /messages takes, and stores nothing."},
		func(ctx context.Context, in *in) (*out, error) {
			r, err := s.request(ctx, &in.Body)
			if err != nil {
				return nil, err
			}
			q, err := s.quote(ctx, r)
			return &out{q}, err
		})
}

// quote measures a request and estimates when it would be done.
func (s *Server) quote(ctx context.Context, r queue.Request) (Quote, error) {
	m, err := s.store.Quote(ctx, r)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Encoding: encodingName(m.Encoding), Characters: m.Characters, Segments: m.Segments, PerSegment: m.PerSegment,
		LeftInSegment: m.LeftInSegment, OutsideGSM7: []Outside{}, TransliteratedText: m.TransliteratedText,
		Recipients: m.Recipients, Accepted: m.Accepted, Rejected: []Rejection{}, TotalSegments: m.TotalSegments, SIMs: []SIMShare{},
		LeftForOTP: []LeftOTP{}, Waits: []QuoteWait{}}
	for _, o := range m.OutsideGSM7 {
		q.OutsideGSM7 = append(q.OutsideGSM7, Outside{o.Char, o.At, some(o.Suggestion)})
	}
	for _, j := range m.Rejected {
		q.Rejected = append(q.Rejected, rejectionOf(j))
	}
	if m.Accepted == 0 {
		return q, nil
	}
	f, err := s.pool.Forecast(ctx, pool.WorkOf(r, m))
	if err != nil {
		return Quote{}, err
	}
	q.forecast(f)
	return q, nil
}

// forecast fills in what becomes of it.
func (q *Quote) forecast(f pool.Forecast) {
	if f.ETA >= 0 {
		q.ETASeconds = new(int((f.ETA + time.Second - 1) / time.Second))
	}
	q.Feasible, q.Begins, q.Finish = f.Feasible, when(f.Begins), when(f.Finish)
	q.Expired, q.Unsent, q.Guessed = f.Expired, f.Unsent, f.Guessed
	for _, share := range f.Shares {
		q.SIMs = append(q.SIMs, SIMShare{share.ICCID, share.Share, share.Segments})
	}
	if hit := f.FirstLimit(); hit != nil {
		q.FirstLimit = &LimitHit{hit.ICCID, hit.Window, map[bool]string{true: "recipients", false: "segments"}[hit.Recipients], hit.At.UTC()}
	}
	for _, left := range f.Left {
		q.LeftForOTP = append(q.LeftForOTP, LeftOTP{left.ICCID, known(left.Segments), known(left.Least)})
	}
	for _, w := range f.Waits {
		q.Waits = append(q.Waits, QuoteWait{w.Why, w.From.UTC(), when(w.Until)})
	}
}

func encodingName(e pdu.Encoding) string {
	if e == pdu.UCS2 {
		return "ucs2"
	}
	return "gsm7"
}
