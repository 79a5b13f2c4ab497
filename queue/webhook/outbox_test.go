package webhook

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

func TestDeliversWhatIsWanted(t *testing.T) {
	b := newBench(t)
	b.emit("message.sent", 0, 3) // before anybody listened
	b.run()
	s, other := newSink(t), newSink(t)
	e := b.add(s, "message.*", "inbound.received")
	b.add(other, "sim.state")
	before := time.Now()
	b.emit("message.sent", 3, 4)
	b.emit("sim.state", 4, 5)
	b.emit("inbound.received", 5, 6)
	b.emit("inbound.partial", 6, 7)
	first, second := s.next(t), s.next(t)
	require.Equal(t, []int{3, 5}, []int{first.n(), second.n()})
	require.Equal(t, 4, other.next(t).n())
	require.Equal(t, "message.sent", first.body.Type)
	require.EqualValues(t, 4, first.body.Sequence)
	require.JSONEq(t, `{"n":3}`, string(first.body.Data))
	require.WithinDuration(t, before, first.body.Timestamp, time.Minute)
	require.Nil(t, first.body.ClockTrusted)
	require.Equal(t, "application/json", first.head.Get("Content-Type"))
	require.NotContains(t, first.head, "Idempotency-Key")
	events, err := b.queue.Events(t.Context(), 3, 1)
	require.NoError(t, err)
	require.Equal(t, events[0].ID, first.id)
	e = b.until(e.ID, func(e Endpoint) bool { return e.Pending == 0 })
	require.Equal(t, HealthOK, e.Health)
	list, next, err := b.o.Deliveries(t.Context(), e.ID, "", 1, "")
	require.NoError(t, err)
	require.Equal(t, Delivered, list[0].State)
	require.Equal(t, "inbound.received", list[0].Type, "newest first")
	require.Equal(t, 204, list[0].Status)
	require.Equal(t, 1, list[0].Attempts)
	list, next, err = b.o.Deliveries(t.Context(), e.ID, Delivered, 1, next)
	require.NoError(t, err)
	require.Equal(t, first.id, list[0].EventID)
	require.Empty(t, next)
}

func TestUntrustedClockIsSaid(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	b.add(s, "*")
	b.wall.set(0, true)
	b.emit("message.sent", 0, 1)
	got := s.next(t)
	require.NotNil(t, got.body.ClockTrusted)
	require.False(t, *got.body.ClockTrusted)
	require.Contains(t, string(got.raw), `"clock_trusted":false`)
}

// TestRetries: 10 s doubling, the same id and sequence each time, until 72 h are
// over; then a dead letter, which goes again when somebody says so.
func TestRetries(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.status(500)
	e := b.add(s, "message.*")
	began := b.hand.Elapsed()
	b.emit("message.sent", 0, 1)
	first := s.next(t)
	var waits []time.Duration
	for tried := 1; ; tried++ {
		list, _, err := b.o.Deliveries(t.Context(), e.ID, "", 1, "")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			list, _, err = b.o.Deliveries(t.Context(), e.ID, "", 1, "")
			return err == nil && list[0].Attempts == tried
		}, 10*time.Second, time.Millisecond)
		if list[0].State == Dead {
			break
		}
		wait := time.Until(list[0].NextAt).Round(time.Second)
		waits = append(waits, wait)
		if tried == 1 {
			b.pass(8 * time.Second) // not yet
			s.silent(t)
			b.pass(wait - 8*time.Second + time.Second)
		} else {
			b.pass(wait + time.Second)
		}
		again := s.next(t)
		require.Equal(t, first.id, again.id)
		require.Equal(t, first.raw, again.raw)
	}
	require.InDelta(t, 10, waits[0].Seconds(), 1.1)
	for i := 1; i < len(waits)-2; i++ {
		require.InEpsilon(t, 10*float64(int(1)<<i), waits[i].Seconds(), .13, "%v", waits)
	}
	require.InDelta(t, (72 * time.Hour).Seconds(), (b.hand.Elapsed() - began).Seconds(), 60, "the last try is after 72 hours: %v", waits)
	e = b.until(e.ID, func(e Endpoint) bool { return e.Dead == 1 })
	require.Equal(t, HealthFailing, e.Health)
	require.Equal(t, "it answered 500", e.LastError)
	require.Equal(t, 500, e.LastStatus)
	require.NotZero(t, e.FailingSince)
	b.pass(30 * time.Hour)
	s.silent(t)

	s.status(200)
	n, err := b.o.ReplayDead(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, first.id, s.next(t).id)
	e = b.until(e.ID, func(e Endpoint) bool { return e.Health == HealthOK && e.Pending == 0 })
	require.Zero(t, e.Dead)
	require.Empty(t, e.LastError)

	list, _, err := b.o.Deliveries(t.Context(), e.ID, Delivered, 10, "")
	require.NoError(t, err)
	_, err = b.o.Replay(t.Context(), list[0].ID)
	require.NoError(t, err)
	require.Equal(t, first.id, s.next(t).id, "also one that had arrived")
	_, err = b.o.Replay(t.Context(), "0198a1b2-0000-7000-8000-000000000000")
	require.ErrorIs(t, err, ErrNoDelivery)
}

