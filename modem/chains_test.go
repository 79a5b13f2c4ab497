package modem

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/emulator"
)

// wire lies between the driver and an emulated modem, and does what happens to
// cables, hubs and firmware.
type wire struct {
	em *emulator.Modem

	mu      sync.Mutex
	gone    bool   // no such port
	dying   int    // so many openings end at once
	hung    bool   // nothing comes through
	keeps   bool   // what is written meanwhile is read when it is over
	buffer  []byte // of that
	garbage bool
	device  io.ReadWriteCloser // the modem's side of the port that is open
	ours    net.Conn
	opened  int
}

func (w *wire) open(ctx context.Context) (io.ReadWriteCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened++
	if w.gone {
		return nil, syscall.ENOENT
	}
	device, err := w.em.Open(ctx)
	if err != nil {
		return nil, err
	}
	host, far := net.Pipe()
	w.device, w.ours = device, far
	if w.dying > 0 {
		w.dying--
		far.Close()
	}
	go func() {
		defer device.Close()
		defer far.Close()
		buf := make([]byte, 512)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			w.mu.Lock()
			hung := w.hung
			if hung && w.keeps {
				w.buffer = append(w.buffer, buf[:n]...)
			}
			w.mu.Unlock()
			if !hung {
				device.Write(buf[:n])
			}
		}
	}()
	go func() {
		defer far.Close()
		buf := make([]byte, 512)
		for {
			n, err := device.Read(buf)
			if err != nil {
				return
			}
			w.mu.Lock()
			hung := w.hung
			w.mu.Unlock()
			if !hung {
				far.Write(buf[:n])
			}
		}
	}()
	return host, nil
}

func (w *wire) unplug() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	if w.ours != nil {
		w.ours.Close()
	}
}

func (w *wire) set(change func(*wire)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// well ends whatever there was.
func (w *wire) well() {
	w.mu.Lock()
	buffer, device := w.buffer, w.device
	w.gone, w.hung, w.garbage, w.dying, w.buffer = false, false, false, 0, nil
	w.mu.Unlock()
	if len(buffer) > 0 && device != nil {
		device.Write(buffer)
	}
}

// noise fills the line with octets until the wire is well again.
func (w *wire) noise(r *rand.Rand) {
	w.set(func(w *wire) { w.garbage = true })
	go func() {
		for {
			t := time.NewTimer(time.Duration(10+r.IntN(200)) * time.Millisecond)
			<-t.C
			b := make([]byte, 1+r.IntN(60))
			for i := range b {
				b[i] = "\r\n\x00\xff +C:OKERR012,\"AT>\x1a"[r.IntN(20)]
			}
			w.mu.Lock()
			on, far := w.garbage, w.ours
			w.mu.Unlock()
			if !on {
				return
			}
			if far != nil {
				far.Write(b)
			}
		}
	}()
}

// wired is live with a wire in between.
func wired(t *testing.T, mo emulator.ModemOptions, tune func(*Config), story func(l *lifeOf, w *wire)) {
	w := &wire{}
	wiredBy(t, w, mo, tune, func(l *lifeOf) { story(l, w) })
}

func wiredBy(t *testing.T, w *wire, mo emulator.ModemOptions, tune func(*Config), story func(l *lifeOf)) {
	var plugged chan struct{}
	live(t, mo, func(c *Config) {
		plugged = make(chan struct{})
		c.Open = func(ctx context.Context) (io.ReadWriteCloser, error) {
			<-plugged
			return w.open(ctx)
		}
		if tune != nil {
			tune(c)
		}
	}, func(l *lifeOf) {
		w.set(func(w *wire) { w.em = l.em })
		close(plugged)
		story(l)
		w.well()
	})
}

// traffic is what busy has sent.
type traffic struct {
	accepted atomic.Int64
	// owed is until when an answer was owed last, Unix ns.
	owed atomic.Int64
}

// busy sends one message after the other, so that trouble is noticed, for d.
func (l *lifeOf) busy(d time.Duration, n *traffic) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		start := time.Now()
		o, _ := l.send("+34600111222", "tráfico")
		if o.Late != nil {
			<-o.Late
		}
		if o.Phase == at.PhasePDUSent && time.Since(start) > 10*time.Second {
			n.owed.Store(time.Now().UnixNano())
		}
		if o.Verdict == Accepted {
			n.accepted.Add(1)
		} else {
			<-time.NewTimer(min(time.Second, time.Until(end))).C
		}
	}
}

// back is how long it takes, from now, until a message is accepted.
func (l *lifeOf) back(within time.Duration) time.Duration {
	l.t.Helper()
	start := time.Now()
	l.until("a message accepted", within, func() bool {
		if l.m.Snapshot().State != StateReady {
			return false
		}
		o, _ := l.send("+34600111222", "de vuelta")
		return o.Verdict == Accepted
	})
	return time.Since(start)
}

// soon is what a line may take to be back, network and all.
const soon = 25 * time.Second

func TestHangs(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		for _, d := range []time.Duration{3, 10, 37, 120, 125, 131, 1200, 3600} {
			t.Run(fmt.Sprintf("%v s, keeps %v", int(d), keeps), func(t *testing.T) {
				wired(t, emulator.ModemOptions{}, nil, func(l *lifeOf, w *wire) {
					l.ready()
					w.set(func(w *wire) { w.hung, w.keeps = true, keeps })
					done := make(chan struct{})
					go func() { l.busy(min(d, 30)*time.Second, &traffic{}); close(done) }()
					l.pass(d * time.Second)
					w.well()
					t.Log("back after", l.back(soon))
					<-done
					if d <= 125 {
						require.Zero(l.t, l.m.Snapshot().Restarts, "a hang is not told to restart blindly")
					}
				})
			})
		}
	}
}

