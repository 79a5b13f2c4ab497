package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

func (b *box) canary(from, to int, number string) Canary {
	b.t.Helper()
	c, err := b.StartCanary(context.Background(), line(from).ICCID, line(to).ICCID, number, "ana")
	require.NoError(b.t, err)
	return c
}

func (b *box) again(c Canary) Canary {
	b.t.Helper()
	c, err := b.Canary(context.Background(), c.ID)
	require.NoError(b.t, err)
	return c
}

// comes lets a text come in on a SIM.
func (b *box) comes(to int, text string) (ours bool) {
	b.t.Helper()
	require.NoError(b.t, b.db.Write(context.Background(), sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		ours, err = b.CanaryArrived(tx, line(to).ICCID, text)
		return err
	}))
	return ours
}

// TestACanarysSteps: an ordinary message that only its SIM may send, in the lane
// of alerts and never twice, and the times of its steps.
func TestACanarysSteps(t *testing.T) {
	b := newBox(t)
	people := b.submit(Request{Text: "a"})
	b.submit(Request{Text: "b"})
	c := b.canary(1, 2, "600 111 222")
	require.Equal(t, CanaryWaiting, c.State)
	require.Equal(t, []time.Duration{-1, -1, -1}, []time.Duration{c.Accepted, c.Reported, c.Arrived})
	m := b.get(c.Message)
	require.Equal(t, "+34600111222", m.To)
	require.Equal(t, []any{Normal, AtMostOnce, CanaryReference, line(1).ICCID, 1}, []any{m.Class, m.Delivery, m.Reference, m.SIM, len(m.Segments)})
	_, err := b.StartCanary(context.Background(), line(1).ICCID, line(2).ICCID, "+34600111222", "ana")
	require.ErrorIs(t, err, ErrCanaryRunning)

	got := b.claimed(line(2))
	require.Equal(t, people.ID, got.Message.ID, "only its SIM sends it")
	gate := b.clock.Now()
	claimed, a := b.gated(line(1))
	require.Equal(t, c.Message, claimed.Message.ID, "before people's")
	b.clock.forward(3 * time.Second)
	b.outcome(a, accepted(9))
	require.Equal(t, CanaryOut, b.again(c).State)
	b.clock.forward(2 * time.Second)
	require.True(t, b.comes(2, m.Text))
	b.clock.forward(time.Second)
	b.report(line(1), m.To, 9, stDelivered, gate)
	c = b.again(c)
	require.Equal(t, CanaryArrived, c.State)
	require.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second, 5 * time.Second}, []time.Duration{c.Accepted, c.Reported, c.Arrived})
	require.Equal(t, b.clock.Now().Add(-time.Second), c.EndedAt)
	require.Empty(t, c.Detail)
	require.True(t, b.comes(2, m.Text), "twice: still ours")
	require.Equal(t, 5*time.Second, b.again(c).Arrived)
}

// TestACanaryThatIsLate: given up, and yet it came.
func TestACanaryThatIsLate(t *testing.T) {
	b := newBox(t)
	c := b.canary(1, 2, "+34600111222")
	_, a := b.gated(line(1))
	b.outcome(a, accepted(9))
	require.NoError(t, b.EndCanary(context.Background(), c.ID, CanaryMissed, CanaryNoReport))
	require.NoError(t, b.EndCanary(context.Background(), c.ID, CanaryVoid, CanaryPaused), "it has ended")
	require.Equal(t, []any{CanaryMissed, CanaryNoReport}, []any{b.again(c).State, b.again(c).Detail})
	b.restart()
	require.True(t, b.comes(2, b.get(c.Message).Text))
	require.Equal(t, []any{CanaryArrived, CanaryLate}, []any{b.again(c).State, b.again(c).Detail})
}

