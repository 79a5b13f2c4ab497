package pool_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
)

// usual is a network as they are: two seconds to take a message, three to bring
// it.
var usual = emulator.NetworkOptions{Latency: 2 * time.Second, LatencySigma: 0.3, ReportDelay: 3 * time.Second}

// muted is a fault that makes a modem mute.
type muted struct {
	name          string
	fault         emulator.Fault
	send, receive bool
}

var mutes = []muted{
	{"accepts and delivers nothing", emulator.Fault{Kind: emulator.FaultSwallow, Count: -1}, true, false},
	{"receives nothing", emulator.Fault{Kind: emulator.FaultNoInbound}, false, true},
	{"loses what it receives", emulator.Fault{Kind: emulator.FaultNoInbound, Text: "lost"}, false, true},
	{"is refused", emulator.Fault{Kind: emulator.FaultCMSRefused, Code: 38, Count: -1}, true, false},
	{"never gets a prompt", emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Code: 302, Count: -1}, true, false},
}

// TestCanaryMeasures: submission, report and arrival, and that nobody takes it
// for a message.
func TestCanaryMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, ReportDelay: 3 * time.Second})
		r.ready(2)
		list := r.test(0)
		require.Len(t, list, 2, "there and back")
		r.inTime(time.Minute, "the arrival", func() bool {
			c, err := r.store.Canary(t.Context(), list[0].ID)
			require.NoError(t, err)
			return c.State == queue.CanaryArrived && c.Reported >= 0
		})
		c, err := r.store.Canary(t.Context(), list[0].ID)
		require.NoError(t, err)
		require.InDelta(t, 2, c.Accepted.Seconds(), 0.5)
		require.InDelta(t, 5, c.Arrived.Seconds(), 0.5)
		require.InDelta(t, 5, c.Reported.Seconds(), 0.5)
		require.Equal(t, []string{r.modems[0].ICCID(), r.modems[1].ICCID(), "ana"}, []string{c.From, c.To, c.AskedBy})
		in, _, err := r.inbox.List(t.Context(), inbox.Filter{})
		require.NoError(t, err)
		require.Empty(t, in)
		require.Contains(t, pool.CanaryIn(c, "en"), "it arrived; accepted after 2.")
		require.Contains(t, pool.CanaryIn(c, "es"), "llegó; aceptado a los 2,")
	})
}

// TestAMuteLineIsFoundAmongFour: which one, what it does not do, in minutes; the
// others stay.
func TestAMuteLineIsFoundAmongFour(t *testing.T) {
	for _, m := range mutes {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 4, usual)
				r.ready(4)
				r.modems[2].Inject(m.fault)
				r.test(2)
				took := r.inTime(15*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(2); return ok })
				t.Logf("found after %s", took)
				q, _ := r.quarantine(2)
				require.Equal(t, []bool{m.send, m.receive}, []bool{q.NoSend, q.NoReceive})
				require.GreaterOrEqual(t, len(q.Evidence), 2)
				state, reason := r.simState(2)
				require.Equal(t, pool.SIMQuarantined, state)
				require.Equal(t, q.In("en"), reason)
				time.Sleep(12 * time.Minute)
				for i := range r.modems {
					_, ok := r.quarantine(i)
					require.Equal(t, i == 2, ok, "modem %d", i)
				}

				// What waits goes elsewhere, and it comes back when it works again.
				one := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
				r.inTime(time.Minute, "sent", func() bool { return r.message(one.ID).State == queue.Delivered })
				require.NotEqual(t, r.modems[2].ICCID(), r.message(one.ID).SIM)
				r.modems[2].ClearFaults()
				r.inTime(5*time.Minute, "the way back", func() bool { _, ok := r.quarantine(2); return !ok })
				state, _ = r.simState(2)
				require.Equal(t, pool.SIMReady, state)
			})
		})
	}
}

// TestTwoSIMs: both directions, and each to itself.
func TestTwoSIMs(t *testing.T) {
	for _, m := range mutes[:3] {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, usual)
				r.ready(2)
				r.modems[1].Inject(m.fault)
				r.test(0)
				took := r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
				t.Logf("found after %s", took)
				q, _ := r.quarantine(1)
				require.Equal(t, []bool{m.send, m.receive}, []bool{q.NoSend, q.NoReceive})
				_, ok := r.quarantine(0)
				require.False(t, ok)
				r.modems[1].ClearFaults()
				r.inTime(5*time.Hour, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
			})
		})
	}
}

