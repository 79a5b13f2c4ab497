package at

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeModem is the other end of a channel's port. It says what a test tells it
// to say, and nothing by itself.
type fakeModem struct {
	t    *testing.T
	conn net.Conn
	got  chan string // each write of the channel

	mu   sync.Mutex
	urcs []URC
	seen []TraceEntry
}

// start gives a channel with its modem, which has answered once. Call it within
// a synctest bubble.
func start(t *testing.T, o Options) (*Channel, *fakeModem) {
	t.Helper()
	ours, theirs := net.Pipe()
	m := &fakeModem{t: t, conn: theirs, got: make(chan string, 100)}
	if o.URC == nil {
		o.URC = func(u URC) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.urcs = append(m.urcs, u)
		}
	}
	if o.Trace == nil {
		o.Trace = func(e TraceEntry) { m.seen = append(m.seen, e) }
	}
	c := New(ours, o)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := theirs.Read(buf)
			if err != nil {
				close(m.got)
				return
			}
			m.got <- string(buf[:n])
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		theirs.Close()
	})
	m.exchange(c, "", "OK\r\n")
	m.seen = nil
	return c, m
}

// hears waits for exactly this write.
func (m *fakeModem) hears(want string) {
	m.t.Helper()
	require.Equal(m.t, want, <-m.got)
}

// hearsNothing makes sure that the channel has written nothing more.
func (m *fakeModem) hearsNothing() {
	m.t.Helper()
	synctest.Wait()
	select {
	case s := <-m.got:
		require.Fail(m.t, "the channel wrote", "%q", s)
	default:
	}
}

func (m *fakeModem) says(s string) {
	m.t.Helper()
	_, err := io.WriteString(m.conn, s)
	require.NoError(m.t, err)
}

// answersAT answers n times AT.
func (m *fakeModem) answersAT(n int) {
	m.t.Helper()
	for range n {
		m.hears("AT\r")
		m.says("\r\nOK\r\n")
	}
}

func (m *fakeModem) gotURCs() []URC {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.urcs
	m.urcs = nil
	return list
}

// lines makes URCs without trailers.
func lines(list ...string) []URC {
	var urcs []URC
	for _, s := range list {
		urcs = append(urcs, URC{Line: s})
	}
	return urcs
}

type answer struct {
	info []string
	err  error
}

func command(c *Channel, cmd string, timeout time.Duration) chan answer {
	return commandCtx(context.Background(), c, cmd, timeout)
}

func commandCtx(ctx context.Context, c *Channel, cmd string, timeout time.Duration) chan answer {
	done := make(chan answer, 1)
	go func() {
		info, err := c.Command(ctx, cmd, timeout)
		done <- answer{info, err}
	}()
	return done
}

func resync(c *Channel) chan error {
	done := make(chan error, 1)
	go func() { done <- c.Resync(context.Background()) }()
	return done
}

// exchange runs one command that the modem answers in one go.
func (m *fakeModem) exchange(c *Channel, cmd, says string) answer {
	m.t.Helper()
	done := command(c, cmd, time.Second)
	m.hears("AT" + cmd + "\r")
	m.says(says)
	return <-done
}

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

const pduLine = "07914306073011F0040B914306565711F000006290302143658005E8329BFD06" // 32 octets, 8 of them SMSC

func TestCommand_AnswersInEveryWriting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for _, says := range []string{
			"\r\n+CSQ: 20,99\r\n\r\nOK\r\n",
			"\n+CSQ: 20,99\nOK\n",                               // LF only
			"\r\n\r\n+CSQ: 20,99\r\n\r\n\r\n\r\nOK\r\n\r\n",     // doubled
			"AT+CSQ\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n",             // echo on
			"AT+CSQ\r\n+CSQ: 20,99  \r\nOK\r\n",                 // trailing blanks
			"+CSQ: 20,99\rOK\r",                                 // CR only
			"\x00\x00\r\n+CSQ: 20,99\r\n\x1b\x1a\r\nOK\r\n\x00", // noise
		} {
			require.Equal(t, answer{info: []string{"+CSQ: 20,99"}}, m.exchange(c, "+CSQ", says), "%q", says)
		}
		require.Equal(t, answer{}, m.exchange(c, "", "\r\nOK\r\n"))
		require.Equal(t, answer{info: []string{"867698041234567"}}, m.exchange(c, "+CGSN", "\r\n867698041234567\r\n\r\nOK\r\n"))
		require.Equal(t, answer{info: []string{"SIMCOM_SIM7600E", "+GCAP: +CGSM"}},
			m.exchange(c, "I", "\r\nSIMCOM_SIM7600E\r\n+GCAP: +CGSM\r\nOK\r\n"))
		require.Equal(t, answer{}, m.exchange(c, "E0", "0\r"), "a modem in ATV0")
		require.Empty(t, m.gotURCs())
	})
}

