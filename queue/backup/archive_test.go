package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
)

const words = "correct horse battery staple"

// quick is words with scrypt as cheap as it gets: most tests are not about it.
var quick = Secret{words, 4}

var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// box is a data folder with messages in it, closed.
func box(t *testing.T, texts ...string) string {
	t.Helper()
	data := t.TempDir()
	change(t, data, func(s *queue.Store, db *sqlite.DB) {
		for _, text := range texts {
			submit(t, s, text)
		}
	})
	return data
}

// change opens a data folder's database for a moment.
func change(t *testing.T, data string, do func(*queue.Store, *sqlite.DB)) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(data, DatabaseName), sqlite.Options{})
	require.NoError(t, err)
	s, err := queue.New(t.Context(), db, queue.Options{})
	require.NoError(t, err)
	do(s, db)
	require.NoError(t, db.Close())
}

func submit(t *testing.T, s *queue.Store, text string) {
	t.Helper()
	_, err := s.Submit(context.Background(), queue.Request{To: []string{"600111222"}, Text: text}, nil)
	require.NoError(t, err)
}

// texts are what messages a database file has, of a folder that is not open.
func texts(t *testing.T, data string) (list []string) {
	t.Helper()
	change(t, data, func(_ *queue.Store, db *sqlite.DB) {
		rows, err := db.Read().Query(`SELECT text FROM message ORDER BY seq`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var text string
			require.NoError(t, rows.Scan(&text))
			list = append(list, text)
		}
		require.NoError(t, rows.Err())
	})
	return list
}

func source(data string) Source {
	return Source{Database: filepath.Join(data, DatabaseName), Version: "v1", Host: "box"}
}

// archive of a data folder.
func archive(t *testing.T, data string) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := Write(t.Context(), source(data), &out, quick, day)
	require.NoError(t, err)
	return out.Bytes()
}

