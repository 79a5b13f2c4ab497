package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// ErrDamaged: SQLite found the file's structure wrong, or it is no database.
var ErrDamaged = errors.New("the database is damaged")

// Figures are a database's sizes.
type Figures struct {
	// Schema is the number of the last migration.
	Schema int64
	// Bytes is the size of the file without its WAL, Unused the part that nothing
	// is in.
	Bytes, Unused int64
	// Rows are counted by table.
	Rows map[string]int64
}

// Check looks a database file over that nobody else needs to be using, without
// changing it: its figures, and PRAGMA quick_check. The error matches ErrDamaged
// when that found something, and ctx's when it took too long; the figures are
// what was known by then.
func Check(ctx context.Context, path string) (f Figures, err error) {
	db := sql.OpenDB(looker{path})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if f, err = figures(ctx, db); err != nil {
		return f, damage(err)
	}
	return f, examine(ctx, db, "PRAGMA quick_check(5)")
}

// examine runs a check that gives "ok" or what is wrong, a line each.
func examine(ctx context.Context, db *sql.DB, check string) error {
	rows, err := db.QueryContext(ctx, check)
	if err != nil {
		return damage(err)
	}
	defer rows.Close()
	var wrong []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return damage(err)
		}
		if line != "ok" {
			wrong = append(wrong, line)
		}
	}
	switch err := cmp.Or(rows.Err(), ctx.Err()); {
	case err != nil:
		return damage(err)
	case len(wrong) > 0:
		return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(wrong, "; "))
	}
	return nil
}

// Figures are the sizes of an open database.
func (db *DB) Figures(ctx context.Context) (Figures, error) { return figures(ctx, db.Read()) }

func figures(ctx context.Context, db *sql.DB) (Figures, error) {
	f := Figures{Rows: map[string]int64{}}
	var page, pages, free int64
	for query, into := range map[string]*int64{
		"PRAGMA page_size": &page, "PRAGMA page_count": &pages, "PRAGMA freelist_count": &free,
		"SELECT coalesce(max(version_id), 0) FROM goose_db_version": &f.Schema,
	} {
		if err := db.QueryRowContext(ctx, query).Scan(into); err != nil {
			return f, err
		}
	}
	f.Bytes, f.Unused = page*pages, page*free
	tables, err := tableNames(ctx, db)
	if err != nil {
		return f, err
	}
	for _, name := range tables {
		var n int64
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`).Scan(&n); err != nil {
			return f, err
		}
		f.Rows[name] = n
	}
	return f, nil
}

// tableNames are the tables, without SQLite's own and the reserve's.
func tableNames(ctx context.Context, db *sql.DB) (tables []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'reserve_room' ORDER BY name")
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		tables = append(tables, name)
	}
	return tables, cmp.Or(rows.Err(), rows.Close())
}

// damage tells what SQLite says of a broken file from other errors.
func damage(err error) error {
	if e, ok := errors.AsType[sqlite3.Error](err); ok && !errors.Is(err, ErrDamaged) &&
		(e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB || e.ExtendedCode == sqlite3.ErrIoErrShortRead) {
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	return err
}

// looker makes connections that cannot write.
type looker struct{ path string }

func (l looker) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// Connect implements driver.Connector.
func (l looker) Connect(context.Context) (driver.Conn, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: l.path, RawQuery: "mode=ro&_busy_timeout=2000&_query_only=true&_trusted_schema=false"}
	return (&sqlite3.SQLiteDriver{}).Open(u.String())
}
