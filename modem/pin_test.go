package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
)

// TestMayTry walks the policy.
func TestMayTry(t *testing.T) {
	fresh := PINRecord{Before: -1, After: -1}
	worked := PINRecord{State: CodeWorked, Before: 3, After: -1, Worked: true}
	lost := PINRecord{State: CodeSent, Before: 3, After: -1, Sends: 1, Failed: true}
	lostAgain := PINRecord{State: CodeSent, Before: 3, After: -1, Sends: 1, Worked: true, Failed: true}
	refused := PINRecord{State: CodeRefused, Before: 3, After: 2, Sends: 1, Failed: true}
	with := func(r PINRecord, change func(*PINRecord)) PINRecord { change(&r); return r }
	const unknown = -1
	for _, c := range []struct {
		name        string
		rec         PINRecord
		left        int
		auto, order bool // may be sent by itself, by an operator
	}{
		{"new, three left", fresh, 3, true, true},
		{"new, two left", fresh, 2, true, true},
		{"new, one left", fresh, 1, false, false},
		{"new, none left", fresh, 0, false, false},
		{"new, unknown", fresh, unknown, false, true},
		{"new, unknown after a failure", with(fresh, func(r *PINRecord) { r.Failed = true }), unknown, false, false},
		{"new after a failure, two left", with(fresh, func(r *PINRecord) { r.Failed = true }), 2, true, true},
		{"worked", worked, 3, true, true},
		{"worked, one left", worked, 1, false, false},
		{"worked, unknown", worked, unknown, true, true},
		{"worked, unknown after another failed", with(worked, func(r *PINRecord) { r.Failed = true }), unknown, false, false},
		{"refused", refused, 2, false, false},
		{"refused, three left", refused, 3, false, false},
		{"refused, unknown", refused, unknown, false, false},
		{"answer lost, as many left", lost, 3, false, true},
		{"answer lost, fewer left", lost, 2, false, false},
		{"answer lost, unknown", lost, unknown, false, false},
		{"answer lost, unknown before", with(lost, func(r *PINRecord) { r.Before = unknown }), 3, false, false},
		{"answer lost twice", with(lost, func(r *PINRecord) { r.Sends = 2 }), 3, false, false},
		{"worked, answer lost, as many left", lostAgain, 3, true, true},
		{"worked, answer lost, fewer left", lostAgain, 2, false, false},
		{"worked, answer lost, unknown", lostAgain, unknown, false, false},
		{"worked, answer lost twice", with(lostAgain, func(r *PINRecord) { r.Sends = 2 }), 3, false, false},
	} {
		for _, kind := range []CodeKind{CodePIN, CodePUK} {
			require.Equal(t, c.order, mayTry(kind, c.rec, c.left, true, true) == nil, "%s, by an operator", c.name)
		}
		require.Equal(t, c.auto, mayTry(CodePIN, c.rec, c.left, false, true) == nil, "%s, by itself", c.name)
	}
	// Behind an IMEI: more tries than there were after the refusal are another SIM's.
	require.NoError(t, mayTry(CodePIN, refused, 3, true, false))
	require.Error(t, mayTry(CodePIN, refused, 2, true, false))
	require.Error(t, mayTry(CodePIN, refused, unknown, true, false))
}

// hooked is a memory whose Try asks a function first.
type hooked struct {
	offered
	try func() error
}

func (h hooked) Try(ctx context.Context, sim string, kind CodeKind, code string, left int) error {
	if err := h.offered.Try(ctx, sim, kind, code, left); err != nil {
		return err
	}
	return h.try()
}

func TestWrittenDownBeforeItIsSent(t *testing.T) {
	c := newCard("4711")
	tries := 0
	withCard(t, c, hooked{offering("4711"), func() error {
		tries++
		if len(c.codes()) > 0 {
			return errors.New("it was sent already")
		}
		return nil
	}}, func(r *cardRig) {
		r.ready()
		require.Equal(t, 1, tries)
		r.sent("4711")
	})
}

