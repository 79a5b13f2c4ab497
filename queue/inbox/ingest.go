package inbox

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/google/uuid"

	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/failpoint"
	"recado/queue/sqlite"
)

// Ingest makes a received TPDU durable: the row as it came, the message or the
// segment that it is, and the event, in one transaction. nil means that it is
// on disk and the modem may delete it. The same TPDU from the same SIM, read
// again or sent again by the service centre, is counted and makes nothing new,
// as long as its time stamp can tell (see repeats); so is one that lay in the
// modem's own memory while its SIM was changed for another.
// A status report goes to the queue.
func (s *Store) Ingest(ctx context.Context, in In) error {
	if in.At.IsZero() {
		in.At = s.clock.Now()
	}
	if in.PDU.Kind == pdu.KindStatusReport {
		return s.queue.Report(ctx, queue.ReportIn{ICCID: in.ICCID, IMSI: in.IMSI, Modem: in.Modem, PDU: in.PDU, At: in.At})
	}
	kind := kindOf(in.PDU)
	from := s.sender(in.PDU)
	plain := kind
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		hash := rawHash(in)
		again, err := repeats(tx, in, hash)
		if err != nil || again {
			return err
		}
		if kind, err = s.ofCanary(tx, in, plain); err != nil {
			return err
		}
		var raw int64
		err = tx.QueryRow(`INSERT INTO inbound_raw (hash, iccid, imsi, modem, memory, raw, crc, kind, error, scts, received_at, seen_at, aged)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			hash, in.ICCID, in.IMSI, in.Modem, in.Memory, octets(in.PDU.Raw), int64(sqlite.CRC(in.PDU.Raw)), kind, errorText(in.PDU.Err), ms(in.PDU.SCTS), ms(in.At), ms(in.At), s.aged()).Scan(&raw)
		if err != nil {
			return err
		}
		if err := failpoint.Err(failpoint.InboundBefore); err != nil {
			return err
		}
		switch kind {
		case KindSilent, KindMWI, KindForeign, KindCanary:
			return nil
		}
		if c := in.PDU.Concat; c != nil && c.Total > 1 && c.Seq >= 1 && c.Seq <= c.Total {
			return s.segment(tx, in, raw, kind, from)
		}
		return s.whole(tx, in, raw, kind, from)
	})
	if err != nil {
		return fmt.Errorf("store received message: %w", err)
	}
	failpoint.Hit(failpoint.InboundCommitted)
	if in.PDU.Err != nil {
		s.log.Warn("a received message could not be read whole", "modem", in.Modem, "kind", kind, "octets", len(in.PDU.Raw))
	}
	return nil
}

// kindOf sorts a TPDU. A replacement of an earlier message (TP-PID 0x41 to 0x47)
// is a text like any other: what was said is not unsaid.
func kindOf(r pdu.Received) string {
	switch {
	case r.Kind == pdu.KindSubmit, r.Kind == pdu.KindSubmitReport:
		return KindForeign
	case r.Kind != pdu.KindDeliver, r.Err != nil && len(r.Data) == 0:
		return KindUndecodable
	case r.Silent():
		return KindSilent
	case r.Waiting():
		return KindMWI
	case r.Encoding == pdu.Binary, r.DstPort >= 0, r.Download():
		return KindBinary
	case r.Class == 0:
		return KindFlash
	}
	return KindText
}

// hasText says whether messages of a kind are for a reader.
func hasText(kind string) bool { return kind == KindText || kind == KindFlash }

// sender is TP-OA; a national number is completed, so that it meets the same
// number on its way out.
func (s *Store) sender(r pdu.Received) string {
	const shortest = 7 // what is shorter is a short code
	if r.Alphanumeric || len(r.Address) < shortest || r.Address[0] == '+' {
		return r.Address
	}
	if n, no := s.queue.Numbers().Normalize(r.Address); no == nil {
		return n
	}
	return r.Address
}

// rawHash tells a TPDU read again from another one: the SIM's name in the pool
// and the octets, which hold TP-SCTS.
func rawHash(in In) []byte {
	h := sha256.New()
	sim := in.ICCID
	if sim == "" {
		sim = "imsi " + in.IMSI
	}
	_, _ = fmt.Fprintf(h, "%s\n", sim)
	_, _ = h.Write(in.PDU.Raw)
	return h.Sum(nil)
}

// octets are never NULL in the table.
func octets(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// whole stores a message of one segment.
func (s *Store) whole(tx *sqlite.Tx, in In, raw int64, kind, from string) error {
	m := message{Message: Message{From: from, To: in.Number, Kind: kind, SIM: in.ICCID, ReceivedAt: in.At, SentAt: in.PDU.SCTS,
		Complete: true, Have: 1, Of: 1}, imsi: in.IMSI, ref: -1}
	if hasText(kind) {
		m.Text = in.PDU.Text
	}
	if err := s.insert(tx, &m); err != nil {
		return err
	}
	if err := belongs(tx, raw, m.Seq); err != nil {
		return err
	}
	if err := arrived(tx, &m.Message); err != nil {
		return err
	}
	return s.queue.AppendEvent(tx, "inbound.received", EventOf(m.Message))
}

// message is a row of inbound as ingesting sees it.
type message struct {
	Message
	imsi       string
	ref        int
	wide, open bool
	partialAt  int64
}

func (s *Store) insert(tx *sqlite.Tx, m *message) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	m.ID = id.String()
	// Never a number that another message had, also when that is deleted.
	return tx.QueryRow(`INSERT INTO inbound (seq, id, sender, number, text, crc, kind, iccid, imsi, received_at, sent_at, complete, have, total, ref, wide, open, aged)
		VALUES (max(coalesce((SELECT max(seq) FROM inbound), 0), coalesce((SELECT value FROM floor WHERE name = 'inbound'), 0)) + 1,
			?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
		m.ID, m.From, m.To, m.Text, sum(m.Message), m.Kind, m.SIM, m.imsi, ms(m.ReceivedAt), ms(m.SentAt), m.Complete, m.Have, m.Of, m.ref, m.wide, m.open, s.aged()).
		Scan(&m.Seq)
}

// sum is a message's checksum: crc32c(id, sender, text) in SQL.
func sum(m Message) int64 {
	return int64(sqlite.CRC([]byte(m.ID), []byte(m.From), []byte(m.Text)))
}

// aged is since when what comes now is kept: now, or -1 while nobody can say
// when that is.
func (s *Store) aged() int64 {
	if !s.clock.Trusted() {
		return -1
	}
	return ms(s.clock.Now())
}

func belongs(tx *sqlite.Tx, raw, seq int64) error {
	_, err := tx.Exec(`UPDATE inbound_raw SET inbound = ? WHERE id = ?`, seq, raw)
	return err
}

// arrived puts a new message at the head of its conversation.
func arrived(tx *sqlite.Tx, m *Message) error {
	if m.From == "" {
		return nil // nobody to have a conversation with
	}
	_, err := tx.Exec(`INSERT INTO conversation (number, last_at, last_text, last_out, last_in, iccid, unread) VALUES (?, ?, ?, 0, ?, ?, 1)
		ON CONFLICT (number) DO UPDATE SET last_at = excluded.last_at, last_text = excluded.last_text, last_out = 0,
			last_in = excluded.last_in, iccid = excluded.iccid, unread = unread + 1`,
		m.From, ms(m.ReceivedAt), m.Text, m.Seq, m.SIM)
	return err
}
