package queue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A batch with a damaged row: all others expire, are due and wait no longer.
func TestADamagedRowStopsNothingThatIsDue(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			bad := b.submit(Request{ValidFor: 10 * time.Minute})
			_, a := b.gated(line(1))
			b.outcome(a, lost())
			b.clock.forward(4 * time.Minute)
			b.wake() // bounded: once more
			require.Equal(t, Queued, b.get(bad.ID).State)
			b.raw(damage, bad.Seq)
			over := b.submit(Request{To: []string{"+34600111002"}, ValidFor: 7 * time.Minute})
			due := b.submit(Request{To: []string{"+34600111003"}, SendAt: b.clock.Now().Add(5 * time.Minute)})

			b.clock.forward(8 * time.Minute)
			b.wake()
			require.Equal(t, Expired, b.get(over.ID).State)
			require.Equal(t, Queued, b.get(due.ID).State)
			require.Equal(t, Uncertain, b.get(bad.ID).State)
			if name != "attempt torn" && name != "segment renamed" {
				require.Equal(t, 1, b.noted())
			}
		})
	}
}

// Times that cannot be read are looked at last, and put aside.
func TestATimeThatCannotBeReadIsPutAside(t *testing.T) {
	b := newBox(t)
	bad := b.submit(Request{SendAt: b.clock.Now().Add(time.Minute)})
	b.raw(`UPDATE message SET not_before = 'x' WHERE seq = ?`, bad.Seq)
	due := b.submit(Request{To: []string{"+34600111003"}, SendAt: b.clock.Now().Add(time.Minute)})
	b.clock.forward(2 * time.Minute)
	b.wake()
	require.Equal(t, Queued, b.get(due.ID).State)
	require.Equal(t, ReasonCorrupt, b.get(bad.ID).Reason)
}

// What cannot be tidied up hinders no schedule.
func TestNoJobOfWakeSkipsTheOthers(t *testing.T) {
	b := newBox(t)
	due := b.submit(Request{SendAt: b.clock.Now().Add(time.Minute)})
	b.raw(`DROP TABLE tidy_mark`)
	b.clock.forward(2 * time.Hour)
	b.raw(`UPDATE message SET not_before = ?, send_at = ? WHERE seq = ?`, ms(b.clock.Now()), ms(b.clock.Now()), due.Seq)
	_, err := b.Wake(context.Background())
	require.Error(t, err, "it is told")
	require.Equal(t, Queued, b.get(due.ID).State)
}
