package queue

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func offered(l Line, o Offer) Line {
	l.Offer = &o
	return l
}

func TestAClaimTakesWhatTheLineOffers(t *testing.T) {
	b := newBox(t)
	b.raw(`INSERT INTO bucket (id, route, zone) VALUES (7, 0, 'X')`)
	put := func(class Class, bucket int64, sim string) int64 {
		m := b.submit(Request{Class: class, SIM: sim})
		b.raw(`UPDATE message SET bucket = ?, sim = wish, prefer_until = 0 WHERE seq = ?`, bucket, m.Seq)
		return m.Seq
	}
	l := line(1)
	got := func(o Offer) int64 {
		c := b.claimed(offered(l, o))
		if c == nil {
			return 0
		}
		require.Nil(t, c.Line.Offer)
		b.raw(`UPDATE message SET claimed_by = '' WHERE seq = ?`, c.Message.Seq)
		return c.Message.Seq
	}
	bulk, normal := put(Bulk, 0, ""), put(Normal, 0, "")
	far, own := put(OTP, 7, ""), put(Alert, 7, l.ICCID)
	zero := func(lanes Lanes) []Open { return []Open{{0, lanes}} }

	require.Zero(t, got(Offer{Turn: -1}), "nothing is open")
	require.Equal(t, normal, got(Offer{Any: zero(AllLanes), Turn: -1}))
	require.Equal(t, bulk, got(Offer{Any: zero(LanesOf(Bulk)), Turn: -1}))
	require.Equal(t, bulk, got(Offer{Any: zero(AllLanes), Turn: LaneBulk}), "it is its turn")
	require.Equal(t, normal, got(Offer{Any: zero(AllLanes), Turn: LaneAlert}), "nobody is there whose turn it is")
	require.Equal(t, far, got(Offer{Any: []Open{{0, AllLanes}, {7, AllLanes}}, Turn: -1}))
	require.Equal(t, far, got(Offer{Any: []Open{{7, LanesOf(Bulk)}, {7, LanesOf(OTP)}}, Turn: -1}))
	require.Equal(t, normal, got(Offer{Any: zero(AllLanes), Own: zero(AllLanes), Turn: -1}), "its own waits in another bucket")
	require.Equal(t, own, got(Offer{Any: zero(AllLanes), Own: []Open{{7, LanesOf(Alert)}}, Turn: -1}))
	require.Zero(t, got(Offer{Own: []Open{{7, LanesOf(OTP)}}, Turn: -1}), "what is anybody's is not its own")
	b.claimed(l)
	b.claimed(l)
	require.Equal(t, normal, b.claimed(l).Message.Seq, "without an offer all of it, by lane")
}

func TestTheBestOfAllLinesIsGivenToWhomSomebodyChooses(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	everything := Offer{Own: []Open{{0, AllLanes}}, Any: []Open{{0, AllLanes}}, Turn: -1}
	lines := []Line{offered(line(0), everything), offered(line(1), everything), offered(line(2), Offer{Own: []Open{{0, AllLanes}}, Any: []Open{{0, LanesOf(Bulk)}}, Turn: -1})}
	bulk := b.submit(Request{Class: Bulk})
	otp := b.submit(Request{Class: OTP})
	pinned := b.submit(Request{Class: Alert, SIM: line(2).ICCID})
	b.raw(`UPDATE message SET bucket = 0`)
	var asked []Head
	var may [][]int
	choose := func(i int) func(Head, []int) (int, string) {
		return func(h Head, who []int) (int, string) {
			asked, may = append(asked, h), append(may, slices.Clone(who))
			if i < 0 || slices.Contains(who, i) {
				return i, "most_left"
			}
			return who[0], "only"
		}
	}
	c, who, err := b.ClaimFor(ctx, lines, choose(1))
	require.NoError(t, err)
	require.Equal(t, 1, who)
	require.Equal(t, otp.Seq, c.Message.Seq)
	require.Equal(t, "most_left", c.Why)
	require.Equal(t, line(1).ICCID, c.Line.ICCID)
	require.Equal(t, []Head{{Seq: otp.Seq, Class: OTP, Segments: 1}}, asked)
	require.Equal(t, [][]int{{0, 1}}, may, "the third takes bulk only")
	a, err := b.Gate(ctx, c.Line, c.Message.Seq, 1)
	require.NoError(t, err)
	require.Equal(t, "most_left", b.text(`SELECT why FROM attempt WHERE id = ?`, a))

	asked = nil
	c, who, err = b.ClaimFor(ctx, lines, choose(0))
	require.NoError(t, err)
	require.Equal(t, 2, who, "nobody is asked for what is one's own")
	require.Equal(t, pinned.Seq, c.Message.Seq)
	require.Equal(t, WhyPinned, c.Why)
	require.Empty(t, asked)

	c, _, err = b.ClaimFor(ctx, lines, choose(-1))
	require.NoError(t, err)
	require.Nil(t, c)
	require.Len(t, asked, 1, "none of them now")
	_, _, err = b.ClaimFor(ctx, lines, func(Head, []int) (int, string) { return 5, "" })
	require.Error(t, err)
	c, who, err = b.ClaimFor(ctx, lines, choose(2))
	require.NoError(t, err)
	require.Equal(t, 2, who)
	require.Equal(t, bulk.Seq, c.Message.Seq)
	c, who, err = b.ClaimFor(ctx, nil, nil)
	require.NoError(t, err)
	require.Nil(t, c)
	require.Equal(t, -1, who)
}