func TestCommand_Errors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for says, want := range map[string]error{
			"ERROR":                                   ErrFailed,
			"ERROR: 3":                                ErrFailed,
			"+CME ERROR: 14":                          CMEError(14),
			"+CME ERROR:10":                           CMEError(10),
			"+CME ERROR: SIM busy":                    CMEError(14),
			"+CME ERROR: SIM PIN2 required":           CMEError(17),
			"+CME ERROR: incorrect password":          CMEError(16),
			"+CMS ERROR: 321":                         CMSError(321),
			"+CMS ERROR: 038":                         CMSError(38),
			"+CMS ERROR: memory full":                 CMSError(322),
			"+CMS ERROR: Network timeout":             CMSError(332),
			"+CMS ERROR: (U)SIM PUK2 required":        CMSError(318),
			"+CMS ERROR: Destination out of service.": CMSError(27),
			"+cms error: 500":                         CMSError(500),
			"+CMS ERROR: the dog ate it":              &TextError{CMS: true, Text: "the dog ate it"},
			"+CME ERROR: ":                            &TextError{},
			// A6: not final results for the library, which waits until its timeout.
			"COMMAND NOT SUPPORT": ErrFailed,
			"TOO MANY PARAMETERS": ErrFailed,
			"MODEM ERROR: 4":      ErrFailed,
			"NA":                  ErrFailed,
		} {
			start := time.Now()
			require.Equal(t, answer{err: want}, m.exchange(c, "+CPMS?", "\r\n"+says+"\r\n"), says)
			require.Zero(t, time.Since(start), says)
		}
		require.Equal(t, answer{err: ErrFailed}, m.exchange(c, "D*99#;", "\r\nNO CARRIER\r\n"))
		require.Equal(t, answer{}, m.exchange(c, "+CHUP", "\r\nNO CARRIER\r\nOK\r\n"), "the end of a call is no error of AT+CHUP")
		require.Equal(t, lines("NO CARRIER"), m.gotURCs())
	})
}

func TestCommand_RefusesWhatWouldBreakTheDialogue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for _, cmd := range []string{
			"+CSQ\r", "+CSQ\nAT", "\x1a", "+CUSD=1,\"\x1b\"", "+COPS=\"ñ\"", "\x00",
			"+CMGS=20", "+cmgs=20", "+CSQ;+CMGS=20", "+CMSS=3", "+CMGW=20", "+CMGC=20", "+CNMA=1,20",
		} {
			_, err := c.Command(t.Context(), cmd, time.Second)
			require.ErrorIs(t, err, ErrInvalid, "%q", cmd)
		}
		m.hearsNothing()
		require.Equal(t, answer{info: []string{"+CMGS: (0-1)"}}, m.exchange(c, "+CMGS=?", "\r\n+CMGS: (0-1)\r\nOK\r\n"))
		require.Equal(t, answer{}, m.exchange(c, "+CNMA=0", "\r\nOK\r\n"))
	})
}

// A3, F2: the library takes a late answer for the next command's.
func TestCommand_ALateAnswerIsNotTheNextCommands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		slow := command(c, "+CPMS?", time.Second)
		m.hears("AT+CPMS?\r")
		require.ErrorIs(t, (<-slow).err, ErrTimeout)

		_, err := c.Command(t.Context(), "+CSQ", time.Second)
		require.ErrorIs(t, err, ErrUnsynced)
		require.ErrorIs(t, c.Submit(t.Context(), []byte{1}, nil).Err, ErrUnsynced)
		m.hearsNothing()

		done := resync(c)
		time.Sleep(300 * time.Millisecond)
		m.says("\r\n+CPMS: \"SM\",1,20\r\n\r\nOK\r\n") // late: it begins the silence anew
		began := time.Now()
		m.hears("\r")
		require.Equal(t, 500*time.Millisecond, time.Since(began))
		m.answersAT(3)
		require.NoError(t, <-done)
		require.Equal(t, answer{info: []string{"+CSQ: 20,99"}}, m.exchange(c, "+CSQ", "\r\n+CSQ: 20,99\r\nOK\r\n"))
		require.Empty(t, m.gotURCs(), "a late answer is nothing unsolicited either")
	})
}

