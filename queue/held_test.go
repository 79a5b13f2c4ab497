package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

func (b *box) holdAll(reason string) int {
	b.t.Helper()
	n, err := b.HoldAll(context.Background(), reason)
	require.NoError(b.t, err)
	return n
}

func (b *box) release(f HeldFilter) int {
	b.t.Helper()
	n, err := b.Release(context.Background(), f, "Ana")
	require.NoError(b.t, err)
	return n
}

func (b *box) discard(f HeldFilter) int {
	b.t.Helper()
	n, err := b.Discard(context.Background(), f, "Ana")
	require.NoError(b.t, err)
	return n
}

func (b *box) heldCounts() map[string]int {
	b.t.Helper()
	list, err := b.HeldCounts(context.Background())
	require.NoError(b.t, err)
	counts := map[string]int{}
	for _, c := range list {
		counts[c.Reason+" "+string(c.Class)] = c.N
		require.False(b.t, c.Oldest.IsZero())
	}
	return counts
}

func (b *box) said(id string) (events []string) {
	b.t.Helper()
	list, err := b.Timeline(context.Background(), id)
	require.NoError(b.t, err)
	for _, e := range list {
		events = append(events, strings.TrimSpace(e.Event+" "+e.Detail))
	}
	return events
}

func TestHoldAllHoldsWhatIsNotFinal(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l, other := line(1), line(2)
	done := b.submit(Request{Class: OTP, To: []string{"+34600000001"}})
	b.sent(l, 1)
	cancelled := b.submit(Request{})
	_, err := b.Cancel(ctx, cancelled.ID)
	require.NoError(t, err)
	gone := b.submit(Request{Class: OTP, To: []string{"+34600000002"}, ValidFor: maxValid})
	_, a := b.gated(l)
	b.outcome(a, lost())
	awaited := b.submit(Request{Class: Alert, To: []string{"+34600000003"}})
	_, open := b.gated(l)
	claimed := b.submit(Request{Class: Alert, To: []string{"+34600000004"}})
	c := b.claimed(other)
	require.Equal(t, claimed.ID, c.Message.ID)
	backing := b.submit(Request{Class: Alert, To: []string{"+34600000005"}})
	third := b.claimed(line(3))
	require.NoError(t, b.Unclaim(ctx, line(3).ICCID, third.Message.Seq, Outcome{Retry: true, After: time.Minute, Code: "cms_38"}))
	queued := b.submit(Request{})
	later := b.clock.Now().Add(time.Hour)
	scheduled := b.submit(Request{SendAt: later})

	require.Equal(t, 4, b.holdAll(ReasonRestored))
	for id, want := range map[string]State{done.ID: Sent, cancelled.ID: Cancelled, gone.ID: Uncertain, awaited.ID: Sending,
		claimed.ID: Held, backing.ID: Held, queued.ID: Held, scheduled.ID: Held} {
		require.Equal(t, want, b.get(id).State)
	}
	require.Equal(t, ReasonRestored, b.get(queued.ID).Reason)
	require.Equal(t, ReasonNoEvidence, b.get(gone.ID).Reason)
	require.Equal(t, later, b.get(scheduled.ID).SendAt)
	require.Equal(t, map[string]int{"restored alert": 2, "restored normal": 2}, b.heldCounts())
	events := b.events()
	require.Equal(t, 4, count(events, "message.held"))
	require.Equal(t, "queue.held", events[len(events)-1])
	require.Contains(t, b.said(queued.ID), "held restored")

	_, err = b.Gate(ctx, other, c.Message.Seq, 1)
	require.ErrorIs(t, err, ErrNotClaimed, "it was claimed before")
	for range 4 { // nothing that falls due puts one back
		b.clock.forward(time.Hour / 2)
		b.wake()
		for n := range 5 {
			require.Nil(t, b.claimed(line(n)))
		}
	}
	b.outcome(open, lost())
	require.Equal(t, Uncertain, b.get(awaited.ID).State)
	require.Equal(t, ReasonNoEvidence, b.get(awaited.ID).Reason)
	b.clock.forward(time.Hour)
	b.wake()
	require.Nil(t, b.claimed(l), "an alert whose answer was lost goes again by itself, but for the hold")
	b.report(l, awaited.To, 9, stDelivered, b.clock.Now().Add(-3*time.Hour))
	require.Equal(t, Delivered, b.get(awaited.ID).State, "evidence still counts")

	fresh := b.submit(Request{})
	require.Equal(t, fresh.ID, b.claimed(l).Message.ID, "what is accepted now goes")
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// A long message with a lost segment goes on when a report shows that it
// arrived: not while it is under a hold.
func TestEvidenceDoesNotReleaseWhatIsHeld(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{Text: strings.Repeat("x", 400), ValidFor: maxValid})
	_, a := b.gated(l)
	b.outcome(a, lost())
	b.holdAll(ReasonCloned)
	require.Equal(t, Uncertain, b.get(m.ID).State)
	b.report(l, m.To, 5, stDelivered, b.clock.Now())
	got := b.get(m.ID)
	require.Equal(t, []any{Held, ReasonCloned}, []any{got.State, got.Reason})
	require.Nil(t, b.claimed(l))

	require.Equal(t, 1, b.release(HeldFilter{}))
	require.Equal(t, Sending, b.get(m.ID).State, "a segment has left: it is between two")
	require.Nil(t, b.claimed(line(2)), "it stays on its SIM")
	require.Equal(t, 1, b.claimed(l).Next)
}

