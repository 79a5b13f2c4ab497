package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	stDelivered = 0x00
	stTrying    = 0x30
	stFailed    = 0x43
	stGaveUp    = 0x63
	stReserved  = 0x90
)

func TestReportsEndAMessage(t *testing.T) {
	for _, row := range []struct {
		st   uint8
		want State
	}{{stDelivered, Delivered}, {0x01, Delivered}, {0x02, Delivered}, {stTrying, Sent}, {stFailed, Undelivered}, {stGaveUp, Undelivered}, {stReserved, Sent}} {
		b := newBox(t)
		l := line(1)
		m := b.submit(Request{})
		b.sent(l, 5)
		b.clock.forward(3 * time.Second)
		b.report(l, m.To, 5, row.st, b.clock.Now().Add(-3*time.Second))
		got := b.get(m.ID)
		require.Equal(t, row.want, got.State, "%#x", row.st)
		require.Equal(t, int(row.st), got.Segments[0].ReportStatus)
		if row.want == Delivered {
			require.Equal(t, b.clock.Now(), got.DeliveredAt)
		}
		if row.want == Undelivered {
			require.Equal(t, fmt.Sprintf("report_%02x", row.st), got.Error.Code)
		}
		require.Nil(t, b.claimed(l))
	}
}

func TestATemporaryStatusIsNotTheEnd(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{})
	b.sent(l, 5)
	sent := b.clock.Now()
	b.report(l, m.To, 5, stTrying, sent)
	b.clock.forward(time.Hour)
	b.report(l, m.To, 5, stDelivered, sent)
	require.Equal(t, Delivered, b.get(m.ID).State)
	b.clock.forward(time.Hour)
	b.report(l, m.To, 5, stTrying, sent)
	b.report(l, m.To, 5, stFailed, sent)
	require.Equal(t, Delivered, b.get(m.ID).State)
	require.Equal(t, []string{"message.sent", "message.delivered"}, b.events())
}

