package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestACopyBesideAWriterIsOneState: two rows are always written together; a copy
// taken at any moment has both or neither, and what was committed before it began.
func TestACopyBesideAWriterIsOneState(t *testing.T) {
	db := open(t)
	require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
		_, err := tx.Exec(`CREATE TABLE pair (n INTEGER PRIMARY KEY, left INTEGER, right INTEGER)`)
		if err == nil {
			_, err = tx.Exec(`INSERT INTO pair SELECT value, 0, 0 FROM json_each('[1,2,3,4,5]')`)
		}
		return err
	}))
	stop, stopped := make(chan struct{}), make(chan struct{})
	var rounds int
	go func() {
		defer close(stopped)
		for ; ; rounds++ {
			select {
			case <-stop:
				return
			default:
			}
			err := db.Write(context.Background(), Ordinary, func(tx *Tx) error {
				if _, err := tx.Exec(`UPDATE pair SET left = ?`, rounds); err != nil {
					return err
				}
				if _, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, zeroblob(2000))`, fmt.Sprint("r", rounds)); err != nil {
					return err
				}
				_, err := tx.Exec(`UPDATE pair SET right = ?`, rounds)
				return err
			})
			if err != nil {
				return
			}
		}
	}()
	for i := range 10 {
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint("before", i)) }))
		file := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, Copy(t.Context(), db.Path(), file))
		st, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
		f, err := Inspect(t.Context(), file, true)
		require.NoError(t, err)
		require.Equal(t, newest(), f.Schema)
		raw := sql.OpenDB(looker{file})
		var halves, before int
		require.NoError(t, raw.QueryRow(`SELECT count(*) FROM pair WHERE left <> right`).Scan(&halves))
		require.NoError(t, raw.QueryRow(`SELECT count(*) FROM setting WHERE key = ?`, fmt.Sprint("before", i)).Scan(&before))
		require.NoError(t, raw.Close())
		require.Zero(t, halves)
		require.Equal(t, 1, before)
	}
	close(stop)
	<-stopped
	require.Positive(t, rounds)
}

func TestACopyEndsBeforeTheWALIsTooLarge(t *testing.T) {
	db := open(t)
	fill(t, db, 10<<20)
	file := filepath.Join(t.TempDir(), "copy")
	ctx, cancel := context.WithCancel(t.Context())
	grown := make(chan error, 1)
	go func() {
		// Writes as long as the copy runs, and so lets it never come to its end in time.
		for i := 0; ctx.Err() == nil; i++ {
			if err := db.Write(context.Background(), Ordinary, func(tx *Tx) error {
				_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, zeroblob(200000))`, fmt.Sprint("big", i))
				return err
			}); err != nil {
				grown <- err
				return
			}
		}
		grown <- nil
	}()
	st, err := os.Stat(db.Path() + "-wal")
	require.NoError(t, err)
	for range 20 { // the first may be through before anything has grown
		if err = copyWithin(t.Context(), db.Path(), file, st.Size()); err != nil {
			break
		}
		require.NoError(t, os.Remove(file))
	}
	cancel()
	require.NoError(t, <-grown)
	require.ErrorIs(t, err, ErrCopyBehind)
	require.NoFileExists(t, file)
	require.NoError(t, Copy(t.Context(), db.Path(), file), "when nobody writes it works")

	over, stop := context.WithCancel(t.Context())
	stop()
	other := filepath.Join(t.TempDir(), "copy")
	require.ErrorIs(t, Copy(over, db.Path(), other), context.Canceled)
	require.NoFileExists(t, other)
}

