// Package child is for tests: it runs a program in a process of its own and
// hears what that says.
package child

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Process is a program that runs until it ends or is ended.
type Process struct {
	Command *exec.Cmd
	// Ended closes when the process has ended, and all that it said was heard.
	Ended <-chan struct{}

	mu   sync.Mutex
	said bytes.Buffer  // on both outputs
	more chan struct{} // capacity 1
}

// Start runs a command, whose outputs it takes. The test's end kills it.
func Start(t testing.TB, command *exec.Cmd) *Process {
	t.Helper()
	ended := make(chan struct{})
	p := &Process{Command: command, Ended: ended, more: make(chan struct{}, 1)}
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	command.Stdout, command.Stderr = writer, writer
	err = command.Start()
	require.NoError(t, writer.Close())
	require.NoError(t, err)
	go func() {
		defer close(ended)
		defer reader.Close()
		for lines := bufio.NewReader(reader); ; {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.said.WriteString(line)
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
			if err != nil {
				break
			}
		}
		_ = command.Wait() // how it ended is read from ProcessState
	}()
	t.Cleanup(p.Kill)
	return p
}

// Output is what it has said until now.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// Says waits until the process has said something, and gives what the pattern's
// last group holds; false when it ends without, or does not say it in time.
func (p *Process) Says(pattern string, within time.Duration) (string, bool) {
	expression := regexp.MustCompile(pattern)
	deadline := time.After(within)
	for {
		over := p.Over()
		if m := expression.FindStringSubmatch(p.Output()); m != nil {
			return m[len(m)-1], true
		}
		if over {
			return "", false
		}
		select {
		case <-p.more:
		case <-p.Ended:
		case <-deadline:
			return "", false
		}
	}
}

// Over says that it has ended.
func (p *Process) Over() bool {
	select {
	case <-p.Ended:
		return true
	default:
		return false
	}
}

// Kill is SIGKILL, and its end.
func (p *Process) Kill() {
	_ = p.Command.Process.Kill()
	<-p.Ended
}
