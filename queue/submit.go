package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"recado/modem/pdu"
	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// draft is a Request that was found acceptable, with its defaults filled in.
type draft struct {
	Request
	policy  policy
	options pdu.Options
	measure pdu.Measure
	instant
	state   State
	sendAt  time.Time // zero: at once
	expires time.Time
	// preferred is what prefers each SIM, in the transaction that stores it.
	preferred queues
}

// outgoing is one message of a draft before it is stored.
type outgoing struct {
	Message
	ref   uint8 // the concatenation reference that its TPDUs carry
	place place
	knows string // the SIM that its recipient knows; "" none that it may leave on
}

// Submit accepts a text for its recipients, one message each, and returns when
// they are on disk, all in one transaction. It errs with *Invalid for what no
// recipient could get, with ErrAllRejected (and Result.Rejected) when no number
// is usable, with ErrMismatch when the key was used with another body. With a
// used key and the same body Result.Replayed is the kept answer.
func (s *Store) Submit(ctx context.Context, r Request, key *Idempotency) (Result, error) {
	d, err := s.draft(r)
	if err != nil {
		return Result{}, err
	}
	numbers, rejected := s.recipients(r.To)
	out, rejected, err := s.compose(ctx, d, numbers, rejected)
	if err != nil {
		return Result{}, err
	}
	if err := s.places(ctx, d, out); err != nil {
		return Result{}, err
	}
	var res Result
	err = s.db.WriteNew(ctx, d.laneOf(len(out)), d.Class == Alert, func(tx *sqlite.Tx) error {
		res = Result{Rejected: rejected}
		d.preferred = queues{}
		if key != nil {
			kept, err := s.kept(tx.QueryRow, key, d.instant)
			if err != nil || kept != nil {
				res.Replayed = kept
				return err
			}
		}
		if len(out) == 0 {
			return ErrAllRejected
		}
		seq, err := nextSeq(tx)
		if err != nil {
			return fmt.Errorf("number messages: %w", err)
		}
		res.Messages = make([]Message, len(out))
		for i := range out {
			out[i].Seq = seq + int64(i)
			if err := s.insert(tx, d, &out[i]); err != nil {
				return fmt.Errorf("store message: %w", err)
			}
			res.Messages[i] = out[i].Message
		}
		tx.AfterCommit(s.accepted)
		if key == nil {
			return failpoint.Err(failpoint.SubmitBefore)
		}
		_, err = tx.Exec(`INSERT INTO idempotency (scope, key, hash, answer, created_at, first_seq, last_seq) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (scope, key) DO UPDATE SET hash = excluded.hash, answer = excluded.answer, created_at = excluded.created_at,
				first_seq = excluded.first_seq, last_seq = excluded.last_seq`,
			key.Scope, key.Key, key.Hash, key.Answer(res), d.steady, res.Messages[0].Seq, res.Messages[len(res.Messages)-1].Seq)
		if err != nil {
			return err
		}
		return failpoint.Err(failpoint.SubmitBefore)
	})
	switch {
	case errors.Is(err, ErrAllRejected):
		return Result{Rejected: rejected}, err
	case key != nil && (errors.Is(err, sqlite.ErrFull) || errors.Is(err, sqlite.ErrReadOnly)):
		// What has been answered is answered again, whether more can be kept or not.
		ask := func(query string, args ...any) *sql.Row { return s.db.Read().QueryRowContext(ctx, query, args...) }
		if kept, known := s.kept(ask, key, d.instant); kept != nil || errors.Is(known, ErrMismatch) {
			return Result{Replayed: kept}, known
		}
		return Result{}, err
	case err != nil:
		return Result{}, err
	}
	failpoint.Hit(failpoint.SubmitCommitted)
	s.metrics.accepted(r.Class, len(res.Messages))
	return res, nil
}

// laneOf is the writer's lane for so many messages: a code or an alert is not accepted
// behind a campaign.
func (d *draft) laneOf(n int) sqlite.Lane {
	lane := sqlite.LaneOf(n)
	if lane == sqlite.Ordinary && (d.Class == OTP || d.Class == Alert) {
		return sqlite.Prompt
	}
	return lane
}

