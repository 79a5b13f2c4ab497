package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at is the line of a SIM that seems to be in another modem too.
func (l Line) at(port string) Line {
	l.ICCID, l.Modem = l.ICCID+"@"+port, port
	return l
}

// Two lines of one contract share its limits, whichever opens its gates first and
// is answered last, also after a restart.
func TestTwoLinesOfOneContractShareItsLimits(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		b := newBox(t)
		ctx := context.Background()
		l := line(1)
		twin := l.at("tcp:two")
		require.NoError(t, b.SawSIM(ctx, SIMRow{ICCID: twin.ICCID}), "before the SIM itself")
		b.known(l)
		b.limit(twin, Limit{WindowMinute, 3, 0}, Limit{WindowDay, 4, 0})
		require.Equal(t, b.limitsOf(l), b.limitsOf(twin))
		b.waitsFor(8)
		again := func() {
			if restarts {
				b.restart()
				b.room(l) // it is read now
			}
		}
		_, first := b.gated(l)
		b.clock.forward(time.Second)
		_, second := b.gated(twin)
		b.clock.forward(time.Second)
		b.outcome(second, accepted(0))
		require.Equal(t, 1, b.sends(twin, 1))
		require.Nil(t, b.claimed(l), "one is on its way, two have left")
		require.Nil(t, b.claimed(twin))
		b.clock.forward(55 * time.Second)
		b.outcome(first, accepted(1))
		again()
		b.clock.forward(10 * time.Second) // two are out of the minute
		require.Equal(t, 1, b.limitsOf(twin).Limits[minute].UsedSegments, "the first was answered ten seconds ago")
		require.Equal(t, 1, b.sends(l, 1))
		again()
		b.clock.forward(time.Hour)
		require.Zero(t, b.sends(twin, 5), "the day")
		require.Zero(t, b.sends(l, 5))
		require.Equal(t, 4, b.limitsOf(l).Limits[daily].UsedSegments)
		require.Zero(t, b.count(`SELECT count(*) FROM usage WHERE iccid <> ?`, l.ICCID))
		require.Zero(t, b.count(`SELECT count(*) FROM usage_period WHERE iccid <> ?`, l.ICCID))
	}
}

// What is certainly not sent comes back to the contract.
func TestATwinsRefundIsItsContracts(t *testing.T) {
	b := newBox(t)
	l := line(1)
	twin := l.at("tcp:two")
	b.known(l, twin)
	b.limit(l, Limit{WindowDay, 1, 1})
	b.waitsFor(1)
	_, a := b.gated(twin)
	require.Nil(t, b.claimed(l))
	b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true})
	require.Equal(t, [2]int{0, 0}, [2]int{b.limitsOf(l).Limits[daily].UsedSegments, b.limitsOf(l).Limits[daily].UsedRecipients})
	require.Equal(t, 1, b.sends(l, 2))
}