func TestWhyASIMSends(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	b.submit(Request{})
	c := b.claimed(l)
	require.Equal(t, WhyFirst, c.Why)
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true, AvoidSIM: true, Code: "cms_50"}))
	c, who, err := b.ClaimFor(ctx, []Line{l, line(2)}, func(h Head, who []int) (int, string) {
		require.Equal(t, "cms_50", h.Failover)
		require.Equal(t, []int{1}, who, "the first has just failed it")
		return 1, "only"
	})
	require.NoError(t, err)
	require.Equal(t, 1, who)
	require.Equal(t, "failover:cms_50", c.Why)

	b.raw(`DELETE FROM message`)
	m := b.submit(Request{Text: longText(200)})
	require.Len(t, m.Segments, 2)
	require.Equal(t, WhyFirst, b.claimed(l).Why)
	a, err := b.Gate(ctx, l, m.Seq, 1)
	require.NoError(t, err)
	b.outcome(a, accepted(1))
	require.Equal(t, WhyBound, b.claimed(l).Why)

	b.raw(`DELETE FROM message`)
	m = b.submit(Request{})
	b.raw(`UPDATE message SET sim = ?, prefer_until = 1e14 WHERE seq = ?`, l.ICCID, m.Seq)
	require.Equal(t, WhySticky, b.claimed(l).Why)
}

func longText(n int) string { return string(slices.Repeat([]byte("x"), n)) }

// Behind two hundred messages that a SIM may not send nobody looks, and what is
// before them is found though the first may not leave.
func TestWhatIsBehindIsFound(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMonth, 0, 1})
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(l, 1))
	for i := range 199 {
		b.to(Normal, "+346002"+string([]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10), '0', '0'}))
	}
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(l, 1))
	b.to(Normal, bea, ana)
	require.Zero(t, b.sends(l, 1))
	b.to(OTP, ana)
	require.Equal(t, 1, b.sends(l, 1), "another lane")
}

