package queue

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// loses takes a message through its gate n times, on two SIMs in turn, and
// loses each answer: as a line does, or by an end of the program.
func (b *box) loses(n int, restart bool) {
	b.t.Helper()
	for i := range n {
		b.clock.forward(avoidFor + time.Second)
		b.wake()
		_, a := b.gated(line(1 + i%2))
		if restart {
			b.restart()
		} else {
			b.outcome(a, lost())
		}
		b.clock.forward(policies[Normal].window)
		b.wake()
	}
}

func TestAnAlertIsNotGivenUpForOurOwnEnds(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert})
	b.loses(4, true)
	require.Equal(t, Queued, b.get(m.ID).State, "no answer was lost by the network")
	require.True(t, b.get(m.ID).PossibleDuplicate)
	b.loses(2, false)
	require.Equal(t, Queued, b.get(m.ID).State)
	b.loses(1, false)
	require.Equal(t, Uncertain, b.get(m.ID).State, "three answers")
	require.Equal(t, ReasonNoEvidence, b.get(m.ID).Reason)

	m = b.submit(Request{Class: Alert})
	b.loses(9, true)
	require.Equal(t, Queued, b.get(m.ID).State)
	b.loses(1, true)
	require.Equal(t, Uncertain, b.get(m.ID).State, "ten in all")

	m = b.submit(Request{Class: Normal})
	b.loses(2, true)
	require.Equal(t, Uncertain, b.get(m.ID).State, "one retry, whatever cost the answers")
}

func TestEverySegmentOfALongAlertHasItsOwnTries(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Class: Alert, Text: strings.Repeat("y", 200)})
	require.Len(t, m.Segments, 2)
	mr := 10
	for range m.Segments {
		for range 2 {
			_, a := b.gated(l)
			b.outcome(a, lost())
			b.clock.forward(policies[Alert].window)
			b.wake()
		}
		_, a := b.gated(l)
		b.outcome(a, accepted(mr))
		mr++
	}
	got := b.get(m.ID)
	require.Equal(t, Sent, got.State, "no segment lost three answers")
	require.Equal(t, 6, got.Attempts)
	require.True(t, got.PossibleDuplicate)
}

func TestALongAlertOnAnotherSIMHasItsTriesAnew(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert, Text: strings.Repeat("y", 200)})
	lose := func(l Line, n int) {
		for range n {
			_, a := b.gated(l)
			b.outcome(a, lost())
			b.clock.forward(policies[Alert].window)
			b.wake()
		}
	}
	lose(line(1), 2)
	b.gone(line(1))
	require.Equal(t, Queued, b.get(m.ID).State)
	lose(line(2), 2)
	require.Equal(t, Queued, b.get(m.ID).State, "the segment as it is now lost two")
	lose(line(2), 1)
	require.Equal(t, Uncertain, b.get(m.ID).State)
}
