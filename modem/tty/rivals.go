package tty

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Rival is a running program that takes modems for itself.
type Rival struct {
	Program string // ModemManager, smsd, gammu-smsd
	PID     int    // 0 when only its service is seen
}

// String says what to do about it.
func (r Rival) String() string {
	service := map[string]string{"smsd": "smstools"}[r.Program]
	text := r.Program + " runs"
	if r.PID != 0 {
		text += fmt.Sprintf(" (process %d)", r.PID)
	}
	return text + " and may take the modems' ports: systemctl disable --now " + cmp.Or(service, r.Program)
}

// Rivals lists the programs that take modems for themselves: ModemManager,
// smstools' smsd, gammu-smsd. A sandbox may hide other people's processes; then
// systemd's control groups still show the services.
func (t Tree) Rivals() []Rival {
	var list []Rival
	seen := map[string]bool{}
	proc := cmp.Or(t.Proc, "/proc")
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm")) // the pattern is well formed
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		switch program := strings.TrimSpace(string(text)); program {
		case "ModemManager", "smsd", "gammu-smsd":
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err == nil && !seen[program] {
				seen[program] = true
				list = append(list, Rival{program, pid})
			}
		}
	}
	for _, unit := range []struct{ service, program string }{
		{"ModemManager", "ModemManager"}, {"smstools", "smsd"}, {"gammu-smsd", "gammu-smsd"},
	} {
		events, err := os.ReadFile(t.sys("fs/cgroup/system.slice", unit.service+".service", "cgroup.events"))
		if err == nil && !seen[unit.program] && strings.Contains(string(events), "populated 1") {
			list = append(list, Rival{Program: unit.program})
		}
	}
	return list
}