// TestACanaryIsFollowedOverARestart: its answer was lost with the program, the
// report shows it sent, and it arrives.
func TestACanaryIsFollowedOverARestart(t *testing.T) {
	b := newBox(t)
	c := b.canary(1, 2, "+34600111222")
	gate := b.clock.Now()
	_, _ = b.gated(line(1))
	b.restart()
	require.Equal(t, []any{CanaryWaiting, Uncertain}, []any{b.again(c).State, b.again(c).MessageState})
	b.clock.forward(4 * time.Second)
	b.report(line(1), "+34600111222", 0, stDelivered, gate)
	require.Equal(t, []any{CanaryOut, 4 * time.Second, 4 * time.Second}, []any{b.again(c).State, b.again(c).Accepted, b.again(c).Reported})
	b.clock.forward(time.Hour)
	b.wake()
	require.Equal(t, Delivered, b.get(c.Message).State)
	require.Equal(t, 1, b.get(c.Message).Attempts)
}

// TestACanaryIsNeverSentTwice whose answer was lost, and none that was given up
// before it left.
func TestACanaryIsNeverSentTwice(t *testing.T) {
	b := newBox(t)
	c := b.canary(1, 2, "+34600111222")
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	b.clock.forward(5 * time.Minute)
	b.wake()
	require.Equal(t, []any{Uncertain, ReasonNoEvidence}, []any{b.get(c.Message).State, b.get(c.Message).Reason})
	require.Nil(t, b.claimed(line(1)))

	c = b.canary(2, 1, "+34600111222")
	require.NoError(t, b.EndCanary(context.Background(), c.ID, CanaryVoid, CanaryNotReady))
	require.Equal(t, Cancelled, b.get(c.Message).State)
	require.Nil(t, b.claimed(line(2)))
}

// TestWhoseTextItIs: the box's own, wherever it arrives; not somebody's who quotes
// it.
func TestWhoseTextItIs(t *testing.T) {
	b := newBox(t)
	c := b.canary(1, 2, "+34600111222")
	text := b.get(c.Message).Text
	for _, other := range []string{"", "hola", "RC-", "RC-AAAA", "RC-AAAABBBBCCCCD", text[:len(text)-1], text[:len(text)-1] + "1"} {
		require.False(t, b.comes(2, other), other)
	}
	require.False(t, b.comes(1, "Who is this? > "+text), "an answer to the SIM that sent it")
	require.Equal(t, CanaryWaiting, b.again(c).State)
	require.True(t, b.comes(3, text), "its number is another SIM's")
	require.Equal(t, []any{CanaryVoid, CanaryOtherSIM + ":" + line(3).ICCID}, []any{b.again(c).State, b.again(c).Detail})

	c = b.canary(1, 2, "+34600111222")
	require.True(t, b.comes(2, b.get(c.Message).Text+" "), "a network may add something")
	require.Equal(t, CanaryArrived, b.again(c).State)
}

// TestACanarysNumber in the forms that people enter and SIMs have.
func TestACanarysNumber(t *testing.T) {
	for raw, want := range map[string]string{
		"+34600111222": "+34600111222", "600111222": "+34600111222", "34600111222": "+34600111222",
		"0034 600 11 12 22": "+34600111222", "+44 7911 123456": "+447911123456", // a foreign SIM, though people may not write abroad
	} {
		b := newBox(t)
		require.Equal(t, want, b.get(b.canary(1, 2, raw).Message).To, raw)
	}
	b := newBox(t)
	for _, raw := range []string{"", "hola", "+34", "1"} {
		_, err := b.StartCanary(context.Background(), "1", "2", raw, "ana")
		var bad *Invalid
		require.ErrorAs(t, err, &bad, raw)
		require.Equal(t, "number", bad.Field)
	}
}

