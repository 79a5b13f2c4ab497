package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// backupFile is a file that a backup is written to. Under its name there is never anything
// but a whole backup, or what was there before.
type backupFile struct {
	*os.File        // the part that is written
	name     string // its name at the end
	force    bool   // another file of that name goes
}

// kindOf says what a file is that is no regular one, "" for a regular one.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	}
	return "a device"
}

// backupTarget is the name that a backup takes at its end: name itself, or, when that is a
// link to a file, the file. It errs unless it is free, or force is given for a regular file
// that lies outside the data folder.
func backupTarget(name string, dir dataDir, force bool) (string, error) {
	refuse := func(format string, a ...any) (string, error) {
		return "", fmt.Errorf("write the backup: "+format, a...)
	}
	link, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return name, nil
	}
	if err != nil {
		return refuse("%w", err)
	}
	if link.Mode()&fs.ModeSymlink != 0 {
		behind, err := filepath.EvalSymlinks(name)
		if errors.Is(err, fs.ErrNotExist) {
			return refuse("%s is a link to what is not there: remove it, or name another file", name)
		}
		if err != nil {
			return refuse("%w", err)
		}
		name = behind
	}
	info, err := os.Stat(name)
	if err != nil {
		return refuse("%w", err)
	}
	switch kind := kindOf(info.Mode()); {
	case kind == "a folder":
		return refuse("%s is a folder, not a file: name a file in it, such as %s", name, filepath.Join(name, "recado.age"))
	case kind != "":
		return refuse("%s is %s, not a file: name a file, or - for standard output", name, kind)
	case !force:
		return refuse("%s is there already: name another file, or replace it with --force", name)
	}
	data, err := os.Stat(string(dir))
	if err == nil {
		if around, err := os.Stat(filepath.Dir(name)); err == nil && os.SameFile(data, around) {
			return refuse("%s lies in the data folder, where nothing is replaced: name a file elsewhere", name)
		}
	}
	return name, nil
}

// openBackupFile opens the part of a file that backupTarget has named.
func openBackupFile(name string, force bool) (*backupFile, error) {
	part := name + ".part"
	if info, err := os.Lstat(part); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("write the backup: %s is %s, not a file: move it away", part, kindOf(info.Mode()))
	}
	// What an interrupted one left is written over.
	file, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	f := &backupFile{File: file, name: name, force: force}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("write the backup: somebody else writes %s just now: wait for it, or name another file", part), file.Close())
	}
	if err := f.still(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Truncate(0), file.Chmod(0o600)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the backup: %w", err), f.drop())
	}
	return f, nil
}

// still says that the part is the file of that name yet: another one may have been done with
// it in the moment before the lock.
func (f *backupFile) still() error {
	mine, err := f.Stat()
	if err == nil {
		var named os.FileInfo
		if named, err = os.Lstat(f.Name()); err == nil && mine.Mode().IsRegular() && os.SameFile(mine, named) {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("write the backup: %s was taken away meanwhile: try again", f.Name()), err)
}

// drop takes the part away.
func (f *backupFile) drop() error { return errors.Join(os.Remove(f.Name()), f.Close()) }

// keep gives what was written its name.
func (f *backupFile) keep() error {
	err := f.still()
	if err == nil {
		err = f.rename()
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("write the backup: %s is there by now: name another file, or replace it with --force", f.name)
	}
	if err != nil {
		return errors.Join(err, f.drop())
	}
	if err := errors.Join(f.Close(), syncFolder(filepath.Dir(f.name))); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func (f *backupFile) rename() error {
	if f.force {
		return os.Rename(f.Name(), f.name)
	}
	err := unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, f.name, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// A file system that cannot do it at once, such as one over the network.
	if _, err := os.Lstat(f.name); err == nil {
		return fs.ErrExist
	}
	return os.Rename(f.Name(), f.name)
}
