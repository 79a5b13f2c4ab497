package pool

import (
	"fmt"
	"slices"
	"time"

	"recado/modem"
)

const (
	// ambiguousWindow and ambiguousMost: one sick modem must not make a whole
	// queue uncertain (reliability: two lost answers in ten minutes).
	// A port that went away, or a modem that said that it has restarted, says less
	// than one that stayed silent; and nothing, when a message is accepted then.
	ambiguousWindow = 10 * time.Minute
	ambiguousMost   = 2.0
	weightGone      = 0.5
	// simErrorsMost refusals in a row for the subscription's sake.
	simErrorsMost = 3
	// networkErrorsMost refusals in a row by the network, whoever the recipient.
	networkErrorsMost = 3
	networkRest       = 5 * time.Second

	// deviceRestMost is the longest rest after submissions that the modem itself
	// spoilt: its recovery is the modem's, and a line that is well again must not wait.
	deviceRestMost = 15 * time.Second

	quarantineFirst = 2 * time.Minute
	quarantineMost  = 30 * time.Minute
	// submissionGuess stands for a submission's time before one was measured.
	submissionGuess = 4 * time.Second
)

// health is how a line fares; guarded by line.mu.
type health struct {
	// restUntil: no message before then; quarantined says that it is for
	// repeated faults, with why.
	restUntil   time.Time
	quarantined bool
	why         string

	deviceErrors, simErrors, networkErrors int
	lost                                   []lostAnswer
	// doubted are the lost answers that the line is in quarantine for; they
	// may come yet, or be proved by status reports.
	doubted     []lostAnswer
	quarantines int
	// took is the learned time of an accepted submission; 0 before the first.
	took time.Duration
}

// lostAnswer is a submission whose answer did not come.
type lostAnswer struct {
	at      time.Time
	weight  float64
	attempt int64
}

func weightOf(lost []lostAnswer) (sum float64) {
	for _, a := range lost {
		sum += a.weight
	}
	return sum
}

func (h *health) resting(now time.Time) bool { return now.Before(h.restUntil) }

// quarantine is why the line is in quarantine; "" when it is not.
func (h *health) quarantine(now time.Time) string {
	if !h.quarantined || !h.resting(now) {
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
	switch {
	case o.Verdict == modem.Accepted:
		h.deviceErrors, h.simErrors, h.networkErrors, h.quarantines = 0, 0, 0, 0
		// A port that comes back and sends is no sick modem, however often it goes.
		h.lost = slices.DeleteFunc(h.lost, func(a lostAnswer) bool { return a.weight < 1 })
		l.reports.accepted++
		l.reports.last = now
		if h.took == 0 {
			h.took = took
		} else {
			h.took += (took - h.took) / 8
		}
	case o.Verdict == modem.Ambiguous:
		weight := 1.0
		if o.Code == "gone" || o.Code == "rebooted" {
			weight = weightGone
		}
		h.lost = append(h.lost, lostAnswer{now, weight, attempt})
		h.lost = slices.DeleteFunc(h.lost, func(a lostAnswer) bool { return now.Sub(a.at) > ambiguousWindow })
		if weightOf(h.lost) >= ambiguousMost {
			l.quarantineLocked(fmt.Sprintf("%d submissions in ten minutes lost their answer; the modem or its signal may be bad", len(h.lost)))
			h.lost, h.doubted = nil, h.lost
		}
	case o.HoldSIM: // that is enough
	case o.Class == modem.ClassSIM:
		if h.simErrors++; h.simErrors >= simErrorsMost {
			h.simErrors = 0
			l.quarantineLocked("the network refused this SIM several times (" + o.Code + "); check its contract and credit")
		}
	case o.Class == modem.ClassNetwork:
		if h.networkErrors++; h.networkErrors >= networkErrorsMost {
			l.restLocked(backoff(networkRest, h.networkErrors-networkErrorsMost, 5*time.Minute))
		}
	case o.Verdict == modem.NotSent:
		h.deviceErrors++
		l.restLocked(backoff(time.Second, h.deviceErrors-1, deviceRestMost))
	}
}

func (l *line) restLocked(d time.Duration) {
	l.restUntil = time.Now().Add(d)
	time.AfterFunc(d, l.p.kick)
}

func (l *line) quarantineLocked(why string) {
	l.quarantined, l.why, l.doubted = true, why, nil
	l.restLocked(backoff(quarantineFirst, l.quarantines, quarantineMost))
	l.quarantines++
	l.hint()
}

// redeem takes back a lost answer: it has come, or a status report shows that
// the network took the message. A quarantine that was for it ends with it.
func (l *line) redeem(attempt int64) {
	same := func(a lostAnswer) bool { return a.attempt == attempt }
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = slices.DeleteFunc(l.lost, same)
	n := len(l.doubted)
	if l.doubted = slices.DeleteFunc(l.doubted, same); len(l.doubted) == n || weightOf(l.doubted) >= ambiguousMost {
		return
	}
	l.quarantined, l.why, l.restUntil = false, "", time.Time{}
	l.quarantines--
	l.lost, l.doubted = l.doubted, nil
	l.hint()
	l.p.kick()
}

// suspend takes the line out until somebody restarts its modem.
func (l *line) suspend(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quarantined, l.why, l.doubted = true, why, nil
	l.restUntil = time.Now().Add(100 * 365 * 24 * time.Hour)
	l.hint()
}

// forgive ends any rest: an operator has acted.
func (l *line) forgive() {
	l.mu.Lock()
	took := l.took
	l.health = health{took: took}
	l.mu.Unlock()
	l.hint()
	l.p.kick()
}
