package tty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// usbPrefix begins the stable name of a USB modem's port.
const usbPrefix = "usb:"

// place is where a serial port is on the USB bus.
type place struct {
	path  string // of the device: "1-1.2"
	iface int    // bInterfaceNumber
	nth   int    // of the interface's ports; 0 for the first, mostly the only one
}

// String is the place as a port's name: usb:1-1.2:2, usb:1-1.2:0.3 for the
// fourth port of an interface.
func (p place) String() string {
	s := fmt.Sprintf("%s%s:%d", usbPrefix, p.path, p.iface)
	if p.nth > 0 {
		s += "." + strconv.Itoa(p.nth)
	}
	return s
}

// parsePlace reads what String writes.
func parsePlace(name string) (place, error) {
	fail := fmt.Errorf("open port %q: %w; a USB port is named usb:PATH:INTERFACE, as usb:1-1.2:2", name, ErrName)
	rest, ok := strings.CutPrefix(name, usbPrefix)
	path, where, found := strings.Cut(rest, ":")
	if !ok || !found || !validUSBPath(path) {
		return place{}, fail
	}
	number, nth, several := strings.Cut(where, ".")
	p := place{path: path}
	v, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return place{}, fail
	}
	p.iface = int(v)
	if several {
		if v, err = strconv.ParseUint(nth, 10, 8); err != nil {
			return place{}, fail
		}
		p.nth = int(v)
	}
	return p, nil
}

// validUSBPath says that a string is the path of a device on the USB bus as
// sysfs has it: BUS-PORT, then .PORT for each hub on the way (1-1.2).
func validUSBPath(path string) bool {
	bus, ports, found := strings.Cut(path, "-")
	if !found || !digits(bus) {
		return false
	}
	for port := range strings.SplitSeq(ports, ".") {
		if !digits(port) {
			return false
		}
	}
	return true
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// USBPath is the path in a name of the form usb:PATH:INTERFACE, "1-1.2"; "" for
// any other name.
func USBPath(name string) string {
	p, err := parsePlace(name)
	if err != nil {
		return ""
	}
	return p.path
}

// device finds what the port at a place is called now: "/dev/ttyUSB2".
func (t Tree) device(p place) (string, error) {
	d, err := t.usbDevice(t.sys("bus/usb/devices", p.path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: nothing is plugged in at %s; is the modem plugged in?", ErrAbsent, p)
	}
	if err != nil {
		return "", err
	}
	for _, i := range d.Interfaces {
		if i.Number == p.iface && p.nth < len(i.Ports) {
			return i.Ports[p.nth], nil
		}
	}
	return "", fmt.Errorf("%w: the device %s at %s has no serial port on interface %d", ErrAbsent, d.ID(), p.path, p.iface)
}

// USBPathOf is the path on the USB bus of what a port's name stands for now,
// "1-1.2": the name's own, or that of the device behind /dev/ttyUSB2 or a link
// in /dev/serial/by-id. "" when it is on no USB bus, or not there.
func (t Tree) USBPathOf(name string) string {
	if path := USBPath(name); path != "" || !strings.Contains(name, "/") || strings.HasPrefix(name, "tcp:") {
		return path
	}
	device := resolved(name)
	list, err := t.USBDevices()
	if err != nil {
		return ""
	}
	for _, d := range list {
		for _, i := range d.Interfaces {
			for _, port := range i.Ports {
				if resolved(port) == device {
					return d.Path
				}
			}
		}
	}
	return ""
}

// openUSB opens the port at a place, whatever it is called now.
func (s settings) openUSB(ctx context.Context, t Tree, name string) (io.ReadWriteCloser, error) {
	p, err := parsePlace(name)
	if err != nil {
		return nil, err
	}
	device, err := t.device(p)
	if err != nil {
		return nil, fmt.Errorf("open port %s: %w", name, err)
	}
	port, err := s.open(ctx, device)
	if err != nil {
		return nil, err
	}
	port.usbPath = p.path
	return port, nil
}

// absent says that an error means "not there, or not any more".
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) ||
		errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOTDIR)
}
