package emulator

import (
	"errors"
	"io"
	"sync"
	"time"
)

// lineLimit is the longest command line; a longer one is answered ERROR.
const lineLimit = 2048

// rxRoom is how much the modem buffers while it is busy.
const rxRoom = 8192

// outRoom is how many pieces of output wait for a host that does not read; what
// comes then is lost, as on a line without flow control.
const outRoom = 1024

var errUnplugged = errors.New("the modem's port is gone")

// chunk is what one Read gave, and when.
type chunk struct {
	b  []byte
	at time.Time
}

// piece is output with the moment its last octet has left the modem.
type piece struct {
	b    []byte
	at   time.Time
	done chan<- struct{} // closed when everything before has been written
}

// unsolicited is a result code that nobody asked for.
type unsolicited struct {
	line, trailer string
}

// session is one opening of the modem's port. One goroutine (run) owns it and
// executes the commands; a reader and a writer serve it. Everyone else only
// posts unsolicited result codes or ends it.
type session struct {
	m  *Modem
	rw io.ReadWriter

	in    chan chunk
	out   chan piece
	wake  chan struct{} // unsolicited result codes are waiting
	done  chan struct{} // closed by end
	ended chan struct{} // closed when nothing of the session runs any more

	mu    sync.Mutex // guards what follows
	err   error
	urcs  []unsolicited
	flow  sync.Cond // of mu
	stuck bool
	chat  []*time.Timer

	// Of the goroutine that runs the session.
	octet  time.Duration // the time of one octet on the line; 0: unpaced
	rx     []byte        // read and not yet looked at
	rxAt   time.Time     // when the last octet looked at had arrived
	txFree time.Time     // when the line to the host is free
	due    time.Time     // when the last wait should have ended
	echo   []byte        // to be echoed
	line   []byte        // the command line so far
	last   string        // for A/
	answer []string      // information text of the running command line
	cmd    string        // the running command line, upper case, without AT
	// answered is when the last answer had gone.
	answered time.Time
	// measured is the submission that goes on, for the network's Timings.
	measured Timing
}

func newSession(m *Modem, rw io.ReadWriter) *session {
	s := &session{
		m: m, rw: rw,
		in: make(chan chunk, 16), out: make(chan piece, outRoom),
		wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
	}
	s.flow.L = &s.mu
	if baud := m.net.o.Baud; baud > 0 {
		s.octet = 10 * time.Second / time.Duration(baud)
	}
	return s
}

// inProcess: the host is in this process, by Modem.Open.
func (s *session) inProcess() bool {
	_, ok := s.rw.(*pipeEnd)
	return ok
}

// run is the session's life. It returns when the port is closed or gone.
func (s *session) run() {
	var wg sync.WaitGroup
	wg.Go(s.read)
	wg.Go(s.write)
	s.startChatter()
	if f, ok := s.m.fault("", FaultStuckReader); ok {
		s.stick(f.Delay)
	}
	s.m.net.poke(s.m)
	s.loop()
	s.end(io.EOF)
	wg.Wait()
	s.m.detach(s)
	close(s.ended)
}

// end ends the session from anywhere; the first reason counts.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.done)
	s.flow.Broadcast()
	for _, t := range s.chat {
		t.Stop()
	}
	if c, ok := s.rw.(io.Closer); ok {
		_ = c.Close()
	}
}

func (s *session) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

