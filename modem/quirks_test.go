package modem

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/pdu"
)

// The rows of the families' table, each over an emulated modem that has the
// habit, and each failing without what copes with it.

func withPIN(pin string) func(*Config) {
	return func(c *Config) { c.PINs = offering(pin) }
}

// reported sends a message and waits for its report.
func (l *lifeOf) reported(within time.Duration) {
	l.t.Helper()
	was := len(l.box.kind(pdu.KindStatusReport))
	o, _ := l.send("+34600111222", "hola")
	require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
	l.until("the report", within, func() bool { return len(l.box.kind(pdu.KindStatusReport)) > was })
}

func TestQuirkTriesOfThePIN(t *testing.T) {
	for _, name := range emulator.Families() {
		t.Run(name, func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: name, PIN: "4321"}, nil, func(l *lifeOf) {
				l.state(StateSIMBlocked, time.Minute)
				require.Equal(l.t, 3, l.m.Snapshot().SIM.PINTries)
				require.Zero(l.t, l.pinsWritten())
				require.NoError(l.t, l.m.EnterPIN(l.t.Context(), "4321"))
				l.ready()
				require.Equal(l.t, 1, l.pinsWritten())
			})
		})
	}
}

// A command within three seconds of the PIN makes a Huawei reboot, and what it
// says itself meanwhile is no reason to talk to it.
func TestQuirkHuaweiPauseAfterPIN(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "huawei", PIN: "4321"}, withPIN("4321"), func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 1, l.wrote("ATE0"), "it rebooted")
		require.Equal(l.t, 1, l.pinsWritten())
	})
}

// A Huawei announces what it shows, and counts, only 300 ms later.
func TestQuirkHuaweiAnnouncesEarly(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "huawei"}, nil, func(l *lifeOf) {
		l.ready()
		l.pass(5 * time.Second)
		lists := l.wrote("AT+CMGL")
		l.inbound("buenas")
		l.has(2*time.Second, "buenas")
		require.Equal(l.t, 2, l.wrote("AT+CMGR="))
		require.Equal(l.t, lists, l.wrote("AT+CMGL"), "found without a list")
		l.empty(time.Minute)
	})
}

// An unlocked ZTE floods until it is asked for its memories, and crashes.
func TestQuirkZTEFlood(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "zte", PIN: "4321"}, withPIN("4321"), func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSIMBusy, On: "+CPMS?", Count: 2})
		l.ready()
		l.pass(30 * time.Second)
		require.Equal(l.t, 1, l.wrote("ATE0"), "it crashed")
		var first []string
		for _, e := range l.m.Trace() {
			if e.Out && (strings.HasPrefix(e.Line, "AT+CPMS?") || strings.HasPrefix(e.Line, "AT+CIMI")) {
				first = append(first, e.Line)
			}
		}
		require.Greater(l.t, len(first), 3)
		require.Equal(l.t, []string{"AT+CPMS?", "AT+CPMS?", "AT+CPMS?", "AT+CIMI"}, first[:4], "before all else, until it is taken")
		l.reported(10 * time.Second) // +CDS: ,<length>
	})
}

// The port of a TOBY is there before the modem behind it.
func TestQuirkUbloxReady(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "ublox-toby"}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Unplug()
		l.state(StateAbsent, time.Minute)
		l.em.Replug()
		plugged := time.Now()
		l.ready()
		var up time.Time
		for _, e := range l.m.Trace() {
			if !e.Out && strings.HasPrefix(e.Line, "+READY") {
				up = e.At
			}
		}
		require.False(l.t, up.IsZero())
		for _, e := range l.m.Trace() {
			require.False(l.t, e.Out && e.At.After(plugged) && e.At.Before(up), "%s was written before +READY", e.Line)
		}
		require.WithinDuration(l.t, up, time.Now(), 10*time.Second, "it does not wait longer than it must")
	})
}

// A Quectel announces reports in SM and keeps them in SR.
func TestQuirkQuectelReports(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "quectel"}, nil, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 1, l.m.Snapshot().ReportsBy)
		l.reported(5 * time.Second)
	})
}

func TestQuirkEC200ABlindMemory(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "quectel-ec200a"}, nil, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, "SM", l.m.Snapshot().StorageName)
		l.inbound("buenas")
		l.has(5*time.Second, "buenas")
	})
}

func TestQuirkEP06ListsByWord(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "quectel-ep06"}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostCMTI})
		l.inbound("buenas")
		l.has(2*time.Minute, "buenas")
		require.Positive(l.t, l.wrote(`AT+CMGL="ALL"`))
		require.Equal(l.t, 1, l.wrote("AT+CMGL=4"), "asked once, and never again")
		require.Zero(l.t, l.wrote("AT+CMGR"))
	})
}

// NB-IoT and LTE-M may take seven minutes for a submission.
func TestQuirkIoTPatience(t *testing.T) {
	for name, patience := range map[string]time.Duration{"to the end": 0, "an early verdict": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: "quectel-iot"}, func(c *Config) { c.ResultTimeout = patience }, func(l *lifeOf) {
				l.ready()
				l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 6 * time.Minute})
				l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer}) // a report would end the wait
				o, _ := l.send("+34600111222", "hola")
				if patience > 0 {
					require.Equal(l.t, Ambiguous, o.Verdict)
					var ok bool
					o, ok = <-o.Late
					require.True(l.t, ok)
				}
				require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
			})
		})
	}
}

