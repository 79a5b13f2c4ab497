// Package clock is the time of day, and whether it may be believed. A box
// without a battery starts at an old but plausible time, and any box's clock may
// be set wrong: until NTP, the mobile network, the service centres' stamps or a
// person has vouched for it, nothing that depends on the time of day may happen,
// and a step that nobody explains takes the trust away.
//
// Everything is measured against CLOCK_BOOTTIME, which nobody can set. A "line"
// is a wall clock less CLOCK_BOOTTIME: it stays the same while nobody sets the
// clock, also over a suspend.
//
// Recado has no right to set the system's clock. When only the network knows the
// time, its own clock runs beside the system's, with an offset.
package clock

import (
	"log/slog"
	"math"
	"sync"
	"time"

	"recado/queue/sqlite"
)

// Who vouches for the time.
const (
	SourceNone     = ""
	SourceNTP      = "ntp"
	SourceNITZ     = "nitz"
	SourceSCTS     = "scts"
	SourceOperator = "operator"
	SourceFlag     = "flag" // --trust-clock: the operator's word from the start
)

const (
	// step is how far a clock may be moved without being asked who did it.
	step = time.Minute
	// near is how well a stamp must agree to be evidence.
	near = 10 * time.Minute
	// ask is how often the system is asked about NTP.
	ask = time.Second
	// leap is how far the time may move forward and still delete what is old, and
	// how far a word for the time may be from all that is known; leapRest is how
	// long nothing is deleted, and nothing expires, after a greater one.
	leap     = 24 * time.Hour
	leapRest = 24 * time.Hour
	// unknownHigh is below every line.
	unknownHigh = time.Duration(math.MinInt64 / 2)
)

// Sync is what the system says of NTP.
type Sync struct {
	Synchronised bool
	// Mark changes whenever NTP confirms the clock anew; 0: it is not known when
	// it did so last.
	Mark int64
	// Bound says that Synchronised would have ended had anybody else set the
	// clock since.
	Bound bool
}

// Sources are where the time comes from.
type Sources struct {
	// Wall is the system's clock.
	Wall func() time.Time
	// Boot is CLOCK_BOOTTIME: the time since the start of the box, suspended or
	// not; nobody can set it.
	Boot func() time.Duration
	// BootID names this start of the box; "": not known, every run is a new one.
	BootID string
	// NTP says whether NTP has set the clock; nil: there is none.
	NTP func() Sync
}

// Options for New.
type Options struct {
	Sources Sources
	// Word is the operator's word that the system's clock is right, for as long
	// as the program runs (--trust-clock).
	Word bool
	// Built is when this program was made: no right clock is before. Zero: not
	// known.
	Built time.Time
	Log   *slog.Logger
}

// Status says how far the clock may be believed.
type Status struct {
	Trusted bool
	// Source vouches for it: ntp, nitz, scts, operator, flag; "" nobody.
	Source string
	// Since is when that began, by this clock.
	Since time.Time
	// Reason says in plain words why it is not trusted; "" when it is.
	Reason string
	// Offset is how far this clock is ahead of the system's.
	Offset time.Duration
	// HighWater is a time that is certainly over: no right clock is before it.
	HighWater time.Time
	// Rests is until when, by this clock, nothing expires and nothing is deleted
	// for its age, since the time moved forward by more than a day; zero: nothing
	// rests.
	Rests time.Time
}

// Clock implements queue.Clock. Its methods may be called by any goroutine.
type Clock struct {
	o Options

	mu      sync.Mutex
	db      *sqlite.DB
	trusted bool
	source  string
	since   time.Time
	reason  string
	// system is the line of the system's clock, ref what it was when it was last
	// known who set it.
	system, ref time.Duration
	// own: the clock runs by line, not by the system's.
	own  bool
	line time.Duration
	// high is the line below which no right clock is. It does not follow a leap
	// before the rest is over. vouched: it is one that somebody has vouched for,
	// not just when the program was made.
	high    time.Duration
	vouched bool
	// rests is when, since the start, the rest after a leap is over; leapt the
	// line that the time has leapt to, unknownHigh when high has followed.
	rests, leapt time.Duration
	// steady is the line of Steady.
	steady time.Duration
	boot   int64

	first, ntp Sync
	asked      time.Duration
	hasAsked   bool
	// stale: NTP said so before what it cannot know of; its mark then.
	stale     bool
	staleMark int64

	networks map[string]vote // NITZ, by modem
	centres  map[string]vote // SCTS, by service centre or SIM

	dirty bool
	saved time.Duration
}

