package pool

import (
	"context"
	"time"

	"recado/queue"
)

// Estimate says how long a number of segments of a class will take from now, and
// how the SIMs will share them; the time is negative when that is not known.
// Forecast says more.
func (p *Pool) Estimate(ctx context.Context, segments int, class queue.Class) (time.Duration, []Share, error) {
	f, err := p.Forecast(ctx, Work{Class: class, Segments: 1, Messages: max(segments, 0)})
	return f.ETA, f.Shares, err
}
