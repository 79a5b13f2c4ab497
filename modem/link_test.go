package modem

import (
	"bytes"
	"context"
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

// linkBox remembers where AT+CMMS helps, as the pool does.
type linkBox struct {
	mu    sync.Mutex
	known map[string]LinkState
	why   []string
}

func (b *linkBox) Link(iccid string) LinkState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[iccid]
}

func (b *linkBox) KeepLink(iccid string, s LinkState, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[iccid] = s
	b.why = append(b.why, why)
}

// counting counts what is written of a command.
type counting struct {
	io.ReadWriteCloser
	mu   *sync.Mutex
	seen *[]string
}

func (c counting) Write(p []byte) (int, error) {
	if i := bytes.Index(p, []byte("AT+CMMS=")); i >= 0 {
		c.mu.Lock()
		*c.seen = append(*c.seen, string(p[i+len("AT+CMMS="):i+len("AT+CMMS=")+1]))
		c.mu.Unlock()
	}
	return c.ReadWriteCloser.Write(p)
}

// linked is a ready modem on a network where a kept link saves a share of the
// time.
type linked struct {
	*lifeOf
	links *linkBox
	more  bool

	mu   sync.Mutex
	seen []string // the values of AT+CMMS, in order
}

func onLink(t *testing.T, saves float64, mo emulator.ModemOptions, story func(l *linked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := emulator.NewNetwork(emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second, LinkSaves: saves})
		em := n.AddModem(mo)
		l := &linked{links: &linkBox{known: map[string]LinkState{}}, more: true}
		b := &box{}
		m := New(Config{Name: "emulated:0", Sink: b, Settle: -1, Links: l.links, More: func() bool { return l.more },
			Open: func(ctx context.Context) (io.ReadWriteCloser, error) {
				p, err := em.Open(ctx)
				if err != nil {
					return nil, err
				}
				return tty.Guard(counting{p, &l.mu, &l.seen}, tty.GuardOptions{}), nil
			}})
		l.lifeOf = &lifeOf{t: t, net: n, em: em, m: m, box: b}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { require.ErrorIs(t, m.Run(ctx), context.Canceled) })
		defer wg.Wait()
		defer n.Close()
		defer wg.Wait()
		defer cancel()
		l.ready()
		story(l)
	})
}

func (l *linked) cmms() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.seen...)
}

// burst sends n messages back to back and says how long the last took.
func (l *linked) burst(n int, to string) (last Outcome, took time.Duration) {
	l.t.Helper()
	for range n {
		start := time.Now()
		last = l.m.Send(l.t.Context(), l.tpdu(to, "hola"), func() error { return nil })
		took = time.Since(start)
	}
	return last, took
}

const linkTo = "+34600111222"

func TestAKeptLinkThatHelpsIsKept(t *testing.T) {
	onLink(t, 0.4, emulator.ModemOptions{}, func(l *linked) {
		_, bare := l.burst(1+linkPairs, linkTo)
		require.Empty(l.t, l.cmms(), "first it is measured without")
		_, took := l.burst(2+linkPairs, linkTo)
		require.Equal(l.t, []string{"2"}, l.cmms(), "one command in a burst")
		require.InDelta(t, 0.6*float64(2*time.Second), float64(took), float64(100*time.Millisecond))
		require.Greater(t, bare, took)
		require.Equal(l.t, LinkHelps, l.links.Link(l.em.ICCID()))
		m := l.m.LinkMeasure()
		require.Equal(t, LinkHelps, m.State)
		require.Equal(t, []int{linkPairs, linkPairs}, []int{m.PairsWithout, m.PairsWith})
		require.InDelta(t, float64(2010*time.Millisecond), float64(m.Without), float64(100*time.Millisecond))
		require.InDelta(t, float64(1210*time.Millisecond), float64(m.With), float64(100*time.Millisecond))
		require.NotZero(t, m.ToPromptWith)

		// The next burst has its own, once more messages wait, and a single message none.
		time.Sleep(10 * time.Second)
		l.more = false
		l.burst(1, linkTo)
		require.Equal(l.t, []string{"2"}, l.cmms())
		time.Sleep(10 * time.Second)
		l.more = true
		l.burst(5, linkTo)
		require.Equal(l.t, []string{"2", "2"}, l.cmms())

		// A modem that restarted is told anew, in a burst.
		l.em.Reboot()
		time.Sleep(5 * time.Second)
		l.ready()
		l.burst(3, linkTo)
		require.Equal(l.t, []string{"2", "2", "2"}, l.cmms())
	})
}

func TestAKeptLinkThatGainsNothingIsGivenUpForGood(t *testing.T) {
	onLink(t, 0, emulator.ModemOptions{}, func(l *linked) {
		l.burst(4*linkPairs, linkTo)
		require.Equal(l.t, []string{"2"}, l.cmms())
		require.Equal(l.t, LinkGivenUp, l.links.Link(l.em.ICCID()))
		require.Contains(l.t, l.links.why[0], "does not help")
		time.Sleep(10 * time.Second)
		l.burst(2*linkPairs, linkTo)
		require.Equal(l.t, []string{"2", "0"}, l.cmms(), "it is undone, once")
		for range 3 {
			time.Sleep(10 * time.Second)
			l.burst(2*linkPairs, linkTo)
		}
		require.Len(l.t, l.cmms(), 2)
	})
}

