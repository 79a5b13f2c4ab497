package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
)

// offer is what a pool offers to the line of a SIM: of anybody's messages those that
// their route allows it.
func (b *box) offer(l Line) Line {
	l.Offer = &Offer{Turn: -1}
	for _, k := range b.Buckets() {
		l.Offer.Own = append(l.Offer.Own, Open{k.ID, AllLanes})
		if r, ok := b.RouteOf(k.ID); !ok || r.Allows(l.ICCID) {
			l.Offer.Any = append(l.Offer.Any, Open{k.ID, AllLanes})
		}
	}
	return l
}

// routeOf is the name of the route that a stored message's bucket has.
func (b *box) routeOf(id string) string {
	r, _ := b.RouteOf(b.get(id).Bucket)
	return r.Name
}

// settled wakes until nothing is being moved.
func (b *box) settled() {
	b.t.Helper()
	for range 1000 {
		b.wake()
		if !b.routes.pending.Load() {
			return
		}
	}
	require.Fail(b.t, "the move does not end")
}

func TestARuleMovesWhatWaits(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	one, two := line(1), line(2)

	queued := b.submit(Request{Class: Bulk})
	scheduled := b.submit(Request{Class: Bulk, SendAt: b.clock.Now().Add(time.Hour)})
	other := b.submit(Request{})
	pinned := b.submit(Request{Class: Bulk, SIM: sims[1]})
	r := b.route(Route{Name: "bulk", Classes: []Class{Bulk}, Fallback: FallbackWait}, sims[0])
	b.settled()
	require.Equal(t, []string{"bulk", "bulk", "", "bulk"}, []string{b.routeOf(queued.ID), b.routeOf(scheduled.ID), b.routeOf(other.ID), b.routeOf(pinned.ID)})
	require.Equal(t, other.ID, b.claimed(b.offer(two)).Message.ID)
	require.Equal(t, pinned.ID, b.claimed(b.offer(two)).Message.ID, "what was asked for goes before the route")
	require.Nil(t, b.claimed(b.offer(two)))
	require.Equal(t, queued.ID, b.claimed(b.offer(one)).Message.ID)

	r.Enabled = false
	_, err := b.UpdateRoute(ctx, r)
	require.NoError(t, err)
	b.settled()
	require.Empty(t, b.routeOf(scheduled.ID))
	r.Enabled = true
	_, err = b.UpdateRoute(ctx, r)
	require.NoError(t, err)
	b.settled()
	require.Equal(t, "bulk", b.routeOf(scheduled.ID))
	require.NoError(t, b.DeleteRoute(ctx, r.ID))
	b.settled()
	b.clock.forward(time.Hour)
	b.wake()
	require.Equal(t, scheduled.ID, b.claimed(b.offer(two)).Message.ID)
}

// Until what waits has been moved, a claim looks for itself: nothing leaves off its
// route meanwhile.
func TestNothingLeavesOffItsRouteDuringTheMove(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(3)
	b.wrote(maria, sims[2])
	var ids []string
	for range 40 {
		ids = append(ids, b.submit(Request{Class: Bulk}).ID)
	}
	b.submit(Request{Class: Bulk, To: []string{"+34600111333"}, SIM: sims[1]})
	prefers := b.get(ids[0])
	require.True(t, prefers.Preferred)
	r := b.route(Route{Name: "bulk", Classes: []Class{Bulk}, Fallback: FallbackWait}, sims[0])
	require.False(t, b.get(ids[0]).Preferred, "its new route does not allow the SIM")
	require.True(t, b.routes.pending.Load())
	ready := 0
	b.OnReady(func() { ready++ })
	require.Nil(t, b.claimed(b.offer(line(2))), "a claim looks at 32")
	require.Positive(t, ready, "it comes back for the rest")
	require.Equal(t, sims[1], b.claimed(b.offer(line(2))).Message.SIM)
	for range 3 {
		require.Nil(t, b.claimed(b.offer(line(2))))
	}
	require.Equal(t, ids[0], b.claimed(b.offer(line(1))).Message.ID)

	// Only its SIMs change: nothing has to move.
	b.settled()
	r.SIMs = []RouteSIM{{ICCID: sims[1]}}
	_, err := b.UpdateRoute(ctx, r)
	require.NoError(t, err)
	require.False(t, b.routes.pending.Load())
	require.Nil(t, b.claimed(b.offer(line(1))))
	require.Equal(t, ids[1], b.claimed(b.offer(line(2))).Message.ID)
}