func TestAnArchiveIsStandardAgeAndTar(t *testing.T) {
	data := box(t, "uno", "dos")
	src := source(data)
	key := bytes.Repeat([]byte{7}, 32)
	src.Extra = map[string][]byte{KeyName: key}
	secret, err := Passphrase(words)
	require.NoError(t, err)
	var out bytes.Buffer
	manifest, err := Write(t.Context(), src, &out, secret, day)
	require.NoError(t, err)
	require.Contains(t, out.String()[:200], "-> scrypt ", "the work factor is said at the end of this line")
	require.Regexp(t, `^age-encryption.org/v1\n-> scrypt \S+ 15\n`, out.String()[:200])
	left, err := filepath.Glob(filepath.Join(data, "backup-*"))
	require.NoError(t, err)
	require.Empty(t, left, "the plain copy is gone")

	// With nothing but the standard's own library, and archive/tar.
	identity, err := age.NewScryptIdentity(words)
	require.NoError(t, err)
	plain, err := age.Decrypt(bytes.NewReader(out.Bytes()), identity)
	require.NoError(t, err)
	files := map[string][]byte{}
	for in := tar.NewReader(plain); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.Equal(t, int64(0o600), h.Mode)
		files[h.Name], err = io.ReadAll(in)
		require.NoError(t, err)
	}
	require.Len(t, files, 3)
	require.Equal(t, key, files[KeyName])
	require.NotContains(t, string(files[manifestName]), words)
	var read Manifest
	require.NoError(t, json.Unmarshal(files[manifestName], &read))
	require.Equal(t, manifest, read)
	require.Equal(t, "box", read.Host)
	require.Equal(t, day, read.At)
	require.Equal(t, int64(2), read.Rows["message"])
	path := filepath.Join(t.TempDir(), "plain.db")
	require.NoError(t, os.WriteFile(path, files[DatabaseName], 0o600))
	db, err := sql.Open("sqlite3", path)
	require.NoError(t, err)
	defer db.Close()
	var n int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM message`).Scan(&n))
	require.Equal(t, 2, n)
	require.NotContains(t, out.String(), "SQLite format 3", "nothing of it is readable without")

	again, err := Verify(t.Context(), bytes.NewReader(out.Bytes()), secret)
	require.NoError(t, err)
	require.Equal(t, manifest, again)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret), "horse")
}

func TestPassphrases(t *testing.T) {
	_, err := Passphrase("elevenchars")
	require.ErrorIs(t, err, ErrShort)
	_, err = Passphrase("doce letras ñ"[:13])
	require.ErrorIs(t, err, nil)
	_, err = Passphrase("ññññññ")
	require.ErrorIs(t, err, ErrShort, "characters, not octets")
	_, err = Passphrase(strings.Repeat("x", 2000))
	require.ErrorContains(t, err, "right file")
	_, err = BoxSecret(nil)
	require.Error(t, err)
}

// forge makes an archive that has the right secret and says what it wants.
func forge(t *testing.T, files func(*tar.Writer)) []byte {
	t.Helper()
	recipient, err := quick.recipient()
	require.NoError(t, err)
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, recipient)
	require.NoError(t, err)
	w := tar.NewWriter(sealed)
	files(w)
	_ = w.Close() // some promise more than they give
	require.NoError(t, sealed.Close())
	return out.Bytes()
}

func add(t *testing.T, w *tar.Writer, h tar.Header, content string) {
	t.Helper()
	if h.Size == 0 {
		h.Size = int64(len(content))
	}
	require.NoError(t, w.WriteHeader(&h))
	_, err := io.WriteString(w, content)
	require.NoError(t, err)
}

func manifested(files ...File) string {
	text, _ := json.Marshal(Manifest{Format: 1, Files: files})
	return string(text)
}

// bad are archives that must be refused with nothing changed.
func bad(t *testing.T, good []byte) map[string][]byte {
	t.Helper()
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 0x40
		return b
	}
	db := File{Name: DatabaseName, Size: 4, SHA256: "0000"}
	reg := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600} }
	return map[string][]byte{
		"empty":              {},
		"text":               []byte("this is a letter to a friend, and no archive\n"),
		"cut to half":        good[:len(good)/2],
		"cut by one":         good[:len(good)-1],
		"cut at a chunk":     good[:200+2*65552],
		"longer":             append(bytes.Clone(good), 0),
		"a bit of the head":  flip(3),
		"a bit in the front": flip(400),
		"a bit in the midst": flip(len(good) / 2),
		"a bit at the end":   flip(len(good) - 1),
		"no tar":             forge(t, func(w *tar.Writer) {}),
		"no manifest":        forge(t, func(w *tar.Writer) { add(t, w, reg(DatabaseName), "text") }),
		"another format": forge(t, func(w *tar.Writer) {
			add(t, w, reg(manifestName), `{"format":2,"files":[{"name":"recado.db"}]}`)
		}),
		"no database": forge(t, func(w *tar.Writer) { add(t, w, reg(manifestName), manifested()) }),
		"a path in the manifest": forge(t, func(w *tar.Writer) {
			add(t, w, reg(manifestName), manifested(db, File{Name: "../../evil", Size: 4}))
			add(t, w, reg(DatabaseName), "text")
			add(t, w, reg("../../evil"), "evil")
		}),
		"a path in the tar": forge(t, func(w *tar.Writer) {
			add(t, w, reg(manifestName), manifested(db))
			add(t, w, reg("../recado.db"), "text")
		}),
		"a link": forge(t, func(w *tar.Writer) {
			add(t, w, reg(manifestName), manifested(db))
			add(t, w, tar.Header{Typeflag: tar.TypeSymlink, Name: DatabaseName, Linkname: "/etc/passwd"}, "")
		}),
		"another digest": forge(t, func(w *tar.Writer) {
			add(t, w, reg(manifestName), manifested(db))
			add(t, w, reg(DatabaseName), "text")
		}),
		"more than it says": forge(t, func(w *tar.Writer) {
			good := File{Name: DatabaseName, Size: 4, SHA256: "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"}
			add(t, w, reg(manifestName), manifested(good))
			add(t, w, reg(DatabaseName), "text")
			add(t, w, reg("more"), "more")
		}),
		"a key too large": forge(t, func(w *tar.Writer) {
			add(t, w, reg(manifestName), manifested(db, File{Name: KeyName, Size: 1 << 30}))
		}),
		"a manifest too large": forge(t, func(w *tar.Writer) {
			h := reg(manifestName)
			h.Size = 2 << 20
			require.NoError(t, w.WriteHeader(&h))
			_, err := w.Write(make([]byte, 2<<20))
			require.NoError(t, err)
		}),
	}
}

func TestWhatIsNoGoodArchiveIsRefused(t *testing.T) {
	good := archive(t, box(t, "uno"))
	_, err := Verify(t.Context(), bytes.NewReader(good), quick)
	require.NoError(t, err)
	_, err = Verify(t.Context(), bytes.NewReader(good), Secret{"some other passphrase", 4})
	require.ErrorIs(t, err, ErrPassphrase)
	for name, octets := range bad(t, good) {
		_, err := Verify(t.Context(), bytes.NewReader(octets), quick)
		require.ErrorIs(t, err, ErrArchive, name)
		require.NotErrorIs(t, err, ErrPassphrase, name)
	}
	// Cut where the tar inside has ended already, within what tar fills up with.
	identity, err := quick.identity()
	require.NoError(t, err)
	plain, err := age.Decrypt(bytes.NewReader(good), identity)
	require.NoError(t, err)
	inside, err := io.ReadAll(plain)
	require.NoError(t, err)
	recipient, err := quick.recipient()
	require.NoError(t, err)
	var padded bytes.Buffer
	w, err := age.Encrypt(&padded, recipient)
	require.NoError(t, err)
	_, err = w.Write(append(inside, make([]byte, 300_000)...))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, err = Verify(t.Context(), bytes.NewReader(padded.Bytes()), quick)
	require.NoError(t, err)
	_, err = Verify(t.Context(), bytes.NewReader(padded.Bytes()[:padded.Len()-100_000]), quick)
	require.ErrorIs(t, err, ErrArchive)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Verify(over, bytes.NewReader(good), quick)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAFileIsReadBack(t *testing.T) {
	one, two := archive(t, box(t, "uno")), archive(t, box(t, "dos"))
	want, err := Verify(t.Context(), bytes.NewReader(one), quick)
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(name, one, 0o600))
	require.NoError(t, VerifyFile(t.Context(), name, quick, want))
	require.NoError(t, os.WriteFile(name, two, 0o600))
	require.ErrorIs(t, VerifyFile(t.Context(), name, quick, want), ErrArchive, "another one")
	require.NoError(t, os.WriteFile(name, one[:len(one)-1], 0o600))
	require.ErrorIs(t, VerifyFile(t.Context(), name, quick, want), ErrArchive)
}

// TestASealThatCostsTooMuchIsRefused: an archive may not have this box spend
// gigabytes on its passphrase.
func TestASealThatCostsTooMuchIsRefused(t *testing.T) {
	good := archive(t, box(t))
	head, rest, _ := bytes.Cut(good, []byte(" 4\n"))
	costly := append(append(bytes.Clone(head), " 30\n"...), rest...)
	begun := time.Now()
	_, err := Verify(t.Context(), bytes.NewReader(costly), quick)
	require.ErrorIs(t, err, ErrArchive)
	require.Less(t, time.Since(begun), 5*time.Second)
}

// TestAnArchiveTakesLittleMemory: the database goes by in pieces.
func TestAnArchiveTakesLittleMemory(t *testing.T) {
	data := box(t)
	var settings int64
	change(t, data, func(_ *queue.Store, db *sqlite.DB) {
		require.NoError(t, db.Write(t.Context(), sqlite.Ordinary, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`INSERT INTO setting (key, value) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 60)
				SELECT 'big' || i, hex(randomblob(500000)) FROM n`)
			return errors.Join(err, tx.QueryRow(`SELECT count(*) FROM setting`).Scan(&settings))
		}))
	})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	count := &counter{}
	m, err := Write(t.Context(), source(data), count, quick, day)
	require.NoError(t, err)
	runtime.ReadMemStats(&after)
	require.Greater(t, count.n, int64(60_000_000))
	require.GreaterOrEqual(t, settings, int64(60))
	require.Equal(t, settings, m.Rows["setting"])
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "all that was ever allocated for 60 MB")
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func FuzzArchive(f *testing.F) {
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Add([]byte(manifested(File{Name: DatabaseName, Size: 1, SHA256: "00"})))
	f.Add(bytes.Repeat([]byte("recado.db\x00"), 60))
	f.Fuzz(func(t *testing.T, octets []byte) {
		if _, err := Verify(t.Context(), bytes.NewReader(octets), quick); err == nil {
			t.Fatal("it took anything")
		}
		// The tar inside, of somebody who knows the passphrase.
		recipient, err := quick.recipient()
		require.NoError(t, err)
		var out bytes.Buffer
		sealed, err := age.Encrypt(&out, recipient)
		require.NoError(t, err)
		_, err = sealed.Write(octets)
		require.NoError(t, err)
		require.NoError(t, sealed.Close())
		if m, err := Verify(t.Context(), &out, quick); err == nil {
			require.NotEmpty(t, m.Files)
		}
	})
}
