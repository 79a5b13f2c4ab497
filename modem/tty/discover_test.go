package tty

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// finder is a discovery on a bus, and what it reported.
type finder struct {
	*Discovery
	t   *testing.T
	bus *bus
	net *emulator.Network
	// news are "+usb:…" and "-usb:…", as Add and Remove were called.
	news  chan string
	found map[string]Found // owned by who reads news
	list  chan Found
}

// newFinder makes one that is started by run.
func newFinder(t *testing.T, b *bus, change func(*DiscoveryOptions)) *finder {
	f := &finder{t: t, bus: b, news: make(chan string, 20), list: make(chan Found, 20), found: map[string]Found{}}
	f.net = emulator.NewNetwork(emulator.NetworkOptions{})
	t.Cleanup(func() { require.NoError(t, f.net.Close()) })
	o := DiscoveryOptions{
		Tree: b.tree, LockDir: b.locks, Events: b.source, Rules: testRules,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		// Only hints make it look, but for what is due at a time.
		Rescan: time.Hour, Settle: -1, Answer: 300 * time.Millisecond, Retry: time.Hour,
		Add: func(m Found) error {
			f.list <- m
			f.news <- "+" + m.Name
			return nil
		},
		Remove: func(_ context.Context, name string) error {
			f.news <- "-" + name
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	f.Discovery = NewDiscovery(o)
	return f
}

func (f *finder) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		require.ErrorIs(f.t, <-ended, context.Canceled)
	})
}

func (f *finder) modem(o emulator.ModemOptions) *emulator.Modem {
	o.BootTime = time.Millisecond
	return f.net.AddModem(o)
}

// says waits for the next report.
func (f *finder) says(want string) {
	f.t.Helper()
	select {
	case got := <-f.news:
		require.Equal(f.t, want, got)
		if got[0] == '+' {
			m := <-f.list
			f.found[m.Name] = m
		}
	case <-time.After(30 * time.Second):
		require.FailNow(f.t, "never reported: "+want)
	}
}

// trouble waits for what Sightings says of a device.
func (f *finder) trouble(path, says string) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		for _, s := range f.Sightings() {
			if s.Device.Path == path && strings.Contains(s.Trouble.String(), says) {
				return true
			}
		}
		return false
	}, 30*time.Second, 5*time.Millisecond, "sightings: %v", f.Sightings())
}

// imei asks the modem behind a port's name who it is.
func (f *finder) imei(name string) string {
	f.t.Helper()
	port, err := f.Open(f.t.Context(), name)
	require.NoError(f.t, err)
	defer port.Close()
	_, err = port.Write([]byte("AT+CGSN\r"))
	require.NoError(f.t, err)
	lines := bufio.NewScanner(port)
	for lines.Scan() {
		if n := imei([]string{lines.Text()}); n != "" {
			return n
		}
	}
	return ""
}

func TestOnlyOnePortSpeaks(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	m := f.modem(emulator.ModemOptions{})
	diag, gps, at, ppp := b.port("ttyUSB0"), b.port("ttyUSB1"), b.port("ttyUSB2"), b.speaking("ttyUSB3", m)
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{0: diag, 1: gps, 2: at, 3: ppp}})
	f.says("+usb:1-1.2:3")
	require.Equal(t, Found{"usb:1-1.2:3", "1-1.2", m.IMEI()}, f.found["usb:1-1.2:3"])
	require.Equal(t, "AT\r\x1bAT\r\x1bAT\r", at.said(), "the table's port was asked first, three times")
	require.Empty(t, diag.said()+gps.said(), "ports for something else were written to")
	require.Equal(t, m.IMEI(), f.imei("usb:1-1.2:3"))
	require.Empty(t, lockFiles(t, b.locks))
}