// What was found behind messages that a SIM may not send stays found, and nothing
// that comes later, or comes back, is missed for it.
func TestWhatIsBehindIsLookedAtOnce(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	l := line(1)
	b.known(l)
	b.limit(l, Limit{WindowMonth, 0, 2})
	b.to(Normal, ana, cid)
	require.Equal(t, 2, b.sends(l, 2))
	looks := func() (n int) {
		for _, p := range b.usage.sims[l.ICCID].passed {
			if p.end {
				n++
			}
		}
		return n
	}
	b.to(Normal, bea, bea, bea)
	require.Nil(t, b.claimed(l))
	require.Equal(t, 1, looks())
	last := b.submit(Request{To: []string{ana}})
	none, _, err := b.ClaimFor(ctx, []Line{l}, func(Head, []int) (int, string) { return -1, "" })
	require.NoError(t, err)
	require.Nil(t, none)
	c := b.claimed(l)
	require.Equal(t, last.ID, c.Message.ID, "what is new")
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{}))
	require.Equal(t, last.ID, b.claimed(l).Message.ID, "what came back")
	require.Nil(t, b.claimed(l))
	require.Equal(t, 1, looks())
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{}))
	require.Equal(t, last.ID, b.claimed(l).Message.ID, "what came back when all was looked at")
	require.NoError(t, b.Unclaim(ctx, l.ICCID, c.Message.Seq, Outcome{Retry: true, AvoidSIM: true, After: time.Second, Code: "cms_38"}))
	b.clock.forward(2 * time.Second)
	b.wake()
	require.Nil(t, b.claimed(l), "it has just failed it")
	b.clock.forward(2 * avoidFor)
	b.wake()
	require.Equal(t, 1, b.sends(l, 1), "no other came")

	// A number becomes one that it knows: in the reserve bulk may not use.
	b.limit(l, Limit{WindowMonth, 0, 4})
	b.to(Bulk, bea, cid)
	require.Equal(t, 1, b.sends(l, 1), "three of four are all that bulk may have")
	b.raw(`UPDATE message SET state = 'cancelled' WHERE state = 'queued'`)
	b.to(Bulk, dan, dan)
	require.Nil(t, b.claimed(l))
	b.to(Normal, dan)
	require.Equal(t, 3, b.sends(l, 5))
	b.clock.forward(31 * 24 * time.Hour)
	b.wake()

	// Two hundred that it may not send, and one behind them: it is found, later.
	b.limit(l, Limit{WindowMonth, 0, 1})
	b.raw(`UPDATE message SET state = 'cancelled' WHERE state = 'queued'`)
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(l, 1))
	for range 10 {
		var to []string
		for i := range 30 {
			to = append(to, fmt.Sprintf("+3460022%04d", i))
		}
		_, err := b.Submit(ctx, Request{To: to, Text: "a"}, nil)
		require.NoError(t, err)
	}
	b.to(Normal, ana)
	require.Nil(t, b.claimed(l))
	require.Nil(t, b.claimed(l), "it has looked")
	b.clock.forward(deepRest * time.Millisecond)
	require.Equal(t, 1, b.sends(l, 1))
}

