package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"recado/queue"
)

// settingQuiet keeps the quiet hours that somebody chose.
const settingQuiet = "quiet_hours"

// quietAhead is how far ahead the end of quiet hours is looked for: holidays
// may follow each other, but who is never to be written to needs no waiting.
const quietAhead = 60 * 24 * time.Hour

// Minute is a time of day in whole minutes since midnight, "21:30" as text.
type Minute int

// MarshalText is HH:MM.
func (m Minute) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%02d:%02d", int(m)/60, int(m)%60), nil
}

// UnmarshalText reads H:MM or HH:MM.
func (m *Minute) UnmarshalText(text []byte) error {
	h, rest, ok := strings.Cut(string(text), ":")
	hours, err1 := strconv.ParseUint(h, 10, 8)
	minutes, err2 := strconv.ParseUint(rest, 10, 8)
	if !ok || len(h) > 2 || len(rest) != 2 || err1 != nil || err2 != nil || hours > 23 || minutes > 59 {
		return fmt.Errorf("%q is no time of day: write it as 21:30", text)
	}
	*m = Minute(60*hours + minutes)
	return nil
}

// QuietHours are when messages of some classes are not sent, by the clock of
// the recipient's place. A number that may be in several time zones has quiet
// hours while they are in any of them.
type QuietHours struct {
	// Classes that they bind; none: there are no quiet hours.
	Classes []queue.Class `json:"classes"`
	// From and To bound them every day, over midnight when From is the later one.
	// Equal: there are none by the hour.
	From Minute `json:"from"`
	To   Minute `json:"to"`
	// Sunday: all of it is quiet.
	Sunday bool `json:"sunday"`
	// Holidays are quiet all day: "12-25" in every year, "2027-03-26" in one.
	Holidays []string `json:"holidays"`
}

// DefaultQuietHours hold for real SIMs until somebody chooses others.
var DefaultQuietHours = QuietHours{Classes: []queue.Class{queue.Bulk}, From: 21*60 + 30, To: 9 * 60, Holidays: []string{}}

var holiday = regexp.MustCompile(`^(\d{4}-)?\d{2}-\d{2}$`)

// check errs with *queue.Invalid.
func (q *QuietHours) check() error {
	for _, c := range q.Classes {
		if !slices.Contains(everyClass, c) {
			return &queue.Invalid{Field: "quiet_hours.classes", Detail: "are some of otp, alert, normal, bulk", Value: string(c)}
		}
	}
	for _, m := range []struct {
		name string
		at   Minute
	}{{"from", q.From}, {"to", q.To}} {
		if m.at < 0 || m.at >= 24*60 {
			return &queue.Invalid{Field: "quiet_hours." + m.name, Detail: "is a time of day, as 21:30", Value: int(m.at)}
		}
	}
	for _, d := range q.Holidays {
		day := d
		if len(d) == len("12-25") {
			day = "2024-" + d // a leap year
		}
		if _, err := time.Parse(time.DateOnly, day); err != nil || !holiday.MatchString(d) {
			return &queue.Invalid{Field: "quiet_hours.holidays", Detail: "are days as 12-25, or 2027-03-26 for one year only", Value: d}
		}
	}
	return nil
}

// at says whether a local time is quiet.
func (q *QuietHours) at(local time.Time) bool {
	if q.Sunday && local.Weekday() == time.Sunday {
		return true
	}
	if len(q.Holidays) > 0 {
		day := local.Format(time.DateOnly)
		if slices.Contains(q.Holidays, day) || slices.Contains(q.Holidays, day[len("2006-"):]) {
			return true
		}
	}
	return within(local, q.From, q.To)
}

// within says that a local time lies from one minute of the day to before
// another, which may be on the next day.
func within(local time.Time, from, to Minute) bool {
	m := Minute(60*local.Hour() + local.Minute())
	if from <= to {
		return from <= m && m < to
	}
	return m >= from || m < to
}

// until says whether it is quiet at a time in any of the zones, and when that
// changes; zero: not within quietAhead.
func (q *QuietHours) until(t time.Time, zones []*time.Location) (quiet bool, change time.Time) {
	is := func(t time.Time) bool {
		return slices.ContainsFunc(zones, func(z *time.Location) bool { return q.at(t.In(z)) })
	}
	return changes(t, zones, is, 0, q.From, q.To)
}

// changes says what is holds at a time, and when that becomes something else:
// is may change at the given minutes of the day in each of the zones, and when a
// zone's offset does. Zero: not within quietAhead.
func changes(t time.Time, zones []*time.Location, is func(time.Time) bool, minutes ...Minute) (now bool, change time.Time) {
	now = is(t)
	for at := t; at.Sub(t) < quietAhead; {
		next := t.Add(quietAhead)
		for _, z := range zones {
			if n := nextMinute(at.In(z), minutes); n.Before(next) {
				next = n
			}
		}
		if at = next; is(at) != now {
			return now, at
		}
	}
	return now, time.Time{}
}

// nextMinute is the next instant after a local time at which one of the minutes
// of the day begins, or the zone's offset changes.
func nextMinute(local time.Time, minutes []Minute) time.Time {
	since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute +
		time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
	// Until the offset changes a day is 24 hours.
	wait := 48 * time.Hour
	for _, m := range minutes {
		d := time.Duration(m)*time.Minute - since
		if d <= 0 {
			d += 24 * time.Hour
		}
		wait = min(wait, d)
	}
	next := local.Add(wait)
	if _, end := local.ZoneBounds(); !end.IsZero() && end.After(local) && end.Before(next) {
		return end
	}
	return next
}

// QuietHours are those in force; chosen says that somebody chose them: then they
// bind emulated SIMs, too.
func (p *Pool) QuietHours() (q QuietHours, chosen bool) {
	r := p.rules.Load()
	return r.quiet, r.quietChosen
}

// SetQuietHours chooses them, in force from the return on. It errs with
// *queue.Invalid.
func (p *Pool) SetQuietHours(ctx context.Context, q QuietHours) error {
	if q.Classes == nil {
		q.Classes = []queue.Class{}
	}
	if q.Holidays == nil {
		q.Holidays = []string{}
	}
	if err := q.check(); err != nil {
		return err
	}
	v, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("keep the quiet hours: %w", err)
	}
	if err := p.store.SetSetting(ctx, settingQuiet, string(v)); err != nil {
		return fmt.Errorf("keep the quiet hours: %w", err)
	}
	p.ruled(func(r *rules) { r.quiet, r.quietChosen = q, true })
	return nil
}

// readQuiet is what a setting says; "": the default.
func readQuiet(setting string) (q QuietHours, chosen bool, err error) {
	if setting == "" {
		return DefaultQuietHours, false, nil
	}
	if err = json.Unmarshal([]byte(setting), &q); err == nil {
		err = q.check()
	}
	if err != nil {
		return DefaultQuietHours, false, fmt.Errorf("read the quiet hours: %w", err)
	}
	return q, true, nil
}

// zonesOf are the time zones of a bucket's recipients: home is where none is
// known, or none that this box has a table for.
func zonesOf(names string, home *time.Location) []*time.Location {
	var zones []*time.Location
	for name := range strings.SplitSeq(names, ",") {
		if name == "" {
			continue
		}
		if z, err := time.LoadLocation(name); err == nil {
			zones = append(zones, z)
		}
	}
	if len(zones) == 0 {
		return []*time.Location{home}
	}
	return zones
}