// TestBackOffSurvivesRestartsAndJumps of the wall clock.
func TestBackOffSurvivesRestartsAndJumps(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.status(500)
	e := b.add(s, "*")
	b.emit("message.sent", 0, 1)
	tried := func(n int) (d Delivery) {
		t.Helper()
		s.next(t)
		require.Eventually(t, func() bool {
			list, _, err := b.o.Deliveries(t.Context(), e.ID, "", 1, "")
			require.NoError(t, err)
			d = list[0]
			return d.Attempts == n
		}, 10*time.Second, time.Millisecond)
		return d
	}
	for n, wait := 1, 10*time.Second; n < 8; n, wait = n+1, 2*wait {
		tried(n)
		b.pass(wait + wait/8)
	}
	d := tried(8)
	wait := d.NextAt.Sub(b.wall.Now())
	require.Greater(t, wait, 18*time.Minute)
	for _, jump := range []time.Duration{-10 * 365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
		b.wall.set(jump, false)
		b.o.look()
		d, err := b.o.Delivery(t.Context(), d.ID)
		require.NoError(t, err)
		require.InDelta(t, wait.Seconds(), d.NextAt.Sub(b.wall.Now()).Seconds(), 5)
	}
	b.wall.set(0, false)
	b.again()
	d, err := b.o.Delivery(t.Context(), d.ID)
	require.NoError(t, err)
	require.InDelta(t, wait.Seconds(), d.NextAt.Sub(b.wall.Now()).Seconds(), 15, "a restart begins nothing anew")
	s.silent(t)
	b.wall.set(2*time.Hour, false) // it was off for two hours
	b.again()
	require.Equal(t, d.EventID, s.next(t).id)

	// What an untrusted clock says of the time between counts as nothing.
	b.until(e.ID, func(e Endpoint) bool { return e.LastAttempt.After(time.Now().Add(time.Hour)) })
	b.wall.set(1000*time.Hour, true)
	b.again()
	d, err = b.o.Delivery(t.Context(), d.ID)
	require.NoError(t, err)
	require.Equal(t, Pending, d.State)
	require.Greater(t, d.NextAt.Sub(b.wall.Now()), 30*time.Minute)
	s.silent(t)
}

func TestRetryAfterIsHeeded(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.says(func(w http.ResponseWriter, _ request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	e := b.add(s, "*")
	b.emit("message.sent", 0, 1)
	s.next(t)
	b.until(e.ID, func(e Endpoint) bool { return e.LastStatus == 503 })
	b.pass(100 * time.Second)
	b.emit("message.sent", 1, 2) // another one does not knock either
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 2 })
	s.silent(t)
	s.status(200)
	b.pass(21 * time.Second)
	require.ElementsMatch(t, []int{0, 1}, []int{s.next(t).n(), s.next(t).n()})
}

