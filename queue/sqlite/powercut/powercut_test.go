package powercut

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

// statesEnv says how many states TestPowerCut builds; statesEach are of one
// recording.
const (
	statesEnv  = "RECADO_POWERCUT_STATES"
	statesEach = 1000
)

// record lets the victim work and gives its log, and where in it the database
// had been made.
func record(t *testing.T, rounds int) (log []shim.Record, opened int) {
	t.Helper()
	dir := fast(t)
	library, err := shim.Build(dir)
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+filepath.Join(dir, "recado.db"), roundsEnv+"="+strconv.Itoa(rounds))
	cmd.Env = append(cmd.Env, shim.Env(library, name, "")...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	f, err := os.Open(name)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	opened = -1
	require.NoError(t, shim.Read(f, func(r shim.Record) error {
		if r.Data = bytes.Clone(r.Data); r.Kind == shim.Marker && opened < 0 {
			opened = len(log)
		}
		log = append(log, r)
		return nil
	}))
	require.Greater(t, opened, 0)
	require.True(t, slices.ContainsFunc(log[opened:], func(r shim.Record) bool { return r.Kind == shim.Sync && fileOf(r) == fileDB }),
		"the WAL was never brought back into the file")
	sent := 0
	for _, r := range log {
		if r.Kind == shim.Marker && bytes.Contains(r.Data, []byte(`"`+saidCtrlZ+`"`)) {
			sent++
		}
	}
	require.Greater(t, sent, rounds, "two send, so many times each: else there is hardly a gate to cut the power at")
	return log, opened
}

// indexEach is after how many states another index of the WAL is made, which every
// later state may have beside it.
const indexEach = 25

// figures are what the states of a log were found guilty of.
type figures struct {
	states, clean, corrupt, lost, sent, rules int
	first                                     []string // some
}

// cut builds n states, at records drawn at random after the first from, and
// checks each. The same seed gives the same states.
func cut(t *testing.T, log []shim.Record, from, n int, seed uint64) (f figures) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	at := make([]int, n)
	for i := range at {
		at[i] = from + 1 + r.IntN(len(log)-from)
	}
	slices.Sort(at)
	work := make(chan state)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 3 { // two cores, and the disk is waited for
		dir := fast(t)
		wg.Go(func() {
			for st := range work {
				err := st.check(dir)
				mu.Lock()
				f.states++
				switch {
				case err == nil:
					f.clean++
				case errors.Is(err, errCorrupt):
					f.corrupt++
				case errors.Is(err, errSent):
					f.sent++
				case errors.Is(err, errLost):
					f.lost++
				default:
					f.rules++
				}
				if err != nil && len(f.first) < 5 {
					f.first = append(f.first, err.Error())
				}
				mu.Unlock()
			}
		})
	}
	d := &disk{}
	var marks []said
	var indexes [][]byte
	aside := fast(t)
	next := 0
	for i := 0; i <= len(log) && next < n; i++ {
		for ; next < n && at[next] == i; next++ {
			st := state{at: i, said: marks[:len(marks):len(marks)], noted: len(d.sure[fileWAL]) > 0}
			for file := range st.files {
				st.files[file] = d.after(file, r)
			}
			if next%indexEach == 0 {
				index, err := indexOf(d, aside)
				if err == nil { // else the disk flushes too little, or it is none that was
					indexes = append(indexes, index)
				}
			}
			if k := r.IntN(len(indexes) + 1); k < len(indexes) {
				st.index = indexes[k]
			}
			if next == n/2 {
				require.True(t, st.noted)
				why, err := st.robbed(aside)
				if !errors.Is(err, sqlite.ErrDamaged) { // with a disk that flushes nothing
					require.NoError(t, err)
					require.Contains(t, why, "missing", "or nothing could be found wrong")
				}
			}
			work <- st
		}
		if i == len(log) {
			break
		}
		d.play(log[i])
		if log[i].Kind == shim.Marker {
			var s said
			require.NoError(t, json.Unmarshal(log[i].Data, &s))
			marks = append(marks, s)
		}
	}
	close(work)
	wg.Wait()
	require.Equal(t, n, f.states)
	return f
}

// fast is a folder in memory where there is one: what the checks themselves
// write need not reach a disk.
func fast(t *testing.T) string {
	t.Helper()
	if dir, err := os.MkdirTemp("/dev/shm", "recado-powercut-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// TestPowerCut cuts the power at any moment of a busy box's work: the file opens
// whole, nothing that was acknowledged is lost, and nothing was sent that has no
// attempt.
func TestPowerCut(t *testing.T) {
	n := 800
	if text := os.Getenv(statesEnv); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for seed := uint64(1); n > 0; seed++ {
		// Another recording each: the more there is in the database, the less
		// does a longer one show.
		log, opened := record(t, 60)
		begun := time.Now()
		f := cut(t, log, opened, min(n, statesEach), seed)
		n -= f.states
		t.Logf("%d records, %d states in %s: %d clean, %d corrupt, %d lost, %d sent without an attempt, %d against the rules",
			len(log), f.states, time.Since(begun).Round(time.Second), f.clean, f.corrupt, f.lost, f.sent, f.rules)
		require.Empty(t, f.first, "%d of %d states", f.states-f.clean, f.states)
	}
}

// TestTheProofHasTeeth: with fewer flushes the same proof finds what is lost and
// what is broken (reliability F1).
func TestTheProofHasTeeth(t *testing.T) {
	log, opened := record(t, 60)
	normal := cut(t, asNormal(log), opened-dropped(log[:opened], asNormal(log[:opened])), 60, 2)
	t.Logf("synchronous=NORMAL: %+v", normal)
	require.Greater(t, normal.lost+normal.sent, normal.states/4, "acknowledged, and not on disk")
	require.Zero(t, normal.corrupt, "%v", normal.first)
	off := cut(t, asOff(log, opened), opened, 60, 3)
	t.Logf("synchronous=OFF: %+v", off)
	require.Greater(t, off.corrupt, off.states/10)
}

func dropped(before, after []shim.Record) int { return len(before) - len(after) }
