package tty

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// busy finds out who holds a device: by the lock file, the kernel's list of
// flocks, or who has it open.
func (s settings) busy(name, device string) *BusyError {
	if e := s.lockHolder(device); e != nil && e.PID != 0 {
		e.Name = name
		return e
	}
	pid := flocker(device)
	if pid == 0 {
		pid = opener(device)
	}
	return &BusyError{Name: name, PID: pid, Program: program(pid)}
}

// flocker is the process that has the device's flock; 0 when unknown.
// A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 708 00:16:5 0 EOF".
func flocker(device string) int {
	var st unix.Stat_t
	if unix.Stat(device, &st) != nil {
		return 0
	}
	file, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer file.Close()
	inode := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for scan := bufio.NewScanner(file); scan.Scan(); {
		f := strings.Fields(scan.Text())
		if len(f) >= 6 && f[1] == "FLOCK" && f[5] == inode {
			pid, _ := strconv.Atoi(f[4])
			return max(pid, 0) // -1: a process of another namespace
		}
	}
	return 0
}

// opener is a process other than ours that has the device open, of those whose
// descriptors we may see; 0 when there is none.
func opener(device string) int {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != device {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil && pid != os.Getpid() {
			return pid
		}
	}
	return 0
}

// program is a process's name; "" when unknown.
func program(pid int) string {
	if pid == 0 {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}
