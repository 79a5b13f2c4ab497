package clock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"recado/queue/sqlite"
)

const (
	// stampsFor is how long a service centre's stamp counts, networksFor the
	// time that a network gave.
	stampsFor   = time.Hour
	networksFor = 24 * time.Hour
	// votesMost bounds what is remembered: the numbers of service centres come
	// from outside.
	votesMost = 64
)

// earliest is before every right time: this program was not written then.
// Modems whose clock nobody has set start at 1970, 1980, 2000, 2002, 2004 or
// 2080.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const latest = 2070

// vote is what one of many says of the time.
type vote struct {
	line time.Duration // of its clock
	at   time.Duration // when it said so, since the start
	// sure: a NITZ reading that is of the network, a stamp of what came live.
	sure  bool
	zoned bool
}

// ErrTime: the time that an operator gave cannot be right.
var ErrTime = errors.New("this time cannot be right")

// NITZ takes a modem's clock (AT+CCLK?). told is UTC when zoned is true, else
// what the modem shows, in whatever zone. fromNetwork says that the modem has
// just announced that the network gave it the time; else the reading counts only
// when the stamp of something that came live agrees with it, within ten minutes.
func (c *Clock) NITZ(modem string, told time.Time, zoned, fromNetwork bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	v, ok := c.vote(told, boot)
	if !ok || zoned && v.line < c.high-step {
		return
	}
	// It goes on as it was set.
	was := c.networks[modem]
	kept := was.sure && (v.line-was.line).Abs() <= step
	v.sure, v.zoned = zoned && (fromNetwork || kept), zoned
	remember(c.networks, modem, v)
	c.weigh(boot)
}

// SCTS takes the stamp that a service centre has put on something. It is never
// later than now: a late message is older. live says that it has just come, so
// that the stamp is of this moment too.
func (c *Clock) SCTS(centre string, stamp time.Time, live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.look()
	v, ok := c.vote(stamp, boot)
	if !ok {
		return
	}
	v.sure = live
	if was, has := c.centres[centre]; has && was.sure && !live && v.line <= was.line+near {
		return // something late says nothing against what came live
	}
	remember(c.centres, centre, v)
	c.weigh(boot)
}

func (c *Clock) vote(told time.Time, boot time.Duration) (vote, bool) {
	if told.Before(earliest) || told.Year() >= latest {
		return vote{}, false
	}
	return vote{line: time.Duration(told.UnixNano()) - boot, at: boot}, true
}

// remember keeps the last word of each, and of the many the newest.
func remember(votes map[string]vote, who string, v vote) {
	votes[who] = v
	for len(votes) > votesMost {
		oldest := who
		for name, other := range votes {
			if other.at < votes[oldest].at {
				oldest = name
			}
		}
		delete(votes, oldest)
	}
}

// weigh decides by what networks and service centres say. Who knows better is
// not asked: NTP, an operator.
func (c *Clock) weigh(boot time.Duration) {
	switch c.source {
	case SourceNTP, SourceOperator, SourceFlag:
		return
	}
	line, agreed, disputed := c.network(boot)
	far := agreed && !c.plausible(line, boot)
	switch {
	case far && c.source == SourceNITZ:
		c.doubt(boot, reasonFar)
	case far && c.source == SourceNone:
		c.reason = reasonFar
	case far:
	case agreed && line >= c.high-step:
		if c.own && (line-c.line).Abs() <= step {
			return
		}
		if (line - c.system).Abs() > step {
			c.believeLine(SourceNITZ, line, boot)
		} else if c.source != SourceNITZ || c.own {
			c.believe(SourceNITZ, boot)
		}
		return
	case c.source == SourceNITZ && disputed:
		c.doubt(boot, reasonDispute)
	}
	if c.source == SourceNITZ {
		return
	}
	yes, no := c.centresSay(boot)
	switch right := yes > 0 && (no == 0 || yes > no && yes > 1); {
	case right && c.system < c.high-step:
		c.reason = reasonBelow
	case right && c.source == SourceNone:
		c.believe(SourceSCTS, boot)
	case c.source == SourceSCTS && no > 0 && no >= yes:
		c.doubt(boot, reasonDispute)
	case c.source == SourceNone && no > yes:
		c.reason = "the service centres' stamps say another time"
	}
}