// A refusal that comes after the hold must not put the message back either;
// what an operator asks for does.
func TestALateRefusalIsHeldAndResendIsARelease(t *testing.T) {
	b := newBox(t)
	l := line(1)
	m := b.submit(Request{ValidFor: maxValid})
	_, a := b.gated(l)
	b.holdAll(ReasonRestored)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "cms_38", Retry: true})
	require.Equal(t, Held, b.get(m.ID).State)
	require.Equal(t, 1, b.release(HeldFilter{ID: m.ID}))
	_, a = b.gated(l)
	b.outcome(a, lost())
	b.holdAll(ReasonRestored)
	_, err := b.Resolve(context.Background(), m.ID, ResolveResend, "Ana")
	require.NoError(t, err)
	require.Equal(t, m.ID, b.claimed(l).Message.ID)
}

func TestRelease(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	now := b.clock.Now()
	bulk := b.submit(Request{Class: Bulk})
	code := b.submit(Request{Class: OTP, To: []string{"+34600000001"}})
	soon := b.submit(Request{SendAt: now.Add(30 * time.Minute), To: []string{"+34600000002"}})
	far := b.submit(Request{SendAt: now.Add(5 * time.Hour), To: []string{"+34600000003"}})
	plain := b.submit(Request{To: []string{"+34600000004"}})
	b.holdAll(ReasonRestored)
	b.clock.forward(time.Hour) // nobody woke the store: the code's validity is over

	require.Zero(t, b.release(HeldFilter{Reason: ReasonCloned}))
	require.Equal(t, 1, b.release(HeldFilter{Class: Bulk}))
	require.Equal(t, Queued, b.get(bulk.ID).State)
	require.Equal(t, 4, b.release(HeldFilter{Reason: ReasonRestored}))
	require.Equal(t, []any{Expired, ReasonValidity}, []any{b.get(code.ID).State, b.get(code.ID).Reason})
	require.Equal(t, Queued, b.get(soon.ID).State, "its time has come")
	require.Equal(t, Scheduled, b.get(far.ID).State)
	require.Equal(t, Queued, b.get(plain.ID).State)
	require.Empty(t, b.get(plain.ID).Reason)
	require.Contains(t, b.said(plain.ID), "released by Ana")
	require.Empty(t, b.heldCounts())
	for _, want := range []string{soon.ID, plain.ID, bulk.ID} {
		require.Equal(t, want, b.claimed(line(1)).Message.ID, "as old as they are, by lane")
	}
	require.Nil(t, b.claimed(line(1)))
	b.clock.forward(4 * time.Hour)
	b.wake()
	require.Equal(t, far.ID, b.claimed(line(1)).Message.ID)

	_, err := b.Release(ctx, HeldFilter{ID: plain.ID}, "Ana")
	require.ErrorIs(t, err, ErrState)
	_, err = b.Release(ctx, HeldFilter{ID: "nobody"}, "Ana")
	require.ErrorIs(t, err, ErrNotFound)
	var rows int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM audit WHERE action = 'held.released' AND who = 'Ana'`).Scan(&rows))
	require.Equal(t, 2, rows)
}

// While nobody knows the time, a released message waits for the time it was to
// go at, and expires by itself only later.
func TestReleaseWithAnUntrustedClock(t *testing.T) {
	b := newBox(t)
	at := b.submit(Request{SendAt: b.clock.Now().Add(time.Minute)})
	old := b.submit(Request{ValidFor: minValid})
	b.holdAll(ReasonRestored)
	b.clock.trust(false)
	b.clock.forward(time.Hour)
	require.Equal(t, 2, b.release(HeldFilter{}))
	b.wake()
	require.Equal(t, Scheduled, b.get(at.ID).State)
	require.Equal(t, Queued, b.get(old.ID).State)
}

func TestAHeldMessageExpires(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: OTP})
	b.holdAll(ReasonCloned)
	b.clock.forward(11 * time.Minute)
	b.wake()
	require.Equal(t, Expired, b.get(m.ID).State)
	require.Empty(t, b.heldCounts())
	require.Zero(t, b.release(HeldFilter{}))
}

func TestDiscard(t *testing.T) {
	b := newBox(t)
	l := line(1)
	// Refused for now, so tried; lost and sent again, so it may have arrived; half sent.
	tried := b.submit(Request{Class: Alert, To: []string{"+34600000001"}, ValidFor: maxValid})
	_, a := b.gated(l)
	b.outcome(a, Outcome{Verdict: Rejected, MR: -1, Code: "cms_38", Retry: true, After: time.Hour})
	doubtful := b.submit(Request{Class: Alert, To: []string{"+34600000002"}, ValidFor: maxValid})
	_, a = b.gated(l)
	b.outcome(a, lost())
	b.clock.forward(21 * time.Second)
	b.wake()
	require.Equal(t, Queued, b.get(doubtful.ID).State)
	half := b.submit(Request{Class: OTP, To: []string{"+34600000003"}, Text: strings.Repeat("x", 200)})
	first, a := b.gated(line(2))
	require.Equal(t, half.ID, first.Message.ID, "a code goes before the alerts")
	b.outcome(a, accepted(3))
	never := b.submit(Request{})
	states := []State{b.get(tried.ID).State, b.get(doubtful.ID).State, b.get(half.ID).State}
	b.holdAll(ReasonRestored)
	require.Equal(t, 4, b.discard(HeldFilter{}), "they were %v", states)
	for id, want := range map[string][]any{
		never.ID: {Cancelled, ""}, tried.ID: {Failed, ReasonDiscarded},
		doubtful.ID: {Uncertain, ReasonNoEvidence}, half.ID: {Failed, ReasonPartial},
	} {
		got := b.get(id)
		require.Equal(t, want, []any{got.State, got.Reason})
		require.Contains(t, b.said(id), "discarded by Ana")
	}
	require.Contains(t, b.events(), "message.cancelled")
	b.clock.forward(time.Hour)
	b.wake()
	require.Nil(t, b.claimed(l))
	require.Nil(t, b.claimed(line(2)))
}

// From the first to the last message of a hold nothing is claimed, and what is
// accepted meanwhile is not held.
func TestNothingIsClaimedDuringAHold(t *testing.T) {
	b := newBox(t)
	fill(t, b, 3*holdBatch)
	stop, stopped := make(chan struct{}), make(chan struct{})
	begun := make(chan struct{})
	var early []int64
	go func() {
		defer close(stopped)
		l := line(1)
		for first := true; ; first = false {
			c, err := b.Claim(context.Background(), l)
			if err == nil && c != nil {
				if _, err := b.Gate(context.Background(), l, c.Message.Seq, 1); err == nil {
					early = append(early, c.Message.Seq)
					return // its answer never comes: this line has no other
				}
			}
			if first {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	select {
	case <-begun:
	case <-stopped:
	}
	n := b.holdAll(ReasonRestored)
	close(stop)
	<-stopped
	var queued int
	require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM message WHERE state = 'queued'`).Scan(&queued))
	require.Zero(t, queued)
	require.Equal(t, 3*holdBatch, n+len(early))
	require.Equal(t, heldEvents, count(b.events(), "message.held"), "a mass is told of once")
}

