package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clients post at a time, one message a request.
const clients = 16

// BenchmarkEnqueue is how quickly the API takes messages: every answer says that its
// message is on disk. First alone, then while 16 lines send at 2.0 s a message.
func BenchmarkEnqueue(b *testing.B) {
	var rows strings.Builder
	rows.WriteString("| while | messages/s | p50, ms | p99, ms |\n| --- | ---: | ---: | ---: |\n")
	for _, lines := range []int{0, 16} {
		name := map[bool]string{true: "nothing else happens", false: fmt.Sprintf("%d lines send", lines)}[lines == 0]
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			var rate float64
			var took spread
			for range b.N {
				rate, took = enqueue(b, lines)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate, "msg/s")
			b.ReportMetric(float64(took.p50.Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took.p99.Microseconds())/1000, "p99-ms")
			fmt.Fprintf(&rows, "| %s | %.0f | %.1f | %.1f |\n", name, rate, float64(took.p50.Microseconds())/1000, float64(took.p99.Microseconds())/1000)
		})
	}
	if file := os.Getenv("RECADO_BENCH_TABLE"); file != "" {
		require.NoError(b, renew(file, "enqueue", rows.String()))
	}
}

func enqueue(b *testing.B, lines int) (rate float64, took spread) {
	window := time.Duration(scale(b) * float64(10*time.Second))
	folder, ports := b.TempDir(), []string(nil)
	var s *site
	if lines > 0 {
		s = newSite(b, lines, 2*time.Second)
		ports = s.ports
	}
	x := newBox(b, folder)
	daemon := x.serve(ports...)
	x.ready()
	if s != nil {
		x.fill("normal", lines*int((window+40*time.Second)/(2*time.Second)))
		within(b, "every line sends", func() bool { s.timings.more(b); return s.timings.busyModems() == lines })
	}
	var all sync.WaitGroup
	each := make([][]time.Duration, clients)
	begin := time.Now()
	for c := range clients {
		all.Go(func() {
			for i := 0; time.Since(begin) < window; i++ {
				before := time.Now()
				if err := x.submit("bulk", number((c*10_000+i)%1_000_000)); err != nil {
					b.Errorf("submit: %v", err)
					return
				}
				each[c] = append(each[c], time.Since(before))
			}
		})
	}
	all.Wait()
	total := time.Since(begin)
	stop(daemon)
	list := slices.Concat(each...)
	return float64(len(list)) / total.Seconds(), spreadOf(list)
}
