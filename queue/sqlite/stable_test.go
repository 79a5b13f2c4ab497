package sqlite

import (
	"context"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"
)

// Every connection keeps the plans of its statements; the driver's own would not.
func TestPlansAreStable(t *testing.T) {
	path := t.TempDir() + "/x.db"
	for _, readOnly := range []bool{false, true} {
		conn, err := (connector{path: path, readOnly: readOnly}).Connect(context.Background())
		require.NoError(t, err)
		require.True(t, plansAreStable(conn.(*sqlite3.SQLiteConn), -1))
		require.NoError(t, conn.Close())
	}
	plain, err := (&sqlite3.SQLiteDriver{}).Open(path)
	require.NoError(t, err)
	require.False(t, plansAreStable(plain.(*sqlite3.SQLiteConn), -1))
	require.NoError(t, plain.Close())
}
