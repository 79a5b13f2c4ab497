package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// refuseDiscover explains why --discover is not taken yet, with the ports that could be named
// instead. A modem has several ports and answers on few of them; opening the wrong one
// can wedge it, so guessing is no first version of discovery.
func refuseDiscover() error {
	ports := usbPorts("/sys/class/tty")
	if len(ports) == 0 {
		return usagef("--discover is not in this version: name each modem's port with --modem; no USB serial port is to be seen now")
	}
	return usagef("--discover is not in this version: name the port of each modem that answers AT with --modem; USB serial ports now: %s",
		strings.Join(ports, ", "))
}

// usbPorts are the USB serial ports below a sysfs folder like /sys/class/tty.
func usbPorts(sysfs string) []string {
	var ports []string
	for _, pattern := range []string{"ttyUSB*", "ttyACM*"} {
		found, _ := filepath.Glob(filepath.Join(sysfs, pattern)) // the pattern is well formed
		for _, path := range found {
			// Without a device behind it the name is a leftover.
			if _, err := os.Stat(filepath.Join(path, "device")); err == nil {
				ports = append(ports, "/dev/"+filepath.Base(path))
			}
		}
	}
	slices.Sort(ports)
	return ports
}
