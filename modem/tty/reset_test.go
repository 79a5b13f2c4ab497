package tty

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"recado/modem/emulator"
)

// kernel is the writing of a stick's attribute authorized, which does on the fake
// bus what it does on a real one: 0 takes the interfaces away, 1 brings them back
// with the ports that back gives. It says what was written.
func (b *bus) kernel(s stick, back func() map[int]*wire) (write func(attribute, value string) error, wrote <-chan string) {
	b.t.Helper()
	dir := b.tree.sys("bus/usb/devices", s.path)
	authorized := filepath.Join(dir, "authorized")
	require.NoError(b.t, os.WriteFile(authorized, []byte("1\n"), 0o644))
	said := make(chan string, 10)
	return func(attribute, value string) error {
		if err := writeAttribute(attribute, value); err != nil {
			return err
		}
		text, err := os.ReadFile(authorized)
		if err != nil {
			return err
		}
		switch string(text) {
		case "0":
			interfaces, _ := filepath.Glob(filepath.Join(dir, s.path+":1.*"))
			for _, i := range interfaces {
				os.RemoveAll(i)
			}
			for _, w := range s.ports {
				w.stop()
				os.Remove(filepath.Join(b.tree.Dev, w.name))
			}
			b.announce("remove", s.path)
		case "1":
			if back != nil {
				s.ports = back()
			}
			for n, w := range s.ports {
				b.face(dir, s, n, w)
			}
			b.announce("add", s.path)
		}
		said <- string(text)
		return nil
	}, said
}

func noIoctl(t *testing.T) func(string) error {
	return func(string) error {
		require.Fail(t, "the ioctl is for where authorized may not be written")
		return nil
	}
}

func TestReset(t *testing.T) {
	b := newBus(t)
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0")}}
	b.plug(s)
	write, wrote := b.kernel(s, nil)
	require.NoError(t, reset{tree: b.tree, off: time.Millisecond, write: write, ioctl: noIoctl(t)}.run(t.Context(), "1-1.2"))
	require.Equal(t, "0", <-wrote)
	require.Equal(t, "1", <-wrote)
}

// Whatever ends the reset, the device is switched on again.
func TestResetGivenUp(t *testing.T) {
	b := newBus(t)
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0")}}
	b.plug(s)
	write, wrote := b.kernel(s, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	done := make(chan error)
	go func() { done <- reset{tree: b.tree, off: time.Hour, write: write, ioctl: noIoctl(t)}.run(ctx, "1-1.2") }()
	require.Equal(t, "0", <-wrote)
	cancel(stopping)
	require.ErrorIs(t, <-done, stopping)
	require.Equal(t, "1", <-wrote)
}

// Where sysfs is read-only, or not ours, the ioctl does it.
func TestResetByIoctl(t *testing.T) {
	b := newBus(t)
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0")}})
	dir := b.tree.sys("bus/usb/devices/1-1.2")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "busnum"), []byte("3\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "devnum"), []byte("17\n"), 0o644))
	var node string
	var refused, answer error
	r := reset{tree: b.tree, off: time.Hour,
		write: func(attribute, value string) error {
			require.Equal(t, "0", value)
			return &fs.PathError{Op: "open", Path: attribute, Err: refused}
		},
		ioctl: func(n string) error { node = n; return answer },
	}
	authorized := filepath.Join(dir, "authorized")
	for _, refused = range []error{unix.EACCES, unix.EPERM, unix.EROFS} {
		node = ""
		require.NoError(t, r.run(t.Context(), "1-1.2"))
		require.Equal(t, filepath.Join(b.tree.Dev, "bus/usb/003/017"), node)
	}

	// Neither: it says what is missing.
	require.NoError(t, os.MkdirAll(filepath.Dir(node), 0o755))
	require.NoError(t, os.WriteFile(node, nil, 0o664))
	require.NoError(t, os.Chmod(node, 0o664))
	answer = &fs.PathError{Op: "open", Path: node, Err: unix.EACCES}
	err := r.run(t.Context(), "1-1.2")
	require.ErrorIs(t, err, ErrPermission)
	require.ErrorContains(t, err, node+" is for group")
	require.ErrorContains(t, err, authorized+" is read-only here")
	require.ErrorContains(t, err, "60-recado-modems.rules")
	answer = &fs.PathError{Op: "open", Path: node, Err: unix.EPERM}
	require.ErrorContains(t, r.run(t.Context(), "1-1.2"), "DeviceAllow=char-usb_device rw")
	answer = &fs.PathError{Op: "open", Path: node, Err: unix.ENOENT}
	require.ErrorIs(t, r.run(t.Context(), "1-1.2"), ErrAbsent)
	answer = &fs.PathError{Op: "reset", Path: node, Err: unix.EIO}
	require.ErrorIs(t, r.run(t.Context(), "1-1.2"), unix.EIO)
}

// The real ioctl on a real file: a node that is no USB device refuses it, and no
// descriptor stays behind.
func TestResetIoctlIsReal(t *testing.T) {
	node := filepath.Join(t.TempDir(), "001")
	require.ErrorIs(t, usbdevfsReset(node), fs.ErrNotExist)
	require.NoError(t, os.WriteFile(node, nil, 0o600))
	before := descriptors(t)
	err := usbdevfsReset(node)
	require.ErrorIs(t, err, unix.ENOTTY)
	require.ErrorContains(t, err, "reset "+node)
	require.Equal(t, before, descriptors(t))
}

func TestResetRefuses(t *testing.T) {
	b := newBus(t)
	r := reset{tree: b.tree, write: writeAttribute, ioctl: noIoctl(t)}
	for _, path := range []string{"", "usb1", "1", "../1-1", "1-1.2:1.0", "1-1/authorized", "1-", "-1", "1-1..2", "tcp:1-1"} {
		require.ErrorIs(t, r.run(t.Context(), path), ErrName, path)
	}
	require.ErrorIs(t, r.run(t.Context(), "1-1.2"), ErrAbsent)
	b.plug(stick{path: "1-1", vid: 0x1d6b, pid: 2, class: [3]uint8{9, 0, 0}, bare: []int{0}})
	dir := b.tree.sys("bus/usb/devices/1-1")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bDeviceClass"), []byte("09\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "authorized"), []byte("1\n"), 0o644))
	require.ErrorContains(t, r.run(t.Context(), "1-1"), "hub")
	text, err := os.ReadFile(filepath.Join(dir, "authorized"))
	require.NoError(t, err)
	require.Equal(t, "1\n", string(text))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.run(ctx, "1-1"), context.Canceled)
}

