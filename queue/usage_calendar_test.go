package queue

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// calendarClock has a time of day that is set, beside one that only passes.
type calendarClock struct {
	now, steady    time.Time
	trusted, firms bool
}

func (c *calendarClock) Now() time.Time    { return c.now }
func (c *calendarClock) Trusted() bool     { return c.trusted }
func (c *calendarClock) Steady() time.Time { return c.steady }
func (c *calendarClock) Instant() (now, steady time.Time, boot int64, trusted, firm bool) {
	return c.now, c.steady, 1, c.trusted, c.firms
}

func (c *calendarClock) pass(d time.Duration) { c.now, c.steady = c.now.Add(d), c.steady.Add(d) }

// by has the store go by a clock.
func (b *box) by(c Clock) {
	b.t.Helper()
	var err error
	b.time = c
	b.Store, err = New(context.Background(), b.db, Options{Clock: c})
	require.NoError(b.t, err)
}

func madrid(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Madrid")
	require.NoError(t, err)
	return zone
}

func TestMonthBeginsOnItsDay(t *testing.T) {
	zone(t, madrid(t))
	at := func(s string) time.Time {
		d, err := time.ParseInLocation("2006-01-02 15:04", s, time.Local)
		require.NoError(t, err)
		return d
	}
	for _, c := range []struct {
		now   string
		reset int
		start string
		ends  string
	}{
		{"2026-11-22 12:00", 1, "2026-11-01", "2026-12-01 00:00"},
		{"2026-11-22 12:00", 22, "2026-11-22", "2026-12-22 00:00"},
		{"2026-11-22 12:00", 23, "2026-10-23", "2026-11-23 00:00"},
		{"2026-12-31 23:59", 31, "2026-12-31", "2027-01-31 00:00"},
		{"2027-01-01 00:00", 31, "2026-12-31", "2027-01-31 00:00"},
		{"2027-02-27 23:59", 31, "2027-01-31", "2027-02-28 00:00"},
		{"2027-02-28 00:00", 31, "2027-02-28", "2027-03-31 00:00"},
		{"2027-03-30 12:00", 31, "2027-02-28", "2027-03-31 00:00"},
		{"2028-02-29 12:00", 31, "2028-02-29", "2028-03-31 00:00"},
		{"2028-02-29 12:00", 30, "2028-02-29", "2028-03-30 00:00"},
		{"2028-03-29 12:00", 30, "2028-02-29", "2028-03-30 00:00"},
		{"2026-04-30 00:00", 31, "2026-04-30", "2026-05-31 00:00"},
		{"2026-01-01 00:00", 2, "2025-12-02", "2026-01-02 00:00"},
		{"2026-03-29 12:00", 29, "2026-03-29", "2026-04-29 00:00"}, // clocks go forward
		{"2026-10-25 02:30", 25, "2026-10-25", "2026-11-25 00:00"}, // and back
	} {
		m := &meter{reset: c.reset}
		n := instant{now: at(c.now), dated: true, trusted: true}
		require.Equal(t, c.start, m.start(monthly, n), c)
		require.Equal(t, at(c.ends), m.ends(monthly, n), c)
		before := instant{now: m.ends(monthly, n).Add(-time.Millisecond), dated: true, trusted: true}
		require.Equal(t, c.start, m.start(monthly, before), c)
		after := instant{now: m.ends(monthly, n), dated: true, trusted: true}
		require.Equal(t, m.ends(monthly, n).Format(time.DateOnly), m.start(monthly, after), c)
	}
}

func TestDaysOfTwentyThreeAndTwentyFiveHours(t *testing.T) {
	zone(t, madrid(t))
	for _, c := range []struct {
		day   time.Time
		hours int
	}{
		{time.Date(2026, 3, 29, 0, 0, 0, 0, time.Local), 23},
		{time.Date(2026, 10, 25, 0, 0, 0, 0, time.Local), 25},
	} {
		b := newBox(t)
		b.clock.now = c.day
		l := line(1)
		b.known(l)
		b.limit(l, Limit{WindowDay, 1, 0})
		for range 3 {
			b.submit(Request{ValidFor: maxValid})
		}
		require.Equal(t, 1, b.sends(l, 2))
		require.Equal(t, time.Duration(c.hours)*time.Hour, b.limitsOf(l).Limits[daily].ResetsAt.Sub(b.clock.Now()))
		b.clock.forward(time.Duration(c.hours)*time.Hour - time.Millisecond)
		require.Zero(t, b.sends(l, 2))
		b.clock.forward(time.Millisecond)
		require.Equal(t, 1, b.sends(l, 2))
	}
}

