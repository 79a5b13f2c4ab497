package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *DB {
	t.Helper()
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "recado.db"), Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// put writes a setting, the simplest row there is.
func put(tx *Tx, key string) error {
	_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, '')`, key)
	return err
}

func has(t *testing.T, db *DB, key string) bool {
	t.Helper()
	var n int
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM setting WHERE key = ?`, key).Scan(&n))
	return n == 1
}

func TestEveryConnectionKeepsTheSettings(t *testing.T) {
	db := open(t)
	var synchronous, queryOnly int
	require.NoError(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error {
		return tx.QueryRow(`PRAGMA synchronous`).Scan(&synchronous)
	}))
	require.Equal(t, 2, synchronous, "FULL")
	for range 8 { // more than the pool has, all at once
		conn, err := db.Read().Conn(context.Background())
		require.NoError(t, err)
		require.NoError(t, conn.QueryRowContext(context.Background(), `PRAGMA query_only`).Scan(&queryOnly))
		require.Equal(t, 1, queryOnly)
		require.NoError(t, conn.QueryRowContext(context.Background(), `PRAGMA synchronous`).Scan(&synchronous))
		require.Equal(t, 2, synchronous)
		require.NoError(t, conn.Close())
	}
	_, err := db.Read().Exec(`DELETE FROM setting`)
	require.ErrorContains(t, err, "readonly")
}

func TestAConnectionWithoutTheSettingsIsRefused(t *testing.T) {
	_, err := connector{path: ":memory:"}.Connect(context.Background()) // memory knows no WAL
	require.ErrorContains(t, err, `setting journal_mode is "memory"`)
}

func TestOnlyTheOwnerReadsTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	db, err := Open(context.Background(), path, Options{})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error { return put(tx, "a") }))
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		st, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), name)
	}
}

func TestAFunctionHappensWhollyOrNotAtAll(t *testing.T) {
	db := open(t)
	held, free := hold(t, db)
	var wg sync.WaitGroup
	errs := make([]error, 10)
	boom := errors.New("boom")
	for i := range errs {
		wg.Go(func() {
			errs[i] = db.Write(context.Background(), Ordinary, func(tx *Tx) error {
				if err := put(tx, fmt.Sprint("half", i)); err != nil {
					return err
				}
				switch i {
				case 3:
					return boom
				case 5:
					panic("bug")
				case 7:
					return put(tx, fmt.Sprint("half", i)) // refused by the key
				}
				return put(tx, fmt.Sprint("whole", i))
			})
		})
	}
	<-held
	close(free)
	wg.Wait()
	for i, err := range errs {
		whole := i != 3 && i != 5 && i != 7
		require.Equal(t, whole, err == nil, "%d: %v", i, err)
		require.Equal(t, whole, has(t, db, fmt.Sprint("half", i)), i)
	}
	require.ErrorIs(t, errs[3], boom)
	require.ErrorContains(t, errs[5], "panicked")
	require.True(t, IsUnique(errs[7]))
}

// hold keeps the writer busy until free is closed; held is closed when it is.
func hold(t *testing.T, db *DB) (held, free chan struct{}) {
	held, free = make(chan struct{}), make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), Ordinary, func(*Tx) error {
			once.Do(func() { close(held) })
			<-free
			return nil
		})
	}()
	t.Cleanup(func() { <-done }) // its commit may be meant to fail with the others'
	<-held
	return held, free
}

// queued waits until n writes wait in a lane.
func queued(t *testing.T, db *DB, lane Lane, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		db.w.mu.Lock()
		defer db.w.mu.Unlock()
		return len(db.w.waiting[lane]) == n
	}, 5*time.Second, time.Millisecond)
}

func TestUrgentGoesFirst(t *testing.T) {
	db := open(t)
	_, free := hold(t, db)
	var wg sync.WaitGroup
	var order []string
	add := func(lane Lane, name string) {
		wg.Go(func() {
			_ = db.Write(context.Background(), lane, func(*Tx) error { order = append(order, name); return nil })
		})
	}
	add(Ordinary, "enqueue")
	queued(t, db, Ordinary, 1)
	add(Urgent, "gate")
	queued(t, db, Urgent, 1)
	close(free)
	wg.Wait()
	require.Equal(t, []string{"gate", "enqueue"}, order)
}

func TestWhoGaveUpBeforeTheTurnNeverRuns(t *testing.T) {
	db := open(t)
	_, free := hold(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error)
	go func() { got <- db.Write(ctx, Ordinary, func(tx *Tx) error { return put(tx, "late") }) }()
	queued(t, db, Ordinary, 1)
	cancel()
	require.ErrorIs(t, <-got, context.Canceled)
	close(free)
	require.NoError(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error { return put(tx, "next") }))
	require.False(t, has(t, db, "late"))
}

func TestWhoGivesUpDuringTheTurnLearnsHowItEnded(t *testing.T) {
	db := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(t, db.Write(ctx, Ordinary, func(tx *Tx) error { cancel(); return put(tx, "whole") }))
	require.True(t, has(t, db, "whole"))
}

func TestAfterCommitComesAfterTheDiskAndNotAfterAnError(t *testing.T) {
	db := open(t)
	var seen, wrong bool
	require.NoError(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error {
		tx.AfterCommit(func() { seen = has(t, db, "a") })
		return put(tx, "a")
	}))
	require.True(t, seen)
	require.Error(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error {
		tx.AfterCommit(func() { wrong = true })
		return errors.New("no")
	}))
	require.False(t, wrong)
}

