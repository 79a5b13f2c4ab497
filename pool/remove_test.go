package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// A modem that moves to another port keeps its SIM, and its number in people's
// eyes; the port that it left is gone.
func TestRemove(t *testing.T) { synctest.Test(t, testRemove) }

func testRemove(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	ctx := t.Context()
	was := r.pool.Modems()[0]
	r.reaches(r.submit(queue.Request{To: []string{number(1)}, Text: "one"})[0].ID, queue.Delivered)

	require.ErrorIs(t, r.pool.Remove(ctx, "usb:1-1:2"), pool.ErrNoModem)
	require.NoError(t, r.pool.Remove(ctx, "emulated:1"))
	require.Empty(t, r.pool.Modems())
	waiting := r.submit(queue.Request{To: []string{number(2)}, Text: "two"})[0].ID

	require.NoError(t, r.pool.Add(pool.Port{Name: "usb:1-1:2", USBPath: "1-1", Open: r.modems[0].Open, Emulated: true}))
	r.reaches(waiting, queue.Delivered)
	now := r.pool.Modems()
	require.Len(t, now, 1)
	require.Equal(t, was.ID, now[0].ID)
	require.Equal(t, "usb:1-1:2", now[0].Port)
	require.Equal(t, "1-1", now[0].USBPath)
	sims, err := r.pool.SIMs(ctx)
	require.NoError(t, err)
	require.Len(t, sims, 1)
	require.Equal(t, was.SIM.ICCID, sims[0].ICCID)
	require.Equal(t, 2, sims[0].SentTotal)
}

// The message in hand is finished; the next one is not begun.
func TestRemoveWaitsForTheMessageInHand(t *testing.T) {
	synctest.Test(t, testRemoveWaitsForTheMessageInHand)
}

func testRemoveWaitsForTheMessageInHand(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: 300 * time.Millisecond})
	r.ready(1)
	list := r.submit(queue.Request{To: []string{number(1), number(2)}, Text: "x"})
	r.until("a message in hand", func() bool { return r.message(list[0].ID).State == queue.Sending })
	require.NoError(t, r.pool.Remove(t.Context(), "emulated:1"))
	require.Contains(t, []queue.State{queue.Sent, queue.Delivered}, r.message(list[0].ID).State)
	require.Equal(t, queue.Queued, r.message(list[1].ID).State)
	require.Len(t, r.accepted(), 1)
}

// What cannot be waited for any longer ends uncertain, and the modem is gone.
func TestRemoveDoesNotWaitForEver(t *testing.T) { synctest.Test(t, testRemoveDoesNotWaitForEver) }

func testRemoveDoesNotWaitForEver(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: time.Hour})
	r.ready(1)
	id := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0].ID
	r.until("a message in hand", func() bool { return r.message(id).State == queue.Sending })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, r.pool.Remove(ctx, "emulated:1"))
	require.Empty(t, r.pool.Modems())
	r.until("what became of it", func() bool { s := r.message(id).State; return s == queue.Uncertain || s == queue.Queued })
}
