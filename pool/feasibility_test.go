package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
)

// noon of a Monday.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// idleLines are lines without limits that need took for a submission.
func idleLines(took ...time.Duration) []SimLine {
	lines := make([]SimLine, len(took))
	for i := range lines {
		lines[i] = SimLine{ICCID: fmt.Sprint("sim", i), Took: took[i], Rank: float64(i)}
	}
	return lines
}

func batch(c queue.Class, messages, segments int) Batch {
	return Batch{Class: c, Messages: messages, Segments: messages * segments, First: 1, Last: int64(messages), Later: never}
}

func situation(lines []SimLine, work ...Batch) Situation {
	return Situation{Now: noon, Trusted: true, Lines: lines, Work: work}
}

const sec = time.Second

func shares(f Forecast) map[string]int {
	m := map[string]int{}
	for _, s := range f.Shares {
		m[s.ICCID] = s.Segments
	}
	return m
}

func TestSimulateSharesBySpeed(t *testing.T) {
	f := Simulate(context.Background(), situation(idleLines(2*sec, 4*sec), batch(queue.Normal, 30, 1)))
	require.True(t, f.Feasible)
	require.Equal(t, 40*sec, f.ETA)
	require.Equal(t, map[string]int{"sim0": 20, "sim1": 10}, shares(f))
	require.Equal(t, "sim0", f.Shares[0].ICCID)
	require.InDelta(t, 2.0/3, f.Shares[0].Share, 1e-9)
	require.Equal(t, noon, f.Begins)
	require.Equal(t, noon.Add(40*sec), f.Finish)
	require.Empty(t, f.Limits)
	require.Empty(t, f.Waits)
	require.Equal(t, []Left{{"sim0", -1, -1, -1}, {"sim1", -1, -1, -1}}, f.Left)
}

func TestSimulateLongMessageStaysOnOneLine(t *testing.T) {
	f := Simulate(context.Background(), situation(idleLines(2*sec, 2*sec, 2*sec), batch(queue.Normal, 1, 10)))
	require.Equal(t, 20*sec, f.ETA)
	require.Equal(t, map[string]int{"sim0": 10}, shares(f))
}

func TestSimulateMinuteAndHour(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Limits[windowMinute].Segments = 10
	lines[0].Limits[windowHour].Segments = 25
	f := Simulate(context.Background(), situation(lines, batch(queue.Normal, 27, 1)))
	// From the answers: 0–9, 61–70, 122–126; then the first of the hour is free again
	// at 3601, the second a second later.
	require.Equal(t, 3603*sec, f.ETA)
	require.Equal(t, []LimitHit{
		{"sim0", "minute", false, noon.Add(9 * sec)},
		{"sim0", "hour", false, noon.Add(126 * sec)},
	}, f.Limits)
	require.Equal(t, WaitMinute, f.Waits[0].Why)
	require.Equal(t, Wait{WaitHour, noon.Add(127 * sec), noon.Add(time.Hour + sec)}, f.Waits[len(f.Waits)-1])
	require.Equal(t, []Left{{"sim0", 1, 0, -1}}, f.Left, "three of the first hour's are free again, two of them used")
}

func TestSimulateUsesOfBeforeCount(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Limits[windowMinute].Segments = 10
	lines[0].Uses = []Use{{50 * sec, 4, 4}, {5 * sec, 5, 5}} // one is free
	f := Simulate(context.Background(), situation(lines, batch(queue.Normal, 3, 1)))
	require.Equal(t, 12*sec, f.ETA, "one at once, two when the four have left after ten seconds")
}

