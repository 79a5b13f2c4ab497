package pool_test

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
)

func (r *rig) limit(sim string, limits ...queue.Limit) {
	r.t.Helper()
	require.NoError(r.t, r.pool.SetLimits(r.t.Context(), sim, queue.LimitsPatch{Limits: &limits}))
}

// states are the states that events have told of a SIM.
func (r *rig) states(sim string) (list []string) {
	r.t.Helper()
	events, err := r.store.Events(r.t.Context(), 0, 10000)
	require.NoError(r.t, err)
	for _, e := range events {
		var d struct{ ICCID, State, Window, Level string }
		if e.Type != "sim.state" && e.Type != "sim.limit" {
			continue
		}
		require.NoError(r.t, json.Unmarshal(e.Data, &d))
		if d.ICCID == sim {
			list = append(list, d.State+d.Window+d.Level)
		}
	}
	return list
}

// TestALimitMovesTraffic: when a SIM reaches a limit the others take what waits at
// once, also what would rather have left on it; it says so, and goes on to the
// second.
func TestALimitMovesTraffic(t *testing.T) { synctest.Test(t, testALimitMovesTraffic) }

func testALimitMovesTraffic(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
	r.ready(2)
	small, other := r.modems[0].ICCID(), r.modems[1].ICCID()
	r.limit(small, queue.Limit{Window: queue.WindowMinute, MaxSegments: 3})
	// Two people know the small one's number.
	for i := range 2 {
		require.NoError(t, r.net.Inbound(small, number(i), "Hola"))
	}
	r.until("what they wrote", func() bool {
		list, _, err := r.inbox.Conversations(t.Context(), inbox.Filter{})
		require.NoError(t, err)
		return len(list) == 2
	})
	first := r.reaches(r.submit(queue.Request{To: []string{number(0)}, Text: "x"})[0].ID, queue.Sent)
	require.Equal(t, small, first.SIM)
	require.Equal(t, queue.WhySticky, r.why(first.ID))
	for range 2 {
		r.reaches(r.submit(queue.Request{To: []string{number(5)}, Text: "x", SIM: small})[0].ID, queue.Sent)
	}
	r.until("it says so", func() bool {
		s, err := r.pool.SIM(t.Context(), small)
		require.NoError(t, err)
		return s.State == pool.SIMLimitReached
	})
	require.Contains(t, r.findings(), "sim_limit 3 of 3")
	pinned := r.submit(queue.Request{To: []string{number(6)}, Text: "x", SIM: small})[0]
	for i := range 4 {
		m := r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID, queue.Sent)
		require.Equal(t, other, m.SIM)
		require.Less(t, m.SentAt.Sub(m.CreatedAt), time.Second+200*time.Millisecond)
	}
	require.Equal(t, queue.Queued, r.message(pinned.ID).State)
	time.Sleep(50 * time.Second)
	m := r.reaches(pinned.ID, queue.Sent)
	gate := r.gate(first.ID)
	require.InDelta(t, 61.2, r.gate(pinned.ID).Sub(gate).Seconds(), 0.1, "at once when the answer to the first is a minute old for certain")
	require.Equal(t, small, m.SIM)
	r.until("it is told", func() bool { return slices.Contains(r.states(small), "minutefree") })
	require.Subset(t, r.states(small), []string{"ready", "minutereached", "limit_reached"})
	require.Equal(t, "ready", r.state(small))
}

// findings are their codes, with facts of some.
func (r *rig) findings() (list []string) {
	for _, f := range r.pool.Findings(r.t.Context()) {
		one := f.Code
		switch f.Code {
		case "sim_limit":
			one += " " + f.Facts["used"] + " of " + f.Facts["most"]
		case "class_paused":
			one += " " + f.Facts["classes"]
		}
		list = append(list, one)
	}
	return list
}

func (r *rig) state(sim string) string {
	r.t.Helper()
	s, err := r.pool.SIM(r.t.Context(), sim)
	require.NoError(r.t, err)
	if s.State == pool.SIMBusy {
		return pool.SIMReady
	}
	return s.State
}

// gate is when a message's last attempt passed its gate.
func (r *rig) gate(id string) time.Time {
	r.t.Helper()
	var at int64
	require.NoError(r.t, r.db.Read().QueryRow(`SELECT gate_at FROM attempt a JOIN message m ON m.seq = a.message WHERE m.id = ? ORDER BY a.id DESC LIMIT 1`, id).Scan(&at))
	return time.UnixMilli(at)
}

// TestWhatPrefersASIMLeavesWithoutIt: when that is paused or pulled out, others
// send what only preferred it.
func TestWhatPrefersASIMLeavesWithoutIt(t *testing.T) {
	synctest.Test(t, testWhatPrefersASIMLeavesWithoutIt)
}

