package pool_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"recado/modem/emulator"
	"recado/queue"
)

// BenchmarkLines measures how much of the modems' time is used: the share of
// modems ÷ latency that leaves, with 10 ms a command and 115,200 baud. A
// perfect driver reaches 98.1 % at 2.0 s and 83.7 % at 0.2 s.
//
//	go test ./pool -run '^$' -bench Lines -benchtime 1x
func BenchmarkLines(b *testing.B) {
	for _, modems := range []int{1, 8, 32} {
		for _, latency := range []time.Duration{2 * time.Second, 200 * time.Millisecond} {
			b.Run(fmt.Sprintf("modems=%d/latency=%s", modems, latency), func(b *testing.B) {
				for b.Loop() {
					// About fifteen seconds of work, the last of it without queue.
					lines(b, modems, latency, int(15*time.Second/latency))
				}
			})
		}
	}
}

func lines(b *testing.B, modems int, latency time.Duration, rounds int) {
	r := newRig(b, modems, emulator.NetworkOptions{
		Latency: latency, CommandLatency: 10 * time.Millisecond, Baud: 115200, ReportDelay: time.Second})
	r.ready(modems)
	if err := r.pool.Pause(b.Context()); err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("Prueba. ", 9)[:70]
	n := modems * (rounds + 1)
	for i := range n {
		r.submit(queue.Request{To: []string{number(i)}, Text: text})
	}
	begin := time.Now()
	if err := r.pool.Resume(b.Context()); err != nil {
		b.Fatal(err)
	}
	// While every line is busy: up to the moment the queue is one round from empty.
	count := modems * rounds
	r.until("the queue's end", func() bool { return len(r.accepted()) >= count })
	used := float64(count) * latency.Seconds() / float64(modems) / time.Since(begin).Seconds()
	b.ReportMetric(100*used, "%used")
	b.ReportMetric(float64(count)/time.Since(begin).Seconds(), "messages/s")
	b.ReportMetric(0, "ns/op")
}
