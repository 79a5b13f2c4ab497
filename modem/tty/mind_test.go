package tty

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// The firmware moves AT to another port while the modem is up: its care finds it
// mute, its other ports are asked, and the one that answers takes over.
func TestATMoves(t *testing.T) {
	b := newBus(t)
	var mute atomic.Value
	mute.Store("")
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Rescan, o.Patience, o.Answer = 10*time.Millisecond, 20*time.Millisecond, 100*time.Millisecond
		o.Retry = 20 * time.Millisecond
		o.Mute = func(name string) bool { return name == mute.Load() }
	})
	m := f.modem(emulator.ModemOptions{})
	at, diag := b.speaking("ttyUSB2", m), b.port("ttyUSB0")
	silent, ppp := b.port("ttyUSB3"), b.port("ttyUSB4")
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{0: diag, 2: at, 3: ppp, 4: silent}})
	f.says("+usb:1-1.2:2")
	require.Empty(t, ppp.said()+silent.said(), "ports that were not needed were asked")

	// It falls silent; nothing else speaks either: nothing changes.
	at.hush()
	mute.Store("usb:1-1.2:2")
	require.Eventually(t, func() bool { return strings.Count(ppp.said(), "AT\r") >= 6 }, 30*time.Second, time.Millisecond, "asked again and again")

	ppp.speak(m)
	f.says("-usb:1-1.2:2") // first: nobody sees the modem twice
	f.says("+usb:1-1.2:3")
	require.Equal(t, m.IMEI(), f.imei("usb:1-1.2:3"))

	// And back, when that one falls silent in turn.
	ppp.hush()
	at.speak(m)
	mute.Store("usb:1-1.2:3")
	f.says("-usb:1-1.2:3")
	f.says("+usb:1-1.2:2")
	require.Empty(t, diag.said(), "a port for something else was written to")
}

// A modem that is mute for less than its patience, as one that restarts, is left
// alone; so are the ports of one that answers.
func TestAMomentOfSilence(t *testing.T) {
	b := newBus(t)
	var asked atomic.Int32
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Rescan, o.Patience = time.Millisecond, time.Hour
		o.Mute = func(string) bool { return asked.Add(1)%50 != 0 } // every now and then it answers
	})
	ppp := b.port("ttyUSB1")
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{})), 3: ppp}})
	f.says("+usb:1-1.2:2")
	require.Eventually(t, func() bool { return asked.Load() > 200 }, 30*time.Second, time.Millisecond)
	require.Empty(t, ppp.said())
}

// Mute is counted from when it began, not from earlier silences.
func TestPatienceBeginsAnew(t *testing.T) {
	b := newBus(t)
	mute := true
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Mute = func(string) bool { return mute }
		o.Patience = time.Minute
	})
	s := &site{group: group{name: "usb:1-1", candidates: []candidate{{place: place{"1-1", 2, 0}}, {place: place{"1-1", 3, 0}}}}, chosen: "usb:1-1:2", hushed: true}
	now := time.Now()
	require.Equal(t, time.Minute, f.mind(t.Context(), s, now))
	require.Equal(t, time.Second, f.mind(t.Context(), s, now.Add(59*time.Second)))
	mute = false
	require.Equal(t, f.o.Rescan, f.mind(t.Context(), s, now.Add(60*time.Second)))
	mute = true
	require.Equal(t, time.Minute, f.mind(t.Context(), s, now.Add(61*time.Second)))
	require.Nil(t, s.probing)
}

// §3.2: "chatter on unread ports fills the buffer and crashes the device". Each
// port that nobody reads is told to be silent, once, and again when the stick
// comes back.
func TestUnreadPortsAreSilenced(t *testing.T) {
	rules := []PortRule{
		{VID: 0x12d1, Interface: -1, Protocol: 0x02, Role: RoleAT, Hush: "^CURC=0"},
		{VID: 0x12d1, Interface: -1, Protocol: 0x01, Role: RolePPP, Hush: "^CURC=0"},
		{VID: 0x12d1, Interface: -1, Protocol: 0x14, Role: "gps"},
		{VID: 0x12d1, Interface: -1, Hush: "^CURC=0"},
	}
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Rules, o.Rescan = rules, 10*time.Millisecond })
	m := f.modem(emulator.ModemOptions{})
	classes := map[int][3]uint8{0: {0xff, 1, 0x01}, 1: {0xff, 1, 0x14}, 2: {0xff, 1, 0x02}, 3: {0xff, 1, 0x77}}
	f.run()
	for round := range 2 {
		at, ppp, gps, other := b.speaking("ttyUSB2", m), b.port("ttyUSB0"), b.port("ttyUSB1"), b.port("ttyUSB3")
		reader := exec.Command("sleep", "600")
		if round == 1 {
			reader.Stdin = other.peer // ModemManager makes no lock either
			require.NoError(t, reader.Start())
		}
		ppp.chatter("^RSSI:18\r\n")
		s := stick{path: "1-1.2", vid: 0x12d1, pid: 0x1506, classes: classes, ports: map[int]*wire{0: ppp, 1: gps, 2: at, 3: other}}
		b.plug(s)
		if round == 0 {
			f.says("+usb:1-1.2:2")
			require.Eventually(t, func() bool { return other.said() == "AT^CURC=0\r" }, 30*time.Second, time.Millisecond, other.said())
		}
		require.Eventually(t, func() bool { return ppp.said() == "AT^CURC=0\r" }, 30*time.Second, time.Millisecond, ppp.said())
		require.Eventually(t, func() bool { return len(f.locked(b)) <= round }, 30*time.Second, time.Millisecond, "a port was left open")
		require.Empty(t, gps.said(), "GPS speaks no AT")
		if round == 1 {
			require.Empty(t, other.said(), "another program reads it")
			require.NoError(t, reader.Process.Kill())
			reader.Wait()
		}
		b.unplug(s)
		require.Eventually(t, func() bool {
			seen := f.Sightings()
			return len(seen) == 0
		}, 30*time.Second, time.Millisecond)
	}
}

