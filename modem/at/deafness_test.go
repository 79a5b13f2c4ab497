package at

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// deafModem answers each command line after delay, and hears nothing for deaf
// after that.
func deafModem(conn net.Conn, delay, deaf time.Duration) {
	var ended time.Time
	var line strings.Builder
	buf := make([]byte, 256)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		line.Write(buf[:n])
		if !strings.HasSuffix(line.String(), "\r") {
			continue
		}
		cmd := strings.Trim(line.String(), "\r\x1b")
		line.Reset()
		if cmd == "" || time.Since(ended) < deaf {
			continue
		}
		time.Sleep(delay)
		io.WriteString(conn, "\r\nOK\r\n")
		ended = time.Now()
	}
}

func TestDeafness(t *testing.T) {
	gaps := []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond}
	for _, c := range []struct{ delay, deaf, want, within time.Duration }{
		{0, 0, 0, 0},
		{10 * time.Millisecond, 0, 0, 20 * time.Millisecond},
		{400 * time.Millisecond, 0, 0, 800 * time.Millisecond}, // slow is not deaf
		{10 * time.Millisecond, 30 * time.Millisecond, 50 * time.Millisecond, 3 * time.Second},
		{10 * time.Millisecond, 80 * time.Millisecond, 100 * time.Millisecond, 4 * time.Second},
		{10 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond, 5 * time.Second},
		{10 * time.Millisecond, 290 * time.Millisecond, 250 * time.Millisecond, 6 * time.Second}, // the best there is
	} {
		bubble(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go deafModem(theirs, c.delay, c.deaf)
			ch := New(ours, Options{})
			defer theirs.Close()
			defer ch.Close()
			require.NoError(t, ch.Resync(t.Context()))
			began := time.Now()
			got, err := ch.Deafness(t.Context(), gaps)
			require.NoError(t, err)
			require.Equal(t, c.want, got, "%+v", c)
			require.LessOrEqual(t, time.Since(began), c.within, "%+v", c)
			time.Sleep(c.deaf)
			_, err = ch.Command(t.Context(), "+CSQ", time.Second)
			require.NoError(t, err, "in step: %+v", c)
		})
	}
}

// A modem that answers late answers what it seemed to have lost: it is slow.
func TestDeafness_LateAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := make(chan error, 1)
		go func() {
			_, err := c.Deafness(t.Context(), []time.Duration{50 * time.Millisecond})
			done <- err
		}()
		m.answersAT(1)
		m.hears("AT\r")
		time.Sleep(deafPatience + deafPause/2)
		m.says("\r\nOK\r\n")
		m.answersAT(2)
		require.ErrorIs(t, <-done, ErrUnsynced)
		_, err := c.Command(t.Context(), "+CSQ", time.Second)
		require.ErrorIs(t, err, ErrUnsynced)
	})
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := make(chan error, 1)
		go func() {
			_, err := c.Deafness(t.Context(), nil)
			done <- err
		}()
		m.hears("AT\r")
		m.conn.Close()
		require.ErrorIs(t, <-done, ErrGone)
	})
}