func TestAMemoryThatFailsForbidsTheTry(t *testing.T) {
	c := newCard("4711")
	full := errors.New("no space left for the database")
	withCard(t, c, hooked{offering("4711"), func() error { return full }}, func(r *cardRig) {
		r.blocked()
		r.pass(5 * time.Minute)
		require.ErrorIs(t, r.enter("4711"), full)
		require.Empty(t, c.codes())
		require.Contains(t, r.m.Snapshot().Reason, "written down")
	})
	withCard(t, c, failing{newRunMemory()}, func(r *cardRig) {
		r.blocked()
		require.ErrorContains(t, r.enter("4711"), "looked up")
		require.Empty(t, c.codes())
	})
}

// failing is a memory that cannot be read.
type failing struct{ *runMemory }

func (failing) PIN(context.Context, string) (string, error) { return "", errors.New("cannot be read") }

func (failing) Tried(context.Context, string, CodeKind, string) (PINRecord, error) {
	return PINRecord{}, errors.New("cannot be read")
}

// TestKilledBetween: the program dies when the try is written down and the PIN
// has not left. It is not sent again, unless it had worked.
func TestKilledBetween(t *testing.T) {
	for _, c := range []struct {
		name   string
		before bool // it has worked before
		leaves bool // it had left all the same
		pin    string
		sends  int // after the restart, by itself
	}{
		{"never worked", false, false, "4711", 0},
		{"never worked, and wrong", false, true, "1111", 0},
		{"worked", true, false, "4711", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := newCard("4711")
			pins := offering(c.pin)
			if c.before {
				require.NoError(t, pins.Worked(t.Context(), card.iccid, CodePIN, c.pin, ""))
			}
			var died atomic.Bool
			withCard(t, card, hooked{pins, func() error {
				if c.leaves {
					card.mu.Lock()
					card.verify(c.pin)
					card.mu.Unlock()
				}
				died.Store(true)
				return errors.New("killed")
			}}, func(r *cardRig) {
				r.until("the end", time.Minute, died.Load)
				r.stop()
				card.set(func() { card.got = nil })
				r.start(pins)
				if c.sends == 0 {
					r.blocked()
					r.pass(10 * time.Minute)
				} else {
					r.ready()
				}
				require.Len(t, card.codes(), c.sends)
			})
		})
	}
}

// TestRebootInsteadOfAnAnswer: the modem restarts when it has got the PIN.
func TestRebootInsteadOfAnAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		counts bool   // the SIM got it, and the modem tells its tries
		pin    string // what is entered; the right one is 4711
		takes  bool   // the SIM has got it
		again  bool   // the operator may enter it once more
		state  CodeState
	}{
		{"right, not counted", true, "4711", false, true, CodeSent},
		{"wrong, counted", true, "1111", true, false, CodeRefused},
		{"tries unknown", false, "4711", false, false, CodeSent},
	} {
		t.Run(c.name, func(t *testing.T) {
			card := newCard("4711")
			card.counts = c.counts
			pins := newRunMemory()
			withCard(t, card, pins, func(r *cardRig) {
				r.blocked()
				card.set(func() {
					card.enter = func(args string) (string, bool) {
						if c.takes {
							card.verify(c.pin)
						}
						card.enter = nil
						card.restart()
						return "RDY", true
					}
				})
				require.Error(t, r.enter(c.pin))
				r.blocked()
				r.pass(5 * time.Minute)
				r.sent(c.pin)
				rec, err := pins.Tried(t.Context(), card.iccid, CodePIN, c.pin)
				require.NoError(t, err)
				require.Equal(t, c.state, rec.State)
				err = r.enter(c.pin)
				require.Equal(t, c.again, err == nil, "%v", err)
				if c.again {
					r.ready()
				}
			})
		})
	}
}

// TestOpenAfterALostAnswer: the SIM says READY, so the PIN has worked, and is
// remembered.
func TestOpenAfterALostAnswer(t *testing.T) {
	card := newCard("4711")
	pins := newRunMemory()
	withCard(t, card, pins, func(r *cardRig) {
		r.blocked()
		card.set(func() {
			card.enter = func(string) (string, bool) {
				card.verify("4711")
				return "", true
			}
		})
		require.Error(t, r.enter("4711"))
		card.set(func() { card.enter = nil })
		r.ready()
		pin, err := pins.PIN(t.Context(), card.iccid)
		require.NoError(t, err)
		require.Equal(t, "4711", pin)
		card.reboot()
		r.until("the second time", time.Minute, func() bool { return len(card.codes()) == 2 })
		r.ready()
	})
}