// A hold that fails in the middle lets nothing go, in this run and the next.
func TestAHoldThatWasNotFinishedIsFinished(t *testing.T) {
	b := newBox(t)
	fill(t, b, 5*holdBatch)
	ctx, cancel := context.WithCancel(context.Background())
	changed, end := b.Watch()
	go func() { <-changed; cancel() }() // after the first batch
	n, err := b.HoldAll(ctx, ReasonRestored)
	end()
	require.ErrorIs(t, err, context.Canceled)
	require.NotZero(t, n)
	require.Less(t, n, 5*holdBatch)
	require.Nil(t, b.claimed(line(1)))
	b.restart()
	require.Nil(t, b.claimed(line(1)))
	require.Equal(t, map[string]int{"restored bulk": 5 * holdBatch}, b.heldCounts())
	fresh := b.submit(Request{})
	require.Equal(t, fresh.ID, b.claimed(line(1)).Message.ID)
}

const holdKillEnv = "RECADO_TEST_HOLDER"

// holder opens a restored database, and says so when that is done.
func holder(path string) {
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err == nil {
		fmt.Println("opening")
		_, err = New(context.Background(), db, Options{})
	}
	fmt.Println("open", err)
	select {}
}

// TestKilledHolds kills the start after a restore again and again: in every
// state that it leaves, the next start finds nothing that can be sent.
func TestKilledHolds(t *testing.T) {
	const n = 20 * holdBatch
	b := newBox(t)
	fill(t, b, n)
	require.NoError(t, MarkRestored(context.Background(), b.db))
	require.NoError(t, b.db.Close())
	partial := 0
	for round := range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), holdKillEnv+"="+b.path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line := make([]byte, len("opening\n"))
		_, err = out.Read(line)
		require.NoError(t, err)
		kill := time.AfterFunc(time.Duration(round*12)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()

		db, err := sqlite.Open(context.Background(), b.path, sqlite.Options{})
		require.NoError(t, err)
		var queued int
		var handled string
		require.NoError(t, db.Read().QueryRow(`SELECT count(*), coalesce((SELECT value FROM setting WHERE key = 'restore_handled'), '')
			FROM message WHERE state = 'queued'`).Scan(&queued, &handled))
		require.NoError(t, db.Close())
		if queued > 0 {
			require.Empty(t, handled, "said to be done with %d messages still to hold", queued)
		}
		if queued > 0 && queued < n {
			partial++
		}
		if handled != "" {
			break
		}
	}
	t.Logf("%d kills left it half done", partial)
	b.open()
	require.Equal(t, map[string]int{"restored bulk": n}, b.heldCounts())
	require.Nil(t, b.claimed(line(1)))
}

