package inbox

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
	"recado/queue"
	"recado/queue/sqlite"
)

// traces are a number and texts in every way in which a file may hold them.
func traces(t *testing.T, number string, texts ...string) map[string][]byte {
	t.Helper()
	digits := strings.TrimPrefix(number, "+")
	national := strings.TrimPrefix(digits, "34")
	list := map[string][]byte{"number": []byte(digits), "national number": []byte(national)}
	for name, d := range map[string]string{"semi-octets": digits, "national semi-octets": national} {
		if len(d)%2 == 1 {
			d += "F"
		}
		b := []byte(d)
		for i := 0; i < len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
		raw, err := hex.DecodeString(string(b))
		require.NoError(t, err)
		list[name] = raw
	}
	for i, text := range texts {
		list[fmt.Sprintf("text %d", i)] = []byte(text)
		var ucs2 []byte
		for _, u := range utf16.Encode([]rune(text)) {
			ucs2 = append(ucs2, byte(u>>8), byte(u))
		}
		list[fmt.Sprintf("UCS-2 of text %d", i)] = ucs2
		segments, err := pdu.Encode("+34600000000", text, pdu.Options{Encoding: pdu.GSM7})
		require.NoError(t, err)
		d := pdu.DecodeSubmit(segments[0].TPDU)
		septets := segments[0].TPDU[len(segments[0].TPDU)-len(text)*7/8:]
		require.NotEmpty(t, d.Raw)
		list[fmt.Sprintf("septets of text %d", i)] = septets
	}
	return list
}

// found are the traces that the database's files hold.
func (b *box) found(traces map[string][]byte) (names []string) {
	b.t.Helper()
	files, err := filepath.Glob(b.path + "*")
	require.NoError(b.t, err)
	require.GreaterOrEqual(b.t, len(files), 3, "recado.db, -wal, -shm")
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(b.t, err)
		for name, trace := range traces {
			if bytes.Contains(data, trace) {
				names = append(names, name+" in "+filepath.Base(f))
			}
		}
	}
	return names
}

// exchange has a number written to and heard from.
func (b *box) exchange(number, text string, i int) {
	b.t.Helper()
	ctx := context.Background()
	l := queue.Line{ICCID: iccid, IMSI: "214070000000001", Number: own, Modem: "m1"}
	_, err := b.queue.Submit(ctx, queue.Request{To: []string{number}, Text: text, Class: queue.Alert},
		&queue.Idempotency{Scope: "k", Key: fmt.Sprintf("key-%s-%d", number, i), Hash: []byte{1}, Answer: func(r queue.Result) []byte {
			return fmt.Appendf(nil, `{"messages":[{"id":%q,"to":%q,"text":%q}]}`, r.Messages[0].ID, r.Messages[0].To, r.Messages[0].Text)
		}})
	require.NoError(b.t, err)
	c, err := b.queue.Claim(ctx, l)
	require.NoError(b.t, err)
	a, err := b.queue.Gate(ctx, l, c.Message.Seq, 1)
	require.NoError(b.t, err)
	_, err = b.queue.Outcome(ctx, a, queue.Outcome{Verdict: queue.Accepted, MR: i % 256}, nil)
	require.NoError(b.t, err)
	raw, err := pdu.StatusReportTPDU(uint8(i), c.Message.To, b.clock.Now(), b.clock.Now(), 0)
	require.NoError(b.t, err)
	raw, err = pdu.WithSMSC("+34600000000", raw)
	require.NoError(b.t, err)
	b.ingest(raw)
	b.clock.forward(time.Second)
	b.ingest(b.parts(number, text, 1)...)
}

