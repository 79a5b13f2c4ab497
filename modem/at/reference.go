package at

import (
	"slices"
	"time"
)

const (
	// graceRepeated is how long a +CMGS that repeats the last reference waits for
	// another one, or an error: some modems give an answer a second time.
	graceRepeated = 30 * time.Second
	// graceDoubtful is the least time that a +CMGS waits which may be the answer to
	// an earlier submission that was given up on.
	graceDoubtful = 5 * time.Second
	// openFor is how long such an answer may still come.
	openFor = 10 * time.Minute
	// openMost bounds how many of them are reckoned with.
	openMost = 8
	// repeatedFor is how long after an answer its reference may be a repetition, and
	// repeatedMost how many are reckoned with: far fewer than bring a reference round.
	repeatedFor, repeatedMost = 10 * time.Minute, 32
	// repeatedOver is for how long that holds over the opening of another port.
	repeatedOver = time.Minute
	// sameToConstant submissions in a row with nothing but the last reference make
	// it constant, on a modem that has given different ones.
	sameToConstant = 3
	// plainToBelieve submissions in a row that got a plain ERROR and nothing after it
	// make that the way in which a modem refuses.
	plainToBelieve = 2
	// strayPair is how long after a +CMGS that nobody waited for its OK may come.
	strayPair = time.Second
)

// given is what is known of the references that the modem gives (TP-MR, TS
// 23.040 9.2.3.6: each submission one more, modulo 256). Guarded by line.mu.
type given struct {
	known    bool
	kept     bool // not known, but last is what a constant one was before
	last     uint8
	lastAt   time.Time
	varied   bool          // two have been different
	same     int           // submissions in a row that got the last reference and no other
	constant bool          // this modem gives always the same: last
	usual    time.Duration // from Ctrl-Z to the last answer
	open     int           // submissions since the last answer that were given up on
	openAt   time.Time     // when the last of them was
	missing  []uint8       // references of those before the last answer
	older    []answered    // references before the last, oldest first
	nobodys  []answered    // references that came while no submission waited, likewise
}

// answered is a reference that the modem has given, and when.
type answered struct {
	mr uint8
	at time.Time
}

// remember adds to a list of them.
func remember(list []answered, mr uint8, at time.Time) []answered {
	list = append(list, answered{mr, at})
	return slices.Clone(list[max(len(list)-repeatedMost, 0):])
}

// remembers says whether a reference may come once more.
func remembers(list []answered, mr int) bool {
	return slices.ContainsFunc(list, func(a answered) bool { return int(a.mr) == mr && time.Since(a.at) < repeatedFor })
}

// claim is whose a +CMGS is that came in a submission.
type claim uint8

const (
	ours     claim = iota
	repeated       // the last answer once more, or one that is older
	doubtful       // this submission's, or an earlier one's that was given up on
)

// whose says it of a reference; mr is -1 when it cannot be read.
func (g *given) whose(mr int) claim {
	if mr < 0 {
		return ours
	}
	if !g.constant && (remembers(g.older, mr) || remembers(g.nobodys, mr)) {
		return repeated
	}
	late := !g.openAt.IsZero() && time.Since(g.openAt) < openFor
	ahead := uint8(mr) - g.last
	switch {
	case late && g.open > 0 && (!g.known || g.constant || ahead >= 1 && int(ahead) <= g.open):
		return doubtful
	case !g.known || g.constant:
		return ours
	case ahead == 0 && time.Since(g.lastAt) < repeatedFor:
		return repeated
	}
	if i := slices.Index(g.missing, uint8(mr)); late && i >= 0 {
		g.missing = slices.Delete(g.missing, i, i+1)
		g.older = remember(g.older, uint8(mr), time.Now())
		return repeated
	}
	return ours
}