// TestOneSIM texts itself: nobody can tell which side it is.
func TestOneSIM(t *testing.T) {
	for _, m := range mutes[:2] {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, usual)
				r.ready(1)
				require.Len(t, r.test(0), 1)
				r.inTime(time.Minute, "the arrival", func() bool {
					list, _, err := r.store.Canaries(t.Context(), queue.CanaryFilter{State: queue.CanaryArrived})
					require.NoError(t, err)
					return len(list) == 1
				})
				r.clock.advance(time.Hour)
				time.Sleep(time.Minute)
				r.modems[0].Inject(m.fault)
				r.test(0)
				took := r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(0); return ok })
				t.Logf("found after %s", took)
				q, _ := r.quarantine(0)
				require.True(t, q.NoTell)
				r.modems[0].ClearFaults()
				r.inTime(5*time.Hour, "the way back", func() bool { _, ok := r.quarantine(0); return !ok })
			})
		})
	}
}

// TestBothSidesMute: a line that neither sends nor receives.
func TestBothSidesMute(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, n, usual)
				r.ready(n)
				r.modems[1].Inject(mutes[0].fault)
				r.modems[1].Inject(mutes[1].fault)
				r.test(1)
				r.inTime(25*time.Minute, "the quarantine", func() bool { q, _ := r.quarantine(1); return q.NoSend && q.NoReceive })
				time.Sleep(12 * time.Minute)
				_, ok := r.quarantine(0)
				require.False(t, ok)
				r.modems[1].ClearFaults()
				r.inTime(time.Hour, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
			})
		})
	}
}

// TestANetworkThatIsDown puts nobody into quarantine, and costs little.
func TestANetworkThatIsDown(t *testing.T) {
	for _, fault := range []int{0, 3} {
		t.Run(mutes[fault].name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 4, usual)
				r.ready(4)
				for _, m := range r.modems {
					m.Inject(mutes[fault].fault)
				}
				r.test(0)
				time.Sleep(20 * time.Minute)
				r.passes(1, 1)
				for i := range r.modems {
					_, ok := r.quarantine(i)
					require.False(t, ok)
				}
				require.LessOrEqual(t, len(r.allCanaries()), 2+3)
			})
		})
	}
}

// TestAReceiverThatIsAway is not mute: its canary says nothing.
func TestAReceiverThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		c, err := r.pool.Canary(t.Context(), r.modems[0].ICCID(), r.modems[1].ICCID(), "ana")
		require.NoError(t, err)
		r.modems[1].Unplug()
		time.Sleep(30 * time.Minute)
		c, err = r.store.Canary(t.Context(), c.ID)
		require.NoError(t, err)
		require.Equal(t, []any{queue.CanaryVoid, queue.CanaryNotReady}, []any{c.State, c.Detail})
		require.Len(t, r.allCanaries(), 1)
		c, err = r.pool.Canary(t.Context(), r.modems[0].ICCID(), "", "ana")
		require.NoError(t, err)
		require.Equal(t, r.modems[2].ICCID(), c.To)
		_, err = r.pool.Canary(t.Context(), r.modems[0].ICCID(), r.modems[1].ICCID(), "ana")
		require.ErrorIs(t, err, pool.ErrNotFit)
	})
}

// TestAPersonEndsAQuarantine, and what was before does not count any more.
func TestAPersonEndsAQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.modems[0].Inject(mutes[0].fault)
		r.test(0)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(0); return ok })
		require.NoError(t, r.pool.EndQuarantine(t.Context(), r.modems[0].ICCID()))
		_, ok := r.quarantine(0)
		require.False(t, ok)
		time.Sleep(15 * time.Minute)
		r.passes(1, 1)
		_, ok = r.quarantine(0)
		require.False(t, ok)
		r.test(0)
		r.inTime(20*time.Minute, "found anew", func() bool { _, ok := r.quarantine(0); return ok })
		require.NoError(t, r.pool.Restart(t.Context(), r.pool.Modems()[0].ID))
		_, ok = r.quarantine(0)
		require.False(t, ok)
		require.ErrorIs(t, r.pool.EndQuarantine(t.Context(), "1"), pool.ErrNoSIM)
	})
}

// TestWhatACanaryNeeds: a number, a line that is ready, and leave to send.
func TestWhatACanaryNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		m.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CNUM", Count: -1})
		r.modems = append(r.modems, m)
		require.NoError(t, r.pool.Add(pool.Port{Name: "emulated:3", Open: m.Open, Emulated: true}))
		r.ready(3)
		ctx := t.Context()
		a, b, c := r.modems[0].ICCID(), r.modems[1].ICCID(), m.ICCID()
		_, err := r.pool.Canary(ctx, a, c, "ana")
		require.ErrorIs(t, err, pool.ErrNoNumber)
		require.Contains(t, err.Error(), "enter it")
		_, err = r.pool.UpdateSIM(ctx, c, queue.SIMPatch{Number: new(m.Number()[3:])}) // as people say it
		require.NoError(t, err)
		got, err := r.pool.Canary(ctx, a, c, "ana")
		require.NoError(t, err)
		r.inTime(time.Minute, "the arrival", func() bool {
			got, err = r.store.Canary(ctx, got.ID)
			require.NoError(t, err)
			return got.State == queue.CanaryArrived
		})
		_, err = r.pool.Canary(ctx, a, "1", "ana")
		require.ErrorIs(t, err, pool.ErrNoSIM)
		_, err = r.pool.UpdateSIM(ctx, b, queue.SIMPatch{Enabled: new(false)})
		require.NoError(t, err)
		_, err = r.pool.Canary(ctx, b, a, "ana")
		require.ErrorIs(t, err, pool.ErrNotFit)
		require.NoError(t, r.pool.Pause(ctx))
		_, err = r.pool.Canary(ctx, a, c, "ana")
		require.ErrorIs(t, err, pool.ErrPaused)
	})
}

