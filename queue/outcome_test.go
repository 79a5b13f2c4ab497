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

func TestAMessageGoesOut(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{})
	c, a := b.gated(l)
	require.Equal(t, m.ID, c.Message.ID)
	got := b.get(m.ID)
	require.Equal(t, Sending, got.State)
	require.Equal(t, SegmentSending, got.Segments[0].State)
	require.Equal(t, 1, got.Attempts)
	b.clock.forward(2 * time.Second)
	b.outcome(a, accepted(7))
	got = b.get(m.ID)
	require.Equal(t, Sent, got.State)
	require.Equal(t, 7, got.Segments[0].MR)
	require.Equal(t, l.ICCID, got.SIM)
	require.Equal(t, l.Number, got.From)
	require.Equal(t, b.clock.Now(), got.SentAt)
	require.Equal(t, []string{"message.sent"}, b.events())

	st, err := b.Stats(context.Background())
	require.NoError(t, err)
	require.Equal(t, 1, st.Today[Sent])
	require.Equal(t, []int{1, 1, 1}, []int{st.SentMinute, st.SentHour, st.SentDay})
	b.clock.forward(2 * time.Minute)
	b.restart()
	st, err = b.Stats(context.Background())
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 1}, []int{st.SentMinute, st.SentHour, st.SentDay}, "counted anew after a restart")
}

func TestALongMessageStaysOnItsSIM(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	m := b.submit(Request{Text: strings.Repeat("x", 400)})
	require.Len(t, m.Segments, 3)
	_, a := b.gated(l)
	c, err := b.Outcome(ctx, a, accepted(1), &l)
	require.NoError(t, err)
	require.Equal(t, m.ID, c.Message.ID)
	require.Equal(t, 1, c.Next, "the second segment")
	got := b.get(m.ID)
	require.Equal(t, Sending, got.State)
	require.Equal(t, l.ICCID, got.SIM)

	// Something urgent goes between, on any line; the rest waits for this SIM.
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true}))
	otp := b.submit(Request{Class: OTP})
	require.Equal(t, otp.ID, b.claimed(l).Message.ID)
	require.Nil(t, b.claimed(line(2)))
	for mr := 2; mr <= 3; mr++ {
		require.Equal(t, mr-1, b.get(m.ID).Segments[mr-1].N-1)
		c, a := b.gated(l)
		require.Equal(t, mr-1, c.Next)
		b.outcome(a, accepted(mr))
	}
	require.Equal(t, Sent, b.get(m.ID).State)
	require.Equal(t, []string{"message.sent"}, b.events())
}

func TestATemporaryRefusalWaitsAndARefusalForGoodFails(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Text: strings.Repeat("x", 300)})
	_, a := b.gated(l)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "cms_38", Class: "network", Retry: true, After: 5 * time.Second, AvoidSIM: true})
	got := b.get(m.ID)
	require.Equal(t, Queued, got.State)
	require.Equal(t, "", got.SIM, "nothing has left: any SIM will do")
	require.Equal(t, 1, got.Failures)
	require.Nil(t, b.claimed(line(2)))
	b.clock.forward(5 * time.Second)
	b.wake()
	require.Nil(t, b.claimed(l), "another SIM first")
	l = line(2)
	_, a = b.gated(l)
	b.outcome(a, accepted(1))
	require.Zero(t, b.get(m.ID).Failures)
	_, a = b.gated(l)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "cms_1", Class: "recipient", Reason: "rejected", Detail: "unassigned number"})
	got = b.get(m.ID)
	require.Equal(t, Failed, got.State)
	require.Equal(t, "rejected", got.Reason)
	require.Contains(t, got.Error.Detail, "1 of 2 segments had been sent")
	require.Equal(t, SegmentFailed, got.Segments[1].State)
	require.Nil(t, b.claimed(l))
	require.Equal(t, []string{"message.failed"}, b.events())
	// A report of the segment that left is kept and changes nothing.
	b.report(l, m.To, 1, 0, b.clock.Now())
	require.Equal(t, Failed, b.get(m.ID).State)
	require.Equal(t, SegmentDelivered, b.get(m.ID).Segments[0].State)
}

