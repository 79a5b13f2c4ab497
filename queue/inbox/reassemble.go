package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/sqlite"
)

const (
	// partialAfter is when a message that misses segments is told of.
	partialAfter = 10 * time.Minute
	// closeAfter is when it is taken as it is. A late segment still mends it.
	closeAfter = 72 * time.Hour
	// reuseAfter is when the same reference is a new message for sure: senders
	// count references, and come round.
	reuseAfter = 7 * 24 * time.Hour
	// Strangers must not fill the disk with first halves.
	openOfSender = 100
	openOfAll    = 2000
	tickBatch    = 200
)

// segment stores one segment of a long message: into the set that misses it,
// else as the first of a new set.
func (s *Store) segment(tx *sqlite.Tx, in In, raw int64, kind, from string) error {
	c := in.PDU.Concat
	hash := partHash(in.PDU)
	m, err := findSet(tx, in, from)
	if err != nil {
		return err
	}
	if m != nil {
		var had []byte
		err := tx.QueryRow(`SELECT hash FROM inbound_segment WHERE inbound = ? AND n = ?`, m.Seq, c.Seq).Scan(&had)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case string(had) == string(hash):
			return belongs(tx, raw, m.Seq) // sent twice
		default: // the reference came round: another message
			if _, err := tx.Exec(`UPDATE inbound SET shut = 1 WHERE seq = ?`, m.Seq); err != nil {
				return err
			}
			if err := s.giveUp(tx, m, in.At); err != nil {
				return err
			}
			m = nil
		}
	}
	fresh := m == nil
	if fresh {
		if err := s.makeRoom(tx, from, in.At); err != nil {
			return err
		}
		m = &message{Message: Message{From: from, To: in.Number, Kind: kind, SIM: in.ICCID, ReceivedAt: in.At, SentAt: in.PDU.SCTS,
			Of: int(c.Total)}, imsi: in.IMSI, ref: int(c.Ref), wide: c.Wide, open: true}
		if err := s.insert(tx, m); err != nil {
			return err
		}
	}
	if err := belongs(tx, raw, m.Seq); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO inbound_segment (inbound, n, raw, encoding, udh, data, hash) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		m.Seq, c.Seq, raw, int(in.PDU.Encoding), in.PDU.UDH, in.PDU.Data, hash); err != nil {
		return err
	}
	return s.grown(tx, m, fresh)
}

// grown puts the text together anew and tells when the message is whole.
func (s *Store) grown(tx *sqlite.Tx, m *message, fresh bool) error {
	text, have, whole, err := join(tx, m)
	if err != nil {
		return err
	}
	if !whole {
		m.Damaged = true
		if err := s.queue.FoundDamage(tx, queue.DamagedInbound, m.Seq, m.ID, "a stored segment of a received message is not what came; it is shown as far as it can be read"); err != nil {
			return err
		}
	}
	m.Text, m.Have, m.Complete = text, have, have == m.Of
	if m.Complete {
		m.open = false
	}
	again := m.Complete && m.Read // who read half of it has not read it
	if again {
		m.Read = false
	}
	if _, err := tx.Exec(`UPDATE inbound SET text = ?, crc = ?, damaged = max(damaged, ?), have = ?, complete = ?, open = ?, read_at = CASE WHEN ? THEN 0 ELSE read_at END WHERE seq = ?`,
		m.Text, sum(m.Message), m.Damaged, m.Have, m.Complete, m.open, again, m.Seq); err != nil {
		return err
	}
	if fresh {
		err = arrived(tx, &m.Message)
	} else {
		_, err = tx.Exec(`UPDATE conversation SET unread = unread + ?1, last_text = CASE WHEN last_out = 0 AND last_in = ?2 THEN ?3 ELSE last_text END
			WHERE number = ?4`, again, m.Seq, m.Text, m.From)
	}
	if err != nil || !m.Complete {
		return err
	}
	return s.queue.AppendEvent(tx, "inbound.received", EventOf(m.Message))
}

// partHash tells a segment sent twice from another message's with the same
// reference: its user data, not its time.
func partHash(r pdu.Received) []byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d %d %d\n", r.Encoding, len(r.UDH), len(r.Data))
	_, _ = h.Write(r.UDH)
	_, _ = h.Write(r.Data)
	return h.Sum(nil)
}

