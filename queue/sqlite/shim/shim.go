// Package shim is for tests: it stands between SQLite and the C library in a
// process that a test starts, records what is written to the database's files,
// and makes those calls fail or wait. See shim.c for how it is told what to do.
package shim

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

//go:embed shim.c
var source []byte

// Build compiles the shim with gcc into dir and gives the path of the library.
func Build(dir string) (string, error) {
	c, so := filepath.Join(dir, "shim.c"), filepath.Join(dir, "shim.so")
	if err := os.WriteFile(c, source, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", so, c, "-lpthread").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the shim (it needs gcc): %w: %s", err, out)
	}
	return so, nil
}

// markFD is the descriptor under which a shimmed process finds its log.
const markFD = 200

// Env is what to add to the environment of a process that is to run with the
// library: it records into log and reads its faults from the file fault; ""
// leaves the one or the other out.
func Env(library, log, fault string) []string {
	return []string{"LD_PRELOAD=" + library, "SHIM_LOG=" + log, "SHIM_FAULT=" + fault, "SHIM_MARK=" + strconv.Itoa(markFD)}
}

// Kinds of records.
const (
	Write    = 'W'
	Truncate = 'T'
	Sync     = 'S'
	Unlink   = 'U'
	Marker   = 'M'
)

// Record is one call, or a marker.
type Record struct {
	Kind byte
	// File is the base name of the file.
	File string
	// Errno is 0 when the call went well.
	Errno syscall.Errno
	// At is where a Write began, or the new size of a Truncate.
	At int64
	// Data was written, or is the marker.
	Data []byte
}

const magic, headerSize = "SHIM", 24

func (r Record) bytes() []byte {
	b := make([]byte, headerSize, headerSize+len(r.File)+len(r.Data))
	copy(b, magic)
	b[4] = r.Kind
	binary.LittleEndian.PutUint16(b[6:], uint16(len(r.File)))
	binary.LittleEndian.PutUint32(b[8:], uint32(r.Errno))
	binary.LittleEndian.PutUint32(b[12:], uint32(len(r.Data)))
	binary.LittleEndian.PutUint64(b[16:], uint64(r.At))
	return append(append(b, r.File...), r.Data...)
}

// Mark puts a marker into the log of this process, after all that has been
// recorded until now. It errs in a process that does not run with a log.
func Mark(data []byte) error {
	if os.Getenv("SHIM_LOG") == "" {
		return errors.New("this process has no shim that records")
	}
	_, err := syscall.Write(markFD, Record{Kind: Marker, Data: data}.bytes())
	return err
}

// Read gives the records of a log to each, in order. A record that the end of
// the process cut short ends the log without an error.
func Read(log io.Reader, each func(Record) error) error {
	for head := make([]byte, headerSize); ; {
		if _, err := io.ReadFull(log, head); err != nil {
			return end(err)
		}
		if !bytes.HasPrefix(head, []byte(magic)) {
			return errors.New("this is no log of the shim")
		}
		r := Record{Kind: head[4], Errno: syscall.Errno(binary.LittleEndian.Uint32(head[8:])), At: int64(binary.LittleEndian.Uint64(head[16:]))}
		rest := make([]byte, int(binary.LittleEndian.Uint16(head[6:]))+int(binary.LittleEndian.Uint32(head[12:])))
		if _, err := io.ReadFull(log, rest); err != nil {
			return end(err)
		}
		name := len(rest) - int(binary.LittleEndian.Uint32(head[12:]))
		r.File, r.Data = string(rest[:name]), rest[name:]
		if err := each(r); err != nil {
			return err
		}
	}
}

func end(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// Calls that a Fault is for.
const (
	OnWrite    = "write"
	OnSync     = "sync"
	OnTruncate = "truncate"
)

// Fault says what is to go wrong; write its String to the file given to Env.
type Fault struct {
	// Call is one of OnWrite, OnSync, OnTruncate.
	Call string
	// Errno is EIO, ENOSPC or EROFS; 0 waits DelayMS and lets the call happen.
	Errno   syscall.Errno
	DelayMS int
	// Skip calls go well first, then Times fail; -1 is all that follow.
	Skip, Times int
	// File is how the path of the file ends; "" is all of the database's.
	File string
}

func (f Fault) String() string {
	what := strconv.Itoa(f.DelayMS)
	for errno, name := range map[syscall.Errno]string{syscall.EIO: "EIO", syscall.ENOSPC: "ENOSPC", syscall.EROFS: "EROFS"} {
		if f.Errno == errno {
			what = name
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %d %d %s", f.Call, what, f.Skip, f.Times, f.File)) + "\n"
}

// Set makes f the fault that the file fault names, whole or not at all.
func (f Fault) Set(fault string) error {
	if err := os.WriteFile(fault+".new", []byte(f.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(fault+".new", fault)
}
