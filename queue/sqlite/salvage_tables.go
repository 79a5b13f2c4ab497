package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"recado/queue/sqlite/pages"
)

// table is one of the schema's, as its rows are stored.
type table struct {
	name    string
	rowid   bool
	columns []column
	least   int    // columns that every row has: the others were added, and have defaults
	parent  string // the table that its rows belong to; "" none
	preset  bool   // a new database has rows in it
}

type column struct {
	name, kind string // kind as declared: INTEGER, TEXT, BLOB
	null       bool   // may be NULL
	alias      bool   // of the rowid: stored as NULL
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// derived tables are made by the database itself or say nothing to another run.
func (t table) derived() bool {
	return slices.Contains([]string{"tally", "held_tally", "goose_db_version", "reserve_room", "session"}, t.name)
}

func (t table) names() (names []string) {
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	return names
}

// values are a row's as they are inserted, with their columns; ok is false when it
// is none of the table's.
func (t table) values(r pages.Row) (args []any, ok bool) {
	if len(r.Values) > len(t.columns) || len(r.Values) < t.least {
		return nil, false
	}
	for i, c := range t.columns[:len(r.Values)] {
		if c.alias {
			r.Values[i] = r.ID
		}
	}
	return r.Values, true
}

// like says that a row of unknown place has the types of this table's, and the
// checksum if it has one.
func (t table) like(r pages.Row) bool {
	if len(r.Values) > len(t.columns) || len(r.Values) < t.least {
		return false
	}
	for i, v := range r.Values {
		c := t.columns[i]
		fits := false
		switch v := v.(type) {
		case nil:
			fits = c.null || c.alias
		case int64:
			fits = c.kind == "INTEGER" && !c.alias
		case string:
			fits = c.kind == "TEXT" && utf8.ValidString(v)
		case []byte:
			fits = c.kind == "BLOB"
		}
		if !fits {
			return false
		}
	}
	of, has := sums[t.name]
	if !has {
		return true
	}
	named := map[string]any{}
	for i, v := range r.Values {
		named[t.columns[i].name] = v
		if t.columns[i].alias {
			named[t.columns[i].name] = r.ID
		}
	}
	if gone, _ := named["text_deleted_at"].(int64); gone != 0 {
		return true // with its text the sum lost its meaning
	}
	if gone, _ := named["blanked_at"].(int64); gone != 0 {
		return true
	}
	var parts []any
	for _, name := range of {
		parts = append(parts, named[name])
	}
	sum, err := crcOf(parts...)
	return err == nil && named["crc"] == sum
}

// sums are the columns of which crc is the checksum.
var sums = map[string][]string{
	"message": {"seq", "id", "recipient", "class", "text"}, "segment": {"message", "n", "tpdu"},
	"inbound": {"id", "sender", "text"}, "inbound_raw": {"raw"},
}

// readTables lists the tables, those that others belong to first.
func readTables(ctx context.Context, db querier) (list []table, err error) {
	err = each(ctx, db, `SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'`, func(rows *sql.Rows) error {
		var t table
		var without bool
		err := rows.Scan(&t.name, &without)
		t.rowid = !without
		list = append(list, t)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := list[i].read(ctx, db); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b table) int {
		return cmp.Or(cmp.Compare(min(len(a.parent), 1), min(len(b.parent), 1)), strings.Compare(a.name, b.name))
	})
	return list, nil
}

func (t *table) read(ctx context.Context, db querier) error {
	type keyed struct {
		column
		key, need int
	}
	var all []keyed
	err := each(ctx, db, `SELECT name, type, "notnull", dflt_value IS NULL, pk FROM pragma_table_info('`+t.name+`')`, func(rows *sql.Rows) error {
		var k keyed
		var full, bare bool
		err := rows.Scan(&k.name, &k.kind, &full, &bare, &k.key)
		k.alias = t.rowid && k.key == 1 && k.kind == "INTEGER"
		k.null = !full && (k.key == 0 || t.rowid) // a key without rowid is never NULL
		if full && bare || k.key > 0 {
			k.need = 1
		}
		all = append(all, k)
		return err
	})
	if err != nil {
		return err
	}
	if !t.rowid { // its key is stored first
		slices.SortStableFunc(all, func(a, b keyed) int {
			switch {
			case a.key > 0 && b.key > 0:
				return a.key - b.key
			case a.key > 0:
				return -1
			case b.key > 0:
				return 1
			}
			return 0
		})
	}
	for i, k := range all {
		t.columns = append(t.columns, k.column)
		if k.need > 0 {
			t.least = i + 1
		}
	}
	err = each(ctx, db, `SELECT "table" FROM pragma_foreign_key_list('`+t.name+`')`, func(rows *sql.Rows) error { return rows.Scan(&t.parent) })
	if err != nil {
		return err
	}
	return each(ctx, db, `SELECT EXISTS (SELECT 1 FROM "`+t.name+`")`, func(rows *sql.Rows) error { return rows.Scan(&t.preset) })
}

// each runs a query and has every row read.
func each(ctx context.Context, db querier, query string, read func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := read(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
