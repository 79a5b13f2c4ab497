package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue"
)

// imagined is a network of lines without modems: what becomes of a canary is
// drawn when it is sent. It follows the keeper's rules.
type imagined struct {
	r       *rand.Rand
	lines   int
	median  time.Duration // of accepted to arrived
	sigma   float64
	reports float64 // the share that comes
	selves  bool    // a SIM may text itself
	mute    map[blame]bool
	unsure  map[string]bool // SIMs whose number is not known to be their own
	unasked bool            // nobody gave leave to send any
	now     time.Time
	legs    []queue.Canary
	arrive  map[int64]time.Time
	report  map[int64]time.Time
	muted   map[blame]time.Time
	doubts  map[string]string
}

func newImagined(seed uint64, lines int) *imagined {
	return &imagined{r: rand.New(rand.NewPCG(seed, 7)), lines: lines, median: 5 * time.Second, sigma: 0.5, reports: 1, selves: true,
		mute: map[blame]bool{}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		arrive: map[int64]time.Time{}, report: map[int64]time.Time{}, muted: map[blame]time.Time{}, unsure: map[string]bool{}, doubts: map[string]string{}}
}

func sim(i int) string { return fmt.Sprintf("sim%d", i) }

func (w *imagined) send(from, to, who string) {
	c := queue.Canary{ID: int64(len(w.legs) + 1), From: from, To: to, AskedBy: who, State: queue.CanaryOut,
		Start: w.now, Accepted: time.Duration(1+w.r.IntN(10)) * time.Second, Reported: -1, Arrived: -1, ReportStatus: -1}
	w.legs = append(w.legs, c)
	took := time.Duration(float64(w.median) * math.Exp(w.sigma*w.r.NormFloat64()))
	if took > canaryGone || w.mute[blame{from, sending}] || w.mute[blame{to, receiving}] || from == to && !w.selves {
		return
	}
	when := w.now.Add(c.Accepted + took)
	w.arrive[c.ID] = when
	if w.r.Float64() < w.reports {
		w.report[c.ID] = when
	}
}

// round lets time pass, and judges.
func (w *imagined) round(d time.Duration) verdict {
	w.now = w.now.Add(d)
	var arrived []queue.Canary
	for i := range w.legs {
		c := &w.legs[i]
		if when, ok := w.arrive[c.ID]; ok && c.State != queue.CanaryArrived && !when.After(w.now) {
			c.State, c.Arrived, c.EndedAt = queue.CanaryArrived, when.Sub(c.Start), w.now
		}
	}
	for _, c := range slices.Backward(w.legs) {
		if c.State == queue.CanaryArrived && len(arrived) < canaryRemember && w.now.Sub(c.Start) < canaryRemembers {
			arrived = append(arrived, c)
		}
	}
	patience, slow := patienceOf(arrived, w.lines == 1)
	for i := range w.legs {
		c := &w.legs[i]
		if c.State != queue.CanaryOut || w.now.Sub(c.Start.Add(c.Accepted)) < patience {
			continue
		}
		c.State, c.EndedAt, c.Detail = queue.CanaryMissed, w.now, queue.CanaryNoReport
		if when, ok := w.report[c.ID]; ok && !when.After(w.now) {
			c.Detail = queue.CanaryDelivered
		}
	}
	t, selves := &trial{now: w.now, slow: slow}, map[string]bool{}
	for _, c := range w.legs {
		if w.now.Sub(c.Start) < canaryWindow || c.EndedAt.IsZero() {
			t.legs = append(t.legs, c)
		}
		if c.From == c.To && c.State == queue.CanaryArrived {
			t.selves, selves[c.From] = true, true
		}
	}
	for i := range w.lines {
		p := party{iccid: sim(i), fit: true, sure: !w.unsure[sim(i)], leave: !w.unasked}
		p.selves = selves[p.iccid]
		for s := range p.mute {
			_, p.mute[s] = w.muted[blame{sim(i), side(s)}]
		}
		t.parties = append(t.parties, p)
	}
	v := t.judge()
	for b := range v.guilty {
		w.muted[b] = w.now
	}
	for key := range v.untold {
		w.muted[blame{key, sending}], w.muted[blame{key, receiving}] = w.now, w.now
	}
	for sim, d := range v.doubts {
		w.doubts[sim] = d.what
	}
	for _, q := range v.ask {
		w.send(q.from, q.to, queue.CanaryConfirm)
	}
	return v
}

func (w *imagined) ring() {
	for i := range w.lines {
		w.send(sim(i), sim((i+1)%w.lines), queue.CanarySchedule)
	}
}

func (w *imagined) tell(t interface{ Logf(string, ...any) }) {
	for _, c := range w.legs {
		t.Logf("%s %s %s → %s %s %s accepted %s arrived %s", c.Start.Format(time.TimeOnly), c.AskedBy, c.From, c.To, c.State, c.Detail, c.Accepted, c.Arrived)
	}
}

