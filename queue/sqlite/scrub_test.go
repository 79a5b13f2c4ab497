package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue/sqlite/shim"
)

const secret = "una frase que nadie ha de leer"

// secrets writes n rows of several pages each that hold a secret, and deletes them
// without overwriting what becomes free.
func secrets(t *testing.T, db *DB, n int) {
	t.Helper()
	text := strings.Repeat(secret+" ", 400)
	require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
		for i := range n {
			if _, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, ?)`, fmt.Sprint("secret", i), text); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM setting WHERE key LIKE 'secret%'`)
		return err
	}))
}

// leaks counts the secret in the files of a database.
func leaks(t *testing.T, path string) (n int) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		n += bytes.Count(content, []byte(secret))
	}
	return n
}

func pending(t *testing.T, db *DB) (n int) {
	t.Helper()
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM setting WHERE key = ?`, settingScrub).Scan(&n))
	return n
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func openLarge(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, Options{ScrubWhole: -1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestScrubOverwritesALargeFileInPortions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openLarge(t, path)
	whole(t, db)
	secrets(t, db, 1000)
	require.Greater(t, leaks(t, path), 1000)
	before := size(t, path)
	steps := 0
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // a modem's gates go on
		defer close(stopped)
		for ; ; steps++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := db.Write(context.Background(), Urgent, func(tx *Tx) error { return put(tx, fmt.Sprint("gate", steps)) }); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	done, err := db.Scrub(t.Context())
	close(stop)
	<-stopped
	require.NoError(t, err)
	require.Equal(t, Scrubbed{Log: true, Free: true}, done)
	require.Zero(t, leaks(t, path))
	require.Greater(t, steps, 5, "others write between its portions")
	require.Less(t, size(t, path), before+4<<20, "it takes no room")
	require.Zero(t, pending(t, db))
	whole(t, db)
	_, err = Check(t.Context(), path)
	require.NoError(t, err)
}

func TestAnInterruptedScrubGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openLarge(t, path)
	whole(t, db)
	secrets(t, db, 3800) // more than a reserve holds
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			held := make(chan int64, 1)
			db.w.give(func() { held <- db.w.held })
			select {
			case n := <-held:
				if n > (keptRows+2)*step/4096 {
					cancel()
				}
			case <-db.w.done:
				return
			}
		}
	}()
	_, err := db.Scrub(ctx)
	require.ErrorIs(t, err, ErrScrub)
	require.NoError(t, db.Close())
	require.Greater(t, leaks(t, path), 0, "it was interrupted")
	db = openLarge(t, path)
	require.Eventually(t, func() bool { return pending(t, db) == 0 }, 30*time.Second, 20*time.Millisecond)
	require.Zero(t, leaks(t, path))
	whole(t, db)
	var rooms int
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM sqlite_master WHERE name = 'reserve_room'`).Scan(&rooms))
	require.Zero(t, rooms)
}

// hindered has a scrub lose its patience for a reader, which goes on.
func hindered(t *testing.T, db *DB, patience time.Duration) *sql.Tx {
	t.Helper()
	db.scrubPatience = patience
	reader, err := db.Read().Begin()
	require.NoError(t, err)
	var n int
	require.NoError(t, reader.QueryRow(`SELECT count(*) FROM setting`).Scan(&n))
	_, err = db.Scrub(t.Context())
	require.ErrorIs(t, err, ErrScrub)
	return reader
}

func TestScrubWaitsNoLongerThanItsPatienceForAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openLarge(t, path)
	secrets(t, db, 10)
	reader := hindered(t, db, 50*time.Millisecond)
	require.NoError(t, reader.Rollback())
	require.Eventually(t, func() bool { return pending(t, db) == 0 }, 30*time.Second, 20*time.Millisecond)
	require.Zero(t, leaks(t, path))
}

// What is asked for while another goes on is not done by that one.
func TestAScrubThatWasAskedForMeanwhileIsNotForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openLarge(t, path)
	whole(t, db)
	secrets(t, db, 10)
	reader := hindered(t, db, 20*time.Millisecond)
	time.Sleep(500 * time.Millisecond) // it has come to the log, and waits for the reader
	secrets(t, db, 3000)
	_, err := db.Scrub(t.Context())
	require.ErrorIs(t, err, ErrScrub)
	require.NoError(t, reader.Rollback())
	require.Eventually(t, func() bool { return pending(t, db) == 0 }, 60*time.Second, time.Millisecond)
	require.NoError(t, db.Close()) // the program ends now
	require.Zero(t, leaks(t, path))
}

// A small database is written anew, also where SQLite has moved rows about.
func TestScrubLeavesNothingInsideThePagesOfASmallOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, path, nil)
	for round := range 5 {
		require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
			for i := range 400 { // in no order, so that pages are divided
				key := fmt.Sprintf("k%d-%d-%s", i*7919%400, round, strings.Repeat(secret, 1+(i+round)%4))
				if _, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, ?)`, key, secret); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	require.NoError(t, db.Write(t.Context(), Ordinary, Secure(func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM setting WHERE value = ?`, secret)
		return err
	})))
	done, err := db.Scrub(t.Context())
	require.NoError(t, err)
	require.Equal(t, Scrubbed{Log: true, Whole: true}, done)
	require.Zero(t, leaks(t, path))
}

