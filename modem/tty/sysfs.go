package tty

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Tree is where the kernel shows its devices and processes. The zero value is
// the running system's; tests give folders of their own.
type Tree struct {
	Sys  string // "/sys" when ""
	Dev  string // "/dev" when ""
	Proc string // "/proc" when ""
}

func (t Tree) sys(parts ...string) string {
	return filepath.Join(append([]string{cmp.Or(t.Sys, "/sys")}, parts...)...)
}

// USBDevice is a device on the USB bus.
type USBDevice struct {
	// Path is the bus and the ports on the way to the device, "1-1.2": it stays
	// the same as long as the device is in the same socket.
	Path string
	// Number is the kernel's count of the bus: a device that was plugged in
	// anew, or reset itself off the bus, has another.
	Number int
	// Bus is the number of the bus, as in /dev/bus/usb/BUS/NUMBER; 0 not known.
	Bus                    int
	VID, PID               uint16
	Serial, Maker, Product string // "" when the device says none
	// Unauthorized: the kernel was told to let nobody use the device (its
	// attribute authorized is 0), and shows none of its interfaces.
	Unauthorized bool
	Interfaces   []USBInterface
}

// USBInterface is one function of a USB device (USB 2.0, 9.6.5).
type USBInterface struct {
	Number                    int // bInterfaceNumber
	Class, SubClass, Protocol uint8
	// Ports are the paths of its serial ports, "/dev/ttyUSB2": mostly one or
	// none. They are numbered as they come and are of no use as names.
	Ports []string
}

// ID is VID and PID as lsusb prints them: "2c7c:0125".
func (d USBDevice) ID() string { return fmt.Sprintf("%04x:%04x", d.VID, d.PID) }

// ports counts the serial ports.
func (d USBDevice) ports() int {
	n := 0
	for _, i := range d.Interfaces {
		n += len(i.Ports)
	}
	return n
}

// USBDevices lists the devices on the USB bus, by path, hubs among them. A
// device that goes while it is looked at is left out; an error means that
// there is no USB at all, or that sysfs cannot be read.
func (t Tree) USBDevices() ([]USBDevice, error) {
	root := t.sys("bus/usb/devices")
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("list the USB devices: %w", err)
	}
	var list []USBDevice
	for _, e := range entries {
		// usb1 is a root hub, 1-1.2:1.0 an interface, 1-1.2 a device.
		if name := e.Name(); strings.Contains(name, "-") && !strings.Contains(name, ":") {
			if d, err := t.usbDevice(filepath.Join(root, name)); err == nil {
				list = append(list, d)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("look at the USB device %s: %w", name, err)
			}
		}
	}
	slices.SortFunc(list, func(a, b USBDevice) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// usbDevice reads a device's folder; fs.ErrNotExist when it goes meanwhile.
func (t Tree) usbDevice(dir string) (USBDevice, error) {
	d := USBDevice{Path: filepath.Base(dir)}
	for name, into := range map[string]*uint16{"idVendor": &d.VID, "idProduct": &d.PID} {
		v, err := attribute(dir, name, 16, 16)
		if err != nil {
			return d, err
		}
		*into = uint16(v)
	}
	number, err := attribute(dir, "devnum", 10, 31)
	if err != nil {
		return d, err
	}
	d.Number = int(number)
	if bus, err := attribute(dir, "busnum", 10, 31); err == nil {
		d.Bus = int(bus)
	}
	if on, err := attribute(dir, "authorized", 10, 31); err == nil {
		d.Unauthorized = on == 0
	}
	for name, into := range map[string]*string{"serial": &d.Serial, "manufacturer": &d.Maker, "product": &d.Product} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil { // many devices have none
			*into = strings.TrimSpace(string(text))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return d, gone(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), d.Path+":") {
			i, err := t.usbInterface(filepath.Join(dir, e.Name()))
			if errors.Is(err, fs.ErrNotExist) {
				continue // the device has just changed its configuration
			}
			if err != nil {
				return d, err
			}
			d.Interfaces = append(d.Interfaces, i)
		}
	}
	slices.SortFunc(d.Interfaces, func(a, b USBInterface) int { return a.Number - b.Number })
	return d, nil
}

func (t Tree) usbInterface(dir string) (USBInterface, error) {
	var i USBInterface
	number, err := attribute(dir, "bInterfaceNumber", 16, 8)
	if err != nil {
		return i, err
	}
	i.Number = int(number)
	for name, into := range map[string]*uint8{
		"bInterfaceClass": &i.Class, "bInterfaceSubClass": &i.SubClass, "bInterfaceProtocol": &i.Protocol,
	} {
		v, err := attribute(dir, name, 16, 8)
		if err != nil {
			return i, err
		}
		*into = uint8(v)
	}
	// usb-serial's ports are children of the interface, cdc_acm's are below tty.
	var names []string
	for _, pattern := range []string{"ttyUSB*", "tty/ttyACM*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is well formed
		for _, f := range found {
			names = append(names, filepath.Base(f))
		}
	}
	slices.SortFunc(names, byNumber)
	for _, name := range names {
		i.Ports = append(i.Ports, filepath.Join(cmp.Or(t.Dev, "/dev"), name))
	}
	return i, nil
}

// byNumber puts ttyUSB9 before ttyUSB10.
func byNumber(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }

// attribute reads a number from a file of sysfs.
func attribute(dir, name string, base, bits int) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, gone(err)
	}
	v, err := strconv.ParseUint(strings.TrimSpace(string(text)), base, bits)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// gone makes one error of all those by which sysfs says that a device has just
// been unplugged.
func gone(err error) error {
	if absent(err) {
		return fs.ErrNotExist
	}
	return err
}

// consoles are the paths of the ports that the kernel itself writes to, and of
// those on which systemd offers a login.
func (t Tree) consoles() []string {
	var list []string
	if text, err := os.ReadFile(t.sys("class/tty/console/active")); err == nil {
		for name := range strings.FieldsSeq(string(text)) {
			list = append(list, filepath.Join(cmp.Or(t.Dev, "/dev"), name))
		}
	}
	// Without the right to see agetty's open files this is the only trace of it.
	const begin, end = "serial-getty@", ".service"
	gettys, _ := filepath.Glob(t.sys(`fs/cgroup/system.slice/system-serial\\x2dgetty.slice`, begin+"*"+end)) // well formed
	for _, g := range gettys {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(g), begin), end)
		list = append(list, filepath.Join(cmp.Or(t.Dev, "/dev"), name))
	}
	return list
}
