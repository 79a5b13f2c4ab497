package queue

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"

	"recado/modem/pdu"
	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// ReportIn is a status report with where it came from.
type ReportIn struct {
	ICCID, IMSI string
	Modem       string
	PDU         pdu.Received
	At          time.Time
	// Unhurried: nobody waits for it, so that it may wait a moment for a transaction
	// of others (sqlite.Unhurried).
	Unhurried bool
}

// report is a row of the table.
type report struct {
	id               int64
	iccid            string
	mr               int
	recipient        string
	status           uint8
	scts, dt, arrive int64
}

// Report makes a status report durable and applies it to the segment that it
// belongs to; one without is kept for a week and tried again after every
// outcome. The same TPDU from the same SIM counts once (see RepeatWithin), but
// for twins: segments that left with the same MR. It returns nil when the modem
// may forget the report.
func (s *Store) Report(ctx context.Context, in ReportIn) error {
	if in.PDU.Kind != pdu.KindStatusReport {
		return fmt.Errorf("store report: the TPDU is no status report")
	}
	if in.At.IsZero() {
		in.At = s.clock.Now()
	}
	hash := reportHash(in)
	result := ""
	lane := sqlite.Urgent
	if in.Unhurried {
		lane = sqlite.Unhurried
	}
	err := s.db.Write(ctx, lane, func(tx *sqlite.Tx) error {
		rep := report{iccid: in.ICCID, mr: int(in.PDU.MR), recipient: in.PDU.Address, status: in.PDU.ST,
			scts: ms(in.PDU.SCTS), dt: ms(in.PDU.DT), arrive: ms(in.At)}
		again, twin, err := s.repeats(tx, hash, rep)
		if err != nil {
			return err
		}
		if again && twin == nil {
			result = "repeated"
			return nil
		}
		if twin != nil {
			result = "matched"
			if err := keep(tx, in, hash, rep, twin); err != nil {
				return err
			}
			return s.placed(tx, rep, twin, false)
		}
		var f found // none when a damaged row hinders it: then it is an orphan
		err = s.aside(tx, "find a report's message", func() (err error) {
			f = found{}
			m, err := s.match(tx, rep)
			if err != nil || m.attempt == nil {
				return err
			}
			if err := keep(tx, in, hash, rep, m.attempt); err != nil {
				return err
			}
			if err := s.placed(tx, rep, m.attempt, m.other); err != nil {
				return err
			}
			f = m
			return nil
		})
		if err == nil && f.attempt == nil {
			err = keep(tx, in, hash, rep, nil)
		}
		if err != nil {
			return err
		}
		result = "orphan"
		if f.attempt != nil {
			result = "matched"
		}
		if f.learnt {
			if err := s.aside(tx, "match reports", func() error { return s.matchOrphans(tx, rep.iccid) }); err != nil {
				return err
			}
		}
		return failpoint.Err(failpoint.ReportBefore)
	})
	if err != nil {
		return fmt.Errorf("store report: %w", err)
	}
	failpoint.Hit(failpoint.ReportCommitted)
	s.metrics.reported(result)
	return nil
}

// keep stores a report with the attempt that it is of; nil: an orphan.
func keep(tx *sqlite.Tx, in ReportIn, hash []byte, rep report, a *attempt) error {
	var message sql.NullInt64
	n := 0
	if a != nil {
		message, n = sql.NullInt64{Int64: a.message, Valid: true}, a.n
	}
	_, err := tx.Exec(`INSERT INTO report (hash, iccid, imsi, modem, raw, mr, recipient, status, scts, dt, received_at, seen_at, message, n)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		hash, in.ICCID, in.IMSI, in.Modem, in.PDU.Raw, rep.mr, rep.recipient, rep.status, rep.scts, rep.dt, rep.arrive, rep.arrive, message, n)
	return err
}

// reportHash tells a report read again from another one: the SIM's name in the
// pool and the octets. Not the IMSI alone: emulated modems of other programs
// share theirs.
func reportHash(in ReportIn) []byte {
	h := sha256.New()
	sim := in.ICCID
	if sim == "" {
		sim = "imsi " + in.IMSI
	}
	_, _ = fmt.Fprintf(h, "%s\n", sim)
	_, _ = h.Write(in.PDU.Raw)
	return h.Sum(nil)
}

// place finds an orphan's segment, if there is one, and applies it.
func (s *Store) place(tx *sqlite.Tx, rep report) error {
	f, err := s.match(tx, rep)
	if err != nil || f.attempt == nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE report SET message = ?, n = ? WHERE id = ?`, f.message, f.n, rep.id); err != nil {
		return err
	}
	return s.placed(tx, rep, f.attempt, f.other)
}

// placed applies a report to the attempt that it is of.
func (s *Store) placed(tx *sqlite.Tx, rep report, a *attempt, other bool) error {
	if other {
		if err := s.note(tx, a.message, "report_other_sim", rep.iccid); err != nil {
			return err
		}
	}
	err := tx.Try(func() error { return s.apply(tx, rep, a) })
	if err == nil || sqlite.OfStorage(err) {
		return err
	}
	return s.spoil(tx, a.message, err) // the report is kept with it
}

