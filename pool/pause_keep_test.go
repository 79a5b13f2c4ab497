package pool_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/sqlite"
)

// restarted is what another run of the program knows of the kill switches.
func (r *rig) restarted() pool.Pauses {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	next := pool.New(pool.Options{Store: r.store, Inbox: r.inbox, Clock: r.clock, Log: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- next.Run(ctx) }()
	synctest.Wait()
	defer r.store.OnReady(func() {})
	defer func() {
		cancel()
		require.NoError(r.t, <-done)
	}()
	return next.Pauses()
}

// switches are the kill switches: of everything, of a SIM and of a class.
func (r *rig) switches() map[string]func(ctx context.Context, on bool) error {
	return map[string]func(ctx context.Context, on bool) error{
		"all": func(ctx context.Context, on bool) error {
			if on {
				return r.pool.Pause(ctx)
			}
			return r.pool.Resume(ctx)
		},
		"a SIM":   func(ctx context.Context, on bool) error { return r.pool.PauseSIM(ctx, r.modems[0].ICCID(), on) },
		"a class": func(ctx context.Context, on bool) error { return r.pool.PauseClass(ctx, queue.Bulk, on) },
	}
}

// TestAKillSwitchIsKeptThoughItsCallerLeaves: whoever throws it and closes the page,
// while the disk is slow, has thrown it for good.
func TestAKillSwitchIsKeptThoughItsCallerLeaves(t *testing.T) {
	for name := range new(rig).switches() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, emulator.NetworkOptions{})
				r.ready(1)
				turn := r.switches()[name]
				for _, on := range []bool{true, false} {
					slow, written := make(chan struct{}), make(chan error, 1)
					go func() {
						written <- r.db.Write(context.Background(), sqlite.Urgent, func(*sqlite.Tx) error { <-slow; return nil })
					}()
					synctest.Wait()
					ctx, leave := context.WithCancel(t.Context())
					done := make(chan error, 1)
					go func() { done <- turn(ctx, on) }()
					synctest.Wait()
					leave()
					synctest.Wait()
					close(slow)
					require.NoError(t, <-written)
					require.NoError(t, <-done)
					holds := r.pool.Pauses()
					require.Equal(t, on, holds.All || len(holds.SIMs)+len(holds.Classes) > 0)
					require.Equal(t, holds, r.restarted())
				}
			})
		})
	}
}

// TestAKillSwitchThatCannotBeKeptIsTriedAgain: it holds at once, is told not to be
// kept, and is as soon as the disk can be written; unless it was taken back.
func TestAKillSwitchThatCannotBeKeptIsTriedAgain(t *testing.T) {
	for name := range new(rig).switches() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, emulator.NetworkOptions{})
				r.ready(1)
				turn := r.switches()[name]
				execute := func(statement string) {
					require.NoError(t, r.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
						_, err := tx.Exec(statement)
						return err
					}))
				}
				refuse := func() {
					execute(`CREATE TRIGGER no_setting BEFORE INSERT ON setting BEGIN SELECT RAISE(ABORT, 'no'); END`)
					execute(`CREATE TRIGGER no_sim BEFORE UPDATE OF paused ON sim BEGIN SELECT RAISE(ABORT, 'no'); END`)
				}
				allow := func() {
					execute(`DROP TRIGGER no_setting`)
					execute(`DROP TRIGGER no_sim`)
				}
				none := pool.Pauses{SIMs: []string{}, Classes: []queue.Class{}}

				refuse()
				require.Error(t, turn(t.Context(), true))
				holds := r.pool.Pauses()
				require.NotEqual(t, none, holds)
				time.Sleep(3 * time.Second)
				require.Equal(t, none, r.restarted())
				allow()
				time.Sleep(3 * time.Second)
				require.Equal(t, holds, r.restarted())
				require.Equal(t, holds, r.pool.Pauses())

				// What could not be taken back holds, and what was is not thrown again.
				refuse()
				require.Error(t, turn(t.Context(), false))
				require.Equal(t, holds, r.pool.Pauses())
				require.Error(t, turn(t.Context(), true))
				allow()
				require.NoError(t, turn(t.Context(), false))
				time.Sleep(3 * time.Second)
				require.Equal(t, none, r.pool.Pauses())
				require.Equal(t, none, r.restarted())
			})
		})
	}
}
