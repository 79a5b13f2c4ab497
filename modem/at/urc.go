package at

import (
	"log/slog"
	"sync"
)

// Bounds of what waits for the URC handler. A stick that floods (ZTE before its
// first AT+CPMS?) must not fill the memory; what carries a PDU waits longer,
// because it may be the only copy.
const (
	maxChatter = 512
	maxPDUs    = 4096
)

// urcQueue hands unsolicited result codes to the handler in their order, from
// one goroutine, and never makes the reader of the port wait.
type urcQueue struct {
	handler func(URC)
	log     *slog.Logger

	mu      sync.Mutex
	list    []URC
	dropped int
	wake    chan struct{}
	stop    chan struct{}
	ended   chan struct{}
}

func newURCQueue(handler func(URC), log *slog.Logger) *urcQueue {
	q := &urcQueue{
		handler: handler, log: log,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go q.run()
	return q
}

func (q *urcQueue) add(u URC) {
	if q.handler == nil {
		return
	}
	q.mu.Lock()
	limit := maxChatter
	if u.Trailer != "" {
		limit = maxPDUs
	}
	if len(q.list) < limit {
		q.list = append(q.list, u)
	} else {
		q.dropped++
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *urcQueue) run() {
	defer close(q.ended)
	for {
		select {
		case <-q.wake:
		case <-q.stop:
			return
		}
		q.mu.Lock()
		list, dropped := q.list, q.dropped
		q.list, q.dropped = nil, 0
		q.mu.Unlock()
		if dropped > 0 {
			q.log.Warn("unsolicited lines of the modem dropped: their handler is too slow", "lines", dropped)
		}
		for _, u := range list {
			select {
			case <-q.stop:
				return
			default:
				q.handler(u)
			}
		}
	}
}

// close ends the goroutine after the call of the handler that is in progress.
func (q *urcQueue) close() { close(q.stop) }