// It goes on while the file is opened, before anybody can have told what was lost.
func TestAScrubAtTheStartKeepsWhatIsSaidOfALostLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, path, nil)
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error { return put(tx, settingScrub) }))
	require.NoError(t, db.Close())
	require.NoError(t, os.Remove(cleanName(path)))
	require.NoError(t, writeNote(path, lostMark+"it is missing"))
	db = openOn(t, path, nil)
	require.NotEmpty(t, db.LogLost())
	require.Eventually(t, func() bool { return pending(t, db) == 0 }, 30*time.Second, 5*time.Millisecond)
	whole(t, db)
	why, err := logLost(path)
	require.NoError(t, err)
	require.Equal(t, db.LogLost(), why, "whoever is killed now says it again")
	require.NoError(t, db.LogLossTold())
	whole(t, db)
	why, err = logLost(path)
	require.NoError(t, err)
	require.Empty(t, why)
	require.FileExists(t, noteName(path), "there is a log again")
}

// Where there is no room for it a second time, a small one is overwritten in portions.
func TestAScrubLeavesRoomOnTheDisk(t *testing.T) {
	var d disk
	d.total.Store(10 << 30)
	d.free.Store(mostRoom + 1<<20)
	path := filepath.Join(t.TempDir(), "recado.db")
	db := openOn(t, path, &d)
	require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES ('large', zeroblob(2000000))`)
		return err
	}))
	secrets(t, db, 10)
	done, err := db.Scrub(t.Context())
	require.NoError(t, err)
	require.Equal(t, Scrubbed{Log: true, Free: true}, done)
	require.Zero(t, leaks(t, path))
	quiet(t, db)
	d.free.Store(5 << 30)
	done, err = db.Scrub(t.Context())
	require.NoError(t, err)
	require.Equal(t, Scrubbed{Log: true, Whole: true}, done)
}

// Room that another program takes meanwhile is missed only while it is written anew.
func TestAScrubThatFillsTheDiskGivesTheRoomBack(t *testing.T) {
	dir, here := shim.SmallDisk(t, 96)
	if !here {
		return
	}
	for _, plenty := range []bool{false, true} { // the disk seems to have room
		name := filepath.Join(dir, fmt.Sprint(plenty))
		require.NoError(t, os.Mkdir(name, 0o700))
		path := filepath.Join(name, "recado.db")
		onDisk := func() (int64, int64, error) { return statRoom(dir) }
		o := Options{ScrubWhole: 64 << 20, Room: onDisk}
		var full atomic.Int64
		if plenty {
			o.Room = func() (int64, int64, error) { return 5 << 30, 10 << 30, nil }
		}
		db, err := Open(t.Context(), path, o)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		for i := range 20 {
			require.NoError(t, db.Write(t.Context(), Ordinary, func(tx *Tx) error {
				_, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, zeroblob(1000000))`, i)
				return err
			}))
		}
		secrets(t, db, 10)
		whole(t, db)
		require.NoError(t, db.ScrubLog(t.Context())) // it may have become long
		whole(t, db)
		db.OnHealth(func(h Health) {
			if h.State == HealthFull {
				full.Add(1)
			}
		})
		free, _, err := onDisk()
		require.NoError(t, err)
		other := filepath.Join(dir, "somebody-elses")
		require.NoError(t, os.WriteFile(other, make([]byte, free-7<<20), 0o600))
		done, err := db.Scrub(t.Context())
		require.NoError(t, err)
		require.Equal(t, Scrubbed{Log: true, Free: true}, done)
		require.Zero(t, leaks(t, path))
		whole(t, db)
		require.Equal(t, HealthOK, db.Health().State)
		require.EqualValues(t, reserveWAL, size(t, path+"-wal"))
		if !plenty {
			require.Zero(t, full.Load())
		}
		require.NoError(t, firstOf(db.Close(), os.Remove(other), os.RemoveAll(name)))
	}
}

// What a migration has made of the log does not stay on the disk.
func TestALogThatMigratingMadeLongIsCut(t *testing.T) {
	for _, lost := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "recado.db")
		db := openOn(t, path, nil)
		require.NoError(t, db.Close())
		wdb, err := db.openWriter(t.Context())
		require.NoError(t, err)
		_, err = wdb.Exec(`INSERT INTO setting (key, value) VALUES ('long', zeroblob(13000000))`)
		require.NoError(t, err)
		require.Greater(t, size(t, path+"-wal"), int64(12<<20))
		if renote(t, path); lost {
			require.NoError(t, writeNote(path, lostMark+"it is missing"))
		}
		require.NoError(t, cutLog(t.Context(), wdb, path, 12<<20))
		require.Zero(t, size(t, path+"-wal"))
		why, err := logLost(path)
		require.NoError(t, err)
		require.Equal(t, lost, why != "", "the note goes with the log, but not what was found missing before")
		require.NoError(t, wdb.Close())
	}
}
