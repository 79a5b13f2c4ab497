package tty

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

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"recado/modem/emulator"
)

// bus is a USB bus in a fake sysfs and /dev, whose serial ports are ptys, and
// whose events come through a socket as netlink's do: one a read.
type bus struct {
	t      *testing.T
	tree   Tree
	locks  string
	number int // the last devnum

	mu     sync.Mutex
	events *os.File // the announcing end; nil before the source was opened
}

func newBus(t *testing.T) *bus {
	root := t.TempDir()
	b := &bus{t: t, locks: t.TempDir(), tree: Tree{
		Sys: filepath.Join(root, "sys"), Dev: filepath.Join(root, "dev"), Proc: filepath.Join(root, "proc"),
	}}
	for _, dir := range []string{b.tree.sys("bus/usb/devices/usb1"), b.tree.Dev, b.tree.Proc} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	return b
}

// source is the other end of the announcements.
func (b *bus) source() (io.ReadCloser, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	events := os.NewFile(uintptr(fds[0]), "announcements")
	b.mu.Lock()
	b.events = events
	b.mu.Unlock()
	b.t.Cleanup(func() { events.Close() })
	return os.NewFile(uintptr(fds[1]), "uevents"), nil
}

// announce says what the kernel says when a device comes or goes.
func (b *bus) announce(action, path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.events != nil { // else the first look sees it
		_, err := fmt.Fprintf(b.events, "%s@/devices/%s\x00ACTION=%s\x00SUBSYSTEM=usb\x00", action, path, action)
		require.NoError(b.t, err)
	}
}

// stick describes a USB device; ports are the serial ports by interface number.
type stick struct {
	path     string
	vid, pid uint16
	serial   string
	class    [3]uint8         // of all interfaces; ff/00/00 when zero
	classes  map[int][3]uint8 // of single ones
	ports    map[int]*wire
	bare     []int // interfaces without a port
}

// wire is a serial port: a pty with a modem behind it, or with nothing.
type wire struct {
	name         string // ttyUSB2
	master, peer *os.File
	stop         func() // ends the modem's side
	mu           sync.Mutex
	heard        []byte // what a silent port was sent
	// mute ends the modem's Serve, after which the port hears and says nothing.
	mute context.CancelFunc
	// voice are modems that begin to speak on a port that heard only.
	voice chan *emulator.Modem
}

// hush makes the modem fall silent on this port, which stays.
func (w *wire) hush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute()
}

// speak makes a silent port speak.
func (w *wire) speak(m *emulator.Modem) {
	w.voice <- m
	w.master.SetReadDeadline(time.Now()) // out of its Read
}

// chatter says something that nobody asked for.
func (w *wire) chatter(text string) { io.WriteString(w.master, text) }

// port makes a serial port of this name with nothing behind it that speaks.
func (b *bus) port(name string) *wire { return b.speaking(name, nil) }

// speaking makes a serial port with a modem behind it.
func (b *bus) speaking(name string, m *emulator.Modem) *wire {
	b.t.Helper()
	blocking, peer, err := pty.Open()
	require.NoError(b.t, err)
	// On a descriptor that blocks, Close would wait for a Read.
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(b.t, err)
	require.NoError(b.t, unix.SetNonblock(fd, true))
	require.NoError(b.t, blocking.Close())
	master := os.NewFile(uintptr(fd), "modem")
	_, err = term.MakeRaw(int(peer.Fd()))
	require.NoError(b.t, err)
	w := &wire{name: name, master: master, peer: peer, voice: make(chan *emulator.Modem, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	serving, mute := context.WithCancel(ctx)
	w.mute = mute
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if m != nil {
				m.Serve(serving, keep{master}) // its end is the test's doing
			}
			m = w.listen()
			serving, mute = context.WithCancel(ctx)
			w.mu.Lock()
			w.mute = mute
			w.mu.Unlock()
		}
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		master.Close()
		peer.Close()
		<-ended
	})
	b.t.Cleanup(w.stop)
	link := filepath.Join(b.tree.Dev, name)
	os.Remove(link)
	require.NoError(b.t, os.Symlink(peer.Name(), link))
	return w
}

