package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

func TestClaimsByLaneThenAge(t *testing.T) {
	b := newBox(t)
	l := line(1)
	var want []string
	ids := map[string]string{}
	for _, m := range []struct {
		name  string
		class Class
	}{{"bulk1", Bulk}, {"normal1", Normal}, {"bulk2", Bulk}, {"alert1", Alert}, {"normal2", Normal}, {"otp1", OTP}} {
		ids[b.submit(Request{Text: m.name, Class: m.class}).ID] = m.name
	}
	for range ids {
		want = append(want, ids[b.sent(l, 0).ID])
	}
	require.Equal(t, []string{"otp1", "alert1", "normal1", "normal2", "bulk1", "bulk2"}, want)
	require.Nil(t, b.claimed(l))
}

func TestClaimRespectsThePinnedSIM(t *testing.T) {
	b := newBox(t)
	free := b.submit(Request{Text: "free"})
	pinned := b.submit(Request{Text: "pinned", SIM: line(2).ICCID, Class: Alert})
	require.Equal(t, free.ID, b.claimed(line(1)).Message.ID)
	require.Nil(t, b.claimed(line(1)))
	require.Equal(t, pinned.ID, b.claimed(line(2)).Message.ID)
	require.Nil(t, b.claimed(line(2)))
	_, err := b.Claim(context.Background(), Line{})
	require.Error(t, err)
}

func TestEachMessageIsClaimedOnce(t *testing.T) {
	b := newBox(t)
	const n = 60
	for range n {
		b.submit(Request{})
	}
	got := make(chan string, n+8)
	done := make(chan struct{})
	for i := range 8 {
		go func() {
			defer func() { done <- struct{}{} }()
			l := line(i)
			for {
				c, err := b.Claim(context.Background(), l)
				if err != nil || c == nil {
					return
				}
				got <- c.Message.ID
			}
		}()
	}
	for range 8 {
		<-done
	}
	close(got)
	seen := map[string]bool{}
	for id := range got {
		require.False(t, seen[id])
		seen[id] = true
	}
	require.Len(t, seen, n)
}

func TestUnclaimGivesBackOrFails(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	m := b.submit(Request{})
	l := line(1)
	c := b.claimed(l)
	require.NoError(t, b.Unclaim(ctx, line(2).ICCID, c.Message.Seq, Outcome{Retry: true}))
	require.Nil(t, b.claimed(line(2)), "another line cannot give it back")

	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true, Code: "stopped"}))
	require.Zero(t, b.get(m.ID).Failures, "being stopped is no failure")
	c = b.claimed(l)
	require.NotNil(t, c)
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true, Code: "cms_38", After: 10 * time.Second}))
	require.Nil(t, b.claimed(l))
	require.Equal(t, b.clock.Now().Add(10*time.Second), b.tended())
	b.clock.forward(10 * time.Second)
	b.wake()
	require.Equal(t, 1, b.get(m.ID).Failures)

	c = b.claimed(l)
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Verdict: NotSent, Code: "cms_304", Reason: "rejected"}))
	got := b.get(m.ID)
	require.Equal(t, Failed, got.State)
	require.Equal(t, "cms_304", got.Error.Code)
	require.Zero(t, got.Attempts)
}

func TestAvoidedSIMIsTakenWhenNoOtherComes(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{})
	l := line(1)
	c := b.claimed(l)
	require.NoError(t, b.Unclaim(context.Background(), l.ICCID, c.Message.Seq, Outcome{Retry: true, AvoidSIM: true, Code: "cms_50"}))
	require.Nil(t, b.claimed(l))
	other := b.claimed(line(2))
	require.Equal(t, m.ID, other.Message.ID)
	require.NoError(t, b.Unclaim(context.Background(), line(2).ICCID, c.Message.Seq, Outcome{Retry: true, Code: "gone"}))
	b.clock.forward(avoidFor)
	b.wake()
	require.NotNil(t, b.claimed(l))
}

// A claim steps through a partial index from the front of one lane to that of the
// next: its cost does not grow with the queue.
func TestHotQueriesUseTheirIndexes(t *testing.T) {
	b := newBox(t)
	plan := func(query string, args ...any) string {
		var lines []string
		require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			rows, err := tx.Query("EXPLAIN QUERY PLAN "+query, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				lines = append(lines, detail)
			}
			return rows.Err()
		}))
		return strings.Join(lines, "\n")
	}
	claim := plan(headsSQL, `["","x"]`, 0)
	for _, step := range []string{"(sim=?)", "(sim=? AND bucket=? AND lane>?)", "(sim=? AND bucket>?)", "(sim=? AND bucket=? AND lane=?)"} {
		require.Contains(t, claim, "INDEX message_ready "+step)
	}
	require.Contains(t, claim, "SEARCH m USING INTEGER PRIMARY KEY")
	require.NotContains(t, claim, "SCAN m")
	require.NotContains(t, claim, "TEMP B-TREE")
	behind := plan(deepSQL, "x", 0, 0, 0, "y", nil, nil, nil, nil, 1, 0, "y")
	require.Contains(t, behind, "SEARCH message USING INDEX message_ready (sim=? AND bucket=? AND lane=? AND seq>?)")
	require.Contains(t, plan(deepEnd, "x", 0, 0, 0, "y", nil, nil, nil, nil, 1, 0), "SEARCH message USING INDEX message_ready (sim=? AND bucket=? AND lane=? AND seq>?)")
	require.NotContains(t, behind, "TEMP B-TREE")
	require.Equal(t, 2, strings.Count(behind, "SEARCH u USING PRIMARY KEY (iccid=? AND window=? AND start=? AND recipient=?)"), behind)

	for query, index := range map[string]string{
		dueTime: "message_due", dueWait: "message_backoff", dueDecide: "message_decide", dueAvoid: "message_avoid", dueExpiry: "message_expiry",
	} {
		p := plan(query, 10)
		require.Contains(t, p, index, query)
		require.NotContains(t, p, "TEMP B-TREE", query)
	}
	require.Contains(t, plan(dueFrom, 10, 1), "message_due (not_before>?)")
	require.Contains(t, plan(dueOver, 10, 1, 1, 1, 1), "message_expiry (expires_at<?)")
	known := plan(candidateSQL+`WHERE a.iccid = ? AND a.mr = ? AND a.gate_at BETWEEN ? AND ? AND a.outcome IN ('accepted','duplicate')`, "x", 1, 0, 1)
	require.Contains(t, known, "attempt_mr (iccid=? AND mr=? AND gate_at>? AND gate_at<?)")
	require.NotContains(t, known, "SCAN")
	require.Contains(t, plan(`SELECT id FROM report WHERE message IS NULL AND iccid = ? ORDER BY id DESC LIMIT 64`, "x"), "report_orphan")
	require.Contains(t, plan(`SELECT seq FROM message WHERE state = ? ORDER BY seq DESC LIMIT 51`, "queued"), "message_state (state=?)")
}
