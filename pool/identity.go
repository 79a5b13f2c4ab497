package pool

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"recado/modem"
	"recado/queue"
)

// apply takes over a modem's snapshot: which modem it is, which SIM it has, and
// whether another port has that SIM already.
//
// A SIM's key is its ICCID; where the modem does not say it, that of the SIM whose
// IMSI it says, else the IMSI or the port's name stands in. Two ports of one module
// show the same SIM: the first keeps it and the other does no SIM work. Over TCP or
// a pty two ports are two devices, whatever numbers they give: the later one's key
// gets its port's name for as long as both have the SIM. It may be that it was moved
// and the first has not noticed: their limits and settings are one contract's.
func (l *line) apply(s modem.Snapshot) {
	p := l.p
	p.keys.Lock()
	if s.Version < l.said().Version {
		p.keys.Unlock()
		return // a newer one was quicker
	}
	changed := l.applyLocked(s)
	if changed {
		// What this line had or has may decide what the others are.
		for _, other := range p.all() {
			if other != l && other.applyLocked(other.said()) {
				other.hint()
			}
		}
	}
	p.keys.Unlock()
}

// said is the modem's own snapshot as it was last taken over.
func (l *line) said() modem.Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

// applyLocked says whether the line's hold on a SIM changed; p.keys is held.
func (l *line) applyLocked(s modem.Snapshot) bool {
	raw := l.p.named(rawKey(l.port.Name, s))
	id := s.ID
	key, twin := raw, ""
	mine := separate(l.port.Name)
	earlier := true
	for _, other := range l.p.all() {
		if other == l {
			earlier = false
			continue
		}
		other.mu.Lock()
		o, okey, oraw, otwin := other.heard, other.key, other.raw, other.twin
		other.mu.Unlock()
		if earlier && id != "" && o.ID == s.ID && (oraw != raw || mine) {
			id = s.ID + "@" + l.port.Name
		}
		if key == "" || okey != key || otwin != "" || !holds(o.State) {
			continue
		}
		switch {
		case mine || separate(other.port.Name):
			key = raw + "@" + l.port.Name
			if !holds(s.State) {
				key = "" // it had it before
			}
		case holds(s.State):
			twin = other.port.Name
		}
	}
	l.mu.Lock()
	changed := l.key != key || l.twin != twin || holds(l.heard.State) != holds(s.State)
	l.heard = s
	s.ID = id
	l.snap, l.raw, l.key, l.twin = s, raw, key, twin
	l.nameless = l.nameless && holds(s.State) || raw == standIn(l.port.Name)
	l.mu.Unlock()
	l.modem.SetPassive(twin != "")
	return changed
}

// rawKey is what a modem's words make of its SIM; "" while it has said nothing.
func rawKey(port string, s modem.Snapshot) string {
	switch {
	case s.SIM.ICCID != "":
		return s.SIM.ICCID
	case s.SIM.IMSI != "":
		return ofIMSI + s.SIM.IMSI
	case known(s.State) && !s.Earlier:
		return standIn(port)
	}
	return ""
}

// ofIMSI begins what a SIM is called of which nobody knows the ICCID.
const ofIMSI = "imsi-"

