package at

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	tpdu = []byte{0x01, 0x00, 0x0b, 0x91, 0xab}
	// What the modem must hear: upper-case hex, "00" for the SIM's own SMSC, and
	// Ctrl-Z, in one write.
	cmgs       = "AT+CMGS=5\r"
	sent       = "0001000B91AB\x1a"
	errRefused = errors.New("the message was cancelled")
)

func submit(ctx context.Context, c *Channel, gate func() error) chan Submission {
	done := make(chan Submission, 1)
	go func() { done <- c.Submit(ctx, tpdu, gate) }()
	return done
}

func opened() error { return nil }

func TestSubmit_Accepted(t *testing.T) {
	cet := time.FixedZone("", 2*3600)
	for says, want := range map[string]Submission{
		"+CMGS: 7":                           {MR: 7},
		"+CMGS:255":                          {MR: 255},
		"+CMGS: 007":                         {MR: 7},
		"+CMGS :  7":                         {MR: 7},
		"+CMGS: 7,26/09/30,12:01:02+08":      {MR: 7, SCTS: time.Date(2026, 9, 30, 12, 1, 2, 0, cet)},
		`+CMGS: 7,"26/09/30,12:01:02+08"`:    {MR: 7, SCTS: time.Date(2026, 9, 30, 12, 1, 2, 0, cet)},
		"+CMGS: 7, \"26/09/30,12:01:02-06\"": {MR: 7, SCTS: time.Date(2026, 9, 30, 12, 1, 2, 0, time.FixedZone("", -90*60))},
		"+CMGS: 7,010062900321102080":        {MR: 7, SCTS: time.Date(2026, 9, 30, 12, 1, 2, 0, cet)},
		`+CMGS: 7,"01006290032110208A"`:      {MR: 7, SCTS: time.Date(2026, 9, 30, 12, 1, 2, 0, time.FixedZone("", -28*15*60))},
		"+CMGS: 7,garbage":                   {MR: 7},
		"+CMGS: 7,":                          {MR: 7},
		"+CMGS: 256":                         {MR: -1}, // accepted, whatever the number is
		"+CMGS:":                             {MR: -1},
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			time.Sleep(20 * time.Millisecond)
			m.says("\r\n> ")
			m.hears(sent)
			time.Sleep(2 * time.Second)
			m.says("\r\n" + says + "\r\n\r\nOK\r\n")
			s := <-done
			require.NoError(t, s.Err)
			require.Equal(t, PhasePDUSent, s.Phase)
			require.Equal(t, want.MR, s.MR, says)
			require.True(t, want.SCTS.Equal(s.SCTS), "%s: %v", says, s.SCTS)
			require.Equal(t, 2*time.Second, time.Since(s.SentAt))
			require.Equal(t, s.SentAt, s.PromptAt, "nothing of ours lies between prompt and PDU")
			require.Equal(t, answer{}, m.exchange(c, "", "OK\r\n"))
			require.Empty(t, m.gotURCs())
		})
	}
}

// A7: the library misses CR "> ".
func TestSubmit_PromptsInEveryWriting(t *testing.T) {
	for _, prompt := range []string{
		"\r\n> ", "\r> ", "\n>", ">", "> ", "\r\n\r\n> ", "\r\n>\r\n", "\r\n> \r\n",
		"AT+CMGS=5\r\r\n> ",             // echo on
		"\r\n+CMTI: \"SM\",3\r\n\r\n> ", // a URC before it
		"\r\n+CMT: ,24\r\n\r\n> ",       // one whose PDU line is lost
		"\r\n> \r\n+CMTI: \"SM\",3\r\n", // one behind it
		"\r\n^RSSI: 20\r\n> \r\n^RSSI: 21\r\n",
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, opened)
			m.hears(cmgs)
			for _, b := range prompt { // as a slow line brings it, octet by octet
				m.says(string(b))
			}
			m.hears(sent)
			m.says(sent[:12] + "\x1a\r\n\r\n+CMGS: 1\r\n\r\nOK\r\n") // the PDU echoed
			s := <-done
			require.NoError(t, s.Err, "%q", prompt)
			require.Equal(t, 1, s.MR)
			for _, u := range m.gotURCs() {
				require.NotContains(t, u.Line, "0001000B")
				require.Empty(t, u.Trailer)
			}
		})
	}
}

