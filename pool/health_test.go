package pool

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
)

// ward is a line without a modem, whose health tests see to.
type ward struct {
	*line
	t       *testing.T
	attempt int64
}

// aWard runs a test with one in the time of a bubble.
func aWard(t *testing.T, test func(w *ward)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &ward{line: &line{p: New(Options{}), news: make(chan struct{}, 1)}, t: t}
		test(w)
		time.Sleep(2 * lostRestMost) // its timers have all been
	})
}

// is lets an attempt end so, and gives its number.
func (w *ward) is(o modem.Outcome) int64 {
	w.attempt++
	w.learn(o, 4*time.Second, w.attempt)
	return w.attempt
}

var (
	taken   = modem.Outcome{Verdict: modem.Accepted}
	unheard = modem.Outcome{Verdict: modem.Ambiguous, Code: "timeout", Class: modem.ClassUnknown}
	pulled  = modem.Outcome{Verdict: modem.Ambiguous, Code: "gone", Class: modem.ClassDevice}
	noNet   = modem.Outcome{Verdict: modem.Rejected, Code: "cms_38", Class: modem.ClassNetwork}
	noSIM   = modem.Outcome{Verdict: modem.Rejected, Code: "cms_8", Class: modem.ClassSIM}
	unsent  = modem.Outcome{Verdict: modem.NotSent, Code: "no_prompt", Class: modem.ClassDevice}
)

// rests says for how long the line rests from now, and what people are told.
func (w *ward) rests() (d time.Duration, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, time.Until(w.restUntil)), w.quarantine(time.Now())
}

// wants that the line rests for so long, then lets the time pass.
func (w *ward) wants(d time.Duration, why string) {
	w.t.Helper()
	got, says := w.rests()
	require.Equal(w.t, d, got)
	if why == "" {
		require.Empty(w.t, says)
	} else {
		require.Contains(w.t, says, why)
	}
	time.Sleep(d)
	_, says = w.rests()
	require.Empty(w.t, says)
}

// TestLostInARow: whatever the cause, two rest the line for ten seconds, each
// further one for twice as long, and one that is accepted ends the row.
func TestLostInARow(t *testing.T) {
	aWard(t, func(w *ward) {
		w.is(pulled)
		w.wants(0, "")
		for n, d := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800} {
			w.is(pulled)
			w.wants(d*time.Second, fmt.Sprintf("the last %d ", n+2))
		}
		w.is(taken)
		w.is(pulled)
		w.wants(0, "")
		w.is(taken)
		w.is(pulled)
		w.wants(0, "")
		w.is(pulled)
		w.wants(10*time.Second, "the last 2 ")
	})
}

// TestSilencesThatAreTooMany: three in ten minutes, and a third of all.
func TestSilencesThatAreTooMany(t *testing.T) {
	aWard(t, func(w *ward) {
		for range 2 {
			w.is(unheard)
			w.is(taken)
		}
		w.wants(0, "")
		w.is(unheard)
		w.wants(2*time.Minute, "3 submissions in ten minutes")
		w.is(unheard)
		w.wants(4*time.Minute, "4 submissions in ten minutes")
		w.is(taken) // from the first on again
		w.is(unheard)
		w.wants(2*time.Minute, "submissions in ten minutes")
	})
	aWard(t, func(w *ward) { // one in five is not a third
		for range 4 {
			w.is(unheard)
			for range 4 {
				w.is(taken)
			}
		}
		w.wants(0, "")
	})
	aWard(t, func(w *ward) { // three in a quarter of an hour
		for range 3 {
			w.is(unheard)
			w.is(taken)
			time.Sleep(5*time.Minute + time.Second)
		}
		w.is(unheard)
		w.wants(0, "")
	})
	aWard(t, func(w *ward) { // a modem that is pulled out and sends in between is not sick
		for range 10 {
			w.is(pulled)
			w.is(taken)
		}
		w.wants(0, "")
	})
}

