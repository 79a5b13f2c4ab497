package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// noted are the messages that are known to be damaged.
func (b *box) noted() int {
	b.t.Helper()
	n, _, err := b.Damaged(context.Background(), 1)
	require.NoError(b.t, err)
	return n
}

// damages are what can befall the rows of a message that has been tried; ? its seq.
var damages = map[string]string{
	"segment gone":    `DELETE FROM segment WHERE message = ?`,
	"segment renamed": `UPDATE segment SET n = 9 WHERE message = ?`,
	"attempt renamed": `UPDATE attempt SET n = n + 4 WHERE message = ?`,
	"attempt torn":    `UPDATE attempt SET gate_at = x'ff' WHERE message = ?`,
	"message torn":    `UPDATE message SET created_at = 'x', valid_ms = x'ff' WHERE seq = ?`,
	"number torn":     `UPDATE message SET edition = x'ff' WHERE seq = ?`,
}

// Damage after the gate, and Recado ends: the next start ends the message, takes
// it for one that may have arrived, and sends the others.
func TestADamagedRowDoesNotKeepRecadoFromStarting(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			bad := b.submit(Request{Class: Alert})
			b.gated(line(1))
			other := b.submit(Request{To: []string{"+34600111003"}})
			b.gated(line(2))
			good := b.submit(Request{To: []string{"+34600111004"}})
			b.raw(damage, bad.Seq)

			b.restart()
			got := b.get(bad.ID)
			require.Equal(t, Uncertain, got.State)
			require.Equal(t, ReasonAnswerLost, b.get(other.ID).Reason)
			var open int
			require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM attempt WHERE phase = 'prepared'`).Scan(&open))
			require.Zero(t, open)
			require.Equal(t, [][]byte{good.Segments[0].TPDU}, b.sendAll(line(1)))
			b.restart()
			b.clock.forward(time.Hour)
			b.wake()
			for _, left := range b.sendAll(line(2)) {
				require.NotEqual(t, bad.Segments[0].TPDU, left)
			}
			if name != "attempt torn" { // which is made whole by its end
				got := b.get(bad.ID)
				require.Equal(t, []any{Uncertain, ReasonNoEvidence}, []any{got.State, got.Reason})
				require.Equal(t, ErrorCorrupt, got.Error.Code)
				require.Contains(t, got.Error.Detail, "may have arrived; it is not sent again")
				require.Equal(t, 1, b.noted())
			}
		})
	}
}

// The answer comes after the damage: it is kept, and the line goes on.
func TestAnAnswerForADamagedMessageIsKept(t *testing.T) {
	for name, damage := range damages {
		for verdict, o := range map[string]Outcome{
			"accepted": accepted(3), "lost": lost(),
			"refused": {Verdict: Rejected, MR: -1, Code: "38", Class: "network", Detail: "refused", Reason: ReasonRejected},
		} {
			t.Run(name+" "+verdict, func(t *testing.T) {
				b := newBox(t)
				bad := b.submit(Request{Class: Alert})
				_, a := b.gated(line(1))
				good := b.submit(Request{To: []string{"+34600111004"}})
				b.raw(damage, bad.Seq)

				l := line(1)
				o.At = b.clock.Now()
				c, err := b.Outcome(context.Background(), a, o, &l)
				require.NoError(t, err)
				require.NotNil(t, c)
				require.Equal(t, good.ID, c.Message.ID)
				var phase string
				require.NoError(t, b.db.Read().QueryRow(`SELECT phase FROM attempt WHERE id = ?`, a).Scan(&phase))
				require.Equal(t, "done", phase)
				got := b.get(bad.ID)
				switch {
				case name == "attempt torn", verdict == "accepted" && got.State == Sent:
				case verdict == "refused":
					require.Equal(t, Failed, got.State)
				default:
					require.Equal(t, Uncertain, got.State)
				}
				b.restart()
				b.clock.forward(time.Hour)
				b.wake()
				for _, left := range append(b.sendAll(line(1)), b.sendAll(line(2))...) {
					if name != "attempt torn" {
						require.NotEqual(t, bad.Segments[0].TPDU, left)
					}
				}
			})
		}
	}
}

// A late refusal of what lost its answer, and of which it is then known that
// nothing of it left.
func TestALateRefusalEndsADamagedMessage(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert})
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	b.raw(damages["segment gone"], m.Seq)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "38", Retry: true})
	got := b.get(m.ID)
	require.Equal(t, []any{Failed, ReasonCorrupt}, []any{got.State, got.Reason})
	require.Equal(t, 1, b.noted())
}

// A report for a damaged message is taken off the modem.
func TestAReportForADamagedMessageIsKept(t *testing.T) {
	long := strings.Repeat("largo ", 60)
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			m := b.submit(Request{Text: long})
			for i := range m.Segments {
				b.sent(line(1), 10+i)
			}
			if name == "segment gone" || name == "segment renamed" {
				damage += ` AND n = 1`
			}
			b.raw(damage, m.Seq)
			for i := range m.Segments {
				b.report(line(1), m.To, 10+i, 0, b.clock.Now())
			}
			var kept int
			require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM report`).Scan(&kept))
			require.Equal(t, len(m.Segments), kept)
			require.True(t, b.get(m.ID).State.sent())
			b.restart()
			require.True(t, b.get(m.ID).State.sent())
		})
	}
}