// New makes a clock. Load gives it its memory, Run keeps it.
func New(o Options) *Clock {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Clock{o: o, boot: 1, reason: reasonNobody, networks: map[string]vote{}, centres: map[string]vote{}}
	system, boot := c.read()
	c.system, c.ref, c.steady = system, system, system
	c.high, c.leapt = unknownHigh, unknownHigh
	if !o.Built.IsZero() {
		c.high = time.Duration(o.Built.UnixNano()) - boot
	}
	if o.Word {
		c.high = unknownHigh // nothing to compare it with before Load
		c.believe(SourceFlag, boot)
	}
	return c
}

// read gives the line of the system's clock, and the time since the start. It
// reads again when it was stopped between the two.
func (c *Clock) read() (system, boot time.Duration) {
	for range 5 {
		before := c.o.Sources.Boot()
		wall := c.o.Sources.Wall()
		boot = c.o.Sources.Boot()
		system = time.Duration(wall.UnixNano()) - boot
		if boot-before < time.Second {
			break
		}
	}
	return system, boot
}

// Now is the time of day, right or not.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now(c.look())
}

// now by the line that counts; c.mu is held and look was called.
func (c *Clock) now(boot time.Duration) time.Time {
	return wall(c.right(), boot)
}

// wall is the time of a line.
func wall(line, boot time.Duration) time.Time { return time.Unix(0, int64(line+boot)).UTC() }

// Trusted says whether Now may be believed.
func (c *Clock) Trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.trusted
}

// Steady is a time for intervals: nobody can set it, it goes on over a restart
// of the program, and after a restart of the box where it had been. It is no
// time of day, although it looks like one.
func (c *Clock) Steady() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, boot := c.read()
	return wall(c.steady, boot)
}

// Instant is Now, Steady, Trusted and Firm of one moment, and how many starts of
// the box this database has seen.
func (c *Clock) Instant() (now, steady time.Time, boot int64, trusted, firm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := c.look()
	return c.now(up), wall(c.steady, up), c.boot, c.trusted, c.firm(up)
}

// firm says that what is over by this clock may end for that: it is trusted, and
// it is not the time that it leapt to, by more than a day, within the last 24
// hours of the steady clock. A wrong year that is put right soon must not have
// ended anything. What is over is not begun meanwhile either.
func (c *Clock) firm(boot time.Duration) bool {
	return c.trusted && (boot >= c.rests || c.right() <= c.high+leap)
}

// Day says, for queue.Calendar, whether a new day may begin that Now says: by a firm
// clock, by a person's word, who is asked twice when it is far from all that is known,
// or by a network's with which the stamp of something live or the system's clock agrees
// (two modems may have it from the same network). Else it says when the clock will be
// firm.
func (c *Clock) Day() (known bool, firm time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	if !c.trusted {
		return false, time.Time{}
	}
	switch c.source {
	case SourceOperator, SourceFlag:
		known = true
	case SourceNITZ, SourceSCTS:
		known = c.source == SourceNITZ && (c.system-c.right()).Abs() <= near
		for _, v := range c.centres {
			known = known || v.sure && boot-v.at <= stampsFor && (v.line-c.right()).Abs() <= near
		}
	}
	if known || c.firm(boot) {
		return true, time.Time{}
	}
	return false, wall(c.right(), c.rests)
}

// Settled says that what is old by this clock may be deleted for its age: the
// clock is trusted, and has not moved forward by more than a day within the last
// 24 hours of the steady clock, unless NTP says that it is right. One wrong word
// of a network or of an operator must not delete everything. Other than Firm it
// is not true again as soon as the word was taken back: who erred once may again.
func (c *Clock) Settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	return c.trusted && boot >= c.rests
}

// AtLeast is Now when that is trusted, else a time that is certainly over: what
// ended before it has ended, whatever the clock says.
func (c *Clock) AtLeast() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	if c.trusted {
		return c.now(boot)
	}
	if c.high == unknownHigh {
		return time.Unix(0, 0).UTC()
	}
	return wall(c.high, boot)
}

// Status says how far the clock may be believed, and why.
func (c *Clock) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	s := Status{Trusted: c.trusted, Source: c.source, Since: c.since, Reason: c.reason}
	if c.own {
		s.Offset = c.line - c.system
	}
	if c.high != unknownHigh {
		s.HighWater = wall(c.high, boot)
	}
	if c.trusted && !c.firm(boot) {
		s.Rests = wall(c.right(), c.rests)
	}
	return s
}
