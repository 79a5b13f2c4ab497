package webhook

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// Pulse is the monotonic time that the outbox goes by.
type Pulse interface {
	// Elapsed is the time since some moment; it never goes back.
	Elapsed() time.Duration
	// After gives a channel that gets one value when d has passed, and a function
	// that ends the wait.
	After(d time.Duration) (<-chan time.Time, func())
}

type systemPulse struct{ began time.Time }

func (p systemPulse) Elapsed() time.Duration { return time.Since(p.began) }
func (systemPulse) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// noteEvery is how much of its own time the outbox may forget when it dies.
const noteEvery = 10 * time.Second

// tickClock counts milliseconds that back-offs go by. While the program runs it
// is monotonic; over a restart it goes on with what the wall clock says has
// passed, if that was to be believed at both ends, else where it had been: then
// something is tried later, never given up sooner.
type tickClock struct {
	pulse Pulse
	base  int64 // tick when pulse stood at zero
	noted atomic.Int64
}

func loadClock(ctx context.Context, db *sqlite.DB, pulse Pulse, wall queue.Clock) (*tickClock, error) {
	var tick, then int64
	var believed bool
	err := db.Read().QueryRowContext(ctx, `SELECT tick, wall, trusted FROM webhook_clock`).Scan(&tick, &then, &believed)
	if err != nil {
		return nil, fmt.Errorf("read the outbox's clock: %w", err)
	}
	if believed && wall.Trusted() {
		tick += max(0, wall.Now().UnixMilli()-then)
	}
	c := &tickClock{pulse: pulse, base: max(tick, 1) - pulse.Elapsed().Milliseconds()}
	c.noted.Store(-noteEvery.Milliseconds())
	return c, nil
}

// tick is now.
func (c *tickClock) tick() int64 { return c.base + c.pulse.Elapsed().Milliseconds() }

// note writes down what time it is, when that is due.
func (c *tickClock) note(tx *sqlite.Tx, wall queue.Clock) error {
	now := c.tick()
	if now-c.noted.Load() < noteEvery.Milliseconds() {
		return nil
	}
	_, err := tx.Exec(`UPDATE webhook_clock SET tick = ?, wall = ?, trusted = ?`, now, wall.Now().UnixMilli(), wall.Trusted())
	tx.AfterCommit(func() { c.noted.Store(now) })
	return err
}