func TestRenumbered(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	one, other := f.modem(emulator.ModemOptions{}), f.modem(emulator.ModemOptions{})
	s := stick{path: "1-1.1", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", one)}}
	r := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB1", other)}}
	f.run()
	b.plug(s)
	f.says("+usb:1-1.1:2")
	b.plug(r)
	f.says("+usb:1-1.2:2")

	// Both are pulled, and come back in the other order: ttyUSB0 is now the other.
	b.unplug(s)
	b.unplug(r)
	_, err := f.Open(t.Context(), "usb:1-1.1:2")
	require.ErrorIs(t, err, ErrAbsent)
	r.ports = map[int]*wire{2: b.speaking("ttyUSB0", other)}
	s.ports = map[int]*wire{2: b.speaking("ttyUSB1", one)}
	b.plug(r)
	b.plug(s)
	require.Equal(t, one.IMEI(), f.imei("usb:1-1.1:2"))
	require.Equal(t, other.IMEI(), f.imei("usb:1-1.2:2"))

	// A third one is found after that, and nothing else was ever reported.
	b.plug(stick{path: "1-1.3", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB2", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.3:2")
}

func TestAnotherSocket(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	m := f.modem(emulator.ModemOptions{})
	s := stick{path: "1-1.1", vid: 0x12d1, pid: 0x1506, ports: map[int]*wire{0: b.port("ttyUSB0"), 1: b.speaking("ttyUSB1", m)}}
	f.run()
	b.plug(s)
	f.says("+usb:1-1.1:1")
	b.unplug(s)
	b.plug(stick{path: "2-1", vid: 0x12d1, pid: 0x1506, ports: map[int]*wire{0: b.port("ttyUSB1"), 1: b.speaking("ttyUSB0", m)}})
	f.says("-usb:1-1.1:1") // at once: nobody sees the modem twice
	f.says("+usb:2-1:1")
	require.Equal(t, m.IMEI(), f.imei("usb:2-1:1"))
}

// What a socket's modem said when it was found is old news if another of its
// kind was put in since.
func TestAnotherSocketAfterASwap(t *testing.T) {
	b := newBus(t)
	now := make(chan map[string]string, 1)
	now <- nil
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.IMEI = func(name string) string {
			m := <-now
			defer func() { now <- m }()
			return m[name]
		}
	})
	one, other := f.modem(emulator.ModemOptions{}), f.modem(emulator.ModemOptions{})
	s := stick{path: "1-1.1", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", one)}}
	f.run()
	b.plug(s)
	f.says("+usb:1-1.1:2")
	b.unplug(s)
	s.ports = map[int]*wire{2: b.speaking("ttyUSB0", other)}
	b.plug(s)
	<-now
	now <- map[string]string{"usb:1-1.1:2": other.IMEI()} // as its line found out
	b.unplug(s)
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", one)}})
	f.says("+usb:1-1.2:2") // not the one that was away
	b.plug(stick{path: "1-1.3", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB1", other)}})
	f.says("-usb:1-1.1:2")
	f.says("+usb:1-1.3:2")
}

func TestTwins(t *testing.T) {
	for _, number := range []string{"490154203237518", "000000000000000"} { // doubled, blank
		b := newBus(t)
		f := newFinder(t, b, nil)
		f.run()
		for i, path := range []string{"1-1.1", "1-1.2"} {
			m := f.modem(emulator.ModemOptions{IMEI: number})
			b.plug(stick{path: path, vid: 0x19d2, pid: 0x0031, serial: "1234567890ABCDEF", ports: map[int]*wire{1: b.speaking([]string{"ttyUSB0", "ttyUSB1"}[i], m)}})
			f.says("+usb:" + path + ":1")
		}
		want := number
		if strings.Trim(number, "0") == "" {
			want = ""
		}
		require.Equal(t, want, f.found["usb:1-1.2:1"].IMEI)
	}
}

func TestALatePort(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	m := f.modem(emulator.ModemOptions{})
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0xabcd, pid: 1, bare: []int{2}, ports: map[int]*wire{0: b.port("ttyUSB0")}})
	f.trouble("1-1.2", "none of its ports answers AT")
	b.grow("1-1.2", 2, b.speaking("ttyUSB1", m))
	f.says("+usb:1-1.2:2")
}

func TestAMuteModem(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Answer, o.Retry = time.Millisecond, time.Millisecond })
	f.run()
	// Where the table knows the port it is shown to people, though it is mute.
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0"), 3: b.port("ttyUSB1")}})
	f.says("+usb:1-1.2:2")
	require.Equal(t, Found{"usb:1-1.2:2", "1-1.2", ""}, f.found["usb:1-1.2:2"])
}

func TestHeldByAnother(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Retry = 10 * time.Millisecond })
	m := f.modem(emulator.ModemOptions{})
	at, ppp := b.speaking("ttyUSB0", m), b.port("ttyUSB1")
	pid, release := hold(t, filepath.Join(b.tree.Dev, ppp.name), b.locks)
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: at, 3: ppp}})
	f.trouble("1-1.2", (&BusyError{Name: filepath.Join(b.tree.Dev, ppp.name), PID: pid, Program: ourName()}).Error())
	require.Empty(t, ppp.said(), "another program's port was written to")
	release()
	f.says("+usb:1-1.2:2")
}

