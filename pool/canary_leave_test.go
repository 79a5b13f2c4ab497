package pool_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// newRealRig has lines that the pool takes for real ones: what they send costs money.
func newRealRig(t *testing.T, modems int) *rig {
	r := emptyRig(t, usual)
	for i := range modems {
		m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		r.modems = append(r.modems, m)
		require.NoError(t, r.pool.Add(pool.Port{Name: fmt.Sprintf("/dev/ttyUSB%d", i), Open: m.Open}))
	}
	r.ready(modems)
	return r
}

func (r *rig) found(code string) bool {
	return slices.ContainsFunc(r.pool.Findings(r.t.Context()), func(f pool.Finding) bool { return f.Code == code })
}

// passes lets hours pass in steps: the clock is set, and then there is time for what
// is due to be sent, and to be missed.
func (r *rig) passes(hours, step int) {
	for ; hours > 0; hours -= step {
		r.clock.advance(time.Duration(step)*time.Hour - time.Minute)
		time.Sleep(time.Minute)
	}
}

func (r *rig) numbered(i int, number string) {
	r.t.Helper()
	_, err := r.pool.UpdateSIM(r.t.Context(), r.modems[i].ICCID(), queue.SIMPatch{Number: &number})
	require.NoError(r.t, err)
}

// TestAWrongNumberIsNoMuteLine: its tests are a stranger's, who gets few of them;
// the SIM sends as before, and somebody is told what is likely.
func TestAWrongNumberIsNoMuteLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRealRig(t, 3)
		const stranger = "+34600000001"
		r.numbered(1, stranger)
		r.test(1)
		time.Sleep(15 * time.Minute)
		r.passes(30, 6)
		for i := range r.modems {
			_, ok := r.quarantine(i)
			require.False(t, ok, "modem %d", i)
		}
		theirs := 0
		for _, c := range r.allCanaries() {
			if r.message(c.Message).To == stranger {
				theirs++
			}
		}
		require.LessOrEqual(t, theirs, 2)
		require.True(t, r.found("sim_number_doubtful"))
		own := r.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: r.modems[1].ICCID()})[0]
		r.inTime(time.Minute, "it sends", func() bool { return r.message(own.ID).State == queue.Delivered })

		// Put right, it is tested and known; from then on it can be convicted.
		r.numbered(1, r.modems[1].Number())
		require.False(t, r.found("sim_number_doubtful"))
		r.test(1)
		r.inTime(time.Minute, "the arrivals", func() bool {
			list := r.allCanaries()
			return list[0].State == queue.CanaryArrived && list[1].State == queue.CanaryArrived
		})
		r.passes(2, 2)
		r.modems[1].Inject(mutes[2].fault)
		r.test(1)
		r.inTime(15*time.Minute, "the quarantine", func() bool { q, _ := r.quarantine(1); return q.NoReceive && !q.NoSend })
	})
}

// TestAMuteRealLineIsFoundWithoutLeave by the one test that a person asked for, and
// few more; it is looked at again for a day, and then when somebody asks.
func TestAMuteRealLineIsFoundWithoutLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRealRig(t, 3)
		r.modems[2].Inject(mutes[0].fault)
		r.test(2)
		r.inTime(15*time.Minute, "the quarantine", func() bool { q, _ := r.quarantine(2); return q.NoSend && !q.NoReceive })
		follow := len(r.allCanaries()) - 2
		require.LessOrEqual(t, follow, 3)
		q, _ := r.quarantine(2)
		require.False(t, q.NextProbe.IsZero())
		r.passes(24, 3)
		day := len(r.allCanaries())
		require.Greater(t, day, 2+follow+4)
		require.LessOrEqual(t, day, 2+follow+9)
		r.passes(36, 4)
		require.Len(t, r.allCanaries(), day, "nobody asked")
		q, ok := r.quarantine(2)
		require.True(t, ok)
		require.True(t, q.NextProbe.IsZero())
		r.modems[2].ClearFaults()
		r.test(2)
		r.inTime(time.Minute, "the way back", func() bool { _, ok := r.quarantine(2); return !ok })
	})
}

// TestASIMThatDoesNotReceiveStillSends, when no other can.
func TestASIMThatDoesNotReceiveStillSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, usual)
		r.ready(2)
		r.modems[1].Inject(mutes[1].fault)
		r.test(1)
		r.inTime(20*time.Minute, "the quarantine", func() bool { q, _ := r.quarantine(1); return q.NoReceive && !q.NoSend })
		state, _ := r.simState(1)
		require.Equal(t, pool.SIMQuarantined, state)
		sim := func(req queue.Request) string {
			m := r.submit(req)[0]
			r.inTime(time.Minute, "sent", func() bool { return !r.message(m.ID).SentAt.IsZero() })
			return r.message(m.ID).SIM
		}
		for i := range 4 {
			require.Equal(t, r.modems[0].ICCID(), sim(queue.Request{To: []string{number(i)}, Text: "x"}), "others first")
		}
		require.Equal(t, r.modems[1].ICCID(), sim(queue.Request{To: []string{number(9)}, Text: "x", SIM: r.modems[1].ICCID()}))
		require.NoError(t, r.pool.PauseSIM(t.Context(), r.modems[0].ICCID(), true))
		require.Equal(t, r.modems[1].ICCID(), sim(queue.Request{To: []string{number(10)}, Text: "x", Class: queue.OTP}))
	})
}

// TestARealSIMAlone, on a network that may not carry what it texts itself: one test
// is one message, the box's only line goes on, and somebody is told.
func TestARealSIMAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRealRig(t, 1)
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultSwallow, Count: -1})
		require.Len(t, r.test(0), 1)
		time.Sleep(40 * time.Minute)
		r.passes(24, 6)
		require.Len(t, r.allCanaries(), 1)
		_, ok := r.quarantine(0)
		require.False(t, ok)
		require.True(t, r.found("line_untested"))
		require.NoError(t, r.net.Inbound(r.modems[0].ICCID(), "+34600111222", "hola"))
		r.inTime(time.Minute, "the end of the doubt", func() bool { return !r.found("line_untested") })
	})
}

// TestWhatCameInBeforeARestartCounts: a line alone whose canaries get lost has
// received something meanwhile.
func TestWhatCameInBeforeARestartCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLasting(t, 1, usual)
		r.ready(1)
		r.test(0)
		r.inTime(time.Minute, "the arrival", func() bool { return r.allCanaries()[0].State == queue.CanaryArrived })
		r.passes(2, 2)
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultSwallow, Count: -1})
		r.test(0)
		time.Sleep(30 * time.Second)
		require.NoError(t, r.net.Inbound(r.modems[0].ICCID(), "+34600111222", "hola"))
		time.Sleep(10 * time.Second)
		r.restart()
		time.Sleep(40 * time.Minute)
		require.GreaterOrEqual(t, len(r.allCanaries()), 3)
		_, ok := r.quarantine(0)
		require.False(t, ok)
	})
}
