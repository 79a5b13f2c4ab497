package pool_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
)

// TestACodeIsTriedOnADoubtfulSIMWhenNoOtherMayHaveIt: what cannot wait is kept from a
// SIM in doubt for one that is well, can send it and may; not for one that cannot.
func TestACodeIsTriedOnADoubtfulSIMWhenNoOtherMayHaveIt(t *testing.T) {
	for name, keep := range map[string]func(r *rig, its, other string){
		"the other is not on its route": func(r *rig, its, _ string) {
			r.route(queue.FallbackWait, queue.RouteSIM{ICCID: its, Weight: 1})
		},
		"nor yet by its fallback": func(r *rig, its, _ string) {
			r.route(queue.FallbackAny, queue.RouteSIM{ICCID: its, Weight: 1})
		},
		"the other's day is full": func(r *rig, _, other string) {
			r.limit(other, queue.Limit{Window: queue.WindowDay, MaxSegments: 2})
			r.own(other, 2)
		},
		"the other has written to as many people as it may": func(r *rig, _, other string) {
			r.limit(other, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 1})
			r.own(other, 1)
		},
		"the other's day has no room for so long a one": func(r *rig, _, other string) {
			r.limit(other, queue.Limit{Window: queue.WindowDay, MaxSegments: 3})
			r.own(other, 2)
		},
		"these are not the other's hours": func(r *rig, _, other string) { r.shutWindow(other) },
		"the other dials": func(r *rig, _, other string) {
			go func() { _, _ = r.pool.USSD(r.t.Context(), other, "*108#") }() // answers after 20 s
			time.Sleep(100 * time.Millisecond)
		},
	} {
		for _, class := range []queue.Class{queue.OTP, queue.Alert} {
			t.Run(name+"/"+string(class), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, 2, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
					r.ready(2)
					its, other := r.modems[0].ICCID(), r.modems[1].ICCID()
					r.loses(its)
					time.Sleep(10 * time.Second)
					keep(r, its, other)
					text := "x"
					if strings.Contains(name, "long") {
						text = fmt.Sprintf("%0200d", 7)
					}
					var ids []string
					for i := range 2 {
						ids = append(ids, r.submit(queue.Request{To: []string{number(3000 + i)}, Text: text, Class: class})[0].ID)
					}
					time.Sleep(12 * time.Second) // after the first its modem listens for what the lost one may still say
					require.Zero(t, r.waiting(ids))
					for _, id := range ids {
						require.Equal(t, its, r.message(id).SIM)
					}
				})
			})
		}
	}
}

// TestACodeLeavesTheOneThatBeginsToDial: it waited for a SIM that is well, which a
// person then has dial.
func TestACodeLeavesTheOneThatBeginsToDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, ReportDelay: time.Second})
		r.ready(2)
		its, other := r.modems[0].ICCID(), r.modems[1].ICCID()
		r.loses(its)
		time.Sleep(10 * time.Second)
		r.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: other})
		time.Sleep(200 * time.Millisecond)
		ids := r.each(1, queue.OTP)
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, 1, r.waiting(ids), "for the other, which is well")
		go func() { _, _ = r.pool.USSD(r.t.Context(), other, "*108#") }()
		time.Sleep(200 * time.Millisecond)
		require.Zero(t, r.waiting(ids))
	})
}

// shutWindow has a SIM's send window begin in two hours.
func (r *rig) shutWindow(sim string) {
	r.t.Helper()
	local := r.clock.Now().Local()
	from := (60*local.Hour() + local.Minute() + 120) % (24 * 60)
	_, err := r.pool.UpdateSIM(r.t.Context(), sim, queue.SIMPatch{Window: &queue.SendWindow{From: from, To: (from + 60) % (24 * 60), Days: 127}})
	require.NoError(r.t, err)
}

// writes has somebody write to a SIM, which he knows from then on.
func (r *rig) writes(from, sim string) {
	r.t.Helper()
	require.NoError(r.t, r.net.Inbound(sim, from, "Hola"))
	r.until("what was written", func() bool {
		list, _, err := r.inbox.Conversations(r.t.Context(), inbox.Filter{})
		require.NoError(r.t, err)
		return slices.ContainsFunc(list, func(c inbox.Conversation) bool { return c.Number == from })
	})
}

