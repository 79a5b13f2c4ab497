package tty

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A survey says in words what is wrong with each device and each port, and opens
// none.
func TestSurvey(t *testing.T) {
	b := newBus(t)
	at, gps, other := b.port("ttyUSB0"), b.port("ttyUSB1"), b.port("ttyUSB2")
	path := func(w *wire) string { return filepath.Join(b.tree.Dev, w.name) }
	b.plug(stick{path: "1-1", vid: 0x1d6b, pid: 2, class: [3]uint8{9, 0, 0}, bare: []int{0}}) // a hub is nobody's concern
	b.plug(stick{path: "1-1.1", vid: 0x12d1, pid: 0x14db, class: [3]uint8{2, 6, 0}, bare: []int{0}})
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{1: gps, 2: at, 4: other}})
	b.plug(stick{path: "1-1.3", vid: 0x0403, pid: 0x6001, ports: map[int]*wire{0: b.port("ttyUSB3")}})
	require.NoError(t, os.MkdirAll(b.tree.sys("class/tty/console"), 0o755))
	require.NoError(t, os.WriteFile(b.tree.sys("class/tty/console/active"), []byte("ttyUSB3\n"), 0o644))
	pid, release := hold(t, path(other), b.locks)
	defer release()
	mine, err := settings{lockDir: b.locks, writeTimeout: writeTimeout}.open(t.Context(), path(at))
	require.NoError(t, err)
	defer mine.Close()

	list, err := b.tree.Survey(testRules)
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, []string{CodeHiLink, "", ""}, []string{list[0].Trouble.Code, list[1].Trouble.Code, list[2].Trouble.Code})
	require.Equal(t, []string{"Huawei", "Quectel", ""}, []string{list[0].Maker, list[1].Maker, list[2].Maker})
	busy := &BusyError{Name: path(other), PID: pid, Program: ourName()}
	require.Equal(t, []SurveyedPort{
		{Name: "usb:1-1.2:2", Device: path(at), Role: RoleAT, Holder: &BusyError{Name: path(at), PID: os.Getpid(), Program: ourName()}},
		{Name: "usb:1-1.2:4", Device: path(other), Holder: busy, Trouble: TroubleOf(busy)},
		{Name: "usb:1-1.2:1", Device: path(gps), Role: "gps"},
	}, list[1].Ports)
	require.Equal(t, CodeConsole, list[2].Ports[0].Trouble.Code)
	require.Empty(t, gps.said()+at.said()+other.said())

	list, err = Tree{Sys: filepath.Join(t.TempDir(), "none")}.Survey(testRules)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestInspect(t *testing.T) {
	b := newBus(t)
	at, gps := b.port("ttyUSB0"), b.port("ttyUSB1")
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{1: gps, 2: at}})
	plain := filepath.Join(b.tree.Dev, "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	for name, code := range map[string]string{
		"tcp:127.0.0.1:1":                    "",
		"usb:1-1.2:2":                        "",
		"usb:1-1.3:2":                        CodeAbsent,
		"usb:1-1.2":                          CodeName,
		"ttyUSB0":                            CodeName,
		filepath.Join(b.tree.Dev, "ttyUSB0"): "",
		filepath.Join(b.tree.Dev, "ttyUSB1"): CodeWrong,
		"usb:1-1.2:1":                        CodeWrong,
		gps.peer.Name():                      CodeWrong, // under whatever name
		filepath.Join(b.tree.Dev, "ttyUSB9"): CodeAbsent,
		plain:                                CodeNotTTY,
	} {
		trouble := b.tree.Inspect(name, testRules)
		require.Equal(t, code, trouble.Code, name)
		require.Equal(t, code == "", trouble.None(), name)
	}
	wrong := b.tree.Inspect("usb:1-1.2:1", testRules)
	require.Contains(t, wrong.Says, "(gps)")
	require.Equal(t, "name usb:1-1.2:2 instead", wrong.Do)

	pid, release := hold(t, filepath.Join(b.tree.Dev, at.name), b.locks)
	defer release()
	held := b.tree.Inspect("usb:1-1.2:2", testRules)
	require.Equal(t, CodeBusy, held.Code)
	require.Contains(t, held.Says, (&BusyError{Name: filepath.Join(b.tree.Dev, at.name), PID: pid, Program: ourName()}).Error())
}

// A port named by its number or by a link of udev's knows its USB socket: the
// ladder needs it, and numbers are given anew each time.
func TestNamedPortsKnowTheirSocket(t *testing.T) {
	b := newBus(t)
	one, other := b.port("ttyUSB0"), b.port("ttyUSB1")
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: one}}
	b.plug(s)
	b.plug(stick{path: "2-1.4.3", vid: 0x0403, pid: 0x6001, ports: map[int]*wire{0: other}})
	byID := filepath.Join(b.tree.Dev, "serial/by-id/usb-FTDI_FT232R_A5-if00-port0")
	require.NoError(t, os.MkdirAll(filepath.Dir(byID), 0o755))
	require.NoError(t, os.Symlink("../../ttyUSB1", byID))
	_, uart := newPTY(t)
	for name, path := range map[string]string{
		filepath.Join(b.tree.Dev, "ttyUSB0"): "1-1.2", byID: "2-1.4.3", uart: "", "usb:9-9:1": "9-9", "tcp:h:1": "", "emulated:0": "",
		filepath.Join(b.tree.Dev, "ttyUSB7"): "",
	} {
		require.Equal(t, path, b.tree.USBPathOf(name), name)
	}
	where := func(name string) string {
		port, err := testSettings(t).openNamed(t.Context(), b.tree, name)
		require.NoError(t, err)
		defer port.Close()
		return port.(interface{ USBPath() string }).USBPath()
	}
	number := filepath.Join(b.tree.Dev, "ttyUSB0")
	require.Equal(t, "1-1.2", where(number))
	require.Equal(t, "2-1.4.3", where(byID))
	require.Empty(t, where(uart))
	// The stick goes, and its number is another's by then.
	b.unplug(s)
	b.plug(stick{path: "1-1.1", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0")}})
	require.Equal(t, "1-1.1", where(number))
	port, err := testSettings(t).openUSB(t.Context(), b.tree, "usb:1-1.1:2")
	require.NoError(t, err)
	require.Equal(t, "1-1.1", port.(*Port).USBPath())
	require.NoError(t, port.Close())
}
