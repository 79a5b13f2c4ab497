package tty

import (
	"cmp"
	"fmt"
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
}

// Roles of a port that Discovery may choose.
const (
	RoleAT  = "at"  // the AT port for control: the first choice
	RolePPP = "ppp" // the data port, which mostly speaks AT too: the last one
)

// USB class codes (usb.org, "Defined Class Codes").
const (
	classCDC     = 0x02
	classStorage = 0x08
	classRadio   = 0xe0 // wireless controller: RNDIS
	classVendor  = 0xff
)

// known makers of modems; their devices are told about when they cannot be used.
var makers = map[uint16]string{
	0x12d1: "Huawei", 0x19d2: "ZTE", 0x2c7c: "Quectel", 0x1e0e: "SIMCom", 0x1bc7: "Telit",
	0x1546: "u-blox", 0x1199: "Sierra", 0x1e2d: "Cinterion", 0x1410: "Novatel",
}

// adapter says that a device is a USB serial adapter (FTDI, Prolific, Silicon
// Labs, WCH, MosChip, Moxa): each of its ports may have a modem of its own.
func adapter(vid uint16) bool {
	switch vid {
	case 0x0403, 0x067b, 0x10c4, 0x1a86, 0x9710, 0x110a:
		return true
	}
	return false
}

// Trouble says in plain words why a USB device that is a modem cannot be used
// as it is, and what to do; "" for every other device.
func Trouble(d USBDevice) string {
	if d.VID == 0x05c6 && d.PID == 0x9008 {
		return "a Qualcomm modem in download mode (QDL): its firmware has crashed or is damaged; unplug it and plug it in again, and replace it if that does not help"
	}
	maker := makers[d.VID]
	if maker == "" || d.ports() > 0 {
		return ""
	}
	has := func(fits func(USBInterface) bool) bool { return slices.ContainsFunc(d.Interfaces, fits) }
	switch {
	case d.VID == 0x12d1 && has(network):
		return "a Huawei modem with HiLink firmware, which is a network card without AT port: it needs the stick firmware, or another modem"
	case has(network):
		return fmt.Sprintf("a %s modem that shows itself as a network card only: switch it to a mode with serial ports", maker)
	case has(func(i USBInterface) bool { return i.Class == classStorage }):
		return fmt.Sprintf("a %s modem that shows itself as a disk: install usb-modeswitch and plug it in again", maker)
	case has(func(i USBInterface) bool { return i.Class == classVendor }):
		return fmt.Sprintf("a %s modem whose serial ports have no driver: load the kernel module option", maker)
	}
	return ""
}

// network says that an interface is a network card: CDC Ethernet and NCM, RNDIS,
// Huawei's own NCM.
func network(i USBInterface) bool {
	return i.Class == classCDC && (i.SubClass == 0x06 || i.SubClass == 0x0d) ||
		i.Class == classRadio && i.SubClass == 0x01 && i.Protocol == 0x03 ||
		i.Class == classVendor && i.SubClass == 0x02 && i.Protocol == 0x16
}

// candidate is a port that may be a modem's AT port.
type candidate struct {
	place
	device string // its path now
	rank   int    // lower is asked first
	listed bool   // the rules say that this is the AT port
}

// group is the ports among which one modem's AT port is looked for.
type group struct {
	name       string // of the USB device, and of the port where it is an adapter
	candidates []candidate
}

// groups sorts a device's serial ports: one group of a modem, with the ports
// that may be asked in the order of the least risk; one for each port of an
// adapter. Ports that are known to be for something else are in none.
func groups(d USBDevice, rules []PortRule) []group {
	if Trouble(d) != "" {
		return nil
	}
	var all []candidate
	for _, i := range d.Interfaces {
		// Vendor-specific, or an abstract control model of CDC.
		if i.Class != classVendor && (i.Class != classCDC || i.SubClass != 0x02) {
			continue
		}
		rank, listed, ok := rank(d, i, rules)
		if !ok {
			continue
		}
		for n, device := range i.Ports {
			all = append(all, candidate{place{d.Path, i.Number, n}, device, rank, listed})
		}
	}
	if len(all) == 0 {
		return nil
	}
	if adapter(d.VID) {
		var list []group
		for _, c := range all {
			list = append(list, group{c.place.String(), []candidate{c}})
		}
		return list
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.rank, b.rank) })
	return []group{{usbPrefix + d.Path, all}}
}

// rank orders a device's interfaces; not ok: leave it alone.
func rank(d USBDevice, i USBInterface, rules []PortRule) (rank int, listed, ok bool) {
	const first, unknown, last = 0, 1000, 2000
	switch role(d, i, rules) {
	case RoleAT:
		return first + i.Number, true, true
	case RolePPP:
		return last + i.Number, false, true
	case "":
		return unknown + i.Number, false, true
	}
	return 0, false, false
}

// role is what the rules say of an interface, "" when nothing. A device's own
// rules win over those of its maker, and a rule that names the interface or its
// protocol over one for all.
func role(d USBDevice, i USBInterface, rules []PortRule) string {
	for _, pid := range []uint16{d.PID, 0} {
		role, best, known := "", -1, false
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
				role, best = r.Role, exact
			}
		}
		if known {
			return role
		}
	}
	return ""
}
