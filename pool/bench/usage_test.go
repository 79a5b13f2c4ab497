package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what processes have used: processor time so far, and the memory they have.
type usage struct {
	cpu      time.Duration
	rss, pss int64 // octets
}

// tick is the kernel's unit of processor time in /proc (USER_HZ).
const tick = 10 * time.Millisecond

// session is the processes of a session, whose leader is pid.
func session(pid int) (all []int) {
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		p, err := strconv.Atoi(filepath.Base(name))
		if err == nil && inSession(p, pid) {
			all = append(all, p)
		}
	}
	return all
}

// stat is the fields of /proc/PID/stat from the third on; nil when it has gone.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := bytes.LastIndexByte(text, ')')
	if err != nil || end < 0 {
		return nil
	}
	return strings.Fields(string(text[end+1:]))
}

func inSession(pid, leader int) bool {
	f := stat(pid)
	return len(f) > 3 && f[3] == strconv.Itoa(leader)
}

// used sums up the processes of these sessions. Memory is asked for only when wanted:
// the kernel takes its time over PSS.
func used(leaders []int, memory bool) (u usage) {
	for _, leader := range leaders {
		for _, pid := range session(leader) {
			f := stat(pid)
			if len(f) < 15 {
				continue
			}
			// utime and stime, and those of children that have ended and were waited for.
			for _, field := range f[11:15] {
				n, _ := strconv.ParseInt(field, 10, 64)
				u.cpu += time.Duration(n) * tick
			}
			if memory {
				rss, pss := memoryOf(pid)
				u.rss, u.pss = u.rss+rss, u.pss+pss
			}
		}
	}
	return u
}

func memoryOf(pid int) (rss, pss int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kB, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "Rss":
			rss = kB << 10
		case "Pss":
			pss = kB << 10
		}
	}
	return rss, pss
}
