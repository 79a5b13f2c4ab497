package at

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sending is a submission whose PDU has left.
func (m *fakeModem) sending(c *Channel) chan Submission {
	m.t.Helper()
	done := submit(m.t.Context(), c, opened)
	m.hears(cmgs)
	m.says("\r\n> ")
	m.hears(sent)
	return done
}

func (m *fakeModem) refers(mr int) {
	m.t.Helper()
	m.says(fmt.Sprintf("\r\n+CMGS: %d\r\n\r\nOK\r\n", mr))
}

// accepts is a submission that is answered at once.
func (m *fakeModem) accepts(c *Channel, mr int) {
	m.t.Helper()
	done := m.sending(c)
	time.Sleep(2 * time.Second)
	m.refers(mr)
	s := <-done
	require.NoError(m.t, s.Err)
	require.Equal(m.t, mr, s.MR)
}

// A modem that gives its answer once more in the middle of the next submission.
func TestReference_AnAnswerRepeated(t *testing.T) {
	for says, want := range map[string]Submission{
		"\r\n+CMGS: 42\r\n\r\nOK\r\n": {MR: 42},
		"\r\n+CMGS: 42\r\n":           {MR: 42},
		"\r\n+CMGS:\r\n\r\nOK\r\n":    {MR: -1},
		"\r\n+CMS ERROR: 38\r\n":      {MR: -1, Err: CMSError(38)},
		"\r\nERROR\r\n":               {MR: -1, Err: ErrNoReference},
		"":                            {MR: -1, Err: ErrNoReference},
		"\r\nOK\r\n":                  {MR: -1, Err: ErrNoReference},
	} {
		for _, repeats := range []int{1, 2} {
			bubble(t, func(t *testing.T) {
				c, m := start(t, Options{})
				m.accepts(c, 41)
				done := m.sending(c)
				began := time.Now()
				for range repeats {
					time.Sleep(time.Second)
					m.refers(41)
				}
				time.Sleep(time.Second)
				m.says(says)
				s := <-done
				require.Equal(t, want.MR, s.MR, says)
				require.Equal(t, want.Err, s.Err, says)
				if says == "\r\n+CMGS: 42\r\n" {
					return
				}
				if s.Err != ErrNoReference {
					require.LessOrEqual(t, time.Since(began), 5*time.Second)
					m.accepts(c, 43)
					return
				}
				require.LessOrEqual(t, time.Since(began), graceRepeated+time.Duration(repeats)*time.Second)
				time.Sleep(10 * time.Second)
				m.refers(41) // still not its own
				m.refers(42)
				require.Equal(t, 42, (<-c.LateResult()).MR)
			})
		}
	}
}

// Nor is one that is older than the last answer another message's, though minutes
// later, and though it had come too late for its own.
func TestReference_AnOlderAnswerRepeated(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, repeatedFor - 4*time.Minute} {
		for _, mr := range []int{38, 39, 40, 42} {
			bubble(t, func(t *testing.T) {
				c, m := start(t, Options{})
				for i := range 3 {
					m.accepts(c, 38+i)
				}
				unresolved(t, c, m) // 41
				m.accepts(c, 42)
				m.refers(41) // late
				again := resync(c)
				m.hears("\r")
				m.answersAT(3)
				require.NoError(t, <-again)
				time.Sleep(pause)
				done := m.sending(c)
				m.refers(mr)
				m.refers(41)
				time.Sleep(20 * time.Second)
				m.refers(43)
				require.Equal(t, 43, (<-done).MR)
				done = m.sending(c)
				m.refers(mr)
				require.ErrorIs(t, (<-done).Err, ErrNoReference)
				m.refers(44)
				require.Equal(t, 44, (<-c.LateResult()).MR)
			})
		}
	}
}

// A modem whose references are all the same is slowed down once.
func TestReference_Constant(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		m.accepts(c, 0)
		done := m.sending(c)
		m.refers(0)
		require.Equal(t, ErrNoReference, (<-done).Err)
		again := resync(c)
		m.hears("\r")
		m.answersAT(3)
		require.NoError(t, <-again)
		require.True(t, c.Counted().given.constant)
		done = m.sending(c)
		m.refers(0) // whose?
		require.NoError(t, (<-done).Err)
		for range 5 {
			began := time.Now()
			m.accepts(c, 0)
			require.Equal(t, 2*time.Second, time.Since(began))
		}
		m.accepts(c, 1)
		require.False(t, c.Counted().given.constant, "it is not")
		done = m.sending(c)
		m.refers(1)
		m.refers(2)
		require.Equal(t, 2, (<-done).MR)
	})
	bubble(t, func(t *testing.T) { // it is known
		c, m := start(t, Options{Counted: &Counted{given{constant: true, kept: true, last: 9}}})
		for range 3 {
			m.accepts(c, 9)
		}
	})
	bubble(t, func(t *testing.T) { // a repetition looked so, before the channel or the count began anew
		c, m := start(t, Options{Counted: &Counted{given{constant: true, kept: true, last: 9}}})
		for mr := 3; mr < 9; mr += 3 {
			m.accepts(c, mr)
			require.False(t, c.Counted().given.constant)
			done := m.sending(c)
			m.refers(mr)
			m.refers(mr + 1)
			require.Equal(t, mr+1, (<-done).MR)
			c.CountAnew()
		}
	})
	bubble(t, func(t *testing.T) { // one that gave different ones
		c, m := start(t, Options{})
		m.accepts(c, 1)
		m.accepts(c, 2)
		for i := range sameToConstant {
			require.False(t, c.Counted().given.constant, i)
			done := m.sending(c)
			m.refers(2)
			require.Equal(t, ErrNoReference, (<-done).Err)
			again := resync(c)
			m.hears("\r")
			m.answersAT(3)
			require.NoError(t, <-again)
			c.line.mu.Lock()
			c.line.given.open, c.line.given.lastAt = 0, time.Now()
			c.line.mu.Unlock()
		}
		require.True(t, c.Counted().given.constant)
	})
}

