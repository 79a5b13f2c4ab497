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

// tellsICCID are the commands by which a modem may be asked for the ICCID.
var tellsICCID = []string{"+CCID", "+ICCID", "^ICCID", "+QCCID", "+CRSM"}

// daily limits a SIM to that many segments a day.
func (r *rig) daily(iccid string, most int) {
	r.t.Helper()
	limits, off := []queue.Limit{{Window: queue.WindowDay, MaxSegments: most}}, false
	require.NoError(r.t, r.pool.SetLimits(r.t.Context(), iccid, queue.LimitsPatch{Limits: &limits, WarmUp: &off}))
}

func (r *rig) alerts(n int) {
	r.t.Helper()
	for i := range n {
		r.submit(queue.Request{To: []string{number(r.people + i)}, Text: "x", Class: queue.Alert})
	}
	r.people += n
}

func (r *rig) keys() []string {
	r.t.Helper()
	list, err := r.pool.SIMs(r.t.Context())
	require.NoError(r.t, err)
	var keys []string
	for _, s := range list {
		keys = append(keys, s.ICCID)
	}
	return keys
}

// TestLimitsFollowASIMThatIsStillInTwoModems: the SIM is in another modem already
// when the first one has not noticed that it is gone. What it may send, and whether
// a person has paused it, is the same for both.
func TestLimitsFollowASIMThatIsStillInTwoModems(t *testing.T) {
	for name, paused := range map[string]bool{"a limit": false, "paused": true} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testInTwoModems(t, paused) }) })
	}
}

func testInTwoModems(t *testing.T, paused bool) {
	r := emptyRig(t, emulator.NetworkOptions{})
	r.realSIMs(1)
	a, iccid, imsi, most := r.modems[0], r.modems[0].ICCID(), r.pool.Modems()[0].SIM.IMSI, 2
	r.daily(iccid, most)
	if paused {
		most = 0
		require.NoError(t, r.pool.PauseSIM(t.Context(), iccid, true))
	}
	r.alerts(12)
	time.Sleep(time.Minute)
	require.Len(t, r.accepted(), most)
	net := emulator.NewNetwork(emulator.NetworkOptions{})
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	b := net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	b.RemoveSIM()
	b.InsertSIM(emulator.SIMOptions{ICCID: iccid, IMSI: imsi, Number: a.Number()})
	require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:127.0.0.1:9", Open: b.Open}))
	time.Sleep(15 * time.Second)
	a.RemoveSIM()
	time.Sleep(4 * time.Minute)
	sent := len(r.accepted())
	for _, e := range net.Ledger() {
		if e.Type == emulator.EntrySubmit && e.Accepted {
			sent++
		}
	}
	require.Equal(t, most, sent, "as much as its contract allows")
	require.Equal(t, []string{iccid}, r.keys(), "it goes by its own name, and nothing is left of the other")
	if !paused {
		r.daily(iccid, 3)
		r.until("it sends on in the modem that it is in", func() bool { return len(net.Ledger()) > 0 })
	}
}

// TestLimitsFollowASIMWhoseICCIDIsNotTold: it is known by its IMSI.
func TestLimitsFollowASIMWhoseICCIDIsNotTold(t *testing.T) {
	for name, paused := range map[string]bool{"a limit": false, "paused": true} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testICCIDNotTold(t, paused) }) })
	}
}

func testICCIDNotTold(t *testing.T, paused bool) {
	r := emptyRig(t, emulator.NetworkOptions{})
	r.realSIMs(1)
	a, iccid, imsi, most := r.modems[0], r.modems[0].ICCID(), r.pool.Modems()[0].SIM.IMSI, 2
	r.daily(iccid, most)
	if paused {
		most = 0
		require.NoError(t, r.pool.PauseSIM(t.Context(), iccid, true))
	}
	r.alerts(6)
	time.Sleep(time.Minute)
	require.Len(t, r.accepted(), most)
	number := a.Number()
	a.RemoveSIM()
	a.Unplug()
	b := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	b.RemoveSIM()
	for _, on := range tellsICCID {
		b.Inject(emulator.Fault{Kind: emulator.FaultError, On: on, Count: -1})
	}
	b.InsertSIM(emulator.SIMOptions{ICCID: iccid, IMSI: imsi, Number: number})
	require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:127.0.0.1:9", Open: b.Open}))
	time.Sleep(3 * time.Minute)
	require.Len(t, r.accepted(), most, "as much as its contract allows")
	require.Equal(t, []string{iccid}, r.keys())
	if !paused {
		r.daily(iccid, 3)
		r.until("it sends on", func() bool { return len(r.accepted()) == 3 })
	}
}

// TestICCIDComesLate: what was sent, set and paused while only the IMSI of a new SIM
// was known is the SIM's when the ICCID comes; also when that comes in another modem.
func TestICCIDComesLate(t *testing.T) {
	for _, name := range []string{"in the same modem", "nothing was told", "in another modem", "in another modem, while it seems to be in the first"} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testICCIDComesLate(t, name) }) })
	}
}

