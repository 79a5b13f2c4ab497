package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"recado/queue"
	"recado/queue/sqlite"
)

func digest(octets []byte) string {
	sum := sha256.Sum256(octets)
	return hex.EncodeToString(sum[:])
}

type fixed struct{ at time.Time }

func (f fixed) Now() time.Time { return f.at }

func TestSurplus(t *testing.T) {
	hour := func(from time.Time, n int) (list []Copy) { // n copies, hourly, newest first
		for i := n - 1; i >= 0; i-- {
			list = append(list, Copy{No: int64(i), At: from.Add(time.Duration(i) * time.Hour), Size: 10})
		}
		return list
	}
	list := hour(day.Add(-12*time.Hour), 30*24) // from midnight, thirty days
	gone := map[int64]bool{}
	for _, c := range surplus(list, 24, 14, 0) {
		gone[c.No] = true
	}
	require.Len(t, gone, len(list)-24-13, "24, and the last of each of the 13 days before")
	for i, c := range list {
		lastOfDay := c.At.Hour() == 23
		require.Equal(t, i >= 24 && (!lastOfDay || i >= 14*24), gone[c.No], c.At)
	}
	require.Len(t, surplus(list, 24, 14, 100), len(list)-10, "as many as have room")
	require.Len(t, surplus(list, 24, 14, 1), len(list)-2, "but two in any case")
	require.Empty(t, surplus(list[:2], 1, 1, 1))

	// A clock that stood still makes no more of them.
	same := make([]Copy, 100)
	require.Len(t, surplus(same, 24, 14, 0), 100-24)
}

// TestKeeper: every hour a copy, verified before an old one goes.
func TestKeeper(t *testing.T) {
	data := box(t, "uno")
	usb := t.TempDir()
	key := make([]byte, 32)
	ticks, waits := make(chan time.Time), make(chan time.Duration)
	clock := &stepping{at: day}
	o := Options{
		Source: source(data), Key: key, Folder: usb, Hourly: 3, Daily: 1,
		Passphrase: func() (Secret, error) { return quick, nil },
		Clock:      clock, After: func(d time.Duration) <-chan time.Time { waits <- d; return ticks },
	}
	o.Source.Extra = map[string][]byte{KeyName: key}
	k := NewKeeper(o)
	require.True(t, k.Status().LastAt.IsZero())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()

	require.Equal(t, 5*time.Minute, <-waits, "the first soon")
	for i := range 5 {
		clock.at = clock.at.Add(time.Hour)
		ticks <- clock.at
		require.Equal(t, time.Hour, <-waits)
		s := k.Status()
		require.Empty(t, s.Error)
		require.Equal(t, clock.at, s.LastAt)
		require.Equal(t, clock.at.Add(time.Hour), s.NextAt)
		require.Equal(t, min(i+1, 3), s.Copies)
		require.Positive(t, s.Size)
	}
	box, err := BoxSecret(key)
	require.NoError(t, err)
	for folder, secret := range map[string]Secret{LocalFolder(data): box, usb: quick} {
		list, err := Copies(folder)
		require.NoError(t, err)
		require.Len(t, list, 3)
		require.Equal(t, []int64{5, 4, 3}, []int64{list[0].No, list[1].No, list[2].No})
		for _, c := range list {
			st, err := os.Stat(c.Path)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
			file, err := os.Open(c.Path)
			require.NoError(t, err)
			m, err := Verify(t.Context(), file, secret)
			require.NoError(t, err)
			require.NoError(t, file.Close())
			require.Len(t, m.Files, map[string]int{usb: 2, LocalFolder(data): 1}[folder], "the key goes only where a passphrase is")
		}
	}

	// The disk is gone: an alarm, tried again soon; what is there stays.
	require.NoError(t, os.Rename(usb, usb+".gone"))
	ticks <- clock.at
	require.Equal(t, retryAfter, <-waits)
	require.Contains(t, k.Status().Error, "is its disk mounted")
	require.Equal(t, day.Add(5*time.Hour), k.Status().Since)
	require.NoDirExists(t, usb)
	require.NoError(t, os.Rename(usb+".gone", usb))
	ticks <- clock.at
	require.Equal(t, time.Hour, <-waits)
	require.Empty(t, k.Status().Error)

	// A database that is damaged makes no copy, and lets none go.
	before, err := Copies(LocalFolder(data))
	require.NoError(t, err)
	whole, err := os.ReadFile(o.Source.Database)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(o.Source.Database, int64(len(whole)/2)))
	require.NoError(t, os.Remove(o.Source.Database+"-wal")) // the same pages are still in it
	for range 5 {
		ticks <- clock.at
		require.Equal(t, retryAfter, <-waits)
	}
	require.NotEmpty(t, k.Status().Error)
	after, err := Copies(LocalFolder(data))
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, os.WriteFile(o.Source.Database, whole, 0o600))
	stop()
	require.NoError(t, <-ended)
	left, err := filepath.Glob(filepath.Join(data, "backup-*"))
	require.NoError(t, err)
	require.Empty(t, left)

	// The next start waits for the rest of the hour, unless the copy is old, from
	// the future, or another key's.
	clock.at = day.Add(5*time.Hour + 20*time.Minute)
	require.Equal(t, 40*time.Minute, NewKeeper(o).first(t.Context()))
	clock.at = day.Add(7 * time.Hour)
	require.Equal(t, firstAfter, NewKeeper(o).first(t.Context()))
	clock.at = day
	require.Equal(t, firstAfter, NewKeeper(o).first(t.Context()))
	clock.at = day.Add(5*time.Hour + 20*time.Minute)
	o.Key = []byte("another")
	require.Equal(t, firstAfter, NewKeeper(o).first(t.Context()))
}