func TestUnpluggedForLong(t *testing.T) {
	wired(t, emulator.ModemOptions{}, func(c *Config) { c.Settle = 2 * time.Second }, func(l *lifeOf, w *wire) {
		l.ready()
		w.unplug()
		l.pass(10 * time.Minute)
		w.well()
		t.Log("back after", l.back(soon))
	})
}

func TestPortThatDiesFiftyTimes(t *testing.T) {
	wired(t, emulator.ModemOptions{}, nil, func(l *lifeOf, w *wire) {
		l.ready()
		w.set(func(w *wire) { w.dying = 50; w.ours.Close() })
		l.until("fifty openings", 10*time.Minute, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.dying == 0
		})
		t.Log("back after", l.back(soon))
		require.Zero(l.t, l.m.Snapshot().Restarts)
	})
}

func TestGarbageForAMinute(t *testing.T) {
	for seed := range uint64(6) {
		wired(t, emulator.ModemOptions{}, nil, func(l *lifeOf, w *wire) {
			l.ready()
			w.noise(rand.New(rand.NewPCG(seed, 1)))
			l.pass(time.Minute)
			w.well()
			t.Log("back after", l.back(soon))
		})
	}
}

func TestSIMBusyForLong(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSIMBusy, Count: -1})
		require.NoError(l.t, l.m.Restart(l.t.Context()))
		l.pass(90 * time.Second)
		l.em.ClearFaults()
		t.Log("back after", l.back(soon))
	})
}

// TestNetworkLostForLong: the radio is switched off and on once, then the module
// is restarted once; and the line is back when the network is.
func TestNetworkLostForLong(t *testing.T) {
	for _, d := range []time.Duration{5 * time.Minute, 12 * time.Minute, 25 * time.Minute, 3 * time.Hour} {
		live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
			l.ready()
			l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationLost, Delay: d})
			l.pass(d)
			t.Log("back after", l.back(soon))
			radio, module := l.steps("L2"), l.steps("L3")
			require.Equal(l.t, d > 10*time.Minute, radio > 0, "%v", l.m.History())
			require.Equal(l.t, d > 20*time.Minute, module > 0, "%v", l.m.History())
			require.LessOrEqual(l.t, l.wrote("AT+CFUN=4"), 1)
			require.LessOrEqual(l.t, l.m.Snapshot().Restarts, 1)
		})
	}
}

func TestDeniedForLong(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultRegistrationDenied, Delay: time.Hour})
		l.pass(time.Hour)
		t.Log("back after", l.back(soon))
		require.Zero(l.t, l.steps("L2")+l.steps("L3"), "no fault of the modem's")
	})
}

// steps counts the rungs that were taken.
func (l *lifeOf) steps(step string) (n int) {
	for _, e := range l.m.History() {
		if e.Kind == EntryStep && e.Step == step && !strings.HasPrefix(e.Detail, "after ") {
			n++
		}
	}
	return n
}

// TestManyEventsInAnHour: what was done to a modem is bounded, how soon it is
// back is not.
func TestManyEventsInAnHour(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			families := []string{"generic", "simcom800", "siemens", "huawei", "quectel"}
			wired(t, emulator.ModemOptions{Family: families[seed], BootTime: 4 * time.Second}, nil, func(l *lifeOf, w *wire) {
				r := rand.New(rand.NewPCG(seed, 7))
				l.ready()
				stop := make(chan struct{})
				done := make(chan struct{})
				var n traffic
				go func() {
					defer close(done)
					for {
						select {
						case <-stop:
							return
						default:
							l.busy(time.Second, &n)
						}
					}
				}()
				var worst time.Duration
				var what string
				for i := range 40 {
					d := time.Duration(1+r.IntN(40)) * time.Second
					kind := []string{"unplug", "hang", "hang and keep", "garbage", "reboot", "die"}[r.IntN(6)]
					switch kind {
					case "unplug":
						w.unplug()
					case "hang":
						w.set(func(w *wire) { w.hung, w.keeps = true, false })
					case "hang and keep":
						w.set(func(w *wire) { w.hung, w.keeps = true, true })
					case "garbage":
						w.noise(r)
					case "reboot":
						l.em.Reboot()
						d = 4 * time.Second
					case "die":
						w.set(func(w *wire) { w.dying = r.IntN(9) })
						w.unplug()
					}
					l.pass(d)
					w.well()
					start := time.Now()
					for sent := n.accepted.Load(); n.accepted.Load() == sent; {
						l.pass(200 * time.Millisecond)
						require.Less(l.t, time.Since(start), 240*time.Second, "%s: %v", kind, l.m.Snapshot())
					}
					took := time.Since(start)
					if owed := time.Unix(0, n.owed.Load()); owed.After(start) {
						took = time.Since(owed) // nothing is done before that
					}
					if took > worst {
						worst, what = took, fmt.Sprintf("%s for %v, event %d", kind, d, i)
					}
					l.pass(time.Duration(r.IntN(20)) * time.Second)
				}
				close(stop)
				<-done
				t.Log("the worst:", worst, "after", what)
				require.Less(l.t, worst, 28*time.Second, "%s: %v", what, l.m.History())
				require.LessOrEqual(l.t, l.steps("L3"), 3*3)
			})
		})
	}
}

// TestRebootsAreNoReasonToRestart: a modem that restarts by itself has done what
// the ladder would do.
func TestRebootsAreNoReasonToRestart(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "simcom800"}, nil, func(l *lifeOf) {
		l.ready()
		for range 10 {
			l.em.Reboot()
			l.pass(4 * time.Second)
			l.state(StateReady, soon)
		}
		require.Zero(l.t, l.m.Snapshot().Restarts)
		require.Zero(l.t, l.steps("L2"))
	})
}
