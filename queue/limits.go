package queue

import (
	"context"
	"errors"
	"math"
	"time"
)

// Window is what a limit counts over.
type Window string

const (
	WindowMinute Window = "minute" // any 60 seconds
	WindowHour   Window = "hour"   // any 60 minutes
	WindowDay    Window = "day"    // a calendar day, local time
	WindowMonth  Window = "month"  // a billing month, local time: see LimitsPatch.ResetDay
)

// Windows in the order in which they are shown and counted.
var Windows = []Window{WindowMinute, WindowHour, WindowDay, WindowMonth}

// ErrLimit: the gate stays shut, because the SIM would send more than one of its
// limits allows. Nothing has changed: the message goes back untouched.
var ErrLimit = errors.New("the SIM has reached one of its limits")

// Limit of a SIM over a window: segments and distinct recipients; 0 is no limit.
type Limit struct {
	Window        Window
	MaxSegments   int
	MaxRecipients int
}

// LimitUse is a limit, as it holds now (see SIMLimits.Warm), and what is used of it.
type LimitUse struct {
	Limit
	UsedSegments   int
	UsedRecipients int
	// ResetsAt is when the window ends, or, of one that slides, when the first of
	// what was counted leaves it. Zero: nothing is counted, or nobody knows the
	// time of day.
	ResetsAt time.Time
}

// SIMLimits are a SIM's limits.
type SIMLimits struct {
	Limits         []LimitUse // of the four Windows, in their order
	Chosen         bool       // somebody chose them; else the defaults hold
	ReservePercent int        // of each limit, that bulk never has
	ResetDay       int        // of the month, when the billing month begins; in a shorter one its last day
	// Warm is the day limit of a SIM that is still warming up; 0: it is not.
	Warm int
	Room Room
}

// LimitsPatch changes what a person may change; nil leaves it.
type LimitsPatch struct {
	// Limits, all of them: a window that is not named has none. A pointer to nil
	// goes back to the defaults.
	Limits         *[]Limit
	ReservePercent *int
	ResetDay       *int
	WarmUp         *bool // true: begin it anew; false: none
}

// Room is what a SIM may still send now.
type Room struct {
	// Segments and Recipients (new ones), by lane; math.MaxInt: no limit.
	Segments   [laneCount]int
	Recipients [laneCount]int
	// Until is when there may be more than that (Steady); zero: no limit is tight,
	// or nobody knows when.
	Until time.Time
	// Tight is the window with the least left, "" when there is no limit, and Left
	// the share of it that is left, from 0 to 1.
	Tight Window
	Left  float64
}

// noRoom is the Room of a SIM without limits.
func noLimits() Room {
	r := Room{Left: 1}
	for i := range r.Segments {
		r.Segments[i], r.Recipients[i] = math.MaxInt, math.MaxInt
	}
	return r
}

// Limits of a SIM and what is used of them; ErrNoSIM.
func (s *Store) Limits(ctx context.Context, iccid string) (SIMLimits, error) {
	return SIMLimits{Room: noLimits()}, nil
}

// AllLimits are the Limits of every SIM that was ever seen, by ICCID.
func (s *Store) AllLimits(ctx context.Context) (map[string]SIMLimits, error) {
	return map[string]SIMLimits{}, nil
}

// SetLimits changes a SIM's limits: ErrNoSIM, *Invalid. It holds from its return on.
func (s *Store) SetLimits(ctx context.Context, iccid string, p LimitsPatch) error { return nil }

// Room is what a SIM may send now. It reads nothing from the disk as a rule.
func (s *Store) Room(ctx context.Context, iccid string) (Room, error) { return noLimits(), nil }

// OnLimit sets the function called after each commit in which a SIM came near
// one of its limits (80 %), reached it, or is free of it again (both as an event
// sim.limit tells too). It is called on the writer's goroutine and must not block.
func (s *Store) OnLimit(f func(iccid string, near bool, l LimitUse)) {}
