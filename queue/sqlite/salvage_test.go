package sqlite

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	salvageMessages = 240
	salvageReceived = 120
)

// toSalvage makes a database with something in every table that matters, of which
// the last part lies in the WAL.
func toSalvage(t *testing.T) (file, log []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	long := func(from, to int) {
		require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
			for i := from; i < to; i++ {
				for _, q := range []string{
					`INSERT INTO message (seq, id, recipient, text, class, lane, state, encoding, delivery, segments, valid_ms, created_at, expires_at, crc)
						VALUES (?1, 'm' || ?1, '+34600' || ?1, printf('%0150d', ?1), 'normal', 1, CASE WHEN ?1 % 3 = 0 THEN 'queued' ELSE 'sent' END, 'gsm7', 'bounded', 1, 1, 1, 1,
							crc32c(?1, 'm' || ?1, '+34600' || ?1, 'normal', printf('%0150d', ?1)))`,
					`INSERT INTO segment (message, n, tpdu, crc) VALUES (?1, 1, zeroblob(120), crc32c(?1, 1, zeroblob(120)))`,
					`INSERT INTO attempt (message, n, no, modem, iccid, imsi, boot_id, gate_at, phase, outcome) VALUES (?1, 1, 1, 'm', 's', 'i', 'b', 1, 'done', 'accepted')`,
				} {
					if _, err := tx.Exec(q, i); err != nil {
						return err
					}
				}
				if i > salvageReceived {
					continue
				}
				if _, err := tx.Exec(`INSERT INTO inbound (seq, id, sender, text, iccid, imsi, received_at, complete, have, total, crc)
					VALUES (?1, 'i' || ?1, '+34600', printf('%0120d', ?1), 's', 'i', 1, 1, 1, 1, crc32c('i' || ?1, '+34600', printf('%0120d', ?1)))`, i); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
		for i := range 20 {
			for _, q := range []string{
				`INSERT INTO person (id, name, role, password, created_at) VALUES ('p' || ?1, 'person ' || ?1, 'admin', 'hash', 1)`,
				`INSERT INTO api_key (id, name, hash, prefix, scopes, created_at) VALUES ('k' || ?1, 'shop', 'h' || ?1, 'rk_', 'send', 1)`,
				`INSERT INTO setting (key, value) VALUES ('setting ' || ?1, 'kept')`,
				`INSERT INTO sim_pin_try (sim, kind, mac, state, before, sends, at) VALUES ('s' || ?1, 'pin', x'03', 'refused', 3, 1, 1)`,
				`INSERT INTO sim (iccid, first_seen, last_seen) VALUES ('s' || ?1, 1, 1)`,
			} {
				if _, err := tx.Exec(q, i); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	long(1, 200)
	require.NoError(t, db.Close())
	db, err = Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	long(200, salvageMessages+1)
	file, err = os.ReadFile(path)
	require.NoError(t, err)
	log, err = os.ReadFile(path + "-wal")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	return file, log
}

// TestSalvageAroundRandomDamage: what is kept is as it was, most is, and what was
// lost is counted.
func TestSalvageAroundRandomDamage(t *testing.T) {
	file, log := toSalvage(t)
	pages := len(file) / 4096
	for seed := range 16 {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		main, wal := append([]byte{}, file...), append([]byte{}, log...)
		what := []string{"none", "page", "first page", "bits", "cut", "no file", "header", "log"}[seed%8]
		most := 25 // messages that one page may cost
		switch what {
		case "page":
			at := r.IntN(pages) * 4096
			for i := range 4096 {
				main[at+i] = byte(r.Uint32())
			}
		case "first page":
			clear(main[:4096])
			wal, most = wal[:0], 41 // which would have it; and has the last messages
		case "bits":
			for range 10 {
				main[r.IntN(len(main))] ^= 1 << r.IntN(8)
			}
			most = 100
		case "cut":
			main = main[:len(main)*3/4]
			most = 200
		case "no file":
			main, most = nil, 240
		case "header":
			clear(main[:100])
		case "log":
			wal[len(wal)/3] ^= 1
		}
		path := filepath.Join(t.TempDir(), "recado.db")
		require.NoError(t, os.WriteFile(path, main, 0o600))
		require.NoError(t, os.WriteFile(path+"-wal", wal, 0o600))
		out := filepath.Join(t.TempDir(), "out.db")
		s, err := Salvage(t.Context(), path, out, nil)
		name := fmt.Sprintf("seed %d %s: %+v", seed, what, s)
		if what == "no file" && err != nil {
			require.ErrorIs(t, err, ErrDamaged, name)
			require.NoFileExists(t, out)
			continue
		}
		require.NoError(t, err, name)
		_, err = Inspect(t.Context(), out, true)
		require.NoError(t, err, name)
		require.GreaterOrEqual(t, int(s.Rows["message"]), salvageMessages-most, name)
		if what == "none" || what == "first page" || what == "header" {
			if what != "first page" {
				require.Equal(t, int64(salvageMessages), s.Rows["message"], name)
			}
			require.Equal(t, int64(salvageReceived), s.Rows["inbound"], name)
			for _, table := range []string{"person", "api_key", "setting", "sim_pin_try", "sim"} {
				require.GreaterOrEqual(t, s.Rows[table], int64(20), "%s of %s", table, name)
			}
		}
		if what == "none" {
			require.Empty(t, s.Broken)
		}
		if s.Messages > 0 && s.Rows["tally"] == 0 && what == "page" {
			require.Equal(t, int64(salvageMessages), s.Messages+s.Rows["message"], name)
		}
		db := sql.OpenDB(connector{path: out, readOnly: true})
		var wrong, kept, counted int64
		require.NoError(t, db.QueryRow(`SELECT count(*), sum(text <> printf('%0150d', seq) OR crc <> crc32c(seq, id, recipient, class, text)), (SELECT sum(n) FROM tally) FROM message`).Scan(&kept, &wrong, &counted))
		require.NoError(t, db.Close())
		require.Equal(t, s.Rows["message"], kept, name)
		require.Equal(t, kept, counted, name)
		if what != "bits" {
			require.Zero(t, wrong, name)
		}
	}
}

// TestTheFileIsSavedWithoutItsLog, which the disk cannot read.
func TestTheFileIsSavedWithoutItsLog(t *testing.T) {
	file, _ := toSalvage(t)
	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	require.NoError(t, os.Mkdir(path+"-wal", 0o700))
	s, err := Salvage(t.Context(), path, filepath.Join(t.TempDir(), "out.db"), nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, s.Rows["message"], int64(199))
}

// TestAnEventNumberIsNeverGivenTwice, also when no event is left in what was saved.
func TestAnEventNumberIsNeverGivenTwice(t *testing.T) {
	for _, row := range []string{
		`INSERT INTO sqlite_sequence (name, seq) VALUES ('event', 3000000)`,
		`INSERT INTO event (seq, id, type, at, data) VALUES (3000000, 'e', 'system.test', 1, '{}')`,
		`INSERT INTO webhook (id, url, events, active, allow_private, secret, cursor, created_at) VALUES ('w', 'http://x', '*', 1, 1, x'00', 3000000, 1)`,
	} {
		path, out := filepath.Join(t.TempDir(), "recado.db"), filepath.Join(t.TempDir(), "out.db")
		change := func(path, query string) {
			db, err := Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
			require.NoError(t, err)
			require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
				_, err := tx.Exec(query)
				return err
			}))
			require.NoError(t, db.Close())
		}
		change(path, row)
		change(path, `INSERT INTO setting (key, value) VALUES ('some', 'row')`)
		_, err := Salvage(t.Context(), path, out, nil)
		require.NoError(t, err)
		change(out, `INSERT INTO event (id, type, at, data) VALUES ('next', 'system.test', 1, '{}')`)
		db, err := Open(t.Context(), out, Options{ReserveWAL: -1, ReserveFree: -1})
		require.NoError(t, err)
		var seq int64
		require.NoError(t, db.Read().QueryRow(`SELECT seq FROM event WHERE id = 'next'`).Scan(&seq))
		require.NoError(t, db.Close())
		require.Equal(t, int64(3000001), seq, row)
	}
}

// TestWhatNobodyThoughtOfIsDamage and ends no program.
func TestWhatNobodyThoughtOfIsDamage(t *testing.T) {
	require.ErrorIs(t, survived(func() error { panic("index out of range") }), ErrDamaged)
	require.ErrorIs(t, survived(func() error { return ErrFull }), ErrFull)
	require.NoError(t, survived(func() error { return nil }))
}

// TestTheVersionIsPartlyUnreadable: the newest schema reads every row; one of those
// that can still be read would refuse most.
func TestTheVersionIsPartlyUnreadable(t *testing.T) {
	file, log := toSalvage(t)
	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	require.NoError(t, os.WriteFile(path+"-wal", log, 0o600))
	require.NoError(t, Alone(t.Context(), path))
	db := sql.OpenDB(connector{path: path, readOnly: true})
	var root int64
	require.NoError(t, db.QueryRow(`SELECT rootpage FROM sqlite_master WHERE name = 'goose_db_version'`).Scan(&root))
	require.NoError(t, db.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	page := func(file []byte) []byte { return file[(root-1)*4096 : root*4096] }
	cells := int(binary.BigEndian.Uint16(page(whole)[3:]))
	require.Equal(t, int(newest())+1, cells)
	for readable := range cells {
		file := slices.Clone(whole)
		for i := readable; i < cells; i++ {
			page(file)[binary.BigEndian.Uint16(page(file)[8+2*i:])] ^= 0x40 // a bit of its length
		}
		require.NoError(t, os.WriteFile(path, file, 0o600))
		out := filepath.Join(t.TempDir(), "out.db")
		s, err := Salvage(t.Context(), path, out, nil)
		require.NoError(t, err)
		require.Equal(t, int64(salvageMessages), s.Rows["message"], readable)
		require.Empty(t, s.Broken)
		_, err = Inspect(t.Context(), out, true)
		require.NoError(t, err)
	}
}

// TestTheNewestSchemaReadsTheRowsOfEach, as when no version can be read.
func TestTheNewestSchemaReadsTheRowsOfEach(t *testing.T) {
	newer := filepath.Join(t.TempDir(), "newer.db")
	require.NoError(t, empty(t.Context(), newer, newest()))
	db := sql.OpenDB(connector{path: newer, readOnly: true})
	now, err := readTables(t.Context(), db)
	require.NoError(t, errors.Join(err, db.Close()))
	for version := int64(1); version < newest(); version++ {
		older := filepath.Join(t.TempDir(), "older.db")
		require.NoError(t, empty(t.Context(), older, version))
		db := sql.OpenDB(connector{path: older, readOnly: true})
		then, err := readTables(t.Context(), db)
		require.NoError(t, errors.Join(err, db.Close()))
		for _, was := range then {
			at := slices.IndexFunc(now, func(is table) bool { return is.name == was.name })
			require.GreaterOrEqual(t, at, 0, was.name)
			is := now[at]
			require.Equal(t, was.rowid, is.rowid, was.name)
			require.LessOrEqual(t, is.least, len(was.columns), was.name)
			require.Equal(t, was.columns, is.columns[:len(was.columns)], was.name)
		}
	}
}
