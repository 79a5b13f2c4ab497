package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/emulator"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue"
)

// relay is an executable that appends its arguments to a file.
func relay(t *testing.T) (program, said string) {
	t.Helper()
	program, said = filepath.Join(t.TempDir(), "relay"), filepath.Join(t.TempDir(), "said")
	require.NoError(t, os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\necho \"$*\" >>%s\n", said), 0o755))
	return program, said
}

func TestActuatorFlags(t *testing.T) {
	program, _ := relay(t)
	g, err := parsed(t, "serve")
	require.NoError(t, err)
	require.Equal(t, actuatorFlags{USBReset: true}, g.Serve.actuatorFlags)
	g, err = parsed(t, "serve", "--no-usb-reset", "--power-hook", program, "--power-hook", "a,b", "--power-hook=--socket={path}")
	require.NoError(t, err)
	require.Equal(t, actuatorFlags{PowerHook: []string{program, "a,b", "--socket={path}"}}, g.Serve.actuatorFlags)
	require.NoError(t, g.Serve.actuatorFlags.check())
	path := configured(t, "usb_reset = false\nuhubctl = true\npower_hook = ["+fmt.Sprintf("%q", program)+", \"x,y\", \"{port}\"]\n")
	g, err = parsed(t, "serve", "--config", path)
	require.NoError(t, err)
	require.Equal(t, actuatorFlags{Uhubctl: true, PowerHook: []string{program, "x,y", "{port}"}}, g.Serve.actuatorFlags)
	require.ErrorContains(t, g.Serve.actuatorFlags.check(), "give one of them")
	g, err = parsed(t, "serve", "--config", configured(t, "power_hook = []\n"))
	require.NoError(t, err)
	require.NoError(t, g.Serve.actuatorFlags.check())
	t.Setenv("RECADO_USB_RESET", "false")
	g, err = parsed(t, "serve")
	require.NoError(t, err)
	require.False(t, g.Serve.USBReset)

	for _, row := range []struct {
		flags actuatorFlags
		says  string
	}{
		{actuatorFlags{PowerHook: []string{"relay", "off"}}, `--power-hook: the command that cycles the power, "relay", has no full path`},
		{actuatorFlags{PowerHook: []string{"/nowhere/relay"}}, "no such file"},
		{actuatorFlags{PowerHook: []string{t.TempDir()}}, "no executable file"},
	} {
		err := row.flags.check()
		require.ErrorContains(t, err, row.says)
		require.ErrorAs(t, err, new(usageError))
	}
}

