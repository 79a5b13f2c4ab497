package queue

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestARestoreSignsOutAndSkipsEventNumbers: what the backup calls signed in may
// have been signed out since, and numbers of events told since are not used again.
func TestARestoreSignsOutAndSkipsEventNumbers(t *testing.T) {
	for _, events := range []bool{false, true} {
		b := newBox(t)
		ctx := context.Background()
		if events {
			b.submit(Request{})
			b.sent(line(1), 1)
		}
		b.raw(`DELETE FROM event WHERE ?1 = 0`, events)
		var last int64
		require.NoError(t, b.db.Read().QueryRow(`SELECT coalesce(max(seq), 0) FROM event`).Scan(&last))
		require.Equal(t, events, last > 0)
		b.raw(`INSERT INTO session (token, data, expiry) VALUES (x'01', x'02', 99999999999999)`)
		require.NoError(t, MarkRestored(ctx, b.db))
		b.submit(Request{})
		b.holdAll(ReasonRestored)
		var next int64
		var sessions int
		require.NoError(t, b.db.Read().QueryRow(`SELECT (SELECT min(seq) FROM event WHERE seq > ?1), (SELECT count(*) FROM session)`, last).Scan(&next, &sessions))
		require.Equal(t, last+eventLeap+1, next)
		require.Zero(t, sessions)
	}
}
