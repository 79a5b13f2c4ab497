package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"recado/cmd/recado/console"
	"recado/modem"
	"recado/modem/tty"
	"recado/pool"
)

// programBlock is the name of the block for the program and the box.
const programBlock = "recado"

// newReport begins a report with the block of the program.
func newReport(running string, pid int, about string) console.Report {
	return console.Report{At: time.Now(), Version: versionText(), Host: hostname(), Running: running, PID: pid,
		Blocks: []console.Block{{Name: programBlock, About: about}}}
}

func hasBlock(r *console.Report, name string) bool {
	return slices.ContainsFunc(r.Blocks, func(b console.Block) bool { return b.Name == name })
}

// addBlock adds what was looked at, unless it is there already.
func addBlock(r *console.Report, name, about string) {
	for i := range r.Blocks {
		if r.Blocks[i].Name == name {
			r.Blocks[i].About = cmp.Or(r.Blocks[i].About, about)
			return
		}
	}
	r.Blocks = append(r.Blocks, console.Block{Name: name, About: about})
}

// addFindings puts findings to the block that they are about, in a language.
func addFindings(r *console.Report, language string, findings []pool.Finding) {
	for _, f := range findings {
		name := programBlock
		switch {
		case f.Facts["port"] != "" && (f.Facts["path"] == "" || hasBlock(r, f.Facts["port"])):
			name = f.Facts["port"]
		case f.Facts["path"] != "":
			name = "usb " + f.Facts["path"]
		}
		addBlock(r, name, f.Facts["device"])
		says, do := f.In(language)
		for i := range r.Blocks {
			if b := &r.Blocks[i]; b.Name == name {
				b.Findings = append(b.Findings, console.Finding{Code: f.Code, Severity: f.Severity, Subject: f.Subject, Name: f.Name,
					Says: says, Do: do, Facts: f.Facts})
			}
		}
	}
}

// aboutModem is what is known of a modem and its SIM, in one line.
func aboutModem(m modem.Snapshot, simName string) string {
	var parts []string
	add := func(format string, values ...any) { parts = append(parts, fmt.Sprintf(format, values...)) }
	if make := strings.TrimSpace(m.Manufacturer + " " + m.Model); make != "" {
		add("%s", make)
	}
	if m.ID != m.Port {
		add("%s", m.ID)
	}
	if sim := cmp.Or(simName, m.SIM.ICCID); sim != "" {
		add("SIM %s", sim)
	}
	if m.Operator != "" {
		add("%s", m.Operator)
	}
	if m.AccessTechnology != "" {
		add("%s", m.AccessTechnology)
	}
	if m.Signal.Known {
		add("%d dBm", m.Signal.RSSI)
	}
	add("%s", m.State)
	return strings.Join(parts, ", ")
}

// What is in the words of a tty.Trouble, beside its code.
var troubleFacts = map[string]*regexp.Regexp{
	"program": regexp.MustCompile(`is in use by (\S+) \(process`),
	"pid":     regexp.MustCompile(`\(?process (\d+)\)?`),
	"group":   regexp.MustCompile(`is for group (\S+);`),
	"instead": regexp.MustCompile(`name (\S+) instead`),
}

// troubleFinding is a finding of modem/tty. Where nobody has words for its code, its own are
// taken; facts say which port or device it is about.
func troubleFinding(t tty.Trouble, subject, name string, facts map[string]string) pool.Finding {
	for fact, pattern := range troubleFacts {
		if m := pattern.FindStringSubmatch(t.String()); m != nil {
			facts[fact] = m[1]
		}
	}
	f := pool.NewFinding(t.Code, pool.FindingFail, subject, name, facts)
	if f.Says == "" {
		f.Says, f.Do = sentenceCase(t.Says)+".", sentenceCase(t.Do)
	}
	return f
}

func sentenceCase(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// deviceName is a USB device in words: "Huawei E3372 (12d1:1506) in USB socket 1-1.2" without
// the socket, which the block says.
func deviceName(d tty.USBDevice) string {
	return strings.TrimSpace(strings.TrimSpace(d.Maker+" "+d.Product) + " (" + d.ID() + ")")
}

// rivalFindings are about the programs that take modems for themselves.
func rivalFindings(rivals []tty.Rival) []pool.Finding {
	var list []pool.Finding
	for _, r := range rivals {
		facts := map[string]string{"program": r.Program, "service": r.Program}
		if r.Program == "smsd" {
			facts["service"] = "smstools"
		}
		if r.PID != 0 {
			facts["pid"] = fmt.Sprint(r.PID)
		}
		list = append(list, pool.NewFinding("rival", pool.FindingWarn, pool.AboutBox, r.Program, facts))
	}
	return list
}
