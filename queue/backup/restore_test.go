package backup

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
)

// snapshotOf is every file of a folder, for comparing.
func snapshotOf(t *testing.T, data string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.Walk(data, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			var octets []byte
			octets, err = os.ReadFile(path)
			files[path] = string(octets)
		}
		return err
	}))
	return files
}

func held(t *testing.T, data string) (n int) {
	t.Helper()
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		counts, err := s.HeldCounts(t.Context())
		require.NoError(t, err)
		for _, c := range counts {
			require.Equal(t, queue.ReasonRestored, c.Reason)
			n += c.N
		}
	})
	return n
}

func TestRestorePutsAsideAndHolds(t *testing.T) {
	from := box(t, "uno", "dos")
	src := source(from)
	src.Extra = map[string][]byte{KeyName: []byte("the other box's key, 32 octets..")}
	var sealed bytes.Buffer
	_, err := Write(t.Context(), src, &sealed, quick, day)
	require.NoError(t, err)

	data := box(t, "mine")
	require.NoError(t, os.WriteFile(filepath.Join(data, KeyName), []byte("my key"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(data, "note.txt"), []byte("stays"), 0o600))
	r, err := Folder{Path: data}.Restore(t.Context(), &sealed, quick, RestoreOptions{At: day})
	require.NoError(t, err)
	require.Equal(t, int64(2), r.Open)
	require.True(t, r.Key)
	require.Equal(t, filepath.Join(data, "quarantine", "20261122-120000"), r.Quarantine)
	require.NoDirExists(t, filepath.Join(data, stagingName))
	for _, name := range []string{DatabaseName, KeyName} {
		st, err := os.Stat(filepath.Join(data, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	}
	key, err := os.ReadFile(filepath.Join(data, KeyName))
	require.NoError(t, err)
	require.Equal(t, src.Extra[KeyName], key)
	require.FileExists(t, filepath.Join(data, "note.txt"))
	require.Equal(t, []string{"uno", "dos"}, texts(t, data))
	require.Equal(t, 2, held(t, data), "nothing leaves before it is released")
	require.Equal(t, []string{"mine"}, texts(t, r.Quarantine), "what was there is kept, and whole")
	aside, err := os.ReadFile(filepath.Join(r.Quarantine, KeyName))
	require.NoError(t, err)
	require.Equal(t, "my key", string(aside))
}

func TestRestoreIntoANewFolder(t *testing.T) {
	sealed := archive(t, box(t, "uno"))
	data := t.TempDir()
	r, err := Folder{Path: data}.Restore(t.Context(), bytes.NewReader(sealed), quick, RestoreOptions{At: day})
	require.NoError(t, err)
	require.Empty(t, r.Quarantine)
	require.Equal(t, []string{"uno"}, texts(t, data))
}

func TestARefusedRestoreChangesNothing(t *testing.T) {
	from := box(t, "uno")
	good := archive(t, from)
	data := box(t, "mine")
	before := snapshotOf(t, data)
	f := Folder{Path: data}
	for name, octets := range bad(t, good) {
		_, err := f.Restore(t.Context(), bytes.NewReader(octets), quick, RestoreOptions{At: day})
		require.ErrorIs(t, err, ErrArchive, name)
		require.Equal(t, before, snapshotOf(t, data), name)
	}
	_, err := f.Restore(t.Context(), bytes.NewReader(good), Secret{"some other passphrase", 4}, RestoreOptions{At: day})
	require.ErrorIs(t, err, ErrPassphrase)
	_, err = f.Restore(t.Context(), bytes.NewReader(good), quick, RestoreOptions{At: day, Free: func() (int64, error) { return spare + 4096, nil }})
	require.ErrorIs(t, err, ErrRoom)

	// A newer program's.
	change(t, from, func(_ *queue.Store, db *sqlite.DB) {
		require.NoError(t, db.Write(t.Context(), sqlite.Urgent, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
			return err
		}))
	})
	newer := make([]byte, 0)
	func() {
		// Write refuses it itself, so this is made by hand.
		copied := filepath.Join(t.TempDir(), "copy")
		require.NoError(t, sqlite.Copy(t.Context(), filepath.Join(from, DatabaseName), copied))
		newer = sealed(t, copied, nil)
	}()
	_, err = f.Restore(t.Context(), bytes.NewReader(newer), quick, RestoreOptions{At: day})
	require.ErrorIs(t, err, sqlite.ErrNewer)

	// One whose database is broken although all digests are right; one whose rows
	// are not those that were counted.
	whole := filepath.Join(t.TempDir(), "whole")
	require.NoError(t, sqlite.Copy(t.Context(), filepath.Join(data, DatabaseName), whole))
	before = snapshotOf(t, data) // reading it made an index of its WAL
	octets, err := os.ReadFile(whole)
	require.NoError(t, err)
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, append(octets[:len(octets)/2:len(octets)/2], make([]byte, len(octets)/2)...), 0o600))
	_, err = f.Restore(t.Context(), bytes.NewReader(sealed(t, broken, nil)), quick, RestoreOptions{At: day})
	require.ErrorIs(t, err, sqlite.ErrDamaged)
	_, err = f.Restore(t.Context(), bytes.NewReader(sealed(t, whole, func(m *Manifest) { m.Rows["message"]++ })), quick, RestoreOptions{At: day})
	require.ErrorIs(t, err, ErrArchive)
	require.Equal(t, before, snapshotOf(t, data))
}

