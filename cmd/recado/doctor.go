package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"recado/cmd/recado/console"
	"recado/modem/tty"
	"recado/queue/sqlite"
)

// doctorCmd is `recado doctor`.
type doctorCmd struct {
	configFlag
	dataFlag
	Modem      []string `placeholder:"PORT" help:"A modem's port to look at, as serve has it. Repeat for more."`
	Probe      bool     `help:"Without a running recado: open the modems' ports and ask them, 20 s each at most."`
	JSON       bool     `name:"json" help:"The report as JSON."`
	Bundle     string   `placeholder:"FILE" help:"Write a support bundle (.tar.gz): report, modems' dialogues and history, log, without texts, numbers and secrets."`
	TrustClock bool     `help:"Take the system clock as right, as serve does."`
}

const (
	// daemonLimit is how long the daemon may take to answer, doctorLimit all but
	// probing and the bundle.
	daemonLimit = 4 * time.Second
	reportWidth = 80
)

// Run prints what is wrong and what to do; the error says that something is.
func (c *doctorCmd) Run(ctx context.Context, t terminal) error {
	lang := language()
	if c.JSON || c.Bundle != "" {
		lang = console.English
	}
	var file *os.File
	if c.Bundle != "" {
		var err error
		// First of all: later this process may have become another user.
		if file, err = createBundle(c.Bundle); err != nil {
			return err
		}
		defer file.Close()
	}
	e := c.examine(ctx, lang)
	if c.Probe {
		if e.report.Running != console.Stopped {
			return errors.Join(usagef("--probe: recado is running and asks the modems itself; leave --probe out, or stop it first"), discard(file))
		}
		e.look.probe(ctx, &e.report)
	}
	e.figures = e.look.checkData(ctx, &e.report)
	if file != nil {
		if err := c.bundle(ctx, t.Out, file, e); err != nil {
			return errors.Join(err, discard(file))
		}
		return nil
	}
	if err := c.print(t.Out, e.report, lang); err != nil {
		return err
	}
	if n := e.report.Count(console.Fail); n > 0 {
		return fmt.Errorf("doctor: %d out of order, see the report", n)
	}
	return nil
}

// examination is what the doctor knows.
type examination struct {
	report  console.Report
	look    look
	ask     *client // nil when no daemon answers
	figures sqlite.Figures
}

// examine asks the daemon, and looks for itself when it does not answer in time.
func (c *doctorCmd) examine(ctx context.Context, lang string) examination {
	dir := dataDir(c.Data)
	e := examination{look: look{dir: dir, named: c.Modem, tree: tty.Tree{}, language: lang, trust: c.TrustClock, running: console.Stopped}}
	if ask := dialDaemon(dir); ask != nil {
		limited, cancel := context.WithTimeout(ctx, daemonLimit)
		err := ask.Do(limited, http.MethodGet, "/control/doctor?lang="+lang, nil, &e.report)
		cancel()
		switch {
		case err == nil:
			e.look.running, e.ask = console.Answers, ask
			return e
		case errors.Is(err, fs.ErrPermission):
			e.look.running = console.Closed
		case !errors.Is(err, errNoDaemon):
			e.look.running = console.Silent
		}
		_ = ask.Close()
	}
	if e.look.running == console.Silent {
		e.look.pid = dir.holder()
	} else if e.look.running == console.Stopped && dir.exists() {
		// It may be starting or stopping.
		if pid, locked := dir.locked(); locked {
			e.look.running, e.look.pid = console.Silent, pid
		}
	}
	e.report = e.look.report()
	return e
}

// holder is the number that the lock file says; 0 when it says none.
func (d dataDir) holder() int {
	text, err := os.ReadFile(d.lockFile())
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// locked says whether a process has the folder, and which, without taking it.
func (d dataDir) locked() (pid int, is bool) {
	file, err := os.Open(d.lockFile())
	if err != nil {
		return 0, false
	}
	defer file.Close()
	if !flockHeld(file) {
		return 0, false
	}
	return d.holder(), true
}

func (c *doctorCmd) print(w io.Writer, r console.Report, lang string) error {
	if c.JSON {
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	var b strings.Builder
	if err := r.Write(&b, lang, reportWidth); err != nil {
		return err
	}
	// Operators' names and the like come from modems: nothing of them steers the terminal.
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return '.'
		}
		return r
	}, b.String())
	if !unicodeLocale() {
		text = console.ASCII(text)
	}
	_, err := io.WriteString(w, text)
	return err
}
