package tty

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// powerTimeout is for one power cycle: uhubctl takes its ten seconds without
// power and a few more.
const powerTimeout = 60 * time.Second

// powerOff is how long uhubctl keeps a port without power, in seconds: modems
// have capacitors.
const powerOff = 10

// Power cuts the power of a modem for a moment: by uhubctl, where the hub
// switches the power of single ports, or by an operator's own command, which
// works a relay or a GPIO line. No shell is involved.
type Power struct {
	// Hook is the operator's command, its full path first. {path} in an argument
	// stands for the USB path (1-1.2, "" when the modem is on no USB socket),
	// {port} for the port's name; without either both are appended as two
	// arguments, in this order. Exit status 0 says that the power is back.
	// nil: uhubctl is used.
	Hook []string
	// Uhubctl is the path of uhubctl; it is looked for when "".
	Uhubctl string
	// Port is the port's name, for the hook.
	Port string
	// Timeout is for one cycle, 60 s when 0; Grace how long the command has to
	// put the power back on after it was told to end, 3 s when 0.
	Timeout, Grace time.Duration
	// Said gets what was run and the end of what it printed, at most 4 KiB, also
	// when all went well; nil: nobody wants it. Of a hook either may hold secrets:
	// they are not for a log.
	Said func(command []string, output string)
}

// PowerError is a power cycle that failed. It has none of an operator's
// arguments, which may be a password, and none of what that command printed,
// which may repeat them: it ends in logs, histories and support bundles.
type PowerError struct {
	Program string // the command's name, without its folder and its arguments
	Output  string // the end of what uhubctl printed, at most 4 KiB; "" of an operator's command
	Err     error  // why: *exec.ExitError, a context's cause, an error of its start
}

func (e *PowerError) Error() string {
	text := fmt.Sprintf("cycle the power with %s: %v", e.Program, e.Err)
	if e.Output != "" {
		text += ": " + strings.Join(strings.Fields(e.Output), " ")
	}
	return text
}

// Unwrap gives why.
func (e *PowerError) Unwrap() error { return e.Err }

// Check says why this Power cannot work at all, nil when it may: the command is
// not there, or is not executable.
func (p Power) Check() error {
	if p.Hook == nil {
		_, err := p.uhubctl()
		return err
	}
	if len(p.Hook) == 0 || !filepath.IsAbs(p.Hook[0]) {
		return fmt.Errorf("the command that cycles the power, %q, has no full path: write it as in /usr/local/bin/relay", p.program())
	}
	info, err := os.Stat(p.Hook[0])
	switch failed := (*fs.PathError)(nil); {
	case errors.As(err, &failed):
		return fmt.Errorf("the command that cycles the power, %s: %w", p.program(), failed.Err)
	case err != nil:
		return fmt.Errorf("the command that cycles the power, %s, cannot be looked at", p.program())
	case info.IsDir() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("the command that cycles the power: %s is no executable file", p.program())
	}
	return nil
}

// program is the hook's, without arguments, also where somebody wrote them all
// into one; "" when there is none.
func (p Power) program() string {
	if len(p.Hook) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(p.Hook[0], " ")
	return name
}

// uhubctl is its path. /usr/sbin is in no ordinary person's PATH.
func (p Power) uhubctl() (string, error) {
	if p.Uhubctl != "" {
		return p.Uhubctl, nil
	}
	for _, dir := range filepath.SplitList(powerPath) {
		path := filepath.Join(dir, "uhubctl")
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	return "", errors.New("uhubctl is not installed: apt install uhubctl, or name a command of your own that cycles the power")
}

// powerPath is where commands are looked for, and the PATH that they get.
const powerPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Cycle cuts the power of what is plugged in at a USB path ("1-1.2"; only a hook
// can do without one) and returns when it is back. The device itself need not be
// there: one that has crashed off the bus is what this is for. When ctx ends the
// command is told to end, with all that it started, and is killed when it does
// not; uhubctl's port is then switched on again.
func (p Power) Cycle(ctx context.Context, usbPath string) error {
	if p.Hook != nil {
		if err := p.Check(); err != nil {
			return err
		}
		return p.run(ctx, hookArguments(p.Hook, usbPath, p.Port))
	}
	hub, port, err := hubPort(usbPath)
	if err != nil {
		return err
	}
	program, err := p.uhubctl()
	if err != nil {
		return err
	}
	err = p.run(ctx, []string{program, "-l", hub, "-p", port, "-a", "cycle", "-d", strconv.Itoa(powerOff)})
	if errors.Is(err, errCut) {
		// It ended between off and on, as likely as not.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(p.Grace, 3*time.Second))
		defer cancel()
		err = errors.Join(err, p.run(after, []string{program, "-l", hub, "-p", port, "-a", "on"}))
	}
	return err
}

// hookArguments puts the USB path and the port's name into a command.
func hookArguments(hook []string, path, port string) []string {
	placed := false
	list := []string{hook[0]}
	for _, argument := range hook[1:] {
		placed = placed || strings.Contains(argument, "{path}") || strings.Contains(argument, "{port}")
		list = append(list, strings.NewReplacer("{path}", path, "{port}", port).Replace(argument))
	}
	if !placed {
		list = append(list, path, port)
	}
	return list
}

// hubPort is the hub and its port that a USB path ends in, as uhubctl names
// them: 1-1.2 is port 2 of the hub 1-1, 1-2 is port 2 of the root hub 1.
func hubPort(path string) (hub, port string, err error) {
	if !validUSBPath(path) {
		return "", "", fmt.Errorf("cycle the power of %q: %w; uhubctl needs a USB path such as 1-1.2", path, ErrName)
	}
	i := strings.LastIndexAny(path, "-.")
	return path[:i], path[i+1:], nil
}

// run runs a command to its end, or ctx's.
func (p Power) run(ctx context.Context, command []string) (err error) {
	limit := cmp.Or(p.Timeout, powerTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	var output tail
	defer func() {
		if p.Said != nil {
			p.Said(command, output.text())
		}
		if err != nil {
			failed := &PowerError{Program: filepath.Base(command[0]), Err: err}
			if p.Hook == nil {
				failed.Output = output.text()
			}
			err = failed
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + powerPath, "LC_ALL=C"} // nothing of ours: RECADO_… may have secrets
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A child of the command may keep its output open, and a line of gpioset on.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil
		}
		return err
	case <-ctx.Done():
	}
	group := -cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // it may have ended meanwhile
	grace := time.NewTimer(cmp.Or(p.Grace, 3*time.Second))
	defer grace.Stop()
	select {
	case <-ended:
		// What it started and did not wait for.
		_ = syscall.Kill(group, syscall.SIGKILL)
	case <-grace.C:
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-ended
	}
	return fmt.Errorf("%w: %w", errCut, context.Cause(ctx))
}

// errCut: a command was ended by us.
var errCut = errors.New("it was ended before it was through")

// tail keeps the last 4 KiB that were written to it; exec writes from one
// goroutine, which has ended when Wait returns.
type tail struct{ kept []byte }

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// text is what was kept, fit to be shown.
func (t *tail) text() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(bytes.ReplaceAll(t.kept, []byte{0}, nil)), "?"))
}
