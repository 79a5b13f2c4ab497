package at

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A3, A5, F2: after the PDU only the network's word counts. Nothing is written
// while it is awaited, not even ESC, and a late answer finds its own submission.
func TestSubmit_TheResultComesLate(t *testing.T) {
	for says, want := range map[string]Submission{
		"\r\n+CMGS: 101\r\n\r\nOK\r\n": {MR: 101},
		"\r\n+CMGS: 101\r\n":           {MR: 101}, // its OK is lost
		"\r\n+CMS ERROR: 38\r\n":       {MR: -1, Err: CMSError(38)},
		"\r\nERROR\r\n":                {MR: -1, Err: ErrFailed},
		"\r\nOK\r\n+CMGS: 3\r\nOK\r\n": {MR: 3},
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			began := time.Now()
			s := <-done
			require.Equal(t, 180*time.Second, time.Since(began))
			require.Equal(t, ErrTimeout, s.Err)
			require.Equal(t, PhasePDUSent, s.Phase)
			require.Equal(t, -1, s.MR)
			require.ErrorIs(t, c.Submit(t.Context(), tpdu, opened).Err, ErrUnsynced)
			_, err := c.Command(t.Context(), "+CSQ", time.Second)
			require.ErrorIs(t, err, ErrUnsynced)
			require.ErrorIs(t, c.Escape(t.Context()), ErrUnsynced)
			late := c.LateResult()
			m.hearsNothing()
			time.Sleep(60 * time.Second)
			m.says("\r\n+CMTI: \"SM\",1\r\n")
			m.says(says)
			got := <-late
			require.Equal(t, Submission{Phase: PhasePDUSent, MR: want.MR, Err: want.Err, PromptAt: s.PromptAt, SentAt: s.SentAt, Took: got.Took}, got)
			require.Equal(t, want.Err != nil, got.Took >= 180*time.Second, "%s", got.Took)
			_, open := <-late
			require.False(t, open)
			require.Equal(t, lines("+CMTI: \"SM\",1"), m.gotURCs())
			require.ErrorIs(t, c.Submit(t.Context(), tpdu, opened).Err, ErrUnsynced, "until Resync")
			again := resync(c)
			m.hears("\r")
			m.answersAT(3)
			require.NoError(t, <-again)
			require.Equal(t, answer{}, m.exchange(c, "", "OK\r\n"))
		})
	}
}

func TestSubmit_TheResultComesDuringResync(t *testing.T) {
	for says, want := range map[string]Submission{
		"\r\n+CMGS: 101\r\n\r\nOK\r\n": {MR: 101},
		"\r\n+CMS ERROR: 38\r\n":       {MR: -1, Err: CMSError(38)},
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			<-done
			late := c.LateResult()
			again := resync(c)
			m.hears("\r") // no ESC first: the PDU may be on its way still
			m.hears("AT\r")
			m.says(says)
			m.says("\r\nOK\r\n")
			m.answersAT(2)
			require.NoError(t, <-again)
			got := <-late
			require.Equal(t, want.MR, got.MR)
			require.Equal(t, want.Err, got.Err)
		})
	}
}

func TestSubmit_TheResultNeverComes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{ResultTimeout: time.Minute})
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		<-done
		late := c.LateResult()
		again := resync(c)
		m.hears("\r")
		m.answersAT(3)
		require.NoError(t, <-again)
		_, open := <-late
		require.False(t, open)
		_, open = <-c.LateResult()
		require.False(t, open)
	})
}

// The owner may end the wait (a boot message tells it that no answer will come).
func TestSubmit_TheContextEndsAfterThePDU(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := submit(ctx, c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		m.says("\r\nRDY\r\n\r\n+CPIN: READY\r\n\r\nCall Ready\r\n")
		require.Equal(t, lines("RDY", "+CPIN: READY", "Call Ready"), m.gotURCs())
		cancel()
		s := <-done
		require.ErrorIs(t, s.Err, ErrTimeout)
		require.ErrorIs(t, s.Err, context.Canceled)
		require.Equal(t, PhasePDUSent, s.Phase)
		m.hearsNothing()
		m.says("\r\n+CMGS: 9\r\nOK\r\n")
		require.Equal(t, 9, (<-c.LateResult()).MR)
	})
}

// Some modems say OK and no more: TS 27.005 4.3 has it as success. The reference
// may still follow.
func TestSubmit_OKAlone(t *testing.T) {
	for says, want := range map[string]Submission{
		"":                            {MR: -1},
		"\r\nOK\r\n":                  {MR: -1}, // twice
		"\r\n+CMGS: 9\r\n":            {MR: 9},
		"\r\n+CMGS : 9\r\n\r\nOK\r\n": {MR: 9},
		"\r\n+CMS ERROR: 38\r\n":      {MR: -1, Err: CMSError(38)},
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			m.says("\r\nOK\r\n")
			began := time.Now()
			time.Sleep(graceBare / 2)
			m.says(says)
			s := <-done
			require.Equal(t, want.Err, s.Err, says)
			require.Equal(t, want.MR, s.MR, says)
			require.Equal(t, PhasePDUSent, s.Phase)
			require.LessOrEqual(t, time.Since(began), graceBare)
			next := command(c, "+CSQ", time.Second)
			if want.Err == nil {
				m.answersAT(1) // it is made sure that nothing more comes
			}
			m.hears("AT+CSQ\r")
			m.says("+CSQ: 1,0\r\nOK\r\n")
			require.NoError(t, (<-next).err)
		})
	}
}

