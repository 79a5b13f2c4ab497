package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recado/queue/sqlite"
)

// settingProven begins the settings that hold, by ICCID, the checksum of the
// number at which the SIM has received a canary.
const settingProven = "canary_number:"

// provenNumber keeps that what is sent to a canary's number arrives on the SIM:
// the number is its own.
func provenNumber(tx *sqlite.Tx, iccid string, canary int64) error {
	rows, err := tx.Query(`SELECT recipient FROM message WHERE id = (SELECT message FROM canary WHERE id = ?)`, canary)
	if err != nil {
		return err
	}
	defer rows.Close()
	var number string
	for rows.Next() {
		if _, err := Scanned(rows, &number); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil || number == "" {
		return err
	}
	return set(tx, settingProven+iccid, numberSum(number))
}

func numberSum(e164 string) string { return strconv.FormatUint(uint64(sqlite.CRC([]byte(e164))), 16) }

// Proven are the numbers of SIMs that a canary has arrived at.
type Proven struct {
	numbers *Numbers
	sums    map[string]string // by ICCID
}

// Has says that the SIM has received a canary at the number, which is given in
// any form.
func (p Proven) Has(iccid, number string) bool {
	e164, no := p.numbers.Normalize(number)
	return no == nil && p.sums[iccid] != "" && p.sums[iccid] == numberSum(e164)
}

// CanaryNumbers are the SIMs' numbers that are known to be their own: what was
// sent to them has arrived.
func (s *Store) CanaryNumbers(ctx context.Context) (Proven, error) {
	p := Proven{numbers: NewNumbers(s.numbers.Country(), true), sums: map[string]string{}}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT key, value FROM setting WHERE key >= ?1 AND key < ?2`, settingProven, settingProven+"\x7f")
	if err != nil {
		return p, fmt.Errorf("read which numbers are the SIMs' own: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var key, sum string
		if _, err := Scanned(rows, &key, &sum); err != nil {
			return p, fmt.Errorf("read which numbers are the SIMs' own: %w", err)
		}
		p.sums[strings.TrimPrefix(key, settingProven)] = sum
	}
	return p, rows.Err()
}

// reportsBack is how many of the last reports are looked through for a SIM's.
const reportsBack = 500

// LastHeard is when anything came in on a SIM last, a report included, by the
// steady clock and no longer ago than back; zero: nothing.
func (s *Store) LastHeard(ctx context.Context, iccid string, back time.Duration) (time.Time, error) {
	n := s.instant()
	var last int64
	err := s.db.Read().QueryRowContext(ctx, `SELECT max(
			coalesce((SELECT max(received_at) FROM inbound_raw WHERE iccid = ?1 AND received_at >= ?2), 0),
			coalesce((SELECT max(received_at) FROM (SELECT iccid, received_at FROM report ORDER BY id DESC LIMIT ?3) WHERE iccid = ?1), 0))`,
		iccid, ms(n.now.Add(-back)), reportsBack).Scan(&last)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when a SIM received something: %w", err)
	}
	if last < ms(n.now.Add(-back)) {
		return time.Time{}, nil
	}
	return at(n.steady - max(ms(n.now)-last, 0)), nil
}
