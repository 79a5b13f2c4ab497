package at

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	warthog "github.com/warthog618/modem/at"
)

// Options of a channel. The zero value is usable.
type Options struct {
	// URC is called with each unsolicited result code, in the order in which
	// they came, from one goroutine. It must not block for long, must not call
	// the channel, and must return once the owner calls Close.
	URC func(URC)
	// Trace is called with each redacted line, in order, under the channel's
	// lock: it must be quick and must not call the channel.
	Trace func(TraceEntry)
	// Log; nil discards.
	Log *slog.Logger
	// Now is the wall clock of the time stamps; time.Now when nil.
	Now func() time.Time
	// PromptTimeout is how long AT+CMGS may wait for its prompt; 10 s when 0.
	PromptTimeout time.Duration
	// ResultTimeout is how long the network's answer may take after Ctrl-Z;
	// 180 s when 0 (NB-IoT wants 420 s).
	ResultTimeout time.Duration
	// Doubt is asked of an error that answers a submission that long after Ctrl-Z:
	// whether the message may have left all the same, and +CMGS may follow. Then it
	// is ErrNoReference, and the error matches too. nil: never.
	Doubt func(err error, after time.Duration) bool
	// References says that this modem is known to answer a submission by +CMGS: an
	// OK without one is not its answer.
	References bool
	// Counted is what the last channel to this modem knew of its references (see
	// Channel.Counted); nil: nothing is known.
	Counted *Counted
	// Wakes says that this modem is known to lose the first octet after a silence.
	Wakes bool
	// Pace is the least time between a final result and the next command, and
	// AfterPrompt between the prompt and the PDU, for families that need them.
	Pace, AfterPrompt time.Duration
}

// Channel is the AT dialogue with one modem. Its methods may be called from any
// goroutine; commands run one after the other.
type Channel struct {
	port  io.ReadWriteCloser
	o     Options
	line  *line
	at    *warthog.AT
	urcs  *urcQueue
	pace  atomic.Int64  // Options.Pace, or what SetPace said since
	turn  chan struct{} // held by the one command that may run
	pump  chan struct{} // closed when the reader of the port has ended
	close sync.Once
	err   error // of Close
}

// New starts a channel over a guarded port (tty.Open, tty.Guard), which it owns
// from then on. What an earlier program left unanswered on the modem is unknown:
// call Resync first.
func New(port io.ReadWriteCloser, o Options) *Channel {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PromptTimeout == 0 {
		o.PromptTimeout = 10 * time.Second
	}
	if o.ResultTimeout == 0 {
		o.ResultTimeout = 180 * time.Second
	}
	urcs := newURCQueue(o.URC, o.Log)
	l := &line{
		port: port, o: o, urcs: urcs,
		stray: make(chan struct{}, 1), gone: make(chan struct{}), lastRead: time.Now(), escaped: -1, referred: o.References,
	}
	if o.Counted != nil {
		l.given = o.Counted.given.clone()
	}
	if o.Wakes {
		l.waking.learn()
	}
	l.more.L = &l.mu
	c := &Channel{port: port, o: o, line: l, urcs: urcs, turn: make(chan struct{}, 1), pump: make(chan struct{})}
	c.pace.Store(int64(o.Pace))
	// No timeout and no guard time of at's own: line ends commands, and at's 20 ms
	// after an ESC would only delay the next command.
	c.at = warthog.New(l, warthog.WithTimeout(-1), warthog.WithEscTime(0))
	go func() {
		defer close(c.pump)
		l.pump()
	}()
	return c
}

// Command runs AT<cmd>, as in Command(ctx, "+CSQ", 3*time.Second; 0 is 3 s), and
// returns its information lines, without unsolicited ones. Errors are CMSError,
// CMEError, *TextError, ErrFailed, ErrTimeout, ErrUnsynced, ErrGone or, for a
// command that may not be given here, ErrInvalid. A context that ends while the
// modem owes the answer counts as ErrTimeout (its cause matches too): the
// channel then holds until Resync.
func (c *Channel) Command(ctx context.Context, cmd string, timeout time.Duration) ([]string, error) {
	if err := checkCommand(cmd); err != nil {
		return nil, err
	}
	if timeout <= 0 {
		timeout = probeTimeout
	}
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	defer c.end()
	return c.run(ctx, cmd, timeout)
}