func TestWithoutTheDayNothingBeginsAnew(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	c := &calendarClock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0), trusted: true, firms: true}
	b.by(c)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 4, 2}, Limit{WindowMonth, 100, 0})
	send := func(to string) int {
		b.submit(Request{To: []string{to}, ValidFor: maxValid, Class: Alert})
		sent := b.sends(l, 1)
		if sent == 0 {
			b.raw(`DELETE FROM message WHERE state = 'queued'`)
		}
		return sent
	}
	require.Equal(t, 1, send(ana))
	require.Equal(t, 1, send(ana))

	// The box is started and knows no time; then it says that weeks have passed.
	for _, now := range []time.Time{time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 3, 0, 0, 0, 0, time.UTC)} {
		c.trusted, c.firms, c.now = false, false, now
		b.by(c)
		require.Equal(t, 2, b.limitsOf(l).Limits[daily].UsedSegments)
		require.True(t, b.limitsOf(l).Limits[daily].ResetsAt.IsZero())
	}
	require.Equal(t, 1, send(ana), "whom it has texted on the day that goes on")
	require.Zero(t, send(cid), "nobody new: the one that was is counted twice, to be sure")
	require.Equal(t, 1, send(ana))
	require.Zero(t, send(ana))
	require.True(t, b.room(l).Until.IsZero(), "nobody knows when")
	c.trusted = true // set, but not yet proved
	require.Zero(t, send(ana))

	// It is the same day still: all of it counts.
	c.firms, c.now = true, time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	require.Zero(t, send(ana))
	got := b.limitsOf(l)
	require.Equal(t, 4, got.Limits[daily].UsedSegments)
	require.Equal(t, 1, got.Limits[daily].UsedRecipients)
	b.restart()
	require.Equal(t, 4, b.limitsOf(l).Limits[monthly].UsedSegments)
	c.pass(12 * time.Hour)
	require.Equal(t, 1, send(bea))
	require.Equal(t, 5, b.limitsOf(l).Limits[monthly].UsedSegments)
}

// resting has been told a time that is days ahead: by whom?
type resting struct {
	*calendarClock
	person bool
	until  time.Time
}

func (c *resting) Day() (known bool, firm time.Time) { return c.person, c.until }

// The box was off over the weekend, and has no NTP.
func TestADayThatAPersonVouchesForBegins(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	friday := time.Date(2026, 11, 27, 18, 0, 0, 0, time.UTC)
	c := &resting{calendarClock: &calendarClock{now: friday, steady: time.Unix(1e9, 0), trusted: true, firms: true}}
	b.by(c)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 2, 0}, Limit{WindowMonth, 4, 0})
	b.waitsFor(9)
	require.Equal(t, 2, b.sends(l, 9))
	monday := friday.Add(90 * time.Hour) // December 1st
	c.now, c.steady, c.firms, c.until = monday, c.steady.Add(time.Minute), false, monday.Add(24*time.Hour)
	b.restart()
	require.Zero(t, b.sends(l, 9), "a network's word alone begins no day")
	require.Equal(t, c.until, b.limitsOf(l).Limits[daily].ResetsAt, "but one knows when")
	require.Equal(t, 24*time.Hour, b.room(l).Until.Sub(c.steady))
	c.person = true
	require.Equal(t, 2, b.sends(l, 9))
	require.Equal(t, 2, b.limitsOf(l).Limits[monthly].UsedSegments, "and a month")
	require.Equal(t, "2026-12-01", b.text(`SELECT max(start) FROM usage_period WHERE window = 'day'`))
	c.person, c.firms = false, true
	require.Zero(t, b.sends(l, 9), "it is the same day by a firm clock")
	c.pass(24 * time.Hour)
	require.Equal(t, 2, b.sends(l, 9))
}