func testWhatPrefersASIMLeavesWithoutIt(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
	r.ready(2)
	known, other := r.modems[0].ICCID(), r.modems[1].ICCID()
	require.NoError(t, r.net.Inbound(known, number(0), "Hola"))
	r.until("what was written", func() bool {
		list, _, err := r.inbox.Conversations(t.Context(), inbox.Filter{})
		require.NoError(t, err)
		return len(list) == 1
	})
	// While the known one is away for a moment, it is waited for.
	r.modems[0].Unplug()
	r.ready(1)
	m := r.submit(queue.Request{To: []string{number(0)}, Text: "x"})[0]
	time.Sleep(5 * time.Second)
	require.Equal(t, queue.Queued, r.message(m.ID).State)
	got := r.reaches(m.ID, queue.Sent)
	require.Equal(t, other, got.SIM)
	require.InDelta(t, 10, got.SentAt.Sub(m.CreatedAt).Seconds(), 3)
	r.modems[0].Replug()
	r.ready(2)
	// When a person has paused it, it is not.
	require.NoError(t, r.net.Inbound(known, number(1), "Hola"))
	r.until("what was written", func() bool {
		list, _, err := r.inbox.Conversations(t.Context(), inbox.Filter{})
		require.NoError(t, err)
		return len(list) == 2
	})
	require.NoError(t, r.pool.PauseSIM(t.Context(), known, true))
	got = r.reaches(r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0].ID, queue.Sent)
	require.Equal(t, other, got.SIM)
	require.Less(t, got.SentAt.Sub(got.CreatedAt), time.Second)
}

// TestWhatIsToBeLetGoIsNotForgotten: what comes to prefer a SIM that cannot send it, a
// moment after that was looked for, leaves in a quarter of a second, though the
// dispatcher goes round for something else before.
func TestWhatIsToBeLetGoIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
		r.ready(3)
		its, full, other := r.modems[0].ICCID(), r.modems[1].ICCID(), r.modems[2].ICCID()
		r.writes(number(77), its)
		r.shutWindow(its)
		r.limit(full, queue.Limit{Window: queue.WindowMinute, MaxSegments: 1})
		r.reaches(r.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: full})[0].ID, queue.Sent)
		limits, err := r.store.Limits(t.Context(), full)
		require.NoError(t, err)
		room := limits.Limits[0].ResetsAt
		time.Sleep(room.Sub(r.clock.Now()) - 150*time.Millisecond)
		r.limit(other) // it is looked for
		time.Sleep(50 * time.Millisecond)
		m := r.submit(queue.Request{To: []string{number(77)}, Text: "x", Class: queue.Alert})[0]
		require.Equal(t, its, m.SIM)
		time.Sleep(300 * time.Millisecond)
		require.Zero(t, r.waiting([]string{m.ID}))
	})
}

// TestAMinuteIsOneAsTheNetworkCounts: between the gate and the network's count lie
// seconds, now more and now fewer; in no 60 seconds of the network's are there more
// than the limit allows.
func TestAMinuteIsOneAsTheNetworkCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, n = 5, 26
		r := newRig(t, 1, emulator.NetworkOptions{Latency: 3 * time.Second, LatencySigma: 0.6, Seed: 7})
		r.ready(1)
		r.limit(r.modems[0].ICCID(), queue.Limit{Window: queue.WindowMinute, MaxSegments: most})
		for i := range n {
			r.submit(queue.Request{To: []string{number(i)}, Text: "x", Class: queue.Normal})
		}
		time.Sleep(n / most * 70 * time.Second)
		at := r.accepted()
		require.Len(t, at, n)
		for i := range at[most:] {
			require.GreaterOrEqual(t, at[i+most].Time.Sub(at[i].Time), time.Minute, "the %d. and the %d.", i, i+most)
		}
	})
}

// TestEachLeavesWhenTheLimitHasRoom: a minute that is full, of which somebody has been
// told, has room for one message after the other, and each leaves at once.
func TestEachLeavesWhenTheLimitHasRoom(t *testing.T) {
	for name, c := range map[string]struct {
		class   queue.Class
		limit   queue.Limit
		reserve int
	}{
		"its minute":           {queue.OTP, queue.Limit{Window: queue.WindowMinute, MaxSegments: 2}, 0},
		"people in its minute": {queue.Alert, queue.Limit{Window: queue.WindowMinute, MaxRecipients: 2}, 0},
		"bulk's part of it":    {queue.Bulk, queue.Limit{Window: queue.WindowMinute, MaxSegments: 8}, 75},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const most = 2
				r := newRig(t, 1, emulator.NetworkOptions{Latency: 200 * time.Millisecond})
				r.ready(1)
				limits := []queue.Limit{c.limit}
				require.NoError(t, r.pool.SetLimits(t.Context(), r.modems[0].ICCID(), queue.LimitsPatch{Limits: &limits, ReservePercent: &c.reserve}))
				for i := range 8 {
					r.submit(queue.Request{To: []string{number(i)}, Text: "x", Class: c.class})
					if i < most {
						time.Sleep(1500 * time.Millisecond)
					}
				}
				time.Sleep(5 * time.Minute)
				at := r.accepted()
				require.Len(t, at, 8)
				for i := range at[most:] {
					require.Less(t, at[i+most].Time.Sub(at[i].Time), 61300*time.Millisecond, "the %d. and the %d.", i, i+most)
				}
			})
		})
	}
}
