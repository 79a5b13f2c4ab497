package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/sqlite"
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

func (r *rig) test(i int) []queue.Canary {
	r.t.Helper()
	list, err := r.pool.TestSIM(r.t.Context(), r.modems[i].ICCID(), "ana")
	require.NoError(r.t, err)
	return list
}

func (r *rig) quarantine(i int) (pool.Quarantine, bool) {
	r.t.Helper()
	q, ok, err := r.pool.Quarantine(context.Background(), r.modems[i].ICCID())
	require.NoError(r.t, err)
	return q, ok
}

// within waits in the bubble's time until ok, at most so long, and says how long
// it took.
func (r *rig) inTime(d time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > d {
			r.tell()
			require.FailNow(r.t, "not within "+d.String()+": "+what)
		}
		time.Sleep(time.Second)
	}
	return time.Since(start)
}

// tell logs what the canaries did.
func (r *rig) tell() {
	list, _, err := r.store.Canaries(context.Background(), queue.CanaryFilter{Limit: 100})
	require.NoError(r.t, err)
	for _, c := range list {
		r.t.Logf("%s %s %s → %s (%s): %s", c.StartedAt.Format(time.TimeOnly), c.AskedBy, r.who(c.From), r.who(c.To), c.State, pool.CanaryIn(c, "en"))
	}
	sims, err := r.pool.SIMs(context.Background())
	require.NoError(r.t, err)
	for _, s := range sims {
		r.t.Logf("%s: %s %s", r.who(s.ICCID), s.State, s.Reason)
	}
}

func (r *rig) who(iccid string) string {
	for _, m := range r.modems {
		if m.ICCID() == iccid {
			return m.Name()
		}
	}
	return iccid
}

func (r *rig) settings(c queue.CanarySettings) {
	r.t.Helper()
	require.NoError(r.t, r.store.SetCanarySettings(r.t.Context(), c, "ana"))
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
				time.Sleep(time.Hour)
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
				time.Sleep(time.Hour)
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
		time.Sleep(time.Hour)
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
		time.Sleep(119 * time.Minute)
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
		took := r.inTime(2*time.Hour+15*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		t.Logf("found %s after the round", took-119*time.Minute)
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

// lasting is a rig whose program can be stopped and started again.
type lasting struct {
	*rig
	path string
	stop func()
}

func newLasting(t testing.TB, modems int, o emulator.NetworkOptions) *lasting {
	r := &lasting{rig: &rig{t: t, clock: &manualClock{}, net: emulator.NewNetwork(o)}, path: filepath.Join(t.TempDir(), "recado.db")}
	for range modems {
		r.modems = append(r.modems, r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond}))
	}
	r.start()
	t.Cleanup(func() {
		r.stop()
		require.NoError(t, r.net.Close())
	})
	return r
}

func (r *lasting) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	r.db, err = sqlite.Open(ctx, r.path, sqlite.Options{Log: log})
	require.NoError(r.t, err)
	r.store, err = queue.New(ctx, r.db, queue.Options{Clock: r.clock, Log: log})
	require.NoError(r.t, err)
	r.inbox = inbox.New(r.db, r.store, inbox.Options{Clock: r.clock, Log: log})
	r.pool = pool.New(pool.Options{Store: r.store, Inbox: r.inbox, Clock: r.clock, Log: log})
	for i, m := range r.modems {
		require.NoError(r.t, r.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: m.Open, Emulated: true}))
	}
	done := make(chan error, 1)
	go func() { done <- r.pool.Run(ctx) }()
	r.stop = func() {
		cancel()
		require.NoError(r.t, <-done)
		require.NoError(r.t, r.db.Close())
	}
}

func (r *lasting) restart() {
	r.t.Helper()
	r.stop()
	r.start()
	r.until("the modems", func() bool {
		for _, m := range r.pool.Modems() {
			if m.State != modem.StateReady {
				return false
			}
		}
		return true
	})
}

func (r *rig) allCanaries() []queue.Canary {
	r.t.Helper()
	list, _, err := r.store.Canaries(context.Background(), queue.CanaryFilter{Limit: 500})
	require.NoError(r.t, err)
	return list
}

func (r *rig) sentBy(i int) (list []emulator.Entry) {
	for _, e := range r.accepted() {
		if e.SIM == r.modems[i].ICCID() {
			list = append(list, e)
		}
	}
	return list
}

