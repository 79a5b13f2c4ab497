package queue

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heldDamages are damages and what else hinders a decision over held messages.
var heldDamages = func() map[string]string {
	all := maps.Clone(damages)
	all["end torn"] = `UPDATE message SET expires_at = x'ff', ended_at = 'x' WHERE seq = ?`
	all["state of segment torn"] = `UPDATE segment SET mr = 'x', sent_at = x'ff' WHERE message = ?`
	all["next torn"] = `UPDATE message SET next = 'x', attempts = 'x', ambiguous = x'ff' WHERE seq = ?`
	all["class gone"] = `UPDATE message SET class = NULL WHERE seq = ?`
	all["class unknown"] = `UPDATE message SET class = 'none', delivery = x'ff' WHERE seq = ?`
	return all
}()

// spoilRow damages a row past the schema's checks, as a disk does.
func (b *box) spoilRow(query string, args ...any) {
	b.t.Helper()
	schema := func(a, b string) string {
		return `UPDATE sqlite_master SET sql = replace(sql, '` + a + `', '` + b + `') WHERE name = 'message'`
	}
	const strict, loose = "class      TEXT NOT NULL", "class      TEXT"
	b.raw(`PRAGMA writable_schema = ON`)
	b.raw(schema(strict, loose))
	b.raw(`PRAGMA writable_schema = RESET`)
	b.raw(`PRAGMA ignore_check_constraints = ON`)
	b.raw(query, args...)
	b.raw(`PRAGMA ignore_check_constraints = OFF`)
}

// Damaged rows among those that are held, released or discarded: the others are as
// they should be, and of them nothing leaves.
func TestDamagedRowsHinderNoHold(t *testing.T) {
	for what, do := range map[string]func(b *box) (State, error){
		"hold": func(b *box) (State, error) {
			_, err := b.HoldAll(context.Background(), ReasonRestored)
			return Held, err
		},
		"release": func(b *box) (State, error) {
			_, err := b.Release(context.Background(), HeldFilter{}, "ana")
			return Queued, err
		},
		"release what is over": func(b *box) (State, error) {
			b.clock.forward(8 * 24 * time.Hour)
			_, err := b.Release(context.Background(), HeldFilter{}, "ana")
			return Expired, err
		},
		"discard": func(b *box) (State, error) {
			_, err := b.Discard(context.Background(), HeldFilter{}, "ana")
			return Cancelled, err
		},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBox(t)
			first := b.submit(Request{To: []string{"+34600111001"}})
			b.raw(`UPDATE message SET not_before = 1 << 50 WHERE seq = ?`, first.Seq)
			bad := map[string]Message{}
			for name := range heldDamages {
				bad[name] = b.submit(Request{Text: name})
				_, a := b.gated(line(1))
				b.outcome(a, lost())
			}
			tried := b.submit(Request{To: []string{"+34600111002"}})
			_, a := b.gated(line(1))
			b.outcome(a, lost())
			last := b.submit(Request{To: []string{"+34600111003"}})
			b.clock.forward(4 * time.Minute)
			b.wake() // those that lost an answer may go again
			b.raw(`UPDATE message SET not_before = 0 WHERE seq = ?`, first.Seq)
			if what != "hold" {
				b.holdAll(ReasonRestored)
			}
			for name, damage := range heldDamages {
				b.spoilRow(damage, bad[name].Seq)
			}

			want, err := do(b)
			require.NoError(t, err)
			require.Equal(t, want, b.get(first.ID).State)
			require.Equal(t, want, b.get(last.ID).State)
			require.Contains(t, []State{want, Uncertain}, b.get(tried.ID).State)
			ended := b.get(bad["class gone"].ID)
			require.Equal(t, []any{Uncertain, ErrorCorrupt}, []any{ended.State, ended.Error.Code})
			require.Positive(t, b.noted())
			left := append(b.sendAll(line(1)), b.sendAll(line(2))...)
			for name, m := range bad {
				if !strings.HasPrefix(name, "attempt ") { // nothing that is sent is damaged
					require.NotContains(t, left, m.Segments[0].TPDU, name)
				}
			}
		})
	}
}

// A SIM that is gone, and long messages that wait for it are damaged: they end, and
// the others go on another.
func TestDamagedRowsStayWithNoSIM(t *testing.T) {
	b := newBox(t)
	bad := map[string]Message{}
	one := func(to string) Message {
		m := b.submit(Request{Class: Alert, Text: strings.Repeat("largo ", 60), To: []string{to}})
		b.sent(line(1), 10)
		b.raw(`UPDATE message SET not_before = 1 << 50 WHERE seq = ?`, m.Seq)
		return m
	}
	for name := range heldDamages {
		bad[name] = one("+34600111003")
	}
	bad["text changed"] = one("+34600111003")
	good := one("+34600111004")
	b.raw(`UPDATE message SET not_before = 0`)
	for name, m := range bad {
		damage := heldDamages[name]
		switch name {
		case "segment renamed":
			damage += ` AND n = 1`
		case "text changed":
			damage = `UPDATE message SET text = text || 'x' WHERE seq = ?`
		}
		b.spoilRow(damage, m.Seq)
	}
	require.NoError(t, b.SIMGone(context.Background(), line(1).ICCID))
	require.True(t, b.get(good.ID).PossibleDuplicate)
	for _, name := range []string{"class gone", "text changed"} {
		got := b.get(bad[name].ID)
		require.Equal(t, []any{Failed, ReasonPartial, ErrorCorrupt}, []any{got.State, got.Reason, got.Error.Code}, name)
	}
	require.Positive(t, b.noted())
}
