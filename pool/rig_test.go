package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/sqlite"
)

// manualClock is a wall clock that tests move.
type manualClock struct {
	mu      sync.Mutex
	add     time.Duration
	doubted bool
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.add)
}

func (c *manualClock) Trusted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.doubted
}

// doubt says whether nobody knows the time.
func (c *manualClock) doubt(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubted = yes
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}

// rig is a pool with emulated modems on a real store.
type rig struct {
	t      testing.TB
	clock  *manualClock
	net    *emulator.Network
	modems []*emulator.Modem
	db     *sqlite.DB
	store  *queue.Store
	inbox  *inbox.Store
	pool   *pool.Pool
	people int // that were texted at (each)
}

// blank is the path of a database with all tables and nothing in them: to make one
// takes longer than many a test.
var blank = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "recado-pool")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "recado.db")
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// newDatabase is the path of an empty database of the test's own.
func newDatabase(t testing.TB) string {
	t.Helper()
	content, err := blank()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// newRig has that many emulated modems, one a port.
func newRig(t testing.TB, modems int, o emulator.NetworkOptions) *rig {
	t.Helper()
	r := emptyRig(t, o)
	r.emulate(modems)
	return r
}

// emulate adds emulated modems, one a port.
func (r *rig) emulate(modems int) {
	r.t.Helper()
	for i := range modems {
		m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		r.modems = append(r.modems, m)
		require.NoError(r.t, r.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: m.Open, Emulated: true}))
	}
}

// emptyRig is a running pool without ports.
func emptyRig(t testing.TB, o emulator.NetworkOptions) *rig {
	t.Helper()
	clock := &manualClock{}
	return emptyRigBy(t, o, clock, clock)
}

// emptyRigBy is one whose pool has a clock of its own.
func emptyRigBy(t testing.TB, o emulator.NetworkOptions, clock *manualClock, its queue.Clock) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t: t, clock: clock}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := sqlite.Open(ctx, newDatabase(t), sqlite.Options{Log: log, ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	r.db = db
	r.store, err = queue.New(ctx, db, queue.Options{Clock: r.clock, Log: log})
	require.NoError(t, err)
	r.inbox = inbox.New(db, r.store, inbox.Options{Clock: r.clock, Log: log})
	r.pool = pool.New(pool.Options{Store: r.store, Inbox: r.inbox, Clock: its, Log: log})
	r.net = emulator.NewNetwork(o)
	done := make(chan error, 1)
	go func() { done <- r.pool.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, r.net.Close())
		require.NoError(t, db.Close())
	})
	return r
}

// until waits for what the pool and the store hint at.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	pooled, stop := r.pool.Watch()
	defer stop()
	stored, end := r.store.Watch()
	defer end()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-pooled:
		case <-stored:
		case <-deadline:
			for _, m := range r.pool.Modems() {
				r.t.Logf("modem %s: %s %s %s", m.ID, m.State, m.Reason, m.LastError)
			}
			require.FailNow(r.t, "never came: "+what)
		}
	}
}

func (r *rig) ready(n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d lines ready", n), func() bool { return r.pool.Ready() == n })
}

func (r *rig) submit(req queue.Request) []queue.Message {
	r.t.Helper()
	res, err := r.store.Submit(r.t.Context(), req, nil)
	require.NoError(r.t, err)
	require.Empty(r.t, res.Rejected)
	return res.Messages
}

func (r *rig) message(id string) queue.Message {
	r.t.Helper()
	m, err := r.store.Message(context.Background(), id)
	require.NoError(r.t, err)
	return m
}

func (r *rig) reaches(id string, s queue.State) queue.Message {
	r.t.Helper()
	r.until("message "+string(s), func() bool { return r.message(id).State == s })
	return r.message(id)
}

// accepted are the submissions that the network took, in its order.
func (r *rig) accepted() []emulator.Entry {
	var list []emulator.Entry
	for _, e := range r.net.Ledger() {
		if e.Type == emulator.EntrySubmit && e.Accepted {
			list = append(list, e)
		}
	}
	return list
}

func number(i int) string { return fmt.Sprintf("+346%08d", 10000000+i) }
