package pool_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// TestSIMGone: a long alert whose SIM went away between two segments leaves
// whole on another SIM after five minutes, and says that it may be double.
func TestSIMGone(t *testing.T) { synctest.Test(t, testSIMGone) }

func testSIMGone(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Latency: 20 * time.Millisecond})
	r.ready(2)
	first := r.modems[0]
	_, err := r.pool.UpdateSIM(t.Context(), r.modems[1].ICCID(), queue.SIMPatch{Enabled: new(false)})
	require.NoError(t, err)
	first.Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: emulator.PhaseCommand, Skip: 1})
	m := r.submit(queue.Request{To: []string{number(1)}, Text: strings.Repeat("Aviso. ", 60), Class: queue.Alert})[0]
	require.Greater(t, len(m.Segments), 2)
	r.until("the SIM is away", func() bool { return r.pool.Modems()[0].State == "absent" && r.pool.InFlight() == 0 })
	require.Len(t, r.accepted(), 1)
	_, err = r.pool.UpdateSIM(t.Context(), r.modems[1].ICCID(), queue.SIMPatch{Enabled: new(true)})
	require.NoError(t, err)

	u, now := pool.NewUpkeep(), time.Now()
	for minute := range 7 {
		require.Equal(t, 1, len(r.accepted()), "minute %d", minute)
		r.pool.Round(t.Context(), u, now.Add(time.Duration(minute)*time.Minute))
		if minute >= 5 {
			break
		}
	}
	got := r.reaches(m.ID, queue.Delivered)
	require.True(t, got.PossibleDuplicate)
	require.Equal(t, r.modems[1].ICCID(), got.SIM)
	require.Len(t, r.accepted(), 1+len(m.Segments))
}

// TestReportsAskedForAnotherWay: after five acceptances without a report the
// modem is told to give them by the other setting.
func TestReportsAskedForAnotherWay(t *testing.T) { synctest.Test(t, testReportsAskedForAnotherWay) }

func testReportsAskedForAnotherWay(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Rules: []emulator.Rule{{Effect: emulator.Effect{NoReport: true}}}})
	r.ready(1)
	before := r.pool.Modems()[0].ReportsBy
	require.NotZero(t, before)
	for i := range 5 {
		r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID, queue.Sent)
	}
	r.until("idle", func() bool { return r.pool.InFlight() == 0 })
	u, now := pool.NewUpkeep(), time.Now()
	r.pool.Round(t.Context(), u, now.Add(5*time.Minute))
	require.Equal(t, before, r.pool.Modems()[0].ReportsBy, "not yet")
	r.pool.Round(t.Context(), u, now.Add(15*time.Minute))
	r.until("the other way", func() bool { by := r.pool.Modems()[0].ReportsBy; return by != 0 && by != before })
}