// locked are the lock files of ports that are open.
func (f *finder) locked(b *bus) []string {
	entries, _ := os.ReadDir(b.locks)
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "LCK..") {
			names = append(names, e.Name())
		}
	}
	return names
}

// A modem whose ports appear one after the other, the one for AT last, after 20 s:
// the port that speaks AT already but is for data is not taken for it.
func TestPortsComeOneByOne(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Settle = 2 * time.Second })
	m := f.modem(emulator.ModemOptions{})
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, bare: []int{0, 1, 2, 4}, ports: map[int]*wire{3: b.speaking("ttyUSB0", m)}})
	wait := f.look(t.Context())
	require.InDelta(t, 20*time.Second, wait, float64(time.Second), "it waits for interface 2")
	s := f.sites["usb:1-1.2"]
	for i, at := range []time.Duration{5 * time.Second, 15 * time.Second} {
		s.since = s.since.Add(-at) // time passes
		require.Nil(t, s.probing)
		b.grow("1-1.2", []int{0, 4}[i], b.port(fmt.Sprintf("ttyUSB%d", i+1)))
		f.look(t.Context())
		require.Nil(t, s.probing, "its ports are still coming")
	}
	b.grow("1-1.2", 2, b.speaking("ttyUSB5", m))
	require.LessOrEqual(t, f.look(t.Context()), 2*time.Second, "complete: the usual time")
	f.o.Settle = 10 * time.Millisecond
	f.run()
	f.says("+usb:1-1.2:2")
}

// One whose AT port never comes is used through another.
func TestThePortNeverComes(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Settle = 5 * time.Millisecond })
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, bare: []int{2}, ports: map[int]*wire{3: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.2:3")
}

// A port that vanishes while it is asked, and the stick with it, leaves nothing
// behind; what comes next is asked afresh.
func TestVanishesWhileAsked(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Answer = time.Hour })
	f.run()
	before := 0
	for round := range 5 {
		mute := b.port("ttyUSB0")
		s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: mute}}
		b.plug(s)
		require.Eventually(t, func() bool { return mute.said() != "" }, 30*time.Second, time.Millisecond)
		b.unplug(s)
		require.Eventually(t, func() bool { return len(f.locked(b)) == 0 && len(f.Sightings()) == 0 }, 30*time.Second, time.Millisecond)
		if round == 0 {
			before = descriptors(t)
		}
	}
	require.LessOrEqual(t, descriptors(t), before+1)
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.2:2")
}

// §3.2: a stuck MF831 comes back with another PID, as something without ports,
// and needs its power cut. It is told of, its line stays, and it is back when it
// is itself again.
func TestAStuckMF831(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, nil)
	m := f.modem(emulator.ModemOptions{})
	s := stick{path: "1-1.2", vid: 0x19d2, pid: 0x1402, ports: map[int]*wire{1: b.speaking("ttyUSB0", m)}}
	f.run()
	b.plug(s)
	f.says("+usb:1-1.2:1")
	b.unplug(s)
	stuck := stick{path: "1-1.2", vid: 0x19d2, pid: 0x1225, class: [3]uint8{8, 6, 0x50}, bare: []int{0}}
	b.plug(stuck)
	f.trouble("1-1.2", "usb-modeswitch")
	_, err := f.Open(t.Context(), "usb:1-1.2:1")
	require.ErrorIs(t, err, ErrAbsent)
	b.unplug(stuck)
	s.ports = map[int]*wire{1: b.speaking("ttyUSB4", m)}
	b.plug(s)
	require.Eventually(t, func() bool { return len(f.Sightings()) == 1 && f.Sightings()[0].Trouble.None() }, 30*time.Second, time.Millisecond)
	require.Equal(t, m.IMEI(), f.imei("usb:1-1.2:1"))
	b.plug(stick{path: "1-1.3", vid: 0x19d2, pid: 0x1402, ports: map[int]*wire{1: b.speaking("ttyUSB5", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.3:1") // and the first was neither dropped nor added again
}

// ModemManager, as root, opens our port beside us: it is told of, and when it
// ends that is over.
func TestAnotherReadsOurPort(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Rescan = 5 * time.Millisecond })
	at := b.speaking("ttyUSB0", f.modem(emulator.ModemOptions{}))
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: at}})
	f.says("+usb:1-1.2:2")
	process := filepath.Join(b.tree.Proc, "612")
	require.NoError(t, os.MkdirAll(filepath.Join(process, "fd"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(process, "comm"), []byte("ModemManager\n"), 0o644))
	require.NoError(t, os.Symlink(at.peer.Name(), filepath.Join(process, "fd", "9")))
	f.trouble("1-1.2", at.peer.Name()+" is in use by ModemManager (process 612) too")
	require.Equal(t, CodeShared, f.Sightings()[0].Trouble.Code)
	require.Equal(t, "usb:1-1.2:2", f.Sightings()[0].Name)
	require.NoError(t, os.RemoveAll(process))
	require.Eventually(t, func() bool { return f.Sightings()[0].Trouble.None() }, 30*time.Second, time.Millisecond)
}