func (s *session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// read hands over what the host writes, with the time it came.
func (s *session) read() {
	defer close(s.in)
	buf := make([]byte, 4096)
	for {
		s.mu.Lock()
		for s.stuck && s.err == nil {
			s.flow.Wait()
		}
		s.mu.Unlock()
		n, err := s.rw.Read(buf)
		if n > 0 {
			select {
			case s.in <- chunk{b: append([]byte(nil), buf[:n]...), at: time.Now()}:
			case <-s.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// write lets each piece go when its time has come.
func (s *session) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	deaf := false
	for {
		select {
		case <-s.done:
			return
		case p := <-s.out:
			if d := time.Until(p.at); d > 0 {
				timer.Reset(d)
				select {
				case <-timer.C:
				case <-s.done:
					return
				}
			}
			// When the host has left, what it wrote is still carried out: the
			// reader says when that is all.
			if len(p.b) > 0 && !deaf {
				_, err := s.rw.Write(p.b)
				deaf = err != nil
			}
			if p.done != nil {
				close(p.done)
			}
		}
	}
}

// send puts octets on the line to the host; they are there when the last one
// has been transmitted. since is when the first one could begin.
func (s *session) send(b []byte, since time.Time) {
	if len(b) == 0 {
		return
	}
	s.measured.Out += len(b)
	if s.octet > 0 {
		if s.txFree.Before(since) {
			s.txFree = since
		}
		s.txFree = s.txFree.Add(time.Duration(len(b)) * s.octet)
	}
	select {
	case s.out <- piece{b: b, at: s.txFree}:
	default: // the host does not read
	}
}

// drain waits until everything sent has been written.
func (s *session) drain() {
	written := make(chan struct{})
	select {
	case s.out <- piece{at: s.txFree, done: written}:
	case <-s.done:
		return
	}
	select {
	case <-written:
	case <-s.done:
	}
}

// wait waits until t; with urcs, unsolicited result codes go out meanwhile. It
// is false when the session ended.
func (s *session) wait(t time.Time, urcs bool) bool {
	s.due = t
	d := time.Until(t)
	if d <= 0 {
		return !s.over()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	var wake <-chan struct{}
	if urcs {
		wake = s.wake
	}
	// The host's leaving is seen as the end of its input; what it writes
	// meanwhile waits.
	for {
		in := s.in
		if len(s.rx) > rxRoom {
			in = nil
		}
		select {
		case <-timer.C:
			return true
		case <-wake:
			s.sendUnsolicited()
		case c, ok := <-in:
			if !ok {
				s.end(io.EOF)
				return false
			}
			s.took(c)
		case <-s.done:
			return false
		}
	}
}

// moment is the time right after a wait: when it should have ended, so that
// late timers do not add up; now, when it ended much later.
func (s *session) moment() time.Time {
	now := time.Now()
	if late := now.Sub(s.due); late >= 0 && late < 100*time.Millisecond {
		return s.due
	}
	return now
}

// took adds a chunk to what is to be looked at.
func (s *session) took(c chunk) {
	s.rx = append(s.rx, c.b...)
	if s.rxAt.Before(c.at) {
		s.rxAt = c.at
	}
}

// next is the next octet from the host; false when the session ended.
func (s *session) next(urcs bool) (byte, bool) {
	var wake <-chan struct{}
	if urcs {
		wake = s.wake
	}
	for len(s.rx) == 0 {
		if s.sendEcho(); len(s.rx) > 0 {
			break // it came while the echo waited for the line
		}
		select {
		case c, ok := <-s.in:
			if !ok {
				s.end(io.EOF)
				return 0, false
			}
			s.took(c)
		case <-wake:
			s.sendUnsolicited()
		case <-s.done:
			return 0, false
		}
	}
	b := s.rx[0]
	s.rx = s.rx[1:]
	s.rxAt = s.rxAt.Add(s.octet)
	s.measured.In++
	return b, true
}

// sendEcho echoes what has come. The echo of an octet begins when the octet is
// complete, so that it ends one octet after the last.
func (s *session) sendEcho() {
	if len(s.echo) == 0 {
		return
	}
	if s.wait(s.rxAt, false) {
		s.send(s.echo, s.rxAt.Add(-time.Duration(len(s.echo)-1)*s.octet))
	}
	s.echo = nil
}

// loop reads command lines and has them executed.
func (s *session) loop() {
	for {
		b, ok := s.next(true)
		if !ok {
			return
		}
		if s.m.echoes() {
			s.echo = append(s.echo, b)
		}
		switch {
		case b == '\r':
			line := string(s.line)
			s.line = s.line[:0]
			s.sendEcho()
			if !s.wait(s.rxAt, false) {
				return
			}
			s.commandLine(line)
		case b == '\b' || b == 0x7f:
			s.line = s.line[:max(len(s.line)-1, 0)]
		case b == 0x1b:
			s.line = s.line[:0]
		case b >= 0x20 && len(s.line) <= lineLimit:
			s.line = append(s.line, b)
		}
	}
}
