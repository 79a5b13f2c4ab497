package at

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A modem that says OK twice to everything is taken as it is; one that stops is not
// waited for.
func TestDoubledOK(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		again := resync(c)
		m.hears("\r")
		for range rounds {
			m.hears("AT\r")
			m.says("\r\nOK\r\n\r\nOK\r\n")
		}
		require.NoError(t, <-again)
		for range 3 {
			began := time.Now()
			done := command(c, "+CSQ", time.Second)
			m.hears("AT+CSQ\r")
			m.says("\r\n+CSQ: 20,99\r\n\r\nOK\r\n")
			require.Equal(t, answer{info: []string{"+CSQ: 20,99"}}, <-done)
			done = command(c, "+CREG?", time.Second)
			m.hearsNothing()
			time.Sleep(50 * time.Millisecond)
			m.says("\r\nOK\r\n") // the second one
			m.hears("AT+CREG?\r")
			require.Less(t, time.Since(began), hush)
			m.says("\r\n+CREG: 0,1\r\n\r\nOK\r\n\r\nOK\r\n")
			require.Equal(t, answer{info: []string{"+CREG: 0,1"}}, <-done)
		}
		again = resync(c)
		m.hears("\r")
		for range rounds {
			m.hears("AT\r")
			m.says("\r\nOK\r\n\r\nOK\r\n")
		}
		require.NoError(t, <-again)
		done := m.sending(c)
		m.says("\r\n+CMGS: 5\r\n\r\nOK\r\n\r\nOK\r\n")
		require.Equal(t, 5, (<-done).MR)
		require.NoError(t, m.exchange(c, "", "OK\r\n").err)
		began := time.Now()
		require.NoError(t, m.exchange(c, "", "OK\r\n").err) // one alone
		require.Equal(t, hush, time.Since(began))
		require.NoError(t, m.exchange(c, "", "OK\r\n").err)
		require.Equal(t, hush, time.Since(began))
	})
}

// A modem that works off old commands two at a time is not one that says OK twice:
// the OK that is still owed would be the next command's. Neither is one of which
// only one is left, as slow as it may be.
func TestDoubledOK_NotAQueueOfOldCommands(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 2900 * time.Millisecond} {
		for away := 8 * time.Second; away < 30*time.Second; away += 1500 * time.Millisecond {
			bubble(t, func(t *testing.T) {
				c, m := start(t, Options{})
				slow := command(c, "+CPMS?", time.Second)
				m.hears("AT+CPMS?\r")
				require.ErrorIs(t, (<-slow).err, ErrTimeout)
				var modem sync.WaitGroup
				modem.Go(func() {
					time.Sleep(away) // what it hears meanwhile waits
					m.says("\r\nOK\r\n")
					worked := 0
					for s := range m.got {
						switch {
						case s == "AT+CGMR\r":
							time.Sleep(pause)
							m.says("\r\nrevision 1\r\n\r\nOK\r\n")
							return
						case strings.HasPrefix(s, "AT"):
							if worked++; worked%2 == 1 {
								time.Sleep(pause)
							}
							m.says("\r\nOK\r\n")
						}
					}
				})
				for tries := 0; c.Resync(t.Context()) != nil; tries++ { // the owner tries again
					require.Less(t, tries, 10)
				}
				a := <-command(c, "+CGMR", time.Minute)
				modem.Wait()
				require.Equal(t, answer{info: []string{"revision 1"}}, a)
			})
		}
	}
}
