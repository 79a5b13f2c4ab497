package pool

import (
	"math"
	"slices"
	"time"

	"recado/queue"
)

// simLine is a SimLine while it sends.
type simLine struct {
	SimLine
	place    int
	at       time.Duration // when it looks for its next message; never: it will not
	paceFree time.Duration
	pace     [lanes]time.Duration // from a submission's begin to the next's, by lane
	minute   SimLimit             // where the minute is spread evenly
	gate     gate
	// segments and recipients of minute and hour; nil where no limit asks.
	sliding [2]struct{ segments, recipients *sliding }
	// used of day and month. Recipients are parts of one: a known one is none.
	used [4]struct {
		segments   int
		recipients float64
	}
	ends     [4]calendar // of day and month
	warm     int
	traffic  bool // today, while the SIM is new
	rest     int  // segments of a long message in hand, …
	of       *simBatch
	last     time.Duration // when its last submission began
	lastSize int
	lastGap  time.Duration
	why      string // why it did not take from the work when it last looked
	leaves   bool   // it left something to others then

	work, least int // segments of the work; the least that was left for codes
	hit         [4][2]bool
}

func newSimLine(given SimLine, place int, s Situation, even bool) *simLine {
	l := &simLine{SimLine: given, place: place, at: given.Free, paceFree: given.PaceFree, gate: newGate(given.Hours, s.Now),
		warm: given.Warm, least: unlimited}
	if given.Out != "" {
		l.at = never
	}
	for w, width := range [2]time.Duration{time.Minute, time.Hour} {
		if l.Spans[w] == 0 {
			l.Spans[w] = width
		}
		l.Spans[w] += l.Took // from a submission's begin: they run from its answer
	}
	l.keepPace(even)
	given.Limits = l.Limits
	for w := range l.sliding {
		for _, ring := range []struct {
			into    **sliding
			limited bool
			of      func(Use) int
		}{
			{&l.sliding[w].segments, given.Limits[w].Segments > 0, func(u Use) int { return u.Segments }},
			{&l.sliding[w].recipients, given.Limits[w].Recipients > 0, func(u Use) int { return u.Recipients }},
		} {
			if !ring.limited {
				continue
			}
			*ring.into = &sliding{width: l.Spans[w]}
			for _, u := range given.Uses {
				(*ring.into).add(-u.Ago-l.Took, 0, ring.of(u))
			}
		}
	}
	for w := windowDay; w <= windowMonth; w++ {
		l.used[w].segments, l.used[w].recipients = given.Limits[w].UsedSegments, float64(given.Limits[w].UsedRecipients)
		l.ends[w].ends = never
		if s.Trusted {
			l.ends[w].next = nextDay
			if w == windowMonth {
				l.ends[w].next = func(t time.Time) time.Time { return nextMonth(t, given.ResetDay) }
			}
			l.ends[w].ends = l.ends[w].next(s.Now).Sub(s.Now)
		}
	}
	l.traffic = l.used[windowDay].segments > 0
	l.refresh(nil, 0)
	l.least = l.leftAt(0)
	return l
}

// flaws of the line at t, as the pool's has them.
func (l *simLine) flaws(t time.Duration) flaws {
	doubtful := l.DoubtedUntil > t
	return flaws{doubtful: doubtful, unproven: doubtful && l.Unproven, mute: l.Mute}
}

// gap is between the begins of two of its submissions of the batch.
func (l *simLine) gap(b *simBatch) time.Duration { return max(l.Took, l.pace[b.lane]) }

// keepPace works out the paces. Where a pace with its chance comes close to what
// the minute allows, now one and now the other holds it up: that is slower than
// either. even: what the minute allows is spread over it instead.
func (l *simLine) keepPace(even bool) {
	for lane := range l.pace {
		if lane >= queue.LaneNormal {
			l.pace[lane] = l.Pace
		}
		most, _, limited := l.most(windowMinute, lane)
		if !limited[0] || most == 0 {
			even = even && most != 0
			continue
		}
		each := l.Spans[0] / time.Duration(most)
		if near := math.Abs(1 - float64(l.pace[lane])/float64(each)); lane >= queue.LaneNormal && l.Pace > 0 && near < 0.2 {
			l.pace[lane] = time.Duration(float64(max(l.pace[lane], each)) * (1 + 0.11/math.Sqrt(float64(most))*math.Exp(-near/0.07)))
		} else if even {
			l.pace[lane] = max(l.pace[lane], each)
		}
	}
	if even && l.Limits[windowMinute].Recipients == 0 {
		l.minute = l.Limits[windowMinute]
		l.Limits[windowMinute] = SimLimit{}
	}
}

// refresh forgets what no longer counts at t.
func (l *simLine) refresh(m *simulation, t time.Duration) {
	for w := range l.sliding {
		for _, s := range []*sliding{l.sliding[w].segments, l.sliding[w].recipients} {
			if s != nil {
				s.expire(t)
			}
		}
	}
	if m == nil {
		return
	}
	for w := windowDay; w <= windowMonth; w++ {
		if !l.ends[w].over(m.Now, t) {
			continue
		}
		l.used[w].segments, l.used[w].recipients = 0, 0
		if w == windowDay {
			if l.traffic && l.warm > 0 {
				l.warm = min(2*l.warm, unlimited)
			}
			l.traffic = false
		}
	}
}

