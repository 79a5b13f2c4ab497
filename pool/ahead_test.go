package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
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
