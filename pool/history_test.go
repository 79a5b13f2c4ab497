package pool_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

func TestHistoryAndPowerOfAModem(t *testing.T) { synctest.Test(t, testHistoryAndPowerOfAModem) }

func testHistoryAndPowerOfAModem(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{})
	var cut atomic.Int32
	for i := range 2 {
		m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		r.modems = append(r.modems, m)
		port := pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: m.Open, Emulated: true}
		if i == 0 {
			port.PowerCycle = func(context.Context) error { cut.Add(1); return nil }
		}
		require.NoError(t, r.pool.Add(port))
	}
	r.ready(2)
	_, err := r.pool.History("none")
	require.ErrorIs(t, err, pool.ErrNoModem)
	require.ErrorIs(t, r.pool.PowerCycle(t.Context(), "none"), pool.ErrNoModem)
	require.ErrorIs(t, r.pool.PowerCycle(t.Context(), r.modems[1].IMEI()), modem.ErrNoPower)
	require.Zero(t, cut.Load())

	require.NoError(t, r.pool.PowerCycle(t.Context(), r.modems[0].IMEI()))
	r.until("the power cut, and the line again", func() bool { return cut.Load() == 1 && r.pool.Ready() == 2 })
	list, err := r.pool.History(r.modems[0].IMEI())
	require.NoError(t, err)
	var orders, steps int
	for _, e := range list {
		if e.Kind == modem.EntryOrder {
			orders++
		}
		if e.Step == "L6" {
			steps++
		}
	}
	require.Equal(t, 1, orders, "%v", list)
	require.GreaterOrEqual(t, steps, 1, "%v", list)
}

// TestUnplugsAreNoSickness: a modem that is pulled out under one submission after
// the other, and sends in between, stays in use.
func TestUnplugsAreNoSickness(t *testing.T) { synctest.Test(t, testUnplugsAreNoSickness) }

func testUnplugsAreNoSickness(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	for i := range 5 {
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: emulator.PhasePDU, Delay: time.Millisecond})
		lost := r.submit(queue.Request{To: []string{number(2 * i)}, Text: "perdida"})[0]
		r.until("the answer is lost", func() bool {
			return r.message(lost.ID).State != queue.Queued && r.message(lost.ID).State != queue.Sending
		})
		sent := r.submit(queue.Request{To: []string{number(2*i + 1)}, Text: "enviada"})[0]
		r.until("one is sent", func() bool {
			s := r.message(sent.ID).State
			return s == queue.Sent || s == queue.Delivered
		})
	}
}