// most is what a lane may use of a window, of segments and of recipients; 0 in
// limited: there is no limit.
func (l *simLine) most(w, lane int) (segments, recipients int, limited [2]bool) {
	segments, recipients = l.Limits[w].Segments, l.Limits[w].Recipients
	limited = [2]bool{segments > 0, recipients > 0}
	if w == windowDay && l.warm > 0 && (segments == 0 || l.warm < segments) {
		segments, limited[0] = l.warm, true
	}
	if lane == 3 {
		segments, recipients = queue.BulkMost(segments, l.Reserve), queue.BulkMost(recipients, l.Reserve)
	}
	return segments, recipients, limited
}

// fresh is the part of the batch's recipients that the window does not know.
func (l *simLine) fresh(b *simBatch, w int) float64 {
	if l.place >= len(b.Known) {
		return 1
	}
	return min(max(1-b.Known[l.place][w], 0), 1)
}

// full says which limit keeps the line from the batch's next message at t, ""
// none, and when that ends, or when a day or month does that may be used up.
func (l *simLine) full(m *simulation, b *simBatch, t time.Duration) (why string, when time.Duration) {
	when = never
	var free time.Duration
	for w := range l.Limits {
		segments, recipients, limited := l.most(w, b.lane)
		for kind, is := range limited {
			if !is {
				continue
			}
			if w >= windowDay {
				when = min(when, l.ends[w].ends)
			}
			again := l.freeAt(b, w, kind, t, segments, recipients)
			if again <= t {
				continue
			}
			if b.work && (b.lane < 2 || again-t > l.Pace) { // a pace is nothing that runs out
				m.reached(l, w, kind == 1, max(l.last, 0))
			}
			if why == "" || again > free {
				why, free = windowWaits[w], again
				if kind == 1 {
					why = WaitRecipients
				}
			}
		}
	}
	if why == "" {
		return "", when
	}
	return why, free
}

// freeAt is when the window has room for the batch's next message.
func (l *simLine) freeAt(b *simBatch, w, kind int, t time.Duration, segments, recipients int) time.Duration {
	switch {
	case w < windowDay && kind == 0:
		return l.sliding[w].segments.until(t, segments)
	case w < windowDay:
		if l.fresh(b, w) == 0 {
			return t
		}
		return l.sliding[w].recipients.until(t, recipients)
	case kind == 0:
		used := l.used[w].segments
		if used+b.size(1) <= segments || used == 0 && segments > 0 {
			return t
		}
		if segments <= 0 {
			return never
		}
		if used+b.least() <= segments { // the next may be shorter, when another has this one
			return min(l.ends[w].ends, lookAgain(t))
		}
	default:
		if fresh := l.fresh(b, w); fresh == 0 || l.used[w].recipients+fresh <= float64(recipients)+1e-6 {
			return t
		}
		if recipients <= 0 {
			return never
		}
	}
	return l.ends[w].ends
}

// roomAt is when minute and hour have room for one segment more.
func (l *simLine) roomAt(b *simBatch, t time.Duration) time.Duration {
	at := t
	for w := range l.sliding {
		if s := l.sliding[w].segments; s != nil {
			most, _, _ := l.most(w, b.lane)
			at = max(at, s.until(t, most))
		}
	}
	return at
}

// room is how many submissions minute and hour allow from t on, and how many
// messages day, month and the recipients' limits do.
func (l *simLine) room(b *simBatch, t, gap time.Duration) (submissions, messages int) {
	submissions, messages = unlimited, unlimited
	for w := range l.Limits {
		segments, recipients, limited := l.most(w, b.lane)
		fresh := l.fresh(b, w)
		if w < windowDay {
			if limited[0] {
				submissions = min(submissions, l.sliding[w].segments.room(t, gap, segments))
			}
			if limited[1] && fresh > 0 {
				each := gap * time.Duration(max(b.total/b.Messages, 1))
				messages = min(messages, l.sliding[w].recipients.room(t, each, recipients))
			}
			continue
		}
		if limited[0] {
			messages = min(messages, b.fitting(segments-l.used[w].segments))
		}
		if limited[1] && fresh > 0 {
			messages = min(messages, int(min((float64(recipients)-l.used[w].recipients)/fresh+1e-6, unlimited)))
		}
	}
	return submissions, messages
}

// began counts the recipients of n messages that begin from t on, and the
// segments of them that are sent at once.
func (l *simLine) began(m *simulation, b *simBatch, t, gap time.Duration, n, size int) {
	for w := range l.Limits {
		fresh := l.fresh(b, w)
		if w >= windowDay {
			l.used[w].recipients += fresh * float64(n)
			continue
		}
		if s := l.sliding[w].recipients; s != nil {
			if known := int(math.Ceil(fresh * float64(n))); known > 0 {
				s.add(t, gap*time.Duration(max(size, 1))/time.Duration(known), known)
			}
		}
	}
	l.use(m, b, t, gap, size)
}