// plausible says that the networks' time may be believed: it is no more than a
// day ahead of the last time that somebody vouched for, and no stamp of something
// that came live is more than a day from it. Otherwise one network alone is not
// enough: another modem's, such a stamp or the system's clock must agree with it,
// and more of them than contradict it. A network has told a wrong year before. A
// stamp behind the networks' time that has been right so far contradicts nothing:
// that message may have waited at the centre.
func (c *Clock) plausible(line, boot time.Duration) bool {
	known := !c.vouched || line <= c.high+leap || c.leapt != unknownHigh && (line-c.leapt).Abs() <= leap
	goesOn := c.source == SourceNITZ && c.leapt == unknownHigh && (line-c.right()).Abs() <= near
	yes, no := -1, 0 // not itself
	for _, v := range c.networks {
		if v, ok := c.confirmed(v, boot); ok && boot-v.at <= networksFor && (v.line-line).Abs() <= near {
			yes++
		}
	}
	for _, v := range c.centres {
		switch off := (v.line - line).Abs(); {
		case !v.sure || boot-v.at > stampsFor:
		case off <= near:
			yes++
		case off > leap && !(goesOn && v.line < line):
			no++
		}
	}
	if (c.system - line).Abs() <= near {
		yes++
	}
	return known && no == 0 || yes > no
}

// network is the line that most networks agree on, by the newest of them.
func (c *Clock) network(boot time.Duration) (line time.Duration, agreed, disputed bool) {
	var sure []vote
	for _, v := range c.networks {
		if boot-v.at <= networksFor {
			if v, ok := c.confirmed(v, boot); ok {
				sure = append(sure, v)
			}
		}
	}
	most, newest := 0, vote{at: -1}
	for _, v := range sure {
		n := 0
		for _, other := range sure {
			if (v.line - other.line).Abs() <= near {
				n++
			}
		}
		if n > most || n == most && v.at > newest.at {
			most, newest = n, v
		}
	}
	agreed = 2*most > len(sure)
	return newest.line, agreed, len(sure) > 0 && !agreed
}

// confirmed says whether a reading is of the network: it said so, or a stamp of
// something live agrees. A reading without a zone is read in the one that makes
// it agree.
func (c *Clock) confirmed(v vote, boot time.Duration) (vote, bool) {
	if v.sure {
		return v, true
	}
	for _, stamp := range c.centres {
		if !stamp.sure || boot-stamp.at > stampsFor {
			continue
		}
		off := v.line - stamp.line
		if off.Abs() <= near {
			return v, true
		}
		const quarter = 15 * time.Minute // the unit of time zones
		if zone := off.Round(quarter); !v.zoned && zone.Abs() <= 14*time.Hour && (off-zone).Abs() <= 5*time.Minute {
			v.line -= zone
			return v, true
		}
	}
	return v, false
}

// centresSay counts the service centres that confirm the system's clock, and
// those that contradict it. What came late confirms nothing, and contradicts
// only a clock that is behind it.
func (c *Clock) centresSay(boot time.Duration) (yes, no int) {
	for _, v := range c.centres {
		switch ahead := v.line - c.system; {
		case boot-v.at > stampsFor:
		case ahead > near, v.sure && ahead < -near:
			no++
		case v.sure:
			yes++
		}
	}
	return yes, no
}

// Trust takes an operator's word: that it is now, or, with the zero time, that
// this clock is right as it is shown. It holds until the system's clock is moved or NTP
// confirms it anew. It errs with ErrTime for a time that cannot be right, and with
// *Unlikely for one that is more than a day from what is known, unless the
// operator is sure.
func (c *Clock) Trust(ctx context.Context, who string, now time.Time, sure bool) error {
	c.mu.Lock()
	boot := c.look()
	given := now
	if now.IsZero() {
		given = wall(c.right(), boot)
	}
	if given.Before(earliest) || given.Year() >= latest {
		c.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrTime, given.UTC().Format(time.RFC3339))
	}
	line := time.Duration(given.UnixNano()) - boot
	far := c.against(line, boot)
	if far != nil && !sure {
		c.mu.Unlock()
		return far
	}
	c.stale, c.staleMark = c.ntp.Synchronised, c.ntp.Mark
	if (line - c.system).Abs() < time.Second {
		c.believe(SourceOperator, boot)
	} else {
		c.believeLine(SourceOperator, line, boot)
	}
	c.since = c.now(boot)
	db := c.db
	detail := given.UTC().Format(time.RFC3339)
	if far != nil {
		detail += " against " + far.Known.Format(time.RFC3339) + " (" + far.By + ")"
	}
	c.mu.Unlock()
	if db == nil {
		return nil
	}
	if err := c.save(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (?, ?, 'clock.trust', '', ?)`,
			given.UnixMilli(), who, detail)
		return err
	}); err != nil {
		return fmt.Errorf("record who set the clock: %w", err)
	}
	return nil
}
