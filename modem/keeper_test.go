package modem

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKeeperGivesUpWhatTheModemHas: with too much in hand, an item that has a
// copy in the modem goes first, and its session hears of it and reads it again.
func TestKeeperGivesUpWhatTheModemHas(t *testing.T) {
	m := New(Config{Name: "x", Sink: &box{}})
	s := &session{m: m, taken: map[slot]bool{}, deleted: map[slot]string{}}
	at := slot{"SM", 7}
	s.taken[at], s.deleted[at] = true, "00"
	k := newKeeper(m)
	k.put(keep{}) // the oldest, of which there is no copy
	k.put(keep{from: s, slot: at})
	for range keepBacklog - 2 {
		k.put(keep{})
	}
	require.Empty(t, m.kept)
	k.put(keep{})
	require.Len(t, k.queue, keepBacklog)
	s.heardKept()
	require.Empty(t, s.taken, "it would never be read again in this session")
	require.Empty(t, s.deleted)
	require.Empty(t, s.deletes, "what nobody has stored is not deleted")
	k.put(keep{ack: true}) // nothing but messages without a copy: the oldest goes
	require.Len(t, k.queue, keepBacklog)
	require.Empty(t, m.kept, "and nothing is acknowledged for it")
}

// TestKeeperOutlastsAFailingStore: it tries as long as it takes, and does not
// grow by it.
func TestKeeperOutlastsAFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &box{refuse: errors.New("the disk is full")}
		m := New(Config{Name: "x", Sink: sink})
		k := newKeeper(m)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); k.run(ctx) }()
		k.put(keep{})
		heap := func() uint64 {
			runtime.GC()
			var is runtime.MemStats
			runtime.ReadMemStats(&is)
			return is.HeapObjects
		}
		time.Sleep(time.Hour)
		before := heap()
		for range 24 * 60 * 20 { // rung every three seconds for a day
			time.Sleep(3 * time.Second)
			k.ring()
			synctest.Wait()
		}
		require.Less(t, heap(), before+10_000)
		sink.mu.Lock()
		require.Greater(t, sink.calls, 24*60)
		sink.refuse = nil
		sink.mu.Unlock()
		k.finish()
		<-ended
		require.Len(t, sink.received(), 1)
	})
}
