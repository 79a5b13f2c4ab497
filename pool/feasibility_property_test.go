package pool

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue"
)

var classes = []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk}

// drawSituation is any pool with any load; sane: one that a store could be in.
func drawSituation(t *rapid.T, sane bool) Situation {
	size := func(label string, most int) int { return rapid.IntRange(0, most).Draw(t, label) }
	s := Situation{Now: noon.Add(time.Duration(size("hour", 48)) * 37 * time.Minute), Trusted: size("trusted", 9) > 0}
	for i := range size("lines", 5) {
		l := SimLine{ICCID: fmt.Sprint("sim", i), Took: time.Duration(1+size("took", 40)) * 100 * time.Millisecond,
			Rank: float64(size("rank", 3)), Reserve: size("reserve", 50), ResetDay: 1 + size("reset", 30)}
		for w, most := range []int{30, 200, 1000, 3000} {
			if size("limited", 2) == 0 {
				l.Limits[w].Segments = 1 + size("segments", most)
				l.Limits[w].UsedSegments = size("used", l.Limits[w].Segments)
			}
			if size("limited", 3) == 0 {
				l.Limits[w].Recipients = 1 + size("recipients", most)
				l.Limits[w].UsedRecipients = size("used recipients", l.Limits[w].Recipients)
			}
		}
		for range size("uses", 5) {
			n := size("use", 3)
			l.Uses = append(l.Uses, Use{time.Duration(size("ago", 3600)) * time.Second, n, n})
		}
		switch size("kind", 8) {
		case 0:
			l.Pace = time.Duration(size("pace", 100)) * 100 * time.Millisecond
		case 1:
			l.Hours = fixedHours{8 * time.Hour, 20 * time.Hour}
		case 2:
			l.Warm = 1 + size("warm", 100)
		case 3:
			l.Free = time.Duration(size("free", 5000)) * time.Millisecond
		case 4:
			l.Out = WaitLine
		}
		s.Lines = append(s.Lines, l)
	}
	draw := func(most int) Batch {
		n := size("messages", most)
		b := Batch{Class: rapid.SampledFrom(classes).Draw(t, "class"), Messages: n, Segments: n + size("more", 2*n), First: int64(size("first", 1000)), Later: never}
		b.Last = b.First + int64(n)
		switch size("kind", 8) {
		case 0:
			b.Hours = fixedHours{9 * time.Hour, 21 * time.Hour}
		case 1:
			b.From = time.Duration(size("from", 7200)) * time.Second
		case 2:
			b.Expires = time.Duration(1+size("expires", 7200)) * time.Second
			b.LastExpires = b.Expires + time.Duration(size("later", 100))*time.Second
		case 3:
			b.Only = []int{0, 2}
			b.LetGo = size("letgo", 1) == 0
			switch size("fallback", 2) {
			case 0:
				b.Later = time.Minute
			case 1:
				b.Fallback = time.Minute
			}
		}
		return b
	}
	for range size("ahead", 3) {
		s.Ahead = append(s.Ahead, draw(300))
	}
	s.Work = []Batch{draw(300)}
	if sane {
		s.Work[0].First, s.Work[0].Last = 10_000, 10_000+int64(s.Work[0].Messages)
	}
	return s
}

// TestSimulateInPortions: what is taken at once changes nothing that matters:
// one by one a little less work is done no later, a little more no earlier.
func TestSimulateInPortions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t, true)
		w := &s.Work[0]
		each := 1 + rapid.IntRange(0, 3).Draw(t, "each")
		w.Expires, w.Messages = 0, 300+rapid.IntRange(0, 2000).Draw(t, "work")
		w.Segments = each * w.Messages
		for i := range s.Ahead {
			s.Ahead[i].Expires = 0
		}
		slowest := time.Duration(0)
		for i := range s.Lines {
			l := &s.Lines[i]
			slowest = max(slowest, time.Duration(each)*l.Took, l.Pace)
			for w := range l.Limits { // so few that chance decides where a message goes
				l.Limits[w].Segments = min(l.Limits[w].Segments*10, l.Limits[w].Segments+200)
				l.Limits[w].Recipients = min(l.Limits[w].Recipients*10, l.Limits[w].Recipients+200)
				if each > 1 && w < windowDay { // nor which one waits an hour for its last segment
					l.Limits[w] = SimLimit{}
				}
			}
		}
		f := simulate(context.Background(), s, 0)
		checkForecast(t, s, f)
		eta := func(percent int) time.Duration {
			some := s
			some.Work = []Batch{*w}
			some.Work[0].Messages = w.Messages * percent / 100
			some.Work[0].Segments = each * some.Work[0].Messages
			return simulate(context.Background(), some, unlimited).ETA
		}
		less, more := eta(95), eta(105)
		if less < 0 {
			require.Negative(t, f.ETA)
			return
		}
		if f.ETA >= 0 {
			require.GreaterOrEqual(t, f.ETA, less-less/50-2*slowest, "%+v", s)
		}
		if more >= 0 {
			require.GreaterOrEqual(t, f.ETA, time.Duration(0))
			require.LessOrEqual(t, f.ETA, more+more/50+2*slowest, "%+v", s)
		}
	})
}

