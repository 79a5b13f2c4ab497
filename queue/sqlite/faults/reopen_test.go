package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

// insideReopening writes until the log has its note, and then on a disk that fails
// three times: at the commit, at moving the log into the file when it is closed, and
// at the log's index when it is opened anew.
func insideReopening(dir, fault string) error {
	ctx := context.Background()
	path := filepath.Join(dir, "recado.db")
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReserveFree: -1})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := put(db, ctx, fmt.Sprint("key", i)); err != nil {
			return err
		}
		fmt.Printf("kept key%d\n", i)
		if _, err := os.Stat(path + ".wal-note"); err == nil {
			break
		}
		if time.Sleep(10 * time.Millisecond); i == 1000 {
			return errors.New("no note of the log")
		}
	}
	if err := put(db, ctx, "last"); err != nil {
		return err
	}
	if err := (shim.Fault{Call: shim.OnWrite, Errno: syscall.EIO, Times: 3}).Set(fault); err != nil {
		return err
	}
	if err := put(db, ctx, "lost"); !errors.Is(err, sqlite.ErrFailed) {
		return fmt.Errorf("on the failing disk: %v", err)
	}
	for db.Health().State != sqlite.HealthReadOnly {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(db.Health().Detail)
	if is, err := has(db, "last"); err != nil || !is { // readers make a new log
		return fmt.Errorf("reading on: %v %v", is, err)
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// TestAFailedReopeningIsNoLoss: SQLite moves the log into the file and deletes it
// when it cannot open the file anew. The next start must not take that for a loss,
// which would have everything held.
func TestAFailedReopeningIsNoLoss(t *testing.T) {
	library, err := shim.Build(t.TempDir())
	require.NoError(t, err)
	dir, said := run(t, library, "reopening, killed", 1)
	require.Contains(t, said, "could not be opened again")
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "recado.db"), sqlite.Options{ReserveFree: -1})
	require.NoError(t, err)
	defer db.Close()
	require.Empty(t, db.LogLost())
	for key, there := range map[string]bool{"key0": true, "last": true, "lost": false} {
		is, err := has(db, key)
		require.NoError(t, err)
		require.Equal(t, there, is, key)
	}
}
