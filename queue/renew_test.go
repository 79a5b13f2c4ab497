package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// degraded refuses the next segment as the service centre does that wants the
// message without something.
func (b *box) degraded(l Line, code, what string) {
	_, a := b.gated(l)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: code, Class: "content", Detail: "refused", Retry: true, Degrade: what})
}

func TestDegradeOnce(t *testing.T) {
	const first = 0 // octet of the TPDU: VPF is in it; TP-DCS follows TP-PID and the address
	dcs := func(tpdu []byte) byte { return tpdu[2+2+(int(tpdu[2])+1)/2+1] }
	for name, c := range map[string]struct {
		request Request
		what    string
		is      func(Message) bool
	}{
		"no validity": {Request{}, "validity", func(m Message) bool { return m.Segments[0].TPDU[first]&0x18 == 0 }},
		"no validity, long": {Request{Text: strings.Repeat("x", 300)}, "validity", func(m Message) bool {
			return m.Segments[0].TPDU[first]&0x18 == 0 && m.Segments[1].TPDU[first]&0x18 == 0
		}},
		"no class": {Request{Flash: true}, "class", func(m Message) bool { return !m.Flash && dcs(m.Segments[0].TPDU)&0x10 == 0 }},
		"UCS-2": {Request{Text: "hola"}, "alphabet", func(m Message) bool {
			return m.Encoding == "ucs2" && dcs(m.Segments[0].TPDU) == 0x08
		}},
		"GSM 7-bit": {Request{Text: "hola", Encoding: "ucs2"}, "alphabet", func(m Message) bool {
			return m.Encoding == "gsm7" && dcs(m.Segments[0].TPDU) == 0
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			l := line(1)
			m := b.submit(c.request)
			require.False(t, c.is(m))
			b.degraded(l, "cms_198", c.what)
			got := b.get(m.ID)
			require.Equal(t, Queued, got.State)
			require.True(t, c.is(got))
			require.Len(t, got.Segments, len(m.Segments))
			require.Equal(t, 1, got.Failures)
			require.False(t, got.PossibleDuplicate, "the network had refused it")
			for range got.Segments {
				_, a := b.gated(l)
				b.outcome(a, accepted(7))
			}
			require.Equal(t, Sent, b.get(m.ID).State)
			require.True(t, c.is(b.get(m.ID)))
		})
	}
}

// TestWhatCannotBeDegradedFails and says why it was refused.
func TestWhatCannotBeDegradedFails(t *testing.T) {
	for name, c := range map[string]struct {
		request Request
		what    string
		before  func(*box, Line)
	}{
		"it has no class":           {Request{}, "class", nil},
		"too long for UCS-2":        {Request{Text: strings.Repeat("x", 100)}, "alphabet", nil},
		"not in GSM 7-bit":          {Request{Text: "Привет"}, "alphabet", nil},
		"without a validity before": {Request{}, "validity", func(b *box, l Line) { b.degraded(l, "cms_199", "validity") }},
		"a segment has left": {Request{Text: strings.Repeat("x", 300)}, "validity", func(b *box, l Line) {
			_, a := b.gated(l)
			b.outcome(a, accepted(1))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			l := line(1)
			m := b.submit(c.request)
			if c.before != nil {
				c.before(b, l)
			}
			was := b.get(m.ID)
			b.degraded(l, "cms_198", c.what)
			got := b.get(m.ID)
			require.Equal(t, Failed, got.State)
			require.Equal(t, ReasonRejected, got.Reason)
			require.Equal(t, "cms_198", got.Error.Code)
			require.Equal(t, was.Segments[0].TPDU, got.Segments[0].TPDU)
			require.Equal(t, was.Encoding, got.Encoding)
		})
	}
}

// TestFailuresAreOfOneError: another one begins to count anew.
func TestFailuresAreOfOneError(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{})
	refuse := func(code string) int {
		_, a := b.gated(l)
		b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: code, Class: "network", Retry: true, After: time.Second})
		b.clock.forward(time.Second)
		b.wake()
		return b.get(m.ID).Failures
	}
	require.Equal(t, 1, refuse("cms_27"))
	require.Equal(t, 2, refuse("cms_27"))
	require.Equal(t, 1, refuse("cms_41"))
	require.Equal(t, 1, refuse("cms_27"))
}

// TestProvedIsTold: the pool hears which lost answer was an acceptance.
func TestProvedIsTold(t *testing.T) {
	b := newBox(t)
	l := line(1)
	var told []int64
	b.OnProved(func(attempt int64) { told = append(told, attempt) })
	m := b.submit(Request{})
	_, a := b.gated(l)
	b.outcome(a, Outcome{Verdict: Ambiguous, MR: -1, Code: "timeout", Class: "unknown"})
	b.report(l, m.To, 1, uint8(0x22), b.clock.Now())
	require.Equal(t, []int64{a}, told)
	require.Equal(t, Sent, b.get(m.ID).State)
	b.report(l, m.To, 1, 0, b.clock.Now())
	require.Equal(t, []int64{a}, told, "once")
}