func TestARestoredDatabaseIsHeldOnce(t *testing.T) {
	b := newBox(t)
	m := b.submit(Request{Class: Alert})
	_, _ = b.gated(line(1))
	waiting := b.submit(Request{ValidFor: maxValid})
	require.NoError(t, MarkRestored(context.Background(), b.db))
	b.restart()
	got := b.get(m.ID)
	require.Equal(t, []any{Uncertain, ReasonNoEvidence}, []any{got.State, got.Reason}, "open when the backup was made: uncertain for good")
	require.Equal(t, Held, b.get(waiting.ID).State)
	b.clock.forward(time.Hour)
	b.wake()
	require.Nil(t, b.claimed(line(1)))

	b.release(HeldFilter{})
	fresh := b.submit(Request{})
	b.restart()
	require.Equal(t, Queued, b.get(waiting.ID).State, "once released, a start does not hold it again")
	require.Equal(t, Queued, b.get(fresh.ID).State)
	require.NoError(t, MarkRestored(context.Background(), b.db))
	b.restart()
	require.Equal(t, Held, b.get(fresh.ID).State, "another restore does")
}

func TestAnotherBoxHolds(t *testing.T) {
	here := map[string]string{"installation": "i", "file": "7", "board": "b", "cid": "c"}
	with := func(name, value string) map[string]string {
		m := map[string]string{}
		for k, v := range here {
			m[k] = v
		}
		m[name] = value
		return m
	}
	for _, c := range []struct {
		name string
		next map[string]string
		want State
	}{
		{"the same", here, Queued},
		{"nothing known", nil, Queued},
		{"a component that cannot be read", with("cid", ""), Queued},
		{"a component that is new", with("usb", "u"), Queued},
		{"another id", with("installation", "j"), Held},
		{"a copied folder", with("file", "8"), Held},
		{"another board", with("board", "z"), Held},
		{"another card", with("cid", "z"), Held},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			m := b.submit(Request{})
			open := func(instance map[string]string) {
				require.NoError(t, b.db.Close())
				var err error
				b.db, err = sqlite.Open(context.Background(), b.path, sqlite.Options{})
				require.NoError(t, err)
				b.Store, err = New(context.Background(), b.db, Options{Clock: b.clock, Instance: instance})
				require.NoError(t, err)
			}
			open(here)
			require.Equal(t, Queued, b.get(m.ID).State, "a database of before is only recorded")
			open(c.next)
			require.Equal(t, c.want, b.get(m.ID).State)
			if c.want == Queued {
				open(here) // what was unknown for a while is still known
				require.Equal(t, Queued, b.get(m.ID).State)
				return
			}
			require.Equal(t, ReasonCloned, b.get(m.ID).Reason)
			b.release(HeldFilter{Reason: ReasonCloned})
			open(c.next)
			require.Equal(t, Queued, b.get(m.ID).State, "one hold a change")
			open(here)
			require.Equal(t, Held, b.get(m.ID).State, "back is a change too")
		})
	}
}

