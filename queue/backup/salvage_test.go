package backup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
	"recado/queue/sqlite/shim"
)

const pageSize = 4096

var line = queue.Line{ICCID: "8934071100000000001", IMSI: "214070000000001", Modem: "m1"}

// wordy is the text of the nth message: some fill a page.
func wordy(n int) string {
	return fmt.Sprintf("message %04d %s", n, bytes.Repeat([]byte("and more words "), 8))
}

func sends(t *testing.T, s *queue.Store, n int) {
	t.Helper()
	for range n {
		c, err := s.Claim(t.Context(), line)
		require.NoError(t, err)
		attempt, err := s.Gate(t.Context(), c.Line, c.Message.Seq, 1)
		require.NoError(t, err)
		_, err = s.Outcome(t.Context(), attempt, queue.Outcome{Verdict: queue.Accepted, MR: 1}, nil)
		require.NoError(t, err)
	}
}

// spoilt overwrites the page of the data folder's database that holds a table's row
// with a text, and with it as many other rows.
func spoilt(t *testing.T, data, text string) {
	t.Helper()
	path := filepath.Join(data, DatabaseName)
	require.NoError(t, sqlite.Alone(t.Context(), path))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := 0; at < len(file); at += pageSize {
		if p := file[at : at+pageSize]; p[0] == 13 && bytes.Contains(p, []byte(text)) {
			copy(p, bytes.Repeat([]byte{0xa5}, pageSize))
			require.NoError(t, os.WriteFile(path, file, 0o600))
			return
		}
	}
	require.Fail(t, "no page holds it", text)
}

func list(t *testing.T, data string) map[string]queue.Message {
	t.Helper()
	all := map[string]queue.Message{}
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		page, _, err := s.Messages(t.Context(), queue.Filter{Limit: 500})
		require.NoError(t, err)
		for _, m := range page {
			all[m.Text] = m
		}
	})
	return all
}

// TestABrokenPageWithoutACopy: all but what was on the page is kept, and counted.
func TestABrokenPageWithoutACopy(t *testing.T) {
	data := t.TempDir()
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		for i := range 60 {
			submit(t, s, wordy(i))
		}
		sends(t, s, 10)
	})
	spoilt(t, data, "message 0030")
	said := 0
	a, err := Folder{Path: data}.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day, Say: func(string) { said++ }})
	require.NoError(t, err)
	require.Equal(t, DamageSalvaged, a.What)
	require.Less(t, a.LostMessages, int64(20))
	require.Positive(t, a.LostMessages)
	require.Equal(t, int64(60), a.Messages+a.LostMessages)
	require.Zero(t, a.AddedMessages)
	require.FileExists(t, filepath.Join(a.Quarantine, DatabaseName))
	all := list(t, data)
	require.Len(t, all, int(a.Messages))
	require.NotContains(t, all, wordy(30))
	for i := range 60 {
		m, ok := all[wordy(i)]
		switch {
		case !ok:
		case i < 10:
			require.Equal(t, queue.Sent, m.State)
		default:
			require.Equal(t, queue.Held, m.State)
			require.Equal(t, queue.ReasonRestored, m.Reason)
			require.False(t, m.Damaged)
		}
	}
	// No number that was lost is given again.
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		submit(t, s, "new")
		c, err := s.Claim(t.Context(), line)
		require.NoError(t, err)
		require.Equal(t, "new", c.Message.Text, "nothing else may go")
		require.Greater(t, c.Message.Seq, int64(60))
	})
}

// TestABrokenPageWithACopy: what was on it comes from the copy, held, and uncertain
// when the rest says that it was tried since; of the others the damaged file, which
// is newer, has the say.
func TestABrokenPageWithACopy(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	data := t.TempDir()
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		for i := range 40 {
			submit(t, s, wordy(i))
		}
	})
	require.NoError(t, NewKeeper(Options{Source: source(data), Key: key, Clock: fixed{day}}).Make(t.Context()))
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		sends(t, s, 25)
		for i := range 20 {
			submit(t, s, wordy(40+i))
		}
	})
	spoilt(t, data, "message 0023")
	a, err := Folder{Path: data}.Recover(t.Context(), key, sqlite.ErrDamaged, RestoreOptions{At: day})
	require.NoError(t, err)
	require.Equal(t, DamageSalvaged, a.What)
	require.Positive(t, a.LostMessages)
	require.Equal(t, a.LostMessages, a.AddedMessages)
	require.NotEmpty(t, a.From)
	require.Equal(t, day, a.CopiedAt)
	all := list(t, data)
	require.Len(t, all, 60)
	doubted := 0
	for i := range 60 {
		m := all[wordy(i)]
		require.False(t, m.Damaged, i)
		switch {
		case m.State == queue.Uncertain:
			require.Less(t, i, 25)
			require.Equal(t, queue.ReasonNoEvidence, m.Reason)
			doubted++
		case i < 25:
			require.Equal(t, queue.Sent, m.State, i)
		default:
			require.Equal(t, queue.Held, m.State, i)
		}
	}
	require.Equal(t, queue.Uncertain, all[wordy(23)].State)
	require.LessOrEqual(t, doubted, int(a.AddedMessages))
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		n, err := s.Release(t.Context(), queue.HeldFilter{Reason: queue.ReasonRestored}, "ana")
		require.NoError(t, err)
		require.Equal(t, 35, n, "what is uncertain is not released")
	})
}

