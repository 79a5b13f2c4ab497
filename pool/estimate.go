package pool

import (
	"context"
	"math"
	"time"

	"recado/queue"
)

// Share is a SIM's expected part of some work.
type Share struct {
	ICCID string
	Share float64 // 0–1; all shares add up to 1
}

// Estimate says how long a number of segments of a class will take from now,
// behind what waits before them, and how the lines will share them. It goes by
// the measured time of each line's submissions. Without a line that can send,
// the time is negative and there are no shares.
func (p *Pool) Estimate(ctx context.Context, segments int, class queue.Class) (time.Duration, []Share, error) {
	depth, err := p.store.Depth(ctx)
	if err != nil {
		return 0, nil, err
	}
	ahead := 0
	for c, n := range depth[queue.Queued] {
		if laneOf(c) <= laneOf(class) {
			ahead += n
		}
	}
	var shares []Share
	var perSecond float64
	for _, l := range p.all() {
		if !l.able() {
			continue
		}
		l.mu.Lock()
		took := l.took
		key := l.key
		l.mu.Unlock()
		if took == 0 {
			took = submissionGuess
		}
		rate := 1 / took.Seconds()
		perSecond += rate
		shares = append(shares, Share{ICCID: key, Share: rate})
	}
	if perSecond == 0 {
		return -1, nil, nil
	}
	for i := range shares {
		shares[i].Share /= perSecond
	}
	// The last segment is done one whole submission after it was begun.
	seconds := math.Max(float64(ahead+segments)/perSecond, float64(len(shares))/perSecond)
	return time.Duration(seconds * float64(time.Second)), shares, nil
}

// laneOf orders the classes as the queue does.
func laneOf(c queue.Class) int {
	switch c {
	case queue.OTP, queue.Alert:
		return 0
	case queue.Bulk:
		return 2
	}
	return 1
}
