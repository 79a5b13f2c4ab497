package tty

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
)

// lines are what a discovery has added and not removed, as the pool has them.
type lines struct {
	mu   sync.Mutex
	live map[string]bool
	// last is who was in a line's socket last, as its modem's care found out.
	last map[string]string
	odd  []string // what must not happen
}

func (l *lines) add(f Found) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[f.Name] {
		l.odd = append(l.odd, f.Name+" was added twice")
	}
	l.live[f.Name], l.last[f.Name] = true, f.IMEI
	return nil
}

func (l *lines) remove(_ context.Context, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live[name] {
		l.odd = append(l.odd, name+" was removed and not there")
	}
	delete(l.live, name)
	return nil
}

func (l *lines) imei(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[name]
}

// TestChurn pulls sticks and puts them into other sockets at random, under
// numbers that change. In the end every stick that is in has one line, which
// reaches it, and no stick has two.
func TestChurn(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			b := newBus(t)
			pool := &lines{live: map[string]bool{}, last: map[string]string{}}
			f := newFinder(t, b, func(o *DiscoveryOptions) {
				o.Add, o.Remove, o.IMEI, o.Retry = pool.add, pool.remove, pool.imei, 20*time.Millisecond
				o.Rescan = 20 * time.Millisecond
			})
			var modems []*emulator.Modem
			for range 4 {
				modems = append(modems, f.modem(emulator.ModemOptions{}))
			}
			f.run()
			in := map[string]stick{}            // by socket
			who := map[string]*emulator.Modem{} // likewise
			sockets := []string{"1-1.1", "1-1.2", "1-1.3", "1-2", "2-1", "2-2"}
			for range 40 {
				m := modems[random.IntN(len(modems))]
				for _, path := range slices.Sorted(maps.Keys(who)) {
					if who[path] == m {
						b.unplug(in[path])
						delete(in, path)
						delete(who, path)
					}
				}
				path := sockets[random.IntN(len(sockets))]
				if who[path] != nil || random.IntN(4) == 0 {
					continue // it stays in the drawer
				}
				number := random.IntN(30)
				for slices.ContainsFunc(slices.Collect(maps.Values(in)), func(s stick) bool { return s.ports[2].name == fmt.Sprintf("ttyUSB%d", number) }) {
					number++
				}
				in[path] = stick{path: path, vid: 0x2c7c, pid: 0x0125, ports: map[int]*wire{2: b.speaking(fmt.Sprintf("ttyUSB%d", number), m)}}
				who[path] = m
				pool.mu.Lock()
				if name := "usb:" + path + ":2"; pool.live[name] {
					pool.last[name] = m.IMEI()
				}
				pool.mu.Unlock()
				b.plug(in[path])
			}
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				pool.mu.Lock()
				defer pool.mu.Unlock()
				for path, m := range who {
					require.True(c, pool.live["usb:"+path+":2"], "no line on %s", path)
					for name := range pool.live {
						require.False(c, who[USBPath(name)] == nil && pool.last[name] == m.IMEI(), "the modem on %s is on %s too", path, name)
					}
				}
			}, 30*time.Second, 5*time.Millisecond)
			for path, m := range who {
				require.Equal(t, m.IMEI(), f.imei("usb:"+path+":2"))
			}
			pool.mu.Lock()
			defer pool.mu.Unlock()
			require.Empty(t, pool.odd)
		})
	}
}
