package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"recado/cmd/recado/console"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue/sqlite"
)

const (
	// diskFull and diskLow in bytes: what SQLite needs to go on, and when to worry.
	diskFull, diskLow = 50 << 20, 500 << 20
	// checkLimit is for the look at the database.
	checkLimit = 4 * time.Second
)

// diskFindings are about the room for the data.
func diskFindings(dir dataDir) []pool.Finding {
	room, err := dir.room()
	if err != nil {
		return nil // the folder's own finding says why
	}
	facts := map[string]string{"free": fmt.Sprint(room.Free >> 20)}
	switch {
	case room.Free < diskFull:
		return []pool.Finding{pool.NewFinding("disk_full", pool.FindingFail, pool.AboutBox, "", facts)}
	case room.Free < diskLow:
		return []pool.Finding{pool.NewFinding("disk_low", pool.FindingWarn, pool.AboutBox, "", facts)}
	}
	return nil
}

// permissionFindings are about files that others can read.
func permissionFindings(dir dataDir) []pool.Finding {
	var list []pool.Finding
	for file, wanted := range map[string]string{
		string(dir): "700", dir.database(): "600", dir.database() + "-wal": "600", dir.socket(): "600", dir.secretFile(): "600",
	} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm()&0o077 == 0 {
			continue
		}
		list = append(list, pool.NewFinding("data_permissions", pool.FindingWarn, pool.AboutBox, file,
			map[string]string{"file": file, "mode": fmt.Sprintf("%o", info.Mode().Perm()), "wanted": wanted}))
	}
	return list
}

// look is the doctor without a daemon that answers: what can be seen from outside, without
// disturbing a modem.
type look struct {
	dir      dataDir
	named    []string
	tree     tty.Tree
	language string
	trust    bool // --trust-clock
	running  string
	pid      int // of the daemon that has the folder; 0 unknown
}

// report looks at everything but the database, which checkData does.
func (l look) report() console.Report {
	r := newReport(l.running, l.pid, "")
	var list []pool.Finding
	program := func(code, severity string, facts map[string]string) {
		list = append(list, pool.NewFinding(code, severity, pool.AboutProgram, "", facts))
	}
	switch l.running {
	case console.Stopped:
		program("program_stopped", pool.FindingFail, nil)
	case console.Closed:
		program("program_closed", pool.FindingFail, nil)
	case console.Silent:
		facts := map[string]string{}
		if l.pid > 0 {
			facts["pid"] = fmt.Sprint(l.pid)
		}
		program("program_wedged", pool.FindingFail, facts)
	}
	if _, err := os.Stat(string(l.dir)); errors.Is(err, fs.ErrNotExist) {
		program("data_missing", pool.FindingFail, map[string]string{"folder": string(l.dir)})
	} else if _, err := os.ReadDir(string(l.dir)); err != nil {
		program("data_closed", pool.FindingFail, map[string]string{"folder": string(l.dir), "reason": oneLine(err)})
	} else if l.running == console.Stopped && !l.dir.exists() {
		program("data_missing", pool.FindingFail, map[string]string{"folder": string(l.dir)})
	}
	list = append(list, diskFindings(l.dir)...)
	list = append(list, permissionFindings(l.dir)...)
	list = append(list, backupFindings(l.dir, nil)...)
	if !newClock(l.trust).Trusted() {
		list = append(list, pool.NewFinding("clock_untrusted", pool.FindingWarn, pool.AboutBox, "", nil))
	}
	list = append(list, rivalFindings(l.tree.Rivals())...)
	for _, name := range l.named {
		addBlock(&r, name, "")
		if t := l.tree.Inspect(name, portRules()); !t.None() && !l.ours(t) {
			list = append(list, troubleFinding(t, pool.AboutPort, name, map[string]string{"port": name}))
		}
	}
	surveyed, err := l.tree.Survey(portRules())
	if err != nil {
		program("part_stalled", pool.FindingWarn, map[string]string{"reason": oneLine(err)})
	}
	for _, s := range surveyed {
		list = append(list, l.device(&r, s)...)
	}
	if l.running == console.Stopped && len(l.named) == 0 && len(surveyed) == 0 {
		program("no_modem", pool.FindingWarn, nil)
	}
	addFindings(&r, l.language, list)
	r.Settle()
	return r
}

// device adds the block of a USB device, and says what is wrong with it.
func (l look) device(r *console.Report, s tty.Surveyed) []pool.Finding {
	about := []string{deviceName(s.Device)}
	var list []pool.Finding
	if !s.Trouble.None() {
		list = append(list, troubleFinding(s.Trouble, pool.AboutModem, "usb "+s.Device.Path,
			map[string]string{"path": s.Device.Path, "device": deviceName(s.Device)}))
	}
	told := map[string]bool{}
	for _, p := range s.Ports {
		if p.Role == "" || p.Role == tty.RoleAT {
			about = append(about, strings.TrimSpace(p.Name+" "+p.Device+" "+p.Role))
		}
		// One word for all ports of a device, and none on those that are not for AT.
		if p.Role != "" && p.Role != tty.RoleAT || p.Trouble.None() || l.ours(p.Trouble) || told[p.Trouble.Code] ||
			slices.Contains(l.named, p.Device) || slices.Contains(l.named, p.Name) {
			continue
		}
		told[p.Trouble.Code] = true
		list = append(list, troubleFinding(p.Trouble, pool.AboutPort, p.Name,
			map[string]string{"port": p.Device, "path": s.Device.Path, "device": deviceName(s.Device)}))
	}
	addBlock(r, "usb "+s.Device.Path, strings.Join(about, ", "))
	return list
}

// ours says that it is the daemon itself that has a port.
func (l look) ours(t tty.Trouble) bool {
	return t.Code == tty.CodeBusy && l.pid > 0 && strings.Contains(t.Says, fmt.Sprintf("process %d", l.pid))
}

// checkData looks into the database of a folder that no daemon has, as the folder's owner:
// from then on this process has no more rights than they have.
func (l look) checkData(ctx context.Context, r *console.Report) (figures sqlite.Figures) {
	if l.running != console.Stopped || !l.dir.exists() {
		return figures
	}
	fail := func(code, severity, reason string) {
		addFindings(r, l.language, []pool.Finding{pool.NewFinding(code, severity, pool.AboutProgram, "",
			map[string]string{"folder": string(l.dir), "reason": reason})})
		r.Settle()
	}
	if err := l.dir.becomeOwner(); err != nil {
		fail("data_closed", pool.FindingFail, oneLine(err))
		return figures
	}
	lock, err := l.dir.lock()
	if err != nil {
		fail("data_closed", pool.FindingFail, oneLine(err))
		return figures
	}
	defer lock.Close()
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	figures, err = sqlite.Check(limited, l.dir.database())
	switch {
	case err == nil:
	case errors.Is(err, sqlite.ErrDamaged):
		fail("database_broken", pool.FindingFail, oneLine(err))
	case limited.Err() != nil:
		fail("database_unchecked", pool.FindingInfo, "it took too long")
	default:
		fail("data_closed", pool.FindingFail, oneLine(err))
	}
	return figures
}
