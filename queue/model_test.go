package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The model is the state machine of states.md told again in the simplest way,
// without SQL. The store must agree with it after every step.

type mSegment struct {
	state SegmentState
	lost  []mAttempt // whose answer never came
	past  int        // lost ones of earlier editions
	won   *mAttempt
}

// mayRetry is whether it is sent again when no evidence has come.
func (g *mSegment) mayRetry(c Class) bool {
	counted := 0
	for _, a := range g.lost {
		if !a.crashed {
			counted++
		}
	}
	all := len(g.lost) + g.past
	return c == Alert && counted < 3 && all < 10 || c == Normal && all < 2
}

type mAttempt struct {
	crashed bool // what cost its answer was our end
	id      int64
	mr      int
	gateAt  time.Time
	line    int
}

type mMessage struct {
	id, to     string
	seq        int64
	class      Class
	segments   []mSegment
	end        State // Cancelled or Failed; "" else
	attempts   int
	lost       int
	lostBefore int // of earlier editions
	flagged    bool
	open       int // segment under way, from 1; 0 none
	line       int // that has it, or where it is bound; -1 any
	avoid      int // line; -1 none
	avoidUntil time.Time
	notBefore  time.Time
	decideAt   time.Time
	hold       bool // it is not put back into the queue
	created    time.Time
}

// mayBeBlank: its text may have been deleted, of which the model knows nothing
// (the tests of retention do).
func (m *mMessage) mayBeBlank(now time.Time) bool {
	return m.class == OTP && !now.Before(m.created.Add(mostOTPBody))
}

func (m *mMessage) count(states ...SegmentState) (n int) {
	for _, g := range m.segments {
		if slices.Contains(states, g.state) {
			n++
		}
	}
	return n
}

func (m *mMessage) out() int { return m.count(SegmentSent, SegmentDelivered, SegmentUndelivered) }

func (m *mMessage) state() State {
	switch {
	case m.open > 0:
		return Sending
	case m.count(SegmentUncertain) > 0:
		return Uncertain
	case m.out() == len(m.segments):
		switch {
		case m.count(SegmentUndelivered) > 0:
			return Undelivered
		case m.count(SegmentSent) > 0:
			return Sent
		}
		return Delivered
	case m.end != "":
		return m.end
	case m.hold:
		return Held
	case m.out() > 0:
		return Sending
	}
	return Queued
}

func (m *mMessage) bound() bool { return len(m.segments) > 1 && (m.out() > 0 || m.lost > m.lostBefore) }

func (m *mMessage) next() int {
	return 1 + slices.IndexFunc(m.segments, func(g mSegment) bool {
		return g.state != SegmentSent && g.state != SegmentDelivered && g.state != SegmentUndelivered
	})
}

// mayRetry asks its uncertain segments.
func (m *mMessage) mayRetry() bool {
	return !slices.ContainsFunc(m.segments, func(g mSegment) bool { return g.state == SegmentUncertain && !g.mayRetry(m.class) })
}

type machine struct {
	*box
	mr       int
	messages []*mMessage
	open     [3]*mAttempt // by line
	of       [3]*mMessage
}

// claimable is what the model says that a line gets.
func (k *machine) claimable(l int) *mMessage {
	var best *mMessage
	lane := map[Class]int{OTP: 0, Alert: 1, Normal: 2, Bulk: 3}
	for _, m := range k.messages {
		s := m.state()
		if s != Queued && s != Sending || m.open > 0 || !m.notBefore.IsZero() {
			continue
		}
		if m.bound() && m.line != l || !m.bound() && m.avoid == l {
			continue
		}
		if best == nil || lane[m.class] < lane[best.class] {
			best = m
		}
	}
	return best
}