// A7: the library sends the PDU again when a line begins with >.
func TestSubmit_ASecondPromptSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		asked := 0
		done := submit(t.Context(), c, func() error { asked++; return nil })
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears(sent)
		m.says("\r\n> ")
		m.says("\r\n> once more\r\n")
		m.hearsNothing()
		m.says("\r\n+CMGS: 1\r\nOK\r\n")
		require.NoError(t, (<-done).Err)
		require.Equal(t, 1, asked)
		require.Equal(t, lines(">", "> once more"), m.gotURCs())
	})
}

func TestSubmit_TextThatBeginsLikeAPrompt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		// A7: outside AT+CMGS, in an answer.
		a := m.exchange(c, "+CMGR=1", "\r\n+CMGR: 1,,9\r\n> 1. Saldo\r\n>\r\nERROR_COUNT: 3\r\nOK\r\n")
		require.Equal(t, answer{info: []string{"+CMGR: 1,,9", "> 1. Saldo", ">", "ERROR_COUNT: 3"}}, a)
		// While the prompt is awaited: a text line, and a USSD answer over several.
		done := submit(t.Context(), c, opened)
		m.hears(cmgs)
		m.says("\r\n>hel")
		m.says("lo\r\n")
		m.says("\r\n+CUSD: 1,\"Menu\r\n> ")
		m.says("\r\n>1. Saldo\r\n\",15\r\n")
		m.hearsNothing()
		m.says("\r\n> ")
		m.hears(sent)
		m.says("+CMGS: 4\r\nOK\r\n")
		require.Equal(t, 4, (<-done).MR)
		require.Equal(t, lines(">hello", "+CUSD: 1,\"Menu\n>\n>1. Saldo\n\",15"), m.gotURCs())
	})
}

// F3: what the gate refuses is not sent, and the modem leaves the edit mode.
func TestSubmit_TheGateRefuses(t *testing.T) {
	for _, answers := range []struct {
		esc  string // to the ESC
		took time.Duration
	}{
		{"\r\nOK\r\n", hush}, {"\r\nERROR\r\n", hush}, {"\r\n+CMS ERROR: 305\r\n", hush},
		{"", escapeGrace + longHush},
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, func() error { return errRefused })
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears("\x1b")
			s := <-done
			require.ErrorIs(t, s.Err, errRefused)
			require.Equal(t, PhaseGate, s.Phase)
			require.Equal(t, -1, s.MR)
			require.True(t, s.SentAt.IsZero())
			began := time.Now()
			next := submit(t.Context(), c, opened) // usable at once, without Resync
			if answers.esc != "" {
				m.says(answers.esc)
			}
			m.answersAT(1)
			m.hears(cmgs)
			require.Equal(t, answers.took, time.Since(began))
			m.says("\r\n> ")
			m.hears(sent)
			m.says("\r\n+CMGS: 8\r\nOK\r\n")
			require.Equal(t, 8, (<-next).MR)
		})
	}
}

// An OK to the ESC that comes very late must not become another answer.
func TestSubmit_TheGateRefusesAndTheOKIsLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, func() error { return errRefused })
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears("\x1b")
		<-done
		next := command(c, "+CREG?", time.Second)
		m.hears("AT\r")
		m.says("\r\nOK\r\n\r\nOK\r\n") // the ESC's and AT's
		m.answersAT(1)
		m.hears("AT+CREG?\r")
		m.says("\r\n+CREG: 0,1\r\nOK\r\n")
		require.Equal(t, answer{info: []string{"+CREG: 0,1"}}, <-next)
	})
	bubble(t, func(t *testing.T) { // each of them takes two seconds
		c, m := start(t, Options{})
		done := submit(t.Context(), c, func() error { return errRefused })
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears("\x1b")
		<-done
		next := command(c, "+CMGD=1", time.Second)
		m.hears("AT\r")
		m.says("\r\nOK\r\n") // the ESC's
		time.Sleep(2 * time.Second)
		m.hearsNothing()
		m.says("\r\nOK\r\n") // AT's, which would have been the deletion's
		m.answersAT(1)
		m.hears("AT+CMGD=1\r")
		m.says("\r\n+CMS ERROR: 321\r\n")
		require.Equal(t, answer{err: CMSError(321)}, <-next)
	})
}

