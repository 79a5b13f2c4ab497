package pool

import (
	"fmt"
	"slices"
	"time"

	"recado/modem"
)

const (
	// One sick modem must not make a whole queue uncertain. lostInARow answers
	// without one that came between them, whatever the cause, rest the line; each
	// further one twice as long. So a power supply that fails with every
	// transmission is found out after two messages, and a modem that was pulled
	// out twice is back when it is plugged in.
	lostInARow   = 2
	lostRest     = 10 * time.Second
	lostRestMost = 30 * time.Minute
	// A modem that stays where it is and is silent now and then is sick too:
	// silentMost answers in silentWindow, and a share of silentShare of them all.
	silentWindow = 10 * time.Minute
	silentMost   = 3
	silentShare  = 3 // one in three
	// simErrorsMost refusals in a row for the subscription's sake.
	simErrorsMost = 3
	// networkErrorsMost refusals in a row by the network, whoever the recipient.
	networkErrorsMost = 3
	// A line that rests for the network's or the modem's sake looks again often:
	// what holds it may have ended.
	networkRest     = 5 * time.Second
	networkRestMost = 20 * time.Second
	deviceRest      = time.Second
	deviceRestMost  = 15 * time.Second

	quarantineFirst = 2 * time.Minute
	quarantineMost  = 30 * time.Minute
	// submissionGuess stands for a submission's time before one was measured: a
	// modem on LTE needs one to three seconds, an old one up to five.
	submissionGuess = 2 * time.Second
)

// health is how a line fares; guarded by line.mu.
type health struct {
	// restUntil: no message before then. why is in plain words for what repeated
	// faults; "" says that the rest is a short one, which nobody needs to see.
	restUntil time.Time
	why       string

	deviceErrors, simErrors, networkErrors int
	// faulted is when something last went wrong.
	faulted time.Time
	// submitted are the attempts of silentWindow, oldest first.
	submitted []submitted
	// doubted are the lost answers that the line rests for; they may come yet, or
	// be proved by status reports.
	doubted []int64
	// quarantines are those since the last acceptance: each is twice as long. raised
	// says that the rest of now is one of them.
	quarantines int
	raised      bool
	// took is the learned time of an accepted submission; 0 before the first.
	took time.Duration
}

// submitted is an attempt that passed the gate.
type submitted struct {
	at      time.Time
	attempt int64
	lost    bool // its answer did not come
	silent  bool // and the modem was there all the time
}

// forget drops what is older than silentWindow, but for the last few: they tell
// of answers lost in a row.
func (h *health) forget(now time.Time) {
	for len(h.submitted) > 16 && now.Sub(h.submitted[0].at) > silentWindow {
		h.submitted = h.submitted[1:]
	}
}

// lostLast counts the lost answers since the last that came.
func (h *health) lostLast() (n int, which []int64) {
	for _, s := range slices.Backward(h.submitted) {
		if !s.lost {
			break
		}
		n++
		which = append(which, s.attempt)
	}
	return n, which
}

// silences are the lost answers of silentWindow that nothing explains, when
// they are too many.
func (h *health) silences(now time.Time) (which []int64) {
	all := 0
	for _, s := range h.submitted {
		if now.Sub(s.at) > silentWindow {
			continue
		}
		if all++; s.lost && s.silent {
			which = append(which, s.attempt)
		}
	}
	if len(which) < silentMost || len(which)*silentShare < all {
		return nil
	}
	return which
}

func (h *health) resting(now time.Time) bool { return now.Before(h.restUntil) }

// quarantine is why the line is in quarantine; "" when it is not.
func (h *health) quarantine(now time.Time) string {
	if !h.resting(now) {
		return ""
	}
	return h.why
}

