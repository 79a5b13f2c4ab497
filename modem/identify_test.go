package modem

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// mobile is a scripted modem that names itself, and does not always tell its IMEI.
func mobile() *peer {
	p := &peer{script: plain()}
	p.script["+CGMI"], p.script["+CGMM"] = "Acme", "M1"
	return p
}

// TestIMEIThatIsNotTold: one AT+CGSN that fails makes it no other modem, with all
// that is known of the one that it is.
func TestIMEIThatIsNotTold(t *testing.T) {
	withPeer(t, mobile(), func(l *lifeOf, p *peer) {
		l.ready()
		const imei = "356938035643809"
		p.mu.Lock()
		p.submitted = func(c io.Writer) { io.WriteString(c, "\r\n+CMS ERROR: 500\r\n") }
		p.mu.Unlock()
		o, _ := l.send("+34600111222", "quizás")
		require.Equal(l.t, Ambiguous, o.Verdict)
		require.Equal(l.t, 1, l.m.Snapshot().AmbiguousRecent)
		p.set(func(s map[string]string) { delete(s, "+CGSN"); delete(s, "+CGMI") })
		n := p.count("AT+CGSN")
		p.say("RDY")
		l.until("the look at it", time.Minute, func() bool { return p.count("AT+CGSN") > n })
		l.ready()
		s := l.m.Snapshot()
		require.Equal(l.t, []string{imei, imei, "Acme"}, []string{s.ID, s.IMEI, s.Manufacturer})
		require.Equal(l.t, 1, s.AmbiguousRecent, "its losses")
		n = p.count("AT+CGSN")
		l.pass(3 * time.Hour)
		require.InDelta(l.t, n+8, p.count("AT+CGSN"), 3, "ever more rarely")
		p.set(func(s map[string]string) { s["+CGSN"] = imei })
		l.pass(time.Hour)
		n = p.count("AT+CGSN")
		l.pass(time.Hour)
		require.Equal(l.t, n, p.count("AT+CGSN"), "it is certain now")
		require.Equal(l.t, imei, l.m.Snapshot().ID)
	})
}

// TestAnotherModemWithoutAnIMEI is another one all the same when it is of another
// model, and when it tells another IMEI later.
func TestAnotherModemWithoutAnIMEI(t *testing.T) {
	for _, later := range []bool{false, true} {
		withPeer(t, mobile(), func(l *lifeOf, p *peer) {
			l.ready()
			p.set(func(s map[string]string) {
				if delete(s, "+CGSN"); !later {
					s["+CGMM"] = "M2"
				}
			})
			p.say("RDY")
			if !later {
				l.until("the other model", time.Minute, func() bool { return l.m.Snapshot().Model == "M2" })
				require.Empty(l.t, l.m.Snapshot().IMEI)
				require.Equal(l.t, "tcp:127.0.0.1:1", l.m.Snapshot().ID)
				return
			}
			l.pass(10 * time.Second)
			l.ready()
			p.set(func(s map[string]string) { s["+CGSN"] = "356938035643817" })
			l.until("the other modem", 5*time.Minute, func() bool { return l.m.Snapshot().ID == "356938035643817" })
			l.ready()
		})
	}
}

// TestIMEIWithADigitLost is no other modem's.
func TestIMEIWithADigitLost(t *testing.T) {
	p := mobile()
	p.on = func(cmd string) {
		if cmd == "AT+CGSN" {
			p.set(func(s map[string]string) { s["+CGSN"] = "356938035643809" }) // the next time
		}
	}
	withPeer(t, p, func(l *lifeOf, p *peer) {
		l.ready()
		p.set(func(s map[string]string) { s["+CGSN"] = "35693803564809" })
		n := p.count("AT+CGSN")
		p.say("RDY")
		l.until("the look at it", time.Minute, func() bool { return p.count("AT+CGSN") > n })
		for range 100 {
			l.pass(50 * time.Millisecond)
			require.Equal(l.t, "356938035643809", l.m.Snapshot().ID)
		}
	})
}

// TestIdentityWithoutAnIMEI: where it is on the USB, else the port's name; and the
// IMEI as soon as it is told.
func TestIdentityWithoutAnIMEI(t *testing.T) {
	for _, c := range []struct{ config, port, want string }{
		{"1-1.2", "", "1-1.2"}, {"", "1-1.4", "1-1.4"}, {"1-1.2", "1-1.4", "1-1.4"}, {"", "", "/dev/ttyUSB2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := mobile()
			delete(p.script, "+CGSN")
			open := func(ctx context.Context) (io.ReadWriteCloser, error) {
				port, err := p.open(ctx)
				return onUSB{port, c.port}, err
			}
			b := &box{}
			m := New(Config{Name: "/dev/ttyUSB2", USBPath: c.config, Sink: b, Open: open})
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { m.Run(ctx) })
			defer wg.Wait()
			defer cancel()
			l := &lifeOf{t: t, m: m, box: b}
			l.ready()
			require.Equal(t, c.want, m.Snapshot().ID)
			p.set(func(s map[string]string) { s["+CGSN"] = "356938035643809" })
			l.until("the IMEI", 5*time.Minute, func() bool { return m.Snapshot().ID == "356938035643809" })
			require.Equal(t, StateReady, m.Snapshot().State)
		})
	}
}

// onUSB is a port that knows its socket.
type onUSB struct {
	io.ReadWriteCloser
	path string
}

func (p onUSB) USBPath() string { return p.path }
