package main

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"recado/modem/emulator"
)

// heldOf is what GET /held says: how many, by reason.
func (d *appliance) heldOf() (total int, reasons map[string]int) {
	d.t.Helper()
	var out struct {
		Total int
		Items []struct {
			Reason string
			Count  int
		}
	}
	require.Equal(d.t, http.StatusOK, d.ask("GET", "/api/v1/held", nil, &out))
	reasons = map[string]int{}
	for _, i := range out.Items {
		reasons[i.Reason] += i.Count
	}
	return out.Total, reasons
}

// submits are what the network that emulated the modems got.
func submits(t *testing.T, data string) (n int) {
	t.Helper()
	if _, err := os.Stat(dataDir(data).ledger()); os.IsNotExist(err) {
		return 0
	}
	for _, e := range readLedger(t, dataDir(data).ledger()) {
		if e.Type == emulator.EntrySubmit {
			n++
		}
	}
	return n
}

func copyFolder(t *testing.T, from, to string, only ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, e := range entries {
		if e.Type()&fs.ModeType != 0 || len(only) > 0 && e.Name() != only[0] {
			continue
		}
		in, err := os.Open(filepath.Join(from, e.Name()))
		require.NoError(t, err)
		out, err := os.OpenFile(filepath.Join(to, e.Name()), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		require.NoError(t, err)
		_, err = io.Copy(out, in)
		require.NoError(t, err)
		require.NoError(t, in.Close())
		require.NoError(t, out.Close())
	}
}

// TestACopySendsNothing: of a data folder with messages that wait, a copy, and
// the database alone in another box's folder, send nothing until somebody
// releases them; the original goes on, also under another name.
func TestACopySendsNothing(t *testing.T) {
	t.Parallel()
	const waiting = 20
	origin := dataFolder(t)
	d := serving(t, origin) // no modem: what is accepted waits
	var ids []string
	for i := range waiting {
		ids = append(ids, d.send(fmt.Sprintf("+346001%05d", i), "Su cita es a las 9:30"))
	}
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20e9))

	whole := filepath.Join(t.TempDir(), "whole")
	copyFolder(t, origin, whole)
	other := dataFolder(t)
	stranger := serving(t, other)
	stranger.signal(syscall.SIGTERM)
	require.Zero(t, stranger.ends(20e9))
	for _, part := range []string{"", "-wal", "-shm", ".clean"} { // of its own, which is put away
		require.NoError(t, os.RemoveAll(dataDir(other).database()+part))
	}
	copyFolder(t, origin, other, "recado.db")

	for _, data := range []string{whole, other} {
		c := startServing(t, data, "--emulate", "2")
		c.key = d.key
		c.lines(2)
		total, reasons := c.heldOf()
		require.Equal(t, waiting, total)
		require.Equal(t, map[string]int{"cloned": waiting}, reasons)
		fresh := c.send("+34600999999", "Esto es nuevo")
		c.becomes(fresh, "delivered")
		require.Equal(t, 1, submits(t, data), "only what was accepted since")
		for _, id := range ids {
			require.Equal(t, "held", c.message(id).State)
		}
		c.signal(syscall.SIGTERM)
		require.Zero(t, c.ends(60e9))
		require.Equal(t, 1, submits(t, data))
	}

	// Somebody looks, and releases: they go, each once.
	c := startServing(t, whole, "--emulate", "2")
	c.key = d.key
	var done struct{ Done, Left int }
	require.Equal(t, http.StatusUnprocessableEntity, c.ask("POST", "/api/v1/held/release", map[string]any{}, nil))
	require.Equal(t, http.StatusOK, c.ask("POST", "/api/v1/held/release", map[string]any{"reason": "cloned"}, &done))
	require.Equal(t, waiting, done.Done)
	require.Zero(t, done.Left)
	for _, id := range ids {
		c.becomes(id, "delivered")
	}
	c.signal(syscall.SIGTERM)
	require.Zero(t, c.ends(60e9))
	require.Equal(t, 1+waiting, submits(t, whole))

	// The original is the one box that it always was, whatever its folder is called.
	renamed := filepath.Join(filepath.Dir(origin), "renamed")
	require.NoError(t, os.Rename(origin, renamed))
	o := startServing(t, renamed, "--emulate", "2")
	o.key = d.key
	for _, id := range ids {
		o.becomes(id, "delivered")
	}
	total, _ := o.heldOf()
	require.Zero(t, total)
	o.signal(syscall.SIGTERM)
	require.Zero(t, o.ends(60e9))
	require.Equal(t, waiting, submits(t, renamed))
}

// write makes a file of a pretended machine.
func (b box) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(b.root, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
}

