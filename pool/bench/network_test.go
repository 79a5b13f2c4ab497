package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// site is where one driver works: emulated modems on pseudo-terminals, served by a
// process of their own, and a folder.
type site struct {
	folder   string
	ports    []string
	latency  time.Duration
	messages int // to be queued before the driver starts
	timings  *timings
}

// newSite starts the modems of the figures.
func newSite(b *testing.B, modems int, latency time.Duration) *site {
	b.Helper()
	s := &site{folder: b.TempDir(), latency: latency}
	dir, file := filepath.Join(s.folder, "ports"), filepath.Join(s.folder, "timings.jsonl")
	command := exec.Command(recado(b), "emulate", "--modems", fmt.Sprint(modems), "--dir", dir, "--timings", file,
		"--latency", latency.String(), "--command-latency", "10ms", "--baud", "115200")
	out, err := command.StdoutPipe()
	require.NoError(b, err)
	start(b, command)
	for lines := bufio.NewScanner(out); ; {
		require.True(b, lines.Scan(), "the emulated modems did not become ready")
		if lines.Text() == "ready" {
			break
		}
	}
	for i := range modems {
		s.ports = append(s.ports, filepath.Join(dir, fmt.Sprintf("modem%d", i)))
	}
	s.timings = &timings{name: file}
	return s
}

// start starts a program in a session of its own, and ends that with the benchmark.
func start(b *testing.B, command *exec.Cmd) {
	b.Helper()
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(b, command.Start())
	b.Cleanup(func() { stop(command) })
}

// stop ends what start started, with all that belongs to its session.
func stop(command *exec.Cmd) {
	if command.ProcessState != nil {
		return
	}
	all := session(command.Process.Pid)
	_ = command.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = command.Wait()
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		_ = command.Process.Kill()
		<-done
	}
	for _, pid := range all {
		if pid != command.Process.Pid && inSession(pid, command.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// timings reads the emulated modems' file as it grows.
type timings struct {
	name string
	read int64
	rest []byte
	all  []emulator.Timing
}

// more takes what has been written since.
func (t *timings) more(b *testing.B) {
	b.Helper()
	file, err := os.Open(t.name)
	require.NoError(b, err)
	defer file.Close()
	_, err = file.Seek(t.read, io.SeekStart)
	require.NoError(b, err)
	fresh, err := io.ReadAll(file)
	require.NoError(b, err)
	t.read += int64(len(fresh))
	t.rest = append(t.rest, fresh...)
	for {
		line, after, whole := bytes.Cut(t.rest, []byte("\n"))
		if !whole {
			return
		}
		var x emulator.Timing
		require.NoError(b, json.Unmarshal(line, &x))
		t.all = append(t.all, x)
		t.rest = after
	}
}

// busyModems is how many modems have answered something.
func (t *timings) busyModems() int {
	seen := map[string]bool{}
	for _, x := range t.all {
		seen[x.Modem] = true
	}
	return len(seen)
}
