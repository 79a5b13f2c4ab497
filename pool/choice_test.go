package pool

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue"
)

// turn is one choice among idle SIMs, as the dispatcher makes it.
func (w *wear) turn(account int64, sims []string, weights map[string]int, left map[string]float64) string {
	list, strides := make([]candidate, len(sims)), make([]float64, len(sims))
	for i, sim := range sims {
		strides[i] = stride(weights[sim], left[sim])
	}
	for i, t := range w.times(account, sims, strides) {
		list[i].time = t
	}
	sim := sims[best(list)]
	w.use(account, sim, weights[sim], left[sim], w.begins())
	return sim
}

// begins is a message of one segment that is taken at a SIM's turn.
func (w *wear) begins() use {
	n := int64(1)
	for _, a := range w.accounts {
		for _, s := range a {
			n = max(n, s.message+1)
		}
	}
	return use{message: n, turn: true}
}

func simNames(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("sim", i)
	}
	return list
}

func ones(sims []string) map[string]float64 {
	m := map[string]float64{}
	for _, s := range sims {
		m[s] = 1
	}
	return m
}

// TestSharesAreByWeight: whatever the weights and what is left, idle SIMs get
// their share of any number of messages, to within a turn of each.
func TestSharesAreByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sims := simNames(rapid.IntRange(1, 8).Draw(t, "sims"))
		account := rapid.SampledFrom([]int64{allTraffic, 7}).Draw(t, "account")
		weights, left, share := map[string]int{}, map[string]float64{}, map[string]float64{}
		for _, sim := range sims {
			weights[sim] = 1
			if account != allTraffic {
				weights[sim] = rapid.IntRange(1, 100).Draw(t, "weight")
			}
			left[sim] = rapid.Float64Range(leastLeft, 1).Draw(t, "left")
			share[sim] = float64(weights[sim]) * left[sim]
		}
		var w wear
		w.present(sims)
		n := rapid.IntRange(1, 500).Draw(t, "messages")
		got := map[string]int{}
		for range n {
			got[w.turn(account, sims, weights, left)]++
		}
		for _, a := range sims {
			for _, b := range sims {
				turns := float64(got[a])/share[a] - float64(got[b])/share[b]
				if math.Abs(turns) > 1/share[a]+1/share[b]+1e-6 {
					t.Fatalf("of %d messages %s (share %.3f) got %d, %s (share %.3f) %d", n, a, share[a], got[a], b, share[b], got[b])
				}
			}
		}
	})
}

// TestWhoComesBackMakesUpForNothing: a SIM that was away takes its turn with the
// others, not all of theirs.
func TestWhoComesBackMakesUpForNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sims := simNames(rapid.IntRange(2, 6).Draw(t, "sims"))
		var w wear
		w.present(sims)
		for range rapid.IntRange(0, 50).Draw(t, "before") {
			w.turn(allTraffic, sims, nil, ones(sims))
		}
		away, rest := sims[0], sims[1:]
		w.present(rest)
		for range rapid.IntRange(1, 2000).Draw(t, "without it") {
			w.turn(allTraffic, rest, nil, ones(rest))
		}
		w.present(sims)
		for range 3 {
			got := map[string]int{}
			for range sims {
				got[w.turn(allTraffic, sims, nil, ones(sims))]++
			}
			if got[away] > 2 {
				t.Fatalf("it got %d of %d messages", got[away], len(sims))
			}
		}
	})
}

// TestABusyOnesDebtIsBounded: who was busy while the others sent gets at most a
// few messages more than they when all are idle.
func TestABusyOnesDebtIsBounded(t *testing.T) {
	var w wear
	sims := simNames(4)
	w.present(sims)
	for range 1000 {
		for _, sim := range sims[1:] {
			w.use(allTraffic, sim, 1, 1, w.begins())
		}
	}
	got := 0
	for range 20 {
		if w.turn(allTraffic, sims, nil, ones(sims)) == sims[0] {
			got++
		}
	}
	require.GreaterOrEqual(t, got, debtMost)
	require.LessOrEqual(t, got, debtMost+5, "its share of twenty is five")
}