// After a reset the device enumerates anew: the name of its port leads to it,
// whatever the port is called now, and discovery neither drops nor adds it.
func TestResetIsFollowed(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Rescan = 10 * time.Millisecond })
	m := f.modem(emulator.ModemOptions{})
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", m)}}
	f.run()
	b.plug(s)
	f.says("+usb:1-1.2:2")
	n := 0
	write, wrote := b.kernel(s, func() map[int]*wire {
		n++
		return map[int]*wire{2: b.speaking(fmt.Sprintf("ttyUSB%d", n), m)}
	})
	for range 3 {
		require.NoError(t, reset{tree: b.tree, off: 20 * time.Millisecond, write: write, ioctl: noIoctl(t)}.run(t.Context(), "1-1.2"))
		require.Equal(t, "0", <-wrote)
		require.Equal(t, "1", <-wrote)
		require.Equal(t, m.IMEI(), f.imei("usb:1-1.2:2"))
	}
	b.plug(stick{path: "1-1.3", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB9", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.3:2") // and nothing else was reported before
}

// descriptors counts this process's open ones.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}

// A modem that does not answer at once when its descriptors are read again gets
// another chance, and the caller is not held by one that never does.
func TestResetOfAStubbornDevice(t *testing.T) {
	b := newBus(t)
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0")}}
	b.plug(s)
	write, wrote := b.kernel(s, nil)
	refusals := 2
	r := reset{tree: b.tree, ioctl: noIoctl(t), write: func(attribute, value string) error {
		if value == "1" && refusals > 0 {
			refusals--
			return &fs.PathError{Op: "write", Path: attribute, Err: unix.EPROTO}
		}
		return write(attribute, value)
	}}
	require.NoError(t, r.run(t.Context(), "1-1.2"))
	require.Equal(t, "0", <-wrote)
	require.Equal(t, "1", <-wrote)
	refusals = 3
	err := r.run(t.Context(), "1-1.2")
	require.ErrorIs(t, err, unix.EPROTO)
	require.ErrorContains(t, err, "bring it back on the bus")
	require.Equal(t, "0", <-wrote)

	wedged, freed := make(chan struct{}), make(chan struct{})
	r.write = func(attribute, value string) error {
		if value == "0" {
			close(wedged)
			<-freed
		}
		return write(attribute, value)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.run(ctx, "1-1.2") }()
	<-wedged
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	close(freed)
	require.Equal(t, "0", <-wrote)
	require.Equal(t, "1", <-wrote, "it is brought back although nobody waits any more")
}
