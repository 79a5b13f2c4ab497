package tty

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// script writes an executable that stands in for uhubctl or a relay's program.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay")
	// Written apart: a file that is open for writing anywhere cannot be run, and
	// a child that is being forked has all of ours open.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755)
	syscall.ForkLock.RUnlock()
	require.NoError(t, err)
	return path
}

func TestHubPort(t *testing.T) {
	for path, want := range map[string][2]string{
		"1-1.2": {"1-1", "2"}, "1-2": {"1", "2"}, "1-1.2.14": {"1-1.2", "14"}, "20-3": {"20", "3"},
	} {
		hub, port, err := hubPort(path)
		require.NoError(t, err)
		require.Equal(t, want, [2]string{hub, port}, path)
	}
	for _, path := range []string{"", "1", "-1", "1-", "1-1.", "1-1 -a off", "../1-1"} {
		_, _, err := hubPort(path)
		require.ErrorIs(t, err, ErrName, path)
	}
}

func TestPowerByUhubctl(t *testing.T) {
	t.Setenv("RECADO_SECRET", "1234")
	var ran []string
	var said string
	p := Power{
		Uhubctl: script(t, "echo \"$@\"; env | sort; pwd; exec >&-\n"),
		Said:    func(command []string, output string) { ran, said = command, output },
	}
	require.NoError(t, p.Check())
	require.NoError(t, p.Cycle(t.Context(), "1-1.2"))
	require.Equal(t, []string{p.Uhubctl, "-l", "1-1", "-p", "2", "-a", "cycle", "-d", "10"}, ran)
	require.True(t, strings.HasPrefix(said, "-l 1-1 -p 2 -a cycle -d 10\n"), said)
	require.Contains(t, said, "LC_ALL=C\n")
	require.NotContains(t, said, "RECADO")
	require.True(t, strings.HasSuffix(said, "\n/"), said)

	require.NoError(t, p.Cycle(t.Context(), "1-2"))
	require.Equal(t, []string{p.Uhubctl, "-l", "1", "-p", "2", "-a", "cycle", "-d", "10"}, ran)
	require.ErrorIs(t, p.Cycle(t.Context(), ""), ErrName)
}

func TestPowerFails(t *testing.T) {
	p := Power{Uhubctl: script(t, "echo 'No compatible devices detected' at \"$2\"'!' >&2; exit 1\n")}
	err := p.Cycle(t.Context(), "1-1.2")
	failed, ok := errors.AsType[*PowerError](err)
	require.True(t, ok)
	require.Equal(t, "No compatible devices detected at 1-1!", failed.Output)
	exit, ok := errors.AsType[*exec.ExitError](err)
	require.True(t, ok)
	require.Equal(t, 1, exit.ExitCode())
	require.EqualError(t, err, "cycle the power with relay: exit status 1: No compatible devices detected at 1-1!")

	p = Power{Uhubctl: script(t, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 3\n")}
	failed, ok = errors.AsType[*PowerError](p.Cycle(t.Context(), "1-1.2"))
	require.True(t, ok)
	require.LessOrEqual(t, len(failed.Output), tailSize)
	require.True(t, strings.HasSuffix(failed.Output, "line 2999"), "the end is kept")
	require.NotContains(t, failed.Output, "line 1\n")
}

func TestPowerByHook(t *testing.T) {
	show := script(t, `for a in "$@"; do printf '[%s]' "$a"; done`)
	for _, row := range []struct {
		hook       []string
		path, want string
	}{
		{[]string{show}, "1-1.2", "[1-1.2][usb:1-1.2:2]"},
		{[]string{show, "-x", "a b; rm -rf $HOME"}, "1-1.2", "[-x][a b; rm -rf $HOME][1-1.2][usb:1-1.2:2]"},
		{[]string{show, "--socket={path}", "{port}={port}"}, "1-1.2", "[--socket=1-1.2][usb:1-1.2:2=usb:1-1.2:2]"},
		{[]string{show}, "", "[][usb:1-1.2:2]"},
	} {
		var said string
		p := Power{Hook: row.hook, Port: "usb:1-1.2:2", Said: func(_ []string, output string) { said = output }}
		require.NoError(t, p.Check())
		require.NoError(t, p.Cycle(t.Context(), row.path))
		require.Equal(t, row.want, said)
	}
}

// A socket on the LAN wants a password: no error shows it, also where the command
// prints it, and where all was written as one.
func TestPowerErrorsShowNoArgument(t *testing.T) {
	const secret = "hunter2"
	fails := script(t, `echo "curl: (7) admin:hunter2@socket: $*" >&2; exit 7`+"\n")
	folder := t.TempDir()
	for _, hook := range [][]string{
		{fails, "-u", "admin:" + secret},
		{"curl", "-u", "admin:" + secret},
		{"curl -u admin:" + secret},
		{"/nowhere/curl -u admin:" + secret},
		{"/nowhere/curl", "-u", "admin:" + secret},
		{folder, "-u", "admin:" + secret},
		{fails + "/relay -u admin:" + secret}, // not a folder
	} {
		err := Power{Hook: hook, Port: "usb:1-1.2:2"}.Cycle(t.Context(), "1-1.2")
		require.Error(t, err)
		for ; err != nil; err = errors.Unwrap(err) {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
		}
		if err := (Power{Hook: hook}).Check(); err != nil {
			require.NotContains(t, err.Error(), secret)
		}
	}
	err := Power{Hook: []string{fails, "-u", secret}, Port: "x"}.Cycle(t.Context(), "1-1.2")
	require.EqualError(t, err, "cycle the power with relay: exit status 7")
}

func TestPowerCheck(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o644))
	for _, row := range []struct {
		hook []string
		says string
	}{
		{[]string{}, "no full path"},
		{[]string{"relay", "on"}, "no full path"},
		{[]string{"/nowhere/relay"}, "no such file"},
		{[]string{plain}, "no executable file"},
		{[]string{t.TempDir()}, "no executable file"},
	} {
		require.ErrorContains(t, Power{Hook: row.hook}.Check(), row.says)
		require.ErrorContains(t, Power{Hook: row.hook}.Cycle(t.Context(), "1-1.2"), row.says)
	}
}