// However deep what a SIM may send lies behind what it may not, and whatever comes back
// meanwhile, it is found in a time that goes with the depth.
func TestWhatIsFarBehindIsFoundWhateverHappens(t *testing.T) {
	ctx := context.Background()
	strangers := func(b *box, text string, n int) {
		for begun := 0; begun < n; begun += 500 {
			var to []string
			for i := range min(500, n-begun) {
				to = append(to, fmt.Sprintf("+3460022%04d", begun+i))
			}
			_, err := b.Submit(ctx, Request{To: to, Text: text}, nil)
			require.NoError(t, err)
		}
	}
	for name, c := range map[string]struct {
		limit     Limit
		text      string
		n         int
		meanwhile func(b *box)
	}{
		"nothing happens": {Limit{WindowMonth, 0, 1}, "a", 3000, func(*box) {}},
		"others give back": {Limit{WindowMonth, 0, 1}, "a", 1000, func(b *box) {
			c := b.claimed(line(2))
			require.NotNil(t, c)
			require.NoError(t, b.Unclaim(ctx, line(2).ICCID, c.Message.Seq, Outcome{}))
		}},
		"it cannot be sent at first": {Limit{WindowMonth, 0, 1}, "a", 1000, func(b *box) {
			b.submit(Request{To: []string{ana}, Class: OTP})
			c, a := b.gated(line(1))
			require.Equal(t, OTP, c.Message.Class)
			b.outcome(a, Outcome{Verdict: NotSent, MR: -1, Reason: "rejected"})
		}},
		"too long for the day": {Limit{WindowDay, 2, 0}, longText(200), 1000, func(b *box) {
			c := b.claimed(line(2))
			require.NotNil(t, c)
			require.NoError(t, b.Unclaim(ctx, line(2).ICCID, c.Message.Seq, Outcome{}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			l := line(1)
			b.known(l, line(2))
			b.unlimited(line(2))
			b.limit(l, c.limit)
			b.to(Normal, ana)
			require.Equal(t, 1, b.sends(l, 1))
			b.submit(Request{To: []string{bea}, SIM: line(2).ICCID})
			strangers(b, c.text, c.n)
			wanted := b.submit(Request{To: []string{ana}})
			b.raw(`UPDATE message SET sim = wish, prefer_until = 0`)
			for range 60 {
				if got := b.claimed(l); got != nil {
					require.Equal(t, wanted.ID, got.Message.ID)
					return
				}
				b.clock.forward(time.Second)
				c.meanwhile(b)
			}
			t.Fatal("it is not found in a minute")
		})
	}
}

// A line that may not write to new numbers costs nothing while another takes what is
// first, and nobody looks twice.
func TestCappedLinesAreNotAskedForWhatAnotherTakes(t *testing.T) {
	b := newBox(t)
	b.known(line(1))
	b.limit(line(1), Limit{WindowMonth, 0, 1})
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(line(1), 1))
	b.unlimited(line(2))
	b.to(Normal, bea, cid, ana)
	c, who, err := b.ClaimFor(context.Background(), []Line{line(1), line(2)}, nil)
	require.NoError(t, err)
	require.Equal(t, []any{1, bea}, []any{who, c.Message.To})
	require.Empty(t, b.usage.sims[line(1).ICCID].passed, "nothing was looked for")
	c, who, err = b.ClaimFor(context.Background(), []Line{line(1), line(2)}, func(_ Head, who []int) (int, string) { return slices.Index(who, 0), WhyFirst })
	require.NoError(t, err)
	require.Equal(t, []any{0, ana}, []any{who, c.Message.To}, "the other is not chosen")
}

// A SIM whose limits cannot be looked at opens nothing, and hinders nobody.
func TestAViewThatCannotBeReadHindersNobody(t *testing.T) {
	b := newBox(t)
	ctx := context.Background()
	blind, other := line(1), line(2)
	b.known(blind, other)
	b.to(Normal, ana)
	require.Equal(t, 1, b.sends(blind, 1))
	b.submit(Request{SIM: blind.ICCID})
	b.to(Normal, bea)
	b.raw(`UPDATE usage_period SET segments = 'torn' WHERE iccid = ?`, blind.ICCID)
	b.raw(`CREATE TRIGGER stuck BEFORE UPDATE ON usage_period BEGIN SELECT RAISE(ABORT, 'stuck'); END`)
	b.restart()
	c, who, err := b.ClaimFor(ctx, []Line{blind, other}, nil)
	require.NoError(t, err)
	require.Equal(t, []any{1, bea}, []any{who, c.Message.To})
	c, err = b.Claim(ctx, blind)
	require.NoError(t, err)
	require.Nil(t, c)
	b.raw(`DROP TRIGGER stuck`)
	b.limit(blind)
	b.raw(`DELETE FROM usage_period`)
	b.restart()
	require.NotNil(t, b.claimed(blind))
}

// What was offered by routes that have changed since is not taken by them.
func TestAClaimByOldRoutesTakesNothingOfAnybodys(t *testing.T) {
	b := newBox(t)
	sims := b.sees(2)
	told := int64(0)
	b.OnRoutes(func([]Route, []Bucket) { told = b.Rules() })
	require.NotZero(t, told)
	r := b.route(Route{Name: "x", Fallback: FallbackWait}, sims...)
	now := b.Rules()
	require.Equal(t, told, now)
	m := b.submit(Request{To: []string{ana}})
	own := b.submit(Request{To: []string{ana}, SIM: sims[0]})
	all := []Open{{b.get(m.ID).Bucket, AllLanes}}
	offer := Offer{Own: all, Any: all, Turn: -1, Rules: now}
	r.SIMs = r.SIMs[1:]
	_, err := b.UpdateRoute(context.Background(), r)
	require.NoError(t, err)
	require.NotEqual(t, now, b.Rules())
	require.Equal(t, own.ID, b.claimed(offered(line(1), offer)).Message.ID, "its own it takes")
	require.Nil(t, b.claimed(offered(line(1), offer)))
	offer.Rules = b.Rules()
	require.Equal(t, m.ID, b.claimed(offered(line(2), offer)).Message.ID)
}