func TestTheGateRefusesWhatIsNoLongerTheLines(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	gate := func(l Line, seq int64, n int) error { _, err := b.Gate(ctx, l, seq, n); return err }

	m := b.submit(Request{})
	require.ErrorIs(t, gate(l, m.Seq, 1), ErrNotClaimed, "not claimed")
	b.claimed(l)
	require.ErrorIs(t, gate(line(2), m.Seq, 1), ErrNotClaimed, "another line's")
	require.ErrorIs(t, gate(l, m.Seq, 2), ErrNotClaimed, "another segment")
	cancelled, err := b.Cancel(ctx, m.ID)
	require.NoError(t, err)
	require.Equal(t, Cancelled, cancelled.State)
	require.ErrorIs(t, gate(l, m.Seq, 1), ErrNotClaimed, "cancelled")

	m = b.submit(Request{ValidFor: time.Minute})
	b.claimed(l)
	b.clock.forward(time.Minute)
	require.ErrorIs(t, gate(l, m.Seq, 1), ErrNotClaimed, "expired")
	b.wake()
	require.Equal(t, Expired, b.get(m.ID).State)

	m = b.submit(Request{})
	b.claimed(l)
	require.NoError(t, gate(l, m.Seq, 1))
	require.ErrorIs(t, gate(l, m.Seq, 1), ErrNotClaimed, "a second time")
	_, err = b.Cancel(ctx, m.ID)
	require.ErrorIs(t, err, ErrState, "it may have left")
}

