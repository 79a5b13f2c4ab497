package pool

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSlidingRoomIsExact: so many may begin, never one over the limit, and one more
// would be.
func TestSlidingRoomIsExact(t *testing.T) {
	s := sliding{width: 10 * time.Second}
	s.add(0, time.Second, 4) // leaves at 10, 11, 12, 13
	at := 9500 * time.Millisecond
	s.expire(at)
	require.Equal(t, 1, s.room(at, 400*time.Millisecond, 5), "the second would begin at 9.9")
	require.Equal(t, 5, s.room(at, time.Second, 5), "each begins when another has left")
	require.Equal(t, 10*time.Second, s.until(at, 4))
	require.Equal(t, 11*time.Second, s.until(at, 3))
	require.Equal(t, unlimited, s.room(at, 2*time.Second, 5), "its own have left by then")
	require.Equal(t, never, (&sliding{width: time.Second}).until(0, 0))
}
