package clock_test

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/clock"
	"recado/queue/sqlite"
)

// slack is by how much a trusted clock may be wrong: a step of a minute is asked
// of nobody, and the network's time is taken when it is a minute from that.
const slack = 3 * time.Minute

var start = time.Date(2026, 10, 20, 12, 0, 0, 0, time.UTC)

// needs is what a test, a fuzz target or a property gives.
type needs interface {
	require.TestingT
	Helper()
}

// world is a box with a wrong clock, in a time that everybody else knows.
type world struct {
	t      needs
	path   string
	true   time.Time
	up     time.Duration // CLOCK_BOOTTIME
	off    time.Duration // the system's clock less the true time
	boots  int
	sync   clock.Sync
	noID   bool // /proc is not there to be read
	lied   bool // somebody vouched for a wrong time
	zone   *time.Location
	db     *sqlite.DB
	clock  *clock.Clock
	store  *queue.Store
	told   map[string]*promise
	steady time.Time
	n      int
}

// promise is a message as its sender means it.
type promise struct {
	id            string
	at            time.Time // zero: at once
	valid         time.Duration
	accepted      time.Time
	state         queue.State
	sends, leaves int
}

func newWorld(t needs, dir string) *world {
	w := &world{t: t, path: filepath.Join(dir, "recado.db"), true: start, up: time.Minute, boots: 1, zone: time.UTC, told: map[string]*promise{}}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	ctx := context.Background()
	db, err := sqlite.Open(ctx, w.path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(w.t, err)
	id := fmt.Sprintf("boot%d", w.boots)
	if w.noID {
		id = ""
	}
	w.clock = clock.New(clock.Options{Sources: clock.Sources{
		Wall: func() time.Time { return w.true.Add(w.off).In(w.zone) },
		Boot: func() time.Duration { return w.up },
		NTP:  func() clock.Sync { return w.sync }, BootID: id,
	}})
	require.NoError(w.t, w.clock.Load(ctx, db))
	w.db = db
	w.store, err = queue.New(ctx, db, queue.Options{Clock: w.clock})
	require.NoError(w.t, err)
	w.look()
}

func (w *world) close() {
	w.t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	require.NoError(w.t, w.clock.Run(ended)) // saves
	require.NoError(w.t, w.db.Close())
}

// restart is of the program only.
func (w *world) restart() { w.close(); w.open() }

// reboot leaves the box off for a while; its clock is wrong by off then.
func (w *world) reboot(dark, off time.Duration) {
	w.close()
	w.boots++
	w.true, w.up, w.off, w.sync = w.true.Add(dark), 20*time.Second, off, clock.Sync{}
	w.open()
}

// ntp sets the system's clock right.
func (w *world) ntp() {
	w.off, w.sync = 0, clock.Sync{Synchronised: true, Mark: w.sync.Mark + 1}
	w.pass(2 * time.Second)
}

// set is somebody who sets the system's clock.
func (w *world) set(by time.Duration) {
	w.off += by
	w.look()
}

// pass lets time pass, with a look every quarter of an hour.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for d > 0 {
		step := min(d, 15*time.Minute)
		d -= step
		w.true, w.up = w.true.Add(step), w.up+step
		w.look()
	}
}

func (w *world) submit(at time.Time, valid time.Duration) *promise {
	w.t.Helper()
	w.n++
	r, err := w.store.Submit(context.Background(), queue.Request{To: []string{fmt.Sprintf("+34600%06d", w.n)}, Text: "x", SendAt: at, ValidFor: valid}, nil)
	require.NoError(w.t, err)
	require.Len(w.t, r.Messages, 1)
	p := &promise{id: r.Messages[0].ID, at: at, valid: valid, accepted: w.true, state: r.Messages[0].State}
	w.told[p.id] = p
	return p
}

// look is what the box does every second, and whether it does what it may.
func (w *world) look() {
	w.t.Helper()
	_, err := w.store.Wake(context.Background())
	require.NoError(w.t, err)
	s := w.clock.Steady()
	require.False(w.t, s.Before(w.steady), "the steady clock went back from %s to %s", w.steady, s)
	w.steady = s
	if w.clock.Trusted() && !w.lied {
		require.WithinDuration(w.t, w.true, w.clock.Now(), slack, "a wrong clock is trusted: %+v", w.clock.Status())
	}
	for _, p := range w.told {
		w.judge(p)
	}
}

func (w *world) judge(p *promise) {
	w.t.Helper()
	m, err := w.store.Message(context.Background(), p.id)
	require.NoError(w.t, err)
	if m.State == p.state {
		return
	}
	from := p.accepted
	if !p.at.IsZero() {
		from = p.at
	}
	what := fmt.Sprintf("%s became %s, true time %s, box says %s (%+v), %+v", p.state, m.State, w.true, w.clock.Now(), w.clock.Status(), p)
	if p.state == queue.Scheduled {
		require.True(w.t, w.clock.Trusted(), what)
		require.False(w.t, w.true.Before(p.at.Add(-slack)), what)
		p.leaves++
		require.Equal(w.t, 1, p.leaves, what)
	}
	if m.State == queue.Expired {
		require.True(w.t, w.clock.Trusted(), what)
		require.False(w.t, w.true.Before(from.Add(p.valid-slack)), what)
	}
	require.NotEqual(w.t, queue.Scheduled, m.State, what)
	p.state = m.State
}

var simLine = queue.Line{ICCID: "8934000000000000001", IMSI: "214070000000001", Number: "+34699000001", Modem: "modem1"}

// send sends all that may go; none twice.
func (w *world) send() (n int) {
	w.t.Helper()
	ctx := context.Background()
	for {
		c, err := w.store.Claim(ctx, simLine)
		require.NoError(w.t, err)
		if c == nil {
			return n
		}
		a, err := w.store.Gate(ctx, simLine, c.Message.Seq, c.Next+1)
		require.NoError(w.t, err)
		p := w.told[c.Message.ID]
		p.sends++
		require.Equal(w.t, 1, p.sends)
		require.False(w.t, w.true.Before(p.at.Add(-slack)), "sent before its time")
		_, err = w.store.Outcome(ctx, a, queue.Outcome{Verdict: queue.Accepted, MR: n % 256, At: w.clock.Now()}, nil)
		require.NoError(w.t, err)
		n++
		w.look()
	}
}
