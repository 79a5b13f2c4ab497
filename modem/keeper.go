package modem

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slot is a place in one of the modem's memories.
type slot struct {
	mem   string
	index int
}

// keep is a received TPDU on its way to the sink.
type keep struct {
	r Received
	// from says whose session read it, and from which slot; slot.mem is "" for
	// what came as +CMT or +CDS and has no copy in the modem.
	from  *session
	slot  slot
	epoch int  // of the session's SIM
	ack   bool // the network waits for AT+CNMA

	notBefore time.Time // of a retry
	tries     int
}

// kept is the keeper's answer to the actor.
type kept struct {
	from  *session
	slot  slot
	epoch int
	ack   bool
	ok    bool
}

// keepBacklog bounds what is kept in memory while the sink fails.
const keepBacklog = 2000

// keeper hands received TPDUs to the sink, one after the other, so that the
// actor, and a message waiting to be sent, need not wait for a commit. What has
// a copy in the modem is tried once and read again later; what has none is
// tried until the sink takes it.
type keeper struct {
	m *Modem

	mu    sync.Mutex
	queue []keep
	done  bool
	bell  chan struct{} // cap 1
}

func newKeeper(m *Modem) *keeper {
	return &keeper{m: m, bell: make(chan struct{}, 1)}
}

func (k *keeper) put(item keep) {
	k.mu.Lock()
	var over []keep
	if len(k.queue) >= keepBacklog {
		// Rather one that the modem has too.
		i := max(0, slices.IndexFunc(k.queue, func(it keep) bool { return it.slot.mem != "" }))
		over = append(over, k.queue[i])
		k.queue = slices.Delete(k.queue, i, i+1)
	}
	k.queue = append(k.queue, item)
	k.mu.Unlock()
	k.ring()
	for _, it := range over {
		if it.slot.mem == "" {
			k.m.log.Error("a received message was given up: the store has failed for too long")
			continue
		}
		k.answer(it, false) // the next sweep reads it again
	}
}

// finish lets run return as soon as the queue is empty.
func (k *keeper) finish() {
	k.mu.Lock()
	k.done = true
	k.mu.Unlock()
	k.ring()
}

func (k *keeper) ring() {
	select {
	case k.bell <- struct{}{}:
	default:
	}
}

// run works until finish was called and the queue is empty, or ctx ends.
func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		item, wait, more := k.take(time.Now())
		switch {
		case !more && k.finished():
			return
		case more && wait <= 0:
			k.store(ctx, item)
			continue
		}
		var due <-chan time.Time
		if more {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-k.bell:
		case <-due:
		case <-ctx.Done():
		}
	}
}

func (k *keeper) finished() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.done
}

// take removes the first item that is due; else it says how long to wait for
// the earliest. more is false when there is nothing at all.
func (k *keeper) take(now time.Time) (item keep, wait time.Duration, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, it := range k.queue {
		d := it.notBefore.Sub(now)
		if d <= 0 {
			k.queue = append(k.queue[:i], k.queue[i+1:]...)
			return it, 0, true
		}
		if !more || d < wait {
			wait, more = d, true
		}
	}
	return keep{}, wait, more
}

func (k *keeper) store(ctx context.Context, item keep) {
	err := k.m.c.Sink.Store(ctx, item.r)
	if err != nil {
		k.m.log.Error("storing a received message", "error", err)
		if item.slot.mem == "" {
			item.tries++
			item.notBefore = time.Now().Add(min(time.Duration(item.tries)*time.Second, 30*time.Second))
			k.put(item)
			return
		}
	}
	k.answer(item, err == nil)
}

// answer tells the actor what became of an item.
func (k *keeper) answer(item keep, ok bool) {
	m := k.m
	m.mu.Lock()
	m.kept = append(m.kept, kept{from: item.from, slot: item.slot, epoch: item.epoch, ack: item.ack, ok: ok})
	m.mu.Unlock()
	m.wake()
}