// Kept is the answer that was given to a request with this key; nil when the key is
// new. ErrMismatch when it was given to another body. Who asks before anything else
// is checked gets it though the request would be refused today: a SIM that it names
// may be gone, or a time that it names too far.
func (s *Store) Kept(ctx context.Context, key *Idempotency) ([]byte, error) {
	ask := func(query string, args ...any) *sql.Row { return s.db.Read().QueryRowContext(ctx, query, args...) }
	return s.kept(ask, key, s.instant())
}

// kept gives the answer that an Idempotency-Key had; nil when it is new.
func (s *Store) kept(ask func(string, ...any) *sql.Row, key *Idempotency, n instant) ([]byte, error) {
	var hash, answer []byte
	// A key that named somebody who was erased is kept as its hash.
	err := ask(`SELECT hash, answer FROM idempotency WHERE scope = ? AND key IN (?, ?) AND created_at > ?`,
		key.Scope, key.Key, answerKey{key.Scope, key.Key}.hashed(), n.steady-keepKeys.Milliseconds()).Scan(&hash, &answer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look the Idempotency-Key up: %w", err)
	case string(hash) != string(key.Hash):
		return nil, ErrMismatch
	}
	return answer, nil
}

// draft checks everything but the recipients' numbers.
func (s *Store) draft(r Request) (*draft, error) {
	d := &draft{Request: r, instant: s.instant(), state: Queued}
	if d.Class == "" {
		d.Class = Normal
	}
	var ok bool
	if d.policy, ok = policies[d.Class]; !ok {
		return nil, &Invalid{"class", "is one of otp, alert, normal, bulk", string(r.Class)}
	}
	switch d.Delivery {
	case "":
		d.Delivery = d.policy.delivery
	case AtMostOnce, AtLeastOnce, Bounded:
	default:
		return nil, &Invalid{"delivery", "is at_most_once or at_least_once", string(r.Delivery)}
	}
	switch {
	case len(r.To) == 0:
		return nil, &Invalid{"to", "name at least one recipient", nil}
	case len(r.To) > maxRecipients:
		return nil, &Invalid{"to", fmt.Sprintf("at most %d recipients a request", maxRecipients), len(r.To)}
	case utf8.RuneCountInString(r.Reference) > maxReference || !utf8.ValidString(r.Reference):
		return nil, &Invalid{"reference", fmt.Sprintf("at most %d characters of UTF-8", maxReference), nil}
	case r.MaxSegments < 0 || r.MaxSegments > limitSegs:
		return nil, &Invalid{"max_segments", fmt.Sprintf("is from 1 to %d", limitSegs), r.MaxSegments}
	}
	if err := d.when(); err != nil {
		return nil, err
	}
	return d, d.encode()
}

// when works out when the message may go and until when.
func (d *draft) when() error {
	if d.ValidFor == 0 {
		d.ValidFor = d.policy.valid
	}
	if d.ValidFor < minValid || d.ValidFor > maxValid {
		return &Invalid{"valid_for", fmt.Sprintf("is from %d to %d seconds", minValid/time.Second, maxValid/time.Second), int64(d.ValidFor / time.Second)}
	}
	from := d.now
	// By a clock that may be wrong nobody can tell whether a time has come.
	if d.SendAt.After(d.now) || !d.firm && !d.SendAt.IsZero() {
		latest, why := d.now.Add(maxAhead), "is at most a year ahead"
		if !d.trusted {
			why += "; if it is, this box's clock is wrong: set it first"
			if least := d.least.Add(maxAhead); least.After(latest) {
				latest = least
			}
		}
		if (d.trusted || !d.least.IsZero()) && d.SendAt.After(latest) {
			return &Invalid{"send_at", why, d.SendAt.UTC().Format(time.RFC3339)}
		}
		from, d.state, d.sendAt = d.SendAt, Scheduled, d.SendAt
	}
	d.expires = from.Add(d.ValidFor)
	return nil
}

