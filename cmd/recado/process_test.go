package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/cmd/recado/internal/child"
)

// The test binary is recado when it is told so: what the tests run is the real program, race
// detector included, in a process of its own.
func TestMain(m *testing.M) {
	switch os.Getenv("RECADO_IS_THE_PROGRAM") {
	case "yes":
		main()
	case "timerslack":
		sayTimerSlack()
	}
	// Much of the time is waiting: more boxes than processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func program(args ...string) *exec.Cmd {
	command := exec.Command(os.Args[0], args...)
	command.Env = []string{"RECADO_IS_THE_PROGRAM=yes", "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC"}
	return command
}

// result of a subcommand that ends.
type result struct {
	code     int
	out, err string
}

// recado runs a subcommand to its end.
func recado(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	command := program(args...)
	command.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok {
		require.NoError(t, err)
	} else {
		require.True(t, exit.Exited(), "%s: %s", exit, errs.String())
	}
	return result{command.ProcessState.ExitCode(), out.String(), errs.String()}
}

// done is recado for what must succeed; it gives standard output.
func done(t *testing.T, args ...string) string {
	t.Helper()
	r := recado(t, "", args...)
	require.Zero(t, r.code, "recado %v: %s", args, r.err)
	return r.out
}

// patience with another process: a busy machine takes long, and what does not come does not
// come either way.
const patience = 2 * time.Minute

// process is a recado that goes on running.
type process struct {
	*child.Process
	t *testing.T
}

// launch starts it; the test's end kills it.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	return launchWith(t, nil, args...)
}

func launchWith(t *testing.T, environment []string, args ...string) *process {
	t.Helper()
	command := program(args...)
	command.Env = append(command.Env, environment...)
	p := &process{child.Start(t, command), t}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("recado %v said:\n%s", args, p.Output())
		}
	})
	return p
}

// says waits until the process has said something, and gives what the pattern's group holds.
func (p *process) says(pattern string) string {
	p.t.Helper()
	said, ok := p.Says(pattern, patience)
	require.True(p.t, ok, "it did not say %q:\n%s", pattern, p.Output())
	return said
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.Command.Process.Signal(s))
}

// ends waits for its end and gives the exit code.
func (p *process) ends(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.Ended:
		return p.Command.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("it did not end within %s:\n%s", within, p.Output())
		return -1
	}
}

// appliance is a running `recado serve`.
type appliance struct {
	*process
	data string
	url  string // without the last slash
	key  string
}

// serving starts a daemon on a data folder and waits until it is ready.
func serving(t *testing.T, data string, args ...string) *appliance {
	t.Helper()
	d := startServing(t, data, args...)
	d.key = strings.TrimSpace(done(t, "key", "create", "--name", "test", "--scope", "admin", "--data", data))
	return d
}

func startServing(t *testing.T, data string, args ...string) *appliance {
	t.Helper()
	all := append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--trust-clock"}, args...)
	d := &appliance{process: launch(t, all...), data: data}
	d.url = d.says(`(?m)^Open (http://127\.0\.0\.1:\d+)/$`)
	d.says(`msg=ready`)
	return d
}

// ask does a request with the test's key and reads the answer into out (nil: not wanted).
func (d *appliance) ask(method, path string, in, out any) int {
	d.t.Helper()
	status, err := d.try(method, path, in, out)
	require.NoError(d.t, err)
	return status
}

func (d *appliance) try(method, path string, in, out any) (int, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, d.url+path, body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+d.key)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if out != nil {
		if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
			return answer.StatusCode, err
		}
	}
	return answer.StatusCode, nil
}

// eventually asks until the condition holds: the other side is another process.
func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 20*time.Millisecond, what)
}

// lines waits until so many lines can send.
func (d *appliance) lines(n int) {
	d.t.Helper()
	eventually(d.t, func() bool {
		var status struct {
			LinesReady int `json:"lines_ready"`
		}
		d.ask("GET", "/api/v1/status", nil, &status)
		return status.LinesReady == n
	}, "lines ready")
}

// posted is what the API answered to a message.
type posted struct {
	Messages []apiMessage `json:"messages"`
}

type apiMessage struct {
	ID       string  `json:"id"`
	To       string  `json:"to"`
	Text     string  `json:"text"`
	State    string  `json:"state"`
	SIM      *string `json:"sim"`
	Segments []struct {
		N     int    `json:"n"`
		State string `json:"state"`
		MR    *int   `json:"mr"`
	} `json:"segments"`
	PossibleDuplicate bool `json:"possible_duplicate"`
}

// send posts one message and gives its id.
func (d *appliance) send(to, text string) string {
	d.t.Helper()
	var out posted
	require.Equal(d.t, http.StatusAccepted, d.ask("POST", "/api/v1/messages", map[string]any{"to": to, "text": text}, &out))
	require.Len(d.t, out.Messages, 1)
	return out.Messages[0].ID
}

func (d *appliance) message(id string) apiMessage {
	d.t.Helper()
	var m apiMessage
	require.Equal(d.t, http.StatusOK, d.ask("GET", "/api/v1/messages/"+id, nil, &m))
	return m
}

// becomes waits for a message's state.
func (d *appliance) becomes(id, state string) {
	d.t.Helper()
	eventually(d.t, func() bool { return d.message(id).State == state }, "message "+state)
}

func dataFolder(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }
