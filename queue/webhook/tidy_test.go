package webhook

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// TestTidyingFindsItsRowsByIndex: it holds the writer meanwhile.
func TestTidyingFindsItsRowsByIndex(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		query, index string
		args         []any
	}{
		{giveUpBehind, "webhook_delivery_due (webhook=? AND next_tick<?)", []any{"w", 1, 1, 1, 1}},
		{dropOverflow, "webhook_delivery_dead (webhook=?)", []any{"w", 1, 1}},
		{dropDone, "webhook_delivery_done (first_tick<?)", []any{1, 1}},
		{dropStale, "webhook_delivery_stale (first_tick<?)", []any{1, 1}},
	} {
		rows, err := b.db.Read().Query("EXPLAIN QUERY PLAN "+c.query, c.args...)
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		all := strings.Join(plan, "\n")
		require.Contains(t, all, c.index, c.query)
		require.NotContains(t, all, "SCAN", c.query)
		require.NotContains(t, all, "TEMP B-TREE", c.query)
	}
}

// TestTidyingDeletesWhatIsPastItsKeeping, by state and age, in as many rounds as it
// takes.
func TestTidyingDeletesWhatIsPastItsKeeping(t *testing.T) {
	b := newBench(t)
	e, _, err := b.o.Create(t.Context(), Endpoint{URL: "https://example.org/", Events: []string{"*"}})
	require.NoError(t, err)
	b.hand.advance(keepDead + tidyRound)
	now := b.o.clock.tick()
	days := func(n int) int64 { return now - int64(n)*24*3600*1000 }
	require.NoError(t, b.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		n := 0
		for _, state := range States {
			for _, first := range []int64{days(6), days(8), days(29), days(30) - 1} {
				many := 1
				if state == Delivered && first == days(8) {
					many = tidyRows + 7
				}
				for range many {
					n++
					if _, err := tx.Exec(`INSERT INTO webhook_delivery (id, webhook, event, event_id, type, state, first_tick, next_tick, created_at)
						VALUES (?1, ?2, ?1, 'e', 't', ?3, ?4, ?4, 1)`, n, e.ID, string(state), first); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
	require.NoError(t, b.o.tidy(t.Context()))
	left := map[State][]int64{}
	rows, err := b.db.Read().Query(`SELECT state, first_tick FROM webhook_delivery ORDER BY first_tick`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var state State
		var first int64
		require.NoError(t, rows.Scan(&state, &first))
		left[state] = append(left[state], first)
	}
	require.NoError(t, rows.Err())
	short, long := []int64{days(6)}, []int64{days(29), days(8), days(6)}
	require.Equal(t, map[State][]int64{Pending: long, Dead: long, Delivered: short, Failed: short, Skipped: short}, left)
}