// What a port can be done to follows what it is, and where it is plugged in now.
func TestFit(t *testing.T) {
	root := t.TempDir()
	tree := tty.Tree{Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc")}
	require.NoError(t, os.MkdirAll(filepath.Join(tree.Sys, "bus/usb/devices"), 0o755))
	require.NoError(t, os.MkdirAll(tree.Dev, 0o755))
	uart := filepath.Join(tree.Dev, "ttyS0")
	require.NoError(t, os.WriteFile(uart, nil, 0o600))
	number := filepath.Join(tree.Dev, "ttyUSB2")
	network := emulator.NewNetwork(emulator.NetworkOptions{})
	defer network.Close()
	program, said := relay(t)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	fitted := func(flags actuatorFlags, name string) pool.Port {
		port := pool.Port{Name: name}
		actuators{flags, tree, log}.fit(&port)
		return port
	}
	for _, row := range []struct {
		flags        actuatorFlags
		name         string
		reset, power bool
	}{
		{actuatorFlags{USBReset: true, Uhubctl: true}, "usb:1-1.2:2", true, true},
		{actuatorFlags{USBReset: true, Uhubctl: true}, number, true, true}, // not there yet
		{actuatorFlags{USBReset: true, Uhubctl: true}, uart, false, false},
		{actuatorFlags{USBReset: true, Uhubctl: true}, "tcp:10.0.0.1:4001", false, false},
		{actuatorFlags{}, "usb:1-1.2:2", false, false},
		{actuatorFlags{PowerHook: []string{program}}, uart, false, true},
		{actuatorFlags{PowerHook: []string{program}}, "tcp:10.0.0.1:4001", false, true},
	} {
		port := fitted(row.flags, row.name)
		require.Equal(t, []bool{row.reset, row.power}, []bool{port.USBReset != nil, port.PowerCycle != nil}, "%+v", row)
	}

	port := fitted(actuatorFlags{USBReset: true, PowerHook: []string{program, "{path}", "{port}"}}, number)
	require.Empty(t, port.USBPath)
	require.ErrorContains(t, port.USBReset(t.Context()), "no USB socket that is known")
	stick := &socket{t: t, tree: tree, path: "1-1.2"}
	stick.plug(1, "ttyUSB2", network.AddModem(emulator.ModemOptions{}))
	require.NoError(t, port.PowerCycle(t.Context()))
	stick.unplug("ttyUSB2")
	require.NoError(t, port.PowerCycle(t.Context()), "where it was last: it may have crashed off the bus")
	require.ErrorIs(t, port.USBReset(t.Context()), tty.ErrAbsent)
	stick = &socket{t: t, tree: tree, path: "1-1.4"}
	stick.plug(2, "ttyUSB2", network.AddModem(emulator.ModemOptions{}))
	defer stick.stop()
	require.NoError(t, port.PowerCycle(t.Context()))
	authorized := filepath.Join(tree.Sys, "bus/usb/devices/1-1.4/authorized")
	require.NoError(t, os.WriteFile(authorized, []byte("0\n"), 0o644))
	require.NoError(t, port.USBReset(t.Context()))
	text, err := os.ReadFile(authorized)
	require.NoError(t, err)
	require.Equal(t, "1", string(text))
	text, err = os.ReadFile(said)
	require.NoError(t, err)
	require.Equal(t, "1-1.2 "+number+"\n1-1.2 "+number+"\n1-1.4 "+number+"\n", string(text))
	require.Equal(t, "1-1.4", fitted(actuatorFlags{}, number).USBPath)
}

// The log names the command that switches the power, and neither its arguments nor what it says.
func TestPowerHooksArgumentsAreNotLogged(t *testing.T) {
	program := filepath.Join(t.TempDir(), "relay")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho \"$*\"\n"), 0o755))
	var text bytes.Buffer
	port := pool.Port{Name: "tcp:10.0.0.1:4001"}
	flags := actuatorFlags{PowerHook: []string{program, "-u", "admin:hunter2"}}
	actuators{flags, tty.Tree{}, slog.New(slog.NewTextHandler(&text, nil))}.fit(&port)
	require.NoError(t, port.PowerCycle(t.Context()))
	require.Contains(t, text.String(), "command=relay")
	require.NotContains(t, text.String(), "hunter2")
	require.NotContains(t, text.String(), "-u")
}

func TestUnanswered(t *testing.T) {
	out, in := func(s string) at.TraceEntry { return at.TraceEntry{Out: true, Line: s} }, func(s string) at.TraceEntry { return at.TraceEntry{Line: s} }
	for _, row := range []struct {
		trace []at.TraceEntry
		want  int
	}{
		{nil, 0},
		{[]at.TraceEntry{out("AT"), in("OK")}, 0},
		{[]at.TraceEntry{out("AT"), in("OK"), out("AT+CSQ"), in("$GPGGA,,,"), out("AT")}, 2},
		{[]at.TraceEntry{out("AT"), out("AT"), in("+CME ERROR: 14"), out("AT")}, 1},
		{[]at.TraceEntry{out("AT"), out("AT+CMGS=20"), in("+CMS ERROR: 38")}, 0},
	} {
		require.Equal(t, row.want, unanswered(row.trace))
	}
}

