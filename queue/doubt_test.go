package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A message that may have arrived never ends as if it had not.
func TestAMessageThatMayHaveArrivedIsNeitherExpiredNorFailed(t *testing.T) {
	ctx := context.Background()
	refusal := Outcome{Verdict: Rejected, MR: -1, Code: "cms_21", Class: "sim", Detail: "refused", Reason: "rejected"}
	lostThenQueued := func(b *box, r Request) (m Message, gate time.Time) {
		m = b.submit(r)
		_, a := b.gated(line(1))
		gate = b.clock.Now()
		b.outcome(a, lost())
		b.clock.forward(3 * time.Minute)
		b.wake()
		require.Equal(t, Queued, b.get(m.ID).State)
		return m, gate
	}
	ends := map[string]func(b *box, m Message){
		"its validity is over": func(b *box, _ Message) {
			b.clock.forward(10 * time.Minute)
			b.wake()
		},
		"the retry is refused for good": func(b *box, _ Message) {
			_, a := b.gated(line(2))
			b.outcome(a, refusal)
		},
		"the retry is given up before its gate": func(b *box, m Message) {
			c := b.claimed(line(2))
			require.NoError(t, b.Unclaim(ctx, line(2).ICCID, c.Message.Seq, Outcome{Verdict: NotSent, Code: "fdn", Reason: "rejected"}))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for _, then := range []string{ResolveResend, ResolveSent, ResolveFailed, "report", "late answer"} {
				b := newBox(t)
				m, gate := lostThenQueued(b, Request{ValidFor: 10 * time.Minute})
				end(b, m)
				got := b.get(m.ID)
				require.Equal(t, Uncertain, got.State)
				require.Equal(t, ReasonNoEvidence, got.Reason)
				require.Equal(t, SegmentUncertain, got.Segments[0].State)
				require.NotNil(t, got.Error)
				require.Equal(t, []string{"message.uncertain", "message.uncertain"}, b.events())
				require.Nil(t, b.claimed(line(2)))
				b.clock.forward(time.Hour)
				b.wake()
				require.Equal(t, Uncertain, b.get(m.ID).State, "for good")
				switch then {
				case "report":
					b.report(line(1), m.To, 5, stDelivered, gate)
					require.Equal(t, Delivered, b.get(m.ID).State)
				case "late answer":
					b.outcome(1, accepted(5))
					require.Equal(t, Sent, b.get(m.ID).State)
				default:
					got, err := b.Resolve(ctx, m.ID, then, "eva")
					require.NoError(t, err)
					require.Equal(t, map[string]State{ResolveResend: Queued, ResolveSent: Sent, ResolveFailed: Failed}[then], got.State)
				}
			}
		})
	}
	t.Run("between two segments", func(t *testing.T) {
		b := newBox(t)
		m := b.submit(Request{ValidFor: 10 * time.Minute, Text: strings.Repeat("x", 300)})
		b.sent(line(1), 1)
		_, a := b.gated(line(1))
		b.outcome(a, lost())
		b.clock.forward(3 * time.Minute)
		b.wake()
		b.clock.forward(10 * time.Minute)
		b.wake()
		require.Equal(t, Uncertain, b.get(m.ID).State, "both may have arrived")
		b.outcome(a, accepted(2))
		require.Equal(t, Sent, b.get(m.ID).State)
	})
	t.Run("what nobody lost still ends", func(t *testing.T) {
		b := newBox(t)
		m := b.submit(Request{ValidFor: 10 * time.Minute, Text: strings.Repeat("x", 300)})
		_, a := b.gated(line(1))
		b.outcome(a, lost())
		b.outcome(a, accepted(1))
		_, a = b.gated(line(1))
		b.outcome(a, refusal)
		require.Equal(t, Failed, b.get(m.ID).State)
	})
}

// The first try's late refusal says nothing of the second, whose answer was
// lost as well.
func TestALateRefusalOfOneTryDoesNotDecideTheOther(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert})
	_, first := b.gated(line(1))
	b.outcome(first, lost())
	b.clock.forward(20 * time.Second)
	b.wake()
	_, second := b.gated(line(2))
	b.outcome(second, lost())
	b.outcome(first, Outcome{Verdict: Rejected, MR: -1, Code: "cms_38", Class: "network", Retry: true})
	require.Equal(t, Uncertain, b.get(m.ID).State)
	require.Equal(t, b.clock.Now().Add(20*time.Second), b.tended(), "the window of the second runs on")
	b.outcome(second, Outcome{Verdict: Rejected, MR: -1, Code: "cms_1", Class: "recipient", Reason: "rejected"})
	require.Equal(t, Failed, b.get(m.ID).State, "now both are known")
}
