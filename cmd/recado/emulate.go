package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"recado/modem/emulator"
)

// emulateCmd is `recado emulate`.
type emulateCmd struct {
	Modems  int           `required:"" placeholder:"N" help:"How many."`
	Dir     string        `placeholder:"DIR" help:"Folder for the ptys: DIR/modem0, DIR/modem1, …"`
	TCP     string        `name:"tcp" placeholder:"ADDR" help:"Also on TCP: HOST:PORT of the first, the next ports for the others; port 0 takes free ones."`
	Latency time.Duration `placeholder:"D" help:"From Ctrl-Z to the network's answer."`
	Command time.Duration `name:"command-latency" placeholder:"D" help:"From a command to its answer."`
	Baud    int           `placeholder:"N" help:"Pace the ports like serial lines of that speed: 115200."`
	CMMS    int           `name:"cmms-saves" placeholder:"PERCENT" help:"What a submission does without when AT+CMMS has kept the link open since the last one."`
	Family  []string      `placeholder:"NAME" help:"Families, given to the modems in turn (generic, huawei, zte, …)."`
	PIN     string        `name:"pin" placeholder:"PIN" help:"The SIMs ask for this PIN after every start of their modems."`
	PUK     string        `name:"puk" placeholder:"PUK" help:"With --pin: what unblocks the SIMs after three wrong PINs."`
	Fault   []string      `sep:"none" placeholder:"FAULT" help:"A fault of every modem from the start, such as \"late +CMGS delay=135s\"; AT+XFAULT=? lists them."`
	Ledger  string        `placeholder:"FILE" help:"Append what the network accepted, as JSON lines."`
	Timings string        `placeholder:"FILE" help:"Append when each submission's command, prompt, Ctrl-Z and answer were on the line, as JSON lines: for measuring a driver."`
}

// Run emulates until a signal comes.
func (c *emulateCmd) Run(ctx context.Context, t terminal) error {
	if c.Modems < 1 || c.Modems > 256 {
		return usagef("--modems %d: give a number from 1 to 256", c.Modems)
	}
	if c.Dir == "" && c.TCP == "" {
		return usagef("name a folder for the ptys with --dir, or an address with --tcp")
	}
	for _, name := range c.Family {
		if !slices.Contains(emulator.Families(), name) {
			return usagef("--family %s: there are %s", name, strings.Join(emulator.Families(), ", "))
		}
	}
	if c.PIN != "" && !digits(c.PIN, 4, 8) {
		return usagef("--pin: a PIN has 4 to 8 digits")
	}
	if c.PUK != "" && (c.PIN == "" || !digits(c.PUK, 8, 8)) {
		return usagef("--puk: a PUK has 8 digits, and needs --pin")
	}
	var faults []emulator.Fault
	for _, text := range c.Fault {
		f, err := emulator.ParseFault(text)
		if err != nil {
			return usagef("--fault: %v", err)
		}
		faults = append(faults, f)
	}
	if c.Baud < 0 || c.Command < 0 {
		return usagef("--baud and --command-latency are not negative")
	}
	if c.CMMS < 0 || c.CMMS > 90 {
		return usagef("--cmms-saves is from 0 to 90 percent")
	}
	o := emulator.NetworkOptions{LinkSaves: float64(c.CMMS) / 100, Latency: c.Latency, CommandLatency: c.Command, Baud: c.Baud, ReportDelay: time.Second}
	for name, w := range map[string]*io.Writer{c.Ledger: &o.Ledger, c.Timings: &o.Timings} {
		if name == "" {
			continue
		}
		file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open what is to be written down: %w", err)
		}
		defer file.Close()
		*w = file
	}
	// The signal is how it is meant to end; as the context's cause it would read as a failure.
	until, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return emulator.Emulate(until, emulator.EmulateOptions{
		Modems: c.Modems, Dir: c.Dir, TCP: c.TCP, Families: c.Family, PIN: c.PIN, PUK: c.PUK, Faults: faults, Network: o,
		Ready: func(_ *emulator.Network, ports []emulator.Port) { announcePorts(t.Out, ports) },
	})
}

// digits says that text is so many digits.
func digits(text string, least, most int) bool {
	return len(text) >= least && len(text) <= most && strings.Trim(text, "0123456789") == ""
}

// announcePorts prints a line for each modem: its number, and where it can be reached.
func announcePorts(w io.Writer, ports []emulator.Port) {
	for _, p := range ports {
		line := p.Modem.Name() + " " + p.Modem.Number()
		if p.Path != "" {
			line += " " + p.Path
		}
		if p.Addr != "" {
			line += " tcp:" + p.Addr
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w, "ready")
}
