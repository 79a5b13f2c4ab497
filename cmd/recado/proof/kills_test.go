package proof

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue/failpoint"
)

var everyClass = []string{"otp", "alert", "normal", "bulk"}

// TestKillsUnderLoad (R1) kills the program at random moments while many clients
// ask for messages: whatever was acknowledged is there, once, and what left had
// its attempt on disk before.
func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	kills, boxes := size(t, "RECADO_PROOF_KILLS", 60), 2
	for i := range boxes {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, 4, i%2 == 1, 100*time.Millisecond)
			require.True(t, b.start(""))
			l := &load{b: b, classes: everyClass, long: 0.1, replied: 0.05, pause: 15 * time.Millisecond}
			l.start(16)
			for range kills / boxes {
				// Lines take a second to come up: one time in four they get to send.
				most := 400
				if rand.IntN(4) == 0 {
					most = 6000
				}
				time.Sleep(time.Duration(rand.IntN(most)) * time.Millisecond)
				b.daemon.Kill()
				b.ended()
				b.startAgain("")
			}
			l.end()
			o := b.outcome()
			b.holds(o)
			require.NotEmpty(t, o.Ledger)
		})
	}
}

// TestKillAtEveryFailpoint (R2, R6) has the program kill itself at every place
// that matters, with eight modems and all classes, long messages and answers,
// goes on each time with what it finds, and lets the queue run dry in the end.
func TestKillAtEveryFailpoint(t *testing.T) {
	t.Parallel()
	hits, rounds := sizes(t, "RECADO_PROOF_HITS", 1, 3, 7), size(t, "RECADO_PROOF_ROUNDS", 1)
	groups := [][]string{
		{failpoint.GateBefore, failpoint.GateCommitted, failpoint.SubmitBefore, failpoint.SubmitCommitted},
		{failpoint.CtrlZBefore, failpoint.CtrlZAfter, failpoint.ReportBefore, failpoint.ReportCommitted},
		{failpoint.OutcomeBefore, failpoint.OutcomeCommitted, failpoint.InboundBefore, failpoint.InboundCommitted, failpoint.CMGDBefore, failpoint.CMGDAfter},
	}
	for i, points := range groups {
		t.Run(strings.Join(points, " "), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, 8, i == 1, 150*time.Millisecond)
			require.True(t, b.start(""))
			l := &load{b: b, classes: everyClass, long: 0.2, replied: 0.3, pause: 300 * time.Millisecond}
			l.start(6)
			b.until("the first messages on every SIM", 90*time.Second, func() bool { return len(b.ledger()) > 150 })
			for range rounds {
				for _, name := range points {
					for _, hit := range hits {
						b.daemon.Kill()
						b.ended()
						b.startAgain(fmt.Sprintf("%s=kill@%d", name, hit))
						select {
						case <-b.daemon.Ended:
							b.ended()
						case <-time.After(90 * time.Second):
							require.FailNow(t, "never came to the failpoint", "%s@%d\n%s", name, hit, tail(b.daemon.Output(), 4000))
						}
						b.startAgain("")
					}
				}
			}
			l.end()
			b.drain()
			o := b.outcome()
			o.Drained = true
			b.holds(o)
			b.meansSomething(o)
		})
	}
}

// startAgain starts the daemon until it is ready: a failpoint may kill it before,
// and then the next start is without.
func (b *box) startAgain(points string) {
	b.t.Helper()
	if b.daemon.Over() && b.start(points) {
		return
	}
	if points != "" {
		return // it came to the failpoint on its way up
	}
	require.FailNow(b.t, "the daemon does not start", tail(b.said.String(), 8000))
}

// until waits for another process's doing.
func (b *box) until(what string, within time.Duration, cond func() bool) {
	b.t.Helper()
	require.Eventually(b.t, cond, within, 100*time.Millisecond, what)
}

// drain waits until nothing is to be sent any more, and no alert's evidence is
// waited for.
func (b *box) drain() {
	b.t.Helper()
	b.until("an empty queue", 4*time.Minute, func() bool {
		var status struct{ Queue map[string]map[string]int }
		if b.get("/api/v1/status", &status) != nil {
			return false
		}
		for _, state := range []string{"queued", "sending"} {
			for _, n := range status.Queue[state] {
				if n > 0 {
					return false
				}
			}
		}
		var open struct {
			Items []struct{ Reason string }
		}
		if b.get("/api/v1/messages?state=uncertain&class=alert&limit=500", &open) != nil {
			return false
		}
		return !slices.ContainsFunc(open.Items, func(m struct{ Reason string }) bool { return m.Reason != "no_evidence" })
	})
	// What the network has to say of the last ones comes in a moment later, and what
	// could not be kept when it came is read again within a minute.
	time.Sleep(3 * time.Second)
	b.until("everything received", 90*time.Second, func() bool {
		there := map[string]bool{}
		for next := ""; ; {
			var page struct {
				Items []struct{ Text string }
				Next  string
			}
			if b.get("/api/v1/inbox?limit=500&cursor="+url.QueryEscape(next), &page) != nil {
				return false
			}
			for _, in := range page.Items {
				there[in.Text] = true
			}
			if next = page.Next; next == "" {
				break
			}
		}
		return !slices.ContainsFunc(b.ledger(), func(e emulator.Entry) bool { return e.Type == emulator.EntryInbound && !there[e.Text] })
	})
}

// holds fails the test for every promise that was not kept.
func (b *box) holds(o outcome) {
	b.t.Helper()
	acknowledged, lost := 0, 0
	for _, r := range o.Requests {
		if r.acknowledged() != "" {
			acknowledged++
		}
	}
	states, outcomes := map[string]int{}, map[string]int{}
	for _, m := range o.Messages {
		states[m.Class+" "+m.State]++
	}
	for _, a := range o.Attempts {
		outcomes[a.Outcome]++
	}
	for _, r := range o.Requests {
		for _, a := range r.Answers {
			if a.Status == 0 {
				lost++
			}
		}
	}
	b.t.Logf("%d starts (slowest %s), %d requests, %d acknowledged, %d answers lost; attempts %v; messages %v; %d received",
		b.starts, b.slowest.Round(time.Millisecond), len(o.Requests), acknowledged, lost, outcomes, states, len(o.Inbound))
	// The race detector makes everything several times slower.
	limit := 10 * time.Second
	if raceOn {
		limit = 30 * time.Second
	}
	if b.slowest > limit {
		b.t.Errorf("crash to serving took %s", b.slowest)
	}
	found := check(o)
	for i, v := range found {
		if i == 20 {
			b.t.Errorf("and %d more", len(found)-i)
			break
		}
		b.t.Errorf("%s: %s", v.Promise, v.What)
	}
	if b.t.Failed() {
		b.keep()
	}
}

// meansSomething: a proof in which nothing was at stake proves nothing.
func (b *box) meansSomething(o outcome) {
	b.t.Helper()
	outcomes, classes := map[string]int{}, map[string]int{}
	for _, a := range o.Attempts {
		outcomes[a.Outcome]++
	}
	for _, m := range o.Messages {
		if m.State == "delivered" || m.State == "sent" {
			classes[m.Class]++
		}
	}
	require.NotZero(b.t, outcomes["accepted"])
	require.NotZero(b.t, outcomes["ambiguous"]+len(o.Retries), "no answer was lost")
	require.NotEmpty(b.t, o.Inbound)
	for _, c := range everyClass {
		require.NotZero(b.t, classes[c], "no %s was sent", c)
	}
}
