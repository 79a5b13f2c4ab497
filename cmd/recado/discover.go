package main

import (
	"context"
	"io"
	"strings"

	"recado/modem/family"
	"recado/modem/tty"
	"recado/pool"
	"recado/webui"
)

// discovery is the search for USB modems, whose finds the pool takes care of. o says what is
// particular: which ports are named, the log, in tests the tree.
func discovery(lines *pool.Pool, o tty.DiscoveryOptions) *tty.Discovery {
	for _, rule := range family.PortRules() {
		o.Rules = append(o.Rules, tty.PortRule(rule))
	}
	o.Remove = lines.Remove
	o.IMEI = func(port string) string {
		for _, m := range lines.Modems() {
			if m.Port == port {
				return m.IMEI
			}
		}
		return ""
	}
	var found *tty.Discovery
	o.Add = func(f tty.Found) error {
		open := func(ctx context.Context) (io.ReadWriteCloser, error) { return found.Open(ctx, f.Name) }
		return lines.Add(pool.Port{Name: f.Name, USBPath: f.USBPath, Open: open})
	}
	found = tty.NewDiscovery(o)
	return found
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
