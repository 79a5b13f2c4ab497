package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/clock"
)

func TestWhatIsKnownOfNTP(t *testing.T) {
	file := func(mark int64, set bool) func() (int64, bool) { return func() (int64, bool) { return mark, set } }
	kernel := func(yes bool) func() bool { return func() bool { return yes } }
	require.Equal(t, clock.Sync{}, ntpState(file(0, false), kernel(false)))
	require.Equal(t, clock.Sync{Synchronised: true, Bound: true}, ntpState(file(0, false), kernel(true)), "another daemon than systemd's")
	require.Equal(t, clock.Sync{Synchronised: true, Mark: 7}, ntpState(file(7, true), kernel(false)), "the kernel may not be asked, or somebody set the clock since")
	require.Equal(t, clock.Sync{Synchronised: true, Mark: 7, Bound: true}, ntpState(file(7, true), kernel(true)))
}

func TestTheBoxHasAClock(t *testing.T) {
	require.Positive(t, sinceBoot())
	before := sinceBoot()
	require.GreaterOrEqual(t, sinceBoot(), before)
	t.Setenv("RECADO_BOOT_ID", "0123-45")
	require.Equal(t, "012345", bootID())
	c := newClock(true)
	require.True(t, c.Trusted())
	require.Equal(t, clock.SourceFlag, c.Status().Source)
	require.WithinDuration(t, time.Now(), c.Now(), time.Second)
}
