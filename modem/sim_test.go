package modem

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/emulator"
)

// offered is a memory that has a PIN for every SIM with an ICCID of Spain, and
// begins without a record.
type offered struct {
	*runMemory
	pin string
}

func offering(pin string) offered { return offered{newRunMemory(), pin} }

func (o offered) PIN(_ context.Context, sim string) (string, error) {
	if strings.HasPrefix(sim, "8934") {
		return o.pin, nil
	}
	return "", nil
}

func (l *lifeOf) pinsWritten() int { return l.wrote("AT+CPIN=") }

func TestPINOnRecord(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, func(c *Config) {
		c.PINs = offering("4321")
	}, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 1, l.pinsWritten())
		for _, e := range l.m.Trace() {
			require.NotContains(l.t, e.Line, "4321")
		}
	})
}

// TestRightPINWorksAgain: a modem that restarts asks for it once more.
func TestRightPINWorksAgain(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, func(c *Config) {
		c.PINs = offering("4321")
	}, func(l *lifeOf) {
		for n := range 3 {
			l.until("ready", 2*time.Minute, func() bool { return l.m.Snapshot().State == StateReady && l.pinsWritten() == n+1 })
			require.NoError(l.t, l.m.Restart(l.t.Context()))
			l.pass(time.Second)
		}
	})
}

// TestPINThatDoesNotHelpIsTriedOnce: the modem takes it, and asks again.
func TestPINThatDoesNotHelpIsTriedOnce(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, func(c *Config) {
		c.PINs = offering("1111")
	}, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CPIN=", Count: -1, Text: "\r\nOK\r\n"})
		l.until("the PIN", time.Minute, func() bool { return l.pinsWritten() == 1 })
		l.pass(5 * time.Minute)
		require.Equal(l.t, 1, l.pinsWritten())
		require.Equal(l.t, StateSIMBlocked, l.m.Snapshot().State)
	})
}

func TestWrongPINIsTriedOnce(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, func(c *Config) {
		c.PINs = offering("1111")
	}, func(l *lifeOf) {
		l.state(StateSIMBlocked, time.Minute)
		l.pass(5 * time.Minute)
		require.Equal(l.t, 1, l.pinsWritten())
		require.Equal(l.t, 2, l.m.Snapshot().SIM.PINTries)
		require.Contains(l.t, l.m.Snapshot().Reason, "PIN")
		// A restart of the modem does not make it try again.
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		l.pass(2 * time.Minute)
		require.Equal(l.t, StateSIMBlocked, l.m.Snapshot().State)
		require.Equal(l.t, 1, l.pinsWritten())
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "1111"), "nor does an operator")
		require.Equal(l.t, 1, l.pinsWritten())
		require.NoError(l.t, l.m.EnterPIN(l.t.Context(), "4321"))
		l.ready()
	})
}

func TestPINWithOneTryLeftIsNotTried(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, nil, func(l *lifeOf) {
		l.state(StateSIMBlocked, time.Minute)
		require.Equal(l.t, 3, l.m.Snapshot().SIM.PINTries)
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "12"), "no PIN at all")
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), `1234",`))
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "1111"))
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "2222"))
		require.Equal(l.t, 2, l.pinsWritten())
		require.ErrorContains(l.t, l.m.EnterPIN(l.t.Context(), "4321"), "only 1 try is left")
		require.Equal(l.t, 2, l.pinsWritten())
		require.Equal(l.t, StateSIMBlocked, l.m.Snapshot().State)
	})
}

func TestUnknownTriesNeedAnOperator(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, func(c *Config) {
		c.PINs = offering("4321")
	}, func(l *lifeOf) {
		for _, cmd := range []string{"+CPINR", "+CSIM"} {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: cmd, Count: -1, Code: 4})
		}
		l.state(StateSIMBlocked, time.Minute)
		l.pass(3 * time.Minute)
		require.Zero(l.t, l.pinsWritten(), "not by itself")
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "1111"), "wrong")
		require.Equal(l.t, 1, l.pinsWritten())
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "4321"), "not after a failure while the number is unknown")
		require.Equal(l.t, 1, l.pinsWritten())
	})
}

func TestNoPINAskedFor(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		require.Error(l.t, l.m.EnterPIN(l.t.Context(), "4321"))
		require.Zero(l.t, l.pinsWritten())
	})
}