func TestGoneSwitchesOff(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.status(http.StatusGone)
	e := b.add(s, "*")
	b.emit("message.sent", 0, 1)
	s.next(t)
	e = b.until(e.ID, func(e Endpoint) bool { return e.Health == HealthGone })
	require.False(t, e.Active)
	require.Equal(t, 1, e.Dead)
	b.emit("message.sent", 1, 2)
	b.pass(100 * time.Hour)
	s.status(200)
	e, err := b.o.Update(t.Context(), e.ID, Change{Active: new(true)})
	require.NoError(t, err)
	require.Equal(t, HealthNew, e.Health)
	b.emit("message.sent", 2, 3)
	require.Equal(t, 2, s.next(t).n(), "nothing of the time when it was off")
	n, err := b.o.ReplayDead(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 0, s.next(t).n())
}

// TestErasedIsSkipped: of an erased event nothing is sent, and it blocks nothing.
func TestErasedIsSkipped(t *testing.T) {
	b := newBench(t)
	b.run()
	s := newSink(t)
	s.status(500)
	e := b.add(s, "*")
	b.emit("inbound.received", 0, 4)
	b.until(e.ID, func(e Endpoint) bool { // none is in flight, with what was there before
		list, _, err := b.o.Deliveries(t.Context(), e.ID, Pending, 10, "")
		require.NoError(t, err)
		return len(list) == 4 && !slices.ContainsFunc(list, func(d Delivery) bool { return d.Attempts == 0 })
	})
	for range 4 {
		s.next(t)
	}
	require.NoError(t, b.db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`UPDATE event SET data = '{}' WHERE seq = 1`); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE event SET data = '' WHERE seq = 2`); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM event WHERE seq = 3`)
		return err
	}))
	s.status(200)
	b.pass(10 * time.Minute)
	for {
		if r := s.next(t); r.n() == 3 {
			break
		}
	}
	b.until(e.ID, func(e Endpoint) bool { return e.Pending == 0 })
	list, _, err := b.o.Deliveries(t.Context(), e.ID, Skipped, 10, "")
	require.NoError(t, err)
	require.Len(t, list, 3)
	_, err = b.o.Replay(t.Context(), list[0].ID)
	require.ErrorIs(t, err, ErrErased)
}

// TestDeletedInFlight: an endpoint that goes while a request to it runs leaves
// nothing behind, and blocks nobody.
func TestDeletedInFlight(t *testing.T) {
	b := newBench(t)
	b.run()
	s, other := newSink(t), newSink(t)
	inside, release := make(chan struct{}), make(chan struct{})
	s.says(func(w http.ResponseWriter, _ request) { inside <- struct{}{}; <-release })
	e := b.add(s, "*")
	b.add(other, "*")
	b.emit("message.sent", 0, 1)
	<-inside
	require.NoError(t, b.o.Delete(t.Context(), e.ID))
	require.ErrorIs(t, b.o.Delete(t.Context(), e.ID), ErrNotFound)
	close(release)
	s.next(t)
	b.emit("message.sent", 1, 2)
	require.Equal(t, []int{0, 1}, []int{other.next(t).n(), other.next(t).n()})
	var left int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM webhook_delivery WHERE webhook = ?`, e.ID).Scan(&left))
	require.Zero(t, left)
	s.silent(t)
}

func TestTestTellsAtOnce(t *testing.T) {
	b := newBench(t)
	b.run()
	s, other := newSink(t), newSink(t)
	e := b.add(s, "message.sent")
	b.add(other, "*")
	d, err := b.o.Test(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, Delivered, d.State)
	got := s.next(t)
	require.Equal(t, "system.test", got.body.Type)
	require.Equal(t, d.EventID, got.id)
	s.status(404)
	d, err = b.o.Test(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, Failed, d.State)
	require.Equal(t, 404, d.Status)
	require.Equal(t, "it answered 404", d.Error)
	b.emit("message.sent", 7, 8)
	require.Equal(t, 7, other.next(t).n(), "a test is nobody else's")
	_, err = b.o.Test(t.Context(), "nobody")
	require.ErrorIs(t, err, ErrNotFound)
}
