package sqlite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// killed gives a folder as a killed process leaves one: three commits of setting rows
// in the WAL that are not in the file, with the note and the index.
func killed(t *testing.T) (folder string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, home, nil)
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, "a") }))
	whole(t, db)
	for _, key := range []string{"b", "c", "d"} {
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, key) }))
	}
	quiet(t, db)
	require.Empty(t, db.LogLost())
	folder = t.TempDir()
	copyFolder(t, filepath.Dir(home), folder)
	return folder
}

// copyFolder copies the files of a database, and has the note say that it is of the copy.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		content, err := os.ReadFile(filepath.Join(from, "recado.db") + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(to, "recado.db")+suffix, content, 0o600))
	}
	require.FileExists(t, noteName(filepath.Join(from, "recado.db")))
	renote(t, filepath.Join(to, "recado.db"))
}

func renote(t *testing.T, path string) {
	t.Helper()
	note, err := noteOf(path, reserveWAL)
	require.NoError(t, err)
	require.NoError(t, writeNote(path, note))
}

// frameAt is where a frame of the WAL begins, the first being 1.
func frameAt(n int64) int64 { return walHeader + (n-1)*(frameHeader+4096) }

// spoil writes over a part of a file.
func spoil(name string, at int64, with []byte) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(with, at)
	return firstOf(err, f.Close())
}

func TestALostLogIsNoticed(t *testing.T) {
	kept := killed(t)
	first, err := os.Open(filepath.Join(kept, "recado.db-wal"))
	require.NoError(t, err)
	defer first.Close()
	s, err := scanLog(first, scanMost)
	require.NoError(t, err)
	x, ok := readIndex(filepath.Join(kept, "recado.db-shm"))
	require.True(t, ok)
	require.Equal(t, x, logIndex{s.salt, s.frames}, "both say the same of a WAL that is whole")
	require.Greater(t, s.frames, int64(3))
	last := s.frames
	wal := func(p string) string { return p + "-wal" }
	shm := func(p string) string { return p + "-shm" }
	zeros := make([]byte, frameHeader+4096)
	for _, row := range []struct {
		name  string
		spoil func(path string) error
		want  string // part of what is said; "" nothing
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"no index", func(p string) error { return os.Remove(shm(p)) }, ""},
		{"missing", func(p string) error { return os.Remove(wal(p)) }, "missing"},
		{"missing with its index", func(p string) error { return firstOf(os.Remove(wal(p)), os.Remove(shm(p))) }, "missing"},
		{"empty", func(p string) error { return os.Truncate(wal(p), 0) }, "empty"},
		{"cut in its header", func(p string) error { return os.Truncate(wal(p), 20) }, "header"},
		{"cut", func(p string) error { return os.Truncate(wal(p), frameAt(last)) }, "held"},
		{"cut, no index", func(p string) error { return firstOf(os.Truncate(wal(p), frameAt(last)), os.Remove(shm(p))) }, "at least"},
		{"cut behind all that it held", func(p string) error { return os.Truncate(wal(p), frameAt(last+1)+1000) }, ""},
		{"all zero", func(p string) error { return os.WriteFile(wal(p), make([]byte, reserveWAL), 0o600) }, "header"},
		{"zeroed header", func(p string) error { return forgetLog(wal(p)) }, "header"},
		{"bits of the header", func(p string) error { return spoil(wal(p), 16, []byte{0xA5, 0x5A}) }, "header"},
		{"the last commit zeroed", func(p string) error { return spoil(wal(p), frameAt(last), zeros) }, "held"},
		{"a bit of the last commit", func(p string) error { return spoil(wal(p), frameAt(last)+2000, []byte{0xA5}) }, "held"},
		{"the first page zeroed, no index", func(p string) error { return firstOf(spoil(wal(p), frameAt(1), zeros), os.Remove(shm(p))) }, "damaged after 0"},
		{"killed in the middle of a commit", func(p string) error { // the frame of it that came, and a head of the next
			return spoil(wal(p), frameAt(last+1), bytes.Repeat([]byte{1}, 5000))
		}, ""},
		{"a commit of which the front is missing, no index", func(p string) error { // as a power cut may leave one
			return firstOf(moveCommit(wal(p), last), os.Remove(shm(p)))
		}, ""},
		{"an index of an earlier generation", func(p string) error { return spoil(shm(p), 0, oldIndex(t, shm(p), 400)) }, ""},
		{"half an index", func(p string) error { return spoil(shm(p), 16, []byte{255}) }, ""},
		{"killed before there was a note", func(p string) error { return os.Remove(noteName(p)) }, ""},
		{"without a note and a log", func(p string) error { return firstOf(os.Remove(noteName(p)), os.Remove(wal(p))) }, ""},
		{"half a note", func(p string) error {
			return firstOf(os.WriteFile(noteName(p), []byte("12"), 0o600), os.Remove(wal(p)))
		}, ""},
		{"another file in its place", func(p string) error {
			content, err := os.ReadFile(p)
			return firstOf(err, os.Rename(p, p+".old"), os.WriteFile(p, content, 0o600), os.Remove(wal(p)), os.Remove(shm(p)))
		}, ""},
		{"looked over by others", func(p string) error {
			_, err := Check(t.Context(), p)
			return firstOf(err, Copy(t.Context(), p, p+".copy"))
		}, ""},
		{"closed in order", func(p string) error {
			one, err := Open(t.Context(), p, Options{})
			return firstOf(err, one.Close(), os.Remove(wal(p)))
		}, ""},
		{"closed in order, and killed while it closed", func(p string) error {
			one, err := Open(t.Context(), p, Options{})
			return firstOf(err, one.Close(), os.Remove(cleanName(p)))
		}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			folder := t.TempDir()
			copyFolder(t, kept, folder)
			path := filepath.Join(folder, "recado.db")
			require.NoError(t, row.spoil(path))
			got := openOn(t, path, nil)
			if row.want == "" {
				require.Empty(t, got.LogLost())
				return
			}
			require.Contains(t, got.LogLost(), row.want)
			why := got.LogLost()
			whole(t, got)
			require.NoError(t, got.Close())
			got = openOn(t, path, nil)
			require.Equal(t, why, got.LogLost(), "said until it was taken care of")
			require.NoError(t, got.LogLossTold())
			require.NoError(t, got.Close())
			require.Empty(t, openOn(t, path, nil).LogLost())
		})
	}
}

