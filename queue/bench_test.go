package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// BenchmarkSubmit is 64 clients that post one short message each time, with an
// Idempotency-Key: target at least 1,500 a second on two cores, p99 at most
// 100 ms.
func BenchmarkSubmit(b *testing.B) {
	box := newBox(b)
	const clients = 64
	work := make(chan int)
	took := make([][]time.Duration, clients)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for c := range clients {
		wg.Go(func() {
			for i := range work {
				begun := time.Now()
				_, err := box.Submit(context.Background(), Request{To: []string{fmt.Sprintf("+3460%07d", i%10_000_000)}, Text: "Su cita es mañana a las 10:30"},
					&Idempotency{Scope: "k", Key: fmt.Sprint(i), Hash: []byte("h"), Answer: func(Result) []byte { return []byte("{}") }})
				if err != nil {
					b.Error(err)
					return
				}
				took[c] = append(took[c], time.Since(begun))
			}
		})
	}
	for i := range b.N {
		work <- i
	}
	close(work)
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkClaim is a claim given back, with few and with many messages
// waiting: its cost must not grow with the queue.
func BenchmarkClaim(b *testing.B) {
	for _, waiting := range []int{100, 100_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			box := newBox(b)
			fill(b, box, waiting)
			l := line(1)
			b.ResetTimer()
			for range b.N {
				c := box.claimed(l)
				require.NoError(b, box.Unclaim(context.Background(), l.ICCID, c.Message.Seq, Outcome{Retry: true}))
			}
		})
	}
}

// fill queues messages, a tenth of them pinned to other SIMs.
func fill(b testing.TB, box *box, n int) {
	b.Helper()
	m := box.submit(Request{Class: Bulk})
	require.NoError(b, box.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		for i := range n - 1 {
			sim := ""
			if i%10 == 0 {
				sim = line(2 + i%5).ICCID
			}
			if _, err := tx.Exec(`INSERT INTO message (id, recipient, text, class, lane, state, encoding, delivery, sim, wish, segments, valid_ms, created_at, expires_at)
				SELECT ?, recipient, text, class, lane, state, encoding, delivery, ?2, ?2, segments, valid_ms, created_at, expires_at FROM message WHERE seq = ?3`,
				fmt.Sprintf("fill-%d", i), sim, m.Seq); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO segment (message, n, tpdu) SELECT last_insert_rowid(), 1, tpdu FROM segment WHERE message = ?`, m.Seq); err != nil {
				return err
			}
		}
		for sum := range strings.SplitSeq(SumsSQL, ";\n") {
			if _, err := tx.Exec(sum); err != nil {
				return err
			}
		}
		return nil
	}))
}
