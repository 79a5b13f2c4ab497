package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue/clock"
)

func TestWhatIsKnownOfNTP(t *testing.T) {
	file := func(mark int64, set bool) func() (int64, bool) { return func() (int64, bool) { return mark, set } }
	kernel := func(yes bool) func() bool { return func() bool { return yes } }
	require.Equal(t, clock.Sync{}, ntpState(file(0, false), kernel(false)))
	require.Equal(t, clock.Sync{Synchronised: true, Bound: true}, ntpState(file(0, false), kernel(true)), "another daemon than systemd's")
	require.Equal(t, clock.Sync{Synchronised: true, Mark: 7}, ntpState(file(7, true), kernel(false)), "the kernel may not be asked, or somebody set the clock since")
	require.Equal(t, clock.Sync{Synchronised: true, Mark: 7, Bound: true}, ntpState(file(7, true), kernel(true)))
}

func TestTheBoxHasAClock(t *testing.T) {
	require.Positive(t, sinceBoot())
	before := sinceBoot()
	require.GreaterOrEqual(t, sinceBoot(), before)
	t.Setenv("RECADO_BOOT_ID", "0123-45")
	require.Equal(t, "012345", bootID())
	c := newClock(true)
	require.True(t, c.Trusted())
	require.Equal(t, clock.SourceFlag, c.Status().Source)
	require.WithinDuration(t, time.Now(), c.Now(), time.Second)
}

// The real program without NTP, its clock a month behind that of the network: it
// does what is to be done at once, and the rest when the network has told the
// time.
func TestTheNetworksTimeIsEnough(t *testing.T) {
	t.Parallel()
	network := emulator.NewNetwork(emulator.NetworkOptions{Latency: 10 * time.Millisecond})
	m := network.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
	m.Inject(emulator.Fault{Kind: emulator.FaultClockUnset})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.ServeListener(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-served, context.Canceled)
		require.NoError(t, network.Close())
	})

	data := dataFolder(t)
	begin := func(args ...string) *appliance {
		all := append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--country", "ES"}, args...)
		d := &appliance{process: launch(t, all...), data: data}
		d.url = d.says(`(?m)^Open (http://127\.0\.0\.1:\d+)/$`)
		d.says(`msg=ready`)
		return d
	}
	d := begin("--ignore-ntp", "--modem", "tcp:"+l.Addr().String())
	d.key = strings.TrimSpace(done(t, "key", "create", "--name", "test", "--scope", "admin", "--data", data))
	trusted := func() bool {
		var status struct {
			Clock struct {
				Trusted bool `json:"trusted"`
			} `json:"clock"`
		}
		require.Equal(t, http.StatusOK, d.ask("GET", "/api/v1/status", nil, &status))
		return status.Clock.Trusted
	}
	d.lines(1)
	require.False(t, trusted())
	leaves := func(id string) {
		eventually(t, func() bool { return strings.Contains("sent delivered", d.message(id).State) }, "sent")
	}
	leaves(d.send("+34600111222", "at once"))

	const month = 30 * 24 * time.Hour
	var out posted
	at := time.Now().Add(month + 20*time.Second).UTC()
	require.Equal(t, http.StatusAccepted, d.ask("POST", "/api/v1/messages",
		map[string]any{"to": "+34600111222", "text": "in a month", "send_at": at.Format(time.RFC3339)}, &out))
	id := out.Messages[0].ID
	require.Equal(t, "scheduled", d.message(id).State)

	// The modem is asked for its clock before the network tells the time, and at
	// once when it does.
	eventually(t, m.ReportsTime, "AT+CTZR")
	require.False(t, trusted(), "a clock of 2004 is nobody's")
	m.Inject(emulator.Fault{Kind: emulator.FaultNetworkTime, Delay: month})
	eventually(t, trusted, "trust")
	d.says(`the clock is trusted.*source=nitz offset=(719|720)h`)
	require.Equal(t, "scheduled", d.message(id).State, "its time has not come")
	leaves(id)
	require.False(t, time.Now().Add(month).Before(at.Truncate(time.Second).Add(-time.Second)))

	// The trust outlives a restart of the program, which hears nothing new.
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(45*time.Second))
	key := d.key
	d = begin("--ignore-ntp")
	d.key = key
	require.True(t, trusted())
}
