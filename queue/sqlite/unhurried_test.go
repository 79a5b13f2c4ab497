package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// unhurried opens a database whose time is the test's.
func unhurried(t *testing.T, test func(db *DB)) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(context.Background(), filepath.Join(folder, "recado.db"), Options{})
		require.NoError(t, err)
		test(db)
		require.NoError(t, db.Close())
	})
}

func write(db *DB, lane Lane, key string) chan error {
	done := make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), lane, func(tx *Tx) error { return put(tx, key) })
	}()
	return done
}

func TestUnhurriedSharesATransactionOfOthers(t *testing.T) {
	unhurried(t, func(db *DB) {
		began := time.Now()
		slow := write(db, Unhurried, "slow")
		synctest.Wait()
		require.False(t, has(t, db, "slow"), "alone it waits")
		require.NoError(t, <-write(db, Urgent, "quick"))
		require.NoError(t, <-slow)
		require.Zero(t, time.Since(began))
	})
}

func TestUnhurriedWaitsNoLongerThanItsPatience(t *testing.T) {
	unhurried(t, func(db *DB) {
		for range 3 {
			began := time.Now()
			require.NoError(t, <-write(db, Unhurried, fmt.Sprint(began)))
			require.Equal(t, patience, time.Since(began))
		}
	})
}

func TestACrowdOfTheUnhurriedGoesAtOnce(t *testing.T) {
	unhurried(t, func(db *DB) {
		began := time.Now()
		var all []chan error
		for i := range crowd {
			all = append(all, write(db, Unhurried, fmt.Sprint(i)))
		}
		for _, done := range all {
			require.NoError(t, <-done)
		}
		require.Zero(t, time.Since(began))
	})
}

func TestWhatIsUnhurriedIsWrittenBeforeTheEnd(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := func() *DB {
			db, err := Open(context.Background(), filepath.Join(folder, "recado.db"), Options{})
			require.NoError(t, err)
			return db
		}
		db := open()
		done := write(db, Unhurried, "last")
		synctest.Wait()
		require.NoError(t, db.Close())
		require.NoError(t, <-done)
		db = open()
		require.True(t, has(t, db, "last"))
		require.NoError(t, db.Close())
	})
}