func TestAFullDiskRefusesOnlyWhatDoesNotFit(t *testing.T) {
	db := open(t)
	require.NoError(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error {
		var pages int
		if err := tx.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
			return err
		}
		return tx.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+4)).Scan(&pages)
	}))
	_, free := hold(t, db)
	var wg sync.WaitGroup
	var small, big, last error
	wg.Go(func() {
		small = db.Write(context.Background(), Urgent, func(tx *Tx) error { return put(tx, "small") })
	})
	queued(t, db, Urgent, 1)
	wg.Go(func() {
		big = db.Write(context.Background(), Ordinary, func(tx *Tx) error {
			_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES ('big', ?)`, strings.Repeat("x", 1<<20))
			return err
		})
	})
	queued(t, db, Ordinary, 1)
	wg.Go(func() {
		last = db.Write(context.Background(), Ordinary, func(tx *Tx) error { return put(tx, "last") })
	})
	queued(t, db, Ordinary, 2)
	close(free)
	wg.Wait()
	require.NoError(t, small)
	require.ErrorIs(t, big, ErrFull)
	require.NoError(t, last)
	require.True(t, has(t, db, "small"))
	require.True(t, has(t, db, "last"))
	require.False(t, has(t, db, "big"))
}

func TestACommitThatOneSpoilsIsMadeWithoutIt(t *testing.T) {
	db := open(t)
	_, free := hold(t, db)
	var wg sync.WaitGroup
	var innocent, guilty error
	wg.Go(func() {
		innocent = db.Write(context.Background(), Urgent, func(tx *Tx) error { return put(tx, "innocent") })
	})
	queued(t, db, Urgent, 1)
	wg.Go(func() {
		guilty = db.Write(context.Background(), Ordinary, func(tx *Tx) error {
			// A violation that shows only at COMMIT.
			if _, err := tx.Exec(`PRAGMA defer_foreign_keys = ON`); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO segment (message, n, tpdu) VALUES (99, 1, x'00')`)
			return err
		})
	})
	queued(t, db, Ordinary, 1)
	close(free)
	wg.Wait()
	require.NoError(t, innocent)
	require.ErrorContains(t, guilty, "FOREIGN KEY")
	require.True(t, has(t, db, "innocent"))
	require.NoError(t, db.Write(context.Background(), Urgent, func(tx *Tx) error { return put(tx, "after") }))
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(context.Background(), path, Options{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		wg.Go(func() {
			errs[i] = db.Write(context.Background(), Ordinary, func(tx *Tx) error { return put(tx, fmt.Sprint(i)) })
		})
	}
	require.NoError(t, db.Close())
	wg.Wait()
	require.NoError(t, db.Close(), "a second time is no error")
	db, err = Open(context.Background(), path, Options{})
	require.NoError(t, err)
	defer db.Close()
	for i, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, ErrClosed)
		}
		require.Equal(t, err == nil, has(t, db, fmt.Sprint(i)))
	}
}

func TestProgressMovesAlsoWhenIdle(t *testing.T) {
	db := open(t)
	before := db.Progress()
	require.Eventually(t, func() bool { return db.Progress().After(before) }, 5*time.Second, 10*time.Millisecond)
}

func TestMigrationsBackUpWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "recado.db")
	db, err := Open(context.Background(), path, Options{})
	require.NoError(t, err)
	require.NoError(t, db.Write(context.Background(), Ordinary, func(tx *Tx) error { return put(tx, "kept") }))
	require.NoError(t, db.Close())
	none, err := filepath.Glob(path + "*.bak")
	require.NoError(t, err)
	require.Empty(t, none, "a new file has nothing to keep")

	steps := fstest.MapFS{
		"99999_more.sql": {Data: []byte("-- +goose Up\nCREATE TABLE more AS SELECT temp_store FROM pragma_temp_store;\n-- +goose Down\nSELECT 1;\n")},
	}
	ours, err := migrations.ReadDir("migrations")
	require.NoError(t, err)
	for _, f := range ours {
		data, err := migrations.ReadFile("migrations/" + f.Name())
		require.NoError(t, err)
		steps[f.Name()] = &fstest.MapFile{Data: data}
	}
	know := len(ours)
	raw := sql.OpenDB(connector{path: path})
	raw.SetMaxOpenConns(1)
	o := Options{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC) }}
	require.NoError(t, migrateFrom(context.Background(), raw, path, steps, o))
	var n int
	require.NoError(t, raw.QueryRow(`SELECT temp_store FROM more`).Scan(&n))
	require.Equal(t, 1, n, "what undoes a statement that changes every row is not kept in memory")
	require.NoError(t, raw.QueryRow(`PRAGMA temp_store`).Scan(&n))
	require.Equal(t, 2, n)
	require.NoError(t, raw.Close())

	copyOf := fmt.Sprintf("%s.schema%d-20261122-010203.bak", path, know)
	st, err := os.Stat(copyOf)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	old, err := Open(context.Background(), copyOf, Options{})
	require.NoError(t, err, "the backup is a database of the old schema")
	require.True(t, has(t, old, "kept"))
	require.NoError(t, old.Close())

	_, err = Open(context.Background(), path, Options{})
	require.ErrorIs(t, err, ErrNewer)
	require.ErrorContains(t, err, fmt.Sprintf("its schema is 99999, this program knows up to %d", know))
	require.ErrorContains(t, err, "restore the backup")
}

func TestAFileThatIsNoDatabaseIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	text := strings.Repeat("not a database\n", 100)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	_, err := Open(context.Background(), path, Options{})
	require.ErrorContains(t, err, "not a database")
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(now))
}
