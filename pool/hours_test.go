package pool_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/pool"
	"recado/queue"
)

// realSIMs adds ports whose SIMs are taken for real ones.
func (r *rig) realSIMs(n int) {
	r.t.Helper()
	for i := range n {
		m := r.net.AddModem(emulator.ModemOptions{BootTime: time.Millisecond})
		r.modems = append(r.modems, m)
		require.NoError(r.t, r.pool.Add(pool.Port{Name: fmt.Sprintf("tcp:127.0.0.1:%d", i+1), Open: m.Open}))
	}
	r.ready(len(r.modems))
}

// setTo sets the wall clock to a time of a day in June.
func (r *rig) setTo(day, hour, minute, second int) {
	r.clock.advance(time.Date(2027, time.June, day, hour, minute, second, 0, time.Local).Sub(r.clock.Now()))
}

// waking is when quiet hours until that hour end on a day in June for a number.
func (r *rig) waking(to string, day, hour, minute int) (at time.Time) {
	r.t.Helper()
	_, zones, _ := r.store.Match(to, queue.Bulk, "")
	for name := range strings.SplitSeq(zones, ",") {
		z, err := time.LoadLocation(name)
		require.NoError(r.t, err)
		if t := time.Date(2027, time.June, day, hour, minute, 0, 0, z); t.After(at) {
			at = t
		}
	}
	return at
}

// TestQuietHoursHoldAndLetGo: what is bulk waits on real SIMs for nine o'clock at
// its recipient's, leaves on the minute, and nothing else waits.
func TestQuietHoursHoldAndLetGo(t *testing.T) { synctest.Test(t, testQuietHoursHoldAndLetGo) }

func testQuietHoursHoldAndLetGo(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{ReportDelay: time.Second})
	r.setTo(9, 3, 0, 0) // a Wednesday
	r.realSIMs(2)
	bulk := r.submit(queue.Request{To: []string{number(1)}, Text: "x", Class: queue.Bulk})[0]
	pinned := r.submit(queue.Request{To: []string{number(2)}, Text: "x", Class: queue.Bulk, SIM: r.modems[1].ICCID()})[0]
	for i, c := range []queue.Class{queue.Normal, queue.Alert, queue.OTP} {
		r.reaches(r.submit(queue.Request{To: []string{number(10 + i)}, Text: "x", Class: c})[0].ID, queue.Sent)
	}
	begins := r.waking(number(1), 9, 9, 0)
	r.clock.advance(begins.Add(-30 * time.Second).Sub(r.clock.Now()))
	time.Sleep(29 * time.Second)
	require.Equal(t, queue.Queued, r.message(bulk.ID).State)
	require.Equal(t, queue.Queued, r.message(pinned.ID).State)
	for _, m := range []queue.Message{bulk, pinned} {
		sent := r.reaches(m.ID, queue.Sent).SentAt
		require.False(t, sent.Before(begins), "%s", sent)
		require.Less(t, sent.Sub(begins), 10*time.Second, "the first at once, the second at the pace of its SIM: %s", sent)
	}
	require.Less(t, r.message(bulk.ID).SentAt.Sub(begins), 2*time.Second)
	r.clock.advance(r.waking(number(3), 9, 21, 30).Sub(r.clock.Now()))
	late := r.submit(queue.Request{To: []string{number(3)}, Text: "x", Class: queue.Bulk})[0]
	time.Sleep(20 * time.Second)
	require.Equal(t, queue.Queued, r.message(late.ID).State)
	require.NoError(t, r.pool.SetQuietHours(t.Context(), pool.QuietHours{}))
	r.reaches(late.ID, queue.Sent)
}

// TestQuietHoursEndToTheMoment: not at the next tick of the dispatcher, however its
// ticks lie.
func TestQuietHoursEndToTheMoment(t *testing.T) {
	for _, off := range []time.Duration{150 * time.Millisecond, 400 * time.Millisecond, 650 * time.Millisecond, 900 * time.Millisecond} {
		t.Run(off.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := emptyRig(t, emulator.NetworkOptions{ReportDelay: time.Second})
				r.setTo(9, 3, 0, 0)
				r.realSIMs(1)
				bulk := r.submit(queue.Request{To: []string{number(1)}, Text: "x", Class: queue.Bulk})[0]
				ends := r.waking(number(1), 9, 9, 0)
				r.clock.advance(ends.Add(-20*time.Second - off).Sub(r.clock.Now()))
				sent := r.reaches(bulk.ID, queue.Sent).SentAt
				require.False(t, sent.Before(ends), "%s", sent)
				require.Less(t, sent.Sub(ends), 50*time.Millisecond, "%s", sent)
			})
		})
	}
}

