package at

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An earlier program may have left the modem in the edit mode.
func TestResync_TheFirstOfAChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		c := New(ours, Options{})
		defer theirs.Close()
		defer c.Close()
		buf := make([]byte, 64)
		done := resync(c)
		for _, want := range []string{"\x1b\r", "AT\r", "AT\r", "AT\r"} {
			n, err := theirs.Read(buf)
			require.NoError(t, err)
			require.Equal(t, want, string(buf[:n]))
			if n == 3 {
				io.WriteString(theirs, "\r\nOK\r\n")
			}
		}
		began := time.Now()
		require.NoError(t, <-done)
		require.Equal(t, hush, time.Since(began))
	})
}

// What Escape has written and drained is not done once more: the line comes up half
// a second sooner. Who speaks meanwhile gets the silence.
func TestResync_AfterEscape(t *testing.T) {
	for chatters, took := range map[bool]time.Duration{false: 0, true: 2 * hush} {
		bubble(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			c := New(ours, Options{})
			defer theirs.Close()
			defer c.Close()
			escaped := make(chan error, 1)
			go func() { escaped <- c.Escape(context.Background()) }()
			buf := make([]byte, 64)
			n, err := theirs.Read(buf)
			require.NoError(t, err)
			require.Equal(t, "\x1b\r", string(buf[:n]))
			require.NoError(t, <-escaped)
			if chatters {
				io.WriteString(theirs, "\r\nRDY\r\n")
			}
			began := time.Now()
			done := resync(c)
			for range rounds {
				n, err = theirs.Read(buf)
				require.NoError(t, err)
				require.Equal(t, "AT\r", string(buf[:n]))
				io.WriteString(theirs, "\r\nOK\r\n")
			}
			require.NoError(t, <-done)
			require.Equal(t, took+rounds*hush, time.Since(began))
		})
	}
}

// A3: and one that is later than the silence makes the round unclean.
func TestResync_AnAnswerAmongTheRounds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		slow := command(c, "+CREG?", time.Second)
		m.hears("AT+CREG?\r")
		require.ErrorIs(t, (<-slow).err, ErrTimeout)
		done := resync(c)
		m.hears("\r")
		m.answersAT(1)
		m.hears("AT\r")
		m.says("\r\n+CREG: 2,1\r\n\r\nOK\r\n") // the old answer ends this AT …
		m.says("\r\nOK\r\n")                   // … and its own OK is one too many
		m.answersAT(2)
		m.hears("AT\r")
		select {
		case err := <-done:
			require.Fail(t, "in step after two clean rounds", "%v", err)
		default:
		}
		m.says("\r\nOK\r\n")
		require.NoError(t, <-done)
		require.Empty(t, m.gotURCs(), "the old answer looks like the unsolicited state 2")
	})
}

// A modem that was away works off the commands of meanwhile, one every two
// seconds: each AT of a round seems to be answered once.
func TestResync_AQueueOfOldCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		slow := command(c, "+CPMS?", time.Second)
		m.hears("AT+CPMS?\r")
		require.ErrorIs(t, (<-slow).err, ErrTimeout)
		var modem sync.WaitGroup
		modem.Go(func() {
			time.Sleep(8 * time.Second) // away; what it hears meanwhile waits
			m.says("\r\nOK\r\n")        // to AT+CPMS?
			for s := range m.got {
				switch {
				case s == "AT+CGMR\r":
					m.says("\r\nrevision 1\r\n\r\nOK\r\n")
					return
				case strings.HasPrefix(s, "AT"):
					time.Sleep(2 * time.Second)
					m.says("\r\nOK\r\n")
				}
			}
		})
		for tries := 0; c.Resync(t.Context()) != nil; tries++ { // the owner tries again
			require.Less(t, tries, 3)
		}
		a := <-command(c, "+CGMR", time.Minute)
		modem.Wait()
		require.Equal(t, answer{info: []string{"revision 1"}}, a)
	})
}

func TestResync_AMuteModem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		require.ErrorIs(t, c.Resync(t.Context()), ErrTimeout)
		escapes := 0
		for len(m.got) > 0 {
			if strings.HasPrefix(<-m.got, esc) {
				escapes++
			}
		}
		require.Equal(t, 3, escapes)
		_, err := c.Command(t.Context(), "", time.Second)
		require.ErrorIs(t, err, ErrUnsynced)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, c.Resync(ctx), context.DeadlineExceeded)
		done := resync(c)
		<-m.got
		for len(m.got) > 0 {
			<-m.got
		}
		m.hears("\r")
		m.answersAT(3)
		require.NoError(t, <-done)
	})
}

// A chattering modem never falls silent; Resync must not wait for it for ever.
func TestResync_Chatter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		stop := make(chan struct{})
		var chatter sync.WaitGroup
		chatter.Go(func() {
			for tick := time.NewTicker(50 * time.Millisecond); ; {
				select {
				case <-tick.C:
					m.says("\r\n^RSSI: 20\r\n")
				case <-stop:
					tick.Stop()
					return
				}
			}
		})
		done := resync(c)
		m.hears("\r")
		m.answersAT(3)
		require.NoError(t, <-done)
		close(stop)
		chatter.Wait()
		require.NotEmpty(t, m.gotURCs())
	})
}
