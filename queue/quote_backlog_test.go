package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waiting is the backlog by class, SIM and when it comes: messages and segments.
func (b *box) waiting() map[string][2]int {
	b.t.Helper()
	got, err := b.Backlog(context.Background())
	require.NoError(b.t, err)
	m := map[string][2]int{}
	for _, w := range got.Waiting {
		key := strings.TrimSpace(fmt.Sprint(w.Class, " ", w.SIM))
		if w.From > 0 {
			key += " in " + w.From.String()
		}
		if w.Prefer > 0 {
			key += " preferred"
		}
		m[key] = [2]int{m[key][0] + w.Messages, m[key][1] + w.Segments}
		require.LessOrEqual(b.t, w.First, w.Last)
	}
	return m
}

func TestBacklog(t *testing.T) {
	b := newBox(t)
	require.Empty(t, b.waiting())
	for i := range 3 {
		b.submit(Request{Class: Bulk, To: []string{recipient(i)}})
	}
	long := strings.Repeat("x", 400) // three segments
	b.submit(Request{Class: OTP, To: []string{recipient(3)}})
	b.submit(Request{Class: Normal, To: []string{recipient(4)}, Text: long})
	b.submit(Request{Class: Normal, To: []string{recipient(5)}, SIM: line(1).ICCID})
	b.submit(Request{Class: Normal, To: []string{recipient(6)}, SendAt: b.clock.Now().Add(time.Hour)})
	require.Equal(t, map[string][2]int{"bulk": {3, 3}, "otp": {1, 1}, "normal": {1, 3}, "normal " + line(1).ICCID: {1, 1}, "normal in 1h0m0s": {1, 1}}, b.waiting())

	// The code is on its way, and one segment of the long message.
	b.claimed(line(2))
	c := b.claimed(line(3))
	require.Equal(t, 3, len(c.Message.Segments))
	require.Equal(t, [2]int{1, 2}, b.waiting()["normal "+line(3).ICCID], "one is being sent, two are left")
	require.NotContains(t, b.waiting(), "otp")

	// A retry comes back when its time has come.
	require.NoError(t, b.Unclaim(context.Background(), line(3).ICCID, c.Message.Seq, Outcome{Retry: true, Code: "cms_38", After: 10 * time.Second}))
	require.Equal(t, [2]int{1, 3}, b.waiting()["normal in 10s"])

	b.clock.trust(false) // nothing scheduled comes, nothing expires
	got, err := b.Backlog(context.Background())
	require.NoError(t, err)
	require.False(t, got.Firm)
	for _, w := range got.Waiting {
		require.Zero(t, w.Expires)
	}
	require.NotContains(t, b.waiting(), "normal in 1h0m0s")
}

func TestBacklogPrefers(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	for i := range 2 {
		require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: line(i).ICCID}))
	}
	b.submit(Request{To: []string{recipient(1)}})
	b.sent(line(1), 1)
	b.submit(Request{To: []string{recipient(1)}})
	b.submit(Request{To: []string{recipient(1)}, SIM: line(1).ICCID})
	require.Equal(t, map[string][2]int{"normal " + line(1).ICCID + " preferred": {1, 1}, "normal " + line(1).ICCID: {1, 1}}, b.waiting())

	spots, err := b.Spots(ctx, []string{recipient(1), recipient(2), recipient(3)}, Normal, "", true)
	require.NoError(t, err)
	zone := spots[0].Zone
	require.Equal(t, []Spot{{0, zone, line(1).ICCID, 1, 0, 0}, {0, zone, "", 2, 1, 2}}, spots)
	spots, err = b.Spots(ctx, []string{recipient(1)}, OTP, "", true)
	require.NoError(t, err)
	require.Empty(t, spots[0].Prefer, "a code waits for nobody")
}

