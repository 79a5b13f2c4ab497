package queue

import (
	"math"
	"slices"
	"sort"
	"sync/atomic"
	"time"
)

const (
	// slack is added to the windows that slide, which run from answer to gate: the
	// moment when the network counts lies between a segment's gate and its answer.
	slack = time.Second
	// noAnswer is the time of a segment that is on its way: the network may count
	// it now.
	noAnswer = math.MaxInt64
	// unknownDay is usage_period.start of what was sent while nobody knew the day.
	unknownDay = "9999-12-31"
	nearPart   = 80 // percent of a limit, from which on it is near
)

// spans of the windows that slide; those after them follow the calendar.
var spans = [...]int64{(time.Minute + slack).Milliseconds(), (time.Hour + slack).Milliseconds()}

// The windows as indexes of Windows.
const (
	minute = iota
	hour
	daily
	monthly
	windows
)

// meter is what is known of a SIM's limits and of what it has used of them. The
// database has the same; it is read once.
type meter struct {
	emulated, chosen bool
	base             [windows]Limit // without warming up; nothing is limited when open
	reserve, reset   int
	warm             int // as stored
	warmDay          string
	sentTotal        int
	told             int
	open             bool
	shut             bool // its limits cannot be read: it sends nothing

	slides  [2]slide
	periods [2][]period // day and month, those that may still count, by start

	// The day and the month of a minute: they are asked for all the time.
	labels atomic.Pointer[labels]

	// By pick: what waits that the SIM may not send, and how many gates it has
	// followed. Of the writer's goroutine.
	passed map[waits]passed
	adds   int64
}

type labels struct {
	at     int64 // Unix minute
	starts [2]string
}

// slide is a window that slides: one entry a gate, in their order. It is kept only
// where there is a limit.
type slide struct {
	kept    bool
	entries []entry
	// people counts them by recipient, where that is limited; else nil.
	people map[uint64]int
}

type entry struct {
	attempt int64
	at      int64 // of the answer: steady ms, or noAnswer
	who     uint64
}

type period struct {
	start                string
	segments, recipients int
}

// add counts a gate, and forgets what is out of the window.
func (w *slide) add(e entry, span, now int64) {
	n := w.first(span, now)
	if w.people != nil {
		for _, old := range w.entries[:n] {
			if w.people[old.who]--; w.people[old.who] == 0 {
				delete(w.people, old.who)
			}
		}
		w.people[e.who]++
	}
	w.entries = append(slices.Delete(w.entries, 0, n), e)
}

// first is the index of the first entry in the window. What lies in the future,
// because a clock was set back, is in it.
func (w *slide) first(span, now int64) int {
	return sort.Search(len(w.entries), func(i int) bool { return now-w.entries[i].at <= span })
}

// rewind makes what lies in the future happen now: the clock was set back.
func (w *slide) rewind(now int64) {
	for i := len(w.entries) - 1; i >= 0 && w.entries[i].at > now; i-- {
		if w.entries[i].at != noAnswer {
			w.entries[i].at = now
		}
	}
}

// answered dates a segment by its answer. One that others have followed stays before
// them.
func (w *slide) answered(attempt, now int64) {
	for i := len(w.entries) - 1; i >= 0; i-- {
		e := w.entries[i]
		if e.attempt != attempt {
			now = min(now, e.at)
			continue
		}
		e.at = now
		// What another line of the contract has on its way since before comes after.
		for ; i > 0 && w.entries[i-1].at == noAnswer; i-- {
			w.entries[i] = w.entries[i-1]
		}
		w.entries[i] = e
		return
	}
}

// gone counts, by recipient, what is out of the window and not yet forgotten.
func (w *slide) gone(span, now int64) map[uint64]int {
	n := w.first(span, now)
	if n == 0 {
		return nil
	}
	gone := map[uint64]int{}
	for _, e := range w.entries[:n] {
		gone[e.who]++
	}
	return gone
}