func TestSimulateReserve(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Reserve = 20
	lines[0].Limits[windowDay] = SimLimit{Segments: 501, UsedSegments: 100}
	f := Simulate(context.Background(), situation(lines, batch(queue.Bulk, 400, 1)))
	// 401 less a fifth rounded down: 400 of 501 are bulk's, 300 are left today.
	require.Equal(t, 12*time.Hour+100*sec, f.ETA)
	require.Equal(t, LimitHit{"sim0", "day", false, noon.Add(299 * sec)}, *f.FirstLimit())
	require.Equal(t, []Left{{"sim0", 401, 101, -1}}, f.Left)
	require.Equal(t, []Wait{{WaitDay, noon.Add(300 * sec), noon.Add(12 * time.Hour)}}, f.Waits)

	f = Simulate(context.Background(), situation(lines, batch(queue.Normal, 401, 1)))
	require.Equal(t, 401*sec, f.ETA, "what is not bulk may use all of it")
	require.Equal(t, LimitHit{"sim0", "day", false, noon.Add(400 * sec)}, *f.FirstLimit())
	require.Equal(t, 0, f.Left[0].Segments)
}

func TestSimulateLongMessageMustFitTheDay(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Limits[windowDay] = SimLimit{Segments: 10, UsedSegments: 2}
	f := Simulate(context.Background(), situation(lines, batch(queue.Normal, 3, 3)))
	require.Equal(t, 12*time.Hour+3*sec, f.ETA, "two fit today")
	f = Simulate(context.Background(), situation(lines, batch(queue.Normal, 1, 20)))
	require.Equal(t, 12*time.Hour+20*sec, f.ETA, "what never fits goes when nothing is used yet")
}

func TestSimulateLongMessageWaitsBetweenSegments(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Limits[windowMinute].Segments = 4
	f := Simulate(context.Background(), situation(lines, batch(queue.Normal, 2, 3)))
	require.Equal(t, 63*sec, f.ETA, "four at once, two of the second message a minute after their answers")
}

func TestSimulateMonthAndResetDay(t *testing.T) {
	lines := idleLines(sec)
	lines[0].ResetDay = 31
	lines[0].Limits[windowMonth] = SimLimit{Recipients: 500, UsedRecipients: 490}
	f := Simulate(context.Background(), situation(lines, batch(queue.Normal, 20, 1)))
	require.Equal(t, time.Date(2026, 3, 31, 0, 0, 10, 0, time.UTC), f.Finish)
	require.Equal(t, LimitHit{"sim0", "month", true, noon.Add(9 * sec)}, *f.FirstLimit())
	require.Equal(t, WaitRecipients, f.Waits[0].Why)
	require.Equal(t, []Left{{"sim0", -1, -1, 490}}, f.Left)

	s := situation(lines, batch(queue.Normal, 20, 1))
	s.Trusted = false
	f = Simulate(context.Background(), s)
	require.False(t, f.Feasible, "a clock that is not trusted ends no month")
	require.Equal(t, 10, f.Unsent)
	require.Negative(t, f.ETA)
	require.Equal(t, Wait{WaitRecipients, noon.Add(10 * sec), time.Time{}}, f.Waits[0])
}

func TestSimulateKnownRecipients(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Limits[windowMonth] = SimLimit{Recipients: 500, UsedRecipients: 490}
	b := batch(queue.Normal, 20, 1)
	b.Known = [][4]float64{{0, 0, 0, 0.5}}
	f := Simulate(context.Background(), situation(lines, b))
	require.Equal(t, 20*sec, f.ETA)
	require.Equal(t, 0, f.Left[0].Recipients)
}

func TestSimulatePaceIsOfLowerLanesOnly(t *testing.T) {
	lines := idleLines(2 * sec)
	lines[0].Pace = 6 * sec
	require.Equal(t, 56*sec, Simulate(context.Background(), situation(lines, batch(queue.Bulk, 10, 1))).ETA)
	require.Equal(t, 20*sec, Simulate(context.Background(), situation(lines, batch(queue.OTP, 10, 1))).ETA)
	require.Equal(t, 68*sec, Simulate(context.Background(), situation(lines, batch(queue.Normal, 2, 6))).ETA, "the pace is of submissions")
	s := situation(lines, batch(queue.Normal, 1, 1))
	s.Ahead = []Batch{batch(queue.OTP, 1, 1)}
	require.Equal(t, 8*sec, Simulate(context.Background(), s).ETA, "what is urgent keeps no pace, and sets it")
}

