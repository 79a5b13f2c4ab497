package queue

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// The next message's gate is open in the commit of the last one's outcome; who was
// told of it early was told the truth, and what does not leave after all goes back.
func TestOutcomeThenOpensTheNextGate(t *testing.T) {
	b := newBox(t)
	l := line(1)
	first, second := b.submit(Request{Text: "uno"}), b.submit(Request{Text: "dos"})
	c, id := b.gated(l)
	require.Equal(t, first.Seq, c.Message.Seq)

	var early []Claimed
	next, err := b.OutcomeThen(context.Background(), id, Outcome{Verdict: Accepted, MR: 7}, l, func(c Claimed) { early = append(early, c) })
	require.NoError(t, err)
	require.Equal(t, second.Seq, next.Message.Seq)
	require.NotZero(t, next.Attempt)
	require.Len(t, early, 1)
	require.Equal(t, next.Attempt, early[0].Attempt)
	require.Equal(t, next.Message.Segments[next.Next].TPDU, early[0].Message.Segments[early[0].Next].TPDU)

	require.Equal(t, Sent, b.get(first.ID).State)
	require.Equal(t, Sending, b.get(second.ID).State)
	_, err = b.Gate(context.Background(), l, second.Seq, 1)
	require.ErrorIs(t, err, ErrNotClaimed, "its gate is open")

	// A power cut now leaves a doubt: nobody knows whether Ctrl-Z has left.
	b.restart()
	require.Equal(t, Uncertain, b.get(second.ID).State)
}

// When the modem gave no prompt, nothing has left, and the message waits again.
func TestWhatWasOpenedAheadGoesBack(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.submit(Request{Text: "uno"})
	second := b.submit(Request{Text: "dos"})
	_, id := b.gated(l)
	next, err := b.OutcomeThen(context.Background(), id, Outcome{Verdict: Accepted, MR: 7}, l, nil)
	require.NoError(t, err)
	_, err = b.Outcome(context.Background(), next.Attempt, Outcome{Verdict: NotSent, MR: -1, Retry: true}, nil)
	require.NoError(t, err)
	require.Equal(t, Queued, b.get(second.ID).State)
	again, attempt := b.gated(line(2))
	require.Equal(t, second.Seq, again.Message.Seq)
	require.Greater(t, attempt, next.Attempt)

	// With nothing more to claim there is nothing to open.
	none, err := b.OutcomeThen(context.Background(), attempt, Outcome{Verdict: Accepted, MR: 8}, line(2), func(Claimed) { t.Error("told of nothing") })
	require.NoError(t, err)
	require.Nil(t, none)
}

// A gate that is refused leaves a plain claim, whose gate tells why in its turn.
func TestAGateThatIsRefusedAheadLeavesAClaim(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.submit(Request{Text: "uno"})
	second := b.submit(Request{Text: "dos"})
	_, id := b.gated(l)
	// Another attempt of this SIM is open: the unique index refuses a second.
	_, err := b.OutcomeThen(context.Background(), id, Outcome{Verdict: Accepted, MR: 7}, l, nil)
	require.NoError(t, err)
	third := b.submit(Request{Text: "tres"})
	var told int
	c, err := b.OutcomeThen(context.Background(), id, Outcome{Verdict: Accepted, MR: 7}, l, func(Claimed) { told++ })
	require.NoError(t, err)
	require.Zero(t, told)
	require.NotNil(t, c)
	require.Zero(t, c.Attempt)
	require.Equal(t, third.Seq, c.Message.Seq)
	require.Equal(t, Sending, b.get(second.ID).State)
}