func TestNamedPortsAreLeftAlone(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Named = []string{"tcp:127.0.0.1:1", filepath.Join(b.tree.Dev, "ttyUSB3"), "usb:1-1.2:2"}
	})
	mine := b.port("ttyUSB0")
	f.run()
	b.plug(stick{path: "1-1.1", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: mine, 3: b.port("ttyUSB3")}})
	other := b.port("ttyUSB1")
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: other}})
	console := b.port("ttyUSB4")
	require.NoError(t, os.MkdirAll(b.tree.sys("class/tty/console"), 0o755))
	require.NoError(t, os.WriteFile(b.tree.sys("class/tty/console/active"), []byte("tty0 ttyUSB4\n"), 0o644))
	b.plug(stick{path: "1-1.3", vid: 0x0403, pid: 0x6001, ports: map[int]*wire{0: console}})
	login := b.port("ttyUSB5")
	require.NoError(t, os.MkdirAll(b.tree.sys(`fs/cgroup/system.slice/system-serial\x2dgetty.slice/serial-getty@ttyUSB5.service`), 0o755))
	b.plug(stick{path: "1-1.5", vid: 0x0403, pid: 0x6001, ports: map[int]*wire{0: login}})
	b.plug(stick{path: "1-1.4", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB2", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.4:2")
	require.Empty(t, mine.said()+other.said()+console.said()+login.said())
}

func TestForgotten(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Forget = 50 * time.Millisecond })
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))}}
	f.run()
	b.plug(s)
	f.says("+usb:1-1.2:2")
	b.unplug(s)
	f.says("-usb:1-1.2:2")
}

// Another device in the socket is another modem, also when nobody saw it empty.
func TestAnotherDeviceInTheSocket(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))}}
	b.plug(s)
	f.run()
	f.says("+usb:1-1.2:2")
	b.unplug(s)
	b.plug(stick{path: "1-1.2", vid: 0x1546, pid: 0x1010, class: [3]uint8{2, 2, 1}, ports: map[int]*wire{
		0: b.port("ttyACM0"), 6: b.speaking("ttyACM1", f.modem(emulator.ModemOptions{}))}})
	f.says("-usb:1-1.2:2")
	f.says("+usb:1-1.2:6")
}

// A modem whose mode was changed shows its AT port elsewhere.
func TestThePortMoves(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Retry, o.Rescan = 10*time.Millisecond, 10*time.Millisecond })
	m := f.modem(emulator.ModemOptions{})
	was := b.speaking("ttyUSB0", m)
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, bare: []int{4}, ports: map[int]*wire{2: was}})
	f.says("+usb:1-1.2:2")
	was.stop()
	require.NoError(t, os.Remove(b.tree.sys("bus/usb/devices/1-1.2/1-1.2:1.2/ttyUSB0")))
	b.grow("1-1.2", 4, b.speaking("ttyUSB1", m))
	f.says("-usb:1-1.2:2")
	f.says("+usb:1-1.2:4")
}

func TestSightingsTellOfUnusable(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	f.run()
	crashed := b.port("ttyUSB0")
	b.plug(stick{path: "1-1.1", vid: 0x05c6, pid: 0x9008, ports: map[int]*wire{0: crashed}})
	b.plug(stick{path: "1-1.2", vid: 0x12d1, pid: 0x14dc, class: [3]uint8{2, 6, 0}, bare: []int{0}})
	f.trouble("1-1.1", "download mode")
	f.trouble("1-1.2", "HiLink")
	require.Empty(t, crashed.said())
}

func TestDiscoverySeesRivals(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Rescan = time.Millisecond })
	f.run()
	dir := filepath.Join(b.tree.Proc, "12")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "comm"), []byte("ModemManager\n"), 0o644))
	require.Eventually(t, func() bool { return len(f.Rivals()) == 1 }, 30*time.Second, time.Millisecond)
	require.NoError(t, os.RemoveAll(dir))
	require.Eventually(t, func() bool { return len(f.Rivals()) == 0 }, 30*time.Second, time.Millisecond)
}

// A modem that still shows itself as the disk with its drivers is no trouble
// before usb-modeswitch has had its time.
func TestADiskThatBecomesAModem(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Settle = time.Hour })
	said := 0
	f.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if strings.Contains(a.Value.String(), "usb-modeswitch") {
			said++
		}
		return a
	}}))
	s := stick{path: "1-1.2", vid: 0x12d1, pid: 0x1f01, class: [3]uint8{8, 6, 0x50}, bare: []int{0}}
	b.plug(s)
	require.LessOrEqual(t, f.look(t.Context()), time.Hour)
	require.Empty(t, f.Sightings())
	require.Zero(t, said)
	f.o.Settle = -1
	for range 2 {
		f.look(t.Context())
	}
	require.Len(t, f.Sightings(), 1)
	require.Equal(t, 1, said, "once is enough")
	b.unplug(s)
	b.plug(stick{path: "1-1.2", vid: 0x12d1, pid: 0x1506, ports: map[int]*wire{0: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))}})
	f.run()
	f.says("+usb:1-1.2:0")
}

