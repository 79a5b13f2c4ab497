package queue

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// known has the SIMs of lines in the table, as real ones that are warmed up.
func (b *box) known(lines ...Line) {
	b.t.Helper()
	for _, l := range lines {
		require.NoError(b.t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
		off := false
		require.NoError(b.t, b.SetLimits(context.Background(), l.ICCID, LimitsPatch{WarmUp: &off}))
	}
}

func (b *box) limit(l Line, limits ...Limit) {
	b.t.Helper()
	require.NoError(b.t, b.SetLimits(context.Background(), l.ICCID, LimitsPatch{Limits: &limits}))
}

// unlimited SIMs are known and have no limits.
func (b *box) unlimited(lines ...Line) {
	b.t.Helper()
	b.known(lines...)
	for _, l := range lines {
		b.limit(l, []Limit{}...)
	}
}

func (b *box) reserve(l Line, percent int) {
	b.t.Helper()
	require.NoError(b.t, b.SetLimits(context.Background(), l.ICCID, LimitsPatch{ReservePercent: &percent}))
}

func (b *box) limitsOf(l Line) SIMLimits {
	b.t.Helper()
	got, err := b.Limits(context.Background(), l.ICCID)
	require.NoError(b.t, err)
	return got
}

func (b *box) room(l Line) Room {
	b.t.Helper()
	r, err := b.Room(context.Background(), l.ICCID)
	require.NoError(b.t, err)
	return r
}

// sends sends what the line gets, up to n messages, and says how many it were.
func (b *box) sends(l Line, n int) (sent int) {
	b.t.Helper()
	for range n {
		c := b.claimed(l)
		if c == nil {
			return sent
		}
		a, err := b.Gate(context.Background(), c.Line, c.Message.Seq, c.Next+1)
		require.NoError(b.t, err)
		b.outcome(a, accepted(0))
		sent++
	}
	return sent
}

// to queues a message of a class to each number.
func (b *box) to(class Class, numbers ...string) {
	b.t.Helper()
	for _, n := range numbers {
		b.submit(Request{To: []string{n}, Class: class})
	}
}

const ana, bea, cid, dan = "+34600111001", "+34600111002", "+34600111003", "+34600111009"

func TestDefaultLimits(t *testing.T) {
	b := newBox(t)
	real, emulated := line(1), line(2)
	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: real.ICCID}))
	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: emulated.ICCID, Emulated: true}))
	got := b.limitsOf(real)
	require.False(t, got.Chosen)
	require.Equal(t, 50, got.Warm, "a new SIM begins with a tenth")
	require.Equal(t, 20, got.ReservePercent)
	require.Equal(t, []Limit{{WindowMinute, 10, 0}, {WindowHour, 100, 0}, {WindowDay, 50, 0}, {WindowMonth, 0, 500}},
		[]Limit{got.Limits[0].Limit, got.Limits[1].Limit, got.Limits[2].Limit, got.Limits[3].Limit})
	require.Equal(t, [4]int{10, 10, 10, 8}, got.Room.Segments)
	require.Equal(t, [4]int{500, 500, 500, 400}, got.Room.Recipients)

	require.Equal(t, [4]int{math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt}, b.room(emulated).Segments)
	b.limit(emulated, Limit{WindowDay, 3, 0})
	require.Equal(t, [4]int{3, 3, 3, 2}, b.room(emulated).Segments, "what somebody chose holds for an emulated one too")
	require.NoError(t, b.SetLimits(context.Background(), emulated.ICCID, LimitsPatch{Limits: new([]Limit)}))
	require.False(t, b.limitsOf(emulated).Chosen)
	require.Equal(t, math.MaxInt, b.room(emulated).Segments[0])

	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: emulated.ICCID}))
	require.Equal(t, 10, b.room(emulated).Segments[0], "it is a real one now")
	_, err := b.Limits(context.Background(), "nobody")
	require.ErrorIs(t, err, ErrNoSIM)
	require.ErrorIs(t, b.SetLimits(context.Background(), "nobody", LimitsPatch{}), ErrNoSIM)
}

