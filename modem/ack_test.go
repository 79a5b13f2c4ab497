package modem

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

// insists is a cabinet that has AT+CSMS=1 and will not have 0.
func insists(acked string) *cabinet {
	c := newCabinet(map[string]int{"SM": 10})
	c.instead = func(cmd string) (string, bool) {
		switch cmd {
		case "+CSMS=0":
			return "+CMS ERROR: 302", true
		case "+CSMS?":
			return "+CSMS: 1,1,1,1|OK", true
		case "+CNMA":
			return acked, true
		}
		return "", false
	}
	return c
}

func (c *cabinet) report(t *testing.T, mr uint8) {
	t.Helper()
	at := time.Date(2026, 11, 22, 10, 0, int(mr), 0, time.UTC)
	tpdu, err := pdu.StatusReportTPDU(mr, "+34600111222", at, at, 0)
	require.NoError(t, err)
	c.say("+CDS: 25\r\n" + letterOf(t, tpdu).pdu)
}

// TestAcknowledgementBeforeTheNextSubmission: AT+CNMA comes after the commit,
// and no AT+CMGS between the report and it.
func TestAcknowledgementBeforeTheNextSubmission(t *testing.T) {
	c := insists("OK")
	withSlowSink(t, c, 3*time.Second, func(l *lifeOf) {
		l.ready()
		c.report(l.t, 1)
		time.Sleep(10 * time.Millisecond)
		begin := time.Now()
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		require.GreaterOrEqual(l.t, time.Since(begin), 2900*time.Millisecond, "it waited for the commit")
		got := c.commands()
		require.Less(l.t, slices.Index(got, "AT+CNMA"), slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "AT+CMGS") }))
		require.Equal(l.t, 1, c.count("AT+CNMA"))
		begin = time.Now()
		o, _ = l.send("+34600111222", "otra")
		require.Equal(l.t, Accepted, o.Verdict)
		require.Less(l.t, time.Since(begin), time.Second, "nothing is owed any more")
	})
}

// TestUnstoredIsNotAcknowledged: a submission does not wait for ever for the
// store, and the network is not told a lie.
func TestUnstoredIsNotAcknowledged(t *testing.T) {
	c := insists("OK")
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.box.mu.Lock()
		l.box.refuse = errors.New("disk full")
		l.box.mu.Unlock()
		c.report(l.t, 1)
		time.Sleep(10 * time.Millisecond)
		begin := time.Now()
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		require.InDelta(l.t, ackPatience.Seconds(), time.Since(begin).Seconds(), 1)
		require.Zero(l.t, c.count("AT+CNMA"))
	})
}

// TestAcknowledgementInTheMidstOfASweep goes in front of the sweep's next
// command.
func TestAcknowledgementInTheMidstOfASweep(t *testing.T) {
	c := insists("OK")
	usual := c.instead
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tpdu, err := pdu.StatusReportTPDU(1, "+34600111222", at, at, 0)
	require.NoError(t, err)
	sweeping := false
	c.instead = func(cmd string) (string, bool) {
		switch {
		case strings.HasPrefix(cmd, "+CMGL"):
			return "+CMS ERROR: 303", true
		case cmd == "+CMGR=5" && sweeping:
			sweeping = false
			return "+CDS: 25|" + letterOf(t, tpdu).pdu + "|+CMS ERROR: 321", true
		case cmd == "+CMGD=?":
			return "ERROR", true
		}
		return usual(cmd)
	}
	c.slow = func(cmd string) time.Duration {
		if strings.HasPrefix(cmd, "+CMGR") {
			return 100 * time.Millisecond
		}
		return 0
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		l.pass(5 * time.Second)
		c.change(func() { sweeping, c.got = true, nil })
		l.until("the sweep", 2*time.Minute, func() bool { return c.count("AT+CMGR=20") > 0 })
		got := c.commands()
		require.Equal(l.t, 1, c.count("AT+CNMA"))
		require.InDelta(l.t, slices.Index(got, "AT+CMGR=5")+1, slices.Index(got, "AT+CNMA"), 2, "%q", got)
	})
}

