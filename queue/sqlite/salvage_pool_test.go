package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// poolTables are what SIMs may send and have sent, and what goes by which SIM, with
// what makes a row of each of a number.
var poolTables = map[string]string{
	"sim_limit":       `INSERT INTO sim_limit (iccid, window, max_segments, max_recipients) VALUES ('s' || ?1, 'day', ?1, iif(?1 % 2, NULL, 7))`,
	"usage":           `INSERT INTO usage (iccid, attempt, at, recipient, day, month) VALUES ('s' || (?1 % 4), ?1, 1000 * ?1, '+3460011' || ?1, '2026-11-22', '2026-11-01')`,
	"usage_period":    `INSERT INTO usage_period (iccid, window, start, segments, recipients) VALUES ('s' || ?1, 'month', '2026-11-01', ?1, 3)`,
	"usage_recipient": `INSERT INTO usage_recipient (iccid, window, start, recipient, n) VALUES ('s' || (?1 % 4), 'month', '2026-11-01', '+3460011' || ?1, 2)`,
	"route":           `INSERT INTO route (id, position, name, prefixes, fallback, created_at) VALUES (?1 + 1, ?1, 'Lebara', '["+34"]', 'wait', 5)`,
	"route_sim":       `INSERT INTO route_sim (route, iccid, weight) VALUES (?1 + 1, 's1', ?1)`,
	"bucket":          `INSERT INTO bucket (id, route, zone) VALUES (?1 + 1, ?1, 'Europe/Madrid')`,
	"credit_reading":  `INSERT INTO credit_reading (iccid, at, code, answer, minor, currency) VALUES ('s1', ?1, '*133#', 'Saldo 3,20', 320, 'EUR')`,
	"canary":          `INSERT INTO canary (token, from_iccid, to_iccid, started_at, state) VALUES ('t' || ?1, 's1', 's2', 1, 'arrived')`,
	"sim": `INSERT INTO sim (iccid, first_seen, last_seen, reset_day, reserve_percent, limits_set, warm, warm_day, pace, paused, credit_minor, credit_currency)
		VALUES ('s' || ?1, 1, 1, 31, 30, 1, 40, '2026-11-22', 6, 1, 320, 'EUR')`,
	"message": `INSERT INTO message (seq, id, recipient, text, class, lane, state, encoding, delivery, segments, valid_ms, created_at, expires_at, bucket, prefer_until, sim, crc)
		VALUES (?1 + 1, 'm' || ?1, '+34600', 'x', 'bulk', 3, 'queued', 'gsm7', 'bounded', 1, 1, 1, 1, ?1, 77, 's1', crc32c(?1 + 1, 'm' || ?1, '+34600', 'bulk', 'x'))`,
}

func allRows(t *testing.T, path string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	all := map[string][]string{}
	for name := range poolTables {
		rows, err := db.Query(`SELECT * FROM ` + name)
		require.NoError(t, err)
		names, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			row, to := make([]any, len(names)), make([]any, len(names))
			for i := range row {
				to[i] = &row[i]
			}
			require.NoError(t, rows.Scan(to...))
			all[name] = append(all[name], fmt.Sprint(row))
		}
		require.NoError(t, rows.Close())
	}
	return all
}