// quote is what is foreseen of a request.
func (r *rig) quote(q queue.Request) pool.Forecast {
	r.t.Helper()
	asked, err := r.store.Quote(r.t.Context(), q)
	require.NoError(r.t, err)
	f, err := r.pool.Forecast(r.t.Context(), pool.WorkOf(q, asked))
	require.NoError(r.t, err)
	return f
}

// mute has canaries find that a modem's SIM does not receive.
func (r *rig) mute(i int) {
	r.t.Helper()
	r.modems[i].Inject(mutes[1].fault)
	r.test(i)
	r.inTime(20*time.Minute, "the quarantine", func() bool { q, _ := r.quarantine(i); return q.NoReceive && !q.NoSend })
}

// TestASIMThatDoesNotReceiveIsLast: also under load, and for those who know it.
func TestASIMThatDoesNotReceiveIsLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		r.ready(2)
		well, its := r.modems[0].ICCID(), r.modems[1].ICCID()
		r.writes(number(3), its)
		r.mute(1)
		on := func(ids []string) (n int) {
			for _, id := range ids {
				if r.message(id).SIM == its {
					n++
				}
			}
			return n
		}
		for _, class := range []queue.Class{queue.Bulk, queue.OTP} {
			ids := r.each(20, class)
			r.inTime(5*time.Minute, "all have left", func() bool { return r.waiting(ids) == 0 })
			require.Zero(t, on(ids), class)
		}
		// Who knows it is written to on the other; what is asked for goes on it.
		time.Sleep(10 * time.Second)
		known := r.submit(queue.Request{To: []string{number(3)}, Text: "x"})[0]
		time.Sleep(time.Second)
		require.NotEqual(t, queue.Queued, r.message(known.ID).State)
		r.reaches(known.ID, queue.Sent)
		require.Equal(t, well, r.message(known.ID).SIM)
		pinned := r.submit(queue.Request{To: []string{number(4)}, Text: "x", SIM: its})[0]
		require.Equal(t, its, r.reaches(pinned.ID, queue.Sent).SIM)
		// The other may not send it: then it does.
		r.limit(well, queue.Limit{Window: queue.WindowDay, MaxSegments: 1})
		ids := append(r.each(5, queue.Bulk), r.each(5, queue.OTP)...)
		time.Sleep(20 * time.Second)
		require.Zero(t, r.waiting(ids))
		require.Equal(t, len(ids), on(ids))
	})
}

