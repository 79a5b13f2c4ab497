package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// maxStatements bounds the writer's cache; queries are constants, so that a
// program never comes near it.
const maxStatements = 400

// Tx is the writer's transaction as a function given to Write sees it. It is
// valid only inside that function and only on its goroutine.
//
// The driver clears a statement's parameters before each use. SQLite then prepares
// it anew if one of their values could have had a part in its plan, which costs more
// than most statements: "c = ?" where c alone is not unique, "LIMIT ?", "c = ?"
// where a partial index names a value of c. A plus sign before the parameter, which
// changes nothing else, keeps the plan: the queries of every message have it.
type Tx struct {
	*statements
	after []func()
	ran   int64 // statements
}

// statements are what the writer's connection keeps prepared. What gives no rows
// goes to the driver directly: database/sql's part of it costs as much as SQLite's.
type statements struct {
	conn    *sql.Conn
	raw     *sqlite3.SQLiteConn
	queries map[string]*sql.Stmt
	execs   map[string]*sqlite3.SQLiteStmt
	args    []driver.NamedValue // of the statement that runs
}

func newStatements(conn *sql.Conn, raw *sqlite3.SQLiteConn) *statements {
	return &statements{conn: conn, raw: raw, queries: map[string]*sql.Stmt{}, execs: map[string]*sqlite3.SQLiteStmt{}}
}

func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.queries {
		errs = append(errs, stmt.Close())
	}
	for _, stmt := range s.execs {
		errs = append(errs, stmt.Close())
	}
	clear(s.queries)
	clear(s.execs)
	return errors.Join(errs...)
}

func (s *statements) room() error {
	if len(s.queries)+len(s.execs) >= maxStatements {
		return fmt.Errorf("prepare: more than %d different statements; pass values as arguments", maxStatements)
	}
	return nil
}

// Statements run without a cancellable context: a write is never cut in half,
// and the driver would start a goroutine for each to watch it.
var background = context.Background()

func (s *statements) query(query string) (*sql.Stmt, error) {
	if stmt, ok := s.queries[query]; ok {
		return stmt, nil
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	stmt, err := s.conn.PrepareContext(background, query)
	if err != nil {
		return nil, err
	}
	s.queries[query] = stmt
	return stmt, nil
}

func (s *statements) exec(query string) (*sqlite3.SQLiteStmt, error) {
	if stmt, ok := s.execs[query]; ok {
		return stmt, nil
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	stmt, err := s.raw.Prepare(query)
	if err != nil {
		return nil, err
	}
	s.execs[query] = stmt.(*sqlite3.SQLiteStmt)
	return s.execs[query], nil
}

// Exec runs a statement.
func (tx *Tx) Exec(query string, args ...any) (sql.Result, error) {
	tx.ran++
	stmt, err := tx.exec(query)
	if err != nil {
		return nil, err
	}
	if want := stmt.NumInput(); want != len(args) {
		return nil, fmt.Errorf("the statement has %d parameters, not %d: %s", want, len(args), query)
	}
	tx.args = tx.args[:0]
	for i, arg := range args {
		value, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("parameter %d of %s: %w", i+1, query, err)
		}
		tx.args = append(tx.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	defer clear(tx.args)
	return stmt.ExecContext(background, tx.args)
}

// Query runs a query. Close its rows before the same query is run again.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	tx.ran++
	s, err := tx.query(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(background, args...)
}

// QueryRow runs a query of one row; its error comes from Scan.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	tx.ran++
	s, err := tx.query(query)
	if err != nil {
		// An unprepared query gives the same error through Scan.
		return tx.conn.QueryRowContext(background, query, args...)
	}
	return s.QueryRowContext(background, args...)
}

// AfterCommit calls f once the transaction is on disk, on the writer's
// goroutine and before Write returns: f must be quick and must not write. It is
// not called when the function or the commit fails.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }
