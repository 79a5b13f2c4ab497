package console

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/term"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// person types at one end of a stream and reads what comes. Everything waits for text that
// must appear, nothing for time.
type person struct {
	t    *testing.T
	rw   io.ReadWriter
	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{}
	from int // of seen: what expect has passed
}

func newPerson(t *testing.T, rw io.ReadWriter) *person {
	p := &person{t: t, rw: rw, more: make(chan struct{}, 1)}
	go func() {
		defer close(p.more)
		buf := make([]byte, 1024)
		for {
			n, err := rw.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// expect waits until the text appears after what was expected before.
func (p *person) expect(text string) {
	p.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		p.mu.Lock()
		rest := p.seen.String()[p.from:]
		at := strings.Index(rest, text)
		if at >= 0 {
			p.from += at + len(text)
		}
		p.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case _, open := <-p.more:
			if !open && !strings.Contains(p.all(), text) {
				p.t.Fatalf("the session ended before %q; seen: %q", text, rest)
			}
		case <-deadline:
			p.t.Fatalf("waited for %q; seen: %q", text, rest)
		}
	}
}

func (p *person) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *person) types(text string) {
	p.t.Helper()
	_, err := io.WriteString(p.rw, text)
	require.NoError(p.t, err)
}

// onPTY runs a session on a real pseudo-terminal in raw mode, as `recado console` does.
func onPTY(t *testing.T, o Options) (*person, <-chan error) {
	master, slave, err := pty.Open()
	require.NoError(t, err)
	t.Cleanup(func() { master.Close(); slave.Close() })
	_, err = term.MakeRaw(int(slave.Fd()))
	require.NoError(t, err)
	// Fd() took the file out of the poller; the session's reads need deadlines.
	own, err := os.OpenFile(slave.Name(), os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { own.Close() })
	ended := make(chan error, 1)
	go func() { ended <- New(o).Run(t.Context(), own) }()
	p := newPerson(t, master)
	t.Cleanup(func() { own.Close(); slave.Close(); master.Close() })
	return p, ended
}

const prompt = "? for help: "

func TestSessionOnATerminal(t *testing.T) {
	box := twoModems(t)
	p, ended := onPTY(t, Options{API: box})
	p.expect("Recado 1.2.3 on caja")
	p.expect("http://192.168.1.9:8080/")
	p.expect("Setup code: ABCD-EFGH")
	p.expect(" 1) State of the appliance")
	p.expect(prompt)

	p.types("3\r") // the menu's number for modem list
	p.expect("860000000000017")
	p.expect("held by smsd")
	p.expect(prompt)

	// Asked for, with the answer a person gives.
	p.types("send\r")
	p.expect("To: ")
	p.types("600111222\r")
	p.expect("Text: ")
	p.types("Hola\r")
	p.expect("Accepted: 0193, queued.")
	p.expect(prompt)

	// Ctrl-C gives up the question, the half line, and nothing else.
	p.types("send\r")
	p.expect("To: ")
	p.types("6001\x03")
	p.expect("Cancelled.")
	p.expect(prompt)
	p.types("half a li\x03")
	p.expect(prompt)
	p.types("frobnicate\r")
	p.expect(`no command "frobnicate"`)
	p.expect(prompt)

	// Editing: two characters too many taken back.
	p.types("paused\x7f\r")
	p.expect("Done.")
	p.expect(prompt)

	// The only administrator is proposed; the password is not shown, and asked for twice.
	p.types("password\r")
	p.expect("Person [jefa]: ")
	p.types("\r")
	p.expect("New password: ")
	p.types("correcto caballo\r")
	p.expect("Once more: ")
	p.types("correcto cebolla\r")
	p.expect("They are not the same")
	p.expect(prompt)
	p.types("password jefa\r")
	p.expect("New password: ")
	p.types("correcto caballo\r")
	p.expect("Once more: ")
	p.types("correcto caballo\r")
	p.expect("Done.")
	p.expect(prompt)

	// What cannot be undone is asked for once more.
	p.types("held discard\r")
	p.expect("Reason, or all: ")
	p.types("late\r")
	p.expect("Discard 4 messages for good? [y/N] ")
	p.types("\r")
	p.expect("Cancelled.")
	p.expect(prompt)
	p.types("clock trust\r")
	p.expect("[y/N] ")
	p.types("y\r")
	p.expect("operator")
	p.expect(prompt)
	for _, word := range []string{"y", "sure"} {
		p.types("clock trust 2027-11-22T12:00:00Z\r")
		p.expect("the last time known here")
		p.expect("type the word sure: ")
		p.types(word + "\r")
		if word == "y" {
			p.expect("Cancelled.")
		} else {
			p.expect("operator")
		}
		p.expect(prompt)
	}

	p.types("quit\r")
	p.expect("Goodbye.")
	require.NoError(t, <-ended)
	require.NotContains(t, p.all(), "correcto")
	require.Equal(t, []string{
		`POST /api/v1/messages {"text":"Hola","to":"600111222"}`,
		"POST /api/v1/sending/pause",
		`POST /control/users/jefa/password {"password":"correcto caballo"}`,
		"POST /api/v1/clock/trust {}",
		`POST /api/v1/clock/trust {"now":"2027-11-22T12:00:00Z","sure":true}`,
	}, box.wasAsked())
}