func TestCommand_TheContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("stopping")
		done := commandCtx(ctx, c, "+COPS=?", time.Minute)
		m.hears("AT+COPS=?\r")
		waiting := commandCtx(ctx, c, "+CSQ", time.Minute) // behind it
		synctest.Wait()
		cancel(reason)
		a := <-done
		require.ErrorIs(t, a.err, ErrTimeout)
		require.ErrorIs(t, a.err, reason)
		a = <-waiting
		require.ErrorIs(t, a.err, reason)
		require.NotErrorIs(t, a.err, ErrTimeout, "nothing was written, nothing is owed")
		_, err := c.Command(ctx, "+CSQ", time.Second)
		require.ErrorIs(t, err, reason)
		_, err = c.Command(t.Context(), "+CSQ", time.Second)
		require.ErrorIs(t, err, ErrUnsynced)
		m.hearsNothing()
	})
}

// Wavecom: no OK after +CPIN: READY. One that comes after all is not the next
// command's.
func TestCommand_CPINWithoutOK(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		for _, late := range []bool{false, true} {
			began := time.Now()
			require.Equal(t, answer{info: []string{"+CPIN: READY"}}, m.exchange(c, "+CPIN?", "\r\n+CPIN: READY\r\n"))
			require.Equal(t, graceCPIN, time.Since(began))
			next := command(c, "+CSQ", time.Second)
			m.hears("AT\r")
			if late {
				m.says("\r\nOK\r\n")
			}
			m.says("\r\nOK\r\n")
			if late {
				m.answersAT(1)
			}
			m.hears("AT+CSQ\r")
			m.says("\r\n+CSQ: 9,0\r\nOK\r\n")
			require.Equal(t, answer{info: []string{"+CSQ: 9,0"}}, <-next)
		}
		cpms := "+CPMS: \"SM\",1,20,\"SM\",1,20,\"SM\",1,20"
		require.Equal(t, answer{info: []string{cpms}}, m.exchange(c, "+CPMS?", "\r\n"+cpms+"\r\n"))
	})
}

// One that never says it is not waited for any more, until it does.
func TestCommand_CPINNeverWithOK(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		ready := answer{info: []string{"+CPIN: READY"}}
		settles := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			next := command(c, "E0", time.Second)
			m.answersAT(1)
			m.hears("ATE0\r")
			require.Equal(t, want, time.Since(began))
			m.says("\r\nOK\r\n")
			require.NoError(t, (<-next).err)
		}
		for range omitsToBelieve {
			require.Equal(t, ready, m.exchange(c, "+CPIN?", "\r\n+CPIN: READY\r\n"))
			settles(longHush)
		}
		for range 3 {
			require.Equal(t, ready, m.exchange(c, "+CPIN?", "\r\n+CPIN: READY\r\n"))
			settles(hush)
		}
		cpms := "+CPMS: \"SM\",1,20,\"SM\",1,20,\"SM\",1,20"
		for range omitsToBelieve - 1 {
			require.Equal(t, answer{info: []string{cpms}}, m.exchange(c, "+CPMS?", "\r\n"+cpms+"\r\n"))
			settles(longHush) // of this one nothing is known
		}
		require.Equal(t, answer{info: []string{cpms}}, m.exchange(c, "+CPMS?", "\r\n"+cpms+"\r\n"))
		late := command(c, "E0", time.Second)
		m.answersAT(1) // with the OK of AT+CPMS
		time.Sleep(2 * time.Second)
		m.says("\r\nOK\r\n") // AT's own
		m.answersAT(1)
		m.hears("ATE0\r")
		m.says("\r\nOK\r\n")
		require.NoError(t, (<-late).err)
		require.Equal(t, answer{info: []string{cpms}}, m.exchange(c, "+CPMS?", "\r\n"+cpms+"\r\n"))
		settles(longHush)
		require.Equal(t, answer{info: []string{cpms}}, m.exchange(c, "+CPMS?", "\r\n"+cpms+"\r\n"))
		settles(longHush)
		require.Equal(t, ready, m.exchange(c, "+CPIN?", "\r\n+CPIN: READY\r\n\r\nOK\r\n"))
		require.Equal(t, ready, m.exchange(c, "+CPIN?", "\r\n+CPIN: READY\r\n"))
		settles(longHush)
	})
}