func TestWhatWasSentWithoutTheDayCountsInTheNextOne(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	c := &calendarClock{now: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0)}
	b.by(c)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 3, 0}, Limit{WindowMonth, 3, 0})
	for range 5 {
		b.submit(Request{ValidFor: maxValid})
	}
	require.Equal(t, 2, b.sends(l, 2))
	c.trusted, c.firms, c.now = true, true, time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	require.Equal(t, 1, b.sends(l, 5))
	c.pass(time.Hour)
	require.Zero(t, b.sends(l, 5), "the month is full too")
	b.limit(l, Limit{WindowDay, 1, 0})
	require.Equal(t, 1, b.sends(l, 5))
}

func TestAClockThatIsSetBackFreesNothing(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	b.clock.now = time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	b.known(l)
	b.limit(l, Limit{WindowDay, 3, 3}, Limit{WindowMinute, 3, 0})
	for _, to := range []string{ana, bea, ana, ana, ana, ana} {
		b.submit(Request{To: []string{to}, ValidFor: maxValid})
	}
	require.Equal(t, 1, b.sends(l, 1))
	b.clock.forward(2 * time.Hour) // tomorrow
	require.Equal(t, 1, b.sends(l, 1))
	b.clock.forward(-2 * time.Hour)
	require.Equal(t, 1, b.sends(l, 5), "what was counted tomorrow counts today, and has just happened")
	require.Zero(t, b.sends(l, 5))
	got := b.limitsOf(l)
	require.Equal(t, 3, got.Limits[daily].UsedSegments)
	require.Equal(t, 3, got.Limits[daily].UsedRecipients, "of the second nobody can say on which of both days it was, so it counts on both, to be sure")
	require.Equal(t, 2, got.Limits[minute].UsedSegments, "what had left the window stays away")
	b.restart()
	b.clock.forward(2 * time.Minute)
	require.Zero(t, b.sends(l, 5), "the day is full")
	b.clock.forward(2 * time.Hour)
	require.Equal(t, 1, b.sends(l, 5), "and tomorrow has those already that may have been sent on it")
}

func TestTheBillingMonthIsMoved(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMonth, 100, 100})
	month := func() [2]int {
		u := b.limitsOf(l).Limits[monthly]
		return [2]int{u.UsedSegments, u.UsedRecipients}
	}
	reset := func(day int) { require.NoError(t, b.SetLimits(ctx, l.ICCID, LimitsPatch{ResetDay: &day})) }
	send := func(day int, to ...string) {
		b.clock.now = time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)
		b.to(OTP, to...)
		require.Equal(t, len(to), b.sends(l, 10))
	}
	send(3, ana, bea)
	send(10, bea, cid)
	send(20, ana)
	require.Equal(t, [2]int{5, 3}, month())
	reset(5)
	require.Equal(t, [2]int{3, 3}, month(), "the days since the 5th; of the recipients it is not known when, so all count")
	reset(15)
	require.Equal(t, [2]int{1, 3}, month())
	reset(3)
	require.Equal(t, [2]int{5, 3}, month())
	reset(25)
	require.Equal(t, [2]int{5, 3}, month(), "since October 25th")
	reset(1)
	require.Equal(t, [2]int{5, 3}, month())
	b.restart()
	require.Equal(t, [2]int{5, 3}, month())
	b.clock.now = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, [2]int{0, 0}, month())
}

