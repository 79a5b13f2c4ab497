package at

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// quiet is the silence before AT, and quietMax how long to wait for it on a
	// modem that chatters.
	quiet, quietMax = 500 * time.Millisecond, 5 * time.Second
	// hush is how long a second final result may come after the first; then it
	// belonged to something else.
	hush = 100 * time.Millisecond
	// longHush is the same when the modem may still have commands before it that
	// it has not answered, and answers each as slowly as it may.
	longHush = probeTimeout + 500*time.Millisecond
	// probeTimeout is how long AT alone may take.
	probeTimeout = 3 * time.Second
	// escapeGrace is how long the answer to an ESC may take, if there is one.
	escapeGrace = time.Second
	// rounds of AT must be answered in a row by exactly one OK, and at most
	// probes are tried between two ESC.
	rounds, probes = 3, 8
	// escapes are how often Resync begins again with an ESC.
	escapes = 4
)

// Resync brings the dialogue back into step: silence, then AT until it is
// answered three times in a row by exactly one OK. It ends what was owed, and
// closes LateResult: the owner has waited for that before, because a submission
// that is still open may be disturbed. It may be called at any time, for
// example to find out whether there is a modem at all.
//
// ErrTimeout: the modem is mute or talks nonsense.
func (c *Channel) Resync(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.end()
	// In the edit mode, where nothing was sent, only ESC helps. After a PDU it
	// comes last: when Ctrl-Z was lost, it is what frees the modem.
	// At the start of a channel an earlier program may have left it there.
	escape := c.line.maybeEditing()
	greeted := c.line.onlyEscaped()
	for try := range escapes {
		enough := quiet
		switch {
		case !greeted.IsZero() && try == 0: // Escape has just done that, and drained what came
			enough = 2 * hush
		case escape:
			if err := c.line.sendLoose(esc + "\r"); err != nil {
				return err
			}
		}
		if err := c.silence(ctx, enough); err != nil {
			return err
		}
		if !escape {
			if err := c.line.sendLoose("\r"); err != nil {
				return err
			}
		}
		err := c.probe(ctx, rounds, try > 0)
		if err == nil {
			c.line.settled()
			return nil
		}
		if !errors.Is(err, errOutOfStep) {
			return err
		}
		escape = true
	}
	return fmt.Errorf("resync: %w", ErrTimeout)
}

var errOutOfStep = errors.New("out of step")

// probe gives AT until it has been answered by exactly one OK, clean times in a
// row; else errOutOfStep. A modem that works off a queue of old commands, one
// every few seconds, would look the same, and one that works off two a round like
// one that says OK twice: when there may be such a queue, and always before the
// latter is believed, the last round has a long silence behind it.
func (c *Channel) probe(ctx context.Context, clean int, queue bool) error {
	done, mute, twice := 0, 0, 0
	for range probes {
		before := c.line.strayCount()
		_, err := c.run(ctx, "", probeTimeout)
		switch {
		case errors.Is(err, ErrGone):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrTimeout):
			if mute++; mute == 2 {
				return errOutOfStep
			}
		}
		// A modem that was deaf after its last answer gets more time.
		pause := max(hush*time.Duration(1+2*mute), time.Duration(c.pace.Load()))
		if err := c.wait(ctx, pause); err != nil {
			return err
		}
		strays := c.line.strayCount() - before
		deep := queue || mute > 0 || c.line.owesFinal(clean == 1)
		if err == nil && (strays == 0 && done == clean-1 && deep || strays == 1 && twice == rounds-1) && pause < longHush {
			// What comes in it was asked for before, also when it is one OK.
			if err := c.wait(ctx, longHush-pause); err != nil {
				return err
			}
			came := c.line.strayCount()-before != strays
			if clean == 1 {
				c.line.omits(came)
			}
			if came {
				strays = -1
			}
		}
		if err != nil || strays != 0 {
			done = 0
			// A modem that says OK twice to everything does so each time.
			if twice++; err != nil || strays != 1 {
				twice = 0
			}
			if clean == rounds && twice == rounds {
				c.line.double(true)
				return nil
			}
			continue
		}
		twice = 0
		if done++; done == clean {
			return nil
		}
	}
	return errOutOfStep
}

