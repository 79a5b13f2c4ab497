package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"recado/cmd/recado/console"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue/backup"
	"recado/queue/sqlite"
	"recado/queue/webhook"
)

// ward is what the doctor looks at in a program that has the data open: the daemon, or a
// subcommand beside no daemon.
type ward struct {
	pool *pool.Pool
	db   *sqlite.DB
	dir  dataDir
	book *logbook
	// named are the ports that an operator named.
	named []string
	tree  tty.Tree
	// usb and check are nil without a daemon; usb also without --discover.
	usb     *tty.Discovery
	check   *progress
	hooks   *webhook.Outbox
	started time.Time
	// keeper makes the automatic backups; nil without a daemon.
	keeper *backup.Keeper
}

// beside is what the pool's findings do not tell: of the program, the disk, the USB bus.
func (w *ward) beside(ctx context.Context) []pool.Finding {
	var list []pool.Finding
	if w.check != nil {
		if err := w.check.standing(); err != nil {
			list = append(list, pool.NewFinding("part_stalled", pool.FindingFail, pool.AboutProgram, "", map[string]string{"reason": oneLine(err)}))
		}
	}
	list = append(list, diskFindings(w.dir)...)
	list = append(list, storageFindings(w.db)...)
	list = append(list, permissionFindings(w.dir)...)
	list = append(list, w.webhookFindings(ctx)...)
	list = append(list, backupFindings(w.dir, w.keeper)...)
	switch {
	case w.usb != nil:
		list = append(list, rivalFindings(w.usb.Rivals())...)
		list = append(list, sightingFindings(w.usb.Sightings())...)
	case w.check != nil && len(w.named) > 0:
		list = append(list, rivalFindings(w.tree.Rivals())...)
		list = append(list, deviceFindings(w.tree)...)
	}
	return list
}

// sightingFindings are about the modems that the search sees and cannot use.
func sightingFindings(seen []tty.Sighting) []pool.Finding {
	var list []pool.Finding
	for _, s := range seen {
		if s.Trouble.None() {
			continue
		}
		facts := map[string]string{"path": s.Device.Path, "device": deviceName(s.Device)}
		subject, name := pool.AboutModem, "usb "+s.Device.Path
		if strings.HasPrefix(s.Trouble.Code, "port_") {
			subject, facts["port"] = pool.AboutPort, cmp.Or(s.Name, name)
		}
		list = append(list, troubleFinding(s.Trouble, subject, cmp.Or(s.Name, name), facts))
	}
	return list
}

// deviceFindings are about the USB devices that are modems and cannot be used as they are.
func deviceFindings(tree tty.Tree) []pool.Finding {
	devices, err := tree.USBDevices()
	if err != nil {
		return nil // a box without USB
	}
	var list []pool.Finding
	for _, d := range devices {
		if t := tty.Diagnose(d); !t.None() {
			list = append(list, troubleFinding(t, pool.AboutModem, "usb "+d.Path, map[string]string{"path": d.Path, "device": deviceName(d)}))
		}
	}
	return list
}

// report is the whole of it, in a language.
func (w *ward) report(ctx context.Context, language string, pid int) console.Report {
	about := "running"
	if strings.HasPrefix(language, console.Spanish) {
		about = "en marcha"
	}
	r := newReport(console.Answers, pid, "")
	if w.check == nil { // no daemon: this process looks at its data
		r.Running = console.Stopped
		addFindings(&r, language, []pool.Finding{pool.NewFinding("program_stopped", pool.FindingFail, pool.AboutProgram, "", nil)})
	} else {
		r.Blocks[0].About = fmt.Sprintf("%s, %s, PID %d", about, w.started.Local().Format(time.DateTime), pid)
	}
	names := map[string]string{}
	if sims, err := w.pool.SIMs(ctx); err == nil {
		for _, s := range sims {
			names[s.ICCID] = s.Name
		}
	}
	for _, m := range w.pool.Modems() {
		addBlock(&r, m.Port, aboutModem(m, names[m.SIM.ICCID]))
	}
	list := w.beside(ctx)
	for _, f := range w.pool.Findings(ctx) {
		if f.Code == "no_modem" && w.check == nil {
			continue // its modems are the daemon's
		}
		list = append(list, f)
	}
	addFindings(&r, language, list)
	r.Settle()
	return r
}

// getDoctor answers GET /control/doctor.
func (c *control) getDoctor(w http.ResponseWriter, r *http.Request) {
	info, err := c.info(r)
	if err != nil {
		answer(w, nil, err)
		return
	}
	answer(w, c.ward.report(r.Context(), cmp.Or(r.URL.Query().Get("lang"), console.English), info.PID), nil)
}

// getPapers answers GET /control/bundle.
func (c *control) getPapers(w http.ResponseWriter, r *http.Request) {
	answer(w, c.ward.papers(r.Context()), nil)
}
