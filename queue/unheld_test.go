package queue

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func (b *box) free(held ...int64) int {
	b.t.Helper()
	n, err := b.FreeClaims(context.Background(), held)
	require.NoError(b.t, err)
	return n
}

func TestAClaimThatNoLineHasIsGivenBack(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	b.submit(Request{})
	lost := b.claimed(l).Message
	b.submit(Request{})
	busy := b.claimed(line(2)).Message
	b.submit(Request{})
	_, a := b.gated(line(3))

	ready := 0
	b.OnReady(func() { ready++ })
	require.Zero(t, b.free(busy.Seq), "it may have been claimed a moment ago")
	require.Zero(t, ready)
	require.Equal(t, 1, b.free(busy.Seq))
	require.Equal(t, 1, ready)
	require.Zero(t, b.free(busy.Seq))
	_, err := b.Gate(ctx, l, lost.Seq, 1)
	require.ErrorIs(t, err, ErrNotClaimed, "the line that lost it may not send it any more")
	_, err = b.Gate(ctx, line(2), busy.Seq, 1)
	require.NoError(t, err)
	b.outcome(a, accepted(1))
	require.Equal(t, lost.ID, b.claimed(line(4)).Message.ID)
}

// Claimed, given back and claimed again by the time of the second call: that is
// another claim.
func TestAClaimMadeBetweenTwoCallsIsNotGivenBack(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	b.submit(Request{})
	for range 3 {
		c := b.claimed(l)
		require.NotNil(t, c)
		require.Zero(t, b.free())
		require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true}))
	}
	c := b.claimed(l)
	require.Zero(t, b.free())
	require.Zero(t, b.free(c.Message.Seq), "held now")
	require.Zero(t, b.free(), "and no more: the count begins anew")
	require.Equal(t, 1, b.free())
}
