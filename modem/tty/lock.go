package tty

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockFile is a UUCP lock file (HDB format, as the Filesystem Hierarchy
// Standard 5.9 lays down), which gammu, smsd, minicom and picocom look at.
type lockFile struct{ path string }

// lockPath is where a device's lock file is: LCK..ttyUSB2, LCK..pts_3.
func (s settings) lockPath(device string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(device, "/dev/"), "/", "_")
	return filepath.Join(s.lockDir, "LCK.."+name)
}

// lockHolder says which other living process has the lock file, nil when none.
func (s settings) lockHolder(device string) *BusyError {
	path := s.lockPath(device)
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		return &BusyError{Name: device} // somebody's, and we cannot ask whose
	}
	if err != nil {
		return nil
	}
	pid := lockPID(content)
	if pid == 0 {
		// Empty: being written right now, or left by a crash in that moment.
		if time.Since(info.ModTime()) < 5*time.Second {
			return &BusyError{Name: device}
		}
		return nil
	}
	// Our own number is a file of an earlier run that had it: a second open in
	// this process fails on the flock.
	if pid == os.Getpid() || errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return nil
	}
	return &BusyError{Name: device, PID: pid, Program: program(pid)}
}

// lockPID reads the process number from a lock file: decimal text, perhaps with
// more words after it, or four binary octets as old programs write it.
func lockPID(content []byte) int {
	if fields := bytes.Fields(content); len(fields) > 0 {
		if pid, err := strconv.ParseUint(string(fields[0]), 10, 31); err == nil {
			return int(pid)
		}
	}
	if len(content) == 4 {
		if pid := int32(binary.NativeEndian.Uint32(content)); pid > 0 {
			return int(pid)
		}
	}
	return 0
}

// lockDevice makes the lock file, over a stale one if need be. A *BusyError
// says that another program was faster; any other error that no lock file can
// be made here, and that flock alone must do. The caller holds the flock.
func (s settings) lockDevice(device string) (*lockFile, error) {
	path := s.lockPath(device)
	// Written apart and linked in place: nobody ever reads a half-written one.
	temp, err := os.CreateTemp(s.lockDir, "LTMP..recado.*")
	if err != nil {
		return nil, fmt.Errorf("make a lock file: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = fmt.Fprintf(temp, "%10d recado\n", os.Getpid())
	if err = errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return nil, fmt.Errorf("write a lock file: %w", err)
	}
	for range 3 {
		err = os.Link(temp.Name(), path)
		if err == nil {
			return &lockFile{path: path}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make the lock file %s: %w", path, err)
		}
		if busy := s.lockHolder(device); busy != nil {
			return nil, busy
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the stale lock file: %w", err)
		}
	}
	return nil, fmt.Errorf("make the lock file %s: %w", path, err)
}

// release removes the lock file if it is still ours.
func (l *lockFile) release() error {
	content, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && lockPID(content) != os.Getpid() {
		return nil
	}
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the lock file: %w", err)
	}
	return nil
}
