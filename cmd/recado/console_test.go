package main

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// technician is somebody at a terminal on which `recado console` runs.
type technician struct {
	t     *testing.T
	line  *os.File
	mu    sync.Mutex
	seen  bytes.Buffer
	from  int
	ended chan struct{}
	code  int
}

// atTerminal starts the console on a new pseudo-terminal, as a getty would.
func atTerminal(t *testing.T, environment []string, args ...string) *technician {
	t.Helper()
	command := program(append([]string{"console"}, args...)...)
	command.Env = append(command.Env, environment...)
	line, err := pty.StartWithSize(command, &pty.Winsize{Rows: 24, Cols: 80})
	require.NoError(t, err)
	p := &technician{t: t, line: line, ended: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := line.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return // EIO: the last one closed the terminal
			}
		}
	}()
	go func() {
		defer close(p.ended)
		_ = command.Wait()
		p.code = command.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-p.ended
		line.Close()
		<-read
	})
	return p
}

func (p *technician) types(text string) {
	p.t.Helper()
	_, err := p.line.WriteString(text)
	require.NoError(p.t, err)
}

// sees waits for a text after the one it saw before.
func (p *technician) sees(text string) {
	p.t.Helper()
	eventually(p.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		at := strings.Index(p.seen.String()[p.from:], text)
		if at < 0 {
			return false
		}
		p.from += at + len(text)
		return true
	}, text)
}

func (p *technician) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *technician) ends() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.code
	case <-time.After(20 * time.Second):
		p.t.Fatalf("the console did not end: %q", p.all())
		return -1
	}
}

const consolePrompt = "? for help: "

func TestConsoleOnATerminal(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data, "--emulate", "1")
	d.lines(1)
	code := d.says(`Setup code: (\S+)`)

	p := atTerminal(t, []string{"TERM=vt102"}, "--data", data)
	p.sees("Recado ")
	p.sees(d.url)
	p.sees(code)
	p.sees(consolePrompt)
	p.types("modem list\r")
	p.sees("emulated:0")
	p.sees(consolePrompt)
	p.types("\x03\x03\x03")
	p.sees(consolePrompt)
	p.types("send 600111222 Llegaremos tarde\r")
	p.sees("Accepted: ")
	p.sees(consolePrompt)
	eventually(t, func() bool {
		var sent struct{ Items []apiMessage }
		d.ask("GET", "/api/v1/messages?state=delivered", nil, &sent)
		return len(sent.Items) == 1
	}, "the message delivered")
	p.types("modem trace 1 200\r")
	p.sees("AT+CMGS=")
	p.sees(consolePrompt)
	p.types("sim name 1 Sala\r")
	p.sees("Done.")
	p.sees(consolePrompt)
	p.types("lines\r")
	p.sees("Sala")
	p.sees(consolePrompt)
	p.types("pause\r")
	p.sees("Done.")
	p.sees(consolePrompt)
	require.Contains(t, done(t, "status", "--data", data), "paused")
	p.types("resume\r")
	p.sees("Done.")
	p.sees(consolePrompt)
	p.types("log\r")
	p.sees("Press any key")
	p.types("\x03")
	p.sees(consolePrompt)
	p.types("queue\r")
	p.sees("*********222")
	p.sees(consolePrompt)

	// A password that was forgotten: set here, without the old one.
	r := recado(t, "una contraseña bastante larga\n", "user", "create", "--name", "ana", "--role", "admin", "--data", data)
	require.Zero(t, r.code, r.err)
	p.types("password\r")
	p.sees("Person [ana]: ")
	p.types("\r")
	for _, prompt := range []string{"New password: ", "Once more: "} {
		p.sees(prompt)
		p.types("otra contrasena igual de larga\r")
	}
	p.sees("Done.")
	p.sees(consolePrompt)
	p.types("quit\r")
	p.sees("Goodbye.")
	require.Zero(t, p.ends())
	require.NotContains(t, p.all(), "otra contrasena")
	require.NotContains(t, strings.ReplaceAll(p.all(), "send 600111222 Llegaremos tarde", ""), "Llegaremos", "no message's text")
}

func TestConsoleOnADumbTerminal(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	serving(t, data, "--emulate", "1").lines(1)
	p := atTerminal(t, []string{"TERM=dumb", "LANG=es_ES"}, "--data", data)
	p.sees("para ayuda: ") // "Número" without its accent: the locale knows no UTF-8
	p.types("\x03\n")
	p.sees("para ayuda: ")
	p.types("lines\n")
	p.sees("Recado Red")
	p.sees("para ayuda: ")
	p.types("pin 1\n")
	p.sees("PIN: ")
	p.types("9876\n")
	p.sees("para ayuda: ")
	p.types("quit\n")
	p.sees("Hasta luego.")
	require.Zero(t, p.ends())
	require.NotContains(t, p.all(), "\x1b")
	require.NotContains(t, p.all(), "9876")
	for _, r := range p.all() {
		require.Less(t, r, rune(0x80))
	}
}

func TestConsoleEndsWhenNobodyTypesOrTheProgramIsStopped(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	serving(t, data)
	p := atTerminal(t, []string{"TERM=vt102"}, "--data", data, "--idle", "300ms")
	p.sees("signed out")
	require.Zero(t, p.ends())

	command := program("console", "--data", data)
	line, err := pty.Start(command)
	require.NoError(t, err)
	defer line.Close()
	buf := make([]byte, 1)
	_, err = line.Read(buf)
	require.NoError(t, err)
	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	go func() {
		for {
			if _, err := line.Read(make([]byte, 256)); err != nil {
				return
			}
		}
	}()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("SIGTERM did not end the console")
	}
}

func TestConsoleCommandsForScripts(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := serving(t, data, "--emulate", "1")
	d.lines(1)
	require.Contains(t, done(t, "console", "-c", "modem list", "--data", data), "emulated:0")
	require.Contains(t, done(t, "console", "-c", "modem show 1", "--data", data), "imei")
	require.Contains(t, done(t, "console", "-c", "sim show 1", "--data", data), "iccid")
	require.Contains(t, done(t, "console", "-c", "sim disable 1", "--data", data), "Done.")
	d.lines(0)
	require.Contains(t, done(t, "console", "-c", "sim enable 1", "--data", data), "Done.")
	d.lines(1)
	require.Contains(t, done(t, "console", "-c", "modem restart 1", "--data", data), "Done.")
	d.lines(1)
	r := recado(t, "una contraseña bastante larga\n", "user", "create", "--name", "ana", "--role", "admin", "--data", data)
	require.Zero(t, r.code, r.err)
	r = recado(t, "otra contraseña bastante larga\n", "console", "-c", "password ana", "--data", data)
	require.Zero(t, r.code, r.err)
	r = recado(t, "corta\n", "console", "-c", "password ana", "--data", data)
	require.Equal(t, 1, r.code)
	r = recado(t, "otra contraseña bastante larga\n", "console", "-c", "password nadie", "--data", data)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "no such person")

	// A pipe is served too, line by line.
	r = recado(t, "lines\nfrob\nquit\n", "console", "--data", data)
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "Recado Red")
	require.Contains(t, r.out, `no command "frob"`)
}
