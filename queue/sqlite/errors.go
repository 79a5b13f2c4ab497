package sqlite

import (
	"errors"
	"fmt"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// named gives SQLite's "disk full" our own name, by code and never by text.
func named(err error) error {
	if e, ok := errors.AsType[sqlite3.Error](err); ok && e.Code == sqlite3.ErrFull && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}

// mayTryAgain says that a failed commit left the file as it was: SQLITE_FULL
// and SQLITE_BUSY do, an I/O error may not have.
func mayTryAgain(err error) bool {
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && (e.Code == sqlite3.ErrFull || e.Code == sqlite3.ErrBusy)
}

// IsUnique says that err is a row refused by a UNIQUE index or primary key.
func IsUnique(err error) bool {
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && (e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey)
}
