package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A late refusal, or a report for one of several segments, makes nothing of what
// was discarded held again, where the next release of everything would send it.
func TestWhatWasDiscardedIsNeverReleased(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		proof  func(b *box, m Message, a int64)
		reason string
	}{
		"late refusal": {"Hola", func(b *box, _ Message, a int64) {
			b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "38", Retry: true})
		}, ReasonDiscarded},
		"one segment arrived": {strings.Repeat("largo ", 60), func(b *box, _ Message, a int64) {
			b.outcome(a, accepted(7))
		}, ReasonPartial},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			m := b.submit(Request{Class: Alert, Text: c.text})
			_, a := b.gated(line(1))
			b.outcome(a, lost())
			b.clock.forward(30 * time.Second)
			b.wake() // to be sent again
			b.holdAll(ReasonRestored)
			require.Equal(t, 1, b.discard(HeldFilter{}))
			require.Equal(t, Uncertain, b.get(m.ID).State)
			b.holdAll(ReasonCloned)

			c.proof(b, m, a)
			got := b.get(m.ID)
			require.Equal(t, []any{Failed, c.reason}, []any{got.State, got.Reason})
			require.Zero(t, b.release(HeldFilter{}))
			b.clock.forward(time.Hour)
			b.wake()
			require.Nil(t, b.claimed(line(1)))
			require.Nil(t, b.claimed(line(2)))
		})
	}
}
