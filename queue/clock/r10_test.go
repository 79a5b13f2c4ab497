package clock_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue"
	"recado/queue/clock"
)

// at is how wrong a clock is that shows t.
func (w *world) at(t time.Time) time.Duration { return t.Sub(w.true) }

// TestR10 is R10 of the reliability notes (6.2): whatever the clock does, nothing
// scheduled goes while it is not trusted, each goes at most once, nothing expires
// before its time.
func TestR10(t *testing.T) {
	year := func(n int) time.Time { return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC) }
	const decade = 10 * 365 * 24 * time.Hour
	madrid, err := time.LoadLocation("Europe/Madrid")
	require.NoError(t, err)
	for name, wrong := range map[string]func(w *world){
		"a boot at 1970": func(w *world) { w.reboot(3*time.Minute, w.at(year(1970))) },
		"a boot at the epoch of systemd, a year ago": func(w *world) { w.reboot(3*time.Minute, w.at(year(2026))) },
		"a boot at 2038":           func(w *world) { w.reboot(3*time.Minute, w.at(time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC))) },
		"a boot at the old time":   func(w *world) { w.reboot(time.Hour, -time.Hour) },
		"a boot, all forgotten":    func(w *world) { w.noID = true; w.reboot(time.Hour, -time.Hour) },
		"an hour ahead":            func(w *world) { w.set(time.Hour) },
		"an hour behind":           func(w *world) { w.set(-time.Hour) },
		"a day ahead":              func(w *world) { w.set(24 * time.Hour) },
		"a day behind":             func(w *world) { w.set(-24 * time.Hour) },
		"ten years ahead":          func(w *world) { w.set(decade) },
		"ahead and back":           func(w *world) { w.set(decade); w.pass(time.Minute); w.set(-decade) },
		"a restart, set meanwhile": func(w *world) { w.close(); w.off += 24 * time.Hour; w.open() },
		"a boot at 1970 in steps": func(w *world) {
			w.reboot(3*time.Minute, w.at(year(1970)))
			w.set(50 * 365 * 24 * time.Hour)
			w.pass(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			defer func() { require.NoError(t, w.db.Close()) }()
			require.False(t, w.clock.Trusted(), "nobody has confirmed anything")
			w.ntp()
			require.True(t, w.clock.Trusted())
			now := w.submit(time.Time{}, 24*time.Hour)
			soon := w.submit(w.true.Add(10*time.Hour), 24*time.Hour)
			short := w.submit(w.true.Add(10*time.Hour+2*time.Minute), 10*time.Minute)

			wrong(w)
			require.False(t, w.clock.Trusted())
			require.NotEmpty(t, w.clock.Status().Reason)
			doubted := w.submit(time.Time{}, 24*time.Hour)
			ahead := w.submit(w.true.Add(8*time.Hour), 24*time.Hour)
			w.pass(3 * time.Hour)
			for _, p := range []*promise{now, doubted} {
				require.Equal(t, queue.Queued, p.state, "what is to go at once waits for nothing")
			}
			for _, p := range []*promise{soon, short, ahead} {
				require.Equal(t, queue.Scheduled, p.state)
			}
			require.Equal(t, 2, w.send())

			// The time becomes known, and all happens as it was meant.
			w.ntp()
			require.True(t, w.clock.Trusted())
			require.Equal(t, clock.SourceNTP, w.clock.Status().Source)
			w.pass(30 * time.Minute)
			require.Equal(t, queue.Scheduled, soon.state)
			for w.true.Before(soon.at.Add(-time.Minute)) {
				w.pass(time.Minute)
			}
			w.pass(4 * time.Minute)
			require.Equal(t, 3, w.send(), "soon, short and ahead")
			for _, p := range w.told {
				require.Equal(t, 1, p.sends)
			}
		})
	}

	t.Run("summer time ends", func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		defer func() { require.NoError(t, w.db.Close()) }()
		w.zone = madrid
		w.ntp()
		night := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC) // 2:30, for the first time
		again := night.Add(time.Hour)                           // 2:30 again
		a, b := w.submit(night, time.Hour), w.submit(again, time.Hour)
		w.pass(night.Sub(w.true) + time.Minute)
		require.Equal(t, 1, w.send())
		require.Equal(t, []int{1, 0}, []int{a.sends, b.sends})
		w.pass(time.Hour)
		require.Equal(t, 1, w.send())
		require.True(t, w.clock.Trusted())
	})

	t.Run("a step by NTP itself", func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		defer func() { require.NoError(t, w.db.Close()) }()
		w.off = -24 * time.Hour
		p := w.submit(time.Time{}, time.Hour)
		later := w.submit(w.true.Add(time.Hour), time.Hour)
		w.ntp()
		w.pass(30 * time.Minute)
		require.Equal(t, queue.Queued, p.state, "a day was put right; it is half an hour old")
		w.pass(32 * time.Minute)
		require.Equal(t, queue.Expired, p.state)
		require.Equal(t, 1, w.send())
		require.Equal(t, 1, later.sends)
	})
}

