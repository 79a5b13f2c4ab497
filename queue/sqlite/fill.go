package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Filled says what Fill has added.
type Filled struct{ Messages, Inbound int64 }

// Fill adds to the database at file what of the tables only the one at from has,
// another state of the same: both of this program's schema, in nobody's use and
// without a WAL. What file has stays as it is; what belongs to a message comes only
// together with it. after is called in the same transaction, when a temporary table
// added(parent, seq) names the rows of message and inbound that came.
func Fill(ctx context.Context, file, from string, tables []string, after func(*sql.Tx) error) (f Filled, err error) {
	db := sql.OpenDB(wary{file, "mode=rw&_synchronous=FULL"})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, `ATTACH ? AS other`, from); err != nil {
		return f, fmt.Errorf("open the backup's database: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return f, err
	}
	defer func() { _ = tx.Rollback() }()
	know, err := readTables(ctx, tx)
	if err != nil {
		return f, err
	}
	if _, err := tx.ExecContext(ctx, `CREATE TEMP TABLE added (parent TEXT, seq INTEGER, PRIMARY KEY (parent, seq))`); err != nil {
		return f, err
	}
	for _, t := range know {
		n, err := fillTable(ctx, tx, t, tables)
		if err != nil {
			return f, fmt.Errorf("add what the backup has of %s: %w", t.name, err)
		}
		switch t.name {
		case "message":
			f.Messages = n
		case "inbound":
			f.Inbound = n
		}
	}
	if err := after(tx); err != nil {
		return f, err
	}
	return f, tx.Commit()
}

func fillTable(ctx context.Context, tx *sql.Tx, t table, tables []string) (n int64, err error) {
	where := ""
	switch {
	case t.derived():
		return 0, nil
	case t.parent == "message" || t.parent == "inbound":
		where = ` WHERE ` + t.parent + ` IN (SELECT seq FROM added WHERE parent = '` + t.parent + `')`
	case !slices.Contains(tables, t.name):
		return 0, nil
	case t.name == "message" || t.name == "inbound":
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`INSERT INTO added SELECT '%[1]s', seq FROM other.%[1]s o
			WHERE NOT EXISTS (SELECT 1 FROM main.%[1]s m WHERE m.seq = o.seq OR m.id = o.id)`, t.name))
		if err != nil {
			return 0, err
		}
		where = ` WHERE seq IN (SELECT seq FROM added WHERE parent = '` + t.name + `')`
	case t.parent == "webhook":
		where = ` WHERE webhook IN (SELECT id FROM main.webhook)`
	}
	names := strings.Join(t.names(), ", ")
	res, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO main.`+t.name+` (`+names+`) SELECT `+names+` FROM other.`+t.name+where)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
