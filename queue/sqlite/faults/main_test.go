// Package faults has the tests of a disk that fails: the database runs in a
// process of its own, over the shim.
package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

const role = "RECADO_TEST_ON_A_BAD_DISK"

func TestMain(m *testing.M) {
	if what := os.Getenv(role); what != "" {
		do := func(dir, fault string) error { return inside(what, dir, fault) }
		if strings.HasPrefix(what, "reopening") {
			do = insideReopening
		}
		if err := do(os.Getenv("DIR"), os.Getenv("FAULT")); err != nil {
			fmt.Println("FAULT:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func put(db *sqlite.DB, ctx context.Context, key string) error {
	return db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, '')`, key)
		return err
	})
}

func has(db *sqlite.DB, key string) (bool, error) {
	var n int
	err := db.Read().QueryRow(`SELECT count(*) FROM setting WHERE key = ?`, key).Scan(&n)
	return n == 1, err
}

// inside writes on the bad disk and says on stdout what it was told: "kept KEY",
// "lost KEY", "refused KEY", "hook".
func inside(what, dir, fault string) error {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "recado.db"), sqlite.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), ReserveFree: -1})
	if err != nil {
		return err
	}
	db.OnReopen(func(ctx context.Context) error {
		fmt.Println("hook")
		return put(db, ctx, "from the hook")
	})
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 1))
	at := map[int]bool{20 + r.IntN(40): true}
	if what == "twice" {
		at[70+r.IntN(30)] = true
	}
	over := false
	for i := range 120 {
		key := fmt.Sprint("key", i)
		if at[i] {
			// It fails no more often than that: the database is opened anew, and the hook
			// writes, as soon as put has been answered.
			f := shim.Fault{Call: shim.OnWrite, Errno: []syscall.Errno{syscall.EIO, syscall.EROFS}[r.IntN(2)], Times: 1, File: "-wal"}
			if more := r.IntN(3); more > 0 { // the second time when the log is moved into the file at its closing
				f.Call, f.Times = shim.OnSync, more
			}
			if err := f.Set(fault); err != nil {
				return err
			}
		}
		err := put(db, ctx, key)
		if at[i] {
			if err := os.Remove(fault); err != nil {
				return err
			}
			if !errors.Is(err, sqlite.ErrFailed) {
				return fmt.Errorf("%s on the failing disk: %v", key, err)
			}
		}
		switch is, rerr := has(db, key); {
		case rerr != nil:
			return fmt.Errorf("reading: %w", rerr)
		case err == nil && !is:
			return fmt.Errorf("%s was acknowledged and is not there", key)
		case err == nil:
			fmt.Println("kept", key)
		case errors.Is(err, sqlite.ErrFailed):
			if is {
				return fmt.Errorf("%s came back", key)
			}
			fmt.Println("lost", key)
		case errors.Is(err, sqlite.ErrReadOnly):
			over = true
			fmt.Println("refused", key)
		default:
			return err
		}
	}
	h := db.Health()
	if over != (what == "twice") || over != (h.State == sqlite.HealthReadOnly) || h.Detail == "" {
		return fmt.Errorf("read-only: %v, %+v", over, h)
	}
	if strings.HasSuffix(what, "killed") {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return db.Close()
}

func run(t *testing.T, library, what string, seed int) (dir, said string) {
	t.Helper()
	dir = t.TempDir()
	fault := filepath.Join(t.TempDir(), "fault")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(shim.Env(library, "", fault), role+"="+what, "DIR="+dir, "FAULT="+fault, "SEED="+strconv.Itoa(seed))...)
	out, err := cmd.Output()
	exit, _ := errors.AsType[*exec.ExitError](err)
	if exit != nil && !strings.HasSuffix(what, "killed") {
		t.Fatalf("seed %d: %v\n%s\n%s", seed, err, out, exit.Stderr)
	}
	return dir, string(out)
}

// TestAFailedWriteIsNeverAcknowledged (R8): fsync or write fails at a random
// moment, once: what was acknowledged is there, what was not is not, the hook ran
// before anything else was written, and the work goes on. After a second failure
// everything is refused, and can be read.
func TestAFailedWriteIsNeverAcknowledged(t *testing.T) {
	library, err := shim.Build(t.TempDir())
	require.NoError(t, err)
	for _, what := range []string{"once", "once, then killed", "twice"} {
		for seed := range 8 {
			t.Run(fmt.Sprint(what, "/", seed), func(t *testing.T) {
				dir, said := run(t, library, what, seed)
				require.Equal(t, 1, strings.Count(said, "hook\n"), said)
				lost := strings.Index(said, "lost ")
				require.Positive(t, lost)
				require.Less(t, lost, strings.LastIndex(said, "kept "), "it went on")
				require.Equal(t, what == "twice", strings.Contains(said, "refused "))

				db, err := sqlite.Open(t.Context(), filepath.Join(dir, "recado.db"), sqlite.Options{ReserveFree: -1})
				require.NoError(t, err)
				defer db.Close()
				for line := range strings.Lines(said) {
					how, key, _ := strings.Cut(strings.TrimSpace(line), " ")
					if how == "hook" {
						key = "from the hook"
					}
					is, err := has(db, key)
					require.NoError(t, err)
					require.Equal(t, how == "kept" || how == "hook", is, "%s %s", how, key)
				}
			})
		}
	}
}
