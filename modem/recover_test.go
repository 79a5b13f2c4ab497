package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/tty"
)

func TestUnplugAndReplug(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for range 3 {
			l.em.Unplug()
			l.state(StateAbsent, 10*time.Second)
			require.NotEmpty(l.t, l.m.Snapshot().Reason)
			require.False(l.t, l.m.Snapshot().Signal.Known, "no stale signal")
			require.Equal(l.t, "unknown", l.m.Snapshot().Registration)
			require.Equal(l.t, NotSent, l.m.Send(l.t.Context(), l.tpdu("+34600111222", "no"), nil).Verdict)
			l.pass(7 * time.Second)
			l.em.Replug()
			l.state(StateReady, 30*time.Second)
			o, _ := l.send("+34600111222", "sigo")
			require.Equal(l.t, Accepted, o.Verdict)
		}
	})
}

// TestUnplugInEveryPhase: before the PDU has left nothing was sent; afterwards
// nobody knows.
func TestUnplugInEveryPhase(t *testing.T) {
	for phase, want := range map[emulator.Phase]Verdict{
		emulator.PhaseCommand: NotSent, emulator.PhasePrompt: NotSent,
		emulator.PhasePDU: Ambiguous, emulator.PhaseAccepted: Ambiguous,
	} {
		t.Run(string(phase), func(t *testing.T) {
			mo := emulator.ModemOptions{}
			if phase == emulator.PhasePrompt {
				mo.Family = "simcom800" // gets a pause before the PDU: else it may be on its way already
			}
			live(t, mo, nil, func(l *lifeOf) {
				l.ready()
				l.em.Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: phase, Delay: 5 * time.Second})
				o, gates := l.send("+34600111222", "hola")
				require.Equal(l.t, want, o.Verdict, "%+v", o)
				if want == NotSent {
					require.Zero(l.t, l.accepted("hola"))
				} else {
					require.Equal(l.t, 1, gates)
				}
				l.state(StateReady, 35*time.Second)
				o, _ = l.send("+34600111222", "otra")
				require.Equal(l.t, Accepted, o.Verdict)
			})
		})
	}
}

func TestRebootInEveryPhase(t *testing.T) {
	for _, fam := range []string{"generic", "simcom800", "siemens"} {
		for _, phase := range []emulator.Phase{emulator.PhaseCommand, emulator.PhasePrompt, emulator.PhasePDU, emulator.PhaseAccepted} {
			t.Run(fam+" "+string(phase), func(t *testing.T) {
				live(t, emulator.ModemOptions{Family: fam}, nil, func(l *lifeOf) {
					l.ready()
					l.em.Inject(emulator.Fault{Kind: emulator.FaultReboot, Phase: phase})
					start := time.Now()
					o, gates := l.send("+34600111222", "hola")
					require.NotEqual(l.t, Accepted, o.Verdict)
					if gates == 0 {
						require.Equal(l.t, NotSent, o.Verdict)
					}
					l.state(StateReady, 60*time.Second)
					require.Less(l.t, time.Since(start), 40*time.Second)
					o, _ = l.send("+34600111222", "otra")
					require.Equal(l.t, Accepted, o.Verdict)
					require.Equal(l.t, 1, l.accepted("otra"))
				})
			})
		}
	}
}

func TestAnotherModemInTheSamePlace(t *testing.T) {
	var other *emulator.Modem
	var mu sync.Mutex
	live(t, emulator.ModemOptions{}, func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (io.ReadWriteCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			if other != nil {
				return other.Open(ctx)
			}
			return open(ctx)
		}
	}, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 500})
		l.send("+34600111222", "quizás")
		was := l.m.Snapshot()
		require.Equal(l.t, 1, was.AmbiguousRecent)
		mu.Lock()
		other = l.net.AddModem(emulator.ModemOptions{})
		mu.Unlock()
		l.em.Unplug()
		l.until("the other one", time.Minute, func() bool { return l.m.Snapshot().ID == other.IMEI() })
		l.ready()
		s := l.m.Snapshot()
		require.Equal(l.t, other.ICCID(), s.SIM.ICCID)
		require.NotEqual(l.t, was.SIM.IMSI, s.SIM.IMSI)
		require.Zero(l.t, s.AmbiguousRecent, "the other modem's losses are not its own")
	})
}

