package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/modem/family"
	"recado/modem/tty"
)

// socket is a fake USB tree with emulated modems on pseudo-terminals, the real
// discovery, and a modem of ours on each port that it finds.
type socket struct {
	t     *testing.T
	tree  tty.Tree
	net   *emulator.Network
	ports []emulator.Port
	d     *tty.Discovery

	mu    sync.Mutex
	lines map[string]*Modem // by the port's name
	stops map[string]func()
}

func newSocket(t *testing.T, modems int) *socket {
	root := t.TempDir()
	s := &socket{t: t, tree: tty.Tree{Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc")},
		lines: map[string]*Modem{}, stops: map[string]func(){}}
	for _, dir := range []string{filepath.Join(s.tree.Sys, "bus/usb/devices/usb1"), s.tree.Dev, s.tree.Proc} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	ready := make(chan struct{})
	wg.Go(func() {
		_ = emulator.Emulate(ctx, emulator.EmulateOptions{Modems: modems, Dir: filepath.Join(root, "pts"), Ready: func(n *emulator.Network, p []emulator.Port) {
			s.net, s.ports = n, p
			close(ready)
		}})
	})
	<-ready
	var rules []tty.PortRule
	for _, r := range family.PortRules() {
		rules = append(rules, tty.PortRule{VID: r.VID, PID: r.PID, Interface: r.Interface, Protocol: r.Protocol, Role: r.Role})
	}
	s.d = tty.NewDiscovery(tty.DiscoveryOptions{
		Tree: s.tree, LockDir: t.TempDir(), Rules: rules, Rescan: 20 * time.Millisecond, Settle: -1, Answer: 300 * time.Millisecond, Retry: 50 * time.Millisecond,
		Events: func() (io.ReadCloser, error) { return nil, errors.New("none here") },
		Add:    func(f tty.Found) error { s.begin(f); return nil },
		Remove: func(_ context.Context, name string) error { s.end(name); return nil },
	})
	wg.Go(func() { _ = s.d.Run(ctx) })
	t.Cleanup(func() {
		for _, name := range s.names() {
			s.end(name)
		}
		cancel()
		wg.Wait()
	})
	return s
}

func (s *socket) begin(f tty.Found) {
	m := New(Config{Name: f.Name, USBPath: f.USBPath, Sink: &box{}, Settle: -1, Open: func(ctx context.Context) (io.ReadWriteCloser, error) {
		return s.d.Open(ctx, f.Name)
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = m.Run(ctx) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[f.Name] = m
	s.stops[f.Name] = func() { cancel(); <-ended }
}

func (s *socket) end(name string) {
	s.mu.Lock()
	stop := s.stops[name]
	delete(s.lines, name)
	delete(s.stops, name)
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (s *socket) names() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.lines {
		list = append(list, name)
	}
	return list
}

// plug shows modem i as a ZTE stick at path, whose port has the name.
func (s *socket) plug(path, port string, i int) {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), path)
	iface := filepath.Join(dir, path+":1.1")
	require.NoError(s.t, os.MkdirAll(filepath.Join(iface, port), 0o755))
	for file, text := range map[string]string{
		filepath.Join(dir, "idVendor"): "19d2", filepath.Join(dir, "idProduct"): "0031", filepath.Join(dir, "devnum"): fmt.Sprint(time.Now().UnixNano() % 1000000),
		filepath.Join(dir, "serial"): "1234567890ABCDEF", filepath.Join(iface, "bInterfaceNumber"): "01",
		filepath.Join(iface, "bInterfaceClass"): "ff", filepath.Join(iface, "bInterfaceSubClass"): "ff", filepath.Join(iface, "bInterfaceProtocol"): "ff",
	} {
		require.NoError(s.t, os.WriteFile(file, []byte(text+"\n"), 0o644))
	}
	pts, err := filepath.EvalSymlinks(s.ports[i].Path)
	require.NoError(s.t, err)
	require.NoError(s.t, os.Symlink(pts, filepath.Join(s.tree.Dev, port)))
	require.NoError(s.t, os.Rename(dir, filepath.Join(s.tree.Sys, "bus/usb/devices", path)))
}

// pull takes the device at path away; its port hangs up.
func (s *socket) pull(path, port string, i int) {
	s.t.Helper()
	require.NoError(s.t, os.Rename(filepath.Join(s.tree.Sys, "bus/usb/devices", path), filepath.Join(s.t.TempDir(), "gone")))
	require.NoError(s.t, os.Remove(filepath.Join(s.tree.Dev, port)))
	s.ports[i].Modem.Unplug()
}

// back plugs the modem in again and waits until its terminal is there.
func (s *socket) back(i int) {
	s.t.Helper()
	s.ports[i].Modem.Replug()
	require.Eventually(s.t, func() bool { _, err := os.Stat(s.ports[i].Path); return err == nil }, 30*time.Second, 5*time.Millisecond)
}

// on waits until the line of a port is ready with modem i, sends through it, and
// looks in the ledger which modem it was.
func (s *socket) on(name string, i int, text string) {
	s.t.Helper()
	var m *Modem
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		m = s.lines[name]
		s.mu.Unlock()
		return m != nil && m.Snapshot().State == StateReady && m.Snapshot().SIM.ICCID == s.ports[i].Modem.ICCID()
	}, 60*time.Second, 10*time.Millisecond, "%s, of %v", name, s.names())
	l := &lifeOf{t: s.t, m: m}
	o := m.Send(s.t.Context(), l.tpdu("+34600111222", text), func() error { return nil })
	require.Equal(s.t, Accepted, o.Verdict, "%+v", o)
	for _, e := range s.net.Ledger() {
		if e.Text == text {
			require.Equal(s.t, s.ports[i].Modem.Name(), e.Modem)
			require.Equal(s.t, e.MR, o.MR)
			return
		}
	}
	require.Fail(s.t, "not in the ledger: "+text)
}

