package at

import (
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"recado/modem/tty"
)

// wedgedPort takes no octet: a device that has crashed.
type wedgedPort struct{ closed chan struct{} }

func (p *wedgedPort) Read([]byte) (int, error)  { <-p.closed; return 0, io.EOF }
func (p *wedgedPort) Write([]byte) (int, error) { <-p.closed; return 0, io.EOF }
func (p *wedgedPort) Close() error              { close(p.closed); return nil }

// A10, F7: a write that blocks has no end in the library.
func TestPort_AWriteThatBlocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := New(tty.Guard(&wedgedPort{closed: make(chan struct{})}, tty.GuardOptions{}), Options{})
		began := time.Now()
		s := c.Submit(t.Context(), tpdu, opened)
		require.ErrorIs(t, s.Err, ErrGone)
		require.Equal(t, PhaseCommand, s.Phase, "the PDU did not leave")
		require.Equal(t, 5*time.Second, time.Since(began))
		<-c.Gone()
		require.NoError(t, c.Close())
	})
	bubble(t, func(t *testing.T) { // and its owner does not wait for it
		c := New(tty.Guard(&wedgedPort{closed: make(chan struct{})}, tty.GuardOptions{}), Options{})
		done := command(c, "+CSQ", time.Minute)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.Close())
		require.ErrorIs(t, (<-done).err, ErrGone)
		require.Less(t, time.Since(began), time.Second)
	})
}

// A gate or handler that never returns must not keep Close for ever.
func TestClose_AGateThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ours, theirs := io.Pipe()
		defer theirs.Close()
		c := New(&halfPort{ours}, Options{})
		release := make(chan struct{})
		done := submit(t.Context(), c, func() error { <-release; return nil })
		synctest.Wait()
		_, err := io.WriteString(theirs, "\r\n> ")
		require.NoError(t, err)
		synctest.Wait()
		require.ErrorContains(t, c.Close(), "left behind")
		close(release)
		s := <-done
		require.ErrorIs(t, s.Err, ErrGone)
		require.Equal(t, PhaseGate, s.Phase)
	})
}

// halfPort takes everything, and reads what the test writes.
type halfPort struct{ *io.PipeReader }

func (halfPort) Write(p []byte) (int, error) { return len(p), nil }

// The whole of it over a real pty, with a modem that speaks, and then hangs up.
func TestPort_OverAPTY(t *testing.T) {
	master, slave, err := pty.Open()
	require.NoError(t, err)
	name := slave.Name()
	port, err := tty.Open(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, slave.Close())
	urcs := make(chan URC, 1)
	c := New(port, Options{URC: func(u URC) { urcs <- u }})
	pdu := make(chan string, 1)
	ended := make(chan struct{})
	go func() { defer close(ended); ptyModem(master, pdu) }()

	require.NoError(t, c.Resync(t.Context()))
	info, err := c.Command(t.Context(), "+CSQ", 5*time.Second)
	require.NoError(t, err)
	require.Equal(t, []string{"+CSQ: 20,99"}, info)
	s := c.Submit(t.Context(), tpdu, opened)
	require.NoError(t, s.Err)
	require.Equal(t, 42, s.MR)
	require.Equal(t, strings.TrimSuffix(sent, ctrlZ), <-pdu)
	require.Equal(t, URC{Line: "+CDS: 24", Trailer: pduLine}, <-urcs)

	hanging := command(c, "+COPS=?", time.Minute) // the modem hangs up on it
	require.ErrorIs(t, (<-hanging).err, ErrGone)
	<-c.Gone()
	require.NoError(t, c.Close())
	<-ended
}

// ptyModem echoes, as modems do at first, and hangs up when it is to scan.
func ptyModem(master *os.File, pdu chan<- string) {
	defer master.Close()
	var line []byte
	buf := make([]byte, 1)
	for {
		if _, err := master.Read(buf); err != nil {
			return
		}
		if buf[0] != '\r' && buf[0] != 0x1a {
			line = append(line, buf[0])
			continue
		}
		s := string(line)
		line = nil
		io.WriteString(master, s+string(buf))
		switch {
		case buf[0] == 0x1a:
			pdu <- s
			io.WriteString(master, "\r\n+CMGS: 42\r\n\r\nOK\r\n\r\n+CDS: 24\r\n"+pduLine+"\r\n")
		case strings.HasPrefix(s, "AT+CMGS"):
			io.WriteString(master, "\r\n> ")
		case s == "AT+CSQ":
			io.WriteString(master, "\r\n+CSQ: 20,99\r\n\r\nOK\r\n")
		case s == "AT+COPS=?":
			return
		case s != "":
			io.WriteString(master, "\r\nOK\r\n")
		}
	}
}
