package tty

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// probeTries is how often a port is asked AT: modems sleep through the first.
const probeTries = 3

// probeAgain is the same in the rounds after the first, which come soon enough.
const probeAgain = 2

// probed is what a port answered.
type probed struct {
	imei string // "" when it says none
}

// errSilent: the port is no AT port, or its modem is not up yet.
var errSilent = errors.New("nothing answers AT")

// probe asks a port up to that many times whether it speaks AT, and who it is.
// wait is for one answer. The port is closed again.
func (s settings) probe(ctx context.Context, device string, wait time.Duration, tries int) (p probed, err error) {
	err = s.converse(ctx, device, func(port io.Writer, lines <-chan string) error {
		for try := range tries {
			command := "AT\r"
			if try > 0 {
				command = "\x1bAT\r" // out of a message that an earlier program began
			}
			_, ok, err := ask(ctx, port, lines, command, wait)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			// An identity that does not come is no reason to refuse the port. The
			// second question is for an OK that belonged to an AT of before.
			for range 2 {
				info, _, err := ask(ctx, port, lines, "AT+CGSN\r", 3*wait)
				if err != nil {
					return err
				}
				if p.imei = imei(info); p.imei != "" {
					break
				}
			}
			return nil
		}
		return fmt.Errorf("%s: %w", device, errSilent)
	})
	return p, err
}

// hush silences a port that nobody is going to read, and takes off what it has
// said already: of some sticks the buffer fills up and they crash. wait is for
// the answer, and again for the rest.
func (s settings) hush(ctx context.Context, device, command string, wait time.Duration) error {
	return s.converse(ctx, device, func(port io.Writer, lines <-chan string) error {
		_, ok, err := ask(ctx, port, lines, "AT"+command+"\r", wait)
		if err != nil {
			return err
		}
		rest := time.NewTimer(wait)
		defer rest.Stop()
		for {
			select {
			case _, open := <-lines:
				if !open {
					return ErrGone
				}
			case <-rest.C:
				if !ok {
					return fmt.Errorf("%s: %w", device, errSilent)
				}
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

// converse opens a port for what is asked of it line by line, and closes it.
func (s settings) converse(ctx context.Context, device string, talk func(port io.Writer, lines <-chan string) error) (err error) {
	port, err := s.open(ctx, device)
	if err != nil {
		return err
	}
	lines := make(chan string)
	over, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		readLines(over, port, lines)
	}()
	defer func() {
		stop()
		err = errors.Join(err, port.Close())
		<-ended
	}()
	return talk(port, lines)
}

// ask writes a command and collects lines until a final one, for at most wait;
// ok says that it was OK. An error means that the port is gone or ctx is over.
func ask(ctx context.Context, port io.Writer, lines <-chan string, command string, wait time.Duration) (info []string, ok bool, err error) {
	if _, err := port.Write([]byte(command)); err != nil {
		return nil, false, err
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	for {
		select {
		case line, open := <-lines:
			switch {
			case !open:
				return nil, false, ErrGone
			case line == "OK", line == "0": // ATV0
				return info, true, nil
			case line == "ERROR", line == "4", strings.HasPrefix(line, "+CME ERROR"):
				return info, false, nil
			case len(info) < 20:
				info = append(info, line)
			}
		case <-patience.C:
			return info, false, nil
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// readLines hands over what a port says, line by line, until it ends or ctx is
// over. What never ends a line is no modem's and is thrown away.
func readLines(ctx context.Context, port io.Reader, lines chan<- string) {
	defer close(lines)
	buf := make([]byte, 512)
	var rest []byte
	for {
		n, err := port.Read(buf)
		rest = append(rest, buf[:n]...)
		for {
			i := bytes.IndexAny(rest, "\r\n")
			if i < 0 {
				break
			}
			line := strings.TrimSpace(string(rest[:i]))
			rest = rest[i+1:]
			if line == "" {
				continue
			}
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
		if err != nil || ctx.Err() != nil {
			return
		}
		if len(rest) > 4096 {
			rest = rest[:0]
		}
	}
}

// imei finds 14 to 16 digits in the answer to AT+CGSN; clones say all zeros,
// which identifies none.
func imei(info []string) string {
	for _, line := range info {
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r < '0' || r > '9' }) {
			if len(word) >= 14 && len(word) <= 16 && strings.Trim(word, "0") != "" {
				return word
			}
		}
	}
	return ""
}

// holder says which process has a port, ours among them; nil when none is seen.
// It looks only, and so disturbs nobody.
func (s settings) holder(name string) *BusyError { return s.holderBy(name, opener) }

// holderBy is holder with another way to find who has a device open.
func (s settings) holderBy(name string, opener func(device string) int) *BusyError {
	device, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil // gone: opening says so
	}
	if e := s.lockHolder(device); e != nil {
		e.Name = name
		return e
	}
	for _, find := range []func(string) int{flocker, opener} {
		if pid := find(device); pid != 0 {
			return &BusyError{Name: name, PID: pid, Program: program(pid)}
		}
	}
	return nil
}

// ours says that it is this process that has the port.
func (e *BusyError) ours() bool { return e.PID == os.Getpid() }
