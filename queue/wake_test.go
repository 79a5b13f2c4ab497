package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScheduledMessagesGoAtTheirTime(t *testing.T) {
	b := newBox(t)
	l := line(1)
	hints := make(chan struct{}, 10)
	b.OnReady(func() { hints <- struct{}{} })
	at := b.clock.Now().Add(time.Hour)
	m := b.submit(Request{SendAt: at, ValidFor: time.Hour})
	require.Equal(t, Scheduled, m.State)
	require.Equal(t, at.Add(time.Hour), m.ExpiresAt)
	require.Len(t, hints, 1, "Wake has something new to look at")
	<-hints
	require.Nil(t, b.claimed(l))
	require.Equal(t, at, b.tended())
	b.clock.trust(false)
	b.clock.forward(time.Hour)
	b.wake()
	require.Equal(t, Scheduled, b.get(m.ID).State, "the clock is not trusted")
	b.clock.trust(true)
	b.wake()
	require.Len(t, hints, 1)
	require.Equal(t, Queued, b.get(m.ID).State)
	require.NotNil(t, b.claimed(l))

	past := b.submit(Request{SendAt: b.clock.Now().Add(-time.Hour)})
	require.Equal(t, Queued, past.State)
}

func TestMessagesExpire(t *testing.T) {
	b := newBox(t)
	l := line(1)
	whole := b.submit(Request{ValidFor: time.Minute, SIM: l.ICCID})
	part := b.submit(Request{ValidFor: 2 * time.Minute, Text: strings.Repeat("x", 400), SIM: line(2).ICCID})
	b.sent(line(2), 1)
	b.clock.trust(false)
	b.clock.forward(time.Minute)
	b.wake()
	require.Equal(t, Queued, b.get(whole.ID).State)
	b.clock.trust(true)
	b.wake()
	got := b.get(whole.ID)
	require.Equal(t, Expired, got.State)
	require.Equal(t, ReasonValidity, got.Reason)
	require.Nil(t, b.claimed(l))

	// One whose segment is under way ends with that.
	_, a := b.gated(line(2))
	b.clock.forward(time.Minute)
	b.wake()
	require.Equal(t, Sending, b.get(part.ID).State)
	b.outcome(a, accepted(2))
	require.Nil(t, b.claimed(line(2)))
	b.wake()
	got = b.get(part.ID)
	require.Equal(t, Failed, got.State)
	require.Equal(t, ReasonPartial, got.Reason)
	require.Equal(t, "expired", got.Error.Code)
	require.Contains(t, got.Error.Detail, "2 of 3 segments")
	require.Equal(t, []string{"message.expired", "message.failed"}, b.events())
}

func TestWakeDoesALotInSteps(t *testing.T) {
	b := newBox(t)
	b.tended() // what it deletes once an hour is no step
	for i := range 5 {
		var to []string
		for j := range 100 {
			to = append(to, fmt.Sprintf("+346%03d%05d", i, j))
		}
		_, err := b.Submit(context.Background(), Request{To: to, Text: "a", ValidFor: time.Minute}, nil)
		require.NoError(t, err)
	}
	b.clock.forward(time.Minute)
	steps := 0
	for next := b.wake(); !next.IsZero(); next = b.wake() {
		require.Equal(t, b.clock.Now(), next, "there is more: at once")
		steps++
	}
	require.Equal(t, 2, steps)
	depth, err := b.Depth(context.Background())
	require.NoError(t, err)
	require.Equal(t, 500, depth[Expired][Normal])
}

func TestWakeDeletesWhatIsPastItsKeeping(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.tended()
	b.report(l, "+34600000001", 1, 0, b.clock.Now())
	require.NoError(t, b.Emit(context.Background(), "system.test", struct{}{}))
	count := func(table string) (n int) {
		require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		return n
	}
	b.clock.forward(tidyRound)
	b.tended() // notes how far they have come
	b.clock.forward(7*24*time.Hour - time.Minute)
	b.tended()
	require.Equal(t, []int{1, 1}, []int{count("report"), count("event")})
	b.clock.forward(2 * time.Hour)
	b.tended()
	require.Equal(t, []int{0, 0}, []int{count("report"), count("event")})
	require.NoError(t, b.Emit(context.Background(), "system.test", struct{}{}))
	last, err := b.LastEvent(context.Background())
	require.NoError(t, err)
	require.Equal(t, int64(2), last, "numbers are not used again")
}

// TestTidyGoesOnUntilNothingIsDue: more events than an hour's round ever took
// away, in some calls that follow each other at once.
func TestTidyGoesOnUntilNothingIsDue(t *testing.T) {
	b := newBox(t)
	const rows = 30_000
	b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < ?2)
		INSERT INTO event (id, type, at, data) SELECT 'x', 'message.sent', ?1, '{}' FROM g`, ms(b.clock.Now()), rows)
	b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < ?2)
		INSERT INTO idempotency (scope, key, hash, answer, created_at) SELECT 's', 'k' || i, x'00', '{}', ?1 FROM g`, ms(b.clock.Now()), rows)
	b.wake()
	b.clock.forward(keepEvents + 2*tidyRound)
	calls := 0
	for next := b.wake(); !next.IsZero(); next = b.wake() {
		require.Equal(t, b.clock.Now(), next, "there is more: at once")
		calls++
		require.Less(t, calls, 1000)
	}
	var events, answers int
	require.NoError(t, b.db.Read().QueryRow(`SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM idempotency)`).Scan(&events, &answers))
	require.Zero(t, events)
	require.Zero(t, answers)
}
