package modem

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"recado/modem/emulator"
	"recado/modem/pdu"
	"recado/modem/tty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// box is a Sink that remembers.
type box struct {
	mu     sync.Mutex
	got    []Received
	states []State
	refuse error // Store's answer while set
	calls  int
}

func (b *box) Store(_ context.Context, r Received) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.refuse != nil {
		return b.refuse
	}
	b.got = append(b.got, r)
	return nil
}

func (b *box) Changed(s Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.states); n == 0 || b.states[n-1] != s.State {
		b.states = append(b.states, s.State)
	}
}

func (b *box) received() []Received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Received(nil), b.got...)
}

func (b *box) kind(k pdu.Kind) (list []Received) {
	for _, r := range b.received() {
		if r.PDU.Kind == k {
			list = append(list, r)
		}
	}
	return list
}

// life is a modem of ours over an emulated one, inside a synctest bubble.
type lifeOf struct {
	t   *testing.T
	net *emulator.Network
	em  *emulator.Modem
	m   *Modem
	box *box
}

// live runs story with a modem; the network's latency is 2 s, a command takes
// 10 ms. tune may change the configuration before the modem runs.
func live(t *testing.T, mo emulator.ModemOptions, tune func(*Config), story func(l *lifeOf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := emulator.NewNetwork(emulator.NetworkOptions{
			Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second,
		})
		em := n.AddModem(mo)
		b := &box{}
		c := Config{Name: "emulated:0", Sink: b, Settle: -1, Open: func(ctx context.Context) (io.ReadWriteCloser, error) {
			p, err := em.Open(ctx)
			if err != nil {
				return nil, err
			}
			return tty.Guard(p, tty.GuardOptions{}), nil
		}}
		if tune != nil {
			tune(&c)
		}
		l := &lifeOf{t: t, net: n, em: em, m: New(c), box: b}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { require.ErrorIs(t, l.m.Run(ctx), context.Canceled) })
		defer wg.Wait()
		defer n.Close()
		defer wg.Wait()
		defer cancel()
		story(l)
	})
}

// until lets time pass until cond holds; it fails after d.
func (l *lifeOf) until(what string, d time.Duration, cond func() bool) {
	l.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		synctest.Wait()
		if cond() {
			return
		}
		if time.Since(start) > d {
			s := l.m.Snapshot()
			for _, e := range l.m.Trace() {
				l.t.Log(e.At.Format("15:04:05.000"), map[bool]string{true: ">", false: "<"}[e.Out], e.Line)
			}
			require.FailNow(l.t, "waited in vain for "+what, "state %s, reason %q, last error %q", s.State, s.Reason, s.LastError)
		}
	}
}

func (l *lifeOf) pass(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
	synctest.Wait()
}

func (l *lifeOf) state(s State, within time.Duration) {
	l.t.Helper()
	l.until(string(s), within, func() bool { return l.m.Snapshot().State == s })
}

// ready waits until the modem is ready and has looked through its memories,
// which it does after that.
func (l *lifeOf) ready() {
	l.t.Helper()
	l.state(StateReady, time.Minute)
	l.pass(500 * time.Millisecond)
}

func (l *lifeOf) tpdu(to, text string) []byte {
	l.t.Helper()
	segs, err := pdu.Encode(to, text, pdu.Options{Report: true})
	require.NoError(l.t, err)
	require.Len(l.t, segs, 1)
	return segs[0].TPDU
}

// send sends and counts how often the gate was asked.
func (l *lifeOf) send(to, text string) (Outcome, int) {
	l.t.Helper()
	gates := 0
	o := l.m.Send(l.t.Context(), l.tpdu(to, text), func() error { gates++; return nil })
	return o, gates
}

// accepted is what the network has accepted, as the ledger says.
func (l *lifeOf) accepted(text string) (n int) {
	for _, e := range l.net.Ledger() {
		if e.Accepted && e.Text == text {
			n++
		}
	}
	return n
}