func TestOneMissingAnswerNeedsOnlyAResync(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CSQ"})
		l.state(StateRecover, 2*time.Minute)
		l.state(StateReady, 20*time.Second)
		require.Zero(l.t, l.m.Snapshot().Restarts)
		setups := l.wrote("AT+CMGF=0")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CSQ", Count: 3})
		l.pass(10 * time.Minute)
		l.ready()
		require.Equal(l.t, setups, l.wrote("AT+CMGF=0"), "answers in between: no set-up")
	})
}

func TestThreeMissingAnswersNeedASetup(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		setups := l.wrote("AT+CMGF=0")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+C", Count: 3})
		l.until("the set-up", 3*time.Minute, func() bool { return l.wrote("AT+CMGF=0") == setups+1 })
		l.ready()
		require.Zero(l.t, l.m.Snapshot().Restarts)
	})
}

func TestSixMissingAnswersNeedARestart(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for _, cmd := range []string{"+CS", "+CR", "+CO", "+CP", "+CMG", "+CN", "E0"} { // AT alone still answers
			l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: cmd, Count: -1})
		}
		l.until("the restart", 5*time.Minute, func() bool { return l.m.Snapshot().Restarts == 1 })
		l.em.ClearFaults()
		l.state(StateReady, time.Minute)
	})
}

func TestSilenceEndsInRecovery(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, Count: -1})
		l.state(StateFault, 5*time.Minute)
		require.Contains(l.t, l.m.Snapshot().Reason, "does not answer any more")
		l.pass(10 * time.Minute)
		require.LessOrEqual(l.t, l.m.Snapshot().Restarts, 3, "no more than three restarts an hour")
		l.em.ClearFaults()
		l.state(StateReady, 40*time.Second)
		o, _ := l.send("+34600111222", "vuelvo")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

func TestNothingAnswers(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, Count: -1})
		l.state(StateFault, time.Minute)
		require.Contains(l.t, l.m.Snapshot().Reason, "nothing on this port answers AT")
		l.pass(3 * time.Minute)
		require.Zero(l.t, l.wrote("AT+CFUN"), "a stranger is not restarted")
		l.em.ClearFaults()
		l.state(StateReady, 40*time.Second)
	})
}

func TestSpoiltSubmissionsRestartTheModem(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Code: 303, Count: 3})
		for range 3 {
			o, _ := l.send("+34600111222", "hola")
			require.Equal(l.t, NotSent, o.Verdict, "%+v", o)
			require.Equal(l.t, ClassDevice, o.Class)
		}
		l.until("the restart", time.Minute, func() bool { return l.m.Snapshot().Restarts == 1 })
		l.state(StateReady, 30*time.Second)
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

func TestRestartByOperator(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for i := range 5 { // an operator has no limit
			require.NoError(l.t, l.m.Restart(l.t.Context()))
			l.until("the restart", 10*time.Second, func() bool { return l.m.Snapshot().Restarts == i+1 })
			l.state(StateReady, 30*time.Second)
		}
	})
}

func TestDisableAndEnable(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		require.NoError(l.t, l.m.Disable(l.t.Context()))
		l.state(StateDisabled, time.Second)
		p, err := l.em.Open(l.t.Context())
		require.NoError(l.t, err, "the port is free")
		require.NoError(l.t, p.Close())
		l.pass(3 * time.Hour)
		require.Equal(l.t, StateDisabled, l.m.Snapshot().State)
		require.Equal(l.t, NotSent, l.m.Send(l.t.Context(), []byte{1}, nil).Verdict)
		require.NoError(l.t, l.m.Enable(l.t.Context()))
		l.state(StateReady, 20*time.Second)
	})
}