// TestBacklogOfMany: large groups are right in sum, and nothing grows with them.
func TestBacklogOfMany(t *testing.T) {
	b := newBox(t)
	fill := func(first, n int, class Class, bucket, sim string, segments int, at int64) {
		state := "queued"
		if at > 0 {
			state = "scheduled"
		}
		b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < ?2) INSERT INTO message
			(seq, crc, id, recipient, text, class, lane, state, encoding, delivery, sim, bucket, segments, not_before, valid_ms, created_at, expires_at)
			SELECT ?1 + i, 0, 'id' || (?1 + i), '+34600111222', 'x', ?3, ?4, ?9, 'gsm7', 'at_most_once', ?5, ?6, ?7, ?8 + CASE WHEN ?8 > 0 THEN i * 1000 ELSE 0 END, 1000, 1, 99999999999999 FROM g`,
			first, n, string(class), Lane(class), sim, bucket, segments, at, state)
	}
	fill(0, 5000, Bulk, "0", "", 2, 0)
	fill(10_000, 3000, Normal, "0", "", 1, 0)
	fill(20_000, 1000, Normal, "1", "", 3, 0)
	fill(30_000, 100, Bulk, "0", line(1).ICCID, 1, 0)
	fill(40_000, 4000, Normal, "0", "", 1, b.clock.Now().Add(time.Hour).UnixMilli())
	check := func() {
		t.Helper()
		got := b.waiting()
		require.Equal(t, [2]int{5000, 10000}, got["bulk"])
		require.Equal(t, [2]int{100, 100}, got["bulk "+line(1).ICCID])
		require.Equal(t, [2]int{4000, 6000}, got["normal"])
		later, n := 0, 0
		for key, w := range got {
			if strings.Contains(key, " in ") {
				later, n = later+w[0], n+1
			}
		}
		require.Equal(t, 4000, later)
		require.LessOrEqual(t, n, 100)
	}
	check()
	b.raw(`DELETE FROM message WHERE seq > 10000 AND seq <= 11500`)
	got := b.waiting()["normal"]
	require.Equal(t, 2500, got[0], "counted a moment ago, and scaled since: %v", got)

	for _, query := range []string{backlogLane, backlogBucket, backlogSIM, backlogFront, backlogBack, backlogCount, backlogPrefer, backlogInHand, backlogRetry, backlogDue, backlogRetries, backlogDueBy, backlogDueLast} {
		args := make([]any, strings.Count(query, "?"))
		for i := range args {
			args[i] = 1
		}
		plan := b.plan(query, args...)
		require.Contains(t, plan, "INDEX message_", query)
		if strings.Contains(query, "message_ready") {
			require.Contains(t, plan, "SEARCH message", query)
		}
	}
	require.Contains(t, b.plan(backlogLane, "", -1, -1), "(sim=? AND bucket=? AND lane>?)", "it skips from group to group")
}

func TestAllowances(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	iccid := line(1).ICCID
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: iccid}))
	off := false
	require.NoError(t, b.SetLimits(ctx, iccid, LimitsPatch{WarmUp: &off, Limits: &[]Limit{
		{WindowMinute, 10, 0}, {WindowHour, 50, 40}, {WindowDay, 500, 0}, {WindowMonth, 0, 300}}}))
	for i := range 4 {
		b.submit(Request{To: []string{recipient(i % 3)}})
		b.sent(line(1), i)
		b.clock.forward(10 * time.Second)
	}
	all, err := b.Allowances(ctx, []string{iccid, "none"})
	require.NoError(t, err)
	require.Len(t, all, 1)
	a := all[iccid]
	require.Equal(t, []Used{{40 * time.Second, 1, 0}, {30 * time.Second, 1, 1}, {20 * time.Second, 1, 1}, {10 * time.Second, 1, 1}}, a.Uses)
	require.Equal(t, 4, a.Limits[daily].UsedSegments)
	require.Equal(t, 3, a.Limits[monthly].UsedRecipients)
	require.Equal(t, Limit{WindowHour, 50, 40}, a.Limits[hour].Limit)
	require.Greater(t, a.Spans[0], time.Minute)
	known, err := b.KnownTo(ctx, iccid, a, []string{recipient(0), recipient(1), recipient(7)})
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 2}, known, "of the day there is no limit")
}

func recipient(i int) string { return fmt.Sprintf("+346%08d", 10_000_000+i) }
