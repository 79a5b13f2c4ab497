package emulator

import (
	"io"
	"os"
	"sync"
)

// pipeRoom is how much one direction of a port holds before a write blocks,
// as the kernel's buffer for a tty does.
const pipeRoom = 4096

// pipeHalf is one direction of an in-process port. It waits by condition
// variables only, which testing/synctest knows.
type pipeHalf struct {
	mu      sync.Mutex
	cond    sync.Cond
	buf     []byte
	stopped bool // flow control: the reader takes nothing, writes block at once
	eof     bool // no more writes; what is buffered can be read
	closed  bool // the reader left
}

func newPipeHalf() *pipeHalf {
	h := &pipeHalf{}
	h.cond.L = &h.mu
	return h
}

func (h *pipeHalf) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for (len(h.buf) == 0 || h.stopped) && !h.eof && !h.closed {
		h.cond.Wait()
	}
	if h.closed {
		return 0, os.ErrClosed
	}
	if len(h.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.buf)
	h.buf = h.buf[:copy(h.buf, h.buf[n:])]
	h.cond.Broadcast()
	return n, nil
}

func (h *pipeHalf) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	done := 0
	for {
		if h.eof || h.closed {
			return done, io.ErrClosedPipe
		}
		if room := pipeRoom - len(h.buf); room > 0 && !h.stopped {
			n := min(room, len(p))
			h.buf = append(h.buf, p[:n]...)
			p = p[n:]
			done += n
			h.cond.Broadcast()
		}
		if len(p) == 0 {
			return done, nil
		}
		h.cond.Wait()
	}
}

func (h *pipeHalf) set(change func()) {
	h.mu.Lock()
	change()
	h.cond.Broadcast()
	h.mu.Unlock()
}

// pipeEnd is one end of a buffered duplex port.
type pipeEnd struct{ in, out *pipeHalf }

// newPipe gives both ends of a port. A write returns when the octets are in
// the buffer, as with a tty; it blocks while the buffer is full. After Close of
// the other end, Read gives io.EOF; after Close of one's own, os.ErrClosed.
// Writes give io.ErrClosedPipe after either.
func newPipe() (host, device *pipeEnd) {
	a, b := newPipeHalf(), newPipeHalf()
	return &pipeEnd{in: a, out: b}, &pipeEnd{in: b, out: a}
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }

// Close ends both directions; blocked reads and writes of either end return.
func (p *pipeEnd) Close() error {
	p.in.set(func() { p.in.closed = true })
	p.out.set(func() { p.out.eof = true })
	return nil
}

// stop holds the flow towards this end, or lets it go again.
func (p *pipeEnd) stop(on bool) { p.in.set(func() { p.in.stopped = on }) }
