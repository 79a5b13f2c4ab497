package pool_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEverythingOnce: what the network accepted is what was asked, once each,
// with the texts, the references and the reports on the right messages.
func TestEverythingOnce(t *testing.T) { synctest.Test(t, testEverythingOnce) }

func testEverythingOnce(t *testing.T) {
	r := newRig(t, 4, emulator.NetworkOptions{Latency: 5 * time.Millisecond, ReportDelay: 5 * time.Millisecond})
	r.ready(4)
	texts := []string{"Hola", "Camión, avión 😀", strings.Repeat("Un texto largo con {llaves} y €. ", 12)}
	want := map[string]string{}
	var ids []string
	for i := range 60 {
		m := r.submit(queue.Request{To: []string{number(i)}, Text: texts[i%len(texts)]})[0]
		want[m.To] = texts[i%len(texts)]
		ids = append(ids, m.ID)
	}
	for _, id := range ids {
		r.reaches(id, queue.Delivered)
	}
	got := map[string]string{}
	sims := map[string]map[string]bool{}
	mrs := map[string][]int{}
	for _, e := range r.accepted() {
		got[e.DA] += e.Text
		mrs[e.DA] = append(mrs[e.DA], e.MR)
		if sims[e.DA] == nil {
			sims[e.DA] = map[string]bool{}
		}
		sims[e.DA][e.SIM] = true
	}
	require.Equal(t, want, got)
	used := map[string]int{}
	for _, id := range ids {
		m := r.message(id)
		require.Len(t, sims[m.To], 1, "all segments of a message on one SIM")
		require.True(t, sims[m.To][m.SIM])
		require.Len(t, mrs[m.To], len(m.Segments))
		for i, s := range m.Segments {
			require.Equal(t, mrs[m.To][i], s.MR)
		}
		used[m.SIM]++
	}
	require.Len(t, used, 4, "every SIM took its part")
}

// TestEvenUseWhenIdle: single messages go to the SIM that sent least.
func TestEvenUseWhenIdle(t *testing.T) { synctest.Test(t, testEvenUseWhenIdle) }

func testEvenUseWhenIdle(t *testing.T) {
	r := newRig(t, 4, emulator.NetworkOptions{Latency: 10 * time.Millisecond})
	r.ready(4)
	used := map[string]int{}
	for i := range 12 {
		m := r.submit(queue.Request{To: []string{number(i)}, Text: "uno"})[0]
		m = r.reaches(m.ID, queue.Delivered)
		used[m.SIM]++
		r.until("all lines idle", func() bool { return r.pool.InFlight() == 0 })
	}
	for sim, n := range used {
		require.Equal(t, 3, n, "messages on %s", sim)
	}
}

// TestLanes: what is urgent goes next, whatever waits; inside a lane the order
// is that of acceptance.
func TestLanes(t *testing.T) { synctest.Test(t, testLanes) }

func testLanes(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	require.NoError(t, r.pool.Pause(t.Context()))
	var order []string
	for i, c := range []queue.Class{queue.Bulk, queue.Bulk, queue.Normal, queue.Alert, queue.Normal, queue.OTP} {
		order = append(order, r.submit(queue.Request{To: []string{number(i)}, Text: "x", Class: c})[0].To)
	}
	require.Empty(t, r.accepted(), "nothing leaves while sending is paused")
	require.NoError(t, r.pool.Resume(t.Context()))
	r.until("all sent", func() bool { return len(r.accepted()) == 6 })
	var got []string
	for _, e := range r.accepted() {
		got = append(got, e.DA)
	}
	require.Equal(t, []string{order[5], order[3], order[2], order[4], order[0], order[1]}, got)
}

// TestDeadLineGivesBack: a modem that is pulled out loses nothing; what it had
// not sent leaves on another SIM, once.
func TestDeadLineGivesBack(t *testing.T) { synctest.Test(t, testDeadLineGivesBack) }

