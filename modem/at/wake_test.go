package at

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A modem that loses the first octet after a silence is given a CR to lose; one
// that heals is tried without.
func TestWake(t *testing.T) {
	for _, says := range []string{"", "\r\nERROR\r\n"} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			for range idleLosses {
				require.False(t, c.Wakes())
				time.Sleep(2 * time.Second)
				done := command(c, "+CSQ", 3*time.Second)
				m.hears("AT+CSQ\r")
				m.says(says)
				require.Error(t, (<-done).err)
				if says == "" {
					again := resync(c)
					m.hears("\r")
					m.answersAT(3)
					require.NoError(t, <-again)
				}
			}
			require.True(t, c.Wakes())
			time.Sleep(2 * time.Second)
			done := command(c, "+CSQ", 3*time.Second)
			m.hears("\r")
			m.hears("AT+CSQ\r")
			m.says("\r\n+CSQ: 20,99\r\n\r\nOK\r\n")
			require.NoError(t, (<-done).err)
			require.Equal(t, answer{}, m.exchange(c, "", "OK\r\n"), "no silence, no CR")
			time.Sleep(2 * time.Second)
			sub := submit(t.Context(), c, func() error { time.Sleep(3 * time.Second); return nil })
			m.hears("\r")
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent) // and nothing else in the edit mode
			m.refers(1)
			require.NoError(t, (<-sub).Err)
			time.Sleep(wakeFirst)
			require.False(t, c.Wakes())
			require.Equal(t, answer{}, m.exchange(c, "", "OK\r\n"))
		})
	}
}

// One command lost now and then says nothing, nor do lost ones that follow at once.
func TestWake_NotForChance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for range 5 {
			time.Sleep(2 * time.Second)
			require.Error(t, m.exchange(c, "+CSQ", "ERROR\r\n").err)
			time.Sleep(2 * time.Second)
			require.NoError(t, m.exchange(c, "+CMGF=0", "OK\r\n").err)
			require.Error(t, m.exchange(c, "+CSQ", "ERROR\r\n").err)
		}
		require.False(t, c.Wakes())
	})
}