// TestTheLongerRest: of two reasons the one that wants more is heard, and a rest
// is never cut short by a lesser one.
func TestTheLongerRest(t *testing.T) {
	aWard(t, func(w *ward) {
		for range 6 {
			w.is(pulled)
		}
		d, _ := w.rests()
		require.Equal(t, 160*time.Second, d)
		w.is(unheard)
		w.wants(320*time.Second, "the last 7 ")
	})
	aWard(t, func(w *ward) {
		for range simErrorsMost {
			w.is(noSIM)
		}
		w.is(unsent)
		w.wants(2*time.Minute, "refused this SIM")
	})
	aWard(t, func(w *ward) {
		w.suspend("a fault of the disk")
		w.is(unsent)
		w.is(pulled)
		w.is(pulled)
		time.Sleep(24 * time.Hour)
		_, why := w.rests()
		require.Equal(t, "a fault of the disk", why)
		w.forgive()
		w.wants(0, "")
	})
}

// TestShortRests: for the network's sake at most twenty seconds, for the modem's
// at most fifteen; nobody is told why an earlier, longer rest was.
func TestShortRests(t *testing.T) {
	aWard(t, func(w *ward) {
		w.is(pulled)
		w.is(pulled)
		w.wants(10*time.Second, "the last 2 ")
		w.is(noNet)
		w.is(noNet)
		w.wants(0, "")
		for _, d := range []time.Duration{5, 10, 20, 20, 20} {
			w.is(noNet)
			w.wants(d*time.Second, "")
		}
		for _, d := range []time.Duration{1, 2, 4, 8, 15, 15} {
			w.is(unsent)
			w.wants(d*time.Second, "")
		}
		w.is(taken)
		w.is(noNet)
		w.wants(0, "")
		w.is(unsent)
		w.wants(time.Second, "")
	})
}

// TestRedeemed: an answer that came late ends the rest that was for it, and no
// other; the next quarantine is then no longer than the last.
func TestRedeemed(t *testing.T) {
	aWard(t, func(w *ward) {
		w.is(pulled)
		b := w.is(pulled)
		w.redeem(b + 7) // somebody else's
		d, _ := w.rests()
		require.Equal(t, 10*time.Second, d)
		w.redeem(b)
		w.wants(0, "")
		w.is(pulled)
		w.wants(0, "") // the first in a row again
	})
	aWard(t, func(w *ward) { // one of three is not enough
		a := w.is(pulled)
		w.is(pulled)
		w.is(pulled)
		w.redeem(a)
		w.wants(20*time.Second, "the last 3 ")
	})
	aWard(t, func(w *ward) { // its rest is over, another is on
		a := w.is(pulled)
		b := w.is(pulled)
		w.wants(10*time.Second, "the last 2 ")
		for range networkErrorsMost {
			w.is(noNet)
		}
		w.redeem(a)
		w.redeem(b)
		w.wants(5*time.Second, "")
	})
	aWard(t, func(w *ward) {
		lost := []int64{w.is(unheard), w.is(unheard)}
		w.wants(10*time.Second, "the last 2 ")
		lost = append(lost, w.is(unheard))
		w.redeem(lost[2])
		w.wants(0, "")
		require.Zero(t, w.quarantines, "it is not held against it")
		w.is(unheard)
		w.wants(2*time.Minute, "3 submissions in ten minutes")
		require.Equal(t, 1, w.quarantines)
		// A rest that raised nothing takes nothing back.
		time.Sleep(2 * silentWindow)
		w.is(pulled)
		w.wants(10*time.Second, "the last 2 ")
		require.Equal(t, 1, w.quarantines)
		w.redeem(w.is(pulled))
		w.wants(0, "")
		require.Equal(t, 1, w.quarantines)
	})
}

// TestAQuarantineUnderALongerRest is taken back with it.
func TestAQuarantineUnderALongerRest(t *testing.T) {
	aWard(t, func(w *ward) {
		for range 4 {
			w.is(pulled)
		}
		w.is(unheard)
		w.is(unheard)
		w.wants(160*time.Second, "the last 6 ")
		last := w.is(unheard)
		d, why := w.rests()
		require.Equal(t, 320*time.Second, d)
		require.Contains(t, why, "the last 7 ")
		require.Equal(t, 1, w.quarantines)
		w.redeem(last)
		w.wants(0, "")
		require.Zero(t, w.quarantines)
	})
}

