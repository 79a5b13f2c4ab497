package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The network counts at a moment between the gate and the answer, so the windows
// that slide run from the answer.

// waitsFor has n messages wait that are valid for long.
func (b *box) waitsFor(n int) {
	b.t.Helper()
	for range n {
		b.submit(Request{Class: OTP, ValidFor: maxValid, Delivery: AtMostOnce})
	}
	b.raw(`UPDATE message SET expires_at = 1e14`)
}

func TestAWindowRunsFromTheAnswer(t *testing.T) {
	for name, o := range map[string]Outcome{"accepted": accepted(0), "refused": {Verdict: Rejected, MR: -1, Reason: "rejected"}, "lost": lost()} {
		for _, restarts := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				b := newBox(t)
				l := line(1)
				b.known(l)
				b.limit(l, Limit{WindowMinute, 1, 0}, Limit{WindowHour, 0, 5})
				b.waitsFor(4)
				_, a := b.gated(l)
				b.clock.forward(70 * time.Second) // longer than the window, and the modem is silent
				require.Zero(t, b.room(l).Segments[LaneOTP], "it may be accepted now")
				require.Equal(t, 1, b.limitsOf(l).Limits[minute].UsedSegments)
				b.outcome(a, o)
				if restarts {
					b.restart()
				}
				require.Equal(t, time.Minute+slack+time.Millisecond, b.room(l).Until.Sub(b.clock.Now()))
				b.clock.forward(time.Minute + slack)
				require.Nil(t, b.claimed(l))
				b.clock.forward(time.Millisecond)
				_, a = b.gated(l)

				// The answer and the next gate in one commit.
				b.clock.forward(65 * time.Second)
				c, err := b.OutcomeThen(context.Background(), a, accepted(1), l, nil)
				require.NoError(t, err)
				require.Nil(t, c, "it was accepted just now")
				b.clock.forward(time.Minute + slack + time.Millisecond)
				require.Equal(t, 1, b.sends(l, 2))
			})
		}
	}
}

// A late answer may be of an acceptance that has just been.
func TestALateAnswerIsTheAnswer(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMinute, 2, 0})
	b.waitsFor(4)
	_, a := b.gated(l)
	b.outcome(a, lost())
	b.clock.forward(30 * time.Second)
	b.outcome(a, accepted(0))
	b.clock.forward(40 * time.Second)
	require.Equal(t, 1, b.limitsOf(l).Limits[minute].UsedSegments)

	// Of one that another followed: both stay in their order, also on disk.
	_, first := b.gated(l)
	b.outcome(first, lost())
	b.clock.forward(time.Minute)
	require.Equal(t, 1, b.sends(l, 1))
	b.clock.forward(10 * time.Second)
	b.outcome(first, accepted(1))
	for range 2 {
		require.Equal(t, 2, b.limitsOf(l).Limits[minute].UsedSegments)
		b.restart()
	}
	b.clock.forward(time.Minute + slack - 10*time.Second + time.Millisecond)
	require.Zero(t, b.limitsOf(l).Limits[minute].UsedSegments)
}

// Whoever was killed with a gate open does not know when the network took it.
func TestWhatWasOpenWhenItStoppedCountsFromTheStart(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMinute, 1, 0})
	b.waitsFor(3)
	b.gated(l)
	b.clock.forward(50 * time.Second)
	b.restart()
	b.clock.forward(time.Minute + slack)
	require.Nil(t, b.claimed(l))
	b.clock.forward(time.Millisecond)
	require.Equal(t, 1, b.sends(l, 2))
}

// An answer after midnight is of the new day, as the network may count it.
func TestAnAnswerAfterMidnightCountsInTheNewDay(t *testing.T) {
	zone(t, time.UTC)
	for _, restarts := range []bool{false, true} {
		b := newBox(t)
		b.clock.now = time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
		l := line(1)
		b.known(l)
		b.limit(l, Limit{WindowDay, 1, 2}, Limit{WindowMonth, 3, 3})
		b.waitsFor(4)
		_, a := b.gated(l)
		b.clock.forward(2 * time.Second)
		require.Zero(t, b.limitsOf(l).Limits[daily].UsedSegments)
		if restarts {
			b.restart()
		}
		c, err := b.OutcomeThen(context.Background(), a, accepted(0), l, nil)
		require.NoError(t, err)
		require.Nil(t, c, "the new day has its one")
		for w := daily; w <= monthly; w++ {
			u := b.limitsOf(l).Limits[w]
			require.Equal(t, []int{1, 1}, []int{u.UsedSegments, u.UsedRecipients}, u.Window)
		}
		require.Equal(t, "2026-12-01 2026-12-01", b.text(`SELECT day || ' ' || month FROM usage`))
		require.Equal(t, 2, b.count(`SELECT sum(segments) FROM usage_period`), "and the old one has it no more")
		require.Equal(t, 2, b.count(`SELECT sum(n) FROM usage_recipient`))
		b.clock.forward(24 * time.Hour)
		require.Equal(t, 1, b.sends(l, 2))
	}
}
