package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"recado/cmd/recado/console"
)

// consoleCmd is `recado console`.
type consoleCmd struct {
	configFlag
	dataFlag
	phoneFlag
	Command string        `short:"c" placeholder:"COMMAND" help:"Run one command and end: 'modem list'."`
	Idle    time.Duration `default:"10m" placeholder:"D" help:"End when nobody types for so long; 0 never (${default})."`
}

// Run serves the terminal that it was started on, or runs the one command.
func (c *consoleCmd) Run(ctx context.Context, t terminal) (err error) {
	ask, closer, err := attach(ctx, dataDir(c.Data), c.phoneFlag, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	o := console.Options{API: ask, Language: language(), ASCII: !unicodeLocale(), Idle: c.Idle, Secrets: t.In}
	if c.Idle == 0 {
		o.Idle = -1
	}
	if c.Command != "" {
		err := console.New(o).Exec(ctx, c.Command, t.Out)
		if wrong, ok := errors.AsType[*console.UsageError](err); ok {
			return usageError{wrong}
		}
		return err
	}
	in, ok := t.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		o.Plain = true
		return console.New(o).Run(ctx, struct {
			io.Reader
			io.Writer
		}{t.In, t.Out})
	}
	tty := &ttyStream{file: in, out: t.Out}
	o.Width, o.Height, _ = term.GetSize(int(in.Fd())) // 0×0 on a serial line: the console's default
	switch os.Getenv("TERM") {
	case "dumb", "unknown":
		o.Plain, o.Echo = true, tty.echo
	}
	restore, err := tty.prepare(o.Plain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	return console.New(o).Run(ctx, tty)
}

// locale is what the environment says of language and characters.
func locale() string {
	return cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))
}

func language() string {
	if strings.HasPrefix(locale(), "es") {
		return console.Spanish
	}
	return console.English
}

func unicodeLocale() bool {
	name := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return strings.Contains(name, "utf-8") || strings.Contains(name, "utf8")
}

// ttyStream is the process's terminal with reads that can be bounded. Go's own deadlines would
// need O_NONBLOCK on a file that the shell shares.
type ttyStream struct {
	file     *os.File
	out      io.Writer
	deadline atomic.Int64 // Unix ns; 0 none
}

// SetReadDeadline bounds reads, also one that waits already.
func (t *ttyStream) SetReadDeadline(at time.Time) error {
	t.deadline.Store(at.UnixNano())
	return nil
}

// Read waits for input in short steps, to see a deadline that was set meanwhile.
func (t *ttyStream) Read(p []byte) (int, error) {
	const step = 200 // ms
	fds := []unix.PollFd{{Fd: int32(t.file.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, step)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return 0, err
		case n > 0:
			return t.file.Read(p)
		}
		if at := t.deadline.Load(); at != 0 && time.Now().UnixNano() >= at {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// Write implements io.Writer.
func (t *ttyStream) Write(p []byte) (int, error) { return t.out.Write(p) }

// prepare puts the terminal in raw mode; a plain one keeps the kernel's line editing, but gives
// Ctrl-C as a character, so that it does not end the console (or the shell it is).
func (t *ttyStream) prepare(plain bool) (restore func() error, err error) {
	fd := int(t.file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	if plain {
		err = t.change(func(m *unix.Termios) { m.Lflag &^= unix.ISIG })
	} else {
		_, err = term.MakeRaw(fd)
	}
	return func() error { return term.Restore(fd, before) }, err
}

// echo switches what is typed to be shown.
func (t *ttyStream) echo(on bool) {
	// When it cannot be switched, a password is seen: no reason not to go on.
	_ = t.change(func(m *unix.Termios) {
		if on {
			m.Lflag |= unix.ECHO
		} else {
			m.Lflag &^= unix.ECHO
		}
	})
}

func (t *ttyStream) change(edit func(*unix.Termios)) error {
	fd := int(t.file.Fd())
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	edit(mode)
	return unix.IoctlSetTermios(fd, unix.TCSETS, mode)
}
