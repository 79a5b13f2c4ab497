package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// leapt is a box whose clock has just leapt: what is over may not end by it.
func leapt(t *testing.T) (*box, *calendarClock) {
	b := newBox(t)
	c := &calendarClock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0), trusted: true}
	b.by(c)
	b.known(line(1), line(2))
	b.unlimited(line(1))
	b.unlimited(line(2))
	return b, c
}

// overs queues messages that are over an hour ago.
func (b *box) overs(c *calendarClock, n int) {
	b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < ?1) INSERT INTO message
		(crc, id, recipient, text, class, lane, state, encoding, delivery, segments, valid_ms, created_at, expires_at)
		SELECT 0, 'over' || i, '+34600111222', 'x', 'bulk', 3, 'queued', 'gsm7', 'at_most_once', 1, 1000, 1, ?2 FROM g`, n, ms(c.now.Add(-time.Hour)))
}

func TestWhatIsOverAndMayNotEndCostsAClaimNothing(t *testing.T) {
	quickest := func(n int) time.Duration {
		b, c := leapt(t)
		b.overs(c, n)
		b.submit(Request{Class: OTP, ValidFor: maxValid})
		best := time.Hour
		for range 30 {
			begun := time.Now()
			got := b.claimed(line(1))
			best = min(best, time.Since(begun))
			require.Equal(t, OTP, got.Message.Class)
			require.NoError(t, b.Unclaim(context.Background(), line(1).ICCID, got.Message.Seq, Outcome{}))
		}
		require.Equal(t, n, b.count(`SELECT count(*) FROM message WHERE state = 'queued' AND class = 'bulk'`), "nothing ends")
		return best
	}
	few, many := quickest(100), quickest(100_000)
	require.Less(t, many, 4*few, "%s with a hundred", few)
}

func TestNothingIsMissedAmongWhatIsOver(t *testing.T) {
	ctx := context.Background()
	b, c := leapt(t)
	l := line(1)
	first, hidden := b.submit(Request{Class: Bulk, ValidFor: maxValid}), b.submit(Request{Class: Bulk, ValidFor: maxValid})
	b.raw(`UPDATE message SET claimed_by = 'nobody' WHERE seq = ?`, hidden.Seq)
	for range 300 {
		b.submit(Request{Class: Bulk})
	}
	b.raw(`UPDATE message SET clock_boot = 0, expires_at = ? WHERE seq > ?`, ms(c.now.Add(-time.Hour)), hidden.Seq)
	held := b.claimed(l)
	require.Equal(t, first.ID, held.Message.ID)
	require.Nil(t, b.claimed(line(2)), "the others are over")
	require.NotEmpty(t, b.over.upTo)

	require.NoError(t, b.Unclaim(ctx, l.ICCID, held.Message.Seq, Outcome{}))
	require.Equal(t, first.ID, b.claimed(line(2)).Message.ID, "what comes back before them")
	require.NoError(t, b.Unclaim(ctx, line(2).ICCID, held.Message.Seq, Outcome{Retry: true, After: time.Second, Code: "busy"}))
	require.Nil(t, b.claimed(l))
	c.pass(2 * time.Second)
	b.wake()
	require.Equal(t, first.ID, b.claimed(l).Message.ID, "after its back-off")
	require.NoError(t, b.Unclaim(ctx, l.ICCID, held.Message.Seq, Outcome{Retry: true, After: time.Hour, Code: "busy"}))

	last := b.submit(Request{Class: Bulk, ValidFor: maxValid})
	require.Equal(t, last.ID, b.claimed(l).Message.ID, "what is new behind them")
	require.Nil(t, b.claimed(l))

	b.raw(`UPDATE message SET claimed_by = '' WHERE seq = ?`, hidden.Seq)
	for range 3 {
		seen := b.over.upTo[waits{"", first.Bucket, LaneBulk}]
		require.NotZero(t, seen)
		require.Nil(t, b.claimed(l))
	}
	c.pass(overFor*time.Millisecond + time.Second)
	look := func() (h *head) {
		require.NoError(t, b.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
			h, _, _, err = b.pick(tx, []Line{l}, nil)
			return err
		}))
		return h
	}
	require.Equal(t, hidden.Seq, look().seq, "whatever has made it claimable: it is not believed for long")
	b.raw(`UPDATE message SET claimed_by = 'nobody' WHERE seq = ?`, hidden.Seq)

	require.Nil(t, look())
	c.now = c.now.Add(-2 * time.Hour)
	require.Equal(t, hidden.Seq+1, look().seq, "the clock is put back: it is over no more")
}