// sealed is an archive of a file as it is, with the right digests, as nobody but
// who knows the passphrase can make it.
func sealed(t *testing.T, file string, change func(*Manifest)) []byte {
	t.Helper()
	octets, err := os.ReadFile(file)
	require.NoError(t, err)
	figures, _ := sqlite.Inspect(t.Context(), file, false)
	s := &snapshot{file: file, manifest: Manifest{Format: manifestFormat, Schema: figures.Schema, Rows: figures.Rows,
		Files: []File{{DatabaseName, int64(len(octets)), digest(octets)}}}}
	if change != nil {
		change(&s.manifest)
	}
	var out bytes.Buffer
	require.NoError(t, s.write(t.Context(), &out, quick))
	return out.Bytes()
}

// TestARestoreThatDiesIsUndoneOrFinished at every step, also when finishing it
// dies again at every step.
func TestARestoreThatDiesIsUndoneOrFinished(t *testing.T) {
	good := archive(t, box(t, "uno", "dos"))
	errDied := errors.New("died")
	// One life: it dies at the nth step from its beginning.
	life := func(data string, n int) (steps int, f Folder) {
		return 0, Folder{Path: data, died: func(string) error {
			if n--; n < 0 {
				return errDied
			}
			return nil
		}}
	}
	outcomes := map[string]int{}
	for first := 0; ; first++ {
		data := box(t, "mine")
		_, f := life(data, first)
		_, err := f.Restore(t.Context(), bytes.NewReader(good), quick, RestoreOptions{At: day})
		if err == nil {
			require.Greater(t, first, 10, "so many steps it has")
			break
		}
		require.ErrorIs(t, err, errDied)
		decided := f.Unfinished()
		for again := 0; ; again++ { // each start gets one step further
			_, f := life(data, again)
			err := f.Clean()
			if err == nil {
				break
			}
			require.ErrorIs(t, err, errDied)
		}
		require.NoDirExists(t, filepath.Join(data, stagingName))
		got := texts(t, data)
		switch {
		case len(got) == 1:
			require.False(t, decided)
			require.Equal(t, []string{"mine"}, got)
			require.NoDirExists(t, filepath.Join(data, quarantineName))
			require.Zero(t, held(t, data))
		default:
			require.Equal(t, []string{"uno", "dos"}, got)
			require.Equal(t, 2, held(t, data))
			require.Equal(t, []string{"mine"}, texts(t, filepath.Join(data, quarantineName, "20261122-120000")))
		}
		outcomes[fmt.Sprint(len(got))]++
	}
	require.Greater(t, outcomes["1"], 1)
	require.Greater(t, outcomes["2"], 4)
}

func TestQuarantineIsNeverOverwrittenAndBounded(t *testing.T) {
	good := archive(t, box(t, "uno"))
	data := box(t, "mine")
	for range 7 {
		r, err := Folder{Path: data}.Restore(t.Context(), bytes.NewReader(good), quick, RestoreOptions{At: day})
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(r.Quarantine, DatabaseName))
	}
	entries, err := os.ReadDir(filepath.Join(data, quarantineName))
	require.NoError(t, err)
	require.Len(t, entries, maxQuarantine)
	require.Equal(t, "20261122-120000-7", entries[len(entries)-1].Name())
}

func TestWhatACrashLeftIsCleaned(t *testing.T) {
	data := box(t, "uno")
	for _, name := range []string{"backup-1234.tmp", "backups/recado-000001-20261122-120000.age.part", "restore/recado.db"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(data, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(data, name), []byte("half"), 0o600))
	}
	require.NoError(t, Folder{Path: data}.Clean())
	for name := range snapshotOf(t, data) {
		require.Contains(t, filepath.Base(name), DatabaseName)
	}
	require.Equal(t, []string{"uno"}, texts(t, data))
}

