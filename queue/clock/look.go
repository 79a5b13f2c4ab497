package clock

import (
	"fmt"
	"time"
)

// Reasons for not trusting the clock, in plain words.
const (
	reasonNobody  = "nobody has confirmed the time yet"
	reasonBelow   = "the clock is behind a time that is over already"
	reasonDispute = "those who say the time contradict each other"
	reasonFar     = "the network's time is more than a day from all that is known; something else must confirm it"
)

// look compares the clocks and asks about NTP when it is time; it gives the time
// since the start of the box. c.mu is held.
func (c *Clock) look() time.Duration {
	system, boot := c.read()
	c.system = system
	moved := system - c.ref // small steps add up
	jumped := moved.Abs() > step
	if jumped {
		c.ref = system
	}
	if jumped || !c.hasAsked || boot-c.asked >= ask {
		c.askNTP(boot, jumped, moved)
	}
	if c.source == SourceNTP && c.ntp.Synchronised && !c.stale {
		c.ref = system // NTP's small steps are nobody else's
	}
	if c.trusted {
		c.raise(boot)
	}
	return boot
}

// raise has the high-water mark follow the time. When that has moved forward by
// more than a day, the rest begins, and the mark follows only when it is over:
// what is right is not behind a mark that a wrong word has set. NTP ends it. The
// first word of all is compared with the system's clock.
func (c *Clock) raise(boot time.Duration) {
	line, known := c.right(), c.high
	if !c.vouched && c.system <= line+leap {
		known = c.system
	} // else one of the two is wrong by a day or more, and nobody knows which
	switch {
	case c.source == SourceNTP:
		c.rests = 0
	case line <= known+leap:
	case c.leapt != unknownHigh && line <= c.leapt+leap && boot < c.rests:
		return
	case c.leapt != unknownHigh && line <= c.leapt+leap: // nobody said otherwise
	default:
		c.rests, c.leapt, c.dirty = boot+leapRest, line, true
		c.o.Log.Warn("the time moved forward by more than a day: for a day nothing expires and nothing is deleted for its age, unless NTP confirms it",
			"source", c.source, "by", (line - known).Round(time.Second))
		return
	}
	c.high, c.vouched, c.leapt = max(c.high, line), true, unknownHigh
}

// right is the line that Now goes by.
func (c *Clock) right() time.Duration {
	if c.own {
		return c.line
	}
	return c.system
}

// askNTP asks the system about NTP, and who moved its clock when it was moved.
func (c *Clock) askNTP(boot time.Duration, jumped bool, moved time.Duration) {
	var s Sync
	if c.o.Sources.NTP != nil {
		s = c.o.Sources.NTP()
	}
	was := c.ntp
	if !c.hasAsked {
		was, c.first = s, s
	}
	c.ntp, c.asked, c.hasAsked = s, boot, true
	fresh := s.Synchronised && (s.newer(was) || jumped && s.Bound)
	if jumped && !fresh {
		c.jumped(boot, moved)
		return
	}
	if !s.Synchronised || c.stale && !fresh && (s.Mark == c.staleMark || s.Mark == 0) || c.source == SourceFlag {
		return
	}
	anew := fresh || s.newer(c.first)
	if !anew && c.source != SourceNTP && c.system < c.high-step {
		c.stale, c.staleMark = true, s.Mark
		if !c.trusted {
			c.reason = reasonBelow
		}
		return
	}
	if c.source != SourceNTP || jumped {
		c.believe(SourceNTP, boot)
	}
	c.stale = false
}

// newer says that NTP has confirmed the clock since it said was.
func (s Sync) newer(was Sync) bool {
	return s.Synchronised && (!was.Synchronised || s.Mark != was.Mark && s.Mark != 0)
}

// jumped: the system's clock was set, and nobody says by whom.
func (c *Clock) jumped(boot, moved time.Duration) {
	c.stale, c.staleMark = c.ntp.Synchronised, c.ntp.Mark
	c.dirty = true
	if c.source == SourceFlag {
		c.o.Log.Warn("the system's clock was moved; it is taken as right (--trust-clock)", "by", moved.Round(time.Second))
		return
	}
	clear(c.centres) // what they agreed with is gone
	if c.own {
		return // it does not depend on the system's
	}
	clear(c.networks)
	c.doubt(boot, fmt.Sprintf("the system's clock jumped by %s", signed(moved)))
}

func signed(d time.Duration) string {
	d = d.Round(time.Second)
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}

// believe takes the system's clock as right.
func (c *Clock) believe(source string, boot time.Duration) {
	c.own = false
	c.believed(source, boot)
}

// believeLine takes another line as right than the system's.
func (c *Clock) believeLine(source string, line, boot time.Duration) {
	c.own, c.line = true, line
	c.believed(source, boot)
}

func (c *Clock) believed(source string, boot time.Duration) {
	was := c.source
	c.trusted, c.source, c.reason, c.ref = true, source, "", c.system
	line := c.right()
	switch source {
	case SourceNTP:
		c.high = line // also downwards
	case SourceOperator, SourceFlag:
		c.high = min(c.high, line)
	}
	c.raise(boot)
	if was != source {
		c.since = c.now(boot)
		c.o.Log.Info("the clock is trusted", "source", source, "offset", (line - c.system).Round(time.Second))
	}
	c.dirty = true
}

// doubt takes the trust away.
func (c *Clock) doubt(boot time.Duration, reason string) {
	if c.trusted {
		c.o.Log.Warn("the clock is not trusted any more: nothing scheduled is sent and nothing expires until somebody confirms the time",
			"because", reason)
		c.since = c.now(boot)
		c.dirty = true
	}
	c.trusted, c.source, c.reason, c.own = false, SourceNone, reason, false
	c.leapt = unknownHigh // whoever says it again has not said it for long
}
