package queue

import (
	"context"
	"slices"
	"testing"

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
