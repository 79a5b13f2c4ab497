package tty

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

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
func opener(device string) int { return Tree{}.openers(map[string]bool{device: true})[device] }

// openers remembers for a moment who has which device open: to look through all
// processes costs tens of milliseconds, and many ports are asked again together.
type openers struct {
	mu  sync.Mutex
	at  time.Time
	all map[string]int
}

// openersFor is how long an answer of openers is good for.
const openersFor = 5 * time.Second

// by is a process other than ours that has, or a moment ago had, the device open;
// 0 when there is none.
func (o *openers) by(device string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || time.Since(o.at) > openersFor {
		o.at, o.all = time.Now(), Tree{}.openers(nil)
	}
	return o.all[device]
}

// openers are processes other than ours that have any of these devices open, by
// device; of those whose descriptors we may see. nil: any device at all.
func (t Tree) openers(devices map[string]bool) map[string]int {
	found := map[string]int{}
	wanted := func(target string) bool {
		if devices == nil {
			return strings.HasPrefix(target, "/dev/")
		}
		return devices[target]
	}
	links, _ := filepath.Glob(filepath.Join(cmp.Or(t.Proc, "/proc"), "[0-9]*", "fd", "*")) // well formed
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !wanted(target) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err == nil && pid != os.Getpid() {
			found[target] = pid
		}
	}
	return found
}

// program is a process's name; "" when unknown.
func program(pid int) string { return Tree{}.program(pid) }

func (t Tree) program(pid int) string {
	if pid == 0 {
		return ""
	}
	name, err := os.ReadFile(filepath.Join(cmp.Or(t.Proc, "/proc"), strconv.Itoa(pid), "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}
