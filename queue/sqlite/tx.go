package sqlite

import (
	"context"
	"database/sql"
	"fmt"
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
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	after []func()
	ran   int64 // statements
}

// Statements run without a cancellable context: a write is never cut in half,
// and the driver would start a goroutine for each to watch it.
var background = context.Background()

func (tx *Tx) prepare(query string) (*sql.Stmt, error) {
	tx.ran++
	if s, ok := tx.stmts[query]; ok {
		return s, nil
	}
	if len(tx.stmts) >= maxStatements {
		return nil, fmt.Errorf("prepare: more than %d different statements; pass values as arguments", maxStatements)
	}
	s, err := tx.conn.PrepareContext(background, query)
	if err != nil {
		return nil, err
	}
	tx.stmts[query] = s
	return s, nil
}

// Exec runs a statement.
func (tx *Tx) Exec(query string, args ...any) (sql.Result, error) {
	s, err := tx.prepare(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(background, args...)
}

// Query runs a query. Close its rows before the same query is run again.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	s, err := tx.prepare(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(background, args...)
}

// QueryRow runs a query of one row; its error comes from Scan.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	s, err := tx.prepare(query)
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
