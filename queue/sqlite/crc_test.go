package sqlite

import (
	"context"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheChecksumIsTheSameInSQLAndInGo(t *testing.T) {
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "recado.db"), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, c := range []struct {
		sql  string
		args []any
		want uint32
	}{
		{`SELECT crc32c(?)`, []any{[]byte("123456789")}, CRC([]byte("123456789"))},
		{`SELECT crc32c(?, ?)`, []any{"Código", []byte{0, 0x1a, 0xff}}, CRC([]byte("Código"), []byte{0, 0x1a, 0xff})},
		{`SELECT crc32c(?, ?)`, []any{int64(-7), ""}, CRC([]byte("-7"), nil)},
		{`SELECT crc32c(NULL)`, nil, CRC(nil)},
	} {
		var got int64
		require.NoError(t, db.Read().QueryRow(c.sql, c.args...).Scan(&got))
		require.Equal(t, int64(c.want), got, c.sql)
	}
	// RFC 3720 B.4: 32 octets of zero, here with their length before them.
	require.Equal(t, uint32(0x8a9136aa), crcPlain(make([]byte, 32)))
	require.NotEqual(t, CRC([]byte("ab"), []byte("c")), CRC([]byte("a"), []byte("bc")))
	require.NotEqual(t, CRC(), CRC(nil))
	var n float64
	require.Error(t, db.Read().QueryRow(`SELECT crc32c(1.5)`).Scan(&n), "a number that is written in several ways has no sum")
}

func crcPlain(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
