package pool_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/sqlite"
)

func (r *rig) simState(i int) (state, reason string) {
	r.t.Helper()
	s, err := r.pool.SIM(r.t.Context(), r.modems[i].ICCID())
	require.NoError(r.t, err)
	return s.State, s.Reason
}

// TestUnknownServiceCentreHoldsTheSIM: nothing more leaves on it until an
// operator acts, and the message waits without a fault of its own.
func TestUnknownServiceCentreHoldsTheSIM(t *testing.T) {
	synctest.Test(t, testUnknownServiceCentreHoldsTheSIM)
}

func testUnknownServiceCentreHoldsTheSIM(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: 10 * time.Millisecond})
	r.ready(1)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Code: 330, Count: 3})
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	for range 3 { // the SIM is not to blame: no quarantine in the end
		r.until("the hold", func() bool { s, _ := r.simState(0); return s == pool.SIMBlocked })
		_, reason := r.simState(0)
		require.Contains(t, reason, "the SMS centre's number is not known")
		require.Contains(t, reason, "on hold")
		r.until("the modem is back", func() bool {
			return r.pool.Modems()[0].State == modem.StateReady && r.pool.InFlight() == 0
		})
		require.Zero(t, r.pool.Ready())
		got := r.message(m.ID)
		require.Equal(t, queue.Queued, got.State)
		require.Zero(t, got.Failures)
		require.Equal(t, "cms_330", got.Error.Code)
		require.Empty(t, r.accepted())
		_, err := r.pool.UpdateSIM(t.Context(), r.modems[0].ICCID(), queue.SIMPatch{Name: new("Registro")})
		require.NoError(t, err)
	}
	r.reaches(m.ID, queue.Delivered)
	s, reason := r.simState(0)
	require.NotEqual(t, pool.SIMBlocked, s, reason)
}

// TestAnotherServiceCentreEndsTheHold: the modem reads its number again, and it
// is another one.
func TestAnotherServiceCentreEndsTheHold(t *testing.T) {
	synctest.Test(t, testAnotherServiceCentreEndsTheHold)
}

func testAnotherServiceCentreEndsTheHold(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: 10 * time.Millisecond})
	r.ready(1)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Code: 330})
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CSCA?", Count: -1,
		Text: "\r\n+CSCA: \"+34999000111\",145\r\n\r\nOK\r\n"})
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	r.reaches(m.ID, queue.Delivered)
	require.Equal(t, "+34999000111", r.pool.Modems()[0].SIM.SMSC)
}

// TestHeldSIMsMessageLeavesOnAnother at once.
func TestHeldSIMsMessageLeavesOnAnother(t *testing.T) {
	synctest.Test(t, testHeldSIMsMessageLeavesOnAnother)
}

func testHeldSIMsMessageLeavesOnAnother(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Latency: 10 * time.Millisecond})
	r.ready(2)
	for _, m := range r.modems { // whichever is asked first
		m.Inject(emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Code: 330, Count: 1})
	}
	_, err := r.pool.UpdateSIM(t.Context(), r.modems[1].ICCID(), queue.SIMPatch{Enabled: new(false)})
	require.NoError(t, err)
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	r.until("the hold", func() bool { s, _ := r.simState(0); return s == pool.SIMBlocked })
	r.modems[1].ClearFaults()
	_, err = r.pool.UpdateSIM(t.Context(), r.modems[1].ICCID(), queue.SIMPatch{Enabled: new(true)})
	require.NoError(t, err)
	got := r.reaches(m.ID, queue.Delivered)
	require.Equal(t, r.modems[1].ICCID(), got.SIM)
	s, _ := r.simState(0)
	require.Equal(t, pool.SIMBlocked, s)
}

// TestReportsEndAQuarantine: two answers were lost, and the reports show that
// the network had taken both messages.
func TestReportsEndAQuarantine(t *testing.T) { synctest.Test(t, testReportsEndAQuarantine) }