func TestLiveLogStopsAtAKey(t *testing.T) {
	for _, key := range []string{"x", "\x03", "\r"} {
		box := twoModems(t)
		lines, log := io.Pipe()
		box.log = lines
		p, ended := onPTY(t, Options{API: box})
		p.expect(prompt)
		p.types("log\r")
		p.expect("Press any key to stop.")
		_, err := io.WriteString(log, "level=INFO msg=\"a modem is ready\"\n")
		require.NoError(t, err)
		p.expect("a modem is ready")
		p.types(key)
		p.expect(prompt)
		p.types("quit\r")
		require.NoError(t, <-ended)
	}
}

func TestNobodyTypes(t *testing.T) {
	p, ended := onPTY(t, Options{API: twoModems(t), Idle: 50 * time.Millisecond})
	p.expect(prompt)
	p.expect("signed out")
	require.NoError(t, <-ended)
}

func TestEndOfInputEndsTheSession(t *testing.T) {
	p, ended := onPTY(t, Options{API: twoModems(t), Language: "es_ES.UTF-8"})
	p.expect("? para ayuda: ")
	p.types("\x04")
	p.expect("Hasta luego.")
	require.NoError(t, <-ended)
}

func TestPlainTerminal(t *testing.T) {
	box := twoModems(t)
	near, far := net.Pipe()
	var echo []bool
	o := Options{API: box, Plain: true, Echo: func(on bool) { echo = append(echo, on) }}
	ended := make(chan error, 1)
	go func() {
		defer near.Close()
		ended <- New(o).Run(t.Context(), near)
	}()
	p := newPerson(t, far)
	p.expect(prompt)
	p.types("lines\n")
	p.expect("Movistar")
	p.expect(prompt)
	p.types("half\x03\n") // the kernel hands Ctrl-C over with the line
	p.expect(prompt)
	p.types("password jefa\n")
	p.expect("New password: ")
	p.types("correcto caballo\n")
	p.expect("Once more: ")
	p.types("correcto caballo\n")
	p.expect("Done.")
	p.expect(prompt)
	p.types("quit\n")
	p.expect("Goodbye.")
	require.NoError(t, <-ended)
	far.Close()
	require.Equal(t, []bool{false, true, false, true}, echo)
	require.NotContains(t, p.all(), "\x1b", "no escape sequence on a plain terminal")
	require.NotContains(t, p.all(), "no command")
}

func TestTheEndOfTheProgramEndsTheSession(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		defer near.Close()
		ended <- New(Options{API: twoModems(t), Plain: true}).Run(ctx, near)
	}()
	p := newPerson(t, far)
	p.expect(prompt)
	cancel()
	require.NoError(t, <-ended)
}