// TestHealthyLinesAreNeverFoundMute, however slow the network is and however many
// reports it loses.
func TestHealthyLinesAreNeverFoundMute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newImagined(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 8).Draw(t, "lines"))
		w.median = time.Duration(rapid.IntRange(1, 180).Draw(t, "median")) * time.Second
		w.sigma = rapid.Float64Range(0, 0.9).Draw(t, "sigma")
		w.reports = rapid.Float64Range(0, 1).Draw(t, "reports")
		w.selves = w.lines == 1 || rapid.Bool().Draw(t, "selves")
		for range rapid.IntRange(1, 5).Draw(t, "rounds") {
			w.ring()
			for range 360 {
				if v := w.round(10 * time.Second); len(v.guilty)+len(v.untold) > 0 {
					w.tell(t)
					t.Fatalf("found %v %v", v.guilty, v.untold)
				}
			}
		}
	})
}

// TestAMuteLineIsFound, that side of it and no other, within half an hour, also
// where networks carry nothing that a SIM texts itself.
func TestAMuteLineIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.IntRange(2, 8).Draw(t, "lines")
		w := newImagined(rapid.Uint64().Draw(t, "seed"), lines)
		w.median = time.Duration(rapid.IntRange(1, 40).Draw(t, "median")) * time.Second
		w.reports = rapid.Float64Range(0, 1).Draw(t, "reports")
		w.selves = lines == 2 || rapid.Bool().Draw(t, "selves")
		b := blame{sim(rapid.IntRange(0, lines-1).Draw(t, "which")), side(rapid.IntRange(0, 1).Draw(t, "side"))}
		w.mute[b] = true
		w.ring()
		for range 180 {
			w.round(10 * time.Second)
		}
		if len(w.muted) != 1 || w.muted[b].IsZero() {
			w.tell(t)
			t.Fatalf("%v: found %v", b, w.muted)
		}
		if len(w.legs) > lines+canaryMost {
			t.Fatalf("%d canaries", len(w.legs))
		}
	})
}

// TestFewFollowWithoutLeave: what a person asked for is there and back, and no more
// than canaryFollow come after it; a wrong number convicts nobody.
func TestFewFollowWithoutLeave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.IntRange(1, 8).Draw(t, "lines")
		w := newImagined(rapid.Uint64().Draw(t, "seed"), lines)
		w.unasked, w.selves = true, rapid.Bool().Draw(t, "selves")
		w.reports = rapid.Float64Range(0, 1).Draw(t, "reports")
		wrong := sim(rapid.IntRange(0, lines-1).Draw(t, "wrong"))
		w.unsure[wrong], w.mute[blame{wrong, receiving}] = true, true
		w.send(sim(0), sim(lines-1), "ana")
		if lines > 1 {
			w.send(sim(lines-1), sim(0), "ana")
		}
		asked := len(w.legs)
		for range 400 {
			w.round(10 * time.Second)
		}
		if len(w.muted) > 0 || len(w.legs) > asked+canaryFollow {
			w.tell(t)
			t.Fatalf("%d canaries, found %v", len(w.legs), w.muted)
		}
	})
}

// TestALostMessageProvesNothing: one is not enough, and one that came later shows
// the line well.
func TestALostMessageProvesNothing(t *testing.T) {
	w := newImagined(1, 4)
	w.ring()
	delete(w.arrive, 1)
	delete(w.report, 1)
	for range 180 {
		v := w.round(10 * time.Second)
		require.Empty(t, v.guilty)
	}
	require.Len(t, w.legs, 4+2, "each side was asked once")
}

// TestNetworksThatCarryNothingToOneself: what a SIM texts itself then says nothing;
// of two lines alone nobody can tell which it is.
func TestNetworksThatCarryNothingToOneself(t *testing.T) {
	for _, b := range []blame{{}, {sim(1), receiving}, {sim(0), sending}} {
		w := newImagined(1, 2)
		w.selves, w.reports, w.mute[b] = false, 0, true
		w.ring()
		delete(w.arrive, 1)
		for range 240 {
			w.round(10 * time.Second)
		}
		require.Empty(t, w.muted, "%v", b)
		require.Greater(t, len(w.legs), 2)
	}
}

func TestPatience(t *testing.T) {
	took := func(list ...time.Duration) (out []queue.Canary) {
		for _, d := range list {
			out = append(out, queue.Canary{Accepted: 2 * time.Second, Arrived: 2*time.Second + d})
		}
		return out
	}
	for _, row := range []struct {
		arrived []queue.Canary
		alone   bool
		want    time.Duration
		slow    bool
	}{
		{nil, false, canaryFirst, false},
		{nil, true, canaryLongest, false},
		{took(time.Second, 5*time.Second), true, canaryLeast, false},
		{took(time.Second, time.Minute), false, 6 * time.Minute, false},
		{took(5*time.Minute, time.Second), false, canaryLongest, true},
	} {
		d, slow := patienceOf(row.arrived, row.alone)
		require.Equal(t, []any{row.want, row.slow}, []any{d, slow})
	}
}