// matchOrphans tries a SIM's reports again that found no segment.
func (s *Store) matchOrphans(tx *sqlite.Tx, iccid string) error {
	rows, err := tx.Query(`SELECT id, iccid, mr, recipient, status, scts, dt, received_at FROM report
		WHERE message IS NULL AND iccid = +? ORDER BY id DESC LIMIT 64`, iccid)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []report
	for rows.Next() {
		var r report
		torn, err := Scanned(rows, &r.id, &r.iccid, &r.mr, &r.recipient, &r.status, &r.scts, &r.dt, &r.arrive)
		if err != nil {
			return err
		}
		if !torn { // a damaged one is evidence of nothing
			list = append(list, r)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- { // in the order they came
		if err := s.place(tx, list[i]); err != nil {
			return err
		}
	}
	return nil
}

// AdoptReports says which SIM the reports are of that came before it was known,
// and were stored under a stand-in for its ICCID: they find their segments now.
func (s *Store) AdoptReports(ctx context.Context, standIn, iccid string) error {
	var n int
	err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM report WHERE message IS NULL AND iccid = ?`, standIn).Scan(&n)
	if err == nil && n > 0 {
		err = s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
			raws, err := orphansOf(tx, standIn)
			if err != nil {
				return err
			}
			for id, raw := range raws {
				hash := reportHash(ReportIn{ICCID: iccid, PDU: pdu.Received{Raw: raw}})
				if _, err := tx.Exec(`UPDATE report SET iccid = ?, hash = ? WHERE id = ?`, iccid, hash, id); err != nil {
					return err
				}
			}
			return s.matchOrphans(tx, iccid)
		})
	}
	if err != nil {
		return fmt.Errorf("find the SIM's reports of before it was known: %w", err)
	}
	return nil
}

// orphansOf are the octets of a SIM's reports that found no segment, by id.
func orphansOf(tx *sqlite.Tx, iccid string) (map[int64][]byte, error) {
	rows, err := tx.Query(`SELECT id, raw FROM report WHERE message IS NULL AND iccid = ?`, iccid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	raws := map[int64][]byte{}
	for rows.Next() {
		var id int64
		var raw []byte
		if err := rows.Scan(&id, &raw); err != nil {
			return nil, err
		}
		raws[id] = raw
	}
	return raws, rows.Err()
}

// apply changes the segment and the message by what a report says.
func (s *Store) apply(tx *sqlite.Tx, rep report, a *attempt) error {
	status := pdu.StatusOf(rep.status)
	r, err := load(tx, a.message)
	if err != nil {
		return err
	}
	if r.torn && a.edition != r.edition {
		return errTorn
	}
	if a.edition != r.edition {
		return nil // of segments that were encoded anew since: kept for the timeline
	}
	if !r.has(a.n) {
		return errAstray
	}
	g := r.segment(a.n)
	if g.State == SegmentDelivered {
		return s.save(tx, r) // an earlier report was final, and the best
	}
	if final := g.State == SegmentUndelivered; final && !status.Delivered() {
		return s.save(tx, r)
	}
	g.ReportAt, g.ReportStatus = at(rep.arrive), int(rep.status)
	if status == pdu.StatusReserved {
		s.log.Info("a status report says something that the standard does not define; it changes nothing",
			"message", r.ID, "status", fmt.Sprintf("%02x", rep.status))
		return s.save(tx, r) // kept as it came, it means nothing
	}
	if a.outcome == "ambiguous" {
		if err := s.proved(tx, r, a, rep); err != nil {
			return err
		}
	}
	if !g.out() { // also when a retry was planned meanwhile
		g.State, g.MR = SegmentSent, rep.mr
		if g.SentAt.IsZero() {
			g.SentAt = at(a.gateAt)
		}
	}
	switch {
	case status.Delivered():
		g.State = SegmentDelivered
	case status.Failed():
		g.State = SegmentUndelivered
		r.Error = &Error{Code: fmt.Sprintf("report_%02x", rep.status), Class: "network", Detail: pdu.StatusText(rep.status)}
	}
	why := r.Error
	if r.SentAt.IsZero() && r.allOut() {
		r.SentAt = g.SentAt
	}
	r.settle(deliveredAt(rep, r.SentAt))
	if r.State == Undelivered {
		r.Error = why
	}
	return s.save(tx, r)
}

// proved: the report shows that an attempt whose answer was lost was accepted.
func (s *Store) proved(tx *sqlite.Tx, r *record, a *attempt, rep report) error {
	name, err := acceptedName(tx, *a)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE attempt SET outcome = ?, mr = ? WHERE id = ?`, name, rep.mr, a.id); err != nil {
		return err
	}
	if err := s.countSegment(tx, a.iccid, nil); err != nil {
		return err
	}
	// Its MR is the SIM's last, unless a later attempt has told another.
	if _, err := tx.Exec(`UPDATE sim SET last_mr = CASE WHEN EXISTS (SELECT 1 FROM attempt WHERE iccid = ?1 AND gate_at >= ?2 AND id > ?3 AND mr >= 0) THEN last_mr ELSE ?4 END
		WHERE iccid = ?1`, a.iccid, a.gateAt, a.id, rep.mr); err != nil {
		return err
	}
	id := a.id
	tx.AfterCommit(func() {
		if f := s.proof.Load(); f != nil {
			(*f)(id)
		}
	})
	return s.note(tx, r.Seq, "proved", fmt.Sprintf("a status report shows that segment %d was sent", a.n))
}

// deliveredAt is the discharge time, kept between sending and the report's
// arrival: the service centre's clock is not ours.
func deliveredAt(rep report, sent time.Time) time.Time {
	dt := rep.dt
	if dt > rep.arrive || dt < ms(sent) {
		dt = rep.arrive
	}
	return at(dt)
}