// accept takes a reference as the answer to the newest submission.
func (g *given) accept(mr int) {
	if mr < 0 {
		return
	}
	if g.kept && uint8(mr) != g.last {
		g.varied, g.constant, g.same = true, false, 0 // it was a repetition that looked so
	}
	if g.known && uint8(mr) != g.last {
		g.varied, g.constant, g.same = true, false, 0
		g.older = remember(g.older, g.last, g.lastAt)
		switch skipped := int(uint8(mr) - g.last - 1); {
		case skipped <= g.open:
			for i := range skipped {
				g.missing = append(g.missing, g.last+1+uint8(i))
			}
		case skipped <= repeatedMost: // some were refused, or are another program's
			g.missing = nil
		default: // it counts anew
			g.missing, g.older, g.nobodys = nil, nil, nil
		}
		g.missing = g.missing[max(len(g.missing)-openMost, 0):]
	}
	g.known, g.kept, g.last, g.lastAt, g.open = true, false, uint8(mr), time.Now(), 0
}

// nothingElse: a submission got the last reference once more and nothing else.
func (g *given) nothingElse() {
	g.same++
	g.constant = !g.varied || g.same >= sameToConstant
}

func (g given) clone() given {
	g.missing, g.older, g.nobodys = slices.Clone(g.missing), slices.Clone(g.older), slices.Clone(g.nobodys)
	return g
}

// giveUp: the answer of a submission has not come, and may still.
func (g *given) giveUp() {
	g.open, g.openAt = min(g.open+1, openMost), time.Now()
}

// claims takes a +CMGS in a submission and says whether it is its answer. One
// that may be another's is held: until another one comes, or an error, or until
// its grace is over.
func (l *line) claims(x *exchange, text string) bool {
	mr, _ := reference(text)
	whose := l.given.whose(mr)
	if whose == ours {
		x.sms.held = ""
		return true
	}
	if x.sms.held != "" && whose == repeated || text == x.sms.held {
		x.sms.heldOK = false // its OK is no one's, too
		return false
	}
	x.sms.held, x.sms.heldAs, x.sms.heldOK = text, whose, false
	if whose == repeated {
		l.arm(x, graceRepeated, func() {
			if int(l.given.last) == mr {
				l.given.nothingElse()
			}
			l.giveUp(x, ErrNoReference)
		})
		return false
	}
	l.arm(x, max(graceDoubtful, 2*l.given.usual), func() {
		l.refers(x, text)
		if !x.sms.heldOK {
			l.soften("+CMGS")
		}
		l.end(x, "OK")
	})
	return false
}

// outside takes a +CMGS that no submission waits for: the repetition of an
// answer, one that was given up on, or another program's.
func (l *line) outside(text string) {
	mr, _ := reference(text)
	if remembers(l.given.nobodys, mr) {
		l.noteForeign()
		return
	}
	switch l.given.whose(mr) {
	case ours:
		l.noteForeign()
		if mr >= 0 {
			l.given.nobodys = remember(l.given.nobodys, uint8(mr), time.Now())
		}
		return
	case doubtful:
		l.given.accept(mr)
	}
	l.strayRef = time.Now()
}

// pairs says whether a final result belongs to a +CMGS that was nobody's, rather
// than to the command in flight.
func (l *line) pairs(canonical string) bool {
	at := l.strayRef
	l.strayRef = time.Time{}
	if canonical != "OK" || at.IsZero() || time.Since(at) > strayPair || l.cur == nil || l.cur.sms != nil {
		return false
	}
	l.soften("")
	l.countStray()
	return true
}

// CountAnew says that the references begin anew: another SIM, or a restart. What
// was open is over.
func (c *Channel) CountAnew() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	g := &c.line.given
	*g = given{constant: g.constant, varied: g.varied, usual: g.usual, kept: g.constant && (g.known || g.kept), last: g.last}
}

// Counted is what is known of the references that a modem gives, for the next
// channel to it: an answer that was given up on may come when the port has been
// opened anew.
type Counted struct{ given given }

// Counted gives it as it is now; what is owed counts as given up on.
func (c *Channel) Counted() *Counted {
	l := c.line
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &Counted{l.given.clone()}
	// Who says an earlier answer once more does so while the port is open, or soon; a
	// modem that was away meanwhile may give the same references anew.
	k.given.older, k.given.nobodys = nil, nil
	if time.Since(k.given.lastAt) > repeatedOver {
		k.given.lastAt = time.Time{}
	}
	if l.owesAnswer() {
		k.given.giveUp()
	}
	return k
}
