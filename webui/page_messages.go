package webui

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/modem/pdu"
	"recado/queue"
	"recado/webui/auth"
)

// groups are several states under one word, for the filter and the tiles.
var groups = map[string][]queue.State{
	"open":    {queue.Scheduled, queue.Held, queue.Queued, queue.Sending},
	"out":     {queue.Sent, queue.Delivered, queue.Undelivered},
	"problem": {queue.Failed, queue.Undelivered, queue.Expired},
}

var classes = []string{string(queue.OTP), string(queue.Alert), string(queue.Normal), string(queue.Bulk)}

// messageFilter is the list's filter as the address has it.
type messageFilter struct {
	Q, State, Class, Reference, Since, Until, Cursor string
}

// Any says that the list is narrowed.
func (f messageFilter) Any() bool {
	return f.Q != "" || f.State != "" || f.Class != "" || f.Reference != "" || f.Since != "" || f.Until != ""
}

// Folded says that one of the conditions beside the search is set.
func (f messageFilter) Folded() bool {
	f.Q = ""
	return f.Any()
}

// address of the list at a cursor; "" is the newest.
func (f messageFilter) address(cursor string) string {
	q := url.Values{}
	for name, value := range map[string]string{"q": f.Q, "state": f.State, "class": f.Class, "reference": f.Reference,
		"since": f.Since, "until": f.Until, "cursor": cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return "/messages"
	}
	return "/messages?" + q.Encode()
}

// filter is the same for the queue. A day that cannot be read does not narrow.
func (f messageFilter) filter(zone *time.Location) queue.Filter {
	out := queue.Filter{Search: f.Q, Class: queue.Class(f.Class), Reference: f.Reference, Cursor: f.Cursor, Limit: 50}
	if g, ok := groups[f.State]; ok {
		out.States = g
	} else if f.State != "" {
		out.States = []queue.State{queue.State(f.State)}
	}
	if day, err := time.ParseInLocation(time.DateOnly, f.Since, zone); err == nil {
		out.Since = day
	}
	if day, err := time.ParseInLocation(time.DateOnly, f.Until, zone); err == nil {
		out.Until = day.AddDate(0, 0, 1)
	}
	return out
}

// messagesPage is what messages.html shows.
type messagesPage struct {
	Filter      messageFilter
	States      []string
	Classes     []string
	Messages    []queue.Message
	First, Next string // addresses
	Errors      []string
}

func (s *Server) showMessages(c echo.Context) error {
	f := messageFilter{Q: strings.TrimSpace(c.QueryParam("q")), State: c.QueryParam("state"), Class: c.QueryParam("class"),
		Reference: c.QueryParam("reference"), Since: c.QueryParam("since"), Until: c.QueryParam("until"), Cursor: c.QueryParam("cursor")}
	p := messagesPage{Filter: f, Classes: classes, States: []string{"open", "out", "problem"}, First: f.address("")}
	for _, state := range queue.States {
		p.States = append(p.States, string(state))
	}
	list, next, err := s.store.Messages(c.Request().Context(), f.filter(zoneOf(c.Request())))
	if lines, ok := s.explain(c, err); ok {
		p.Errors = lines
		return s.page(c, http.StatusUnprocessableEntity, "messages", "messages", p)
	}
	if err != nil {
		return err
	}
	p.Messages = list
	if next != "" {
		p.Next = f.address(next)
	}
	return s.page(c, http.StatusOK, "messages", "messages", p)
}

// messagePage is what message.html shows.
type messagePage struct {
	Message               queue.Message
	Why                   string // the state's reason or error, in words
	SIM                   string // the sending SIM as people call it
	CanCancel, CanResolve bool
	// Evidence is what is awaited, or was, of a lost answer, and what happens then.
	Evidence string
	ByPerson bool   // sent by somebody's word, not the network's
	NoResend string // why sending it again cannot be chosen; "" it can
	Timeline []timelineItem
}