// What a hold marks stays what its reason says when another hold comes; the
// counters follow every change.
func TestHeldCountsFollow(t *testing.T) {
	b := newBox(t)
	late := b.submit(Request{})
	require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		r, err := loadByID(tx, late.ID)
		if err != nil {
			return err
		}
		r.State, r.Reason = Held, ReasonLate
		return b.save(tx, r)
	}))
	require.Equal(t, map[string]int{"late normal": 1}, b.heldCounts())
	b.submit(Request{Class: Bulk})
	require.Equal(t, 2, b.holdAll(ReasonRestored))
	require.Equal(t, map[string]int{"restored normal": 1, "restored bulk": 1}, b.heldCounts())
	require.Zero(t, b.holdAll(ReasonCloned), "it is held already")
	_, err := b.Cancel(context.Background(), late.ID)
	require.NoError(t, err)
	require.NoError(t, b.db.Write(context.Background(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DELETE FROM message WHERE class = 'bulk'`)
		return err
	}))
	require.Empty(t, b.heldCounts())
	require.Error(t, func() error { _, err := b.HoldAll(context.Background(), ""); return err }())
}

func TestQueueHeldTellsHowMuch(t *testing.T) {
	b := newBox(t)
	b.submit(Request{Class: Bulk})
	b.submit(Request{Class: OTP})
	b.holdAll(ReasonCloned)
	list, err := b.Events(context.Background(), 0, 100)
	require.NoError(t, err)
	last := list[len(list)-1]
	require.Equal(t, "queue.held", last.Type)
	var e HeldEvent
	require.NoError(t, json.Unmarshal(last.Data, &e))
	require.Equal(t, HeldEvent{Reason: ReasonCloned, Messages: 2, Classes: map[Class]int{Bulk: 1, OTP: 1}}, e)
}

// BenchmarkHold is the start after a restore, and the release of all, with
// RECADO_HELD messages (100,000).
func BenchmarkHold(b *testing.B) {
	n := 100_000
	if s := os.Getenv("RECADO_HELD"); s != "" {
		_, err := fmt.Sscan(s, &n)
		require.NoError(b, err)
	}
	for b.Loop() {
		b.StopTimer()
		box := &box{t: b, path: filepath.Join(b.TempDir(), "recado.db"), clock: newClock()}
		box.open()
		fill(b, box, n)
		begun := time.Now()
		b.StartTimer()
		box.holdAll(ReasonRestored)
		held := time.Since(begun)
		box.release(HeldFilter{})
		b.StopTimer()
		b.ReportMetric(held.Seconds(), "s-hold")
		b.ReportMetric((time.Since(begun) - held).Seconds(), "s-release")
		require.NoError(b, errors.Join(box.db.Close()))
		b.StartTimer()
	}
}
