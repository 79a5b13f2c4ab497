package console

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// errInterrupted: Ctrl-C. It gives up what is being typed, never the console.
var errInterrupted = errors.New("interrupted")

// lineReader asks a person for lines. At the end of input it gives io.EOF, when nobody typed
// for too long os.ErrDeadlineExceeded.
type lineReader interface {
	ReadLine(prompt string) (string, error)
	ReadPassword(prompt string) (string, error)
	// Key waits until anything is typed.
	Key() error
}

// keyboard is what a person types, byte by byte, with an end to patience.
type keyboard struct {
	rw   io.ReadWriter
	ctx  context.Context
	idle time.Duration
	// interrupted is set by Ctrl-C.
	interrupted atomic.Bool
	pending     []byte
}

const (
	ctrlC = 0x03
	// Ctrl-E, Ctrl-U, Enter: to the line's end, clear it, give it. In place of Ctrl-C, which
	// term.Terminal takes for the end of input.
	clearLine = "\x05\x15\r"
)

// deadliner is a stream whose reads can be bounded: terminals, sockets, pipes.
type deadliner interface{ SetReadDeadline(time.Time) error }

// read fills pending once.
func (k *keyboard) read() error {
	if d, ok := k.rw.(deadliner); ok && k.idle > 0 {
		// A stream that knows no deadlines has no idle logout.
		_ = d.SetReadDeadline(time.Now().Add(k.idle))
	}
	// After the deadline was set: else it would undo the one that ends the session.
	if err := k.ctx.Err(); err != nil {
		return io.EOF
	}
	var buf [256]byte
	n, err := k.rw.Read(buf[:])
	for _, b := range buf[:n] {
		if b == ctrlC {
			k.interrupted.Store(true)
			k.pending = append(k.pending, clearLine...)
			continue
		}
		k.pending = append(k.pending, b)
	}
	if n > 0 {
		return nil
	}
	if k.ctx.Err() != nil {
		return io.EOF
	}
	return err
}

// Read implements io.Reader for term.Terminal. It gives no more than one line at a time, so
// that an interrupted line is seen as such before the next one is read.
func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.pending) == 0 {
		if err := k.read(); err != nil {
			return 0, err
		}
	}
	n := min(len(p), len(k.pending))
	if i := strings.IndexAny(string(k.pending[:n]), "\r\n"); i >= 0 {
		n = i + 1
		// CR LF is one end of line.
		if k.pending[i] == '\r' && n < min(len(p), len(k.pending)) && k.pending[n] == '\n' {
			n++
		}
	}
	copy(p, k.pending[:n])
	k.pending = k.pending[n:]
	return n, nil
}

// Write implements io.Writer.
func (k *keyboard) Write(p []byte) (int, error) { return k.rw.Write(p) }

// Key waits until anything is typed, and forgets it.
func (k *keyboard) Key() error {
	err := k.read()
	k.pending = nil
	k.interrupted.Store(false)
	return err
}

// editor reads lines with history and editing, on a terminal in raw mode.
type editor struct {
	*keyboard
	term *term.Terminal
}

func (e *editor) ReadLine(prompt string) (string, error) {
	e.term.SetPrompt(prompt)
	return e.checked(e.term.ReadLine())
}

func (e *editor) ReadPassword(prompt string) (string, error) {
	return e.checked(e.term.ReadPassword(prompt))
}

func (e *editor) checked(line string, err error) (string, error) {
	if e.interrupted.Swap(false) {
		return "", errInterrupted
	}
	return line, err
}

// typewriter reads lines from what has no cursor: a dumb terminal, or a pipe. The
// kernel, if anybody, does echo and correction.
type typewriter struct {
	*keyboard
	in  *bufio.Reader
	out io.Writer
	// echo switches the terminal's echo; nil when there is none.
	echo func(on bool)
}

func (t *typewriter) ReadLine(prompt string) (string, error) {
	io.WriteString(t.out, prompt)
	line, err := t.in.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	// In cooked mode without signals Ctrl-C stands in the line; keyboard made it clearLine.
	if t.interrupted.Swap(false) {
		return "", errInterrupted
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (t *typewriter) ReadPassword(prompt string) (string, error) {
	if t.echo != nil {
		t.echo(false)
		defer t.echo(true)
	}
	line, err := t.ReadLine(prompt)
	io.WriteString(t.out, "\n")
	return line, err
}

// idleOut says that nobody typed for too long.
func idleOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
