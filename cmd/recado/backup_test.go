package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"recado/modem/emulator"
	"recado/queue/backup"
	"recado/queue/sqlite"
)

const testPhrase = "cuatro palabras nada comunes"

// phrase is a file with the passphrase.
func phrase(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "passphrase")
	require.NoError(t, os.WriteFile(name, []byte(text+"\n"), 0o600))
	return name
}

// submitted is how many segments the emulated network of a folder has accepted; none without
// a ledger.
func submitted(t *testing.T, data string) (n int) {
	t.Helper()
	if _, err := os.Stat(dataDir(data).ledger()); os.IsNotExist(err) {
		return 0
	}
	for _, e := range readLedger(t, dataDir(data).ledger()) {
		if e.Type == emulator.EntrySubmit && e.Accepted {
			n++
		}
	}
	return n
}

// TestBackupWhileSendingAndRestoreElsewhere: the backup is made in the middle of sending; what
// comes of it sends nothing by itself, and everything once it is released.
func TestBackupWhileSendingAndRestoreElsewhere(t *testing.T) {
	t.Parallel()
	data, file, pass := dataFolder(t), filepath.Join(t.TempDir(), "box.age"), phrase(t, testPhrase)
	d := serving(t, data, "--emulate", "2")
	d.lines(2)
	const messages = 40
	var ids []string
	for i := range messages {
		ids = append(ids, d.send(fmt.Sprintf("6001112%02d", i), "copia"))
	}
	d.becomes(ids[0], "delivered")
	out := done(t, "backup", file, "--passphrase-file", pass, "--data", data)
	require.Contains(t, out, "40 messages")
	require.NotContains(t, out, testPhrase)
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	require.NoFileExists(t, file+".part")
	piped := recado(t, "", "backup", "-", "--passphrase-file", pass, "--data", data)
	require.Zero(t, piped.code, piped.err)
	identity, err := age.NewScryptIdentity(testPhrase)
	require.NoError(t, err)
	plain, err := age.Decrypt(strings.NewReader(piped.out), identity)
	require.NoError(t, err, "standard age")
	whole, err := io.ReadAll(plain)
	require.NoError(t, err)
	require.True(t, bytes.Contains(whole, []byte("SQLite format 3")))
	require.False(t, strings.Contains(piped.out, "SQLite format 3"))
	require.NotContains(t, d.Output(), testPhrase)

	busy := recado(t, "", "restore", file, "--passphrase-file", pass, "--data", data)
	require.Equal(t, 1, busy.code)
	require.Regexp(t, `^recado: recado \(PID \d+\) works on .*: stop it first`, busy.err)

	other := dataFolder(t)
	told := done(t, "restore", file, "--passphrase-file", pass, "--data", other)
	require.Regexp(t, `(?m)^Made 20\S+ \S+ UTC by Recado .*: 40 messages`, told)
	require.Regexp(t, `(?m)^\d+ messages were not finished then\. They are held`, told)
	r := serving(t, other, "--emulate", "2")
	r.lines(2)
	// One of its own goes, so that what does not go could have.
	r.becomes(r.send("600999888", "nuevo"), "delivered")
	require.Equal(t, 1, submitted(t, other), "nothing of the backup was sent")
	var list struct {
		Total int `json:"total"`
		Items []struct {
			Reason string
			Count  int
		} `json:"items"`
	}
	require.Equal(t, http.StatusOK, r.ask("GET", "/api/v1/held", nil, &list))
	require.Positive(t, list.Total)
	for _, g := range list.Items {
		require.Equal(t, "restored", g.Reason)
	}
	require.Equal(t, http.StatusOK, r.ask("POST", "/api/v1/held/release", map[string]any{"reason": "restored"}, nil))
	for _, id := range ids {
		eventually(t, func() bool {
			state := r.message(id).State
			return state == "delivered" || state == "sent" || state == "uncertain"
		}, "released and sent")
	}
	require.GreaterOrEqual(t, submitted(t, other), list.Total, "those that were held, and the new one")
}

