package pool

import (
	"math/bits"
	"time"
)

// simBatch is a Batch while it is sent.
type simBatch struct {
	*Batch
	lane        int
	work        bool
	gate        gate
	only, other []bool // nil: all
	total       int    // segments of all its messages, at least one of each
	taken       int    // messages: sent, or expired
	turn        int    // segments that may be taken at once, for the other lanes' sake
}

func (b *simBatch) left() int { return b.Messages - b.taken }

// upTo is how many segments its first n messages have: they differ by one at
// most.
func (b *simBatch) upTo(n int) int { return share(b.total, n, b.Messages) }

// size is how many segments its next n messages have.
func (b *simBatch) size(n int) int { return b.upTo(b.taken+n) - b.upTo(b.taken) }

// least is how many segments the shortest of its messages has.
func (b *simBatch) least() int { return b.total / b.Messages }

// fitting is how many of its next messages have no more than that many segments.
func (b *simBatch) fitting(segments int) int {
	if segments <= 0 {
		return 0
	}
	if b.total == b.Messages {
		return min(segments, b.left())
	}
	low, high := 0, min(segments, b.left())
	for low < high {
		if mid := (low + high + 1) / 2; b.size(mid) <= segments {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// head is the place of its next message in the order of acceptance.
func (b *simBatch) head() int64 {
	return b.First + int64(share(int(b.Last-b.First), b.taken, max(b.Messages-1, 1)))
}

// headExpires is when its next message's validity ends; never: it does not.
func (b *simBatch) headExpires() time.Duration {
	if b.Expires <= 0 || b.Expires == never {
		return never
	}
	return b.Expires + time.Duration(share(int(max(b.LastExpires-b.Expires, 0)), b.taken, max(b.Messages-1, 1)))
}

// expire drops the messages whose validity is over at t, and says how many of
// the work.
func (b *simBatch) expire(m *simulation, t time.Duration) int {
	if b.left() == 0 || b.headExpires() > t {
		return 0
	}
	n := b.left()
	if span := b.LastExpires - b.Expires; span > 0 && t < b.LastExpires && b.Messages > 1 {
		n = max(1, share(b.Messages-1, int(t-b.Expires), int(span))+1-b.taken)
	}
	n = min(n, b.left())
	b.taken += n
	if !b.work {
		return 0
	}
	m.left -= n
	return n
}

// sendable says that the line may send it, now or later.
func (b *simBatch) sendable(line int) bool {
	if b.Why != "" || b.only == nil || b.only[line] {
		return b.Why == ""
	}
	return (b.Later != never || b.LetGo || b.Fallback > 0) && (b.other == nil || b.other[line])
}

// own says that it is pinned to the line's SIM, or prefers it.
func (b *simBatch) own(l *simLine) bool { return b.Own && b.only != nil && b.only[l.place] }

// share is all·part/whole without overflow; part is no more than whole.
func share(all, part, whole int) int {
	if whole <= 0 || part <= 0 || all <= 0 {
		return 0
	}
	part = min(part, whole)
	high, low := bits.Mul64(uint64(all), uint64(part))
	q, _ := bits.Div64(high, low, uint64(whole))
	return int(q)
}
