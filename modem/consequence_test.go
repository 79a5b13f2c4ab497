package modem

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// refuses has the next submission answered with the code, before the prompt.
func (l *lifeOf) refuses(code string) Outcome {
	l.t.Helper()
	l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CMGS", Text: "\r\n+" + code + "\r\n"})
	o, gates := l.send("+34600111222", "hola")
	require.Zero(l.t, gates)
	require.Equal(l.t, NotSent, o.Verdict)
	return o
}

// TestSIMFailureRestartsOnce: the module is restarted for the first failure of
// its SIM; after that the SIM is looked at, until a message has been accepted.
func TestSIMFailureRestartsOnce(t *testing.T) {
	for _, code := range []string{"CMS ERROR: 313", "CME ERROR: 13"} {
		live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
			restarted := func(n int, why string) {
				l.t.Helper()
				l.pass(10 * time.Second)
				l.ready()
				require.Equal(l.t, n, l.m.Snapshot().Restarts, why)
			}
			l.ready()
			l.refuses(code)
			restarted(1, "the first time")
			l.refuses(code)
			restarted(1, "not again")
			l.refuses(code)
			restarted(1, "nor the third time")
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, Accepted, o.Verdict)
			l.refuses(code)
			restarted(2, "anew after it had worked")
		})
	}
}

// TestStorageFailureTwiceIsSetUpAnew: M, then D.
func TestStorageFailureTwiceIsSetUpAnew(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		sweeps, setups := l.wrote("AT+CMGL"), l.wrote("AT+CREG=2")
		l.refuses("CMS ERROR: 320")
		l.pass(5 * time.Second)
		require.Greater(l.t, l.wrote("AT+CMGL"), sweeps)
		require.Equal(l.t, setups, l.wrote("AT+CREG=2"))
		l.refuses("CMS ERROR: 320")
		l.pass(5 * time.Second)
		require.Greater(l.t, l.wrote("AT+CREG=2"), setups)
	})
}

// TestCatchAllErrorThriceIsAnAlarm: until a message is accepted.
func TestCatchAllErrorThriceIsAnAlarm(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		refused := func(code int) {
			l.t.Helper()
			l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSRefused, Code: code})
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, fmt.Sprintf("cms_%d", code), o.Code)
			l.ready()
		}
		l.ready()
		refused(350)
		refused(350)
		refused(38)
		refused(350)
		refused(350)
		require.Empty(l.t, l.m.Snapshot().Alarm, "not three in a row")
		refused(350)
		require.Equal(l.t, AlarmNoSMSService, l.m.Snapshot().Alarm)
		refused(38)
		require.Equal(l.t, AlarmNoSMSService, l.m.Snapshot().Alarm, "it stays until something works")
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		require.Empty(l.t, l.m.Snapshot().Alarm)
	})
}

// TestDeviceThatTheNetworkRefuses is left alone until an operator acts or it
// has another SIM.
func TestDeviceThatTheNetworkRefuses(t *testing.T) {
	for _, code := range []string{"CME ERROR: 105", "CME ERROR: 106"} {
		live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
			l.ready()
			l.refuses(code)
			l.state(StateFault, 5*time.Second)
			require.Contains(l.t, l.m.Snapshot().Reason, "the network")
			require.Contains(l.t, l.m.Snapshot().Reason, "use another modem")
			l.pass(12 * time.Hour)
			require.Equal(l.t, StateFault, l.m.Snapshot().State)
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, NotSent, o.Verdict)
			require.NoError(l.t, l.m.Restart(l.t.Context()))
			l.state(StateRecover, 5*time.Second)
			l.ready()
			l.refuses(code)
			l.state(StateFault, 5*time.Second)
			l.em.InsertSIM(emulator.SIMOptions{ICCID: "8934079900000000042"})
			l.state(StateReady, 3*time.Minute)
			require.Equal(l.t, "8934079900000000042", l.m.Snapshot().SIM.ICCID)
		})
	}
}

// TestSIMSwitchedOff: AT+CFUN=1 brings it back (CME 772).
func TestSIMSwitchedOff(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CFUN?", Text: "\r\n+CFUN: 4\r\n\r\nOK\r\n"})
		was := l.wrote("AT+CFUN=1")
		l.refuses("CME ERROR: 772")
		l.pass(time.Minute)
		l.ready()
		require.Greater(l.t, l.wrote("AT+CFUN=1"), was)
	})
}