func testDeadLineGivesBack(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Millisecond})
	r.ready(2)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: emulator.PhaseCommand, Skip: 2})
	var ids []string
	for i := range 20 {
		ids = append(ids, r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID)
	}
	for _, id := range ids {
		r.reaches(id, queue.Delivered)
	}
	seen := map[string]int{}
	for _, e := range r.accepted() {
		seen[e.DA]++
	}
	require.Len(t, seen, 20)
	for da, n := range seen {
		require.Equal(t, 1, n, da)
	}
	r.modems[0].Replug()
	r.ready(2)
}

// TestLostAnswer: pulled out after the network accepted and before it said so,
// the message is uncertain, and an otp is never sent again.
func TestLostAnswer(t *testing.T) { synctest.Test(t, testLostAnswer) }

func testLostAnswer(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Latency: 2 * time.Millisecond, ReportDelay: time.Hour})
	r.ready(2)
	for _, m := range r.modems {
		m.Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: emulator.PhaseAccepted})
	}
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "123456", Class: queue.OTP})[0]
	m = r.reaches(m.ID, queue.Uncertain)
	require.Equal(t, 1, m.Attempts)
	r.clock.advance(5 * time.Minute)
	next := r.submit(queue.Request{To: []string{number(2)}, Text: "x", Class: queue.Bulk})[0]
	r.reaches(next.ID, queue.Uncertain) // the other SIM worked on meanwhile
	require.Equal(t, queue.Uncertain, r.message(m.ID).State)
	require.Len(t, r.accepted(), 2)
}

// TestBackOff: a passing refusal is tried again after its pause, and meanwhile
// holds nobody up.
func TestBackOff(t *testing.T) { synctest.Test(t, testBackOff) }

func testBackOff(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Rules: []emulator.Rule{
		{Suffix: "10000001", Count: 1, Effect: emulator.Effect{CMS: 41}}}})
	r.ready(1)
	first := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	r.until("refused once", func() bool { m := r.message(first.ID); return m.State == queue.Queued && m.Failures == 1 })
	second := r.submit(queue.Request{To: []string{number(2)}, Text: "y"})[0]
	r.reaches(second.ID, queue.Delivered)
	require.Equal(t, queue.Queued, r.message(first.ID).State)
	r.clock.advance(6 * time.Second)
	got := r.reaches(first.ID, queue.Delivered)
	require.Equal(t, 2, got.Attempts)
}

// TestRefusedForGood: an unassigned number fails with the network's words.
func TestRefusedForGood(t *testing.T) { synctest.Test(t, testRefusedForGood) }

func testRefusedForGood(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{Rules: []emulator.Rule{{Suffix: "10000001", Effect: emulator.Effect{CMS: 1}}}})
	r.ready(2)
	m := r.reaches(r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0].ID, queue.Failed)
	require.NotNil(t, m.Error)
	require.Equal(t, "cms_1", m.Error.Code)
	require.Equal(t, "rejected", m.Reason)
	require.Equal(t, 1, m.Attempts)
}

// TestAnotherSIM: a SIM that may not send hands the message to another.
func TestAnotherSIM(t *testing.T) { synctest.Test(t, testAnotherSIM) }

func testAnotherSIM(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{})
	r.net.AddRule(emulator.Rule{SIM: r.modems[0].ICCID(), Effect: emulator.Effect{CMS: 8}})
	r.ready(2)
	for i := range 6 {
		m := r.reaches(r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID, queue.Delivered)
		require.Equal(t, r.modems[1].ICCID(), m.SIM)
	}
}

// TestPinned: a message for one SIM waits for it, and a SIM that is switched
// off sends nothing.
func TestPinned(t *testing.T) { synctest.Test(t, testPinned) }