func TestBackupAndRestoreByHand(t *testing.T) {
	t.Parallel()
	data, folder := dataFolder(t), t.TempDir()
	good, pass := filepath.Join(folder, "good.age"), phrase(t, testPhrase)
	d := startServing(t, data)
	done(t, "send", "600111222", "uno", "--data", data)
	d.signal(syscall.SIGTERM)
	require.Zero(t, d.ends(30*time.Second))
	done(t, "backup", good, "--passphrase-file", pass, "--data", data) // without a daemon
	octets, err := os.ReadFile(good)
	require.NoError(t, err)
	cut, text := filepath.Join(folder, "cut.age"), filepath.Join(folder, "text.age")
	flipped := filepath.Join(folder, "flipped.age")
	require.NoError(t, os.WriteFile(cut, octets[:len(octets)*2/3], 0o600))
	require.NoError(t, os.WriteFile(text, []byte("a letter\n"), 0o600))
	octets[len(octets)/2] ^= 1
	require.NoError(t, os.WriteFile(flipped, octets, 0o600))

	before, err := os.ReadFile(dataDir(data).database())
	require.NoError(t, err)
	for _, row := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"another passphrase", []string{"restore", good, "--passphrase-file", phrase(t, "something else entirely")}, 1, `the passphrase does not open this backup.*nothing was changed`},
		{"cut", []string{"restore", cut, "--passphrase-file", pass}, 1, `no backup of Recado's, or it is damaged.*nothing was changed`},
		{"flipped", []string{"restore", flipped, "--passphrase-file", pass}, 1, `damaged.*nothing was changed`},
		{"text", []string{"restore", text, "--passphrase-file", pass}, 1, `damaged.*nothing was changed`},
		{"no such file", []string{"restore", filepath.Join(folder, "none"), "--passphrase-file", pass}, 1, `open the backup`},
		{"short", []string{"backup", filepath.Join(folder, "x"), "--passphrase-file", phrase(t, "corta")}, 1, `too short: take at least 12 characters`},
		{"no passphrase", []string{"backup", filepath.Join(folder, "x")}, 2, `--passphrase-file`},
		{"none to restore with", []string{"restore", good}, 2, `--passphrase-file`},
		{"nothing named", []string{"restore"}, 2, `name one backup file`},
		{"both named", []string{"restore", good, "--latest"}, 2, `name one backup file`},
		{"none of its own", []string{"restore", "--latest"}, 1, `no automatic backup`},
		{"nowhere to write", []string{"backup", filepath.Join(folder, "no", "where"), "--passphrase-file", pass}, 1, `write the backup`},
		{"a second place without passphrase", []string{"serve", "--backup-dir", folder}, 2, `--backup-passphrase-file`},
		{"too often", []string{"serve", "--backup-every", "1s"}, 2, `at least 1m`},
	} {
		r := recado(t, "", append(row.args, "--data", data)...)
		require.Equal(t, row.code, r.code, "%s: %s", row.name, r.err)
		require.Regexp(t, `^recado: [^\n]*\n$`, r.err, row.name)
		require.Regexp(t, row.says, r.err, row.name)
	}
	after, err := os.ReadFile(dataDir(data).database())
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after))
	require.NoDirExists(t, filepath.Join(data, "quarantine"))
	require.NoDirExists(t, filepath.Join(data, "restore"))
	left, err := filepath.Glob(filepath.Join(folder, "*.part"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.Contains(t, done(t, "restore", "--list", "--data", data), "no automatic backup")

	// Over what is there, which is kept.
	done(t, "send", "600111222", "dos", "--data", data)
	told := done(t, "restore", good, "--passphrase-file", pass, "--data", data)
	require.Contains(t, told, "1 messages were not finished")
	require.Contains(t, told, filepath.Join(data, "quarantine"))
	require.Regexp(t, `Held +1 \(held list\)`, done(t, "status", "--data", data))
}

// TestAnOlderProgramNamesTheBackup that its newer sister made before migrating.
func TestAnOlderProgramNamesTheBackup(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	db, err := sqlite.Open(t.Context(), dataDir(data).database(), sqlite.Options{})
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), sqlite.Urgent, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
		return err
	}))
	require.NoError(t, db.Close())
	before, err := os.ReadFile(dataDir(data).database())
	require.NoError(t, err)
	r := recado(t, "", "serve", "--data", data, "--listen", "127.0.0.1:0")
	require.Equal(t, 1, r.code)
	require.Regexp(t, `install that version or a later one.*restore the backup that it made beside the file before migrating`, r.err)
	after, err := os.ReadFile(dataDir(data).database())
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after))
	require.NoDirExists(t, filepath.Join(data, "quarantine"), "newer is not damaged")
}

