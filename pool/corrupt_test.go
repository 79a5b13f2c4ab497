package pool_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
	"recado/queue/sqlite"
)

// What was changed in the database behind the queue's back reaches no network;
// everything else does, by the network's own ledger.
func TestTheNetworkGetsNothingDamaged(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{})
	r.ready(2)
	require.NoError(t, r.pool.Pause(t.Context()))
	want, bad := map[string]bool{}, 0
	var ids []string
	for i := range 30 {
		m := r.submit(queue.Request{To: []string{number(i)}, Text: fmt.Sprintf("mensaje %d", i), Class: queue.Normal})[0]
		ids = append(ids, m.ID)
		query := ""
		switch i % 6 {
		case 1:
			query = `UPDATE message SET text = 'otro' WHERE seq = ?`
		case 3:
			query = `UPDATE segment SET tpdu = substr(tpdu, 1, length(tpdu) - 1) || x'55' WHERE message = ?`
		case 5:
			query = `UPDATE message SET recipient = '+34699999999' WHERE seq = ?`
		default:
			want[number(i)] = true
			continue
		}
		bad++
		require.NoError(t, r.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(query, m.Seq)
			return err
		}))
	}
	require.NoError(t, r.pool.Resume(t.Context()))
	r.until("every message at its end", func() bool {
		for _, id := range ids {
			if s := r.message(id).State; s != queue.Failed && s != queue.Sent && s != queue.Delivered {
				return false
			}
		}
		return true
	})
	got := map[string]bool{}
	for _, e := range r.accepted() {
		require.True(t, want[e.DA], "%s got %q", e.DA, e.Text)
		got[e.DA] = true
	}
	require.Equal(t, want, got)
	n, _, err := r.store.Damaged(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, bad, n)
	f := r.pool.Findings(t.Context())
	require.Equal(t, []string{"warn rows_damaged"}, codes(f))
	require.Equal(t, fmt.Sprint(bad), f[0].Facts["count"])
	require.Contains(t, f[0].Says, f[0].Facts["id"])
	require.Contains(t, f[0].Do, "recado restore")
}
