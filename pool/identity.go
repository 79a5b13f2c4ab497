package pool

import (
	"strings"

	"recado/modem"
)

// apply takes over a modem's snapshot: which modem it is, which SIM it has, and
// whether another port has that SIM already.
//
// A SIM's key is its ICCID; its IMSI or the port's name stands in where the
// modem does not say it. Two ports of one module show the same SIM: the first
// keeps it and the other does no SIM work. Over TCP or a pty two ports are two
// devices, whatever numbers they give: the later one's key gets its port's name.
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
			if other != l {
				other.applyLocked(other.said())
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
	raw := rawKey(l.port.Name, s)
	id := s.ID
	key, twin := raw, ""
	l.mu.Lock()
	if raw == l.raw {
		key = l.key // it stays what it was
	}
	l.mu.Unlock()
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
		if mine || separate(other.port.Name) {
			key = raw + "@" + l.port.Name
		} else if holds(s.State) {
			twin = other.port.Name
		}
	}
	l.mu.Lock()
	changed := l.key != key || l.twin != twin || holds(l.heard.State) != holds(s.State)
	l.heard = s
	s.ID = id
	l.snap, l.raw, l.key, l.twin = s, raw, key, twin
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
		return "imsi-" + s.SIM.IMSI
	case known(s.State) && !s.Earlier:
		return standIn(port)
	}
	return ""
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