// The unique indexes are the last line of defence: they hold against a bug in
// everything above them.
func TestTheIndexesRefuseASecondSubmission(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.submit(Request{})
	c, a := b.gated(l)
	other := b.submit(Request{})
	insert := func(message int64, n int, iccid, phase, outcome string) error {
		return b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`INSERT INTO attempt (message, n, no, modem, iccid, imsi, boot_id, gate_at, phase, outcome) VALUES (?, ?, 9, '', ?, '', '', 0, ?, ?)`,
				message, n, iccid, phase, outcome)
			return err
		})
	}
	seq := c.Message.Seq
	require.True(t, sqlite.IsUnique(insert(seq, 1, line(2).ICCID, "prepared", "")), "one open attempt a segment")
	require.True(t, sqlite.IsUnique(insert(other.Seq, 1, l.ICCID, "prepared", "")), "one open attempt a SIM")
	b.outcome(a, accepted(1))
	require.True(t, sqlite.IsUnique(insert(seq, 1, line(2).ICCID, "done", "accepted")), "one accepted attempt a segment")
	require.NoError(t, insert(other.Seq, 1, l.ICCID, "prepared", ""))
	// And the gate's own error for a busy SIM is an error, not a submission.
	third := b.submit(Request{})
	require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE message SET claimed_by = ? WHERE seq = ?`, l.ICCID, third.Seq)
		return err
	}))
	_, err := b.Gate(context.Background(), l, third.Seq, 1)
	require.True(t, sqlite.IsUnique(err))
	require.Equal(t, Queued, b.get(third.ID).State, "nothing half-done")
	require.Zero(t, b.get(third.ID).Attempts)
}

func TestALostAnswerByDelivery(t *testing.T) {
	for _, row := range []struct {
		class  Class
		window time.Duration
		tries  int // attempts until it is left uncertain
	}{{OTP, time.Minute, 1}, {Bulk, 10 * time.Minute, 1}, {Normal, 3 * time.Minute, 2}, {Alert, 20 * time.Second, 3}} {
		t.Run(string(row.class), func(t *testing.T) {
			b := newBox(t)
			m := b.submit(Request{Class: row.class})
			for try := 1; ; try++ {
				// The SIM that lost the answer comes second.
				l := line(try % 2)
				_, a := b.gated(l)
				b.outcome(a, lost())
				got := b.get(m.ID)
				require.Equal(t, Uncertain, got.State)
				require.Equal(t, ReasonAnswerLost, got.Reason)
				require.Equal(t, "timeout", got.Error.Code)
				require.Nil(t, b.claimed(l), "nobody guesses")
				next := b.tended()
				require.Equal(t, b.clock.Now().Add(row.window), next)
				b.clock.forward(row.window - time.Millisecond)
				b.wake()
				require.Equal(t, Uncertain, b.get(m.ID).State)
				b.clock.forward(time.Millisecond)
				b.wake()
				if try == row.tries {
					break
				}
				got = b.get(m.ID)
				require.Equal(t, Queued, got.State)
				require.True(t, got.PossibleDuplicate)
				require.Nil(t, b.claimed(l), "another SIM first")
			}
			got := b.get(m.ID)
			require.Equal(t, Uncertain, got.State)
			require.Equal(t, ReasonNoEvidence, got.Reason)
			require.Equal(t, row.tries, got.Attempts)
			require.Equal(t, row.tries > 1, got.PossibleDuplicate)
			b.clock.forward(48 * time.Hour)
			b.wake()
			require.Equal(t, Uncertain, b.get(m.ID).State, "for good")
			require.Nil(t, b.claimed(line(5)))
			types := b.events()
			require.Equal(t, "message.uncertain", types[0], "told at once")
			require.Len(t, types, row.tries+1)
		})
	}
}

func TestALostSegmentOfALongMessageIsSentAgainAsItIs(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Class: Alert, Text: strings.Repeat("y", 200)})
	_, a := b.gated(l)
	b.outcome(a, lost())
	b.clock.forward(20 * time.Second)
	b.wake()
	require.Nil(t, b.claimed(line(2)), "only on the SIM whose first segment may have arrived")
	c, a := b.gated(l)
	require.Equal(t, 0, c.Next)
	require.Equal(t, dump(m.Segments[0].TPDU), dump(c.Message.Segments[0].TPDU), "the identical TPDU")
	b.outcome(a, accepted(1))
	_, a = b.gated(l)
	b.outcome(a, accepted(2))
	got := b.get(m.ID)
	require.Equal(t, Sent, got.State)
	require.True(t, got.PossibleDuplicate)
}

func TestALostSegmentOfWhatIsAtMostOnceIsNotSentAgain(t *testing.T) {
	for _, class := range []Class{OTP, Bulk} {
		b := newBox(t)
		l := line(1)
		m := b.submit(Request{Class: class, Text: strings.Repeat("y", 200)})
		_, a := b.gated(l)
		b.outcome(a, lost())
		b.clock.forward(policies[class].window)
		b.wake()
		require.Nil(t, b.claimed(l), "the network must not get it twice")
		got := b.get(m.ID)
		require.Equal(t, Uncertain, got.State)
		require.Equal(t, ReasonNoEvidence, got.Reason)
		require.False(t, got.PossibleDuplicate)

		// Evidence that it had left: the rest follows, and nothing is twice.
		b.outcome(a, accepted(1))
		c, a := b.gated(l)
		require.Equal(t, 1, c.Next)
		b.outcome(a, accepted(2))
		require.Equal(t, Sent, b.get(m.ID).State)
		require.False(t, b.get(m.ID).PossibleDuplicate)
	}
}

func TestALateAnswerDecides(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Class: OTP})
	_, a := b.gated(l)
	b.outcome(a, lost())
	b.outcome(a, accepted(9))
	got := b.get(m.ID)
	require.Equal(t, Sent, got.State)
	require.Equal(t, 9, got.Segments[0].MR)
	require.Nil(t, got.Error)
	b.outcome(a, Outcome{Verdict: Rejected, Code: "cms_1", MR: -1, Reason: "rejected"})
	require.Equal(t, Sent, b.get(m.ID).State, "decided once")

	m = b.submit(Request{Class: OTP})
	_, a = b.gated(l)
	b.outcome(a, lost())
	b.outcome(a, Outcome{Verdict: Rejected, Code: "cms_38", MR: -1, Retry: true, After: 5 * time.Second})
	require.Equal(t, Queued, b.get(m.ID).State, "the network's word that it was refused: a retry is free")
	require.False(t, b.get(m.ID).PossibleDuplicate)
}

func TestAtBootWhatWasOpenIsUncertain(t *testing.T) {
	b := newBox(t)
	open := b.submit(Request{Class: OTP})
	claimed := b.submit(Request{})
	_, _ = b.gated(line(1))
	b.claimed(line(2))
	b.restart()
	got := b.get(open.ID)
	require.Equal(t, Uncertain, got.State)
	require.Equal(t, "restart", got.Error.Code)
	require.Equal(t, b.clock.Now().Add(time.Minute), b.tended())
	require.Equal(t, claimed.ID, b.claimed(line(3)).Message.ID, "claims do not outlive a run")
	require.Equal(t, []string{"message.uncertain"}, b.events())
	b.restart()
	require.Equal(t, 1, b.get(open.ID).Attempts)
}

func TestCancelAndResolve(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	_, err := b.Cancel(ctx, "nobody")
	require.ErrorIs(t, err, ErrNotFound)
	m := b.submit(Request{SendAt: b.clock.Now().Add(time.Hour)})
	require.Equal(t, Scheduled, m.State)
	for range 2 {
		got, err := b.Cancel(ctx, m.ID)
		require.NoError(t, err)
		require.Equal(t, Cancelled, got.State)
	}
	b.clock.forward(2 * time.Hour)
	b.wake()
	require.Nil(t, b.claimed(l))

	uncertain := func(text string) Message {
		m := b.submit(Request{Class: Bulk, Text: text, To: []string{fmt.Sprintf("+34611%06d", len(text))}})
		_, a := b.gated(l)
		b.outcome(a, lost())
		return m
	}
	_, err = b.Resolve(ctx, m.ID, ResolveSent, "eva")
	require.ErrorIs(t, err, ErrState)
	_, err = b.Resolve(ctx, m.ID, "forget", "eva")
	require.Error(t, err)

	m = uncertain("sent")
	got, err := b.Resolve(ctx, m.ID, ResolveSent, "eva")
	require.NoError(t, err)
	require.Equal(t, Sent, got.State)
	m = uncertain("failed")
	got, err = b.Resolve(ctx, m.ID, ResolveFailed, "eva")
	require.NoError(t, err)
	require.Equal(t, Failed, got.State)
	require.Equal(t, ReasonResolved, got.Reason)
	// Evidence still counts: it was sent after all.
	b.report(l, m.To, 77, 0, b.clock.Now())
	require.Equal(t, Delivered, b.get(m.ID).State)

	m = uncertain("again")
	b.clock.forward(80 * time.Hour)
	b.wake()
	got, err = b.Resolve(ctx, m.ID, ResolveResend, "eva")
	require.NoError(t, err)
	require.Equal(t, Queued, got.State)
	require.True(t, got.PossibleDuplicate)
	require.True(t, got.ExpiresAt.After(b.clock.Now()))
	b.clock.forward(time.Second)
	b.sent(l, 3)
	require.Equal(t, Sent, b.get(m.ID).State)
	lines, err := b.Timeline(ctx, m.ID)
	require.NoError(t, err)
	var seen []string
	for _, e := range lines {
		seen = append(seen, e.Event+" "+e.Verdict)
	}
	require.Equal(t, []string{"accepted ", "gate ", "answer ambiguous", "undecided ", "resolved ", "gate ", "answer accepted"}, seen)
	_, err = b.Timeline(ctx, "nobody")
	require.ErrorIs(t, err, ErrNotFound)
}