func TestBusyPort(t *testing.T) {
	busy := true
	var mu sync.Mutex
	live(t, emulator.ModemOptions{}, func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (io.ReadWriteCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			if busy {
				return nil, &tty.BusyError{Name: "/dev/ttyUSB2", PID: 812, Program: "smsd"}
			}
			return open(ctx)
		}
	}, func(l *lifeOf) {
		l.state(StateLocked, time.Second)
		require.Contains(l.t, l.m.Snapshot().Reason, "smsd (process 812)")
		mu.Lock()
		busy = false
		mu.Unlock()
		l.state(StateReady, 20*time.Second)
	})
}

func TestPortThatCannotBeOpened(t *testing.T) {
	for _, err := range []error{tty.ErrPermission, tty.ErrNotTTY, tty.ErrAbsent, syscall.ENOENT, errors.New("connection refused")} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			m := New(Config{Name: "x", Sink: &box{}, Open: func(context.Context) (io.ReadWriteCloser, error) {
				tries++
				return nil, fmt.Errorf("open x: %w", err)
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			done := make(chan struct{})
			go func() { m.Run(ctx); close(done) }()
			time.AfterFunc(59*time.Second, func() {
				require.Contains(t, []State{StateAbsent, StateFault}, m.Snapshot().State)
				require.Contains(t, m.Snapshot().Reason, err.Error())
			})
			<-done
			require.Greater(t, tries, 8, "it goes on trying")
		})
	}
}

func TestEndWhileSubmissionIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := emulator.NewNetwork(emulator.NetworkOptions{Latency: 30 * time.Second})
		em := n.AddModem(emulator.ModemOptions{})
		m := New(Config{Name: "emulated:0", Sink: &box{}, Settle: -1, Open: em.Open})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { m.Run(ctx); close(ended) }()
		l := &lifeOf{t: t, net: n, em: em, m: m, box: m.c.Sink.(*box)}
		l.ready()
		time.AfterFunc(3*time.Second, cancel)
		o, _ := l.send("+34600111222", "a medias")
		require.Equal(t, Ambiguous, o.Verdict)
		<-ended
		require.NoError(t, n.Close())
		require.Equal(t, StateAbsent, m.Snapshot().State)
	})
}

func TestRegistrationLostAndDenied(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationLost, Delay: 20 * time.Second})
		l.until("the word of it", 5*time.Second, func() bool { return l.m.Snapshot().Registration == "searching" })
		require.Equal(l.t, StateReady, l.m.Snapshot().State, "a short loss is no trouble")
		l.pass(30 * time.Second)
		require.Equal(l.t, "home", l.m.Snapshot().Registration)
		l.pass(2 * time.Minute)
		l.box.mu.Lock()
		require.Equal(l.t, StateReady, l.box.states[len(l.box.states)-1])
		l.box.mu.Unlock()

		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationDenied, Delay: 10 * time.Minute})
		l.state(StateSIMDenied, 3*time.Minute)
		require.Contains(l.t, l.m.Snapshot().Reason, "refuses this SIM")
		l.state(StateReady, 11*time.Minute)
		require.Zero(l.t, l.m.Snapshot().Restarts)
	})
}

func TestHealthIsAskedWhileIdle(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.pass(16 * time.Minute)
		require.GreaterOrEqual(l.t, l.wrote("AT+CSQ"), 10)
		require.GreaterOrEqual(l.t, l.wrote("AT+CNMI?"), 2)
		require.GreaterOrEqual(l.t, l.wrote("AT+COPS?"), 2)
		l.box.mu.Lock()
		defer l.box.mu.Unlock()
		require.Len(l.t, l.box.states, 6, "an idle modem changes nothing: %v", l.box.states)
	})
}

func TestTraceIsBounded(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.pass(4 * time.Hour)
		require.Len(l.t, l.m.Trace(), 500)
		tr := l.m.Trace()
		require.False(l.t, tr[0].At.After(tr[499].At))
	})
}
