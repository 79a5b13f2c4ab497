package pool_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue"
)

// campaignOf is how many messages the campaign has: CAMPAIGN, else few enough for
// every day.
func campaignOf(t *testing.T) int {
	v := os.Getenv("CAMPAIGN")
	if v == "" {
		return 3000
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, "CAMPAIGN is a number of messages")
	return n
}

// TestACodeInACampaign: a code that comes while four SIMs work off a campaign is
// the next that goes through a gate, on the first line that frees, whenever it
// comes.
func TestACodeInACampaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sims, codes, part = 4, 25, 1000
		r := newRig(t, sims, emulator.NetworkOptions{Latency: 2 * time.Second, LatencySigma: 0.2, Seed: 1, ReportDelay: 3 * time.Second})
		r.ready(sims)
		all := campaignOf(t)
		for from := 0; from < all; from += part {
			to := make([]string, min(part, all-from))
			for i := range to {
				to[i] = number(from + i)
			}
			r.submit(queue.Request{To: to, Text: "x", Class: queue.Bulk})
		}
		last := func(query string, args ...any) (id int64) {
			require.NoError(t, r.db.Read().QueryRow(query, args...).Scan(&id))
			return id
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		on := map[string]bool{}
		var waits []time.Duration
		for i := range codes {
			time.Sleep(time.Duration(2000+rnd.IntN(4000)) * time.Millisecond)
			require.Equal(t, 0, r.idle(), "every SIM is at work")
			code := r.submit(queue.Request{To: []string{fmt.Sprintf("+3460000%04d", i)}, Text: "123456", Class: queue.OTP})[0]
			open := last(`SELECT max(id) FROM attempt`)
			start := time.Now()
			r.inTime(10*time.Second, "the code", func() bool { return r.message(code.ID).State == queue.Sent })
			first := last(`SELECT min(a.id) FROM attempt a JOIN message m ON m.seq = a.message WHERE m.id = ?`, code.ID)
			require.LessOrEqual(t, first, open+1, "another message went first")
			gate := time.UnixMilli(last(`SELECT gate_at FROM attempt WHERE id = ?`, first))
			waits = append(waits, gate.Sub(start))
			on[r.message(code.ID).SIM] = true
		}
		// Four lines with two seconds each: one of them frees soon, and none takes longer
		// than the one submission in flight.
		slices.Sort(waits)
		require.Less(t, waits[len(waits)-1], 3*time.Second)
		require.Less(t, waits[len(waits)/2], time.Second)
		require.Greater(t, len(on), 1, "whichever frees first")
		t.Logf("%d messages wait; a code's gate opens after %s (median), %s (worst)", all, waits[len(waits)/2], waits[len(waits)-1])
	})
}

// idle is how many lines do nothing.
func (r *rig) idle() (n int) {
	r.t.Helper()
	for i := range r.modems {
		if state, _ := r.simState(i); state != "busy" {
			n++
		}
	}
	return n
}
