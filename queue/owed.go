package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Owed is an attempt of an earlier run that lost its answer so lately that the
// modem may still give it.
type Owed struct {
	Attempt int64
	Message Message
	TPDU    []byte
	// ICCID and Modem it was made on.
	ICCID, Modem string
	GateAt       time.Time
	// Usual is what nine of ten answers on this SIM took at most, of late; 0
	// when there are too few to say.
	Usual time.Duration
}

const (
	// usualOf are the last attempts that Owed.Usual is worked out from, of all
	// SIMs; usualLeast of them must be this SIM's.
	usualOf    = 2000
	usualLeast = 5
)

// owedSQL looks at the attempts since ?1 only; to have them by SIM SQLite would
// rather read all.
const owedSQL = `SELECT a.id, m.id, g.tpdu, a.iccid, a.modem, a.gate_at
	FROM attempt a JOIN message m ON m.seq = a.message JOIN segment g ON g.message = a.message AND g.n = a.n
	WHERE a.id IN (SELECT max(id) FROM attempt INDEXED BY attempt_at WHERE gate_at > ?1 GROUP BY iccid)
		AND a.outcome = 'ambiguous' AND a.boot_id <> ?2 ORDER BY a.id`

// Owed lists the last attempt of each SIM, where it is an earlier run's, is
// ambiguous, and passed its gate in the time within before now.
func (s *Store) Owed(ctx context.Context, within time.Duration) ([]Owed, error) {
	rows, err := s.db.Read().QueryContext(ctx, owedSQL, ms(s.clock.Now().Add(-within)), s.boot)
	if err != nil {
		return nil, fmt.Errorf("look for answers that are owed: %w", err)
	}
	defer rows.Close()
	var list []Owed
	var ids []string
	for rows.Next() {
		var o Owed
		var id string
		var gate int64
		if err := rows.Scan(&o.Attempt, &id, &o.TPDU, &o.ICCID, &o.Modem, &gate); err != nil {
			return nil, fmt.Errorf("look for answers that are owed: %w", err)
		}
		o.GateAt = at(gate)
		list, ids = append(list, o), append(ids, id)
	}
	if err := cmp.Or(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("look for answers that are owed: %w", err)
	}
	for i := range list {
		if list[i].Message, err = s.Message(ctx, ids[i]); err != nil {
			return nil, err
		}
		if list[i].Usual, err = s.usual(ctx, list[i].ICCID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// usual is the ninth tenth of the times from gate to answer.
func (s *Store) usual(ctx context.Context, iccid string) (time.Duration, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT done_at - gate_at FROM
		(SELECT iccid, outcome, gate_at, done_at FROM attempt ORDER BY id DESC LIMIT ?)
		WHERE iccid = ? AND outcome = 'accepted' AND done_at >= gate_at`, usualOf, iccid)
	if err != nil {
		return 0, fmt.Errorf("look how long answers take: %w", err)
	}
	defer rows.Close()
	var took []int64
	for rows.Next() {
		var d int64
		if err := rows.Scan(&d); err != nil {
			return 0, fmt.Errorf("look how long answers take: %w", err)
		}
		took = append(took, d)
	}
	if len(took) < usualLeast || rows.Err() != nil {
		return 0, rows.Err()
	}
	slices.Sort(took)
	return time.Duration(took[len(took)*9/10]) * time.Millisecond, nil
}

// SawPort notes which modem and SIM are behind a port, so that after a restart
// it is known where an answer may still come before anything is asked there.
func (s *Store) SawPort(ctx context.Context, port, modem, iccid string) error {
	now := modem + "\n" + iccid
	if was, err := s.setting(ctx, settingPort+port); err != nil || was == now {
		return err
	}
	return s.SetSetting(ctx, settingPort+port, now)
}

// PortWas says what SawPort noted last.
func (s *Store) PortWas(ctx context.Context, port string) (behind string, err error) {
	return s.setting(ctx, settingPort+port)
}

// At says whether the attempt was made on what SawPort noted of a port.
func (o Owed) At(behind string) bool { return behind == o.Modem+"\n"+o.ICCID }

const settingPort = "port:"