func TestUsageIsKeptAsLongAsItCounts(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l, other := line(1), line(2)
	b.known(l, other)
	b.clock.now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	b.to(OTP, ana)
	require.Equal(t, 1, b.sends(other, 1))
	for range 100 {
		b.to(OTP, ana, bea)
		b.limit(l)
		require.Equal(t, 2, b.sends(l, 2))
		b.clock.forward(24 * time.Hour)
		b.wake()
	}
	require.LessOrEqual(t, b.count(`SELECT count(*) FROM usage`), 2)
	require.Equal(t, keepDays+1, b.count(`SELECT count(*) FROM usage_period WHERE window = 'day' AND iccid = ?`, l.ICCID)+1)
	require.Equal(t, 4, b.count(`SELECT count(*) FROM usage_period WHERE window = 'month' AND iccid = ?`, l.ICCID))
	require.Equal(t, 2*keepDaysRecipients, b.count(`SELECT count(*) FROM usage_recipient WHERE window = 'day' AND iccid = ?`, l.ICCID))
	require.Equal(t, 2*keepMonthsRecipients, b.count(`SELECT count(*) FROM usage_recipient WHERE window = 'month' AND iccid = ?`, l.ICCID))
	require.Equal(t, 2, b.count(`SELECT count(*) FROM usage_recipient WHERE iccid = ?`, other.ICCID), "the last ones of a SIM that rests stay")
	require.Zero(t, b.count(`SELECT count(*) FROM usage WHERE iccid = ?`, other.ICCID))
	require.Equal(t, "2026-04-01", b.text(`SELECT max(start) FROM usage_period WHERE window = 'month'`))
}

func (b *box) text(query string, args ...any) (s string) {
	b.t.Helper()
	require.NoError(b.t, b.db.Read().QueryRow(query, args...).Scan(&s))
	return s
}

func TestAnErasedNumberStillCounts(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowHour, 0, 2}, Limit{WindowDay, 0, 2}, Limit{WindowMonth, 10, 2})
	b.to(OTP, ana, bea, ana)
	require.Equal(t, 3, b.sends(l, 3))
	before := b.limitsOf(l)
	_, err := b.EraseNumber(context.Background(), []string{ana, "600111001"})
	require.NoError(t, err)
	for _, table := range []string{"usage", "usage_recipient"} {
		require.Zero(t, b.count(`SELECT count(*) FROM `+table+` WHERE recipient LIKE '%111001%'`))
		require.NotZero(t, b.count(`SELECT count(*) FROM `+table+` WHERE recipient = ?`, bea))
	}
	after := b.limitsOf(l)
	for w := range windows {
		require.Equal(t, before.Limits[w].UsedSegments, after.Limits[w].UsedSegments)
		require.Equal(t, before.Limits[w].UsedRecipients, after.Limits[w].UsedRecipients)
	}
	b.to(OTP, ana)
	require.Nil(t, b.claimed(l), "nobody knows any more that it was this one")
	b.to(OTP, bea)
	require.Equal(t, 1, b.sends(l, 2))
}

// A clock that was years ahead closes no day for years.
func TestAClockThatWasYearsAhead(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	today := b.clock.now
	b.known(l)
	b.limit(l, Limit{WindowDay, 3, 2}, Limit{WindowMonth, 3, 0})
	for _, to := range []string{ana, bea, ana, ana, ana} {
		b.submit(Request{To: []string{to}})
	}
	b.raw(`UPDATE message SET expires_at = 1e14`)
	b.clock.now = today.AddDate(4, 0, 0)
	require.Equal(t, 2, b.sends(l, 2))
	b.clock.now = today
	require.Equal(t, 1, b.sends(l, 5), "they count today")
	require.Equal(t, 2, b.limitsOf(l).Limits[daily].UsedRecipients)
	b.clock.now = today.AddDate(0, 0, 1)
	require.Zero(t, b.sends(l, 5), "and this month")
	b.limit(l, Limit{WindowDay, 3, 2})
	require.Equal(t, 2, b.sends(l, 5), "and not tomorrow")
	require.Equal(t, 2, b.count(`SELECT count(*) FROM usage_period WHERE window = 'day'`))
}

// What is under way for hours, because a modem is silent, is still given back.
func TestUsageIsKeptWhileAnAnswerIsAwaited(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.submit(Request{Class: Bulk, ValidFor: maxValid})
	_, a := b.gated(l)
	b.clock.forward(keepUsage + tidyRound + time.Minute)
	b.wake()
	b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true})
	require.Zero(t, b.limitsOf(l).Limits[monthly].UsedSegments)
}

