package proof

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/cmd/recado/internal/child"
	"recado/modem/emulator"
)

// process is a recado that runs until it ends or is ended.
type process struct{ *child.Process }

func launch(t testing.TB, environment []string, args ...string) *process {
	t.Helper()
	command := exec.Command(recado, args...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC"}, environment...)
	return &process{child.Start(t, command)}
}

// says waits for a line; false when the process ended without it.
func (p *process) says(t testing.TB, pattern string) (string, bool) {
	t.Helper()
	said, ok := p.Says(pattern, 2*time.Minute)
	require.True(t, ok || p.Over(), "it did not say %s:\n%s", pattern, p.Output())
	return said, ok
}

// killed says that SIGKILL ended it.
func (p *process) killed() bool {
	s, ok := p.Command.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

// box is a data folder with its modems and whichever daemon has it.
type box struct {
	t       *testing.T
	folder  string
	network *process
	modems  int
	ports   []string
	listen  string
	key     string
	daemon  *process
	said    strings.Builder // by all daemons
	starts  int
	slowest time.Duration // from start to ready
	history *history
}

// newBox has that many modems on TCP, or on pseudo-terminals.
func newBox(t *testing.T, modems int, terminals bool, latency time.Duration) *box {
	t.Helper()
	b := &box{t: t, folder: t.TempDir(), modems: modems, history: newHistory()}
	b.network = launch(t, nil, "emulate", "--modems", fmt.Sprint(modems), "--dir", filepath.Join(b.folder, "ports"), "--tcp", "127.0.0.1:0",
		"--latency", latency.String(), "--ledger", b.ledgerFile())
	_, ready := b.network.says(t, "(?m)^ready$")
	require.True(t, ready, b.network.Output())
	for i := range modems {
		where, _ := b.network.says(t, fmt.Sprintf(`(?m)^modem%d \S+ (\S+ \S+)$`, i))
		pty, tcp, _ := strings.Cut(where, " ")
		b.ports = append(b.ports, "--modem", map[bool]string{true: pty, false: tcp}[terminals])
	}
	// One address for all daemons of this folder, as clients know it.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.listen = l.Addr().String()
	require.NoError(t, l.Close())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemons said:\n%s", tail(b.said.String(), 20000))
		}
	})
	return b
}

func tail(text string, most int) string { return text[max(len(text)-most, 0):] }

func (b *box) ledgerFile() string { return filepath.Join(b.folder, "ledger.jsonl") }
func (b *box) data() string       { return filepath.Join(b.folder, "data") }

// start starts a daemon with failpoints; false when it ended before it was ready.
func (b *box) start(points string, environment ...string) bool {
	b.t.Helper()
	up := b.up(append(environment, "RECADO_FAILPOINTS="+points)...)
	if !up {
		b.ended()
	}
	return up
}

// up starts a daemon and says whether it became ready, however it ended otherwise.
func (b *box) up(environment ...string) bool {
	b.t.Helper()
	if b.daemon != nil {
		require.True(b.t, b.daemon.Over(), "one daemon at a time")
	}
	args := append([]string{"serve", "--data", b.data(), "--listen", b.listen, "--trust-clock", "--open-limits"}, b.ports...)
	began := time.Now()
	b.daemon = launch(b.t, environment, args...)
	b.starts++
	if _, ready := b.daemon.says(b.t, `msg=ready`); !ready {
		return false
	}
	b.slowest = max(b.slowest, time.Since(began))
	if b.key == "" {
		out, err := exec.Command(recado, "key", "create", "--name", "proof", "--scope", "admin", "--data", b.data()).Output()
		require.NoError(b.t, err)
		b.key = strings.TrimSpace(string(out))
	}
	return true
}

// ended notes what the daemon said; SIGKILL must have ended it.
func (b *box) ended() {
	b.t.Helper()
	b.note()
	require.True(b.t, b.daemon.killed(), "the daemon ended otherwise than by SIGKILL:\n%s", tail(b.daemon.Output(), 8000))
}

// note keeps what the daemon said in its life, which ends or has ended.
func (b *box) note() {
	b.t.Helper()
	select {
	case <-b.daemon.Ended:
	case <-time.After(time.Minute):
		require.FailNow(b.t, "the daemon does not end", tail(b.daemon.Output(), 8000))
	}
	_, _ = fmt.Fprintf(&b.said, "--- daemon %d\n%s", b.starts, b.daemon.Output())
	require.NotContains(b.t, b.daemon.Output(), "DATA RACE")
	require.NotContains(b.t, b.daemon.Output(), "panic")
}

// stop ends the daemon in order.
func (b *box) stop() {
	b.t.Helper()
	require.NoError(b.t, b.daemon.Command.Process.Signal(syscall.SIGTERM))
	b.note()
	require.Zero(b.t, b.daemon.Command.ProcessState.ExitCode(), tail(b.daemon.Output(), 8000))
}

// ledger reads what the network knows.
func (b *box) ledger() (entries []emulator.Entry) {
	b.t.Helper()
	text, err := os.ReadFile(b.ledgerFile())
	require.NoError(b.t, err)
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		var e emulator.Entry
		require.NoError(b.t, json.Unmarshal([]byte(line), &e), line)
		entries = append(entries, e)
	}
	return entries
}
