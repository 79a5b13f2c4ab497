package sqlite

import (
	"context"
	"errors"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// Try runs fn so that nothing of it is kept when it fails, and the transaction
// goes on: what one damaged row hinders must not undo the rest.
func (tx *Tx) Try(fn func() error) error {
	after := len(tx.after)
	if _, err := tx.Exec("SAVEPOINT try"); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		tx.after = tx.after[:after]
		if _, back := tx.Exec("ROLLBACK TO try"); back != nil {
			return errors.Join(err, back)
		}
	}
	_, done := tx.Exec("RELEASE try")
	return errors.Join(err, done)
}

// OfStorage says that err tells of the file, the disk or the program's end, and
// not of the row that was worked on: to put the row aside would help nothing.
func OfStorage(err error) bool {
	for _, is := range []error{ErrFull, ErrReadOnly, ErrDamaged, ErrClosed, ErrOverloaded, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, is) {
			return true
		}
	}
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && e.Code != sqlite3.ErrConstraint && e.Code != sqlite3.ErrMismatch && e.Code != sqlite3.ErrTooBig
}