// Without a source of events, looking now and then finds modems too; and the
// source is opened again.
func TestWithoutEvents(t *testing.T) {
	b := newBus(t)
	tries := 0
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Rescan = 10 * time.Millisecond
		o.Events = func() (io.ReadCloser, error) {
			if tries++; tries < 3 {
				return nil, errors.New("no netlink here")
			}
			return b.source()
		}
	})
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.2:2")
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.events != nil
	}, 30*time.Second, time.Millisecond)
}

func TestTheKernelsEvents(t *testing.T) {
	events, err := openUevents()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- hearken(ctx, events, func() {}) }()
	cancel() // also when nothing is ever announced
	require.ErrorIs(t, <-ended, context.Canceled)
}

func FuzzUevent(f *testing.F) {
	f.Add([]byte("add@/devices/x\x00ACTION=add\x00SUBSYSTEM=usb\x00"))
	f.Add([]byte("libudev\x00\xfe\xed\xca\xfe" + strings.Repeat("\x28\x00\x00\x00", 8) + "ACTION=add\x00"))
	f.Add([]byte("add@x"))
	f.Add([]byte("change@/devices/x\x00SUBSYSTEM=block\x00"))
	f.Fuzz(func(t *testing.T, b []byte) { concerns(b) })
}

func TestConcerns(t *testing.T) {
	require.True(t, concerns([]byte("add@/devices/x\x00ACTION=add\x00SUBSYSTEM=usb\x00")))
	require.False(t, concerns([]byte("change@/devices/x\x00ACTION=change\x00SUBSYSTEM=block\x00")))
	require.True(t, concerns([]byte("gibberish")), "rather one look too many")
}

// A modem that comes without an event, as one does that gets its power after the
// adapter it hangs on, is asked soon however long nothing was there.
func TestSilentPortsAreAskedForEver(t *testing.T) {
	f := newFinder(t, newBus(t), func(o *DiscoveryOptions) { o.Retry = 0 })
	s := &site{group: group{name: "usb:1-1.2:0", candidates: []candidate{{device: "/dev/ttyUSB0"}}}, present: true}
	f.sites[s.group.name] = s
	for range 20 {
		f.take(t.Context(), round{site: s, err: errSilent})
		require.Empty(t, s.chosen)
		pause := time.Until(s.next)
		require.Greater(t, pause, 5*time.Second)
		require.LessOrEqual(t, pause, 15*time.Second)
	}
	f.o.Add = func(Found) error { return errors.New("not now") }
	f.take(t.Context(), round{site: s, chosen: s.candidates[0]})
	require.LessOrEqual(t, time.Until(s.next), 15*time.Second)
	require.Contains(t, s.trouble.Says, "not now")
}

// In the rounds after the first, who has the port open is looked up with the
// others', and the port is asked twice: a modem sleeps through the first.
func TestAskedAgainWithLessAdo(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Answer = 20 * time.Millisecond })
	w := b.port("ttyUSB0")
	device := filepath.Join(b.tree.Dev, w.name)
	r := f.interview(t.Context(), []candidate{{device: device}}, 1)
	require.ErrorIs(t, r.err, errSilent)
	require.Eventually(t, func() bool { return w.said() == "AT\r\x1bAT\r" }, 10*time.Second, time.Millisecond, "it was sent %q", w.said())
	require.False(t, f.opened.at.IsZero())
	pid, release := hold(t, device, t.TempDir())
	f.opened.at = time.Now().Add(-2 * openersFor)
	require.Equal(t, pid, f.opened.by(w.peer.Name()))
	release()
	require.Equal(t, pid, f.opened.by(w.peer.Name()), "nobody looked again yet")
}

// A port that is missing from its device is given up soon.
func TestAMissingPortIsGivenUpSoon(t *testing.T) {
	b := newBus(t)
	gone := make(chan string, 1)
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Retry, o.Settle = 0, time.Hour
		o.Remove = func(_ context.Context, name string) error { gone <- name; return nil }
	})
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{4: b.port("ttyUSB1")}})
	f.look(t.Context())
	s := f.sites["usb:1-1.2"]
	require.NotNil(t, s)
	s.chosen = "usb:1-1.2:2"
	f.look(t.Context())
	require.True(t, s.lost)
	require.Equal(t, CodeMoved, s.trouble.Code)
	require.Empty(t, gone, "it may come back by itself")
	s.since = time.Now().Add(-15 * time.Second)
	f.look(t.Context())
	require.Equal(t, "usb:1-1.2:2", <-gone)
}
