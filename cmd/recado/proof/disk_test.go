package proof

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite/shim"
)

// badDisk is a box whose database lies on a disk that can be made to fail: the
// shim stands between the program's SQLite and the C library.
type badDisk struct {
	*box
	fault       string // the shim's file
	environment []string
}

func newBadDisk(t *testing.T, modems int, terminals bool) *badDisk {
	t.Helper()
	d := &badDisk{box: newBox(t, modems, terminals, 150*time.Millisecond)}
	library, err := shim.Build(d.folder)
	require.NoError(t, err)
	d.fault = filepath.Join(d.folder, "fault")
	d.environment = shim.Env(library, "", d.fault)
	return d
}

// fails has the disk fail as f says; mends ends that.
func (d *badDisk) fails(f shim.Fault) {
	d.t.Helper()
	require.NoError(d.t, f.Set(d.fault))
}

func (d *badDisk) mends() {
	d.t.Helper()
	if err := os.Remove(d.fault); !errors.Is(err, fs.ErrNotExist) {
		require.NoError(d.t, err)
	}
}

// storage is what GET /status says of it.
func (d *badDisk) storage() (s struct{ State, Detail string }) {
	d.t.Helper()
	var status struct {
		Storage *struct{ State, Detail string }
	}
	status.Storage = &s
	require.NoError(d.t, d.get("/api/v1/status", &status))
	return s
}

// health is the HTTP status of /health/ready, and its check of the database.
func (d *badDisk) health() (status int, database string) {
	d.t.Helper()
	got, err := http.Get("http://" + d.listen + "/health/ready")
	require.NoError(d.t, err)
	defer got.Body.Close()
	var said struct {
		Checks []struct{ Name, Status string }
	}
	require.NoError(d.t, json.NewDecoder(got.Body).Decode(&said))
	for _, c := range said.Checks {
		if c.Name == "database" {
			database = c.Status
		}
	}
	return got.StatusCode, database
}

// overcomes waits until the file was opened anew n times in this daemon's life.
func (d *badDisk) overcomes(n int) {
	d.t.Helper()
	d.until("the database opened anew", 30*time.Second, func() bool {
		return strings.Count(d.daemon.Output(), openedAnew) >= n
	})
}

// sends waits until the network has taken so many more.
func (d *badDisk) sends(more int) {
	d.t.Helper()
	had := len(d.ledger())
	d.until("messages leave", 60*time.Second, func() bool { return len(d.ledger()) >= had+more })
}

const (
	openedAnew = "the database was opened anew"
	readOnly   = "the database is read-only from now on"
)

// TestTheDiskFailsOnce (R8): fsync or write of the log fails in the middle of the
// work. What was in that commit is undone and told so, the file is opened anew,
// and everything goes on; one line in the status says what happened.
func TestTheDiskFailsOnce(t *testing.T) {
	t.Parallel()
	for _, call := range []string{shim.OnSync, shim.OnWrite} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			d := newBadDisk(t, 4, call == shim.OnSync)
			require.True(t, d.start("", d.environment...))
			l := &load{b: d.box, classes: everyClass, long: 0.1, replied: 0.3, pause: 100 * time.Millisecond}
			l.start(6)
			d.sends(30)
			d.fails(shim.Fault{Call: call, Errno: syscall.EIO, Skip: rand.IntN(30), Times: 1, File: "-wal"})
			d.overcomes(1)
			d.mends()
			d.sends(60)
			s := d.storage()
			require.Equal(t, "ok", s.State)
			require.Contains(t, s.Detail, "check the disk")
			ready, database := d.health()
			require.Equal(t, http.StatusOK, ready)
			require.Equal(t, "warn", database)
			l.end()
			d.drain()
			require.Equal(t, 1, strings.Count(d.daemon.Output(), openedAnew))
			o := d.outcome()
			o.Drained = true
			d.holds(o)
			d.goesOn(o)
		})
	}
}

// goesOn: the failure was none of a submission, so that nothing is in doubt.
func (d *badDisk) goesOn(o outcome) {
	d.t.Helper()
	require.NotEmpty(d.t, o.Inbound)
	for _, a := range o.Attempts {
		require.NotEqual(d.t, "ambiguous", a.Outcome, "attempt %d of %s", a.ID, a.Message)
	}
	require.Empty(d.t, o.Retries)
}

