package webhook

import (
	"context"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSinkDownForAnHour: R14. Whatever is wrong with a sink, after an hour of it
// nothing is lost, the sequence numbers give the order, and no memory was taken.
func TestSinkDownForAnHour(t *testing.T) {
	cut := func(w http.ResponseWriter, _ request) { panic(http.ErrAbortHandler) }
	for name, wrong := range map[string]func(w http.ResponseWriter, r request){
		"500":       func(w http.ResponseWriter, _ request) { w.WriteHeader(500) },
		"cut":       cut,
		"redirects": func(w http.ResponseWriter, _ request) { w.Header().Set("Location", "/else"); w.WriteHeader(302) },
		"every third": func() func(w http.ResponseWriter, r request) {
			var n atomic.Int64
			return func(w http.ResponseWriter, _ request) {
				if n.Add(1)%3 != 0 {
					w.WriteHeader(502)
				}
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.run()
			s := newSink(t)
			s.http.Config.ErrorLog = nil
			s.says(wrong)
			e := b.add(s, "message.*")
			const minutes, each = 60, 20
			before := heap()
			for m := range minutes {
				b.emit("message.sent", m*each, (m+1)*each)
				b.pass(time.Minute)
				b.until(e.ID, func(e Endpoint) bool { return e.Pending > 0 || !e.LastAttempt.IsZero() })
			}
			require.Less(t, int64(heap())-int64(before), int64(4<<20), "memory after an hour of failures")
			b.until(e.ID, func(Endpoint) bool {
				var last, cursor int64
				require.NoError(t, b.db.Read().QueryRow(`SELECT (SELECT max(seq) FROM event), (SELECT cursor FROM webhook)`).Scan(&last, &cursor))
				return last == cursor
			})
			s.says(func(w http.ResponseWriter, _ request) {})
			pending := 0
			b.until(e.ID, func(e Endpoint) bool {
				if e.Pending == pending { // an answer of the old kind may still have been under way
					b.pass(time.Minute)
				}
				pending = e.Pending
				return pending == 0
			})
			e, err := b.o.Get(t.Context(), e.ID)
			require.NoError(t, err)
			require.Zero(t, e.Dead)
			order := map[int64]int{}
			for len(s.got) > 0 {
				r := <-s.got
				if n, twice := order[r.body.Sequence]; twice {
					require.Equal(t, n, r.n())
				}
				order[r.body.Sequence] = r.n()
			}
			require.Len(t, order, minutes*each, "lost events")
			var seqs []int64
			for seq := range order {
				seqs = append(seqs, seq)
			}
			slices.Sort(seqs)
			for i, seq := range seqs {
				require.Equal(t, i, order[seq], "the sequence is the order")
			}
		})
	}
}

// hurried gives up on one host after a while.
type hurried struct {
	*http.Transport
	host  string
	after time.Duration
}

func (h *hurried) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != h.host {
		return h.Transport.RoundTrip(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.after)
	defer cancel()
	return h.Transport.RoundTrip(r.WithContext(ctx))
}

// TestSlowSinkHoldsUpNobody: one that never answers in time, beside one that does.
func TestSlowSinkHoldsUpNobody(t *testing.T) {
	b := newBench(t)
	slow, quick := newSink(t), newSink(t)
	// The patience of the client's, for one of them only: the other has a busy machine's.
	b.o.private.Transport = &hurried{b.o.private.Transport.(*http.Transport), slow.http.Listener.Addr().String(), 300 * time.Millisecond}
	b.o.private.Timeout = time.Minute
	b.run()
	release := make(chan struct{})
	slow.says(func(http.ResponseWriter, request) { <-release })
	e := b.add(slow, "*")
	b.add(quick, "*")
	b.emit("message.sent", 0, 200)
	for i := range 200 {
		require.Equal(t, i, quick.next(t).n())
	}
	e = b.until(e.ID, func(e Endpoint) bool { return e.Health == HealthFailing })
	require.Equal(t, "no answer within 10 seconds", e.LastError)
	require.Equal(t, 200, e.Pending)
	close(release)
}

// TestOneBadEventBlocksNoOther: what an endpoint refuses for itself is put back,
// and those behind it go on.
func TestOneBadEventBlocksNoOther(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.says(func(w http.ResponseWriter, r request) {
		if r.n() == 0 {
			w.WriteHeader(422)
		}
	})
	e := b.add(s, "*")
	b.emit("message.sent", 0, 50)
	for i := range 50 {
		require.Equal(t, i, s.next(t).n())
	}
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 1 })
	for tries := 1; ; tries++ { // it goes on being tried for 72 h, and no more often than it should
		b.pass(6 * time.Hour)
		require.Eventually(t, func() bool { // what is due has been tried
			list, _, err := b.o.Deliveries(t.Context(), e.ID, Pending, 1, "")
			require.NoError(t, err)
			return len(list) == 0 || time.Until(list[0].NextAt) > time.Second
		}, 30*time.Second, time.Millisecond)
		e, err := b.o.Get(t.Context(), e.ID)
		require.NoError(t, err)
		if e.Dead == 1 {
			break
		}
		require.Less(t, tries, 500)
	}
	require.Less(t, len(s.got), 20)
}

