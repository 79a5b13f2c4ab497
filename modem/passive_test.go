package modem

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// simCommands are what the modem was told that concerns the SIM's messages.
func (l *lifeOf) simCommands() (n int) {
	for _, w := range simWork {
		n += l.wrote("AT" + w)
	}
	return n
}

// TestPassiveFromTheStart: the twin is known as soon as the ICCID is, from
// within Sink.Changed; from there on the SIM is left alone.
func TestPassiveFromTheStart(t *testing.T) {
	var sink *passiveAtOnce
	live(t, emulator.ModemOptions{}, func(c *Config) {
		sink = &passiveAtOnce{Sink: c.Sink}
		c.Sink = sink
	}, func(l *lifeOf) {
		sink.of(l.m)
		l.inbound("for the other port")
		l.ready()
		require.Equal(l.t, reasonPassive, l.m.Snapshot().Reason)
		o, gates := l.send("+34600111222", "no")
		require.Equal(l.t, NotSent, o.Verdict)
		require.Equal(l.t, "not_ready", o.Code)
		require.Zero(l.t, gates)
		before := l.wrote("AT+CSQ")
		l.inbound("another for the other port")
		l.pass(16 * time.Minute)
		require.Zero(l.t, l.simCommands(), "the SIM is the other port's")
		require.Empty(l.t, l.box.received())
		require.Greater(l.t, l.wrote("AT+CSQ"), before+10, "health is watched")
		require.Equal(l.t, StateReady, l.m.Snapshot().State)
		require.Empty(l.t, l.m.Snapshot().LastError)

		sink.stop()
		l.m.SetPassive(false)
		l.has(time.Minute, "for the other port", "another for the other port")
		l.until("ready", time.Minute, func() bool { s := l.m.Snapshot(); return s.State == StateReady && s.Reason == "" })
		require.Zero(l.t, l.m.Snapshot().Restarts)
		require.Empty(l.t, l.m.Snapshot().LastError)
		o, _ = l.send("+34600111222", "yes")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

// passiveAtOnce makes its modem passive when the ICCID appears, as the pool does.
type passiveAtOnce struct {
	Sink
	mu  sync.Mutex
	m   *Modem
	off bool
}

func (p *passiveAtOnce) of(m *Modem) { p.mu.Lock(); p.m = m; p.mu.Unlock() }
func (p *passiveAtOnce) stop()       { p.mu.Lock(); p.off = true; p.mu.Unlock() }

func (p *passiveAtOnce) Changed(s Snapshot) {
	p.mu.Lock()
	if s.SIM.ICCID != "" && !p.off {
		p.m.SetPassive(true)
	}
	p.mu.Unlock()
	p.Sink.Changed(s)
}

// TestPassiveWhileReady: what waits is left to the other port, and a change to
// and fro loses nothing.
func TestPassiveWhileReady(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.m.SetPassive(true)
		o, gates := l.send("+34600111222", "no")
		require.Equal(l.t, NotSent, o.Verdict)
		require.Zero(l.t, gates)
		l.pass(time.Second)
		before := l.simCommands()
		l.inbound("hola")
		l.pass(10 * time.Minute)
		require.Equal(l.t, before, l.simCommands())
		l.m.SetPassive(false)
		l.has(time.Minute, "hola")
		l.empty(time.Minute)
		l.m.SetPassive(true)
		l.m.SetPassive(false)
		l.pass(time.Second)
		l.ready()
		o, _ = l.send("+34600111222", "yes")
		require.Equal(l.t, Accepted, o.Verdict)
	})
}

// TestPassiveTriesNoPIN: a wrong one would be tried on both ports.
func TestPassiveTriesNoPIN(t *testing.T) {
	live(t, emulator.ModemOptions{PIN: "4321"}, func(c *Config) { c.PINs = offering("1111") }, func(l *lifeOf) {
		l.m.SetPassive(true)
		l.state(StateSIMBlocked, time.Minute)
		require.ErrorIs(l.t, l.m.EnterPIN(context.Background(), "4321"), ErrNotReady)
		l.pass(time.Minute)
		require.Zero(l.t, l.pinsWritten())
		l.m.SetPassive(false)
		l.until("the PIN", time.Minute, func() bool { return l.pinsWritten() == 1 })
	})
}

// TestPassiveDisturbsNothing: what is done to the module is done to the port that
// has the SIM, also when the pool holds this port for gone because it is mute.
func TestPassiveDisturbsNothing(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		h := &hardware{}
		helpless(t, h, func(l *lifeOf, w *wire) {
			l.m.SetPassive(true)
			l.pass(time.Second)
			w.set(func(w *wire) { w.hung = true })
			l.until("a look at a new port", 5*time.Minute, func() bool { return l.steps("L4") > 0 })
			if forgotten {
				l.m.SetPassive(false)
			}
			l.pass(time.Hour)
			require.Zero(l.t, h.usb.Load()+h.power.Load()+int32(l.steps("L3")))
			require.Zero(l.t, l.m.Snapshot().Restarts)
			require.Equal(l.t, StateFault, l.m.Snapshot().State)
			require.Contains(l.t, l.m.Snapshot().Reason, "other port")
			w.well()
			l.state(StateReady, soon)
			if !forgotten {
				l.m.SetPassive(false)
			}
			l.until("its own SIM", time.Minute, func() bool { s := l.m.Snapshot(); return s.State == StateReady && s.Reason == "" })
			w.set(func(w *wire) { w.hung = true })
			l.until("the USB reset", 10*time.Minute, func() bool { return h.usb.Load() == 1 })
			w.well()
			l.back(soon)
		})
	}
}

