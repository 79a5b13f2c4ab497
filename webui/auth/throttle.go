package auth

import (
	"sync"
	"time"
)

// throttle counts wrong tries per who: max in a window, then no more until the
// oldest is out of it. Nobody is locked out for good.
type throttle struct {
	max    int
	window time.Duration

	mu    sync.Mutex
	tries map[string][]time.Time
}

// most is how many different whos are remembered; beyond it the ones whose
// window is over are dropped, and failing that all: memory is bounded whatever
// strangers send.
const most = 4096

// try counts a try, and tells how long to wait instead; 0: go on. It is counted
// before it is known to be wrong, so that many at once are no way around.
func (t *throttle) try(who string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	recent := t.recent(who, now)
	if len(recent) >= t.max {
		return max(recent[0].Add(t.window).Sub(now), time.Second)
	}
	if t.tries == nil {
		t.tries = map[string][]time.Time{}
	}
	if len(t.tries) >= most {
		for other := range t.tries {
			t.recent(other, now)
		}
		if len(t.tries) >= most {
			clear(t.tries)
		}
	}
	t.tries[who] = append(recent, now)
	return 0
}

// succeeded forgets the wrong tries.
func (t *throttle) succeeded(who string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tries, who)
}

func (t *throttle) recent(who string, now time.Time) []time.Time {
	tries := t.tries[who]
	for len(tries) > 0 && (now.Sub(tries[0]) >= t.window || tries[0].After(now)) {
		tries = tries[1:]
	}
	if len(tries) == 0 {
		delete(t.tries, who)
		return nil
	}
	t.tries[who] = tries
	return tries
}