func TestOpenLimitsCountAllTheSame(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 1, 1})
	var err error
	b.Store, err = New(context.Background(), b.db, Options{Clock: b.clock, OpenLimits: true})
	require.NoError(t, err)
	b.to(Normal, ana, bea, ana)
	require.Equal(t, 3, b.sends(l, 5))
	got := b.limitsOf(l)
	require.Equal(t, 3, got.Limits[daily].UsedSegments)
	require.Equal(t, 2, got.Limits[daily].UsedRecipients)
	require.Zero(t, got.Limits[daily].MaxSegments)
	require.Equal(t, 3, got.Limits[minute].UsedSegments)
	b.restart()
	require.Zero(t, b.room(l).Segments[0])
}

func TestTheGateStaysShutAtALimit(t *testing.T) {
	for _, c := range []struct {
		name   string
		limit  Limit
		frees  time.Duration
		others bool // a third message, to a recipient that is known, may still go
	}{
		{"segments a minute", Limit{WindowMinute, 2, 0}, time.Minute + slack + time.Millisecond, false},
		{"segments an hour", Limit{WindowHour, 2, 0}, time.Hour + slack + time.Millisecond, false},
		{"segments a day", Limit{WindowDay, 2, 0}, 12 * time.Hour, false},
		{"segments a month", Limit{WindowMonth, 2, 0}, 204 * time.Hour, false},
		{"recipients a minute", Limit{WindowMinute, 0, 2}, time.Minute + slack + time.Millisecond, true},
		{"recipients an hour", Limit{WindowHour, 0, 2}, time.Hour + slack + time.Millisecond, true},
		{"recipients a day", Limit{WindowDay, 0, 2}, 12 * time.Hour, true},
		{"recipients a month", Limit{WindowMonth, 0, 2}, 204 * time.Hour, true},
	} {
		for _, restarts := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				zone(t, time.UTC)
				b := newBox(t)
				b.clock.now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
				l := line(1)
				b.known(l)
				b.limit(l, c.limit)
				b.to(Normal, ana, bea)
				require.Equal(t, 2, b.sends(l, 2))
				if restarts {
					b.restart()
				}
				b.submit(Request{To: []string{cid}, ValidFor: maxValid})
				require.Nil(t, b.claimed(l))
				if c.others {
					b.to(Normal, ana)
					require.Equal(t, 1, b.sends(l, 2), "behind one that waits")
				}
				// Whoever claims it all the same: the gate is what counts.
				var seq int64
				require.NoError(t, b.db.Read().QueryRow(`SELECT seq FROM message WHERE recipient = ?`, cid).Scan(&seq))
				b.raw(`UPDATE message SET claimed_by = ? WHERE seq = ?`, l.ICCID, seq)
				_, err := b.Gate(context.Background(), l, seq, 1)
				require.ErrorIs(t, err, ErrLimit)
				b.raw(`UPDATE message SET claimed_by = '' WHERE seq = ?`, seq)
				require.Equal(t, 0, b.count(`SELECT count(*) FROM attempt WHERE message = ?`, seq), "nothing of it stays")

				room := b.room(l)
				until := room.Until.Sub(b.clock.Now())
				require.Equal(t, c.frees, until)
				if w := slices.Index(Windows, c.limit.Window); w >= daily {
					require.Zero(t, room.Left)
				} else {
					require.Equal(t, 1.0, room.Left, "it comes again by itself")
				}
				require.Equal(t, c.limit.Window, room.Tight)
				b.clock.forward(until - 2*time.Millisecond)
				require.Nil(t, b.claimed(l))
				b.clock.forward(2 * time.Millisecond)
				if c.frees > 7*24*time.Hour {
					b.to(Normal, cid) // the other's validity is over
				}
				require.Equal(t, 1, b.sends(l, 1))
			})
		}
	}
}

func (b *box) count(query string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.db.Read().QueryRow(query, args...).Scan(&n))
	return n
}

// zone has the box be in a time zone for the length of a test. It is called before a
// store is open, whose goroutines may ask for the zone until it is closed.
func zone(t testing.TB, to *time.Location) {
	before := time.Local
	time.Local = to
	t.Cleanup(func() { time.Local = before })
}

func TestARefusalAndALostAnswerCount(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 10, 0})
	for _, o := range []Outcome{{Verdict: Rejected, MR: -1, Reason: "rejected"}, lost(), accepted(1)} {
		b.to(OTP, ana)
		_, a := b.gated(l)
		b.outcome(a, o)
	}
	got := b.limitsOf(l).Limits[daily]
	require.Equal(t, 3, got.UsedSegments)
	require.Equal(t, 1, got.UsedRecipients)
}