// fill makes the database so large.
func fill(t *testing.T, db *DB, octets int) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO setting (key, value)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?) SELECT 'fill' || i, hex(randomblob(500)) FROM n`, octets/1000)
		return err
	}))
}

func TestInspectTrustsNothing(t *testing.T) {
	db := open(t)
	fill(t, db, 1<<20)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	require.NoError(t, Copy(t.Context(), db.Path(), whole))
	octets, err := os.ReadFile(whole)
	require.NoError(t, err)
	names := func() []string {
		list, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		return list
	}
	before := names()
	_, err = Inspect(t.Context(), whole, false)
	require.NoError(t, err)
	require.Equal(t, before, names(), "nothing was made beside it")
	now, err := os.ReadFile(whole)
	require.NoError(t, err)
	require.True(t, bytes.Equal(octets, now))

	broken := filepath.Join(dir, "broken")
	for name, damaged := range map[string][]byte{
		"half":    octets[:len(octets)/2],
		"header":  append(make([]byte, 100), octets[100:]...),
		"page":    append(append(append([]byte{}, octets[:8*4096]...), bytes.Repeat([]byte{0xaa}, 4096)...), octets[9*4096:]...),
		"garbage": bytes.Repeat([]byte("no database "), 1000),
	} {
		require.NoError(t, os.WriteFile(broken, damaged, 0o600))
		_, err := Inspect(t.Context(), broken, true)
		require.ErrorIs(t, err, ErrDamaged, name)
	}

	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		return err
	}))
	newer := filepath.Join(dir, "newer")
	require.NoError(t, Copy(t.Context(), db.Path(), newer))
	_, err = Inspect(t.Context(), newer, false)
	require.ErrorIs(t, err, ErrNewer)
	_, err = Inspect(t.Context(), filepath.Join(dir, "none"), false)
	require.Error(t, err)
}

func TestAFileCanStandAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(t.Context(), path, Options{})
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, "kept") }))
	require.NoError(t, db.Close())
	require.NoError(t, Alone(t.Context(), path))
	require.NoFileExists(t, path+"-wal")
	moved := filepath.Join(t.TempDir(), "elsewhere.db")
	require.NoError(t, os.Rename(path, moved))
	db, err = Open(t.Context(), moved, Options{})
	require.NoError(t, err)
	require.True(t, has(t, db, "kept"))
	require.Error(t, Alone(t.Context(), moved), "somebody has it open")
	require.NoError(t, db.Close())
}

// firstSteps are the first migrations.
func firstSteps(t *testing.T, n int) fstest.MapFS {
	t.Helper()
	entries, err := fs.ReadDir(migrations, "migrations")
	require.NoError(t, err)
	steps := fstest.MapFS{}
	for _, e := range entries[:n] {
		data, err := migrations.ReadFile("migrations/" + e.Name())
		require.NoError(t, err)
		steps[e.Name()] = &fstest.MapFile{Data: data}
	}
	return steps
}

// migrateTo makes or migrates a file with these steps, as a version of then did.
func migrateTo(t *testing.T, path string, steps fs.FS, then func(*sql.DB)) {
	t.Helper()
	db := sql.OpenDB(connector{path: path})
	db.SetMaxOpenConns(1)
	require.NoError(t, migrateFrom(t.Context(), db, path, steps, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}))
	if then != nil {
		then(db)
	}
	require.NoError(t, db.Close())
}

// Rows as every schema since the first can have them.
const rowsOfThen = `
INSERT INTO message (id, recipient, text, encoding, class, lane, state, delivery, segments, valid_ms, created_at, expires_at)
  VALUES ('m-1', '+34600111222', 'Hola', 'gsm7', 'normal', 2, 'queued', 'bounded', 1, 1000, 1, 9), ('m-2', '+34600111333', 'Adiós', 'gsm7', 'otp', 0, 'sent', 'at_most_once', 1, 1000, 1, 9);
