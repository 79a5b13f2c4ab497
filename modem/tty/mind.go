package tty

import (
	"context"
	"errors"
	"slices"
	"time"
)

// mind looks after a site whose modem was handed over: it silences the ports
// that nobody reads, and when the modem has been mute for a while asks the
// others of its ports whether they speak AT by now. It says when to look again
// at the latest.
func (d *Discovery) mind(ctx context.Context, s *site, now time.Time) (wait time.Duration) {
	wait = d.o.Rescan
	if !s.hushed && s.probing == nil {
		if due := s.since.Add(max(d.o.Settle, 0)).Sub(now); due > 0 {
			wait = min(wait, due)
		} else {
			s.hushed = true
			d.hush(ctx, s)
		}
	}
	others := s.others()
	if d.o.Mute == nil || len(others) == 0 || !d.o.Mute(s.chosen) {
		s.mute = time.Time{}
		return wait
	}
	if s.mute.IsZero() {
		s.mute = now
	}
	if s.probing != nil {
		return wait
	}
	due := max(s.mute.Add(d.o.Patience).Sub(now), s.next.Sub(now))
	if due > 0 {
		return min(wait, due)
	}
	d.log.Info("a modem's port answers nothing, its others are asked", "port", s.chosen, "others", len(others))
	d.question(ctx, s, others)
	return wait
}

// besideNamed silences the ports of a modem that an operator did not name, each
// time it comes. It says when to look again at the latest.
func (d *Discovery) besideNamed(ctx context.Context, g group, dev USBDevice, named map[string]bool, now time.Time) (wait time.Duration) {
	g.candidates = slices.DeleteFunc(g.candidates, func(c candidate) bool { return named[resolved(c.device)] })
	s := d.beside[g.name]
	if s == nil || s.device.Number != dev.Number || !samePorts(s.candidates, g.candidates) {
		if s != nil {
			d.cancel(s)
		}
		s = &site{group: g, device: dev, present: true, since: now}
		d.beside[g.name] = s
	}
	if s.hushed {
		return d.o.Rescan
	}
	if due := s.since.Add(max(d.o.Settle, 0)).Sub(now); due > 0 {
		return due
	}
	s.hushed = true
	d.hush(ctx, s)
	return d.o.Rescan
}

// samePorts says that two lists are of the same ports under the same names.
func samePorts(a, b []candidate) bool {
	return slices.EqualFunc(a, b, func(a, b candidate) bool { return a.place == b.place && a.device == b.device })
}

// others are the ports of a site that may be asked, but for the chosen one.
func (s *site) others() []candidate {
	return slices.DeleteFunc(slices.Clone(s.candidates), func(c candidate) bool { return c.place.String() == s.chosen })
}

// hush silences a site's ports that nobody reads.
func (d *Discovery) hush(ctx context.Context, s *site) {
	ports := slices.DeleteFunc(s.others(), func(c candidate) bool { return c.hush == "" })
	if len(ports) == 0 {
		return
	}
	d.ask(ctx, s, func(ctx context.Context) round {
		for _, c := range ports {
			// A port that another program reads needs no silence, and one that
			// knows no AT has none to break.
			if d.settings.holder(c.device) != nil {
				continue
			}
			if err := d.settings.hush(ctx, c.device, c.hush, d.o.Answer); err != nil && ctx.Err() == nil {
				d.log.Debug("silencing a port that nobody reads", "port", c.place.String(), "error", err)
			}
		}
		return round{hushed: true}
	})
}

// exchange takes another port of a modem's for the one that answers nothing.
func (d *Discovery) exchange(ctx context.Context, s *site, r round) {
	if r.err != nil {
		s.next = time.Now().Add(d.o.Patience) // nothing speaks: it is the modem, and its own recovery's to do
		if _, busy := errors.AsType[*BusyError](r.err); busy {
			s.trouble = TroubleOf(r.err)
		}
		return
	}
	if !d.o.Mute(s.chosen) {
		return // it has found its voice meanwhile
	}
	d.log.Warn("a modem's AT port has moved", "from", s.chosen, "to", r.chosen.place.String())
	d.remove(ctx, s.chosen)
	s.chosen, s.mute, s.hushed = "", time.Time{}, false
	d.choose(ctx, s, r.chosen, r.probed)
}

// watchShared finds out which of our ports other programs have open too:
// ModemManager runs as root, whom neither TIOCEXCL nor our locks stop, and two
// programs on one modem get each other's answers. To look through all processes
// costs tens of milliseconds: it is done at every sixth look only.
func (d *Discovery) watchShared(now time.Time) {
	if !d.sharedAt.IsZero() && now.Sub(d.sharedAt) < 6*d.o.Rescan {
		return
	}
	d.sharedAt = now
	devices := map[string]bool{}
	for _, s := range d.sites {
		if c, ok := s.port(); ok {
			devices[resolved(c.device)] = true
		}
	}
	d.shared = map[string]*BusyError{}
	if len(devices) == 0 {
		return
	}
	for device, pid := range d.o.Tree.openers(devices) {
		d.shared[device] = &BusyError{Name: device, PID: pid, Program: d.o.Tree.program(pid)}
	}
}

// port is the chosen candidate; not ok when there is none, or it is away.
func (s *site) port() (c candidate, ok bool) {
	if s.chosen == "" || !s.present {
		return candidate{}, false
	}
	i := slices.IndexFunc(s.candidates, func(c candidate) bool { return c.place.String() == s.chosen })
	if i < 0 {
		return candidate{}, false
	}
	return s.candidates[i], true
}

// sharing is the trouble of a site whose port somebody else has open too.
func (d *Discovery) sharing(s *site) Trouble {
	c, ok := s.port()
	if !ok {
		return Trouble{}
	}
	other := d.shared[resolved(c.device)]
	if other == nil {
		return Trouble{}
	}
	return Trouble{CodeShared, other.Error() + " too, and takes answers that are ours", "stop that program, or tell it to leave this modem alone"}
}
