package queue

import (
	"context"
	"fmt"
	"time"
)

// tookSQL looks at the last attempts of all SIMs only: the index is by time.
const tookSQL = `SELECT count(*), coalesce(avg(done_at - gate_at), 0) FROM (SELECT gate_at, done_at FROM
	(SELECT iccid, outcome, gate_at, done_at FROM attempt INDEXED BY attempt_at WHERE gate_at > 0 ORDER BY gate_at DESC LIMIT 2000)
	WHERE iccid = ? AND outcome = 'accepted' AND done_at > gate_at LIMIT 20)`

// TookLately is how long a SIM's last accepted submissions took from the gate to
// the answer, on average; 0 when there are none.
func (s *Store) TookLately(ctx context.Context, iccid string) (time.Duration, error) {
	var n int
	var mean float64
	if err := s.db.Read().QueryRowContext(ctx, tookSQL, iccid).Scan(&n, &mean); err != nil {
		return 0, fmt.Errorf("look how long the SIM's submissions took: %w", err)
	}
	if n == 0 {
		return 0, nil
	}
	return time.Duration(mean * float64(time.Millisecond)), nil
}
