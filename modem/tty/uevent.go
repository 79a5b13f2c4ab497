package tty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/pilebones/go-udev/netlink"
	"golang.org/x/sys/unix"
)

// openUevents opens the kernel's and udev's announcements of devices that come
// and go. Each Read is one event. The library's own reading cannot be stopped;
// Go's poller can.
func openUevents() (io.ReadCloser, error) {
	var c netlink.UEventConn
	// The library opens without SOCK_CLOEXEC.
	syscall.ForkLock.RLock()
	// The kernel's come first; udev's say that permissions are set.
	err := c.Connect(netlink.KernelEvent | netlink.UdevEvent)
	if err == nil {
		unix.CloseOnExec(c.Fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel's device events: %w", err)
	}
	if err := unix.SetNonblock(c.Fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("listen to the kernel's device events: %w", err), c.Close())
	}
	return os.NewFile(uintptr(c.Fd), "uevents"), nil
}

// hearken calls hint for every event that may concern a modem, until ctx ends or
// the source does. Events say only "look again": what is true stands in sysfs.
func hearken(ctx context.Context, events io.ReadCloser, hint func()) error {
	stop := context.AfterFunc(ctx, func() { events.Close() })
	defer func() {
		if stop() {
			events.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := events.Read(buf)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS): // some were lost
			hint()
		case err != nil:
			return fmt.Errorf("read a device event: %w", err)
		case concerns(buf[:n]):
			hint()
		}
	}
}

// concerns says whether an event is of a USB device or a serial port. What
// cannot be read might be.
func concerns(message []byte) bool {
	if !bytes.Contains(message, []byte{0}) { // the parser needs one
		return true
	}
	e, err := netlink.ParseUEvent(bytes.Clone(message))
	if err != nil {
		return true
	}
	switch e.Env["SUBSYSTEM"] {
	case "usb", "tty", "usb-serial", "":
		return true
	}
	return false
}
