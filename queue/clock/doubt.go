package clock

import (
	"fmt"
	"time"
)

// What speaks against an operator's word beside the sources of Status: the last
// time that somebody vouched for, and when this program was made.
const (
	KnownHighWater = "high_water"
	KnownBuild     = "build"
)

// plausibleYears from when this program was made a box may be set up.
const plausibleYears = 20

// Unlikely is an operator's word for a time that is more than a day from what is
// known. It may be right all the same: the box was in a drawer for a year.
type Unlikely struct {
	Given time.Time
	// Known is what it is by what is known, and By what that is: a source of
	// Status, KnownHighWater or KnownBuild.
	Known time.Time
	By    string
}

// Error implements error.
func (u *Unlikely) Error() string {
	return fmt.Sprintf("%s is more than a day from what is known (%s: %s)", u.Given.UTC().Format(time.RFC3339), u.By, u.Known.Format(time.RFC3339))
}

// Against says what speaks against now, or, with the zero time, against what this
// clock shows, as Trust would; nil: nothing.
func (c *Clock) Against(now time.Time) *Unlikely {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	if now.IsZero() {
		return c.against(c.right(), boot)
	}
	return c.against(time.Duration(now.UnixNano())-boot, boot)
}

// against compares a line with the best of what is known: the time that is
// trusted (or was before it leapt), else what networks and service centres have
// said lately, else the high-water mark; on a box that has never known the time,
// when the program was made. c.mu is held.
func (c *Clock) against(line, boot time.Duration) *Unlikely {
	far := func(known time.Duration) bool { return (line - known).Abs() > leap }
	no := func(known time.Duration, by string) *Unlikely {
		return &Unlikely{Given: wall(line, boot), Known: wall(known, boot).Truncate(time.Second), By: by}
	}
	if c.trusted {
		if far(c.right()) && (c.leapt == unknownHigh || far(c.high)) {
			return no(c.right(), c.source)
		}
		return nil
	}
	newest, by := vote{at: -1}, ""
	for _, v := range c.networks {
		v, ok := c.confirmed(v, boot)
		switch {
		case !ok || boot-v.at > networksFor:
		case !far(v.line):
			return nil
		case v.at > newest.at:
			newest, by = v, SourceNITZ
		}
	}
	for _, v := range c.centres {
		switch {
		case !v.sure || boot-v.at > stampsFor:
		case !far(v.line):
			return nil
		case v.at > newest.at:
			newest, by = v, SourceSCTS
		}
	}
	built := c.o.Built
	if built.Before(earliest) {
		built = earliest
	}
	given := wall(line, boot)
	switch {
	case by != "":
		return no(newest.line, by)
	case c.vouched && far(c.high):
		return no(c.high, KnownHighWater)
	case !c.vouched && (given.Before(built.Add(-leap)) || given.After(built.AddDate(plausibleYears, 0, 0))):
		return no(time.Duration(built.UnixNano())-boot, KnownBuild)
	}
	return nil
}