// pretend makes a Raspberry Pi whose data are on the second partition of an SD
// card. The device number is the one that the test's own folder has.
func pretend(t *testing.T, dir dataDir, board, cid string) box {
	t.Helper()
	b := box{t.TempDir()}
	b.write(t, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	b.write(t, "/sys/firmware/devicetree/base/serial-number", board+"\x00")
	card := "/sys/devices/platform/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"
	b.write(t, card+"/device/cid", cid+"\n")
	b.write(t, card+"/device/serial", "0x12345678\n")
	b.write(t, card+"/mmcblk0p2/partition", "2\n")
	b.link(t, dir, card+"/mmcblk0p2")
	return b
}

// link makes a block device the one that dir lies on.
func (b box) link(t *testing.T, dir dataDir, device string) {
	t.Helper()
	var state unix.Stat_t
	require.NoError(t, unix.Stat(string(dir), &state))
	folder := filepath.Join(b.root, "/sys/dev/block")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	require.NoError(t, os.Symlink(filepath.Join("../..", device[len("/sys"):]),
		filepath.Join(folder, fmt.Sprintf("%d:%d", unix.Major(state.Dev), unix.Minor(state.Dev)))))
}

func differs(a, b map[string]string) (names []string) {
	for name := range a {
		if b[name] != "" && a[name] != b[name] {
			names = append(names, name)
		}
	}
	return names
}

func TestWhatTellsABoxFromAnother(t *testing.T) {
	dir := dataDir(dataFolder(t))
	require.NoError(t, dir.create())
	here := pretend(t, dir, "10000000abcdef01", "02544d535330384795a5a4c1d2014b00")
	first, err := dir.instance(here)
	require.NoError(t, err)
	for _, name := range []string{"installation", "machine", "board", "cid", "serial"} {
		require.NotEmpty(t, first[name], name)
	}
	require.NotContains(t, fmt.Sprint(first), "10000000abcdef01", "serial numbers are not kept in clear")
	again, err := dir.instance(here)
	require.NoError(t, err)
	require.Equal(t, first, again)

	moved, err := dir.instance(pretend(t, dir, "10000000abcdef02", "02544d535330384795a5a4c1d2014b00"))
	require.NoError(t, err)
	require.Equal(t, []string{"board"}, differs(first, moved))
	card, err := dir.instance(pretend(t, dir, "10000000abcdef01", "ff544d535330384795a5a4c1d2014b00"))
	require.NoError(t, err)
	require.Equal(t, []string{"cid"}, differs(first, card))
	nothing, err := dir.instance(box{t.TempDir()})
	require.NoError(t, err)
	require.Empty(t, differs(first, nothing), "what cannot be read says nothing")
	require.Empty(t, nothing["board"])

	stick := box{t.TempDir()}
	disk := "/sys/devices/pci0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda"
	stick.write(t, "/sys/devices/pci0/usb1/1-2/idVendor", "0781\n")
	stick.write(t, "/sys/devices/pci0/usb1/1-2/idProduct", "5581\n")
	stick.write(t, "/sys/devices/pci0/usb1/1-2/serial", "4C530001\n")
	stick.write(t, disk+"/device/wwid", "t10.SanDisk Ultra 4C530001\n")
	stick.write(t, disk+"/sda1/partition", "1\n")
	stick.link(t, dir, disk+"/sda1")
	usb, err := dir.instance(stick)
	require.NoError(t, err)
	require.NotEmpty(t, usb["usb"])
	require.NotEmpty(t, usb["wwid"])

	copied := dataDir(filepath.Join(t.TempDir(), "copy"))
	copyFolder(t, string(dir), string(copied))
	folder, err := copied.instance(pretend(t, copied, "10000000abcdef01", "02544d535330384795a5a4c1d2014b00"))
	require.NoError(t, err)
	require.Contains(t, differs(first, folder), "file")
	require.NotContains(t, differs(first, folder), "installation")
}

// A file whose birth the file system tells keeps it when the folder is renamed,
// and no copy has it, not even one that got the same inode number.
func TestAFolderKeepsItsIdentityUnderAnotherName(t *testing.T) {
	dir := dataDir(dataFolder(t))
	require.NoError(t, dir.create())
	first, err := dir.instance(box{})
	require.NoError(t, err)
	next := dataDir(filepath.Join(filepath.Dir(string(dir)), "next"))
	require.NoError(t, os.Rename(string(dir), string(next)))
	renamed, err := next.instance(box{})
	require.NoError(t, err)
	require.Equal(t, first, renamed)

	id, err := os.ReadFile(next.instanceFile())
	require.NoError(t, err)
	require.NoError(t, os.Remove(next.instanceFile()))
	require.NoError(t, os.WriteFile(next.instanceFile(), id, 0o600))
	put, err := next.instance(box{})
	require.NoError(t, err)
	require.NotEmpty(t, differs(first, put), "the same name in a new file: unpacked from an archive")
	require.Equal(t, first["installation"], put["installation"])
}

func TestAMappedDiskIsTheOneUnderIt(t *testing.T) {
	dir := dataDir(t.TempDir())
	b := box{t.TempDir()}
	b.write(t, "/sys/devices/virtual/block/dm-0/dm/name", "data\n")
	b.write(t, "/sys/devices/nvme/nvme0/nvme0n1/wwid", "eui.0025\n")
	b.write(t, "/sys/devices/nvme/nvme0/nvme0n1/nvme0n1p3/partition", "3\n")
	slaves := filepath.Join(b.root, "/sys/devices/virtual/block/dm-0/slaves")
	require.NoError(t, os.MkdirAll(slaves, 0o755))
	require.NoError(t, os.Symlink("../../../../nvme/nvme0/nvme0n1/nvme0n1p3", filepath.Join(slaves, "nvme0n1p3")))
	b.link(t, dir, "/sys/devices/virtual/block/dm-0")
	var state unix.Stat_t
	require.NoError(t, unix.Stat(string(dir), &state))
	require.Equal(t, "eui.0025", b.disk(unix.Major(state.Dev), unix.Minor(state.Dev))["wwid"])
}