// checkCommand refuses what would break the dialogue: control characters, and
// commands that send without the gate or bring a prompt.
func checkCommand(cmd string) error {
	for i := range len(cmd) {
		if cmd[i] < ' ' || cmd[i] >= 0x7f {
			return fmt.Errorf("%w: octet %#02x in it", ErrInvalid, cmd[i])
		}
	}
	for _, p := range parts(cmd) {
		switch name := p.name; {
		case p.form == formTest || p.form == formRead:
		case name == "+CMGS", name == "+CMSS", name == "+CMGC", name == "+CMGW":
			return fmt.Errorf("%w: AT%s would go past the submit gate", ErrInvalid, name)
		case name == "+CNMA" && strings.Contains(cmd, ","):
			return fmt.Errorf("%w: AT+CNMA with a PDU", ErrInvalid)
		}
	}
	return nil
}

// begin waits for the turn and for a dialogue that is in step.
func (c *Channel) begin(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	err := c.ready(ctx)
	if err != nil {
		c.end()
	}
	return err
}

// SetPace changes Options.Pace, for a modem that turns out to be deaf for a while
// after each answer.
func (c *Channel) SetPace(d time.Duration) { c.pace.Store(int64(d)) }

// take waits for the turn.
func (c *Channel) take(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.line.gone:
		return c.line.goneErr()
	}
	if err := c.line.goneErr(); err != nil {
		c.end()
		return err
	}
	return nil
}

func (c *Channel) end() { <-c.turn }

func (c *Channel) ready(ctx context.Context) error {
	owes, soft, since := c.line.state()
	if owes {
		return ErrUnsynced
	}
	if soft {
		if err := c.settle(ctx); err != nil {
			return err
		}
	}
	if err := c.awaitSecond(ctx); err != nil {
		return err
	}
	pace := time.Duration(c.pace.Load())
	if pause := time.Until(since.Add(pace)); pace > 0 && pause > 0 {
		if err := c.wait(ctx, pause); err != nil {
			return err
		}
	}
	return c.wake(ctx)
}

// run runs one command. The caller has the turn.
func (c *Channel) run(ctx context.Context, cmd string, timeout time.Duration) ([]string, error) {
	x := &exchange{cmd: cmd, parts: parts(cmd), limit: timeout}
	if err := c.line.prepare(x); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.line.interrupt(x, context.Cause(ctx)) })
	info, err := c.at.Command(cmd)
	stop()
	if ended := c.line.conclude(x); ended != nil {
		return nil, ended
	}
	if err != nil {
		return nil, modemError(err)
	}
	for i, text := range info {
		info[i] = strings.TrimPrefix(text, "\x00")
	}
	return info, nil
}

// wait waits, unless ctx or the port ends before.
func (c *Channel) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.line.gone:
		return c.line.goneErr()
	}
}

// Gone is closed when the port has died or was closed.
func (c *Channel) Gone() <-chan struct{} { return c.line.gone }

// Err says why the port is gone, matching ErrGone; nil while it is not.
func (c *Channel) Err() error { return c.line.goneErr() }

// closeTimeout is how long Close waits for its goroutines when the port's Close
// does not end the read, or a gate or URC handler does not return.
const closeTimeout = 3 * time.Second

// Close closes the port and waits for the channel's goroutines. A command that
// runs ends with ErrGone.
func (c *Channel) Close() error {
	c.close.Do(func() {
		c.line.fail(errClosed)
		c.urcs.close()
		c.err = c.port.Close()
		patience := time.NewTimer(closeTimeout)
		defer patience.Stop()
		for _, done := range []<-chan struct{}{c.pump, c.at.Closed(), c.urcs.ended} {
			select {
			case <-done:
			case <-patience.C:
				c.err = errors.Join(c.err, errors.New("close channel: a goroutine is left behind in the port, a gate or a handler"))
				return
			}
		}
	})
	return c.err
}

var errClosed = errors.New("closed")

// prepare makes x the exchange that at writes next.
func (l *line) prepare(x *exchange) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return goneError(l.cause)
	}
	l.next = x
	return nil
}

// interrupt ends an exchange because its context has ended.
func (l *line) interrupt(x *exchange, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.written && (x.sms == nil || x.sms.phase == PhaseCommand || x.sms.phase == PhasePDUSent) {
		cause = fmt.Errorf("%w: %w", ErrTimeout, cause)
	}
	l.giveUp(x, cause)
}

// conclude says what ended x on our side, nil when the modem did.
func (l *line) conclude(x *exchange) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == x {
		l.next = nil
	}
	return x.err
}

// state is whether an answer is owed, whether a stray OK may come, and when the
// last command ended.
func (l *line) state() (owes, soft bool, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owed != nil, l.soft, l.lastEnd
}

func (l *line) goneErr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		return nil
	}
	return goneError(l.cause)
}
