package tty

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func listen(t *testing.T, addr string) (net.Listener, chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	conns := make(chan net.Conn, 1)
	go func() {
		if conn, err := l.Accept(); err == nil {
			conns <- conn
		}
		close(conns)
	}()
	t.Cleanup(func() { l.Close() })
	return l, conns
}

func TestTCP_OctetsPassAndTheEndIsGone(t *testing.T) {
	l, conns := listen(t, "127.0.0.1:0")
	port, err := Open(t.Context(), "tcp:"+l.Addr().String())
	require.NoError(t, err)
	modem := <-conns
	_, err = port.Write([]byte("AT\r"))
	require.NoError(t, err)
	got := make([]byte, 3)
	_, err = io.ReadFull(modem, got)
	require.NoError(t, err)
	require.Equal(t, "AT\r", string(got))
	require.NoError(t, modem.Close())
	_, err = port.Read(got)
	require.ErrorIs(t, err, ErrGone)
	_, err = port.Write([]byte("AT\r"))
	require.ErrorIs(t, err, ErrGone)
	require.NoError(t, port.Close())
}

func TestTCP_IPv6(t *testing.T) {
	l, conns := listen(t, "[::1]:0")
	port, err := Open(t.Context(), "tcp:"+l.Addr().String())
	require.NoError(t, err)
	(<-conns).Close()
	require.NoError(t, port.Close())
}

func TestTCP_SaysWhatIsWrong(t *testing.T) {
	l, _ := listen(t, "127.0.0.1:0")
	closed := l.Addr().String()
	l.Close()
	_, err := Open(t.Context(), "tcp:"+closed)
	require.ErrorIs(t, err, ErrAbsent)
	require.ErrorContains(t, err, "nothing listens")
	for _, name := range []string{"tcp:", "tcp:modem", "tcp::7000", "tcp:::1:7000", "tcp:modem:"} {
		_, err := Open(t.Context(), name)
		require.ErrorIs(t, err, ErrName, name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Open(ctx, "tcp:"+closed)
	require.ErrorIs(t, err, context.Canceled)
}

// A peer that reads nothing must not hold the writer.
func TestTCP_AWriteHasADeadline(t *testing.T) {
	l, conns := listen(t, "127.0.0.1:0")
	bare, err := dial(t.Context(), "test", l.Addr().String())
	require.NoError(t, err)
	bare.(*deadlineConn).limit = 100 * time.Millisecond
	g := Guard(bare, GuardOptions{})
	defer g.Close()
	modem := <-conns
	defer modem.Close()
	for err == nil {
		_, err = g.Write(make([]byte, 1<<20))
	}
	require.ErrorIs(t, err, ErrGone)
	require.ErrorContains(t, err, "timeout")
}