// An OK that may be another's says nothing about the message.
func TestSubmit_OKWithoutReference(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\nOK\r\n\r\n> ") // a modem that says one too many
		m.hears(sent)
		m.says("\r\nOK\r\n")
		s := <-done
		require.Equal(t, ErrNoReference, s.Err)
		require.Equal(t, PhasePDUSent, s.Phase)
		require.ErrorIs(t, c.Submit(t.Context(), tpdu, opened).Err, ErrUnsynced)
		m.says("\r\n+CMGS: 9\r\nOK\r\n")
		require.Equal(t, 9, (<-c.LateResult()).MR)
	})
}

// A +CMGS whose OK is lost is an acceptance, and the OK no later answer.
func TestSubmit_TheOKIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		m.says("\r\n+CMGS: 9\r\n")
		began := time.Now()
		s := <-done
		require.NoError(t, s.Err)
		require.Equal(t, 9, s.MR)
		require.Equal(t, graceCMGS, time.Since(began))
		next := command(c, "+CSQ", time.Second)
		m.hears("AT\r")
		m.says("\r\nOK\r\n\r\nOK\r\n")
		m.answersAT(1)
		m.hears("AT+CSQ\r")
		m.says("+CSQ: 1,0\r\nOK\r\n")
		require.NoError(t, (<-next).err)

		ctx, cancel := context.WithCancel(t.Context())
		done = submit(ctx, c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		m.says("\r\n+CMGS: 10\r\n")
		synctest.Wait()
		cancel()
		require.Equal(t, 10, (<-done).MR)
	})
}

// The answer of an older submission before our prompt is not ours.
func TestSubmit_AnOlderReferenceBeforeThePrompt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n+CMGS: 55\r\n\r\nOK\r\n\r\n> ")
		m.hears(sent)
		m.says("\r\n+CMGS: 56\r\n\r\nOK\r\n")
		require.Equal(t, 56, (<-done).MR)
		require.Equal(t, lines("+CMGS: 55"), m.gotURCs())
	})
}

// Resync frees a modem whose Ctrl-Z was lost: it sits in the edit mode and eats
// every command.
func TestResync_TheModemIsInTheEditMode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		<-done
		again := resync(c)
		m.hears("\r")
		m.hears("AT\r")
		m.hears("AT\r")
		m.hears("\x1b\r")
		m.says("\r\nOK\r\n")
		m.answersAT(3)
		require.NoError(t, <-again)
	})
}

// With another program on the port, or on a modem that is known to give a
// reference, an OK alone, an ERROR and a +CME ERROR are nobody's word on the
// message; the real answer finds it still.
func TestSubmit_AnothersAnswer(t *testing.T) {
	for says, options := range map[string]Options{
		"\r\n+CSQ: 31,99\r\n\r\nOK\r\n":              {},
		"\r\n+CREG: 2,0\r\n\r\nOK\r\n":               {},
		"\r\n+CGMI: ModemManager\r\n\r\nOK\r\n":      {},
		"\r\nOK\r\n\r\n+CSQ: 31,99\r\n":              {},
		"\r\nOK\r\n":                                 {References: true},
		"\r\n+CSQ: 31,99\r\n\r\n+CME ERROR: 10\r\n":  {},
		"\r\n+CSQ: 31,99\r\n\r\nOK\r\n\r\nERROR\r\n": {},
		"\r\nOK\r\n\r\n+CME ERROR: 10\r\n":           {},
		"\r\n+CMG: 15\r\n\r\nOK\r\n":                 {}, // an octet was lost
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, options)
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			m.says(says)
			s := <-done
			require.Equal(t, ErrNoReference, s.Err, says)
			require.Equal(t, PhasePDUSent, s.Phase)
			m.says("\r\n+CSQ: 31,99\r\n\r\n+CME ERROR: 10\r\n\r\nERROR\r\n")
			m.hearsNothing()
			m.says("\r\n+CMGS: 9\r\nOK\r\n")
			require.Equal(t, 9, (<-c.LateResult()).MR, says)
		})
	}
}

// What a modem says by itself casts no doubt on its OK.
func TestSubmit_ChatterIsNobodys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		m.says("\r\n^RSSI:18\r\n\r\n+CREG: 1,\"00A1\",\"00B2\"\r\n\r\n+CIEV: 2,3\r\n\r\nRING\r\n\r\nOK\r\n")
		require.Equal(t, Submission{Phase: PhasePDUSent, MR: -1}, withoutTimes(<-done))
	})
}

// The modem that has answered by +CMGS once is known to.
func TestSubmit_ReferencesAreKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for i, says := range []string{"\r\n+CMGS: 9\r\n\r\nOK\r\n", "\r\nOK\r\n"} {
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			m.says(says)
			require.Equal(t, []error{nil, ErrNoReference}[i], (<-done).Err)
		}
	})
}

func withoutTimes(s Submission) Submission {
	s.PromptAt, s.SentAt = time.Time{}, time.Time{}
	return s
}
