package queue

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recado/queue/sqlite"
)

// CanaryState is where a canary is.
type CanaryState string

const (
	CanaryWaiting CanaryState = "waiting" // the network does not have it yet
	CanaryOut     CanaryState = "out"     // the network accepted it, it has not arrived
	CanaryArrived CanaryState = "arrived" // final
	// CanaryMissed: accepted, or its answer was lost, and it did not arrive in
	// time. One that arrives all the same becomes arrived.
	CanaryMissed  CanaryState = "missed"
	CanaryRefused CanaryState = "refused" // final: the SIM's modem or the network did not take it
	CanaryVoid    CanaryState = "void"    // final: it never left, for reasons that say nothing of the SIM
)

// Who asked for a canary, beside people and applications.
const (
	CanarySchedule  = "auto:schedule"
	CanarySuspicion = "auto:suspicion"
	CanaryConfirm   = "auto:confirm" // another one did not arrive: whose fault was it?
	CanaryProbe     = "auto:probe"   // does a SIM in quarantine work again?
)

// CanaryByItself says of who asked for a canary that it was the box itself, and
// no person or application.
func CanaryByItself(who string) bool { return strings.HasPrefix(who, "auto:") }

// CanaryReference is the reference of the canaries' messages, and their key id:
// what tells them from people's.
const CanaryReference = "canary"

// KindCanary is the kind of a canary's TPDU among the raw ones that came in.
const KindCanary = "canary"

// Canary is a message that one SIM of this box texts another, or itself, to see
// whether it gets there. Its times are by the steady clock.
type Canary struct {
	ID       int64
	Token    string // in its text: it is known by it when it arrives
	From, To string // ICCIDs
	Message  string // its message's id
	AskedBy  string // a person or application, or CanarySchedule, …
	State    CanaryState
	// Detail says in a code why it ended so: see the Detail constants, or the
	// error's code ("cms_38").
	Detail string
	// StartedAt and EndedAt are times of day; EndedAt is zero while it may yet
	// arrive in time.
	StartedAt, EndedAt time.Time
	// How long after the start the network had accepted it, the status report had
	// come, and it had arrived; -1 not yet, or never.
	Accepted, Reported, Arrived time.Duration
	// MessageState, ErrorCode and ErrorClass are its message's, and ReportStatus
	// the TP-ST of its last report (-1 none), as long as the message is kept.
	MessageState          State
	ErrorCode, ErrorClass string
	ErrorDetail           string
	ReportStatus          int
	// Start and Changed are the start and the last step by the steady clock.
	Start, Changed time.Time
}

// Details of canaries that ended.
const (
	CanaryLate        = "late"        // arrived after it had been given up
	CanaryNoReport    = "no_report"   // missed, and nobody reported anything
	CanaryDelivered   = "delivered"   // missed, though the network reported it delivered
	CanaryUndelivered = "undelivered" // missed, and the network reported that it could not be delivered
	CanaryUnconfirmed = "unconfirmed" // missed, and the answer to its submission was lost
	CanaryOtherSIM    = "other_sim"   // void: it arrived, but on another SIM of this box: the number is not the SIM's
	CanaryBadNumber   = "bad_number"  // void: the network refused the number
	CanaryPaused      = "paused"      // void: sending was paused
	CanaryNotReady    = "not_ready"   // void: the SIM that was to send, or to receive, was not ready
	CanaryNoTurn      = "no_turn"     // void: it did not get its turn (limits, or longer messages before it)
	CanaryCancelled   = "cancelled"   // void: somebody cancelled, held or deleted its message
	CanaryNotTaken    = "not_taken"   // refused: the modem never took it
)

// ErrCanaryRunning: one from this SIM to that one is on its way.
var ErrCanaryRunning = errors.New("a canary of these two SIMs is on its way already: wait until it has ended")

const (
	// canaryValid is how long the service centre keeps a canary for a SIM that is
	// not there. One that is late still proves that its SIMs work.
	canaryValid = 15 * time.Minute
	// Canaries are kept so long, and at most so many.
	keepCanaries = 180 * day24
	mostCanaries = 20_000
	// canaryMark begins the token in the text.
	canaryMark = "RC-"
	tokenLen   = 13
)

// canaryText is in both languages: a number that was entered wrongly is
// somebody's.
func canaryText(token string) string {
	return "Recado: prueba de linea, no conteste. Line test, do not answer. " + canaryMark + token
}

// CanaryOf finds a canary's token in a text; "" when there is none.
func CanaryOf(text string) (token string) {
	i := strings.LastIndex(text, canaryMark)
	if i < 0 || len(text) < i+len(canaryMark)+tokenLen {
		return ""
	}
	token = text[i+len(canaryMark):][:tokenLen]
	for _, c := range []byte(token) {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return ""
		}
	}
	return token
}

