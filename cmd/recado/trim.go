package main

import (
	"bufio"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trimAfter is when the modems have long come up, and what that took is not needed
// any more.
const trimAfter = 15 * time.Second

// trim gives back to the system what only the start has needed: garbage, and the
// pages of the program's own file, which are read again where they are used.
func trim() {
	debug.FreeOSMemory()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		return // it is a kindness only
	}
	defer file.Close()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	type mapping struct{ from, to uintptr }
	var all []mapping
	var last *mapping // one of ours that nothing has been changed in, as far as is known
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 2 && strings.Contains(fields[0], "-"):
			last = nil
			// Never what can be written, or was before it was made read-only.
			if len(fields) < 6 || fields[5] != self || fields[1] != "r--p" && fields[1] != "r-xp" {
				continue
			}
			from, to, _ := strings.Cut(fields[0], "-")
			last = &mapping{hexadecimal(from), hexadecimal(to)}
		case last != nil && len(fields) >= 2 && fields[0] == "Anonymous:":
			if fields[1] == "0" && last.from != 0 && last.to > last.from {
				all = append(all, *last)
			}
			last = nil
		}
	}
	for _, m := range all {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// hexadecimal reads an address; 0 when it is none.
func hexadecimal(text string) (n uintptr) {
	for _, c := range []byte(text) {
		i := strings.IndexByte("0123456789abcdef", c)
		if i < 0 {
			return 0
		}
		n = n<<4 | uintptr(i)
	}
	return n
}