INSERT INTO segment (message, n, tpdu) VALUES (1, 1, x'0102'), (2, 1, x'0304');
INSERT INTO attempt (message, n, no, modem, iccid, imsi, boot_id, gate_at, phase, outcome, mr) VALUES (2, 1, 1, 'm', 'i', 's', 'b', 5, 'done', 'accepted', 7);
INSERT INTO inbound_raw (hash, iccid, imsi, modem, raw, kind, received_at, seen_at) VALUES (x'01', 'i', 's', 'm', x'05', 'text', 1, 1);
INSERT INTO inbound (id, sender, text, iccid, imsi, received_at, complete, have, total) VALUES ('i-1', '+34600111222', 'Vale', 'i', 's', 1, 1, 1, 1);
INSERT INTO setting (key, value) VALUES ('kept', 'yes');
INSERT INTO event (id, type, at, data) VALUES ('e-1', 'message.queued', 1, '{}');
INSERT INTO person (id, name, role, password, created_at) VALUES ('p', 'ana', 'admin', 'x', 1);`

// TestAFileOfEverySchemaIsBroughtUpToDate: R11, upgrade from every released schema.
func TestAFileOfEverySchemaIsBroughtUpToDate(t *testing.T) {
	entries, err := fs.ReadDir(migrations, "migrations")
	require.NoError(t, err)
	for n := 1; n < len(entries); n++ {
		t.Run(entries[n-1].Name(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "recado.db")
			var schema int64
			migrateTo(t, path, firstSteps(t, n), func(db *sql.DB) {
				_, err := db.Exec(rowsOfThen)
				require.NoError(t, err)
				schema, err = schemaVersion(t.Context(), db)
				require.NoError(t, err)
			})
			db, err := Open(t.Context(), path, Options{})
			require.NoError(t, err)
			f, err := db.Figures(t.Context())
			require.NoError(t, err)
			require.Equal(t, newest(), f.Schema)
			for table, n := range map[string]int64{"message": 2, "segment": 2, "attempt": 1, "inbound_raw": 1, "inbound": 1, "person": 1} {
				require.Equal(t, n, f.Rows[table], table)
			}
			require.True(t, has(t, db, "kept"))
			var text string
			var queued int
			require.NoError(t, db.Read().QueryRow(`SELECT text FROM message WHERE id = 'm-2'`).Scan(&text))
			require.Equal(t, "Adiós", text)
			require.NoError(t, db.Read().QueryRow(`SELECT sum(n) FROM tally`).Scan(&queued))
			require.Equal(t, 2, queued)
			copies := OldCopies(path)
			require.Len(t, copies, 1, "one, and it is what was there before")
			before, err := Inspect(t.Context(), copies[0], true)
			require.NoError(t, err)
			require.Equal(t, schema, before.Schema)
			require.Equal(t, int64(2), before.Rows["message"])
			raw := sql.OpenDB(looker{copies[0]})
			var epochs int
			require.NoError(t, raw.QueryRow(`SELECT count(*) FROM setting WHERE key = 'restore_epoch'`).Scan(&epochs))
			require.NoError(t, raw.Close())
			require.Equal(t, 1, epochs, "in the database's place it would be held")
			require.False(t, has(t, db, "restore_epoch"))
			require.NoError(t, db.Close())
			_, err = Check(t.Context(), path)
			require.NoError(t, err)
		})
	}
}

func TestThreeCopiesOfMigrationsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "re[c]ado.db")
	migrateTo(t, path, firstSteps(t, 1), nil)
	for _, name := range []string{"9-20260101-000000", "10-20250101-000000", "2-20270101-000000", "9-20260102-000000"} {
		require.NoError(t, os.WriteFile(path+".schema"+name+".bak", []byte(name), 0o600))
	}
	require.NoError(t, os.WriteFile(path+".schema1-20260101-000000.bak.part", []byte("half"), 0o600))
	require.NoError(t, os.WriteFile(path+".schema-mine.bak", []byte("a person's"), 0o600))
	migrateTo(t, path, firstSteps(t, 2), nil)
	var kept []string
	for _, f := range OldCopies(path) {
		kept = append(kept, strings.TrimPrefix(f, path+".schema"))
	}
	require.Equal(t, []string{"10-20250101-000000.bak", "9-20260102-000000.bak", "9-20260101-000000.bak"}, kept)
	require.NoFileExists(t, path+".schema1-20260101-000000.bak.part")
	require.FileExists(t, path+".schema-mine.bak")
}

// slowSteps are two migrations that take a while: the second rewrites every row.
var slowSteps = fstest.MapFS{
	"00001_old.sql": {Data: []byte("-- +goose Up\nCREATE TABLE item (n INTEGER PRIMARY KEY, text TEXT NOT NULL);\n-- +goose Down\nSELECT 1;\n")},
	"00002_new.sql": {Data: []byte(`-- +goose Up
