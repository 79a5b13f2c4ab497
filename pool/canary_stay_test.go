package pool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// TestHealthyLinesStay on networks of all kinds, whatever becomes of the reports.
func TestHealthyLinesStay(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 5))
				r := newRig(t, 1+int(seed), emulator.NetworkOptions{
					Latency: time.Duration(rnd.IntN(20_000)) * time.Millisecond, LatencySigma: rnd.Float64(),
					ReportDelay: time.Duration(rnd.IntN(150)) * time.Second, Seed: int64(seed),
					Rules: []emulator.Rule{{Probability: rnd.Float64(), Effect: emulator.Effect{NoReport: true}}},
				})
				r.ready(1 + int(seed))
				for _, m := range r.modems {
					if _, err := r.pool.TestSIM(t.Context(), m.ICCID(), "ana"); !errors.Is(err, queue.ErrCanaryRunning) {
						require.NoError(t, err)
					}
					time.Sleep(time.Minute)
				}
				r.modems[0].Reboot() // what comes meanwhile waits for it
				time.Sleep(25 * time.Minute)
				for i := range r.modems {
					if _, ok := r.quarantine(i); ok {
						r.tell()
						require.FailNow(t, "quarantined", r.modems[i].Name())
					}
				}
				for _, c := range r.allCanaries() {
					require.False(t, c.EndedAt.IsZero())
				}
			})
		})
	}
}

// TestWhatComesInEndsAQuarantine of a line that did not receive, at once.
func TestWhatComesInEndsAQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.modems[1].Inject(emulator.Fault{Kind: emulator.FaultNoInbound, Text: "lost"})
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		time.Sleep(time.Minute)
		r.modems[1].ClearFaults()
		require.NoError(t, r.net.Inbound(r.modems[1].ICCID(), "+34600111222", "hola"))
		r.inTime(10*time.Second, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
		require.Equal(t, []string{pool.SIMReady, pool.SIMQuarantined, pool.SIMReady}, r.simStates(1)[max(0, len(r.simStates(1))-3):])
	})
}

// TestALateCanaryEndsAQuarantine: the network was slow beyond measure.
func TestALateCanaryEndsAQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.modems[1].Inject(mutes[1].fault)
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		r.modems[1].ClearFaults() // the network has kept them
		r.inTime(10*time.Second, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
	})
}

// TestProbesGrowRare: a quarter of an hour, twice as long each time, four hours at
// most; and at once when its number was put right.
func TestProbesGrowRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		r.ready(2)
		r.settings(queue.CanarySettings{})
		r.modems[1].Inject(mutes[0].fault)
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		q, _ := r.quarantine(1)
		since := q.At
		// Eight hours in which five are due, and half of one in which the fifth ends: an
		// idle hour is long to wait for, the clock is set on.
		for range 8*12 + 6 {
			r.clock.advance(5*time.Minute - 20*time.Second)
			time.Sleep(20 * time.Second)
		}
		var after []time.Duration
		last := since
		for _, c := range slices.Backward(r.allCanaries()) {
			if c.AskedBy == queue.CanaryProbe {
				after = append(after, c.StartedAt.Sub(last))
				last = c.StartedAt
			}
		}
		want := []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
		require.Len(t, after, len(want))
		for i, d := range want {
			require.InDelta(t, (d + 150*time.Second).Minutes(), after[i].Minutes(), 2.6, "%s", d)
		}
		require.Equal(t, queue.CanaryMissed, r.allCanaries()[0].State, "none is under way")
		r.modems[1].ClearFaults()
		r.numbered(1, r.modems[1].Number())
		r.inTime(time.Minute, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
	})
}

// TestANumberIsPutRightDuringAProbe: the next follows as soon as that one has ended,
// however rare they had become by then.
func TestANumberIsPutRightDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		r.ready(2)
		r.settings(queue.CanarySettings{})
		r.modems[1].Inject(mutes[0].fault)
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		r.numbered(1, r.modems[1].Number())
		probe := func() queue.Canary { return r.allCanaries()[0] }
		r.inTime(time.Minute, "a probe", func() bool { return probe().AskedBy == queue.CanaryProbe && probe().State == queue.CanaryOut })
		r.modems[1].ClearFaults() // too late for that one
		r.numbered(1, r.modems[1].Number())
		r.inTime(3*time.Minute, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
		require.Equal(t, []queue.CanaryState{queue.CanaryArrived, queue.CanaryMissed}, []queue.CanaryState{r.allCanaries()[0].State, r.allCanaries()[1].State})
	})
}

// TestSuspicionKeepsMeasure: a network that stops all reports makes nobody
// suspect; a SIM whose contract has none is looked at once.
func TestSuspicionKeepsMeasure(t *testing.T) {
	for _, row := range []struct {
		name string
		all  bool
		want int
	}{{"none comes", true, 0}, {"one SIM gets none", false, 1}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 3, usual)
				r.ready(3)
				r.settings(queue.CanarySettings{Suspicion: true})
				rule := emulator.Rule{Effect: emulator.Effect{NoReport: true}}
				if !row.all {
					rule.SIM = r.modems[1].ICCID()
				}
				for n := range 60 {
					if n == 10 {
						r.net.AddRule(rule)
					}
					for i := range r.modems {
						r.submit(queue.Request{To: []string{number(n)}, Text: "x", SIM: r.modems[i].ICCID()})
					}
					time.Sleep(20 * time.Second)
				}
				require.Len(t, r.allCanaries(), row.want)
				for i := range r.modems {
					_, ok := r.quarantine(i)
					require.False(t, ok)
				}
			})
		})
	}
}