// encode checks the text and counts its segments.
func (d *draft) encode() error {
	switch {
	case !utf8.ValidString(d.Text):
		return &Invalid{"text", "is not valid UTF-8", nil}
	case strings.IndexFunc(d.Text, func(r rune) bool { return !unicode.IsSpace(r) }) < 0:
		return &Invalid{"text", "is empty", nil}
	case utf8.RuneCountInString(d.Text) > maxText:
		return &Invalid{"text", fmt.Sprintf("has more than %d characters", maxText), nil}
	}
	d.options = pdu.Options{Flash: d.Flash, Validity: d.ValidFor, Report: true}
	switch d.Encoding {
	case "", "auto":
	case "gsm7":
		d.options.Encoding = pdu.GSM7
	case "ucs2":
		d.options.Encoding = pdu.UCS2
	default:
		return &Invalid{"encoding", "is one of auto, gsm7, ucs2", d.Encoding}
	}
	if d.Transliterate {
		d.Text = pdu.Transliterate(d.Text)
	}
	d.measure = pdu.Count(d.Text, d.options)
	most := d.MaxSegments
	if most == 0 {
		most = defaultMaxSegs
	}
	if d.measure.Segments > most {
		return &Invalid{"text", fmt.Sprintf("needs %d segments, max_segments is %d: shorten it, or allow more", d.measure.Segments, most), nil}
	}
	if d.options.Encoding == pdu.GSM7 && len(d.measure.OutsideGSM7) > 0 {
		return &Invalid{"text", "has characters that GSM 7-bit does not have: use encoding auto, or transliterate", d.measure.OutsideGSM7[0].Char}
	}
	return nil
}

// recipients normalises the numbers; the same one twice is refused the second
// time.
func (s *Store) recipients(to []string) (numbers []string, rejected []Rejection) {
	numbers = make([]string, 0, len(to))
	var seen map[string]bool
	if len(to) > 1 {
		seen = make(map[string]bool, len(to))
	}
	for _, raw := range to {
		n, no := s.numbers.Normalize(raw)
		switch {
		case no != nil:
			rejected = append(rejected, *no)
		case seen[n]:
			rejected = append(rejected, Rejection{To: raw, Code: Duplicate, Detail: "this number is in the request already"})
		default:
			if seen != nil {
				seen[n] = true
			}
			numbers = append(numbers, n)
		}
	}
	return numbers, rejected
}

// compose makes the messages with their TPDUs, outside the transaction: the
// references that they carry are checked, and drawn anew if need be, inside.
func (s *Store) compose(ctx context.Context, d *draft, numbers []string, rejected []Rejection) ([]outgoing, []Rejection, error) {
	out := make([]outgoing, 0, len(numbers))
	for _, to := range numbers {
		o := outgoing{}
		if d.measure.Segments > 1 {
			var err error
			if o.ref, err = s.expectRef(ctx, to); err != nil {
				return nil, nil, err
			}
		}
		segments, err := tpdus(d, to, o.ref)
		if bad, ok := errors.AsType[*pdu.AddressError](err); ok {
			rejected = append(rejected, Rejection{To: to, Code: InvalidNumber, Detail: bad.Reason})
			continue
		}
		if bad, ok := errors.AsType[*pdu.EncodingError](err); ok {
			return nil, nil, &Invalid{"encoding", bad.Error(), d.Encoding}
		}
		if bad, ok := errors.AsType[*pdu.TooLongError](err); ok {
			return nil, nil, &Invalid{"text", bad.Error(), nil}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("encode: %w", err)
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, nil, fmt.Errorf("name a message: %w", err)
		}
		o.Message = Message{
			ID: id.String(), To: to, Text: d.Text, Class: d.Class, State: d.state, Reference: d.Reference,
			Encoding: encodingName(d.measure.Encoding), Delivery: d.Delivery, Report: d.Report, Flash: d.Flash,
			SIM: d.SIM, Segments: segments, CreatedAt: at(ms(d.now)), SendAt: at(ms(d.sendAt)), ExpiresAt: at(ms(d.expires)),
		}
		out = append(out, o)
	}
	return out, rejected, nil
}

func encodingName(e pdu.Encoding) string {
	if e == pdu.UCS2 {
		return "ucs2"
	}
	return "gsm7"
}

