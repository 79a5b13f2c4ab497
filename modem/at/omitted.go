package at

// omitsToBelieve is how often in a row nothing must have come of a final result
// that was missing, until the modem is one that leaves it out.
const omitsToBelieve = 3

// omitted is which final results the modem leaves out: the OK of +CPIN, +CPMS or
// +CMGS. One that is only late would be taken for the answer to the next command.
// Guarded by line.mu.
type omitted struct {
	last  string         // the command that had none last; "" for an ESC, and when nothing is missing
	times map[string]int // in a row
}

// soften makes the next command settle the dialogue first: the command of this
// name, if any, has had no final result.
func (l *line) soften(name string) {
	l.soft, l.omitted.last = true, name
}

// owesFinal says whether the modem has answered fewer commands than it got. learned
// leaves out what it never answers.
func (l *line) owesFinal(learned bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.debt > 0 && !(learned && l.omitted.times[l.omitted.last] >= omitsToBelieve)
}

// omits notes whether what was missing came in a long silence.
func (l *line) omits(came bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch name := l.omitted.last; {
	case came:
		delete(l.omitted.times, name)
	case name != "":
		if l.omitted.times == nil {
			l.omitted.times = make(map[string]int)
		}
		l.omitted.times[name]++
	}
}