func TestCommand_Pace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{Pace: 50 * time.Millisecond})
		m.exchange(c, "", "OK\r\n")
		began := time.Now()
		m.exchange(c, "", "OK\r\n")
		require.Equal(t, 50*time.Millisecond, time.Since(began))
	})
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		began := time.Now()
		for range 100 {
			m.exchange(c, "+CSQ", "+CSQ: 1,0\r\nOK\r\n")
		}
		require.Zero(t, time.Since(began), "nothing waits when nobody asked for it")
	})
}

// A line without end, and a flood of them, must not fill the memory.
func TestCommand_Floods(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		a := m.exchange(c, "+CGMR", strings.Repeat("x", 100_000)+"\r\nOK\r\n")
		require.NoError(t, a.err)
		require.Len(t, a.info, 1)
		require.Len(t, a.info[0], maxLine)

		done := command(c, "+CGMR", time.Minute)
		m.hears("AT+CGMR\r")
		for range maxInfo/1000 + 1 {
			m.says(strings.Repeat("y", 1000) + "\r\n")
		}
		require.ErrorIs(t, (<-done).err, errFlood)
		_, err := c.Command(t.Context(), "", time.Second)
		require.ErrorIs(t, err, ErrUnsynced)
	})
}

// A11: a hundred empty reads end the library's scanner, and the modem with it.
func TestPort_EmptyReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := &emptyPort{data: make(chan string), closed: make(chan struct{})}
		c := New(p, Options{})
		done := command(c, "+CSQ", time.Minute)
		synctest.Wait()
		time.Sleep(5 * time.Second)
		p.data <- "\r\n+CSQ: 3,0\r\nOK\r\n"
		require.Equal(t, answer{info: []string{"+CSQ: 3,0"}}, <-done)
		require.NoError(t, c.Close())
	})
}

// emptyPort is a port with a read timeout, as go.bug.st/serial makes one.
type emptyPort struct {
	data   chan string
	closed chan struct{}
}

func (p *emptyPort) Read(b []byte) (int, error) {
	select {
	case s := <-p.data:
		return copy(b, s), nil
	case <-p.closed:
		return 0, io.ErrClosedPipe
	default:
		return 0, nil
	}
}
func (p *emptyPort) Write(b []byte) (int, error) { return len(b), nil }
func (p *emptyPort) Close() error                { close(p.closed); return nil }

func TestPort_VanishesDuringACommand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		done := command(c, "+CSQ", time.Minute)
		m.hears("AT+CSQ\r")
		m.conn.Close()
		require.ErrorIs(t, (<-done).err, ErrGone)
		<-c.Gone()
		require.ErrorIs(t, c.Err(), ErrGone)
		_, err := c.Command(t.Context(), "+CSQ", time.Minute)
		require.ErrorIs(t, err, ErrGone)
		require.ErrorIs(t, c.Submit(t.Context(), []byte{1}, nil).Err, ErrGone)
		require.ErrorIs(t, c.Resync(t.Context()), ErrGone)
		require.ErrorIs(t, c.Escape(t.Context()), ErrGone)
		_, open := <-c.LateResult()
		require.False(t, open)
	})
}

func TestClose_WhileACommandRunsAndOthersWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		running := command(c, "+CSQ", time.Minute)
		m.hears("AT+CSQ\r")
		waiting := command(c, "+CREG?", time.Minute)
		syncing := resync(c)
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, (<-running).err, ErrGone)
		require.ErrorIs(t, (<-waiting).err, ErrGone)
		require.ErrorIs(t, <-syncing, ErrGone)
	})
}

func TestCommand_OneAfterTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, m := start(t, Options{})
		first, second := command(c, "+CSQ", time.Minute), command(c, "+CSQ", time.Minute)
		m.hears("AT+CSQ\r")
		m.hearsNothing()
		m.says("+CSQ: 1,0\r\nOK\r\n")
		m.hears("AT+CSQ\r")
		m.says("+CSQ: 1,0\r\nOK\r\n")
		require.NoError(t, (<-first).err)
		require.NoError(t, (<-second).err)
	})
}
