package clock_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A box without NTP was off over the weekend: whose word begins a new day, for what
// SIMs may send, before the clock has been firm for a day?
func TestWhoBeginsANewDay(t *testing.T) {
	ctx := context.Background()
	fresh := func(t *testing.T) *world {
		w := newWorld(t, t.TempDir())
		t.Cleanup(func() { require.NoError(t, w.db.Close()) })
		w.ntp()
		w.reboot(70*time.Hour, -70*time.Hour)
		known, firm := w.clock.Day()
		require.False(t, known)
		require.True(t, firm.IsZero(), "nobody knows the time")
		return w
	}
	day := func(w *world) bool {
		t.Helper()
		require.True(t, w.clock.Trusted())
		require.False(t, w.clock.Status().Rests.IsZero(), "nothing is deleted for its age")
		known, firm := w.clock.Day()
		if !known {
			require.Equal(t, w.clock.Status().Rests, firm)
		}
		return known
	}

	w := fresh(t)
	require.NoError(t, w.clock.Trust(ctx, "ana", w.true, true))
	require.True(t, day(w), "a person's")

	w = fresh(t)
	w.clock.NITZ("modem1", w.true, true, true)
	require.False(t, w.clock.Trusted(), "one network's is not even trusted")
	w.clock.NITZ("modem2", w.true, true, true)
	require.False(t, day(w), "two modems' may be of one network")
	w.clock.SCTS("+34600000000", w.true, true)
	require.True(t, day(w), "with a stamp of something that came live")

	w = fresh(t)
	w.clock.NITZ("modem1", w.true, true, true)
	w.clock.NITZ("modem2", w.true, true, true)
	w.pass(24*time.Hour + time.Minute)
	known, _ := w.clock.Day()
	require.True(t, known, "for a day nobody has said otherwise")
}
