package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"recado/queue/sqlite"
)

// keyed submits with an Idempotency-Key whose kept answer is as the API's.
func (b *box) keyed(key string, r Request) Result {
	b.t.Helper()
	res, err := b.Submit(context.Background(), r, &Idempotency{Scope: "k", Key: key, Hash: []byte(key), Answer: func(res Result) []byte {
		type one struct {
			ID   string `json:"id"`
			To   string `json:"to"`
			Text string `json:"text"`
		}
		var out struct {
			Messages []one `json:"messages"`
		}
		for _, m := range res.Messages {
			out.Messages = append(out.Messages, one{m.ID, m.To, m.Text})
		}
		raw, err := json.Marshal(out)
		require.NoError(b.t, err)
		return raw
	}})
	require.NoError(b.t, err)
	return res
}

// rounds lets the Store delete what is due.
func (b *box) rounds() {
	b.t.Helper()
	b.clock.forward(keepRound)
	for range 3 {
		b.wake()
	}
}

// everywhere counts the rows of any table that hold the text.
func (b *box) everywhere(text string) (found []string) {
	b.t.Helper()
	ctx := context.Background()
	tx, err := b.db.Read().BeginTx(ctx, nil) // tables come and go with the reserve
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, tx.Rollback()) }()
	tables, err := tx.QueryContext(ctx, `SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`)
	require.NoError(b.t, err)
	defer tables.Close()
	type column struct{ table, name string }
	var all []column
	for tables.Next() {
		var c column
		require.NoError(b.t, tables.Scan(&c.table, &c.name))
		all = append(all, c)
	}
	require.NoError(b.t, tables.Err())
	require.Greater(b.t, len(all), 100)
	for _, c := range all {
		var n int
		require.NoError(b.t, tx.QueryRowContext(ctx, fmt.Sprintf(`SELECT count(*) FROM %q WHERE instr(CAST(%q AS BLOB), CAST(? AS BLOB)) > 0`, c.table, c.name), text).Scan(&n))
		if n > 0 {
			found = append(found, c.table+"."+c.name)
		}
	}
	return found
}

func TestACodeIsDeletedSoonAfterItsMessagesEnd(t *testing.T) {
	b := newBox(t)
	const code = "Su código es 482913"
	b.raw(`INSERT INTO conversation (number, last_at, last_text, iccid) VALUES ('+34600111222', 1, '', 'x')`)
	m := b.keyed("a", Request{To: []string{"+34600111222", "+34600111333"}, Text: code, Class: OTP}).Messages[0]
	other := b.submit(Request{Text: "Su cita es a las 10:30"})
	b.report(line(1), m.To, 1, stDelivered, b.sent(line(1), 1).SentAt)
	end := b.clock.Now()
	b.clock.forward(14*time.Minute + 50*time.Second - b.clock.Now().Sub(end))
	b.wake()
	require.Equal(t, code, b.get(m.ID).Text, "15 minutes are not over")
	b.clock.forward(10 * time.Second)
	b.rounds()
	got := b.get(m.ID)
	require.Empty(t, got.Text)
	require.Empty(t, got.Segments[0].TPDU)
	require.WithinDuration(t, end.Add(15*time.Minute), got.TextDeletedAt, keepRound)
	require.Equal(t, Delivered, got.State)
	require.False(t, got.Damaged)
	var raw []byte
	require.NoError(t, b.db.Read().QueryRow(`SELECT raw FROM report WHERE message = ?`, m.Seq).Scan(&raw))
	require.Empty(t, raw)
	// The second of the request is not at its end yet: its text is there, and in the kept answer.
	require.ElementsMatch(t, []string{"message.text", "idempotency.answer"}, b.everywhere(code))
	res := b.keyed("a", Request{To: []string{"+34600111222", "+34600111333"}, Text: code, Class: OTP})
	require.Contains(t, string(res.Replayed), `"text":"","text_deleted_at":"2026-11-22T12:15:0`)
	b.sent(line(1), 2)
	b.clock.forward(15 * time.Minute)
	b.rounds()
	require.Empty(t, b.everywhere(code))
	require.Empty(t, b.everywhere("482913"))
	require.Equal(t, "Su cita es a las 10:30", b.get(other.ID).Text)
	list, _, err := b.Messages(context.Background(), Filter{Search: "482913"})
	require.NoError(t, err)
	require.Empty(t, list)
}