// TestSimulateStrandsNothing: whatever the lines leave to each other, what they can
// send is sent.
func TestSimulateStrandsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t, true)
		// Not what expires, nor what a day or month has no room for once others have gone.
		for i := range s.Lines {
			l := &s.Lines[i]
			l.Limits[windowDay], l.Limits[windowMonth], l.Warm = SimLimit{}, SimLimit{}, 0
		}
		s.Work[0].Expires, s.Work[0].Segments = 0, s.Work[0].Messages
		for i := range s.Ahead {
			s.Ahead[i].Expires, s.Ahead[i].Segments = 0, s.Ahead[i].Messages
		}
		for _, list := range [][]Batch{s.Ahead, s.Work} {
			for i := range list {
				if list[i].LetGo { // what prefers a SIM does so for a while
					list[i].Later = time.Minute
				}
			}
		}
		well := Simulate(context.Background(), s)
		for i := range s.Lines {
			l := &s.Lines[i]
			if rapid.Bool().Draw(t, "doubted") {
				l.DoubtedUntil = time.Duration(rapid.IntRange(1, 3600).Draw(t, "until")) * time.Second
				l.Unproven = rapid.Bool().Draw(t, "unproven")
			}
			l.Mute = rapid.Bool().Draw(t, "mute")
		}
		f := Simulate(context.Background(), s)
		checkForecast(t, s, f)
		require.Equal(t, well.Unsent, f.Unsent, "%+v", s)
	})
}

// checkForecast holds whatever is simulated.
func checkForecast(t require.TestingT, s Situation, f Forecast) {
	messages, segments := 0, 0
	for _, w := range s.Work {
		if w.Messages > 0 {
			messages += w.Messages
			segments += max(w.Segments, w.Messages)
		}
	}
	require.GreaterOrEqual(t, f.Unsent, 0)
	require.GreaterOrEqual(t, f.Expired, 0)
	require.LessOrEqual(t, f.Unsent+f.Expired, messages)
	sum, parts := 0, 0.0
	for _, share := range f.Shares {
		require.Positive(t, share.Segments)
		sum += share.Segments
		parts += share.Share
	}
	require.LessOrEqual(t, sum, segments)
	if f.Unsent+f.Expired == 0 {
		require.Equal(t, segments, sum)
	}
	if sum > 0 {
		require.InDelta(t, 1, parts, 1e-9)
	}
	require.Equal(t, f.Feasible, messages > 0 && f.Unsent+f.Expired == 0)
	if f.Feasible {
		require.GreaterOrEqual(t, f.ETA, time.Duration(0))
		require.False(t, f.Begins.Before(s.Now))
		require.False(t, f.Finish.Before(f.Begins))
	}
	for i, h := range f.Limits {
		require.False(t, h.At.Before(s.Now))
		require.False(t, i > 0 && h.At.Before(f.Limits[i-1].At))
	}
	for _, l := range f.Left {
		require.GreaterOrEqual(t, l.Segments, -1)
		require.LessOrEqual(t, l.Least, l.Segments)
	}
	for i, w := range f.Waits {
		require.NotEmpty(t, w.Why)
		require.True(t, w.Until.After(w.From) || w.Until.IsZero() && i == len(f.Waits)-1, "%+v", f.Waits)
	}
}

// TestSimulateMoreIsNeverEarlier, but for what the last message of a line is
// worth: which line takes it is a matter of chance.
func TestSimulateMoreIsNeverEarlier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t, true)
		s.Work[0].Expires = 0
		for i := range s.Ahead {
			s.Ahead[i].Expires = 0
		}
		if s.Work[0].Messages == 0 {
			return
		}
		each := max(s.Work[0].Segments/s.Work[0].Messages, 1)
		slowest := time.Duration(0)
		for _, l := range s.Lines {
			slowest = max(slowest, l.Took*time.Duration(each+1), l.Pace)
		}
		s.Work[0].Segments = each * s.Work[0].Messages
		less := Simulate(context.Background(), s)
		more := 1 + rapid.IntRange(0, 500).Draw(t, "more")
		s.Work[0].Messages += more
		s.Work[0].Segments += each * more
		s.Work[0].Last += int64(more)
		f := Simulate(context.Background(), s)
		if less.ETA < 0 {
			require.Negative(t, f.ETA)
		} else if f.ETA >= 0 {
			require.GreaterOrEqual(t, f.ETA, less.ETA-less.ETA/50-2*slowest)
		}
	})
}

