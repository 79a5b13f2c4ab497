package modem

import (
	"context"
	"strconv"
	"strings"
	"time"
)

const (
	// clockEvery is how often a ready modem is asked for its clock, clockSoon how
	// soon after it has become ready, clockSettles after it said that the network
	// has told it the time: some write it down a moment later.
	clockEvery   = 10 * time.Minute
	clockSoon    = 5 * time.Second
	clockSettles = 500 * time.Millisecond
	// toldFor is how long after that a reading is the network's.
	toldFor = 30 * time.Second
	// clockTries is how many questions without a usable answer end the asking.
	clockTries = 3
)

// NetworkTime is what a modem's clock says (AT+CCLK?, TS 27.007 8.15).
type NetworkTime struct {
	Modem string // Snapshot.ID
	Time  time.Time
	// Zoned: the modem says its time zone, and Time is UTC by it. Else Time is
	// what it shows, in whatever zone.
	Zoned bool
	// FromNetwork: the modem takes the network's time (AT+CTZU=1, TS 27.007 8.40)
	// and has just said that it came (NITZ). Else it may be a clock that nobody
	// has set.
	FromNetwork bool
}

// TimeSink is what a Sink may be besides: it is told the modem's clock. It must
// not block.
type TimeSink interface {
	Time(NetworkTime)
}

// toldTime are beginnings of the lines by which makes say that the network has given
// the time: +CTZV and +CTZE (TS 27.007 8.41), SIMCom's, Huawei's, Telit's.
var toldTime = []string{"+CTZV", "+CTZE", "+NITZ", "^NITZ", "#NITZ", "*PSUTTZ"}

// zone is what a session knows of the modem's clock.
type zone struct {
	updates bool // AT+CTZU=1 was taken
	asked   bool // AT+CTZU and AT+CTZR were tried
	silent  int  // questions without a usable answer, in a row
	told    time.Time
}

// heardTime notes that the network has given the time.
func (s *session) heardTime() {
	s.zone.told = time.Now()
	if s.serving {
		s.want(s.checkClock, clockSettles)
	}
}

// readClock asks for the modem's clock, and the first time has it set by the
// network.
func (s *session) readClock(ctx context.Context) {
	sink, ok := s.m.c.Sink.(TimeSink)
	if !ok || s.zone.silent >= clockTries {
		s.checkClock.due = time.Time{}
		return
	}
	if !s.zone.asked {
		s.zone.asked = true
		if s.followNetwork(ctx); s.err != nil {
			return
		}
	}
	lines, err := s.ask(ctx, "+CCLK?", shortAnswer)
	now := time.Now()
	rest, found := after(lines, "+CCLK")
	t, zoned, ok := parseClock(rest)
	if err != nil || !found || !ok {
		s.zone.silent++
		return
	}
	s.zone.silent = 0
	sink.Time(NetworkTime{
		Modem: s.m.Snapshot().ID, Time: t, Zoned: zoned,
		FromNetwork: s.zone.updates && !s.zone.told.IsZero() && now.Sub(s.zone.told) <= toldFor,
	})
}

// followNetwork has the modem's clock set by the network, and the modem say so.
// What the network told before that did not reach the clock.
func (s *session) followNetwork(ctx context.Context) {
	want := strconv.Itoa(s.family().ZoneUpdate)
	lines, err := s.ask(ctx, "+CTZU?", shortAnswer)
	if s.err != nil {
		return
	}
	if now, found := after(lines, "+CTZU"); err == nil && found && strings.TrimSpace(now) == want {
		s.zone.updates = true
	} else {
		_, err := s.ask(ctx, "+CTZU="+want, shortAnswer)
		s.zone.updates, s.zone.told = err == nil, time.Time{}
	}
	if s.err == nil {
		s.ask(ctx, "+CTZR=1", shortAnswer)
	}
}

// parseClock reads "yy/MM/dd,hh:mm:ss±zz", zz in quarters of an hour of
// daylight-saving local time (TS 27.007 8.15); the year may have four digits,
// quotes and zone may be missing. Without a zone the time is as shown.
func parseClock(s string) (t time.Time, zoned, ok bool) {
	s = strings.Trim(strings.TrimSpace(s), `"`)
	date, clock, found := strings.Cut(s, ",")
	if !found {
		return time.Time{}, false, false
	}
	clock = strings.TrimSpace(clock)
	quarters := 0
	if i := strings.IndexAny(clock, "+-"); i >= 0 {
		q, err := strconv.ParseUint(strings.TrimSpace(clock[i+1:]), 10, 8)
		if err != nil || q > 96 {
			return time.Time{}, false, false
		}
		if quarters = int(q); clock[i] == '-' {
			quarters = -quarters
		}
		clock, zoned = clock[:i], true
	}
	d, okDate := threeNumbers(date, "/")
	c, okClock := threeNumbers(clock, ":")
	if !okDate || !okClock {
		return time.Time{}, false, false
	}
	year := d[0]
	if year < 100 {
		year += 2000 // 80 is a modem that counts from 1980, not a time of today either way
	}
	t = time.Date(year, time.Month(d[1]), d[2], c[0], c[1], c[2], 0, time.UTC)
	if year > 9999 || t.Year() != year || int(t.Month()) != d[1] || t.Day() != d[2] || t.Hour() != c[0] || t.Minute() != c[1] || t.Second() != c[2] {
		return time.Time{}, false, false // no such day or time
	}
	return t.Add(-time.Duration(quarters) * 15 * time.Minute), zoned, true
}

func threeNumbers(s, by string) (n [3]int, ok bool) {
	parts := strings.Split(strings.TrimSpace(s), by)
	if len(parts) != 3 {
		return n, false
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return n, false
		}
		n[i] = int(v)
	}
	return n, true
}
