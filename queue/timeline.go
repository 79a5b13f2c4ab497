package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"recado/modem/pdu"
)

// Events of a timeline, beside those that history keeps ("retry", "undecided",
// "resolved", "proved", "late_answer", "report_other_sim").
const (
	TimelineAccepted  = "accepted"  // the message is on disk
	TimelineGate      = "gate"      // an attempt: from now on it may have been sent
	TimelineAnswer    = "answer"    // what became of it, see Verdict
	TimelineReport    = "report"    // a status report, see Status
	TimelineCancelled = "cancelled" //
	TimelineExpired   = "expired"   //
)

// TimelineEntry is one thing that happened to a message.
type TimelineEntry struct {
	At         time.Time
	Event      string
	Segment    int // from 1; 0: the whole message
	Attempt    int // its number within the message, from 1; 0: none
	SIM, Modem string
	MR         int    // -1 unknown
	Verdict    string // of an answer: accepted, rejected, ambiguous, not_sent, duplicate
	Status     int    // TP-ST of a report; -1 else
	Code       string // error code of an answer
	Detail     string // plain words
	Why        string // of a gate: why this SIM, see WhyPinned
}

// Timeline gives everything that happened to a message, oldest first;
// ErrNotFound.
func (s *Store) Timeline(ctx context.Context, id string) ([]TimelineEntry, error) {
	tx, err := s.db.Read().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	var seq, created int64
	err = tx.QueryRowContext(ctx, `SELECT seq, created_at FROM message WHERE id = ?`, id).Scan(&seq, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	list := []TimelineEntry{{At: at(created), Event: TimelineAccepted, MR: -1, Status: -1}}
	for _, part := range []func(context.Context, *sql.Tx, int64) ([]TimelineEntry, error){attemptLines, reportLines, historyLines} {
		more, err := part(ctx, tx, seq)
		if err != nil {
			return nil, fmt.Errorf("read timeline: %w", err)
		}
		list = append(list, more...)
	}
	slices.SortStableFunc(list, func(a, b TimelineEntry) int { return a.At.Compare(b.At) })
	return list, nil
}

func attemptLines(ctx context.Context, tx *sql.Tx, seq int64) (list []TimelineEntry, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT n, no, modem, iccid, gate_at, phase, outcome, mr, code, detail, done_at, why
		FROM attempt WHERE message = ? ORDER BY id`, seq)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e := TimelineEntry{Event: TimelineGate, MR: -1, Status: -1}
		var gate, done int64
		var phase, outcome, code, detail, why string
		var mr int
		if _, err := Scanned(rows, &e.Segment, &e.Attempt, &e.Modem, &e.SIM, &gate, &phase, &outcome, &mr, &code, &detail, &done, &why); err != nil {
			return nil, err
		}
		e.At, e.Why = at(gate), why
		list = append(list, e)
		if phase == "done" {
			e.Why = ""
			e.Event, e.At, e.Verdict, e.MR, e.Code, e.Detail = TimelineAnswer, at(done), outcome, mr, code, detail
			list = append(list, e)
		}
	}
	return list, rows.Err()
}

func reportLines(ctx context.Context, tx *sql.Tx, seq int64) (list []TimelineEntry, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT n, modem, iccid, mr, status, received_at FROM report WHERE message = ? ORDER BY id`, seq)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e := TimelineEntry{Event: TimelineReport}
		var when int64
		if _, err := Scanned(rows, &e.Segment, &e.Modem, &e.SIM, &e.MR, &e.Status, &when); err != nil {
			return nil, err
		}
		e.At, e.Detail = at(when), pdu.StatusText(uint8(e.Status))
		list = append(list, e)
	}
	return list, rows.Err()
}

func historyLines(ctx context.Context, tx *sql.Tx, seq int64) (list []TimelineEntry, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT at, event, detail FROM history WHERE message = ? ORDER BY id`, seq)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e := TimelineEntry{MR: -1, Status: -1}
		var when int64
		if _, err := Scanned(rows, &when, &e.Event, &e.Detail); err != nil {
			return nil, err
		}
		e.At = at(when)
		list = append(list, e)
	}
	return list, rows.Err()
}
