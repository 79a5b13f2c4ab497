package clock_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/clock"
)

// code submits a message of class otp.
func (w *world) code(valid time.Duration) *promise {
	w.t.Helper()
	r, err := w.store.Submit(context.Background(), queue.Request{To: []string{"+34611111111"}, Text: "482913", Class: queue.OTP, ValidFor: valid}, nil)
	require.NoError(w.t, err)
	p := &promise{id: r.Messages[0].ID, valid: valid, accepted: w.true, state: queue.Queued}
	w.told[p.id] = p
	return p
}

// everyPolicy does the same in a world of each policy for what missed its time by more
// than the grace.
func everyPolicy(t *testing.T, grace time.Duration, do func(t *testing.T, w *world, policy string)) {
	for _, policy := range []string{queue.MisfireHold, queue.MisfireSend, queue.MisfireSkip} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			defer func() { require.NoError(t, w.db.Close()) }()
			w.ntp()
			require.NoError(t, w.store.SetMisfire(context.Background(), queue.Misfire{Grace: grace, Policy: policy}, "ana"))
			do(t, w, policy)
		})
	}
}

// TestAWrongYearEndsNothing: somebody sets the year wrong and puts it right within
// the hour. Nothing has expired, nothing scheduled has left or is held, whatever
// the policy; what was over in the meantime is not sent.
func TestAWrongYearEndsNothing(t *testing.T) {
	ctx := context.Background()
	everyPolicy(t, 15*time.Minute, func(t *testing.T, w *world, policy string) {
		day := w.submit(time.Time{}, 24*time.Hour)
		code := w.code(10 * time.Minute)
		soon := w.submit(w.true.Add(3*time.Hour), time.Hour)
		w.reboot(time.Minute, 0) // what is from before follows no clock
		w.lied = true
		require.NoError(t, w.clock.Trust(ctx, "ana", w.true.AddDate(1, 0, 0), true))
		require.False(t, w.clock.Status().Rests.IsZero())
		w.look()
		require.Zero(t, w.send(), "by this clock it is all over")
		fresh := w.submit(time.Time{}, time.Hour)
		require.Equal(t, 1, w.send(), "what comes now leaves as usual")
		require.Equal(t, 1, fresh.sends)
		then := w.submit(w.true.Add(2*time.Hour), 24*time.Hour)
		require.Equal(t, queue.Scheduled, then.state, "by this clock that was a year ago")
		w.pass(40 * time.Minute)
		require.Equal(t, []queue.State{queue.Queued, queue.Queued, queue.Scheduled, queue.Scheduled}, []queue.State{day.state, code.state, soon.state, then.state})
		require.Zero(t, w.send())

		require.NoError(t, w.clock.Trust(ctx, "ana", w.true, false), "to put it back takes no second word")
		w.lied = false
		require.True(t, w.clock.Status().Rests.IsZero())
		w.look()
		require.Equal(t, queue.Expired, code.state, "a code is over by the right time")
		require.Equal(t, 1, w.send())
		require.Equal(t, 1, day.sends)
		w.pass(2*time.Hour + 21*time.Minute)
		require.Equal(t, 2, w.send())
		require.Equal(t, []int{1, 0, 1}, []int{soon.sends, code.sends, then.sends})
	})
}

// What nobody puts right for a day counts.
func TestAfterTheRestTheLeapCounts(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.ntp()
	over, missed := w.submit(time.Time{}, 72*time.Hour), w.submit(w.true.Add(72*time.Hour), time.Hour)
	w.told = map[string]*promise{} // they end by a wrong clock
	w.reboot(time.Minute, 0)
	w.lied = true
	require.NoError(t, w.clock.Trust(ctx, "ana", w.true.AddDate(1, 0, 0), true))
	w.pass(12 * time.Hour)
	w.restart() // forgets nothing of it
	w.pass(11*time.Hour + 45*time.Minute)
	state := func(p *promise) queue.State {
		m, err := w.store.Message(ctx, p.id)
		require.NoError(t, err)
		return m.State
	}
	require.Equal(t, []queue.State{queue.Queued, queue.Scheduled}, []queue.State{state(over), state(missed)})
	require.WithinDuration(t, w.true.AddDate(0, 0, 0), w.clock.Status().HighWater, time.Hour, "the mark does not follow yet")
	w.pass(30 * time.Minute)
	require.Equal(t, []queue.State{queue.Expired, queue.Expired}, []queue.State{state(over), state(missed)})
	require.True(t, w.clock.Status().Rests.IsZero())
	require.WithinDuration(t, w.clock.Now(), w.clock.Status().HighWater, time.Minute)
}