func TestWhatCertainlyDidNotLeaveIsGivenBack(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMinute, 2, 0}, Limit{WindowHour, 2, 0}, Limit{WindowDay, 2, 2}, Limit{WindowMonth, 2, 2})
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(l, 1))
	b.to(Normal, bea)
	c, a := b.gated(l)
	require.Zero(t, b.room(l).Segments[LaneNormal])
	b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true})
	for i, u := range b.limitsOf(l).Limits {
		require.Equal(t, 1, u.UsedSegments, Windows[i])
		require.Equal(t, 1, u.UsedRecipients, Windows[i])
	}
	b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true}) // told twice
	b.restart()
	require.Equal(t, 1, b.room(l).Segments[LaneNormal])
	require.Equal(t, 1, b.room(l).Recipients[LaneNormal])
	require.Equal(t, 1, b.sends(l, 5))
	require.Equal(t, Sent, b.get(c.Message.ID).State)

	// The second of two to one number: the first still counts its recipient.
	b.clock.forward(24 * time.Hour)
	b.limit(l, Limit{WindowDay, 5, 5})
	b.to(Normal, ana, ana)
	require.Equal(t, 1, b.sends(l, 1))
	_, a = b.gated(l)
	b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true})
	require.Equal(t, 1, b.limitsOf(l).Limits[daily].UsedRecipients)
}

func TestALateAnswerThatNothingLeftGivesBack(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.to(Normal, ana)
	_, a := b.gated(l)
	b.outcome(a, lost())
	require.Equal(t, 1, b.limitsOf(l).Limits[daily].UsedSegments)
	b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true})
	require.Zero(t, b.limitsOf(l).Limits[daily].UsedSegments)
	require.Zero(t, b.limitsOf(l).Limits[monthly].UsedRecipients)
}

func TestBulkLeavesItsReserve(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 7, 0})
	for range 20 {
		b.to(Bulk, ana)
	}
	require.Equal(t, 5, b.sends(l, 20), "7 less a fifth, rounded down")
	require.Zero(t, b.room(l).Segments[LaneBulk])
	require.Equal(t, 2, b.room(l).Segments[LaneNormal])
	b.to(Normal, bea)
	b.to(OTP, cid, ana)
	require.Equal(t, 2, b.sends(l, 20))
	require.Zero(t, b.room(l).Segments[LaneOTP])

	b.clock.forward(24 * time.Hour)
	b.reserve(l, 0)
	b.limit(l, Limit{WindowDay, 0, 3})
	require.Equal(t, 3, b.room(l).Recipients[LaneBulk])
	b.reserve(l, 50)
	require.Equal(t, 1, b.room(l).Recipients[LaneBulk])
}

func TestBulkIsLeftSomethingOfTheSmallestLimit(t *testing.T) {
	for _, l := range []Limit{{WindowMinute, 1, 0}, {WindowHour, 0, 1}, {WindowDay, 19, 0}, {WindowMonth, 1, 1}} {
		b := newBox(t)
		b.known(line(1))
		b.limit(line(1), l)
		b.reserve(line(1), mostReserve)
		b.to(Bulk, ana, bea, cid)
		require.Equal(t, 1, b.sends(line(1), 3), l)
		until := b.room(line(1)).Until
		require.False(t, until.IsZero(), "somebody knows when there is more of it")
		b.clock.forward(until.Sub(b.clock.Now()))
		b.to(Bulk, "+34600111004") // the validity of the others may be over
		require.Equal(t, 1, b.sends(line(1), 3), l)
	}
}

// A new SIM that sends bulk only warms up too.
func TestASmallNewSIMWarmsUpByBulk(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
	b.limit(l, Limit{WindowDay, 10, 0})
	for _, want := range []int{1, 1, 3, 6, 8} { // 1, 2, 4 and 8, each less a fifth, then all of it less a fifth
		for range 10 {
			b.to(Bulk, ana)
		}
		require.Equal(t, want, b.sends(l, 20))
		b.clock.forward(24 * time.Hour)
	}
}