// TestCodesThatCannotBeDeletedHinderNoOtherKeeping: an index that is gone is one of
// the things that can be the matter with a single job.
func TestCodesThatCannotBeDeletedHinderNoOtherKeeping(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Text: "Su cita es a las 10:30", Class: Normal})
	b.sent(line(1), 1)
	b.raw(`DROP INDEX message_code`)
	b.clock.forward(400 * day24)
	_, err := b.Wake(context.Background())
	require.ErrorContains(t, err, "codes")
	b.clock.forward(keepRound)
	_, err = b.Wake(context.Background())
	require.ErrorContains(t, err, "codes")
	_, err = b.Message(context.Background(), m.ID)
	require.ErrorIs(t, err, ErrNotFound, "400 days are more than it is kept at all")
}

func TestTextsAndMessagesAreDeletedWhenTheirKeepingIsOver(t *testing.T) {
	b := newBox(t)
	long := strings.Repeat("larguísimo ", 40)
	m := b.submit(Request{Text: long, Class: Normal})
	for i := range m.Segments {
		b.sent(line(1), i+1)
	}
	b.clock.forward(29 * day24)
	b.rounds()
	require.Equal(t, long, b.get(m.ID).Text)
	b.clock.forward(day24)
	b.rounds()
	require.Empty(t, b.get(m.ID).Text)
	b.clock.forward(334 * day24)
	b.rounds()
	require.Equal(t, Sent, b.get(m.ID).State)
	b.clock.forward(day24)
	b.rounds()
	_, err := b.Message(context.Background(), m.ID)
	require.ErrorIs(t, err, ErrNotFound)
	for _, table := range []string{"message", "segment", "attempt", "report", "history", "concat_ref", "damaged"} {
		var n int
		require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
		require.Zero(t, n, table)
	}
	depth, err := b.Depth(context.Background())
	require.NoError(t, err)
	require.Zero(t, depth[Sent][Normal])
	// Numbers are not given twice: a line may still wait for the last one's answer.
	again := b.submit(Request{})
	require.Greater(t, again.Seq, m.Seq)
	_, a := b.gated(line(1))
	require.Greater(t, a, int64(len(m.Segments)))
}

func TestNothingIsDeletedByAClockThatNobodyVouchesFor(t *testing.T) {
	b := newBox(t)
	b.clock.trust(false)
	m := b.submit(Request{Text: "1234", Class: Normal})
	b.sent(line(1), 1)
	b.clock.forward(31 * day24)
	b.rounds()
	require.Equal(t, "1234", b.get(m.ID).Text)
	b.clock.trust(true)
	b.clock.forward(400 * day24) // it had been wrong
	b.rounds()
	require.Equal(t, "1234", b.get(m.ID).Text, "the end is counted from when the time is known")
	b.clock.forward(30 * day24)
	b.rounds()
	require.Empty(t, b.get(m.ID).Text)
	require.NotZero(t, b.get(m.ID).Seq)
}

