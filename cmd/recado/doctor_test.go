package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/cmd/recado/console"
	"recado/modem"
	"recado/modem/emulator"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue/sqlite"
)

// doctor runs `recado doctor --json` and gives the report with the exit code.
func doctor(t *testing.T, args ...string) (console.Report, int) {
	t.Helper()
	got := recado(t, "", append([]string{"doctor", "--json", "--trust-clock"}, args...)...)
	var r console.Report
	require.NoError(t, json.Unmarshal([]byte(got.out), &r), "%s%s", got.out, got.err)
	return r, got.code
}

// found are the codes of a report, "block: severity code".
func found(r console.Report) []string {
	list := []string{}
	for _, b := range r.Blocks {
		for _, f := range b.Findings {
			list = append(list, b.Name+": "+f.Severity+" "+f.Code)
		}
	}
	return list
}

func TestDoctorOfARunningAppliance(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data, "--emulate", "2", "--modem", "/dev/ttyUSB99", "--modem", "tcp:127.0.0.1:1")
	d.lines(2)
	var r console.Report
	eventually(t, func() bool {
		r, _ = doctor(t, "--data", data)
		return len(r.Blocks) == 5 && r.Count(console.Fail)+r.Count(console.Warn) == 2
	}, "the two ports")
	require.Equal(t, console.Answers, r.Running)
	require.Equal(t, []string{"recado", "/dev/ttyUSB99", "tcp:127.0.0.1:1", "emulated:0", "emulated:1"},
		[]string{r.Blocks[0].Name, r.Blocks[1].Name, r.Blocks[2].Name, r.Blocks[3].Name, r.Blocks[4].Name})
	require.Equal(t, "port_absent", r.Blocks[1].Findings[0].Code)
	require.Equal(t, "port_unreachable", r.Blocks[2].Findings[0].Code)
	require.Equal(t, console.OK, r.Blocks[3].Status)
	require.Regexp(t, `dBm, ready$`, r.Blocks[3].About)

	text := recado(t, "", "doctor", "--data", data)
	require.Regexp(t, `(?m)^(warn|fail)  /dev/ttyUSB99`, text.out)
	require.Regexp(t, `(?m)^ok    emulated:0 +Recado Emulated modem`, text.out)
	require.Contains(t, text.out, "There is no /dev/ttyUSB99")
	for line := range strings.Lines(text.out) {
		require.LessOrEqual(t, len([]rune(strings.TrimRight(line, "\n"))), 80, line)
	}
	spanish := program("doctor", "--data", data)
	spanish.Env = append(spanish.Env, "LANG=es_ES.ISO-8859-1")
	out, _ := spanish.Output()
	require.Contains(t, string(out), "No existe /dev/ttyUSB99: no hay nada conectado ahi")
	console := recado(t, "", "console", "-c", "doctor", "--data", data)
	require.Zero(t, console.code)
	require.Contains(t, console.out, "There is no /dev/ttyUSB99")

	refused := recado(t, "", "doctor", "--probe", "--data", data)
	require.Equal(t, exitUsage, refused.code)

	// A daemon that stands still: said soon, and what can be seen from outside is.
	d.signal(syscall.SIGSTOP)
	began := time.Now()
	r, code := doctor(t, "--data", data, "--modem", "/dev/ttyUSB98")
	require.Less(t, time.Since(began), 10*time.Second)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "silent", r.Running)
	require.Equal(t, d.Command.Process.Pid, r.PID)
	require.Equal(t, []string{"recado: fail program_wedged", "/dev/ttyUSB98: fail port_absent"}, found(r))
	d.signal(syscall.SIGCONT)
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20*time.Second))
}

