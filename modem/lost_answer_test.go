package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestALostListCostsSeconds: one answer that is lost keeps the line from sending
// for seconds, not for the minute that a full memory may need, and is no reason
// to list in another way from then on.
func TestALostListCostsSeconds(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		lists := l.wrote("AT+CMGL=4")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CMGL=4"})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMTIMinus})
		l.inbound("una")
		l.until("the list", 5*time.Second, func() bool { return l.wrote("AT+CMGL=4") == lists+1 })
		lost := time.Now()
		l.has(30*time.Second, "una")
		require.Less(t, time.Since(lost), 25*time.Second)
		require.Zero(t, l.wrote(`AT+CMGL="ALL"`))
		o, _ := l.send("+34600111222", "sigo")
		require.Equal(t, Accepted, o.Verdict)
	})
}

// TestARestartEndsTheWaitForAnAnswer: what a modem was asked before it restarted
// it will not answer.
func TestARestartEndsTheWaitForAnAnswer(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		lists := l.wrote("AT+CMGL=4")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CMGL=4"})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMTIMinus})
		l.inbound("una")
		l.until("the list", 5*time.Second, func() bool { return l.wrote("AT+CMGL=4") == lists+1 })
		l.em.Say("RDY", "")
		said := time.Now()
		l.until("the start from the first AT on", 3*time.Second, func() bool { return l.m.Snapshot().State != StateReady })
		l.state(StateReady, 10*time.Second)
		require.Less(t, time.Since(said), 7*time.Second) // the list alone would have taken eight, and a resync after it
		l.has(10*time.Second, "una")
	})
}
