package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue"
)

// TestPaceIsKeptOnAverage: pauses are uneven, and their mean is the pace.
func TestPaceIsKeptOnAverage(t *testing.T) {
	require.Zero(t, pause(0, 0.5))
	require.Zero(t, pause(-1, 0.5))
	require.Equal(t, 6*time.Second, pause(10, 0.5))
	require.Equal(t, 4200*time.Millisecond, pause(10, 0))
	require.Equal(t, 7800*time.Millisecond, pause(10, 1))
	sum := time.Duration(0)
	const n = 1000
	for i := range n {
		sum += pause(10, float64(i)/(n-1))
	}
	require.InDelta(t, 6, (sum / n).Seconds(), 0.01)
}

func TestPaceOf(t *testing.T) {
	for _, c := range []struct {
		chosen    int
		emulated  bool
		perMinute int
		want      int
	}{
		{0, false, 10, 10}, // a real one: its limit, spread
		{0, false, 0, 0},   // without a limit as fast as it can
		{0, true, 10, 0},   // an emulated one: nobody blocks it
		{5, false, 10, 5}, {5, true, 0, 5}, {-1, false, 10, 0},
	} {
		require.Equal(t, c.want, paceOf(c.chosen, c.emulated, c.perMinute), "%+v", c)
	}
}

// TestSendWindowMinuteByMinute: as the clock on the wall says, over midnight, on
// the days that it begins on, and through summer time.
func TestSendWindowMinuteByMinute(t *testing.T) {
	home := zone(t, "Europe/Madrid")
	rapid.Check(t, func(t *rapid.T) {
		w := queue.SendWindow{From: rapid.IntRange(0, 24*60-1).Draw(t, "from"), To: rapid.IntRange(0, 24*60-1).Draw(t, "to"),
			Days: rapid.IntRange(1, queue.AllDays).Draw(t, "days")}
		at := around(t)
		open, change := windowUntil(w, at, home)
		steady(t, at, change, open, func(when time.Time) bool {
			local := when.In(home)
			m := 60*local.Hour() + local.Minute()
			began := local.Weekday()
			if w.From > w.To && m < w.To {
				began = (began + 6) % 7 // yesterday
			}
			if w.Days&(1<<((began+6)%7)) == 0 {
				return false
			}
			return w.From == w.To || w.From < w.To && m >= w.From && m < w.To || w.From > w.To && (m >= w.From || m < w.To)
		})
	})
	open, change := windowUntil(queue.SendWindow{From: -1}, time.Now(), home)
	require.True(t, open)
	require.Zero(t, change)
}