func TestDoctorWithoutADaemon(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	r, code := doctor(t, "--data", data)
	require.Equal(t, exitFailed, code)
	require.Equal(t, "stopped", r.Running)
	require.Contains(t, found(r), "recado: fail program_stopped")
	require.Contains(t, found(r), "recado: fail data_missing")
	require.NoDirExists(t, data, "nothing is made")

	require.NoError(t, dataDir(data).create())
	db, err := sqlite.Open(t.Context(), dataDir(data).database(), sqlite.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, os.Chmod(data, 0o755))
	before, err := os.ReadFile(dataDir(data).database())
	require.NoError(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	file := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	config := configured(t, "modem = ['"+file+"', 'modem7', 'tcp:"+silent.Addr().String()+"']\n")
	r, code = doctor(t, "--data", data, "--config", config)
	require.Equal(t, exitFailed, code)
	require.ElementsMatch(t, []string{"recado: fail program_stopped", "recado: warn data_permissions", file + ": fail port_not_tty", "modem7: fail port_name"}, found(r))
	after, err := os.ReadFile(dataDir(data).database())
	require.NoError(t, err)
	require.Equal(t, before, after)

	// Another process has the folder, and nobody answers: it starts or stops.
	held, err := dataDir(data).lock()
	require.NoError(t, err)
	r, _ = doctor(t, "--data", data)
	require.Equal(t, "silent", r.Running)
	require.Equal(t, os.Getpid(), r.PID)
	require.NoError(t, held.Close())

	require.NoError(t, os.WriteFile(dataDir(data).database(), []byte(strings.Repeat("no database ", 100)), 0o600))
	_ = os.Remove(dataDir(data).database() + "-wal")
	r, _ = doctor(t, "--data", data)
	require.Contains(t, found(r), "recado: fail database_broken")
}

// TestDoctorAsksModemsWithoutTouchingThem: --probe tells how a modem is; its messages, its
// settings and its SIM's tries are as they were.
func TestDoctorAsksModemsWithoutTouchingThem(t *testing.T) {
	t.Parallel()
	network := emulator.NewNetwork(emulator.NetworkOptions{})
	defer network.Close()
	good := network.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, Signal: 3})
	locked := network.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, PIN: "4829"})
	empty := network.AddModem(emulator.ModemOptions{BootTime: time.Millisecond, NoSIM: true})

	snap, findings := askModem(t.Context(), "x", good.Open)
	require.Equal(t, modem.StateReady, snap.State)
	require.Equal(t, -107, snap.Signal.RSSI)
	require.Equal(t, []string{"warn signal_weak"}, codesOf(findings))
	require.NoError(t, network.Inbound(good.ICCID(), "+34600111222", "stays"))
	eventuallyStored(t, good, 1)
	var said strings.Builder
	_, findings = askModem(t.Context(), "x", func(ctx context.Context) (io.ReadWriteCloser, error) {
		port, err := good.Open(ctx)
		return overheard{port, &said}, err
	})
	require.Equal(t, []string{"warn signal_weak"}, codesOf(findings))
	require.Equal(t, 1, good.Stored(), "the message is still there")
	require.Contains(t, said.String(), "AT+CREG?")
	for _, command := range []string{"+CNMI=", "+CSMS=", "+CPMS=", "+CMGL", "+CMGR", "+CMGD", "+CPIN="} {
		require.NotContains(t, said.String(), command)
	}

	_, findings = askModem(t.Context(), "x", locked.Open)
	require.Equal(t, []string{"fail sim_pin"}, codesOf(findings))
	_, findings = askModem(t.Context(), "x", empty.Open)
	require.Equal(t, []string{"fail sim_absent"}, codesOf(findings))
	_, findings = askModem(t.Context(), "/dev/ttyUSB97", func(ctx context.Context) (io.ReadWriteCloser, error) {
		return tty.Open(ctx, "/dev/ttyUSB97")
	})
	require.Equal(t, []string{"warn port_absent"}, codesOf(findings))
	require.Error(t, (&deafSink{}).Store(t.Context(), modem.Received{}), "nothing is taken, so nothing is deleted")
}

// overheard is a port whose commands are written down.
type overheard struct {
	io.ReadWriteCloser
	said *strings.Builder
}

func (o overheard) Write(p []byte) (int, error) {
	o.said.Write(p)
	return o.ReadWriteCloser.Write(p)
}

func codesOf(list []pool.Finding) []string {
	out := []string{}
	for _, f := range list {
		out = append(out, f.Severity+" "+f.Code)
	}
	return out
}

func eventuallyStored(t *testing.T, m *emulator.Modem, n int) {
	t.Helper()
	eventually(t, func() bool { return m.Stored() == n }, "stored")
}

