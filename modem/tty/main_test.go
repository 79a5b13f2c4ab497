package tty

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The test binary is also the other process: it opens the port named in
// RECADO_TTY_HOLD and keeps it until its standard input ends.
func TestMain(m *testing.M) {
	if name := os.Getenv("RECADO_TTY_HOLD"); name != "" {
		s := settings{lockDir: os.Getenv("RECADO_TTY_LOCKS"), writeTimeout: writeTimeout}
		port, err := s.open(context.Background(), name)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin)
		port.Close()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// newPTY gives a pty: the modem's end and the path to open.
func newPTY(t *testing.T) (modem *os.File, path string) {
	t.Helper()
	master, slave, err := pty.Open()
	require.NoError(t, err)
	path = slave.Name()
	require.NoError(t, slave.Close())
	t.Cleanup(func() { master.Close() })
	return master, path
}

func testSettings(t *testing.T) settings {
	return settings{lockDir: t.TempDir(), writeTimeout: writeTimeout}
}

// hold makes another process hold the port, until release.
func hold(t *testing.T, path, locks string) (pid int, release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RECADO_TTY_HOLD="+path, "RECADO_TTY_LOCKS="+locks)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", said)
	return cmd.Process.Pid, func() {
		stdin.Close()
		require.NoError(t, cmd.Wait())
	}
}

// ourName is this program's name as /proc gives it.
func ourName() string {
	name := filepath.Base(os.Args[0])
	return name[:min(len(name), 15)]
}

func lockFiles(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func lockName(path string) string {
	return "LCK.." + strings.ReplaceAll(strings.TrimPrefix(path, "/dev/"), "/", "_")
}