// TestWhatASIMMayNotSendPrefersItNoLonger: outside its hours, or beyond what it may
// send of that lane, to so many people, at once.
func TestWhatASIMMayNotSendPrefersItNoLonger(t *testing.T) {
	for name, c := range map[string]struct {
		class queue.Class
		text  string
		stays bool
		keep  func(r *rig, its string)
	}{
		"its window is closed":       {queue.Normal, "x", false, func(r *rig, its string) { r.shutWindow(its) }},
		"its window is closed/alert": {queue.Alert, "x", false, func(r *rig, its string) { r.shutWindow(its) }},
		"nobody knows whether its window is open": {queue.Normal, "x", false, func(r *rig, its string) {
			r.shutWindow(its)
			r.clock.doubt(true)
		}},
		"nobody knows whether its window is open/alert": {queue.Alert, "x", true, func(r *rig, its string) {
			r.shutWindow(its)
			r.clock.doubt(true)
		}},
		"the rest of its day is not for bulk": {queue.Bulk, "x", false, func(r *rig, its string) {
			r.limit(its, queue.Limit{Window: queue.WindowDay, MaxSegments: 10})
			r.own(its, 8)
		}},
		"the rest of its day is for others": {queue.Normal, "x", true, func(r *rig, its string) {
			r.limit(its, queue.Limit{Window: queue.WindowDay, MaxSegments: 10})
			r.own(its, 8)
		}},
		"its day has no room for so long a message": {queue.Normal, fmt.Sprintf("%0400d", 7), false, func(r *rig, its string) {
			r.limit(its, queue.Limit{Window: queue.WindowDay, MaxSegments: 10})
			r.own(its, 8)
		}},
		"it has written to as many people": {queue.Normal, "x", false, func(r *rig, its string) {
			r.limit(its, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 2})
			r.own(its, 2)
		}},
		"he is one of them": {queue.Normal, "x", true, func(r *rig, its string) {
			r.limit(its, queue.Limit{Window: queue.WindowMonth, MaxRecipients: 2})
			r.own(its, 1)
			r.reaches(r.submit(queue.Request{To: []string{number(77)}, Text: "x", SIM: its})[0].ID, queue.Sent)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, emulator.NetworkOptions{Latency: 200 * time.Millisecond, ReportDelay: time.Second})
				r.ready(2)
				its := r.modems[0].ICCID()
				r.writes(number(77), its)
				c.keep(r, its)
				time.Sleep(time.Second)
				work := queue.Request{To: []string{number(77)}, Text: c.text, Class: c.class}
				quote := r.quote(work)
				m := r.submit(work)[0]
				require.Equal(t, its, m.SIM, "it prefers that one")
				time.Sleep(time.Second)
				m = r.message(m.ID)
				require.Equal(t, queue.Sent, m.State)
				require.Equal(t, c.stays, m.SIM == its)
				require.Equal(t, m.SIM, quote.Shares[0].ICCID, "%+v", quote)
				require.Less(t, quote.ETA, 10*time.Second)
			})
		})
	}
}

// eavesdropper is a clock that somebody does something at when a line looks what it
// may take, by rules that it has read already.
type eavesdropper struct {
	*manualClock
	asked atomic.Pointer[func()]
}

func (c *eavesdropper) Now() time.Time {
	if do := c.asked.Load(); do != nil && calledBy("(*line).next") && calledBy("(*Pool).today") && c.asked.CompareAndSwap(do, nil) {
		(*do)()
	}
	return c.manualClock.Now()
}

func calledBy(name string) bool {
	var pcs [50]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, name) {
			return true
		}
		if !more {
			return false
		}
	}
}

// TestWhatChangesWhileALineLooksIsSeen: rules that are made between a line's reading
// of the old ones and its claim are not missed until somebody looks again by chance.
func TestWhatChangesWhileALineLooksIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &eavesdropper{manualClock: &manualClock{}}
		r := emptyRigBy(t, emulator.NetworkOptions{Latency: 500 * time.Millisecond, ReportDelay: 20 * time.Second}, clock.manualClock, clock)
		r.emulate(2)
		r.ready(2)
		require.NoError(t, r.pool.PauseSIM(t.Context(), r.modems[1].ICCID(), true))
		local := clock.Now().Local()
		then := pool.Minute((60*local.Hour() + local.Minute() + 120) % (24 * 60))
		require.NoError(t, r.pool.SetQuietHours(t.Context(), pool.QuietHours{Classes: []queue.Class{queue.Bulk}, From: then, To: (then + 60) % (24 * 60)}))
		route, err := r.store.AddRoute(t.Context(), queue.Route{Name: "x", Enabled: true, Fallback: queue.FallbackWait, Classes: []queue.Class{queue.OTP},
			SIMs: []queue.RouteSIM{{ICCID: r.modems[1].ICCID(), Weight: 1}}})
		require.NoError(t, err)
		first := r.each(1, queue.Normal)[0]
		code := r.each(1, queue.OTP)[0]
		changed := false
		do := func() {
			route.SIMs[0].ICCID = r.modems[0].ICCID()
			_, err := r.store.UpdateRoute(context.Background(), route)
			changed = err == nil
			time.Sleep(time.Millisecond) // the dispatcher goes round
		}
		clock.asked.Store(&do)
		sent := r.reaches(first, queue.Sent).SentAt
		require.True(t, changed)
		require.Less(t, r.reaches(code, queue.Sent).SentAt.Sub(sent), 700*time.Millisecond)
	})
}