func TestSimulateWarmUp(t *testing.T) {
	lines := idleLines(sec)
	lines[0].Limits[windowDay] = SimLimit{Segments: 500}
	lines[0].Warm = 50
	f := Simulate(context.Background(), situation(lines, batch(queue.Normal, 50+100+200+400+500+1, 1)))
	require.Equal(t, time.Date(2026, 3, 7, 0, 0, 1, 0, time.UTC), f.Finish)
}

func TestSimulateWhatIsAhead(t *testing.T) {
	s := situation(idleLines(2*sec, 2*sec), batch(queue.Normal, 10, 1))
	s.Work[0].First, s.Work[0].Last = 1000, 1010
	s.Ahead = []Batch{batch(queue.Bulk, 20, 1), batch(queue.Alert, 40, 1), batch(queue.Normal, 20, 1)}
	f := Simulate(context.Background(), s)
	require.InDelta(t, 70, f.ETA.Seconds(), 4, "alerts and what was accepted before go first, bulk does not")
	require.Equal(t, []Wait{{WaitAhead, noon, f.Begins}}, f.Waits)
	require.Equal(t, map[string]int{"sim0": 5, "sim1": 5}, shares(f))

	s.Work = []Batch{batch(queue.OTP, 1, 1)}
	require.Equal(t, 2*sec, Simulate(context.Background(), s).ETA)
}

func TestSimulateBulkDoesNotStarve(t *testing.T) {
	s := situation(idleLines(sec), batch(queue.Bulk, 3, 1))
	s.Ahead = []Batch{batch(queue.Normal, 10_000, 1)}
	require.Equal(t, 153*sec, Simulate(context.Background(), s).ETA, "one after every fifty")
	s = situation(idleLines(sec), batch(queue.Normal, 2, 1))
	s.Ahead = []Batch{batch(queue.OTP, 10_000, 1)}
	require.Equal(t, 52*sec, Simulate(context.Background(), s).ETA, "one after every twenty-five")
}

func TestSimulateRoutesAndFallback(t *testing.T) {
	lines := idleLines(sec, sec, sec)
	lines[0].Out, lines[2].Limits[windowDay].Segments = WaitLine, 5
	b := batch(queue.Normal, 10, 1)
	b.Only, b.Fallback = []int{0}, 60*sec
	f := Simulate(context.Background(), situation(lines, b))
	require.Equal(t, 65*sec, f.ETA, "its only SIM cannot: any may after a minute")
	require.Equal(t, map[string]int{"sim1": 5, "sim2": 5}, shares(f))
	b.Fallback = 0
	f = Simulate(context.Background(), situation(lines, b))
	require.Equal(t, 10, f.Unsent)
	require.Equal(t, []Wait{{Why: WaitLine, From: noon}}, f.Waits)
	b.Only = []int{1, 2}
	f = Simulate(context.Background(), situation(lines, b))
	require.Equal(t, map[string]int{"sim1": 5, "sim2": 5}, shares(f))
	b.Only, b.Messages, b.Segments = []int{2}, 6, 6
	require.Equal(t, 12*time.Hour+sec, Simulate(context.Background(), situation(lines, b)).ETA, "its route waits for tomorrow")
}