// learn draws from an attempt's outcome how the line fares, and rests it when
// need be.
func (l *line) learn(o modem.Outcome, took time.Duration, attempt int64) {
	if refusedHere(o.Err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &l.health
	now := time.Now()
	l.speed.ends(now, o, took)
	if o.Verdict != modem.Accepted {
		h.faulted = now
	}
	switch {
	case o.Verdict == modem.Accepted:
		h.deviceErrors, h.simErrors, h.networkErrors, h.quarantines, h.raised = 0, 0, 0, 0, false
		h.submitted = append(h.submitted, submitted{at: now, attempt: attempt})
		h.forget(now)
		l.reports.accepted++
		l.p.canaries.accepted(l.key)
		l.reports.last = now
		if h.took == 0 {
			h.took = took
		} else {
			h.took += (took - h.took) / 8
		}
	case o.Verdict == modem.Ambiguous:
		away := o.Code == "gone" || o.Code == "rebooted"
		h.submitted = append(h.submitted, submitted{at: now, attempt: attempt, lost: true, silent: !away})
		h.forget(now)
		l.doubtLocked(now)
	case o.HoldSIM: // that is enough
	case o.Class == modem.ClassSIM:
		if h.simErrors++; h.simErrors >= simErrorsMost {
			h.simErrors = 0
			l.quarantineLocked("the network refused this SIM several times ("+o.Code+"); check its contract and credit", nil)
		}
	case o.Class == modem.ClassNetwork:
		if h.networkErrors++; h.networkErrors >= networkErrorsMost {
			l.restLocked(backoff(networkRest, h.networkErrors-networkErrorsMost, networkRestMost), "", nil)
		}
	case o.Verdict == modem.NotSent:
		h.deviceErrors++
		l.restLocked(backoff(deviceRest, h.deviceErrors-1, deviceRestMost), "", nil)
	}
}

// doubtLocked rests a line that loses too many answers, for the longer time when
// they are too many in both ways.
func (l *line) doubtLocked(now time.Time) {
	raised := false
	if which := l.silences(now); which != nil {
		raised = l.quarantineLocked(fmt.Sprintf("%d submissions in ten minutes lost their answer; the modem or its signal may be bad", len(which)), which)
	}
	n, which := l.lostLast()
	if n >= lostInARow && l.restLocked(backoff(lostRest, n-lostInARow, lostRestMost),
		fmt.Sprintf("the last %d submissions lost their answer; the modem, its power supply or its signal may be bad", n), which) {
		l.raised = raised
	}
}

// restLocked rests the line, unless it rests longer already. It says so at the
// rest's begin and end, which no modem tells of.
func (l *line) restLocked(d time.Duration, why string, doubted []int64) (longer bool) {
	now := time.Now()
	until := now.Add(d)
	if l.resting(now) && !until.After(l.restUntil) {
		return false
	}
	l.restUntil, l.why, l.doubted, l.raised = until, why, doubted, false
	l.hint()
	time.AfterFunc(d, l.rested)
	return true
}

// rested tells that a rest is over: what waits may leave, and the SIM's state is
// another.
func (l *line) rested() {
	l.hint()
	l.p.kick()
	l.p.changed()
}

// quarantineLocked is a rest that doubles with each until a message is accepted.
func (l *line) quarantineLocked(why string, doubted []int64) (raised bool) {
	if !l.restLocked(backoff(quarantineFirst, l.quarantines, quarantineMost), why, doubted) {
		return false
	}
	l.raised = true
	l.quarantines++
	return true
}

// redeem takes back a lost answer: it has come, or a status report shows that
// the network took the message. A quarantine that was for it ends with it.
func (l *line) redeem(attempt int64) {
	l.mu.Lock()
	over := l.redeemLocked(attempt)
	l.mu.Unlock()
	if over {
		l.rested()
	}
}

// redeemLocked says whether that ended a rest.
func (l *line) redeemLocked(attempt int64) bool {
	for i := range l.submitted {
		if l.submitted[i].attempt == attempt {
			l.submitted[i].lost = false
		}
	}
	if !slices.Contains(l.doubted, attempt) {
		return false
	}
	if n, _ := l.lostLast(); n >= lostInARow || l.silences(time.Now()) != nil {
		return false
	}
	if l.raised {
		l.quarantines--
	}
	l.why, l.restUntil, l.doubted, l.raised = "", time.Time{}, nil, false
	return true
}

// suspend takes the line out until somebody restarts its modem.
func (l *line) suspend(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why, l.doubted, l.raised = why, nil, false
	l.restUntil = time.Now().Add(100 * 365 * 24 * time.Hour)
	l.hint()
}

// forgive ends any rest: an operator has acted.
func (l *line) forgive() {
	l.mu.Lock()
	took := l.took
	l.health = health{took: took}
	l.mu.Unlock()
	l.rested()
}
