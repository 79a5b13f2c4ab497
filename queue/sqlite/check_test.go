package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	_, err := Check(t.Context(), path)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrDamaged, "not there is not damaged")
	require.NoFileExists(t, path)

	db, err := Open(t.Context(), path, Options{ReserveFree: -1}) // which changes the sizes by itself
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
		if _, err := tx.Exec(`CREATE TABLE bulk (id INTEGER PRIMARY KEY, text TEXT)`); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO bulk (text)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) SELECT hex(randomblob(100)) FROM n`)
		return err
	}))
	open, err := db.Figures(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(5000), open.Rows["bulk"])
	beside, err := Check(t.Context(), path)
	require.NoError(t, err, "beside the one that has it open")
	require.Equal(t, open, beside)
	require.NoError(t, db.Close())

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	alone, err := Check(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, open.Rows, alone.Rows)
	require.Positive(t, alone.Schema)
	require.Greater(t, alone.Bytes, int64(1<<20))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "nothing was changed")

	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Check(over, path)
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, os.Remove(path+"-wal")) // the same pages are still in it
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	for at := int64(50 * 4096); at < int64(len(before))-8192; at += 2 * 4096 {
		_, err = file.WriteAt(make([]byte, 4096), at)
		require.NoError(t, err)
	}
	require.NoError(t, file.Close())
	_, err = Check(t.Context(), path)
	require.ErrorIs(t, err, ErrDamaged)
	require.NoError(t, os.WriteFile(path, []byte("this is a text and no database at all, and long enough"), 0o600))
	_, err = Check(t.Context(), path)
	require.ErrorIs(t, err, ErrDamaged)
}
