package pool_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// gatesOn counts what has left, or may have, on a SIM ("" any) for a class ("" any).
func (r *rig) gatesOn(sim string, class queue.Class) (n int) {
	r.t.Helper()
	require.NoError(r.t, r.db.Read().QueryRow(`SELECT count(*) FROM attempt a JOIN message m ON m.seq = a.message
		WHERE a.outcome <> 'not_sent' AND ?1 IN ('', a.iccid) AND ?2 IN ('', m.class)`, sim, string(class)).Scan(&n))
	return n
}

// TestKillSwitches: from its return on each of them lets no gate open, the rest
// goes on, the queue stays, and a restart knows of it.
func TestKillSwitches(t *testing.T) { synctest.Test(t, testKillSwitches) }

func testKillSwitches(t *testing.T) {
	r := newRig(t, 3, emulator.NetworkOptions{Latency: 300 * time.Millisecond, LatencySigma: 0.5, ReportDelay: time.Second, Seed: 3})
	r.ready(3)
	r.campaign(400, queue.Bulk)
	r.campaign(100, queue.Normal)
	r.until("all are busy", func() bool { return r.pool.InFlight() == 3 && len(r.accepted()) > 5 })

	sim := r.modems[1].ICCID()
	require.NoError(t, r.pool.PauseSIM(t.Context(), sim, true))
	on, all := r.gatesOn(sim, ""), r.gatesOn("", "")
	time.Sleep(3 * time.Second)
	require.LessOrEqual(t, r.gatesOn(sim, ""), on, "nothing on it")
	require.Greater(t, r.gatesOn("", ""), all+5, "the others go on")
	s, err := r.pool.SIM(t.Context(), sim)
	require.NoError(t, err)
	require.True(t, s.Paused)
	require.Equal(t, pool.SIMDisabled, s.State)

	require.NoError(t, r.pool.PauseClass(t.Context(), queue.Normal, true))
	normal := r.gatesOn("", queue.Normal)
	time.Sleep(3 * time.Second)
	require.LessOrEqual(t, r.gatesOn("", queue.Normal), normal)
	require.Positive(t, r.gatesOn("", queue.Bulk), "bulk goes instead")

	require.NoError(t, r.pool.Pause(t.Context()))
	all = r.gatesOn("", "")
	time.Sleep(3 * time.Second)
	require.LessOrEqual(t, r.gatesOn("", ""), all)
	all = r.gatesOn("", "")
	want := pool.Pauses{All: true, SIMs: []string{sim}, Classes: []queue.Class{queue.Normal}}
	require.Equal(t, want, r.pool.Pauses())
	require.Subset(t, r.findings(), []string{"sending_paused", "class_paused normal", "sim_paused"})

	// Another run of the program.
	ctx, cancel := context.WithCancel(t.Context())
	next := pool.New(pool.Options{Store: r.store, Inbox: r.inbox, Clock: r.clock, Log: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- next.Run(ctx) }()
	synctest.Wait()
	require.Equal(t, want, next.Pauses())
	cancel()
	require.NoError(t, <-done)
	r.store.OnReady(func() {})

	require.NoError(t, r.pool.PauseClass(t.Context(), queue.Normal, false))
	require.NoError(t, r.pool.PauseSIM(t.Context(), sim, false))
	require.Equal(t, pool.Pauses{All: true, SIMs: []string{}, Classes: []queue.Class{}}, r.pool.Pauses())
	time.Sleep(3 * time.Second)
	require.Equal(t, all, r.gatesOn("", ""), "all is still paused")
	depth, err := r.store.Depth(t.Context())
	require.NoError(t, err)
	left := depth[queue.Queued][queue.Bulk] + depth[queue.Queued][queue.Normal]
	require.Equal(t, 500-len(r.accepted()), left, "the queue stays")
	require.NoError(t, r.pool.Resume(t.Context()))
	time.Sleep(3 * time.Second)
	require.Greater(t, r.gatesOn(sim, ""), on)
	require.Greater(t, r.gatesOn("", queue.Normal), normal)

	require.ErrorIs(t, r.pool.PauseSIM(t.Context(), "nobody", true), pool.ErrNoSIM)
	var invalid *queue.Invalid
	require.ErrorAs(t, r.pool.PauseClass(t.Context(), "urgent", true), &invalid)
}

// leavings notes when each PDU has left, by modem.
type leavings struct {
	mu   sync.Mutex
	list []emulator.Timing
}

func (l *leavings) Write(line []byte) (int, error) {
	var t emulator.Timing
	if err := json.Unmarshal(line, &t); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, t)
	return len(line), nil
}

// after counts the PDUs that a modem ("" any) has ended after a time.
func (l *leavings) after(modem string, when time.Time) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.list {
		if (modem == "" || t.Modem == modem) && t.CtrlZ.After(when) {
			n++
		}
	}
	return n
}