// distinct counts the recipients in the window.
func (w *slide) distinct(span, now int64) int {
	if w.people == nil {
		who := map[uint64]bool{}
		for _, e := range w.entries[w.first(span, now):] {
			who[e.who] = true
		}
		return len(who)
	}
	n := len(w.people)
	for who, times := range w.gone(span, now) {
		if w.people[who] == times {
			n--
		}
	}
	return n
}

// knows says that a recipient is in the window.
func (w *slide) knows(who uint64, span, now int64) bool {
	return slices.ContainsFunc(w.entries[w.first(span, now):], func(e entry) bool { return e.who == who })
}

// start is the label of the calendar window that counts now. Its day is known
// only by a firm clock: else the latest one that anything was counted in goes on,
// "" when there is none.
func (m *meter) start(w int, n instant) string {
	if n.dated {
		l, at := m.labels.Load(), n.now.Unix()/60 // every zone's days begin with a minute
		if l == nil || l.at != at {
			l = &labels{at, [2]string{day(n.now), month(n.now, m.reset)}}
			m.labels.Store(l)
		}
		return l.starts[w-daily]
	}
	last := ""
	for _, p := range m.periods[w-daily] {
		if p.start != unknownDay {
			last = p.start
		}
	}
	return last
}

// label is where a gate counts now: while the clock is before what was counted
// already, in the latest window that it was counted in, and so in all from the present
// one to that. Nobody can say which of them it is.
func (m *meter) label(w int, n instant) string {
	if !n.dated {
		return unknownDay
	}
	start, list := m.start(w, n), m.periods[w-daily]
	for i := len(list) - 1; i >= 0 && list[i].start > start; i-- {
		if list[i].start <= horizon(w, n) {
			return list[i].start
		}
	}
	return start
}

// knowing are the labels of which a recipient must be in one when the window is crowded
// on a lane. Who counts in a later one by its label must not crowd that.
func (m *meter) knowing(w, lane int, n instant) [2]string {
	start, label := m.start(w, n), m.label(w, n)
	if !n.dated || start == label {
		return [2]string{start, label}
	}
	used := 0
	for _, p := range m.periods[w-daily] {
		if p.start >= label {
			used += p.recipients
		}
	}
	if _, most, _, has := m.maxima(m.limit(w, n), lane); has && used+1 > most {
		start = label
	}
	return [2]string{start, label}
}

// month is the first day of the billing month that t is in, which begins on a day
// of the calendar month, or on the last of one that is shorter.
func month(t time.Time, reset int) string {
	t = t.Local()
	begins := monthBegins(t.Year(), t.Month(), reset)
	if t.Format(time.DateOnly) < begins {
		begins = monthBegins(t.Year(), t.Month()-1, reset)
	}
	return begins
}

func monthBegins(year int, m time.Month, reset int) string {
	last := time.Date(year, m+1, 0, 12, 0, 0, 0, time.UTC)
	return time.Date(last.Year(), last.Month(), min(max(reset, 1), last.Day()), 12, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// ends is when the calendar window ends, while nobody knows the day when that will
// be known; zero: nor that.
func (m *meter) ends(w int, n instant) time.Time {
	if !n.dated {
		return n.rests
	}
	t := n.now.Local()
	if w == daily {
		return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, time.Local)
	}
	begins := month(t, m.reset)
	for i := range 2 {
		next := monthBegins(t.Year(), t.Month()+time.Month(i), m.reset)
		if next > begins {
			d, _ := time.Parse(time.DateOnly, next)
			return time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.Local)
		}
	}
	return time.Time{}
}

// limit of a window as it holds now.
func (m *meter) limit(w int, n instant) Limit {
	l := m.base[w]
	if m.open {
		return Limit{Window: Windows[w]}
	}
	if w == daily {
		if warm := m.warming(n); warm > 0 {
			l.MaxSegments = warm
		}
	}
	return l
}