// What was counted, set and asked for under a name that stood for a SIM is the
// SIM's when that is known.
func TestAdoptSIM(t *testing.T) {
	zone(t, time.UTC)
	for _, restarts := range []bool{false, true} {
		b := newBox(t)
		b.clock.now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		ctx := context.Background()
		l := line(1)
		unknown := l
		unknown.ICCID = "imsi-" + l.IMSI
		b.known(l, unknown)
		ana, bea, cid, dan := "+34600000001", "+34600000002", "+34600000003", "+34600000004"
		b.limit(l, Limit{WindowMinute, 9, 0}, Limit{WindowDay, 9, 3}, Limit{WindowMonth, 9, 3})
		b.to(OTP, ana, bea)
		require.Equal(t, 2, b.sends(l, 2))
		b.to(OTP, bea, cid)
		require.Equal(t, 2, b.sends(unknown, 2))
		off, name := false, "the shop"
		require.NoError(t, b.UpdateSIM(ctx, unknown.ICCID, SIMPatch{Enabled: &off, Name: &name}))
		asked := []Message{b.submit(Request{To: []string{bea}, Class: OTP, SIM: unknown.ICCID}),
			b.submit(Request{To: []string{bea}, SIM: unknown.ICCID, SendAt: b.clock.now.Add(time.Hour)})}

		// A message in hand is first brought to its end.
		c := b.claimed(unknown)
		require.ErrorIs(t, b.AdoptSIM(ctx, unknown.ICCID, l.ICCID), ErrInHand)
		a, err := b.Gate(ctx, c.Line, c.Message.Seq, 1)
		require.NoError(t, err)
		require.ErrorIs(t, b.AdoptSIM(ctx, unknown.ICCID, l.ICCID), ErrInHand)
		b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Retry: true})
		for range 2 { // and once more changes nothing
			require.NoError(t, b.AdoptSIM(ctx, unknown.ICCID, l.ICCID))
			if restarts {
				b.restart()
			}
			got := b.limitsOf(l).Limits
			require.Equal(t, 4, got[minute].UsedSegments)
			for _, w := range []int{daily, monthly} {
				require.Equal(t, [2]int{4, 3}, [2]int{got[w].UsedSegments, got[w].UsedRecipients}, Windows[w])
			}
		}
		for _, table := range []string{"sim", "sim_limit", "usage", "usage_period", "usage_recipient"} {
			require.Zero(t, b.count(`SELECT count(*) FROM `+table+` WHERE iccid = ?`, unknown.ICCID), table)
		}
		list, err := b.SIMs(ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "the shop", list[0].Name)
		require.Equal(t, 4, list[0].SentTotal)
		require.False(t, list[0].Enabled)
		for _, m := range asked {
			sim, wish, _ := b.prefers(m)
			require.Equal(t, [2]string{l.ICCID, l.ICCID}, [2]string{sim, wish})
		}
		b.to(OTP, dan)
		require.Equal(t, 1, b.sends(l, 3), "what was asked for: another person would be one too many")
		require.Equal(t, 5, b.limitsOf(l).Limits[daily].UsedSegments)
	}
}

// Where the months begin on other days what may be of the present one counts; a SIM
// that nobody has set anything for takes over what was set.
func TestAdoptSIMWithOtherMonths(t *testing.T) {
	zone(t, time.UTC)
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	unknown := l
	unknown.ICCID = "imsi-" + l.IMSI
	b.known(l, unknown)
	b.limit(unknown, Limit{WindowMonth, 9, 9})
	b.clock.now = time.Date(2026, 9, 15, 12, 0, 0, 0, time.UTC)
	b.waitsFor(10)
	require.Equal(t, 1, b.sends(unknown, 1), "of a month long past")
	b.clock.now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	require.Equal(t, 2, b.sends(unknown, 2))
	day := 20
	require.NoError(t, b.SetLimits(ctx, l.ICCID, LimitsPatch{ResetDay: &day}))
	b.clock.now = time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	require.Equal(t, 1, b.sends(l, 1))
	_, a := b.gated(unknown)
	b.outcome(a, lost())
	require.NoError(t, b.AdoptSIM(ctx, unknown.ICCID, l.ICCID))
	month := b.limitsOf(l).Limits[monthly]
	require.Equal(t, [2]int{4, 9}, [2]int{month.UsedSegments, month.MaxSegments}, "2 + 1 since the 20th, and its own")
	require.Equal(t, 5, b.count(`SELECT sum(segments) FROM usage_period WHERE window = 'month' AND iccid = ?`, l.ICCID))

	// A late answer, and certainty that nothing has left, find what they are of.
	b.restart()
	require.Equal(t, 5, b.sends(l, 9))
}

// A SIM whose row was lost has the limits that were chosen for it.
func TestLimitsWithoutTheSIMsRow(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowDay, 20, 0})
	b.raw(`DELETE FROM sim`)
	b.restart()
	require.NoError(t, b.SawSIM(context.Background(), SIMRow{ICCID: l.ICCID}))
	require.True(t, b.limitsOf(l).Chosen)
	require.Equal(t, 20, b.limitsOf(l).Full, "when it has warmed up: that it had is lost with the row")
}