// TestReleasedInTheRestWaitsForItsTime: by a clock that has leapt nobody can tell
// that the time to send at has come. What was held because it had missed it goes.
func TestReleasedInTheRestWaitsForItsTime(t *testing.T) {
	ctx := context.Background()
	for _, reason := range []string{queue.ReasonRestored, queue.ReasonLate} {
		t.Run(reason, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			defer func() { require.NoError(t, w.db.Close()) }()
			w.ntp()
			p := w.submit(w.true.Add(36*time.Hour), 24*time.Hour)
			want := queue.Scheduled
			w.told = map[string]*promise{}
			if reason == queue.ReasonLate {
				w.reboot(37*time.Hour, -40*time.Hour)
				w.ntp()
				want = queue.Queued
			} else {
				_, err := w.store.HoldAll(ctx, reason)
				require.NoError(t, err)
			}
			state := func() queue.State {
				t.Helper()
				m, err := w.store.Message(ctx, p.id)
				require.NoError(t, err)
				return m.State
			}
			require.Equal(t, queue.Held, state())
			w.reboot(time.Minute, 0)
			w.lied = true
			require.NoError(t, w.clock.Trust(ctx, "ana", w.true.Add(48*time.Hour), true))
			require.False(t, w.clock.Status().Rests.IsZero())
			n, err := w.store.Release(ctx, queue.HeldFilter{}, "ana")
			require.NoError(t, err)
			require.Equal(t, 1, n)
			w.look()
			require.Equal(t, want, state())

			require.NoError(t, w.clock.Trust(ctx, "ana", w.true, true))
			w.lied, w.told = false, map[string]*promise{p.id: p}
			p.state = want
			if want == queue.Scheduled {
				require.Zero(t, w.send())
				w.pass(35*time.Hour + 58*time.Minute)
				require.Zero(t, w.send())
				w.pass(15 * time.Minute)
			}
			require.Equal(t, 1, w.send())
		})
	}
}

// TestInTheRestAMessageLeavesAtItsTime, also when the grace is none: Wake comes a
// moment after it.
func TestInTheRestAMessageLeavesAtItsTime(t *testing.T) {
	ctx := context.Background()
	everyPolicy(t, 0, func(t *testing.T, w *world, policy string) {
		w.reboot(48*time.Hour, 0)
		require.NoError(t, w.clock.Trust(ctx, "ana", time.Time{}, true))
		require.False(t, w.clock.Status().Rests.IsZero())
		p := w.submit(w.true.Add(20*time.Minute+500*time.Millisecond), 24*time.Hour)
		missed := w.submit(w.true.Add(30*time.Minute), 24*time.Hour)
		w.pass(20 * time.Minute)
		require.Zero(t, w.send())
		w.pass(time.Second)
		require.Equal(t, queue.Queued, p.state)
		require.Equal(t, 1, w.send())
		w.true, w.up = w.true.Add(15*time.Minute), w.up+15*time.Minute // nobody looked
		w.look()
		require.Equal(t, queue.Scheduled, missed.state)
	})
}

