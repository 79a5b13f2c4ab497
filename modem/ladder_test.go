package modem

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// hardware counts what was done to a socket, and ends the hang at the given
// rung.
type hardware struct {
	usb, power atomic.Int32
	cures      string
	fail       error
	disturb    atomic.Bool // somebody on the hub is sending
}

func (h *hardware) into(c *Config, w *wire) {
	do := func(n *atomic.Int32, step string) func(context.Context) error {
		return func(ctx context.Context) error {
			n.Add(1)
			if h.fail != nil {
				return h.fail
			}
			if h.cures == step {
				w.well()
			}
			return nil
		}
	}
	c.USBReset, c.PowerCycle = do(&h.usb, "L5"), do(&h.power, "L6")
	c.Disturb = func(string) bool { return !h.disturb.Load() }
}

// helpless is a story with a modem that hangs.
func helpless(t *testing.T, h *hardware, story func(l *lifeOf, w *wire)) {
	w := &wire{}
	wiredBy(t, w, emulator.ModemOptions{}, func(c *Config) { h.into(c, w) }, func(l *lifeOf) {
		l.ready()
		story(l, w)
	})
}

// TestLadderOfASilentModem: the port anew, the USB, the power, and only then a
// person; each with what came of it, and what led to it.
func TestLadderOfASilentModem(t *testing.T) {
	for _, cures := range []string{"L5", "L6", ""} {
		t.Run("cured by "+cures, func(t *testing.T) {
			h := &hardware{cures: cures}
			helpless(t, h, func(l *lifeOf, w *wire) {
				w.set(func(w *wire) { w.hung = true })
				switch cures {
				case "L5":
					l.until("the USB reset", 5*time.Minute, func() bool { return h.usb.Load() == 1 })
				case "L6":
					l.until("the power cut", 10*time.Minute, func() bool { return h.power.Load() == 1 })
					require.Equal(l.t, int32(1), h.usb.Load())
				default:
					l.until("the fault", 15*time.Minute, func() bool {
						return l.steps("L7") == 1 && l.m.Snapshot().State == StateFault
					})
					l.pass(20 * time.Minute)
					require.Equal(l.t, int32(1), h.usb.Load(), "one in half an hour")
					require.Equal(l.t, int32(1), h.power.Load(), "one in half an hour")
					w.well()
				}
				l.back(soon)
				var steps []string
				helped := false
				for _, e := range l.m.History() {
					if e.Kind != EntryStep {
						continue
					}
					if steps = append(steps, e.Step); !strings.HasPrefix(e.Detail, "after ") {
						require.Contains(l.t, e.Detail, "> AT", "the dialogue before it")
					}
					if cures != "" && e.Step == cures && strings.Contains(e.Text, ": ready") {
						helped = true
					}
				}
				require.Equal(l.t, cures != "", helped, "%v", l.m.History())
				require.Subset(l.t, steps, []string{"L0", "L4", "L5"})
			})
		})
	}
}

// TestSilenceForADay: what is done to a modem that stays dead becomes rarer; it
// is looked at all the same.
func TestSilenceForADay(t *testing.T) {
	h := &hardware{}
	helpless(t, h, func(l *lifeOf, w *wire) {
		w.set(func(w *wire) { w.hung = true })
		l.pass(25 * time.Hour)
		require.InDelta(l.t, 6, h.usb.Load(), 2)
		require.InDelta(l.t, 6, h.power.Load(), 2)
		w.well()
		l.back(soon)
	})
}

// TestNothingIsDoneWhileAnotherSends: a hub is shared.
func TestNothingIsDoneWhileAnotherSends(t *testing.T) {
	h := &hardware{}
	h.disturb.Store(true)
	helpless(t, h, func(l *lifeOf, w *wire) {
		w.set(func(w *wire) { w.hung = true })
		l.pass(20 * time.Minute)
		require.Zero(l.t, h.usb.Load()+h.power.Load())
		require.Zero(l.t, l.m.Snapshot().Restarts)
		h.disturb.Store(false)
		l.until("the USB reset", time.Minute, func() bool { return h.usb.Load() == 1 })
		w.well()
		l.back(soon)
	})
}

func TestPowerByAnOperator(t *testing.T) {
	h := &hardware{}
	helpless(t, h, func(l *lifeOf, w *wire) {
		for i := range int32(5) { // an operator has no limit
			require.NoError(l.t, l.m.PowerCycleNow(l.t.Context()))
			l.until("the power cut", 10*time.Second, func() bool { return h.power.Load() == i+1 })
			l.state(StateReady, 30*time.Second)
		}
		// A submission that is open comes first.
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 30 * time.Second})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer})
		sent := make(chan Outcome, 1)
		tpdu := l.tpdu("+34600111222", "abierta")
		go func() { sent <- l.m.Send(l.t.Context(), tpdu, func() error { return nil }) }()
		l.pass(time.Second)
		require.NoError(l.t, l.m.PowerCycleNow(l.t.Context()))
		select {
		case o := <-sent:
			require.Equal(l.t, Accepted, o.Verdict)
		default:
			require.Fail(l.t, "the power was cut under an open submission")
		}
		l.until("the power cut", 10*time.Second, func() bool { return h.power.Load() == 6 })
		l.state(StateReady, 30*time.Second)
		// Also one that does not answer.
		w.set(func(w *wire) { w.hung = true })
		h.cures = "L6"
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute})
		require.NoError(l.t, l.m.PowerCycleNow(l.t.Context()))
		l.until("the power cut", time.Minute, func() bool { return h.power.Load() == 7 })
		l.back(soon)
	})
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		require.ErrorIs(l.t, l.m.PowerCycleNow(l.t.Context()), ErrNoPower)
	})
}

func TestHardwareThatFails(t *testing.T) {
	h := &hardware{fail: errors.New("permission denied")}
	helpless(t, h, func(l *lifeOf, w *wire) {
		w.set(func(w *wire) { w.hung = true })
		l.until("both", 5*time.Minute, func() bool { return h.usb.Load() == 1 && h.power.Load() == 1 })
		l.until("the word of it", time.Minute, func() bool {
			for _, e := range l.m.History() {
				if e.Step == "L6" && strings.Contains(e.Text, "permission denied") {
					return true
				}
			}
			return false
		})
		w.well()
		l.back(soon)
	})
}

// TestLimits: a modem that answers, and demands to be restarted again and again,
// is restarted three times an hour by whatever means, and looked at all the time.
func TestLimits(t *testing.T) {
	h := &hardware{}
	helpless(t, h, func(l *lifeOf, w *wire) {
		for _, cmd := range []string{"+CS", "+CR", "+CO", "+CP", "+CMG", "+CN", "E0"} { // AT alone still answers
			l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: cmd, Count: -1})
		}
		l.pass(50 * time.Minute)
		s := l.m.Snapshot()
		require.Equal(l.t, 3, s.Restarts, "%v", l.m.History())
		require.Equal(l.t, int32(1), h.usb.Load())
		require.Equal(l.t, int32(1), h.power.Load())
		require.Equal(l.t, 1, l.steps("L3"))
		require.Equal(l.t, 1, l.steps("L7"), "said once")
		l.em.ClearFaults()
		l.back(soon)
	})
}

// TestRadioIsNeverSwitchedOff where the make does not bear it.
func TestRadioIsNeverSwitchedOff(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "neoway"}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationLost, Delay: 2 * time.Hour})
		l.pass(2 * time.Hour)
		require.Zero(l.t, l.wrote("AT+CFUN="))
		l.back(soon)
	})
}
