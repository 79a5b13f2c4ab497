package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

const maria = "+34600111222"

// wrote has a number have written to a SIM, as the inbox notes it.
func (b *box) wrote(number, iccid string) {
	b.t.Helper()
	require.NoError(b.t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO conversation (number, last_at, last_text, last_in, iccid) VALUES (?, ?, '', 1, ?)
			ON CONFLICT (number) DO UPDATE SET iccid = excluded.iccid`, number, ms(b.clock.Now()), iccid)
		return err
	}))
}

// prefers reads what is stored of a preference.
func (b *box) prefers(m Message) (sim, wish string, until int64) {
	b.t.Helper()
	require.NoError(b.t, b.db.Read().QueryRow(`SELECT sim, wish, prefer_until FROM message WHERE seq = ?`, m.Seq).Scan(&sim, &wish, &until))
	return sim, wish, until
}

func TestAMessagePrefersTheSIMThatItsRecipientKnows(t *testing.T) {
	b := newBox(t)
	b.sees(3)
	first := b.submit(Request{To: []string{maria}})
	require.False(t, first.Preferred, "nobody has written or been written to")
	b.sent(line(2), 1)

	m := b.submit(Request{To: []string{maria}})
	require.Equal(t, line(2).ICCID, m.SIM, "the SIM that sent to her last")
	require.True(t, m.Preferred)
	require.Equal(t, m, b.get(m.ID))
	sim, wish, until := b.prefers(m)
	require.Equal(t, []any{line(2).ICCID, "", ms(b.clock.Now().Add(time.Minute))}, []any{sim, wish, until})
	require.Nil(t, b.claimed(line(1)))
	c, _ := b.gated(line(2))
	require.Equal(t, m.ID, c.Message.ID)
	require.Equal(t, WhySticky, c.Why)
	_, _, until = b.prefers(m)
	require.Zero(t, until, "a try ends it")

	b.wrote(maria, line(3).ICCID)
	require.Equal(t, line(3).ICCID, b.submit(Request{To: []string{maria}}).SIM, "the SIM that she wrote to goes before")

	other := b.submit(Request{To: []string{"+34600111333"}})
	require.Equal(t, "", other.SIM)
	b.clock.forward(stickyWithin + time.Hour)
	b.wrote("+34600111444", "8934999")
	require.Empty(t, b.submit(Request{To: []string{"+34600111444"}}).SIM, "a SIM that nobody knows")
}

func TestThePreferenceEndsByPatience(t *testing.T) {
	for class, patience := range map[Class]time.Duration{Alert: 5 * time.Second, Normal: time.Minute, Bulk: 30 * time.Second} {
		t.Run(string(class), func(t *testing.T) {
			b := newBox(t)
			b.sees(2)
			b.wrote(maria, line(2).ICCID)
			m := b.submit(Request{To: []string{maria}, Class: class})
			require.True(t, m.Preferred)
			begun := b.clock.Now()
			require.WithinDuration(t, begun.Add(patience), b.tended(), 0, "Wake is called again in time")
			b.clock.forward(patience - time.Millisecond)
			b.wake()
			require.Nil(t, b.claimed(line(1)))
			b.clock.forward(time.Millisecond)
			b.wake()
			c := b.claimed(line(1))
			require.NotNil(t, c)
			require.False(t, c.Message.Preferred)
		})
	}
}

func TestThePreferenceEndsWhenTheSIMCannotSend(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	b.sees(3)
	b.wrote(maria, line(2).ICCID)
	ready := 0
	b.OnReady(func() { ready++ })
	pinned := b.submit(Request{To: []string{maria}, SIM: line(2).ICCID})
	m := b.submit(Request{To: []string{maria}})
	require.False(t, pinned.Preferred)
	before := ready
	n, err := b.LetGo(ctx, line(3).ICCID)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = b.LetGo(ctx, line(2).ICCID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Greater(t, ready, before, "other lines look")
	require.Equal(t, m.ID, b.claimed(line(1)).Message.ID)
	require.Equal(t, line(2).ICCID, b.get(pinned.ID).SIM, "what was asked for stays")

	m = b.submit(Request{To: []string{maria}})
	require.True(t, m.Preferred)
	require.NoError(t, b.UpdateSIM(ctx, line(2).ICCID, SIMPatch{Paused: new(true)}))
	require.Equal(t, m.ID, b.claimed(line(1)).Message.ID)
	require.False(t, b.submit(Request{To: []string{maria}}).Preferred, "a SIM that is paused")
	require.NoError(t, b.UpdateSIM(ctx, line(2).ICCID, SIMPatch{Paused: new(false)}))
	m = b.submit(Request{To: []string{maria}})
	require.True(t, m.Preferred)
	require.NoError(t, b.UpdateSIM(ctx, line(2).ICCID, SIMPatch{Enabled: new(false)}))
	require.False(t, b.get(m.ID).Preferred)
	require.False(t, b.submit(Request{To: []string{maria}}).Preferred, "a SIM that is off")
}

func TestThePreferenceEndsAtARefusal(t *testing.T) {
	b := newBox(t)
	b.sees(2)
	b.wrote(maria, line(2).ICCID)
	give := func(o Outcome) Message {
		m := b.submit(Request{To: []string{maria}})
		require.True(t, m.Preferred)
		c := b.claimed(line(2))
		require.Equal(t, m.ID, c.Message.ID)
		o.Retry = true
		require.NoError(t, b.Unclaim(context.Background(), line(2).ICCID, c.Message.Seq, o))
		return b.get(m.ID)
	}
	m := give(Outcome{})
	require.True(t, m.Preferred, "untouched: as when a limit was reached between claim and gate")
	require.NotNil(t, b.claimed(line(2)))

	m = give(Outcome{AvoidSIM: true, Code: "cms_331", Class: "network"})
	require.False(t, m.Preferred)
	c := b.claimed(line(1))
	require.Equal(t, m.ID, c.Message.ID)

	m = give(Outcome{After: time.Second, Code: "cms_42", Class: "busy"})
	require.False(t, m.Preferred)

	// The same after the gate, and when the answer was lost.
	m = b.submit(Request{To: []string{maria}, Class: Alert})
	_, a := b.gated(line(2))
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "cms_331", Class: "network", Retry: true, AvoidSIM: true})
	require.Empty(t, b.get(m.ID).SIM)
	require.Equal(t, m.ID, b.claimed(line(1)).Message.ID)
	m = b.submit(Request{To: []string{maria}, Class: Alert})
	_, a = b.gated(line(2))
	b.outcome(a, lost())
	b.clock.forward(EvidenceWindow(Alert))
	b.wake()
	got := b.get(m.ID)
	require.Equal(t, Queued, got.State)
	require.Empty(t, got.SIM)
	require.False(t, got.Preferred)
}

func TestWhatPrefersNoSIM(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	b.wrote(maria, sims[1])
	require.False(t, b.submit(Request{To: []string{maria}, Class: OTP}).Preferred, "a code waits for nothing")
	b.route(Route{Name: "alerts", Classes: []Class{Alert}}, sims[0])
	require.False(t, b.submit(Request{To: []string{maria}, Class: Alert}).Preferred, "its route does not allow it")
	require.True(t, b.submit(Request{To: []string{maria}}).Preferred)

	require.NoError(t, b.UpdateSIM(ctx, sims[0], SIMPatch{Enabled: new(false)}))
	require.False(t, b.submit(Request{To: []string{maria}}).Preferred, "there is one SIM only")
}

// No more prefer a SIM than it can send while they are patient: the others keep the
// other SIMs busy.
func TestNoMorePreferASIMThanItCanSend(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	var to []string
	for i := range 100 {
		to = append(to, fmt.Sprintf("+346001%05d", i))
		b.wrote(to[i], sims[1])
	}
	prefer := func(r Request) (n int) {
		res, err := b.Submit(ctx, r, nil)
		require.NoError(t, err)
		for _, m := range res.Messages {
			if m.Preferred {
				n++
			}
		}
		return n
	}
	most := func(c Class) int { return int(patience[c] / stickyPace) }
	require.Equal(t, most(Bulk), prefer(Request{To: to, Text: "x", Class: Bulk}))
	require.Zero(t, prefer(Request{To: to, Text: "y", Class: Bulk}))
	require.Equal(t, most(Normal), prefer(Request{To: to, Text: "x"}), "bulk goes behind")
	require.Zero(t, prefer(Request{To: to[:1], Text: "y"}))
	require.Equal(t, most(Alert), prefer(Request{To: to, Text: "x", Class: Alert}))
	_, err := b.LetGo(ctx, sims[1])
	require.NoError(t, err)
	require.Equal(t, 1, prefer(Request{To: to[:1], Text: "z", Class: Bulk}))
}

func TestAScheduledMessageIsPatientWhenItIsDue(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	m := b.submit(Request{To: []string{maria}, SendAt: b.clock.Now().Add(time.Hour)})
	b.wrote(maria, sims[1]) // since then
	require.False(t, b.get(m.ID).Preferred)
	b.clock.forward(time.Hour)
	b.wake()
	got := b.get(m.ID)
	require.Equal(t, Queued, got.State)
	require.True(t, got.Preferred)
	_, _, until := b.prefers(m)
	require.Equal(t, ms(b.clock.Now().Add(patience[Normal])), until)
	b.clock.forward(patience[Normal])
	b.wake()
	require.Equal(t, m.ID, b.claimed(line(1)).Message.ID)
}

// A wait that another clock has made endless ends; what was switched off while the
// box was off is let go; a restart alone changes nothing.
func TestAPreferenceOverARestart(t *testing.T) {
	b := newBox(t)
	sims := b.sees(3)
	b.wrote(maria, sims[1])
	b.wrote("+34600111333", sims[2])
	m := b.submit(Request{To: []string{maria}})
	off := b.submit(Request{To: []string{"+34600111333"}})
	require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`UPDATE sim SET enabled = 0 WHERE iccid = ?`, sims[2]); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE message SET prefer_until = prefer_until + 86400000 WHERE seq = ?`, m.Seq)
		return err
	}))
	b.restart()
	require.True(t, b.get(m.ID).Preferred)
	require.False(t, b.get(off.ID).Preferred)
	b.clock.forward(longestPatience)
	b.wake()
	require.False(t, b.get(m.ID).Preferred)
}

