package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/user"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"recado/modem"
	"recado/modem/at"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue/sqlite"
)

// papers are the daemon's part of a support bundle.
func (w *ward) papers(ctx context.Context) []paper {
	list := []paper{}
	modems := w.pool.Modems()
	list = append(list, jsonPaper("modems.json", "the modems as they are", modems))
	if sims, err := w.pool.SIMs(ctx); err == nil {
		list = append(list, jsonPaper("sims.json", "the SIMs, without whom they wrote to", sims))
	}
	list = append(list, jsonPaper("findings.json", "what is wrong, for programs", append(append([]pool.Finding{}, w.beside(ctx)...), w.pool.Findings(ctx)...)))
	if w.book != nil {
		recent, _, stop := w.book.follow(logbookLines)
		stop()
		list = append(list, paper{Name: "log.txt", Text: strings.Join(recent, "\n") + "\n", About: "the log's last lines", Tail: true})
	}
	if w.db != nil {
		if f, err := w.db.Figures(ctx); err == nil {
			list = append(list, paper{Name: "database.txt", Text: figuresText(f), About: "the database's sizes, no contents"})
		}
	}
	for i, m := range modems {
		name := fmt.Sprintf("modem-%d-", i+1)
		if history, err := w.pool.History(m.ID); err == nil {
			list = append(list, paper{Name: name + "history.txt", Text: m.Port + "\n\n" + historyText(history), About: m.Port + ": what happened to it", Tail: true})
		}
		if kept, err := w.pool.Recording(m.ID); err == nil {
			list = append(list, paper{Name: name + "dialogue.txt", Text: m.Port + "\n\n" + recordingText(kept), About: m.Port + ": its AT dialogue, redacted", Tail: true})
		}
	}
	return list
}

// healthPapers are what the daemon's own pages say.
func healthPapers(ctx context.Context, ask *client) []paper {
	var list []paper
	for _, p := range []struct{ name, path, about string }{
		{"health.json", "/health/ready", "the checks of the health page"},
		{"status.json", "/api/v1/status", "queue depth by state and class, sent counts"},
	} {
		var v any
		if err := ask.Do(ctx, http.MethodGet, p.path, nil, &v); err != nil {
			v = map[string]string{"error": oneLine(err)}
		}
		list = append(list, jsonPaper(p.name, p.about, inMegabytes(v)))
	}
	return list
}

// inMegabytes writes sizes so that they do not look like telephone numbers.
func inMegabytes(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for key, value := range object {
		if n, ok := value.(float64); ok && strings.HasSuffix(key, "_bytes") {
			object[key] = fmt.Sprintf("%d MB", int64(n)>>20)
		} else {
			object[key] = inMegabytes(value)
		}
	}
	return object
}

func jsonPaper(name, about string, v any) paper {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(v); err != nil {
		b.WriteString(err.Error() + "\n")
	}
	return paper{Name: name, Text: b.String(), About: about}
}

func historyText(entries []modem.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %-7s %-2s %s\n", e.At.UTC().Format("2006-01-02 15:04:05"), e.Kind, e.Step, e.Text)
		for line := range strings.Lines(e.Detail) {
			b.WriteString("    " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	return b.String()
}

func recordingText(r pool.Recording) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Registrations: CREG %s, CGREG %s, CEREG %s\n", r.Domains.CS, r.Domains.PS, r.Domains.EPS)
	for _, c := range r.Crashes {
		fmt.Fprintf(&b, "\nBefore it became %s at %s (%s):\n", c.State, c.At.UTC().Format(time.DateTime), c.Reason)
		dialogueText(&b, c.Dialogue)
	}
	b.WriteString("\nThe dialogue:\n")
	dialogueText(&b, r.Dialogue)
	return b.String()
}

func dialogueText(b *strings.Builder, lines []at.TraceEntry) {
	for _, e := range lines {
		way := "<"
		if e.Out {
			way = ">"
		}
		fmt.Fprintf(b, "%s %s %s\n", e.At.UTC().Format("01-02 15:04:05.000"), way, e.Line)
	}
}

func figuresText(f sqlite.Figures) string {
	var b strings.Builder
	fmt.Fprintf(&b, "schema %d\nsize %d KB, %d KB of it unused\nrows:\n", f.Schema, f.Bytes>>10, f.Unused>>10)
	for _, table := range slices.Sorted(maps.Keys(f.Rows)) {
		fmt.Fprintf(&b, "  %-24s %d\n", table, f.Rows[table])
	}
	return b.String()
}

// aboutBox is the program and the system under it.
func aboutBox(dir dataDir, trust bool) string {
	var b strings.Builder
	row := func(name, format string, values ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, values...))
	}
	row("recado", "%s, %s %s/%s", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.time", "vcs.modified", "CGO_ENABLED", "GOARM", "GOARM64", "GOAMD64":
				row("build", "%s=%s", s.Key, s.Value)
			}
		}
	}
	row("system", "%s", osName())
	var kernel unix.Utsname
	if unix.Uname(&kernel) == nil {
		row("kernel", "%s %s %s", unix.ByteSliceToString(kernel.Sysname[:]), unix.ByteSliceToString(kernel.Release[:]), unix.ByteSliceToString(kernel.Machine[:]))
	}
	if model, err := os.ReadFile("/proc/device-tree/model"); err == nil {
		row("board", "%s", strings.Trim(string(model), "\x00\n"))
	}
	if me, err := user.Current(); err == nil {
		row("user", "uid %s, gid %s", me.Uid, me.Gid)
	}
	row("time", "%s, trusted: %t", time.Now().Format(time.RFC3339), newClock(trust).Trusted())
	for name, file := range map[string]string{"uptime": "/proc/uptime", "load": "/proc/loadavg"} {
		if text, err := os.ReadFile(file); err == nil {
			row(name, "%s", strings.TrimSpace(string(text)))
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			for _, wanted := range []string{"MemTotal:", "MemAvailable:", "SwapFree:"} {
				if value, ok := strings.CutPrefix(line, wanted); ok {
					var kb int64
					_, _ = fmt.Sscan(value, &kb)
					row("memory", "%s %d MB", wanted, kb>>10)
				}
			}
		}
	}
	if room, err := dir.room(); err == nil {
		row("disk", "%d MB free of %d MB; database with its log %d KB", room.Free>>20, room.Total>>20, room.Database>>10)
	} else {
		row("disk", "%v", err)
	}
	return b.String()
}