// keep is a port that a modem's Serve does not close, but leaves.
type keep struct{ port *os.File }

func (k keep) Read(p []byte) (int, error)  { return k.port.Read(p) }
func (k keep) Write(p []byte) (int, error) { return k.port.Write(p) }
func (k keep) Close() error                { return k.port.SetDeadline(time.Now()) }

// listen hears what the port is sent, until it is closed or a modem is to speak.
func (w *wire) listen() *emulator.Modem {
	w.master.SetDeadline(time.Time{})
	buf := make([]byte, 256)
	for {
		select {
		case m := <-w.voice:
			w.master.SetDeadline(time.Time{})
			return m
		default:
		}
		n, err := w.master.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return nil
		}
		w.mu.Lock()
		w.heard = append(w.heard, buf[:n]...)
		w.mu.Unlock()
	}
}

func (w *wire) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.heard)
}

// plug puts a stick in; sysfs shows it whole at once.
func (b *bus) plug(s stick) {
	b.t.Helper()
	b.number++
	dir := filepath.Join(b.t.TempDir(), s.path)
	write := func(dir, name, text string) {
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
	}
	require.NoError(b.t, os.MkdirAll(dir, 0o755))
	write(dir, "idVendor", fmt.Sprintf("%04x", s.vid))
	write(dir, "idProduct", fmt.Sprintf("%04x", s.pid))
	write(dir, "devnum", fmt.Sprint(b.number))
	write(dir, "product", "Mobile")
	if s.serial != "" {
		write(dir, "serial", s.serial)
	}
	for _, n := range s.bare {
		b.face(dir, s, n, nil)
	}
	for n, w := range s.ports {
		b.face(dir, s, n, w)
	}
	require.NoError(b.t, os.Rename(dir, b.tree.sys("bus/usb/devices", s.path)))
	b.announce("add", s.path)
}

// face makes an interface in a stick's folder, with its port if it has one. The
// port comes last, as a driver takes the interface after the kernel showed it.
func (b *bus) face(dir string, s stick, n int, w *wire) {
	class := s.class
	if c, ok := s.classes[n]; ok {
		class = c
	} else if class == [3]uint8{} {
		class = [3]uint8{0xff, 0, 0}
	}
	i := filepath.Join(b.t.TempDir(), "interface")
	if err := os.MkdirAll(i, 0o755); err != nil {
		b.t.Error(err)
	}
	for name, value := range map[string]int{
		"bInterfaceNumber": n, "bInterfaceClass": int(class[0]), "bInterfaceSubClass": int(class[1]), "bInterfaceProtocol": int(class[2]),
	} {
		if err := os.WriteFile(filepath.Join(i, name), fmt.Appendf(nil, "%02x\n", value), 0o644); err != nil {
			b.t.Error(err)
		}
	}
	if w != nil {
		if err := os.MkdirAll(filepath.Join(i, w.sysfs()), 0o755); err != nil {
			b.t.Error(err)
		}
	}
	if err := os.Rename(i, filepath.Join(dir, fmt.Sprintf("%s:1.%d", s.path, n))); err != nil {
		b.t.Error(err)
	}
}

// sysfs is where below its interface a port is.
func (w *wire) sysfs() string {
	if w.name[:6] == "ttyACM" {
		return "tty/" + w.name
	}
	return w.name
}

// grow adds a port to a stick that is in already.
func (b *bus) grow(path string, n int, w *wire) {
	b.t.Helper()
	require.NoError(b.t, os.Mkdir(b.tree.sys("bus/usb/devices", path, fmt.Sprintf("%s:1.%d", path, n), w.name), 0o755))
	b.announce("add", path)
}

// unplug pulls a stick: its ports hang up.
func (b *bus) unplug(s stick) {
	b.t.Helper()
	require.NoError(b.t, os.Rename(b.tree.sys("bus/usb/devices", s.path), filepath.Join(b.t.TempDir(), "gone")))
	for _, w := range s.ports {
		w.stop()
		os.Remove(filepath.Join(b.tree.Dev, w.name))
	}
	b.announce("remove", s.path)
}
