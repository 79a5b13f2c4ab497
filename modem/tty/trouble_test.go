package tty

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiagnose(t *testing.T) {
	with := func(vid, pid uint16, classes ...[3]uint8) USBDevice {
		d := USBDevice{Path: "1-1", VID: vid, PID: pid}
		for n, c := range classes {
			d.Interfaces = append(d.Interfaces, USBInterface{Number: n, Class: c[0], SubClass: c[1], Protocol: c[2]})
		}
		return d
	}
	off := with(0x2c7c, 0x0125)
	off.Unauthorized = true
	disk := [3]uint8{8, 6, 0x50}
	for _, row := range []struct {
		device     USBDevice
		code, says string
	}{
		{device(0x05c6, 0x9008, [3]uint8{0xff, 0, 0}, 0), CodeQDL, "download mode"},
		{with(0x12d1, 0x14dc, [3]uint8{2, 6, 0}, disk), CodeHiLink, "HiLink"},
		{with(0x12d1, 0x14db, [3]uint8{2, 6, 0}, [3]uint8{10, 0, 0}), CodeHiLink, "HiLink"},
		{with(0x12d1, 0x14db, [3]uint8{0xff, 2, 0x16}), CodeHiLink, "HiLink"},
		{with(0x19d2, 0x1405, [3]uint8{0xe0, 1, 3}), CodeNetworkOnly, "a ZTE modem that shows itself as a network card"},
		{with(0x12d1, 0x1f01, disk), CodeStorage, "usb-modeswitch"},
		{with(0x2c7c, 0x0125, [3]uint8{0xff, 0, 0}), CodeNoDriver, "kernel module option"},
		{off, CodeUnauthorized, "/sys/bus/usb/devices/1-1/authorized"},
	} {
		trouble := Diagnose(row.device)
		require.Equal(t, row.code, trouble.Code)
		require.Contains(t, trouble.String(), row.says)
		require.NotEmpty(t, trouble.Do, row.code)
	}
	require.True(t, Diagnose(with(0x0781, 0x5567, disk)).None(), "a memory stick")
	require.True(t, Diagnose(device(0x12d1, 0x1506, [3]uint8{0xff, 0, 0}, 0)).None(), "a stick with its ports")
}

func TestTroubleOf(t *testing.T) {
	for _, row := range []struct {
		err  error
		want Trouble
	}{
		{nil, Trouble{}},
		{&BusyError{Name: "/dev/ttyUSB2", PID: 1, Program: "smsd"}, Trouble{CodeBusy, "/dev/ttyUSB2 is in use by smsd (process 1)", "stop that program, or tell it to leave this modem alone"}},
		{&BusyError{Name: "/dev/ttyUSB2", PID: os.Getpid()}, Trouble{CodeTwice, "/dev/ttyUSB2 is in use under another name already", "name it once"}},
		{errors.New("odd\nindeed"), Trouble{CodeOther, "odd; indeed", ""}},
	} {
		require.Equal(t, row.want, TroubleOf(row.err))
	}
	for err, code := range map[error]string{
		ErrPermission: CodePermission, ErrNotTTY: CodeNotTTY, ErrName: CodeName, ErrAbsent: CodeAbsent, ErrGone: CodeAbsent, errSilent: CodeSilent, ErrBusy: CodeBusy,
	} {
		trouble := TroubleOf(fmt.Errorf("open port x: %w", err))
		require.Equal(t, code, trouble.Code)
		require.Contains(t, trouble.Says, err.Error())
		require.NotEmpty(t, trouble.Do)
	}
}
