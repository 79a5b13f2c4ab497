package pool

import (
	"cmp"
	"slices"
	"time"
)

// reached keeps the first time that a limit of the work's lane was used up.
func (m *simulation) reached(l *simLine, w int, recipients bool, t time.Duration) {
	kind := 0
	if recipients {
		kind = 1
	}
	if l.hit[w][kind] {
		return
	}
	l.hit[w][kind] = true
	m.hits = append(m.hits, LimitHit{ICCID: l.ICCID, Window: windowNames[w], Recipients: recipients, At: m.Now.Add(t)})
}

// gap notes a time in which nothing of the work was sent, until the line went
// on with it.
func (m *simulation) gap(l *simLine, from, to time.Duration) {
	why := l.why
	if why == "" || why == waitPace || why == WaitLine {
		why = WaitAhead
	}
	if m.begun == never {
		first := never
		for _, b := range m.batches {
			if b.work {
				first = min(first, max(b.From, 0))
			}
		}
		if first > 0 && first != never {
			m.wait(WaitScheduled, 0, first)
			from = max(from, first)
		}
		if why == WaitScheduled {
			why = WaitAhead
		}
	}
	if to-from >= waitShown {
		m.wait(why, from, to)
	}
}

func (m *simulation) wait(why string, from, to time.Duration) {
	if len(m.waits) < waitsMost {
		m.waits = append(m.waits, Wait{Why: why, From: m.Now.Add(from), Until: m.Now.Add(to)})
	}
}

// forecast is what came out.
func (m *simulation) forecast() Forecast {
	f := Forecast{ETA: -1, Expired: m.expired, Unsent: m.left, Waits: m.waits}
	end := m.done
	if f.Cut = m.cut; m.cut {
		f.Waits = append(f.Waits, Wait{Why: WaitAhead, From: m.Now.Add(m.covered)})
	} else if m.left > 0 {
		f.Waits = append(f.Waits, m.forever())
	} else {
		f.ETA, f.Finish = end, m.Now.Add(end)
		if m.begun == never {
			f.ETA, f.Finish = -1, time.Time{} // there was nothing, or all of it expired
		}
	}
	if m.begun != never {
		f.Begins = m.Now.Add(m.begun)
	}
	f.Feasible = m.left == 0 && m.expired == 0 && m.begun != never
	total := 0
	for _, l := range m.lines {
		total += l.work
	}
	for _, l := range m.lines {
		if l.work > 0 {
			f.Shares = append(f.Shares, Share{ICCID: l.ICCID, Share: float64(l.work) / float64(total), Segments: l.work})
			f.Guessed = f.Guessed || l.Guessed
		}
		if l.Out == "" {
			left := Left{ICCID: l.ICCID, Segments: l.leftAt(end), Recipients: l.recipientsLeft(end)}
			left.Least = min(l.least, left.Segments)
			for _, n := range []*int{&left.Segments, &left.Least, &left.Recipients} {
				if *n >= unlimited {
					*n = -1
				}
			}
			f.Left = append(f.Left, left)
		}
	}
	slices.SortStableFunc(f.Shares, func(a, b Share) int { return cmp.Compare(b.Segments, a.Segments) })
	slices.SortStableFunc(m.hits, func(a, b LimitHit) int { return a.At.Compare(b.At) })
	for _, h := range m.hits {
		if f.Finish.IsZero() || !h.At.After(f.Finish) {
			f.Limits = append(f.Limits, h)
		}
	}
	return f
}

// forever is why the rest of the work never leaves.
func (m *simulation) forever() Wait {
	w := Wait{Why: WaitLine, From: m.Now.Add(m.covered)}
	if m.Paused {
		w.Why = WaitPaused
		return w
	}
	for _, b := range m.batches {
		if !b.work || b.left() == 0 {
			continue
		}
		if b.Why != "" {
			w.Why = b.Why
			return w
		}
		for _, l := range m.lines {
			switch {
			case !b.sendable(l.place):
			case l.Out != "":
				w.Why = l.Out
			case l.why != "" && l.why != waitPace:
				if w.Why = l.why; w.Why == WaitQuiet && !m.Trusted {
					w.Why = WaitClock // nobody knows whether they are over
				}
				return w
			}
		}
	}
	return w
}
