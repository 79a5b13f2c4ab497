package pool

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue"
)

func zone(t require.TestingT, name string) *time.Location {
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

// steady demands that a state lasts, minute by minute, until it changes or nine
// days are over.
func steady(t require.TestingT, at, change time.Time, state bool, is func(time.Time) bool) {
	require.Equal(t, is(at), state)
	end := at.Add(9 * 24 * time.Hour)
	if !change.IsZero() {
		require.True(t, change.After(at))
		require.NotEqual(t, state, is(change), "nothing changes at %s", change)
		require.Equal(t, state, is(change.Add(-time.Nanosecond)))
		if change.Before(end) {
			end = change
		}
	}
	for m := at.Truncate(time.Minute).Add(time.Minute); m.Before(end); m = m.Add(time.Minute) {
		if is(m) != state {
			require.Equal(t, state, is(m), "it changes at %s already", m)
		}
	}
}

// around are times around which clocks are changed, and one of no account.
func around(t *rapid.T) time.Time {
	from := rapid.SampledFrom([]time.Time{
		time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 24, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 10, 31, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC),
	}).Draw(t, "near")
	return from.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "after")))
}

// TestQuietHoursMinuteByMinute: what they say of a moment and of the next change
// is what the clock on the recipients' walls shows, in any zone and through
// every change of summer time.
func TestQuietHoursMinuteByMinute(t *testing.T) {
	names := []string{"Europe/Madrid", "Atlantic/Canary", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", "America/St_Johns"}
	rapid.Check(t, func(t *rapid.T) {
		q := QuietHours{
			From: Minute(rapid.IntRange(0, 24*60-1).Draw(t, "from")), To: Minute(rapid.IntRange(0, 24*60-1).Draw(t, "to")),
			Sunday:   rapid.Bool().Draw(t, "sunday"),
			Holidays: rapid.SliceOfN(rapid.SampledFrom([]string{"10-25", "10-26", "2026-03-29", "11-01", "01-01"}), 0, 2).Draw(t, "holidays"),
		}
		var zones []*time.Location
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 3).Draw(t, "zones") {
			zones = append(zones, zone(t, name))
		}
		at := around(t)
		quiet, change := q.until(at, zones)
		steady(t, at, change, quiet, func(when time.Time) bool {
			return slices.ContainsFunc(zones, func(z *time.Location) bool {
				l := when.In(z)
				m := 60*l.Hour() + l.Minute()
				hours := q.From < q.To && m >= int(q.From) && m < int(q.To) || q.From > q.To && (m >= int(q.From) || m < int(q.To))
				return hours || q.Sunday && l.Weekday() == time.Sunday ||
					slices.Contains(q.Holidays, l.Format("01-02")) || slices.Contains(q.Holidays, l.Format("2006-01-02"))
			})
		})
	})
}

func TestQuietHoursOfTheDefault(t *testing.T) {
	madrid, canary := zone(t, "Europe/Madrid"), zone(t, "Atlantic/Canary")
	at := func(s string) time.Time {
		when, err := time.ParseInLocation("2006-01-02 15:04:05", s, madrid)
		require.NoError(t, err)
		return when
	}
	for _, c := range []struct {
		at, change string
		quiet      bool
		zones      []*time.Location
	}{
		{"2026-06-10 12:00:00", "2026-06-10 21:30:00", false, []*time.Location{madrid}},
		{"2026-06-10 21:29:59", "2026-06-10 21:30:00", false, []*time.Location{madrid}},
		{"2026-06-10 21:30:00", "2026-06-11 09:00:00", true, []*time.Location{madrid}},
		{"2026-06-11 08:59:59", "2026-06-11 09:00:00", true, []*time.Location{madrid}},
		// It is an hour earlier on the islands: who may be at either sleeps at nine.
		{"2026-06-11 09:00:00", "2026-06-11 10:00:00", true, []*time.Location{madrid, canary}},
		{"2026-06-11 21:00:00", "2026-06-11 21:30:00", false, []*time.Location{canary, madrid}},
		// The nights in which summer time begins and ends are as long as they are.
		{"2026-03-28 22:00:00", "2026-03-29 09:00:00", true, []*time.Location{madrid}},
		{"2026-10-24 22:00:00", "2026-10-25 09:00:00", true, []*time.Location{madrid}},
	} {
		quiet, change := DefaultQuietHours.until(at(c.at), c.zones)
		require.Equal(t, c.quiet, quiet, c.at)
		require.Equal(t, c.change, change.In(madrid).Format("2006-01-02 15:04:05"), c.at)
	}
	_, change := DefaultQuietHours.until(at("2026-03-28 21:30:00"), []*time.Location{madrid})
	require.Equal(t, 10*time.Hour+30*time.Minute, change.Sub(at("2026-03-28 21:30:00")))
	_, change = DefaultQuietHours.until(at("2026-10-24 21:30:00"), []*time.Location{madrid})
	require.Equal(t, 12*time.Hour+30*time.Minute, change.Sub(at("2026-10-24 21:30:00")))
}

