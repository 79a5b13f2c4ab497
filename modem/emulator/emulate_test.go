package emulator

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// running starts Emulate; the test's end stops it.
func running(t *testing.T, o EmulateOptions) (*Network, []Port) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	var n *Network
	var ports []Port
	ready := make(chan struct{})
	o.Ready = func(net *Network, p []Port) {
		n, ports = net, p
		close(ready)
	}
	go func() { failed <- Emulate(ctx, o) }()
	select {
	case <-ready:
	case err := <-failed:
		cancel()
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-failed)
	})
	return n, ports
}

// ask writes a line and reads up to OK.
func ask(t *testing.T, rw io.ReadWriter, line string) string {
	t.Helper()
	_, err := rw.Write([]byte(line + "\r"))
	require.NoError(t, err)
	var got strings.Builder
	r := bufio.NewReader(rw)
	for !strings.HasSuffix(got.String(), "OK\r\n") {
		s, err := r.ReadString('\n')
		require.NoError(t, err, got.String())
		got.WriteString(s)
	}
	return got.String()
}

func terminalFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	require.NoError(t, f.SetDeadline(time.Now().Add(10*time.Second)))
	return f
}

func TestEmulateOnTerminalsAndTCP(t *testing.T) {
	dir := t.TempDir()
	var ledger bytes.Buffer
	n, ports := running(t, EmulateOptions{
		Modems: 2, Dir: dir, TCP: "127.0.0.1:0", Families: []string{"generic", "quectel"},
		Network: NetworkOptions{Ledger: &ledger},
	})
	require.Len(t, ports, 2)
	require.Equal(t, filepath.Join(dir, "modem1"), ports[1].Path)

	tty := terminalFile(t, ports[0].Path)
	require.Equal(t, "AT\r\r\nOK\r\n", ask(t, tty, "AT"))
	require.Contains(t, ask(t, tty, "ATE0"), "OK")

	conn, err := net.Dial("tcp", ports[1].Addr)
	require.NoError(t, err)
	require.Contains(t, ask(t, conn, "AT+CGMI"), "Quectel")
	// A second connection takes the place of the first.
	second, err := net.Dial("tcp", ports[1].Addr)
	require.NoError(t, err)
	_, err = io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, ask(t, second, "AT+CSQ"), "+CSQ")
	require.NoError(t, second.Close())
	require.NoError(t, conn.Close())

	require.NoError(t, n.Inbound(ports[0].Modem.ICCID(), "+34600222333", "hola"))
	require.Contains(t, ask(t, tty, "AT+CMGF=0;+CMGL=4"), "+CMGL: 1,0,,23")
	require.NoError(t, tty.Close())

	// Another program opens the terminal after the first.
	tty = terminalFile(t, ports[0].Path)
	require.Contains(t, ask(t, tty, "AT"), "OK")
	require.NoError(t, tty.Close())
}

func TestUnpluggedTerminalIsGoneAndComesBack(t *testing.T) {
	n, ports := running(t, EmulateOptions{Modems: 1, Dir: t.TempDir()})
	m := n.Modems()[0]
	tty := terminalFile(t, ports[0].Path)
	require.Contains(t, ask(t, tty, "AT"), "OK")
	m.Unplug()
	_, err := tty.Read(make([]byte, 16))
	require.Error(t, err)
	require.NoError(t, tty.Close())
	require.Eventually(t, func() bool {
		_, err := os.Lstat(ports[0].Path)
		return os.IsNotExist(err)
	}, 5*time.Second, 5*time.Millisecond)
	m.Replug()
	require.Eventually(t, func() bool {
		_, err := os.Stat(ports[0].Path)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	tty = terminalFile(t, ports[0].Path)
	require.Contains(t, ask(t, tty, "AT"), "OK")
	require.NoError(t, tty.Close())
}

// A killed program leaves the terminal in exclusive use; on a serial line that
// ends with it.
func TestExclusiveUseEndsWithItsProgram(t *testing.T) {
	_, ports := running(t, EmulateOptions{Modems: 1, Dir: t.TempDir()})
	tty := terminalFile(t, ports[0].Path)
	raw, err := tty.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCEXCL, 0)
		require.Zero(t, errno)
	}))
	exclusive := func(f *os.File) int {
		var v int
		raw, err := f.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			v, err = unix.IoctlGetInt(int(fd), unix.TIOCGEXCL)
		}))
		require.NoError(t, err)
		return v
	}
	require.Equal(t, 1, exclusive(tty))
	require.NoError(t, tty.Close())
	// Who may pass by the flag (root) can look at it; everyone else can open.
	require.Eventually(t, func() bool {
		f, err := os.OpenFile(ports[0].Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			return false
		}
		defer func() { _ = f.Close() }()
		return exclusive(f) == 0
	}, 5*time.Second, 10*time.Millisecond)
}

func TestEmulateRefusesBadOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "modem0")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, o := range map[string]EmulateOptions{
		"no modem":      {Dir: t.TempDir()},
		"nowhere":       {Modems: 1},
		"no address":    {Modems: 1, TCP: "nonsense"},
		"no port":       {Modems: 2, TCP: "127.0.0.1:65535"},
		"a file there":  {Modems: 1, Dir: filepath.Dir(file)},
		"dir is a file": {Modems: 1, Dir: file},
	} {
		require.Error(t, Emulate(t.Context(), o), name)
	}
	_, err := os.Stat(file)
	require.NoError(t, err, "what was there stays")
}
