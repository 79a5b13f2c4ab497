package sqlite

import (
	"errors"
	"fmt"
)

// Secure makes fn's deletions overwrite what they free, pages that are given
// back included (PRAGMA secure_delete=ON). The default, FAST, overwrites only
// where that writes no page which would not be written anyway.
func Secure(fn func(*Tx) error) func(*Tx) error {
	return func(tx *Tx) (err error) {
		if err := tx.secure("ON"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tx.secure("FAST")) }()
		return fn(tx)
	}
}

// secure sets the pragma. It takes effect when it is prepared, so that a
// statement of the cache would do nothing.
func (tx *Tx) secure(mode string) error {
	if _, err := tx.conn.ExecContext(background, "PRAGMA secure_delete="+mode); err != nil {
		return fmt.Errorf("set secure_delete: %w", err)
	}
	return nil
}