func TestSIMAbsentInsertedAndChanged(t *testing.T) {
	live(t, emulator.ModemOptions{NoSIM: true}, nil, func(l *lifeOf) {
		l.state(StateNoSIM, time.Minute)
		require.Contains(l.t, l.m.Snapshot().Reason, "no SIM")
		l.em.InsertSIM(emulator.SIMOptions{ICCID: "8934079900000000011", Number: "+34699000001"})
		l.ready()
		require.Equal(l.t, "8934079900000000011", l.m.Snapshot().SIM.ICCID)
		require.Equal(l.t, "+34699000001", l.m.Snapshot().SIM.Number)
		l.em.RemoveSIM()
		l.state(StateNoSIM, 16*time.Minute)
		require.Empty(l.t, l.m.Snapshot().SIM.ICCID)
		l.em.InsertSIM(emulator.SIMOptions{ICCID: "8934079900000000029", Number: "+34699000002"})
		l.state(StateReady, time.Minute)
		require.Equal(l.t, "8934079900000000029", l.m.Snapshot().SIM.ICCID)
		require.Equal(l.t, "+34699000002", l.m.Snapshot().SIM.Number)
	})
}

func TestSIMBusyFiveTimes(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSIMBusy, Count: 5})
		l.ready()
		require.NotEmpty(l.t, l.m.Snapshot().SIM.ICCID)
		require.NotEmpty(l.t, l.m.Snapshot().SIM.IMSI)
		require.Zero(l.t, l.m.Snapshot().Restarts)
	})
}

// TestSIMAnswers: every answer to AT+CPIN? leads somewhere that says what to do.
func TestSIMAnswers(t *testing.T) {
	answer := func(line string) emulator.Fault {
		return emulator.Fault{Kind: emulator.FaultAnswer, On: "+CPIN?", Count: -1, Text: "\r\n" + line + "\r\n\r\nOK\r\n"}
	}
	for _, c := range []struct {
		name  string
		fault emulator.Fault
		state State
		word  string
	}{
		{"PUK", answer("+CPIN: SIM PUK"), StateSIMBlocked, "PUK"},
		{"network lock", answer("+CPIN: PH-NET PIN"), StateSIMBlocked, "PH-NET PIN"},
		{"corporate lock", answer("+CPIN: PH-CORP PIN"), StateSIMBlocked, "PH-CORP PIN"},
		{"not inserted", answer("+CPIN: NOT INSERTED"), StateNoSIM, "no SIM"},
		{"CME absent", emulator.Fault{Kind: emulator.FaultError, On: "+CPIN?", Count: -1, Code: 10}, StateNoSIM, "no SIM"},
		{"CME failure", emulator.Fault{Kind: emulator.FaultError, On: "+CPIN?", Count: -1, Code: 13}, StateNoSIM, "failed"},
		{"CME wrong", emulator.Fault{Kind: emulator.FaultError, On: "+CPIN?", Count: -1, Code: 15}, StateSIMBlocked, "wrong SIM"},
		{"busy for ever", emulator.Fault{Kind: emulator.FaultError, On: "+CPIN?", Count: -1, Code: 14}, StateNoSIM, "busy"},
		{"PIN2", answer("+CPIN: SIM PIN2"), StateReady, ""},
		{"quoted", answer(`+CPIN:"READY"`), StateReady, ""},
		{"no OK", emulator.Fault{Kind: emulator.FaultCPINNoOK, Count: -1}, StateReady, ""},
		{"bare OK", emulator.Fault{Kind: emulator.FaultCPINBareOK, Count: -1}, StateReady, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
				l.em.Inject(c.fault)
				l.state(c.state, 3*time.Minute)
				require.Contains(l.t, l.m.Snapshot().Reason, c.word)
				require.Zero(l.t, l.pinsWritten())
				if c.state != StateReady {
					l.em.ClearFaults()
					l.state(StateReady, time.Minute)
				}
			})
		})
	}
}

func TestCPINError(t *testing.T) {
	for err, want := range map[error]string{
		at.CMEError(10): cpinAbsent, at.CMEError(11): cpinPIN, at.CMEError(12): cpinPUK, at.CMEError(13): cpinFailed,
		at.CMEError(14): cpinBusy, at.CMEError(15): cpinWrong, at.CMEError(40): "PH-NET PIN", at.CMEError(515): cpinBusy,
		at.CMSError(310): cpinAbsent, at.CMSError(311): cpinPIN, at.CMSError(313): cpinFailed, at.CMSError(314): cpinBusy,
		at.CMSError(315): cpinWrong, at.CMSError(316): cpinPUK, at.ErrFailed: cpinBusy,
	} {
		require.Equal(t, want, cpinError(err), err)
	}
}

func TestICCIDByRawFile(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		for _, cmd := range []string{"+CCID", "+ICCID", "^ICCID", "+QCCID"} {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: cmd, Count: -1})
		}
		l.ready()
		require.Equal(l.t, l.em.ICCID(), l.m.Snapshot().SIM.ICCID)
		require.NotZero(l.t, l.wrote("AT+CRSM"))
	})
}