// TestQuietHoursOfEmulatedSIMs: nobody is woken by them, so they have none unless
// somebody chose some.
func TestQuietHoursOfEmulatedSIMs(t *testing.T) { synctest.Test(t, testQuietHoursOfEmulatedSIMs) }

func testQuietHoursOfEmulatedSIMs(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
	r.ready(2)
	r.clock.advance(r.waking(number(1), 9, 22, 30).Sub(r.clock.Now()))
	send := func(class queue.Class) queue.Message {
		return r.submit(queue.Request{To: []string{number(1)}, Text: "x", Class: class})[0]
	}
	r.reaches(send(queue.Bulk).ID, queue.Sent)
	q := pool.QuietHours{Classes: []queue.Class{queue.Normal, queue.Bulk}, From: 22 * 60, To: 23*60 + 5}
	require.NoError(t, r.pool.SetQuietHours(t.Context(), q))
	got, chosen := r.pool.QuietHours()
	require.True(t, chosen)
	require.Equal(t, q.From, got.From)
	bulk, normal := send(queue.Bulk), send(queue.Normal)
	r.reaches(send(queue.Alert).ID, queue.Sent)
	time.Sleep(2 * time.Minute)
	require.Equal(t, queue.Queued, r.message(bulk.ID).State)
	require.Equal(t, queue.Queued, r.message(normal.ID).State)
	r.clock.advance(r.waking(number(1), 9, 23, 5).Add(-5 * time.Second).Sub(r.clock.Now()))
	r.reaches(normal.ID, queue.Sent)
	r.reaches(bulk.ID, queue.Sent)
	var invalid *queue.Invalid
	require.ErrorAs(t, r.pool.SetQuietHours(t.Context(), pool.QuietHours{Holidays: []string{"13-13"}}), &invalid)
}

// TestAnUnknownTimeIsQuiet: while nobody knows the time of day, bulk waits on real
// SIMs and goes when it is known.
func TestAnUnknownTimeIsQuiet(t *testing.T) { synctest.Test(t, testAnUnknownTimeIsQuiet) }

func testAnUnknownTimeIsQuiet(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{ReportDelay: time.Second})
	r.clock.advance(r.waking(number(1), 9, 12, 0).Sub(r.clock.Now()))
	r.clock.doubt(true)
	r.realSIMs(1)
	bulk := r.submit(queue.Request{To: []string{number(1)}, Text: "x", Class: queue.Bulk})[0]
	r.reaches(r.submit(queue.Request{To: []string{number(2)}, Text: "x"})[0].ID, queue.Sent)
	time.Sleep(20 * time.Second)
	require.Equal(t, queue.Queued, r.message(bulk.ID).State)
	r.clock.doubt(false)
	r.reaches(bulk.ID, queue.Sent)
}

// TestSendWindow: outside it nothing leaves on the SIM, and it says so; the
// minute it opens, it goes on.
func TestSendWindow(t *testing.T) { synctest.Test(t, testSendWindow) }

func testSendWindow(t *testing.T) {
	r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
	r.setTo(9, 7, 0, 0)
	r.ready(2)
	bound := r.modems[0].ICCID()
	s, err := r.pool.UpdateSIM(t.Context(), bound, queue.SIMPatch{Window: &queue.SendWindow{From: 8 * 60, To: 14 * 60, Days: 0b11111}})
	require.NoError(t, err)
	require.Equal(t, pool.SIMUnavailable, s.State)
	require.Contains(t, s.Reason, "2027-06-09 at 08:00")
	code := r.submit(queue.Request{To: []string{number(1)}, Text: "x", Class: queue.OTP, SIM: bound, ValidFor: 24 * time.Hour})[0]
	for i := range 3 {
		m := r.reaches(r.submit(queue.Request{To: []string{number(10 + i)}, Text: "x"})[0].ID, queue.Sent)
		require.Equal(t, r.modems[1].ICCID(), m.SIM)
		require.Equal(t, queue.WhyOnly, r.why(m.ID))
	}
	require.Equal(t, queue.Queued, r.message(code.ID).State)
	r.setTo(9, 7, 59, 50)
	sent := r.reaches(code.ID, queue.Sent).SentAt
	require.Less(t, sent.Sub(time.Date(2027, time.June, 9, 8, 0, 0, 0, time.Local)), 2*time.Second, "%s", sent)
	s, err = r.pool.SIM(t.Context(), bound)
	require.NoError(t, err)
	require.Contains(t, []string{pool.SIMReady, pool.SIMBusy}, s.State)
	r.setTo(12, 9, 0, 0) // a Saturday
	again := r.submit(queue.Request{To: []string{number(2)}, Text: "x", SIM: bound})[0]
	time.Sleep(10 * time.Second)
	require.Equal(t, queue.Queued, r.message(again.ID).State)
	_, err = r.pool.UpdateSIM(t.Context(), bound, queue.SIMPatch{Window: &queue.SendWindow{From: -1}})
	require.NoError(t, err)
	r.reaches(again.ID, queue.Sent)
}

