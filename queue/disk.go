package queue

import (
	"errors"

	"recado/queue/sqlite"
)

// Undone says that the disk was at fault for a write that is not kept, and that
// the same write may succeed when it is made again: the disk was full, or failed
// once and the database was opened anew.
func Undone(err error) bool {
	return errors.Is(err, sqlite.ErrFailed) || errors.Is(err, sqlite.ErrFull)
}

// Unwritable says that the disk was at fault, for now or for good.
func Unwritable(err error) bool { return Undone(err) || errors.Is(err, sqlite.ErrReadOnly) }

// Storage is the health of the database that the queue is in.
func (s *Store) Storage() sqlite.Health { return s.db.Health() }
