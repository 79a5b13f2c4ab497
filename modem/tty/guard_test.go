package tty

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// stuckPort is a device whose writes hang until reset or close frees them, or
// not even then.
type stuckPort struct {
	mu     sync.Mutex
	writes int
	freed  chan struct{} // ends the write
	closed chan struct{}
	once   sync.Once
}

func newStuckPort() *stuckPort {
	return &stuckPort{freed: make(chan struct{}), closed: make(chan struct{})}
}

func (p *stuckPort) Read([]byte) (int, error) { <-p.closed; return 0, io.EOF }
func (p *stuckPort) Write([]byte) (int, error) {
	p.mu.Lock()
	p.writes++
	p.mu.Unlock()
	<-p.freed
	return 0, errors.New("input/output error")
}
func (p *stuckPort) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

func TestGuard_AStuckWriteEndsAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bare := newStuckPort()
		resets := 0
		g := Guard(bare, GuardOptions{Reset: func() error { resets++; close(bare.freed); return nil }})
		start := time.Now()
		_, err := g.Write([]byte("AT\r"))
		require.ErrorIs(t, err, ErrGone)
		require.Equal(t, 5*time.Second, time.Since(start))
		_, err = g.Read(make([]byte, 1))
		require.ErrorIs(t, err, ErrGone)
		_, err = g.Write([]byte("AT\r"))
		require.ErrorIs(t, err, ErrGone)
		require.NoError(t, g.Close())
		require.Equal(t, 1, resets)
		require.Equal(t, 1, bare.writes, "nothing is written to a dead port")
	})
}

// A write that not even closing frees is left behind; its owner goes on.
func TestGuard_AWedgedDeviceDoesNotHoldItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bare := newStuckPort()
		g := Guard(bare, GuardOptions{})
		start := time.Now()
		_, err := g.Write([]byte("AT\r"))
		require.ErrorIs(t, err, ErrGone)
		require.ErrorContains(t, g.Close(), "wedged")
		require.Less(t, time.Since(start), 7*time.Second)
		close(bare.freed) // unplugged at last
		synctest.Wait()
	})
}

func TestGuard_CloseFreesAWriteInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe() // nobody reads theirs: the write hangs until Close
		defer theirs.Close()
		g := Guard(ours, GuardOptions{})
		wrote := make(chan error)
		go func() {
			_, err := g.Write([]byte("AT\r"))
			wrote <- err
		}()
		synctest.Wait()
		start := time.Now()
		require.NoError(t, g.Close())
		require.ErrorIs(t, <-wrote, ErrGone)
		require.Less(t, time.Since(start), time.Second)
	})
}

// shortPort takes one octet of each write and says that all is well.
type shortPort struct{ *stuckPort }

func (shortPort) Write([]byte) (int, error) { return 1, nil }

func TestGuard_AShortWriteEndsThePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := Guard(shortPort{newStuckPort()}, GuardOptions{})
		_, err := g.Write([]byte("AT\r"))
		require.ErrorIs(t, err, ErrGone)
		require.ErrorIs(t, err, io.ErrShortWrite)
		require.NoError(t, g.Close())
	})
}

func TestGuard_WritersTakeTurnsAndRacesWithCloseAreSafe(t *testing.T) {
	ours, theirs := net.Pipe()
	read := make(chan int)
	go func() {
		n, _ := io.Copy(io.Discard, theirs)
		read <- int(n)
	}()
	g := Guard(ours, GuardOptions{})
	var writers sync.WaitGroup
	sent := make(chan int, 8)
	for range 8 {
		writers.Go(func() {
			n := 0
			for {
				k, err := g.Write([]byte("0123456789"))
				n += k
				if err != nil {
					break
				}
			}
			sent <- n
		})
	}
	require.Eventually(t, func() bool { k, err := g.Write([]byte("x")); return k == 1 && err == nil }, time.Second, time.Millisecond)
	require.NoError(t, g.Close())
	writers.Wait()
	theirs.Close()
	total := <-read
	close(sent)
	claimed := 0
	for n := range sent {
		claimed += n
	}
	require.GreaterOrEqual(t, total, claimed, "a write said done that was not")
}

// numberedPort is a bare descriptor: a write after Close would hit whatever has
// its number by then.
type numberedPort struct {
	mu     sync.Mutex
	closed bool
	stray  bool
}

func (p *numberedPort) Read([]byte) (int, error) { return 0, io.EOF }
func (p *numberedPort) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stray = p.stray || p.closed
	return len(b), nil
}
func (p *numberedPort) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// §1.5: a write that was handed over just before Close must not begin after it.
func TestGuard_NoWriteBeginsAfterClose(t *testing.T) {
	taken := 0
	for range 100 {
		bare := &numberedPort{}
		g := newGuard(bare, GuardOptions{})
		g.fail(errClosed)
		<-g.closed
		go g.writer() // it finds the end and the write, and may take either
		select {
		case g.work <- []byte("AT+CMGS=20\r"):
			require.ErrorIs(t, (<-g.written).err, errClosed)
			taken++
		case <-g.ended:
		}
		<-g.ended
		require.False(t, bare.stray)
	}
	require.NotZero(t, taken, "no write was handed over, the test proves nothing")
}