func TestLifeFromAbsentToReady(t *testing.T) {
	live(t, emulator.ModemOptions{Number: "+34699000111", Operator: "Recado Red", Signal: 17}, nil, func(l *lifeOf) {
		l.ready()
		s := l.m.Snapshot()
		require.Equal(t, l.em.IMEI(), s.ID)
		require.Equal(t, l.em.IMEI(), s.IMEI)
		require.Equal(t, l.em.ICCID(), s.SIM.ICCID)
		require.NotEmpty(t, s.SIM.IMSI)
		require.Equal(t, "+34699000111", s.SIM.Number)
		require.NotEmpty(t, s.SIM.SMSC)
		require.Equal(t, "READY", s.SIM.State)
		require.Equal(t, "home", s.Registration)
		require.Equal(t, "Recado Red", s.Operator)
		require.NotEmpty(t, s.AccessTechnology)
		require.Equal(t, Signal{Known: true, RSSI: -79, BER: s.Signal.BER}, s.Signal)
		require.NotEmpty(t, s.Manufacturer)
		require.NotEmpty(t, s.Model)
		require.NotEmpty(t, s.StorageName)
		require.Equal(t, 1, s.ReportsBy)
		require.Empty(t, s.Reason)
		l.box.mu.Lock()
		defer l.box.mu.Unlock()
		require.Equal(t, []State{StateSync, StateIdent, StateSIM, StateConfig, StateRegister, StateReady}, l.box.states)
	})
}

func TestSendReportAndReply(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		require.Equal(t, NotSent, l.m.Send(l.t.Context(), []byte{1}, nil).Verdict, "not ready yet")
		l.ready()
		o, gates := l.send("+34600111222", "hola")
		require.Equal(t, Accepted, o.Verdict, "%+v", o)
		require.Equal(t, 1, gates)
		require.GreaterOrEqual(t, o.MR, 0)
		require.Equal(t, 1, l.accepted("hola"))
		l.until("the report", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindStatusReport)) == 1 })
		rep := l.box.kind(pdu.KindStatusReport)[0]
		require.Equal(t, o.MR, int(rep.PDU.MR))
		require.Equal(t, "+34600111222", rep.PDU.Address)
		require.Equal(t, l.em.ICCID(), rep.ICCID)
		require.Equal(t, l.em.IMEI(), rep.Modem)

		require.NoError(t, l.net.Inbound(l.em.ICCID(), "+34600111222", "¿quién es?"))
		l.until("the reply", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindDeliver)) == 1 })
		require.Equal(t, "¿quién es?", l.box.kind(pdu.KindDeliver)[0].PDU.Text)
		l.until("the deletion", 10*time.Second, func() bool { return l.m.Snapshot().StorageUsed == 0 })
		l.pass(3 * time.Minute)
		require.Len(t, l.box.received(), 2, "nothing is read twice")
	})
}

func TestGateRefuses(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		no := errors.New("no longer this line's to send")
		o := l.m.Send(l.t.Context(), l.tpdu("+34600111222", "nunca"), func() error { return no })
		require.Equal(t, NotSent, o.Verdict)
		require.ErrorIs(t, o.Err, no)
		require.Equal(t, "refused", o.Code)
		require.Empty(t, l.net.Ledger())
		o, _ = l.send("+34600111222", "luego")
		require.Equal(t, Accepted, o.Verdict, "%+v", o)
		require.Len(t, l.net.Ledger(), 1)
		require.Zero(t, l.m.Snapshot().AmbiguousRecent)
	})
}

func TestSteadyLoadLeavesNoGap(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		start := time.Now()
		const n = 60
		for i := range n {
			if i%10 == 0 {
				require.NoError(t, l.net.Inbound(l.em.ICCID(), "+34600111222", "respuesta"))
			}
			o, _ := l.send("+34600111222", "carga")
			require.Equal(t, Accepted, o.Verdict, "%+v", o)
		}
		took := time.Since(start)
		// Each takes 2 s on the network and 10 ms to the prompt; all that chores
		// may add in two minutes is their own commands.
		over := took - n*2010*time.Millisecond
		require.Less(t, over, n*15*time.Millisecond, "mean over: %s", over/n)
		l.until("every message that came in", 10*time.Second, func() bool { return len(l.box.kind(pdu.KindDeliver)) == n/10 })
	})
}

func TestHintsAreServedUnderLoad(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.send("+34600111222", "uno")
		require.NoError(t, l.net.Inbound(l.em.ICCID(), "+34600111222", "respuesta"))
		for range 4 {
			l.send("+34600111222", "más")
		}
		require.Len(t, l.box.kind(pdu.KindDeliver), 1, "not starved by sends")
	})
}

func TestRejected(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		o, gates := l.send("+34699998038", "no") // 9998nnn: refused with CMS nnn
		require.Equal(t, Rejected, o.Verdict)
		require.Equal(t, "cms_38", o.Code)
		require.Equal(t, ClassNetwork, o.Class)
		require.Equal(t, 1, gates)
		require.NotEmpty(t, o.Detail)
		o, _ = l.send("+34600111222", "sí")
		require.Equal(t, Accepted, o.Verdict, "the line goes on")
	})
}

