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

// check tells how long to wait; 0: go on.
func (t *throttle) check(who string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	recent := t.recent(who, now)
	if len(recent) < t.max {
		return 0
	}
	return max(recent[0].Add(t.window).Sub(now), time.Second)
}

// failed counts a wrong try.
func (t *throttle) failed(who string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
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
	t.tries[who] = append(t.recent(who, now), now)
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
