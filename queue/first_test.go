package queue

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFirstLeft(t *testing.T) {
	b := newBox(t)
	bucket := b.submit(Request{To: []string{ana}, Text: "x", SIM: "s1"}).Bucket
	first := func(lane int) int {
		n, err := b.FirstLeft(context.Background(), bucket, lane)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, first(LaneNormal), "that is one SIM's")
	b.submit(Request{To: []string{ana}, Text: strings.Repeat("x", 400)})
	b.submit(Request{To: []string{bea}, Text: "x"})
	require.Equal(t, 3, first(LaneNormal))
	require.Zero(t, first(LaneBulk))
	b.sent(line(1), 1) // its first segment, and it is bound to that SIM now
	require.Equal(t, 1, first(LaneNormal))
	require.Contains(t, b.plan(`SELECT segments FROM message INDEXED BY message_ready WHERE sim = '' AND bucket = 0 AND lane = 2 AND `+ready+` ORDER BY seq LIMIT 1`),
		"SEARCH message USING INDEX message_ready (sim=? AND bucket=? AND lane=?")
}

func TestPreferred(t *testing.T) {
	b := newBox(t)
	b.known(line(1), line(2), line(3))
	b.wrote(ana, line(2).ICCID)
	preferred := func() []string {
		list, err := b.Preferred(context.Background())
		require.NoError(t, err)
		return list
	}
	require.Empty(t, preferred())
	b.submit(Request{To: []string{bea}, Text: "x", SIM: line(1).ICCID})
	b.submit(Request{To: []string{ana}, Text: "x"})
	b.submit(Request{To: []string{ana}, Text: "y"})
	require.Equal(t, []string{line(2).ICCID}, preferred())
	require.NotContains(t, b.plan(preferredSQL), "TEMP B-TREE")
	n, err := b.LetGo(context.Background(), line(2).ICCID)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Empty(t, preferred())
}

// TestRoomOpens: when each lane may send to anybody again, and how long a message
// may be that begins.
func TestRoomOpens(t *testing.T) {
	b := newBox(t)
	l := line(1)
	b.known(l)
	b.limit(l, Limit{Window: WindowMinute, MaxSegments: 5}, Limit{Window: WindowMonth, MaxSegments: 20, MaxRecipients: 4})
	r := b.room(l)
	require.Equal(t, [laneCount]time.Time{}, r.Opens)
	require.Equal(t, math.MaxInt, r.Longest[LaneNormal], "of a month in which nothing was sent")
	b.reserve(l, 20)
	b.to(Normal, ana, ana, ana, ana)
	require.Equal(t, 4, b.sends(l, 4))
	r = b.room(l)
	require.Equal(t, 16, r.Longest[LaneNormal])
	require.Equal(t, 12, r.Longest[LaneBulk])
	require.Zero(t, r.Opens[LaneNormal])
	require.InDelta(t, 61, r.Opens[LaneBulk].Sub(SteadyNow(b.clock)).Seconds(), 1, "its minute is full")
	b.to(Normal, bea, cid, ana)
	require.Equal(t, 1, b.sends(l, 1))
	b.clock.forward(62 * time.Second)
	b.to(Normal, "+34600000077", "+34600000078")
	require.Equal(t, 3, b.sends(l, 4))
	r = b.room(l)
	require.Zero(t, r.Recipients[LaneNormal])
	require.Positive(t, r.Segments[LaneNormal])
	require.Greater(t, r.Opens[LaneNormal].Sub(SteadyNow(b.clock)), 24*time.Hour, "when the month ends")
}
