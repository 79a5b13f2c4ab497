package at

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	ctrlZ = "\x1a"
	esc   = "\x1b"
)

// errNotMine ends a write that at has no business to make.
var errNotMine = errors.New("write without a command")

// goneError is what callers get once the port is gone.
func goneError(cause error) error { return fmt.Errorf("%w: %w", ErrGone, cause) }

// Write takes what at writes: a command line, a PDU with its Ctrl-Z, or an ESC.
func (l *line) Write(p []byte) (int, error) {
	s := string(p)
	var err error
	switch {
	case strings.HasPrefix(s, esc):
		err = l.writeEscape()
	case strings.HasSuffix(s, ctrlZ):
		err = l.writePDU(strings.TrimSuffix(s, ctrlZ))
	default:
		err = l.writeCommand(s)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeCommand writes a command line with CR alone behind it: the LF that at
// adds aborts some commands of some modems (V.250 5.6.1).
func (l *line) writeCommand(s string) error {
	l.mu.Lock()
	x := l.next
	if x == nil || x.done || l.cause != nil {
		l.mu.Unlock()
		return errNotMine // what ended x says why
	}
	l.next, l.cur = nil, x
	x.written, x.writtenAt, x.idle = true, time.Now(), x.cmd != "" && l.waking.idle()
	l.debt++
	l.echo = [2]string{"AT" + x.cmd, ""}
	if x.sms != nil {
		x.sms.phase, x.sms.strays = PhaseCommand, l.strays
		l.echo[1] = x.sms.body
	}
	l.arm(x, x.limit, func() { l.giveUp(x, ErrTimeout) })
	s = strings.TrimRight(s, "\r\n")
	l.traceOut(s)
	l.mu.Unlock()
	return l.send(s + "\r")
}

// send writes to the port. A write that fails ends it: nobody knows how much
// the modem has seen.
func (l *line) send(s string) error {
	l.mu.Lock()
	l.waking.wroteAt = time.Now()
	l.writes++
	l.mu.Unlock()
	if _, err := l.port.Write([]byte(s)); err != nil {
		l.fail(err)
		return goneError(err)
	}
	return nil
}

// promptWanted says whether a > at a line's start is the prompt. Not in a text
// over several lines, and never twice for one submission.
func (l *line) promptWanted() bool {
	return l.cur != nil && l.cur.sms != nil && l.cur.sms.phase == PhaseCommand &&
		(l.open == nil || !l.open.quoted)
}

// prompt takes the modem's prompt and gives at the one form that it knows.
func (l *line) prompt() {
	if l.open != nil {
		l.flush() // its PDU line is lost
	}
	l.traceIn(">")
	x := l.cur
	l.waking.heard(x, true)
	x.stage++ // the prompt's timer
	x.timer.Stop()
	x.sms.phase = PhasePrompt
	x.sms.promptAt, x.sms.prompted = l.o.Now(), time.Now()
	l.editing = true
	l.out.WriteString(">")
	l.more.Broadcast()
}

// writePDU is the submit gate. It lets one PDU pass, and only after the gate has
// opened; what it refuses makes at write an ESC.
func (l *line) writePDU(body string) error {
	l.mu.Lock()
	x := l.cur
	if x == nil || x.sms == nil || x.sms.phase != PhasePrompt || body != x.sms.body || !isHex(body) {
		l.editing = false
		l.mu.Unlock()
		return errNotMine
	}
	if x.sms.refuse == nil {
		x.sms.phase, x.sms.asked = PhaseGate, true
		l.mu.Unlock()
		err := l.askGate(x)
		l.mu.Lock()
		// The gate's own word comes first, then what happened meanwhile.
		if err != nil {
			x.sms.refuse = err
		}
	}
	if x.sms.refuse != nil || l.cause != nil {
		if x.sms.refuse != nil {
			x.err = x.sms.refuse
		}
		l.finish(x)
		l.soften("")
		l.mu.Unlock()
		return errNotMine
	}
	x.sms.phase, x.sms.left = PhasePDUSent, time.Now()
	l.editing = false
	l.arm(x, l.o.ResultTimeout, func() { l.giveUp(x, ErrTimeout) })
	l.traceOut(fmt.Sprintf("<PDU of %d octets><Ctrl-Z>", len(body)/2))
	l.mu.Unlock()
	if err := l.send(body + ctrlZ); err != nil {
		return err
	}
	l.mu.Lock()
	x.sms.sentAt = l.o.Now()
	l.mu.Unlock()
	return nil
}

// askGate asks the gate, and keeps the family's pause after the prompt.
func (l *line) askGate(x *exchange) error {
	if x.sms.gate != nil {
		if err := x.sms.gate(); err != nil {
			return err
		}
	}
	if pause := time.Until(x.sms.prompted.Add(l.o.AfterPrompt)); pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.gone:
		}
	}
	return nil
}

// writeEscape writes the ESC that leaves the edit mode, when that is where the
// modem is; at's other escapes are dropped. After Ctrl-Z an ESC could cancel
// what has been sent, or be taken as text.
func (l *line) writeEscape() error {
	l.mu.Lock()
	due := l.editing && l.cause == nil
	l.editing = false
	if due {
		l.escaped = l.strays
		l.traceOut("<ESC>")
	}
	l.mu.Unlock()
	if !due {
		return nil
	}
	return l.send(esc)
}

func (l *line) traceOut(s string) {
	if l.o.Trace != nil {
		l.o.Trace(TraceEntry{At: l.o.Now(), Out: true, Line: redact(s, false)})
	}
}

func (l *line) traceIn(s string) {
	if l.o.Trace == nil {
		return
	}
	l.o.Trace(TraceEntry{At: l.o.Now(), Line: l.redactIn(s)})
}
