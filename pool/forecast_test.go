package pool_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// speedRig is a pool whose lines need unlike times for a submission.
type speedRig struct {
	*rig
	r    *rand.Rand
	sims []string
	to   int
}

func newSpeedRig(t *testing.T, seed uint64, latencies ...time.Duration) *speedRig {
	return newSpeedRigOf(t, true, seed, latencies...)
}

func newSpeedRigOf(t *testing.T, emulated bool, seed uint64, latencies ...time.Duration) *speedRig {
	s := &speedRig{rig: emptyRig(t, emulator.NetworkOptions{}), r: rand.New(rand.NewPCG(seed, 5))}
	for i, latency := range latencies {
		net := emulator.NewNetwork(emulator.NetworkOptions{Latency: latency, LatencySigma: 0.1, CommandLatency: 10 * time.Millisecond,
			Baud: 115200, Seed: int64(seed)*100 + int64(i), NoMagic: true})
		t.Cleanup(func() { require.NoError(t, net.Close()) })
		iccid := fmt.Sprintf("893407%013d", 100+i)
		m := net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, ICCID: iccid, IMSI: fmt.Sprintf("2140700000%05d", i),
			IMEI: fmt.Sprintf("3569380356%05d", i)})
		require.NoError(t, s.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: m.Open, Emulated: emulated}))
		s.sims = append(s.sims, m.ICCID())
	}
	s.ready(len(latencies))
	return s
}

// numbers that nobody has been texted at yet.
func (s *speedRig) numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		s.to++
		list[i] = number(s.to)
	}
	return list
}

// left waits until all of the messages have left, for at most that long.
func (s *speedRig) left(most time.Duration, messages []queue.Message) bool {
	deadline := time.Now().Add(most)
	for time.Now().Before(deadline) {
		for len(messages) > 0 && !s.message(messages[0].ID).SentAt.IsZero() {
			messages = messages[1:]
		}
		if len(messages) == 0 {
			return true
		}
		s.pass(time.Second)
	}
	return false
}

// measured has each line send a few, so that its speed is known.
func (s *speedRig) measured(each int) {
	var messages []queue.Message
	for _, sim := range s.sims {
		messages = append(messages, s.submit(queue.Request{To: s.numbers(each), Text: "uno", SIM: sim})...)
	}
	require.True(s.t, s.left(time.Hour, messages))
	s.pass(65 * time.Second) // the minute's window is empty
}

// foreseen asks what becomes of a request, submits it, waits until it is done and
// compares.
func (s *speedRig) foreseen(r queue.Request, ahead ...queue.Request) (f pool.Forecast, finish time.Duration, segments map[string]int) {
	ctx := s.t.Context()
	for _, a := range ahead {
		s.submit(a)
	}
	q, err := s.store.Quote(ctx, r)
	require.NoError(s.t, err)
	f, err = s.pool.Forecast(ctx, pool.WorkOf(r, q))
	require.NoError(s.t, err)
	asked := s.clock.Now()
	messages := s.submit(r)
	require.True(s.t, s.left(max(3*f.ETA, 10*time.Minute)+time.Minute, messages), "%+v", f)
	segments = map[string]int{}
	var last time.Time
	for _, m := range messages {
		m = s.message(m.ID)
		require.Contains(s.t, []queue.State{queue.Sent, queue.Delivered}, m.State)
		segments[m.SIM] += len(m.Segments)
		if m.SentAt.After(last) {
			last = m.SentAt
		}
	}
	return f, last.Sub(asked), segments
}