func TestQuietHoursThatNeverEnd(t *testing.T) {
	var always QuietHours
	for m := 1; m <= 12; m++ {
		for d := 1; d <= 31; d++ {
			always.Holidays = append(always.Holidays, fmt.Sprintf("%02d-%02d", m, d))
		}
	}
	at := time.Date(2026, 5, 5, 5, 5, 5, 5, time.UTC)
	quiet, change := always.until(at, []*time.Location{time.UTC})
	require.True(t, quiet)
	require.Zero(t, change)
	none := QuietHours{From: 60, To: 60}
	quiet, change = none.until(at, []*time.Location{time.UTC})
	require.False(t, quiet)
	require.Zero(t, change)
}

func TestQuietHoursAsTheyAreKept(t *testing.T) {
	q, chosen, err := readQuiet(`{"classes":["bulk","normal"],"from":"22:05","to":"8:00","sunday":true,"holidays":["12-25","2027-03-26","02-29"]}`)
	require.NoError(t, err)
	require.True(t, chosen)
	require.Equal(t, QuietHours{Classes: []queue.Class{queue.Bulk, queue.Normal}, From: 22*60 + 5, To: 8 * 60, Sunday: true,
		Holidays: []string{"12-25", "2027-03-26", "02-29"}}, q)
	v, err := json.Marshal(q)
	require.NoError(t, err)
	again, _, err := readQuiet(string(v))
	require.NoError(t, err)
	require.Equal(t, q, again)

	q, chosen, err = readQuiet("")
	require.NoError(t, err)
	require.False(t, chosen)
	require.Equal(t, DefaultQuietHours, q)

	for _, bad := range []string{
		`{"from":"24:00"}`, `{"from":"9"}`, `{"from":"09:60"}`, `{"to":"9:0"}`, `{"to":"-1:00"}`, `{"to":"1:-5"}`, `{"classes":["urgent"]}`,
		`{"holidays":["25-12"]}`, `{"holidays":["2027-02-29"]}`, `{"holidays":["12-32"]}`, `{"holidays":[""]}`, `[]`, `{`,
	} {
		q, chosen, err = readQuiet(bad)
		require.Error(t, err, bad)
		require.False(t, chosen)
		require.Equal(t, DefaultQuietHours, q, "what cannot be read wakes nobody")
	}
}

func FuzzReadQuiet(f *testing.F) {
	f.Add(`{"classes":["bulk"],"from":"21:30","to":"09:00","sunday":true,"holidays":["12-25"]}`)
	f.Add(`{"from":"9:00"}`)
	f.Fuzz(func(t *testing.T, s string) {
		q, _, err := readQuiet(s)
		if err != nil {
			return
		}
		require.NoError(t, q.check())
		_, change := q.until(time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), []*time.Location{time.UTC})
		require.True(t, change.IsZero() || change.Year() == 2026)
	})
}

func TestZonesOf(t *testing.T) {
	home := zone(t, "Europe/Madrid")
	require.Equal(t, []*time.Location{home}, zonesOf("", home))
	require.Equal(t, []*time.Location{home}, zonesOf("Nowhere/Atall", home))
	got := zonesOf("Atlantic/Canary,Nowhere/Atall,Europe/Madrid", home)
	require.Len(t, got, 2)
	require.Equal(t, "Atlantic/Canary", got[0].String())
}