func TestABlankedMessageIsNotSentAgain(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Text: strings.Repeat("largo ", 40), Class: OTP, Delivery: AtMostOnce})
	require.Len(t, m.Segments, 2)
	_, a := b.gated(line(1))
	gate := b.clock.Now()
	b.outcome(a, lost())
	b.clock.forward(policies[OTP].window)
	b.wake()
	require.Equal(t, Uncertain, b.get(m.ID).State)
	b.clock.forward(mostOTPBody)
	b.rounds()
	got := b.get(m.ID)
	require.False(t, got.TextDeletedAt.IsZero(), "uncertain for good is an end")
	_, err := b.Resolve(context.Background(), m.ID, ResolveResend, "ana")
	require.ErrorIs(t, err, ErrTextDeleted)
	require.ErrorIs(t, err, ErrState)
	// Evidence of the first segment comes; the second cannot follow any more.
	b.report(line(1), m.To, 7, stDelivered, gate)
	got = b.get(m.ID)
	require.Equal(t, Failed, got.State)
	require.Equal(t, ReasonPartial, got.Reason)
	require.Contains(t, got.Error.Detail, "1 of 2 segments had been sent; the text has been deleted since")
	require.Nil(t, b.claimed(line(1)))
}

func TestRetentionIsCheckedAndRecorded(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	r, err := b.Retention(ctx)
	require.NoError(t, err)
	require.Equal(t, DefaultRetention(), r)
	for field, change := range map[string]func(*Retention){
		"otp.body":         func(r *Retention) { r.OTP.Body = mostOTPBody + time.Second },
		"alert.body":       func(r *Retention) { r.Alert.Body = -1 },
		"normal.metadata":  func(r *Retention) { r.Normal.Metadata = 29 * day24 },
		"bulk.metadata":    func(r *Retention) { r.Bulk = Keep{0, time.Hour} },
		"inbound.metadata": func(r *Retention) { r.Inbound.Metadata = 2 * mostKeep },
	} {
		bad := DefaultRetention()
		change(&bad)
		var invalid *Invalid
		require.ErrorAs(t, b.SetRetention(ctx, bad, "ana"), &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
	r.OTP.Body, r.Bulk = 0, Keep{7 * day24, 7 * day24}
	require.NoError(t, b.SetRetention(ctx, r, "person:ana"))
	got, err := b.Retention(ctx)
	require.NoError(t, err)
	require.Equal(t, r, got)
	var who, detail string
	require.NoError(t, b.db.Read().QueryRow(`SELECT who, detail FROM audit WHERE action = 'retention.set'`).Scan(&who, &detail))
	require.Equal(t, "person:ana", who)
	require.Contains(t, detail, `"bulk":{"body":604800,"metadata":604800}`)
	m := b.submit(Request{Class: OTP, Text: "1234"})
	b.sent(line(1), 1)
	b.rounds()
	require.Empty(t, b.get(m.ID).Text)
}

func TestWhatIsDueIsFoundByIndex(t *testing.T) {
	b := newBox(t)
	fill(t, b, 500)
	for _, q := range []struct {
		query string
		args  []any
	}{{dueUnstamped, []any{9}}, {dueBody, []any{"otp", 9, 9}}, {dueMetadata, []any{"otp", 9, 9}}} {
		rows, err := b.db.Read().Query(`EXPLAIN QUERY PLAN `+q.query, q.args...)
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(t, rows.Close())
		require.Len(t, plan, 1, q.query)
		require.Regexp(t, `^(SEARCH|SCAN) message USING (COVERING )?INDEX message_(unstamped|body|meta)`, plan[0])
	}
}

// Whatever is sent, answered, reported, decided, deleted and erased: what is not
// at its end keeps its text, and nothing refers to what is not there.
func TestRetentionTouchesNothingThatIsNotAtItsEnd(t *testing.T) {
	fresh := copies(t)
	rapid.Check(t, func(rt *rapid.T) {
		b := fresh()
		defer func() { require.NoError(t, b.db.Close()) }()
		ctx := context.Background()
		ret := DefaultRetention()
		ret.OTP.Body, ret.Alert.Body, ret.Normal.Body = 0, time.Minute, 7*day24
		ret.Alert.Metadata, ret.Bulk = 7*day24, Keep{time.Hour, 8 * day24}
		require.NoError(t, b.SetRetention(ctx, ret, "model"))
		texts := map[string]string{}
		open := map[int]int64{}
		mr := 0
		pick := func() (Message, bool) {
			list, _, err := b.Messages(ctx, Filter{Limit: 100})
			require.NoError(t, err)
			if len(list) == 0 {
				return Message{}, false
			}
			return rapid.SampledFrom(list).Draw(rt, "message"), true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit": func(rt *rapid.T) {
				text := rapid.SampledFrom([]string{"corto", strings.Repeat("largo ", 40)}).Draw(rt, "text")
				to := fmt.Sprintf("+346001110%02d", rapid.IntRange(0, 5).Draw(rt, "to"))
				m := b.keyed(fmt.Sprint(len(texts)), Request{To: []string{to}, Text: text, Class: rapid.SampledFrom([]Class{OTP, Alert, Normal, Bulk}).Draw(rt, "class"), ValidFor: maxValid}).Messages[0]
				require.NotContains(t, texts, m.ID)
				texts[m.ID] = text
			},
			"send": func(rt *rapid.T) {
				l := rapid.IntRange(0, 2).Draw(rt, "line")
				if open[l] != 0 {
					return
				}
				if c := b.claimed(line(l)); c != nil {
					require.NotEmpty(t, c.Message.Segments[c.Next].TPDU)
					a, err := b.GateTPDU(ctx, line(l), c.Message.Seq, c.Next+1, c.Message.Segments[c.Next].TPDU)
					require.NoError(t, err)
					open[l] = a
				}
			},
			"answer": func(rt *rapid.T) {
				l := rapid.IntRange(0, 2).Draw(rt, "line")
				if open[l] == 0 {
					return
				}
				mr++
				o := rapid.SampledFrom([]Outcome{accepted(mr % 256), lost(), {Verdict: Rejected, MR: -1, Code: "cms_1", Reason: "rejected"},
					{Verdict: NotSent, MR: -1, Code: "gone", Retry: true}}).Draw(rt, "answer")
				b.outcome(open[l], o)
				open[l] = 0
			},
			"report": func(rt *rapid.T) {
				if m, ok := pick(); ok {
					g := rapid.SampledFrom(m.Segments).Draw(rt, "segment")
					if g.MR >= 0 {
						b.report(line(rapid.IntRange(0, 2).Draw(rt, "line")), m.To, g.MR, stDelivered, g.SentAt)
					}
				}
			},
			"resolve": func(rt *rapid.T) {
				if m, ok := pick(); ok {
					_, err := b.Resolve(ctx, m.ID, rapid.SampledFrom([]string{ResolveResend, ResolveSent, ResolveFailed}).Draw(rt, "action"), "model")
					if m.State != Uncertain {
						require.ErrorIs(t, err, ErrState)
					}
				}
			},
			"time": func(rt *rapid.T) {
				b.clock.forward(rapid.SampledFrom([]time.Duration{10 * time.Second, 5 * time.Minute, time.Hour, 3 * day24}).Draw(rt, "time"))
				b.rounds()
			},
			"erase": func(rt *rapid.T) {
				if m, ok := pick(); ok && rapid.IntRange(0, 3).Draw(rt, "really") == 0 {
					_, err := b.EraseNumber(ctx, b.Numbers().Forms(m.To))
					if err == nil {
						list, _, err := b.Messages(ctx, Filter{To: m.To})
						require.NoError(t, err)
						require.Empty(t, list)
						return
					}
					require.ErrorIs(t, err, ErrSubmitting)
				}
			},
			"crash": func(*rapid.T) { b.restart(); clear(open) },
			"": func(rt *rapid.T) {
				list, _, err := b.Messages(ctx, Filter{Limit: 500})
				require.NoError(t, err)
				for _, m := range list {
					require.False(t, m.Damaged, "%+v", m)
					if m.TextDeletedAt.IsZero() {
						require.Equal(t, texts[m.ID], m.Text)
						continue
					}
					require.Empty(t, m.Text)
					require.False(t, slices.Contains([]State{Queued, Sending, Scheduled, Held}, m.State), "%+v", m)
					for _, g := range m.Segments {
						require.Empty(t, g.TPDU)
					}
				}
				b.consistent()
			},
		})
	})
}

