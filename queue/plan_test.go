package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plan is what EXPLAIN QUERY PLAN says of a statement
// (https://sqlite.org/eqp.html), without running it.
func (b *box) plan(query string, args ...any) string {
	b.t.Helper()
	rows, err := b.db.Read().QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(b.t, err)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(b.t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	require.NoError(b.t, rows.Err())
	return strings.Join(steps, "\n")
}

func TestReleaseLooksOnlyAtWhatIsMeant(t *testing.T) {
	b := newBox(t)
	query, args := heldPart{}.query(1, 2, 3)
	require.Equal(t, "SEARCH message USING COVERING INDEX message_state (state=? AND rowid>? AND rowid<?)", normalPlan(b.plan(query, args...)))
	query, args = heldPart{ReasonLate, Bulk}.query(1, 2, 3)
	require.Equal(t, "SEARCH message USING COVERING INDEX message_held (reason=? AND class=? AND rowid>? AND rowid<?)", normalPlan(b.plan(query, args...)))
}

// normalPlan calls seq by its other name.
func normalPlan(plan string) string { return strings.ReplaceAll(plan, "seq", "rowid") }

func TestReleaseByReasonOrClassInBatches(t *testing.T) {
	fill := func(b *box) {
		for i, class := range []Class{Bulk, OTP, Normal} {
			for j, reason := range []string{ReasonLate, ReasonRestored} {
				b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < ?1) INSERT INTO message
					(seq, crc, id, recipient, text, class, lane, state, reason, hold, encoding, delivery, segments, valid_ms, created_at, expires_at)
					SELECT i * 10 + ?2, 0, 'id' || (i * 10 + ?2), '+34600111222', 'x', ?3, 2, 'held', ?4, ?4, 'gsm7', 'at_most_once', 1, 1000, 1, 99999999999999 FROM g`,
					holdBatch+7, i*2+j, string(class), reason)
			}
		}
	}
	const n = holdBatch + 7
	for _, c := range []struct {
		f    HeldFilter
		n    int
		left map[string]int
	}{
		{HeldFilter{}, 6 * n, map[string]int{}},
		{HeldFilter{Reason: ReasonLate}, 3 * n, map[string]int{"restored bulk": n, "restored otp": n, "restored normal": n}},
		{HeldFilter{Class: OTP}, 2 * n, map[string]int{"restored bulk": n, "restored normal": n, "late bulk": n, "late normal": n}},
		{HeldFilter{Reason: ReasonLate, Class: Bulk}, n, map[string]int{"restored bulk": n, "restored otp": n, "restored normal": n, "late otp": n, "late normal": n}},
		{HeldFilter{Reason: ReasonClock}, 0, map[string]int{"restored bulk": n, "restored otp": n, "restored normal": n, "late bulk": n, "late otp": n, "late normal": n}},
	} {
		t.Run(fmt.Sprintf("reason %q class %q", c.f.Reason, c.f.Class), func(t *testing.T) {
			b := newBox(t)
			fill(b)
			require.Equal(t, c.n, b.release(c.f))
			require.Equal(t, c.left, b.heldCounts())
		})
	}
}

func TestAStartLooksOnlyAtWhatIsUnfinished(t *testing.T) {
	b := newBox(t)
	for _, c := range []struct {
		query, index string
		args         []any
	}{
		{shortenSQL[0], "message_backoff", []any{1}},
		{shortenSQL[1], "message_decide", []any{1}},
		{shortenSQL[2], "message_avoid", []any{1}},
		{unansweredSQL, "attempt_open_sim", nil},
		{owedSQL, "attempt_at", []any{1, "x"}},
	} {
		plan := b.plan(c.query, c.args...)
		require.Contains(t, plan, c.index)
		if c.query != unansweredSQL { // its index holds nothing but what is looked for
			require.NotContains(t, plan, "SCAN")
		}
	}
}