// StartCanary lets the SIM from text the SIM to, whose number is given in any
// form. It is an ordinary message that only from may send: it counts in the
// SIM's limits and obeys every pause. It is of class normal, so that
// nothing of the disk's reserve is used, but
// goes in the lane of alerts: behind a campaign it would measure the queue. It
// is never sent twice, no event tells of it, and nobody finds it among the messages
// or their counts. who asked is a person, or CanarySchedule and the like. It
// errs with ErrCanaryRunning, and with *Invalid (field "number") when nothing
// can be sent to the number.
func (s *Store) StartCanary(ctx context.Context, from, to, number, who string) (Canary, error) {
	// A SIM may be of another country than the box's people write to.
	e164, no := NewNumbers(s.numbers.Country(), true).Normalize(number)
	if no != nil {
		return Canary{}, &Invalid{"number", "nothing can be sent to the number that is kept for this SIM: enter the right one", nil}
	}
	token := rand.Text()[:tokenLen]
	d, err := s.draft(Request{To: []string{e164}, Text: canaryText(token), Class: Normal, Encoding: "gsm7", SIM: from,
		ValidFor: canaryValid, Delivery: AtMostOnce, Report: true, Reference: CanaryReference, KeyID: CanaryReference})
	if err != nil {
		return Canary{}, fmt.Errorf("start a canary: %w", err)
	}
	d.policy.lane = policies[Alert].lane
	out, rejected, err := s.compose(ctx, d, []string{e164}, nil)
	if err != nil {
		return Canary{}, fmt.Errorf("start a canary: %w", err)
	}
	if len(rejected) > 0 {
		return Canary{}, &Invalid{"number", rejected[0].Detail, nil}
	}
	if err := s.places(ctx, d, out); err != nil {
		return Canary{}, fmt.Errorf("start a canary: %w", err)
	}
	o := &out[0]
	var id int64
	err = s.db.WriteNew(ctx, sqlite.Ordinary, false, func(tx *sqlite.Tx) error {
		var live int
		if err := tx.QueryRow(`SELECT count(*) FROM canary WHERE ended_at = 0 AND from_iccid = ? AND to_iccid = ?`, from, to).Scan(&live); err != nil {
			return err
		}
		if live > 0 {
			return ErrCanaryRunning
		}
		var err error
		if o.Seq, err = nextSeq(tx); err != nil {
			return err
		}
		if err := s.insert(tx, d, o); err != nil {
			return err
		}
		// No route chooses among SIMs here, and nobody is woken by it.
		if _, err := tx.Exec(`UPDATE message SET bucket = 0 WHERE seq = ?`, o.Seq); err != nil {
			return err
		}
		err = tx.QueryRow(`INSERT INTO canary (token, from_iccid, to_iccid, message, asked_by, started_at, state) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			token, from, to, o.ID, who, d.steady, string(CanaryWaiting)).Scan(&id)
		seq := o.Seq
		tx.AfterCommit(func() {
			s.canaries.add(seq)
			s.readied()
		})
		return err
	})
	if err != nil {
		return Canary{}, fmt.Errorf("start a canary: %w", err)
	}
	return s.Canary(ctx, id)
}

const canarySQL = `SELECT c.id, c.token, c.from_iccid, c.to_iccid, c.message, c.asked_by, c.state, c.detail,
		c.started_at, c.submitted_at, c.reported_at, c.arrived_at, c.ended_at,
		coalesce(m.state, ''), coalesce(m.error_code, ''), coalesce(m.error_class, ''), coalesce(m.error_detail, ''), coalesce(g.report_status, -1)
	FROM canary c LEFT JOIN message m ON m.id = c.message LEFT JOIN segment g ON g.message = m.seq AND g.n = 1 `

func (s *Store) readCanaries(ctx context.Context, rest string, args ...any) ([]Canary, error) {
	n := s.instant()
	rows, err := s.db.Read().QueryContext(ctx, canarySQL+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read canaries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Canary{}
	for rows.Next() {
		var c Canary
		var started, submitted, reported, arrived, ended int64
		if _, err := Scanned(rows, &c.ID, &c.Token, &c.From, &c.To, &c.Message, &c.AskedBy, &c.State, &c.Detail,
			&started, &submitted, &reported, &arrived, &ended, &c.MessageState, &c.ErrorCode, &c.ErrorClass, &c.ErrorDetail, &c.ReportStatus); err != nil {
			return nil, fmt.Errorf("read canaries: %w", err)
		}
		after := func(when int64) time.Duration {
			if when <= 0 {
				return -1
			}
			return time.Duration(max(when-started, 0)) * time.Millisecond
		}
		c.Accepted, c.Reported, c.Arrived = after(submitted), after(reported), after(arrived)
		c.StartedAt = at(ms(n.day(started)))
		if ended > 0 {
			c.EndedAt = at(ms(n.day(ended)))
		}
		c.Start, c.Changed = at(started), at(max(started, submitted, reported, arrived, ended))
		list = append(list, c)
	}
	return list, rows.Err()
}

// Canary by its id; ErrNotFound.
func (s *Store) Canary(ctx context.Context, id int64) (Canary, error) {
	list, err := s.readCanaries(ctx, `WHERE c.id = ?`, id)
	if err != nil {
		return Canary{}, err
	}
	if len(list) == 0 {
		return Canary{}, ErrNotFound
	}
	return list[0], nil
}

// CanaryFilter narrows Canaries. Zero fields do not.
type CanaryFilter struct {
	SIM    string // ICCID that sent it or was to receive it
	State  CanaryState
	Limit  int // 0 is 50, at most 500
	Cursor string
}

// Canaries lists them, newest first; next is "" at the end. It errs with
// *Invalid for a cursor that it did not give.
func (s *Store) Canaries(ctx context.Context, f CanaryFilter) (list []Canary, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = pageDefault
	}
	limit = min(limit, pageMost)
	cond, args := []string{"1"}, []any{}
	if f.Cursor != "" {
		before, err := strconv.ParseInt(f.Cursor, 10, 64)
		if err != nil {
			return nil, "", &Invalid{"cursor", "take it from the page before", f.Cursor}
		}
		cond, args = append(cond, "c.id < ?"), append(args, before)
	}
	if f.SIM != "" {
		cond, args = append(cond, "(c.from_iccid = ? OR c.to_iccid = ?)"), append(args, f.SIM, f.SIM)
	}
	if f.State != "" {
		cond, args = append(cond, "c.state = ?"), append(args, string(f.State))
	}
	list, err = s.readCanaries(ctx, `WHERE `+strings.Join(cond, " AND ")+` ORDER BY c.id DESC LIMIT `+strconv.Itoa(limit+1), args...)
	if err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].ID, 10)
	}
	return list, next, nil
}

// CanariesSince are those that began at a time of the steady clock or later, and
// all that have not ended, oldest first.
func (s *Store) CanariesSince(ctx context.Context, steady time.Time) ([]Canary, error) {
	return s.readCanaries(ctx, `WHERE c.ended_at = 0 OR c.started_at >= ? ORDER BY c.id`, ms(steady))
}

// CanaryWorked says whether one that the SIM texted to itself has ever arrived,
// or of no SIM in particular (""): not every network carries those.
func (s *Store) CanaryWorked(ctx context.Context, iccid string) (bool, error) {
	var n int
	err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM canary WHERE from_iccid = to_iccid AND arrived_at > 0 AND (from_iccid = ?1 OR ?1 = ''))`, iccid).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read canaries: %w", err)
	}
	return n > 0, nil
}

// EndCanary gives one up: missed, refused or void. It does nothing to one that
// has ended. A message that has not left is cancelled.
func (s *Store) EndCanary(ctx context.Context, id int64, state CanaryState, detail string) error {
	var message string
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		message = ""
		err := tx.QueryRow(`UPDATE canary SET state = ?, detail = ?, ended_at = ? WHERE id = ? AND ended_at = 0 RETURNING message`,
			string(state), detail, s.instant().steady, id).Scan(&message)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		tx.AfterCommit(s.canaried)
		return err
	})
	if err != nil {
		return fmt.Errorf("end a canary: %w", err)
	}
	if message != "" && (state == CanaryVoid || state == CanaryRefused) {
		if _, err := s.Cancel(ctx, message); err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("end a canary: %w", err)
		}
	}
	return nil
}

// PruneCanaries deletes what is too old, or too much, to be of use.
func (s *Store) PruneCanaries(ctx context.Context) error {
	before := s.instant().steady - keepCanaries.Milliseconds()
	var due int
	err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM canary WHERE started_at < ? AND ended_at > 0)
		OR (SELECT count(*) FROM canary) > ?`, before, mostCanaries).Scan(&due)
	if err == nil && due > 0 {
		err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`DELETE FROM canary WHERE ended_at > 0 AND (started_at < ?
				OR id <= (SELECT id FROM canary ORDER BY id DESC LIMIT 1 OFFSET ?))`, before, mostCanaries)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("delete old canaries: %w", err)
	}
	return nil
}