// A SIM that moves from one modem to another keeps its name, its number and its counts there,
// and so does the modem.
func TestSIMsAreSwapped(t *testing.T) {
	t.Parallel()
	r := newSearch(t)
	one, other := r.network.AddModem(quick), r.network.AddModem(quick)
	r.plug("1-1.1", 1, "ttyUSB0", one)
	r.plug("1-1.2", 2, "ttyUSB1", other)
	eventually(t, func() bool { return r.lines.Ready() == 2 }, "two lines ready")
	sims := map[string]string{one.IMEI(): one.ICCID(), other.IMEI(): other.ICCID()}
	require.Equal(t, sims, r.sims())
	first := one.ICCID()
	name := "ventas"
	_, err := r.lines.UpdateSIM(t.Context(), first, queue.SIMPatch{Name: &name})
	require.NoError(t, err)

	// Pulled, opened, swapped, and plugged into each other's socket.
	r.unplug("1-1.1", "ttyUSB0")
	r.unplug("1-1.2", "ttyUSB1")
	a, b := one.ICCID(), other.ICCID()
	one.RemoveSIM()
	other.RemoveSIM()
	one.InsertSIM(emulator.SIMOptions{ICCID: b})
	other.InsertSIM(emulator.SIMOptions{ICCID: a})
	r.plug("1-1.2", 3, "ttyUSB0", one)
	r.plug("1-1.1", 4, "ttyUSB1", other)
	eventually(t, func() bool {
		now := r.sims()
		return r.lines.Ready() == 2 && now[one.IMEI()] == b && now[other.IMEI()] == a
	}, "both lines ready with each other's SIM")
	for _, m := range r.lines.Modems() {
		require.Equal(t, map[string]string{one.IMEI(): "1-1.2", other.IMEI(): "1-1.1"}[m.ID], m.USBPath)
	}
	list, err := r.lines.SIMs(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 2)
	for _, s := range list {
		require.Equal(t, s.ICCID == first, s.Name == "ventas")
	}
}

// Two sticks of one batch, with the same USB serial number and the same IMEI, are two lines.
func TestTwinsAreTwoLines(t *testing.T) {
	t.Parallel()
	r := newSearch(t)
	twin := quick
	twin.IMEI = "490154203237518"
	r.plug("1-1.1", 1, "ttyUSB0", r.network.AddModem(twin))
	r.plug("1-1.2", 2, "ttyUSB1", r.network.AddModem(twin))
	eventually(t, func() bool { return r.lines.Ready() == 2 }, "two lines ready")
	modems := r.lines.Modems()
	require.Len(t, modems, 2)
	require.NotEqual(t, modems[0].ID, modems[1].ID)
	require.NotEqual(t, modems[0].SIM.ICCID, modems[1].SIM.ICCID)
	require.ElementsMatch(t, []string{"1-1.1", "1-1.2"}, []string{modems[0].USBPath, modems[1].USBPath})
}

// A modem that says nothing is known to be mute, and known to speak when it does.
func TestMute(t *testing.T) {
	t.Parallel()
	r := newSearch(t)
	m := r.network.AddModem(quick)
	m.Inject(emulator.Fault{Kind: emulator.FaultMute, Count: -1})
	r.plug("1-1.1", 1, "ttyUSB0", m)
	eventually(t, func() bool { return mute(r.lines, "usb:1-1.1:2") }, "it was found to be mute")
	require.False(t, mute(r.lines, "usb:9-9:2"))
	m.ClearFaults()
	eventually(t, func() bool { return r.lines.Ready() == 1 }, "it is in service")
	require.False(t, mute(r.lines, "usb:1-1.1:2"))
}

// socketed is a port that knows its USB socket, as tty's do.
type socketed struct {
	io.ReadWriteCloser
	path string
}

func (s socketed) USBPath() string { return s.path }

// A modem whose port is named by a number is known to be in the socket where it was opened.
func TestANamedModemsSocket(t *testing.T) {
	t.Parallel()
	r := newSearch(t)
	m := r.network.AddModem(quick)
	paths := make(chan string, 2)
	paths <- "1-1.3"
	paths <- "1-1.4"
	require.NoError(t, r.lines.Add(pool.Port{Name: "/dev/ttyUSB2", Emulated: true, Open: func(ctx context.Context) (io.ReadWriteCloser, error) {
		port, err := m.Open(ctx)
		if err != nil {
			return nil, err
		}
		return socketed{port, <-paths}, nil
	}}))
	eventually(t, func() bool { return r.lines.Ready() == 1 }, "a line ready")
	require.Equal(t, "1-1.3", r.lines.Modems()[0].USBPath)
	m.Unplug()
	eventually(t, func() bool { return r.lines.Ready() == 0 }, "the line gone")
	m.Replug()
	eventually(t, func() bool { return r.lines.Ready() == 1 }, "the line back")
	require.Equal(t, "1-1.4", r.lines.Modems()[0].USBPath)
}
