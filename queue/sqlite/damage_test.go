package sqlite

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestADamagedFileIsCalledSo (R9): 500 files with random damage, each opened as
// after a power cut: no panic, and either it opens or the error says that it is
// damaged. What opens was found whole by quick_check.
func TestADamagedFileIsCalledSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	fillSome := func(from int) {
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
			for i := range 300 {
				if _, err := tx.Exec(`INSERT INTO setting (key, value) VALUES (?, hex(randomblob(100)))`, fmt.Sprint(from+i)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	fillSome(0)
	require.NoError(t, db.Close())
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	db, err = Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	fillSome(1000)
	wal, err := os.ReadFile(path + "-wal") // as after a power cut
	require.NoError(t, err)
	require.NoError(t, db.Close())

	opened, damaged, newer := 0, 0, 0
	for seed := range 500 {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		main, log := append([]byte{}, file...), append([]byte{}, wal...)
		what := []string{"bits", "page", "zeroed page", "WAL cut", "WAL bits", "header", "zeroed header", "cut", "version", "no WAL"}[seed%10]
		switch what {
		case "bits":
			for range 1 + r.IntN(20) {
				main[r.IntN(len(main))] ^= 1 << r.IntN(8)
			}
		case "page", "zeroed page":
			at := r.IntN(len(main)/4096) * 4096
			for i := range 4096 {
				main[at+i] = 0
				if what == "page" {
					main[at+i] = byte(r.Uint32())
				}
			}
		case "WAL cut":
			log = log[:r.IntN(len(log))]
		case "WAL bits":
			for range 1 + r.IntN(20) {
				log[r.IntN(len(log))] ^= 1 << r.IntN(8)
			}
		case "header":
			main[r.IntN(100)] ^= 1 << r.IntN(8)
		case "zeroed header":
			clear(main[:100])
		case "cut":
			main = main[:r.IntN(len(main))]
		case "version":
			main[18+r.IntN(2)] = byte(3 + r.IntN(200))
		}
		if r.IntN(2) == 0 || what == "no WAL" {
			log = nil
		}
		one := filepath.Join(t.TempDir(), "recado.db")
		require.NoError(t, os.WriteFile(one, main, 0o600))
		if log != nil {
			require.NoError(t, os.WriteFile(one+"-wal", log, 0o600))
		}
		db, err := Open(t.Context(), one, Options{ReserveWAL: -1, ReserveFree: -1})
		switch {
		case err == nil:
			opened++
			require.NoError(t, quickCheck(t.Context(), db.Read(), ""), "seed %d %s", seed, what)
			require.NoError(t, db.Close())
		case errors.Is(err, ErrDamaged):
			damaged++
			now, rerr := os.ReadFile(one)
			require.NoError(t, rerr)
			require.True(t, string(main) == string(now), "seed %d %s: the damaged file was changed: %v", seed, what, err)
		case errors.Is(err, ErrNewer):
			newer++
		default:
			t.Errorf("seed %d %s: %v", seed, what, err)
		}
	}
	t.Logf("%d opened, %d damaged, %d newer", opened, damaged, newer)
	require.Positive(t, opened)
	require.Greater(t, damaged, 100)
}

// TestOnlyAnOrderlyEndIsTakenForOne: the marker is there after Close alone, and
// stands for the file that it was left with.
func TestOnlyAnOrderlyEndIsTakenForOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(t.Context(), path, Options{ReserveFree: -1})
	require.NoError(t, err)
	require.NoFileExists(t, cleanName(path))
	require.NoError(t, db.Close())
	require.FileExists(t, cleanName(path))

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := 5 * 4096; at+4096 <= len(data); at += 4096 {
		clear(data[at+8 : at+4096])
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
	require.NoError(t, os.Remove(path+"-wal"))
	_, err = Open(t.Context(), path, Options{ReserveFree: -1})
	require.ErrorIs(t, err, ErrDamaged, "somebody has touched the file: it is looked over")
}