func (k *machine) submit(t *rapid.T) {
	class := rapid.SampledFrom([]Class{OTP, Alert, Normal, Bulk}).Draw(t, "class")
	long := rapid.Bool().Draw(t, "long")
	text := "corto"
	if long {
		text = strings.Repeat("largo ", 40)
	}
	m := k.box.submit(Request{To: []string{fmt.Sprintf("+34600%06d", len(k.messages)*1001)}, Text: text, Class: class, ValidFor: maxValid})
	model := &mMessage{id: m.ID, to: m.To, seq: m.Seq, class: class, created: k.clock.Now(), line: -1, avoid: -1, segments: make([]mSegment, len(m.Segments))}
	for i := range model.segments {
		model.segments[i].state = SegmentPending
	}
	k.messages = append(k.messages, model)
}

func (k *machine) send(t *rapid.T) {
	l := rapid.IntRange(0, 2).Draw(t, "line")
	if k.open[l] != nil {
		return
	}
	want := k.claimable(l)
	c := k.claimed(line(l))
	if want == nil {
		require.Nil(t, c)
		return
	}
	require.NotNil(t, c, "the model has %+v for line %d", want, l)
	require.Equal(t, want.id, c.Message.ID)
	require.Equal(t, want.next(), c.Next+1)
	a, err := k.Gate(context.Background(), line(l), c.Message.Seq, c.Next+1)
	require.NoError(t, err)
	k.mr++
	k.open[l], k.of[l] = &mAttempt{id: a, mr: k.mr % 256, gateAt: k.clock.Now(), line: l}, want
	want.open, want.line, want.avoid = c.Next+1, l, -1
	want.attempts++
	want.segments[c.Next].state = SegmentSending
}

func (k *machine) answer(t *rapid.T) {
	l := rapid.IntRange(0, 2).Draw(t, "line")
	a, m := k.open[l], k.of[l]
	if a == nil {
		return
	}
	k.open[l], k.of[l] = nil, nil
	g := &m.segments[m.open-1]
	m.open = 0
	defer k.parked(m)
	switch rapid.SampledFrom([]string{"accepted", "accepted", "lost", "refused", "never left", "again"}).Draw(t, "answer") {
	case "accepted":
		k.outcome(a.id, accepted(a.mr))
		g.state, g.won = SegmentSent, a
	case "lost":
		k.lose(m, g, a)
		k.outcome(a.id, lost())
	case "refused":
		k.outcome(a.id, Outcome{Verdict: Rejected, MR: -1, Code: "cms_1", Reason: "rejected"})
		g.state, m.end = SegmentFailed, Failed
		if len(g.lost)+g.past > 0 { // that one may have arrived
			g.state, m.end = SegmentUncertain, ""
			m.decideAt = time.Time{}
		}
	case "never left":
		k.outcome(a.id, Outcome{Verdict: NotSent, MR: -1, Code: "gone", Retry: true, AvoidSIM: true})
		g.state = SegmentPending
		if !m.bound() {
			m.avoid, m.avoidUntil = l, k.clock.Now().Add(avoidFor)
		}
	case "again":
		k.outcome(a.id, Outcome{Verdict: Rejected, MR: -1, Code: "cms_38", Retry: true, After: 5 * time.Second})
		g.state = SegmentPending
		m.notBefore = k.clock.Now().Add(5 * time.Second)
	}
}

func (k *machine) lose(m *mMessage, g *mSegment, a *mAttempt) {
	g.state = SegmentUncertain
	g.lost = append(g.lost, *a)
	m.lost++
	m.decideAt = k.clock.Now().Add(policies[m.class].window)
	k.parked(m)
}

// parked: what a hold has marked waits for its release, and for nothing else.
func (k *machine) parked(m *mMessage) {
	if m.hold {
		m.notBefore, m.decideAt, m.avoid = time.Time{}, time.Time{}, -1
	}
}

func (k *machine) holdAll(*rapid.T) {
	k.box.holdAll(ReasonRestored)
	for _, m := range k.messages {
		switch m.state() {
		case Queued, Sending, Uncertain:
			m.hold = true
			k.parked(m)
		}
	}
}

