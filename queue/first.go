package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// FirstLeft is how many segments are left to be sent of the message that is first
// in a bucket's lane, of those that any SIM may have; 0: none waits.
func (s *Store) FirstLeft(ctx context.Context, bucket int64, lane int) (n int, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT max(segments - next + 1, 1) FROM message INDEXED BY message_ready
		WHERE sim = '' AND bucket = ? AND lane = ? AND `+ready+` ORDER BY seq LIMIT 1`, bucket, lane).Scan(&n)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("look how long the first message is: %w", err)
	}
	return n, nil
}