// A message that has begun, in a bucket whose row was lost, is offered all the same.
func TestWhatHasBegunIsInABucketThatIsThere(t *testing.T) {
	b := newBox(t)
	b.sees(2)
	long := b.submit(Request{Text: strings.Repeat("largo ", 60), Delivery: AtLeastOnce})
	_, a := b.gated(line(2))
	b.outcome(a, accepted(1))
	held := b.submit(Request{})
	b.raw(`UPDATE message SET bucket = 77`)
	b.raw(`UPDATE message SET state = 'held' WHERE seq = ?`, held.Seq)
	require.NoError(t, b.SetSetting(context.Background(), settingEpoch, "salvaged"))
	b.restart()
	for _, m := range []Message{long, held} {
		require.True(t, slices.ContainsFunc(b.Buckets(), func(k Bucket) bool { return k.ID == b.get(m.ID).Bucket }), "%d", b.get(m.ID).Bucket)
	}
}

func TestWhatHasBegunIsNotMoved(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	old := b.route(Route{Name: "old"}, sims[1])
	long := b.submit(Request{Text: strings.Repeat("largo ", 60), Delivery: AtLeastOnce})
	_, a := b.gated(line(2))
	b.outcome(a, accepted(1))
	unsure := b.submit(Request{Class: Alert, Text: strings.Repeat("largo ", 60)})
	_, a = b.gated(line(2))
	b.outcome(a, lost())
	b.clock.forward(EvidenceWindow(Alert))
	b.wake()
	require.Equal(t, []any{Queued, sims[1]}, []any{b.get(unsure.ID).State, b.get(unsure.ID).SIM}, "a part of it may have left")
	open := b.submit(Request{Class: OTP})
	_, opened := b.gated(line(2))
	doubtful := b.submit(Request{Class: Normal})
	claimed := b.submit(Request{Class: OTP, To: []string{"+34600111333"}})
	require.Equal(t, claimed.ID, b.claimed(line(1)).Message.ID)
	buckets := func() (list []int64) {
		for _, m := range []Message{long, unsure, open, claimed} {
			list = append(list, b.get(m.ID).Bucket)
		}
		return list
	}
	before := buckets()

	require.NoError(t, b.DeleteRoute(ctx, old.ID))
	b.route(Route{Name: "new", Fallback: FallbackWait}, sims[0])
	b.settled()
	require.Equal(t, before, buckets())
	require.Equal(t, "new", b.routeOf(doubtful.ID))

	// What comes back from there goes by the rules of now; what is bound stays.
	require.NoError(t, b.Unclaim(ctx, line(1).ICCID, claimed.Seq, Outcome{Retry: true}))
	require.Equal(t, "new", b.routeOf(claimed.ID))
	b.outcome(opened, Outcome{Verdict: Rejected, MR: -1, Code: "cms_42", Class: "busy", Retry: true, After: time.Minute})
	require.Equal(t, "new", b.routeOf(open.ID))
	require.Equal(t, unsure.ID, b.claimed(b.offer(line(2))).Message.ID, "the rest of a long message follows on its SIM")
	require.Equal(t, long.ID, b.claimed(b.offer(line(2))).Message.ID)
	require.NoError(t, b.Unclaim(ctx, line(2).ICCID, long.Seq, Outcome{Retry: true}))
	require.NoError(t, b.Unclaim(ctx, line(2).ICCID, unsure.Seq, Outcome{Retry: true}))
	require.NoError(t, b.SIMGone(ctx, line(2).ICCID))
	require.Equal(t, "new", b.routeOf(long.ID), "the whole of it goes again")
	require.Nil(t, b.claimed(b.offer(line(2))))

	// A lost answer's retry, too.
	m := b.submit(Request{Class: Alert})
	got, a2 := b.gated(b.offer(line(1)))
	require.Equal(t, claimed.ID, got.Message.ID, "codes first")
	b.outcome(a2, accepted(3))
	for got, a2 = b.gated(b.offer(line(1))); got.Message.ID != m.ID; got, a2 = b.gated(b.offer(line(1))) {
		require.Equal(t, unsure.ID, got.Message.ID, "an older alert")
		b.outcome(a2, accepted(4+got.Next))
	}
	b.outcome(a2, lost())
	b.route(Route{Name: "newest", Position: 1, Fallback: FallbackWait}, sims[1])
	b.settled()
	b.clock.forward(EvidenceWindow(Alert))
	b.wake()
	require.Equal(t, "newest", b.routeOf(m.ID))
}

