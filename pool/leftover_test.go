package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue/inbox"
)

// TestSwapBetweenCommitAndDeletion: messages in a modem's own memory that are
// stored and could not be deleted yet are read under the other SIM's name, and are
// no other messages; in one life of the line, and in two.
func TestSwapBetweenCommitAndDeletion(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testSwapBeforeDeletion(t, restart) })
		})
	}
}

func testSwapBeforeDeletion(t *testing.T, restart bool) {
	r := emptyRig(t, emulator.NetworkOptions{})
	m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, SMSlots: 5, MESlots: 50})
	port := pool.Port{Name: "emulated:1", Open: m.Open, Emulated: true}
	require.NoError(t, r.pool.Add(port))
	r.ready(1)
	was := m.ICCID()
	m.Inject(emulator.Fault{Kind: emulator.FaultDeleteFails, Count: 1000})
	list := func() []inbox.Message {
		list, _, err := r.inbox.List(context.Background(), inbox.Filter{})
		require.NoError(t, err)
		return list
	}
	for i, text := range []string{"uno", "dos", "tres"} {
		require.NoError(t, r.net.Inbound(was, "+34600111222", text))
		r.until(text, func() bool { return len(list()) == i+1 })
	}
	require.Equal(t, "ME", r.pool.Modems()[0].StorageName)
	if restart {
		require.NoError(t, r.pool.Remove(context.Background(), port.Name))
	}
	m.Inject(emulator.Fault{Kind: emulator.FaultSIMSwap})
	require.NotEqual(t, was, m.ICCID())
	if restart {
		require.NoError(t, r.pool.Add(port))
	}
	r.until("the other SIM", func() bool {
		list := r.pool.Modems()
		return len(list) == 1 && list[0].SIM.ICCID == m.ICCID() && r.pool.Ready() == 1
	})
	require.Equal(t, 3, m.Stored(), "they lie where they lay")
	m.ClearFaults()
	// The same sender's same words to the other SIM, by another stamp, are a message
	// of its own.
	time.Sleep(2 * time.Second)
	require.NoError(t, r.net.Inbound(m.ICCID(), "+34600111222", "uno"))
	r.until("the fourth", func() bool { return len(list()) >= 4 })
	time.Sleep(15 * time.Minute) // of the bubble
	require.Zero(t, m.Stored())
	require.Len(t, list(), 4)
}
