package queue

import (
	"strings"
	"time"

	"recado/queue/sqlite"
)

const (
	// near is how far the SMSC's clock may be from ours for a report to be an
	// attempt's; far while our own clock is not trusted.
	near = 10 * time.Minute
	far  = 24 * time.Hour
	// early is how long before the gate an SCTS may lie and still be of a lost
	// submission.
	early = 2 * time.Minute
	// wrapBack is how far back an attempt may lie when the SCTS says nothing
	// usable: what an SMSC keeps at most.
	wrapBack = 7 * 24 * time.Hour
)

// candidate is an attempt that a report may be of.
type candidate struct {
	attempt
	recipient string
	segment   SegmentState
	validMS   int64
	doneAt    int64
	fit       int // of the number: 3 exact, 2 last eight digits, 1 last six
}

func (c candidate) final() bool {
	return c.segment == SegmentDelivered || c.segment == SegmentUndelivered
}

const candidateSQL = `SELECT a.id, a.message, a.n, a.iccid, a.phase, a.outcome, a.mr, a.prev_mr, a.gate_at, a.scts, m.recipient, g.state, m.valid_ms, a.done_at
	FROM attempt a JOIN message m ON m.seq = a.message JOIN segment g ON g.message = a.message AND g.n = a.n `

func candidates(tx *sqlite.Tx, ra, where string, args ...any) ([]candidate, error) {
	rows, err := tx.Query(candidateSQL+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []candidate
	best := 1
	for rows.Next() {
		var c candidate
		if err := rows.Scan(&c.id, &c.message, &c.n, &c.iccid, &c.phase, &c.outcome, &c.mr, &c.prevMR, &c.gateAt, &c.scts,
			&c.recipient, &c.segment, &c.validMS, &c.doneAt); err != nil {
			return nil, err
		}
		c.fit = sameNumber(ra, c.recipient)
		switch {
		case c.fit > best:
			best, list = c.fit, append(list[:0], c)
		case c.fit == best:
			list = append(list, c)
		}
	}
	return list, rows.Err()
}

// match finds the attempt that a report is of (reliability §2.6): SIM, number
// and MR must agree; among several the exact SCTS decides, else the nearest
// time. nil: none, or not yet. other says that it was found on another SIM.
func (s *Store) match(tx *sqlite.Tx, rep report) (a *attempt, other bool, err error) {
	span := near.Milliseconds()
	if !s.clock.Trusted() {
		span = far.Milliseconds()
	}
	when := rep.scts
	if when == 0 {
		when = rep.arrive
	}
	// Accepted attempts of this SIM with this MR.
	known, err := candidates(tx, rep.recipient,
		`WHERE a.iccid = ? AND a.mr = ? AND a.gate_at BETWEEN ? AND ? AND a.outcome IN ('accepted','duplicate')`,
		rep.iccid, rep.mr, rep.arrive-wrapBack.Milliseconds(), rep.arrive+span)
	if err != nil {
		return nil, false, err
	}
	if c := pick(known, rep.scts, when, span); c != nil {
		return &c.attempt, false, nil
	}
	// One whose answer is still awaited may be its own: wait for that.
	open, err := candidates(tx, rep.recipient, `WHERE a.iccid = ? AND a.phase = 'prepared'`, rep.iccid)
	if err != nil || len(open) > 0 {
		return nil, false, err
	}
	if c, err := s.matchLost(tx, rep, when); c != nil || err != nil {
		return c, false, err
	}
	if c := stray(known, rep); c != nil {
		return &c.attempt, false, nil
	}
	// On another SIM only when there is no doubt.
	others, err := candidates(tx, rep.recipient,
		`WHERE a.gate_at BETWEEN ? AND ? AND a.mr = ? AND a.iccid <> ? AND a.outcome IN ('accepted','duplicate')`,
		when-span, when+span, rep.mr, rep.iccid)
	if err != nil || len(others) != 1 || others[0].final() || others[0].fit < 3 {
		return nil, false, err
	}
	return &others[0].attempt, true, nil
}

// pick chooses among accepted attempts with the right number and MR: the exact
// SCTS of +CMGS, else the gate nearest to the SCTS; of equals the oldest that
// is still open.
func pick(list []candidate, scts, when, span int64) *candidate {
	var best *candidate
	for i := range list {
		c := &list[i]
		if scts != 0 && c.scts == scts {
			return c
		}
		d := c.away(when)
		if d > span {
			continue
		}
		if best == nil {
			best = c
			continue
		}
		switch b := best.away(when); {
		case d < b && (!c.final() || best.final()),
			best.final() && !c.final(),
			d == b && c.id < best.id && c.final() == best.final():
			best = c
		}
	}
	return best
}

// stray takes an accepted attempt whose time does not fit at all: some modems
// and test networks stamp nonsense. Only open ones; of several the last.
func stray(list []candidate, rep report) *candidate {
	var best *candidate
	for i := range list {
		c := &list[i]
		if c.final() || c.fit < 3 || c.gateAt > rep.arrive+near.Milliseconds() {
			continue
		}
		if best == nil || c.gateAt > best.gateAt {
			best = c
		}
	}
	return best
}

// matchLost finds the attempt whose answer was lost: the SCTS must lie in its
// window, and its MR be the one after the SIM's last, or there must be no other
// candidate.
func (s *Store) matchLost(tx *sqlite.Tx, rep report, when int64) (*attempt, error) {
	lost, err := candidates(tx, rep.recipient,
		`WHERE a.iccid = ? AND a.mr = -1 AND a.outcome IN ('ambiguous','accepted') AND a.gate_at BETWEEN ? AND ?`,
		rep.iccid, when-maxValid.Milliseconds(), when+early.Milliseconds())
	if err != nil {
		return nil, err
	}
	var all, expected []candidate
	for _, c := range lost {
		if c.final() || when > c.gateAt+c.validMS {
			continue
		}
		all = append(all, c)
		if c.prevMR >= 0 && (c.prevMR+1)%256 == rep.mr {
			expected = append(expected, c)
		}
	}
	if c := sole(expected, when); c != nil {
		return &c.attempt, nil
	}
	if c := sole(all, when); c != nil {
		return &c.attempt, nil
	}
	return nil, nil
}

// sole is the attempt when there is no doubt of the segment: the nearest in
// time of those that tried the same one.
func sole(list []candidate, when int64) *candidate {
	var best *candidate
	for i := range list {
		c := &list[i]
		if c.message != list[0].message || c.n != list[0].n {
			return nil
		}
		if best == nil || distance(c.gateAt, when) < distance(best.gateAt, when) {
			best = c
		}
	}
	return best
}

// away is how far an SCTS, which has whole seconds, lies from the submission:
// the centre stamps between the gate and the answer.
func (c *candidate) away(when int64) int64 {
	const second = 999
	switch {
	case when+second < c.gateAt:
		return c.gateAt - when
	case c.doneAt > 0 && when > c.doneAt:
		return when - c.doneAt
	case c.doneAt == 0:
		return distance(c.gateAt, when)
	}
	return 0
}

func distance(a, b int64) int64 {
	if a > b {
		return a - b
	}
	return b - a
}

// sameNumber says how well two numbers agree: 3 all digits, 2 the last eight, 1
// the last six, 0 not. Networks give TP-RA with and without country code.
func sameNumber(a, b string) int {
	a, b = digits(a), digits(b)
	switch {
	case a == "" || b == "":
		return 0
	case a == b:
		return 3
	case len(a) >= 8 && len(b) >= 8 && a[len(a)-8:] == b[len(b)-8:]:
		return 2
	case len(a) >= 6 && len(b) >= 6 && a[len(a)-6:] == b[len(b)-6:]:
		return 1
	}
	return 0
}

func digits(number string) string {
	number = strings.TrimPrefix(number, "+")
	if len(number) > 8 {
		number = strings.TrimPrefix(number, "00")
	}
	for i := range len(number) {
		if number[i] < '0' || number[i] > '9' {
			return ""
		}
	}
	return number
}
