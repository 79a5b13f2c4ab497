package pool_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
)

// route of some SIMs for everything.
func (r *rig) route(fallback string, sims ...queue.RouteSIM) {
	r.t.Helper()
	_, err := r.store.AddRoute(r.t.Context(), queue.Route{Name: "x", Enabled: true, Fallback: fallback, SIMs: sims})
	require.NoError(r.t, err)
}

// each submits a message of a class to that many people that nobody knows.
func (r *rig) each(n int, class queue.Class) (ids []string) {
	r.t.Helper()
	for range n {
		r.people++
		ids = append(ids, r.submit(queue.Request{To: []string{number(5000 + r.people)}, Text: "x", Class: class})[0].ID)
	}
	return ids
}

// waiting are those of the messages that have not left.
func (r *rig) waiting(ids []string) (n int) {
	r.t.Helper()
	for _, id := range ids {
		if r.message(id).State == queue.Queued {
			n++
		}
	}
	return n
}

// uneven weights for two SIMs: the first has three times the second's share.
func (r *rig) uneven() {
	r.t.Helper()
	r.route(queue.FallbackWait, queue.RouteSIM{ICCID: r.modems[0].ICCID(), Weight: 3}, queue.RouteSIM{ICCID: r.modems[1].ICCID(), Weight: 1})
}

// own sends so many messages on a SIM.
func (r *rig) own(sim string, n int) {
	r.t.Helper()
	for i := range n {
		r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x", SIM: sim})[0].ID, queue.Sent)
	}
}

// loses has a SIM lose an answer.
func (r *rig) loses(sim string) {
	r.t.Helper()
	r.net.AddRule(emulator.Rule{SIM: sim, Effect: emulator.Effect{Silent: true, Sent: true, NoReport: true}, Count: 1})
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: sim, Class: queue.OTP})[0]
	for r.message(m.ID).State == queue.Queued || r.message(m.ID).State == queue.Sending {
		time.Sleep(time.Second)
	}
}

// TestAMateThatMayNotSendItStopsNoRoute: a SIM does not wait for its turn on a route
// when the other, whose turn it is, may not take what waits there.
func TestAMateThatMayNotSendItStopsNoRoute(t *testing.T) {
	const latency = 200 * time.Millisecond
	for name, c := range map[string]struct {
		class queue.Class
		first func(r *rig, most, least string)
	}{
		"it has written to as many people as it may": {queue.Normal, func(r *rig, most, least string) {
			r.limit(least, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 1})
			r.own(least, 1)
		}},
		"so has the one that has most turns": {queue.Normal, func(r *rig, most, least string) {
			r.limit(most, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 1})
			r.own(most, 1)
		}},
		"what is left of its day is not for bulk": {queue.Bulk, func(r *rig, most, least string) {
			r.limit(least, queue.Limit{Window: queue.WindowDay, MaxSegments: 10})
			r.own(least, 8)
		}},
		"its answers are lost": {queue.OTP, func(r *rig, most, least string) {
			r.loses(least)
			time.Sleep(10 * time.Second)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, emulator.NetworkOptions{Latency: latency, ReportDelay: time.Second})
				r.ready(2)
				c.first(r, r.modems[0].ICCID(), r.modems[1].ICCID())
				r.uneven()
				ids := r.each(20, c.class)
				time.Sleep(20*latency + 3*time.Second)
				require.Zero(t, r.waiting(ids), "of %d", len(ids))
			})
		})
	}
}

// TestACodeWaitsForNoTurn: what is urgent leaves on an idle SIM of its route,
// whosever turn it is.
func TestACodeWaitsForNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
		r.ready(2)
		r.uneven()
		r.net.AddRule(emulator.Rule{SIM: r.modems[1].ICCID(), Effect: emulator.Effect{Late: 25 * time.Second}})
		r.each(12, queue.Normal) // the slow one has one of them
		time.Sleep(3 * time.Second)
		for i := range 8 {
			ids := r.each(1, []queue.Class{queue.OTP, queue.Alert}[i%2])
			time.Sleep(time.Second)
			require.Zero(t, r.waiting(ids), i)
		}
	})
}

// TestNobodyWaitsLongForAMate: a mate that could send, but has other things to do,
// is waited for a moment once, not before each message; also when these are the
// route's.
func TestNobodyWaitsLongForAMate(t *testing.T) {
	for name, classes := range map[string][]queue.Class{"beside the route": {queue.Bulk}, "on the route": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, emulator.NetworkOptions{Latency: 500 * time.Millisecond, ReportDelay: time.Second})
				r.ready(2)
				most, least := r.modems[0].ICCID(), r.modems[1].ICCID()
				_, err := r.store.AddRoute(t.Context(), queue.Route{Name: "x", Enabled: true, Fallback: queue.FallbackWait, Classes: classes,
					SIMs: []queue.RouteSIM{{ICCID: most, Weight: 3}, {ICCID: least, Weight: 1}}})
				require.NoError(t, err)
				// A long run of what is that SIM's own, and goes before bulk.
				for i := range 200 {
					r.submit(queue.Request{To: []string{number(i)}, Text: "x", SIM: least})
				}
				ids := r.each(40, queue.Bulk)
				time.Sleep(10*time.Second + 40*700*time.Millisecond)
				require.Zero(t, r.waiting(ids))
			})
		})
	}
}