type stepping struct{ at time.Time }

func (s *stepping) Now() time.Time { return s.at }

func TestKeeperMakesRoomForNobody(t *testing.T) {
	data := box(t)
	free := int64(1 << 40)
	low := false
	k := NewKeeper(Options{Source: source(data), Key: []byte("k"), Clock: fixed{day}, Low: func() bool { return low },
		Room: func(folder string) (int64, int64, error) {
			require.Equal(t, data, folder)
			return free, 1 << 41, nil
		}})
	require.NoError(t, k.Make(t.Context()))
	low = true
	require.ErrorIs(t, k.Make(t.Context()), ErrPaused)
	low, free = false, 96<<20
	require.ErrorIs(t, k.Make(t.Context()), ErrPaused)
	require.True(t, k.Status().Paused)
	require.Equal(t, 1, k.Status().Copies)
	free = 97<<20 + 2<<20
	require.NoError(t, k.Make(t.Context()))
	require.False(t, k.Status().Paused)
	failed := errors.New("no such disk")
	k.o.Room = func(string) (int64, int64, error) { return 0, 0, failed }
	require.ErrorIs(t, k.Make(t.Context()), failed)
}

func TestTheWholeOfACopyIsCheckedOnceAWeek(t *testing.T) {
	data := box(t)
	clock := &stepping{at: day}
	k := NewKeeper(Options{Source: source(data), Key: []byte("k"), Clock: clock})
	for _, row := range []struct {
		after time.Duration
		deep  bool
	}{{0, true}, {time.Hour, false}, {6 * 24 * time.Hour, false}, {7 * 24 * time.Hour, true}, {8 * 24 * time.Hour, false}} {
		clock.at = day.Add(row.after)
		require.NoError(t, k.Make(t.Context()))
		require.Equal(t, row.deep, k.Status().CheckedAt.Equal(clock.at), row.after)
	}
}

func TestRenewLeavesNothingOld(t *testing.T) {
	data := box(t, "secret")
	usb := t.TempDir()
	o := Options{Source: source(data), Key: []byte("k"), Clock: fixed{day}, Folder: usb, Passphrase: func() (Secret, error) { return quick, nil }}
	k := NewKeeper(o)
	for range 3 {
		require.NoError(t, k.Make(t.Context()))
	}
	bak := filepath.Join(data, "recado.db.schema2-20260101-000000.bak")
	require.NoError(t, os.WriteFile(bak, []byte("old"), 0o600))
	mine := filepath.Join(usb, "mine.age")
	require.NoError(t, os.WriteFile(mine, []byte("mine"), 0o600))
	change(t, data, func(_ *queue.Store, db *sqlite.DB) {
		require.NoError(t, db.Write(t.Context(), sqlite.Urgent, func(tx *sqlite.Tx) error {
			_, err := tx.Exec(`UPDATE message SET text = ''`)
			return err
		}))
	})
	require.NoError(t, k.Renew(t.Context()))
	require.NoFileExists(t, bak)
	require.FileExists(t, mine)
	require.Equal(t, 1, k.Status().Copies)
	for _, folder := range []string{LocalFolder(data), usb} {
		list, err := Copies(folder)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, int64(4), list[0].No)
	}
	require.NoError(t, os.RemoveAll(usb))
	require.ErrorContains(t, k.Renew(t.Context()), "still hold what was erased")
	require.Equal(t, 1, k.Status().Copies, "the box's own are replaced all the same")
	require.Contains(t, k.Status().Error, "still hold what was erased")
}