// named is the ICCID of a SIM that is known by its IMSI only, when one with that
// IMSI was ever seen; of several, as when a card was replaced, the newest. Else it
// is raw.
func (p *Pool) named(raw string) string {
	imsi, is := strings.CutPrefix(raw, ofIMSI)
	if !is {
		return raw
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	var newest *simRecord
	for key, r := range p.sims {
		if r.row.IMSI != imsi || makeshift(key) {
			continue
		}
		if newest == nil || cmp.Or(r.row.FirstSeen.Compare(newest.row.FirstSeen), strings.Compare(key, newest.row.ICCID)) > 0 {
			newest = r
		}
	}
	if newest == nil {
		return raw
	}
	return newest.row.ICCID
}

// makeshift says that a SIM's key is not its ICCID.
func makeshift(key string) bool {
	return strings.HasPrefix(key, ofIMSI) || strings.HasPrefix(key, standIn("")) || queue.Contract(key) != key
}

// recognise works all lines' keys out anew: it is known of another SIM whose it is.
func (p *Pool) recognise() {
	p.keys.Lock()
	for range 2 { // what one has decides what the others are
		for _, l := range p.all() {
			if l.applyLocked(l.said()) {
				l.hint()
			}
		}
	}
	p.keys.Unlock()
}

// adopt gives the SIM that the line has what was kept of it under other names: until
// then nothing leaves on it.
func (l *line) adopt(ctx context.Context, key, imsi string) error {
	p, contract := l.p, queue.Contract(key)
	if contract == standIn(l.port.Name) {
		return nil
	}
	l.mu.Lock()
	nameless := l.nameless && l.key == key
	l.mu.Unlock()
	used := map[string]bool{}
	for _, other := range p.all() {
		used[other.simKey()] = true
	}
	p.simMu.Lock()
	var names []string
	for name := range p.sims {
		switch its := queue.Contract(name); {
		case name == contract || used[name]:
		case its == contract, its == ofIMSI+imsi && imsi != "", nameless && name == standIn(l.port.Name):
			names = append(names, name)
		}
	}
	p.simMu.Unlock()
	slices.Sort(names)
	slices.Reverse(names) // what has its limits with another goes first
	for _, name := range names {
		if err := p.adoptSIM(ctx, name, contract); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.nameless = l.nameless && l.raw == standIn(l.port.Name)
	l.mu.Unlock()
	return nil
}

func (p *Pool) adoptSIM(ctx context.Context, name, iccid string) error {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	if err := p.rename(ctx, name, iccid); err != nil {
		return err
	}
	if err := p.store.AdoptSIM(ctx, name, iccid); err != nil {
		return err
	}
	rows, err := p.store.SIMs(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r queue.SIMRow) bool { return r.ICCID == iccid })
	if i < 0 {
		return ErrNoSIM
	}
	p.simMu.Lock()
	defer p.simMu.Unlock()
	was, is := p.sims[name], p.sims[iccid]
	if is == nil {
		is = &simRecord{left: 1}
		p.sims[iccid] = is
	}
	is.row = rows[i]
	if was != nil {
		is.row.Paused = is.row.Paused || was.row.Paused
	}
	delete(p.sims, name)
	p.log.Info("a SIM is known by its ICCID now", "before", name, "iccid", iccid)
	return nil
}

// rename puts a SIM in the place of another name of it in the routes.
func (p *Pool) rename(ctx context.Context, name, iccid string) error {
	routes, err := p.store.Routes(ctx)
	if err != nil {
		return err
	}
	for _, r := range routes {
		i := slices.IndexFunc(r.SIMs, func(s queue.RouteSIM) bool { return s.ICCID == name })
		if i < 0 {
			continue
		}
		r.SIMs = slices.Clone(r.SIMs)
		if slices.ContainsFunc(r.SIMs, func(s queue.RouteSIM) bool { return s.ICCID == iccid }) {
			r.SIMs = slices.Delete(r.SIMs, i, i+1)
		} else {
			r.SIMs[i].ICCID = iccid
		}
		if _, err := p.store.UpdateRoute(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// standIn is what a SIM is called that says neither ICCID nor IMSI, and the SIM
// of a port whose reports come before it has been asked.
func standIn(port string) string { return "port-" + port }

// known says that a modem in this state has been asked for its SIM's identity.
func known(s modem.State) bool {
	switch s {
	case modem.StateConfig, modem.StateRegister, modem.StateSIMDenied, modem.StateReady,
		modem.StateSending, modem.StateUnknown, modem.StateRecover:
		return true
	}
	return false
}

// holds says that a modem in this state has its SIM in it, as far as one knows:
// a modem that is away no longer does.
func holds(s modem.State) bool { return known(s) || s == modem.StateSIM || s == modem.StateSIMBlocked }

// separate says that a port is certainly a device of its own.
func separate(port string) bool {
	return !strings.HasPrefix(port, "/dev/tty") && !strings.HasPrefix(port, "usb:")
}

// view is the snapshot for others: the SIM goes by its key.
func (l *line) view() modem.Snapshot {
	s := l.snapshot()
	if key := l.simKey(); key != "" {
		s.SIM.ICCID = key
	}
	return s
}
