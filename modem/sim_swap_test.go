package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// swap puts another SIM in, with or without a word.
func (c *card) swap(iccid, imsi, pin string) {
	c.set(func() {
		c.absent, c.iccid, c.imsi, c.pin, c.open, c.pinTries = false, iccid, imsi, pin, pin == "", 3
	})
}

const otherICCID, otherIMSI = "8934079900000000029", "214070000000002"

// TestSwapWhileRunning: with a word of the modem's, without one, and when the
// network is lost over it.
func TestSwapWhileRunning(t *testing.T) {
	for _, c := range []struct {
		name   string
		after  func(r *cardRig)
		within time.Duration
	}{
		{"said", func(r *cardRig) { r.card.say("+CPIN: READY") }, 10 * time.Second},
		{"said in other words", func(r *cardRig) { r.card.say("+QSIMSTAT: 1,1") }, 10 * time.Second},
		{"not said", func(*cardRig) {}, 16 * time.Minute},
		{"the network went", func(r *cardRig) {
			r.card.say("+CREG: 0")
			r.pass(time.Second)
			r.card.say("+CREG: 1")
		}, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := newCard("")
			withCard(t, card, nil, func(r *cardRig) {
				r.ready()
				was := r.m.Snapshot().SIM
				require.Equal(t, card.iccid, was.ICCID)
				card.swap(otherICCID, otherIMSI, "")
				c.after(r)
				r.until("the other SIM", c.within, func() bool {
					s := r.m.Snapshot()
					return s.State == StateReady && s.SIM.ICCID == otherICCID && s.SIM.IMSI == otherIMSI
				})
			})
		})
	}
}

// TestSwapToALockedSIM: its PIN is wanted, that of the other is not sent.
func TestSwapToALockedSIM(t *testing.T) {
	card := newCard("4711")
	pins := newRunMemory()
	withCard(t, card, pins, func(r *cardRig) {
		r.blocked()
		require.NoError(t, r.enter("4711"))
		r.ready()
		card.swap(otherICCID, otherIMSI, "9999")
		card.say("+CPIN: SIM PIN")
		r.state(StateSIMBlocked, time.Minute)
		r.pass(10 * time.Minute)
		r.sent("4711")
		require.Equal(t, otherICCID, r.m.Snapshot().SIM.ICCID)
		require.NoError(t, r.enter("9999"))
		r.ready()
		// And back: its own PIN is on record.
		card.swap("8934079900000000011", "214070000000001", "4711")
		card.say("+CPIN: SIM PIN")
		r.until("the first SIM", time.Minute, func() bool { return len(card.codes()) == 3 })
		r.ready()
		r.sent("4711", "9999", "4711")
	})
}

// TestTakenOutWhileRunning: with and without a word, ready and while it looks for
// the network; and put back.
func TestTakenOutWhileRunning(t *testing.T) {
	for _, said := range []bool{true, false} {
		for _, searching := range []bool{false, true} {
			card := newCard("")
			withCard(t, card, nil, func(r *cardRig) {
				r.ready()
				if searching {
					card.set(func() { card.creg = "+CREG: 0,2" })
					card.say("+CREG: 2")
					r.state(StateRegister, 3*time.Minute)
				}
				card.set(func() { card.absent = true })
				within := 16 * time.Minute
				if said {
					card.say("+CPIN: NOT INSERTED")
					within = 20 * time.Second
				} else if searching {
					within = 90 * time.Second
				}
				r.state(StateNoSIM, within)
				require.Empty(t, r.m.Snapshot().SIM.ICCID)
				require.Empty(t, r.m.Snapshot().SIM.IMSI)
				card.set(func() { card.absent, card.creg = false, "+CREG: 0,1" })
				r.state(StateReady, time.Minute)
				require.Equal(t, card.iccid, r.m.Snapshot().SIM.ICCID)
			})
		}
	}
}

// TestSIMWithoutAnICCID goes by its IMSI, and so does its swap.
func TestSIMWithoutAnICCID(t *testing.T) {
	card := newCard("")
	card.iccid = ""
	withCard(t, card, nil, func(r *cardRig) {
		r.ready()
		require.Equal(t, "214070000000001", r.m.Snapshot().SIM.IMSI)
		require.Empty(t, r.m.Snapshot().SIM.ICCID)
		card.swap("", otherIMSI, "")
		r.until("the other SIM", 16*time.Minute, func() bool { return r.m.Snapshot().SIM.IMSI == otherIMSI })
		r.state(StateReady, time.Minute)
	})
}

// looks is how often the SIM is looked at in so much time.
func (r *cardRig) looks(d time.Duration) int {
	was := r.card.wrote("AT+CPIN?")
	r.pass(d)
	return r.card.wrote("AT+CPIN?") - was
}