// agrees: within a tenth, or what one message more or less on a line is worth:
// where a minute's limit holds, half of that minute.
func (s *speedRig) agrees(f pool.Forecast, finish, slowest time.Duration, segments map[string]int, of int, what string) {
	s.t.Helper()
	s.t.Logf("%s: foreseen %.1f s %v, it took %.1f s %v", what, f.ETA.Seconds(), f.Shares, finish.Seconds(), segments)
	require.True(s.t, f.Feasible, "%+v", f)
	for _, l := range f.Limits {
		if l.Window == string(queue.WindowMinute) {
			slowest = max(slowest, 20*time.Second)
		}
	}
	require.InDelta(s.t, finish.Seconds(), f.ETA.Seconds(), max(0.1*finish.Seconds(), 1.5*slowest.Seconds()), what)
	total := 0
	for _, share := range f.Shares {
		total += share.Segments
		require.InDelta(s.t, segments[share.ICCID], share.Segments, max(0.1*float64(of), 2), "%s: %s of %v", what, share.ICCID, segments)
	}
	require.Equal(s.t, of, total)
}

// TestForecastComesTrue: what is foreseen of random work on random pools agrees
// with what the pool then does, within a tenth. FORECAST_RUNS sets how many.
func TestForecastComesTrue(t *testing.T) {
	runs, err := strconv.Atoi(cmp.Or(os.Getenv("FORECAST_RUNS"), "4"))
	require.NoError(t, err, "FORECAST_RUNS is a number")
	first, err := strconv.Atoi(cmp.Or(os.Getenv("FORECAST_FIRST"), "0"))
	require.NoError(t, err, "FORECAST_FIRST is a number")
	for seed := first; seed < first+runs; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testForecastComesTrue(t, uint64(seed)) })
		})
	}
}

func testForecastComesTrue(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 9))
	latencies := make([]time.Duration, 1+r.IntN(4))
	slowest := time.Duration(0)
	for i := range latencies {
		latencies[i] = time.Duration(500+r.IntN(5000)) * time.Millisecond
		slowest = max(slowest, latencies[i])
	}
	s := newSpeedRig(t, seed, latencies...)
	s.measured(12)
	off := false
	for _, sim := range s.sims {
		var limits []queue.Limit
		if r.IntN(2) == 0 {
			most := 5 + r.IntN(15)
			slowest = max(slowest, time.Minute/time.Duration(most))
			limits = append(limits, queue.Limit{Window: queue.WindowMinute, MaxSegments: most})
		}
		if r.IntN(3) == 0 && len(latencies) > 1 && sim != s.sims[0] {
			limits = append(limits, queue.Limit{Window: queue.WindowDay, MaxSegments: 30 + r.IntN(40), MaxRecipients: 30 + r.IntN(40)})
		}
		reserve := r.IntN(40)
		require.NoError(t, s.pool.SetLimits(t.Context(), sim, queue.LimitsPatch{Limits: &limits, ReservePercent: &reserve, WarmUp: &off}))
		if r.IntN(4) == 0 {
			pace := 8 + r.IntN(20)
			_, err := s.pool.UpdateSIM(t.Context(), sim, queue.SIMPatch{Pace: &pace})
			require.NoError(t, err)
			slowest = max(slowest, time.Minute/time.Duration(pace))
		}
	}
	classes := []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk}
	for round := range 2 {
		var ahead []queue.Request
		for range r.IntN(4) {
			a := queue.Request{To: s.numbers(5 + r.IntN(20)), Text: strings.Repeat("a", 1+r.IntN(350)), Class: classes[1+r.IntN(3)], ValidFor: 24 * time.Hour}
			if r.IntN(4) == 0 {
				a.SIM = s.sims[r.IntN(len(s.sims))]
			}
			ahead = append(ahead, a)
		}
		work := queue.Request{To: s.numbers(30 + r.IntN(80)), Text: "Mañana a las diez", Class: classes[1+r.IntN(3)], ValidFor: 24 * time.Hour}
		if r.IntN(4) == 0 {
			work.Text = strings.Repeat("x", 200)
		}
		if r.IntN(5) == 0 {
			work.SIM = s.sims[0]
		}
		if r.IntN(5) == 0 {
			work.SendAt = s.clock.Now().Add(time.Minute)
		}
		f, finish, segments := s.foreseen(work, ahead...)
		of := 0
		for _, n := range segments {
			of += n
		}
		s.agrees(f, finish, 2*slowest, segments, of, fmt.Sprintf("seed %d round %d, %d lines, %s", seed, round, len(latencies), work.Class))
		if f.ETA > 2*time.Hour {
			return
		}
	}
}