// TestPace: a real SIM spreads what can wait over the minute, unevenly; a code
// does not wait for it.
func TestPace(t *testing.T) { synctest.Test(t, testPace) }

func testPace(t *testing.T) {
	r := emptyRig(t, emulator.NetworkOptions{Latency: 500 * time.Millisecond, ReportDelay: time.Second})
	r.setTo(9, 12, 0, 0)
	r.realSIMs(1)
	s, err := r.pool.SIM(t.Context(), r.modems[0].ICCID())
	require.NoError(t, err)
	require.Equal(t, 10, s.PerMinute)
	var ids []string
	for i := range 8 {
		ids = append(ids, r.submit(queue.Request{To: []string{number(i)}, Text: "x"})[0].ID)
	}
	var at []time.Time
	var code queue.Message
	for i, id := range ids {
		time.Sleep(2 * time.Second)
		if i == 4 {
			code = r.submit(queue.Request{To: []string{number(50)}, Text: "1", Class: queue.OTP})[0]
		}
		at = append(at, r.reaches(id, queue.Delivered).SentAt)
	}
	for i := range at[1:] {
		d := at[i+1].Sub(at[i])
		require.Greater(t, d, 4*time.Second)
		require.Less(t, d, 8500*time.Millisecond)
	}
	got := r.message(code.ID)
	require.Less(t, got.SentAt.Sub(got.CreatedAt), 1500*time.Millisecond, "a code goes at once")

	// Somebody wants it quicker.
	s, err = r.pool.UpdateSIM(t.Context(), r.modems[0].ICCID(), queue.SIMPatch{Pace: new(60)})
	require.NoError(t, err)
	require.Equal(t, 60, s.PerMinute)
	time.Sleep(time.Minute)
	begun := r.clock.Now()
	for i := range 4 {
		ids[i] = r.submit(queue.Request{To: []string{number(100 + i)}, Text: "x"})[0].ID
	}
	for _, id := range ids[:4] {
		r.reaches(id, queue.Sent)
	}
	require.Less(t, r.clock.Now().Sub(begun), 6*time.Second)
}

// TestAWindowByADoubtfulClock: while nobody knows the time, a SIM with a send window
// sends what is urgent, whatever the clock says, and its route waits for no other.
func TestAWindowByADoubtfulClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, emulator.NetworkOptions{ReportDelay: time.Second})
		r.ready(2)
		its, other := r.modems[0].ICCID(), r.modems[1].ICCID()
		r.route(queue.FallbackAny, queue.RouteSIM{ICCID: its, Weight: 1})
		local := time.Now().Local()
		from := (60*local.Hour() + local.Minute() + 120) % (24 * 60)
		r.clock.doubt(true)
		_, err := r.pool.UpdateSIM(t.Context(), its, queue.SIMPatch{Window: &queue.SendWindow{From: from, To: (from + 60) % (24 * 60), Days: 127}})
		require.NoError(t, err)
		normal := r.each(1, queue.Normal)[0]
		time.Sleep(50 * time.Second)
		for range 12 {
			ids := r.each(2, queue.OTP)
			time.Sleep(3 * time.Second)
			require.Equal(t, []string{its, its}, []string{r.message(ids[0]).SIM, r.message(ids[1]).SIM})
		}
		require.Equal(t, other, r.message(normal).SIM, "none of its route's SIMs sends that")
		s, err := r.pool.SIM(t.Context(), its)
		require.NoError(t, err)
		require.Equal(t, pool.SIMUnavailable, s.State)
		require.NotContains(t, s.Reason, "outside", "nobody knows")
	})
}