func TestSimulateFallbackWhenTheRouteIsFull(t *testing.T) {
	lines := idleLines(sec, sec)
	lines[0].Limits[windowDay].Segments = 5
	b := batch(queue.Normal, 10, 1)
	b.Only, b.Fallback = []int{0}, 60*sec
	f := Simulate(context.Background(), situation(lines, b))
	require.Equal(t, 69*sec, f.ETA, "a minute after its last submission the others may")
	require.Equal(t, map[string]int{"sim0": 5, "sim1": 5}, shares(f))

	b = batch(queue.Normal, 10, 1)
	b.Only, b.Later, b.LetGo = []int{0}, 60*sec, true
	for _, b.Later = range []time.Duration{60 * sec, never} {
		for _, lines[1].Rank = range []float64{1, -1} { // whichever looks first
			f = Simulate(context.Background(), situation(lines, b))
			require.Equal(t, map[string]int{"sim0": 5, "sim1": 5}, shares(f))
			require.LessOrEqual(t, f.ETA, 11*sec, "what only prefers a SIM goes as soon as that is full")
		}
	}
	lines[0].Out = WaitSIMPaused
	require.Equal(t, 10*sec, Simulate(context.Background(), situation(lines, b)).ETA, "what only prefers a SIM that cannot goes at once")
}

// TestSimulateLooksForShorterOnes: a day with room for the shorter messages only takes
// those, though a longer one was the next when its line looked: others have that.
func TestSimulateLooksForShorterOnes(t *testing.T) {
	lines := idleLines(100*time.Millisecond, 2*sec)
	lines[0].Limits[windowDay] = SimLimit{Segments: 6, UsedSegments: 2}
	b := Batch{Class: queue.Normal, Messages: 20, Segments: 50, First: 1, Last: 20, Later: never, Only: []int{0}, LetGo: true}
	for _, fine := range []int{0, unlimited} {
		f := simulate(context.Background(), situation(lines, b), fine)
		require.Zero(t, f.Unsent)
		require.LessOrEqual(t, f.ETA, 95*sec)
	}
}

func TestSimulateWeights(t *testing.T) {
	lines := idleLines(sec, sec)
	b := batch(queue.Normal, 400, 1)
	b.Route, b.Only, b.Weights = 7, []int{0, 1}, []int{3, 1}
	f := Simulate(context.Background(), situation(lines, b))
	require.InDelta(t, 300, shares(f)["sim0"], 4)
	require.InDelta(t, 300, f.ETA.Seconds(), 5, "the lighter one waits for the heavier")
	lines[0].Out = WaitLine
	require.Equal(t, 400*sec, Simulate(context.Background(), situation(lines, b)).ETA, "one alone waits for nobody")

	// As many segments, in fewer messages.
	for _, segments := range []int{2, 5} {
		lines, b := idleLines(sec, sec), batch(queue.Normal, 440/segments, segments)
		b.Route, b.Only, b.Weights = 7, []int{0, 1}, []int{10, 1}
		f := Simulate(context.Background(), situation(lines, b))
		require.InDelta(t, 40, shares(f)["sim1"], float64(2*segments), "of %d segments", segments)
		// It has just had a long one, and a code, when the others are to send some.
		b.Messages, b.Segments = 60/segments, 60
		b.Worn = []Worn{{}, {Time: float64(segments) + 1, Since: float64(segments), Out: 1}}
		f = Simulate(context.Background(), situation(lines, b))
		require.InDelta(t, 4.5, shares(f)["sim1"], float64(segments)-1, "of %d segments", segments)
	}
}

// TestSimulateOutOfTurn: codes that the lighter one sends are made up for; what it
// sends while the heavier has other things to do is not.
func TestSimulateOutOfTurn(t *testing.T) {
	weighed := func(b Batch) Batch {
		b.Route, b.Only, b.Weights = 7, []int{0, 1}, []int{10, 1}
		return b
	}
	codes := weighed(batch(queue.OTP, 10, 1))
	work := weighed(batch(queue.Normal, 44, 1))
	s := situation(idleLines(sec, sec), work)
	s.Ahead = []Batch{codes}
	require.LessOrEqual(t, shares(Simulate(context.Background(), s))["sim1"], 2)

	own := batch(queue.Normal, 100, 1)
	own.Only, own.Own = []int{0}, true
	work = weighed(batch(queue.Normal, 400, 1))
	work.First, work.Last = 101, 500
	s = situation(idleLines(sec, sec), work)
	s.Ahead = []Batch{own}
	require.InDelta(t, 91+309/11, shares(Simulate(context.Background(), s))["sim1"], 6)
}

