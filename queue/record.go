package queue

import (
	"database/sql"
	"fmt"
	"slices"
	"time"

	"recado/queue/sqlite"
)

// record is a message as transitions see it, inside the writer's transaction.
type record struct {
	Message
	wish, claimedBy, avoidSIM                string
	keyID                                    string
	preferUntil                              int64  // steady ms: SIM is only preferred until then; 0: see Message.Preferred
	hold                                     string // see HoldAll: the reason; nothing puts it back into the queue
	lost                                     int    // attempts whose answer was lost, …
	edition, lostBefore                      int    // … of them those of earlier editions of the segments
	avoidUntil, notBefore, decideAt, validMS int64
	endedAt                                  int64 // 0 not at its end, -1 at an untrusted time
	clock                                    dated // that its times are of
	sum                                      int64
	parts                                    int   // segments that it was stored with
	torn                                     bool  // a value of its row could not be read
	was                                      State // as loaded: the guard of save
	wasNext                                  int
	changed                                  []bool                // segments to save
	kept                                     [columnGroups]columns // as loaded, or as save wrote them
}

const messageColumns = `seq, id, recipient, sender, text, class, state, reason, reference, encoding, delivery, report, flash,
	sim, campaign, attempts, possible_duplicate, failures, created_at, send_at, expires_at, sent_at, delivered_at,
	error_code, error_class, error_detail,
	wish, claimed_by, avoid_sim, ambiguous, edition, ambiguous_before, avoid_until, not_before, decide_at, valid_ms, hold,
	segments, crc, ended_at, text_deleted_at, clock_boot, clock_line, key_id, bucket, prefer_until`

// scan reads messageColumns. What is damaged in the row does not hinder it: see
// look.
func (r *record) scan(rows *sql.Rows) (err error) {
	var created, send, expires, sent, delivered, blanked int64
	var e Error
	r.torn, err = Scanned(rows, &r.Seq, &r.ID, &r.To, &r.From, &r.Text, &r.Class, &r.State, &r.Reason, &r.Reference, &r.Encoding, &r.Delivery, &r.Report, &r.Flash,
		&r.SIM, &r.Campaign, &r.Attempts, &r.PossibleDuplicate, &r.Failures, &created, &send, &expires, &sent, &delivered,
		&e.Code, &e.Class, &e.Detail,
		&r.wish, &r.claimedBy, &r.avoidSIM, &r.lost, &r.edition, &r.lostBefore, &r.avoidUntil, &r.notBefore, &r.decideAt, &r.validMS, &r.hold,
		&r.parts, &r.sum, &r.endedAt, &blanked, &r.clock.Boot, &r.clock.Line, &r.keyID, &r.Bucket, &r.preferUntil)
	if err != nil {
		return err
	}
	r.TextDeletedAt, r.Preferred = at(blanked), r.preferUntil > 0
	r.Damaged = r.torn || r.sum != messageSum(r.Seq, r.ID, r.To, r.Class, r.Text)
	r.CreatedAt, r.SendAt, r.ExpiresAt, r.SentAt, r.DeliveredAt = at(created), at(send), at(expires), at(sent), at(delivered)
	if e != (Error{}) {
		r.Error = &e
	}
	r.was, r.kept = r.State, r.indexed()
	return nil
}

const segmentColumns = `message, n, state, tpdu, mr, sent_at, report_at, report_status, crc`

func scanSegment(rows *sql.Rows) (message int64, g Segment, err error) {
	var sent, report, sum int64
	torn, err := Scanned(rows, &message, &g.N, &g.State, &g.TPDU, &g.MR, &sent, &report, &g.ReportStatus, &sum)
	g.SentAt, g.ReportAt = at(sent), at(report)
	g.damaged = torn || sum != segmentSum(message, g.N, g.TPDU)
	return message, g, err
}

// load reads a message with its segments; ErrNotFound.
func load(tx *sqlite.Tx, seq int64) (*record, error) {
	return loadRow(tx, `SELECT `+messageColumns+` FROM message WHERE seq = ?`, seq)
}

func loadByID(tx *sqlite.Tx, id string) (*record, error) {
	return loadRow(tx, `SELECT `+messageColumns+` FROM message WHERE id = ?`, id)
}

func loadRow(tx *sqlite.Tx, query string, key any) (*record, error) {
	r := &record{}
	if err := r.find(tx, query, key); err != nil {
		return nil, err
	}
	rows, err := tx.Query(`SELECT `+segmentColumns+` FROM segment WHERE message = +? ORDER BY n`, r.Seq)
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		_, g, err := scanSegment(rows)
		if err != nil {
			return nil, fmt.Errorf("read segments: %w", err)
		}
		r.Segments = append(r.Segments, g)
		r.Damaged = r.Damaged || g.damaged
	}
	r.Damaged = r.Damaged || len(r.Segments) != r.parts
	r.changed = make([]bool, len(r.Segments))
	r.wasNext = r.next()
	return r, rows.Err()
}