// TestHealthyLinesStay on networks of all kinds, whatever becomes of the reports.
func TestHealthyLinesStay(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 5))
				r := newRig(t, 1+int(seed), emulator.NetworkOptions{
					Latency: time.Duration(rnd.IntN(20_000)) * time.Millisecond, LatencySigma: rnd.Float64(),
					ReportDelay: time.Duration(rnd.IntN(150)) * time.Second, Seed: int64(seed),
					Rules: []emulator.Rule{{Probability: rnd.Float64(), Effect: emulator.Effect{NoReport: true}}},
				})
				r.ready(1 + int(seed))
				for _, m := range r.modems {
					if _, err := r.pool.TestSIM(t.Context(), m.ICCID(), "ana"); !errors.Is(err, queue.ErrCanaryRunning) {
						require.NoError(t, err)
					}
					time.Sleep(time.Minute)
				}
				r.modems[0].Reboot() // what comes meanwhile waits for it
				time.Sleep(25 * time.Minute)
				for i := range r.modems {
					if _, ok := r.quarantine(i); ok {
						r.tell()
						require.FailNow(t, "quarantined", r.modems[i].Name())
					}
				}
				for _, c := range r.allCanaries() {
					require.False(t, c.EndedAt.IsZero())
				}
			})
		})
	}
}

// TestWhatComesInEndsAQuarantine of a line that did not receive, at once.
func TestWhatComesInEndsAQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.modems[1].Inject(emulator.Fault{Kind: emulator.FaultNoInbound, Text: "lost"})
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		time.Sleep(time.Minute)
		r.modems[1].ClearFaults()
		require.NoError(t, r.net.Inbound(r.modems[1].ICCID(), "+34600111222", "hola"))
		r.inTime(10*time.Second, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
		require.Equal(t, []string{pool.SIMReady, pool.SIMQuarantined, pool.SIMReady}, r.simStates(1)[max(0, len(r.simStates(1))-3):])
	})
}

// TestALateCanaryEndsAQuarantine: the network was slow beyond measure.
func TestALateCanaryEndsAQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, usual)
		r.ready(3)
		r.modems[1].Inject(mutes[1].fault)
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		r.modems[1].ClearFaults() // the network has kept them
		r.inTime(10*time.Second, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
	})
}

// TestProbesGrowRare: a quarter of an hour, twice as long each time, four hours at
// most; and at once when its number was put right.
func TestProbesGrowRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		r.ready(2)
		r.settings(queue.CanarySettings{})
		r.modems[1].Inject(mutes[0].fault)
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { _, ok := r.quarantine(1); return ok })
		q, _ := r.quarantine(1)
		since := q.At
		time.Sleep(8 * time.Hour)
		var after []time.Duration
		last := since
		for _, c := range slices.Backward(r.allCanaries()) {
			if c.AskedBy == queue.CanaryProbe {
				after = append(after, c.StartedAt.Sub(last).Round(5*time.Minute))
				last = c.StartedAt
			}
		}
		require.Equal(t, []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}, after)
		_, err := r.pool.UpdateSIM(t.Context(), r.modems[1].ICCID(), queue.SIMPatch{Number: new(r.modems[1].Number())})
		require.NoError(t, err)
		r.modems[1].ClearFaults()
		r.inTime(time.Minute, "the way back", func() bool { _, ok := r.quarantine(1); return !ok })
	})
}

// TestSuspicionKeepsMeasure: a network that stops all reports makes nobody
// suspect; a SIM whose contract has none is looked at once.
func TestSuspicionKeepsMeasure(t *testing.T) {
	for _, row := range []struct {
		name string
		all  bool
		want int
	}{{"none comes", true, 0}, {"one SIM gets none", false, 1}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 3, usual)
				r.ready(3)
				r.settings(queue.CanarySettings{Suspicion: true})
				rule := emulator.Rule{Effect: emulator.Effect{NoReport: true}}
				if !row.all {
					rule.SIM = r.modems[1].ICCID()
				}
				for n := range 60 {
					if n == 10 {
						r.net.AddRule(rule)
					}
					for i := range r.modems {
						r.submit(queue.Request{To: []string{number(n)}, Text: "x", SIM: r.modems[i].ICCID()})
					}
					time.Sleep(time.Minute)
				}
				require.Len(t, r.allCanaries(), row.want)
				for i := range r.modems {
					_, ok := r.quarantine(i)
					require.False(t, ok)
				}
			})
		})
	}
}
