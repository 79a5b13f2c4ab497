package main

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// systemClock is the wall clock of the box, and whether it may be believed. A box without
// a battery starts at an old but plausible time; until it has been set, nothing that depends on
// wall time may happen (reliability: the clock).
type systemClock struct {
	// always is --trust-clock.
	always bool
	// synchronised asks the system whether somebody set the clock.
	synchronised func() bool

	mu      sync.Mutex
	asked   time.Time // monotonic
	trusted bool
}

func newClock(always bool) *systemClock {
	return &systemClock{always: always, synchronised: clockSynchronised}
}

// Now is the time of day.
func (c *systemClock) Now() time.Time { return time.Now() }

// Trusted says whether Now may be believed. It asks the system at most every 10 s, and a clock
// that was once right stays so: what keeps time afterwards is the crystal.
func (c *systemClock) Trusted() bool {
	if c.always {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trusted || !c.asked.IsZero() && time.Since(c.asked) < 10*time.Second {
		return c.trusted
	}
	c.asked = time.Now()
	c.trusted = c.synchronised()
	return c.trusted
}

// clockSynchronised is true when NTP has set the clock: systemd-timesyncd leaves a file,
// others clear STA_UNSYNC in the kernel (adjtimex(2)). The file comes first because
// ProtectClock= forbids adjtimex even for reading.
func clockSynchronised() bool {
	if _, err := os.Stat("/run/systemd/timesync/synchronized"); err == nil {
		return true
	}
	var state unix.Timex
	if _, err := unix.Adjtimex(&state); err != nil {
		return false
	}
	return state.Status&unix.STA_UNSYNC == 0
}