func testPinned(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{})
	r.ready(2)
	pin := r.modems[1].ICCID()
	_, err := r.pool.UpdateSIM(t.Context(), pin, queue.SIMPatch{Enabled: new(false)})
	require.NoError(t, err)
	pinned := r.submit(queue.Request{To: []string{number(1)}, Text: "x", SIM: pin})[0]
	free := r.submit(queue.Request{To: []string{number(2)}, Text: "y"})[0]
	require.Equal(t, r.modems[0].ICCID(), r.reaches(free.ID, queue.Delivered).SIM)
	require.Equal(t, queue.Queued, r.message(pinned.ID).State)
	s, err := r.pool.SIM(t.Context(), pin)
	require.NoError(t, err)
	require.Equal(t, pool.SIMDisabled, s.State)
	_, err = r.pool.UpdateSIM(t.Context(), pin, queue.SIMPatch{Enabled: new(true)})
	require.NoError(t, err)
	require.Equal(t, pin, r.reaches(pinned.ID, queue.Delivered).SIM)
}

// TestDrain: an orderly stop waits for the answer that is owed, and starts
// nothing new.
func TestDrain(t *testing.T) { synctest.Test(t, testDrain) }

func testDrain(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{Latency: 300 * time.Millisecond})
	r.ready(1)
	a := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	b := r.submit(queue.Request{To: []string{number(2)}, Text: "y"})[0]
	r.reaches(a.ID, queue.Sending)
	require.NoError(t, r.pool.Drain(t.Context()))
	require.NotEqual(t, queue.Sending, r.message(a.ID).State)
	require.Equal(t, queue.Queued, r.message(b.ID).State)
	require.Len(t, r.accepted(), 1)
}

// TestDrainBounded: it does not wait for ever.
func TestDrainBounded(t *testing.T) { synctest.Test(t, testDrainBounded) }

func testDrainBounded(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{})
	r.ready(1)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultLostSubmit})
	m := r.submit(queue.Request{To: []string{number(1)}, Text: "x"})[0]
	r.reaches(m.ID, queue.Sending)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, r.pool.Drain(ctx), "1 submissions were still waiting")
}

// TestReceived: an answer lands in the inbox with its SIM's number, and leaves
// the SIM.
func TestReceived(t *testing.T) { synctest.Test(t, testReceived) }

func testReceived(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{})
	r.ready(2)
	long := strings.Repeat("Buenos días, ¿a qué hora? ", 12)
	require.NoError(t, r.net.Inbound(r.modems[1].ICCID(), "+34600111222", long))
	var got []inbox.Message
	r.until("the answer", func() bool {
		var err error
		got, _, err = r.inbox.List(context.Background(), inbox.Filter{})
		require.NoError(t, err)
		return len(got) == 1 && got[0].Complete
	})
	require.Equal(t, long, got[0].Text)
	require.Equal(t, "+34600111222", got[0].From)
	require.Equal(t, r.modems[1].Number(), got[0].To)
	require.Equal(t, r.modems[1].ICCID(), got[0].SIM)
}

// TestQuarantine: a line that loses answers again and again rests, says why, and
// a restart by a person forgives it.
func TestQuarantine(t *testing.T) { synctest.Test(t, testQuarantine) }

func testQuarantine(t *testing.T) {
	r := newRig(t, 1, emulator.NetworkOptions{ReportDelay: time.Hour})
	r.ready(1)
	r.modems[0].Inject(emulator.Fault{Kind: emulator.FaultUnplug, Phase: emulator.PhaseAccepted, Count: 4, Delay: time.Millisecond})
	for i := range 4 {
		m := r.submit(queue.Request{To: []string{number(i)}, Text: "x", Class: queue.Bulk})[0]
		r.reaches(m.ID, queue.Uncertain)
	}
	r.until("quarantine", func() bool {
		s, err := r.pool.SIM(context.Background(), r.modems[0].ICCID())
		require.NoError(t, err)
		return s.State == pool.SIMQuarantined && strings.Contains(s.Reason, "lost their answer")
	})
	waits := r.submit(queue.Request{To: []string{number(9)}, Text: "x", Class: queue.Bulk})[0]
	require.Equal(t, queue.Queued, r.message(waits.ID).State)
	r.until("the modem is back", func() bool { return r.pool.Modems()[0].State == "ready" })
	require.NoError(t, r.pool.Restart(t.Context(), r.pool.Modems()[0].ID))
	r.reaches(waits.ID, queue.Sent)
}
