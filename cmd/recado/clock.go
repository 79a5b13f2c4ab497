package main

import (
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"recado/queue/clock"
)

// newClock is the clock of the box. always is --trust-clock.
func newClock(always bool) *clock.Clock {
	return clock.New(clock.Options{Sources: box{}.clock(), Word: always, Built: built()})
}

// clock makes serve's clock.
func (c *serveCmd) clock(log *slog.Logger) *clock.Clock {
	from := box{}.clock()
	if c.IgnoreNTP {
		from.NTP = nil
	}
	return clock.New(clock.Options{Sources: from, Word: c.TrustClock, Built: built(), Log: log})
}

// clock is where a box's time comes from.
func (b box) clock() clock.Sources {
	return clock.Sources{Wall: time.Now, Boot: sinceBoot, BootID: bootID(), NTP: func() clock.Sync {
		return ntpState(timesyncMark, kernelSynchronised)
	}}
}

// sinceBoot is CLOCK_BOOTTIME: it goes on while the box is suspended, and nobody
// can set it.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Duration(time.Now().UnixNano()) // no such clock: then no step is seen
	}
	return time.Duration(t.Nano())
}

// bootID names this start of the box. The unit hands it in, as ProcSubset=pid
// hides the file.
func bootID() string {
	if id := strings.ReplaceAll(os.Getenv("RECADO_BOOT_ID"), "-", ""); id != "" {
		return id
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(string(id)), "-", "")
}

// built is when this program was made, as far as the Go tool noted it.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, err := time.Parse(time.RFC3339, s.Value)
			if err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// ntpState puts together what is known of NTP: systemd-timesyncd touches a file
// whenever it has set the clock; all others clear STA_UNSYNC in the kernel, which
// the kernel sets when anybody else sets the clock. ProtectClock= forbids asking
// the kernel, so that the file comes first.
func ntpState(file func() (int64, bool), kernel func() bool) clock.Sync {
	mark, set := file()
	synchronised := kernel()
	return clock.Sync{Synchronised: set || synchronised, Mark: mark, Bound: synchronised}
}

func timesyncMark() (int64, bool) {
	info, err := os.Stat("/run/systemd/timesync/synchronized")
	if err != nil {
		return 0, false
	}
	return info.ModTime().UnixNano(), true
}

func kernelSynchronised() bool {
	var state unix.Timex
	if _, err := unix.Adjtimex(&state); err != nil {
		return false
	}
	return state.Status&unix.STA_UNSYNC == 0
}
