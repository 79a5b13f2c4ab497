package tty

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// place in a socket: a stick with an AT port and a data port, on which one modem
// speaks.
type seat struct {
	stick
	modem *emulator.Modem
	at    int // the interface that speaks
}

// TestNothingIsLeftOpen pulls, plugs, resets and turns dumb four sticks two
// hundred times. In between every stick that is in is reached by its line; in
// the end no descriptor, no goroutine and no lock is left.
func TestNothingIsLeftOpen(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	b := newBus(t)
	pool := &lines{live: map[string]bool{}, last: map[string]string{}}
	var mu sync.Mutex // of mute
	mute := map[string]bool{}
	rules := append(slices.Clone(testRules), PortRule{VID: 0x2c7c, Interface: 3, Role: RolePPP, Hush: "^CURC=0"})
	f := newFinder(t, b, func(o *DiscoveryOptions) {
		o.Add, o.Remove, o.IMEI, o.Rules = pool.add, pool.remove, pool.imei, rules
		o.Retry, o.Rescan, o.Patience, o.Answer = 10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond, 100*time.Millisecond
		o.Mute = func(name string) bool {
			mu.Lock()
			defer mu.Unlock()
			return mute[name]
		}
	})
	setMute := func(name string, is bool) {
		mu.Lock()
		defer mu.Unlock()
		mute[name] = is
	}
	var modems []*emulator.Modem
	for range 4 {
		modems = append(modems, f.modem(emulator.ModemOptions{}))
	}
	f.run()

	seats := map[string]*seat{}
	number := 0
	wires := func(s *seat) map[int]*wire {
		for taken := true; taken; {
			number = (number + 2) % 40
			taken = false
			for _, other := range seats {
				for _, w := range other.ports {
					taken = taken || w.name == fmt.Sprintf("ttyUSB%d", number)
				}
			}
		}
		list := map[int]*wire{}
		for _, n := range []int{2, 3} {
			var m *emulator.Modem
			if n == s.at {
				m = s.modem
			}
			list[n] = b.speaking(fmt.Sprintf("ttyUSB%d", number+n-2), m)
		}
		return list
	}
	pull := func(path string) {
		b.unplug(seats[path].stick)
		delete(seats, path)
	}
	sockets := []string{"1-1.1", "1-1.2", "1-1.3", "1-2", "2-1", "2-2"}
	push := func(m *emulator.Modem) {
		path := sockets[random.IntN(len(sockets))]
		if seats[path] != nil {
			return
		}
		s := &seat{modem: m, at: 2}
		s.stick = stick{path: path, vid: 0x2c7c, pid: 0x0125, ports: wires(s)}
		seats[path] = s
		setMute("usb:"+path+":2", false)
		setMute("usb:"+path+":3", false)
		pool.mu.Lock()
		for _, name := range []string{"usb:" + path + ":2", "usb:" + path + ":3"} {
			if pool.live[name] {
				pool.last[name] = m.IMEI() // as its line finds out
			}
		}
		pool.mu.Unlock()
		b.plug(s.stick)
	}
	reached := func() {
		for path, s := range seats {
			name := fmt.Sprintf("usb:%s:%d", path, s.at)
			require.Eventually(t, func() bool {
				pool.mu.Lock()
				defer pool.mu.Unlock()
				if !pool.live[name] {
					// One that comes back is believed to be on the port it was on: there
					// its care finds it dumb.
					for other := range pool.live {
						if USBPath(other) == path {
							setMute(other, true)
						}
					}
				}
				return pool.live[name]
			}, 30*time.Second, time.Millisecond, "no line on %s: %v", name, f.Sightings())
			setMute(name, false)
		}
	}
	turn := func() {
		m := modems[random.IntN(len(modems))]
		path := ""
		for p, s := range seats {
			if s.modem == m {
				path = p
			}
		}
		if path == "" {
			push(m)
			return
		}
		s := seats[path]
		switch random.IntN(3) {
		case 0: // into another socket, or the drawer
			pull(path)
			push(m)
		case 1: // reset; its numbers are others after that
			write, _ := b.kernel(s.stick, func() map[int]*wire {
				s.ports = wires(s)
				return s.ports
			})
			r := reset{tree: b.tree, off: time.Duration(random.IntN(3)) * time.Millisecond, write: write, ioctl: noIoctl(t)}
			require.NoError(t, r.run(t.Context(), path))
		case 2: // AT moves to the other port
			reached()
			was := s.at
			s.at = 5 - was
			s.ports[was].hush()
			s.ports[s.at].speak(m)
			setMute(fmt.Sprintf("usb:%s:%d", path, was), true)
			setMute(fmt.Sprintf("usb:%s:%d", path, s.at), false)
		}
	}
	empty := func() (fds, goroutines int) {
		for _, path := range slices.Collect(maps.Keys(seats)) {
			pull(path)
		}
		require.Eventually(t, func() bool { return len(f.Sightings()) == 0 && len(f.locked(b)) == 0 }, 30*time.Second, time.Millisecond)
		return descriptors(t), runtime.NumGoroutine()
	}

	for _, m := range modems {
		push(m)
	}
	reached()
	fds, goroutines := empty()
	turns := 0
	for range 20 {
		for range 10 {
			turn()
			turns++
		}
		reached()
	}
	require.Equal(t, 200, turns)
	require.Eventually(t, func() bool {
		nowFDs, nowGoroutines := empty()
		return nowFDs <= fds && nowGoroutines <= goroutines+1 // Eventually's own
	}, 30*time.Second, 10*time.Millisecond, "before: %d descriptors, %d goroutines", fds, goroutines)
	require.Empty(t, lockFiles(t, b.locks))
	pool.mu.Lock()
	defer pool.mu.Unlock()
	require.Empty(t, pool.odd)
}