// held draws a held message; nil: there is none.
func (k *machine) held(t *rapid.T) *mMessage {
	var list []*mMessage
	for _, m := range k.messages {
		if m.state() == Held {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return rapid.SampledFrom(list).Draw(t, "held")
}

func (k *machine) release(t *rapid.T) {
	m := k.held(t)
	if m == nil {
		require.Zero(t, k.box.release(HeldFilter{}))
		return
	}
	f := HeldFilter{ID: m.id}
	if rapid.Bool().Draw(t, "its class") {
		f = HeldFilter{Reason: ReasonRestored, Class: m.class}
	}
	n := 0
	for _, other := range k.messages {
		if other == m || f.ID == "" && other.class == m.class && other.state() == Held {
			other.hold = false
			n++
		}
	}
	require.Equal(t, n, k.box.release(f))
}

func (k *machine) discard(t *rapid.T) {
	m := k.held(t)
	if m == nil {
		return
	}
	require.Equal(t, 1, k.box.discard(HeldFilter{ID: m.id}))
	doubted := false
	for i := range m.segments {
		g := &m.segments[i]
		switch g.state {
		case SegmentSent, SegmentDelivered, SegmentUndelivered:
		default:
			if len(g.lost)+g.past > 0 {
				g.state, doubted = SegmentUncertain, true
			}
		}
	}
	switch {
	case doubted: // the hold stays: when that one arrived the rest does not go, and it has failed
		m.end = Failed
	case m.attempts == 0:
		m.end, m.hold = Cancelled, false
	default:
		m.end, m.hold = Failed, false
	}
}

// evidence is a status report of something that was sent, or may have been.
func (k *machine) evidence(t *rapid.T) {
	if len(k.messages) == 0 {
		return
	}
	m := rapid.SampledFrom(k.messages).Draw(t, "message")
	n := rapid.IntRange(1, len(m.segments)).Draw(t, "segment")
	good := rapid.Bool().Draw(t, "delivered")
	g := &m.segments[n-1]
	if m.open > 0 || g.state == SegmentDelivered || g.state == SegmentUndelivered || m.mayBeBlank(k.clock.Now()) {
		return
	}
	a := g.won
	if a == nil {
		lost := 0
		for _, other := range m.segments {
			if len(other.lost) > 0 && other.state != SegmentDelivered && other.state != SegmentUndelivered {
				lost++
			}
		}
		if len(g.lost) == 0 || lost > 1 {
			return // which segment it was of, nobody could tell
		}
		last := g.lost[len(g.lost)-1]
		a, g.lost = &last, g.lost[:len(g.lost)-1]
	}
	st, state := uint8(stDelivered), SegmentDelivered
	if !good {
		st, state = stFailed, SegmentUndelivered
	}
	k.report(line(a.line), m.to, a.mr, st, a.gateAt)
	g.state, g.won = state, a
	k.onEvidence(m)
}

// onEvidence: a segment is out that was not; what was planned is called off.
func (k *machine) onEvidence(m *mMessage) {
	if m.count(SegmentUncertain) == 0 {
		m.decideAt = time.Time{}
		if m.out() == len(m.segments) {
			m.notBefore = time.Time{}
		}
	}
}

func (k *machine) cancel(t *rapid.T) {
	if len(k.messages) == 0 {
		return
	}
	m := rapid.SampledFrom(k.messages).Draw(t, "message")
	_, err := k.Cancel(context.Background(), m.id)
	switch {
	case m.end == Cancelled:
		require.NoError(t, err)
	case (m.state() == Queued || m.state() == Held) && m.attempts == 0:
		require.NoError(t, err)
		m.end = Cancelled
	default:
		require.ErrorIs(t, err, ErrState)
	}
}

func (k *machine) resolve(t *rapid.T) {
	if len(k.messages) == 0 {
		return
	}
	m := rapid.SampledFrom(k.messages).Draw(t, "message")
	action := rapid.SampledFrom([]string{ResolveResend, ResolveSent, ResolveFailed}).Draw(t, "action")
	was := m.state()
	if was == Uncertain && m.mayBeBlank(k.clock.Now()) {
		return
	}
	_, err := k.Resolve(context.Background(), m.id, action, "model")
	if was != Uncertain {
		require.ErrorIs(t, err, ErrState)
		return
	}
	require.NoError(t, err)
	m.decideAt = time.Time{}
	for i := range m.segments {
		if g := &m.segments[i]; g.state == SegmentUncertain {
			g.state = map[string]SegmentState{ResolveResend: SegmentPending, ResolveSent: SegmentSent, ResolveFailed: SegmentFailed}[action]
		}
	}
	switch action {
	case ResolveResend:
		m.flagged, m.hold, m.end = true, false, ""
	case ResolveFailed:
		m.end = Failed
	}
}

func (k *machine) time(t *rapid.T) {
	k.clock.forward(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, time.Minute, 4 * time.Minute, 11 * time.Minute}).Draw(t, "time"))
	k.wake()
	now := k.clock.Now()
	for _, m := range k.messages {
		if !m.decideAt.IsZero() && !m.decideAt.After(now) && m.state() == Uncertain {
			m.decideAt = time.Time{}
			if m.mayRetry() {
				m.flagged = true
				for i := range m.segments {
					if m.segments[i].state == SegmentUncertain {
						m.segments[i].state = SegmentPending
					}
				}
				if !m.bound() {
					m.avoid, m.avoidUntil = m.line, now.Add(avoidFor)
				}
			}
		}
		if !m.notBefore.After(now) {
			m.notBefore = time.Time{}
		}
		if m.avoid >= 0 && !m.avoidUntil.After(now) {
			m.avoid = -1
		}
	}
}