// TestClaimCanary: that message and no other, for its SIM alone, once.
func TestClaimCanary(t *testing.T) {
	b := newBox(t)
	b.submit(Request{Text: "a", SIM: line(1).ICCID})
	c := b.canary(1, 2, "+34600111222")
	claim := func(n int) *Claimed {
		got, err := b.ClaimCanary(context.Background(), line(n), c.Message)
		require.NoError(t, err)
		return got
	}
	require.Nil(t, claim(2))
	got := claim(1)
	require.Equal(t, c.Message, got.Message.ID)
	require.Nil(t, claim(1))
	require.NoError(t, b.Unclaim(context.Background(), line(1).ICCID, got.Message.Seq, Outcome{Verdict: NotSent, MR: -1, Retry: true}))
	require.NotNil(t, claim(1))
	_, err := b.Gate(context.Background(), line(1), got.Message.Seq, 1)
	require.NoError(t, err)
}

// TestCanariesAreListedAndForgotten.
func TestCanariesAreListedAndForgotten(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	for i := range 5 {
		c := b.canary(1, 2+i%2, "+34600111222")
		require.NoError(t, b.EndCanary(ctx, c.ID, CanaryVoid, CanaryPaused))
		b.clock.forward(time.Hour)
	}
	live := b.canary(3, 1, "+34600111222")
	page, next, err := b.Canaries(ctx, CanaryFilter{Limit: 4})
	require.NoError(t, err)
	require.Len(t, page, 4)
	rest, end, err := b.Canaries(ctx, CanaryFilter{Limit: 4, Cursor: next})
	require.NoError(t, err)
	require.Len(t, rest, 2)
	require.Empty(t, end)
	of3, _, err := b.Canaries(ctx, CanaryFilter{SIM: line(3).ICCID})
	require.NoError(t, err)
	require.Len(t, of3, 3)
	void, _, err := b.Canaries(ctx, CanaryFilter{State: CanaryVoid})
	require.NoError(t, err)
	require.Len(t, void, 5)
	_, _, err = b.Canaries(ctx, CanaryFilter{Cursor: "x"})
	require.Error(t, err)
	since, err := b.CanariesSince(ctx, b.clock.Now().Add(-90*time.Minute))
	require.NoError(t, err)
	require.Len(t, since, 2)

	b.clock.forward(keepCanaries)
	require.NoError(t, b.PruneCanaries(ctx))
	left, _, err := b.Canaries(ctx, CanaryFilter{})
	require.NoError(t, err)
	require.Len(t, left, 1, "what has not ended stays")
	require.Equal(t, live.ID, left[0].ID)
}

// TestCanarySettings: nothing that costs money unless somebody wants it.
func TestCanarySettings(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	c, err := b.CanarySettings(ctx)
	require.NoError(t, err)
	require.False(t, c.RealSIMs)
	c = CanarySettings{EveryHours: 12, RealSIMs: true}
	require.NoError(t, b.SetCanarySettings(ctx, c, "ana"))
	for _, hours := range []int{-1, mostCanaryHours + 1} {
		require.Error(t, b.SetCanarySettings(ctx, CanarySettings{EveryHours: hours}, "ana"))
	}
	b.restart()
	got, err := b.CanarySettings(ctx)
	require.NoError(t, err)
	require.Equal(t, c, got)

	mutes := map[string]Mute{"1": {ICCID: "1", NoSend: true, Legs: []int64{3}, Since: 5}}
	require.NoError(t, b.SetMutes(ctx, mutes))
	kept, err := b.Mutes(ctx)
	require.NoError(t, err)
	require.Equal(t, mutes, kept)
	when := b.clock.Now()
	require.NoError(t, b.SetCanaryRound(ctx, when))
	round, err := b.CanaryRound(ctx)
	require.NoError(t, err)
	require.True(t, when.Equal(round))
}

