package queue

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// simBox has a SIM without limits that was seen, as the pool does before it sends on it.
func simBox(t *testing.T, l Line) *box {
	b := newBox(t)
	b.unlimited(l)
	return b
}

// lostTo submits to a number and loses the answer; gate is when it may have left.
func (b *box) lostTo(l Line, to string) (m Message, attempt int64, gate time.Time) {
	b.t.Helper()
	m = b.submit(Request{Class: OTP, To: []string{to}})
	_, attempt = b.gated(l)
	gate = b.clock.Now()
	b.clock.forward(3 * time.Second)
	b.outcome(attempt, lost())
	return m, attempt, gate
}

func TestALostAnswerIsProvedByACentreThatIsAnHourOff(t *testing.T) {
	const ana, eva = "+34600111222", "+34600999888"
	for _, off := range []time.Duration{-time.Hour, time.Hour, 2 * time.Hour} {
		// The offset is learnt from a report that can only be of one message.
		l := line(1)
		b := simBox(t, l)
		first := b.submit(Request{To: []string{ana}})
		b.sent(l, 10)
		b.clock.forward(4 * time.Second)
		b.report(l, ana, 10, stDelivered, b.clock.Now().Add(off-4*time.Second))
		require.Equal(t, Delivered, b.get(first.ID).State)
		b.clock.forward(2 * time.Hour)
		older, _, _ := b.lostTo(l, eva)
		b.clock.forward(40 * time.Minute)
		m, _, gate := b.lostTo(l, eva)
		b.report(l, eva, 99, stDelivered, gate.Add(time.Second).Add(off))
		require.Equal(t, Delivered, b.get(m.ID).State, "the time tells which of two (%s)", off)
		require.Equal(t, Uncertain, b.get(older.ID).State)
		b.restart()
		b.report(l, eva, 98, stDelivered, gate.Add(-40*time.Minute).Add(off))
		require.Equal(t, Delivered, b.get(older.ID).State, "it is kept over a restart")

		// Before it is learnt, the MR after the SIM's last is enough.
		b = simBox(t, l)
		b.submit(Request{To: []string{ana}})
		b.sent(l, 10)
		m, _, gate = b.lostTo(l, eva)
		b.report(l, eva, 12, stDelivered, gate.Add(-3*time.Hour))
		require.Equal(t, Uncertain, b.get(m.ID).State, "another MR, another time")
		b.report(l, eva, 11, stDelivered, gate.Add(time.Second).Add(off))
		require.Equal(t, Delivered, b.get(m.ID).State, "%s", off)
	}
}

func TestManyMessagesToOneNumberThroughACentreThatIsAnHourOff(t *testing.T) {
	l := line(1)
	for _, order := range []string{"as sent", "backwards"} {
		b := simBox(t, l)
		var ids []string
		var sent []time.Time
		for i := range 300 {
			m := b.submit(Request{Class: Bulk})
			b.sent(l, i%256)
			ids, sent = append(ids, m.ID), append(sent, b.clock.Now())
			b.clock.forward(2 * time.Second)
		}
		done := map[string]bool{}
		for k := range 300 {
			i := k
			if order == "backwards" {
				i = 299 - k
			}
			b.clock.forward(20 * time.Millisecond)
			b.report(l, "+34600111222", i%256, stDelivered, sent[i].Add(-time.Hour).Truncate(time.Second))
			done[ids[i]] = true
			for _, other := range []int{i - 256, i + 256} {
				if other >= 0 && other < 300 && !done[ids[other]] {
					require.Equal(t, Sent, b.get(ids[other]).State, "report %d went to message %d", i, other)
				}
			}
		}
		for i, id := range ids {
			require.Equal(t, Delivered, b.get(id).State, "%s: message %d", order, i)
		}
	}
}

// A clock that jumps, as by daylight saving, is followed; nonsense is not.
func TestTheCentresClockIsFollowed(t *testing.T) {
	l := line(1)
	b := simBox(t, l)
	offset := func() (ms *int64) {
		require.NoError(t, b.db.Read().QueryRow(`SELECT clock_offset FROM sim`).Scan(&ms))
		return ms
	}
	mr := 0
	say := func(scts func(time.Time) time.Time) {
		m := b.submit(Request{})
		b.sent(l, mr)
		b.report(l, m.To, mr, stDelivered, scts(b.clock.Now()))
		require.Equal(t, Delivered, b.get(m.ID).State)
		mr++
		b.clock.forward(time.Minute)
	}
	off := func(d time.Duration) func(time.Time) time.Time {
		return func(now time.Time) time.Time { return now.Add(d) }
	}
	say(off(-20 * 365 * 24 * time.Hour))
	require.Nil(t, offset())
	b.clock.trust(false)
	say(off(-time.Hour))
	require.Nil(t, offset(), "our own clock may be the wrong one")
	b.clock.trust(true)
	for _, d := range []time.Duration{0, time.Hour, 2 * time.Hour, -time.Hour} {
		say(off(d))
		require.Equal(t, d.Milliseconds(), *offset())
	}
	say(func(time.Time) time.Time { return time.Time{} })
	require.Equal(t, -time.Hour.Milliseconds(), *offset())
}

// A report that proves a lost submission says which MR the SIM is at: the next
// one's is the one after it.
func TestAProvedSubmissionMovesTheMROn(t *testing.T) {
	l := line(1)
	b := simBox(t, l)
	last := func() (mr int) {
		require.NoError(t, b.db.Read().QueryRow(`SELECT last_mr FROM sim`).Scan(&mr))
		return mr
	}
	b.submit(Request{})
	b.sent(l, 10)
	m, _, gate := b.lostTo(l, "+34600111222")
	b.report(l, m.To, 11, stDelivered, gate)
	require.Equal(t, Delivered, b.get(m.ID).State)
	require.Equal(t, 11, last())

	m, _, gate = b.lostTo(l, "+34600111222")
	b.submit(Request{To: []string{"+34600999888"}})
	b.sent(l, 13)
	b.report(l, m.To, 12, stDelivered, gate)
	require.Equal(t, Delivered, b.get(m.ID).State)
	require.Equal(t, 13, last(), "a later answer has told already")
}
