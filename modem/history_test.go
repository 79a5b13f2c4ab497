package modem

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

func TestHistoryIsBoundedAndRedacted(t *testing.T) {
	m := New(Config{Name: "x", Sink: &box{}})
	m.note(EntryFault, "", "call +34600111222 refused\x00\x1b, again 8934079900000000011", "IMSI 214070000000001\nport tcp:127.0.0.1:45123 after 12345 ms\r")
	e := m.History()[0]
	require.Equal(t, "call +********222 refused.., again ****************011", e.Text)
	require.Equal(t, "IMSI ************001\nport tcp:127.0.0.1:45123 after 12345 ms.", e.Detail)
	m.note(EntryFault, "", "same", "first")
	for range 5 {
		m.note(EntryFault, "", "same", "other")
	}
	list := m.History()
	require.Len(t, list, 2, "the same again is counted")
	require.True(t, strings.HasPrefix(list[1].Detail, "first\n5 times more, last at "), list[1].Detail)
	m.note(EntryStep, "L7", "kept", "")
	for i := range 1000 { // a modem that leaves commands unanswered
		m.note(EntryStep, "L0", fmt.Sprint("no answer to ", i%20), "")
	}
	require.Len(t, m.History(), 2+1+20)
	for i := range 500 {
		m.note(EntryFault, "", fmt.Sprint("trouble ", i), strings.Repeat("ñ", 5000))
	}
	list = m.History()
	require.Len(t, list, 200)
	require.Equal(t, "trouble 499", list[199].Text)
	require.LessOrEqual(t, len(list[199].Detail), detailMost+len("…"))
	list[0].Text = "changed"
	require.NotEqual(t, "changed", m.History()[0].Text, "a copy")
}

// TestHistoryTells: what a person asks about afterwards is in it.
func TestHistoryTells(t *testing.T) {
	live(t, emulator.ModemOptions{ICCID: "8934079900000055555"}, nil, func(l *lifeOf) {
		l.ready()
		says := func(kind EntryKind, text string) {
			l.t.Helper()
			l.until(text, 5*time.Minute, func() bool {
				for _, e := range l.m.History() {
					if e.Kind == kind && strings.Contains(e.Text, text) {
						return true
					}
				}
				return false
			})
		}
		says(EntrySIM, "the SIM ****************555 is there")
		says(EntryState, "ready")
		n := len(l.m.History())
		for range 3 {
			o, _ := l.send("+34600111222", "nada que contar")
			require.Equal(l.t, Accepted, o.Verdict)
		}
		l.pass(time.Hour)
		require.Len(l.t, l.m.History(), n, "what goes well is not worth a line: %v", l.m.History())
		l.em.Unplug()
		says(EntryFault, "the port went away")
		l.em.Replug()
		l.state(StateReady, 30*time.Second)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationLost, Delay: 3 * time.Minute})
		says(EntryNetwork, "the network was lost")
		says(EntryNetwork, "registered again")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationDenied, Delay: 3 * time.Minute})
		says(EntryNetwork, "denied")
		says(EntryState, "refused by the network")
		l.state(StateReady, 5*time.Minute)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CSQ"})
		says(EntryStep, "no answer to AT+CSQ: resync, in step")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNeverCMGS})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer})
		o, _ := l.send("+34600111222", "perdida")
		<-o.Late
		says(EntrySend, "the answer to a submission was lost")
		l.state(StateReady, time.Minute)
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		says(EntryOrder, "restart")
		says(EntryStep, "module restart: restarted by an operator")
		says(EntryStep, "module restart: ready")
		for _, e := range l.m.History() {
			require.NotRegexp(l.t, `[0-9]{8}`, e.Text+e.Detail)
			require.NotContains(l.t, e.Text+e.Detail, "perdida")
			require.False(l.t, e.At.IsZero())
		}
	})
}