// References start again after 256, and a modem may restart its count.
func TestReference_AllAround(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for i := range 600 {
			m.accepts(c, i%256)
		}
		c.CountAnew()
		m.accepts(c, 599%256)
		time.Sleep(repeatedFor)
		m.accepts(c, 599%256) // nobody repeats himself after so long
	})
}

// unresolved leaves one submission without an answer.
func unresolved(t *testing.T, c *Channel, m *fakeModem) {
	t.Helper()
	require.ErrorIs(t, (<-m.sending(c)).Err, ErrTimeout)
	again := resync(c)
	m.hears("\r")
	m.answersAT(3)
	require.NoError(t, <-again)
}

// The answer of a submission that was given up on comes in the next one.
func TestReference_AnAnswerAfterTheEnd(t *testing.T) {
	for says, want := range map[string]Submission{
		"\r\n+CMGS: 54\r\n\r\nOK\r\n": {MR: 54},
		"\r\n+CMS ERROR: 38\r\n":      {MR: -1, Err: CMSError(38)},
		"":                            {MR: 53}, // it was its own
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			m.accepts(c, 52)
			unresolved(t, c, m)
			done := m.sending(c)
			time.Sleep(time.Second)
			m.refers(53)
			time.Sleep(2 * time.Second)
			m.says(says)
			s := <-done
			require.Equal(t, want.Err, s.Err)
			require.Equal(t, want.MR, s.MR)
			require.Less(t, time.Since(s.SentAt), 7*time.Second)
			m.accepts(c, int(map[bool]int{true: 54, false: 55}[want.MR == 53]))
		})
	}
	bubble(t, func(t *testing.T) { // its own comes first
		c, m := start(t, Options{})
		m.accepts(c, 52)
		unresolved(t, c, m)
		m.accepts(c, 54)
		done := m.sending(c)
		m.refers(53)
		m.refers(55)
		require.Equal(t, 55, (<-done).MR)
	})
	bubble(t, func(t *testing.T) { // another SIM counts from the start
		c, m := start(t, Options{})
		m.accepts(c, 52)
		unresolved(t, c, m)
		m.accepts(c, 54)
		for i := range 10 {
			m.accepts(c, i)
		}
	})
	bubble(t, func(t *testing.T) { // two are open, and nothing is known
		c, m := start(t, Options{})
		unresolved(t, c, m)
		unresolved(t, c, m)
		done := m.sending(c)
		m.refers(1)
		m.refers(2)
		m.refers(3)
		require.Equal(t, 3, (<-done).MR)
	})
}

// A reference that comes outside a submission takes its OK along.
func TestReference_OutsideASubmission(t *testing.T) {
	for _, mr := range []int{52, 53} { // repeated; late
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			m.accepts(c, 52)
			if mr == 53 {
				unresolved(t, c, m)
			}
			done := command(c, "+CSQ", 5*time.Second)
			m.hears("AT+CSQ\r")
			m.refers(mr)
			m.says("\r\n+CSQ: 20,99\r\n\r\nOK\r\n")
			require.Equal(t, answer{info: []string{"+CSQ: 20,99"}}, <-done)
			next := submit(t.Context(), c, opened)
			m.answersAT(1) // is it in step?
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			m.refers(mr + 1)
			s := <-next
			require.NoError(t, s.Err)
			require.Equal(t, mr+1, s.MR)
		})
	}
}

// TestReference_CountedAnewWhileAway: a modem that was away counts from the start
// again, and its references are not taken for earlier answers said once more.
func TestReference_CountedAnewWhileAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for mr := 1; mr <= 5; mr++ {
			m.accepts(c, mr)
		}
		c, m = start(t, Options{Counted: c.Counted()})
		time.Sleep(time.Minute)
		for mr := 1; mr <= 6; mr++ {
			began := time.Now()
			m.accepts(c, mr)
			require.Less(t, time.Since(began), 5*time.Second)
		}
	})
}