func tpdus(d *draft, to string, ref uint8) ([]Segment, error) {
	o := d.options
	o.Ref = uint16(ref)
	encoded, err := pdu.Encode(to, d.Text, o)
	if err != nil {
		return nil, err
	}
	segments := make([]Segment, len(encoded))
	for i, e := range encoded {
		segments[i] = Segment{N: i + 1, State: SegmentPending, TPDU: e.TPDU, MR: -1, ReportStatus: -1}
	}
	return segments, nil
}

// expectRef is the reference that the recipient's next long message will
// most likely get.
func (s *Store) expectRef(ctx context.Context, to string) (uint8, error) {
	var next int64
	err := s.db.Read().QueryRowContext(ctx, `SELECT next FROM concat_ref WHERE recipient = ?`, to).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return uint8(rand.IntN(256)), nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the concatenation reference: %w", err)
	}
	return uint8(next), nil
}

// drawRef takes the recipient's next reference; first is where a new recipient
// begins. 8 bits travel (TS 23.040 9.2.3.24.1): every handset knows them.
func drawRef(tx *sqlite.Tx, to string, first uint8) (uint8, error) {
	var next int64
	err := tx.QueryRow(`INSERT INTO concat_ref (recipient, next) VALUES (?, ?)
		ON CONFLICT (recipient) DO UPDATE SET next = next + 1 RETURNING next`, to, int64(first)+1).Scan(&next)
	return uint8(next - 1), err
}

// nextSeq is the number of the next message: never one that another had, also
// when that is deleted.
func nextSeq(tx *sqlite.Tx) (seq int64, err error) {
	err = tx.QueryRow(`SELECT max(coalesce((SELECT max(seq) FROM message), 0), coalesce((SELECT value FROM floor WHERE name = 'message'), 0)) + 1`).Scan(&seq)
	return seq, err
}

// insert stores one message, which has its number, with its segments.
func (s *Store) insert(tx *sqlite.Tx, d *draft, o *outgoing) error {
	if len(o.Segments) > 1 {
		ref, err := drawRef(tx, o.To, o.ref)
		if err != nil {
			return err
		}
		if ref != o.ref { // another message to this number was quicker
			if o.Segments, err = tpdus(d, o.To, ref); err != nil {
				return err
			}
			o.ref = ref
		}
	}
	notBefore := ms(d.sendAt) // Wake readies it then; 0: ready
	preferUntil, err := s.seat(tx, d, o)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO message (seq, crc, id, recipient, text, class, lane, state, reference, encoding, delivery, report, flash,
			sim, bucket, prefer_until, wish, key_id, reply_to, segments, not_before, valid_ms, created_at, send_at, expires_at,
			clock_boot, clock_line, clock_doubt)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.Seq, messageSum(o.Seq, o.ID, o.To, o.Class, o.Text), o.ID, o.To, o.Text, string(o.Class), d.policy.lane, string(o.State), o.Reference, o.Encoding, string(o.Delivery), o.Report, o.Flash,
		o.SIM, o.Bucket, preferUntil, d.SIM, d.KeyID, d.ReplyTo, len(o.Segments), notBefore, d.ValidFor.Milliseconds(), ms(d.now), ms(d.sendAt), ms(d.expires),
		d.boot, d.line(), !d.trusted)
	if err != nil {
		return err
	}
	for _, g := range o.Segments {
		if _, err := tx.Exec(`INSERT INTO segment (message, n, tpdu, crc) VALUES (?, ?, ?, ?)`, o.Seq, g.N, g.TPDU, segmentSum(o.Seq, g.N, g.TPDU)); err != nil {
			return err
		}
	}
	if d.KeyID == CanaryReference { // no answer to anybody
		return nil
	}
	// The thread with a number that has written shows our answer; a code is
	// kept in one place only, where it will be blanked.
	last := o.Text
	if o.Class == OTP {
		last = ""
	}
	_, err = tx.Exec(`UPDATE conversation SET last_at = ?, last_text = ?, last_out = 1 WHERE number = ?`, ms(d.now), last, o.To)
	return err
}