// While the gate commits, the modem may give up the edit mode: then the PDU
// would be read as commands.
func TestSubmit_TheModemGivesUpDuringTheGate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, func() error {
			m.says("\r\n+CMTI: \"SM\",1\r\n\r\n+CMS ERROR: 304\r\n")
			synctest.Wait()
			return nil
		})
		m.hears(cmgs)
		m.says("\r\n> ")
		s := <-done
		require.Equal(t, Submission{Phase: PhaseGate, MR: -1, Err: CMSError(304), PromptAt: s.PromptAt}, s)
		m.hearsNothing()
		require.Equal(t, lines("+CMTI: \"SM\",1"), m.gotURCs())
	})
}

func TestSubmit_TheContextEndsDuringTheGate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := submit(ctx, c, func() error { cancel(); synctest.Wait(); return nil })
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears("\x1b")
		s := <-done
		require.ErrorIs(t, s.Err, context.Canceled)
		require.NotErrorIs(t, s.Err, ErrTimeout)
		require.Equal(t, PhaseGate, s.Phase)
		m.hearsNothing()
	})
}

func TestSubmit_RefusedByTheModem(t *testing.T) {
	for says, want := range map[string]error{
		"+CMS ERROR: 38": CMSError(38), "+CME ERROR: 100": CMEError(100), "ERROR": ErrFailed, "COMMAND NOT SUPPORT": ErrFailed,
	} {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, opened) // A4: before the prompt nothing was sent …
			m.hears(cmgs)
			m.says("\r\n" + says + "\r\n")
			require.Equal(t, Submission{Phase: PhaseCommand, MR: -1, Err: want}, <-done)

			done = submit(t.Context(), c, opened) // … after the PDU it was
			m.hears(cmgs)
			m.says("\r\n> ")
			m.hears(sent)
			m.says("\r\n" + says + "\r\n")
			s := <-done
			require.Equal(t, PhasePDUSent, s.Phase)
			require.Equal(t, want, s.Err)
			require.Equal(t, answer{}, m.exchange(c, "", "OK\r\n"))
		})
	}
}

// A4: no prompt and no result are one error in the library.
func TestSubmit_NoPrompt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		began := time.Now()
		done := submit(t.Context(), c, func() error { return errors.New("must not be asked") })
		m.hears(cmgs)
		m.says("\r\nOK\r\n") // an older command's: no answer to AT+CMGS
		s := <-done
		require.Equal(t, Submission{Phase: PhaseCommand, MR: -1, Err: ErrTimeout}, s)
		require.Equal(t, 10*time.Second, time.Since(began))
		m.says("\r\n> ") // too late
		m.hearsNothing()
		_, open := <-c.LateResult()
		require.False(t, open, "nothing was sent, nothing is awaited")
		require.ErrorIs(t, c.Submit(t.Context(), tpdu, opened).Err, ErrUnsynced)
		again := resync(c)
		m.hears("\x1b\r") // §4.3: ESC first, the modem may be in the edit mode
		m.says("\r\nOK\r\n")
		m.answersAT(3)
		require.NoError(t, <-again)
	})
}