// What SQLite writes after a gap has the same salt as the commits behind it.
func TestAGapInTheLogIsToldOnce(t *testing.T) {
	folder := t.TempDir()
	copyFolder(t, killed(t), folder)
	path := filepath.Join(folder, "recado.db")
	wal, err := os.Open(path + "-wal")
	require.NoError(t, err)
	s, err := scanLog(wal, scanMost)
	require.NoError(t, firstOf(err, wal.Close()))
	require.NoError(t, spoil(path+"-wal", frameAt(s.frames-2)+100, []byte{0xa5, 1, 2, 3}))
	require.NoError(t, os.Remove(path+"-shm"))
	db := openOn(t, path, nil)
	require.Contains(t, db.LogLost(), "damaged after")
	why, err := logLost(path)
	require.NoError(t, err)
	require.Equal(t, db.LogLost(), why, "whoever is killed now says it again")
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, "marked") }))
	require.NoError(t, db.LogLossTold())
	whole(t, db)
	again := t.TempDir()
	copyFolder(t, folder, again) // killed
	db = openOn(t, filepath.Join(again, "recado.db"), nil)
	require.Empty(t, db.LogLost(), "it was told, and nothing was lost since")
	require.True(t, has(t, db, "marked"))
}

// moveCommit puts after the last frame another that is a commit of this generation,
// and does not follow it.
func moveCommit(wal string, last int64) error {
	content, err := os.ReadFile(wal)
	if err != nil {
		return err
	}
	frame := content[frameAt(last):frameAt(last+1)]
	if err := spoil(wal, frameAt(last+1), frame[:100]); err != nil {
		return err
	}
	return spoil(wal, frameAt(last+2), frame)
}

// oldIndex is an index as it is, but for the salt and the number of frames.
func oldIndex(t *testing.T, name string, frames uint32) []byte {
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	h := content[:48]
	binary.NativeEndian.PutUint32(h[16:], frames)
	h[32]--
	var s sum
	for i := 0; i < 40; i += 8 {
		s.a += binary.NativeEndian.Uint32(h[i:]) + s.b
		s.b += binary.NativeEndian.Uint32(h[i+4:]) + s.a
	}
	binary.NativeEndian.PutUint32(h[40:], s.a)
	binary.NativeEndian.PutUint32(h[44:], s.b)
	return append(bytes.Clone(h), h...)
}

// A log that is cut off in order is none that was lost.
func TestAScrubbedLogIsNotLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, path, nil)
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, "a") }))
	whole(t, db)
	require.FileExists(t, noteName(path))
	done := make(chan bool, 1)
	db.w.give(func() {
		err := db.w.scrubLog()
		_, gone := os.Stat(noteName(path))
		done <- err == nil && os.IsNotExist(gone)
	})
	require.True(t, <-done, "while there is no log there is no note")
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, "b") }))
	whole(t, db)
	require.FileExists(t, noteName(path))
}

// FuzzScanLog: whatever a WAL has become, looking at it ends, and finds no more
// than there is.
func FuzzScanLog(f *testing.F) {
	home := filepath.Join(f.TempDir(), "recado.db")
	db, err := Open(f.Context(), home, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(f, err)
	for i := range 3 {
		require.NoError(f, db.Write(f.Context(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint(i)) }))
	}
	content, err := os.ReadFile(home + "-wal")
	require.NoError(f, err)
	require.NoError(f, db.Close())
	f.Add(content[len(content)-20000:])
	f.Add(content[:min(len(content), 20000)])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := scanLog(bytes.NewReader(b), scanMost)
		require.NoError(t, err)
		require.LessOrEqual(t, s.frames*(frameHeader+512), int64(len(b)))
		if !s.header {
			require.False(t, s.gap || s.frames > 0)
		}
	})
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