// warming is the day limit of a SIM that is still warming up, 0 when it is not: a
// tenth on the first day with traffic, then twice as much on each day with traffic.
func (m *meter) warming(n instant) int {
	full := m.base[daily].MaxSegments
	if m.open || full == 0 || m.warm < 0 {
		return 0
	}
	warm := m.warm
	switch {
	case warm == 0 && (m.emulated || m.sentTotal > warmedBy):
		return 0
	case warm == 0:
		warm = max(1, full/10)
	case m.warmDay != "" && n.dated && m.start(daily, n) > m.warmDay:
		warm = min(warm, full) * 2
	}
	if warm >= full {
		return 0
	}
	return warm
}

// warmedBy is how much a SIM has sent that needs no warming up.
const warmedBy = 500

// BulkMost is what bulk may have of a limit (0: none), a percentage of which is kept
// for the others: rounded down, but something of every limit.
func BulkMost(limit, reserve int) int { return max(limit*(100-reserve)/100, min(limit, 1)) }

// maxima of a window for a lane, 0: none.
func (m *meter) maxima(l Limit, lane int) (segments, recipients int, segmentsSet, recipientsSet bool) {
	segments, recipients = l.MaxSegments, l.MaxRecipients
	segmentsSet, recipientsSet = segments > 0, recipients > 0
	if lane == LaneBulk {
		segments, recipients = BulkMost(segments, m.reserve), BulkMost(recipients, m.reserve)
	}
	return segments, recipients, segmentsSet, recipientsSet
}

// used is what a window has counted.
func (m *meter) used(w int, n instant) (segments, recipients int) {
	if w < daily {
		s := &m.slides[w]
		if !s.kept {
			return 0, 0
		}
		segments = len(s.entries) - s.first(spans[w], n.steady)
		if m.base[w].MaxRecipients > 0 {
			recipients = s.distinct(spans[w], n.steady)
		}
		return segments, recipients
	}
	start := m.start(w, n)
	for _, p := range m.periods[w-daily] {
		if p.start >= start {
			segments, recipients = segments+p.segments, recipients+p.recipients
		}
	}
	return segments, recipients
}

// frees is when a window that is full for a lane has room for one more, by the
// steady clock; 0 when nobody knows.
func (m *meter) frees(w, most int, n instant) int64 {
	if w >= daily {
		ends := m.ends(w, n)
		if ends.IsZero() {
			return 0
		}
		return n.steady + ends.Sub(n.now).Milliseconds()
	}
	s := &m.slides[w]
	i := s.first(spans[w], n.steady)
	i += max(len(s.entries)-i-most, 0)
	if i >= len(s.entries) { // nothing is allowed at all
		return 0
	}
	return min(s.entries[i].at, n.steady) + spans[w] + 1
}

// freesRecipient is when one recipient less is in the window that slides.
func (m *meter) freesRecipient(w, most int, n instant) int64 {
	if w >= daily {
		return m.frees(w, most, n)
	}
	s := &m.slides[w]
	in := s.entries[s.first(spans[w], n.steady):]
	last := map[uint64]int64{}
	for _, e := range in {
		last[e.who] = e.at
	}
	times := make([]int64, 0, len(last))
	for _, at := range last {
		times = append(times, at)
	}
	slices.Sort(times)
	i := max(len(times)-most, 0)
	if i >= len(times) {
		return 0
	}
	return min(times[i], n.steady) + spans[w] + 1
}