// It is found at the running system's processes too.
func TestOpenersAreReal(t *testing.T) {
	_, path := newPTY(t)
	locks := t.TempDir()
	pid, release := hold(t, path, locks)
	defer release()
	require.Equal(t, map[string]int{path: pid}, Tree{}.openers(map[string]bool{path: true, "/dev/null/none": true}))
}

// A modem that has found its voice while its other ports were asked keeps its
// port.
func TestItSpeaksAgain(t *testing.T) {
	b := newBus(t)
	var mute atomic.Bool
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Rescan, o.Patience = 10*time.Millisecond, 10*time.Millisecond
		o.Answer = time.Second
		o.Mute = func(string) bool { return mute.Load() }
	})
	m := f.modem(emulator.ModemOptions{})
	ppp := b.port("ttyUSB1")
	f.run()
	b.plug(stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB0", m), 3: ppp}})
	f.says("+usb:1-1.2:2")
	mute.Store(true)
	require.Eventually(t, func() bool { return ppp.said() != "" }, 30*time.Second, time.Millisecond)
	mute.Store(false) // the answer that is under way comes too late
	ppp.chatter("\r\nOK\r\n")
	require.Eventually(t, func() bool { return strings.Contains(ppp.said(), "AT+CGSN\r") }, 30*time.Second, time.Millisecond)
	ppp.chatter("\r\n490154203237518\r\nOK\r\n")
	require.Eventually(t, func() bool { return len(f.locked(b)) == 0 }, 30*time.Second, time.Millisecond)
	b.plug(stick{path: "1-1.3", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking("ttyUSB2", f.modem(emulator.ModemOptions{}))}})
	f.says("+usb:1-1.3:2") // and nothing was exchanged before
}

// The ports of a stick whose AT port an operator named are nobody's to read
// either, and the named one is left alone.
func TestPortsBesideANamedOne(t *testing.T) {
	rules := []PortRule{{VID: 0x12d1, Interface: -1, Role: RoleAT, Hush: "^CURC=0"}}
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Rules, o.Named = rules, []string{filepath.Join(b.tree.Dev, "ttyUSB0")}
		o.Answer = 20 * time.Millisecond // nobody answers
	})
	var last stick
	for round := range 3 {
		mine, other, third := b.port("ttyUSB0"), b.port("ttyUSB1"), b.port("ttyUSB2")
		if round > 0 {
			b.unplug(last) // faster than anybody looks
		}
		last = stick{path: "1-1.2", vid: 0x12d1, pid: 0x1506, ports: map[int]*wire{0: mine, 1: other, 2: third}}
		for _, w := range last.ports { // unplug took their names away
			os.Symlink(w.peer.Name(), filepath.Join(b.tree.Dev, w.name))
		}
		b.plug(last)
		f.look(t.Context())
		f.take(t.Context(), <-f.results)
		for range 3 { // once is enough
			f.look(t.Context())
		}
		f.wg.Wait()
		require.Eventually(t, func() bool { return other.said() == "AT^CURC=0\r" && third.said() == "AT^CURC=0\r" }, 30*time.Second, time.Millisecond)
		require.Empty(t, mine.said())
		require.Empty(t, f.locked(b))
	}
	require.Empty(t, f.Sightings())
}

// What the last stick's port said in its end is not held against the next one,
// which is in the socket before the answer is.
func TestALateAnswer(t *testing.T) {
	b := newBus(t)
	f := newFinder(t, b, func(o *DiscoveryOptions) { o.Retry = time.Hour })
	s := stick{path: "1-1.2", vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.port("ttyUSB0")}}
	b.plug(s)
	f.look(t.Context())
	b.unplug(s)
	late := <-f.results
	require.Error(t, late.err)
	require.NotErrorIs(t, late.err, context.Canceled)
	f.look(t.Context())
	m := f.modem(emulator.ModemOptions{})
	s.ports = map[int]*wire{2: b.speaking("ttyUSB1", m)}
	b.plug(s)
	f.look(t.Context())
	f.take(t.Context(), late)
	f.look(t.Context())
	f.take(t.Context(), <-f.results)
	require.Equal(t, "+usb:1-1.2:2", <-f.news)
	f.wg.Wait()
}