func TestQuirkSIM800RefusesDS2(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "simcom800"}, nil, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 1, l.wrote("AT+CNMI="), "the first setting is the right one")
		l.reported(5 * time.Second)
	})
}

// A SIM7000 announces messages without their place, and some that it has not
// stored at all.
func TestQuirkSIM7000Unplaced(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "simcom-iot"}, nil, func(l *lifeOf) {
		l.ready()
		l.inbound("buenas")
		l.has(3*time.Second, "buenas")
		l.empty(time.Minute)
		l.em.Say("+CMTI: ,-1", "")
		l.until("the warning", 10*time.Second, func() bool {
			return strings.Contains(l.m.Snapshot().LastError, "has stored none")
		})
	})
}

func TestQuirkWavecom(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "wavecom"}, nil, func(l *lifeOf) {
		l.ready()
		require.Zero(l.t, l.wrote("AT+CMEE=2"))
		require.Equal(l.t, "SM", l.m.Snapshot().StorageName)
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSRefused, Code: 515})
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, NotSent, o.Verdict, "%+v", o)
		require.Equal(l.t, ClassBusy, o.Class)
		l.reported(10 * time.Second)
	})
}

// TestQuirkBusyThoughSent: 30 s after Ctrl-Z the modem says that it was
// busy, and the network has the message.
func TestQuirkBusyThoughSent(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "wavecom"}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 515})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 30 * time.Second})
		o, _ := l.send("+34609999103", "hola") // no report tells more
		require.Len(l.t, l.submits(), 1)
		require.Equal(l.t, Ambiguous, o.Verdict, "%+v", o)
		require.Equal(l.t, "cms_515", o.Code)
		require.NotNil(l.t, o.Late, "it may still answer")
		next, _ := l.send("+34600111333", "otra")
		require.Equal(l.t, NotSent, next.Verdict, "nothing is written while it may")
		l.state(StateReady, 2*time.Minute)
		next, _ = l.send("+34600111333", "otra")
		require.Equal(l.t, Accepted, next.Verdict)
	})
}

// MC35i ends its list with an erased record.
func TestQuirkSiemensErasedRecord(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "siemens-mt"}, nil, func(l *lifeOf) {
		l.ready()
		l.inbound("buenas")
		l.has(5*time.Second, "buenas")
		l.pass(5 * time.Minute)
		require.Len(l.t, l.box.received(), 1, "an erased record is no message")
		require.Equal(l.t, 1, l.wrote("AT+CMGD="))
	})
}

func TestQuirkSiemensBfr(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "siemens"}, nil, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 1, l.wrote("AT+CNMI="), "the first setting is the right one")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSRefused, Code: 516})
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, NotSent, o.Verdict, "%+v", o)
	})
}

// After its first +CDS a Novatel announces nothing more.
func TestQuirkNovatelReports(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "novatel"}, nil, func(l *lifeOf) {
		l.ready()
		l.reported(5 * time.Second)
		l.reported(5 * time.Second)
		l.inbound("buenas")
		l.has(5*time.Second, "buenas")
	})
}

// The radio of an M590 must stay on: neither setup nor recovery touches it.
func TestQuirkNeowayRadio(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "neoway"}, nil, func(l *lifeOf) {
		l.ready()
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		l.pass(5 * time.Second)
		l.ready()
		for _, off := range []string{"AT+CFUN=0", "AT+CFUN=4", "AT+CFUN=1,1"} {
			require.Zero(l.t, l.wrote(off))
		}
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

func TestQuirkResetCommands(t *testing.T) {
	for name, cmd := range map[string]string{
		"huawei": "AT^RESET", "ublox": "AT+CFUN=16", "sierra": "AT!RESET", "quectel": "AT+CFUN=1,1", "zte": "AT+CFUN=1,1",
	} {
		t.Run(name, func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: name}, nil, func(l *lifeOf) {
				l.ready()
				require.NoError(l.t, l.m.Restart(l.t.Context()))
				l.until("the command", 20*time.Second, func() bool { return l.wrote(cmd) == 1 })
				l.pass(5 * time.Second)
				l.ready()
				l.reported(10 * time.Second)
			})
		})
	}
}

// A modem that takes a ds and loses what comes by it: the other one, once.
func TestReportsMissing(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer, Count: -1})
		for range 5 {
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, Accepted, o.Verdict)
		}
		l.pass(time.Minute)
		require.Empty(l.t, l.box.kind(pdu.KindStatusReport))
		require.Equal(l.t, 1, l.m.Snapshot().ReportsBy)
		require.NoError(l.t, l.m.ReportsMissing(l.t.Context()))
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy)
		l.reported(5 * time.Second)
		require.Error(l.t, l.m.ReportsMissing(l.t.Context()), "once only")
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy)
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		l.pass(5 * time.Second)
		l.ready()
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy, "it is remembered")
	})
	live(t, emulator.ModemOptions{Family: "quectel"}, nil, func(l *lifeOf) {
		l.ready()
		require.Error(l.t, l.m.ReportsMissing(l.t.Context()), "the other way is known to lose them")
		require.Equal(l.t, 1, l.m.Snapshot().ReportsBy)
	})
}
