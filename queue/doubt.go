package queue

import (
	"fmt"

	"recado/queue/sqlite"
)

// doubted are the segments, from 1, that the network may have: an attempt lost
// its answer, and nothing has said since whether it arrived.
func doubted(tx *sqlite.Tx, r *record) (list []int, err error) {
	if r.lost <= 0 {
		return nil, nil
	}
	rows, err := tx.Query(`SELECT DISTINCT n FROM attempt WHERE message = ? AND outcome = 'ambiguous' ORDER BY n`, r.Seq)
	if err != nil {
		return nil, fmt.Errorf("look for lost answers: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("look for lost answers: %w", err)
		}
		if i := r.index(n); i < 0 {
			return nil, fmt.Errorf("look for lost answers: %w", errAstray)
		} else if !r.Segments[i].out() {
			list = append(list, n)
		}
	}
	return list, rows.Err()
}

// mayRetryAll asks mayRetry of every segment that is uncertain.
func mayRetryAll(tx *sqlite.Tx, r *record) (bool, error) {
	for _, g := range r.Segments {
		if g.State != SegmentUncertain {
			continue
		}
		var l losses
		err := tx.QueryRow(`SELECT count(*), count(*) FILTER (WHERE edition = ?1 AND code <> ?2) FROM attempt
			WHERE message = ?3 AND n = ?4 AND outcome = 'ambiguous'`, r.edition, codeRestart, r.Seq, g.N).Scan(&l.all, &l.counted)
		if err != nil {
			return false, fmt.Errorf("count lost answers: %w", err)
		}
		if !mayRetry(r.Delivery, l) {
			return false, nil
		}
	}
	return true, nil
}

// leaveOpen ends a message that cannot be sent any more, but of which an
// earlier attempt may have arrived: to call it expired or failed would be a
// guess. It is uncertain for good, with the error that ended it; evidence and
// Resolve still count. false: no answer is missing, the end is certain.
func (s *Store) leaveOpen(tx *sqlite.Tx, r *record, why string) (bool, error) {
	list, err := doubted(tx, r)
	if err != nil || len(list) == 0 {
		return false, err
	}
	for _, n := range list {
		r.segment(n).State = SegmentUncertain
	}
	r.State, r.Reason = Uncertain, ReasonNoEvidence
	r.claimedBy, r.notBefore, r.decideAt = "", 0, 0
	r.avoidSIM, r.avoidUntil = "", 0
	return true, s.note(tx, r.Seq, "undecided", why)
}