// TestSimulateLeavesToOthers what they could send: codes on a line in doubt, and all
// on one that does not receive; only where they may.
func TestSimulateLeavesToOthers(t *testing.T) {
	code := batch(queue.OTP, 10, 1)
	of := func(lines []SimLine, b Batch) map[string]int {
		f := Simulate(context.Background(), situation(lines, b))
		require.True(t, f.Feasible, "%+v", f)
		require.LessOrEqual(t, f.ETA, 15*sec)
		return shares(f)
	}
	doubted := func() []SimLine {
		lines := idleLines(sec, sec)
		lines[0].DoubtedUntil = 5 * time.Minute
		return lines
	}
	its, other := map[string]int{"sim0": 10}, map[string]int{"sim1": 10}
	require.Equal(t, other, of(doubted(), code))
	on := code
	on.Only = []int{0}
	require.Equal(t, its, of(doubted(), on), "the other is not on its route")
	on.Fallback = time.Minute
	require.Equal(t, its, of(doubted(), on), "nor yet by its fallback")
	lines := doubted()
	lines[1].Limits[windowDay] = SimLimit{Segments: 5, UsedSegments: 5}
	require.Equal(t, its, of(lines, code), "its day is full")
	lines[1].Limits[windowDay].UsedSegments = 1
	require.Equal(t, map[string]int{"sim0": 6, "sim1": 4}, of(lines, code), "and then it is")
	lines = doubted()
	lines[1].Limits[windowDay] = SimLimit{Segments: 10, UsedSegments: 9}
	require.Equal(t, map[string]int{"sim0": 14}, of(lines, batch(queue.OTP, 7, 2)), "nothing so long")
	lines = doubted()
	lines[1].Hours = fixedHours{13 * time.Hour, 20 * time.Hour}
	require.Equal(t, its, of(lines, code), "it is not its hour")
	lines = doubted()
	lines[1].Mute = true
	require.Equal(t, its, of(lines, code), "doubt is less than that nobody can answer")

	bulk := batch(queue.Bulk, 10, 1)
	lines = idleLines(sec, sec)
	lines[0].Mute = true
	require.Equal(t, other, of(lines, bulk))
	lines[1].Out = WaitLine
	require.Equal(t, its, of(lines, bulk), "no other can")
	lines[1].Out = ""
	bulk.Only = []int{0}
	require.Equal(t, its, of(lines, bulk), "or may")
	bulk.Own, bulk.Later, bulk.LetGo = true, time.Minute, true
	require.Equal(t, other, of(lines, bulk), "what only prefers it goes")
	bulk.Only, bulk.Own, bulk.LetGo, bulk.Later = nil, false, false, never
	bulk.Route, bulk.Weights = 7, []int{3, 1}
	require.Equal(t, other, of(lines, bulk), "whosever turn it is")
}

// fixedHours are open from a minute of the day to another, UTC.
type fixedHours struct{ from, to time.Duration }

func (h fixedHours) At(t time.Time) (bool, time.Time) {
	day := t.Truncate(24 * time.Hour)
	switch since := t.Sub(day); {
	case since < h.from:
		return false, day.Add(h.from)
	case since < h.to:
		return true, day.Add(h.to)
	}
	return false, day.Add(24*time.Hour + h.from)
}