func twins(t *testing.T) {
	s := newSocket(t, 2)
	s.plug("1-1.1", "ttyUSB0", 0)
	s.plug("1-1.2", "ttyUSB1", 1)
	s.on("usb:1-1.1:1", 0, "uno")
	s.on("usb:1-1.2:1", 1, "dos")
	require.Len(t, s.names(), 2)
}

func renumbering(t *testing.T) {
	s := newSocket(t, 2)
	s.plug("1-1.1", "ttyUSB0", 0)
	s.plug("1-1.2", "ttyUSB1", 1)
	s.on("usb:1-1.1:1", 0, "uno")
	s.on("usb:1-1.2:1", 1, "dos")
	s.pull("1-1.1", "ttyUSB0", 0)
	s.pull("1-1.2", "ttyUSB1", 1)
	s.back(0)
	s.back(1)
	s.plug("1-1.2", "ttyUSB0", 1)
	s.plug("1-1.1", "ttyUSB1", 0)
	s.on("usb:1-1.1:1", 0, "uno otra vez")
	s.on("usb:1-1.2:1", 1, "dos otra vez")
	require.Len(t, s.names(), 2)
}

// fdReuse: what a modem writes after its port was closed reaches no file that
// has got the port's number.
func fdReuse(t *testing.T) {
	s := newSocket(t, 1)
	s.plug("1-1.1", "ttyUSB0", 0)
	s.on("usb:1-1.1:1", 0, "antes")
	s.end("usb:1-1.1:1")
	port, err := s.d.Open(t.Context(), "usb:1-1.1:1")
	require.NoError(t, err)
	pts, err := filepath.EvalSymlinks(s.ports[0].Path)
	require.NoError(t, err)
	before := holding(t, pts)
	require.NoError(t, port.Close())
	freed := ""
	for fd := range before {
		if !holding(t, pts)[fd] {
			freed = fd
		}
	}
	require.NotEmpty(t, freed)
	var victim *os.File
	for range 50 { // as many files as it takes to get that number
		victim, err = os.Create(filepath.Join(t.TempDir(), "victim"))
		require.NoError(t, err)
		defer victim.Close()
		if fmt.Sprint(victim.Fd()) == freed {
			break
		}
	}
	require.Equal(t, freed, fmt.Sprint(victim.Fd()))
	_, err = port.Write([]byte("AT+CMGS=20\r"))
	require.Error(t, err)
	text, err := os.ReadFile(victim.Name())
	require.NoError(t, err)
	require.Empty(t, text)
}

// holding are our descriptors of a file, by number.
func holding(t *testing.T, path string) map[string]bool {
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	m := map[string]bool{}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == path {
			m[e.Name()] = true
		}
	}
	return m
}
