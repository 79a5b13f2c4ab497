package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
)

// maxFiles stays under 1024: go.bug.st/serial waits with select(2) and panics on a higher
// descriptor.
const maxFiles = 1000

// memoryLimit is what the Go heap may use before the collector works harder. With SQLite's
// pages and the C library it keeps 16 modems under 64 MB.
const memoryLimit = 32 << 20

// limitProcess bounds open files and memory for a box the size of a Raspberry Pi.
func limitProcess() error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	// Go raises the soft limit to the hard one when it starts; this takes it back. Under a
	// unit with LimitNOFILE= there is nothing to do (and setrlimit is forbidden).
	if files.Cur > maxFiles {
		files.Cur = maxFiles
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			return fmt.Errorf("limit open files to %d: %w", maxFiles, err)
		}
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	return nil
}