// TestARestoreThatIsKilled leaves the old data or the new, whatever the moment.
func TestARestoreThatIsKilled(t *testing.T) {
	t.Parallel()
	data, other := dataFolder(t), dataFolder(t)
	file, pass := filepath.Join(t.TempDir(), "box.age"), phrase(t, testPhrase)
	for folder, text := range map[string]string{data: "vieja", other: "nueva"} {
		done(t, "key", "create", "--name", "a", "--scope", "admin", "--data", folder)
		done(t, "send", "600111222", text, "--data", folder)
	}
	done(t, "backup", file, "--passphrase-file", pass, "--data", other)
	begun := time.Now()
	done(t, "restore", file, "--passphrase-file", pass, "--data", dataFolder(t))
	whole := time.Since(begun)
	kept := map[string]int{}
	for i := range 12 {
		command := program("restore", file, "--passphrase-file", pass, "--data", data)
		require.NoError(t, command.Start())
		time.AfterFunc(whole*time.Duration(i)/12, func() { _ = command.Process.Kill() })
		_ = command.Wait() // killed or not
		_ = done(t, "status", "--data", data)
		require.NoDirExists(t, filepath.Join(data, "restore"))
		db, err := sqlite.Open(t.Context(), dataDir(data).database(), sqlite.Options{})
		require.NoError(t, err)
		var text string
		require.NoError(t, db.Read().QueryRow(`SELECT group_concat(text) FROM message`).Scan(&text))
		require.NoError(t, db.Close())
		require.Contains(t, []string{"vieja", "nueva"}, text)
		kept[text]++
	}
	t.Logf("within %s: %v", whole, kept)
}

// copied is a stopped box with an automatic backup and a message in it, and one after it.
func copied(t *testing.T, withCopy bool) string {
	t.Helper()
	data := dataFolder(t)
	done(t, "key", "create", "--name", "a", "--scope", "admin", "--data", data)
	done(t, "send", "600111222", "antes", "--data", data)
	key, err := dataDir(data).secret()
	require.NoError(t, err)
	if withCopy {
		src, err := dataDir(data).source()
		require.NoError(t, err)
		k := backup.NewKeeper(backup.Options{Source: src, Key: key, Clock: newClock(true)})
		require.NoError(t, k.Make(t.Context()))
	}
	done(t, "send", "600111222", "después", "--data", data)
	return data
}