// TestBehindTheOldestGoFirst: whatever order they are answered in, those that are on
// their way are the oldest; what takes long is overtaken and keeps one place.
func TestBehindTheOldestGoFirst(t *testing.T) {
	const n = 100
	b := newBench(t)
	b.o.private.Timeout = time.Minute
	b.run()
	s := newSink(t)
	begun, answers, over := make(chan int, n), make([]chan struct{}, n), make(chan struct{})
	defer close(over)
	for i := range answers {
		answers[i] = make(chan struct{})
	}
	s.says(func(w http.ResponseWriter, r request) {
		begun <- r.n()
		select {
		case <-answers[r.n()]:
		case <-over:
		}
		w.WriteHeader(http.StatusNoContent)
	})
	e := b.add(s, "message.*")
	b.emit("message.sent", 0, n)
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == n })
	b.pass(2 * behind)
	var held []int
	last := -1
	for answered := 0; answered < n; answered++ {
		for len(held) < min(maxEach, n-answered) {
			select {
			case i := <-begun:
				held, last = append(held, i), max(last, i)
			case <-time.After(30 * time.Second):
				require.FailNow(t, "nothing more arrived", "%d are held", len(held))
			}
		}
		require.Equal(t, answered+len(held)-1, last, "none before it waits: %v", held)
		slices.Sort(held)
		i := 0
		if len(held) > 1 { // the first one takes longest
			i = 1 + rand.IntN(len(held)-1)
		}
		close(answers[held[i]])
		held = slices.Delete(held, i, i+1)
	}
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 0 })
}

// TestBurst: ten thousand events at once arrive in one go, nearly in order, and
// cost no memory that stays.
func TestBurst(t *testing.T) {
	const n = 10_000
	b := newBench(t)
	b.run()
	s := newSink(t)
	e := b.add(s, "message.*")
	before, began := heap(), time.Now()
	for i := 0; i < n; i += 500 {
		b.emit("message.sent", i, i+500)
	}
	b.hand.advance(2 * time.Second) // it is behind: several at a time
	got := make([]request, 0, n)
	for range n {
		got = append(got, s.next(t))
		if len(got)%1000 == 0 {
			b.hand.advance(2 * time.Second)
		}
	}
	took := time.Since(began)
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 0 })
	seen := map[int]bool{}
	for i, r := range got {
		require.False(t, seen[r.n()], "twice")
		seen[r.n()] = true
		// All before it have arrived but those that are on their way with it.
		require.Less(t, r.n()-i, maxEach, "nearly in order")
	}
	got, seen = nil, nil
	grown := int64(heap()) - int64(before)
	require.Less(t, grown, int64(8<<20))
	t.Logf("%d events in %v, %.0f a second, heap grew by %d KiB", n, took.Round(time.Millisecond), n/took.Seconds(), grown>>10)
}