// TestPassiveThatDemandsARestart gets none, answer to AT as it may; an operator's
// order counts.
func TestPassiveThatDemandsARestart(t *testing.T) {
	h := &hardware{}
	helpless(t, h, func(l *lifeOf, w *wire) {
		l.m.SetPassive(true)
		l.pass(time.Second)
		for _, cmd := range []string{"+CS", "+CR", "+CO", "+CP", "+CMG", "+CN", "E0"} { // AT alone still answers
			l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: cmd, Count: -1})
		}
		l.pass(50 * time.Minute)
		require.Zero(l.t, h.usb.Load()+h.power.Load())
		require.Zero(l.t, l.wrote("AT+CFUN=1,1")+l.wrote("AT+CFUN=4"))
		l.em.ClearFaults()
		l.state(StateReady, soon)
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		l.until("the restart", time.Minute, func() bool { return l.wrote("AT+CFUN=1,1") == 1 })
		l.state(StateReady, soon)
		require.NoError(l.t, l.m.PowerCycleNow(l.t.Context()))
		l.until("the power cut", time.Minute, func() bool { return h.power.Load() == 1 })
	})
}

// TestVersions: every snapshot that the sink gets is newer than the one before.
func TestVersions(t *testing.T) {
	var sink *versions
	live(t, emulator.ModemOptions{}, func(c *Config) { sink = &versions{Sink: c.Sink}; c.Sink = sink }, func(l *lifeOf) {
		l.ready()
		_, _ = l.send("+34600111222", "hola")
		l.pass(time.Minute)
		sink.mu.Lock()
		defer sink.mu.Unlock()
		require.Greater(l.t, len(sink.seen), 5)
		for i, v := range sink.seen[1:] {
			require.Greater(l.t, v, sink.seen[i], strings.Repeat(".", i))
		}
	})
}

type versions struct {
	Sink
	mu   sync.Mutex
	seen []uint64
}

func (v *versions) Changed(s Snapshot) {
	v.mu.Lock()
	if n := len(v.seen); n == 0 || v.seen[n-1] != s.Version { // one may be told twice
		v.seen = append(v.seen, s.Version)
	}
	v.mu.Unlock()
	v.Sink.Changed(s)
}