func TestSimulateHours(t *testing.T) {
	b := batch(queue.Bulk, 100, 1)
	b.Hours = fixedHours{9 * time.Hour, 12*time.Hour + time.Minute}
	f := Simulate(context.Background(), situation(idleLines(sec), b))
	require.Equal(t, 21*time.Hour+40*sec, f.ETA, "sixty before quiet hours, forty in the morning")
	require.Equal(t, []Wait{{WaitQuiet, noon.Add(time.Minute), noon.Add(21 * time.Hour)}}, f.Waits)

	lines := idleLines(sec)
	lines[0].Hours = fixedHours{13 * time.Hour, 20 * time.Hour}
	f = Simulate(context.Background(), situation(lines, batch(queue.Normal, 1, 1)))
	require.Equal(t, time.Hour+sec, f.ETA)
	require.Equal(t, []Wait{{WaitWindow, noon, noon.Add(time.Hour)}}, f.Waits)
}

func TestSimulateScheduledAndValidity(t *testing.T) {
	b := batch(queue.Normal, 100, 1)
	b.From, b.Expires, b.LastExpires = time.Hour, time.Hour+time.Minute, time.Hour+time.Minute
	f := Simulate(context.Background(), situation(idleLines(sec), b))
	require.False(t, f.Feasible)
	require.Equal(t, 40, f.Expired, "sixty leave within the minute that they are valid")
	require.Equal(t, time.Hour+time.Minute, f.ETA)
	require.Equal(t, []Wait{{WaitScheduled, noon, noon.Add(time.Hour)}}, f.Waits)

	s := situation(idleLines(sec), batch(queue.Normal, 10, 1))
	s.Ahead = []Batch{batch(queue.Normal, 100, 1)}
	s.Ahead[0].Expires, s.Ahead[0].LastExpires = 20*sec, 20*sec
	s.Work[0].First, s.Work[0].Last = 101, 110
	require.Equal(t, 30*sec, Simulate(context.Background(), s).ETA, "what expires stands in nobody's way")
}

func TestSimulatePausedAndNothing(t *testing.T) {
	s := situation(idleLines(sec), batch(queue.Normal, 10, 1))
	s.Paused = true
	f := Simulate(context.Background(), s)
	require.Equal(t, []Wait{{Why: WaitPaused, From: noon}}, f.Waits)
	require.Equal(t, 10, f.Unsent)
	require.Negative(t, f.ETA)
	b := batch(queue.Bulk, 10, 1)
	b.Why = WaitClass
	require.Equal(t, WaitClass, Simulate(context.Background(), situation(idleLines(sec), b)).Waits[0].Why)
	require.Equal(t, WaitLine, Simulate(context.Background(), situation(nil, batch(queue.Bulk, 10, 1))).Waits[0].Why)
	require.Negative(t, Simulate(context.Background(), Situation{Now: noon}).ETA)
}

// TestSimulateEndsWithItsContext: what is worked out for nobody any more, or takes
// too long, is cut short.
func TestSimulateEndsWithItsContext(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	f := Simulate(done, situation(idleLines(sec), batch(queue.Normal, 30, 1)))
	require.True(t, f.Cut)
	require.False(t, f.Feasible)
	require.Equal(t, 30, f.Unsent)
	require.Negative(t, f.ETA)

	// Thirty-two lines with thirteen thousand scheduled groups, and no day of theirs
	// has room for the work.
	var lines []SimLine
	for i := range 32 {
		l := SimLine{ICCID: fmt.Sprint(i), Took: sec}
		l.Limits[windowMonth].Recipients = 1
		lines = append(lines, l)
	}
	s := situation(lines, batch(queue.Bulk, 1000, 1))
	for i := range 13_000 {
		b := batch(queue.Normal, 10, 1)
		b.From = time.Duration(i) * time.Hour / 2
		s.Ahead = append(s.Ahead, b)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	f = Simulate(short, s)
	require.Less(t, time.Since(began), 5*time.Second)
	require.True(t, f.Cut)
	require.Equal(t, WaitAhead, f.Waits[len(f.Waits)-1].Why)
	require.True(t, f.Waits[len(f.Waits)-1].Until.IsZero())
}