// TestPINThatNoLongerHelps: it has worked before; now the modem takes it and asks
// again. That is once for each restart, and no more than twice.
func TestPINThatNoLongerHelps(t *testing.T) {
	card := newCard("4711")
	card.enter = func(string) (string, bool) { return "OK", true }
	pins := offering("4711")
	require.NoError(t, pins.Worked(t.Context(), card.iccid, CodePIN, "4711", ""))
	withCard(t, card, pins, func(r *cardRig) {
		for _, sent := range []int{1, 2, 2, 2} {
			r.blocked()
			r.pass(10 * time.Minute)
			require.Len(t, card.codes(), sent)
			card.reboot()
			r.pass(time.Minute)
		}
	})
}

// TestAnswerLostAndSIMChanged: what the next SIM says is no answer for the last
// one.
func TestAnswerLostAndSIMChanged(t *testing.T) {
	for _, locked := range []bool{true, false} {
		card := newCard("4711")
		was := card.iccid
		pins := newRunMemory()
		withCard(t, card, pins, func(r *cardRig) {
			r.blocked()
			card.set(func() {
				card.enter = func(string) (string, bool) {
					card.enter = nil
					card.iccid, card.imsi = otherICCID, otherIMSI
					if card.pinTries = 2; !locked {
						card.pin = ""
					}
					card.restart()
					return "RDY", true
				}
			})
			require.Error(t, r.enter("1111"))
			if locked {
				r.blocked()
			} else {
				r.ready()
			}
			r.pass(time.Minute)
			for _, sim := range []string{was, otherICCID} {
				rec, err := pins.Tried(t.Context(), sim, CodePIN, "1111")
				require.NoError(t, err)
				require.Equal(t, map[bool]CodeState{true: CodeSent, false: CodeNew}[sim == was], rec.State)
				kept, err := pins.PIN(t.Context(), sim)
				require.NoError(t, err)
				require.Empty(t, kept)
			}
		})
	}
}

// TestLastTry: the answer is lost, and the SIM asks for its PUK.
func TestLastTry(t *testing.T) {
	card := newCard("4711")
	card.counts, card.pinTries = false, 1
	card.enter = func(string) (string, bool) { card.verify("1111"); return "", true }
	pins := newRunMemory()
	withCard(t, card, pins, func(r *cardRig) {
		r.blocked()
		require.Error(t, r.enter("1111"))
		r.until("the PUK", time.Minute, func() bool { return strings.Contains(r.m.Snapshot().Reason, "PUK") })
		rec, err := pins.Tried(t.Context(), card.iccid, CodePIN, "1111")
		require.NoError(t, err)
		require.Equal(t, CodeRefused, rec.State)
	})
}

// TestOpenAtTheNextStart: the program died before it saw the answer, and the SIM
// is open when it starts again: that PIN has worked.
func TestOpenAtTheNextStart(t *testing.T) {
	card := newCard("4711")
	pins := newRunMemory()
	require.NoError(t, pins.Try(t.Context(), card.iccid, CodePIN, "4711", 3))
	card.open = true
	withCard(t, card, pins, func(r *cardRig) {
		r.ready()
		rec, err := pins.Tried(t.Context(), card.iccid, CodePIN, "4711")
		require.NoError(t, err)
		require.Equal(t, CodeWorked, rec.State)
		require.False(t, rec.Failed)
	})
}