// A long message that has begun is bound, not preferring: neither patience nor LetGo
// takes the rest of it elsewhere; and a preferring one is not taken for a bound one
// when its SIM has gone.
func TestWhatIsBoundIsNotLetGo(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	b.wrote(maria, sims[1])
	long := b.submit(Request{To: []string{maria}, Text: strings.Repeat("largo ", 60), Delivery: AtLeastOnce})
	require.True(t, long.Preferred)
	require.NoError(t, b.SIMGone(ctx, sims[1]))
	require.True(t, b.get(long.ID).Preferred, "it is not bound: patience frees it")
	seqs, err := b.bound(ctx, sims[1])
	require.NoError(t, err)
	require.Empty(t, seqs)
	_, a := b.gated(line(2))
	b.outcome(a, accepted(7))
	got := b.get(long.ID)
	require.Equal(t, []any{Sending, sims[1], false}, []any{got.State, got.SIM, got.Preferred})
	n, err := b.LetGo(ctx, sims[1])
	require.NoError(t, err)
	require.Zero(t, n)
	b.clock.forward(time.Hour)
	b.wake()
	require.Nil(t, b.claimed(line(1)))
	require.Equal(t, long.ID, b.claimed(line(2)).Message.ID)
}

func TestACancelledMessagePrefersNothing(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	b.wrote(maria, sims[1])
	m := b.submit(Request{To: []string{maria}})
	got, err := b.Cancel(context.Background(), m.ID)
	require.NoError(t, err)
	require.Empty(t, got.SIM)
	sim, _, until := b.prefers(m)
	require.Empty(t, sim)
	require.Zero(t, until)
}

// TestNobodyKnowsNoSIM: of a request none of whose numbers can be used nothing is looked up.
func TestNobodyKnowsNoSIM(t *testing.T) {
	b := newBox(t)
	known, err := b.Store.known(t.Context(), b.db.Read(), nil)
	require.NoError(t, err)
	require.Empty(t, known)
}

// To prefer a SIM is a convenience: what cannot be read for it hinders no message.
func TestWhatCannotBeReadOfAPreferenceHindersNothing(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	b.wrote(maria, sims[1])
	require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DROP INDEX message_to`)
		return err
	}))
	m := b.submit(Request{To: []string{maria}})
	require.False(t, m.Preferred)
	require.NotNil(t, b.claimed(line(1)))
}