// TestAcknowledgementThatNobodyExpects: +CMS ERROR 340 is harmless, and no other
// is sent from there on.
func TestAcknowledgementThatNobodyExpects(t *testing.T) {
	c := insists("+CMS ERROR: 340")
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		for n := range 3 {
			c.report(l.t, uint8(n))
			l.pass(time.Second)
		}
		require.Len(l.t, l.box.kind(pdu.KindStatusReport), 3)
		require.Equal(l.t, 1, c.count("AT+CNMA"))
		o, _ := l.send("+34600111222", "hola")
		require.Equal(l.t, Accepted, o.Verdict)
		require.Equal(l.t, StateReady, l.m.Snapshot().State)
	})
}

// TestLateAcknowledgement: the network has given up, and the modem may have set
// <mt> and <ds> to 0. That is looked at at once, and the next one is
// acknowledged again.
func TestLateAcknowledgement(t *testing.T) {
	c := insists("+CMS ERROR: 340")
	usual := c.instead
	off := false
	c.instead = func(cmd string) (string, bool) {
		switch {
		case cmd == "+CNMI?" && off:
			return "+CNMI: 2,0,0,0,0|OK", true
		case cmd == "+CNMI=2,1,0,1,0":
			off = false
		case cmd == "+CNMA" && !off:
			return "OK", true
		}
		return usual(cmd)
	}
	withSlowSink(t, c, 15*time.Second, func(l *lifeOf) {
		l.ready()
		set := c.count("AT+CNMI=2,1,0,1,0")
		c.change(func() { off = true })
		c.report(l.t, 1)
		l.until("AT+CNMI again", 20*time.Second, func() bool { return c.count("AT+CNMI=2,1,0,1,0") == set+1 })
		require.Equal(l.t, 1, l.noted("acknowledgement"))
		c.report(l.t, 2)
		l.until("the next acknowledgement", 20*time.Second, func() bool { return c.count("AT+CNMA") == 2 })
	})
}

// TestForcedPhase2PrefersStoredReports: those want no acknowledgement.
func TestForcedPhase2PrefersStoredReports(t *testing.T) {
	c := insists("OK")
	usual := c.instead
	c.instead = func(cmd string) (string, bool) {
		if cmd == "+CNMI=2,1,0,2,0" {
			return "OK", true
		}
		return usual(cmd)
	}
	withCabinet(t, c, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, 2, l.m.Snapshot().ReportsBy)
	})
}

// TestPhase2PlusOnlyWhereTheMakeWantsIt: u-blox takes <ds> 1 with AT+CSMS=1
// only. No other modem is given that, not even for reports.
func TestPhase2PlusOnlyWhereTheMakeWantsIt(t *testing.T) {
	for maker, want := range map[string]int{"u-blox": 1, "": 0, "Quectel": 0, "huawei": 0, "NOVATEL WIRELESS": 0} {
		t.Run(maker, func(t *testing.T) {
			c := newCabinet(map[string]int{"SM": 10})
			service := "0"
			c.instead = func(cmd string) (string, bool) {
				switch {
				case cmd == "+CGMI" && maker != "":
					return maker + "|OK", true
				case strings.HasPrefix(cmd, "+CSMS="):
					service = cmd[len("+CSMS="):]
					return "+CSMS: 1,1,1|OK", true
				case cmd == "+CSMS?":
					return "+CSMS: " + service + ",1,1,1|OK", true
				case strings.HasPrefix(cmd, "+CNMI=") && service == "0" && !strings.Contains(cmd, ",1,0,0,"):
					return "+CMS ERROR: 303", true
				case strings.HasPrefix(cmd, "+CNMI="):
					return "OK", true
				}
				return "", false
			}
			withCabinet(t, c, func(l *lifeOf) {
				l.ready()
				require.Equal(l.t, want, l.m.Snapshot().ReportsBy)
				require.Equal(l.t, want, min(c.count("AT+CSMS=1"), 1))
				c.report(l.t, 1)
				l.pass(time.Second)
				require.Len(l.t, l.box.kind(pdu.KindStatusReport), 1)
				require.Equal(l.t, want, c.count("AT+CNMA"), "never with AT+CSMS=0")
			})
		})
	}
}
