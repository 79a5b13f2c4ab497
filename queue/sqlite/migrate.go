package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"

	"recado/queue/failpoint"
)

//go:embed migrations/*.sql
var migrations embed.FS

// NewerError says which schema the file has and which this program knows.
type NewerError struct{ Have, Know int64 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("%v: its schema is %d, this program knows up to %d. Install the newer version again, or restore the backup that it made beside the file before migrating",
		ErrNewer, e.Have, e.Know)
}

// Is makes errors.Is(err, ErrNewer) true.
func (e *NewerError) Is(target error) bool { return target == ErrNewer }

// migrate brings the schema up to date, one transaction a step, with a backup
// before the first unless the file is new: it is what the version can open that
// was installed until now.
func migrate(ctx context.Context, db *sql.DB, path string, o Options) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return migrateFrom(ctx, db, path, steps, o)
}

func migrateFrom(ctx context.Context, db *sql.DB, path string, steps fs.FS, o Options) (err error) {
	have, err := schemaVersion(ctx, db)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	// Not closed: Provider.Close would close db.
	p, err := goose.NewProvider(goose.DialectSQLite3, db, steps, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	sources := p.ListSources()
	know := sources[len(sources)-1].Version
	if have > know {
		return &NewerError{Have: have, Know: know}
	}
	if have > 0 && have < know {
		file := fmt.Sprintf("%s.schema%d-%s.bak", path, have, o.Now().UTC().Format("20060102-150405"))
		if err := backup(ctx, db, file); err != nil {
			return fmt.Errorf("back up before migrating: %w", err)
		}
		o.Log.Info("backed up before migrating", "file", filepath.Base(file), "schema", have)
	}
	if have > 0 && have < know {
		// What SQLite needs to take one statement back may be as large as the table.
		if err := store(ctx, db, "FILE", "1"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store(context.WithoutCancel(ctx), db, "MEMORY", "2")) }()
	}
	for filled := have > 0; have < know; {
		begun := time.Now()
		if filled {
			o.Log.Info("migrating; with very many messages this takes minutes", "from", have, "of", know)
		}
		r, err := p.UpByOne(ctx)
		if err != nil {
			return fmt.Errorf("migrate from schema %d: %w", have, err)
		}
		if filled {
			o.Log.Info("migrated", "schema", r.Source.Version, "took", time.Since(begun).Round(time.Millisecond))
		}
		have = r.Source.Version
		failpoint.Hit(failpoint.MigrateMiddle)
	}
	// A failure to tidy up keeps nobody from working.
	if err := cutLog(ctx, db, path, copyWAL); err != nil {
		o.Log.Warn("the write-ahead log stays as long as migrating has made it", "error", err)
	}
	if err := tidyOldCopies(path); err != nil {
		o.Log.Warn("old backups stay beside the database", "error", err)
	}
	return nil
}

// cutLog cuts a WAL off that is longer than most, as one step of a migration may
// have made it: nothing else would ever give that room back. What was found missing
// of it stays said.
func cutLog(ctx context.Context, db *sql.DB, path string, most int64) error {
	st, err := os.Stat(path + "-wal")
	if err != nil || st.Size() <= most {
		return nil
	}
	if err := logMovedByClosing(path); err != nil {
		return err
	}
	var busy, all, moved int64
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &all, &moved)
	if err == nil && busy != 0 {
		err = errors.New("another program is reading the database")
	}
	return err
}

// store says where the connection keeps what is for a moment only (temp_store).
func store(ctx context.Context, db *sql.DB, where, want string) error {
	if _, err := db.ExecContext(ctx, "PRAGMA temp_store="+where); err != nil {
		return fmt.Errorf("set temp_store: %w", err)
	}
	var got string
	if err := db.QueryRowContext(ctx, "PRAGMA temp_store").Scan(&got); err != nil || got != want {
		return errors.Join(fmt.Errorf("setting temp_store is %q, not %q", got, want), err)
	}
	return nil
}

// schemaVersion is the highest applied migration; 0 for a file with none. It
// writes nothing, so that a file of a newer version stays as it is.
func schemaVersion(ctx context.Context, db *sql.DB) (int64, error) {
	var n int
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`).Scan(&n)
	if err != nil || n == 0 {
		return 0, err
	}
	var v sql.NullInt64
	err = db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&v)
	return v.Int64, err
}
