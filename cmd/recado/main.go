// Command recado is an SMS appliance: it sends and receives texts over the modems of
// one box, for people at a browser and for applications at an HTTP API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // quiet hours are by the recipients' zones, whatever the system has

	"github.com/alecthomas/kong"
)

// grammar is the command line. Scripts rely on it; so do the RECADO_… variables and the
// keys of the TOML file, which are made from its flags' names.
type grammar struct {
	Serve   serveCmd   `cmd:"" help:"Run the appliance."`
	Emulate emulateCmd `cmd:"" help:"Emulated modems for other programs, on ptys or TCP."`
	Console consoleCmd `cmd:"" help:"The technician's menu, on any terminal."`
	Key     struct {
		Create keyCreateCmd `cmd:"" help:"Make an API key; prints it and nothing else."`
	} `cmd:"" help:"API keys."`
	User struct {
		Create userCreateCmd `cmd:"" help:"Make an account; the password is read from stdin."`
	} `cmd:"" help:"People's accounts."`
	Send    sendCmd    `cmd:"" help:"Send one text."`
	Status  statusCmd  `cmd:"" help:"What the appliance is doing."`
	Doctor  doctorCmd  `cmd:"" help:"What is wrong with ports, modems, SIMs and networks, and what to do."`
	Backup  backupCmd  `cmd:"" help:"An encrypted copy of all data in one file."`
	Restore restoreCmd `cmd:"" help:"Bring the data of a backup back; what was not sent is held."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// terminal is what a subcommand talks to: the process's own streams, or a test's.
type terminal struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a wrong way of calling, as opposed to something that went wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	os.Exit(run(os.Args[1:], terminal{os.Stdin, os.Stdout, os.Stderr}))
}

// run parses, runs one subcommand and turns its error into a line and a code.
func run(args []string, t terminal) int {
	command, code, err := parse(args, t)
	if err == nil && command != nil {
		stop, cut, release := signals()
		defer release()
		command.BindTo(stop, (*context.Context)(nil))
		err = command.Run(t, hurry{cut})
	}
	if err == nil {
		return code
	}
	fmt.Fprintln(t.Err, "recado: "+oneLine(err))
	var parseErr *kong.ParseError
	var usage usageError
	if errors.As(err, &parseErr) || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// parse reads flags, environment and configuration file. A nil context without an error
// means that all is said already (--help).
func parse(args []string, t terminal) (command *kong.Context, code int, err error) {
	said := false
	parser, err := kong.New(&grammar{},
		kong.Name("recado"),
		kong.Description("An SMS appliance: texts over the modems of this box, from a browser or an HTTP API."),
		kong.Writers(t.Out, t.Err),
		kong.DefaultEnvars("RECADO"),
		kong.Exit(func(c int) { said, code = true, c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)
	if err != nil {
		return nil, exitFailed, fmt.Errorf("read the command line's grammar: %w", err)
	}
	command, err = parser.Parse(args)
	if said {
		return nil, code, nil
	}
	return command, exitDone, err
}

// hurry ends when the second signal came: what is still being waited for is given up.
type hurry struct{ context.Context }

// signals gives a context that the first SIGINT or SIGTERM ends, and one that the second ends.
// An interactive console keeps SIGINT away by putting its terminal in raw mode.
func signals() (stop, cut context.Context, release func()) {
	stop, cancelStop := context.WithCancelCause(context.Background())
	cut, cancelCut := context.WithCancelCause(context.Background())
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, cancel := range []context.CancelCauseFunc{cancelStop, cancelCut} {
			select {
			case s := <-got:
				cancel(fmt.Errorf("signal %q", s))
			case <-done:
				return
			}
		}
	}()
	return stop, cut, func() {
		signal.Stop(got)
		close(done)
		<-ended
		cancelStop(nil)
		cancelCut(nil)
	}
}

// oneLine keeps an error to the one line that scripts and logs expect.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
