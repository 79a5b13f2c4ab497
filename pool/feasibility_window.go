package pool

import "time"

// never is a time that does not come, from now.
const never = time.Duration(1<<63 - 1)

// run is n submissions that begin one gap after the other.
type run struct {
	at, gap time.Duration
	n       int
}

func (r run) last() time.Duration { return r.at + time.Duration(r.n-1)*r.gap }

// sliding counts what began within the last width: a limit's minute or hour.
type sliding struct {
	width time.Duration
	runs  []run // oldest first
	used  int
}

// add counts n that begin at t, t+gap, …; not before what was counted already.
func (s *sliding) add(t, gap time.Duration, n int) {
	if n <= 0 {
		return
	}
	s.used += n
	if i := len(s.runs) - 1; i >= 0 {
		last := &s.runs[i]
		switch step := t - last.last(); {
		case last.n == 1 && (n == 1 || step == gap):
			last.gap, last.n = step, last.n+n
			return
		case last.n > 1 && step == last.gap && (n == 1 || gap == last.gap):
			last.n += n
			return
		}
	}
	s.runs = append(s.runs, run{t, gap, n})
}

// expire forgets what has left the window by t: it is free again exactly one
// width after it began.
func (s *sliding) expire(t time.Duration) {
	gone := 0
	for gone < len(s.runs) {
		r := &s.runs[gone]
		past := t - s.width - r.at
		if past < 0 {
			break
		}
		n := r.n
		if r.gap > 0 {
			n = int(min(past/r.gap+1, time.Duration(r.n)))
		}
		s.used -= n
		if n < r.n {
			r.at, r.n = r.at+time.Duration(n)*r.gap, r.n-n
			break
		}
		gone++
	}
	if gone > 0 {
		s.runs = s.runs[:copy(s.runs, s.runs[gone:])]
	}
}

// until is when fewer than most are left in the window, counted after expire.
func (s *sliding) until(t time.Duration, most int) time.Duration {
	over := s.used - most
	if over < 0 {
		return t
	}
	for _, r := range s.runs {
		if over < r.n {
			return max(t, r.at+time.Duration(over)*r.gap+s.width)
		}
		over -= r.n
	}
	return never // most is none at all
}

// room is how many may begin at t, t+gap, … so that never more than most are in
// the window; counted after expire.
func (s *sliding) room(t, gap time.Duration, most int) int {
	n := max(most-s.used, 0)
	for _, r := range s.runs {
		// The i-th of the run is free at first+i·r.gap, and needed at need+i·gap.
		first, need := r.at+s.width, t+time.Duration(n)*gap
		if first > need {
			return n
		}
		if slow := r.gap - gap; slow > 0 {
			if fit := int((need-first)/slow) + 1; fit < r.n {
				return n + fit
			}
		}
		n += r.n
	}
	if most > 0 && time.Duration(most)*gap >= s.width {
		return unlimited // so slow that its own make room again
	}
	return n
}

// count is how many began within the window before t, also when more are
// counted that begin later.
func (s *sliding) count(t time.Duration) int {
	n := 0
	for _, r := range s.runs {
		n += r.begun(t) - r.begun(t-s.width)
	}
	return n
}

// begun is how many have begun by t.
func (r run) begun(t time.Duration) int {
	switch {
	case t < r.at:
		return 0
	case r.gap <= 0:
		return r.n
	}
	return int(min((t-r.at)/r.gap+1, time.Duration(r.n)))
}