// TestDamageBringsBackTheNewestGoodCopy: the newest is no good itself.
func TestDamageBringsBackTheNewestGoodCopy(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	data := box(t, "uno")
	k := NewKeeper(Options{Source: source(data), Key: key, Clock: fixed{day}})
	require.NoError(t, k.Make(t.Context()))
	change(t, data, func(s *queue.Store, _ *sqlite.DB) { submit(t, s, "dos") })
	require.NoError(t, k.Make(t.Context()))
	change(t, data, func(s *queue.Store, _ *sqlite.DB) { submit(t, s, "tres") })
	require.NoError(t, k.Make(t.Context()))
	list, err := Copies(LocalFolder(data))
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.NoError(t, os.Truncate(list[0].Path, list[0].Size/2))
	require.NoError(t, os.WriteFile(filepath.Join(data, DatabaseName), []byte("garbage"), 0o600))

	f := Folder{Path: data}
	reason := fmt.Errorf("%w: as it seems", sqlite.ErrDamaged)
	a, err := f.Recover(t.Context(), key, reason, RestoreOptions{At: day})
	require.NoError(t, err)
	require.Equal(t, DamageRestored, a.What)
	require.Equal(t, list[1].Path, a.From)
	require.Equal(t, int64(2), a.Open)
	require.Equal(t, []string{"uno", "dos"}, texts(t, data))
	require.Equal(t, 2, held(t, data))
	broken, err := os.ReadFile(filepath.Join(a.Quarantine, DatabaseName))
	require.NoError(t, err)
	require.Equal(t, "garbage", string(broken))
	shown, err := f.Alarm()
	require.NoError(t, err)
	require.Equal(t, &a, shown)
	require.Contains(t, shown.Reason, "as it seems")
	require.NoError(t, f.Acknowledge())
	shown, err = f.Alarm()
	require.NoError(t, err)
	require.Nil(t, shown)
}

func TestDamageWithoutACopy(t *testing.T) {
	data := box(t, "uno", "dos")
	path := filepath.Join(data, DatabaseName)
	require.NoError(t, sqlite.Alone(t.Context(), path))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	f := Folder{Path: data}

	// An index that has lost an entry: every row is still there.
	raw, err := sql.Open("sqlite3", path)
	require.NoError(t, err)
	raw.SetMaxOpenConns(1)
	for _, q := range []string{
		`CREATE TABLE other (a TEXT)`, `INSERT INTO other VALUES ('x'), ('y')`, `CREATE INDEX other_a ON other(a)`,
		`CREATE TABLE aside (root INTEGER)`, `INSERT INTO aside SELECT rootpage FROM sqlite_master WHERE name = 'other_a'`,
		`PRAGMA writable_schema = ON`, `DELETE FROM sqlite_master WHERE name = 'other_a'`, `PRAGMA writable_schema = RESET`,
		`INSERT INTO other VALUES ('z')`,
		`PRAGMA writable_schema = ON`,
		`INSERT INTO sqlite_master SELECT 'index', 'other_a', 'other', root, 'CREATE INDEX other_a ON other(a)' FROM aside`,
		`PRAGMA writable_schema = RESET`,
	} {
		_, err = raw.Exec(q)
		require.NoError(t, err, q)
	}
	require.NoError(t, raw.Close())
	_, err = sqlite.Check(t.Context(), path)
	require.ErrorIs(t, err, sqlite.ErrDamaged)
	a, err := f.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day})
	require.NoError(t, err)
	require.Equal(t, DamageSalvaged, a.What)
	require.Equal(t, int64(2), a.Open)
	require.FileExists(t, filepath.Join(a.Quarantine, DatabaseName))
	_, err = sqlite.Check(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, []string{"uno", "dos"}, texts(t, data))
	require.Equal(t, 2, held(t, data))

	// Nothing of it can be read.
	garbage := bytes.Repeat([]byte("garbage "), len(whole)/8)
	require.NoError(t, os.WriteFile(path, garbage, 0o600))
	require.NoError(t, os.RemoveAll(path+"-wal"))
	a, err = f.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day})
	require.NoError(t, err)
	require.Equal(t, DamageFresh, a.What)
	require.Zero(t, a.Open)
	require.NoFileExists(t, path)
	broken, err := os.ReadFile(filepath.Join(a.Quarantine, DatabaseName))
	require.NoError(t, err)
	require.Equal(t, garbage, broken)
	shown, err := f.Alarm()
	require.NoError(t, err)
	require.Equal(t, &a, shown)
}

// TestAQuarantineStaysUntilSomebodyHasSeenIt: it may hold what nothing else does.
func TestAQuarantineStaysUntilSomebodyHasSeenIt(t *testing.T) {
	good := archive(t, box(t, "uno"))
	data := box(t, "mine")
	f := Folder{Path: data}
	var unseen []string
	for range 2 {
		require.NoError(t, os.WriteFile(f.database(), []byte("garbage"), 0o600))
		a, err := f.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day})
		require.NoError(t, err)
		unseen = append(unseen, a.Quarantine)
	}
	again := func() {
		for range maxQuarantine + 2 {
			_, err := f.Restore(t.Context(), bytes.NewReader(good), quick, RestoreOptions{At: day.Add(3600e9)})
			require.NoError(t, err)
		}
	}
	again()
	for _, q := range unseen {
		require.FileExists(t, filepath.Join(q, DatabaseName))
	}
	require.NoError(t, f.Acknowledge())
	again()
	for _, q := range unseen {
		require.NoDirExists(t, q)
	}
}
