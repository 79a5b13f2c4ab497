package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

// filled is the data folder of an appliance that has stopped.
func filled(t *testing.T) string {
	t.Helper()
	data := t.TempDir()
	db, err := sqlite.Open(t.Context(), dataDir(data).database(), sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	return data
}

// TestBackupReplacesOnlyWhatItIsTold: what is no file is never replaced, a file only with
// --force, and then by nothing but a whole backup.
func TestBackupReplacesOnlyWhatItIsTold(t *testing.T) {
	t.Parallel()
	data, folder, pass := filled(t), t.TempDir(), phrase(t, testPhrase)
	in := func(name string) string { return filepath.Join(folder, name) }
	require.NoError(t, os.Mkdir(in("folder"), 0o700))
	require.NoError(t, unix.Mkfifo(in("pipe"), 0o600))
	require.NoError(t, os.Symlink("/dev/null", in("to-device")))
	require.NoError(t, os.Symlink(in("pipe"), in("to-pipe")))
	require.NoError(t, os.Symlink(in("nothing"), in("to-nothing")))
	require.NoError(t, os.WriteFile(in("there"), []byte("mine"), 0o644))
	require.NoError(t, os.Symlink("there", in("link")))
	require.NoError(t, os.Mkdir(in("odd.part"), 0o700))
	require.NoError(t, os.Symlink("there", in("sly.part")))
	no := func(file, says string, force bool) {
		t.Helper()
		name, err := backupTarget(file, dataDir(data), force)
		if err == nil {
			_, err = openBackupFile(name, force)
		}
		require.Error(t, err, file)
		require.Regexp(t, `^write the backup: [^\n]*`+says, err.Error())
	}
	for file, says := range map[string]string{
		"/dev/null":      `/dev/null is a device, not a file: name a file`,
		in("folder"):     `is a folder, not a file: name a file in it, such as .*folder/recado\.age`,
		in("pipe"):       `is a named pipe, not a file: .*- for standard output`,
		in("to-device"):  `/dev/null is a device, not a file`,
		in("to-pipe"):    `is a named pipe, not a file`,
		in("to-nothing"): `is a link to what is not there: remove it, or name another file`,
		in("there/more"): `not a directory`,
		in("odd"):        `odd\.part is a folder, not a file: move it away`,
		in("sly"):        `sly\.part is a link, not a file: move it away`,
	} {
		no(file, says, false)
		no(file, says, true)
	}
	no(in("there"), `there is there already: name another file, or replace it with --force`, false)
	no(in("link"), `there is there already`, false)
	no(filepath.Join(data, "recado.db"), `lies in the data folder`, true)
	// One that somebody else is writing.
	part, err := os.Create(in("busy.part"))
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(part.Fd()), unix.LOCK_EX))
	no(in("busy"), `somebody else writes .*busy\.part just now`, false)
	require.NoError(t, part.Close())

	// The program itself.
	for _, args := range [][]string{{"backup", "/dev/null", "--force"}, {"backup", in("there")}} {
		r := recado(t, "", append(args, "--data", data, "--passphrase-file", pass)...)
		require.Equal(t, 1, r.code)
		require.Regexp(t, `^recado: write the backup: [^\n]*\n$`, r.err)
	}
	text, err := os.ReadFile(in("there"))
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
	st, err := os.Lstat("/dev/null")
	require.NoError(t, err)
	require.NotZero(t, st.Mode()&os.ModeCharDevice)

	// A backup that is not written leaves the old file, and no part of a new one.
	other := filepath.Join(t.TempDir(), "none")
	r := recado(t, "", "backup", in("there"), "--force", "--data", other, "--passphrase-file", pass)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "there is no appliance's data in")
	text, err = os.ReadFile(in("there"))
	require.NoError(t, err)
	require.Equal(t, "mine", string(text))
	require.NoFileExists(t, in("there.part"))

	// Through the link, the file behind it; what an interrupted one left is in nobody's way.
	require.NoError(t, os.WriteFile(in("there.part"), make([]byte, 1<<20), 0o644))
	done(t, "backup", in("link"), "--force", "--data", data, "--passphrase-file", pass)
	st, err = os.Lstat(in("link"))
	require.NoError(t, err)
	require.NotZero(t, st.Mode()&os.ModeSymlink)
	st, err = os.Lstat(in("there"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode())
	require.NoFileExists(t, in("there.part"))
}

// TestBackupToAFullDisk leaves what was there before, and no part.
func TestBackupToAFullDisk(t *testing.T) {
	disk, here := shim.SmallDisk(t, 1)
	if !here {
		return
	}
	data, pass := filled(t), phrase(t, testPhrase)
	name := filepath.Join(disk, "box.age")
	require.NoError(t, os.WriteFile(name, []byte("an older one"), 0o600))
	fill(t, disk)
	r := recado(t, "", "backup", name, "--force", "--data", data, "--passphrase-file", pass)
	require.Equal(t, 1, r.code)
	require.Regexp(t, `^recado: [^\n]*no space left on device\n$`, r.err)
	require.NoFileExists(t, name+".part")
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "an older one", string(text))
}

// TestABackupThatIsThereByNow is not replaced: it came while the new one was written.
func TestABackupThatIsThereByNow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "box.age")
	f, err := openBackupFile(name, false)
	require.NoError(t, err)
	_, err = fmt.Fprint(f, "new")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, []byte("another's"), 0o600))
	require.ErrorContains(t, f.keep(), "is there by now")
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "another's", string(text))
	require.NoFileExists(t, name+".part")
}
