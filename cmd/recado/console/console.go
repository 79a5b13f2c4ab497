// Package console is what a technician sees on a terminal or a serial line: a numbered menu
// and the same as commands, over the appliance's control socket. It shows no message's
// text. It asks nothing of the terminal but that it shows characters.
package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/term"
)

// Options of a Console. API is needed.
type Options struct {
	API API
	// Language is es or en, or a locale that begins so; English else.
	Language string
	// ASCII keeps to the characters of the oldest terminals.
	ASCII bool
	// Plain is for terminals without a cursor and for pipes: no editing, no history.
	Plain bool
	// Echo switches a plain terminal's echo off and on, for passwords; nil: there is none.
	Echo func(on bool)
	// Width and Height of the terminal; 80×24 when 0.
	Width, Height int
	// Idle ends a session in which nobody types: 10 minutes when 0, never when negative.
	Idle time.Duration
	// Secrets is where Exec reads a password or a PIN, a line; nil: nowhere.
	Secrets io.Reader
}

// Console is the menu and its commands.
type Console struct{ o Options }

// New makes a console.
func New(o Options) *Console {
	if o.Idle == 0 {
		o.Idle = 10 * time.Minute
	}
	if o.Width <= 0 || o.Height <= 0 {
		o.Width, o.Height = 80, 24
	}
	return &Console{o: o}
}

// errQuit ends a session.
var errQuit = errors.New("quit")

// UsageError is a command that does not exist or lacks something.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// session is one person at one terminal, or one command of a script.
type session struct {
	*Console
	ctx      context.Context
	out      io.Writer
	in       lineReader // nil in a script
	language string
}

// Exec runs one command without asking anything: the scriptable twin of the menu.
func (c *Console) Exec(ctx context.Context, line string, out io.Writer) error {
	s := &session{Console: c, ctx: ctx, out: c.charset(out), language: c.o.Language}
	cmd, args, ok := find(line)
	if !ok {
		return &UsageError{s.say("unknown", strings.TrimSpace(line))}
	}
	if err := s.check(cmd, args); err != nil {
		return err
	}
	if err := cmd.run(s, args); !errors.Is(err, errQuit) {
		return err
	}
	return nil
}

// Run is a session over any stream: banner, menu, commands, until quit, the end of the
// stream, or nobody types. A terminal must be in raw mode unless Plain. Ctrl-C gives up what
// is being typed or shown, never the session.
func (c *Console) Run(ctx context.Context, rw io.ReadWriter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := &keyboard{rw: rw, ctx: ctx, idle: c.o.Idle}
	if d, ok := rw.(deadliner); ok {
		// The end of ctx wakes a read that waits.
		stop := context.AfterFunc(ctx, func() { _ = d.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	s := &session{Console: c, ctx: ctx, language: c.o.Language}
	if c.o.Plain {
		s.out = c.charset(rw)
		s.in = &typewriter{keyboard: keys, in: bufio.NewReader(keys), out: s.out, echo: c.o.Echo}
	} else {
		t := term.NewTerminal(keys, "")
		if err := t.SetSize(c.o.Width, c.o.Height); err != nil {
			return err
		}
		s.out = c.charset(t)
		s.in = &editor{keyboard: keys, term: t}
	}
	s.banner()
	s.menu()
	for {
		line, err := s.in.ReadLine(s.text("menu.prompt"))
		switch {
		case errors.Is(err, errInterrupted):
			continue
		case idleOut(err) && ctx.Err() == nil:
			fmt.Fprintf(s.out, "\n%s\n", s.say("idle", c.o.Idle))
			return nil
		case err != nil && line == "":
			fmt.Fprintf(s.out, "\n%s\n", s.say("bye"))
			return nil
		}
		if strings.TrimSpace(line) == "" {
			s.menu()
			continue
		}
		if err := s.do(line); errors.Is(err, errQuit) {
			fmt.Fprintln(s.out, s.say("bye"))
			return nil
		}
	}
}

// do runs a line that a person typed; what goes wrong is shown, and the session goes on.
func (s *session) do(line string) error {
	cmd, args, ok := find(line)
	if !ok {
		fmt.Fprintln(s.out, s.say("unknown", strings.TrimSpace(line)))
		return nil
	}
	args, err := s.ask(cmd, args)
	if err == nil {
		err = s.check(cmd, args)
	}
	if err == nil {
		err = cmd.run(s, args)
	}
	switch {
	case errors.Is(err, errQuit):
		return err
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(s.out, s.say("cancelled"))
	case err != nil:
		fmt.Fprintln(s.out, s.say("error", err))
	}
	return nil
}

// ask completes a command's arguments, with defaults in [brackets].
func (s *session) ask(cmd command, args []string) ([]string, error) {
	for len(args) < len(cmd.args) {
		a := cmd.args[len(args)]
		if a.optional {
			break
		}
		prompt, proposed := s.text(a.prompt), ""
		if a.propose != nil {
			proposed = a.propose(s)
		}
		if proposed != "" {
			prompt += " [" + proposed + "]"
		}
		line, err := s.in.ReadLine(s.shown(prompt + ": "))
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSpace(line); line == "" {
			line = proposed
		}
		if line == "" {
			return nil, errInterrupted
		}
		args = append(args, line)
	}
	return args, nil
}

// check refuses what cannot work before anything is done.
func (s *session) check(cmd command, args []string) error {
	needed := 0
	for _, a := range cmd.args {
		if !a.optional {
			needed++
		}
	}
	if len(args) < needed || len(args) > len(cmd.args) {
		return s.use(cmd)
	}
	if cmd.needs && s.o.API.Alone() {
		return errors.New(s.text("alone"))
	}
	return nil
}

// text is a text of the console in the session's language.
func (s *session) text(key string) string { return s.shown(words[key].in(s.language)) }

// say is a text with its values.
func (s *session) say(key string, values ...any) string {
	return s.shown(fmt.Sprintf(words[key].in(s.language), values...))
}
