package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// attempt is one try to submit a segment.
type attempt struct {
	id, message  int64
	n            int
	iccid        string
	phase        string
	outcome      string
	mr, prevMR   int
	gateAt, scts int64
	edition      int // of the message's segments
}

var verdictNames = map[Verdict]string{NotSent: "not_sent", Accepted: "accepted", Rejected: "rejected", Ambiguous: "ambiguous"}

// outcomeDuplicate is an attempt that was accepted after another attempt of
// the same segment had been.
const outcomeDuplicate = "duplicate"

// Outcome commits what became of an attempt and, when next is given, claims
// that line's next message in the same transaction: the same message's next
// segment, unless something of a better lane goes first. It may be called again
// for an attempt that was Ambiguous, with the late answer; else a second call
// changes nothing.
func (s *Store) Outcome(ctx context.Context, id int64, o Outcome, next *Line) (*Claimed, error) {
	if o.At.IsZero() {
		o.At = s.clock.Now()
	}
	var c *Claimed
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) (err error) {
		c = nil
		if err := s.answered(tx, id, o); err != nil {
			return err
		}
		if next != nil {
			var claimed *Claimed
			if err := s.aside(tx, "claim the next message", func() (err error) { claimed, err = s.claim(tx, *next); return err }); err != nil {
				return err
			}
			c = claimed
		}
		return failpoint.Err(failpoint.OutcomeBefore)
	})
	if err != nil {
		return nil, fmt.Errorf("commit outcome: %w", err)
	}
	failpoint.Hit(failpoint.OutcomeCommitted)
	s.metrics.attempt(o.Verdict)
	return c, nil
}

// errNoAttempt: nobody opened a gate under that number.
var errNoAttempt = errors.New("there is no such attempt")

// answered applies an attempt's outcome. One that cannot be applied, because a
// row is damaged, ends its attempt all the same, and its message: a line does
// not wait for ever for an answer to be kept.
func (s *Store) answered(tx *sqlite.Tx, id int64, o Outcome) error {
	err := tx.Try(func() error { return s.outcome(tx, id, o) })
	if err == nil || sqlite.OfStorage(err) || errors.Is(err, errNoAttempt) {
		return err
	}
	why := err
	var seq int64
	var iccid string
	// A second acceptance of the segment is a duplicate, as ever; a time that
	// cannot be read becomes the answer's.
	err = tx.QueryRow(`UPDATE attempt SET phase = 'done', mr = ?2, scts = ?3, code = ?4, class = ?5, detail = ?6, done_at = ?7,
			gate_at = CASE typeof(gate_at) WHEN 'integer' THEN gate_at ELSE ?7 END,
			outcome = CASE WHEN ?1 = 'accepted' AND EXISTS (SELECT 1 FROM attempt b WHERE b.message = attempt.message AND b.n = attempt.n
				AND b.edition = attempt.edition AND b.outcome = 'accepted' AND b.id <> attempt.id) THEN 'duplicate' ELSE ?1 END
		WHERE id = ?8 AND (phase = 'prepared' OR outcome = 'ambiguous' AND ?1 <> 'ambiguous') RETURNING message, iccid`,
		verdictNames[o.Verdict], o.MR, ms(o.SCTS), o.Code, o.Class, o.Detail, ms(o.At), id).Scan(&seq, &iccid)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("close the attempt of a damaged message: %w", errors.Join(err, why))
	}
	if err := s.aside(tx, "count an answer", func() error { return s.spent(tx, iccid, id, o.Verdict) }); err != nil {
		return err
	}
	return s.spoil(tx, seq, why)
}

// spent has what was counted for an attempt follow its outcome.
func (s *Store) spent(tx *sqlite.Tx, iccid string, attempt int64, v Verdict) error {
	if v == NotSent {
		return s.refund(tx, iccid, attempt)
	}
	return s.dateByAnswer(tx, iccid, attempt)
}

func (s *Store) outcome(tx *sqlite.Tx, id int64, o Outcome) error {
	var a attempt
	err := tx.QueryRow(`SELECT id, message, n, iccid, phase, outcome, mr, prev_mr, gate_at, scts, edition FROM attempt WHERE id = ?`, id).
		Scan(&a.id, &a.message, &a.n, &a.iccid, &a.phase, &a.outcome, &a.mr, &a.prevMR, &a.gateAt, &a.scts, &a.edition)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("attempt %d: %w", id, errNoAttempt)
	}
	if err != nil {
		return err
	}
	late := a.phase == "done"
	if late && (a.outcome != "ambiguous" || o.Verdict == Ambiguous) {
		return nil
	}
	if err := s.spent(tx, a.iccid, a.id, o.Verdict); err != nil {
		return err
	}
	r, err := load(tx, a.message)
	if err != nil {
		return err
	}
	switch {
	case r.torn && (o.Verdict != Accepted || a.edition != r.edition):
		return errTorn // its counts cannot be gone by
	case a.edition != r.edition:
		return s.answeredBefore(tx, r, a, o)
	case !r.has(a.n):
		return errAstray
	case o.Verdict == Accepted:
		err = s.acceptedBy(tx, r, a, o)
	case o.Verdict == Ambiguous:
		err = s.ambiguous(tx, r, a, o)
	default:
		err = s.notAccepted(tx, r, a, o, late)
	}
	if err != nil {
		return err
	}
	// Its report may have been quicker than this commit, or waited for it.
	return s.aside(tx, "match reports", func() error { return s.matchOrphans(tx, a.iccid) })
}

