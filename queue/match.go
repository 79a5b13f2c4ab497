package queue

import (
	"slices"
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
	past      bool // it tried an earlier edition of the segment
	validMS   int64
	doneAt    int64
	fit       int // of the number: 3 exact, 2 last eight digits, 1 last six
}

// final says that a report would change nothing.
func (c candidate) final() bool {
	return c.past || c.segment == SegmentDelivered || c.segment == SegmentUndelivered
}

const candidateSQL = `SELECT a.id, a.message, a.n, a.iccid, a.phase, a.outcome, a.mr, a.prev_mr, a.gate_at, a.scts, m.recipient, g.state, m.valid_ms, a.done_at,
	a.edition, a.edition <> m.edition
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
		torn, err := Scanned(rows, &c.id, &c.message, &c.n, &c.iccid, &c.phase, &c.outcome, &c.mr, &c.prevMR, &c.gateAt, &c.scts,
			&c.recipient, &c.segment, &c.validMS, &c.doneAt, &c.edition, &c.past)
		if err != nil {
			return nil, err
		}
		if torn {
			continue // nobody can say what a damaged one was
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

// found is what match found: nil, an attempt on the report's SIM, or on
// another. learnt says that the centre's clock is better known than before, so
// that other reports may find theirs.
type found struct {
	*attempt
	other, learnt bool
}

// match finds the attempt that a report is of (reliability §2.6): SIM, number
// and MR must agree; among several the exact SCTS decides, else the nearest
// time, by the centre's clock as far as it is known. Without an attempt: none,
// or not yet.
func (s *Store) match(tx *sqlite.Tx, rep report) (found, error) {
	span := near.Milliseconds()
	if !s.clock.Trusted() {
		span = far.Milliseconds()
	}
	offset, known, err := clockOffset(tx, rep.iccid)
	if err != nil {
		return found{}, err
	}
	when := rep.scts - offset
	if rep.scts == 0 {
		when = rep.arrive
	}
	// Accepted attempts of this SIM with this MR.
	list, err := candidates(tx, rep.recipient,
		`WHERE a.iccid = +? AND a.mr = +? AND a.gate_at BETWEEN +? AND +? AND a.outcome IN ('accepted','duplicate')`,
		rep.iccid, rep.mr, rep.arrive-wrapBack.Milliseconds(), rep.arrive+span)
	if err != nil {
		return found{}, err
	}
	c := pick(list, rep.scts, when, span, known)
	if c != nil && (c.gave(rep) || c.away(when) <= learnStep) {
		return s.learn(tx, rep, c, len(list) == 1)
	}
	lost, err := lostAnswers(tx, rep)
	if err != nil {
		return found{}, err
	}
	open, err := candidates(tx, rep.recipient, `WHERE a.iccid = +? AND a.phase = 'prepared'`, rep.iccid)
	if err != nil {
		return found{}, err
	}
	if c != nil && len(open) == 0 && !nearer(lost, c, when, rep.mr, known) {
		return s.learn(tx, rep, c, len(list) == 1)
	}
	// One whose answer is still awaited may be its own: wait for that.
	if len(open) > 0 {
		return found{}, nil
	}
	if known { // then the stamp lies between the gate and the answer of one alone
		if c = lostAt(lost, rep.mr, when, learnStep); c != nil {
			return found{attempt: &c.attempt}, nil
		}
		if slices.ContainsFunc(lost, func(c candidate) bool { return c.away(when) <= learnStep }) {
			return found{}, nil // of one of several: an earlier one has nothing to do with it
		}
	}
	if c = lostAt(lost, rep.mr, when, span); c != nil {
		return found{attempt: &c.attempt}, nil
	}
	// By a clock that is known it is of a lost one, and only which is in doubt:
	// then no other has it, and nothing is learnt from it.
	doubt := known && slices.ContainsFunc(lost, func(c candidate) bool { return c.away(when) <= span })
	if c = stray(list, rep); c != nil && !doubt {
		return s.learn(tx, rep, c, len(list) == 1)
	}
	if c = lostAt(lost, rep.mr, when, 0); c != nil && !doubt {
		return found{attempt: &c.attempt}, nil
	}
	if c = lostBefore(lost, rep); !known && c != nil {
		return found{attempt: &c.attempt}, nil
	}
	// On another SIM only when there is no doubt.
	others, err := candidates(tx, rep.recipient,
		`WHERE a.gate_at BETWEEN +? AND +? AND a.mr = +? AND a.iccid <> +? AND a.outcome IN ('accepted','duplicate')`,
		when-span, when+span, rep.mr, rep.iccid)
	if err != nil || len(others) != 1 || others[0].fit < 3 {
		return found{}, err
	}
	return found{attempt: &others[0].attempt, other: true}, nil
}

// pick chooses among accepted attempts with the right number and MR: the exact
// SCTS of +CMGS, else the gate nearest to the SCTS, whether or not it has had its
// report; of equals the oldest that is still open. A modem that counts anew gives
// two the same MR within minutes: by a centre's clock that is not known, only a
// time that fits exactly tells them apart.
func pick(list []candidate, scts, when, span int64, known bool) *candidate {
	var best *candidate
	within := 0
	for i := range list {
		c := &list[i]
		if scts != 0 && c.scts == scts {
			return c
		}
		d := c.away(when)
		if d > span {
			continue
		}
		if within++; best == nil {
			best = c
			continue
		}
		switch b := best.away(when); {
		case d < b, d == b && best.final() && !c.final(),
			d == b && c.id < best.id && c.final() == best.final():
			best = c
		}
	}
	if within > 1 && !known && best.away(when) > 0 {
		return nil
	}
	return best
}

// nearer says that a report is rather of an attempt whose answer was lost than of
// an accepted one with its MR: the modem has counted anew in between.
func nearer(lost []candidate, c *candidate, when int64, mr int, known bool) bool {
	return slices.ContainsFunc(lost, func(l candidate) bool {
		expected := l.prevMR >= 0 && (l.prevMR+1)%256 == mr
		return l.away(when) < c.away(when) && (expected || known && c.away(when) > learnFrom)
	})
}

// gave says that the attempt's +CMGS had the report's SCTS.
func (c *candidate) gave(rep report) bool { return rep.scts != 0 && c.scts == rep.scts }

// stray takes an accepted attempt whose time does not fit: the centre's clock
// is off, or stamps nonsense. Only open ones. Of several the last when the stamp
// is nonsense; else none: the report waits until one that can only be of one
// attempt has told how far the clock is off.
func stray(list []candidate, rep report) *candidate {
	var best *candidate
	for i := range list {
		c := &list[i]
		if c.final() || c.fit < 3 || c.gateAt > rep.arrive+near.Milliseconds() {
			continue
		}
		if best != nil && credible(rep) {
			return nil
		}
		if best == nil || c.gateAt > best.gateAt {
			best = c
		}
	}
	return best
}

// credible says that the stamp may be of a clock, though of one that is off.
func credible(rep report) bool {
	return rep.scts != 0 && distance(rep.scts, rep.arrive) <= StampWithin.Milliseconds()
}

// lostAnswers are the attempts to a report's number whose answer was lost.
func lostAnswers(tx *sqlite.Tx, rep report) ([]candidate, error) {
	list, err := candidates(tx, rep.recipient,
		`WHERE a.iccid = +? AND a.mr = -1 AND a.outcome IN ('ambiguous','accepted') AND a.gate_at BETWEEN +? AND +?`,
		rep.iccid, rep.arrive-2*maxValid.Milliseconds(), rep.arrive+far.Milliseconds())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, candidate.final), nil
}

// lostBefore is the lost attempt that a report is of whose stamp says nothing,
// because nobody knows yet how far the centre's clock is off: the only one to
// just this number whose MR was expected and that could still be delivered.
func lostBefore(list []candidate, rep report) *candidate {
	list = slices.DeleteFunc(expected(list, rep.mr), func(c candidate) bool {
		return c.fit < 3 || rep.arrive < c.gateAt || rep.arrive > c.gateAt+c.validMS+near.Milliseconds()
	})
	return sole(list, rep.arrive)
}

// expected are those whose MR would be the one after the SIM's last.
func expected(list []candidate, mr int) []candidate {
	return slices.DeleteFunc(slices.Clone(list), func(c candidate) bool { return c.prevMR < 0 || (c.prevMR+1)%256 != mr })
}

// lostAt is the lost attempt that a report of that time is of: of those within
// span of it (0: in whose validity it lies) the one with the expected MR, or
// the only one.
func lostAt(list []candidate, mr int, when, span int64) *candidate {
	list = slices.DeleteFunc(slices.Clone(list), func(c candidate) bool {
		return when < c.gateAt-early.Milliseconds() || when > c.gateAt+c.validMS || span > 0 && c.away(when) > span
	})
	if c := sole(expected(list, mr), when); c != nil {
		return c
	}
	return sole(list, when)
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
func (c *candidate) away(when int64) int64 { return distance(c.ahead(when), 0) }

// ahead is away with its sign: less than 0 before the gate.
func (c *candidate) ahead(when int64) int64 {
	const second = 999
	switch {
	case c.doneAt == 0, when+second < c.gateAt:
		return when - c.gateAt
	case when > c.doneAt:
		return when - c.doneAt
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