// use counts submissions, and the limits of the work's lane that they use up.
func (l *simLine) use(m *simulation, b *simBatch, t, gap time.Duration, size int) {
	if size <= 0 {
		return
	}
	l.last, l.lastGap, l.lastSize, l.traffic = t+time.Duration(size-1)*gap, gap, size, true
	for w := range l.Limits {
		if w < windowDay {
			if s := l.sliding[w].segments; s != nil {
				s.add(t, gap, size)
			}
			continue
		}
		l.used[w].segments += size
		segments, recipients, limited := l.most(w, m.lane)
		if !slices.ContainsFunc(m.batches, func(b *simBatch) bool { return b.work && b.sendable(l.place) }) {
			continue
		}
		if limited[0] && l.used[w].segments >= segments {
			m.reached(l, w, false, l.last)
		}
		if limited[1] && l.used[w].recipients >= float64(recipients)-1e-6 {
			m.reached(l, w, true, l.last)
		}
	}
	l.least = min(l.least, l.leftAt(l.last))
}

// able says that the line could send a message of the batch at t to anybody, busy
// or not, or in a moment, as ability has it; what prefers it, if to its recipients.
func (l *simLine) able(b *simBatch, t time.Duration) bool {
	if open, _ := l.gate.at(t); l.Out != "" || !open || l.Urgent && b.lane >= queue.LaneNormal {
		return false
	}
	moment := t + momentOf(b.lane, l.Pace)
	for w := range l.Limits {
		segments, recipients, has := l.most(w, b.lane)
		for kind, most := range [2]int{segments, recipients} {
			if kind == 1 && b.LetGo && l.fresh(b, w) == 0 {
				continue
			}
			if has[kind] && l.countedOf(w, kind, t) >= most && l.opens(w, kind, t, most) > moment {
				return false
			}
		}
	}
	return true
}

// holds says that the day and the month have room for the batch's next message.
func (l *simLine) holds(b *simBatch, t time.Duration) bool {
	for w := windowDay; w <= windowMonth; w++ {
		used := l.counted(w, t)
		if segments, _, has := l.most(w, b.lane); has[0] && used > 0 && used+b.size(min(1, b.left())) > segments {
			return false
		}
	}
	return true
}

// countedOf is what a window has counted of segments or recipients by t.
func (l *simLine) countedOf(w, kind int, t time.Duration) int {
	switch {
	case kind == 0:
		return l.counted(w, t)
	case w < windowDay:
		return l.sliding[w].recipients.count(t)
	}
	return int(math.Ceil(l.used[w].recipients - 1e-6))
}

// opens is when a window that is full has room for one more.
func (l *simLine) opens(w, kind int, t time.Duration, most int) time.Duration {
	switch {
	case w >= windowDay:
		return l.ends[w].ends
	case kind == 0:
		return l.sliding[w].segments.until(t, most)
	}
	return l.sliding[w].recipients.until(t, most)
}

// counted is what a window has counted of segments by t.
func (l *simLine) counted(w int, t time.Duration) int {
	if w < windowDay {
		return l.sliding[w].segments.count(t)
	}
	used := l.used[w].segments
	if l.lastSize > 0 && t < l.last { // what it has taken already but not begun by then
		used -= min(int((l.last-t+l.lastGap-1)/max(l.lastGap, 1)), l.lastSize)
	}
	return used
}

// stride is how far a submission takes the line on its route's account.
func (l *simLine) stride(b *simBatch, t time.Duration) float64 {
	left := 1.0
	for w := windowDay; w <= windowMonth; w++ { // as queue.Room.Left
		segments, recipients, has := l.most(w, queue.LaneNormal)
		if has[0] {
			left = min(left, 1-float64(l.counted(w, t))/float64(segments))
		}
		if has[1] {
			left = min(left, 1-l.used[w].recipients/float64(recipients))
		}
	}
	return stride(b.Weights[l.place], left)
}

// leftAt is how many segments of codes the line could send at t; unlimited: no
// limit holds. t is not before the last of what was counted.
func (l *simLine) leftAt(t time.Duration) int {
	left := unlimited
	for w := range l.Limits {
		segments, _, limited := l.most(w, 0)
		switch {
		case limited[0]:
			left = min(left, max(segments-l.counted(w, t), 0))
		case w == windowMinute && l.minute.Segments > 0:
			used := 0
			if since := t - l.last; l.lastSize > 0 && since < l.Spans[0] {
				used = 1 + int((l.Spans[0]-since)/max(l.lastGap, leastTook))
			}
			left = min(left, max(l.minute.Segments-used, 0))
		}
	}
	return left
}

// recipientsLeft is how many new recipients the line could still write to.
func (l *simLine) recipientsLeft(t time.Duration) int {
	left := unlimited
	for w := range l.Limits {
		_, recipients, limited := l.most(w, 0)
		switch {
		case !limited[1]:
		case w < windowDay:
			left = min(left, max(recipients-l.sliding[w].recipients.count(t), 0))
		default:
			left = min(left, max(recipients-int(math.Ceil(l.used[w].recipients-1e-6)), 0))
		}
	}
	return left
}
