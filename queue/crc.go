package queue

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"recado/queue/sqlite"
)

// SumsSQL puts the checksums of rows right that were written without them, by
// tools and tests that fill a database: nothing else may.
const SumsSQL = `UPDATE message SET crc = crc32c(seq, id, recipient, class, text) WHERE crc = -1;
UPDATE segment SET crc = crc32c(message, n, tpdu) WHERE crc = -1;`

// messageSum is the checksum of what would be sent to whom: crc32c(seq, id,
// recipient, class, text) in SQL.
func messageSum(seq int64, id, to string, class Class, text string) int64 {
	return int64(sqlite.CRC(strconv.AppendInt(nil, seq, 10), []byte(id), []byte(to), []byte(class), []byte(text)))
}

// segmentSum is the checksum of one TPDU in its place: crc32c(message, n, tpdu)
// in SQL.
func segmentSum(message int64, n int, tpdu []byte) int64 {
	return int64(sqlite.CRC(strconv.AppendInt(nil, message, 10), strconv.AppendInt(nil, int64(n), 10), tpdu))
}

// look says what is wrong with a message as it was read, "" when it is what was
// stored. Damage to a row's numbers shows as values that do not fit each other.
func (r *record) look() string {
	switch {
	case r.torn:
		return "its row cannot be read"
	case r.sum != messageSum(r.Seq, r.ID, r.To, r.Class, r.Text):
		return "its number or text is not what was stored"
	case len(r.Segments) != r.parts:
		return fmt.Sprintf("%d of its %d segments are there", len(r.Segments), r.parts)
	}
	for i, g := range r.Segments {
		if g.damaged || g.N != i+1 || len(g.TPDU) == 0 {
			return fmt.Sprintf("segment %d is not what was stored", i+1)
		}
	}
	return ""
}

// Scanned reads one row into dest. What does not fit its variable, because the
// row is damaged, is left zero and tells torn: one bad row must not keep the
// others from being read.
func Scanned(rows *sql.Rows, dest ...any) (torn bool, err error) {
	if err := rows.Scan(dest...); err == nil {
		return false, nil
	}
	loose := make([]any, len(dest))
	for i, d := range dest {
		loose[i] = &looseValue{dest: d, torn: &torn}
	}
	if err := rows.Scan(loose...); err != nil {
		return true, err
	}
	if !torn {
		return true, errors.New("a row was read differently the second time")
	}
	return true, nil
}

// looseValue takes what fits its variable.
type looseValue struct {
	dest any
	torn *bool
}

// Scan implements sql.Scanner.
func (v *looseValue) Scan(src any) error {
	to := reflect.ValueOf(v.dest).Elem()
	to.SetZero()
	switch src := src.(type) {
	case int64:
		switch to.Kind() {
		case reflect.Int, reflect.Int64:
			to.SetInt(src)
			return nil
		case reflect.Bool:
			to.SetBool(src != 0)
			*v.torn = *v.torn || src != 0 && src != 1
			return nil
		}
	case string:
		if to.Kind() == reflect.String {
			to.SetString(src)
			return nil
		}
	case []byte:
		switch {
		case to.Kind() == reflect.String:
			to.SetString(string(src))
			return nil
		case to.Kind() == reflect.Slice:
			to.SetBytes(append([]byte{}, src...))
			return nil
		}
	}
	*v.torn = true
	return nil
}