// TestBusySIM: every two seconds at first, longer for one that has worked; then
// it is said, and looked at again and again.
func TestBusySIM(t *testing.T) {
	card := newCard("")
	card.cpin = "+CME ERROR: 14"
	withCard(t, card, nil, func(r *cardRig) {
		r.state(StateSIM, time.Minute)
		require.Equal(t, busyLooks, r.looks(2*busyLooks*time.Second))
		r.state(StateNoSIM, 3*time.Second)
		require.Equal(t, 4, r.looks(time.Minute))
		card.set(func() { card.cpin = "" })
		r.state(StateReady, 16*time.Second)

		card.set(func() { card.cpin = "+CME ERROR: 14" })
		card.reboot()
		r.state(StateSIM, time.Minute)
		require.GreaterOrEqual(t, r.looks(2*(busyLooksKnown-1)*time.Second), busyLooksKnown-2)
		require.Equal(t, StateSIM, r.m.Snapshot().State)
		r.state(StateNoSIM, 10*time.Second)
		require.Contains(t, r.m.Snapshot().Reason, "busy")
	})
}

// TestFailedSIM: the module is restarted once for it, not again and again.
func TestFailedSIM(t *testing.T) {
	card := newCard("")
	card.cpin = "+CME ERROR: 13"
	withCard(t, card, nil, func(r *cardRig) {
		r.pass(40 * time.Minute)
		require.Equal(t, 1, card.wrote("AT+CFUN=1,1"))
		require.Equal(t, StateNoSIM, r.m.Snapshot().State)
		require.GreaterOrEqual(t, r.looks(time.Minute), 3)
		card.set(func() { card.cpin = "" })
		r.state(StateReady, time.Minute)
	})
}

// TestBusyForAMoment: a SIM that is read anew is no reason to leave ready.
func TestBusyForAMoment(t *testing.T) {
	card := newCard("")
	withCard(t, card, nil, func(r *cardRig) {
		r.ready()
		card.set(func() { card.cpin = "+CME ERROR: 14" })
		card.say("+QUSIM: 1")
		r.pass(6 * time.Second)
		require.Equal(t, StateReady, r.m.Snapshot().State)
		card.set(func() { card.cpin = "" })
		r.pass(time.Minute)
		require.Equal(t, StateReady, r.m.Snapshot().State)
		card.set(func() { card.cpin = "+CME ERROR: 14" })
		card.say("+QUSIM: 1")
		r.state(StateSIM, time.Minute)
	})
}

// TestNoLineWithoutAName: a SIM that is busy for a while at the start is waited
// for; one that is busy for long does without a name, and gets it soon after.
func TestNoLineWithoutAName(t *testing.T) {
	identity := []string{"+CIMI", "+CCID", "+ICCID", "^ICCID", "+QCCID", "+CRSM"}
	for _, busy := range []time.Duration{8 * time.Second, 20 * time.Second, 2 * time.Minute} {
		live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
			for _, on := range identity {
				l.em.Inject(emulator.Fault{Kind: emulator.FaultSIMBusy, On: on, Count: -1})
			}
			start := time.Now()
			for time.Since(start) < busy {
				l.pass(100 * time.Millisecond)
				if l.m.Snapshot().State == StateReady {
					require.Greater(t, time.Since(start), 25*time.Second)
				}
			}
			l.em.ClearFaults()
			within := 10 * time.Second
			if busy > time.Minute { // it works meanwhile
				require.Equal(t, StateReady, l.m.Snapshot().State)
				within = nameMost + 5*time.Second
			}
			l.until("whose SIM it is", within, func() bool {
				s := l.m.Snapshot()
				return s.State == StateReady && s.SIM.ICCID == l.em.ICCID() && s.SIM.IMSI != ""
			})
			require.Empty(t, l.m.Snapshot().LastError)
		})
	}
}

// TestICCIDThatComesLater than the IMSI: the SIM goes by it as soon as it is told.
func TestICCIDThatComesLater(t *testing.T) {
	for _, busy := range []bool{true, false} {
		live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
			for _, on := range []string{"+CCID", "+ICCID", "^ICCID", "+QCCID", "+CRSM"} {
				f := emulator.Fault{Kind: emulator.FaultSIMBusy, On: on, Count: -1}
				if !busy {
					f.Kind = emulator.FaultError
				}
				l.em.Inject(f)
			}
			start := time.Now()
			l.state(StateReady, time.Minute)
			require.Less(t, time.Since(start), 10*time.Second, "the IMSI is a name too")
			require.Empty(t, l.m.Snapshot().SIM.ICCID)
			l.pass(5 * time.Minute)
			l.em.ClearFaults()
			within := nameMost + 5*time.Second
			if !busy {
				within = 16 * time.Minute
			}
			l.until("the ICCID", within, func() bool {
				s := l.m.Snapshot()
				return s.State == StateReady && s.SIM.ICCID == l.em.ICCID() && s.SIM.IMSI != ""
			})
		})
	}
}

// TestSwapToASIMThatHidesItsICCID is noticed by the IMSI.
func TestSwapToASIMThatHidesItsICCID(t *testing.T) {
	card := newCard("")
	withCard(t, card, nil, func(r *cardRig) {
		r.ready()
		card.swap("", otherIMSI, "")
		r.until("the other SIM", 16*time.Minute, func() bool {
			s := r.m.Snapshot()
			return s.State == StateReady && s.SIM.IMSI == otherIMSI && s.SIM.ICCID == ""
		})
	})
}