// TestRememberedOverRestarts: what an operator entered once opens the SIM after
// every restart of the modem and of the program, also when the modem does not
// say how many tries are left.
func TestRememberedOverRestarts(t *testing.T) {
	for _, counts := range []bool{true, false} {
		card := newCard("4711")
		card.counts = counts
		pins := newRunMemory()
		withCard(t, card, pins, func(r *cardRig) {
			r.blocked()
			r.pass(time.Minute)
			require.Empty(t, card.codes(), "none is known")
			require.NoError(t, r.enter("4711"))
			r.ready()
			for n := range 3 {
				if n%2 == 0 {
					card.reboot()
				} else {
					r.stop()
					card.set(card.restart)
					r.start(pins)
				}
				r.until("the PIN", time.Minute, func() bool { return len(card.codes()) == n+2 })
				r.ready()
			}
			// The PIN is another one now: it is tried once, and forgotten.
			card.set(func() { card.pin = "9999" })
			card.reboot()
			r.state(StateSIMBlocked, time.Minute)
			r.pass(10 * time.Minute)
			card.reboot()
			r.pass(10 * time.Minute)
			require.Len(t, card.codes(), 5)
			require.Equal(t, 2, card.pinTries)
			require.Error(t, r.enter("4711"), "for ever")
			if !counts {
				require.ErrorContains(t, r.enter("9999"), "does not say how many")
				return
			}
			require.NoError(t, r.enter("9999"))
			r.ready()
			require.Error(t, r.enter("9999"), "it asks for none")
		})
	}
}

// TestAnotherSIMIsGivenNoPIN: the modem does not tell the ICCID of a locked SIM,
// and the one that was in it before had a PIN on record.
func TestAnotherSIMIsGivenNoPIN(t *testing.T) {
	card := newCard("4711")
	pins := offering("4711")
	withCard(t, card, pins, func(r *cardRig) {
		r.ready()
		r.sent("4711")
		card.set(func() {
			card.hidden, card.pin, card.iccid, card.imsi = true, "9999", "8934079900000000029", "214070000000002"
		})
		card.reboot()
		r.state(StateSIMBlocked, time.Minute)
		r.pass(20 * time.Minute)
		r.sent("4711")
		require.Contains(t, r.m.Snapshot().Reason, "enter it")

		// By an operator, once; then under what the SIM says when it is open.
		require.ErrorContains(t, r.enter("1111"), "refused")
		require.Error(t, r.enter("1111"), "on record under the IMEI")
		require.NoError(t, r.enter("9999"))
		r.ready()
		r.sent("4711", "1111", "9999")
		require.Equal(t, "8934079900000000029", r.m.Snapshot().SIM.ICCID)
		kept, err := pins.runMemory.PIN(t.Context(), "8934079900000000029")
		require.NoError(t, err)
		require.Equal(t, "9999", kept)

		// A third one with all its tries: what another refused is not its matter.
		card.set(func() {
			card.pin, card.iccid, card.imsi = "1111", "8934079900000000037", "214070000000003"
		})
		card.reboot()
		r.state(StateSIMBlocked, time.Minute)
		require.NoError(t, r.enter("1111"))
		r.ready()
	})
}

func TestOrdersAreNotCarriedOutInOneAnother(t *testing.T) {
	card := newCard("4711")
	withCard(t, card, nil, func(r *cardRig) {
		r.blocked()
		first := make(chan error, 1)
		go func() { first <- r.m.EnterPIN(r.t.Context(), "4711") }()
		r.until("the first one", time.Minute, func() bool { return len(card.codes()) == 1 })
		require.ErrorIs(t, r.enter("1111"), errOpening)
		require.NoError(t, <-first)
		r.ready()
		r.sent("4711")
	})
}

// TestAnswersToAPIN: what the modem says to a wrong PIN, and whether it counts.
func TestAnswersToAPIN(t *testing.T) {
	for _, c := range []struct {
		answer string
		state  CodeState
		says   string
	}{
		{"+CME ERROR: 16", CodeRefused, "it is wrong"},
		{"+CME ERROR: incorrect password", CodeRefused, "it is wrong"},
		{"+CMS ERROR: 311", CodeRefused, "it is wrong"},
		{"+CME ERROR: 11", CodeRefused, "it is wrong"},
		{"+CME ERROR: 12", CodeRefused, "blocked now"},
		{"+CMS ERROR: 316", CodeRefused, "blocked now"},
		{"+CME ERROR: 262", CodeRefused, "blocked now"},
		{"+CME ERROR: 14", CodeSent, "nobody knows"},
		{"+CME ERROR: 3", CodeSent, "nobody knows"},
		{"ERROR", CodeSent, "nobody knows"},
		{"", CodeSent, "nobody knows"},
	} {
		t.Run(c.answer, func(t *testing.T) {
			card := newCard("4711")
			card.enter = func(string) (string, bool) { return c.answer, true }
			pins := newRunMemory()
			withCard(t, card, pins, func(r *cardRig) {
				r.blocked()
				require.ErrorContains(t, r.enter("1111"), c.says)
				r.pass(time.Minute)
				rec, err := pins.Tried(t.Context(), card.iccid, CodePIN, "1111")
				require.NoError(t, err)
				require.Equal(t, c.state, rec.State)
				r.sent("1111")
			})
		})
	}
	// ERROR, and one try less: it was wrong.
	card := newCard("4711")
	card.enter = func(string) (string, bool) { card.verify("1111"); return "ERROR", true }
	withCard(t, card, nil, func(r *cardRig) {
		r.blocked()
		require.ErrorContains(t, r.enter("1111"), "refused the PIN")
		require.ErrorContains(t, r.enter("1111"), "before")
		r.sent("1111")
	})
}