// FuzzSimulate: whatever it is given, it ends and contradicts nothing.
func FuzzSimulate(f *testing.F) {
	f.Add(uint64(1), int64(10), int64(10), 3, 20)
	f.Add(uint64(2), int64(-1), int64(math.MaxInt64), -3, 200)
	f.Add(uint64(3), int64(math.MinInt64), int64(0), math.MaxInt, 120)
	f.Fuzz(func(t *testing.T, seed uint64, a, b int64, n, percent int) {
		r := rand.New(rand.NewPCG(seed, 7))
		odd := []int64{a, b, 0, 1, 2, 60e9, 3600e9, int64(n), math.MaxInt64}
		pick := func() int64 { return odd[r.IntN(len(odd))] }
		number := func() int {
			if r.IntN(2) == 0 {
				return r.IntN(1000)
			}
			return int(pick())
		}
		s := Situation{Now: time.Unix(pick()%1e10, 0), Trusted: r.IntN(4) > 0, Paused: r.IntN(20) == 0}
		for i := range r.IntN(6) {
			l := SimLine{ICCID: fmt.Sprint(i), Took: time.Duration(pick()), Free: time.Duration(pick()), Rank: r.Float64(),
				Reserve: percent, ResetDay: number(), Warm: number() % 1000, Pace: time.Duration(pick()), PaceFree: time.Duration(pick())}
			for w := range l.Limits {
				l.Limits[w] = SimLimit{number(), number(), number(), number()}
			}
			for range r.IntN(4) {
				l.Uses = append(l.Uses, Use{time.Duration(pick()), number(), number()})
			}
			if r.IntN(4) == 0 {
				l.Hours = wildHours{time.Duration(pick())}
			}
			s.Lines = append(s.Lines, l)
		}
		for range 1 + r.IntN(5) {
			w := Batch{Class: classes[r.IntN(4)], Messages: number(), Segments: number(), First: pick(), Last: pick(),
				From: time.Duration(pick()), Later: time.Duration(pick()), LetGo: r.IntN(2) == 0,
				Expires: time.Duration(pick()), LastExpires: time.Duration(pick())}
			if r.IntN(4) == 0 {
				w.Route, w.Fallback = pick(), time.Duration(pick())
				for range s.Lines {
					w.Weights = append(w.Weights, number())
				}
			}
			if r.IntN(3) == 0 {
				w.Only, w.Else = []int{number() % 8, 1}, []int{number(), 0}
			}
			if r.IntN(4) == 0 {
				w.Hours = wildHours{time.Duration(pick())}
			}
			if r.IntN(4) == 0 {
				w.Known = [][4]float64{{0.5, -1, 2, r.Float64()}}
			}
			if r.IntN(2) == 0 {
				s.Work = append(s.Work, w)
			} else {
				s.Ahead = append(s.Ahead, w)
			}
		}
		began := time.Now()
		got := Simulate(context.Background(), s)
		if took := time.Since(began); took > 30*time.Second {
			t.Fatalf("it took %v: %+v", took, s)
		}
		require.GreaterOrEqual(t, got.Unsent, 0)
		require.GreaterOrEqual(t, got.Expired, 0)
	})
}

// wildHours say what makes no sense.
type wildHours struct{ d time.Duration }

func (h wildHours) At(t time.Time) (bool, time.Time) {
	if h.d == 0 {
		return false, time.Time{}
	}
	return t.Unix()%2 == 0, t.Add(h.d % (100 * time.Hour))
}

// TestSimulateEvenly: of very many what a minute allows may be spread over it.
func TestSimulateEvenly(t *testing.T) {
	lines := idleLines(sec, 2*sec, 3*sec)
	lines[0].Limits[windowMinute].Segments = 10
	lines[1].Limits[windowHour].Segments = 100
	lines[0].Reserve, lines[1].Reserve = 20, 20
	f, one := Simulate(context.Background(), situation(lines, batch(queue.Bulk, 40_000, 1))), simulate(context.Background(), situation(lines, batch(queue.Bulk, 40_000, 1)), unlimited)
	require.InEpsilon(t, one.ETA.Seconds(), f.ETA.Seconds(), 0.005)
	for sim, n := range shares(one) {
		require.InEpsilon(t, n, shares(f)[sim], 0.01)
	}
	require.InDelta(t, one.Left[0].Segments, f.Left[0].Segments, 1)
	require.Equal(t, one.Left[1], f.Left[1])
}

func BenchmarkSimulate(b *testing.B) {
	for _, limited := range []bool{false, true} {
		b.Run(fmt.Sprint("limited=", limited), func(b *testing.B) {
			s := situation(nil, batch(queue.Bulk, 100_000, 1))
			for i := range 32 {
				l := SimLine{ICCID: fmt.Sprint(i), Took: time.Duration(1800+17*i) * time.Millisecond}
				if limited {
					l.Limits = [4]SimLimit{{Segments: 10}, {Segments: 100}, {Segments: 500}, {Recipients: 5000}}
					l.Reserve = 20
				}
				s.Lines = append(s.Lines, l)
			}
			for b.Loop() {
				Simulate(context.Background(), s)
			}
		})
	}
}
