//go:build peers

package peers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// limit is how long one program may take for all that it has to do.
const limit = 90 * time.Second

// programs and the Debian packages they are in.
var programs = map[string]string{
	"gammu": "gammu", "smsd": "smstools", "bearerbox": "kannel", "smsbox": "kannel",
}

func TestMain(m *testing.M) {
	// Daemons are in sbin, which is not in everybody's path.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		panic(err)
	}
	var missing []string
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil && !slices.Contains(missing, pkg) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		fmt.Fprintln(os.Stderr, "missing Debian packages: apt-get install", strings.Join(missing, " "))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// emulate runs one emulated modem on a pseudo-terminal and a TCP port.
func emulate(t *testing.T, ctx context.Context, family string) (*emulator.Network, emulator.Port) {
	t.Helper()
	type up struct {
		n *emulator.Network
		p emulator.Port
	}
	ready := make(chan up, 1)
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		failed <- emulator.Emulate(ctx, emulator.EmulateOptions{
			Modems: 1, Dir: t.TempDir(), TCP: "127.0.0.1:0", Families: []string{family},
			Network: emulator.NetworkOptions{
				Latency: 20 * time.Millisecond, CommandLatency: time.Millisecond, Baud: 115200,
				ReportDelay: 50 * time.Millisecond,
			},
			Ready: func(n *emulator.Network, p []emulator.Port) { ready <- up{n, p[0]} },
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-failed)
	})
	select {
	case u := <-ready:
		return u.n, u.p
	case err := <-failed:
		failed <- nil
		require.NoError(t, err)
		panic("unreachable")
	}
}

// entries are the ledger's of a type.
func entries(n *emulator.Network, typ emulator.EntryType) []emulator.Entry {
	return slices.DeleteFunc(n.Ledger(), func(e emulator.Entry) bool { return e.Type != typ })
}

// texts joins the accepted segments of each recipient.
func texts(n *emulator.Network) map[string]string {
	out := make(map[string]string)
	for _, e := range entries(n, emulator.EntrySubmit) {
		if e.Accepted {
			out[e.DA] += e.Text
		}
	}
	return out
}

// daemon starts a program that runs until the test's end, and ends it by its
// own process id then. Its output is shown when the test failed.
func daemon(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(3 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
	return cmd
}

// within waits for something that another process does.
func within(t *testing.T, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, limit, 50*time.Millisecond, what)
}

// freePort is a TCP port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// showOnFailure logs a file when the test failed.
func showOnFailure(t *testing.T, path string) {
	t.Cleanup(func() {
		if t.Failed() {
			b, _ := os.ReadFile(path)
			t.Logf("%s:\n%s", path, b)
		}
	})
}
