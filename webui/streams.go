package webui

import (
	"net/http"
	"sync"
	"time"
)

const (
	maxStreams    = 64
	maxStreamsOne = 16 // of one key or person
)

// streams counts the live streams, and ends them at shutdown.
type streams struct {
	closing chan struct{}
	// slowest is how long a reader may take for what is written at once.
	slowest time.Duration

	mu     sync.Mutex
	closed bool
	count  int
	by     map[string]int
	wg     sync.WaitGroup
}

func newStreams() *streams {
	return &streams{closing: make(chan struct{}), slowest: 10 * time.Second, by: map[string]int{}}
}

// open counts one in; the function counts it out.
func (s *streams) open(who string) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, newProblem(http.StatusServiceUnavailable, "the program is stopping")
	case s.count >= maxStreams || s.by[who] >= maxStreamsOne:
		return nil, newProblem(http.StatusServiceUnavailable, "too many live streams are open")
	}
	s.count++
	s.by[who]++
	s.wg.Add(1)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count--
		if s.by[who]--; s.by[who] == 0 {
			delete(s.by, who)
		}
		s.wg.Done()
	}), nil
}

// close ends all and waits for them.
func (s *streams) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.wg.Wait()
}