// timelineItem is one thing that happened, in words.
type timelineItem struct {
	At            time.Time
	Title, Detail string
	Icon, Tone    string
}

func (s *Server) showMessage(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := s.store.Message(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	entries, err := s.store.Timeline(ctx, m.ID)
	if err != nil {
		return err
	}
	names, err := s.simNames(c)
	if err != nil {
		return err
	}
	l := s.words(c)
	p := messagePage{Message: m, SIM: names(m.SIM), CanResolve: m.State == queue.Uncertain, Why: why(l, m),
		CanCancel: m.Attempts == 0 && (m.State == queue.Queued || m.State == queue.Scheduled || m.State == queue.Held)}
	p.Evidence = evidence(l, m)
	switch {
	case !m.TextDeletedAt.IsZero():
		p.NoResend = l.t("resolve.no_text")
	case m.Damaged:
		p.NoResend = l.t("resolve.damaged")
	}
	tries := map[int]int{} // of each segment
	for _, e := range entries {
		if m.State == queue.Sent && e.Event == "resolved" {
			p.ByPerson = strings.HasPrefix(e.Detail, queue.ResolveSent)
		}
		if e.Event == "gate" {
			tries[e.Segment]++
			e.Attempt = tries[e.Segment]
		}
		p.Timeline = append(p.Timeline, timelineItemOf(l, e, len(m.Segments), names))
	}
	return s.page(c, http.StatusOK, "message", "messages", p)
}

// evidence says what may still show whether an uncertain message arrived, and what
// happens otherwise; "" for any other.
func evidence(l *locale, m queue.Message) string {
	if m.State != queue.Uncertain {
		return ""
	}
	if m.Reason != queue.ReasonAnswerLost {
		return l.t("evidence.over")
	}
	key := "evidence.final"
	switch {
	case m.Delivery == queue.AtLeastOnce:
		key = "evidence.again"
	case m.Delivery == queue.Bounded && !m.PossibleDuplicate:
		key = "evidence.once"
	}
	return l.t(key, "Span", l.span(queue.EvidenceWindow(m.Class)))
}

// why says what held, failed or lost the message.
func why(l *locale, m queue.Message) string {
	switch m.State {
	case queue.Held, queue.Failed, queue.Undelivered, queue.Uncertain, queue.Queued:
	default:
		return ""
	}
	if m.Error != nil {
		return l.tor("code."+m.Error.Code, l.tor("error_class."+m.Error.Class, m.Error.Detail))
	}
	if m.Reason == "" {
		return ""
	}
	return l.tor("reason."+m.Reason, m.Reason)
}

// timelineItemOf puts one entry into words.
func timelineItemOf(l *locale, e queue.TimelineEntry, segments int, names func(string) string) timelineItem {
	item := timelineItem{At: e.At, Icon: "history", Tone: "idle"}
	var detail []string
	if segments > 1 && e.Segment > 0 {
		detail = append(detail, l.t("timeline.segment", "N", e.Segment, "Of", segments))
	}
	key := e.Event
	switch e.Event {
	case "accepted":
		item.Icon = "clock"
	case "gate":
		item.Icon, item.Tone = "send", "info"
		if e.Attempt > 1 {
			detail = append(detail, l.t("timeline.attempt", "N", e.Attempt))
		}
	case "answer":
		key = "answer_" + e.Verdict
		item.Icon, item.Tone = "check", "info"
		if e.Verdict != "accepted" && e.Verdict != "duplicate" {
			item.Icon, item.Tone = "triangle-alert", "warn"
		}
	case "report":
		status := pdu.StatusOf(uint8(max(e.Status, 0)))
		switch {
		case status.Delivered():
			key, item.Icon, item.Tone = "report_ok", "check-check", "ok"
		case status.Failed():
			key, item.Icon, item.Tone = "report_failed", "circle-x", "bad"
		default:
			key, item.Icon, item.Tone = "report_trying", "hourglass", "info"
		}
		detail = append(detail, l.tor("report_status."+strconv.Itoa(e.Status), pdu.StatusText(uint8(max(e.Status, 0)))))
	case "expired":
		item.Icon, item.Tone = stateIcon(e.Event), "bad"
	case "retry", "undecided":
		item.Icon, item.Tone = "triangle-alert", "warn"
	case "proved", "late_answer":
		item.Icon, item.Tone = "check", "info"
	case "report_other_sim":
		detail = append(detail, names(e.Detail))
	case "resolved":
		action, who, _ := strings.Cut(e.Detail, " by ")
		_, name, _ := strings.Cut(who, ":")
		detail = append(detail, l.tor("resolve."+action, action), l.t("timeline.by", "Who", cmp.Or(name, who)))
	case "cancelled":
		item.Icon = "ban"
	case "held":
		item.Icon, item.Tone = "pause", "warn"
		detail = append(detail, l.tor("held_reason."+e.Detail, e.Detail))
	case "released", "discarded":
		item.Icon, item.Tone = "play", "info"
		if e.Event == "discarded" {
			item.Icon, item.Tone = "ban", "idle"
		}
		_, who, _ := strings.Cut(e.Detail, "by ")
		_, name, _ := strings.Cut(who, ":")
		detail = append(detail, l.t("timeline.by", "Who", cmp.Or(name, who)))
	}
	item.Title = l.tor("timeline."+key, e.Event)
	if e.SIM != "" && e.Event == "gate" {
		detail = append(detail, l.t("timeline.on", "SIM", names(e.SIM)))
		if words := whyWords(l, e.Why); words != "" {
			detail = append(detail, words)
		}
	}
	if e.MR >= 0 && (e.Event == "answer" || e.Event == "report") {
		detail = append(detail, "MR "+strconv.Itoa(e.MR))
	}
	if e.Code != "" {
		detail = append(detail, l.tor("code."+e.Code, cmp.Or(e.Detail, e.Code)))
	}
	item.Detail = strings.Join(detail, " · ")
	return item
}

// simNames gives a function from an ICCID to what people call that SIM.
func (s *Server) simNames(c echo.Context) (func(string) string, error) {
	sims, err := s.pool.SIMs(c.Request().Context())
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, sim := range sims {
		names[sim.ICCID] = simLabel(sim)
	}
	return func(iccid string) string {
		if n, ok := names[iccid]; ok {
			return n
		}
		return iccid
	}, nil
}

func (s *Server) cancelPage(c echo.Context) error {
	here := "/messages/" + url.PathEscape(c.Param("id"))
	_, err := s.store.Cancel(c.Request().Context(), c.Param("id"))
	if errors.Is(err, queue.ErrState) {
		return newProblem(http.StatusConflict, "")
	}
	if err != nil {
		return err
	}
	return s.done(c, here, "cancelled", 0)
}

func (s *Server) resolvePage(c echo.Context) error {
	here, action := "/messages/"+url.PathEscape(c.Param("id")), c.FormValue("action")
	if action != queue.ResolveResend && action != queue.ResolveSent && action != queue.ResolveFailed {
		return newProblem(http.StatusUnprocessableEntity, "")
	}
	who := s.person(c)
	_, err := s.store.Resolve(c.Request().Context(), c.Param("id"), action, who.String())
	if errors.Is(err, queue.ErrState) {
		return newProblem(http.StatusConflict, "")
	}
	if err != nil {
		return err
	}
	return s.done(c, here, "resolved", 0)
}

// audit records who did what. It was done already: that the record failed is
// logged and changes nothing for the person.
func (s *Server) audit(c echo.Context, who auth.Principal, action, object, detail string) {
	if err := s.auth.Audit(c.Request().Context(), who, action, object, detail); err != nil {
		s.log.Error("an audit row was not written", "action", action, "err", err)
	}
}