func TestPUK(t *testing.T) {
	card := newCard("4711")
	card.pinTries = 0
	pins := newRunMemory()
	withCard(t, card, pins, func(r *cardRig) {
		puk := func(puk, pin string) error { return r.m.EnterPUK(r.t.Context(), puk, pin) }
		r.blocked()
		require.Contains(t, r.m.Snapshot().Reason, "PUK")
		require.Contains(t, r.m.Snapshot().Reason, "tries left: 10")
		for _, bad := range [][2]string{{"1234567", "4711"}, {"123456789", "4711"}, {"1234567a", "4711"}, {"", "4711"}, {"12345678", "123"}, {`12345678`, `1","2`}} {
			require.Error(t, puk(bad[0], bad[1]))
		}
		require.ErrorContains(t, r.enter("4711"), "does not ask for a PIN")
		require.Empty(t, card.codes())

		require.ErrorContains(t, puk("87654321", "2222"), "refused the PUK")
		require.ErrorContains(t, puk("87654321", "2222"), "before")
		r.sent("87654321,2222")
		r.pass(time.Minute)
		require.Contains(t, r.m.Snapshot().Reason, "tries left: 9")
		require.NoError(t, puk("12345678", "2222"))
		r.ready()
		r.sent("87654321,2222", "12345678,2222")
		require.ErrorContains(t, puk("12345678", "2222"), "does not ask for a PUK")

		// The new PIN is remembered, the old one's record does not matter.
		card.reboot()
		r.until("the new PIN", time.Minute, func() bool { return len(card.codes()) == 3 })
		r.ready()
		r.sent("87654321,2222", "12345678,2222", "2222")
	})
}

func TestPUKWithFewTries(t *testing.T) {
	card := newCard("4711")
	card.pinTries, card.pukTries = 0, 1
	withCard(t, card, nil, func(r *cardRig) {
		r.blocked()
		require.ErrorContains(t, r.m.EnterPUK(r.t.Context(), "12345678", "2222"), "only 1 try is left")
		card.set(func() { card.counts = false })
		require.Error(t, r.m.EnterPUK(r.t.Context(), "87654321", "2222"), "unknown: by an operator, once")
		require.ErrorContains(t, r.m.EnterPUK(r.t.Context(), "12345678", "2222"), "does not say how many")
		r.sent("87654321,2222")
	})
}

// TestPUKAndARestart: the modem took the PUK and restarts before it says so; the
// new PIN is what it wants then.
func TestPUKAndARestart(t *testing.T) {
	card := newCard("4711")
	card.pinTries = 0
	pins := newRunMemory()
	withCard(t, card, pins, func(r *cardRig) {
		r.blocked()
		card.set(func() {
			card.enter = func(string) (string, bool) {
				card.pin, card.pinTries = "2222", 3
				card.enter = nil
				card.restart()
				return "RDY", true
			}
		})
		require.Error(t, r.m.EnterPUK(r.t.Context(), "12345678", "2222"))
		r.ready()
		r.sent("12345678,2222", "2222")
	})
}

