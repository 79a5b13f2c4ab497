package pool_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
)

// plug adds a modem on a port of that name; a name like a serial port's makes
// it one that may be a second port of another.
func (r *rig) plug(port string, o emulator.ModemOptions) *emulator.Modem {
	r.t.Helper()
	o.BootTime = time.Millisecond
	m := r.net.AddModem(o)
	r.modems = append(r.modems, m)
	require.NoError(r.t, r.pool.Add(pool.Port{Name: port, Open: m.Open, Emulated: true}))
	return m
}

// TestSIMMovesToAnotherModem: the modem that had the SIM is away; the one that
// has it now is its line.
func TestSIMMovesToAnotherModem(t *testing.T) { synctest.Test(t, testSIMMovesToAnotherModem) }

func testSIMMovesToAnotherModem(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{})
	a := r.plug("/dev/ttyUSB0", emulator.ModemOptions{})
	b := r.plug("/dev/ttyUSB1", emulator.ModemOptions{})
	r.ready(2)
	iccid, number := a.ICCID(), a.Number()
	a.Unplug()
	b.RemoveSIM()
	r.ready(0)
	b.InsertSIM(emulator.SIMOptions{ICCID: iccid, Number: number})
	r.ready(1)
	m := r.submit(queue.Request{To: []string{"+34600000001"}, Text: "x", SIM: iccid})[0]
	require.Equal(t, iccid, r.reaches(m.ID, queue.Delivered).SIM)
	// The first comes back with another SIM in it: two lines again.
	a.InsertSIM(emulator.SIMOptions{ICCID: "8934071100000000777", IMSI: "214070000000777", Number: "+34600999777"})
	a.Replug()
	r.ready(2)
}

// TestTwoPortsOfOneModule: only one of them is a line, and what arrives is
// stored once and never deleted unread.
func TestTwoPortsOfOneModule(t *testing.T) { synctest.Test(t, testTwoPortsOfOneModule) }

func testTwoPortsOfOneModule(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var sessions sync.WaitGroup
	t.Cleanup(func() { cancel(); sessions.Wait() }) // after the pool's end: it opens ports no more
	r := emptyRig(t, emulator.NetworkOptions{})
	m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, SMSlots: 5})
	for i := range 2 {
		require.NoError(t, r.pool.Add(pool.Port{Name: fmt.Sprintf("/dev/ttyUSB%d", i), Emulated: true,
			Open: func(context.Context) (io.ReadWriteCloser, error) {
				ours, theirs := net.Pipe()
				sessions.Go(func() { _ = m.Serve(ctx, theirs) })
				return ours, nil
			}}))
	}
	r.until("one line, and the other says why it is none", func() bool {
		list := r.pool.Modems()
		return r.pool.Ready() == 1 && list[0].State == "ready" && list[1].State == "ready" &&
			(list[0].Reason != "") != (list[1].Reason != "")
	})
	for i := range 20 {
		require.NoError(t, r.net.Inbound(m.ICCID(), "+34600111222", fmt.Sprintf("uno %d", i)))
		r.until("it is stored", func() bool {
			list, _, err := r.inbox.List(context.Background(), inbox.Filter{})
			require.NoError(t, err)
			return len(list) == i+1
		})
	}
	r.until("the SIM is empty", func() bool { return m.Stored() == 0 })
}

// TestOneIdentityOnSeveralDevices: programs that emulate modems often give them
// all the same numbers. Their ports tell them apart, whoever comes first.
func TestOneIdentityOnSeveralDevices(t *testing.T) { synctest.Test(t, testOneIdentityOnSeveralDevices) }

func testOneIdentityOnSeveralDevices(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{Latency: 2 * time.Millisecond})
	other := emulator.NewNetwork(emulator.NetworkOptions{Latency: 2 * time.Millisecond})
	t.Cleanup(func() { _ = other.Close() })
	late := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	twin := other.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	require.Equal(t, late.ICCID(), twin.ICCID())
	late.Unplug()
	require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:one", Open: late.Open}))
	require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:two", Open: twin.Open}))
	r.ready(1)
	before := r.pool.Modems()[1].SIM.ICCID
	late.Replug()
	r.ready(2)
	list := r.pool.Modems()
	require.Equal(t, before, list[1].SIM.ICCID, "who had the SIM keeps its name")
	require.NotEqual(t, list[0].SIM.ICCID, list[1].SIM.ICCID)
	require.NotEqual(t, list[0].ID, list[1].ID)
	for i := range 20 {
		m := r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0]
		r.reaches(m.ID, queue.Delivered)
	}
	require.NotEmpty(t, r.accepted(), "both took their part")
	require.NotEmpty(t, other.Ledger(), "both took their part")
}

// TestModemWithoutIdentity: neither ICCID nor IMSI. A refusal before the prompt
// must not leave its message with a line that goes by another name afterwards.
func TestModemWithoutIdentity(t *testing.T) { synctest.Test(t, testModemWithoutIdentity) }

func testModemWithoutIdentity(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{})
	m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	for _, cmd := range []string{"+CCID", "+QCCID", "^ICCID", "+ICCID", "+CRSM", "+CIMI", "+CSIM"} {
		m.Inject(emulator.Fault{Kind: emulator.FaultError, On: cmd, Count: -1})
	}
	m.Inject(emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Count: 2})
	require.NoError(t, r.pool.Add(pool.Port{Name: "tcp:none", Open: m.Open}))
	r.ready(1)
	msg := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	r.until("refused", func() bool { return r.message(msg.ID).Failures > 0 })
	r.clock.advance(time.Minute)
	got := r.reaches(msg.ID, queue.Delivered)
	require.Equal(t, "port-tcp:none", got.SIM)
}