// osName is the system's name for people (os-release(5)).
func osName() string {
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return runtime.GOOS
}

// usbText is the USB bus with its serial ports, and who may be in the way.
func usbText(tree tty.Tree) string {
	var b strings.Builder
	devices, err := tree.USBDevices()
	if err != nil {
		fmt.Fprintf(&b, "%v\n", err)
	}
	for _, d := range devices {
		fmt.Fprintf(&b, "%s %s\n", d.Path, deviceName(d))
		if t := tty.Diagnose(d); !t.None() {
			fmt.Fprintf(&b, "    %s: %s\n", t.Code, t)
		}
		for _, i := range d.Interfaces {
			fmt.Fprintf(&b, "    interface %d class %02x/%02x/%02x %s\n", i.Number, i.Class, i.SubClass, i.Protocol, strings.Join(i.Ports, " "))
		}
	}
	if surveyed, err := tree.Survey(portRules()); err == nil {
		b.WriteString("\nPorts:\n")
		for _, s := range surveyed {
			for _, p := range s.Ports {
				holder := ""
				if p.Holder != nil {
					holder = ", " + p.Holder.Error()
				}
				fmt.Fprintf(&b, "    %s %s role %q%s %s\n", p.Name, p.Device, p.Role, holder, p.Trouble)
			}
		}
	}
	b.WriteString("\nPrograms that take modems:\n")
	for _, r := range tree.Rivals() {
		fmt.Fprintf(&b, "    %s\n", r)
	}
	return b.String()
}

// folderText lists the data folder: what is in its files stays there.
func folderText(dir dataDir) string {
	var b strings.Builder
	entries, err := os.ReadDir(string(dir))
	if err != nil {
		return err.Error() + "\n"
	}
	if info, err := os.Stat(string(dir)); err == nil {
		fmt.Fprintf(&b, "%s  %s\n", info.Mode(), dir)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			fmt.Fprintf(&b, "%s  %9d KB  %s  %s\n", info.Mode(), (info.Size()+1023)>>10, info.ModTime().UTC().Format(time.DateTime), e.Name())
		}
	}
	return b.String()
}

// configText is the configuration file and the RECADO_ variables: names of keys with their
// values, but for those that may be secret, and without comments.
func (c *doctorCmd) configText() string {
	var b strings.Builder
	show := func(key string, value any) {
		text := fmt.Sprint(value)
		switch lower := strings.ToLower(key); {
		case secretKey(lower):
			text = "<hidden>"
		case strings.HasSuffix(lower, "hook"): // its arguments may be anything
			text = "<a command>"
		}
		fmt.Fprintf(&b, "%s = %s\n", key, text)
	}
	if c.Config == "" {
		b.WriteString("(no --config was given)\n")
	} else if values, err := c.configValues(); err != nil {
		b.WriteString("(cannot be read: see doctor.txt)\n")
	} else {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			show(key, values[key])
		}
	}
	b.WriteString("\nEnvironment:\n")
	for _, variable := range os.Environ() {
		if name, value, ok := strings.Cut(variable, "="); ok && (strings.HasPrefix(name, "RECADO_") || name == "LANG" || name == "TZ") {
			show(name, value)
		}
	}
	return b.String()
}

// secretKey says that the value of a key of this name is nobody's business.
func secretKey(lower string) bool {
	for _, word := range []string{"pin", "puk", "pass", "secret", "token", "key", "auth"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}

// configValues reads the file with the keys that every subcommand's flags make.
func (c *doctorCmd) configValues() (map[string]any, error) {
	parser, err := kong.New(&grammar{})
	if err != nil {
		return nil, err
	}
	return readConfig(string(c.Config), flagKeys(parser.Model.Node))
}