func TestAReportCountsOnce(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{})
	b.sent(l, 5)
	in := b.reportIn(l, m.To, 5, stDelivered, b.clock.Now())
	for range 3 {
		require.NoError(t, b.Report(context.Background(), in))
	}
	var n, dup int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*), max(dup_count) FROM report`).Scan(&n, &dup))
	require.Equal(t, []int{1, 2}, []int{n, dup})
	require.Equal(t, []string{"message.sent", "message.delivered"}, b.events())
	require.Error(t, b.Report(context.Background(), ReportIn{}), "no status report")
}

func TestALongMessageIsDeliveredWithItsLastSegment(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Text: strings.Repeat("x", 400)})
	sent := b.clock.Now()
	for mr := 1; mr <= 3; mr++ {
		b.sent(l, mr)
	}
	b.report(l, m.To, 3, stDelivered, sent)
	b.report(l, m.To, 1, stDelivered, sent)
	require.Equal(t, Sent, b.get(m.ID).State)
	b.report(l, m.To, 2, stDelivered, sent)
	require.Equal(t, Delivered, b.get(m.ID).State)
}

// A report that is quicker than the commit of +CMGS, or comes before a
// restart, finds its message all the same.
func TestAnEarlyReportIsKept(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{})
	_, a := b.gated(l)
	b.report(l, m.To, 5, stDelivered, b.clock.Now())
	require.Equal(t, Sending, b.get(m.ID).State)
	b.outcome(a, accepted(5))
	require.Equal(t, Delivered, b.get(m.ID).State)
	require.Equal(t, []string{"message.sent", "message.delivered"}, b.events())

	m = b.submit(Request{Class: OTP})
	_, _ = b.gated(l)
	b.report(l, m.To, 6, stDelivered, b.clock.Now())
	b.restart() // the +CMGS never came; the report proves it
	require.Equal(t, Delivered, b.get(m.ID).State)
	require.Equal(t, 6, b.get(m.ID).Segments[0].MR)
}

func TestAReportProvesALostSubmission(t *testing.T) {
	b := newBox(t)
	l := line(1)
	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
	b.submit(Request{})
	b.sent(l, 41) // the next is 42
	one := b.submit(Request{Class: OTP})
	_, a := b.gated(l)
	gate := b.clock.Now()
	b.outcome(a, lost())
	b.clock.forward(30 * time.Hour) // long after the window
	b.wake()
	require.Equal(t, ReasonNoEvidence, b.get(one.ID).Reason)
	b.report(l, "0034600111222", 42, stDelivered, gate.Add(3*time.Second))
	got := b.get(one.ID)
	require.Equal(t, Delivered, got.State)
	require.Empty(t, got.Reason)
	require.Nil(t, got.Error)

	// Two to one number: the MR after the SIM's last tells which.
	b.submit(Request{})
	b.sent(l, 99)
	two := b.submit(Request{Class: OTP})
	_, a = b.gated(l)
	b.outcome(a, lost())
	three := b.submit(Request{Class: OTP, To: []string{"+34600999888"}})
	b.sent(l, 101)
	four := b.submit(Request{Class: OTP})
	_, a = b.gated(l)
	b.outcome(a, lost())
	b.report(l, two.To, 102, stDelivered, b.clock.Now())
	require.Equal(t, Delivered, b.get(four.ID).State)
	require.Equal(t, Uncertain, b.get(two.ID).State)
	require.Equal(t, Sent, b.get(three.ID).State)
	// Outside its time it proves nothing.
	b.report(l, two.To, 7, stDelivered, b.clock.Now().Add(-time.Hour))
	require.Equal(t, Uncertain, b.get(two.ID).State)
}

// A planned retry is called off when a report shows that the first try arrived.
func TestEvidenceCallsARetryOff(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Class: Alert})
	_, a := b.gated(l)
	gate := b.clock.Now()
	b.outcome(a, lost())
	b.clock.forward(20 * time.Second)
	b.wake()
	c := b.claimed(line(2))
	require.Equal(t, m.ID, c.Message.ID)
	b.report(l, m.To, 5, stDelivered, gate)
	_, err := b.Gate(context.Background(), line(2), c.Message.Seq, 1)
	require.ErrorIs(t, err, ErrNotClaimed)
	require.Equal(t, Delivered, b.get(m.ID).State)
	require.Nil(t, b.claimed(line(2)))
}

// Both tries were accepted: one row says so, and the other that it is the
// second; reports of both find the message.
func TestBothTriesOfAnAlertWereAccepted(t *testing.T) {
	b := newBox(t)
	one, two := line(1), line(2)
	m := b.submit(Request{Class: Alert})
	_, first := b.gated(one)
	gate := b.clock.Now()
	b.outcome(first, lost())
	b.clock.forward(20 * time.Second)
	b.wake()
	_, second := b.gated(two)
	b.report(one, m.To, 5, stDelivered, gate) // while the second is open
	b.outcome(second, accepted(9))
	got := b.get(m.ID)
	require.Equal(t, Delivered, got.State)
	require.True(t, got.PossibleDuplicate)
	b.report(two, m.To, 9, stDelivered, b.clock.Now())
	lines, err := b.Timeline(context.Background(), m.ID)
	require.NoError(t, err)
	var verdicts []string
	reports := 0
	for _, e := range lines {
		if e.Event == TimelineAnswer {
			verdicts = append(verdicts, e.Verdict)
		}
		if e.Event == TimelineReport {
			reports++
		}
	}
	require.Equal(t, []string{"accepted", "duplicate"}, verdicts)
	require.Equal(t, 2, reports)
}

func TestReportsFindTheRightMessage(t *testing.T) {
	b := newBox(t)
	l := line(1)
	// MR wraps at 256: 300 messages to one number, every report at its time.
	type one struct {
		id   string
		mr   int
		sent time.Time
	}
	var all []one
	for i := range 300 {
		m := b.submit(Request{Class: Bulk})
		b.sent(l, i%256)
		all = append(all, one{m.ID, i % 256, b.clock.Now()})
		b.clock.forward(4 * time.Second)
	}
	b.clock.forward(time.Minute)
	for i := len(all) - 1; i >= 0; i-- { // in the wrong order
		b.report(l, "+34600111222", all[i].mr, stDelivered, all[i].sent.Truncate(time.Second))
		require.Equal(t, Delivered, b.get(all[i].id).State, i)
	}
}

func TestReportsOfOtherSIMsAndNumbers(t *testing.T) {
	b := newBox(t)
	one, two := line(1), line(2)
	a := b.submit(Request{To: []string{"+34600111222"}, SIM: one.ICCID})
	b.sent(one, 5)
	c := b.submit(Request{To: []string{"+34600111222"}, SIM: two.ICCID})
	b.sent(two, 5)
	d := b.submit(Request{To: []string{"+34699888777"}, SIM: one.ICCID})
	b.sent(one, 6)
	now := b.clock.Now()
	b.report(two, "34600111222", 5, stDelivered, now)
	require.Equal(t, []State{Sent, Delivered, Sent}, []State{b.get(a.ID).State, b.get(c.ID).State, b.get(d.ID).State})
	b.report(one, "+34600000000", 6, stDelivered, now)
	require.Equal(t, Sent, b.get(d.ID).State, "another number's report")
	b.report(line(3), "+34699888777", 6, stDelivered, now)
	require.Equal(t, Delivered, b.get(d.ID).State, "the SIM is another, but only one message fits")
	b.report(one, "600111222", 5, stDelivered, now)
	require.Equal(t, Delivered, b.get(a.ID).State, "without country code")
}

// Test networks and some service centres stamp nonsense; SIM, number and MR
// still tell.
func TestAReportWithAWrongClock(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{})
	b.sent(l, 5)
	b.report(l, m.To, 5, stDelivered, time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC))
	require.Equal(t, Delivered, b.get(m.ID).State)
	m = b.submit(Request{})
	b.sent(l, 6)
	b.report(l, m.To, 6, stDelivered, time.Time{})
	require.Equal(t, Delivered, b.get(m.ID).State)
}

func TestAnExactTimeStampDecides(t *testing.T) {
	b := newBox(t)
	l := line(1)
	stamp := b.clock.Now().Add(-8 * time.Hour) // the centre's clock is far off, and says so in +CMGS
	first := b.submit(Request{})
	_, a := b.gated(l)
	b.outcome(a, Outcome{Verdict: Accepted, MR: 5, SCTS: stamp})
	second := b.submit(Request{})
	_, a = b.gated(l)
	b.outcome(a, Outcome{Verdict: Accepted, MR: 5, SCTS: stamp.Add(time.Second)})
	b.report(l, first.To, 5, stDelivered, stamp)
	require.Equal(t, Delivered, b.get(first.ID).State)
	require.Equal(t, Sent, b.get(second.ID).State)
}

// A report of the first segment does not take the second from the line that
// has claimed it; one that shows the claimed segment itself as sent does.
func TestAReportBetweenClaimAndGate(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	m := b.submit(Request{Text: strings.Repeat("x", 400)})
	b.sent(l, 1)
	c := b.claimed(l)
	require.Equal(t, 1, c.Next)
	b.report(l, m.To, 1, stDelivered, b.clock.Now())
	a, err := b.Gate(ctx, l, m.Seq, 2)
	require.NoError(t, err)
	gate := b.clock.Now()
	b.outcome(a, lost())
	b.clock.forward(3 * time.Minute)
	b.wake()
	c = b.claimed(l)
	require.Equal(t, 1, c.Next, "the lost segment again")
	b.report(l, m.To, 2, stDelivered, gate)
	_, err = b.Gate(ctx, l, m.Seq, 2)
	require.ErrorIs(t, err, ErrNotClaimed)
	c = b.claimed(l)
	require.Equal(t, 2, c.Next, "the third, at once")
}

// Simple modems of test networks give every message the same MR: the time
// between gate and answer still tells which report is whose.
func TestReportsWithAConstantMR(t *testing.T) {
	b := newBox(t)
	l := line(1)
	var ids []string
	var accepts []time.Time
	for range 5 {
		m := b.submit(Request{})
		_, a := b.gated(l)
		b.clock.forward(2300 * time.Millisecond)
		b.outcome(a, accepted(0))
		ids, accepts = append(ids, m.ID), append(accepts, b.clock.Now().Add(-100*time.Millisecond))
	}
	for _, i := range []int{3, 0, 4, 1, 2} {
		b.report(l, "+34600111222", 0, stDelivered, accepts[i].Truncate(time.Second))
		require.Equal(t, Delivered, b.get(ids[i]).State, "message %d", i)
	}
}

// A modem that begins to count anew gives two messages to one number the same MR
// within minutes. By a centre's clock that is known each report finds its own,
// a second one of the first is not the other's, and one of a message whose answer
// is awaited or lost is not the accepted one's. By a clock that nobody knows, all
// of them wait.
func TestReportsOfAModemThatCountsAnew(t *testing.T) {
	const off = 4 * time.Minute
	stamp := func(b *box) time.Time { return b.clock.Now().Add(off).Truncate(time.Second) }
	fresh := func() (*box, Line) {
		b, l := newBox(t), line(1)
		require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
		return b, l
	}
	known := func() (*box, Line) {
		b, l := fresh()
		m := b.submit(Request{})
		b.sent(l, 40)
		b.report(l, m.To, 40, stDelivered, stamp(b))
		require.Equal(t, Delivered, b.get(m.ID).State)
		b.clock.forward(20 * time.Second)
		return b, l
	}
	both := func(b *box, l Line) (ids []string, stamps []time.Time) {
		for range 2 {
			m := b.submit(Request{})
			b.sent(l, 5)
			ids, stamps = append(ids, m.ID), append(stamps, stamp(b))
			b.clock.forward(2 * time.Minute)
		}
		return ids, stamps
	}
	b, l := known()
	ids, stamps := both(b, l)
	b.report(l, "+34600111222", 5, stDelivered, stamps[0])
	in := b.reportIn(l, "+34600111222", 5, stFailed, stamps[0])
	in.PDU.Raw = append(in.PDU.Raw, "again"...)
	require.NoError(t, b.Report(context.Background(), in))
	require.Equal(t, []State{Delivered, Sent}, []State{b.get(ids[0]).State, b.get(ids[1]).State})
	b.report(l, "+34600111222", 5, stFailed, stamps[1])
	require.Equal(t, []State{Delivered, Undelivered}, []State{b.get(ids[0]).State, b.get(ids[1]).State})

	b, l = fresh()
	ids, stamps = both(b, l)
	b.report(l, "+34600111222", 5, stDelivered, stamps[0])
	require.Equal(t, []State{Sent, Sent}, []State{b.get(ids[0]).State, b.get(ids[1]).State}, "nobody knows the centre's clock")
	other := b.submit(Request{To: []string{"+34699888777"}})
	b.sent(l, 6)
	b.report(l, other.To, 6, stDelivered, stamp(b))
	require.Equal(t, []State{Delivered, Sent}, []State{b.get(ids[0]).State, b.get(ids[1]).State}, "now it is known")

	for _, early := range []bool{true, false} {
		b, l = known()
		first := b.submit(Request{Class: OTP})
		b.sent(l, 5)
		b.clock.forward(2 * time.Minute)
		second := b.submit(Request{Class: OTP})
		_, a := b.gated(l)
		at := stamp(b)
		if b.clock.forward(3 * time.Second); early {
			b.report(l, second.To, 5, stDelivered, at)
			require.Equal(t, Sent, b.get(first.ID).State, "the second's answer is awaited")
		}
		b.clock.forward(177 * time.Second)
		b.outcome(a, lost())
		if !early {
			b.report(l, second.To, 5, stDelivered, at)
		}
		require.Equal(t, []State{Sent, Delivered}, []State{b.get(first.ID).State, b.get(second.ID).State})
	}
}

// TestAReportOfAnAcceptedOneIsNotOfALostOne: the MR is the accepted one's, the stamp is off and
// lies in the minutes in which another submission to the number lost its answer.
func TestAReportOfAnAcceptedOneIsNotOfALostOne(t *testing.T) {
	for _, known := range []bool{false, true} {
		b, l := newBox(t), line(1)
		require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
		off := time.Minute
		if known {
			m := b.submit(Request{To: []string{"+34699888777"}})
			b.sent(l, 6)
			b.report(l, m.To, 6, stDelivered, b.clock.Now().Truncate(time.Second))
			b.clock.forward(20 * time.Second)
			off = 20 * time.Second // another machine of the centre
		}
		first := b.submit(Request{Class: OTP})
		b.sent(l, 7)
		at := b.clock.Now().Add(off).Truncate(time.Second)
		b.clock.forward(off - 5*time.Second)
		second := b.submit(Request{Class: OTP})
		_, a := b.gated(l)
		b.clock.forward(180 * time.Second)
		b.outcome(a, lost())
		b.report(l, first.To, 7, stDelivered, at)
		require.Equal(t, Delivered, b.get(first.ID).State, known)
		require.Equal(t, Uncertain, b.get(second.ID).State, known)
	}
}
