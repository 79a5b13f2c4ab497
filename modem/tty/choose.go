package tty

import (
	"cmp"
	"slices"
)

// PortRule says what an interface of a known USB modem is for.
type PortRule struct {
	// VID and PID are of the device; PID 0 stands for every other one of the
	// maker.
	VID, PID uint16
	// Interface is bInterfaceNumber; -1 for all that no other rule names.
	Interface int
	// Role is RoleAT, RolePPP, or what the interface is otherwise for ("gps",
	// "diag"): then it is never opened.
	Role string
	// Protocol is bInterfaceProtocol; 0 for any.
	Protocol uint8
	// Hush is the command that silences the port while nobody reads it, without
	// "AT"; "" when it says nothing by itself.
	Hush string
}

// Roles of a port that Discovery may choose.
const (
	RoleAT  = "at"  // the AT port for control: the first choice
	RolePPP = "ppp" // the data port, which mostly speaks AT too: the last one
)

// adapter says that a device is a USB serial adapter (FTDI, Prolific, Silicon
// Labs, WCH, MosChip, Moxa): each of its ports may have a modem of its own.
func adapter(vid uint16) bool {
	switch vid {
	case 0x0403, 0x067b, 0x10c4, 0x1a86, 0x9710, 0x110a:
		return true
	}
	return false
}

// candidate is a port that may be a modem's AT port.
type candidate struct {
	place
	device string // its path now
	rank   int    // lower is asked first
	listed bool   // the rules say that this is the AT port
	hush   string // PortRule.Hush
}

// group is the ports among which one modem's AT port is looked for.
type group struct {
	name       string // of the USB device, and of the port where it is an adapter
	candidates []candidate
	// early: the interface that the rules give for AT is there, and no driver has
	// taken it yet.
	early bool
}

// groups sorts a device's serial ports: one group of a modem, with the ports
// that may be asked in the order of the least risk; one for each port of an
// adapter. Ports that are known to be for something else are in none.
func groups(d USBDevice, rules []PortRule) []group {
	if !Diagnose(d).None() {
		return nil
	}
	var all []candidate
	early := false
	for _, i := range d.Interfaces {
		// Vendor-specific, or an abstract control model of CDC.
		if i.Class != classVendor && (i.Class != classCDC || i.SubClass != 0x02) {
			continue
		}
		rule := ruleOf(d, i, rules)
		rank, ok := rank(rule.Role, i.Number)
		if !ok {
			continue
		}
		early = early || rule.Role == RoleAT && len(i.Ports) == 0
		for n, device := range i.Ports {
			all = append(all, candidate{place{d.Path, i.Number, n}, device, rank, rule.Role == RoleAT, rule.Hush})
		}
	}
	if len(all) == 0 {
		return nil
	}
	if adapter(d.VID) {
		var list []group
		for _, c := range all {
			list = append(list, group{name: c.place.String(), candidates: []candidate{c}})
		}
		return list
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	return []group{{usbPrefix + d.Path, all, early && !all[0].listed}}
}

// rank orders a device's interfaces by their roles; not ok: leave it alone.
func rank(role string, number int) (rank int, ok bool) {
	const first, unknown, last = 0, 1000, 2000
	switch role {
	case RoleAT:
		return first + number, true
	case RolePPP:
		return last + number, true
	case "":
		return unknown + number, true
	}
	return 0, false
}

// ruleOf is the rule for an interface, the zero rule when there is none. A
// device's own rules win over those of its maker, and a rule that names the
// interface or its protocol over one for all.
func ruleOf(d USBDevice, i USBInterface, rules []PortRule) PortRule {
	for _, pid := range []uint16{d.PID, 0} {
		var found PortRule
		best, known := -1, false
		for _, r := range rules {
			if r.VID != d.VID || r.PID != pid {
				continue
			}
			known = true
			if r.Interface >= 0 && r.Interface != i.Number || r.Protocol != 0 && r.Protocol != i.Protocol {
				continue
			}
			exact := 0
			if r.Interface >= 0 {
				exact += 2
			}
			if r.Protocol != 0 {
				exact++
			}
			if exact > best {
				found, best = r, exact
			}
		}
		if known {
			return found
		}
	}
	return PortRule{}
}