// TestTheEndOfARestIsTold: no modem changes then, so the line must say it.
func TestTheEndOfARestIsTold(t *testing.T) {
	aWard(t, func(w *ward) {
		pages, stop := w.p.Watch()
		defer stop()
		empty := func() {
			for _, c := range []<-chan struct{}{w.news, w.p.work, pages} {
				select {
				case <-c:
				default:
				}
			}
		}
		told := func() (n int) {
			for _, c := range []<-chan struct{}{w.news, w.p.work, pages} {
				select {
				case <-c:
					n++
				default:
				}
			}
			return n
		}
		a := w.is(pulled)
		w.is(pulled)
		empty()
		time.Sleep(10*time.Second - time.Millisecond)
		require.Zero(t, told())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, 3, told(), "what writes the events down, the dispatcher, the pages")
		_, why := w.rests()
		require.Empty(t, why)

		w.is(pulled)
		empty()
		w.redeem(w.attempt)
		w.redeem(a)
		require.Equal(t, 3, told())
	})
}

// TestRefusedHereTeachesNothing of the modem.
func TestRefusedHereTeachesNothing(t *testing.T) {
	aWard(t, func(w *ward) {
		for _, err := range []error{errPaused, errOtherSIM} {
			w.is(modem.Outcome{Verdict: modem.NotSent, Err: err})
		}
		w.wants(0, "")
	})
}

// TestLeftBehind: whose a message is that was read before the SIM was changed.
func TestLeftBehind(t *testing.T) {
	for _, row := range []struct {
		iccid, imsi string
		now         modem.SIM
		want        string
	}{
		{"1", "a", modem.SIM{ICCID: "1", IMSI: "a"}, ""},
		{"1", "a", modem.SIM{ICCID: "2", IMSI: "b"}, "1"},
		{"1", "a", modem.SIM{IMSI: "b"}, "1"},
		{"", "a", modem.SIM{IMSI: "a"}, ""},
		{"", "a", modem.SIM{IMSI: "b"}, "imsi-a"},
		{"", "a", modem.SIM{ICCID: "2", IMSI: "b"}, "imsi-a"},
		{"", "a", modem.SIM{ICCID: "1", IMSI: "a"}, ""}, // said since
		{"", "", modem.SIM{ICCID: "1", IMSI: "a"}, ""},  // not known whose: the one that is in
	} {
		r := modem.Received{ICCID: row.iccid, IMSI: row.imsi}
		require.Equal(t, row.want, leftBehind(r, row.now), "%+v", row)
	}
}

// TestAHoldAndItsNumber: the SIM's row may be behind when it is held, and a modem
// that is not ready has not been asked for the number: neither ends the hold.
func TestAHoldAndItsNumber(t *testing.T) {
	p := New(Options{})
	l := &line{p: p, news: make(chan struct{}, 1), key: "1"}
	p.lines = []*line{l}
	other := &simRecord{}
	p.sims["1"], p.sims["2"] = &simRecord{}, other
	says := func(state modem.State, smsc string) string {
		l.mu.Lock()
		l.snap.State, l.snap.SIM.SMSC = state, smsc
		l.mu.Unlock()
		l.sawSMSC()
		return p.held("1")
	}
	says(modem.StateReady, "+34600000001")
	p.hold("1", "it is not known", "+34600000001")
	require.Contains(t, p.held("1"), "it is not known")
	require.NotEmpty(t, says(modem.StateReady, "+34600000001"), "the row on disk had none yet")
	require.NotEmpty(t, says(modem.StateConfig, ""))
	require.NotEmpty(t, says(modem.StateReady, "+34600000001"))
	require.Empty(t, says(modem.StateReady, "+34600000002"))

	p.hold("1", "it is not known", "+34600000001")
	require.Empty(t, p.held("1"), "another was read while the refusal was on its way")
	says(modem.StateReady, "")
	p.hold("1", "it is not known", "")
	require.NotEmpty(t, p.held("1"))
	require.Empty(t, says(modem.StateReady, "+34600000002"))
	p.hold("1", "it is not known", "+34600000002")
	require.NotEmpty(t, says(modem.StateReady, ""), "it has lost it")
	require.Empty(t, says(modem.StateReady, "+34600000002"), "somebody has written it anew")

	// The attempt was another SIM's: that one is held, whatever is in now.
	p.hold("2", "it is not known", "+34600000002")
	require.Empty(t, p.held("1"))
	require.NotEmpty(t, other.held)
}
