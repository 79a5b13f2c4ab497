package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"recado/modem/emulator"
	"recado/modem/tty"
	"recado/pool"
	"recado/queue"
	"recado/webui"
)

// socket is a place on a fake USB bus.
type socket struct {
	t    *testing.T
	tree tty.Tree
	path string
	stop func() // of the modem's side of what is plugged in
}

// plug puts a Quectel stick in, whose AT port is called name this time.
func (s *socket) plug(number int, name string, m *emulator.Modem) {
	t := s.t
	blocking, peer, err := pty.Open()
	require.NoError(t, err)
	// On a descriptor that blocks, Close would wait for a Read.
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.SetNonblock(fd, true))
	require.NoError(t, blocking.Close())
	master := os.NewFile(uintptr(fd), "modem")
	_, err = term.MakeRaw(int(peer.Fd()))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		m.Serve(ctx, master)
	}()
	s.stop = func() {
		cancel()
		master.Close()
		peer.Close()
		<-served
	}
	require.NoError(t, os.Symlink(peer.Name(), filepath.Join(s.tree.Dev, name)))
	dir := filepath.Join(t.TempDir(), s.path)
	at := filepath.Join(dir, s.path+":1.2")
	require.NoError(t, os.MkdirAll(filepath.Join(at, name), 0o755))
	for file, text := range map[string]string{
		"idVendor": "2c7c", "idProduct": "0125", "devnum": fmt.Sprint(number),
		s.path + ":1.2/bInterfaceNumber": "02", s.path + ":1.2/bInterfaceClass": "ff",
		s.path + ":1.2/bInterfaceSubClass": "00", s.path + ":1.2/bInterfaceProtocol": "00",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o644))
	}
	require.NoError(t, os.Rename(dir, filepath.Join(s.tree.Sys, "bus/usb/devices", s.path)))
}

func (s *socket) unplug(name string) {
	require.NoError(s.t, os.Rename(filepath.Join(s.tree.Sys, "bus/usb/devices", s.path), filepath.Join(s.t.TempDir(), "gone")))
	require.NoError(s.t, os.Remove(filepath.Join(s.tree.Dev, name)))
	s.stop()
}

// search is a pool whose modems are found on a fake USB bus.
type search struct {
	t       *testing.T
	tree    tty.Tree
	kept    *stores
	lines   *pool.Pool
	network *emulator.Network
	found   *tty.Discovery
	in      map[string]*socket // what is plugged in, by path
}

// quick is a modem that is up at once.
var quick = emulator.ModemOptions{BootTime: time.Millisecond, Family: "quectel"}

