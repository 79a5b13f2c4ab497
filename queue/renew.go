package queue

import (
	"fmt"
	"math/rand/v2"
	"time"

	"recado/modem/pdu"
	"recado/queue/sqlite"
)

// What a message may be degraded by: see Outcome.Degrade.
const (
	degradeValidity = "validity"
	degradeClass    = "class"
	degradeAlphabet = "alphabet"
)

// vpf is the validity period's format in an SMS-SUBMIT's first octet; 0: it has
// none (TS 23.040 9.2.3.3).
const vpf = 0x18

// options are those that the message's segments are encoded with.
func (r *record) options() pdu.Options {
	o := pdu.Options{Encoding: pdu.GSM7, Flash: r.Flash, Report: true}
	if r.Encoding == encodingName(pdu.UCS2) {
		o.Encoding = pdu.UCS2
	}
	if first := r.Segments[0].TPDU; len(first) > 0 && first[0]&vpf != 0 {
		o.Validity = time.Duration(r.validMS) * time.Millisecond
	}
	return o
}

// renew encodes the message anew: the next edition of its segments, none of
// which has been sent, with a new concatenation reference. Reports and answers
// of the earlier edition decide nothing any more. false: it cannot be encoded
// so, or not in as many segments; then nothing has changed.
func (s *Store) renew(tx *sqlite.Tx, r *record, o pdu.Options) (bool, error) {
	if r.Damaged || !r.TextDeletedAt.IsZero() {
		return false, nil // what is stored must not become what is right
	}
	d := &draft{Request: Request{Text: r.Text}, options: o}
	var ref uint8
	if len(r.Segments) > 1 {
		var err error
		if ref, err = drawRef(tx, r.To, uint8(rand.IntN(256))); err != nil {
			return false, err
		}
	}
	segments, err := tpdus(d, r.To, ref)
	if err != nil || len(segments) != len(r.Segments) {
		return false, nil
	}
	for i, g := range segments {
		*r.segment(i + 1) = g
		if _, err := tx.Exec(`UPDATE segment SET tpdu = ?, crc = ? WHERE message = ? AND n = ?`, g.TPDU, segmentSum(r.Seq, g.N, g.TPDU), r.Seq, g.N); err != nil {
			return false, fmt.Errorf("save segment: %w", err)
		}
	}
	r.edition++
	r.lostBefore = r.lost
	return true, nil
}

// degrade encodes anew a message that the service centre did not take as it
// was, without what it did not like. false: that is done already or cannot be
// done, or a segment has left or may have.
func (s *Store) degrade(tx *sqlite.Tx, r *record, what string) (bool, error) {
	if r.left() > 0 || r.lost > r.lostBefore {
		return false, nil
	}
	if r.Damaged {
		return true, nil // the next claim finds it so, and ends it
	}
	o, how := r.options(), ""
	switch what {
	case degradeValidity:
		if o.Validity == 0 {
			return false, nil
		}
		o.Validity, how = 0, "without a validity period"
	case degradeClass:
		if !o.Flash {
			return false, nil
		}
		o.Flash, how = false, "without a message class"
	case degradeAlphabet:
		if o.Encoding == pdu.UCS2 {
			o.Encoding, how = pdu.GSM7, "in GSM 7-bit"
		} else {
			o.Encoding, how = pdu.UCS2, "in UCS-2"
		}
	default:
		return false, fmt.Errorf("no way to degrade a message by %q", what)
	}
	if done, err := s.renew(tx, r, o); err != nil || !done {
		return false, err
	}
	r.Flash, r.Encoding = o.Flash, encodingName(o.Encoding)
	if _, err := tx.Exec(`UPDATE message SET flash = ?, encoding = ? WHERE seq = ?`, r.Flash, r.Encoding, r.Seq); err != nil {
		return false, fmt.Errorf("save message: %w", err)
	}
	return true, s.note(tx, r.Seq, "retry", "the service centre refused it as it was; sent again "+how)
}