// TestNothingIsGivenUpForLackOfRoom, nor of a newer program.
func TestNothingIsGivenUpForLackOfRoom(t *testing.T) {
	data := box(t, "uno")
	spoilt(t, data, "message")
	before := snapshotOf(t, data)
	f := Folder{Path: data}
	_, err := f.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day, Free: func() (int64, error) { return spare, nil }})
	require.ErrorIs(t, err, errNoRoom)
	require.Equal(t, before, snapshotOf(t, data))

	data = box(t, "dos")
	f = Folder{Path: data}
	change(t, data, func(_ *queue.Store, db *sqlite.DB) {
		require.NoError(t, db.Write(t.Context(), sqlite.Urgent, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
			return err
		}))
	})
	before = snapshotOf(t, data)
	_, err = f.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day})
	require.ErrorIs(t, err, sqlite.ErrNewer)
	require.Equal(t, before, snapshotOf(t, data))
}

// TestADiskThatFillsMeanwhileCostsNothing: neither an older copy nor an empty database
// takes the place of one that can be read where there is room.
func TestADiskThatFillsMeanwhileCostsNothing(t *testing.T) {
	disk, here := shim.SmallDisk(t, 64)
	if !here {
		return
	}
	key := bytes.Repeat([]byte{1}, 32)
	data, other := filepath.Join(disk, "data"), filepath.Join(disk, "others")
	require.NoError(t, os.Mkdir(data, 0o700))
	change(t, data, func(s *queue.Store, _ *sqlite.DB) { submit(t, s, "old") })
	require.NoError(t, NewKeeper(Options{Source: source(data), Key: key, Clock: fixed{day}}).Make(t.Context()))
	change(t, data, func(s *queue.Store, _ *sqlite.DB) {
		for i := range 60 {
			submit(t, s, wordy(i))
		}
	})
	spoilt(t, data, "message 0030")
	before := snapshotOf(t, data)
	f, failed := Folder{Path: data}, 0
	for room := int64(0); ; room += 100 << 10 {
		_, err := f.Recover(t.Context(), key, sqlite.ErrDamaged, RestoreOptions{At: day, Free: func() (int64, error) {
			var st syscall.Statfs_t
			require.NoError(t, syscall.Statfs(disk, &st))
			require.NoError(t, os.WriteFile(other, make([]byte, max(0, int64(st.Bavail)*st.Bsize-room)), 0o600))
			return 1 << 40, nil
		}})
		require.NoError(t, os.Remove(other))
		if err == nil {
			break
		}
		failed++
		require.Equal(t, before, snapshotOf(t, data), err)
	}
	require.Greater(t, failed, 3)
	a, err := f.Alarm()
	require.NoError(t, err)
	require.Equal(t, DamageSalvaged, a.What)
	require.Greater(t, a.Messages, int64(40))
}

// TestNoEmptyBoxForLackOfRoom: where nothing can be read and the copy has no room,
// everything stays until there is some.
func TestNoEmptyBoxForLackOfRoom(t *testing.T) {
	key := bytes.Repeat([]byte{1}, 32)
	data := box(t, "uno")
	require.NoError(t, NewKeeper(Options{Source: source(data), Key: key, Clock: fixed{day}}).Make(t.Context()))
	require.NoError(t, os.WriteFile(filepath.Join(data, DatabaseName), bytes.Repeat([]byte("no database "), 500), 0o600))
	before := snapshotOf(t, data)
	f := Folder{Path: data}
	free := []int64{1 << 40, spare} // somebody else is quicker
	_, err := f.Recover(t.Context(), key, sqlite.ErrDamaged, RestoreOptions{At: day, Free: func() (n int64, err error) {
		n, free = free[0], free[1:]
		return n, nil
	}})
	require.ErrorIs(t, err, ErrRoom)
	require.Equal(t, before, snapshotOf(t, data))
	a, err := f.Recover(t.Context(), key, sqlite.ErrDamaged, RestoreOptions{At: day, Free: func() (int64, error) { return 1 << 40, nil }})
	require.NoError(t, err)
	require.Equal(t, DamageRestored, a.What)
	require.Contains(t, list(t, data), "uno")
}

// TestWhatCannotBeWrittenIsNotUnreadable: not only a full disk says that it is not.
func TestWhatCannotBeWrittenIsNotUnreadable(t *testing.T) {
	data := box(t, "uno")
	spoilt(t, data, "uno")
	before := snapshotOf(t, data)
	f := Folder{Path: data}
	_, err := f.Recover(t.Context(), []byte("key"), sqlite.ErrDamaged, RestoreOptions{At: day, Free: func() (int64, error) {
		return 1 << 40, os.Remove(f.in(stagingName))
	}})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, before, snapshotOf(t, data))
}

// TestALostLogTakesNoGraverAlarmAway that nobody has acknowledged.
func TestALostLogTakesNoGraverAlarmAway(t *testing.T) {
	f := Folder{Path: t.TempDir()}
	was := Alarm{What: DamageSalvaged, At: day, Reason: "it is malformed", Quarantine: f.in(quarantineName, "b"),
		Earlier: []string{f.in(quarantineName, "a")}, Messages: 40, LostMessages: 12, Broken: []string{"message"}}
	require.NoError(t, f.raise(&was))
	for range 2 {
		require.NoError(t, f.LogLost("the log is gone", day.Add(3600e9)))
	}
	a, err := f.Alarm()
	require.NoError(t, err)
	was.Reason += "; then, on " + day.Add(3600e9).Format("2006-01-02T15:04:05Z") + ", the log is gone"
	require.Equal(t, &was, a)
	require.NoError(t, f.Acknowledge())
	for _, reason := range []string{"the log is gone", "the log is gone again"} {
		require.NoError(t, f.LogLost(reason, day))
		a, err = f.Alarm()
		require.NoError(t, err)
		require.Equal(t, &Alarm{What: DamageLogLost, At: day, Reason: reason}, a)
	}
}
