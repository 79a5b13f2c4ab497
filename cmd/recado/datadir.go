package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"recado/webui"
)

// dataDir is the one folder an appliance keeps everything in.
type dataDir string

func (d dataDir) database() string { return filepath.Join(string(d), "recado.db") }
func (d dataDir) socket() string   { return filepath.Join(string(d), "recado.sock") }
func (d dataDir) lockFile() string { return filepath.Join(string(d), "recado.lock") }
func (d dataDir) ledger() string   { return filepath.Join(string(d), "emulated-ledger.jsonl") }

// create makes the folder, readable by its owner only.
func (d dataDir) create() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w: name one of yours with --data", err)
	}
	return nil
}

// becomeOwner gives root's rights up for those of the folder's owner: files that root made
// there would keep the daemon, which is not root, from its own data.
func (d dataDir) becomeOwner() error {
	uid, gid, needed, err := d.owner(os.Geteuid())
	if err != nil || !needed {
		return err
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(gid, gid, gid), syscall.Setresuid(uid, uid, uid)); err != nil {
		return fmt.Errorf("work on %s as its owner: %w", d, err)
	}
	return nil
}

// owner is who has the folder, and whether a process of euid needs to become them.
func (d dataDir) owner(euid int) (uid, gid int, needed bool, err error) {
	info, err := os.Stat(string(d))
	if err != nil {
		return 0, 0, false, fmt.Errorf("look at the data folder: %w", err)
	}
	state := info.Sys().(*syscall.Stat_t)
	return int(state.Uid), int(state.Gid), euid == 0 && state.Uid != 0, nil
}

// exists says whether an appliance has ever kept data here.
func (d dataDir) exists() bool {
	_, err := os.Stat(d.database())
	return err == nil || d.folder(nil).Unfinished()
}

// lockedError: another process has the folder.
type lockedError struct {
	dir dataDir
	// pid of the one that has it, 0 when the lock file does not say.
	pid int
}

func (e *lockedError) Error() string {
	who := "another recado"
	if e.pid > 0 {
		who = fmt.Sprintf("another recado (PID %d)", e.pid)
	}
	return fmt.Sprintf("%s works on %s: stop it, or name another folder with --data", who, e.dir)
}

// lock takes the folder for this process until the returned closer closes or the process
// ends, however it ends. The error is a *lockedError when somebody else has it.
func (d dataDir) lock() (io.Closer, error) {
	file, err := os.OpenFile(d.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", d.lockFile(), err)
		}
		text, _ := io.ReadAll(io.LimitReader(file, 20))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &lockedError{dir: d, pid: pid}
	}
	// The number is for people and for the message above; the lock itself is flock's.
	if err := errors.Join(file.Truncate(0), write(file, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", d.lockFile(), err), file.Close())
	}
	return file, nil
}

func write(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// room is the room that is left for the data.
func (d dataDir) room() (webui.Storage, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(string(d), &disk); err != nil {
		return webui.Storage{}, fmt.Errorf("ask for the room in %s: %w", d, err)
	}
	size := int64(disk.Bsize)
	room := webui.Storage{Free: int64(disk.Bavail) * size, Total: int64(disk.Blocks) * size}
	for _, suffix := range []string{"", "-wal"} {
		if file, err := os.Stat(d.database() + suffix); err == nil {
			room.Database += file.Size()
		}
	}
	return room, nil
}