// The network's time, late, while there is no NTP and the system's clock stays
// wrong: Recado's own runs beside it.
func TestR10TheNetworksTimeComesLate(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.off = -300 * 24 * time.Hour
	due := w.submit(w.true.Add(5*time.Hour), time.Hour)
	// A modem that nobody has told the time.
	w.clock.NITZ("modem1", time.Date(2004, 1, 1, 0, 0, 8, 0, time.UTC), true, true)
	w.clock.NITZ("modem1", time.Date(2080, 1, 6, 0, 0, 8, 0, time.UTC), true, true)
	w.clock.NITZ("modem1", w.true, true, false)
	w.pass(4 * time.Hour)
	require.False(t, w.clock.Trusted())

	w.clock.NITZ("modem1", w.true, true, true)
	require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	require.Equal(t, 300*24*time.Hour, w.clock.Status().Offset)
	w.look()
	require.Equal(t, queue.Scheduled, due.state)
	w.set(24 * time.Hour) // nobody's business: our own goes on
	require.True(t, w.clock.Trusted())
	w.pass(time.Hour + time.Minute)
	require.Equal(t, 1, w.send())

	// In two steps: NTP is a better witness, and the offset goes.
	w.ntp()
	require.Equal(t, clock.SourceNTP, w.clock.Status().Source)
	require.Zero(t, w.clock.Status().Offset)
	// What the network says then does not matter.
	w.clock.NITZ("modem1", w.true.Add(time.Hour), true, true)
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)
}

func TestWitnesses(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()

	// Stamps: one of something late confirms nothing, one of what came live does.
	w.clock.SCTS("+34609090909", w.true.Add(-time.Minute), false)
	require.False(t, w.clock.Trusted())
	w.clock.SCTS("+34609090909", w.true.Add(-time.Minute), true)
	require.Equal(t, clock.SourceSCTS, w.clock.Status().Source)
	// Somebody sets the clock: the stamp spoke for another.
	w.set(time.Hour)
	require.False(t, w.clock.Trusted())
	require.Contains(t, w.clock.Status().Reason, "jumped by +1h0m0s")
	w.clock.SCTS("+34609090909", w.true, true)
	require.False(t, w.clock.Trusted(), "the stamp says another time")

	// A modem's clock counts with it, also without a zone.
	w.clock.NITZ("modem1", w.true.Add(2*time.Hour), false, false)
	require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)

	// A second network contradicts it: then nobody knows.
	w.clock.NITZ("modem2", w.true.Add(5*time.Hour), true, true)
	require.False(t, w.clock.Trusted())
	w.clock.NITZ("modem3", w.true, true, true)
	require.True(t, w.clock.Trusted(), "two of three")
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)

	// An operator's word is above them, and no nonsense is taken.
	require.ErrorIs(t, w.clock.Trust(context.Background(), "ana", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), false), clock.ErrTime)
	require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true, false))
	require.Equal(t, clock.SourceOperator, w.clock.Status().Source)
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)
	w.restart()
	require.Equal(t, clock.SourceOperator, w.clock.Status().Source, "it goes on over a restart of the program")
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)
	var who string
	require.NoError(t, w.db.Read().QueryRow(`SELECT who FROM audit WHERE action = 'clock.trust'`).Scan(&who))
	require.Equal(t, "ana", who)

	w.reboot(time.Minute, -24*time.Hour)
	require.False(t, w.clock.Trusted(), "and ends with the box")
	require.NoError(t, w.clock.Trust(context.Background(), "ana", time.Time{}, false))
	require.True(t, w.clock.Trusted(), "the system's is right, they say")
}

// An operator was wrong, and NTP knows better: what is unfinished keeps as much
// of its validity as it had.
func TestATrustedClockIsPutRight(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.off, w.lied = -50*time.Minute, true
	require.NoError(t, w.clock.Trust(context.Background(), "ana", time.Time{}, false))
	w.look()
	p := w.submit(time.Time{}, time.Hour)
	w.ntp()
	w.lied = false
	w.pass(45 * time.Minute)
	require.Equal(t, queue.Queued, p.state)
	m, err := w.store.Message(context.Background(), p.id)
	require.NoError(t, err)
	require.WithinDuration(t, p.accepted, m.CreatedAt, time.Second, "and its times are the right ones")
	w.pass(20 * time.Minute)
	require.Equal(t, queue.Expired, p.state)
}

