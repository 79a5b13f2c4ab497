package tty

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Trouble is why a USB device or a port cannot be used as it is. The zero value
// says that nothing is wrong.
type Trouble struct {
	// Code is stable: pages translate by it.
	Code string
	// Says what is the matter and Do what to do about it, in English; the device
	// or port is named by who shows it.
	Says, Do string
}

// None says that nothing is wrong.
func (t Trouble) None() bool { return t == Trouble{} }

// String is both in one line; "" when nothing is wrong.
func (t Trouble) String() string {
	if t.Do == "" {
		return t.Says
	}
	return t.Says + ": " + t.Do
}

// Codes of Trouble.
const (
	// Of USB devices.
	CodeQDL          = "usb_download_mode" // a Qualcomm chip without its firmware
	CodeHiLink       = "usb_hilink"        // Huawei firmware that is a network card
	CodeNetworkOnly  = "usb_network_only"  // any other modem that shows no serial port
	CodeStorage      = "usb_storage_mode"  // still the disk with its drivers
	CodeNoDriver     = "usb_no_driver"     // serial interfaces that no driver took
	CodeUnauthorized = "usb_unauthorized"  // switched off in sysfs
	// Of ports.
	CodeBusy       = "port_busy"       // another program holds it
	CodeTwice      = "port_twice"      // we hold it, under another name
	CodeShared     = "port_shared"     // we hold it, and another program has it open too
	CodePermission = "port_permission" // this user may not open it
	CodeAbsent     = "port_absent"     // not there
	CodeNotTTY     = "port_not_tty"    // a path that is no serial port
	CodeName       = "port_name"       // not a port's name
	CodeWrong      = "port_wrong"      // a modem's port that is not for AT
	CodeConsole    = "port_console"    // the kernel's console, or a login
	CodeSilent     = "port_silent"     // nothing answers AT
	CodeMoved      = "port_moved"      // the device is there, its chosen port is not
	CodeOther      = "port_other"      // anything else
)

// USB class codes (usb.org, "Defined Class Codes").
const (
	classCDC     = 0x02
	classStorage = 0x08
	classHub     = 0x09
	classRadio   = 0xe0 // wireless controller: RNDIS
	classVendor  = 0xff
)

// known makers of modems; their devices are told about when they cannot be used.
var makers = map[uint16]string{
	0x12d1: "Huawei", 0x19d2: "ZTE", 0x2c7c: "Quectel", 0x1e0e: "SIMCom", 0x1bc7: "Telit",
	0x1546: "u-blox", 0x1199: "Sierra", 0x1e2d: "Cinterion", 0x1410: "Novatel",
}

// Diagnose says why a USB device that is a modem cannot be used as it is; no
// trouble for every other device.
func Diagnose(d USBDevice) Trouble {
	if d.VID == 0x05c6 && d.PID == 0x9008 {
		return Trouble{CodeQDL, "a Qualcomm modem in download mode (QDL): its firmware has crashed or is damaged",
			"unplug it and plug it in again, and replace it if that does not help"}
	}
	maker := makers[d.VID]
	if maker == "" || d.ports() > 0 {
		return Trouble{}
	}
	has := func(fits func(USBInterface) bool) bool { return slices.ContainsFunc(d.Interfaces, fits) }
	switch {
	case d.Unauthorized:
		return Trouble{CodeUnauthorized, fmt.Sprintf("a %s modem that is switched off in the system", maker),
			fmt.Sprintf("write 1 to /sys/bus/usb/devices/%s/authorized, or unplug it and plug it in again", d.Path)}
	case d.VID == 0x12d1 && has(network):
		return Trouble{CodeHiLink, "a Huawei modem with HiLink firmware, which is a network card without AT port",
			"it needs the stick firmware, or another modem"}
	case has(network):
		return Trouble{CodeNetworkOnly, fmt.Sprintf("a %s modem that shows itself as a network card only", maker),
			"switch it to a mode with serial ports"}
	case has(func(i USBInterface) bool { return i.Class == classStorage }):
		return Trouble{CodeStorage, fmt.Sprintf("a %s modem that shows itself as a disk", maker),
			"install usb-modeswitch and plug it in again"}
	case has(func(i USBInterface) bool { return i.Class == classVendor }):
		return Trouble{CodeNoDriver, fmt.Sprintf("a %s modem whose serial ports have no driver", maker),
			"load the kernel module option"}
	}
	return Trouble{}
}

// network says that an interface is a network card: CDC Ethernet and NCM, RNDIS,
// Huawei's own NCM.
func network(i USBInterface) bool {
	return i.Class == classCDC && (i.SubClass == 0x06 || i.SubClass == 0x0d) ||
		i.Class == classRadio && i.SubClass == 0x01 && i.Protocol == 0x03 ||
		i.Class == classVendor && i.SubClass == 0x02 && i.Protocol == 0x16
}

// TroubleOf puts an error of Open, or of anything else that a port said, into
// words and a code. The zero Trouble for nil.
func TroubleOf(err error) Trouble {
	if err == nil {
		return Trouble{}
	}
	says := strings.ReplaceAll(err.Error(), "\n", "; ")
	if busy, ok := errors.AsType[*BusyError](err); ok {
		if busy.ours() {
			return Trouble{CodeTwice, busy.Name + " is in use under another name already", "name it once"}
		}
		return Trouble{CodeBusy, busy.Error(), "stop that program, or tell it to leave this modem alone"}
	}
	for _, known := range []struct {
		err      error
		code, do string
	}{
		{ErrBusy, CodeBusy, "stop that program, or tell it to leave this modem alone"},
		{ErrPermission, CodePermission, "add the user that Recado runs as to that group, and start it again"},
		{ErrNotTTY, CodeNotTTY, "name a port such as /dev/ttyUSB2"},
		{ErrName, CodeName, "name a path such as /dev/ttyUSB2, usb:1-1.2:2, or tcp:HOST:PORT"},
		{ErrAbsent, CodeAbsent, "check the cable, the power and the name"},
		{errSilent, CodeSilent, "wait if it has just been plugged in, else unplug it and plug it in again"},
		{ErrGone, CodeAbsent, "check the cable and the power"},
	} {
		if errors.Is(err, known.err) {
			return Trouble{known.code, says, known.do}
		}
	}
	return Trouble{CodeOther, says, ""}
}
