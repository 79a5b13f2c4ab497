package queue

import (
	"context"
	"fmt"

	"recado/queue/sqlite"
)

// What is known of AT+CMMS with a SIM (TS 27.005 3.5.6): whether keeping the link
// to the service centre open between two messages is worth its command.
const (
	LinkUnknown = 0
	LinkHelps   = 1
	LinkGivenUp = -1
)

// Links are what is known of AT+CMMS, by ICCID.
func (s *Store) Links(ctx context.Context) (map[string]int, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT iccid, cmms FROM sim WHERE cmms <> 0`)
	if err != nil {
		return nil, fmt.Errorf("read where AT+CMMS helps: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]int{}
	for rows.Next() {
		var iccid string
		var link int
		if err := rows.Scan(&iccid, &link); err != nil {
			return nil, fmt.Errorf("read where AT+CMMS helps: %w", err)
		}
		all[iccid] = min(max(link, LinkGivenUp), LinkHelps)
	}
	return all, rows.Err()
}

// SetLink keeps what was found of AT+CMMS with a SIM: LinkUnknown has it measured
// anew. ErrNoSIM when the SIM was never seen.
func (s *Store) SetLink(ctx context.Context, iccid string, link int) error {
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		res, err := tx.Exec(`UPDATE sim SET cmms = ? WHERE iccid = ?`, min(max(link, LinkGivenUp), LinkHelps), iccid)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return ErrNoSIM
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep whether AT+CMMS helps: %w", err)
	}
	return nil
}

// MoreWaits says whether anything waits that a SIM could send now, as far as the
// queue knows: a hint, without limits and quiet hours.
func (s *Store) MoreWaits(ctx context.Context, iccid string) (more bool, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM message WHERE sim = '' AND state IN ('queued','sending') AND claimed_by = '' AND not_before = 0)
		OR EXISTS (SELECT 1 FROM message WHERE sim = ? AND state IN ('queued','sending') AND claimed_by = '' AND not_before = 0)`, iccid).Scan(&more)
	if err != nil {
		return false, fmt.Errorf("look whether more waits: %w", err)
	}
	return more, nil
}
