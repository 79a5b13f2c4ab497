package webui

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/labstack/echo/v4"

	"recado/modem/pdu"
	"recado/pool"
	"recado/queue"
)

// writeQuote is what the write page says of the form while it is filled in.
type writeQuote struct {
	Touched              bool // there is something in the recipients' field
	Counted              bool // there is a text
	Ready                bool // the button may send
	Accepted, Duplicates int
	Refused              []queue.Rejection // but duplicates
	Characters, Segments int
	Left, Total          int
	Encoding             string
	Outside              []outsideChar
	Plain                string // the text with nearest characters
	PlainSegments        int
	PlainDiffers         bool
	Diff                 []diffPart
	Takes                string // until the last has left, in words
	NoLine               bool   // no line can send now
	When                 string // of a scheduled one
	Forecast             *forecastView
	Problems             []string
}

// outsideChar is a character that GSM 7-bit does not have, with how often.
type outsideChar struct {
	Char, Suggestion string
	Times            int
}

// diffPart is a run of the text that the replacement keeps or changes.
type diffPart struct {
	Same     bool
	Old, New string
}

// quoteForm measures a form that may still be half empty.
func (s *Server) quoteForm(c echo.Context, f writeForm) (*writeQuote, error) {
	r, problems := s.formRequest(c, f)
	q := &writeQuote{Touched: len(r.To) > 0, Problems: problems,
		Counted: strings.ContainsFunc(f.Text, func(r rune) bool { return !unicode.IsSpace(r) })}
	// The queue measures whole requests; for the half that is missing it gets
	// something, and what it says of that is dropped.
	if !q.Touched {
		r.To = []string{"112"}
	}
	if !q.Counted {
		r.Text = "."
	}
	if len(problems) > 0 {
		r.SendAt, r.ValidFor = time.Time{}, 0
	}
	if r.SIM != "" {
		if _, err := s.pool.SIM(c.Request().Context(), r.SIM); err != nil {
			q.Problems, r.SIM = append(q.Problems, s.words(c).t("invalid.sim")), ""
		}
	}
	got, err := s.store.Quote(c.Request().Context(), r)
	if lines, ok := s.explain(c, err); ok {
		q.Problems = append(q.Problems, lines...)
		return q, nil
	}
	if err != nil {
		return nil, err
	}
	if q.Touched {
		q.Accepted = got.Accepted
		for _, no := range got.Rejected {
			if no.Code == queue.Duplicate {
				q.Duplicates++
			} else {
				q.Refused = append(q.Refused, no)
			}
		}
	}
	if q.Counted {
		s.measure(c, q, f, got)
	}
	q.Total = q.Accepted * q.Segments
	q.Ready = q.Accepted > 0 && q.Counted && len(q.Problems) == 0
	if !q.Ready {
		return q, nil
	}
	plan, err := s.pool.Forecast(c.Request().Context(), pool.WorkOf(r, got))
	if err != nil {
		return nil, err
	}
	if f.SendAt != "" {
		q.When = s.shortly(c, r.SendAt)
	}
	takes := plan.ETA
	q.NoLine = takes < 0
	l := s.words(c)
	q.Takes = l.span(takes)
	if takes >= soon {
		q.Takes = l.t("write.about", "Span", q.Takes)
	}
	if q.NoLine && len(plan.Waits) > 0 && plan.Waits[len(plan.Waits)-1].Why != pool.WaitLine {
		q.NoLine, q.Takes = false, l.t("forecast.waits")
	}
	q.Forecast, err = s.forecastView(c, plan)
	return q, err
}

// maxPageSegments is the longest text that the page sends: longer is a mistake
// of the clipboard, not a text message.
const maxPageSegments = 10

func (s *Server) measure(c echo.Context, q *writeQuote, f writeForm, got queue.Quote) {
	q.Characters, q.Segments, q.Left = got.Characters, got.Segments, got.LeftInSegment
	q.Encoding = "gsm7"
	if got.Measure.Encoding == pdu.UCS2 {
		q.Encoding = "ucs2"
	}
	if q.Segments > maxPageSegments {
		l := s.words(c)
		q.Problems = append(q.Problems, l.t("write.too_long", "Segments", l.num(q.Segments), "Most", l.num(maxPageSegments)))
	}
	for _, o := range got.OutsideGSM7 {
		i := slices.IndexFunc(q.Outside, func(have outsideChar) bool { return have.Char == o.Char })
		if i >= 0 {
			q.Outside[i].Times++
		} else {
			q.Outside = append(q.Outside, outsideChar{Char: o.Char, Suggestion: o.Suggestion, Times: 1})
		}
	}
	if len(q.Outside) == 0 {
		return
	}
	q.Plain = got.TransliteratedText
	q.PlainDiffers = q.Plain != f.Text
	q.PlainSegments = pdu.Count(q.Plain, pdu.Options{Flash: f.Flash}).Segments
	q.Diff = diffOf(f.Text, got.OutsideGSM7)
}

// diffOf marks in the text what a replacement changes.
func diffOf(text string, outside []pdu.Outside) []diffPart {
	var parts []diffPart
	runes := []rune(text)
	from := 0
	for _, o := range outside {
		if o.Suggestion == "" || o.At < from || o.At >= len(runes) {
			continue
		}
		to := min(o.At+len([]rune(o.Char)), len(runes))
		if o.At > from {
			parts = append(parts, diffPart{Same: true, Old: string(runes[from:o.At])})
		}
		parts = append(parts, diffPart{Old: string(runes[o.At:to]), New: o.Suggestion})
		from = to
	}
	if from < len(runes) {
		parts = append(parts, diffPart{Same: true, Old: string(runes[from:])})
	}
	return parts
}

// replyCount is what stands under the reply's field.
type replyCount struct {
	Counted                    bool
	Characters, Segments, Left int
	Problem                    string
}

// quoteReply counts a reply while it is written.
func (s *Server) quoteReply(c echo.Context) error {
	text := unixLines(c.FormValue("text"))
	n := replyCount{}
	if strings.TrimSpace(text) != "" {
		q, err := s.store.Quote(c.Request().Context(), queue.Request{To: []string{c.FormValue("with")}, Text: text})
		if lines, ok := s.explain(c, err); ok {
			n.Problem = strings.Join(lines, " ")
		} else if err != nil {
			return err
		} else if q.Segments > maxPageSegments {
			l := s.words(c)
			n.Problem = l.t("write.too_long", "Segments", l.num(q.Segments), "Most", l.num(maxPageSegments))
		} else {
			n = replyCount{Counted: true, Characters: q.Characters, Segments: q.Segments, Left: q.LeftInSegment}
		}
	}
	return s.fragment(c, "inbox", "reply-count", n)
}
