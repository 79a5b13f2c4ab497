package modem

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// dialogueOut is what the modem was given, a command a line.
func (l *lifeOf) dialogueOut() string {
	var b strings.Builder
	for _, e := range l.m.Trace() {
		if e.Out {
			b.WriteString(e.Line + "\n")
		}
	}
	return b.String()
}

// TestTextModeIsNotSent: in text mode AT+CMGS=<length> is a message to the number
// <length>. An idle line makes sure each time, and one under load after 2.5 s.
func TestTextModeIsNotSent(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for range 5 {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultForgets, Code: 1})
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, Accepted, o.Verdict)
			l.pass(200 * time.Millisecond)
		}
		require.Equal(l.t, 5, l.accepted("hola"))
		for _, e := range l.net.Ledger() {
			require.True(l.t, e.Type != emulator.EntrySubmit || e.Text == "hola", "a message nobody wrote: %+v", e)
		}
	})
}

// TestSilentRebootIsNoticed: by <n> of +CREG within half a minute, or by the echo
// of the next AT+CMGS before its PDU leaves.
func TestSilentRebootIsNoticed(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSilentReboot})
		l.until("set up anew", 35*time.Second, func() bool {
			return strings.Count(l.dialogueOut(), "AT+CNMI=") >= 2
		})
		l.state(StateReady, 10*time.Second)
	})
}

// TestEchoThatComesBackAgainAndAgain is no restart in the end, and keeps no
// message from leaving.
func TestEchoThatComesBackAgainAndAgain(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultEchoBack, On: "+CSQ", Count: -1})
		began := time.Now()
		for range 30 {
			l.send("+34600111222", "a veces")
			l.pass(10 * time.Second)
		}
		require.Less(l.t, time.Since(began), 10*time.Minute)
		for range 5 {
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
			l.pass(31 * time.Second)
		}
	})
}

// TestUnansweredSetupIsMadeUp: what the line lost at the set-up is asked again,
// while the session lasts.
func TestUnansweredSetupIsMadeUp(t *testing.T) {
	for _, cmd := range []string{"+CPMS", "+CNMI", "+CSMS", "+CSCA", "+CNUM", "+COPS"} {
		t.Run(cmd, func(t *testing.T) {
			live(t, emulator.ModemOptions{Number: "+34699000111"}, nil, func(l *lifeOf) {
				count := -1
				if cmd == "+CNMI" { // a line cannot do without it: two lost answers, and the next setting is tried
					count = 2
				}
				l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: cmd, Count: count})
				l.state(StateReady, 5*time.Minute)
				l.em.ClearFaults()
				l.until("what was missed", 3*time.Minute, func() bool {
					s := l.m.Snapshot()
					return s.SIM.Number != "" && s.SIM.SMSC != "" && s.StorageName == "ME" && s.ReportsBy == 1 && s.Operator != ""
				})
				l.inbound("llega")
				l.until("a message", 2*time.Minute, func() bool { return len(l.box.texts()) == 1 })
			})
		})
	}
}

// TestCredibleReference: one digit lost on the line makes another message's
// reference.
func TestCredibleReference(t *testing.T) {
	m := New(Config{Name: "x", Sink: &box{}})
	m.refs.list = []uint8{122}
	for mr, want := range map[int]int{123: 123, 23: -1, 12: -1, 13: -1, 0: 0, 7: 7, 124: 124, -1: -1} {
		require.Equal(t, want, m.credible(Outcome{Verdict: Accepted, MR: mr}), mr)
	}
}
