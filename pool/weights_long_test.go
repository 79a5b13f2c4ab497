package pool_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
)

// segmentsOn are the segments that have left on each SIM since so many had.
func (r *rig) segmentsOn(since int) map[string]int {
	on := map[string]int{}
	for _, e := range r.accepted()[since:] {
		on[e.SIM]++
	}
	return on
}

// long is a text of so many segments.
func long(segments int) string {
	if segments == 1 {
		return "x"
	}
	return strings.Repeat("x", 153*segments)
}

// TestWeightsOfLongMessages: a route's SIMs share what has several segments as they
// share what has one: under load, and one by one, however seldom one comes.
func TestWeightsOfLongMessages(t *testing.T) {
	for _, c := range []struct{ heavy, segments int }{{3, 1}, {3, 3}, {10, 1}, {10, 2}, {10, 5}} {
		t.Run(fmt.Sprintf("%d to 1, %d segments", c.heavy, c.segments), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, LatencySigma: 0.3, ReportDelay: time.Second, Seed: 7})
				r.ready(2)
				heavy, light := r.modems[0].ICCID(), r.modems[1].ICCID()
				r.route(queue.FallbackWait, queue.RouteSIM{ICCID: heavy, Weight: c.heavy}, queue.RouteSIM{ICCID: light, Weight: 1})
				turns := 8
				n := turns * (c.heavy + 1)
				to := make([]string, n)
				for i := range to {
					to[i] = number(i)
				}
				r.submit(queue.Request{To: to, Text: long(c.segments), Class: queue.Bulk})
				r.comes(time.Duration(n*c.segments)*3*time.Second, "all have left", func() bool { return len(r.accepted()) == n*c.segments })
				// A turn more, or less, and the end, when nobody waits.
				require.InDelta(t, turns*c.segments, r.segmentsOn(0)[light], float64(2*c.segments), "%v", r.segmentsOn(0))

				for _, pause := range []time.Duration{0, 20 * time.Second} {
					before := len(r.accepted())
					for range 4 * (c.heavy + 1) {
						r.people++
						r.reaches(r.submit(queue.Request{To: []string{number(1000 + r.people)}, Text: long(c.segments)})[0].ID, queue.Delivered)
						time.Sleep(pause)
					}
					require.InDelta(t, 4*c.segments, r.segmentsOn(before)[light], float64(2*c.segments), "a message each %s: %v", pause, r.segmentsOn(before))
				}
			})
		})
	}
}