// situations are what AT+CPIN? may say, with what comes of it.
var situations = []struct {
	answer string
	state  State
	word   string
}{
	{"+CPIN: READY|OK", StateReady, ""}, {`+CPIN: "READY"|OK`, StateReady, ""}, {"+CPIN:READY|OK", StateReady, ""},
	{"+CPIN: READY", StateReady, ""}, {"+CPIN: ready|OK", StateReady, ""}, {"+CPIN:  READY |OK", StateReady, ""},
	{"OK", StateReady, ""}, // nothing but OK
	{"+CPIN: SIM PIN2|OK", StateReady, ""}, {"+CPIN: SIM PUK2|OK", StateReady, ""},
	{"+CME ERROR: 17", StateReady, ""}, {"+CME ERROR: 18", StateReady, ""},
	{"+CMS ERROR: 317", StateReady, ""}, {"+CMS ERROR: 318", StateReady, ""},
	{"+CPIN: SIM PIN|OK", StateSIMBlocked, "PIN"}, {`+CPIN:"SIM PIN"|OK`, StateSIMBlocked, "PIN"},
	{"+CME ERROR: 11", StateSIMBlocked, "PIN"}, {"+CME ERROR: 16", StateSIMBlocked, "PIN"}, {"+CMS ERROR: 311", StateSIMBlocked, "PIN"},
	{"+CME ERROR: SIM PIN required", StateSIMBlocked, "PIN"},
	{"+CPIN: SIM PUK|OK", StateSIMBlocked, "PUK"}, {"+CME ERROR: 12", StateSIMBlocked, "PUK"},
	{"+CMS ERROR: 316", StateSIMBlocked, "PUK"}, {"+CME ERROR: 262", StateSIMBlocked, "PUK"},
	{"+CPIN: PH-SIM PIN|OK", StateSIMBlocked, "another SIM"}, {"+CME ERROR: 5", StateSIMBlocked, "another SIM"}, {"+CMS ERROR: 312", StateSIMBlocked, "another SIM"},
	{"+CPIN: PH-FSIM PIN|OK", StateSIMBlocked, "first SIM"}, {"+CME ERROR: 6", StateSIMBlocked, "first SIM"}, {"+CME ERROR: 7", StateSIMBlocked, "too often"},
	{"+CPIN: PH-NET PIN|OK", StateSIMBlocked, "one network"}, {"+CPIN: PH-NET PUK|OK", StateSIMBlocked, "too often"},
	{"+CME ERROR: 40", StateSIMBlocked, "one network"}, {"+CME ERROR: 41", StateSIMBlocked, "too often"},
	{"+CPIN: PH-NETSUB PIN|OK", StateSIMBlocked, "part of one network"}, {"+CPIN: PH-NETSUB PUK|OK", StateSIMBlocked, "too often"},
	{"+CME ERROR: 42", StateSIMBlocked, "part of one network"}, {"+CME ERROR: 43", StateSIMBlocked, "too often"},
	{"+CPIN: PH-SP PIN|OK", StateSIMBlocked, "provider"}, {"+CPIN: PH-SP PUK|OK", StateSIMBlocked, "too often"},
	{"+CME ERROR: 44", StateSIMBlocked, "provider"}, {"+CME ERROR: 45", StateSIMBlocked, "too often"},
	{"+CPIN: PH-CORP PIN|OK", StateSIMBlocked, "company"}, {"+CPIN: PH-CORP PUK|OK", StateSIMBlocked, "too often"},
	{"+CME ERROR: 46", StateSIMBlocked, "company"}, {"+CME ERROR: 47", StateSIMBlocked, "too often"},
	{"+CME ERROR: 48", StateSIMBlocked, "hidden key"},
	{"+CPIN: PH-WHATEVER|OK", StateSIMBlocked, "PH-WHATEVER"},
	{"+CPIN: NOT INSERTED|OK", StateNoSIM, "no SIM"}, {"+CPIN: SIM REMOVED|OK", StateNoSIM, "no SIM"},
	{"+CME ERROR: 10", StateNoSIM, "no SIM"}, {"+CMS ERROR: 310", StateNoSIM, "no SIM"}, {"+CME ERROR: SIM not inserted", StateNoSIM, "no SIM"},
	{"+CME ERROR: 13", StateNoSIM, "failed"}, {"+CMS ERROR: 313", StateNoSIM, "failed"}, {"+CPIN: SIM FAILURE|OK", StateNoSIM, "failed"},
	{"+CPIN: NOT READY|OK", StateNoSIM, "busy"}, {"+CME ERROR: 14", StateNoSIM, "busy"}, {"+CMS ERROR: 314", StateNoSIM, "busy"},
	{"+CME ERROR: 515", StateNoSIM, "busy"}, {"+CMS ERROR: 515", StateNoSIM, "busy"}, {"+CPIN: SIM BUSY|OK", StateNoSIM, "busy"},
	{"+CME ERROR: 15", StateSIMBlocked, "wrong SIM"}, {"+CMS ERROR: 315", StateSIMBlocked, "wrong SIM"},
	{"+CME ERROR: 772", StateNoSIM, "switched the SIM off"},
}