func TestCMSThoughSentIsAmbiguous(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for i := range 2 {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSSent, Code: 500})
			o, _ := l.send("+34600111222", "quizás")
			require.Equal(t, Ambiguous, o.Verdict)
			require.Nil(t, o.Late)
			require.Equal(t, i+1, l.m.Snapshot().AmbiguousRecent)
		}
		l.pass(11 * time.Minute)
		require.Zero(t, l.m.Snapshot().AmbiguousRecent, "forgiven after ten minutes")
	})
}

func TestNoPromptIsNotSent(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNoPrompt})
		o, gates := l.send("+34600111222", "nunca")
		require.Equal(t, NotSent, o.Verdict)
		require.Equal(t, ClassDevice, o.Class)
		require.Zero(t, gates)
		l.ready()
		o, _ = l.send("+34600111222", "ahora")
		require.Equal(t, Accepted, o.Verdict, "%+v", o)
		require.Zero(t, l.accepted("nunca"))
		require.Zero(t, l.m.Snapshot().Restarts)
	})
}

func TestCMSBeforePromptSetsUpAgain(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		setups := l.wrote("AT+CREG=2")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSBeforePrompt, Code: 302})
		o, gates := l.send("+34600111222", "uno")
		require.Equal(t, NotSent, o.Verdict)
		require.Zero(t, gates)
		l.ready()
		require.Equal(t, setups+1, l.wrote("AT+CREG=2"))
		o, _ = l.send("+34600111222", "uno")
		require.Equal(t, Accepted, o.Verdict)
	})
}

func TestAnswer135SecondsLate(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 135 * time.Second})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer}) // its report would end the wait
		var o Outcome
		done := make(chan struct{})
		go func() { o, _ = l.send("+34600111222", "tarde"); close(done) }()
		l.state(StateUnknown, time.Minute) // after 45 s an operator sees that it is owed
		<-done
		require.Equal(t, Accepted, o.Verdict)
		l.ready()
		o, _ = l.send("+34600111222", "otro")
		require.Equal(t, Accepted, o.Verdict)
	})
}

func TestLateOutcome(t *testing.T) {
	live(t, emulator.ModemOptions{}, func(c *Config) { c.ResultTimeout = 20 * time.Second }, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 60 * time.Second})
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer}) // its report would end the wait
		o, _ := l.send("+34600111222", "tarde")
		require.Equal(t, Ambiguous, o.Verdict)
		require.Equal(t, "timeout", o.Code)
		require.NotNil(t, o.Late)
		require.Equal(t, StateUnknown, l.m.Snapshot().State)
		require.Equal(t, NotSent, l.m.Send(l.t.Context(), l.tpdu("+34600111222", "no"), nil).Verdict, "it only listens")
		before := len(l.m.Trace())
		late, ok := <-o.Late
		require.True(t, ok)
		require.Equal(t, Accepted, late.Verdict)
		require.GreaterOrEqual(t, late.MR, 0)
		for _, e := range l.m.Trace()[before:] {
			require.False(t, e.Out, "written while the answer was owed: %s", e.Line)
		}
		l.ready()
		require.Zero(t, l.m.Snapshot().AmbiguousRecent)
		next, _ := l.send("+34600111222", "otro")
		require.Equal(t, Accepted, next.Verdict)
		require.NotEqual(t, late.MR, next.MR)
	})
}

func TestAnswerNeverComes(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNeverCMGS})
		start := time.Now()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLostTrailer}) // its report would end the wait
		o, _ := l.send("+34600111222", "perdida")
		require.Equal(t, Ambiguous, o.Verdict)
		require.InDelta(t, 180, time.Since(start).Seconds(), 2)
		_, more := <-o.Late
		require.False(t, more, "nothing came")
		require.InDelta(t, 180, time.Since(start).Seconds(), 2, "no longer than 180 s since the gate")
		l.ready()
		o, _ = l.send("+34600111222", "otra")
		require.Equal(t, Accepted, o.Verdict)
		require.Equal(t, 1, l.accepted("perdida"))
	})
}

func TestRebootWhileAnswerIsOwed(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "simcom800"}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultReboot, Phase: emulator.PhaseAccepted})
		start := time.Now()
		o, _ := l.send("+34600111222", "perdida")
		require.Equal(t, Ambiguous, o.Verdict)
		require.Less(t, time.Since(start), 30*time.Second, "a boot message shows that no answer will come")
		l.until("ready again", 30*time.Second, func() bool { return l.m.Snapshot().State == StateReady })
		o, _ = l.send("+34600111222", "otra")
		require.Equal(t, Accepted, o.Verdict, "%+v", o)
	})
}