// gone: a SIM does not come back; what is bound to it goes whole on another.
func (k *machine) gone(t *rapid.T) {
	l := rapid.IntRange(0, 2).Draw(t, "line")
	require.NoError(t, k.SIMGone(context.Background(), line(l).ICCID))
	for _, m := range k.messages {
		s := m.state()
		if m.class != Alert || !m.bound() || m.line != l || m.open > 0 || s != Queued && s != Sending {
			continue
		}
		m.flagged, m.lostBefore, m.line = true, m.lost, -1
		for i := range m.segments {
			g := &m.segments[i]
			*g = mSegment{state: SegmentPending, past: g.past + len(g.lost)}
		}
	}
}

func (k *machine) crash(*rapid.T) {
	k.restart()
	for l, a := range k.open {
		if a == nil {
			continue
		}
		m := k.of[l]
		a.crashed = true
		k.lose(m, &m.segments[m.open-1], a)
		m.open, k.open[l], k.of[l] = 0, nil, nil
	}
}

// check compares everything.
func (k *machine) check(t *rapid.T) {
	counts := map[State]int{}
	for _, m := range k.messages {
		got := k.get(m.id)
		require.Equal(t, m.state(), got.State, "%+v\n%+v", *m, got)
		require.Equal(t, m.attempts, got.Attempts)
		require.Equal(t, m.flagged, got.PossibleDuplicate, "%+v\n%+v", *m, got)
		for i, g := range got.Segments {
			require.Equal(t, m.segments[i].state, g.State, "segment %d of %+v", i+1, *m)
		}
		counts[got.State]++
		if !m.flagged && len(m.segments) == 1 {
			require.LessOrEqual(t, m.lost, 1, "sent again without a flag")
		}
	}
	depth, err := k.Depth(context.Background())
	require.NoError(t, err)
	for _, s := range States {
		n := 0
		for _, c := range depth[s] {
			n += c
		}
		require.Equal(t, counts[s], n, "tally of %s", s)
	}
}

func TestTheStoreAgreesWithItsModel(t *testing.T) {
	fresh := copies(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := fresh()
		defer func() { require.NoError(t, errors.Join(b.db.Close())) }()
		k := &machine{box: b}
		rt.Repeat(map[string]func(*rapid.T){
			"": k.check, "submit": k.submit, "send": k.send, "send more": k.send, "answer": k.answer, "answer more": k.answer,
			"report": k.evidence, "cancel": k.cancel, "resolve": k.resolve, "time": k.time, "crash": k.crash,
			"gone": k.gone, "hold": k.holdAll, "release": k.release, "release more": k.release, "discard": k.discard,
		})
	})
}