// TestForecastLeavesForCodes: the first limit that runs out, and what is left of
// it, are as foreseen.
func TestForecastLeavesForCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeedRig(t, 1, 2*time.Second, 3*time.Second)
		s.measured(8)
		off := false
		for i, most := range []int{60, 200} {
			require.NoError(t, s.pool.SetLimits(t.Context(), s.sims[i], queue.LimitsPatch{WarmUp: &off,
				Limits: &[]queue.Limit{{Window: queue.WindowDay, MaxSegments: most}}}))
		}
		f, finish, segments := s.foreseen(queue.Request{To: s.numbers(120), Text: "Boletín", Class: queue.Bulk})
		s.agrees(f, finish, 3*time.Second, segments, 120, "two days' limits")
		require.Equal(t, 40, segments[s.sims[0]], "four fifths of sixty, less the eight of before")
		require.Equal(t, pool.LimitHit{ICCID: s.sims[0], Window: "day", At: f.FirstLimit().At}, *f.FirstLimit())
		for _, l := range f.Left {
			limits, err := s.pool.Limits(context.Background(), l.ICCID)
			require.NoError(t, err)
			require.InDelta(t, limits.Room.Segments[queue.LaneOTP], l.Segments, 3, l.ICCID)
		}
	})
}

// TestForecastOfRealSIMs: with the limits, the reserve, the pace and the warming up
// that real SIMs have by default.
func TestForecastOfRealSIMs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeedRigOf(t, false, 2, 2*time.Second, 3*time.Second)
		s.clock.advance(12 * time.Hour) // not at night
		s.measured(4)
		for _, c := range []queue.Class{queue.Normal, queue.Bulk} {
			f, finish, segments := s.foreseen(queue.Request{To: s.numbers(30), Text: "Aviso", Class: c})
			s.agrees(f, finish, 6*time.Second, segments, 30, string(c)+" on real SIMs")
		}
		q := queue.Request{To: s.numbers(200), Text: "Aviso", Class: queue.Bulk}
		measured, err := s.store.Quote(t.Context(), q)
		require.NoError(t, err)
		f, err := s.pool.Forecast(t.Context(), pool.WorkOf(q, measured))
		require.NoError(t, err)
		require.InDelta(t, 2.5*24, f.ETA.Hours(), 24, "fifty on the first day, less a fifth; then twice as many")
		require.False(t, f.Feasible && f.ETA > 72*time.Hour)
	})
}