func TestALongMessageBeginsWhenItFitsTheDay(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 4, 0}, Limit{WindowMinute, 1, 0})
	long := func(id string, chars int) Message {
		return b.submit(Request{To: []string{id}, Text: strings.Repeat("x", chars), ValidFor: maxValid})
	}
	minutes := func(n int) (sent int) {
		for range n {
			sent += b.sends(l, 3)
			b.clock.forward(time.Minute + 2*time.Second)
		}
		return sent
	}
	first := long(ana, 400) // 3 segments
	require.Equal(t, 1, b.sends(l, 3), "one a minute")
	b.to(Normal, bea)
	b.clock.forward(time.Minute + 2*time.Second)
	require.Equal(t, 2, minutes(2))
	require.Equal(t, Sent, b.get(first.ID).State)
	second := long(cid, 300) // 2 segments: one would be left of the day
	require.Equal(t, 1, minutes(3), "the short one behind it")
	require.Equal(t, Queued, b.get(second.ID).State)
	b.clock.forward(12 * time.Hour)
	require.Equal(t, 2, minutes(4))
	require.Equal(t, Sent, b.get(second.ID).State)

	// One that no day can hold begins on a fresh one and goes on the next.
	b.clock.forward(24 * time.Hour)
	huge := long(ana, 153*5)
	require.Len(t, huge.Segments, 5)
	require.Equal(t, 4, minutes(10))
	b.clock.forward(24 * time.Hour)
	require.Equal(t, 1, minutes(3))
	require.Equal(t, Sent, b.get(huge.ID).State)
}

func TestScheduledAndImmediateAreCountedAlike(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMinute, 3, 0})
	soon := b.clock.Now().Add(10 * time.Second)
	for range 4 {
		b.submit(Request{SendAt: soon})
	}
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(l, 5))
	b.clock.forward(11 * time.Second)
	b.wake()
	require.Equal(t, 2, b.sends(l, 5))
}

func TestLimitsAreTold(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowHour, 5, 0}, Limit{WindowMinute, 5, 0})
	type call struct {
		near bool
		used int
		w    Window
	}
	var calls []call
	b.OnLimit(func(iccid string, near bool, u LimitUse) {
		require.Equal(t, l.ICCID, iccid)
		calls = append(calls, call{near, u.UsedSegments, u.Window})
	})
	for range 6 {
		b.to(Normal, ana)
	}
	require.Equal(t, 3, b.sends(l, 3))
	require.Empty(t, calls)
	require.Equal(t, 2, b.sends(l, 5))
	want := []call{{true, 4, WindowHour}, {false, 5, WindowMinute}, {false, 5, WindowHour}}
	require.Equal(t, want, calls)
	b.wake()
	require.Equal(t, want, calls, "once")
	b.clock.forward(2 * time.Minute)
	b.wake()
	require.Equal(t, call{false, 0, WindowMinute}, calls[3])
	b.restart()
	calls = nil
	b.OnLimit(func(_ string, near bool, u LimitUse) { calls = append(calls, call{near, u.UsedSegments, u.Window}) })
	b.clock.forward(time.Hour)
	b.wake()
	require.Equal(t, []call{{false, 0, WindowHour}}, calls, "also after a restart")

	var levels []string
	list, err := b.Events(context.Background(), 0, 1000)
	require.NoError(t, err)
	for _, e := range list {
		if e.Type == "sim.limit" {
			var data LimitEvent
			require.NoError(t, json.Unmarshal(e.Data, &data))
			levels = append(levels, string(data.Window)+" "+data.Level)
			require.Equal(t, 5, *data.MaxSegments)
			require.Nil(t, data.MaxRecipients)
		}
	}
	require.Equal(t, []string{"hour near", "minute reached", "hour reached", "minute free", "hour free"}, levels)
}