// TestErasingIsFollowedByARenewal: at once, not with a copy made in the midst of
// it, and by the next run when this one dies.
func TestErasingIsFollowedByARenewal(t *testing.T) {
	data := box(t, "secret")
	bak := filepath.Join(data, "recado.db.schema2-20260101-000000.bak")
	mark := filepath.Join(LocalFolder(data), renewName)
	waits := make(chan time.Duration)
	free := int64(1 << 40)
	o := Options{
		Source: source(data), Key: []byte("k"), Clock: fixed{day},
		After: func(d time.Duration) <-chan time.Time { waits <- d; return nil },
		Room:  func(string) (int64, int64, error) { return free, 1 << 40, nil },
	}
	k := NewKeeper(o)
	for range 3 {
		require.NoError(t, k.Make(t.Context()))
	}
	require.NoError(t, os.WriteFile(bak, []byte("old"), 0o600))
	run := func(k *Keeper) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- k.Run(ctx) }()
		return func() { cancel(); require.NoError(t, <-ended) }
	}
	stop := run(k)
	<-waits
	done, err := k.Erasing()
	require.NoError(t, err)
	require.NoError(t, k.Renew(t.Context()), "another's, in the midst of it")
	require.FileExists(t, mark, "that copy may hold what is being erased")
	require.NoError(t, k.Make(t.Context()))
	require.Equal(t, 2, k.Status().Copies)
	done()
	require.Equal(t, time.Hour, <-waits)
	require.Equal(t, 1, k.Status().Copies)
	require.NoFileExists(t, bak)
	require.NoFileExists(t, mark)

	// There is no room: it is told, and the next start does it.
	free = 0
	require.NoError(t, os.WriteFile(bak, []byte("old"), 0o600))
	done, err = k.Erasing()
	require.NoError(t, err)
	done()
	require.Equal(t, retryAfter, <-waits)
	require.Contains(t, k.Status().Error, "still hold what was erased")
	require.True(t, k.Status().Paused)
	require.FileExists(t, bak)
	stop()
	free = 1 << 40
	o.After = func(d time.Duration) <-chan time.Time {
		waits <- d
		c := make(chan time.Time, 1)
		if d == 0 {
			c <- day
		}
		return c
	}
	next := NewKeeper(o)
	stop = run(next)
	require.Zero(t, <-waits)
	require.Equal(t, time.Hour, <-waits)
	require.Empty(t, next.Status().Error)
	require.NoFileExists(t, bak)
	require.NoFileExists(t, mark)
	stop()
}

func TestThePlainCopyOfAMigrationGoesAfterAWeek(t *testing.T) {
	data := box(t)
	clock := &stepping{at: day}
	k := NewKeeper(Options{Source: source(data), Key: []byte("k"), Clock: clock})
	bak := filepath.Join(data, "recado.db.schema2-"+day.Format("20060102-150405")+".bak")
	future := filepath.Join(data, "recado.db.schema2-20900101-000000.bak")
	for _, f := range []string{bak, future} {
		require.NoError(t, os.WriteFile(f, []byte("old"), 0o600))
	}
	clock.at = day.Add(7 * 24 * time.Hour)
	require.NoError(t, k.Make(t.Context()))
	require.FileExists(t, bak)
	clock.at = clock.at.Add(time.Second)
	require.NoError(t, k.Make(t.Context()))
	require.NoFileExists(t, bak)
	require.FileExists(t, future)
}