// alive says that a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// readPID waits for a script to write its child's number.
func readPID(t *testing.T, file string) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasSuffix(string(text), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	}, 10*time.Second, time.Millisecond)
	return pid
}

// The whole process group ends with ctx: first asked, then killed.
func TestPowerEndsWithItsContext(t *testing.T) {
	for _, row := range []struct{ what, trap string }{
		{"it ends when it is told to", ""},
		{"it does not", "trap '' TERM\n"},
	} {
		t.Run(row.what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			p := Power{
				Hook:  []string{script(t, row.trap+"sleep 600 &\necho $! > "+file+"\nwait\nwait\n")},
				Grace: 100 * time.Millisecond,
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			stopping := errors.New("stopping")
			done := make(chan error)
			go func() { done <- p.Cycle(ctx, "1-1.2") }()
			pid := readPID(t, file)
			require.True(t, alive(pid))
			cancel(stopping)
			require.ErrorIs(t, <-done, stopping)
			require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, time.Millisecond, "its child lives on")
		})
	}
}

// A command that hangs is given up after its time, and uhubctl's port is then
// switched on again: it was between off and on.
func TestPowerTakesTooLong(t *testing.T) {
	var ran [][]string
	p := Power{
		Uhubctl: script(t, "case \"$*\" in *cycle*) exec sleep 600;; esac\n"),
		Timeout: 200 * time.Millisecond, Grace: 5 * time.Second,
		Said: func(command []string, _ string) { ran = append(ran, command[1:]) },
	}
	err := p.Cycle(t.Context(), "1-1.2")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "longer than 200ms")
	require.Equal(t, [][]string{
		{"-l", "1-1", "-p", "2", "-a", "cycle", "-d", "10"},
		{"-l", "1-1", "-p", "2", "-a", "on"},
	}, ran)
}

// What a hook leaves running on purpose, as gpioset does to keep a line, does not
// hold the cycle up, though it has our pipe; and it is left running.
func TestPowerLeavesADaemonAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	p := Power{Hook: []string{script(t, "sleep 600 &\necho $! > "+file+"\n")}}
	require.NoError(t, p.Cycle(t.Context(), "1-1.2"))
	pid := readPID(t, file)
	require.True(t, alive(pid))
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
}

func TestPowerLeavesNothingOpen(t *testing.T) {
	p := Power{Hook: []string{script(t, "echo done\n")}}
	require.NoError(t, p.Cycle(t.Context(), "1-1.2"))
	before := descriptors(t)
	for range 20 {
		require.NoError(t, p.Cycle(t.Context(), "1-1.2"))
	}
	require.Equal(t, before, descriptors(t))
}

func FuzzUSBPath(f *testing.F) {
	for _, s := range []string{"1-1.2", "1-2", "", "1-", "1--2", "1-1.2:1.0", "1-1..2", "1-1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		hub, port, err := hubPort(path)
		if err != nil {
			require.False(t, validUSBPath(path))
			return
		}
		require.NotContains(t, path, "/")
		require.NotEmpty(t, hub)
		require.False(t, strings.HasPrefix(hub, "-") || strings.HasPrefix(port, "-"), "an option for uhubctl")
		require.True(t, path == hub+"."+port || path == hub+"-"+port)
	})
}
