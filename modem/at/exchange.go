package at

import (
	"errors"
	"time"
)

// exchange is one command with all that belongs to it. Guarded by line.mu.
type exchange struct {
	cmd   string // without AT
	parts []part
	limit time.Duration // for the final result, or the prompt
	sms   *submission   // nil for ordinary commands

	written   bool
	idle      bool // written after a silence, and not known whether it was heard
	done      bool // at has, or will get, the end of it
	err       error
	writtenAt time.Time
	size      int
	timer     *time.Timer
	stage     int // counts the timers, so that one that fires late is known
}

// submission is what an AT+CMGS has beyond a command.
type submission struct {
	body     string // hex, with the SMSC octet
	gate     func() error
	phase    Phase
	asked    bool  // the gate
	refuse   error // why the PDU must not leave
	ref      string
	earlier  bool   // of an earlier run of the program: see Channel.AwaitEarlier
	bare     bool   // OK has come, without ref
	held     string // a +CMGS that may be another submission's, and what it may be
	heldAs   claim
	plain    bool // ERROR has come, which may have been nobody's
	heldOK   bool // its OK has come
	foreign  bool // something came that answers a command of another program's
	strays   int  // final results that belonged to nobody, when it began
	promptAt time.Time
	sentAt   time.Time
	prompted time.Time // monotonic, for AfterPrompt
	left     time.Time // monotonic, Ctrl-Z
}

var errFlood = errors.New("the answer is too long")

// end gives at the final result of the exchange in flight.
func (l *line) end(x *exchange, canonical string) {
	l.finish(x)
	l.doubling.second = l.doubling.on && canonical == "OK"
	l.out.WriteString(canonical + "\n")
	l.more.Broadcast()
}

func (l *line) finish(x *exchange) {
	x.done = true
	x.stage++
	if x.timer != nil {
		x.timer.Stop()
	}
	if l.cur == x {
		l.cur = nil
	}
	l.lastEnd = time.Now()
}

// arm starts the exchange's timer anew. Called with the lock held; fire is too.
func (l *line) arm(x *exchange, d time.Duration, fire func()) {
	x.stage++
	stage := x.stage
	if x.timer != nil {
		x.timer.Stop()
	}
	x.timer = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if x.stage == stage && !x.done {
			fire()
		}
	})
}

// giveUp ends an exchange without the modem's final result: at gets an ERROR,
// the caller err, and the channel holds, because the answer may still come.
func (l *line) giveUp(x *exchange, err error) {
	if x.done {
		return
	}
	x.err = err
	if !x.written {
		// at has not come to it. Nothing will be written, nothing is owed.
		l.finish(x)
		return
	}
	if x.sms != nil && x.sms.ref != "" {
		// Only its OK is missing: the network has it.
		x.err = nil
		l.soften("+CMGS")
		l.end(x, "OK")
		return
	}
	if x.sms != nil && (x.sms.phase == PhasePrompt || x.sms.phase == PhaseGate) {
		// at is on its way to the gate, or in it, and will see this there.
		if x.sms.refuse == nil {
			x.sms.refuse = err
		}
		x.err = nil
		return
	}
	if x.sms == nil || x.sms.phase == PhaseCommand {
		l.waking.heard(x, l.lastRead.After(x.writtenAt))
	}
	if l.owed == nil {
		l.owed = x
		if x.sms != nil && x.sms.phase == PhasePDUSent {
			l.late, l.told = make(chan Submission, 1), false
		}
	}
	l.end(x, "ERROR")
}

// outcome is what became of a submission. err is the modem's word; what ended
// the exchange on our side comes before it, a +CMGS before everything.
func (x *exchange) outcome(err error) Submission {
	s := Submission{Phase: x.sms.phase, MR: -1, PromptAt: x.sms.promptAt, SentAt: x.sms.sentAt}
	if x.sms.ref != "" {
		s.MR, s.SCTS = reference(x.sms.ref)
		return s
	}
	s.Err = err
	switch {
	case x.sms.earlier:
		s.Took = -1
	case err != nil && !x.sms.left.IsZero():
		s.Took = time.Since(x.sms.left)
	}
	return s
}
