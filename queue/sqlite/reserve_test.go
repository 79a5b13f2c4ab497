package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// disk is what the tests' file systems say of their room.
type disk struct{ free, total atomic.Int64 }

func (d *disk) room() (int64, int64, error) { return d.free.Load(), d.total.Load(), nil }

func openOn(t *testing.T, path string, d *disk) *DB {
	t.Helper()
	o := Options{}
	if d != nil {
		o.Room = d.room
	}
	db, err := Open(t.Context(), path, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func unused(t *testing.T, db *DB) (n int64) {
	t.Helper()
	require.NoError(t, db.Read().QueryRow(`PRAGMA freelist_count`).Scan(&n))
	return n
}

// whole waits until the reserve is made, and looks at what the disk has of it.
func whole(t *testing.T, db *DB) {
	t.Helper()
	quiet(t, db)
	require.GreaterOrEqual(t, unused(t, db), int64(2048))
	for _, name := range []string{db.Path(), db.Path() + "-wal"} {
		st, err := os.Stat(name)
		require.NoError(t, err)
		require.GreaterOrEqual(t, st.Size(), int64(8<<20), name)
		require.GreaterOrEqual(t, st.Sys().(*syscall.Stat_t).Blocks*512, st.Size(), "%s is really there", name)
	}
}

// quiet waits until the writer has nothing more to do for the reserve.
func quiet(t *testing.T, db *DB) {
	t.Helper()
	db.w.give(func() { db.w.looked = time.Time{} })
	require.Eventually(t, func() bool {
		done := make(chan bool, 1)
		db.w.give(func() { done <- !db.w.more && !db.w.looked.IsZero() && db.w.held == 0 })
		return <-done
	}, 30*time.Second, 20*time.Millisecond)
}

func TestTheReserveIsMadeAndSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, path, nil)
	whole(t, db)
	for i := range 300 {
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint("key", i)) }))
	}
	whole(t, db)
	require.NoError(t, db.Close())
	db = openOn(t, path, nil)
	require.GreaterOrEqual(t, unused(t, db), int64(2048), "at once")
	st, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	require.GreaterOrEqual(t, st.Size(), int64(8<<20))
	require.NoError(t, quickCheck(t.Context(), db.Read(), ""))
}

func TestAHoleInTheReserveIsFilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, path, nil)
	whole(t, db)
	require.NoError(t, db.Close())
	for _, name := range []string{path, path + "-wal"} { // as cp --sparse does
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.Remove(name))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		require.NoError(t, err)
		for at := 0; at < len(data); at += 4096 {
			block := data[at:min(at+4096, len(data))]
			if string(block) != string(make([]byte, len(block))) {
				_, err = f.WriteAt(block, int64(at))
				require.NoError(t, err)
			}
		}
		require.NoError(t, f.Truncate(int64(len(data))))
		st, err := f.Stat()
		require.NoError(t, err)
		require.Less(t, st.Sys().(*syscall.Stat_t).Blocks*512, st.Size(), "holes")
		require.NoError(t, f.Close())
	}
	db = openOn(t, path, nil)
	whole(t, db)
}

func TestNewWorkIsRefusedBeforeTheReserveIsUsed(t *testing.T) {
	var d disk
	d.total.Store(10 << 30)
	d.free.Store(5 << 30)
	db := openOn(t, filepath.Join(t.TempDir(), "recado.db"), &d)
	var told []string
	db.OnHealth(func(h Health) { told = append(told, h.State) })
	whole(t, db)
	n := 0
	try := func(urgent bool) error {
		n++
		return db.WriteNew(t.Context(), Ordinary, urgent, func(tx *Tx) error { return put(tx, fmt.Sprint(n)) })
	}
	require.NoError(t, try(false))
	require.Equal(t, HealthOK, db.Health().State)
	d.free.Store(64<<20 - 1)
	require.ErrorIs(t, try(false), ErrFull)
	require.NoError(t, try(true), "an alert")
	require.Equal(t, HealthLow, db.Health().State)
	d.free.Store(16<<20 - 1)
	require.ErrorIs(t, try(true), ErrFull)
	require.Equal(t, HealthFull, db.Health().State)
	require.NotEmpty(t, db.Health().Detail)
	before := n
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, "gate") }), "what is under way goes on")
	require.False(t, has(t, db, fmt.Sprint(before)))
	d.free.Store(5 << 30)
	require.NoError(t, try(false), "at once")
	require.Equal(t, []string{HealthLow, HealthFull, HealthOK}, told)
	require.False(t, has(t, db, "2"))

	// The room goes while the function waits for its turn.
	_, free := hold(t, db)
	got := make(chan error)
	go func() {
		got <- db.WriteNew(context.Background(), Ordinary, false, func(tx *Tx) error { return put(tx, "late") })
	}()
	queued(t, db, Ordinary, 1)
	d.free.Store(0)
	close(free)
	require.ErrorIs(t, <-got, ErrFull)
	require.False(t, has(t, db, "late"))
}

func TestTheLimitsFitTheDisk(t *testing.T) {
	for total, want := range map[int64][2]int64{
		64 << 20: {4 << 20, 1 << 20}, 200 << 20: {10 << 20, 10 << 20 / 4}, 1 << 40: {64 << 20, 16 << 20}, 0: {4 << 20, 1 << 20},
	} {
		soft, hard := roomLimits(total)
		require.Equal(t, want, [2]int64{soft, hard}, total)
	}
}

func TestWithoutRoomForTheReserveNothingNewIsTaken(t *testing.T) {
	var d disk
	d.total.Store(64 << 20)
	d.free.Store(5 << 20)
	db := openOn(t, filepath.Join(t.TempDir(), "recado.db"), &d)
	require.Equal(t, HealthFull, eventually(t, db, HealthFull))
	require.ErrorIs(t, db.WriteNew(t.Context(), Ordinary, true, func(*Tx) error { return nil }), ErrFull)
	d.free.Store(40 << 20)
	require.Equal(t, HealthOK, eventually(t, db, HealthOK))
	whole(t, db)
	require.NoError(t, db.WriteNew(t.Context(), Ordinary, false, func(*Tx) error { return nil }))
}

func eventually(t *testing.T, db *DB, state string) string {
	t.Helper()
	require.Eventually(t, func() bool { return db.Health().State == state }, 5*time.Second, 10*time.Millisecond, "%+v", db.Health())
	return db.Health().State
}

// TestAGateHardlyWaitsForTheReserve: the reserve is made again and again while
// gates come.
func TestAGateHardlyWaitsForTheReserve(t *testing.T) {
	db := openOn(t, filepath.Join(t.TempDir(), "recado.db"), nil)
	whole(t, db)
	var worst, alone time.Duration
	for i := range 60 {
		begun := time.Now()
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint("alone", i)) }))
		alone = max(alone, time.Since(begun))
	}
	steps := 0
	for i := range 60 {
		if i%10 == 0 { // uses 1 MiB of the pages, which are to be made anew
			require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
				_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, hex(zeroblob(524288)))`, fmt.Sprint("large", i))
				return err
			}))
			steps++
		}
		begun := time.Now()
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint("gate", i)) }))
		worst = max(worst, time.Since(begun))
	}
	t.Logf("the longest of 60 commits: %v alone, %v with %d MiB of the reserve made meanwhile", alone, worst, steps)
	require.Less(t, worst, 5*time.Second)
	whole(t, db)
}