// TestInTheRestEndsWhatIsCertainlyOver: what this very clock has dated is over by
// the steady clock, however many others seem to be.
func TestInTheRestEndsWhatIsCertainlyOver(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.ntp()
	var to []string
	for i := range 250 { // more than are looked at at once
		to = append(to, fmt.Sprintf("+34622%06d", i))
	}
	many, err := w.store.Submit(ctx, queue.Request{To: to, Text: "x", ValidFor: time.Hour}, nil)
	require.NoError(t, err)
	w.reboot(time.Minute, 0)
	before := w.code(2 * time.Hour) // while the clock was not trusted
	w.lied = true
	require.NoError(t, w.clock.Trust(ctx, "ana", w.true.AddDate(1, 0, 0), true))
	require.False(t, w.clock.Status().Rests.IsZero())
	code := w.code(10 * time.Minute)
	w.pass(9*time.Minute + 59*time.Second)
	require.Equal(t, queue.Queued, code.state)
	w.pass(2 * time.Second)
	require.Equal(t, queue.Expired, code.state)
	require.Equal(t, queue.Queued, before.state)
	w.pass(2 * time.Hour)
	require.Equal(t, queue.Expired, before.state, "it is dated since the clock is trusted")

	// What is over is not sent again when its answer is lost.
	r, err := w.store.Submit(ctx, queue.Request{To: []string{"+34600111222"}, Text: "x", Class: queue.Alert, ValidFor: time.Minute}, nil)
	require.NoError(t, err)
	c, err := w.store.Claim(ctx, simLine)
	require.NoError(t, err)
	require.Equal(t, r.Messages[0].ID, c.Message.ID)
	a, err := w.store.Gate(ctx, simLine, c.Message.Seq, c.Next+1)
	require.NoError(t, err)
	_, err = w.store.Outcome(ctx, a, queue.Outcome{Verdict: queue.Ambiguous, MR: -1, At: w.clock.Now()}, nil)
	require.NoError(t, err)
	w.pass(2 * time.Minute)
	lost, err := w.store.Message(ctx, r.Messages[0].ID)
	require.NoError(t, err)
	require.Equal(t, queue.Uncertain, lost.State)
	require.Equal(t, queue.ReasonNoEvidence, lost.Reason)

	for _, m := range many.Messages {
		m, err := w.store.Message(ctx, m.ID)
		require.NoError(t, err)
		require.Equal(t, queue.Queued, m.State)
	}
	require.False(t, w.clock.Status().Rests.IsZero())
}

// A message that was held as late goes when it is released, whether the clock is
// trusted or not.
func TestReleasedInDoubtALateOneGoes(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.ntp()
	p := w.submit(w.true.Add(time.Hour), 24*time.Hour)
	w.told = map[string]*promise{}
	w.reboot(2*time.Hour, -3*time.Hour)
	w.ntp()
	w.reboot(time.Minute, -3*time.Hour)
	require.False(t, w.clock.Trusted())
	_, err := w.store.Release(ctx, queue.HeldFilter{Reason: queue.ReasonLate}, "ana")
	require.NoError(t, err)
	m, err := w.store.Message(ctx, p.id)
	require.NoError(t, err)
	require.Equal(t, queue.Queued, m.State)
	c, err := w.store.Claim(ctx, simLine)
	require.NoError(t, err)
	require.NotNil(t, c)
}

// A box that is started anew every day comes to the end of a rest all the same.
func TestTheRestGoesOnOverStarts(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.ntp()
	w.reboot(72*time.Hour, -72*time.Hour)
	nitz := func() {
		w.clock.SCTS("+34609", w.true, true)
		w.clock.NITZ("modem1", w.true, true, true)
		require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	}
	nitz()
	require.False(t, w.clock.Settled())
	for range 2 {
		w.pass(11 * time.Hour)
		w.reboot(time.Minute, -72*time.Hour)
		w.clock.NITZ("modem1", w.true, true, true)
		require.Equal(t, clock.SourceNITZ, w.clock.Status().Source, "this time was confirmed once")
	}
	require.False(t, w.clock.Settled())
	w.pass(3 * time.Hour)
	require.True(t, w.clock.Settled())
}

