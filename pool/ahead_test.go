package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
	"recado/queue/sqlite"
)

// A gate that is open ahead of the prompt is no leave to send: a pause that comes
// before the PDU keeps it back, and nothing is lost or sent twice.
func TestPauseHoldsWhatWasOpenedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second})
		r.ready(1)
		require.NoError(t, r.pool.Pause(t.Context()))
		first := r.submit(queue.Request{To: []string{number(1)}, Text: "uno"})[0].ID
		second := r.submit(queue.Request{To: []string{number(2)}, Text: "dos"})[0].ID
		// The second prompt is late.
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultLatePrompt, On: "+CMGS", Skip: 1, Delay: 5 * time.Second})
		require.NoError(t, r.pool.Resume(t.Context()))
		r.reaches(first, queue.Sent)
		r.reaches(second, queue.Sending) // its gate is open, and the prompt is awaited
		require.Len(t, r.accepted(), 1)
		require.NoError(t, r.pool.Pause(t.Context()))
		r.reaches(second, queue.Queued)
		require.Len(t, r.accepted(), 1, "it left although sending was paused")
		require.NoError(t, r.pool.Resume(t.Context()))
		r.reaches(second, queue.Delivered)
		require.Len(t, r.accepted(), 2)
	})
}

// A modem that is pulled out before the prompt has sent nothing: what was opened ahead
// is no doubt, and leaves on another SIM.
func TestPulledOutBeforeThePromptIsNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 50 * time.Millisecond, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second})
		r.ready(2)
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: emulator.PhaseCommand, Skip: 3})
		var ids []string
		for i := range 20 {
			// An otp whose answer is in doubt is never sent again.
			ids = append(ids, r.submit(queue.Request{To: []string{number(i)}, Text: "x", Class: queue.OTP})[0].ID)
		}
		r.until("all sent", func() bool { return len(r.accepted()) == 20 })
		for _, id := range ids {
			// Reports of what the lost modem sent do not come.
			r.until("certain", func() bool { s := r.message(id).State; return s == queue.Sent || s == queue.Delivered })
		}
		require.Len(t, r.accepted(), 20)
	})
}

// attempts are those of a message: how long the gate stood open, and the outcome.
func (r *rig) attempts(id string) (stood []time.Duration, outcomes []string) {
	r.t.Helper()
	rows, err := r.db.Read().Query(`SELECT done_at - gate_at, outcome FROM attempt WHERE message = (SELECT seq FROM message WHERE id = ?) ORDER BY id`, id)
	require.NoError(r.t, err)
	defer func() { require.NoError(r.t, rows.Close()) }()
	for rows.Next() {
		var ms int64
		var outcome string
		require.NoError(r.t, rows.Scan(&ms, &outcome))
		stood, outcomes = append(stood, time.Duration(ms)*time.Millisecond), append(outcomes, outcome)
	}
	require.NoError(r.t, rows.Err())
	return stood, outcomes
}

// A prompt that does not come soon is not waited for with an open gate: the message
// goes back at once, and another line has it, though the modem still owes its prompt.
func TestAGateOpenedAheadIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second})
		r.ready(2)
		slow, other := r.modems[0].ICCID(), r.modems[1].ICCID()
		require.NoError(t, r.pool.PauseSIM(t.Context(), other, true))
		first := r.submit(queue.Request{To: []string{number(1)}, Text: "uno", SIM: slow})[0].ID
		r.reaches(first, queue.Sending)
		code := r.submit(queue.Request{To: []string{number(2)}, Text: "dos", Class: queue.OTP})[0].ID
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultLatePrompt, On: "+CMGS", Delay: 8 * time.Second})
		r.reaches(code, queue.Sending) // its gate is open, and the prompt is awaited
		opened := time.Now()
		require.NoError(t, r.pool.PauseSIM(t.Context(), other, false))
		r.until("the other line has it", func() bool { return len(r.accepted()) == 2 })
		require.Less(t, time.Since(opened), 3*time.Second, "half a second, and what the network takes")
		r.reaches(code, queue.Delivered)
		stood, outcomes := r.attempts(code)
		require.Equal(t, []string{"not_sent", "accepted"}, outcomes)
		require.InDelta(t, 0.5, stood[0].Seconds(), 0.05)
		require.Len(t, r.accepted(), 2)
	})
}

