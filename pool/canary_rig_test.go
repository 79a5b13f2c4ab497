package pool_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem"
	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/sqlite"
)

func (r *rig) test(i int) []queue.Canary {
	r.t.Helper()
	list, err := r.pool.TestSIM(r.t.Context(), r.modems[i].ICCID(), "ana")
	require.NoError(r.t, err)
	return list
}

func (r *rig) quarantine(i int) (pool.Quarantine, bool) {
	r.t.Helper()
	q, ok, err := r.pool.Quarantine(context.Background(), r.modems[i].ICCID())
	require.NoError(r.t, err)
	return q, ok
}

// within waits in the bubble's time until ok, at most so long, and says how long
// it took.
func (r *rig) inTime(d time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > d {
			r.tell()
			require.FailNow(r.t, "not within "+d.String()+": "+what)
		}
		time.Sleep(time.Second)
	}
	return time.Since(start)
}

// tell logs what the canaries did.
func (r *rig) tell() {
	list, _, err := r.store.Canaries(context.Background(), queue.CanaryFilter{Limit: 100})
	require.NoError(r.t, err)
	for _, c := range list {
		r.t.Logf("%s %s %s → %s (%s): %s", c.StartedAt.Format(time.TimeOnly), c.AskedBy, r.who(c.From), r.who(c.To), c.State, pool.CanaryIn(c, "en"))
	}
	sims, err := r.pool.SIMs(context.Background())
	require.NoError(r.t, err)
	for _, s := range sims {
		r.t.Logf("%s: %s %s", r.who(s.ICCID), s.State, s.Reason)
	}
}

func (r *rig) who(iccid string) string {
	for _, m := range r.modems {
		if m.ICCID() == iccid {
			return m.Name()
		}
	}
	return iccid
}

func (r *rig) settings(c queue.CanarySettings) {
	r.t.Helper()
	require.NoError(r.t, r.store.SetCanarySettings(r.t.Context(), c, "ana"))
}

// lasting is a rig whose program can be stopped and started again.
type lasting struct {
	*rig
	path string
	stop func()
	// dialled are the USSD codes that were written to the modems.
	dialled dialled
}

func newLasting(t testing.TB, modems int, o emulator.NetworkOptions) *lasting {
	return lastingOf(t, o, make([]emulator.ModemOptions, modems)...)
}

func lastingOf(t testing.TB, o emulator.NetworkOptions, modems ...emulator.ModemOptions) *lasting {
	r := &lasting{rig: &rig{t: t, clock: &manualClock{}, net: emulator.NewNetwork(o)}, path: newDatabase(t)}
	for _, mo := range modems {
		mo.BootTime = time.Millisecond
		r.modems = append(r.modems, r.net.AddModem(mo))
	}
	r.start()
	t.Cleanup(func() {
		r.stop()
		require.NoError(t, r.net.Close())
	})
	return r
}

func (r *lasting) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	r.db, err = sqlite.Open(ctx, r.path, sqlite.Options{Log: log, ReserveWAL: -1, ReserveFree: -1})
	require.NoError(r.t, err)
	r.store, err = queue.New(ctx, r.db, queue.Options{Clock: r.clock, Log: log})
	require.NoError(r.t, err)
	r.inbox = inbox.New(r.db, r.store, inbox.Options{Clock: r.clock, Log: log})
	r.pool = pool.New(pool.Options{Store: r.store, Inbox: r.inbox, Clock: r.clock, Log: log})
	for i, m := range r.modems {
		require.NoError(r.t, r.pool.Add(pool.Port{Name: fmt.Sprintf("emulated:%d", i+1), Open: r.dialled.hears(m), Emulated: true}))
	}
	done := make(chan error, 1)
	go func() { done <- r.pool.Run(ctx) }()
	r.stop = func() {
		cancel()
		require.NoError(r.t, <-done)
		require.NoError(r.t, r.db.Close())
	}
}

// dialled counts the USSD codes on the wire.
type dialled struct{ n atomic.Int32 }

func (d *dialled) hears(m *emulator.Modem) func(context.Context) (io.ReadWriteCloser, error) {
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		port, err := m.Open(ctx)
		if err != nil {
			return nil, err
		}
		return heard{port, d}, nil
	}
}

type heard struct {
	io.ReadWriteCloser
	by *dialled
}

func (h heard) Write(b []byte) (int, error) {
	h.by.n.Add(int32(bytes.Count(b, []byte("+CUSD=1,"))))
	return h.ReadWriteCloser.Write(b)
}

// since is how many there were since it was last asked.
func (d *dialled) since() int { return int(d.n.Swap(0)) }

func (r *lasting) restart() {
	r.t.Helper()
	r.stop()
	r.start()
	r.until("the modems", func() bool {
		for _, m := range r.pool.Modems() {
			if m.State != modem.StateReady {
				return false
			}
		}
		return true
	})
}

func (r *rig) allCanaries() []queue.Canary {
	r.t.Helper()
	list, _, err := r.store.Canaries(context.Background(), queue.CanaryFilter{Limit: 500})
	require.NoError(r.t, err)
	return list
}

func (r *rig) sentBy(i int) (list []emulator.Entry) {
	for _, e := range r.accepted() {
		if e.SIM == r.modems[i].ICCID() {
			list = append(list, e)
		}
	}
	return list
}
