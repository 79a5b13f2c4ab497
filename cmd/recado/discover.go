package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"recado/modem"
	"recado/modem/at"
	"recado/modem/family"
	"recado/modem/tty"
	"recado/pool"
	"recado/webui"
)

// discovery is the search for USB modems, whose finds the pool takes care of; recovery is what
// may be done to them. o says what is particular: which ports are named, the log, in tests the
// tree.
func discovery(lines *pool.Pool, recovery actuators, o tty.DiscoveryOptions) *tty.Discovery {
	o.Rules = portRules()
	o.Remove = lines.Remove
	o.IMEI = func(port string) string {
		for _, m := range lines.Modems() {
			if m.Port == port {
				return m.IMEI
			}
		}
		return ""
	}
	o.Mute = func(port string) bool { return mute(lines, port) }
	var found *tty.Discovery
	o.Add = func(f tty.Found) error {
		open := func(ctx context.Context) (io.ReadWriteCloser, error) { return found.Open(ctx, f.Name) }
		port := pool.Port{Name: f.Name, Open: open}
		recovery.fit(&port)
		return lines.Add(port)
	}
	found = tty.NewDiscovery(o)
	return found
}

// portRules are what the families say of USB ports.
func portRules() []tty.PortRule {
	var rules []tty.PortRule
	for _, rule := range family.PortRules() {
		rules = append(rules, tty.PortRule(rule))
	}
	return rules
}

// mute says that the modem on a port answers nothing: it is not in service, and the last two
// commands or more got no answer, whatever else it may have said.
func mute(lines *pool.Pool, port string) bool {
	for _, m := range lines.Modems() {
		if m.Port != port {
			continue
		}
		switch m.State {
		case modem.StateSync, modem.StateRecover, modem.StateFault:
		default:
			return false
		}
		trace, err := lines.Trace(m.ID)
		return err == nil && unanswered(trace) >= 2
	}
	return false
}

// unanswered counts the commands that were written since the last final result code.
func unanswered(trace []at.TraceEntry) int {
	n := 0
	for _, e := range slices.Backward(trace) {
		switch {
		case e.Out:
			n++
		case e.Line == "OK", e.Line == "ERROR", strings.HasPrefix(e.Line, "+CME ERROR"), strings.HasPrefix(e.Line, "+CMS ERROR"):
			return n
		}
	}
	return n
}

// usbCheck is what /health/ready says of USB modems that are plugged in and not in use, and of
// programs that may take them away.
func usbCheck(seen []tty.Sighting, rivals []tty.Rival) webui.Check {
	var details []string
	for _, r := range rivals {
		details = append(details, r.String())
	}
	for _, s := range seen {
		if !s.Trouble.None() {
			details = append(details, "USB "+s.Device.Path+" ("+s.Device.ID()+"): "+s.Trouble.String())
		}
	}
	c := webui.Check{Name: "usb", Status: webui.Pass, Detail: strings.Join(details, "; ")}
	if c.Detail != "" {
		c.Status = webui.Warn
	}
	return c
}
