package tty

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// GuardOptions of Guard. The zero value is usable.
type GuardOptions struct {
	// WriteTimeout is how long one Write may take before the port is dead; 5 s
	// when 0.
	WriteTimeout time.Duration
	// Reset throws away what the device has not taken yet, to free a stuck
	// write; nil when the port has no such thing.
	Reset func() error
}

// closeGrace is how long Close waits for a write or a close that hangs in the
// kernel, before it leaves them behind.
const closeGrace = time.Second

// Guard puts the guard of Open around any port. A write that takes too long, and
// any error of a read or write, end the port for good: it is closed, and Read
// and Write return an error that matches ErrGone.
//
// The port's Close may be called while a Write hangs in it.
func Guard(port io.ReadWriteCloser, o GuardOptions) io.ReadWriteCloser {
	g := newGuard(port, o)
	go g.writer()
	return g
}

func newGuard(port io.ReadWriteCloser, o GuardOptions) *guard {
	g := &guard{
		port:    port,
		options: o,
		turn:    make(chan struct{}, 1),
		work:    make(chan []byte),
		written: make(chan result, 1),
		writing: make(chan struct{}, 1),
		gone:    make(chan struct{}),
		ended:   make(chan struct{}),
		closed:  make(chan struct{}),
	}
	if g.options.WriteTimeout == 0 {
		g.options.WriteTimeout = writeTimeout
	}
	return g
}

type result struct {
	n   int
	err error
}

type guard struct {
	port    io.ReadWriteCloser
	options GuardOptions

	turn    chan struct{} // held by the Write in progress
	work    chan []byte   // to the writer goroutine
	written chan result   // from it; buffered, so that a late one is left behind
	writing chan struct{} // held around every write of the port, and its close

	end      sync.Once
	cause    error         // why it is gone; set before gone is closed
	gone     chan struct{} // closed: no write begins any more
	ended    chan struct{} // closed when the writer goroutine has ended
	closed   chan struct{} // closed when the port has been closed
	closeErr error         // of that close; set before closed is closed
}

// errClosed is the cause when the owner closed the port.
var errClosed = errors.New("closed")

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.port.Read(p)
	if err == nil {
		return n, nil
	}
	g.fail(err)
	return n, g.goneError()
}

func (g *guard) Write(p []byte) (int, error) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-g.gone:
		return 0, g.goneError()
	}
	// A copy: a write that is left behind must not read the caller's buffer.
	select {
	case g.work <- slices.Clone(p):
	case <-g.gone:
		return 0, g.goneError()
	}
	watchdog := time.NewTimer(g.options.WriteTimeout)
	defer watchdog.Stop()
	select {
	case r := <-g.written:
		if r.err == nil && r.n < len(p) {
			r.err = io.ErrShortWrite
		}
		if r.err != nil {
			g.fail(r.err)
			return r.n, g.goneError()
		}
		return r.n, nil
	case <-watchdog.C:
		g.fail(fmt.Errorf("it took no octet for %v", g.options.WriteTimeout))
	case <-g.gone:
	}
	return 0, g.goneError()
}

// writer does the writes, so that one which hangs in the kernel holds nobody
// else. It ends with the port.
func (g *guard) writer() {
	defer close(g.ended)
	for {
		select {
		case p := <-g.work:
			g.writing <- struct{}{}
			var r result
			select {
			case <-g.gone:
				// Closed since: the descriptor's number may be a file by now.
				r.err = errClosed
			default:
				r.n, r.err = g.port.Write(p)
			}
			<-g.writing
			g.written <- r
		case <-g.gone:
			return
		}
	}
}

// fail ends the port: no write begins any more, and the port is closed.
func (g *guard) fail(cause error) {
	g.end.Do(func() {
		g.cause = cause
		close(g.gone)
		go g.shut()
	})
}

// shut closes the port after a write in progress, which Reset may free; when it
// does not, under it.
func (g *guard) shut() {
	defer close(g.closed)
	select {
	case g.writing <- struct{}{}:
		defer func() { <-g.writing }()
	default:
		if g.options.Reset != nil {
			g.options.Reset() // on a device that is gone it fails, and need not
		}
		patience := time.NewTimer(closeGrace / 10)
		defer patience.Stop()
		select {
		case g.writing <- struct{}{}:
			defer func() { <-g.writing }()
		case <-patience.C:
		}
	}
	g.closeErr = g.port.Close()
}

// Close closes the port and waits for its goroutines; an error says that the
// device holds one in the kernel, until it is unplugged.
func (g *guard) Close() error {
	g.fail(errClosed)
	patience := time.NewTimer(closeGrace)
	defer patience.Stop()
	for _, done := range []chan struct{}{g.closed, g.ended} {
		select {
		case <-done:
		case <-patience.C:
			return errors.New("close port: the device is wedged, a write is left behind until it is unplugged")
		}
	}
	return g.closeErr
}

func (g *guard) goneError() error {
	<-g.gone
	return fmt.Errorf("%w: %w", ErrGone, g.cause)
}