// What a line had claimed while the rules changed is placed anew when the claim ends,
// however it does.
func TestWhatIsGivenBackIsPlacedAnew(t *testing.T) {
	for name, end := range map[string]func(*box){
		"restart": (*box).restart,
		"lost by its line": func(b *box) {
			for range 2 {
				_, err := b.FreeClaims(context.Background(), nil)
				require.NoError(b.t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			sims := b.sees(2)
			m := b.submit(Request{})
			require.NotNil(t, b.claimed(line(2)))
			b.route(Route{Name: "new", Fallback: FallbackWait}, sims[0])
			b.settled()
			require.Empty(t, b.routeOf(m.ID))
			end(b)
			require.Equal(t, "new", b.routeOf(m.ID))
			require.Nil(t, b.claimed(b.offer(line(2))))
			require.NotNil(t, b.claimed(b.offer(line(1))))
		})
	}
}

// A move goes on after a restart where it was, in portions; one that begins anew
// meanwhile begins at the front.
func TestAMoveGoesOnAfterARestart(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(2)
	const n = 2*moveBatch + 100
	fill(t, b, n)
	inBucket := func(name string) (count int) {
		for _, k := range b.Buckets() {
			if r, ok := b.RouteOf(k.ID); ok && r.Name == name || !ok && name == "" {
				var some int
				require.NoError(t, b.db.Read().QueryRow(`SELECT count(*) FROM message WHERE bucket = ?`, k.ID).Scan(&some))
				count += some
			}
		}
		return count
	}
	b.settled()
	b.route(Route{Name: "all", Fallback: FallbackWait}, sims[0])
	_, err := b.moveSome(ctx) // what is scheduled: nothing
	require.NoError(t, err)
	done, err := b.moveSome(ctx)
	require.NoError(t, err)
	require.False(t, done)
	require.Equal(t, moveBatch, inBucket("all"))
	b.restart()
	require.True(t, b.routes.pending.Load())
	require.Equal(t, moveBatch, inBucket("all"))
	_, err = b.moveSome(ctx)
	require.NoError(t, err)
	require.Equal(t, 2*moveBatch, inBucket("all"), "it went on where it was")

	// Anew: the first are moved again, also those that this run has seen.
	b.route(Route{Name: "newer", Position: 1, Fallback: FallbackWait}, sims[1])
	b.settled()
	require.Equal(t, n, inBucket("newer"))
	text, err := b.Setting(ctx, settingMoving)
	require.NoError(t, err)
	require.Empty(t, text)
	b.restart()
	require.False(t, b.routes.pending.Load())
}

// A change of the rules that is committed together with the end of a move is not
// forgotten.
func TestAMoveEndsOnlyForItsOwnRules(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(1)
	m := b.submit(Request{})
	b.route(Route{Name: "a"}, sims[0])
	on := b.routes.now.Load()
	text, err := b.Setting(ctx, settingMoving)
	require.NoError(t, err)
	require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if err := set(tx, settingMoving, newMove()); err != nil { // the change
			return err
		}
		ended, err := b.noteMove(tx, text, moving{At: len(movedStates)}, true)
		require.False(t, ended)
		return err
	}))
	require.True(t, b.routes.pending.Load())
	require.Equal(t, on.gen, b.routes.now.Load().gen)
	b.settled()
	require.Equal(t, "a", b.routeOf(m.ID))
}

// What an earlier version left, what came from another country's box, and what a
// restore put together without its buckets, is placed anew.
func TestWhatWasPlacedByOtherThingsIsPlacedAnew(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	b.Numbers().Set("ES", true)
	lisbon := "+351912345678"
	queued := b.submit(Request{To: []string{lisbon}})
	held := b.submit(Request{To: []string{lisbon}})
	zone := func(m Message) string {
		id := b.get(m.ID).Bucket
		i := slices.IndexFunc(b.Buckets(), func(k Bucket) bool { return k.ID == id })
		if i < 0 {
			return "none"
		}
		return b.Buckets()[i].Zone
	}
	require.Equal(t, "Atlantic/Azores,Europe/Lisbon", zone(queued))
	sql := func(q string, args ...any) {
		require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(q, args...)
			return err
		}))
	}
	sql(`UPDATE message SET bucket = 0`)
	sql(`DELETE FROM setting WHERE key = ?`, settingBasis)
	b.restart()
	b.settled()
	require.Equal(t, "Atlantic/Azores,Europe/Lisbon", zone(queued))

	sql(`UPDATE message SET state = 'held', reason = 'late' WHERE seq = ?`, held.Seq)
	sql(`UPDATE message SET bucket = 77`)
	sql(`DELETE FROM bucket`)
	require.NoError(t, MarkRestored(ctx, b.db))
	b.restart()
	b.settled()
	_, err := b.Release(ctx, HeldFilter{}, "test")
	require.NoError(t, err)
	require.Equal(t, "Atlantic/Azores,Europe/Lisbon", zone(queued))
	require.Equal(t, "Atlantic/Azores,Europe/Lisbon", zone(held))
	require.NotNil(t, b.claimed(b.offer(line(1))))
	require.NotNil(t, b.claimed(b.offer(line(1))))
}