func newSearch(t *testing.T) *search {
	root := t.TempDir()
	tree := tty.Tree{Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc")}
	require.NoError(t, os.MkdirAll(filepath.Join(tree.Sys, "bus/usb/devices"), 0o755))
	require.NoError(t, os.MkdirAll(tree.Dev, 0o755))
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	dir := dataDir(dataFolder(t))
	require.NoError(t, dir.create())
	clock := newClock(true)
	kept, err := openStores(t.Context(), dir, phoneFlag{Country: "ES"}, clock, log, prometheus.NewRegistry())
	require.NoError(t, err)
	r := &search{t: t, tree: tree, kept: kept, network: emulator.NewNetwork(emulator.NetworkOptions{}), in: map[string]*socket{}}
	r.lines = pool.New(pool.Options{Store: kept.queue, Inbox: kept.inbox, Clock: clock, Log: log})
	r.found = discovery(r.lines, actuators{actuatorFlags{USBReset: true}, tree, log}, tty.DiscoveryOptions{
		Tree: tree, LockDir: t.TempDir(), Log: log, Rescan: 20 * time.Millisecond, Settle: -1, Answer: 100 * time.Millisecond, Retry: 20 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.lines.Run(ctx) }()
	go func() { ended <- r.found.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		for _, s := range r.in {
			s.stop()
		}
		require.NoError(t, r.network.Close())
		require.NoError(t, kept.db.Close())
	})
	return r
}

func (r *search) plug(path string, number int, name string, m *emulator.Modem) {
	r.t.Helper()
	s := &socket{t: r.t, tree: r.tree, path: path}
	s.plug(number, name, m)
	r.in[path] = s
}

func (r *search) unplug(path, name string) {
	r.t.Helper()
	r.in[path].unplug(name)
	delete(r.in, path)
}

// sims are the ICCIDs by the modem they are in.
func (r *search) sims() map[string]string {
	list := map[string]string{}
	for _, m := range r.lines.Modems() {
		list[m.ID] = m.SIM.ICCID
	}
	return list
}

// TestDiscoveredModems: a stick is found and sends; pulled and put into another socket, under
// another number, it is the same modem with the same SIM and sends again.
func TestDiscoveredModems(t *testing.T) {
	t.Parallel()
	r := newSearch(t)
	lines, kept := r.lines, r.kept
	m := r.network.AddModem(quick)
	sends := func(to string) {
		t.Helper()
		eventually(t, func() bool { return lines.Ready() == 1 }, "a line ready")
		result, err := kept.queue.Submit(t.Context(), queue.Request{To: []string{to}, Text: "hola"}, nil)
		require.NoError(t, err)
		eventually(t, func() bool {
			message, err := kept.queue.Message(t.Context(), result.Messages[0].ID)
			return err == nil && (message.State == queue.Sent || message.State == queue.Delivered)
		}, "the message sent")
	}
	r.plug("1-1.1", 1, "ttyUSB2", m)
	sends("600111222")
	was := lines.Modems()
	require.Len(t, was, 1)
	require.Equal(t, []string{m.IMEI(), "usb:1-1.1:2", "1-1.1"}, []string{was[0].ID, was[0].Port, was[0].USBPath})
	require.Equal(t, webui.Check{Name: "usb", Status: webui.Pass}, usbCheck(r.found.Sightings(), r.found.Rivals()))

	r.unplug("1-1.1", "ttyUSB2")
	eventually(t, func() bool { return lines.Ready() == 0 }, "the line gone")
	r.plug("1-1.4", 2, "ttyUSB0", m)
	sends("600111333")
	now := lines.Modems()
	require.Len(t, now, 1)
	require.Equal(t, []string{m.IMEI(), "usb:1-1.4:2", "1-1.4"}, []string{now[0].ID, now[0].Port, now[0].USBPath})
	require.Equal(t, was[0].SIM.ICCID, now[0].SIM.ICCID)
	sims, err := lines.SIMs(t.Context())
	require.NoError(t, err)
	require.Len(t, sims, 1)
	require.Equal(t, 2, sims[0].SentTotal)
}

func TestUSBCheck(t *testing.T) {
	c := usbCheck([]tty.Sighting{
		{Device: tty.USBDevice{Path: "1-1", VID: 0x12d1, PID: 0x14dc}, Trouble: tty.Trouble{Code: tty.CodeHiLink, Says: "HiLink"}},
		{Device: tty.USBDevice{Path: "1-2"}, Name: "usb:1-2:2"},
	}, []tty.Rival{{Program: "ModemManager", PID: 7}})
	require.Equal(t, webui.Warn, c.Status)
	require.Regexp(t, `^ModemManager runs \(process 7\) .*; USB 1-1 \(12d1:14dc\): HiLink$`, c.Detail)
}

// The daemon itself searches, and stops in order.
func TestServeDiscovers(t *testing.T) {
	t.Parallel()
	d := serving(t, dataFolder(t), "--discover", "--emulate", "1")
	eventually(t, func() bool {
		var health webui.Health
		d.ask("GET", "/health/ready", nil, &health)
		for _, c := range health.Checks {
			if c.Name == "usb" {
				return true
			}
		}
		return false
	}, "the check of USB in /health/ready")
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(20*time.Second))
}