func testICCIDComesLate(t *testing.T, how string) {
	r := emptyRig(t, emulator.NetworkOptions{})
	a := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	silent := tellsICCID
	if how == "nothing was told" {
		silent = append([]string{"+CIMI", "+CSIM"}, silent...)
	}
	for _, on := range silent {
		a.Inject(emulator.Fault{Kind: emulator.FaultError, On: on, Count: -1})
	}
	require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:127.0.0.1:1", Open: a.Open}))
	r.ready(1)
	iccid, imsi, number := a.ICCID(), r.pool.Modems()[0].SIM.IMSI, a.Number()
	standIn := "imsi-" + imsi
	if how == "nothing was told" {
		standIn = "port-tcp:127.0.0.1:1"
	}
	require.Equal(t, []string{standIn}, r.keys())
	r.daily(standIn, 2)
	_, err := r.store.AddRoute(t.Context(), queue.Route{Name: "one", Prefixes: []string{"+34600"}, SIMs: []queue.RouteSIM{{ICCID: standIn, Weight: 3}}, Fallback: queue.FallbackWait})
	require.NoError(t, err)
	r.alerts(6)
	pinned := r.submit(queue.Request{To: []string{"+34600999999"}, Text: "x", SIM: standIn})[0]
	time.Sleep(time.Minute)
	require.Len(t, r.accepted(), 2)
	net := r.net
	sent := func() (n int) {
		n = len(r.accepted())
		for _, e := range net.Ledger() {
			if net != r.net && e.Type == emulator.EntrySubmit && e.Accepted {
				n++
			}
		}
		return n
	}
	switch {
	case how == "nothing was told":
		a.ClearFaults() // it is asked again
	case how == "in the same modem":
		a.ClearFaults()
		require.NoError(t, r.pool.Restart(t.Context(), r.pool.Modems()[0].ID))
	default:
		if strings.Contains(how, "seems") { // the emulator's SIM would be in one only
			net = emulator.NewNetwork(emulator.NetworkOptions{})
			t.Cleanup(func() { require.NoError(t, net.Close()) })
		} else {
			a.RemoveSIM()
		}
		b := net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		b.RemoveSIM()
		b.InsertSIM(emulator.SIMOptions{ICCID: iccid, IMSI: imsi, Number: number})
		require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:127.0.0.1:9", Open: b.Open}))
	}
	time.Sleep(3 * time.Minute)
	require.Equal(t, 2, sent(), "as much as its contract allows")
	require.Contains(t, r.keys(), iccid)
	require.NotContains(t, r.keys(), standIn)
	limits, err := r.pool.Limits(t.Context(), iccid)
	require.NoError(t, err)
	day := limits.Limits[2]
	require.Equal(t, [2]int{2, 2}, [2]int{day.UsedSegments, day.MaxSegments})
	routes, err := r.store.Routes(t.Context())
	require.NoError(t, err)
	require.Equal(t, []queue.RouteSIM{{ICCID: iccid, Weight: 3}}, routes[0].SIMs)
	r.daily(iccid, 20)
	r.until("what waits leaves", func() bool { return sent() == 7 })
	require.Equal(t, iccid, r.reaches(pinned.ID, queue.Delivered).SIM, "what was for the SIM leaves on it")
}

// TestSIMsThatShareAnIMSI: programs that emulate modems often give them all the same
// one. Those that tell no ICCID work as well.
func TestSIMsThatShareAnIMSI(t *testing.T) {
	for name, told := range map[string]int{"no ICCID at all": 0, "one ICCID": 1, "two ICCIDs": 2} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testSharedIMSI(t, told) }) })
	}
}

func testSharedIMSI(t *testing.T, told int) {
	r := emptyRig(t, emulator.NetworkOptions{Latency: time.Second})
	for i := range 4 {
		m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		iccid, number := m.ICCID(), m.Number()
		m.RemoveSIM()
		for _, on := range tellsICCID {
			if i >= told {
				m.Inject(emulator.Fault{Kind: emulator.FaultError, On: on, Count: -1})
			}
		}
		m.InsertSIM(emulator.SIMOptions{ICCID: iccid, IMSI: "001010123456789", Number: number})
		r.modems = append(r.modems, m)
		require.NoError(t, r.pool.Add(pool.Port{Name: fmt.Sprintf("tcp:127.0.0.1:%d", i), Open: m.Open, Emulated: true}))
	}
	r.ready(4)
	r.alerts(40)
	r.until("all of it leaves", func() bool { return len(r.accepted()) == 40 })
	by := map[string]int{}
	for _, e := range r.accepted() {
		by[e.Modem]++
	}
	require.Len(t, by, 4, "all took their part")
}