// TestTheDiskFailsTwice (R8): after the second failure nothing is written, and so
// nothing is sent nor accepted, for all to see; what is there can be read. On a
// sound disk everything goes on, and what the network had answered meanwhile is
// uncertain and not lost.
func TestTheDiskFailsTwice(t *testing.T) {
	t.Parallel()
	d := newBadDisk(t, 4, false)
	require.True(t, d.start("", d.environment...))
	l := &load{b: d.box, classes: everyClass, long: 0.1, replied: 0.3, pause: 20 * time.Millisecond}
	l.start(6)
	d.sends(30)
	d.fails(shim.Fault{Call: shim.OnSync, Errno: syscall.EIO, Skip: rand.IntN(30), Times: 1, File: "-wal"})
	d.overcomes(1)
	d.sends(30)
	d.fails(shim.Fault{Call: shim.OnWrite, Errno: syscall.EIO, Skip: 1 + rand.IntN(30), Times: 1, File: "-wal"})
	d.until("the end of writing", 30*time.Second, func() bool { return strings.Contains(d.daemon.Output(), readOnly) })
	d.mends() // too late: what the disk holds is not known

	// What is on its way is answered; nothing follows, whatever waits.
	d.until("the modems are quiet", 20*time.Second, func() bool {
		had := len(d.ledger())
		time.Sleep(2 * time.Second)
		return len(d.ledger()) == had
	})
	had := len(d.ledger())
	l.end()
	web := &http.Client{Timeout: 10 * time.Second}
	for _, class := range everyClass {
		r := d.history.begin(class, false, false)
		require.False(t, d.post(web, r, r.Text))
		require.Equal(t, []answer{{Status: http.StatusServiceUnavailable}}, d.history.all()[len(d.history.all())-1].Answers)
	}
	status, code, wait := d.refusal()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "storage_read_only", code)
	require.NotEmpty(t, wait)
	s := d.storage()
	require.Equal(t, "read_only", s.State)
	require.Contains(t, s.Detail, "nothing more is written or sent")
	ready, database := d.health()
	require.Equal(t, http.StatusServiceUnavailable, ready)
	require.Equal(t, "fail", database)
	var waiting struct{ Items []json.RawMessage }
	require.NoError(t, d.get("/api/v1/messages?state=queued&limit=10", &waiting))
	require.Len(t, waiting.Items, 10, "there is what could have been sent, and it can be read")
	require.Len(t, d.ledger(), had, "nothing was sent meanwhile")

	d.stop() // in order, still
	require.True(t, d.start(""))
	d.drain()
	o := d.outcome()
	o.Drained = true
	d.holds(o)
	d.meansSomething(o)
}

// refusal asks once more and gives the problem's code, and its Retry-After.
func (d *badDisk) refusal() (status int, code, wait string) {
	d.t.Helper()
	ask, err := http.NewRequest("POST", "http://"+d.listen+"/api/v1/messages", strings.NewReader(`{"to":"+34600000000","text":"no"}`))
	require.NoError(d.t, err)
	ask.Header.Set("Authorization", "Bearer "+d.key)
	ask.Header.Set("Content-Type", "application/json")
	got, err := http.DefaultClient.Do(ask)
	require.NoError(d.t, err)
	defer got.Body.Close()
	var problem struct{ Code string }
	require.NoError(d.t, json.NewDecoder(got.Body).Decode(&problem))
	return got.StatusCode, problem.Code, got.Header.Get("Retry-After")
}

// TestTheDiskFailsAtRandom (R8): any call on any of the database's files fails at
// a random moment, or waits, again and again, at the start too, with kills in between.
func TestTheDiskFailsAtRandom(t *testing.T) {
	t.Parallel()
	rounds := 6 * size(t, "RECADO_PROOF_ROUNDS", 1)
	d := newBadDisk(t, 4, true)
	require.True(t, d.start("", d.environment...))
	l := &load{b: d.box, classes: everyClass, long: 0.1, replied: 0.2, pause: 150 * time.Millisecond}
	l.start(6)
	d.sends(20)
	failed, ended, refused := 0, 0, 0
	for range rounds {
		for range 1 + rand.IntN(3) {
			f := shim.Fault{
				Call:  []string{shim.OnSync, shim.OnSync, shim.OnWrite, shim.OnTruncate}[rand.IntN(4)],
				Errno: []syscall.Errno{syscall.EIO, syscall.EIO, syscall.ENOSPC, syscall.EROFS, 0}[rand.IntN(5)],
				Skip:  rand.IntN(60), Times: 1 + rand.IntN(3), File: []string{"-wal", "-wal", ".db", ""}[rand.IntN(4)],
			}
			if f.Errno == 0 {
				f.DelayMS, f.Times = 50, 40
			}
			d.fails(f)
			time.Sleep(time.Duration(200+rand.IntN(1500)) * time.Millisecond)
		}
		said := d.daemon.Output()
		failed += strings.Count(said, "a write to the database failed")
		if strings.Contains(said, readOnly) {
			ended++
		}
		d.daemon.Kill()
		d.ended()
		// One start in three on a disk that fails: it starts, or says why not.
		d.mends()
		if rand.IntN(3) == 0 {
			d.fails(shim.Fault{Call: shim.OnSync, Errno: syscall.EIO, Skip: rand.IntN(6), Times: 1 + rand.IntN(3)})
			if !d.up(d.environment...) {
				refused++
				d.note()
				require.Equal(t, 1, d.daemon.Command.ProcessState.ExitCode())
				require.Regexp(t, `(?m)^recado: .+$`, d.daemon.Output())
			}
			d.mends()
		}
		if d.daemon.Over() {
			require.True(t, d.start("", d.environment...), tail(d.said.String(), 8000))
		}
	}
	l.end()
	if !d.daemon.Over() {
		d.daemon.Kill()
		d.ended()
	}
	require.True(t, d.start(""))
	d.drain()
	t.Logf("%d writes failed, writing ended %d times, %d starts were refused", failed, ended, refused)
	o := d.outcome()
	o.Drained = true
	d.holds(o)
	require.NotZero(t, failed)
}
