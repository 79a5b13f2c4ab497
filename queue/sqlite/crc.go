package sqlite

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// castagnoli is CRC-32C (RFC 3720 B.4): computed by the processor on every
// board that Recado runs on.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC is the checksum that rows carry of what must not change unseen: CRC-32C
// over the parts, each preceded by its length in 8 octets, big endian, so that
// what moves from one part to the next changes it too. The SQL function crc32c,
// which every connection has, gives the same.
func CRC(parts ...[]byte) uint32 {
	var sum uint32
	var length [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		sum = crc32.Update(sum, castagnoli, length[:])
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// crcOf is crc32c in SQL: text and blobs by their octets, whole numbers by
// their decimal digits, NULL as an empty part.
func crcOf(args ...any) (int64, error) {
	parts := make([][]byte, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case nil:
		case []byte:
			parts[i] = a
		case string:
			parts[i] = []byte(a)
		case int64:
			parts[i] = strconv.AppendInt(nil, a, 10)
		default:
			return 0, fmt.Errorf("crc32c: argument %d is a %T", i+1, a)
		}
	}
	return int64(CRC(parts...)), nil
}

// registerFunctions gives a connection the SQL functions of Recado.
func registerFunctions(conn *sqlite3.SQLiteConn) error {
	return conn.RegisterFunc("crc32c", crcOf, true)
}
