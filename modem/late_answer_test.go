package modem

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answering answers each PDU by f, which is given its number, from 1.
func (p *peer) answering(f func(n int, c io.Writer)) {
	n := 0
	p.mu.Lock()
	defer p.mu.Unlock()
	p.submitted = func(c io.Writer) {
		n++
		f(n, c)
	}
}

func accepted(c io.Writer, mr int) { fmt.Fprintf(c, "\r\n+CMGS: %d\r\n\r\nOK\r\n", mr) }

// sendAgain sends until the line takes it.
func (l *lifeOf) sendAgain(to string) Outcome {
	l.t.Helper()
	for range 400 {
		if o, _ := l.send(to, "hola"); o.Verdict != NotSent {
			return o
		}
		l.pass(time.Second)
	}
	l.t.Fatal("the line takes no message")
	return Outcome{}
}

// TestAStrayError: an ERROR that belongs to nothing comes while a submission is
// open, whose answer follows.
func TestAStrayError(t *testing.T) {
	withPeer(t, &peer{script: plain()}, func(l *lifeOf, p *peer) {
		p.answering(func(n int, c io.Writer) {
			switch n {
			case 1:
				accepted(c, 40)
			case 2:
				go func() {
					time.Sleep(2 * time.Second)
					io.WriteString(c, "\r\nERROR\r\n")
					time.Sleep(8 * time.Second)
					accepted(c, 41)
				}()
			}
		})
		l.ready()
		require.Equal(l.t, 40, l.sendAgain("+34600777777").MR)
		l.pass(40 * time.Second)
		uno := l.sendAgain("+34600111222")
		require.Equal(l.t, Ambiguous, uno.Verdict)
		require.NotNil(l.t, uno.Late)
		dos := l.sendAgain("+34600999888")
		require.Equal(l.t, Ambiguous, dos.Verdict, "it was never answered: %+v", dos)
		late := <-uno.Late
		require.Equal(l.t, Accepted, late.Verdict)
		require.Equal(l.t, 41, late.MR)
	})
}

// TestEveryAnswerTwice: a modem repeats each answer in the middle of the next
// submission; what the network refuses or never answers is not shown as sent.
func TestEveryAnswerTwice(t *testing.T) {
	withPeer(t, &peer{script: plain()}, func(l *lifeOf, p *peer) {
		mr := 9
		p.answering(func(n int, c io.Writer) {
			time.Sleep(2 * time.Second)
			switch {
			case n%4 == 0:
				io.WriteString(c, "\r\n+CMS ERROR: 38\r\n")
			case n == 7:
			default:
				mr++
				again := mr
				accepted(c, mr)
				time.AfterFunc(1500*time.Millisecond, func() { accepted(c, again) })
			}
		})
		l.ready()
		for n, want := 1, 10; n <= 14; n++ {
			o := l.sendAgain("+34600111222")
			switch {
			case n%4 == 0:
				require.Equal(l.t, "cms_38", o.Code, n)
			case n == 7:
				require.Equal(l.t, Ambiguous, o.Verdict, n)
			default:
				require.Equal(l.t, Accepted, o.Verdict, "%d %+v", n, o)
				require.Equal(l.t, want, o.MR, n)
				want++
			}
		}
	})
}

// TestConstantReferences: one message finds out that they are, for good.
func TestConstantReferences(t *testing.T) {
	withPeer(t, &peer{script: plain()}, func(l *lifeOf, p *peer) {
		p.answering(func(n int, c io.Writer) { accepted(c, 0) })
		l.ready()
		require.Equal(l.t, Accepted, l.sendAgain("+34600111222").Verdict)
		require.Equal(l.t, Ambiguous, l.sendAgain("+34600111222").Verdict)
		l.sendAgain("+34600111222")
		for range 2 {
			start := time.Now()
			for range 10 {
				require.Equal(l.t, Accepted, l.sendAgain("+34600111222").Verdict)
			}
			require.Less(l.t, time.Since(start), 5*time.Second)
			require.NoError(l.t, l.m.Disable(l.t.Context()))
			l.state(StateDisabled, 10*time.Second)
			require.NoError(l.t, l.m.Enable(l.t.Context()))
			l.ready()
		}
	})
}

// TestALateAnswerOutlivesThePort: what a modem owes it still owes when its port was
// opened anew, and says it in a later submission.
func TestALateAnswerOutlivesThePort(t *testing.T) {
	withPeer(t, &peer{script: plain()}, func(l *lifeOf, p *peer) {
		p.answering(func(n int, c io.Writer) {
			if n == 2 {
				return
			}
			time.AfterFunc(time.Second, func() {
				if n == 3 {
					accepted(c, 53) // of the second
				}
				time.AfterFunc(time.Second, func() { accepted(c, 51+n) })
			})
		})
		l.ready()
		require.Equal(l.t, 52, l.sendAgain("+34600111222").MR)
		require.Equal(l.t, Ambiguous, l.sendAgain("+34600111222").Verdict)
		require.NoError(l.t, l.m.Disable(l.t.Context()))
		l.state(StateDisabled, 10*time.Second)
		require.NoError(l.t, l.m.Enable(l.t.Context()))
		l.ready()
		o := l.sendAgain("+34600111222")
		require.Equal(l.t, Accepted, o.Verdict, o)
		require.Equal(l.t, 54, o.MR)
	})
}

// TestAnAnswerAfterThreeMinutes comes in the next submission.
func TestAnAnswerAfterThreeMinutes(t *testing.T) {
	for _, after := range []time.Duration{181, 182, 183, 184, 185, 186} {
		withPeer(t, &peer{script: plain()}, func(l *lifeOf, p *peer) {
			p.answering(func(n int, c io.Writer) {
				if n == 2 {
					time.AfterFunc(after*time.Second, func() { accepted(c, 53) })
					return
				}
				mr := 51 + n
				time.AfterFunc(2*time.Second, func() { accepted(c, mr) })
			})
			l.ready()
			require.Equal(l.t, 52, l.sendAgain("+34600111222").MR)
			require.Equal(l.t, Ambiguous, l.sendAgain("+34600111222").Verdict)
			for want := 54; want < 58; want++ {
				o := l.sendAgain("+34600111222")
				require.Equal(l.t, Accepted, o.Verdict, "%v %+v", after, o)
				require.Equal(l.t, want, o.MR, after)
			}
		})
	}
}
