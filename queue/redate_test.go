package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// steadyClock is a clock that can be set beside a steady one.
type steadyClock struct {
	*clock
	off  time.Duration // of the time of day, against the steady clock
	boot int64
}

func (c *steadyClock) Steady() time.Time { return c.clock.Now() }
func (c *steadyClock) Now() time.Time    { return c.clock.Now().Add(c.off) }
func (c *steadyClock) Instant() (now, steady time.Time, boot int64, trusted, firm bool) {
	return c.Now(), c.Steady(), c.boot, c.Trusted(), c.Trusted()
}

// TestPuttingTimesRightIsDoneInSteps: nobody waits for all of it in one Wake,
// and nothing expires before it is done.
func TestPuttingTimesRightIsDoneInSteps(t *testing.T) {
	const n = 4 * redateBatch
	for _, doubt := range []int{0, 1} {
		t.Run(fmt.Sprintf("doubt %d", doubt), func(t *testing.T) {
			b := newBox(t)
			ctx := context.Background()
			c := &steadyClock{clock: b.clock, off: -48 * time.Hour, boot: 7}
			b.Store.clock = c
			_, err := b.Wake(ctx) // the clock that messages are dated by
			require.NoError(t, err)
			was := c.Now().UnixMilli()
			b.raw(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < ?1) INSERT INTO message
				(seq, crc, id, recipient, text, class, lane, state, encoding, delivery, segments, valid_ms, created_at, expires_at, clock_line, clock_boot, clock_doubt)
				SELECT i, 0, 'id' || i, '+34600111222', 'x', 'bulk', 2, 'queued', 'gsm7', 'at_most_once', 1, 86400000, ?2, ?2 + 86400000, ?3, 7, ?4 FROM g`,
				n, was, c.off.Milliseconds(), doubt)
			c.off = 0 // two days on: by the wrong times all of them would be over
			b.redateFor = 0
			left := func() (k int) {
				require.NoError(t, b.Store.db.Read().QueryRow(`SELECT count(*) FROM message WHERE clock_line <> 0 OR clock_doubt = 1`).Scan(&k))
				return k
			}
			steps := 0
			for before := left(); before > 0; steps++ {
				require.Less(t, steps, 10)
				next, err := b.Wake(ctx)
				require.NoError(t, err)
				now := left()
				require.LessOrEqual(t, before-now, redateBatch, "a batch in each call")
				if before = now; before > 0 {
					require.Equal(t, c.Now(), next, "there is more")
				}
			}
			require.GreaterOrEqual(t, steps, 4)
			require.Zero(t, left())
			for range 8 { // the other states, and what is due
				_, err := b.Wake(ctx)
				require.NoError(t, err)
			}
			require.Zero(t, b.following)
			var good, queued int
			require.NoError(t, b.db.Read().QueryRow(`SELECT coalesce(sum(created_at = ?1 AND expires_at = ?1 + 86400000), 0), coalesce(sum(state = 'queued'), 0) FROM message`, c.Now().UnixMilli()).Scan(&good, &queued))
			require.Equal(t, n, good)
			require.Equal(t, n, queued, "nothing expired by a time that was wrong")
		})
	}
}