// settle is a small Resync after something that may have left one OK on its way:
// a gate that refused, an answer without OK. Called with the turn.
func (c *Channel) settle(ctx context.Context) error {
	if err := c.awaitEscaped(ctx); err != nil {
		return err
	}
	err := c.probe(ctx, 1, false)
	switch {
	case err == nil:
		c.line.settled()
		return nil
	case errors.Is(err, errOutOfStep):
		c.line.owe()
		return ErrUnsynced
	}
	return err
}

// Escape sends ESC CR, which ends the edit mode, and swallows what it brings. It
// is refused with ErrUnsynced while a submission is open.
func (c *Channel) Escape(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.end()
	if c.line.submissionOpen() {
		return ErrUnsynced
	}
	c.line.doubt()
	if err := c.line.sendLoose(esc + "\r"); err != nil {
		return err
	}
	c.line.escapedNow()
	return c.wait(ctx, 2*hush)
}

// silence waits until the modem has said nothing for so long, of which what has
// passed since an ESC counts.
func (c *Channel) silence(ctx context.Context, enough time.Duration) error {
	for began := time.Now(); ; {
		since := began
		if escaped := c.line.onlyEscaped(); !escaped.IsZero() {
			since = escaped
		}
		if heard := c.line.heard(); heard.After(since) {
			since = heard
		}
		left := enough - time.Since(since)
		if left <= 0 || time.Since(began) >= quietMax {
			return nil
		}
		if err := c.wait(ctx, left); err != nil {
			return err
		}
	}
}

// awaitEscaped waits for the answer to an ESC: OK, ERROR, or none.
func (c *Channel) awaitEscaped(ctx context.Context) error {
	patience := time.NewTimer(escapeGrace)
	defer patience.Stop()
	for c.line.escapeOpen() {
		select {
		case <-c.line.stray:
		case <-patience.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.line.gone:
			return c.line.goneErr()
		}
	}
	return nil
}

// escapedNow notes that Escape has written its ESC.
func (l *line) escapedNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.escapedAt = time.Now()
}

// sendLoose writes octets that belong to no command.
func (l *line) sendLoose(s string) error {
	l.mu.Lock()
	if l.cause != nil {
		defer l.mu.Unlock()
		return goneError(l.cause)
	}
	l.echo[1] = ""
	l.traceOut(map[string]string{"\r": "<CR>", esc + "\r": "<ESC><CR>"}[s])
	l.mu.Unlock()
	return l.send(s)
}

// settled ends what was owed.
func (l *line) settled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owesAnswer() {
		l.given.giveUp()
		if l.owed.sms.plain {
			l.plain++
		}
	}
	l.closeLate()
	l.owed, l.late, l.soft, l.escaped, l.debt = nil, nil, false, -1, 0
}

// owesAnswer says that the answer to a submission has not come, and may.
func (l *line) owesAnswer() bool {
	x := l.owed
	return x != nil && x.sms != nil && x.sms.phase == PhasePDUSent && x.sms.ref == "" && !l.told
}

// doubt makes the next command settle the dialogue first.
func (l *line) doubt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.soften("")
}

// owe makes the channel hold, though no command is given up on.
func (l *line) owe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed == nil {
		l.owed = &exchange{parts: parts("")}
	}
}

// maybeEditing says whether the modem may be waiting for a PDU that will not come.
func (l *line) maybeEditing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed != nil && l.owed.sms != nil {
		return l.owed.sms.phase < PhasePDUSent || l.owed.sms.earlier && !l.told
	}
	return !l.answered || l.escaped >= 0
}

// onlyEscaped is when the ESC of Escape was written, while nothing else has been on
// this channel; else zero.
func (l *line) onlyEscaped() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes != 1 {
		return time.Time{}
	}
	return l.escapedAt
}

func (l *line) submissionOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.late != nil && !l.told && !l.owed.sms.earlier
}

// escapeOpen says whether an ESC has no answer yet.
func (l *line) escapeOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.escaped >= 0 && l.strays == l.escaped
}

func (l *line) strayCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.strays
}

func (l *line) heard() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastRead
}
