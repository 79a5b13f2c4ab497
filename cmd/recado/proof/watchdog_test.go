package proof

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/failpoint"
)

// systemd is the socket of Type=notify, with all that was said to it.
func systemd(t *testing.T) (path string, said <-chan string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	lines := make(chan string, 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			for line := range strings.Lines(string(buf[:n])) {
				lines <- strings.TrimSpace(line)
			}
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, socket.Close())
		<-ended
	})
	return path, lines
}

// TestWatchdog (R16): when the writer or the dispatcher stands still, systemd is
// told within 30 s to start the program anew, and hears no ping from then on. A
// port that stands still holds nobody else up.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		points string
		dies   bool
	}{
		"writer":         {failpoint.GateBefore + "=delay:5m@3", true},
		"dispatcher":     {failpoint.DispatchRound + "=delay:5m@8", true},
		"keeper of time": {failpoint.TimeRound + "=delay:5m@8", true},
		"port":           {failpoint.CtrlZBefore + "=delay:5m@1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, said := systemd(t)
			b := newBox(t, 3, false, 100*time.Millisecond)
			require.True(t, b.start(c.points, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=9000000"))
			l := &load{b: b, classes: []string{"normal"}, pause: 500 * time.Millisecond}
			l.start(2)
			// One that is to go on has to do so for longer than systemd waits.
			patience := 40 * time.Second
			if c.dies {
				patience = 90 * time.Second
			}
			pings, limit := 0, time.After(patience)
			var last time.Time
			for trigger := false; !trigger; {
				select {
				case line := <-said:
					switch line {
					case "WATCHDOG=1":
						pings, last = pings+1, time.Now()
					case "WATCHDOG=trigger":
						trigger = true
					}
				case <-limit:
					require.False(t, c.dies, "systemd was not told")
					require.Less(t, time.Since(last), 10*time.Second, "the pings ended")
					require.Greater(t, len(b.ledger()), 20, "the other modems send")
					trigger = true
				}
			}
			if c.dies {
				require.Less(t, time.Since(last), 30*time.Second)
				select {
				case line := <-said:
					require.NotEqual(t, "WATCHDOG=1", line, "a ping after the trigger")
				case <-time.After(8 * time.Second):
				}
			}
			require.NotZero(t, pings, "it pinged while all was well")
			b.daemon.Kill()
			b.ended()
			l.end()
			// What comes after it goes on with what it finds.
			require.True(t, b.start(""))
			b.drain()
			b.holds(b.outcome())
		})
	}
}