// TestKillSwitchesStopWhatIsClaimed: also what a line has in hand already, and has
// asked its modem the prompt for, does not leave once a switch is thrown.
func TestKillSwitchesStopWhatIsClaimed(t *testing.T) {
	synctest.Test(t, testKillSwitchesStopWhatIsClaimed)
}

func testKillSwitchesStopWhatIsClaimed(t *testing.T) {
	const inFlight = 50 * time.Millisecond // from the gate to Ctrl-Z
	left := &leavings{}
	r := newRig(t, 2, emulator.NetworkOptions{CommandLatency: 300 * time.Millisecond, Latency: 100 * time.Millisecond, ReportDelay: time.Second, Timings: left})
	r.ready(2)
	r.campaign(300, queue.Bulk)
	name, sim := r.modems[1].Name(), r.modems[1].ICCID()
	random := rand.New(rand.NewPCG(7, 7))
	for range 12 {
		for _, turn := range []struct {
			modem string
			to    func(bool) error
		}{
			{name, func(on bool) error { return r.pool.PauseSIM(t.Context(), sim, on) }},
			{"", func(on bool) error { return r.pool.PauseClass(t.Context(), queue.Bulk, on) }},
		} {
			time.Sleep(time.Second + time.Duration(random.IntN(900))*time.Millisecond)
			require.NoError(t, turn.to(true))
			at := time.Now()
			time.Sleep(2 * time.Second)
			require.Zero(t, left.after(turn.modem, at.Add(inFlight)))
			require.NoError(t, turn.to(false))
		}
	}
	require.Positive(t, left.after(name, time.Time{}))
}

// A canary is of class normal and goes in the lane of alerts. While either is paused
// it waits, and is not tried again and again: what comes behind it leaves.
func TestAPausedCanaryWaitsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second})
		r.ready(2)
		from := r.modems[0].ICCID()
		// The line is busy, and has more to do, when the canary comes.
		for i := range 2 {
			r.submit(queue.Request{To: []string{number(i)}, Text: "hola", Class: queue.Bulk, SIM: from})
		}
		r.until("it is busy", func() bool { return r.pool.InFlight() == 1 })
		c, err := r.store.StartCanary(t.Context(), from, r.modems[1].ICCID(), r.modems[1].Number(), "ana")
		require.NoError(t, err)
		require.NoError(t, r.pool.PauseClass(t.Context(), queue.Normal, true))
		alert := r.submit(queue.Request{To: []string{number(7)}, Text: "fuego", Class: queue.Alert, SIM: from})[0].ID
		claims := func() (claims, attempts int) {
			require.NoError(t, r.db.Read().QueryRow(`SELECT claims, attempts FROM message WHERE id = ?`, c.Message).Scan(&claims, &attempts))
			return claims, attempts
		}
		r.reaches(alert, queue.Delivered)
		r.comes(10*time.Second, "the rest", func() bool { return len(r.accepted()) == 3 })
		time.Sleep(10 * time.Second)
		n, attempts := claims()
		require.LessOrEqual(t, n, 4)
		require.Zero(t, attempts, "no gate was opened for it")
		require.Equal(t, queue.Queued, r.message(c.Message).State)

		require.NoError(t, r.pool.PauseClass(t.Context(), queue.Alert, true))
		require.NoError(t, r.pool.PauseClass(t.Context(), queue.Normal, false))
		time.Sleep(20 * time.Second)
		require.Len(t, r.accepted(), 3, "its lane is paused")
		require.NoError(t, r.pool.PauseClass(t.Context(), queue.Alert, false))
		r.comes(12*time.Second, "it leaves", func() bool { return len(r.accepted()) == 4 })
	})
}

// Two people who pause and resume at once: who comes last decides, in memory and on
// disk alike.
func TestWhatIsKeptOfAPauseIsWhatHolds(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	sim, ctx := r.modems[0].ICCID(), t.Context()
	for _, flip := range []func(on bool) error{
		func(on bool) error { return r.pool.PauseSIM(ctx, sim, on) },
		func(on bool) error { _, err := r.pool.UpdateSIM(ctx, sim, queue.SIMPatch{Paused: &on}); return err },
		func(on bool) error { return r.pool.PauseClass(ctx, queue.Bulk, on) },
		func(on bool) error {
			if on {
				return r.pool.Pause(ctx)
			}
			return r.pool.Resume(ctx)
		},
	} {
		for range 40 {
			var both sync.WaitGroup
			for _, on := range []bool{true, false, true, false} {
				both.Go(func() { require.NoError(t, flip(on)) })
			}
			both.Wait()
			holds := r.pool.Pauses()
			rows, err := r.store.SIMs(ctx)
			require.NoError(t, err)
			require.Equal(t, len(holds.SIMs) > 0, rows[0].Paused)
			all, err := r.store.Setting(ctx, "sending_paused")
			require.NoError(t, err)
			require.Equal(t, holds.All, all == "1")
			classes, err := r.store.Setting(ctx, "sending_paused_classes")
			require.NoError(t, err)
			require.Equal(t, len(holds.Classes) > 0, classes == `["bulk"]`)
		}
	}
}
