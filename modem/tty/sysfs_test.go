package tty

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUSBDevices(t *testing.T) {
	b := newBus(t)
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, serial: "0123", bare: []int{4},
		ports: map[int]*wire{0: {name: "ttyUSB9"}, 2: {name: "ttyUSB10"}}})
	b.plug(stick{path: "1-1.1", vid: 0x1546, pid: 0x1010, class: [3]uint8{2, 2, 1}, ports: map[int]*wire{6: {name: "ttyACM0"}}})
	b.plug(stick{path: "1-1", vid: 0x1d6b, pid: 2, class: [3]uint8{9, 0, 0}, bare: []int{0}})

	list, err := b.tree.USBDevices()
	require.NoError(t, err)
	require.Equal(t, []USBDevice{
		{Path: "1-1", Number: 3, VID: 0x1d6b, PID: 2, Product: "Mobile", Interfaces: []USBInterface{{Class: 9}}},
		{Path: "1-1.1", Number: 2, VID: 0x1546, PID: 0x1010, Product: "Mobile",
			Interfaces: []USBInterface{{6, 2, 2, 1, []string{filepath.Join(b.tree.Dev, "ttyACM0")}}}},
		{Path: "1-1.2", Number: 1, VID: 0x2c7c, PID: 0x0125, Serial: "0123", Product: "Mobile",
			Interfaces: []USBInterface{
				{0, 0xff, 0, 0, []string{filepath.Join(b.tree.Dev, "ttyUSB9")}},
				{2, 0xff, 0, 0, []string{filepath.Join(b.tree.Dev, "ttyUSB10")}},
				{4, 0xff, 0, 0, nil},
			}},
	}, list)

	// One that goes while it is looked at is left out; nonsense is said.
	require.NoError(t, os.Remove(b.tree.sys("bus/usb/devices/1-1.1/devnum")))
	list, err = b.tree.USBDevices()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.NoError(t, os.WriteFile(b.tree.sys("bus/usb/devices/1-1/idVendor"), []byte("?\n"), 0o644))
	_, err = b.tree.USBDevices()
	require.ErrorContains(t, err, "1-1: idVendor")

	_, err = Tree{Sys: filepath.Join(t.TempDir(), "none")}.USBDevices()
	require.True(t, absent(err), err)
}

func TestPlaces(t *testing.T) {
	b := newBus(t)
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, bare: []int{4}, ports: map[int]*wire{2: {name: "ttyUSB10"}}})
	for _, row := range []struct {
		name, device string
		err          error
	}{
		{"usb:1-1.2:2", "ttyUSB10", nil},
		{"usb:1-1.2:2.1", "", ErrAbsent},
		{"usb:1-1.2:4", "", ErrAbsent},
		{"usb:1-1.2:7", "", ErrAbsent},
		{"usb:1-1.3:2", "", ErrAbsent},
		{"usb:1-1.2", "", ErrName},
		{"usb:1-1.2:", "", ErrName},
		{"usb:1-1.2:2.", "", ErrName},
		{"usb:1-1.2:-2", "", ErrName},
		{"usb:1-1/../1-1.2:2", "", ErrName},
		{"usb::2", "", ErrName},
	} {
		p, err := parsePlace(row.name)
		var device string
		if err == nil {
			require.Equal(t, row.name, p.String())
			require.Equal(t, p.path, USBPath(row.name))
			device, err = b.tree.device(p)
		}
		require.ErrorIs(t, err, row.err, row.name)
		require.Equal(t, row.err == ErrName, USBPath(row.name) == "", row.name)
		if err == nil {
			require.Equal(t, filepath.Join(b.tree.Dev, row.device), device)
		}
	}
	_, err := Open(t.Context(), "usb:99-99:0")
	require.True(t, errors.Is(err, ErrAbsent), err)
}

func FuzzPlace(f *testing.F) {
	for _, s := range []string{"usb:1-1.2:2", "usb:1-1.2:0.3", "usb:", "usb:1-1:256", "usb:1-1:1.1.1", "usb:1-1:0.0", "usb:1-1:+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := parsePlace(name)
		if err != nil {
			require.ErrorIs(t, err, ErrName)
			return
		}
		again, err := parsePlace(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
		require.NotContains(t, p.path, "/")
	})
}

func TestRivals(t *testing.T) {
	b := newBus(t)
	require.Empty(t, b.tree.Rivals())
	for pid, program := range map[string]string{"7": "bash", "12": "ModemManager", "31": "smsd", "32": "smsd"} {
		require.NoError(t, os.MkdirAll(filepath.Join(b.tree.Proc, pid), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(b.tree.Proc, pid, "comm"), []byte(program+"\n"), 0o644))
	}
	for unit, events := range map[string]string{
		"ModemManager": "populated 1\n", "gammu-smsd": "populated 1\nfrozen 0\n", "smstools": "populated 0\n",
	} {
		dir := b.tree.sys("fs/cgroup/system.slice", unit+".service")
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.events"), []byte(events), 0o644))
	}
	require.Equal(t, []Rival{{"ModemManager", 12}, {"smsd", 31}, {"gammu-smsd", 0}}, b.tree.Rivals())
	require.Equal(t, "smsd runs (process 31) and may take the modems' ports: systemctl disable --now smstools", Rival{"smsd", 31}.String())
	require.Equal(t, "gammu-smsd runs and may take the modems' ports: systemctl disable --now gammu-smsd", Rival{"gammu-smsd", 0}.String())
}