// close writes an attempt's end.
func (a *attempt) close(tx *sqlite.Tx, outcome string, o Outcome) error {
	a.phase, a.outcome = "done", outcome
	_, err := tx.Exec(`UPDATE attempt SET phase = 'done', outcome = ?, mr = ?, scts = ?, code = ?, class = ?, detail = ?, done_at = ? WHERE id = ?`,
		outcome, o.MR, ms(o.SCTS), o.Code, o.Class, o.Detail, ms(o.At), a.id)
	if err != nil {
		return fmt.Errorf("close attempt: %w", err)
	}
	return nil
}

// acceptedBy: the SMSC has the segment.
func (s *Store) acceptedBy(tx *sqlite.Tx, r *record, a attempt, o Outcome) error {
	name, err := acceptedName(tx, a)
	if err != nil {
		return err
	}
	if err := a.close(tx, name, o); err != nil {
		return err
	}
	if err := s.countSegment(tx, a.iccid, &o); err != nil {
		return err
	}
	r.Failures = 0
	g := r.segment(a.n)
	if !g.out() {
		g.State, g.MR, g.SentAt = SegmentSent, o.MR, o.At
	}
	if name == outcomeDuplicate { // the network has both
		r.PossibleDuplicate = true
	}
	if r.State == Sending && r.claimedBy == a.iccid {
		r.claimedBy = ""
	}
	if r.allOut() && r.SentAt.IsZero() {
		r.SentAt = o.At
	}
	r.settle(o.At)
	return s.save(tx, r)
}

// acceptedName is "accepted", or "duplicate" when another attempt of the
// segment has been accepted: the unique index allows one.
func acceptedName(tx *sqlite.Tx, a attempt) (string, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM attempt WHERE message = ? AND n = ? AND edition = ? AND outcome = 'accepted' AND id <> ?`,
		a.message, a.n, a.edition, a.id).Scan(&n)
	if err != nil {
		return "", fmt.Errorf("look for other attempts: %w", err)
	}
	if n > 0 {
		return outcomeDuplicate, nil
	}
	return "accepted", nil
}

// ambiguous: the answer was lost after the gate. Nobody guesses: the message is
// uncertain until evidence comes or its class's window ends.
func (s *Store) ambiguous(tx *sqlite.Tx, r *record, a attempt, o Outcome) error {
	if err := a.close(tx, "ambiguous", o); err != nil {
		return err
	}
	r.lost++
	r.claimedBy = ""
	if g := r.segment(a.n); !g.out() {
		g.State = SegmentUncertain
		r.Error = &Error{Code: o.Code, Class: o.Class, Detail: o.Detail}
		r.Reason = ReasonAnswerLost
		r.decideAt = ms(s.steadyAt(o.At).Add(policies[r.Class].window))
	}
	r.settle(o.At)
	return s.save(tx, r)
}

// notAccepted: nothing of this attempt left, or the network refused it. late
// says that the answer came after the attempt had been given up as ambiguous.
func (s *Store) notAccepted(tx *sqlite.Tx, r *record, a attempt, o Outcome, late bool) error {
	if err := a.close(tx, verdictNames[o.Verdict], o); err != nil {
		return err
	}
	g := r.segment(a.n)
	if late {
		r.lost--
		if g.State != SegmentUncertain {
			return s.save(tx, r) // it has been decided otherwise since
		}
		if err := s.note(tx, r.Seq, "late_answer", o.Code); err != nil {
			return err
		}
		still, err := doubted(tx, r)
		if err != nil {
			return err
		}
		if slices.Contains(still, a.n) {
			return s.save(tx, r) // another try of it lost its answer too
		}
	}
	if g.out() { // a report of an earlier attempt was quicker
		r.claimedBy = ""
		r.settle(o.At)
		return s.save(tx, r)
	}
	if err := s.refused(tx, r, o, a.iccid, a.n); err != nil {
		return err
	}
	return s.save(tx, r)
}

// recover puts right what the last run left: claims are cleared, attempts whose
// answer it did not live to see become uncertain, reports that found no
// message are tried again.
func (s *Store) recover(ctx context.Context) error {
	now := s.clock.Now()
	return s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		open, sims, err := unanswered(tx)
		if err != nil {
			return err
		}
		for _, id := range open {
			o := Outcome{Verdict: Ambiguous, MR: -1, Code: codeRestart, Class: "unknown", At: now,
				Detail: "Recado stopped while the answer was awaited"}
			if err := s.answered(tx, id, o); err != nil {
				return err
			}
		}
		claimed, err := numbersOf(tx, `SELECT seq FROM message WHERE claimed_by <> ''`)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE message SET claimed_by = '' WHERE claimed_by <> ''`); err != nil {
			return err
		}
		if err := s.rebucketThese(tx, claimed); err != nil {
			return err
		}
		for _, iccid := range sims {
			if err := s.aside(tx, "match reports", func() error { return s.matchOrphans(tx, iccid) }); err != nil {
				return err
			}
		}
		if len(open) > 0 {
			s.log.Warn("answers were lost when Recado stopped; their messages are uncertain", "attempts", len(open))
		}
		return nil
	})
}

// unansweredSQL names the index: to have them in order SQLite would rather read
// every attempt there ever was.
const unansweredSQL = `SELECT id FROM attempt INDEXED BY attempt_open_sim WHERE phase = 'prepared' ORDER BY id`

// unanswered are the attempts without an end, and the SIMs with orphan reports.
func unanswered(tx *sqlite.Tx) (open []int64, sims []string, err error) {
	rows, err := tx.Query(unansweredSQL)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, nil, err
		}
		open = append(open, id)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	orphans, err := tx.Query(`SELECT DISTINCT iccid FROM report WHERE message IS NULL`)
	if err != nil {
		return nil, nil, err
	}
	defer orphans.Close()
	for orphans.Next() {
		var iccid string
		if err := orphans.Scan(&iccid); err != nil {
			return nil, nil, err
		}
		sims = append(sims, iccid)
	}
	return open, sims, orphans.Err()
}
