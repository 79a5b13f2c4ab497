package pool

import (
	"time"

	"recado/queue"
)

// simWorn is a line's use on a route's account, as worn.
type simWorn struct {
	Worn
	used  time.Duration        // until when it last sent something at its turn
	ahead [lanes]time.Duration // since when it is too far ahead; never: it is not
}

func newWorn(lines int, far []Worn) []simWorn {
	list := make([]simWorn, lines)
	for i := range list {
		for lane := range list[i].ahead {
			list[i].ahead[lane] = never
		}
		list[i].used = -awaitMost
	}
	for i := range min(len(far), lines) {
		list[i].Worn = far[i]
	}
	return list
}

// weighed is where the lines are on the account of the batch's route, where that
// gives them unlike weights and the line is one of its; else nil.
func (m *simulation) weighed(l *simLine, b *simBatch) []simWorn {
	if len(b.Weights) != len(m.lines) || b.Weights[l.place] <= 0 {
		return nil
	}
	return m.worn[b.Route]
}

// granted: the line begins a message of the batch, if that was for its turn.
func (m *simulation) granted(l *simLine, b *simBatch) {
	if worn := m.weighed(l, b); worn != nil && b.lane >= queue.LaneNormal {
		worn[l.place].Since, worn[l.place].Out = 0, 0
	}
}

// wear counts what a line sends of the batch from t to end, as wear.step has it.
func (m *simulation) wear(l *simLine, b *simBatch, t, end time.Duration, size int) {
	worn := m.weighed(l, b)
	if worn == nil {
		return
	}
	w, stride := &worn[l.place], l.stride(b, t)
	far := float64(size) * stride
	w.Time += far
	if b.lane < queue.LaneNormal {
		w.Out = min(w.Out+far, debtMost*stride)
		return
	}
	w.Since += far
	w.used = end
}

// turnAt is when the line is no longer too far ahead of the others of its route, as
// wear.due has it, or the time to look again.
func (m *simulation) turnAt(l *simLine, b *simBatch, t time.Duration) time.Duration {
	worn := m.weighed(l, b)
	if worn == nil || b.lane < queue.LaneNormal {
		return t
	}
	mine, stride := &worn[l.place], l.stride(b, t)
	ahead, until, next := false, t, never
	for i, other := range m.lines {
		if i == l.place || b.Weights[i] <= 0 || other.Out != "" || other.DoubtedUntil > t || other.Mute || !other.able(b, t) {
			continue
		}
		its := &worn[i]
		its.Time = max(its.Time, mine.Time-mine.Since-mine.Out-aheadMost*max(stride, other.stride(b, t)))
		if mine.Time-its.Time <= aheadMost*stride+1e-6 {
			continue
		}
		if !ahead && mine.ahead[b.lane] == never {
			mine.ahead[b.lane] = t
		}
		ahead = true
		until = max(until, max(mine.ahead[b.lane], its.used)+awaitMost)
		if other.at > t {
			next = min(next, other.at)
		}
	}
	if !ahead {
		mine.ahead[b.lane] = never
	}
	if until <= t {
		return t
	}
	return max(min(next, until, t+max(l.Took, turnLook)), t+time.Millisecond)
}
