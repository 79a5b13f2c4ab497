package tty

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

func TestOpen_OctetsPassUnchangedBothWays(t *testing.T) {
	modem, path := newPTY(t)
	port, err := testSettings(t).open(t.Context(), path)
	require.NoError(t, err)
	defer port.Close()

	every := make([]byte, 256) // raw: no octet may mean anything to the line
	for i := range every {
		every[i] = byte(i)
	}
	_, err = port.Write(every)
	require.NoError(t, err)
	got := make([]byte, 256)
	_, err = io.ReadFull(modem, got)
	require.NoError(t, err)
	require.Equal(t, every, got)

	_, err = modem.Write(every)
	require.NoError(t, err)
	_, err = io.ReadFull(port, got)
	require.NoError(t, err)
	require.Equal(t, every, got)
}

func TestOpen_FollowsALink(t *testing.T) {
	_, path := newPTY(t)
	link := filepath.Join(t.TempDir(), "modem0")
	require.NoError(t, os.Symlink(path, link))
	s := testSettings(t)
	port, err := s.open(t.Context(), link)
	require.NoError(t, err)
	require.Equal(t, []string{lockName(path)}, lockFiles(t, s.lockDir))
	require.NoError(t, port.Close())
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		name string
		want error
		says string
	}{
		{"/dev/ttyUSB-none", ErrAbsent, "plugged in"},
		{file, ErrNotTTY, "no device"},
		{"/dev/null", ErrNotTTY, "belongs to mem"},
		{t.TempDir(), ErrNotTTY, "no device"},
		{file + "/x", ErrAbsent, "not a directory"},
		{"ttyUSB2", ErrName, "/dev/ttyUSB2"},
		{"emulated:1", ErrName, "tcp:HOST:PORT"},
		{"", ErrName, "give a path"},
	} {
		_, err := Open(t.Context(), c.name)
		require.ErrorIs(t, err, c.want, c.name)
		require.ErrorContains(t, err, c.says, c.name)
	}
}

func TestOpen_NoPermissionNamesTheGroup(t *testing.T) {
	_, path := newPTY(t)
	require.NoError(t, os.Chown(path, 0, 20))
	require.NoError(t, os.Chmod(path, 0o660))
	s := testSettings(t)
	done := make(chan error)
	go func() {
		// Only this thread becomes nobody for the file system; it ends with the
		// goroutine, because it stays locked.
		runtime.LockOSThread()
		if err := unix.Setfsgid(65534); err != nil {
			done <- err
			return
		}
		if err := unix.Setfsuid(65534); err != nil {
			done <- err
			return
		}
		_, err := s.openSerial(path)
		done <- err
	}()
	err := <-done
	require.ErrorIs(t, err, ErrPermission)
	require.ErrorContains(t, err, "group dialout")
}

func TestOpen_GivesUpWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, path := newPTY(t)
	s := testSettings(t)
	_, err := s.open(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	port, err := s.open(t.Context(), path)
	require.NoError(t, err, "it was not touched")
	require.NoError(t, port.Close())
}

// §1.5: a hang-up is not io.EOF with the library, and must end the port.
func TestPort_HangUpIsGone(t *testing.T) {
	modem, path := newPTY(t)
	port, err := testSettings(t).open(t.Context(), path)
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		_, err := port.Read(make([]byte, 16))
		read <- err
	}()
	require.NoError(t, modem.Close())
	require.ErrorIs(t, <-read, ErrGone)
	_, err = port.Write([]byte("AT\r"))
	require.ErrorIs(t, err, ErrGone)
	require.NoError(t, port.Close())
}

func TestPort_CloseWakesTheReader(t *testing.T) {
	_, path := newPTY(t)
	port, err := testSettings(t).open(t.Context(), path)
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		_, err := port.Read(make([]byte, 16))
		read <- err
	}()
	require.NoError(t, port.Close())
	require.ErrorIs(t, <-read, ErrGone)
	require.NoError(t, port.Close(), "a second Close is harmless")
}

// §1.5, F7: a modem that takes nothing blocks the library's write for ever, also
// after Close. Here the watchdog ends the port, and no thread stays behind (the
// leak check of this package would find it).
func TestPort_AWriteThatBlocksEndsThePort(t *testing.T) {
	_, path := newPTY(t)
	s := testSettings(t)
	s.writeTimeout = 200 * time.Millisecond
	port, err := s.open(t.Context(), path)
	require.NoError(t, err)
	read := make(chan error)
	go func() {
		_, err := port.Read(make([]byte, 16))
		read <- err
	}()
	n := 0
	for err == nil { // nobody reads the other end: the kernel's buffer fills up
		n++
		require.Less(t, n, 1000)
		_, err = port.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, "took no octet")
	require.ErrorIs(t, <-read, ErrGone, "the reader is told too")
	require.NoError(t, port.Close())
}