// consistent looks for rows that refer to nothing, and compares the counters.
func (b *box) consistent() {
	b.t.Helper()
	for _, q := range []string{
		`SELECT count(*) FROM segment WHERE message NOT IN (SELECT seq FROM message)`,
		`SELECT count(*) FROM attempt WHERE message NOT IN (SELECT seq FROM message)`,
		`SELECT count(*) FROM history WHERE message NOT IN (SELECT seq FROM message)`,
		`SELECT count(*) FROM report WHERE message IS NOT NULL AND message NOT IN (SELECT seq FROM message)`,
		`SELECT count(*) FROM damaged`,
		`SELECT count(*) FROM message WHERE (ended_at <> 0) <> (state IN ('sent','delivered','undelivered','failed','expired','cancelled') OR state = 'uncertain' AND decide_at = 0)`,
		`SELECT count(*) FROM (SELECT state, class, count(*) n FROM message GROUP BY 1, 2 EXCEPT SELECT state, class, n FROM tally)`,
	} {
		var n sql.NullInt64
		require.NoError(b.t, b.db.Read().QueryRow(q).Scan(&n), q)
		require.Zero(b.t, n.Int64, q)
	}
}

// BenchmarkRetention deletes the texts, then the messages, of 100,000 that are
// due, and measures what a gate waits meanwhile.
func BenchmarkRetention(b *testing.B) {
	for range b.N {
		b.StopTimer()
		box := newBox(b)
		const n = 100_000
		fill(b, box, n)
		end := ms(box.clock.Now())
		require.NoError(b, box.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`UPDATE message SET state = 'sent', ended_at = ?`, end)
			return err
		}))
		ret := DefaultRetention()
		ret.Bulk = Keep{Body: 0, Metadata: 7 * day24}
		stop := make(chan struct{})
		waits := make(chan []time.Duration)
		go func() {
			var list []time.Duration
			for {
				select {
				case <-stop:
					waits <- list
					return
				case <-time.After(2 * time.Millisecond):
				}
				begun := time.Now()
				_ = box.db.Write(context.Background(), sqlite.Urgent, func(tx *sqlite.Tx) error {
					_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES ('gate', '') ON CONFLICT (key) DO UPDATE SET value = value || 'x'`)
					return err
				})
				list = append(list, time.Since(begun))
			}
		}()
		b.StartTimer()
		begun := time.Now()
		done := false
		for !done {
			var err error
			done, err = box.keepFor(context.Background(), ret, box.clock.Now(), time.Hour)
			require.NoError(b, err)
		}
		texts := time.Since(begun)
		box.clock.forward(8 * day24)
		begun = time.Now()
		_, err := box.keepFor(context.Background(), ret, box.clock.Now(), time.Hour)
		require.NoError(b, err)
		rows := time.Since(begun)
		b.StopTimer()
		close(stop)
		list := <-waits
		slices.Sort(list)
		require.NotEmpty(b, list)
		var left int
		require.NoError(b, box.db.Read().QueryRow(`SELECT count(*) FROM message`).Scan(&left))
		require.Zero(b, left)
		b.ReportMetric(n/texts.Seconds(), "texts/s")
		b.ReportMetric(n/rows.Seconds(), "messages/s")
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, "gate-p50-ms")
		b.ReportMetric(float64(list[len(list)*99/100].Microseconds())/1000, "gate-p99-ms")
		b.ReportMetric(float64(list[len(list)-1].Microseconds())/1000, "gate-max-ms")
	}
}