// TestTheKillSwitchHoldsACanary: it does not leave, and says nothing of the line.
func TestTheKillSwitchHoldsACanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		r.ready(2)
		busy := r.submit(queue.Request{To: []string{number(1), number(2)}, Text: "x"})
		r.reaches(busy[0].ID, queue.Sending)
		r.reaches(busy[1].ID, queue.Sending)
		list := r.test(0)
		require.NoError(t, r.pool.Pause(t.Context()))
		time.Sleep(30 * time.Minute)
		for _, c := range list {
			got, err := r.store.Canary(t.Context(), c.ID)
			require.NoError(t, err)
			require.Equal(t, queue.CanaryVoid, got.State)
			require.Equal(t, queue.CanaryPaused, got.Detail)
			require.Equal(t, queue.Cancelled, got.MessageState)
		}
		require.NoError(t, r.pool.Resume(t.Context()))
		r.reaches(busy[0].ID, queue.Delivered)
		for _, e := range r.accepted() {
			require.Empty(t, queue.CanaryOf(e.Text))
		}
	})
}

// TestTheSchedule: each line sends one and receives one, every so many hours.
func TestTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.settings(queue.CanarySettings{EveryHours: 2})
		r.clock.advance(109 * time.Minute)
		time.Sleep(10 * time.Minute)
		require.Empty(t, r.accepted())
		time.Sleep(2 * time.Minute)
		sent, got := map[string]int{}, map[string]int{}
		for _, e := range r.accepted() {
			sent[e.SIM]++
		}
		for _, e := range r.net.Ledger() {
			if e.Type == emulator.EntryDeliver {
				got[e.SIM]++
			}
		}
		for _, m := range r.modems {
			require.Equal(t, []int{1, 1}, []int{sent[m.ICCID()], got[m.ICCID()]})
		}
		// One of them is mute from now on: nobody needs to ask.
		r.modems[1].Inject(mutes[0].fault)
		r.clock.advance(110 * time.Minute)
		took := r.inTime(25*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		t.Logf("found %s after the round", took-9*time.Minute)
		r.settings(queue.CanarySettings{})
	})
}

// TestASuspicion: the reports of one line stop, and others get theirs.
func TestASuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.settings(queue.CanarySettings{Suspicion: true})
		n := 0
		work := func() {
			for i := range r.modems {
				n++
				r.submit(queue.Request{To: []string{number(n)}, Text: "x", SIM: r.modems[i].ICCID()})
			}
			time.Sleep(30 * time.Second)
		}
		for range 20 {
			work()
		}
		list, _, err := r.store.Canaries(t.Context(), queue.CanaryFilter{})
		require.NoError(t, err)
		require.Empty(t, list, "all is well")
		r.modems[1].Inject(mutes[0].fault)
		start := time.Now()
		for {
			if _, ok := r.quarantine(1); ok {
				break
			}
			if time.Since(start) > 20*time.Minute {
				r.tell()
				require.FailNow(t, "not found")
			}
			work()
		}
		t.Logf("found after %s", time.Since(start))
		for _, i := range []int{0, 2} {
			_, ok := r.quarantine(i)
			require.False(t, ok)
		}
	})
}

// TestCanariesOverARestart: in quarantine before and after, and a canary that was
// under way is followed on.
func TestCanariesOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLasting(t, 3, usual)
		r.ready(3)
		r.modems[0].Inject(mutes[0].fault)
		r.test(0)
		time.Sleep(100 * time.Second) // accepted, and nothing has come yet
		r.restart()
		took := r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(0); return ok })
		t.Logf("found %s after the restart", took)
		sent := len(r.sentBy(0))
		r.restart()
		_, ok := r.quarantine(0)
		require.True(t, ok, "before anything may leave")
		r.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: r.modems[0].ICCID()})
		time.Sleep(5 * time.Minute)
		require.Len(t, r.sentBy(0), sent)
		r.modems[0].ClearFaults()
		r.inTime(time.Hour, "the way back", func() bool { _, ok := r.quarantine(0); return !ok })
		for _, m := range r.allCanaries() {
			require.LessOrEqual(t, r.message(m.Message).Attempts, 1)
		}
	})
}