// A day, or a month, goes on while the clock is before it: what is sent then counts
// in it, and it has no more when the clock comes back.
func TestAClockThatIsBackForAWhileFreesNothing(t *testing.T) {
	zone(t, time.UTC)
	for _, c := range []struct {
		window Window
		now    time.Time
	}{{WindowDay, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, {WindowMonth, time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)}} {
		t.Run(string(c.window), func(t *testing.T) {
			b := newBox(t)
			clock := &calendarClock{now: c.now, steady: time.Unix(1e9, 0), trusted: true, firms: true}
			b.by(clock)
			l := line(1)
			b.known(l)
			b.limit(l, Limit{c.window, 10, 0})
			b.waitsFor(60)
			require.Equal(t, 6, b.sends(l, 6))
			clock.now = clock.now.AddDate(0, 0, -1)
			require.Equal(t, 4, b.sends(l, 20), "the one before has had none")
			clock.now = clock.now.AddDate(0, 0, 1)
			require.Zero(t, b.sends(l, 20), "but it may be that this one went on")
			clock.now = clock.now.AddDate(0, 0, -1)
			require.Zero(t, b.sends(l, 20))
			b.restart()
			require.Zero(t, b.sends(l, 20))
			clock.now = clock.now.AddDate(0, 0, 33)
			require.Equal(t, 10, b.sends(l, 20))
		})
	}
}

// Nor does what was sent while nobody knew the day, if the clock is back when that
// is known.
func TestWhatWasSentWithoutTheDayCountsInTheLatestOne(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	c := &calendarClock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0), trusted: true, firms: true}
	b.by(c)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 10, 3})
	b.to(Alert, ana)
	require.Equal(t, 1, b.sends(l, 1))
	c.trusted, c.firms = false, false
	b.to(Alert, bea)
	require.Equal(t, 1, b.sends(l, 1))
	c.trusted, c.firms, c.now = true, true, c.now.AddDate(0, 0, -1)
	b.to(Alert, cid)
	require.Equal(t, 1, b.sends(l, 1))
	c.now = c.now.AddDate(0, 0, 1)
	require.Equal(t, LimitUse{Limit: Limit{WindowDay, 10, 3}, UsedSegments: 3, UsedRecipients: 3, ResetsAt: b.limitsOf(l).Limits[daily].ResetsAt}, b.limitsOf(l).Limits[daily])
	b.to(Alert, dan)
	require.Zero(t, b.sends(l, 1))
	c.now = c.now.AddDate(0, 0, -1)
	require.Zero(t, b.sends(l, 1), "of the day before, too, nobody can say that it has room")
	b.to(Alert, ana, cid)
	require.Equal(t, 2, b.sends(l, 5), "whom it has texted")
}

// What is tidied away while the clock is days ahead still counts when it is right.
func TestAClockThatWasDaysAheadForgetsNobody(t *testing.T) {
	zone(t, time.UTC)
	for _, window := range []Window{WindowDay, WindowMonth} {
		t.Run(string(window), func(t *testing.T) {
			b := newBox(t)
			c := &calendarClock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), steady: time.Unix(1e9, 0), trusted: true, firms: true}
			b.by(c)
			l := line(1)
			b.known(l)
			b.limit(l, Limit{window, 0, 2})
			right := c.now
			b.to(Alert, ana, bea)
			require.Equal(t, 2, b.sends(l, 2))
			for i := range 4 { // that many wrong ones: even the recipients are not kept
				ahead := right.AddDate(0, i+2, 0)
				if window == WindowDay {
					ahead = right.AddDate(0, 0, i+4)
				}
				c.now, c.steady = ahead, c.steady.Add(2*time.Hour)
				b.to(Alert, cid)
				require.Equal(t, 1, b.sends(l, 1))
				b.wake()
				b.restart()
				b.wake()
				c.now = right
				b.to(Alert, dan)
				require.Zero(t, b.sends(l, 1), "%d", i)
				b.raw(`DELETE FROM message WHERE state = 'queued'`)
				if i == 0 {
					b.to(Alert, ana, cid)
					require.Equal(t, 2, b.sends(l, 2), "whom it has texted it knows")
				}
			}
			require.GreaterOrEqual(t, b.limitsOf(l).Limits[slices.Index(Windows, window)].UsedRecipients, 3)
		})
	}
}
