package at

import (
	"context"
	"io"
	"log/slog"
	"time"
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
	// Pace is the least time between a final result and the next command, and
	// AfterPrompt between the prompt and the PDU, for families that need them.
	Pace, AfterPrompt time.Duration
}

// Channel is the AT dialogue with one modem.
type Channel struct{}

// New starts a channel over a guarded port (tty.Open, tty.Guard), which it owns
// from then on.
func New(port io.ReadWriteCloser, o Options) *Channel { return &Channel{} }

// Command runs AT<cmd> and returns its information lines.
func (c *Channel) Command(ctx context.Context, cmd string, timeout time.Duration) ([]string, error) {
	return nil, ErrGone
}

// Submit runs one AT+CMGS with a TPDU (without SMSC octets).
func (c *Channel) Submit(ctx context.Context, tpdu []byte, gate func() error) Submission {
	return Submission{Err: ErrGone}
}

// LateResult gives the answer of a submission that Submit gave up on in
// PhasePDUSent. It is closed by Resync, by the port's end, and at once when
// nothing is owed.
func (c *Channel) LateResult() <-chan Submission { return nil }

// Resync brings the dialogue back into step after ErrTimeout.
func (c *Channel) Resync(ctx context.Context) error { return ErrGone }

// Escape sends ESC CR and swallows what it brings.
func (c *Channel) Escape(ctx context.Context) error { return ErrGone }

// Gone is closed when the port has died or was closed.
func (c *Channel) Gone() <-chan struct{} { return nil }

// Close closes the port and waits for the channel's goroutines.
func (c *Channel) Close() error { return nil }
