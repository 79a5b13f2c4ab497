package at

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"time"
)

// Times that the standard leaves open.
const (
	// trailerTimeout is how long the PDU line of +CMT or +CDS may take.
	trailerTimeout = 3 * time.Second
	// graceCPIN is how long AT+CPIN? and AT+CPMS wait for the OK that Wavecom
	// and others leave out.
	graceCPIN = 500 * time.Millisecond
	// graceCMGS is how long a +CMGS waits for its OK, which adds nothing.
	graceCMGS = 5 * time.Second
	// maxInfo bounds the information of one command: 255 messages have 100 KB.
	maxInfo = 1 << 20
)

// line is the line discipline between the port and warthog618's at. It forwards
// to at only what belongs to the command in flight, one final result for each,
// and the prompt once; all else goes to the URC queue or is dropped. at never
// times out by itself: line ends a command by giving it an ERROR of its own, so
// that both always agree on which command is in flight.
//
// It is the io.ReadWriter of at.
type line struct {
	port io.ReadWriter
	o    Options
	urcs *urcQueue

	mu    sync.Mutex
	split splitter
	out   bytes.Buffer // for at
	more  sync.Cond    // of mu: out has grown, or the port is gone

	next *exchange       // prepared, at has not written it yet
	cur  *exchange       // in flight
	owed *exchange       // given up on, its answer may still come: the channel holds
	late chan Submission // of owed, when its PDU was sent; nil else
	told bool            // late has been closed
	soft bool            // a stray OK may still come: settle before the next command

	open *openURC // waits for its trailer
	echo [2]string

	debt     int           // command lines written that no final result has followed
	strays   int           // final results that belonged to nobody
	stray    chan struct{} // a hint that strays has grown
	lastRead time.Time
	lastEnd  time.Time // of the last command
	escape   escapeState
	escaped  int // strays when an ESC was written; -1 when none waits for its answer

	cause error // why it is gone
	gone  chan struct{}
}

// escapeState is what the next write of an ESC by at or the channel means.
type escapeState uint8

const (
	escapeNever escapeState = iota // nothing to cancel: drop it
	escapeEdit                     // the modem waits for a PDU that will not come
)

// exchange is one command with all that belongs to it. Guarded by line.mu.
type exchange struct {
	cmd   string // without AT
	parts []part
	limit time.Duration // for the final result, or the prompt
	sms   *submission   // nil for ordinary commands

	written bool
	done    bool // at has, or will get, the end of it
	err     error
	size    int
	timer   *time.Timer
	stage   int // counts the timers, so that one that fires late is known
}

// submission is what an AT+CMGS has beyond a command.
type submission struct {
	body     string // hex, with the SMSC octet
	gate     func() error
	phase    Phase
	asked    bool  // the gate
	refuse   error // why the PDU must not leave
	ref      string
	promptAt time.Time
	sentAt   time.Time
	prompted time.Time // monotonic, for AfterPrompt
}

// openURC is a URC whose trailer has not come yet.
type openURC struct {
	urc    URC
	octets int  // of the TPDU in the trailer; -1 unknown
	quoted bool // +CUSD with a text over several lines, until the quote is closed
	timer  *time.Timer
}

var errFlood = errors.New("the answer is too long")

