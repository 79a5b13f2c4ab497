package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"recado/queue/sqlite/pages"
)

// Salvaged says what Salvage could read.
type Salvaged struct {
	// Rows that were kept, by table.
	Rows map[string]int64
	// Broken are the tables of which something could not be read.
	Broken []string
	// Messages and Inbound are how many of them are known or, by what else names
	// them, likely to have been lost.
	Messages, Inbound int64
	// Tried are lost messages (message.seq) that had been tried to be sent, as what
	// is left of them says.
	Tried []int64
}

// Salvage writes to file, which must not exist, a new database of the rows that can
// still be read of the damaged one at path, with the WAL beside it: each table page
// by page, around what is broken, and of pages that no tree leads to any more those
// whose rows can only be of one table. What the schema refuses is left out. Counts
// and indexes are made anew. say is told from time to time how many of how many rows
// or so are read; may be nil. After an error file is gone; it matches ErrDamaged
// when nothing could be read, and ErrNewer as Open's does.
func Salvage(ctx context.Context, path, file string, say func(done, of int64)) (s Salvaged, err error) {
	err = survived(func() (err error) {
		s, err = salvage(ctx, path, file, say)
		return err
	})
	if err != nil && !errors.Is(err, ErrNewer) {
		err = errors.Join(err, removed(file), removed(file+"-wal"), removed(file+"-shm"))
	}
	return s, err
}

// survived makes ErrDamaged of a panic: nobody knows all that a broken file can say,
// and a program that ends over it does so at each start.
func survived(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: it cannot be read: %v", ErrDamaged, p)
		}
	}()
	return do()
}

func salvage(ctx context.Context, path, file string, say func(done, of int64)) (s Salvaged, err error) {
	in, err := pages.Open(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	roots := readSchema(in)
	version := readVersion(in, roots)
	if know := newest(); version > know {
		return s, &NewerError{Have: version, Know: know}
	} else if version == 0 {
		version = know
	}
	if err := empty(ctx, file, version); err != nil {
		return s, fmt.Errorf("make a new database: %w", err)
	}
	db := sql.OpenDB(wary{file, "mode=rw&_foreign_keys=true&_journal_mode=MEMORY&_synchronous=OFF"})
	db.SetMaxOpenConns(1)
	l := &loader{in: in, roots: roots, say: say, s: Salvaged{Rows: map[string]int64{}}}
	err = func() (err error) {
		defer func() { err = errors.Join(err, db.Close()) }()
		return l.run(ctx, db)
	}()
	if err != nil {
		return s, fmt.Errorf("salvage what can be read: %w", err)
	}
	if l.s.Rows["message"]+l.s.Rows["inbound"]+l.s.Rows["person"]+l.s.Rows["setting"] == 0 {
		return s, fmt.Errorf("%w: nothing can be read of it", ErrDamaged)
	}
	return l.s, syncFile(file)
}

func removed(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// empty makes a database of a schema, of which nothing is in a WAL.
func empty(ctx context.Context, file string, version int64) error {
	if err := private(file); err != nil {
		return err
	}
	db := sql.OpenDB(connector{path: file})
	db.SetMaxOpenConns(1)
	err := func() error {
		steps, err := fs.Sub(migrations, "migrations")
		if err != nil {
			return err
		}
		p, err := goose.NewProvider(goose.DialectSQLite3, db, steps, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			return err
		}
		_, err = p.UpTo(ctx, version)
		return err
	}()
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := Alone(ctx, file); err != nil {
		return err
	}
	return removed(file + "-shm")
}

// readSchema finds where each table begins (sqlite_schema, fileformat2 2.6): by the
// first page, and what that does not lead to by looking at all of them.
func readSchema(in *pages.File) map[string]uint32 {
	roots := map[string]uint32{}
	note := func(r pages.Row) bool {
		if len(r.Values) != 5 {
			return false
		}
		kind, _ := r.Values[0].(string)
		name, _ := r.Values[2].(string)
		root, _ := r.Values[3].(int64)
		text, _ := r.Values[4].(string)
		if !slices.Contains([]string{"table", "index", "trigger"}, kind) || name == "" {
			return false
		}
		rowid := !strings.Contains(strings.ToUpper(text), "WITHOUT ROWID")
		if kind == "table" && roots[name] == 0 && root > 1 && root <= int64(in.Count()) && in.IsRoot(uint32(root), rowid) {
			roots[name] = uint32(root)
		}
		return true
	}
	broken, _ := in.Tree(1, true, func(r pages.Row) error {
		note(r)
		return nil
	})
	if broken == 0 {
		return roots
	}
	_ = in.Rest(func(rowid bool, rows []pages.Row) error {
		for _, r := range rows {
			if !rowid || !note(r) {
				break
			}
		}
		return nil
	})
	return roots
}

// readVersion is the schema's, 0 when it cannot be read: the newest schema reads the
// rows of the others too, and an older one refuses those that are longer.
func readVersion(in *pages.File, roots map[string]uint32) (version int64) {
	root := roots["goose_db_version"]
	if root == 0 {
		return 0
	}
	broken, _ := in.Tree(root, true, func(r pages.Row) error {
		if len(r.Values) > 1 {
			if v, ok := r.Values[1].(int64); ok {
				version = max(version, v)
			}
		}
		return nil
	})
	if broken > 0 && version <= newest() {
		return 0 // the last may be among those that could not be read
	}
	return version
}
