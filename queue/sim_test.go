package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatASIMSentToday(t *testing.T) {
	l := line(1)
	b := simBox(t, l)
	sent := func() (total, day int) {
		list, err := b.SIMs(context.Background())
		require.NoError(t, err)
		return list[0].SentTotal, list[0].SentDay
	}
	local := b.clock.Now().Local()
	midnight := time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, time.Local)
	b.submit(Request{Text: strings.Repeat("x", 300), Class: Bulk})
	b.sent(l, 1)
	b.sent(l, 2)
	for _, step := range []struct{ total, day int }{{3, 3}, {4, 4}} {
		b.submit(Request{})
		b.sent(l, step.total)
		total, day := sent()
		require.Equal(t, []int{step.total, step.day}, []int{total, day}, "segments, not messages")
	}
	b.clock.forward(midnight.Sub(b.clock.Now()) - time.Millisecond)
	_, day := sent()
	require.Equal(t, 4, day)
	b.clock.forward(time.Millisecond)
	total, day := sent()
	require.Equal(t, []int{4, 0}, []int{total, day}, "a new day, and nothing sent yet")
	b.restart()
	m, _, gate := b.lostTo(l, "+34600111222")
	b.report(l, m.To, 5, stDelivered, gate)
	total, day = sent()
	require.Equal(t, []int{5, 1}, []int{total, day})
}
