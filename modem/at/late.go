package at

import "time"

// graceLate is how long a late +CMGS waits for its OK.
const graceLate = 2 * time.Second

// nothingOwed is what LateResult gives when no submission is open.
func nothingOwed() <-chan Submission {
	c := make(chan Submission)
	close(c)
	return c
}

// AwaitEarlier says that an earlier run of the program may have a submission
// open on this modem, whose answer is still to come: LateResult gives it, and is
// closed by the next Resync. Until then every command fails with ErrUnsynced. It
// is for a channel on which nothing has been written yet; an ESC may be, since
// the earlier run may also have ended between the prompt and the PDU.
func (c *Channel) AwaitEarlier() {
	l := c.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed != nil || l.cause != nil {
		return
	}
	l.owed = &exchange{
		cmd: "+CMGS=0", parts: parts("+CMGS=0"), written: true, done: true,
		sms: &submission{phase: PhasePDUSent, earlier: true, strays: l.strays},
	}
	l.late, l.told = make(chan Submission, 1), false
}

// lateInfo takes a line that belongs to the exchange that was given up on: the
// answer to nobody's question, but for a submission's reference.
func (l *line) lateInfo(text string) {
	x := l.owed
	if x.sms == nil || x.sms.ref != "" {
		return
	}
	mr, _ := reference(text)
	if whose := l.given.whose(mr); whose != ours || text == x.sms.held {
		x.sms.held = text
		l.given.older = remember(l.given.older, uint8(mr), time.Now()) // whosever it is, not the next one's
		return
	}
	l.refers(x, text)
	x.timer = time.AfterFunc(graceLate, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.owed == x {
			l.tellLate(x.outcome(nil))
		}
	})
}

// lateFinal takes a final result when an answer is owed, and says whether it was
// the answer of the open submission.
func (l *line) lateFinal(canonical string) bool {
	x := l.owed
	if l.late == nil || l.told {
		return false
	}
	switch {
	case x.sms.ref != "":
		l.tellLate(x.outcome(nil))
		return true
	case canonical == "OK":
		return false
	case !isCMS(canonical) && l.doubted(x):
		return false // ERROR and +CME ERROR may be to another program
	case l.cur == nil, isCMS(canonical):
		// AT alone, which is what may be in flight, never brings a +CMS ERROR.
		l.tellLate(x.outcome(modemFinal(canonical)))
		return true
	}
	return false
}

func (l *line) tellLate(s Submission) {
	if l.late == nil || l.told {
		return
	}
	l.late <- s
	l.told = true
	close(l.late)
}

// closeLate ends the wait for a late answer. A +CMGS whose OK is still missing
// counts.
func (l *line) closeLate() {
	if l.late == nil || l.told {
		return
	}
	if l.owed != nil && l.owed.sms != nil && l.owed.sms.ref != "" {
		l.late <- l.owed.outcome(nil)
	}
	l.told = true
	close(l.late)
}
