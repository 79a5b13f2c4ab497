package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// pragma is a setting with the value that must be read back.
type pragma struct{ name, set, want string }

// pragmas of every connection. The driver's own default for WAL is
// synchronous=NORMAL, which loses acknowledged rows in a power cut.
var pragmas = []pragma{
	{"busy_timeout", "5000", "5000"},
	{"auto_vacuum", "NONE", "0"},
	{"journal_mode", "WAL", "wal"},
	{"synchronous", "FULL", "2"},
	{"foreign_keys", "ON", "1"},
	{"secure_delete", "FAST", "2"},
	{"wal_autocheckpoint", "1000", "1000"},
	{"journal_size_limit", "-1", "-1"},
	{"temp_store", "MEMORY", "2"},
	{"mmap_size", "0", "0"},
	{"trusted_schema", "OFF", "0"},
	{"cell_size_check", "ON", "1"},
}

// writerCache is the writer's cache_size, in KiB when negative.
const writerCache = "-4000"

// connector makes verified connections; nothing is registered globally.
type connector struct {
	path     string
	readOnly bool
}

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// Connect opens one connection, sets the pragmas and reads every one back: a
// connection that does not keep them is refused.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	u := url.URL{Scheme: "file", OmitHost: true, Path: c.path}
	lock := "immediate"
	if c.readOnly {
		lock = "deferred" // the other is a write, and refused
	}
	logged := hasLog(c.path)
	raw, err := (&sqlite3.SQLiteDriver{}).Open(u.String() + "?_busy_timeout=5000&_mutex=no&_txlock=" + lock)
	if err != nil {
		if logged && !hasLog(c.path) {
			err = errors.Join(err, logMovedByClosing(c.path))
		}
		return nil, err
	}
	conn := raw.(*sqlite3.SQLiteConn)
	if err := errors.Join(registerFunctions(conn), c.configure(conn)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (c connector) configure(conn *sqlite3.SQLiteConn) error {
	all := append([]pragma{}, pragmas...)
	if c.readOnly {
		all = append(all, pragma{"query_only", "ON", "1"}, pragma{"cache_size", "-1000", "-1000"})
	} else {
		all = append(all, pragma{"cache_size", writerCache, writerCache})
	}
	// The WAL stays as large as it has grown, whoever closes the file last: its
	// space is a reserve for the day the disk is full.
	if err := conn.SetFileControlInt("main", sqlite3.SQLITE_FCNTL_PERSIST_WAL, 1); err != nil {
		return fmt.Errorf("keep the WAL: %w", err)
	}
	for _, p := range all {
		if _, err := ask(conn, "PRAGMA "+p.name+"="+p.set); err != nil {
			return fmt.Errorf("set %s: %w", p.name, err)
		}
	}
	for _, p := range all {
		got, err := ask(conn, "PRAGMA "+p.name)
		if err != nil {
			return fmt.Errorf("read %s back: %w", p.name, err)
		}
		if got != p.want {
			return fmt.Errorf("setting %s is %q, not %q: messages would not be safe in this file (is it on a network file system?)", p.name, got, p.want)
		}
	}
	return nil
}

// ask runs a pragma and gives its one value as text, "" when it has none.
func ask(conn *sqlite3.SQLiteConn, query string) (value string, err error) {
	rows, err := conn.Query(query, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	dest := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(dest); err != nil {
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		return "", err
	}
	if len(dest) == 0 {
		return "", nil
	}
	if b, ok := dest[0].([]byte); ok {
		return string(b), nil
	}
	return fmt.Sprint(dest[0]), nil
}
