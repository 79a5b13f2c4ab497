package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// process is a recado that runs until it ends or is ended.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
	mu      sync.Mutex
	said    bytes.Buffer
	more    chan struct{}
}

func launch(t testing.TB, environment []string, args ...string) *process {
	t.Helper()
	p := &process{command: exec.Command(recado, args...), ended: make(chan struct{}), more: make(chan struct{}, 1)}
	p.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC"}, environment...)
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	p.command.Stdout, p.command.Stderr = writer, writer
	require.NoError(t, p.command.Start())
	require.NoError(t, writer.Close())
	go func() {
		defer close(p.ended)
		defer reader.Close()
		for lines := bufio.NewReader(reader); ; {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.said.WriteString(line)
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
			if err != nil {
				break
			}
		}
		_ = p.command.Wait() // how it ended is read from ProcessState
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// says waits for a line; false when the process ended without it.
func (p *process) says(t testing.TB, pattern string) (string, bool) {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.After(time.Minute)
	for {
		ended := p.over()
		if m := expression.FindStringSubmatch(p.output()); m != nil {
			return m[len(m)-1], true
		}
		if ended {
			return "", false
		}
		select {
		case <-p.more:
		case <-p.ended:
		case <-deadline:
			require.FailNow(t, "it did not say "+pattern, p.output())
		}
	}
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// kill is SIGKILL, and its end.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// killed says that SIGKILL ended it.
func (p *process) killed() bool {
	s, ok := p.command.ProcessState.Sys().(syscall.WaitStatus)
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
	require.True(t, ready, b.network.output())
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
	if b.daemon != nil {
		require.True(b.t, b.daemon.over(), "one daemon at a time")
	}
	args := append([]string{"serve", "--data", b.data(), "--listen", b.listen, "--trust-clock", "--open-limits"}, b.ports...)
	began := time.Now()
	b.daemon = launch(b.t, append(environment, "RECADO_FAILPOINTS="+points), args...)
	b.starts++
	_, ready := b.daemon.says(b.t, `msg=ready`)
	if !ready {
		b.ended()
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
	<-b.daemon.ended
	_, _ = fmt.Fprintf(&b.said, "--- daemon %d\n%s", b.starts, b.daemon.output())
	require.NotContains(b.t, b.daemon.output(), "DATA RACE")
	require.True(b.t, b.daemon.killed(), "the daemon ended otherwise than by SIGKILL:\n%s", tail(b.daemon.output(), 8000))
}

// stop ends the daemon in order.
func (b *box) stop() {
	b.t.Helper()
	require.NoError(b.t, b.daemon.command.Process.Signal(syscall.SIGTERM))
	select {
	case <-b.daemon.ended:
	case <-time.After(time.Minute):
		require.FailNow(b.t, "the daemon does not stop", b.daemon.output())
	}
	_, _ = fmt.Fprintf(&b.said, "--- daemon %d\n%s", b.starts, b.daemon.output())
	require.Zero(b.t, b.daemon.command.ProcessState.ExitCode(), b.daemon.output())
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
