package sqlite

import "time"

// Lane says who goes first.
type Lane uint8

const (
	// Urgent is what a modem or the network waits for: gate, outcome, inbound.
	Urgent Lane = iota
	// Prompt is new work that goes out next once it is accepted: a code, an alert.
	Prompt
	// Ordinary is what is soon written: settings, marks, an enqueue of a few.
	Ordinary
	// Lengthy is what takes longer than a commit: an enqueue of many, a portion of the
	// housekeeping. It joins no transaction that others have begun.
	Lengthy
	// Unhurried is what only has to be on disk before it is acknowledged: status
	// reports. It waits up to patience for a transaction of others that it can share,
	// since each costs a look at the disk.
	Unhurried
	// hooks is what OnReopen's functions write, before anybody else.
	hooks
	lanes
)

const (
	// maxWaiting functions of a lane; beyond, Write gives ErrOverloaded.
	maxWaiting = 8192
	// patience is how long a lane is passed over for those before it, and how long what
	// is Unhurried waits for others, unless crowd of it do.
	patience = 100 * time.Millisecond
	crowd    = 16
	// few rows are written in a moment.
	few = 20
)

// LaneOf is the lane of what writes so many messages, or as much: Ordinary or Lengthy.
func LaneOf(n int) Lane {
	if n > few {
		return Lengthy
	}
	return Ordinary
}

func (w *writer) put(lane Lane, j *job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.over.Load(); err != nil {
		return *err
	}
	if w.closing && lane != hooks {
		return ErrClosed
	}
	if len(w.waiting[lane]) >= maxWaiting {
		return ErrOverloaded
	}
	w.waiting[lane] = append(w.waiting[lane], j)
	crowded := lane == Unhurried && len(w.waiting[lane]) >= crowd
	w.hurried = w.hurried || crowded
	if lane != Unhurried || crowded {
		w.nudge()
	}
	return nil
}

// hurry lets what is Unhurried wait no longer for others.
func (w *writer) hurry() {
	w.mu.Lock()
	w.hurried = len(w.waiting[Unhurried]) > 0
	w.mu.Unlock()
	w.nudge()
}

// first gives the job that begins a transaction; nil when none waits. That is one of
// a lane that was passed over for long, so that none starves, or else next's. How long
// counts from the last of the lane: a gate that came while what is Lengthy ran goes
// before the next of that.
func (w *writer) first() *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, lane := range [...]Lane{Unhurried, Prompt, Ordinary, Lengthy} {
		q := w.waiting[lane]
		if w.hooking || len(q) == 0 || now.Sub(q[0].given) < patience || lane != Unhurried && now.Sub(w.served[lane]) < patience {
			continue
		}
		if j := w.take(lane); j != nil {
			return j
		}
	}
	return w.next(true, w.hurried)
}

// join gives the next job for a transaction that has begun; nil when none waits that
// may share it.
func (w *writer) join(lengthy bool) *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next(lengthy, true)
}

// next gives the next job by the lanes' order, of what is Lengthy and Unhurried only
// when that is meant.
func (w *writer) next(lengthy, unhurried bool) *job {
	if w.hooking {
		return w.take(hooks)
	}
	for _, lane := range [...]Lane{hooks, Urgent, Prompt, Ordinary, Lengthy, Unhurried} {
		if lane == Lengthy && !lengthy || lane == Unhurried && !unhurried {
			continue
		}
		if j := w.take(lane); j != nil {
			return j
		}
	}
	return nil
}

// take gives a lane's next job that its caller still wants.
func (w *writer) take(lane Lane) *job {
	q := w.waiting[lane]
	for len(q) > 0 {
		j := q[0]
		q[0] = nil
		q = q[1:]
		if j.state.CompareAndSwap(jobWaiting, jobTaken) {
			w.waiting[lane] = q
			w.hurried = w.hurried && (lane != Unhurried || len(q) > 0)
			return j
		}
	}
	w.waiting[lane] = nil // lets the grown array go
	w.hurried = w.hurried && lane != Unhurried
	return nil
}

// busy says that a job waits.
func (w *writer) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hooking {
		return len(w.waiting[hooks]) > 0
	}
	for lane := range w.waiting {
		if len(w.waiting[lane]) > 0 && (Lane(lane) != Unhurried || w.hurried) {
			return true
		}
	}
	return false
}