// TestUnevenWeightsHoldUnderLoad: lines that pull as fast as they can share a
// route as its weights say, to within a few messages, however long these are.
func TestUnevenWeightsHoldUnderLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sims := simNames(rapid.IntRange(2, 5).Draw(t, "sims"))
		longest := rapid.IntRange(1, 8).Draw(t, "longest")
		weights := map[string]int{}
		for _, sim := range sims {
			weights[sim] = rapid.IntRange(1, 10).Draw(t, "weight")
		}
		var w wear
		w.present(sims)
		got, left, message := map[string]int{}, map[string]int{}, map[string]int64{}
		now, seq := time.Now(), int64(0)
		for _, sim := range rapid.SliceOfN(rapid.SampledFrom(sims), 500, 1000).Draw(t, "whose submission ends") {
			// As a line does, it asks after each segment, and may be given something
			// after the last.
			due, begins := w.due(7, sim, sims, queue.LaneNormal, now), left[sim] == 0
			if begins {
				if !due {
					continue
				}
				seq++
				left[sim], message[sim] = rapid.IntRange(1, longest).Draw(t, "segments"), seq
			}
			w.use(7, sim, weights[sim], 1, use{message[sim], begins})
			left[sim]--
			got[sim]++
		}
		for _, sim := range sims {
			// It is at most a turn and a message of its own ahead of the least.
			for _, other := range sims {
				ahead := float64(got[sim])/float64(weights[sim]) - float64(got[other])/float64(weights[other])
				if ahead > float64(1+longest)/float64(weights[sim])+1e-6 {
					t.Fatalf("of up to %d segments %s of weight %d got %d, %s of weight %d got %d", longest, sim, weights[sim], got[sim], other, weights[other], got[other])
				}
			}
		}
		if seq == 0 {
			t.Fatal("nobody was due")
		}
	})
}

func TestTheBestIsHealthyThenDueThenRested(t *testing.T) {
	long, just := time.Unix(1, 0), time.Unix(2, 0)
	require.Equal(t, 1, best([]candidate{{doubt: 1, time: 0}, {time: 5}}), "health before turn")
	require.Equal(t, 1, best([]candidate{{time: 5, used: long}, {time: 4, used: just}}), "turn before rest")
	require.Equal(t, 1, best([]candidate{{time: 4, used: just}, {time: 4 + 1e-9, used: long}}), "rest when equal")
	require.Equal(t, 0, best([]candidate{{time: 4, used: long}, {time: 4, used: long}}), "the first of equals")
}

// TestTurns: after fifty better ones in a row one of bulk follows, after
// twenty-five codes one of normal; one line at a time has the turn, and when it
// finds nothing another has it soon. A code that comes then still goes first.
func TestTurns(t *testing.T) {
	var w turns
	next := func() [2]int {
		turn, over := w.next()
		return [2]int{turn, over}
	}
	none := [2]int{-1, 0}
	for range turnNormal {
		require.Equal(t, none, next())
		w.took(queue.LaneOTP)
	}
	require.Equal(t, [2]int{queue.LaneNormal, queue.LaneOTP}, next())
	require.Equal(t, none, next(), "another line asks at the same time")
	w.took(queue.LaneNormal)
	for range turnBulk - turnNormal - 1 {
		require.Equal(t, none, next())
		w.took(queue.LaneNormal)
	}
	bulk := [2]int{queue.LaneBulk, queue.LaneNormal}
	require.Equal(t, bulk, next())
	for range turnAgain { // there is none
		require.Equal(t, none, next())
		w.took(queue.LaneNormal)
	}
	require.Equal(t, bulk, next())
	w.took(queue.LaneBulk)
	// Nothing but codes, and nothing of normal waits.
	for range turnNormal {
		require.Equal(t, none, next())
		w.took(queue.LaneAlert)
	}
	require.Equal(t, [2]int{queue.LaneNormal, queue.LaneOTP}, next())
	turns := map[[2]int]int{}
	for range turnBulk {
		turns[next()]++
		w.took(queue.LaneOTP)
	}
	require.Positive(t, turns[[2]int{queue.LaneBulk, queue.LaneOTP}], "%v", turns)
}

