package tty

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ResetUSB takes the device at a USB path ("1-1.2") off the bus and brings it
// back: its drivers let go of it and take it anew, so that a port that hangs in
// the kernel is freed and a modem's USB side starts again. Its name usb:1-1.2:2
// stays, its ttyUSB numbers need not.
//
// It writes 0 and then 1 to the device's attribute authorized, and where that
// may not be written (a sandbox shows sysfs read-only) resets it by the ioctl
// USBDEVFS_RESET on /dev/bus/usb/BBB/DDD. Either takes a right that is not
// everybody's; the error says which. Hubs are refused: everything behind them
// would go too. ErrAbsent when nothing is plugged in there.
//
// A wedged device can hold the caller in the kernel for a minute: when ctx ends
// ResetUSB returns, and what it began is carried to its end behind it, so that
// no device is left switched off.
func (t Tree) ResetUSB(ctx context.Context, usbPath string) error {
	return reset{tree: t, off: 2 * time.Second, write: writeAttribute, ioctl: usbdevfsReset}.run(ctx, usbPath)
}

// reset is how ResetUSB goes about it, which only tests vary.
type reset struct {
	tree  Tree
	off   time.Duration // how long the device is kept off the bus
	write func(attribute, value string) error
	ioctl func(node string) error
}

func (r reset) run(ctx context.Context, path string) error {
	fail := func(err error) error { return fmt.Errorf("reset the USB device %s: %w", path, err) }
	if !validUSBPath(path) {
		return fail(fmt.Errorf("%w; a USB path is written 1-1.2", ErrName))
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	dir := r.tree.sys("bus/usb/devices", path)
	d, err := r.tree.usbDevice(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("%w: nothing is plugged in at %s", ErrAbsent, path))
	}
	if err != nil {
		return fail(err)
	}
	if class, err := attribute(dir, "bDeviceClass", 16, 8); err == nil && class == classHub {
		return fail(errors.New("it is a hub: everything that is plugged into it would go too"))
	}
	done := make(chan error, 1) // it ends when the kernel lets go, also when nobody waits any more
	go func() { done <- r.cycle(ctx, dir, d) }()
	select {
	case err := <-done:
		if err != nil {
			return fail(err)
		}
		return nil
	case <-ctx.Done():
	}
	// Mostly it only has to be switched on again.
	patience := time.NewTimer(closeGrace)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	return fail(context.Cause(ctx))
}

// cycle switches a device off and on, or resets it.
func (r reset) cycle(ctx context.Context, dir string, d USBDevice) error {
	authorized := filepath.Join(dir, "authorized")
	err := r.write(authorized, "0")
	if forbidden(err) {
		return r.byIoctl(authorized, err, d)
	}
	if err != nil {
		return fmt.Errorf("take it off the bus: %w", err)
	}
	pause := time.NewTimer(r.off)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done(): // it comes back all the same
	}
	for range 3 {
		// The kernel reads its descriptors again now, which a modem that is only
		// just starting may not answer the first time.
		if err = r.write(authorized, "1"); err == nil || absent(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("bring it back on the bus: %w", err)
	}
	return nil
}

// byIoctl resets a device whose authorized may not be written, because of why.
func (r reset) byIoctl(authorized string, why error, d USBDevice) error {
	node := filepath.Join(cmp.Or(r.tree.Dev, "/dev"), "bus/usb", fmt.Sprintf("%03d/%03d", d.Bus, d.Number))
	err := r.ioctl(node)
	switch {
	case err == nil:
		return nil
	case forbidden(err):
		hint := groupHint(node)
		if errors.Is(err, unix.EPERM) { // not a mode: a cgroup's list of devices
			hint = node + " is closed by the unit: it needs DeviceAllow=char-usb_device rw"
		}
		read := groupHint(authorized)
		if errors.Is(why, unix.EROFS) {
			read = authorized + " is read-only here"
		}
		return fmt.Errorf("%w: %s, and %s; the udev rule 60-recado-modems.rules gives the first to the group recado", ErrPermission, hint, read)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s is read-only or not ours, and %w: %s is not there", authorized, ErrAbsent, node)
	}
	return err
}

// usbdevfsReset is the ioctl USBDEVFS_RESET, _IO('U', 20) of
// linux/usbdevice_fs.h, on a device's node. It may sleep in the kernel.
func usbdevfsReset(node string) error {
	const request = 'U'<<8 | 20
	fd, err := unix.Open(node, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: node, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetInt(fd, request, 0); err != nil {
		return &fs.PathError{Op: "reset", Path: node, Err: err}
	}
	return nil
}

// writeAttribute writes an attribute of sysfs, which must be there already.
func writeAttribute(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// forbidden says that an error is about rights.
func forbidden(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
}
