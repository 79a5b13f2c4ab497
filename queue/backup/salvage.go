package backup

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// salvageLimit is how long reading a damaged file may take before a copy, which
// knows less, is better than none: a million messages take a minute or two.
const salvageLimit = 15 * time.Minute

// salvage makes a new database of what the damaged one still holds, and of what
// copies have beside it.
func (f Folder) salvage(ctx context.Context, a *Alarm, list []Copy, secret Secret, o RestoreOptions) (err error) {
	staging, err := f.stage()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !f.Unfinished() {
			err = errors.Join(err, os.RemoveAll(staging))
		}
	}()
	if err := f.roomFor(o); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, salvageLimit)
	defer cancel()
	file := filepath.Join(staging, DatabaseName)
	s, err := sqlite.Salvage(limited, f.database(), file, func(done, of int64) {
		text := fmt.Sprintf("reading what is left of the damaged database: %d rows", done)
		f.log().Warn(text, "messages", of)
		if o.Say != nil {
			o.Say(text)
		}
	})
	if limited.Err() != nil && err != nil {
		err = errors.Join(errTooLong, err)
	}
	if err != nil {
		return err
	}
	a.What = DamageSalvaged
	a.Messages, a.Inbound, a.LostMessages, a.LostInbound = s.Rows["message"], s.Rows["inbound"], s.Messages, s.Inbound
	if a.Broken = s.Broken; len(s.Broken) > 0 {
		f.log().Error("parts of the damaged database cannot be read", "tables", s.Broken)
		if err := f.fill(ctx, a, s, list, secret, o); err != nil {
			return err
		}
	}
	if a.Open, err = mark(ctx, file); err != nil {
		return err
	}
	return f.replace(a, []string{DatabaseName}, o.At)
}

var errTooLong = fmt.Errorf("reading the damaged database took longer than %v", salvageLimit)

var errNoRoom = errors.New("there is no room beside the damaged database for what can be saved of it: free some, then start again")

// roomFor errs with errNoRoom when there is none for as much as the damaged files have.
func (f Folder) roomFor(o RestoreOptions) error {
	if o.Free == nil {
		return nil
	}
	free, err := o.Free()
	if err != nil {
		return err
	}
	need := int64(0)
	for _, name := range []string{f.database(), f.database() + "-wal"} {
		if st, err := os.Stat(name); err == nil {
			need += st.Size()
		}
	}
	if need > free-spare {
		return fmt.Errorf("%w (it needs %d MB, %d MB are free)", errNoRoom, need>>20, free>>20)
	}
	return nil
}

// fill adds what the newest good copy has and the salvaged database has not. A copy
// that is of no use is no reason to have less.
func (f Folder) fill(ctx context.Context, a *Alarm, s sqlite.Salvaged, list []Copy, secret Secret, o RestoreOptions) error {
	file := f.in(stagingName, DatabaseName)
	below := Folder{Path: f.in(stagingName), Log: f.Log}
	for i, c := range list {
		if i == 0 { // a file of an older schema is brought up to that of all
			if err := upgrade(ctx, file); err != nil {
				return err
			}
		}
		added, made, err := func() (added sqlite.Filled, made time.Time, err error) {
			staging, err := below.stage()
			if err != nil {
				return added, made, err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
			archive, err := os.Open(c.Path)
			if err != nil {
				return added, made, err
			}
			defer archive.Close()
			m, err := read(ctx, archive, secret, func(file File) (io.WriteCloser, error) { return below.receive(file, o) })
			if err != nil {
				return added, made, err
			}
			if _, err := sqlite.Inspect(ctx, below.in(stagingName, DatabaseName), false); err != nil {
				return added, made, err
			}
			if err := upgrade(ctx, below.in(stagingName, DatabaseName)); err != nil {
				return added, made, err
			}
			added, err = sqlite.Fill(ctx, file, below.in(stagingName, DatabaseName), s.Broken, func(tx *sql.Tx) error { return doubt(ctx, tx, s.Tried, o.At) })
			return added, m.At, err
		}()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.log().Error("a backup cannot be drawn on for what is lost", "file", c.Path, "error", err)
			continue
		}
		a.From, a.CopiedAt, a.AddedMessages, a.AddedInbound = c.Path, made, added.Messages, added.Inbound
		return nil
	}
	return nil
}

// upgrade brings a database that is in nobody's use up to this program's schema.
func upgrade(ctx context.Context, path string) error {
	db, err := sqlite.Open(ctx, path, sqlite.Options{ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return sqlite.Alone(ctx, path)
}

// doubt makes uncertain what came from a copy as not final and had been tried since,
// as the damaged database still says: it may have arrived.
func doubt(ctx context.Context, tx *sql.Tx, tried []int64, now time.Time) error {
	list, err := json.Marshal(append([]int64{}, tried...))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `CREATE TEMP TABLE doubted AS SELECT m.seq FROM added a JOIN main.message m ON m.seq = a.seq
		WHERE a.parent = 'message' AND m.state IN ('scheduled','held','queued','sending','uncertain') AND m.seq IN (SELECT value FROM json_each(?))`, string(list)); err != nil {
		return fmt.Errorf("look for what was tried: %w", err)
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`UPDATE main.attempt SET phase = 'done', outcome = 'ambiguous' WHERE phase = 'prepared' AND message IN (SELECT seq FROM doubted)`, nil},
		{`UPDATE main.segment SET state = 'uncertain' WHERE state IN ('pending','sending') AND message IN (SELECT seq FROM doubted)`, nil},
		{`INSERT INTO main.history (message, at, event, detail) SELECT seq, ?, 'undecided', 'it came back from a backup, and had been tried since' FROM doubted`, []any{now.UnixMilli()}},
		{`UPDATE main.message SET state = ?, reason = ?, hold = ?, claimed_by = '', not_before = 0, decide_at = 0, avoid_sim = '', avoid_until = 0
			WHERE seq IN (SELECT seq FROM doubted)`, []any{string(queue.Uncertain), queue.ReasonNoEvidence, queue.ReasonRestored}},
	} {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return fmt.Errorf("doubt what was tried: %w", err)
		}
	}
	return nil
}
