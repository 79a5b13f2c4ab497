package modem

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/tty"
)

// afterRestart runs story with a modem on a serial line that an earlier run of the
// program had open: what that one wrote (before) is still being worked on.
func afterRestart(t *testing.T, fault *emulator.Fault, before func(l *lifeOf, port io.Writer), owed Owed, story func(l *lifeOf, late <-chan Outcome, start time.Time)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := emulator.NewNetwork(emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Minute})
		em := n.AddModem(emulator.ModemOptions{})
		if fault != nil {
			em.Inject(*fault)
		}
		b := &box{}
		first, err := em.Open(t.Context())
		require.NoError(t, err)
		opened := false
		c := Config{Name: "emulated:0", Sink: b, Settle: -1, Open: func(ctx context.Context) (io.ReadWriteCloser, error) {
			if !opened {
				opened = true
				return tty.Guard(first, tty.GuardOptions{}), nil
			}
			p, err := em.Open(ctx)
			if err != nil {
				return nil, err
			}
			return tty.Guard(p, tty.GuardOptions{}), nil
		}}
		l := &lifeOf{t: t, net: n, em: em, m: New(c), box: b}
		before(l, first)
		late := make(chan Outcome, 1)
		owed.Late, owed.GateAt = late, time.Now()
		l.m.Expect(owed)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		start := time.Now()
		wg.Go(func() { require.ErrorIs(t, l.m.Run(ctx), context.Canceled) })
		defer wg.Wait()
		defer n.Close()
		defer wg.Wait()
		defer cancel()
		story(l, late, start)
	})
}

// submitted has the earlier run submit one message up to Ctrl-Z.
func submitted(l *lifeOf, port io.Writer) {
	prompted(l, port)
	_, err := fmt.Fprintf(port, "00%s\x1a", hex.EncodeToString(l.tpdu("+34600111222", "antes")))
	require.NoError(l.t, err)
	l.pass(100 * time.Millisecond)
}

// prompted leaves it at the prompt.
func prompted(l *lifeOf, port io.Writer) {
	_, err := fmt.Fprintf(port, "ATE0\r")
	require.NoError(l.t, err)
	l.pass(100 * time.Millisecond)
	_, err = fmt.Fprintf(port, "AT+CMGF=0\r")
	require.NoError(l.t, err)
	l.pass(100 * time.Millisecond)
	_, err = fmt.Fprintf(port, "AT+CMGS=%d\r", len(l.tpdu("+34600111222", "antes")))
	require.NoError(l.t, err)
	l.pass(100 * time.Millisecond)
}

// nothingCame says that nobody waits any more, and nothing was told.
func nothingCame(t *testing.T, late <-chan Outcome) {
	t.Helper()
	select {
	case o, open := <-late:
		require.False(t, open, "%+v", o)
	default:
		require.Fail(t, "an answer is still waited for")
	}
}

func (l *lifeOf) silent() bool {
	for _, e := range l.m.Trace() {
		if e.Out {
			return false
		}
	}
	return true
}

// TestAnAnswerFromBeforeTheRestart: the answer to what an earlier run submitted
// is that submission's, and until it has come nothing is written to the port.
func TestAnAnswerFromBeforeTheRestart(t *testing.T) {
	late := emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 8 * time.Second}
	afterRestart(t, &late, submitted, Owed{Listen: 20 * time.Second, Until: 180 * time.Second}, func(l *lifeOf, late <-chan Outcome, start time.Time) {
		l.state(StateUnknown, time.Second)
		require.True(t, l.m.Snapshot().Earlier)
		for len(late) == 0 {
			require.True(t, l.silent(), "nothing is written while the answer is owed")
			require.Less(t, time.Since(start), 15*time.Second)
			l.pass(500 * time.Millisecond)
		}
		o := <-late
		require.Equal(t, Accepted, o.Verdict)
		entries := l.submits()
		require.Len(t, entries, 1)
		require.Equal(t, entries[0].MR, o.MR)
		nothingCame(t, late)
		l.state(StateReady, 10*time.Second)
		require.False(t, l.m.Snapshot().Earlier)
		next, _ := l.send("+34600111333", "después")
		require.Equal(t, Accepted, next.Verdict)
		require.Equal(t, o.MR+1, next.MR)
	})
}

// TestABusyModemAfterTheRestart: a modem that is still busy with the message when
// the silence is over is listened to on; it is not reset for being mute, and what
// it says then is not the next message's.
func TestABusyModemAfterTheRestart(t *testing.T) {
	fault := emulator.Fault{Kind: emulator.FaultLateCMGS, Delay: 70 * time.Second}
	afterRestart(t, &fault, submitted, Owed{Listen: 5 * time.Second, Until: 180 * time.Second}, func(l *lifeOf, late <-chan Outcome, start time.Time) {
		l.until("the answer", 100*time.Second, func() bool { return len(late) > 0 })
		o := <-late
		require.Equal(t, Accepted, o.Verdict)
		require.Equal(t, l.submits()[0].MR, o.MR)
		l.state(StateReady, 15*time.Second)
		require.Zero(t, l.m.Snapshot().Restarts)
		next, _ := l.send("+34600111333", "después")
		require.Equal(t, Accepted, next.Verdict)
		require.Equal(t, o.MR+1, next.MR)
	})
}

// TestNoAnswerFromBeforeTheRestart: with a modem that owes nothing the wait ends
// after the silence, and nothing is told.
func TestNoAnswerFromBeforeTheRestart(t *testing.T) {
	nothing := func(*lifeOf, io.Writer) {}
	afterRestart(t, nil, nothing, Owed{Listen: 6 * time.Second, Until: 180 * time.Second}, func(l *lifeOf, late <-chan Outcome, start time.Time) {
		l.pass(5 * time.Second)
		require.True(t, l.silent())
		l.state(StateReady, 10*time.Second)
		nothingCame(t, late)
		o, _ := l.send("+34600111333", "después")
		require.Equal(t, Accepted, o.Verdict)
	})
}

// TestThePromptFromBeforeTheRestart: the earlier run ended between the prompt and
// the PDU; ESC gets the modem out of it, and what was not sent stays unsent.
func TestThePromptFromBeforeTheRestart(t *testing.T) {
	afterRestart(t, nil, prompted, Owed{Listen: 3 * time.Second, Until: 180 * time.Second}, func(l *lifeOf, late <-chan Outcome, start time.Time) {
		l.state(StateReady, 10*time.Second)
		nothingCame(t, late)
		require.Empty(t, l.submits())
		o, _ := l.send("+34600111333", "después")
		require.Equal(t, Accepted, o.Verdict)
		require.Len(t, l.submits(), 1)
	})
}