func testReportsEndAQuarantine(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: 10 * time.Millisecond, ReportDelay: 700 * time.Millisecond})
	r.ready(1)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 500, Count: 2})
	a := r.submit(queue.Request{To: []string{number(1)}, Text: "a", Class: queue.Bulk})[0]
	b := r.submit(queue.Request{To: []string{number(2)}, Text: "b", Class: queue.Bulk})[0]
	r.until("quarantine", func() bool { s, _ := r.simState(0); return s == pool.SIMQuarantined })
	r.reaches(a.ID, queue.Delivered)
	r.reaches(b.ID, queue.Delivered)
	r.until("its end", func() bool { s, _ := r.simState(0); return s == pool.SIMReady })
	r.reaches(r.submit(queue.Request{To: []string{number(3)}, Text: "c"})[0].ID, queue.Delivered)
	require.Len(t, r.accepted(), 3, "nothing was sent twice")
}

// simStates are the states that were told of a SIM, in their order.
func (r *rig) simStates(i int) (states []string) {
	r.t.Helper()
	list, err := r.store.Events(context.Background(), 0, 10_000)
	require.NoError(r.t, err)
	for _, e := range list {
		var data struct{ ICCID, State string }
		if require.NoError(r.t, json.Unmarshal(e.Data, &data)); e.Type == "sim.state" && data.ICCID == r.modems[i].ICCID() {
			states = append(states, data.State)
		}
	}
	return states
}

// TestTheEndOfAQuarantineIsAnEvent: nothing else happens then on an idle box.
func TestTheEndOfAQuarantineIsAnEvent(t *testing.T) { synctest.Test(t, tTheEndOfAQuarantineIsAnEvent) }

func tTheEndOfAQuarantineIsAnEvent(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: 10 * time.Millisecond, ReportDelay: time.Hour})
	r.ready(1)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 500, Count: 2})
	for i := range 2 {
		m := r.submit(queue.Request{To: []string{number(i)}, Text: "x", Class: queue.Bulk})[0]
		r.reaches(m.ID, queue.Uncertain)
	}
	r.until("quarantine", func() bool { s, _ := r.simState(0); return s == pool.SIMQuarantined })
	start := time.Now()
	r.until("its event", func() bool {
		told := r.simStates(0)
		return slices.Contains(told, pool.SIMQuarantined) && told[len(told)-1] == pool.SIMReady
	})
	require.InDelta(t, 10, time.Since(start).Seconds(), 1)
}

// TestASIMsRowIsWrittenAgain: nothing leaves on a SIM that is not on disk, and no
// change of the modem's need come after the disk is well again.
func TestASIMsRowIsWrittenAgain(t *testing.T) { synctest.Test(t, tASIMsRowIsWrittenAgain) }

func tASIMsRowIsWrittenAgain(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{})
	run := func(statement string) {
		require.NoError(t, r.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(statement)
			return err
		}))
	}
	run(`CREATE TRIGGER broken BEFORE INSERT ON sim BEGIN SELECT RAISE(FAIL, 'the disk is full'); END`)
	m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	require.NoError(t, r.pool.Add(pool.Port{Name: "emulated:1", Open: m.Open, Emulated: true}))
	r.until("the modem", func() bool { return r.pool.Modems()[0].State == modem.StateReady })
	time.Sleep(20 * time.Second) // what it says of itself at first
	require.Zero(t, r.pool.Ready())
	run(`DROP TRIGGER broken`)
	start := time.Now()
	r.ready(1)
	require.LessOrEqual(t, time.Since(start), 5*time.Second)
}

// TestRefusedValidity: the message goes again without one, and arrives.
func TestRefusedValidity(t *testing.T) { synctest.Test(t, testRefusedValidity) }

func testRefusedValidity(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Rules: []emulator.Rule{
		{Suffix: "001", Count: 1, Effect: emulator.Effect{CMS: 199}},
		{Suffix: "002", Effect: emulator.Effect{CMS: 199}},
	}})
	r.ready(1)
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	got := r.reaches(m.ID, queue.Delivered)
	require.Equal(t, 2, got.Attempts)
	require.False(t, got.PossibleDuplicate, "the network had refused the first")
	require.Zero(t, got.Segments[0].TPDU[0]&0x18)
	m = r.submit(queue.Request{To: []string{number(2)}, Text: "x"})[0]
	got = r.reaches(m.ID, queue.Failed)
	require.Equal(t, 2, got.Attempts, "once")
	require.Equal(t, "cms_199", got.Error.Code)
	require.Equal(t, "content", got.Error.Class)
}