// TestANetworkAloneMovesNoYear: a network that says a time more than a day ahead
// of all that is known is believed when something else agrees, and what it says
// right afterwards is believed again.
func TestANetworkAloneMovesNoYear(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.ntp()
	p := w.submit(w.true.Add(5*time.Hour), time.Hour)
	w.reboot(time.Minute, -time.Hour)
	year := func() time.Time { return w.true.AddDate(1, 0, 0) }
	w.clock.NITZ("modem1", year(), true, true)
	require.False(t, w.clock.Trusted())
	require.Contains(t, w.clock.Status().Reason, "more than a day")
	w.look()
	w.clock.NITZ("modem1", w.true, true, true) // it has noticed
	require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	w.clock.NITZ("modem1", year(), true, true) // and again
	require.False(t, w.clock.Trusted())
	w.look()

	// A stamp contradicts two of them.
	w.clock.SCTS("+34609", w.true, true)
	w.clock.NITZ("modem2", year(), true, true)
	require.False(t, w.clock.Trusted(), "one for, one against")
	// Without it, they agree; it is wrong, and ends nothing.
	w.pass(61 * time.Minute)
	w.lied = true
	w.clock.NITZ("modem2", year(), true, true)
	require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	require.False(t, w.clock.Status().Rests.IsZero())
	w.look()
	require.Equal(t, queue.Scheduled, p.state)
	w.clock.NITZ("modem1", w.true, true, true)
	w.clock.NITZ("modem2", w.true, true, true)
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second, "the mark did not follow them")
	w.lied = false
	w.pass(4*time.Hour + time.Minute)
	require.Equal(t, 1, w.send())
}

// TestALateMessageTakesNoTrustAway: a stamp that is days old is of a message that
// waited at the centre; the network's time goes on. One ahead of it contradicts it.
func TestALateMessageTakesNoTrustAway(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.clock.NITZ("modem1", w.true, true, true)
	w.pass(26 * time.Hour)
	w.clock.NITZ("modem1", w.true, true, true)
	require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	w.clock.SCTS("+34609", w.true.Add(-48*time.Hour), true)
	require.True(t, w.clock.Trusted(), w.clock.Status().Reason)
	for range 8 {
		w.pass(15 * time.Minute)
		w.clock.NITZ("modem1", w.true, true, false)
		require.True(t, w.clock.Trusted(), w.clock.Status().Reason)
	}
	w.clock.SCTS("+34609", w.true.Add(48*time.Hour), true)
	require.False(t, w.clock.Trusted())
}

// TestAWordFarFromWhatIsKnownIsAskedBack, once, whatever the box knows.
func TestAWordFarFromWhatIsKnownIsAskedBack(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, t.TempDir())
	defer func() { _ = w.db.Close() }()
	says := func(at time.Time, by string) {
		t.Helper()
		var far *clock.Unlikely
		before := w.clock.Status()
		require.ErrorAs(t, w.clock.Trust(ctx, "ana", at, false), &far)
		require.Equal(t, by, far.By)
		require.Equal(t, far, w.clock.Against(at))
		require.Equal(t, before, w.clock.Status(), "nothing was done")
	}
	takes := func(at time.Time) {
		t.Helper()
		require.Nil(t, w.clock.Against(at))
		require.NoError(t, w.clock.Trust(ctx, "ana", at, false))
	}
	forget := func(dark, off time.Duration) { w.reboot(dark, off); require.False(t, w.clock.Trusted()) }

	// A box that has never known the time, and starts in 1970: any plausible one.
	forget(time.Minute, w.at(time.Unix(0, 0)))
	require.ErrorIs(t, w.clock.Trust(ctx, "ana", time.Time{}, false), clock.ErrTime)
	says(w.true.AddDate(30, 0, 0), clock.KnownBuild)
	w.lied = true
	takes(w.true.AddDate(10, 0, 0))
	// It is trusted now: another is asked back. Not to put a slip right.
	says(w.true.AddDate(11, 0, 0), clock.SourceOperator)
	require.NoError(t, w.clock.Trust(ctx, "ana", w.true, true))
	w.lied = false
	takes(w.true.Add(20 * time.Hour))
	takes(w.true)

	// Three months in a drawer: one word more.
	w.ntp()
	forget(90*24*time.Hour, -90*24*time.Hour)
	require.Nil(t, w.clock.Against(time.Time{}), "the box's own is where it was")
	says(w.true, clock.KnownHighWater)
	says(w.true.AddDate(0, -6, 0), clock.KnownHighWater)
	require.NoError(t, w.clock.Trust(ctx, "ana", w.true, true))
	var detail string
	require.NoError(t, w.db.Read().QueryRow(`SELECT detail FROM audit ORDER BY id DESC LIMIT 1`).Scan(&detail))
	require.Contains(t, detail, "high_water")

	// Who is there to agree needs no asking back.
	forget(90*24*time.Hour, -90*24*time.Hour)
	w.clock.SCTS("+34609", w.true, true)
	says(w.true.AddDate(1, 0, 0), clock.SourceSCTS)
	takes(w.true)
	forget(90*24*time.Hour, -90*24*time.Hour)
	w.clock.NITZ("modem1", w.true, true, true)
	says(w.true.AddDate(1, 0, 0), clock.SourceNITZ)
	takes(w.true)
}

