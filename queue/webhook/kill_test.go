package webhook

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
)

const killEnv = "RECADO_TEST_WEBHOOK_VICTIM"

// victim delivers, and writes an event whenever it is told to; it says when that
// is on disk. It ends with its input.
func victim(path string) {
	say := func(v ...any) { _, _ = fmt.Fprintln(os.Stdout, v...) }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		say("error", err)
		return
	}
	w := &wall{}
	store, err := queue.New(ctx, db, queue.Options{Clock: w})
	if err != nil {
		say("error", err)
		return
	}
	o, err := New(ctx, db, store, Options{Clock: w, Key: testKey, Loopback: true})
	if err != nil {
		say("error", err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = o.Run(ctx) })
	say("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := store.Emit(ctx, "message.sent", map[string]string{"text": lines.Text()}); err != nil {
			say("error", err)
			return
		}
		say("kept", lines.Text())
	}
	cancel()
	running.Wait()
	_ = db.Close()
}

// program is a victim that runs.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	in    interface{ WriteString(string) (int, error) }
	close func() error
}

func start(t *testing.T, path string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), killEnv+"="+path)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	p.lines, p.in, p.close = bufio.NewScanner(out), in.(*os.File), in.Close
	require.True(t, p.lines.Scan())
	require.Equal(t, "ready", p.lines.Text())
	return p
}

// emit writes an event and waits until it is on disk; false: the program died
// first.
func (p *program) emit(name string) bool {
	if _, err := p.in.WriteString(name + "\n"); err != nil {
		return false
	}
	if !p.lines.Scan() {
		return false
	}
	require.Equal(p.t, "kept "+name, p.lines.Text())
	return true
}

// end waits for a program that was killed, or ends it.
func (p *program) end() {
	_ = p.close()
	for p.lines.Scan() {
		continue
	}
	_ = p.cmd.Wait()
}

// TestKilledBetweenAnswerAndMark kills the program while it waits for the answer
// to a request that has arrived: the next run delivers the same event under the
// same id. Then it kills at any time, under load: every event that was on disk
// arrives, and one that arrives twice has one id.
func TestKilledBetweenAnswerAndMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	s := newSink(t)
	func() { // the endpoint
		b := &bench{t: t, path: path, hand: newHand(), wall: &wall{}, stop: func() {}, change: func(*Options) {}}
		b.open()
		defer b.shut()
		b.add(s, "message.*")
	}()

	p := start(t, path)
	s.says(func(w http.ResponseWriter, _ request) {
		_ = p.cmd.Process.Kill()
		_, _ = p.cmd.Process.Wait()
	})
	require.True(t, p.emit("first"))
	first := s.next(t)
	p.end()
	s.status(200)
	p = start(t, path)
	again := s.next(t)
	require.Equal(t, first.id, again.id)
	require.Equal(t, first.raw, again.raw)

	kept := map[string]bool{}
	ids := map[string]map[string]bool{} // by text
	arrived := func(r request) {
		name := string(r.body.Data)
		if ids[name] == nil {
			ids[name] = map[string]bool{}
		}
		ids[name][r.id] = true
	}
	for round := range 12 {
		for i := range 20 {
			name := fmt.Sprintf("%d-%d", round, i)
			if i == 19-round { // while others are on their way
				go func(victim *os.Process) { _ = victim.Kill() }(p.cmd.Process)
			}
			if !p.emit(name) {
				break
			}
			kept[name] = true
		}
		p.end()
		p = start(t, path)
	}
	require.True(t, p.emit("last"))
	deadline := time.After(30 * time.Second)
	for missing := len(kept); missing > 0; {
		select {
		case r := <-s.got:
			arrived(r)
		case <-deadline:
			require.FailNow(t, "events were lost", "%d of %d", missing, len(kept))
		}
		missing = 0
		for name := range kept {
			if ids[`{"text":"`+name+`"}`] == nil {
				missing++
			}
		}
	}
	p.end()
	require.Greater(t, len(kept), 12*3)
	for name, set := range ids {
		require.Len(t, set, 1, "one event, one id: %s", strings.TrimSpace(name))
	}
}
