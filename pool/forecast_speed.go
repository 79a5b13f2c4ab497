package pool

import (
	"context"
	"sync"
	"time"

	"recado/modem"
)

const (
	// speedMemory is over how many submissions a line's speed is a mean.
	speedMemory = 32
	// speedOutlier is how many times the mean a single one counts at most: an
	// answer that was lost tells nothing of the next.
	speedOutlier = 4
)

// speed is how long a line needs for a submission, from its begin to the next's.
type speed struct {
	n int
	// mean is the time until the answer, with what refused tries before it cost;
	// pause the time from there to the next submission, when one follows at once.
	mean, pause float64 // ns
	pauses      int
	wasted      time.Duration // on tries since the last that counts
	ended       time.Time     // zero: the line has rested since
}

// begins is told that a submission begins.
func (s *speed) begins(now time.Time) {
	if !s.ended.IsZero() {
		s.pauses = min(s.pauses+1, speedMemory)
		s.pause += (float64(min(now.Sub(s.ended), time.Second)) - s.pause) / float64(s.pauses)
	}
	s.ended = time.Time{}
}

// ends is told what came of it. A try that another follows is part of that one.
func (s *speed) ends(now time.Time, o modem.Outcome, took time.Duration) {
	s.ended = now
	switch o.Class {
	case modem.ClassNetwork, modem.ClassSIM, modem.ClassDevice, modem.ClassStorage, modem.ClassBusy:
		if o.Verdict != modem.Accepted && o.Verdict != modem.Ambiguous {
			s.wasted += took
			return
		}
	}
	d := float64(took + s.wasted)
	s.wasted = 0
	if s.n > 0 {
		d = min(d, speedOutlier*s.mean)
	}
	s.n = min(s.n+1, speedMemory)
	s.mean += (d - s.mean) / float64(s.n)
}

// rests is told that nothing follows at once.
func (s *speed) rests() { s.ended = time.Time{} }

// each is the time of a submission; 0 before the first.
func (s *speed) each() time.Duration {
	if s.n == 0 {
		return 0
	}
	return time.Duration(s.mean + s.pause)
}

// formerSpeeds are what SIMs needed in an earlier run, as their attempts tell.
type formerSpeeds struct {
	mu   sync.Mutex
	took map[string]time.Duration
}

// formerly is how long a SIM's submissions took before this run; 0: not known.
func (p *Pool) formerly(ctx context.Context, key string) (time.Duration, error) {
	f := &p.former
	f.mu.Lock()
	d, known := f.took[key]
	f.mu.Unlock()
	if known {
		return d, nil
	}
	d, err := p.store.TookLately(ctx, key)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.took == nil {
		f.took = map[string]time.Duration{}
	}
	f.took[key] = d
	return d, nil
}
