package tty

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func requireBusy(t *testing.T, err error, name string, pid int, program string) {
	t.Helper()
	require.ErrorIs(t, err, ErrBusy)
	var busy *BusyError
	require.ErrorAs(t, err, &busy)
	require.Equal(t, BusyError{Name: name, PID: pid, Program: program}, *busy)
}

// §1.5: TIOCEXCL does not stop root, and tells nobody who holds the port.
func TestLock_AnotherProcessHoldsThePort(t *testing.T) {
	_, path := newPTY(t)
	s := testSettings(t)
	pid, release := hold(t, path, s.lockDir)
	_, err := s.open(t.Context(), path)
	requireBusy(t, err, path, pid, ourName())
	require.ErrorContains(t, err, fmt.Sprintf("in use by %s (process %d)", ourName(), pid))

	// With another lock folder only the kernel's flock is left to tell.
	_, err = testSettings(t).open(t.Context(), path)
	requireBusy(t, err, path, pid, ourName())

	release()
	port, err := s.open(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, port.Close())
	require.Empty(t, lockFiles(t, s.lockDir))
}

func TestLock_TwiceInOneProcess(t *testing.T) {
	_, path := newPTY(t)
	s := testSettings(t)
	port, err := s.open(t.Context(), path)
	require.NoError(t, err)
	_, err = s.open(t.Context(), path)
	requireBusy(t, err, path, os.Getpid(), ourName())
	require.Equal(t, []string{lockName(path)}, lockFiles(t, s.lockDir), "the refused open must leave the lock alone")
	require.NoError(t, port.Close())
	require.Empty(t, lockFiles(t, s.lockDir))
}

// gammu and smsd know only the lock file.
func TestLock_AForeignLockFile(t *testing.T) {
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	pid := other.Process.Pid
	binaryPID := binary.NativeEndian.AppendUint32(nil, uint32(pid))
	_, path := newPTY(t)
	for _, content := range []string{
		fmt.Sprintf("%10d\n", pid), fmt.Sprintf("%d", pid), fmt.Sprintf("%10d smsd root\n", pid), string(binaryPID),
	} {
		s := testSettings(t)
		file := filepath.Join(s.lockDir, lockName(path))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
		_, err := s.open(t.Context(), path)
		requireBusy(t, err, path, pid, "sleep")
		require.FileExists(t, file)
	}
	require.NoError(t, other.Process.Kill())
	other.Wait()

	s := testSettings(t)
	file := filepath.Join(s.lockDir, lockName(path))
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "%10d\n", pid), 0o644))
	port, err := s.open(t.Context(), path)
	require.NoError(t, err, "its process is dead: the lock is stale")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), lockPID(content))
	name, err := port.LockFile()
	require.NoError(t, err)
	require.Equal(t, file, name)
	require.NoError(t, port.Close())
}

func TestLock_StaleFilesAreReplaced(t *testing.T) {
	_, path := newPTY(t)
	for _, content := range []string{fmt.Sprintf("%10d\n", os.Getpid()), "", "garbage\n", "-5\n", "99999999999999\n"} {
		s := testSettings(t)
		file := filepath.Join(s.lockDir, lockName(path))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
		old := time.Now().Add(-time.Minute)
		require.NoError(t, os.Chtimes(file, old, old))
		port, err := s.open(t.Context(), path)
		require.NoError(t, err, "%q", content)
		require.NoError(t, port.Close())
		require.Empty(t, lockFiles(t, s.lockDir), "%q", content)
	}
}

func TestLock_AFileBeingWrittenIsRespected(t *testing.T) {
	_, path := newPTY(t)
	s := testSettings(t)
	require.NoError(t, os.WriteFile(filepath.Join(s.lockDir, lockName(path)), nil, 0o644))
	_, err := s.open(t.Context(), path)
	requireBusy(t, err, path, 0, "")
}

// Without a folder for lock files, flock alone guards, and the port says so.
func TestLock_NoFolderForLockFiles(t *testing.T) {
	_, path := newPTY(t)
	s := testSettings(t)
	s.lockDir = filepath.Join(s.lockDir, "none")
	port, err := s.open(t.Context(), path)
	require.NoError(t, err)
	name, err := port.LockFile()
	require.Empty(t, name)
	require.ErrorContains(t, err, "lock file")
	_, err = s.open(t.Context(), path)
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, port.Close())
}

// After a crash of ours nobody but root could open the pty again, had we left
// TIOCEXCL on it: the flag stays as long as the master lives.
func TestLock_APTYIsNotLeftExclusive(t *testing.T) {
	_, path := newPTY(t)
	port, err := testSettings(t).open(t.Context(), path)
	require.NoError(t, err)
	defer port.Close()
	exclusive, err := unix.IoctlGetInt(descriptorOf(t, path), unix.TIOCGEXCL)
	require.NoError(t, err)
	require.Zero(t, exclusive)
}

func TestHolder_WhoHasItOpen(t *testing.T) {
	master, slave, err := pty.Open()
	require.NoError(t, err)
	defer master.Close()
	defer slave.Close()
	require.Zero(t, opener(slave.Name()), "our own descriptors do not count")
	other := exec.Command("sleep", "60")
	other.Stdin = slave
	require.NoError(t, other.Start())
	require.Equal(t, other.Process.Pid, opener(slave.Name()))
	require.NoError(t, other.Process.Kill())
	other.Wait()
	require.Equal(t, "somebody is in use by another program", (&BusyError{Name: "somebody"}).Error())
}

func FuzzLockPID(f *testing.F) {
	for _, s := range []string{"      1234\n", "1234", "", "\x01\x02\x03\x04", "1 2 3", "-1", "0", "99999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if pid := lockPID(content); pid < 0 {
			t.Fatalf("%q gives %d: kill(2) would take it for a group", content, pid)
		}
	})
}