// §9: the port vanishes in each phase.
func TestSubmit_ThePortVanishes(t *testing.T) {
	for phase := PhaseCommand; phase <= PhasePDUSent; phase++ {
		bubble(t, func(t *testing.T) {
			c, m := start(t, Options{})
			done := submit(t.Context(), c, func() error {
				if phase <= PhaseGate {
					m.conn.Close()
					synctest.Wait()
				}
				return nil
			})
			m.hears(cmgs)
			if phase == PhaseCommand {
				m.conn.Close()
			} else {
				m.says("\r\n> ")
			}
			if phase == PhasePDUSent {
				m.hears(sent)
				m.conn.Close()
			}
			s := <-done
			require.ErrorIs(t, s.Err, ErrGone)
			want := phase
			if phase == PhasePrompt { // the gate's turn comes with the prompt
				want = PhaseGate
			}
			require.Equal(t, want, s.Phase)
		})
	}
}

// Half a PDU may have left when the write fails.
func TestSubmit_TheWriteOfThePDUFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &breakingPort{emptyPort: emptyPort{data: make(chan string, 1), closed: make(chan struct{})}}
		c := New(p, Options{})
		s := c.Submit(t.Context(), tpdu, opened)
		require.ErrorIs(t, s.Err, ErrGone)
		require.Equal(t, PhasePDUSent, s.Phase)
		require.True(t, s.SentAt.IsZero())
		require.NoError(t, c.Close())
	})
}

// breakingPort gives a prompt to each command line, and takes no PDU.
type breakingPort struct{ emptyPort }

func (p *breakingPort) Write(b []byte) (int, error) {
	if b[len(b)-1] != '\r' {
		return 3, io.ErrShortWrite
	}
	p.data <- "\r\n> "
	return len(b), nil
}

func TestSubmit_RefusesWhatIsNoTPDU(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for _, b := range [][]byte{nil, {}, make([]byte, maxTPDU+1)} {
			require.ErrorIs(t, c.Submit(t.Context(), b, opened).Err, ErrInvalid)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := c.Submit(ctx, tpdu, opened)
		require.ErrorIs(t, s.Err, context.Canceled)
		require.Equal(t, PhaseNone, s.Phase)
		m.hearsNothing()
	})
}

func TestSubmit_AfterPrompt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{AfterPrompt: 100 * time.Millisecond})
		done := submit(t.Context(), c, func() error { time.Sleep(30 * time.Millisecond); return nil })
		m.hears(cmgs)
		m.says("\r\n> ")
		began := time.Now()
		m.hears(sent)
		require.Equal(t, 100*time.Millisecond, time.Since(began), "the gate's time counts")
		m.says("+CMGS: 1\r\nOK\r\n")
		require.NoError(t, (<-done).Err)
	})
}

func TestEscape(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := make(chan error)
		go func() { done <- c.Escape(t.Context()) }()
		m.hears("\x1b\r")
		m.says("\r\nOK\r\n")
		require.NoError(t, <-done)
		next := command(c, "E0", time.Second)
		m.answersAT(1)
		m.hears("ATE0\r")
		m.says("ATE0\r\r\nOK\r\n")
		require.NoError(t, (<-next).err)
	})
}

// A modem that is mute after the ESC of a refused gate must be brought back.
func TestSubmit_TheGateRefusesAndTheModemFallsSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, func() error { return errRefused })
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears("\x1b")
		<-done
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := c.Command(ctx, "+CSQ", time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded, "while it waits for the answer to ESC")
		m.hearsNothing()
		require.ErrorIs(t, c.Submit(t.Context(), tpdu, opened).Err, ErrUnsynced)
		for len(m.got) > 0 {
			<-m.got
		}
		again := resync(c)
		m.hears("\x1b\r")
		m.answersAT(3)
		require.NoError(t, <-again)
		require.Equal(t, answer{}, m.exchange(c, "", "OK\r\n"))
	})
}

// One whose AT is refused again and again is not in step.
func TestSettle_NonsenseInsteadOfOK(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := submit(t.Context(), c, func() error { return errRefused })
		m.hears(cmgs)
		m.says("\r\n> ")
		m.hears("\x1b")
		m.says("\r\nOK\r\n")
		<-done
		next := command(c, "+CSQ", time.Second)
		for range probes {
			m.hears("AT\r")
			m.says("\r\nERROR\r\n")
		}
		require.ErrorIs(t, (<-next).err, ErrUnsynced)
	})
}