// TestForecastOfRoutesAndQuietHours: weights hold, what comes first goes first, and
// nobody is woken.
func TestForecastOfRoutesAndQuietHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeedRig(t, 3, 1500*time.Millisecond, 2*time.Second, time.Second)
		s.measured(6)
		_, err := s.store.AddRoute(t.Context(), queue.Route{Name: "España", Enabled: true, Prefixes: []string{"+346"}, Classes: []queue.Class{queue.Normal},
			SIMs: []queue.RouteSIM{{ICCID: s.sims[0], Weight: 3}, {ICCID: s.sims[1], Weight: 1}}, Fallback: queue.FallbackWait})
		require.NoError(t, err)
		f, finish, segments := s.foreseen(queue.Request{To: s.numbers(80), Text: "Aviso", Class: queue.Normal})
		s.agrees(f, finish, 4*time.Second, segments, 80, "on a route with weights")
		require.Zero(t, segments[s.sims[2]])
		require.InDelta(t, 60, segments[s.sims[0]], 4)
		for _, n := range []int{10, 40} { // also the few that the one that is ahead leaves to the other
			f, finish, segments = s.foreseen(queue.Request{To: s.numbers(n), Text: long(4), Class: queue.Normal})
			s.agrees(f, finish, 8*time.Second, segments, 4*n, "of four segments, on a route with weights")
			require.InDelta(t, 3*n, segments[s.sims[0]], 8)
		}

		madrid, err := time.LoadLocation("Europe/Madrid")
		require.NoError(t, err)
		local := s.clock.Now().In(madrid)
		from := pool.Minute(60*local.Hour() + local.Minute())
		require.NoError(t, s.pool.SetQuietHours(t.Context(), pool.QuietHours{Classes: []queue.Class{queue.Bulk}, From: from, To: from + 4}))
		f, finish, segments = s.foreseen(queue.Request{To: s.numbers(60), Text: "Boletín", Class: queue.Bulk})
		s.agrees(f, finish, 2*time.Second, segments, 60, "after quiet hours")
		require.Len(t, f.Waits, 1)
		require.Equal(t, pool.WaitQuiet, f.Waits[0].Why)
		require.Greater(t, finish, 3*time.Minute)

		require.NoError(t, s.pool.PauseClass(t.Context(), queue.Bulk, true))
		f, err = s.pool.Forecast(t.Context(), pool.Work{Class: queue.Bulk, Segments: 1, Messages: 5})
		require.NoError(t, err)
		require.False(t, f.Feasible)
		require.Equal(t, pool.WaitClass, f.Waits[0].Why)
		require.NoError(t, s.pool.PauseSIM(t.Context(), s.sims[0], true))
		require.NoError(t, s.pool.PauseSIM(t.Context(), s.sims[1], true))
		f, err = s.pool.Forecast(t.Context(), pool.Work{Class: queue.Normal, Segments: 1, To: s.numbers(5)})
		require.NoError(t, err)
		require.Equal(t, pool.WaitSIMPaused, f.Waits[0].Why, "its route waits")
		require.NoError(t, s.pool.Pause(t.Context()))
		f, err = s.pool.Forecast(t.Context(), pool.Work{Class: queue.OTP, Segments: 1, Messages: 1})
		require.NoError(t, err)
		require.Equal(t, pool.WaitPaused, f.Waits[0].Why)
	})
}

// TestForecastOfFew: of what is less than the lines are it is known which send it.
func TestForecastOfFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeedRig(t, 4, time.Second, 2*time.Second, 3*time.Second, 4*time.Second)
		s.measured(2)
		s.submit(queue.Request{To: s.numbers(7), Text: "x", SIM: s.sims[2]}) // it has done more than the others
		s.pass(time.Minute)
		for range 6 {
			f, finish, segments := s.foreseen(queue.Request{To: s.numbers(2), Text: "Hola"})
			require.InDelta(t, finish.Seconds(), f.ETA.Seconds(), 0.3*finish.Seconds()) // of one, chance decides
			require.Len(t, f.Shares, 2)
			for _, share := range f.Shares {
				require.Equal(t, segments[share.ICCID], share.Segments, "%v, not as foreseen %v", segments, f.Shares)
			}
			s.pass(10 * time.Second)
		}
		// A code submitted into a campaign waits for the first line that frees.
		s.submit(queue.Request{To: s.numbers(40), Text: "Boletín", Class: queue.Bulk})
		s.pass(5500 * time.Millisecond)
		f, finish, segments := s.foreseen(queue.Request{To: s.numbers(1), Text: "1234", Class: queue.OTP})
		require.InDelta(t, finish.Seconds(), f.ETA.Seconds(), 0.3*finish.Seconds()) // of one, chance decides
		require.Equal(t, 1, segments[f.Shares[0].ICCID])
	})
}

func (s *speedRig) pass(d time.Duration) {
	wait := time.NewTimer(d)
	<-wait.C
	synctest.Wait()
}