// find reads the message's row; ErrNotFound.
func (r *record) find(tx *sqlite.Tx, query string, key any) error {
	rows, err := tx.Query(query, key)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		return ErrNotFound
	}
	if err := r.scan(rows); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// segment n, to be changed. One that is not there, because the message is
// damaged, takes the change and is forgotten: ask has first where that matters.
func (r *record) segment(n int) *Segment {
	i := r.index(n)
	if i < 0 {
		return &Segment{N: n}
	}
	r.changed[i] = true
	return &r.Segments[i]
}

// has says that segment n is there.
func (r *record) has(n int) bool { return r.index(n) >= 0 }

func (r *record) index(n int) int {
	return slices.IndexFunc(r.Segments, func(g Segment) bool { return g.N == n })
}

// out says that the network has the segment.
func (g Segment) out() bool {
	return g.State == SegmentSent || g.State == SegmentDelivered || g.State == SegmentUndelivered
}

func (r *record) count(is func(Segment) bool) (n int) {
	for _, g := range r.Segments {
		if is(g) {
			n++
		}
	}
	return n
}

func (r *record) left() int       { return r.count(Segment.out) }
func (r *record) allOut() bool    { return r.left() == max(len(r.Segments), r.parts) }
func (r *record) open() bool      { return r.any(SegmentSending) }
func (r *record) unsettled() bool { return r.any(SegmentUncertain) }

func (r *record) any(s SegmentState) bool {
	return slices.ContainsFunc(r.Segments, func(g Segment) bool { return g.State == s })
}

// next is the segment to send next, from 1: the first that the network does
// not have. len+1 when it has all.
func (r *record) next() int {
	for _, g := range r.Segments {
		if !g.out() {
			return g.N
		}
	}
	return len(r.Segments) + 1
}

// bound says that a segment of a long message has left, or may have: the rest
// must follow on the same SIM, else the phone cannot put it together.
func (r *record) bound() bool {
	return len(r.Segments) > 1 && (r.left() > 0 || r.lost > r.lostBefore)
}

// over says that its validity has ended for certain: by a firm clock, or by the
// steady one, which has passed it since the message was accepted.
func (r *record) over(n instant) bool {
	return !r.ExpiresAt.After(n.now) && (n.firm || n.trusted && r.SendAt.IsZero() &&
		r.clock.Boot == n.boot && distance(r.clock.Line, n.line()) <= redateOver.Milliseconds())
}

// final says that nothing moves the message but evidence.
func (s State) final() bool {
	switch s {
	case Sent, Delivered, Undelivered, Failed, Expired, Cancelled:
		return true
	}
	return false
}

// back puts the message where a line finds it again: queued, or, when a
// segment has left, sending and unclaimed. after is when; zero: now.
func (r *record) back(after time.Time) {
	r.State = Queued
	if r.left() > 0 {
		r.State = Sending
	}
	r.Reason = ""
	r.claimedBy = ""
	r.decideAt = 0
	r.notBefore = ms(after)
	if !r.bound() && (!r.Preferred || !after.IsZero()) {
		r.letGo()
	}
}

// settle follows the segments: the message is the least of them.
func (r *record) settle(when time.Time) {
	switch {
	case r.open(), r.State == Cancelled:
	case r.unsettled():
		r.State, r.claimedBy, r.notBefore = Uncertain, "", 0
	case r.allOut():
		r.Reason, r.Error = "", nil
		r.State = Sent
		switch {
		case r.any(SegmentUndelivered):
			r.State = Undelivered
		case !r.any(SegmentSent):
			r.State = Delivered
			if r.DeliveredAt.IsZero() {
				r.DeliveredAt = when
			}
		}
		if r.SentAt.IsZero() {
			r.SentAt = when
		}
	case r.State == Uncertain:
		r.back(time.Time{})
	case r.State == Queued || r.State == Sending:
		if r.left() > 0 {
			r.State = Sending
		}
		if r.next() != r.wasNext { // a line that has claimed it would send the wrong segment
			r.claimedBy = ""
		}
	}
}

// note keeps a line of the message's history.
func (s *Store) note(tx *sqlite.Tx, seq int64, event, detail string) error {
	_, err := tx.Exec(`INSERT INTO history (message, at, event, detail) VALUES (?, ?, ?, ?)`, seq, ms(s.clock.Now()), event, detail)
	if err != nil {
		return fmt.Errorf("keep history: %w", err)
	}
	return nil
}
