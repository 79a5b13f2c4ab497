package tty

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Surveyed is a USB device that is a modem or may be one, as a Survey sees it.
type Surveyed struct {
	Device USBDevice
	// Maker is the modem maker whose number the device has, "" for any other.
	Maker string
	// Trouble of the device as a whole; that of its ports is theirs.
	Trouble Trouble
	Ports   []SurveyedPort // the likeliest AT port first, those for something else last
}

// SurveyedPort is a serial port of a USB device.
type SurveyedPort struct {
	Name   string // as Open takes it: usb:1-1.2:2
	Device string // its path now: /dev/ttyUSB2
	// Role is what the port is for: RoleAT, RolePPP, "gps" and the like; "" not
	// known, it may be an AT port.
	Role string
	// Holder is who has it open, this process among them; nil when nobody is
	// seen.
	Holder  *BusyError
	Trouble Trouble
}

// Survey lists the USB devices that are modems or may be ones, with what is
// wrong with each, without opening anything: also beside a program that uses
// them. An error means that sysfs cannot be read; without USB the list is empty.
func (t Tree) Survey(rules []PortRule) ([]Surveyed, error) {
	devices, err := t.USBDevices()
	if err != nil && !absent(err) {
		return nil, err
	}
	consoles := t.consoles()
	var list []Surveyed
	for _, d := range devices {
		s := Surveyed{Device: d, Maker: makers[d.VID], Trouble: Diagnose(d)}
		for _, i := range d.Interfaces {
			role := ruleOf(d, i, rules).Role
			for n, device := range i.Ports {
				p := SurveyedPort{Name: place{d.Path, i.Number, n}.String(), Device: device, Role: role}
				p.Holder, p.Trouble = t.portTrouble(device)
				if slices.Contains(consoles, device) {
					p.Trouble = Trouble{CodeConsole, device + " is a console of this system, or has a login on it", "put the modem on another port"}
				}
				s.Ports = append(s.Ports, p)
			}
		}
		if len(s.Ports) == 0 && s.Trouble.None() {
			continue
		}
		slices.SortStableFunc(s.Ports, func(a, b SurveyedPort) int { return cmp.Compare(surveyRank(a.Role), surveyRank(b.Role)) })
		list = append(list, s)
	}
	return list, nil
}

// surveyRank puts the ports that may be for AT first.
func surveyRank(role string) int {
	if r, ok := rank(role, 0); ok {
		return r
	}
	return 9000
}

// Inspect says what is wrong with a port that an operator named, without opening
// it: that it is not there or closed to this user, held by another program, or a
// port of a modem that is not for AT. Nothing is known of tcp:HOST:PORT before it
// is dialled.
func (t Tree) Inspect(name string, rules []PortRule) Trouble {
	device := name
	switch {
	case strings.HasPrefix(name, "tcp:"):
		return Trouble{}
	case strings.HasPrefix(name, usbPrefix):
		p, err := parsePlace(name)
		if err == nil {
			device, err = t.device(p)
		}
		if err != nil {
			return TroubleOf(err)
		}
	case !strings.Contains(name, "/"):
		return TroubleOf(fmt.Errorf("port %q: %w", name, ErrName))
	}
	if slices.Contains(t.consoles(), device) {
		return Trouble{CodeConsole, device + " is a console of this system, or has a login on it", "put the modem on another port"}
	}
	if _, trouble := t.portTrouble(device); !trouble.None() {
		return trouble
	}
	return t.wrongPort(device, rules)
}

// wrongPort says that a device is a modem's port that the rules give for
// something other than AT, and which one is.
func (t Tree) wrongPort(device string, rules []PortRule) Trouble {
	target := resolved(device)
	devices, err := t.USBDevices()
	if err != nil {
		return Trouble{}
	}
	for _, d := range devices {
		for _, i := range d.Interfaces {
			if !slices.ContainsFunc(i.Ports, func(port string) bool { return resolved(port) == target }) {
				continue
			}
			role := ruleOf(d, i, rules).Role
			if _, ok := rank(role, 0); ok {
				return Trouble{}
			}
			do := "let --discover find the AT port"
			if g := groups(d, rules); len(g) > 0 {
				do = "name " + g[0].candidates[0].place.String() + " instead"
			}
			return Trouble{CodeWrong, fmt.Sprintf("%s is a modem's port for something else (%s)", device, role), do}
		}
	}
	return Trouble{}
}

// portTrouble looks at a device without opening it: who holds it, and what keeps
// us from it.
func (t Tree) portTrouble(device string) (*BusyError, Trouble) {
	target := resolved(device)
	if _, err := checkDevice(target); err != nil {
		return nil, TroubleOf(err)
	}
	if err := unix.Access(target, unix.R_OK|unix.W_OK); err != nil {
		return nil, TroubleOf(openError(target, err))
	}
	busy := system().holder(device)
	if busy != nil && !busy.ours() {
		return busy, TroubleOf(busy)
	}
	return busy, Trouble{}
}
