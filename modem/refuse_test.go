package modem

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// TestRefusedEchoAndMode: the echo is known again, and a modem that has only
// the PDU mode need not take AT+CMGF=0. Neither is worth a restart.
func TestRefusedEchoAndMode(t *testing.T) {
	for _, mode := range []string{"+CMGF: 0", "none"} {
		script := plain()
		delete(script, "E0")
		delete(script, "+CMGF=0")
		if script["+CMGF?"] = mode; mode == "none" {
			delete(script, "+CMGF?")
		}
		scripted(t, script, func(l *lifeOf, p *peer) {
			l.state(StateReady, 5*time.Second)
			require.Zero(l.t, l.m.Snapshot().Restarts)
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, Accepted, o.Verdict)
		})
	}
}

// TestTextModeOnly cannot be served, and says so; a restart would not help.
func TestTextModeOnly(t *testing.T) {
	script := plain()
	delete(script, "+CMGF=0")
	script["+CMGF?"] = "+CMGF: 1"
	scripted(t, script, func(l *lifeOf, p *peer) {
		l.state(StateFault, time.Minute)
		require.Contains(l.t, l.m.Snapshot().Reason, "text mode")
		l.pass(10 * time.Minute)
		require.Zero(l.t, p.count("AT+CFUN=1"))
		p.mu.Lock()
		p.script["+CMGF=0"] = ""
		p.mu.Unlock()
		l.ready()
	})
}

// TestPlainErrorIsFinal: only a SIM that says that it is busy is waited for.
func TestPlainErrorIsFinal(t *testing.T) {
	for _, without := range [][]string{{"+CCID"}, {"+CIMI"}, {"+CREG?"}, {"+CCID", "+CIMI", "+CREG?", "+CNUM"}} {
		script := plain()
		for _, cmd := range without {
			delete(script, cmd)
		}
		scripted(t, script, func(l *lifeOf, p *peer) {
			start := time.Now()
			l.ready()
			require.Less(l.t, time.Since(start), 3*time.Second, without)
		})
	}
}

// TestBareOKToCPIN: a modem that never says more about its SIM is taken at its
// work.
func TestBareOKToCPIN(t *testing.T) {
	script := plain()
	script["+CPIN?"] = ""
	delete(script, "+CIMI")
	scripted(t, script, func(l *lifeOf, p *peer) {
		l.state(StateReady, 10*time.Second)
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

// TestAnotherIMSI: a SIM of which only the IMSI is told is another one all the
// same, and its slots are not those of the one before.
func TestAnotherIMSI(t *testing.T) {
	script := plain()
	delete(script, "+CCID")
	script["+CMGL=4"] = "+CMGL: 1,1,,4|00FFFFFFFF"
	script["+CMGD=1"] = ""
	scripted(t, script, func(l *lifeOf, p *peer) {
		l.until("the message", time.Minute, func() bool { return len(l.box.received()) == 1 })
		l.ready()
		p.mu.Lock()
		p.script["+CIMI"] = "214070000000002"
		p.mu.Unlock()
		p.say("+CPIN: READY")
		l.until("the same octets from the other SIM", time.Minute, func() bool { return len(l.box.received()) >= 2 })
		require.Equal(l.t, "214070000000002", l.box.received()[1].IMSI)
	})
}

// TestSIMBusyIsWaitedFor: CME 14 to the identity is no refusal.
func TestSIMBusyIsWaitedFor(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CIMI", Count: 2, Code: 14})
		l.ready()
		require.NotEmpty(l.t, l.m.Snapshot().SIM.IMSI)
	})
}