// TestAMatesOwnMessagesAreNotWaitedFor: a SIM that is ahead on its route does not
// wait for a mate of a hundred times its weight that sends nothing but its own.
func TestAMatesOwnMessagesAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 500 * time.Millisecond, ReportDelay: time.Second})
		r.ready(2)
		heavy, light := r.modems[0].ICCID(), r.modems[1].ICCID()
		r.route(queue.FallbackWait, queue.RouteSIM{ICCID: heavy, Weight: 100}, queue.RouteSIM{ICCID: light, Weight: 1})
		r.own(light, 2) // it is ahead
		for i := range 100 {
			r.submit(queue.Request{To: []string{number(i)}, Text: "x", SIM: heavy})
		}
		time.Sleep(time.Second)
		ids := r.each(10, queue.Normal)
		time.Sleep(10*time.Second + 10*700*time.Millisecond)
		require.Zero(t, r.waiting(ids))
	})
}

// TestFallbackAfterLimits: what none of a route's SIMs may send moves on, also when
// they may send something else.
func TestFallbackAfterLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limit queue.Limit
		used  int
		class queue.Class
		text  string
	}{
		"people of the month": {queue.Limit{Window: queue.WindowMonth, MaxRecipients: 1}, 1, queue.Normal, "x"},
		"the reserve":         {queue.Limit{Window: queue.WindowDay, MaxSegments: 10}, 8, queue.Bulk, "x"},
		"a long message":      {queue.Limit{Window: queue.WindowDay, MaxSegments: 10}, 8, queue.Normal, fmt.Sprintf("%0400d", 7)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
				r.ready(2)
				its, other := r.modems[0].ICCID(), r.modems[1].ICCID()
				r.limit(its, c.limit)
				r.own(its, c.used)
				r.route(queue.FallbackAny, queue.RouteSIM{ICCID: its, Weight: 1})
				m := r.submit(queue.Request{To: []string{number(100)}, Text: c.text, Class: c.class})[0]
				time.Sleep(50 * time.Second)
				require.Equal(t, queue.Queued, r.message(m.ID).State, "they may be able again soon")
				time.Sleep(15 * time.Second)
				m = r.message(m.ID)
				require.Contains(t, []queue.State{queue.Sent, queue.Delivered}, m.State)
				require.Equal(t, other, m.SIM)
			})
		})
	}
}

// TestFallbackAfterRefusals: a SIM whose network refuses everything is not able
// because it has rested for some seconds.
func TestFallbackAfterRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
		r.ready(2)
		its, other := r.modems[0].ICCID(), r.modems[1].ICCID()
		r.net.AddRule(emulator.Rule{SIM: its, Effect: emulator.Effect{CMS: 38}})
		r.route(queue.FallbackAny, queue.RouteSIM{ICCID: its, Weight: 1})
		first := r.each(3, queue.Normal)
		time.Sleep(80 * time.Second)
		later := r.each(10, queue.Normal)
		time.Sleep(15 * time.Second)
		require.Zero(t, r.waiting(later))
		for _, id := range later {
			require.Equal(t, other, r.message(id).SIM)
		}
		time.Sleep(12 * time.Minute)
		require.LessOrEqual(t, r.waiting(first), 1, "one may have been tried on it again")
		// It is tried again, and goes on when its network does.
		r.net.ClearRules()
		time.Sleep(12 * time.Minute)
		r.each(4, queue.Normal)
		time.Sleep(time.Minute)
		on := r.each(4, queue.Normal)
		time.Sleep(20 * time.Second)
		for _, id := range on {
			require.Equal(t, its, r.message(id).SIM)
		}
	})
}

// TestALostAnswerKeepsNoCodesAwayForEver: after some minutes a SIM that has lost
// an answer sends codes again, where only codes are sent.
func TestALostAnswerKeepsNoCodesAwayForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, ReportDelay: time.Second})
		r.ready(2)
		its := r.modems[0].ICCID()
		r.loses(its)
		on := func() (n int) {
			ids := r.each(2, queue.OTP)
			time.Sleep(8 * time.Second)
			require.Zero(t, r.waiting(ids))
			for _, id := range ids {
				if r.message(id).SIM == its {
					n++
				}
			}
			return n
		}
		time.Sleep(time.Minute)
		require.Zero(t, on(), "while the other is well")
		time.Sleep(7 * time.Minute)
		require.Positive(t, on())
	})
}

// TestAFullMinuteIsNoState: a SIM that sends as fast as its minute allows stays
// ready, and keeps what prefers it.
func TestAFullMinuteIsNoState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpeedRigOf(t, false, 7, time.Second, time.Second)
		its := s.sims[0]
		s.limit(its, queue.Limit{Window: queue.WindowMinute, MaxSegments: 4})
		s.limit(s.sims[1], queue.Limit{Window: queue.WindowMinute, MaxSegments: 4})
		before := len(s.states(its))
		full := 0
		for i := range 20 {
			m := s.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
			if i == 0 {
				m = s.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: its})[0]
			}
			for range 600 {
				if s.message(m.ID).State != queue.Queued {
					break
				}
				if l, err := s.pool.Limits(t.Context(), its); err == nil && l.Room.Segments[queue.LaneNormal] == 0 {
					full++
				}
				s.pass(100 * time.Millisecond)
			}
			if i > 0 {
				require.Equal(t, its, s.message(m.ID).SIM, "message %d", i)
			}
		}
		require.Greater(t, full, 10, "its minute was full now and then")
		states := 0
		for _, one := range s.states(its)[before:] {
			if one == "ready" || one == "limit_reached" {
				states++
			}
		}
		require.LessOrEqual(t, states, 2, "%v", s.states(its))
	})
}