func TestANewSIMWarmsUp(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	ctx := context.Background()
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: l.ICCID}))
	b.limit(l, Limit{WindowDay, 40, 0})
	fill := func() {
		for range 60 {
			b.to(OTP, ana)
		}
	}
	for _, want := range []int{4, 8, 16, 32, 40, 40} {
		fill()
		require.Equal(t, want, b.sends(l, 60))
		b.restart()
		require.Zero(t, b.sends(l, 60))
		b.clock.forward(24 * time.Hour)
		b.wake()
	}
	require.Zero(t, b.limitsOf(l).Warm)

	on, off := true, false
	require.NoError(t, b.SetLimits(ctx, l.ICCID, LimitsPatch{WarmUp: &on}))
	require.Equal(t, 4, b.limitsOf(l).Warm)
	b.clock.forward(3 * 24 * time.Hour)
	require.Equal(t, 4, b.limitsOf(l).Warm, "a day without traffic warms nobody up")
	require.NoError(t, b.SetLimits(ctx, l.ICCID, LimitsPatch{WarmUp: &off}))
	require.Equal(t, 40, b.limitsOf(l).Limits[daily].MaxSegments)

	old := line(2)
	require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: old.ICCID}))
	b.raw(`UPDATE sim SET sent_total = 501 WHERE iccid = ?`, old.ICCID)
	require.Equal(t, 500, b.limitsOf(old).Limits[daily].MaxSegments)
}

// The clock was years ahead, for long, while the SIM warmed up.
func TestAYearThatWasWrongDoesNotStopTheWarmingUp(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
	b.limit(l, Limit{WindowDay, 40, 0})
	fill := func() int {
		for range 50 {
			b.to(OTP, ana)
		}
		b.raw(`UPDATE message SET expires_at = 1e14`)
		return b.sends(l, 60)
	}
	right := b.clock.now
	b.clock.now = right.AddDate(10, 0, 0)
	require.Equal(t, 4, fill())
	b.clock.now = right
	require.Zero(t, fill(), "they count today")
	for _, want := range []int{8, 16, 32, 40} {
		b.clock.forward(24 * time.Hour)
		require.Equal(t, want, fill())
		b.restart()
	}

	// As a program that did not know better has left it.
	b.raw(`UPDATE sim SET warm = 8, warm_day = '2036-11-22' WHERE iccid = ?`, l.ICCID)
	b.restart()
	require.Equal(t, 8, b.limitsOf(l).Warm)
	b.clock.forward(24 * time.Hour)
	require.Equal(t, 16, b.limitsOf(l).Warm)
}

// The beginning of the month is moved in the same commit in which a gate opens.
func TestAGateCountsInAMonthThatIsMovedWithIt(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMonth, 2, 2})
	b.to(OTP, ana, bea, cid)
	require.Equal(t, 1, b.sends(l, 1))
	c := b.claimed(l)
	var a int64
	require.NoError(t, b.db.Write(context.Background(), sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		if a, err = b.gate(tx, l, c.Message.Seq, 1); err != nil {
			return err
		}
		return b.changeLimits(tx, l.ICCID, LimitsPatch{ResetDay: new(5)})
	}))
	b.outcome(a, accepted(1))
	require.Equal(t, 2, b.limitsOf(l).Limits[monthly].UsedSegments)
	require.Nil(t, b.claimed(l))
}

func TestLimitsThatCannotBe(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	yes, none := true, []Limit{}
	for _, p := range []LimitsPatch{
		{Limits: &[]Limit{{"week", 1, 0}}}, {Limits: &[]Limit{{WindowDay, -1, 0}}}, {Limits: &[]Limit{{WindowDay, 0, maxLimit + 1}}},
		{Limits: &[]Limit{{WindowDay, 1, 0}, {WindowDay, 2, 0}}},
		{ReservePercent: new(-1)}, {ReservePercent: new(96)}, {ResetDay: new(0)}, {ResetDay: new(32)},
		{Limits: &none, WarmUp: &yes},
	} {
		var invalid *Invalid
		require.ErrorAs(t, b.SetLimits(context.Background(), l.ICCID, p), &invalid)
	}
	require.Equal(t, 500, b.limitsOf(l).Limits[daily].MaxSegments, "nothing was changed")
}

// Another process counts in the same file: no gate opens on what was true before.
func TestAnotherProcessCounts(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 3, 0})
	for range 8 {
		b.to(Normal, ana)
	}
	require.Equal(t, 1, b.sends(l, 1))
	other := &box{t: t, path: b.path, clock: b.clock}
	other.open()
	defer func() { require.NoError(t, other.db.Close()) }()
	require.Equal(t, 1, other.sends(l, 1))
	require.Equal(t, 1, b.sends(l, 1))
	require.Zero(t, other.sends(l, 1))
	require.Zero(t, b.sends(l, 1))
	require.NoError(t, other.db.Write(context.Background(), sqlite.Ordinary, func(*sqlite.Tx) error { return nil }))
}