// A mark of what is over: no clock behind it is believed by stamps alone.
func TestHighWater(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.ntp()
	w.pass(time.Hour)
	w.reboot(time.Minute, -48*time.Hour)
	require.WithinDuration(t, w.true, w.clock.Status().HighWater, 10*time.Minute)
	stamp := w.true.Add(-48 * time.Hour) // it waited for two days and agrees with the wrong clock
	w.clock.SCTS("+34609090909", stamp, true)
	require.False(t, w.clock.Trusted())
	w.clock.NITZ("modem1", stamp, true, true)
	require.False(t, w.clock.Trusted())
	require.WithinDuration(t, w.true, w.clock.AtLeast(), 10*time.Minute)
	w.ntp()
	require.True(t, w.clock.Trusted())
}

// What missed its time by more than the grace waits for somebody, unless that is
// set otherwise.
func TestMissedTimes(t *testing.T) {
	for policy, want := range map[string]queue.State{queue.MisfireHold: queue.Held, queue.MisfireSend: queue.Queued, queue.MisfireSkip: queue.Expired} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			defer func() { require.NoError(t, w.db.Close()) }()
			ctx := context.Background()
			w.ntp()
			m, err := w.store.Misfire(ctx)
			require.NoError(t, err)
			require.Equal(t, queue.Misfire{Grace: 15 * time.Minute, Policy: queue.MisfireHold}, m)
			require.NoError(t, w.store.SetMisfire(ctx, queue.Misfire{Grace: 20 * time.Minute, Policy: policy}, "ana"))
			late, little := w.submit(w.true.Add(time.Hour), 24*time.Hour), w.submit(w.true.Add(time.Hour+20*time.Minute), 24*time.Hour)
			w.reboot(time.Hour+30*time.Minute, -2*time.Hour)
			require.Equal(t, queue.Scheduled, late.state)
			w.told = map[string]*promise{little.id: little} // what is skipped ends before its validity does
			w.ntp()
			require.Equal(t, queue.Queued, little.state, "within the grace")
			m2, err := w.store.Message(ctx, late.id)
			require.NoError(t, err)
			require.Equal(t, want, m2.State)
			if want != queue.Queued {
				require.Equal(t, queue.ReasonLate, m2.Reason)
			}
		})
	}
}

// Any order of steps, starts and witnesses that tell the truth, late or never.
func TestR10AnyOrder(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		w := newWorld(t, sub(t, dir, n))
		defer func() { _ = w.db.Close() }()
		jumps := []time.Duration{30 * time.Second, -30 * time.Second, time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 87600 * time.Hour, -490000 * time.Hour}
		t.Repeat(map[string]func(*rapid.T){
			"pass":   func(t *rapid.T) { w.pass(time.Duration(rapid.IntRange(1, 7200).Draw(t, "s")) * time.Second) },
			"set":    func(t *rapid.T) { w.set(rapid.SampledFrom(jumps).Draw(t, "by")) },
			"ntp":    func(*rapid.T) { w.ntp() },
			"unsync": func(*rapid.T) { w.sync.Synchronised = false; w.look() },
			"restart": func(t *rapid.T) {
				w.close()
				if rapid.Bool().Draw(t, "set meanwhile") {
					w.off += rapid.SampledFrom(jumps).Draw(t, "by")
				}
				w.open()
			},
			"reboot": func(t *rapid.T) {
				dark := time.Duration(rapid.IntRange(10, 200000).Draw(t, "dark")) * time.Second
				w.reboot(dark, rapid.SampledFrom(append(jumps, 0, -dark)).Draw(t, "wrong by"))
			},
			"nitz": func(*rapid.T) { w.clock.NITZ("modem1", w.true, true, true); w.look() },
			"constant": func(*rapid.T) {
				w.clock.NITZ("modem2", time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC).Add(w.up), true, true)
				w.look()
			},
			"late": func(t *rapid.T) {
				w.clock.SCTS("+34609", w.true.Add(-time.Duration(rapid.IntRange(0, 300000).Draw(t, "s"))*time.Second), false)
				w.look()
			},
			"operator": func(*rapid.T) {
				require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true, true))
				w.look()
			},
			"slip": func(t *rapid.T) {
				w.lied = true
				require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true.AddDate(rapid.IntRange(1, 9).Draw(t, "years"), 0, 0), true))
				w.pass(time.Duration(rapid.IntRange(0, 3600).Draw(t, "noticed after")) * time.Second)
				require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true, true))
				w.lied = false
				w.look()
			},
			"now": func(t *rapid.T) {
				w.submit(time.Time{}, time.Duration(rapid.IntRange(60, 90000).Draw(t, "valid"))*time.Second)
			},
			"then": func(t *rapid.T) {
				at := w.true.Add(time.Duration(rapid.IntRange(60, 90000).Draw(t, "in")) * time.Second)
				w.submit(at, time.Duration(rapid.IntRange(60, 90000).Draw(t, "valid"))*time.Second)
			},
			"send": func(*rapid.T) { w.send() },
		})
	})
}

func sub(t *rapid.T, dir string, n int) string {
	path := filepath.Join(dir, strconv.Itoa(n))
	require.NoError(t, os.Mkdir(path, 0o700))
	return path
}
