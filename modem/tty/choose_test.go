package tty

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var testRules = []PortRule{
	{VID: 0x2c7c, Interface: 0, Role: "diag"},
	{VID: 0x2c7c, Interface: 1, Role: "gps"},
	{VID: 0x2c7c, Interface: 2, Role: RoleAT},
	{VID: 0x2c7c, Interface: 3, Role: RolePPP},
	{VID: 0x2c7c, PID: 0x0128, Interface: 5, Role: RoleAT},
	{VID: 0x12d1, Interface: -1, Protocol: 0x02, Role: RoleAT},
	{VID: 0x12d1, Interface: -1, Protocol: 0x14, Role: "gps"},
	{VID: 0x1546, PID: 0x1010, Interface: 6, Role: RoleAT},
	{VID: 0x1546, PID: 0x1010, Interface: -1, Role: "ignore"},
}

// device makes a device whose interface n has the port "n".
func device(vid, pid uint16, class [3]uint8, interfaces ...int) USBDevice {
	d := USBDevice{Path: "1-1", VID: vid, PID: pid}
	for _, n := range interfaces {
		d.Interfaces = append(d.Interfaces, USBInterface{n, class[0], class[1], class[2], []string{string(rune('0' + n))}})
	}
	return d
}

func TestGroups(t *testing.T) {
	vendor := [3]uint8{0xff, 0, 0}
	huawei := device(0x12d1, 0x1506, vendor, 0, 1, 2)
	huawei.Interfaces[1].Protocol = 0x14
	huawei.Interfaces[2].Protocol = 0x02
	multi := device(0x110a, 0x1450, vendor, 0)
	multi.Interfaces[0].Ports = []string{"a", "b"}
	for _, row := range []struct {
		what   string
		device USBDevice
		want   [][]string // of each group: the places, in the order of asking
	}{
		{"the table's port first, data last, diagnostics never", device(0x2c7c, 0x0125, vendor, 0, 1, 2, 3, 4), [][]string{{"usb:1-1:2", "usb:1-1:4", "usb:1-1:3"}}},
		{"a device's own rules win over its maker's", device(0x2c7c, 0x0128, vendor, 0, 2, 5), [][]string{{"usb:1-1:5", "usb:1-1:0", "usb:1-1:2"}}},
		{"by protocol", huawei, [][]string{{"usb:1-1:2", "usb:1-1:0"}}},
		{"all others of a device", device(0x1546, 0x1010, [3]uint8{2, 2, 1}, 0, 2, 6), [][]string{{"usb:1-1:6"}}},
		{"unknown: ascending", device(0xabcd, 1, vendor, 1, 2), [][]string{{"usb:1-1:1", "usb:1-1:2"}}},
		{"a serial adapter: each port for itself", device(0x0403, 0x6011, vendor, 0, 1), [][]string{{"usb:1-1:0"}, {"usb:1-1:1"}}},
		{"an adapter with several ports to an interface", multi, [][]string{{"usb:1-1:0"}, {"usb:1-1:0.1"}}},
		{"another CDC model", device(0xabcd, 1, [3]uint8{2, 6, 0}, 0), nil},
		{"a printer", device(0xabcd, 1, [3]uint8{7, 1, 2}, 0), nil},
		{"a crashed modem", device(0x05c6, 0x9008, vendor, 0), nil},
	} {
		var got [][]string
		for _, g := range groups(row.device, testRules) {
			var names []string
			for _, c := range g.candidates {
				names = append(names, c.place.String())
			}
			got = append(got, names)
		}
		require.Equal(t, row.want, got, row.what)
	}
}

// The AT port is waited for when its driver has not taken it yet; not when there
// is one already.
func TestEarly(t *testing.T) {
	vendor := [3]uint8{0xff, 0, 0}
	bare := func(d USBDevice, n int) USBDevice {
		d.Interfaces[n].Ports = nil
		return d
	}
	require.True(t, groups(bare(device(0x2c7c, 0x0125, vendor, 2, 3), 0), testRules)[0].early)
	require.False(t, groups(bare(device(0x2c7c, 0x0125, vendor, 2, 3, 4), 2), testRules)[0].early)
	two := device(0x12d1, 0x1506, [3]uint8{0xff, 1, 2}, 0, 1)
	require.False(t, groups(bare(two, 1), testRules)[0].early)
	require.True(t, groups(bare(device(0x12d1, 0x1506, [3]uint8{0xff, 1, 2}, 0, 1), 1), testRules)[0].candidates[0].listed)
}