ALTER TABLE item ADD COLUMN twice TEXT NOT NULL DEFAULT '';
UPDATE item SET twice = text || text;
CREATE INDEX item_twice ON item(twice);
-- +goose Down
SELECT 1;
`)},
}

const slowRows = 20_000

// TestMigrationIsKilled is what the next test runs in a process of its own.
func TestMigrationIsKilled(t *testing.T) {
	path := os.Getenv("SQLITE_TEST_MIGRATE")
	if path == "" {
		path = filepath.Join(t.TempDir(), "recado.db")
	}
	migrateTo(t, path, slowSteps, nil)
}

// TestAKilledMigrationLeavesOldOrNew: R11. Fifty kills at any moment of backup and
// migration; whatever is left opens, is wholly old or wholly new, and goes on to be new.
func TestAKilledMigrationLeavesOldOrNew(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old.db")
	only := fstest.MapFS{"00001_old.sql": slowSteps["00001_old.sql"]}
	migrateTo(t, old, only, func(db *sql.DB) {
		_, err := db.Exec(`INSERT INTO item WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?) SELECT i, hex(randomblob(40)) FROM n`, slowRows)
		require.NoError(t, err)
	})
	require.NoError(t, Alone(t.Context(), old))
	octets, err := os.ReadFile(old)
	require.NoError(t, err)

	// run migrates in another process, killed after a while; it says whether it was.
	run := func(path string, after time.Duration) (killed bool, took time.Duration) {
		child := exec.Command(os.Args[0], "-test.run=^TestMigrationIsKilled$", "-test.count=1")
		child.Env = append(os.Environ(), "SQLITE_TEST_MIGRATE="+path)
		begun := time.Now()
		require.NoError(t, child.Start())
		timer := time.AfterFunc(after, func() { _ = child.Process.Kill() })
		err := child.Wait()
		timer.Stop()
		if _, is := errors.AsType[*exec.ExitError](err); !is {
			require.NoError(t, err)
		}
		return err != nil, time.Since(begun)
	}
	whole := filepath.Join(dir, "whole.db")
	require.NoError(t, os.WriteFile(whole, octets, 0o600))
	killed, took := run(whole, time.Minute)
	require.False(t, killed)

	kills, states := 0, map[string]int{}
	random := rand.New(rand.NewPCG(11, 50))
	for i := 0; kills < 50; i++ {
		require.Less(t, i, 500, "it is through before it is killed")
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		require.NoError(t, os.WriteFile(path, octets, 0o600))
		if killed, _ := run(path, time.Duration(random.Int64N(int64(took)))); !killed {
			continue
		}
		kills++
		db := sql.OpenDB(connector{path: path})
		db.SetMaxOpenConns(1)
		schema, err := schemaVersion(t.Context(), db)
		require.NoError(t, err)
		var rows, columns, wrong int
		require.NoError(t, db.QueryRow(`SELECT count(*), (SELECT count(*) FROM pragma_table_info('item')) FROM item`).Scan(&rows, &columns))
		require.Equal(t, slowRows, rows)
		require.Equal(t, int(schema)+1, columns, "columns and version belong together")
		if schema == 2 {
			require.NoError(t, db.QueryRow(`SELECT count(*) FROM item WHERE twice <> text || text`).Scan(&wrong))
			require.Zero(t, wrong)
		}
		require.NoError(t, db.Close())
		_, err = Check(t.Context(), path)
		require.NoError(t, err)
		for _, file := range OldCopies(path) {
			f, err := Inspect(t.Context(), file, false)
			require.NoError(t, err, "a backup under its name is whole")
			require.Equal(t, int64(slowRows), f.Rows["item"])
		}
		states[fmt.Sprintf("schema %d, backed up %t", schema, len(OldCopies(path)) > 0)]++
		migrateTo(t, path, slowSteps, nil)
		halves, err := filepath.Glob(path + "*.part")
		require.NoError(t, err)
		require.Empty(t, halves)
		for _, f := range []string{path, path + "-wal", path + "-shm"} {
			_ = os.Remove(f) // room
		}
	}
	t.Logf("%d kills within %s: %v", kills, took, states)
	require.NotZero(t, states["schema 1, backed up true"], "none fell into the migration itself")
}
