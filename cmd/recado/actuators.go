package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"

	"recado/modem/tty"
	"recado/pool"
)

// actuatorFlags say what may be done to a modem's USB socket and to its power when nothing
// gentler has helped.
type actuatorFlags struct {
	USBReset  bool     `name:"usb-reset" negatable:"" default:"true" help:"Take a USB modem that does not recover off the bus and back; --no-usb-reset never does (${default})."`
	Uhubctl   bool     `help:"Cut such a modem's power for ten seconds with uhubctl: for hubs that switch single ports."`
	PowerHook []string `sep:"none" placeholder:"ARG" help:"Cut it with a command of your own: its full path, then its arguments, one --power-hook each. {path} stands for the USB path, {port} for the port's name."`
}

// check refuses what cannot work, before anything is started.
func (f actuatorFlags) check() error {
	switch {
	case f.Uhubctl && len(f.PowerHook) > 0:
		return usagef("--uhubctl and --power-hook: give one of them")
	case f.Uhubctl:
		if err := (tty.Power{}).Check(); err != nil {
			return usagef("--uhubctl: %w", err)
		}
	case len(f.PowerHook) > 0:
		if err := (tty.Power{Hook: f.PowerHook}).Check(); err != nil {
			return usagef("--power-hook: %w", err)
		}
	}
	return nil
}

// actuators are what the flags allow, for each port.
type actuators struct {
	actuatorFlags
	tree tty.Tree
	log  *slog.Logger
}

// fit gives a port what can be done to it. Where it is on the USB bus is asked each time: a
// name such as /dev/ttyUSB2 is another socket's after the next replugging.
func (a actuators) fit(port *pool.Port) {
	at := &whereabouts{tree: a.tree, name: port.Name}
	port.USBPath = at.path()
	// A path in /dev behind which nothing is plugged in yet may be a USB modem's.
	onUSB := port.USBPath != "" || strings.HasPrefix(port.Name, "/") && absentFile(port.Name)
	if a.USBReset && onUSB {
		port.USBReset = func(ctx context.Context) error {
			path := at.path()
			if path == "" {
				return fmt.Errorf("reset %s: it is on no USB socket that is known", at.name)
			}
			return a.tree.ResetUSB(ctx, path)
		}
	}
	if a.Uhubctl && onUSB || len(a.PowerHook) > 0 {
		power := tty.Power{Port: port.Name, Said: func(command []string, _ string) {
			// Neither its arguments nor what it prints: they may be the password of a socket on the LAN.
			a.log.Info("a modem's power is switched off and on", "port", at.name, "command", filepath.Base(command[0]))
		}}
		if len(a.PowerHook) > 0 { // an empty list in the file is none
			power.Hook = a.PowerHook
		}
		port.PowerCycle = func(ctx context.Context) error { return power.Cycle(ctx, at.path()) }
	}
}

// whereabouts remembers the USB socket that a port is on, or was on last: a modem that has
// crashed off the bus is what power is cut for.
type whereabouts struct {
	tree tty.Tree
	name string

	mu   sync.Mutex // guards what follows
	last string
}

func (w *whereabouts) path() string {
	now := w.tree.USBPathOf(w.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if now != "" {
		w.last = now
	}
	return w.last
}

// absentFile says that a path leads nowhere now.
func absentFile(path string) bool {
	_, err := filepath.EvalSymlinks(path)
	return err != nil
}