func TestErasingANumberLeavesNoTraceInTheFiles(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	const victim, text = "+34655873921", "La clave del portal es ZANAHORIA"
	const other = "+34600111%03d"
	for i := range 120 {
		b.exchange(fmt.Sprintf(other, i), "Hasta luego cocodrilo", i)
		if i%3 == 0 {
			b.exchange(victim, text, i)
		}
	}
	long := strings.Repeat("ZANAHORIA ", 60)
	b.exchange(victim, "Adios ZANAHORIA", 1)
	b.ingest(b.parts(victim, long, 9)...)
	_, err := b.queue.Submit(ctx, queue.Request{To: []string{victim, "+34600111000"}, Text: text, SendAt: b.clock.Now().Add(time.Hour)}, nil)
	require.NoError(t, err)
	// A report that finds no message, in another form; a national sender; an audit row.
	orphan, err := pdu.StatusReportTPDU(250, "655873921", b.clock.Now(), b.clock.Now(), 0)
	require.NoError(t, err)
	orphan, err = pdu.WithSMSC("+34600000000", orphan)
	require.NoError(t, err)
	b.ingest(orphan)
	require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO audit (at, who, action, object, detail) VALUES (1, 'ana', 'x', 'to +34655873921', 'and 655873921')`)
		return err
	}))
	seek := traces(t, victim, text, "ZANAHORIA")
	had := b.found(seek)
	for _, name := range []string{"number", "semi-octets", "text 0", "septets of text 0"} {
		require.Contains(t, strings.Join(had, "|"), name, "the test must find what is there")
	}
	others := traces(t, "+34600111007", "Hasta luego cocodrilo")
	before := len(b.found(others))
	require.NotZero(t, before)

	// The other recipient of the same text keeps it: it is another's message.
	first, _, err := b.queue.Messages(ctx, queue.Filter{To: "+34600111000", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, text, first[0].Text)
	_, err = b.Erase(ctx, "+34600111000", "ana")
	require.NoError(t, err)

	e, err := b.Erase(ctx, "655 87 39 21", "person:ana")
	require.NoError(t, err)
	require.Equal(t, 42, e.Messages)
	require.Equal(t, 42, e.Inbound)
	require.Equal(t, 42, e.Reports)
	require.NotZero(t, e.Events)
	require.NotZero(t, e.Answers)
	require.Equal(t, 1, e.Audit)
	require.Equal(t, sqlite.Scrubbed{Log: true, Whole: true}, e.Scrubbed)
	require.Empty(t, b.found(seek))
	require.NotEmpty(t, b.found(others), "the others' are there")
	var object, detail string
	require.NoError(t, b.db.Read().QueryRow(`SELECT object, detail FROM audit WHERE action = 'erase' ORDER BY id DESC LIMIT 1`).Scan(&object, &detail))
	require.Equal(t, "*********921", object)
	require.Contains(t, detail, "42 messages, 42 received")
	_, err = b.Conversation(ctx, victim)
	require.ErrorIs(t, err, ErrNotFound)
	// What the SIM still shows does not come again.
	b.ingest(b.parts(victim, "otra vez", 1)...)
	again := b.parts("+34655000000", "Hola", 1)
	b.ingest(again...)
	_, err = b.Erase(ctx, "+34655000000", "ana")
	require.NoError(t, err)
	b.ingest(again...)
	_, err = b.Conversation(ctx, "+34655000000")
	require.ErrorIs(t, err, ErrNotFound)
	b.restart()
	require.Empty(t, b.found(traces(t, "+34655000000")))
}

func TestErasingASendersName(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	b.ingest(b.parts("CORREOS", "Su paquete esta en camino", 1)...)
	b.ingest(b.parts(ana, "Hola", 1)...)
	e, err := b.Erase(ctx, "CORREOS", "ana")
	require.NoError(t, err)
	require.Equal(t, 1, e.Inbound)
	require.Equal(t, 1, e.Events)
	require.Empty(t, b.found(map[string][]byte{"name": []byte("CORREOS"), "text": []byte("paquete")}))
	list, _, err := b.List(ctx, Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	for _, bad := range []string{"", " ", strings.Repeat("x", 65), "a\nb"} {
		var invalid *queue.Invalid
		_, err := b.Erase(ctx, bad, "ana")
		require.ErrorAs(t, err, &invalid, "%q", bad)
	}
}

func TestErasingWaitsForAnOpenSubmission(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := queue.Line{ICCID: iccid, IMSI: "214070000000001", Number: own, Modem: "m1"}
	for range 2 {
		_, err := b.queue.Submit(ctx, queue.Request{To: []string{ana}, Text: "Hola"}, nil)
		require.NoError(t, err)
	}
	c, err := b.queue.Claim(ctx, l)
	require.NoError(t, err)
	a, err := b.queue.Gate(ctx, l, c.Message.Seq, 1)
	require.NoError(t, err)
	_, err = b.Erase(ctx, ana, "ana")
	require.ErrorIs(t, err, queue.ErrSubmitting)
	next, err := b.queue.Outcome(ctx, a, queue.Outcome{Verdict: queue.Accepted, MR: 1}, &l)
	require.NoError(t, err)
	require.Nil(t, next, "what waited is cancelled")
	e, err := b.Erase(ctx, ana, "ana")
	require.NoError(t, err)
	require.Equal(t, 2, e.Messages)
}