// TestRightAsItIsShown: who says so has seen the time that the network gave, not
// the system's.
func TestRightAsItIsShown(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.set(-20 * time.Hour)
	w.clock.NITZ("modem1", w.true, true, true)
	require.Equal(t, clock.SourceNITZ, w.clock.Status().Source)
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)
	w.set(-20 * time.Hour)
	require.Nil(t, w.clock.Against(time.Time{}))
	require.NoError(t, w.clock.Trust(context.Background(), "ana", time.Time{}, false))
	require.Equal(t, clock.SourceOperator, w.clock.Status().Source)
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)
	w.restart()
	require.WithinDuration(t, w.true, w.clock.Now(), time.Second)
	require.True(t, w.clock.Trusted())
}

// TestATimeTooFarAheadIsRefusedAlsoInDoubt: a year from the last time that is
// certainly over, or from what the box's clock shows, whichever is later.
func TestATimeTooFarAheadIsRefusedAlsoInDoubt(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	submit := func(at time.Time) error {
		_, err := w.store.Submit(context.Background(), queue.Request{To: []string{"+34600111222"}, Text: "x", SendAt: at}, nil)
		return err
	}
	far := w.true.AddDate(1, 1, 0)
	var invalid *queue.Invalid
	require.ErrorAs(t, submit(far), &invalid, "nobody has vouched for anything yet")
	w.ntp()
	require.ErrorAs(t, submit(far), &invalid)
	w.reboot(time.Hour, w.at(time.Unix(1000, 0)))
	require.False(t, w.clock.Trusted())
	require.NoError(t, submit(w.true.AddDate(0, 11, 0)), "as far as anybody can tell")
	require.ErrorAs(t, submit(far), &invalid)
	require.Equal(t, "send_at", invalid.Field)
	require.Contains(t, invalid.Detail, "set it first")
	w.off = 0 // a right clock that nobody vouches for
	require.NoError(t, submit(w.true.AddDate(0, 11, 25)))
}

// TestTheFirstWordOfAllMayBeWrong: the box has never known the time and shows another
// one, years ahead; the first word for it is a year wrong and ends nothing either.
func TestTheFirstWordOfAllMayBeWrong(t *testing.T) {
	w := newWorld(t, t.TempDir())
	defer func() { require.NoError(t, w.db.Close()) }()
	w.set(10 * 365 * 24 * time.Hour)
	p := w.submit(w.true.Add(90*time.Minute), time.Minute)
	w.lied = true
	require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true.AddDate(1, 0, 0), true))
	w.pass(time.Hour)
	require.Equal(t, queue.Scheduled, p.state)
	require.NoError(t, w.clock.Trust(context.Background(), "ana", w.true, true))
	w.lied = false
	w.pass(30 * time.Minute)
	require.Equal(t, 1, w.send())
	require.Equal(t, 1, p.sends)
}
