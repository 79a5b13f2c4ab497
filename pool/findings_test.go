package pool_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// codes of the findings, "fail sim_pin".
func codes(list []pool.Finding) []string {
	out := []string{}
	for _, f := range list {
		out = append(out, f.Severity+" "+f.Code)
	}
	return out
}

// TestFindingsOfALiveBox: none while all is well, and what is wrong when it is.
func TestFindingsOfALiveBox(t *testing.T) { synctest.Test(t, testFindingsOfALiveBox) }

func testFindingsOfALiveBox(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{})
	require.Equal(t, []string{"warn no_modem"}, codes(r.pool.Findings(t.Context())))

	add := func(name string, o emulator.ModemOptions) *emulator.Modem {
		o.BootTime = time.Millisecond
		m := r.net.AddModem(o)
		require.NoError(t, r.pool.Add(pool.Port{Name: name, Open: m.Open, Emulated: true}))
		return m
	}
	good := add("emulated:1", emulator.ModemOptions{})
	r.ready(1)
	require.Empty(t, r.pool.Findings(t.Context()))

	add("emulated:2", emulator.ModemOptions{PIN: "4829"})
	add("emulated:3", emulator.ModemOptions{NoSIM: true})
	add("emulated:4", emulator.ModemOptions{Signal: 2}) // -109 dBm
	require.NoError(t, r.pool.Pause(t.Context()))
	var got []pool.Finding
	r.until("every fault is told", func() bool {
		got = r.pool.Findings(t.Context())
		return fmt.Sprint(codes(got)) == "[warn sending_paused fail sim_pin fail sim_absent warn signal_weak]"
	})
	require.Equal(t, "emulated:2", got[1].Facts["port"])
	require.Equal(t, "3", got[1].Facts["tries"])
	require.Contains(t, got[1].Do, "pin emulated:2")
	says, _ := got[1].In("es")
	require.Equal(t, "La SIM del módem de emulated:2 pide su PIN (intentos que quedan: 3).", says)

	r.submit(queue.Request{To: []string{"600111222", "600111333"}, Text: "espera", Class: queue.Normal})
	_, err := r.store.HoldAll(t.Context(), queue.ReasonRestored)
	require.NoError(t, err)
	r.until("what is held is told", func() bool {
		got = r.pool.Findings(t.Context())
		return got[1].Code == "messages_held"
	})
	require.Equal(t, map[string]string{"count": "2", "reasons": "restored"}, got[1].Facts)
	require.Contains(t, got[1].Do, "held list")

	good.Unplug()
	r.until("the port is gone", func() bool {
		return strings.Contains(fmt.Sprint(codes(r.pool.Findings(t.Context()))), "warn port_absent")
	})
	kept, err := r.pool.Recording(good.IMEI())
	require.NoError(t, err)
	require.Len(t, kept.Crashes, 1)
	require.NotEmpty(t, kept.Crashes[0].Dialogue)
	require.NotEmpty(t, kept.Crashes[0].Reason)
	require.Equal(t, "home", kept.Domains.CS)
	_, err = r.pool.Recording("nobody")
	require.ErrorIs(t, err, pool.ErrNoModem)
}