// TestACanaryCountsInTheLimits like any message.
func TestACanaryCountsInTheLimits(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: line(1).ICCID}))
	require.NoError(t, b.SetLimits(ctx, line(1).ICCID, LimitsPatch{Limits: &[]Limit{{Window: WindowHour, MaxSegments: 1}}}))
	c := b.canary(1, 2, "+34600111222")
	got, err := b.ClaimCanary(ctx, line(1), c.Message)
	require.NoError(t, err)
	a, err := b.Gate(ctx, got.Line, got.Message.Seq, 1)
	require.NoError(t, err)
	b.outcome(a, accepted(1))
	used, err := b.Limits(ctx, line(1).ICCID)
	require.NoError(t, err)
	require.Equal(t, 1, used.Limits[1].UsedSegments)
	c = b.canary(1, 3, "+34600111223")
	require.Nil(t, b.claimed(line(1)))
	got, err = b.ClaimCanary(ctx, line(1), c.Message)
	require.NoError(t, err)
	_, err = b.Gate(ctx, got.Line, got.Message.Seq, 1)
	require.ErrorIs(t, err, ErrLimit)
}

// FuzzCanaryOf: whatever somebody writes is a token, or none.
func FuzzCanaryOf(f *testing.F) {
	f.Add(canaryText("ABCDEFGHJKLM2"))
	f.Add("RC-RC-RC-")
	f.Add("RC-\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		token := CanaryOf(text)
		require.True(t, token == "" || len(token) == tokenLen && strings.Contains(text, canaryMark+token), "%q", token)
	})
}

// TestACanaryIsNobodysMessage: not in the lists, the threads, the counts, the rates
// and the events, also after a restart; by its id and its reference it is found.
func TestACanaryIsNobodysMessage(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO conversation (number, last_at, last_text, iccid) VALUES ('+34600111222', 1, 'hola', ?)`, line(2).ICCID)
		return err
	}))
	before, err := b.LastEvent(ctx)
	require.NoError(t, err)
	c := b.canary(1, 2, "+34600111222")
	gate := b.clock.Now()
	_, a := b.gated(line(1))
	b.outcome(a, accepted(9))
	b.report(line(1), "+34600111222", 9, stDelivered, gate)
	lost := b.canary(2, 1, "+34600111223")
	require.NoError(t, b.EndCanary(ctx, lost.ID, CanaryVoid, CanaryNotReady))
	b.canary(3, 1, "+34600111223")
	require.Equal(t, []State{Delivered, Cancelled}, []State{b.get(c.Message).State, b.get(lost.Message).State})

	look := func() {
		t.Helper()
		list, _, err := b.Messages(ctx, Filter{})
		require.NoError(t, err)
		require.Empty(t, list)
		list, _, err = b.Messages(ctx, Filter{States: []State{Delivered, Cancelled}, To: "+34600111222"})
		require.NoError(t, err)
		require.Empty(t, list)
		thread, err := b.MessagesTo(ctx, "+34600111222", 0, 10)
		require.NoError(t, err)
		require.Empty(t, thread)
		depth, err := b.Depth(ctx)
		require.NoError(t, err)
		stats, err := b.Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, []int{0, 0, 0}, []int{stats.SentMinute, stats.SentHour, stats.SentDay})
		for _, state := range States {
			require.Zero(t, stats.Today[state], state)
			for class, n := range depth[state] {
				require.Zero(t, n, "%s %s", state, class)
			}
		}
		told, err := b.Events(ctx, before, 100)
		require.NoError(t, err)
		for _, e := range told {
			require.False(t, strings.HasPrefix(e.Type, "message."), e.Type)
		}
		asked, _, err := b.Messages(ctx, Filter{Reference: CanaryReference})
		require.NoError(t, err)
		require.Len(t, asked, 3)
		var last string
		require.NoError(t, b.db.Read().QueryRow(`SELECT last_text FROM conversation`).Scan(&last))
		require.Equal(t, "hola", last)
	}
	look()
	b.restart()
	look()

	b.submit(Request{Text: "de una persona", SIM: line(1).ICCID})
	b.sent(line(1), 7) // and beside people's
	stats, err := b.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{stats.SentDay, stats.Today[Sent]})
	b.restart()
	stats, err = b.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, stats.SentDay)
}
