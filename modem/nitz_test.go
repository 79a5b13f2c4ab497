package modem

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// timeBox is a box that is told the time, too.
type timeBox struct {
	*box
	mu    sync.Mutex
	times []NetworkTime
}

func (b *timeBox) Time(t NetworkTime) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.times = append(b.times, t)
}

func (b *timeBox) last() (n int, t NetworkTime) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n = len(b.times); n > 0 {
		t = b.times[n-1]
	}
	return n, t
}

// A modem's clock counts as the network's only after the network has told the
// time, and only when the modem sets its clock by that.
func TestNetworkTime(t *testing.T) {
	tb := &timeBox{}
	live(t, emulator.ModemOptions{}, func(c *Config) {
		tb.box = c.Sink.(*box)
		c.Sink = tb
	}, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultClockUnset, Text: "02/01/01,00:00:00+00"})
		l.ready()
		l.until("the first reading", time.Minute, func() bool { n, _ := tb.last(); return n > 0 })
		_, got := tb.last()
		require.False(t, got.FromNetwork, "nobody has told it the time")
		require.True(t, got.Zoned)
		require.Equal(t, 2002, got.Time.Year())
		require.Equal(t, l.m.Snapshot().ID, got.Modem)

		// The network says so: asked at once, and it is the network's.
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNetworkTime, Delay: 24 * time.Hour})
		n, _ := tb.last()
		l.until("the network's time", 5*time.Second, func() bool { m, _ := tb.last(); return m > n })
		_, got = tb.last()
		require.True(t, got.FromNetwork)
		require.WithinDuration(t, time.Now().Add(24*time.Hour), got.Time, 2*time.Second)

		// Later readings are the modem's own clock.
		n, _ = tb.last()
		l.until("the next reading", clockEvery+time.Minute, func() bool { m, _ := tb.last(); return m > n })
		_, got = tb.last()
		require.False(t, got.FromNetwork)

		// One that refuses AT+CTZU may run by what it was given at the factory.
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CTZU", Count: -1})
		l.em.Reboot()
		l.ready()
		n, _ = tb.last()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultNetworkTime})
		l.until("a reading", time.Minute, func() bool { m, _ := tb.last(); return m > n })
		l.pass(2 * time.Second)
		_, got = tb.last()
		require.False(t, got.FromNetwork)
	})
}

// One that has no clock is left alone after a few questions.
func TestNoModemClock(t *testing.T) {
	tb := &timeBox{}
	live(t, emulator.ModemOptions{}, func(c *Config) {
		tb.box = c.Sink.(*box)
		c.Sink = tb
	}, func(l *lifeOf) {
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CCLK", Count: -1})
		l.ready()
		asked := 0
		for range 12 { // the trace is not long
			before := l.wrote("AT+CCLK?")
			l.pass(clockEvery / 2)
			asked += max(0, l.wrote("AT+CCLK?")-before)
		}
		require.Equal(t, clockTries, asked)
		n, _ := tb.last()
		require.Zero(t, n)
	})
}

// Who does not care about the time is not asked for it: nothing is set.
func TestNobodyAsksForTheTime(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.pass(clockEvery + time.Minute)
		require.Zero(t, l.wrote("AT+CCLK")+l.wrote("AT+CTZ"))
	})
}

var _ TimeSink = (*timeBox)(nil)

func TestParseClock(t *testing.T) {
	utc := func(y int, m time.Month, d, hh, mm, ss int) time.Time {
		return time.Date(y, m, d, hh, mm, ss, 0, time.UTC)
	}
	for _, c := range []struct {
		text  string
		want  time.Time
		zoned bool
	}{
		{`"26/11/22,22:14:03+04"`, utc(2026, 11, 22, 21, 14, 3), true}, // Madrid, winter
		{`"26/07/01,00:30:00+08"`, utc(2026, 6, 30, 22, 30, 0), true},  // Madrid, summer
		{`"26/11/22,09:14:03-32"`, utc(2026, 11, 22, 17, 14, 3), true},
		{`"26/11/22,22:14:03+00"`, utc(2026, 11, 22, 22, 14, 3), true},
		{`26/11/22,22:14:03+22`, utc(2026, 11, 22, 16, 44, 3), true}, // India, unquoted
		{`"2026/11/22,22:14:03+4"`, utc(2026, 11, 22, 21, 14, 3), true},
		{`"26/11/22,22:14:03"`, utc(2026, 11, 22, 22, 14, 3), false},
		{`"26/11/22, 22:14:03"`, utc(2026, 11, 22, 22, 14, 3), false},
		{`"80/01/06,00:00:08+00"`, utc(2080, 1, 6, 0, 0, 8), true},
		{`"04/01/01,00:00:08+00"`, utc(2004, 1, 1, 0, 0, 8), true},
	} {
		got, zoned, ok := parseClock(c.text)
		require.True(t, ok, c.text)
		require.Equal(t, c.want, got, c.text)
		require.Equal(t, c.zoned, zoned, c.text)
	}
	for _, bad := range []string{"", `""`, `"26/11/22"`, `"26/13/22,22:14:03+04"`, `"26/02/30,22:14:03+04"`, `"26/11/22,24:14:03+04"`,
		`"26/11/22,22:14:03+97"`, `"26/11/22,22:14:03+x"`, `"26/11/22,22:14"`, `"a/b/c,d:e:f"`, `"26/11/22,22:14:03+04,1"`, `"-6/11/22,22:14:03"`} {
		_, _, ok := parseClock(bad)
		require.False(t, ok, bad)
	}
}

func FuzzParseClock(f *testing.F) {
	for _, s := range []string{`"26/11/22,22:14:03+04"`, `"80/01/06,00:00:08+00"`, `26/11/22,22:14:03`, `"26/11/22,22:14:03-48"`, `,`, `"//,::+"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, zoned, ok := parseClock(s)
		if !ok {
			require.True(t, got.IsZero())
			return
		}
		require.False(t, got.Year() < -1 || got.Year() > 10000)
		if zoned {
			return
		}
		// What it says is what it was given.
		again, _, ok := parseClock(got.Format("2006/01/02,15:04:05"))
		require.True(t, ok || got.Year() < 1000)
		if ok && got.Year() >= 100 {
			require.Equal(t, got, again)
		}
	})
}