// Everything that waits is placed anew when another country becomes the home.
func TestANewHomeCountryPlacesAnew(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	b.route(Route{Name: "home", Countries: []string{"ES"}}, sims[0])
	m := b.submit(Request{To: []string{"7373"}})
	require.Equal(t, "home", b.routeOf(m.ID))
	b.settled()
	b.Numbers().Set("PT", true)
	b.wake()
	b.settled()
	require.Empty(t, b.routeOf(m.ID))
}

func TestARouteWhoseSIMsWereAllRemoved(t *testing.T) {
	for _, fallback := range []string{FallbackAny, FallbackWait} {
		b := newBox(t)
		ctx := context.Background()
		sims := b.sees(2)
		r := b.route(Route{Name: "r", Fallback: fallback}, sims[0])
		require.NoError(t, b.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`DELETE FROM route_sim`)
			return err
		}))
		b.restart()
		m := b.submit(Request{})
		got, ok := b.RouteOf(m.Bucket)
		require.True(t, ok, "it is still the route's: the pool goes by its fallback")
		require.Equal(t, fallback, got.Fallback)
		require.Empty(t, got.SIMs)
		require.Nil(t, b.claimed(b.offer(line(1))))
		r.SIMs = []RouteSIM{{ICCID: sims[1], Weight: 3}}
		_, err := b.UpdateRoute(ctx, r)
		require.NoError(t, err)
		require.Equal(t, m.ID, b.claimed(b.offer(line(2))).Message.ID)
	}
}

func TestBucketsOfDeletedRoutesGo(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	sims := b.sees(1)
	long := Message{}
	for i := range fewBuckets + 2 {
		r := b.route(Route{Name: fmt.Sprint(i)}, sims[0])
		m := b.submit(Request{Class: OTP, Text: strings.Repeat("largo ", 60)})
		if i == 3 { // it has begun: it stays in its bucket
			_, a := b.gated(line(1))
			b.outcome(a, accepted(1))
			long = m
		} else {
			_, err := b.Cancel(ctx, m.ID)
			require.NoError(t, err)
		}
		require.NoError(t, b.DeleteRoute(ctx, r.ID))
	}
	require.Len(t, b.Buckets(), 1+fewBuckets+2)
	b.restart()
	require.Len(t, b.Buckets(), 2, "and that of any SIM's")
	require.Equal(t, long.ID, b.claimed(b.offer(line(1))).Message.ID)
}

func TestPlacesUseTheirIndexes(t *testing.T) {
	b := newBox(t)
	require.Contains(t, normalPlan(b.plan(waitingSQL, "queued", 0, 10)), "message_state (state=? AND rowid>?)")
	require.Contains(t, b.plan(duePrefer, 1, 10), "message_prefer (prefer_until>? AND prefer_until<?)")
	require.NotContains(t, b.plan(duePrefer, 1, 10), "TEMP B-TREE")
	known := b.plan(knownSQL, "[]", 0)
	require.NotContains(t, known, "SCAN message")
	require.NotContains(t, known, "SCAN c")
	require.Contains(t, known, "message_to")
	require.Contains(t, b.plan(shortenPrefer, 1), "message_prefer")
}

func BenchmarkMove(b *testing.B) {
	for _, same := range []bool{true, false} {
		b.Run(fmt.Sprintf("same=%v", same), func(b *testing.B) {
			box := newBox(b)
			sims := box.sees(2)
			fill(b, box, 100_000)
			box.settled()
			r := box.route(Route{Name: "r", Classes: []Class{OTP}}, sims[0])
			box.settled()
			for b.Loop() {
				r.Prefixes = append(r.Prefixes, fmt.Sprintf("+3461%d", len(r.Prefixes)))
				if !same {
					r.Enabled, r.Classes, r.Prefixes = !r.Enabled, nil, nil
				}
				_, err := box.UpdateRoute(context.Background(), r)
				require.NoError(b, err)
				box.settled()
			}
		})
	}
}
