package tty

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// line is an open serial line with its locks.
type line struct {
	*os.File
	lock *lockFile // nil when none could be made
}

// Close removes the lock file, while the flock under which it was made still
// holds, then gives up the line. The locks are dropped by name: a child between
// fork and exec still has the descriptor, and would keep them for a moment.
func (l *line) Close() error {
	var err error
	if l.lock != nil {
		err = l.lock.release()
	}
	if raw, rawErr := l.SyscallConn(); rawErr == nil {
		raw.Control(func(fd uintptr) {
			// Of no use on a device that is gone; then close drops them.
			unix.IoctlSetInt(int(fd), unix.TIOCNXCL, 0)
			unix.Flock(int(fd), unix.LOCK_UN)
		})
	}
	return errors.Join(err, l.File.Close())
}

// openSerial locks first and only then touches the line, so that a port which
// another program uses is not disturbed.
func (s settings) openSerial(name string) (port *Port, err error) {
	fail := func(err error) (*Port, error) {
		return nil, fmt.Errorf("open port %s: %w", name, err)
	}
	device, err := filepath.EvalSymlinks(name)
	if err != nil {
		return fail(openError(name, err))
	}
	pty, err := checkDevice(device)
	if err != nil {
		return fail(err)
	}
	if busy := s.lockHolder(device); busy != nil {
		busy.Name = name
		return nil, busy
	}

	// Non-blocking, so that the poller drives it, and close-on-exec from birth.
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) { // TIOCEXCL of another program
		return nil, s.busy(name, device)
	}
	if err != nil {
		return fail(openError(device, err))
	}
	l := &line{File: os.NewFile(uintptr(fd), device)}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); errors.Is(err, unix.EIO) {
		// /dev/ttyS4 and the like exist without hardware behind them.
		return fail(fmt.Errorf("%w: no hardware behind %s", ErrAbsent, device))
	} else if err != nil {
		return fail(fmt.Errorf("%w: %s", ErrNotTTY, device))
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, s.busy(name, device)
	} else if err != nil {
		return fail(fmt.Errorf("lock: %w", err))
	}
	if !pty && exclusiveElsewhere(fd, device) {
		return nil, s.busy(name, device)
	}
	lock, lockErr := s.lockDevice(device)
	if busy, ok := errors.AsType[*BusyError](lockErr); ok {
		busy.Name = name
		return nil, busy
	}
	l.lock = lock
	if err := setLine(fd, device, pty); err != nil {
		return fail(err)
	}
	port = &Port{lockErr: lockErr}
	if lock != nil {
		port.lockFile = lock.path
	}
	port.ReadWriteCloser = Guard(l, GuardOptions{
		WriteTimeout: s.writeTimeout,
		Reset:        func() error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCOFLUSH) },
	})
	return port, nil
}

// checkDevice refuses what is no tty without opening it: opening some devices
// has effects (a watchdog starts). It says whether it is a pty's slave.
func checkDevice(device string) (pty bool, err error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return false, openError(device, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false, fmt.Errorf("%w: %s is no device; name a port such as /dev/ttyUSB2", ErrNotTTY, device)
	}
	major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
	if major >= 136 && major <= 143 { // Unix98 pty slaves, Documentation/admin-guide/devices.txt
		return true, nil
	}
	subsystem, err := os.Readlink(fmt.Sprintf("/sys/dev/char/%d:%d/subsystem", major, minor))
	if err == nil && filepath.Base(subsystem) != "tty" {
		return false, fmt.Errorf("%w: %s belongs to %s; name a port such as /dev/ttyUSB2",
			ErrNotTTY, device, filepath.Base(subsystem))
	}
	return false, nil
}

// setLine makes the line raw, 115200 8N1, no flow control. What the modem said
// before is not thrown away: it may be the answer that an earlier run of the
// program is owed, or a report that comes once only.
func setLine(fd int, device string, pty bool) error {
	// The library opens without O_CLOEXEC. No child may be forked while its
	// descriptor and its pipe are open.
	syscall.ForkLock.RLock()
	p, err := serial.Open(device, &serial.Mode{BaudRate: 115200, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if err == nil {
		err = p.Close()
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return fmt.Errorf("set the line of %s: %w", device, err)
	}
	// Exclusive keeps other users' programs off. Never on a pty: the flag stays
	// on the slave as long as the master lives, so that after a crash of ours
	// nobody but root could open it again.
	request := uint(unix.TIOCEXCL)
	if pty {
		request = unix.TIOCNXCL
	}
	if err := unix.IoctlSetInt(fd, request, 0); err != nil {
		return fmt.Errorf("set the line of %s: %w", device, err)
	}
	return nil
}

// exclusiveElsewhere says whether another process holds the line exclusively.
// Root's open succeeds in spite of TIOCEXCL, so it must look.
func exclusiveElsewhere(fd int, device string) bool {
	exclusive, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
	if err != nil || exclusive == 0 {
		return false
	}
	return opener(device) != 0
}

// openError says in plain words why a path could not be opened.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return fmt.Errorf("%w: %s is not there; is the modem plugged in?", ErrAbsent, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s", ErrPermission, groupHint(path))
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: %v", ErrAbsent, err)
	}
	return err
}

// groupHint names the group whose members may open the device.
func groupHint(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Sprintf("a folder of %s is closed to this user", path)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode().Perm()&0o060 != 0o060 {
		return fmt.Sprintf("%s has mode %o; its owner must allow it", path, info.Mode().Perm())
	}
	id := strconv.FormatUint(uint64(st.Gid), 10)
	name := id
	if g, err := user.LookupGroupId(id); err == nil {
		name = g.Name
	}
	return fmt.Sprintf("%s is for group %s; add this user to it", path, name)
}
