// Package tty opens the ports that modems are on, serial or TCP, and guards
// them: one owner, no descriptor inherited, no write without limit, no octet to
// a descriptor that has become something else. Discovery finds USB modems and
// follows them: Tree reads sysfs, kernel events say when to look again, a table
// and then the ports themselves say which of them speaks AT.
//
// go.bug.st/serial sets the line (raw, 115200 8N1); the octets themselves go
// through Go's poller on a descriptor of our own. The library's own reads and
// writes use select, which panics from descriptor 1024 on, block without limit
// on a wedged device, and after Close may touch whatever reused the number.
package tty

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Errors that callers branch on. The errors of Open wrap one of them, and say
// what to do.
var (
	// ErrBusy: another program holds the port; errors.As *BusyError says which.
	ErrBusy = errors.New("the port is busy")
	// ErrAbsent: there is no such device, or nothing listens at the address.
	ErrAbsent = errors.New("no such port")
	// ErrNotTTY: the path is no serial port.
	ErrNotTTY = errors.New("not a serial port")
	// ErrPermission: this user may not open it.
	ErrPermission = errors.New("no permission for the port")
	// ErrName: the name is neither a path nor usb:PATH:INTERFACE nor
	// tcp:HOST:PORT.
	ErrName = errors.New("not a port's name")
	// ErrGone: the port was unplugged, hung up, wedged or closed. Every error of
	// a guarded port's Read and Write matches it.
	ErrGone = errors.New("the port is gone")
)

// BusyError says who holds a port.
type BusyError struct {
	Name    string
	PID     int    // 0 when unknown
	Program string // "" when unknown
}

func (e *BusyError) Error() string {
	switch {
	case e.PID == 0:
		return fmt.Sprintf("%s is in use by another program", e.Name)
	case e.Program == "":
		return fmt.Sprintf("%s is in use by process %d", e.Name, e.PID)
	}
	return fmt.Sprintf("%s is in use by %s (process %d)", e.Name, e.Program, e.PID)
}

// Unwrap makes it match ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// writeTimeout is how long a device may take to accept one write: a PDU of 350
// characters needs 30 ms at 115200 baud and 0.4 s at 9600.
const writeTimeout = 5 * time.Second

// Port is what Open returns.
type Port struct {
	io.ReadWriteCloser
	lockFile string
	lockErr  error
	usbPath  string
}

// USBPath is where on the USB bus the port was when it was opened, "1-1.2"; ""
// when it is on none.
func (p *Port) USBPath() string { return p.usbPath }

// LockFile is the UUCP lock file that keeps other programs off. When it could
// not be made, the name is "" and the error says why: then only flock guards
// the port, which gammu and smsd do not look at. Both are empty for TCP.
func (p *Port) LockFile() (string, error) { return p.lockFile, p.lockErr }

// Open opens a port by the name that an operator gave it: the path of a serial
// device or pty (symbolic links are followed), usb:PATH:INTERFACE for what is
// plugged into a USB socket (usb:1-1.2:2), or tcp:HOST:PORT. The port is guarded
// as by Guard, and its dynamic type is *Port.
func Open(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	if addr, ok := strings.CutPrefix(name, "tcp:"); ok {
		conn, err := dial(ctx, name, addr)
		if err != nil {
			return nil, err
		}
		return &Port{ReadWriteCloser: Guard(conn, GuardOptions{})}, nil
	}
	if strings.HasPrefix(name, usbPrefix) {
		return system().openUSB(ctx, Tree{}, name)
	}
	if !strings.Contains(name, "/") {
		return nil, fmt.Errorf("open port %q: %w; give a path such as /dev/ttyUSB2, usb:1-1.2:2, or tcp:HOST:PORT", name, ErrName)
	}
	return system().openNamed(ctx, Tree{}, name)
}

// openNamed opens a port by a path, and finds out on which USB socket it is: the
// numbers in such names are given anew each time something is plugged in.
func (s settings) openNamed(ctx context.Context, t Tree, name string) (io.ReadWriteCloser, error) {
	port, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	port.usbPath = t.USBPathOf(name)
	return port, nil
}

// system are the settings of the running system; the folder of the lock files
// is the Filesystem Hierarchy Standard's.
func system() settings { return settings{lockDir: "/run/lock", writeTimeout: writeTimeout} }

// settings of serial ports, which only tests vary.
type settings struct {
	lockDir      string
	writeTimeout time.Duration
}

// open opens a serial port, and gives up waiting when ctx ends: opening a
// wedged USB device can sleep in the kernel.
func (s settings) open(ctx context.Context, name string) (*Port, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open port %s: %w", name, context.Cause(ctx))
	}
	type result struct {
		port *Port
		err  error
	}
	opened := make(chan result)
	go func() {
		port, err := s.openSerial(name)
		select {
		case opened <- result{port, err}:
		case <-ctx.Done():
			if port != nil {
				port.Close()
			}
		}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, r.err
		}
		return r.port, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open port %s: %w", name, context.Cause(ctx))
	}
}
