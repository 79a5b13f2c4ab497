package at

import (
	"bytes"
	"fmt"
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
	graceCMGS = time.Second
	// graceBare is how long +CMGS may come after an OK that it should precede.
	graceBare = 3 * time.Second
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

	next     *exchange       // prepared, at has not written it yet
	cur      *exchange       // in flight
	owed     *exchange       // given up on, its answer may still come: the channel holds
	late     chan Submission // of owed, when its PDU was sent; nil else
	told     bool            // late has been closed
	answered bool            // the modem has answered a command on this channel
	soft     bool            // a stray OK may still come: settle before the next command
	omitted  omitted

	referred  bool // a submission has been answered by +CMGS
	waking    waking
	doubling  doubling
	given     given     // the references
	plain     int       // submissions in a row that got ERROR, and nothing after it
	strayRef  time.Time // when a +CMGS came that no submission waits for, and its OK has not
	foreignAt time.Time // when something last came that nobody here had asked for

	open   *openURC  // waits for its trailer
	echoes int       // lines that were echoes
	echo   [2]string // the last command line and PDU, which ATE1 brings back

	debt      int           // command lines written that no final result has followed
	strays    int           // final results that belonged to nobody
	stray     chan struct{} // a hint that strays has grown
	lastRead  time.Time
	lastEnd   time.Time // of the last command
	editing   bool      // the modem waits for a PDU that may not come: an ESC of at is due
	escaped   int       // strays when an ESC was written; -1 when none waits for its answer
	writes    int       // to the port
	escapedAt time.Time // when Escape has written its ESC

	cause error // why it is gone
	gone  chan struct{}
}

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
		l.echoes++
		return
	}
	l.sort(text)
}

// sort is take without the trace, also for lines that are looked at again.
func (l *line) sort(text string) {
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
		l.strayRef = time.Time{}
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
	if name, _, _, _ := code(text); name == "+CUSD" && !closed(text) {
		l.await(&openURC{urc: URC{Line: text}, quoted: true})
		return
	}
	if name, _, colon, _ := code(text); colon && name == "+CMGS" {
		l.outside(text)
	} else if unasked(text) {
		l.noteForeign()
	}
	l.urcs.add(URC{Line: text})
}

// foreignFor is how long a line that answers another program's command casts
// doubt on what comes after it.
const foreignFor = 30 * time.Second

// noteForeign notes that another program has an exchange on this port.
func (l *line) noteForeign() {
	l.foreignAt = time.Now()
	for _, x := range []*exchange{l.cur, l.owed} {
		if x != nil && x.sms != nil {
			x.sms.foreign = true
		}
	}
}

// doubted says that a final result that is not +CMS ERROR may be the answer to
// another program's command, rather than to this submission.
func (l *line) doubted(x *exchange) bool {
	return x.sms.foreign || x.sms.bare || l.strays != x.sms.strays ||
		!l.foreignAt.IsZero() && time.Since(l.foreignAt) < foreignFor
}

// bareIsOurs says whether an OK without +CMGS is this submission's: nothing else
// waits for one, no other program shows, and the modem has given no submission a
// reference before (TS 27.005 4.3 has +CMGS before the OK).
func (l *line) bareIsOurs(x *exchange) bool {
	return !l.referred && !x.sms.foreign && l.escaped < 0 && l.debt == 0 && l.strays == x.sms.strays &&
		(l.foreignAt.IsZero() || time.Since(l.foreignAt) >= foreignFor)
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

// Echoes counts the echoes of commands that have come. A modem that was told ATE0
// and echoes again has forgotten it, and all else.
func (c *Channel) Echoes() int {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	return c.line.echoes
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
	if x.sms != nil && !l.claims(x, text) {
		return
	}
	x.size += len(text)
	if x.size > maxInfo {
		l.giveUp(x, errFlood)
		return
	}
	l.out.WriteString("\x00" + text + "\n")
	l.more.Broadcast()
	switch {
	case x.sms != nil:
		l.refers(x, text)
		l.given.usual = time.Since(x.sms.left)
		if x.sms.bare { // its OK came before it
			l.soften("")
			l.end(x, "OK")
			return
		}
		l.arm(x, graceCMGS, func() { l.soften("+CMGS"); l.end(x, "OK") })
	case x.parts[0].name == "+CPIN" && x.parts[0].form == formRead,
		x.parts[0].name == "+CPMS" && strings.Count(text, ",") >= 8:
		if len(x.parts) == 1 {
			l.arm(x, min(graceCPIN, x.limit), func() { l.soften(x.parts[0].name); l.end(x, "OK") })
		}
	}
}

// refers takes the +CMGS of a submission.
func (l *line) refers(x *exchange, text string) {
	x.sms.ref = text
	mr, _ := reference(text)
	l.given.accept(mr)
	if mr >= 0 {
		if x.sms.plain {
			l.plain = 0
		}
		l.referred = true
	}
}

// final takes a final result.
func (l *line) final(canonical string) {
	if l.swallows(canonical) {
		return
	}
	x := l.cur
	if x != nil {
		l.waking.heard(x, canonical != "ERROR")
	}
	l.debt = max(l.debt-1, 0)
	l.answered = l.answered || canonical == "OK"
	if l.owed != nil && l.lateFinal(canonical) || l.pairs(canonical) {
		return
	}
	switch {
	case x == nil:
		l.countStray()
	case x.sms == nil:
		delete(l.omitted.times, x.parts[0].name)
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
			l.editing = false
		}
	case x.sms.ref != "":
		delete(l.omitted.times, "+CMGS")
		l.end(x, "OK") // the network has it, whatever the modem says after that
	case canonical == "OK" && x.sms.held != "" && !x.sms.heldOK:
		x.sms.heldOK = true
	case canonical == "OK" && (x.sms.bare || x.sms.held != ""):
		l.countStray()
	case canonical == "OK" && !l.bareIsOurs(x):
		// Another's, or the reference comes behind it.
		x.sms.bare = true
		l.arm(x, graceBare, func() { l.giveUp(x, ErrNoReference) })
	case canonical == "OK":
		// Success, and the reference was left out or comes late. When something
		// shows meanwhile that others talk here, it was perhaps theirs.
		x.sms.bare = true
		l.arm(x, graceBare, func() {
			if x.sms.foreign {
				l.giveUp(x, ErrNoReference)
				return
			}
			l.soften("")
			l.end(x, "OK")
		})
	case canonical == "ERROR" && l.referred && l.plain < plainToBelieve:
		x.sms.plain = true
		l.giveUp(x, ErrNoReference)
	case !isCMS(canonical) && (x.sms.held != "" || l.doubted(x)):
		l.giveUp(x, ErrNoReference)
	case canonical != "OK" && l.o.Doubt != nil && l.o.Doubt(modemFinal(canonical), time.Since(x.sms.left)):
		l.giveUp(x, fmt.Errorf("%w: %w", ErrNoReference, modemFinal(canonical)))
	default:
		if x.sms.held != "" && x.sms.heldAs == doubtful {
			// Then that was the earlier one's answer.
			mr, _ := reference(x.sms.held)
			l.given.accept(mr)
		}
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
