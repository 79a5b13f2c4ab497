package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstRetry = 10 * time.Second
	longestGap = 24 * time.Hour
	// giveUp is how long after its beginning a delivery has its last attempt.
	giveUp = 72 * time.Hour
	// pauseAfter failures in a row an endpoint is tried less often, whatever
	// waits: a thousand events do not knock at a closed door each by itself.
	pauseAfter   = 5
	longestPause = 5 * time.Minute
)

// gap is the wait after so many attempts that failed: 10 s, doubling to 24 h.
func gap(attempts int) time.Duration { return doubled(firstRetry, attempts-1, longestGap) }

// pause is the wait of an endpoint after so many failures in a row. It is never
// longer than that of a delivery with as many.
func pause(failures int) time.Duration {
	if failures < pauseAfter {
		return 0
	}
	return doubled(firstRetry, failures-pauseAfter, longestPause)
}

func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	for range times {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}

// jitter spreads a wait by a tenth to both sides.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// next is the tick of the next attempt after one that failed at now; false: it
// was the last. The last one comes when 72 h are over.
func next(first, now int64, attempts int, wait time.Duration) (int64, bool) {
	end := first + giveUp.Milliseconds()
	if now >= end {
		return 0, false
	}
	return min(now+max(jitter(gap(attempts)), min(wait, longestGap)).Milliseconds(), end), true
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3). A date is compared with the
// answer's own Date: our clock may be wrong.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, longestGap)
	}
	when, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, min(when.Sub(now), longestGap))
}