// TestDueWaitsForWhoSends: one that is ahead waits for another as long as that one
// takes something now and then, and for awaitMost when it does not; what it takes
// afterwards is not made up for.
func TestDueWaitsForWhoSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wear
		sims := []string{"heavy", "light"}
		w.present(sims)
		due := func(sim string, lane int) bool {
			other := sims[0]
			if sim == other {
				other = sims[1]
			}
			return w.due(7, sim, []string{other}, lane, time.Now())
		}
		use := func(sim string) { w.use(7, sim, map[string]int{"heavy": 3, "light": 1}[sim], 1, w.begins()) }
		use("heavy")
		use("light")
		require.True(t, due("light", queue.LaneNormal), "a turn ahead")
		use("light")
		require.False(t, due("light", queue.LaneNormal))
		require.Equal(t, time.Now().Add(awaitMost), w.look(time.Now()))
		for range 4 { // it takes something before that is over
			time.Sleep(awaitMost - time.Second)
			require.False(t, due("light", queue.LaneNormal))
			use("heavy")
			if due("light", queue.LaneNormal) {
				break
			}
		}
		require.True(t, due("light", queue.LaneNormal), "the other has caught up to a turn")
		use("light")
		require.False(t, due("light", queue.LaneNormal))
		time.Sleep(awaitMost - time.Millisecond)
		require.False(t, due("light", queue.LaneNormal))
		time.Sleep(time.Millisecond)
		require.True(t, due("light", queue.LaneNormal), "nobody else comes")
		require.False(t, due("light", queue.LaneBulk), "who asks for another lane waits anew")
		for range 50 {
			use("light")
			require.True(t, due("light", queue.LaneNormal), "and does not wait for each")
		}
		require.True(t, w.look(time.Now()).IsZero() || w.look(time.Now()).After(time.Now()))
		// The heavy one is back: it has two of the other's turns to make up for at most.
		n := 1
		use("heavy")
		for ; n < 100 && !due("light", queue.LaneNormal); n++ {
			use("heavy")
		}
		require.LessOrEqual(t, n, 2*3)
		use("heavy")
		require.True(t, due("heavy", queue.LaneNormal) || due("light", queue.LaneNormal))
	})
}

// TestALongTurnIsWaitedFor: a message of many segments that another sends at its turn
// is one turn, however long it takes; awaitMost after its last segment nobody waits.
func TestALongTurnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wear
		sims, weights := []string{"heavy", "light"}, map[string]int{"heavy": 30, "light": 1}
		w.present(sims)
		due := func() bool { return w.due(7, "light", sims[:1], queue.LaneNormal, time.Now()) }
		for _, sim := range []string{"heavy", "light", "light"} {
			w.use(7, sim, weights[sim], 1, w.begins())
		}
		require.False(t, due())
		long := w.begins()
		w.use(7, "heavy", 30, 1, long)
		for range 8 {
			time.Sleep(awaitMost - time.Second)
			require.False(t, due(), "it is being sent")
			w.use(7, "heavy", 30, 1, use{message: long.message})
		}
		time.Sleep(awaitMost - time.Millisecond)
		require.False(t, due())
		time.Sleep(time.Millisecond)
		require.True(t, due())
	})
}

// TestWhatIsNobodysTurn: what a SIM sends out of its turn is made up for as far as
// debtMost turns, and keeps nobody waiting for its turn.
func TestWhatIsNobodysTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wear
		sims := []string{"heavy", "light"}
		weights := map[string]int{"heavy": 10, "light": 1}
		w.present(sims)
		code := func(sim string) { w.use(7, sim, weights[sim], 1, use{message: w.begins().message}) }
		normal := func(sim string) { w.use(7, sim, weights[sim], 1, w.begins()) }
		due := func() bool { return w.due(7, "light", sims[:1], queue.LaneNormal, time.Now()) }
		madeUp := func() (n int) {
			for ; !due(); n++ {
				normal("heavy")
			}
			return n
		}
		normal("heavy")
		normal("light")
		require.Zero(t, madeUp(), "a turn ahead")
		for codes, want := range []int{10, 20, 30, 40, 50, 50, 50} {
			normal("light")
			for range codes {
				code("light")
				due() // also when it asks in between
			}
			require.Equal(t, want, madeUp(), "%d codes", codes)
		}
		normal("light")
		require.False(t, due())
		for range 9 { // the other has other things to do
			time.Sleep(time.Second)
			code("heavy")
		}
		require.True(t, due())
		normal("light")
		require.True(t, due(), "nor is it waited for before each")
		for range 20 {
			normal("light")
		}
		normal("heavy")
		require.Equal(t, 10, madeUp(), "what was sent when nobody else came is not made up for")
	})
}

// TestWhoComesBackIsNotFarAhead: what the last of an allowance counted as is
// forgotten when a new one has begun.
func TestWhoComesBackIsNotFarAhead(t *testing.T) {
	var w wear
	sims := simNames(2)
	w.present(sims)
	w.use(allTraffic, sims[1], 1, 1, w.begins())
	w.use(allTraffic, sims[0], 1, 0, w.begins()) // its last one
	w.present(sims[1:])
	w.present(sims)
	got := 0
	for range 10 {
		if w.turn(allTraffic, sims, nil, ones(sims)) == sims[0] {
			got++
		}
	}
	require.InDelta(t, 5, got, 1)
}