// findSet is the newest incomplete message that the segment may be of: same
// SIM, sender, reference and its width, and total.
func findSet(tx *sqlite.Tx, in In, from string) (*message, error) {
	c := in.PDU.Concat
	m := &message{ref: int(c.Ref), wide: c.Wide, imsi: in.IMSI}
	var received, sent, read int64
	err := tx.QueryRow(`SELECT seq, id, sender, number, kind, iccid, received_at, sent_at, have, total, read_at, open, partial_at FROM inbound
		WHERE iccid = ? AND sender = ? AND ref = ? AND total = ? AND wide = ? AND complete = 0 AND shut = 0 AND received_at > ?
		ORDER BY seq DESC LIMIT 1`,
		in.ICCID, from, int(c.Ref), int(c.Total), c.Wide, ms(in.At.Add(-reuseAfter))).
		Scan(&m.Seq, &m.ID, &m.From, &m.To, &m.Kind, &m.SIM, &received, &sent, &m.Have, &m.Of, &read, &m.open, &m.partialAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	m.ReceivedAt, m.SentAt, m.Read = at(received), at(sent), read > 0
	return m, err
}

// join is the text of the segments that are there, Gap where some are not;
// whole: they are what was received.
func join(tx *sqlite.Tx, m *message) (text string, have int, whole bool, err error) {
	rows, err := tx.Query(`SELECT n, encoding, udh, data, hash FROM inbound_segment WHERE inbound = ? ORDER BY n`, m.Seq)
	if err != nil {
		return "", 0, false, err
	}
	whole = true
	defer rows.Close()
	var b strings.Builder
	var run []pdu.Received
	next := 1
	for rows.Next() {
		var n, encoding int
		r := pdu.Received{Kind: pdu.KindDeliver, Class: -1, DstPort: -1, SrcPort: -1}
		var hash []byte
		if err := rows.Scan(&n, &encoding, &r.UDH, &r.Data, &hash); err != nil {
			return "", 0, false, err
		}
		r.Encoding = pdu.Encoding(encoding)
		whole = whole && bytes.Equal(hash, partHash(r))
		r.Concat = &pdu.Concat{Ref: uint16(m.ref), Total: uint8(m.Of), Seq: uint8(n), Wide: m.wide}
		if n != next {
			b.WriteString(pdu.JoinText(run))
			b.WriteString(Gap)
			run = nil
		}
		run = append(run, r)
		next = n + 1
		have++
	}
	if err := rows.Err(); err != nil {
		return "", 0, false, err
	}
	b.WriteString(pdu.JoinText(run))
	if next <= m.Of {
		b.WriteString(Gap)
	}
	if !hasText(m.Kind) {
		return "", have, whole, nil
	}
	return b.String(), have, whole, nil
}

// giveUp closes a set that waits no more, and tells of it when nobody has.
func (s *Store) giveUp(tx *sqlite.Tx, m *message, now time.Time) error {
	if _, err := tx.Exec(`UPDATE inbound SET open = 0 WHERE seq = ?`, m.Seq); err != nil {
		return err
	}
	return s.tellPartial(tx, m, now)
}

func (s *Store) tellPartial(tx *sqlite.Tx, m *message, now time.Time) error {
	if m.partialAt > 0 {
		return nil
	}
	m.partialAt = ms(now)
	if _, err := tx.Exec(`UPDATE inbound SET partial_at = ? WHERE seq = ?`, m.partialAt, m.Seq); err != nil {
		return err
	}
	return s.queue.AppendEvent(tx, "inbound.partial", EventOf(m.Message))
}

// makeRoom closes the oldest sets when a sender, or all of them, have too many
// open.
func (s *Store) makeRoom(tx *sqlite.Tx, from string, now time.Time) error {
	for _, cap := range []struct {
		where string
		args  []any
		most  int
	}{
		{`sender = ? AND open = 1 ORDER BY seq`, []any{from}, openOfSender},
		{`open = 1 ORDER BY received_at`, nil, openOfAll},
	} {
		var n int
		count, _, _ := strings.Cut(cap.where, " ORDER")
		if err := tx.QueryRow(`SELECT count(*) FROM inbound WHERE `+count, cap.args...).Scan(&n); err != nil {
			return err
		}
		if n < cap.most {
			continue
		}
		list, err := openSets(tx, cap.where+` LIMIT 1`, cap.args...)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := s.giveUp(tx, m, now); err != nil {
				return err
			}
		}
	}
	return nil
}

func openSets(tx *sqlite.Tx, where string, args ...any) ([]*message, error) {
	rows, err := tx.Query(`SELECT seq, id, sender, number, kind, iccid, received_at, sent_at, have, total, read_at, open, partial_at
		FROM inbound WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*message
	for rows.Next() {
		m := &message{}
		var received, sent, read int64
		if err := rows.Scan(&m.Seq, &m.ID, &m.From, &m.To, &m.Kind, &m.SIM, &received, &sent, &m.Have, &m.Of, &read, &m.open, &m.partialAt); err != nil {
			return nil, err
		}
		m.ReceivedAt, m.SentAt, m.Read = at(received), at(sent), read > 0
		list = append(list, m)
	}
	return list, rows.Err()
}

// Tick tells of messages that still miss segments ten minutes after the first,
// and takes those of 72 hours as they are. Call it every half minute or so.
func (s *Store) Tick(ctx context.Context) error {
	now := s.clock.Now()
	if err := s.keep(ctx, now); err != nil {
		return err
	}
	for {
		var done int
		var waits bool
		if err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM inbound WHERE open = 1 AND received_at <= ? AND (partial_at = 0 OR received_at <= ?))`,
			ms(now.Add(-partialAfter)), ms(now.Add(-closeAfter))).Scan(&waits); err != nil {
			return fmt.Errorf("look for incomplete messages: %w", err)
		}
		if !waits {
			return nil
		}
		err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
			list, err := openSets(tx, `open = 1 AND received_at <= ? AND (partial_at = 0 OR received_at <= ?) ORDER BY received_at LIMIT ?`,
				ms(now.Add(-partialAfter)), ms(now.Add(-closeAfter)), tickBatch)
			if err != nil {
				return err
			}
			done = len(list)
			for _, m := range list {
				if !m.ReceivedAt.After(now.Add(-closeAfter)) {
					err = s.giveUp(tx, m, now)
				} else {
					err = s.tellPartial(tx, m, now)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("tell of incomplete messages: %w", err)
		}
		if done < tickBatch {
			return nil
		}
	}
}