// room is what may still be sent.
func (m *meter) room(n instant) Room {
	r := noLimits()
	if m.shut && !m.open {
		return Room{Tight: WindowDay}
	}
	least := 1.0
	var blocked [laneCount][2]int64 // until when, for segments and for recipients; -1 nobody knows
	for w := range windows {
		l := m.limit(w, n)
		if l.MaxSegments == 0 && l.MaxRecipients == 0 {
			continue
		}
		segments, recipients := m.used(w, n)
		for lane := range laneCount {
			maxSegments, maxRecipients, hasSegments, hasRecipients := m.maxima(l, lane)
			if hasSegments {
				left := max(maxSegments-segments, 0)
				r.Segments[lane] = min(r.Segments[lane], left)
				if w >= daily && (segments > 0 || left == 0) {
					r.Longest[lane] = min(r.Longest[lane], left)
				}
				if left == 0 {
					blocked[lane][0] = later(blocked[lane][0], m.frees(w, maxSegments, n))
				}
			}
			if hasRecipients {
				left := max(maxRecipients-recipients, 0)
				r.Recipients[lane] = min(r.Recipients[lane], left)
				if left == 0 {
					blocked[lane][1] = later(blocked[lane][1], m.freesRecipient(w, maxRecipients, n))
				}
			}
		}
		for _, part := range [][2]int{{l.MaxSegments, segments}, {l.MaxRecipients, recipients}} {
			if part[0] == 0 {
				continue
			}
			left := float64(max(part[0]-part[1], 0)) / float64(part[0])
			if r.Tight == "" || left < least {
				r.Tight, least = Windows[w], left
			}
			if w >= daily {
				r.Left = min(r.Left, left)
			}
		}
	}
	until := int64(0)
	for i, lane := range blocked {
		if lane[0] >= 0 && lane[1] >= 0 {
			r.Opens[i] = at(max(lane[0], lane[1]))
		}
		for _, t := range lane {
			if t > 0 && (until == 0 || t < until) {
				until = t
			}
		}
	}
	r.Until = at(until)
	return r
}

// later of two times until which something is blocked; one that nobody knows (0)
// is the latest. a is 0 when nothing has blocked it yet.
func later(a, b int64) int64 {
	if a < 0 || b == 0 {
		return -1
	}
	return max(a, b)
}

// fits says whether a message with so many segments left may begin, or go on, on
// a lane: one that begins must fit the day and the month, unless nothing is used of
// them; one that goes on needs room for its next segment.
func (m *meter) fits(lane, left int, begins bool, n instant) bool {
	if m.shut && !m.open {
		return false
	}
	for w := range windows {
		l := m.limit(w, n)
		if l.MaxSegments == 0 {
			continue
		}
		used, _ := m.used(w, n)
		most, _, _, _ := m.maxima(l, lane)
		switch {
		case used+1 > most:
			return false
		case w >= daily && begins && used > 0 && used+left > most:
			return false
		}
	}
	return true
}

// crowded are the windows that take no new recipient on a lane.
func (m *meter) crowded(lane int, n instant) (full [windows]bool, any bool) {
	for w := range windows {
		l := m.limit(w, n)
		_, most, _, has := m.maxima(l, lane)
		if !has {
			continue
		}
		if _, used := m.used(w, n); used+1 > most {
			full[w], any = true, true
		}
	}
	return full, any
}

// level of a window: 1 near its limit, 2 at it.
func level(l Limit, segments, recipients int) (level int) {
	for _, part := range [][2]int{{l.MaxSegments, segments}, {l.MaxRecipients, recipients}} {
		switch most, used := part[0], part[1]; {
		case most == 0:
		case used >= most:
			level = 2
		case used*100 >= most*nearPart:
			level = max(level, 1)
		}
	}
	return level
}

func (m *meter) toldOf(w int) int { return m.told >> (2 * w) & 3 }

// use is a window as it is shown.
func (m *meter) use(w int, n instant) LimitUse {
	u := LimitUse{Limit: m.limit(w, n)}
	if u.UsedSegments, u.UsedRecipients = m.used(w, n); u.UsedSegments >= tornCount {
		u.UsedSegments = u.MaxSegments
	}
	if u.UsedRecipients >= tornCount {
		u.UsedRecipients = u.MaxRecipients
	}
	switch {
	case w >= daily:
		u.ResetsAt = m.ends(w, n)
	case m.slides[w].kept:
		s := &m.slides[w]
		u.UsedRecipients = s.distinct(spans[w], n.steady)
		if i := s.first(spans[w], n.steady); i < len(s.entries) {
			u.ResetsAt = n.day(min(s.entries[i].at, n.steady) + spans[w] + 1)
		}
	}
	return u
}