// TestDamageAtStart: R9 with the real program. It never panics, sends nothing, and is ready
// within 30 s, with what can be read of it, or else the newest good backup when there is one.
func TestDamageAtStart(t *testing.T) {
	t.Parallel()
	wreck := func(f func(octets []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			octets, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, f(octets), 0o600))
			require.NoError(t, os.RemoveAll(path+"-wal")) // the same pages are still in it
		}
	}
	flips := wreck(func(b []byte) []byte {
		for page := 1; page*4096+200 < len(b); page++ {
			for i := range 8 {
				b[page*4096+i] ^= 0x55 // the head of every page but the first
			}
		}
		return b
	})
	for _, row := range []struct {
		name     string
		withCopy bool
		damage   func(*testing.T, string)
		what     string // the alarm's; "" none
	}{
		{"zeroed header", true, wreck(func(b []byte) []byte { return append(make([]byte, 100), b[100:]...) }), "salvaged"},
		{"cut to half", true, wreck(func(b []byte) []byte { return b[:len(b)/2] }), "salvaged"},
		{"flips", true, flips, "restored"},
		{"garbage", true, wreck(func([]byte) []byte { return bytes.Repeat([]byte("garbage "), 10000) }), "restored"},
		{"empty with an orphan WAL", true, func(t *testing.T, path string) {
			require.NoError(t, os.Truncate(path, 0))
			require.NoError(t, os.WriteFile(path+"-wal", bytes.Repeat([]byte{1}, 9000), 0o600))
		}, "restored"},
		{"rotten while it was off", true, func(t *testing.T, path string) {
			st, err := os.Stat(path)
			require.NoError(t, err)
			flips(t, path)
			require.NoError(t, os.Chtimes(path, st.ModTime(), st.ModTime())) // as if nobody had touched it
		}, "restored"},
		{"gone", true, func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.RemoveAll(path+"-wal"))
		}, "restored"},
		{"a cut WAL", true, func(t *testing.T, path string) {
			if st, err := os.Stat(path + "-wal"); err == nil {
				require.NoError(t, os.Truncate(path+"-wal", st.Size()/2+7))
			}
		}, ""},
		{"no index of the WAL", true, func(t *testing.T, path string) { require.NoError(t, os.RemoveAll(path+"-shm")) }, ""},
		{"garbage without a backup", false, wreck(func([]byte) []byte { return bytes.Repeat([]byte("garbage "), 10000) }), "fresh"},
		{"cut to half without a backup", false, wreck(func(b []byte) []byte { return b[:len(b)/2] }), "salvaged"},
		{"empty without a backup", false, wreck(func([]byte) []byte { return nil }), "fresh"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			data := copied(t, row.withCopy)
			row.damage(t, dataDir(data).database())
			begun := time.Now()
			d := startServing(t, data, "--emulate", "1")
			require.Less(t, time.Since(begun), 30*time.Second)
			require.NotContains(t, d.Output(), "panic")
			d.key = strings.TrimSpace(done(t, "key", "create", "--name", "test", "--scope", "admin", "--data", data))
			var list struct {
				Items []apiMessage `json:"items"`
			}
			require.Equal(t, http.StatusOK, d.ask("GET", "/api/v1/messages", nil, &list))
			alarm, err := dataDir(data).folder(nil).Alarm()
			require.NoError(t, err)
			if row.what == "" {
				require.Nil(t, alarm)
				require.Len(t, list.Items, 2, "nothing was lost")
				return
			}
			require.NotNil(t, alarm)
			require.Equal(t, row.what, alarm.What)
			if row.name != "gone" {
				require.DirExists(t, alarm.Quarantine)
			}
			var health struct {
				Checks []struct{ Name, Status string }
			}
			d.ask("GET", "/health/ready", nil, &health)
			require.Contains(t, health.Checks, struct{ Name, Status string }{"data", "warn"})
			require.Regexp(t, `data_`+row.what, recado(t, "", "doctor", "--json", "--data", data).out)
			d.lines(1)
			d.becomes(d.send("600999888", "nuevo"), "delivered")
			require.Equal(t, 1, submitted(t, data), "nothing of the backup was sent")
			switch row.what {
			case "salvaged": // the half that was cut off is the reserve
				require.Len(t, list.Items, 2)
				require.Equal(t, []string{"held", "held"}, []string{list.Items[0].State, list.Items[1].State})
			case "restored":
				require.Len(t, list.Items, 1)
				require.Equal(t, "antes", list.Items[0].Text)
				require.Equal(t, "held", list.Items[0].State)
			default:
				require.Empty(t, list.Items)
				require.Contains(t, d.Output(), "Setup code")
			}
		})
	}
}

// TestAutomaticBackupsOfARealBox: --latest needs no passphrase, a killed daemon leaves no
// plain copy behind.
func TestAutomaticBackupsOfARealBox(t *testing.T) {
	t.Parallel()
	data := copied(t, true)
	require.NoError(t, os.WriteFile(filepath.Join(data, "backup-123.tmp"), []byte("plain"), 0o600))
	list := done(t, "restore", "--list", "--data", data)
	require.Regexp(t, `^20\S+ \S+ UTC +\d+ KB +\S+recado-000001-\S+\.age\n$`, list)
	told := done(t, "restore", "--latest", "--data", data)
	require.Contains(t, told, "1 messages were not finished")
	require.NoFileExists(t, filepath.Join(data, "backup-123.tmp"))
	fields := strings.Fields(list)
	told = done(t, "restore", fields[len(fields)-1], "--data", data)
	require.Contains(t, told, "1 messages", "a file of its own by name needs no passphrase either")
}
