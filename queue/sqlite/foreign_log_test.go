package sqlite

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What an orderly stop leaves of the WAL must not be applied to another box's
// file that somebody copies over this one's.
func TestAFileCopiedOverAnotherIsNotSpoiltByItsLog(t *testing.T) {
	folder := t.TempDir()
	mine, other := filepath.Join(folder, "recado.db"), filepath.Join(t.TempDir(), "recado.db")
	fill := func(path, name string, n int) {
		db, err := Open(context.Background(), path, Options{})
		require.NoError(t, err)
		for i := range n {
			require.NoError(t, db.Write(context.Background(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint(name, i)) }))
		}
		require.NoError(t, db.Close())
	}
	fill(mine, "mine", 300)
	fill(other, "other", 50)
	size := func() int64 {
		info, err := os.Stat(mine + "-wal")
		require.NoError(t, err)
		return info.Size()
	}
	kept := size()
	require.Positive(t, kept, "the log stays, as a reserve")

	from, err := os.Open(other)
	require.NoError(t, err)
	defer from.Close()
	to, err := os.OpenFile(mine, os.O_WRONLY|os.O_TRUNC, 0)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())

	db, err := Open(context.Background(), mine, Options{})
	require.NoError(t, err)
	defer db.Close()
	require.True(t, has(t, db, "other49"))
	require.False(t, has(t, db, "mine299"))
	_, err = Check(context.Background(), mine)
	require.NoError(t, err)
	require.GreaterOrEqual(t, size(), kept)
}