// sending is how many messages have an open gate.
func (r *rig) sending() (n int) {
	r.t.Helper()
	require.NoError(r.t, r.db.Read().QueryRow(`SELECT count(*) FROM attempt WHERE phase = 'prepared'`).Scan(&n))
	return n
}

// While the network's answer to a USSD code is awaited nothing can be sent, and no
// gate stands open: a power cut in these seconds leaves no doubt.
func TestNoGateStandsOpenDuringADialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: 12 * time.Hour})
		r.ready(1)
		r.campaign(20, queue.Normal)
		r.until("some have left", func() bool { return len(r.accepted()) == 2 })
		asked := make(chan error, 1)
		go func() {
			_, err := r.pool.USSD(t.Context(), r.modems[0].ICCID(), "*108#") // answers after 20 s
			asked <- err
		}()
		r.comes(5*time.Minute, "all have left", func() bool { return len(r.accepted()) == 20 })
		require.NoError(t, <-asked)
		require.Greater(t, r.gap(), 15*time.Second, "the dialogue held the line")
		rows, err := r.db.Read().Query(`SELECT done_at - gate_at, outcome FROM attempt`)
		require.NoError(t, err)
		defer rows.Close()
		back := 0
		for rows.Next() {
			var ms int64
			var outcome string
			require.NoError(t, rows.Scan(&ms, &outcome))
			if outcome == "not_sent" {
				back++
				require.LessOrEqual(t, ms, int64(700))
				continue
			}
			require.LessOrEqual(t, ms, int64(2700), "with the two seconds that the network takes")
		}
		require.NoError(t, rows.Err())
		require.Contains(t, []int{1, 2}, back, "once each time that the dialogue is in the way, not again and again")
	})
}

// gap is the longest time between two messages that the network took.
func (r *rig) gap() (most time.Duration) {
	list := r.accepted()
	for i := 1; i < len(list); i++ {
		most = max(most, list[i].Time.Sub(list[i-1].Time))
	}
	return most
}

// After a failed commit what the network said is stored first of all, though the modem
// was asked for the next prompt and is long with it; and nothing leaves by that prompt.
func TestAnOutcomeDoesNotWaitForTheNextPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, emulator.NetworkOptions{CommandLatency: 10 * time.Millisecond, ReportDelay: time.Second})
		r.ready(1)
		require.NoError(t, r.pool.Pause(t.Context()))
		m := r.submit(queue.Request{To: []string{number(1)}, Text: "uno"})[0]
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultLatePrompt, On: "+CMGS", Delay: 8 * time.Second})
		begun, stored := time.Now(), time.Time{}
		c, err := r.pool.GoOn(t.Context(), func(early func(queue.Claimed)) (*queue.Claimed, error) {
			early(queue.Claimed{Message: m, Line: queue.Line{ICCID: r.modems[0].ICCID()}, Attempt: 1})
			time.Sleep(50 * time.Millisecond) // the modem has its AT+CMGS
			return nil, sqlite.ErrFailed
		}, func() error {
			if stored.IsZero() {
				stored = time.Now()
			}
			return nil
		})
		require.NoError(t, err)
		require.Nil(t, c)
		require.Less(t, stored.Sub(begun), 200*time.Millisecond)
		require.GreaterOrEqual(t, time.Since(begun), 8*time.Second, "the next message waits for the modem")
		require.Empty(t, r.accepted())
	})
}

// Only behind what the network accepted is a gate opened ahead of the prompt.
func TestNothingIsOpenedAheadBehindARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, emulator.NetworkOptions{Latency: 2 * time.Second, CommandLatency: 10 * time.Millisecond, ReportDelay: 12 * time.Hour})
		r.ready(1)
		r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultCMSRefused, Code: 28, Skip: 2})
		r.campaign(5, queue.Normal)
		r.until("all are over", func() bool { return len(r.accepted()) == 4 && r.sending() == 0 })
		rows, err := r.db.Read().Query(`SELECT outcome, lead(gate_at) OVER (ORDER BY id) - done_at FROM attempt ORDER BY id LIMIT 4`)
		require.NoError(t, err)
		defer rows.Close()
		var ahead []bool
		for rows.Next() {
			var outcome string
			var ms int64
			require.NoError(t, rows.Scan(&outcome, &ms))
			require.Equal(t, outcome == "accepted", ms < 5, "%s, and %d ms later the next gate", outcome, ms)
			ahead = append(ahead, ms < 5)
		}
		require.NoError(t, rows.Err())
		require.Equal(t, []bool{true, true, false, true}, ahead)
	})
}