// TestEveryAnswerToCPIN: each leads somewhere that says what to do, and from
// there back when the SIM is well. Whatever it is, no PUK leaves by itself, and
// the PIN on record at most once; not even when the modem restarts in between.
func TestEveryAnswerToCPIN(t *testing.T) {
	for _, c := range situations {
		t.Run(c.answer, func(t *testing.T) {
			card := newCard("")
			card.cpin = c.answer
			pins := offering("4711")
			require.NoError(t, pins.Worked(t.Context(), card.iccid, CodePUK, "12345678", "4711"))
			withCard(t, card, pins, func(r *cardRig) {
				r.state(c.state, 3*time.Minute)
				require.Contains(t, r.m.Snapshot().Reason, c.word)
				r.pass(10 * time.Minute)
				card.reboot()
				r.pass(10 * time.Minute)
				require.LessOrEqual(t, len(card.codes()), 1)
				for _, code := range card.codes() {
					require.NotContains(t, code, ",")
				}
				card.set(func() { card.cpin = "" })
				r.state(StateReady, 20*time.Second)
				require.NotEmpty(t, r.m.Snapshot().SIM.ICCID)
				require.Empty(t, r.m.Snapshot().Reason)
			})
		})
	}
}

func TestCPINErrorOfEveryCode(t *testing.T) {
	for code := range 1000 {
		for _, err := range []error{at.CMEError(code), at.CMSError(code)} {
			word := cpinError(err)
			require.NotEmpty(t, word, "%v", err)
			if word != cpinBusy && !simOpen(word) {
				require.True(t, code < 50 || code == 262 || code == 772 || code >= 310 && code <= 318, "%v: %s", err, word)
			}
		}
	}
	require.Equal(t, cpinBusy, cpinError(at.ErrFailed))
}

// TestNoCodeIsShown drives a PIN and a PUK through and looks for them everywhere
// that a modem shows something.
func TestNoCodeIsShown(t *testing.T) {
	card := newCard("4711")
	var shown strings.Builder
	withCard(t, card, nil, func(r *cardRig) {
		look := func(err error) {
			fmt.Fprintf(&shown, "%v\n%+v\n%+v\n%+v\n", err, r.m.Snapshot(), r.m.Trace(), r.m.History())
		}
		r.blocked()
		card.set(func() { card.enter = func(string) (string, bool) { return "", true } })
		look(r.enter("4711"))
		card.set(func() { card.enter = nil })
		r.pass(time.Minute)
		look(r.enter("4711"))
		r.ready()
		card.set(func() { card.pin = "5823" })
		card.reboot()
		r.state(StateSIMBlocked, time.Minute)
		look(nil)
		card.set(func() { card.pinTries = 0 })
		r.pass(time.Minute)
		card.set(func() { card.puk = "99999999" })
		look(r.m.EnterPUK(r.t.Context(), "12345678", "4711"))
		look(r.m.EnterPUK(r.t.Context(), "12345678", "4711"))
		card.set(func() { card.puk, card.enter = "12345679", func(string) (string, bool) { return "ERROR", true } })
		look(r.m.EnterPUK(r.t.Context(), "12345679", "4711"))
		card.set(func() { card.enter = nil })
		look(r.m.EnterPUK(r.t.Context(), "12345679", "4711"))
		r.ready()
		look(nil)
		r.stop()
		shown.WriteString(r.log.String())
	})
	require.Contains(t, shown.String(), "opened the SIM")
	require.Contains(t, shown.String(), "AT+CPIN=")
	for _, code := range []string{"4711", "12345678", "12345679", "345678", "345679"} {
		require.NotRegexp(t, `(^|\D)`+code+`(\D|$)`, shown.String())
	}
}