// TestDoctorsUSB: what is plugged in and cannot be used is told, with and without the search.
func TestDoctorsUSB(t *testing.T) {
	root := t.TempDir()
	tree := tty.Tree{Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc")}
	plug := func(path string, vid, pid string, class string) {
		dir := filepath.Join(tree.Sys, "bus/usb/devices", path)
		for file, text := range map[string]string{
			"idVendor": vid, "idProduct": pid, "devnum": "4", "product": "Stick",
			path + ":1.0/bInterfaceNumber": "00", path + ":1.0/bInterfaceClass": class,
			path + ":1.0/bInterfaceSubClass": "06", path + ":1.0/bInterfaceProtocol": "50",
		} {
			name := filepath.Join(dir, file)
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, []byte(text+"\n"), 0o644))
		}
	}
	plug("1-1", "05c6", "9008", "ff")
	plug("1-2", "12d1", "1f01", "08")
	plug("1-3", "046d", "c31c", "03") // a keyboard
	require.NoError(t, os.MkdirAll(filepath.Join(tree.Proc, "77"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree.Proc, "77", "comm"), []byte("smsd\n"), 0o644))

	dir := dataDir(t.TempDir())
	require.NoError(t, os.Chmod(string(dir), 0o700))
	r := look{dir: dir, tree: tree, language: console.Spanish, trust: true, running: console.Answers}.report()
	require.ElementsMatch(t, []string{"recado: warn rival", "usb 1-1: fail usb_download_mode", "usb 1-2: fail usb_storage_mode"}, found(r))
	i := slices.IndexFunc(r.Blocks, func(b console.Block) bool { return b.Name == "usb 1-2" })
	require.Equal(t, "Stick (12d1:1f01): un módem que se muestra como disco.", r.Blocks[i].Findings[0].Says)
	require.Equal(t, "smstools", r.Blocks[0].Findings[0].Facts["service"])

	require.Equal(t, []string{"fail usb_download_mode", "fail usb_storage_mode"}, codesOf(deviceFindings(tree)))
	devices, err := tree.USBDevices()
	require.NoError(t, err)
	list := sightingFindings([]tty.Sighting{{Device: devices[1], Trouble: tty.Diagnose(devices[1])}, {Device: devices[2]},
		{Device: devices[0], Trouble: tty.TroubleOf(&tty.BusyError{Name: "/dev/ttyUSB1", PID: 9, Program: "minicom"})}})
	require.Equal(t, []string{"fail usb_storage_mode", "fail port_busy"}, codesOf(list))
	require.Equal(t, "minicom", list[1].Facts["program"])
	require.Equal(t, "9", list[1].Facts["pid"])
	text, err := json.Marshal(usbText(tree))
	require.NoError(t, err)
	require.Contains(t, string(text), "05c6:9008")
	require.Contains(t, string(text), "usb_download_mode")
}

// TestEveryTroubleHasWords: what modem/tty can say is said in Spanish too.
func TestEveryTroubleHasWords(t *testing.T) {
	known := pool.Codes()
	for _, code := range []string{tty.CodeQDL, tty.CodeHiLink, tty.CodeNetworkOnly, tty.CodeStorage, tty.CodeNoDriver, tty.CodeUnauthorized,
		tty.CodeBusy, tty.CodeTwice, tty.CodeShared, tty.CodePermission, tty.CodeAbsent, tty.CodeNotTTY, tty.CodeName, tty.CodeWrong,
		tty.CodeConsole, tty.CodeSilent, tty.CodeMoved} {
		require.Contains(t, known, code)
	}
	f := troubleFinding(tty.Trouble{Code: tty.CodeOther, Says: "something else", Do: "look"}, pool.AboutPort, "x", map[string]string{"port": "x"})
	require.Equal(t, []string{"Something else.", "Look"}, []string{f.Says, f.Do})
}

func TestBundleOnTheCommandLine(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data, "--emulate", "1")
	d.lines(1)
	name := filepath.Join(t.TempDir(), "support.tar.gz")
	out := done(t, "doctor", "--bundle", name, "--data", data)
	require.Contains(t, out, "modem-1-dialogue.txt")
	require.Contains(t, out, "Not in it:")
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	files := unpack(t, name)
	require.Contains(t, files["log.txt"], "msg=ready")
	require.Contains(t, files["CONTENTS.txt"], "modem-1-dialogue.txt")

	again := recado(t, "", "doctor", "--bundle", name, "--data", data)
	require.Equal(t, exitFailed, again.code)
	require.Regexp(t, `^recado: write the bundle: .* is there already: name another file\n$`, again.err)
	require.Equal(t, files, unpack(t, name), "and is as it was")

	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20*time.Second))
	name += "2"
	out = done(t, "doctor", "--bundle", name, "--data", data)
	require.NotContains(t, out, "modem-1")
	files = unpack(t, name)
	require.Contains(t, files["doctor.txt"], "Recado is not running")
	require.Contains(t, files["database.txt"], "rows:")
	require.Equal(t, exitFailed, recado(t, "", "doctor", "--bundle", "/nowhere/at/all", "--data", data).code)
}
