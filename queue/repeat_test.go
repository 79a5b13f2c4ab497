package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A modem that gives every message the same MR makes reports that are the same
// to the last octet; the second is of the second message.
func TestIdenticalReportsOfTwins(t *testing.T) {
	b := newBox(t)
	l := line(1)
	one, two := b.submit(Request{}), b.submit(Request{})
	b.sent(l, 0)
	b.clock.forward(300 * time.Millisecond)
	b.sent(l, 0)
	b.clock.forward(time.Hour)
	three := b.submit(Request{})
	b.sent(l, 0)
	in := b.reportIn(l, one.To, 0, stDelivered, b.clock.Now().Add(-time.Hour).Truncate(time.Second))
	states := func() []State { return []State{b.get(one.ID).State, b.get(two.ID).State, b.get(three.ID).State} }
	for _, want := range [][]State{{Delivered, Sent, Sent}, {Delivered, Delivered, Sent}, {Delivered, Delivered, Sent}} {
		require.NoError(t, b.Report(context.Background(), in))
		require.Equal(t, want, states())
		b.clock.forward(time.Second)
		in.At = b.clock.Now()
	}
}

// A repeat does not go to a message with another MR, nor to another number's.
func TestARepeatedReportIsNoEvidenceForOthers(t *testing.T) {
	b := newBox(t)
	l := line(1)
	one := b.submit(Request{})
	b.sent(l, 5)
	same := b.submit(Request{})
	b.sent(l, 6)
	other := b.submit(Request{To: []string{"+34600999888"}})
	b.sent(l, 5)
	in := b.reportIn(l, one.To, 5, stDelivered, b.clock.Now())
	for range 2 {
		require.NoError(t, b.Report(context.Background(), in))
	}
	require.Equal(t, []State{Delivered, Sent, Sent}, []State{b.get(one.ID).State, b.get(same.ID).State, b.get(other.ID).State})
}

// A centre without a clock: when the MR comes round, the same octets are the
// report of another message.
func TestAReportWithoutAStampAfterTheMRCameRound(t *testing.T) {
	b := newBox(t)
	l := line(1)
	one := b.submit(Request{})
	b.sent(l, 5)
	in := b.reportIn(l, one.To, 5, stDelivered, time.Time{})
	require.NoError(t, b.Report(context.Background(), in))
	b.clock.forward(2 * time.Hour)
	two := b.submit(Request{})
	b.sent(l, 5)
	in.At = b.clock.Now()
	require.NoError(t, b.Report(context.Background(), in))
	require.Equal(t, []State{Delivered, Delivered}, []State{b.get(one.ID).State, b.get(two.ID).State})
}