// pump reads the port until it dies.
func (l *line) pump() {
	buf := make([]byte, 4096)
	for empty := 0; ; {
		n, err := l.port.Read(buf)
		if n > 0 {
			empty = 0
			l.receive(buf[:n])
		}
		if err != nil {
			l.fail(err)
			return
		}
		if n == 0 {
			// A port with a read timeout. bufio.Scanner would end after 100 such
			// reads; one that has no timeout either must not burn the processor.
			if empty++; empty > 100 {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// receive takes the next octets from the modem.
func (l *line) receive(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastRead = time.Now()
	l.split.feed(p, l.promptWanted, l.prompt, l.take)
}

// take sorts one line.
func (l *line) take(text string) {
	l.traceIn(text)
	if l.isEcho(text) {
		return
	}
	if l.open != nil && l.continues(text) {
		return
	}
	var p *part
	if l.cur != nil {
		p = &l.cur.parts[0]
	}
	if canonical, ok := final(text, p); ok {
		l.final(canonical)
		return
	}
	if l.cur != nil && l.answers(l.cur, text) {
		l.inform(text)
		return
	}
	if l.owed != nil && l.answers(l.owed, text) {
		l.lateInfo(text)
		return
	}
	if octets, ok := trailing(text); ok {
		l.await(&openURC{urc: URC{Line: text}, octets: octets})
		return
	}
	if name, _, _, _ := code(text); name == "+CUSD" && strings.Count(text, `"`)%2 == 1 {
		l.await(&openURC{urc: URC{Line: text}, quoted: true})
		return
	}
	l.urcs.add(URC{Line: text})
}

// answers says whether a line is information of x, and counts it.
func (l *line) answers(x *exchange, text string) bool {
	if x.sms != nil {
		name, _, colon, _ := code(text)
		return colon && name == "+CMGS" && x.sms.phase == PhasePDUSent
	}
	for i := range x.parts {
		if x.parts[i].owns(text) {
			x.parts[i].answered++
			return true
		}
	}
	return false
}

// isEcho knows the last command line and PDU again: ATE1, which is the state at
// power-on, and which some modems come back to.
func (l *line) isEcho(text string) bool {
	return text != "" && (strings.EqualFold(text, l.echo[0]) || strings.EqualFold(text, l.echo[1]))
}

// inform gives a line to at as information. The NUL in front keeps at from
// reading anything into it: a > at its start would be a prompt, ERROR_COUNT: 3
// an error.
func (l *line) inform(text string) {
	x := l.cur
	x.size += len(text)
	if x.size > maxInfo {
		l.giveUp(x, errFlood)
		return
	}
	l.out.WriteString("\x00" + text + "\n")
	l.more.Broadcast()
	switch {
	case x.sms != nil:
		x.sms.ref = text
		l.arm(x, graceCMGS, func() { l.soft = true; l.end(x, "OK") })
	case x.parts[0].name == "+CPIN" && x.parts[0].form == formRead,
		x.parts[0].name == "+CPMS" && strings.Count(text, ",") >= 8:
		if len(x.parts) == 1 {
			l.arm(x, min(graceCPIN, x.limit), func() { l.soft = true; l.end(x, "OK") })
		}
	}
}

// final takes a final result.
func (l *line) final(canonical string) {
	x := l.cur
	l.debt = max(l.debt-1, 0)
	if l.owed != nil && l.lateFinal(canonical) {
		return
	}
	switch {
	case x == nil:
		l.countStray()
	case x.sms == nil:
		l.end(x, canonical)
	case x.sms.phase == PhaseCommand:
		if canonical == "OK" {
			// Not an answer to AT+CMGS, which gives a prompt or an error.
			l.countStray()
			return
		}
		l.end(x, canonical)
	case x.sms.phase < PhasePDUSent:
		if canonical != "OK" && x.sms.refuse == nil {
			// The modem has left the edit mode: a PDU would be read as a command.
			x.sms.refuse = modemFinal(canonical)
			l.escape = escapeNever
		}
	case x.sms.ref != "":
		l.end(x, "OK") // the network has it, whatever the modem says after that
	case canonical == "OK":
		l.giveUp(x, ErrNoReference)
	default:
		l.end(x, canonical)
	}
}

func (l *line) countStray() {
	l.strays++
	select {
	case l.stray <- struct{}{}:
	default:
	}
}

// end gives at the final result of the exchange in flight.
func (l *line) end(x *exchange, canonical string) {
	l.finish(x)
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
		x.err, l.soft = nil, true
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
	if l.owed == nil {
		l.owed = x
		if x.sms != nil && x.sms.phase == PhasePDUSent {
			l.late, l.told = make(chan Submission, 1), false
		}
	}
	l.end(x, "ERROR")
}

// await keeps a URC until its trailer is there.
func (l *line) await(u *openURC) {
	l.open = u
	u.timer = time.AfterFunc(trailerTimeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open == u {
			l.flush()
			l.split.rest(l.promptWanted, l.prompt)
		}
	})
}

// flush hands the open URC on as it is.
func (l *line) flush() {
	l.open.timer.Stop()
	l.urcs.add(l.open.urc)
	l.open = nil
}

// continues says whether a line is the trailer of the open URC. One that is not
// ends the wait for it: a lost trailer must not swallow what comes next.
func (l *line) continues(text string) bool {
	u := l.open
	_, isFinal := final(text, nil)
	_, _, colon, _ := code(text)
	switch {
	case isFinal || colon:
	case u.quoted:
		u.urc.Line += "\n" + text
		if strings.Count(text, `"`)%2 == 1 || len(u.urc.Line) > maxLine {
			l.flush()
		}
		return true
	case l.isTrailer(text, u.octets):
		u.urc.Trailer = text
		l.flush()
		return true
	}
	l.flush()
	return false
}

// isTrailer says whether a line is the PDU that a URC announced: SMSC octets
// and a TPDU of that many octets. A modem whose length is wrong is believed as
// long as the line cannot be part of an answer.
func (l *line) isTrailer(text string, octets int) bool {
	if !isHex(text) || len(text) < 26 {
		return false
	}
	smsc := unhex(text[0])<<4 | unhex(text[1])
	if octets >= 0 && len(text)/2 == octets+smsc+1 {
		return true
	}
	return l.cur == nil || l.cur.sms != nil || !l.cur.parts[0].informs()
}

func unhex(b byte) int {
	switch {
	case b <= '9':
		return int(b - '0')
	case b <= 'F':
		return int(b-'A') + 10
	}
	return int(b-'a') + 10
}

// Read gives at what is for it.
func (l *line) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.out.Len() == 0 {
		if l.cause != nil {
			return 0, io.EOF
		}
		l.more.Wait()
	}
	return l.out.Read(p)
}

// fail ends the line for good.
func (l *line) fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return
	}
	l.cause = cause
	if l.open != nil {
		l.flush()
	}
	for _, x := range []*exchange{l.next, l.cur} {
		if x != nil && !x.done {
			if x.sms == nil || x.sms.ref == "" {
				x.err = goneError(cause)
			}
			l.finish(x)
		}
	}
	l.closeLate()
	close(l.gone)
	l.more.Broadcast()
}