// §1.5: with the library a write after Close goes into whatever has the
// descriptor's number now. The first half shows the fault, the second its guard.
func TestPort_AWriteAfterCloseReachesNoReusedDescriptor(t *testing.T) {
	reuse := func(close func() error) (victim *os.File) {
		// Find the number that Close frees, and give it to a file.
		require.NoError(t, close())
		victim, err := os.Create(filepath.Join(t.TempDir(), "victim"))
		require.NoError(t, err)
		t.Cleanup(func() { victim.Close() })
		return victim
	}
	content := func(victim *os.File) string {
		b, err := os.ReadFile(victim.Name())
		require.NoError(t, err)
		return string(b)
	}

	_, path := newPTY(t)
	bare, err := serial.Open(path, &serial.Mode{BaudRate: 115200})
	require.NoError(t, err)
	fd := descriptorOf(t, path)
	victim := reuse(bare.Close)
	require.Equal(t, fd, int(victim.Fd()), "the number was not reused, the test proves nothing")
	bare.Write([]byte("AT+CMGS=20\r"))
	require.Equal(t, "AT+CMGS=20\r", content(victim), "the library's fault is gone?")

	_, path = newPTY(t)
	port, err := testSettings(t).open(t.Context(), path)
	require.NoError(t, err)
	fd = descriptorOf(t, path)
	victim = reuse(port.Close)
	require.Equal(t, fd, int(victim.Fd()), "the number was not reused, the test proves nothing")
	_, err = port.Write([]byte("AT+CMGS=20\r"))
	require.ErrorIs(t, err, ErrGone)
	require.Empty(t, content(victim))
}

func descriptorOf(t *testing.T, path string) int {
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, e := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target == path {
			var fd int
			_, err := fmt.Sscan(e.Name(), &fd)
			require.NoError(t, err)
			return fd
		}
	}
	require.Fail(t, "no descriptor is open on "+path)
	return -1
}

// §1.5: the library opens without O_CLOEXEC, so that children inherit the modem
// (and a pipe). Children are forked here while ports are opened and closed.
func TestPort_ChildrenInheritNothing(t *testing.T) {
	modem, path := newPTY(t)
	fcntl := func(f *os.File) { unix.CloseOnExec(int(f.Fd())) }
	fcntl(modem)
	before, err := exec.Command("ls", "/proc/self/fd").Output()
	require.NoError(t, err)
	s := testSettings(t)
	stop := make(chan struct{})
	var opener sync.WaitGroup
	opener.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			port, err := s.open(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			port.Close()
		}
	})
	port, err := s.open(t.Context(), secondPTY(t))
	require.NoError(t, err)
	defer port.Close()
	for range 40 {
		out, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
		require.NoError(t, err)
		require.NotContains(t, string(out), "/dev/pts/")
		after, err := exec.Command("ls", "/proc/self/fd").Output()
		require.NoError(t, err)
		require.Equal(t, len(strings.Fields(string(before))), len(strings.Fields(string(after))), string(after))
	}
	close(stop)
	opener.Wait()
}

func secondPTY(t *testing.T) string {
	modem, path := newPTY(t)
	unix.CloseOnExec(int(modem.Fd()))
	return path
}

// §1.5: the library's select panics from descriptor 1024 on. Ours goes through
// the poller, so that a box with many connections can still reopen a modem.
func TestPort_DescriptorsAbove1024(t *testing.T) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for {
		f, err := os.Open("/dev/null")
		require.NoError(t, err)
		files = append(files, f)
		if f.Fd() > 1030 {
			break
		}
	}
	modem, path := newPTY(t)
	port, err := testSettings(t).open(t.Context(), path)
	require.NoError(t, err)
	defer port.Close()
	require.Greater(t, descriptorOf(t, path), 1024)
	_, err = modem.WriteString("RDY")
	require.NoError(t, err)
	got := make([]byte, 3)
	_, err = io.ReadFull(port, got)
	require.NoError(t, err)
	require.Equal(t, "RDY", string(got))
}

// What the modem said while no program listened may come once only: the answer
// that an earlier run is owed, or a report.
func TestOpen_KeepsOldInput(t *testing.T) {
	modem, slave, err := pty.Open()
	require.NoError(t, err)
	defer modem.Close()
	defer slave.Close() // keeps the old input in the line
	before, err := testSettings(t).open(t.Context(), slave.Name())
	require.NoError(t, err)
	require.NoError(t, before.Close())
	_, err = modem.WriteString("+CMGS: 7\r\n")
	require.NoError(t, err)
	port, err := testSettings(t).open(t.Context(), slave.Name())
	require.NoError(t, err)
	defer port.Close()
	_, err = modem.WriteString("new")
	require.NoError(t, err)
	got := make([]byte, len("+CMGS: 7\r\nnew"))
	_, err = io.ReadFull(port, got)
	require.NoError(t, err)
	require.Equal(t, "+CMGS: 7\r\nnew", string(got))
}
