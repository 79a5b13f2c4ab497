package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/pdu"
)

func (b *box) gone(l Line) {
	b.t.Helper()
	require.NoError(b.t, b.SIMGone(context.Background(), l.ICCID))
}

// refs are the concatenation references that a message's segments carry.
func refs(t *testing.T, m Message) (list []uint16) {
	for _, g := range m.Segments {
		c := pdu.DecodeSubmit(g.TPDU).Concat
		require.NotNil(t, c)
		list = append(list, c.Ref)
	}
	return list
}

func TestALongAlertWhoseSIMIsGoneGoesWholeOnAnother(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 300), strings.Repeat("ж", 100)} {
		for _, what := range []string{"a segment had left", "an answer was lost"} {
			b := newBox(t)
			one, two := line(1), line(2)
			m := b.submit(Request{Class: Alert, Text: text, Flash: true})
			require.Len(t, m.Segments, 2)
			_, first := b.gated(one)
			gate := b.clock.Now()
			b.clock.forward(time.Second)
			if what == "a segment had left" {
				b.outcome(first, accepted(1))
			} else {
				b.outcome(first, lost())
				b.gone(one)
				require.Equal(t, Uncertain, b.get(m.ID).State, "evidence may still come")
				b.clock.forward(20 * time.Second)
				b.wake()
			}
			require.Nil(t, b.claimed(two), "the phone puts together only what comes from one SIM")
			b.gone(line(3))
			require.Nil(t, b.claimed(two), "another SIM's going says nothing")
			b.gone(one)
			got := b.get(m.ID)
			require.Equal(t, Queued, got.State, what)
			require.True(t, got.PossibleDuplicate)
			require.Empty(t, got.SIM)
			old, now := refs(t, m), refs(t, got)
			require.Equal(t, now[0], now[1])
			require.NotEqual(t, old[0], now[0], "a new reference: the phone must not mix them")
			require.Equal(t, pdu.DecodeSubmit(m.Segments[1].TPDU).Text, pdu.DecodeSubmit(got.Segments[1].TPDU).Text)
			require.Len(t, got.Segments[0].TPDU, len(m.Segments[0].TPDU), "else the same: class, validity, report")

			// The reports and late answers of the old segments do not count for the new.
			if what == "an answer was lost" {
				b.outcome(first, accepted(1))
			}
			b.report(one, m.To, 1, stDelivered, gate)
			require.Equal(t, SegmentPending, b.get(m.ID).Segments[0].State)
			for n := range 2 {
				c, a := b.gated(two)
				require.Equal(t, n, c.Next)
				b.clock.forward(time.Second)
				b.outcome(a, accepted(7+n))
				require.Nil(t, b.claimed(line(3)), "bound to the new SIM")
				b.clock.forward(time.Second)
			}
			require.Equal(t, Sent, b.get(m.ID).State)
			b.report(two, m.To, 7, stDelivered, b.clock.Now().Add(-3*time.Second))
			b.report(two, m.To, 8, stDelivered, b.clock.Now())
			require.Equal(t, Delivered, b.get(m.ID).State, what)
			require.Equal(t, []string{"message.sent", "message.delivered"}, b.events()[max(0, len(b.events())-2):])
			lines, err := b.Timeline(context.Background(), m.ID)
			require.NoError(t, err)
			var seen []string
			for _, e := range lines {
				seen = append(seen, e.Event)
			}
			require.Contains(t, seen, "retry")
			b.gone(two)
			require.Equal(t, Delivered, b.get(m.ID).State)
		}
	}
}

func TestWhatWaitsForASIMThatIsGone(t *testing.T) {
	one, two := line(1), line(2)
	long := strings.Repeat("x", 300)
	for _, r := range []Request{
		{Class: Normal}, {Class: Bulk}, {Class: OTP}, {Class: Alert, Delivery: AtMostOnce},
		{Class: Alert, SIM: one.ICCID}, // a person wants this SIM
	} {
		b := newBox(t)
		r.Text = long
		m := b.submit(r)
		b.sent(one, 1)
		b.gone(one)
		got := b.get(m.ID)
		require.Equal(t, Sending, got.State, "%s %s", m.Class, m.Delivery)
		require.Equal(t, one.ICCID, got.SIM)
		require.Equal(t, refs(t, m), refs(t, got))
		require.Nil(t, b.claimed(two))
	}

	b := newBox(t)
	// Nor is one taken whose segment is on its way right now.
	m := b.submit(Request{Class: Alert, Text: long, To: []string{"+34600111229"}})
	_, a := b.gated(two)
	b.gone(two)
	b.outcome(a, accepted(1))
	require.Equal(t, refs(t, m), refs(t, b.get(m.ID)))
	b.restart()
	b.gone(two)
	require.NotEqual(t, refs(t, m), refs(t, b.get(m.ID)))
}

// Lost answers count over editions: ten, then nobody sends it again. And what
// may have arrived does not expire.
func TestAMovedMessageKeepsItsBudgetAndItsDoubt(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert, Text: strings.Repeat("x", 300)})
	for n := 1; n <= mostTries; n++ {
		_, a := b.gated(line(n))
		b.outcome(a, lost())
		b.clock.forward(20 * time.Second)
		b.wake()
		b.gone(line(n))
	}
	got := b.get(m.ID)
	require.Equal(t, Uncertain, got.State)
	require.Equal(t, ReasonNoEvidence, got.Reason)
	require.Equal(t, mostTries, got.Attempts)

	m = b.submit(Request{Class: Alert, Text: strings.Repeat("y", 300)})
	_, a := b.gated(line(1))
	b.outcome(a, lost())
	b.clock.forward(20 * time.Second)
	b.wake()
	b.gone(line(1))
	require.Equal(t, Queued, b.get(m.ID).State)
	b.clock.forward(25 * time.Hour)
	b.wake()
	require.Equal(t, Uncertain, b.get(m.ID).State)
}