func TestAT_CMMSThatIsRefusedIsNotAskedForAgain(t *testing.T) {
	onLink(t, 0.4, emulator.ModemOptions{}, func(l *linked) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CMMS", Count: -1})
		for range 3 {
			out, _ := l.burst(2*linkPairs, linkTo)
			require.Equal(t, Accepted, out.Verdict, "%v", out)
			time.Sleep(10 * time.Second)
		}
		require.Equal(l.t, []string{"2"}, l.cmms())
		require.Equal(l.t, LinkGivenUp, l.links.Link(l.em.ICCID()))
	})
}

// A modem that is only busy is asked again, in another burst.
func TestABusySIMDoesNotEndTheLink(t *testing.T) {
	onLink(t, 0.4, emulator.ModemOptions{}, func(l *linked) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CMMS", Code: 512 + 3})
		l.burst(2*linkPairs, linkTo)
		require.Equal(l.t, []string{"2"}, l.cmms())
		require.Equal(l.t, LinkUnknown, l.links.Link(l.em.ICCID()))
		time.Sleep(10 * time.Second)
		l.burst(2*linkPairs, linkTo)
		require.Equal(l.t, []string{"2", "2"}, l.cmms())
		require.Equal(l.t, LinkHelps, l.links.Link(l.em.ICCID()))
	})
}

// A modem that never answers AT+CMMS costs one wait, and sends on.
func TestAMuteAT_CMMSCostsOneWait(t *testing.T) {
	onLink(t, 0.4, emulator.ModemOptions{}, func(l *linked) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CMMS", Count: -1})
		l.burst(1+linkPairs, linkTo)
		l.burst(1, linkTo)
		l.ready()
		for range 2 {
			time.Sleep(10 * time.Second)
			out, _ := l.burst(2*linkPairs, linkTo)
			require.Equal(t, Accepted, out.Verdict)
		}
		require.Equal(l.t, []string{"2"}, l.cmms())
		require.Equal(l.t, LinkGivenUp, l.links.Link(l.em.ICCID()))
	})
}

func TestErrorsWhileTheLinkIsKeptEndIt(t *testing.T) {
	onLink(t, 0.4, emulator.ModemOptions{}, func(l *linked) {
		l.burst(2*linkPairs+4, linkTo)
		require.Equal(l.t, LinkHelps, l.links.Link(l.em.ICCID()))
		for range 3 {
			l.em.Inject(emulator.Fault{Kind: emulator.FaultLinkBreaks})
			out, _ := l.burst(1, linkTo)
			require.Equal(l.t, ClassNetwork, out.Class)
			out, _ = l.burst(3, linkTo)
			require.Equal(l.t, Accepted, out.Verdict)
		}
		require.Equal(l.t, LinkHelps, l.links.Link(l.em.ICCID()), "errors that others come between are none")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultLinkBreaks, Count: -1})
		out, _ := l.burst(1, linkTo)
		require.Equal(t, ClassNetwork, out.Class)
		require.Equal(l.t, LinkHelps, l.links.Link(l.em.ICCID()), "one error is none")
		for range 3 {
			out, _ = l.burst(1, linkTo)
		}
		require.Equal(l.t, LinkGivenUp, l.links.Link(l.em.ICCID()))
		out, _ = l.burst(5, linkTo)
		require.Equal(t, Accepted, out.Verdict, "without the link it goes: %v", out)
		seen := l.cmms()
		require.Equal(t, "0", seen[len(seen)-1])
		l.burst(2*linkPairs, linkTo)
		require.Equal(l.t, seen, l.cmms())
	})
}

func TestWhatIsKnownOfTheLinkIsNotMeasuredAgain(t *testing.T) {
	for state, want := range map[LinkState][]string{LinkGivenUp: {}, LinkHelps: {"2"}} {
		t.Run(fmt.Sprint(state), func(t *testing.T) {
			onLink(t, 0.4, emulator.ModemOptions{ICCID: "8934071234567890123"}, func(l *linked) {
				l.links.known["8934071234567890123"] = state
				l.burst(4*linkPairs, linkTo)
				require.Equal(l.t, want, l.cmms())
				require.NoError(l.t, l.m.ForgetLink(l.t.Context(), "8934071234567890123"))
			})
		})
	}
}

// What saves less than a tenth is not worth it.
func TestALinkThatSavesLittleIsGivenUp(t *testing.T) {
	onLink(t, 0.05, emulator.ModemOptions{}, func(l *linked) {
		l.burst(3*linkPairs, linkTo)
		require.Equal(l.t, LinkGivenUp, l.links.Link(l.em.ICCID()))
		m := l.m.LinkMeasure()
		require.Greater(l.t, m.Without-m.With, linkGainLeast)
	})
}

// A family that has no AT+CMMS is never asked.
func TestAFamilyWithoutAT_CMMSIsNotAsked(t *testing.T) {
	onLink(t, 0.4, emulator.ModemOptions{Family: "simcom800"}, func(l *linked) {
		l.burst(3*linkPairs, linkTo)
		require.Empty(l.t, l.cmms())
	})
}
