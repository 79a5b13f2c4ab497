package pool

import "time"

const (
	// What is beyond these is taken for them: no sum or product of theirs overflows.
	mostMessages = 1_000_000_000
	mostSegments = 255 // of a message: TS 23.040 9.2.3.24.1
	mostTime     = 20 * 365 * 24 * time.Hour
	leastTook    = time.Millisecond
)

// sane is the line with nothing that cannot be.
func (l SimLine) sane() SimLine {
	l.Took = bound(l.Took, leastTook, 24*time.Hour)
	l.Free, l.PaceFree = bound(l.Free, 0, mostTime), bound(l.PaceFree, 0, mostTime)
	l.DoubtedUntil = bound(l.DoubtedUntil, 0, mostTime)
	l.Pace = bound(l.Pace, 0, 24*time.Hour)
	l.Reserve, l.ResetDay, l.Warm = bound(l.Reserve, 0, 100), bound(l.ResetDay, 1, 31), bound(l.Warm, 0, mostMessages)
	if l.Rank != l.Rank {
		l.Rank = 0
	}
	for i := range l.Spans {
		l.Spans[i] = bound(l.Spans[i], 0, 25*time.Hour)
	}
	for w := range l.Limits {
		m := &l.Limits[w]
		for _, n := range []*int{&m.Segments, &m.Recipients, &m.UsedSegments, &m.UsedRecipients} {
			*n = bound(*n, 0, mostMessages)
		}
	}
	uses := make([]Use, 0, len(l.Uses))
	last := mostTime
	for _, u := range l.Uses {
		last = bound(u.Ago, 0, last) // oldest first
		uses = append(uses, Use{last, bound(u.Segments, 0, mostMessages), bound(u.Recipients, 0, mostMessages)})
	}
	l.Uses = uses
	return l
}

// sane is the batch with nothing that cannot be.
func (b Batch) sane() Batch {
	b.Messages = bound(b.Messages, 0, mostMessages)
	b.Segments = bound(b.Segments, b.Messages, b.Messages*mostSegments)
	b.First = bound(b.First, 0, 1<<60)
	b.Last = bound(b.Last, b.First, b.First+1<<60)
	b.From = bound(b.From, 0, mostTime)
	if b.Later != never {
		b.Later = bound(b.Later, 0, mostTime)
	}
	b.Fallback = bound(b.Fallback, 0, mostTime)
	if b.Expires <= 0 || b.Expires >= mostTime {
		b.Expires, b.LastExpires = 0, 0
	} else {
		b.LastExpires = bound(b.LastExpires, b.Expires, mostTime)
	}
	if b.Only == nil { // who may send it is no question
		b.Else, b.LetGo, b.Fallback = nil, false, 0
	}
	return b
}

func bound[N int | int64 | time.Duration](n, least, most N) N { return min(max(n, least), most) }