// TestSalvageKeepsThePool: limits, what is used of them, routes and the rest survive
// a salvage, also when the page that leads to all tables is gone.
func TestSalvageKeepsThePool(t *testing.T) {
	const rows = 600
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
		for _, name := range []string{"route", "sim_limit", "usage", "usage_period", "usage_recipient", "route_sim", "bucket", "credit_reading", "canary", "sim", "message"} {
			for i := range rows {
				if _, err := tx.Exec(poolTables[name], i); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	want := allRows(t, path)
	for name := range poolTables {
		require.GreaterOrEqual(t, len(want[name]), rows, name)
	}

	out := filepath.Join(t.TempDir(), "out.db")
	got, err := Salvage(t.Context(), path, out, nil)
	require.NoError(t, err)
	require.Empty(t, got.Broken)
	require.Equal(t, want, allRows(t, out))

	// A page in the middle of the file costs its own rows only.
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, part := range []int{3, 4, 5, 6} {
		hurt := append([]byte{}, file...)
		at := len(hurt) / 4096 * part / 8 * 4096
		clear(hurt[at : at+4096])
		path, out := filepath.Join(t.TempDir(), "recado.db"), filepath.Join(t.TempDir(), "out.db")
		require.NoError(t, os.WriteFile(path, hurt, 0o600))
		_, err = Salvage(t.Context(), path, out, nil)
		require.NoError(t, err)
		kept := allRows(t, out)
		lost := 0
		for name := range poolTables {
			require.Subset(t, want[name], kept[name], name)
			lost += len(want[name]) - len(kept[name])
		}
		require.Less(t, lost, 400)
	}

	db, err = Open(t.Context(), out, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// TestSalvageOfLimits: what a SIM has used goes on to name attempts that are lost, and
// one whose limits are lost has the usual ones, not none.
func TestSalvageOfLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	db, err := Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	var root, size int
	require.NoError(t, db.Write(t.Context(), Urgent, func(tx *Tx) error {
		for _, name := range []string{"sim", "sim_limit", "usage", "message"} {
			for _, n := range []int{7, 900} {
				if _, err := tx.Exec(poolTables[name], n); err != nil {
					return err
				}
			}
		}
		return errors.Join(tx.QueryRow(`SELECT rootpage FROM sqlite_schema WHERE name = 'sim_limit'`).Scan(&root), tx.QueryRow(`PRAGMA page_size`).Scan(&size))
	}))
	require.NoError(t, db.Close())
	salvaged := func() (chosen, attempt int) {
		out := filepath.Join(t.TempDir(), "out.db")
		_, err := Salvage(t.Context(), path, out, nil)
		require.NoError(t, err)
		db, err := sql.Open("sqlite3", "file:"+out+"?mode=ro")
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		require.NoError(t, db.QueryRow(`SELECT (SELECT sum(limits_set) FROM sim), (SELECT value FROM floor WHERE name = 'attempt')`).Scan(&chosen, &attempt))
		return chosen, attempt
	}
	chosen, attempt := salvaged()
	require.Equal(t, []int{2, 900}, []int{chosen, attempt})

	file, err := os.ReadFile(path)
	require.NoError(t, err)
	clear(file[(root-1)*size : root*size])
	require.NoError(t, os.WriteFile(path, file, 0o600))
	chosen, attempt = salvaged()
	require.Equal(t, []int{0, 900}, []int{chosen, attempt})
}

// TestMigrateToThePool: what waits keeps its class's place, and a SIM that has been
// in use needs no warming up.
func TestMigrateToThePool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, empty(t.Context(), path, 9))
	db, err := sql.Open("sqlite3", "file:"+path)
	require.NoError(t, err)
	for i, class := range []string{"otp", "alert", "normal", "bulk"} {
		_, err := db.Exec(`INSERT INTO message (seq, id, recipient, text, class, lane, state, encoding, delivery, segments, valid_ms, created_at, expires_at)
			VALUES (?1, 'm' || ?1, '+34600', 'x', ?2, max(?1 - 2, 0), 'queued', 'gsm7', 'bounded', 1, 1, 1, 1)`, i+1, class)
		require.NoError(t, err)
	}
	_, err = db.Exec(`INSERT INTO sim (iccid, first_seen, last_seen) VALUES ('s', 1, 1)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())

	now, err := Open(t.Context(), path, Options{ReserveWAL: -1, ReserveFree: -1})
	require.NoError(t, err)
	defer func() { require.NoError(t, now.Close()) }()
	var lanes, warm string
	require.NoError(t, now.Read().QueryRow(`SELECT group_concat(class || lane, ' ') FROM (SELECT * FROM message ORDER BY seq)`).Scan(&lanes))
	require.Equal(t, "otp0 alert1 normal2 bulk3", lanes)
	require.NoError(t, now.Read().QueryRow(`SELECT warm FROM sim`).Scan(&warm))
	require.Equal(t, "-1", warm)
	lane := func(to int) error {
		return now.Write(t.Context(), Urgent, func(tx *Tx) error {
			_, err := tx.Exec(`UPDATE message SET lane = ? WHERE seq = 1`, to)
			return err
		})
	}
	require.NoError(t, lane(3))
	require.Error(t, lane(4))
	var whole string
	require.NoError(t, now.Read().QueryRow(`PRAGMA integrity_check`).Scan(&whole))
	require.Equal(t, "ok", whole)
}
