package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"

	"recado/queue/sqlite/pages"
)

const (
	// salvageSays is how often Salvage says how far it is.
	salvageSays = 2 * time.Second
	// shapely columns are more than any index has: of fewer, a page that nothing
	// leads to may be an index's.
	shapely = 8
	// mostLost is how many lost messages are told apart.
	mostLost = 200_000
)

// loader fills a new database from the pages of a damaged one.
type loader struct {
	in    *pages.File
	roots map[string]uint32
	say   func(done, of int64)
	s     Salvaged

	tx     *sql.Tx
	stmts  map[string]*sql.Stmt
	tables []table
	of     int64 // rows that the damaged database counted
	counts int64 // messages that its tally counted; -1 unknown
	done   int64
	said   time.Time
	broken map[string]bool
	orphan map[string]map[int64]bool // by table: rows that are gone but named; true: of a message, that it was tried
}

func (l *loader) run(ctx context.Context, db *sql.DB) (err error) {
	l.stmts, l.broken, l.said = map[string]*sql.Stmt{}, map[string]bool{}, time.Now()
	l.orphan = map[string]map[int64]bool{"message": {}, "inbound": {}}
	// What the indexes are sorted in may be as large as they are.
	if _, err := db.ExecContext(ctx, `PRAGMA temp_store=FILE; PRAGMA cache_size=-8000`); err != nil {
		return err
	}
	if l.tables, err = readTables(ctx, db); err != nil {
		return err
	}
	// Counts and indexes that are not unique are made at once at the end, which is
	// quicker.
	var drops, makes []string
	err = each(ctx, db, `SELECT type, name, sql FROM sqlite_master WHERE type = 'trigger' OR type = 'index' AND sql NOT LIKE 'CREATE UNIQUE%'`, func(rows *sql.Rows) error {
		var kind, name, text string
		err := rows.Scan(&kind, &name, &text)
		drops, makes = append(drops, `DROP `+kind+` `+name), append(makes, text)
		return err
	})
	for _, drop := range drops {
		if err == nil {
			_, err = db.ExecContext(ctx, drop)
		}
	}
	if err != nil {
		return err
	}
	l.countRows()
	if l.tx, err = db.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer func() { _ = l.tx.Rollback() }()
	for _, t := range l.tables {
		if t.derived() {
			continue
		}
		if err := l.table(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if len(l.broken) > 0 {
		if err := l.rest(ctx); err != nil {
			return err
		}
	}
	if err := l.finish(ctx); err != nil {
		return err
	}
	for _, t := range l.tables {
		switch t.name {
		case "tally":
			makes = append(makes, `INSERT INTO tally (state, class, n) SELECT state, class, count(*) FROM message WHERE key_id <> 'canary' GROUP BY state, class`)
		case "held_tally":
			makes = append(makes, `INSERT INTO held_tally (reason, class, n) SELECT reason, class, count(*) FROM message WHERE state = 'held' GROUP BY reason, class`)
		}
	}
	for _, text := range makes {
		if _, err := l.tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return l.tx.Commit()
}

// countRows reads what the damaged database says it has.
func (l *loader) countRows() {
	l.counts = -1
	root := l.roots["tally"]
	if root == 0 {
		return
	}
	sum := int64(0)
	broken, _ := l.in.Tree(root, false, func(r pages.Row) error {
		if len(r.Values) == 3 {
			n, _ := r.Values[2].(int64)
			sum += n
		}
		return nil
	})
	if broken == 0 && sum >= 0 {
		l.counts, l.of = sum, sum
	}
}

// table reads one by its tree.
func (l *loader) table(ctx context.Context, t table) error {
	root := l.roots[t.name]
	if root == 0 {
		l.broken[t.name] = true
		return nil
	}
	broken, err := l.in.Tree(root, t.rowid, func(r pages.Row) error {
		kept, err := l.insert(ctx, t, r)
		if err == nil && !kept {
			l.broken[t.name] = true
		}
		return err
	})
	if broken > 0 {
		l.broken[t.name] = true
	}
	return err
}

// rest reads what no tree leads to: rows of tables that have lost some.
func (l *loader) rest(ctx context.Context) error {
	lost := maps.Clone(l.broken)
	type found struct {
		t    table
		rows []pages.Row
	}
	var later []found // children, until their parents are there
	err := l.in.Rest(func(rowid bool, rows []pages.Row) error {
		var fit []table
		for _, t := range l.tables {
			if t.rowid == rowid && !t.derived() && (rowid || len(t.columns) >= shapely) && !slices.ContainsFunc(rows, func(r pages.Row) bool { return !t.like(r) }) {
				fit = append(fit, t)
			}
		}
		if len(fit) != 1 || !lost[fit[0].name] {
			return ctx.Err()
		}
		if fit[0].parent != "" && len(later) < mostLost/100 {
			later = append(later, found{fit[0], rows})
			return nil
		}
		return l.insertAll(ctx, fit[0], rows)
	})
	for _, f := range later {
		if err == nil {
			err = l.insertAll(ctx, f.t, f.rows)
		}
	}
	return err
}

func (l *loader) insertAll(ctx context.Context, t table, rows []pages.Row) error {
	for _, r := range rows {
		if _, err := l.insert(ctx, t, r); err != nil {
			return err
		}
	}
	return nil
}

// insert keeps a row; false when the schema refuses it or has one in its place.
func (l *loader) insert(ctx context.Context, t table, r pages.Row) (kept bool, err error) {
	if l.done++; l.done%256 == 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if l.say != nil && time.Since(l.said) >= salvageSays {
			l.said = time.Now()
			l.say(l.done, max(l.of, l.done))
		}
	}
	args, ok := t.values(r)
	if !ok {
		return false, nil
	}
	kept, err = l.put(t, args)
	if e, is := errors.AsType[sqlite3.Error](err); is && e.Code == sqlite3.ErrConstraint {
		l.named(t, args)
		if t.name != "report" {
			return false, nil
		}
		// A report may be of no message that is known.
		for i, c := range t.columns[:len(args)] {
			if c.name == "message" {
				args[i] = nil
			}
		}
		kept, err = l.put(t, args)
	}
	if kept {
		l.s.Rows[t.name]++
	}
	return kept, err
}

func (l *loader) put(t table, args []any) (bool, error) {
	key := fmt.Sprint(t.name, len(args))
	stmt := l.stmts[key]
	if stmt == nil {
		how := "IGNORE"
		if t.preset {
			how = "REPLACE"
		}
		var err error
		// Without ctx: one that can end costs a goroutine each time.
		stmt, err = l.tx.Prepare(`INSERT OR ` + how + ` INTO ` + t.name + ` (` + strings.Join(t.names()[:len(args)], ", ") + `) VALUES (?` + strings.Repeat(", ?", len(args)-1) + `)`)
		if err != nil {
			return false, err
		}
		l.stmts[key] = stmt
	}
	res, err := stmt.Exec(args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// named notes whose row a child names that cannot be kept without it.
func (l *loader) named(t table, args []any) {
	gone := l.orphan[t.parent]
	if gone == nil {
		return
	}
	value := func(name string) any {
		i := slices.Index(t.names()[:len(args)], name)
		if i < 0 {
			return nil
		}
		return args[i]
	}
	seq, ok := value(t.parent).(int64)
	if !ok || len(gone) >= mostLost {
		return
	}
	tried := false
	switch t.name {
	case "attempt":
		tried = value("outcome") != "not_sent" && value("outcome") != "rejected"
	case "segment":
		tried = value("state") != "pending" && value("state") != "failed"
	}
	gone[seq] = gone[seq] || tried
}

// finish counts what was lost, and sees to it that no number is given twice.
func (l *loader) finish(ctx context.Context) error {
	for parent := range l.orphan { // some came later than what names them
		for seq := range l.orphan[parent] {
			var there bool
			if err := l.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+parent+` WHERE seq = ?)`, seq).Scan(&there); err != nil {
				return err
			}
			if there {
				delete(l.orphan[parent], seq)
			}
		}
	}
	highest := map[string]int64{"message": 0, "inbound": 0}
	for parent, gone := range l.orphan {
		for seq, tried := range gone {
			highest[parent] = max(highest[parent], seq)
			if tried && parent == "message" {
				l.s.Tried = append(l.s.Tried, seq)
			}
		}
	}
	slices.Sort(l.s.Tried)
	for _, query := range []string{
		`INSERT OR IGNORE INTO floor (name, value) VALUES ('message', 0), ('attempt', 0), ('inbound', 0)`,
		`UPDATE floor SET value = max(value, coalesce((SELECT max(seq) FROM message), 0), (SELECT coalesce(max(last_seq), 0) FROM idempotency)) WHERE name = 'message'`,
		// What a SIM has used outlives its attempts, and names them.
		`UPDATE floor SET value = max(value, coalesce((SELECT max(id) FROM attempt), 0), coalesce((SELECT max(attempt) FROM usage), 0)) WHERE name = 'attempt'`,
		`UPDATE floor SET value = max(value, coalesce((SELECT max(seq) FROM inbound), 0), coalesce((SELECT max(inbound) FROM inbound_raw), 0),
			coalesce((SELECT max(last_in) FROM conversation), 0)) WHERE name = 'inbound'`,
	} {
		if _, err := l.tx.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	for name, seq := range highest {
		if _, err := l.tx.ExecContext(ctx, `UPDATE floor SET value = max(value, ?) WHERE name = ?`, seq, name); err != nil {
			return err
		}
	}
	if l.broken["sim_limit"] { // those that are lost would be none
		if _, err := l.tx.ExecContext(ctx, `UPDATE sim SET limits_set = 0 WHERE limits_set = 1 AND iccid NOT IN (SELECT iccid FROM sim_limit)`); err != nil {
			return err
		}
	}
	if err := l.eventsGoOn(ctx); err != nil {
		return err
	}
	l.s.Broken = slices.Sorted(maps.Keys(l.broken))
	if l.broken["message"] {
		var canaries int64 // the tally has none
		if err := l.tx.QueryRowContext(ctx, `SELECT count(*) FROM message WHERE key_id = 'canary'`).Scan(&canaries); err != nil {
			return err
		}
		l.s.Messages = max(int64(len(l.orphan["message"])), l.counts-(l.s.Rows["message"]-canaries))
	}
	if !l.broken["inbound"] {
		return nil
	}
	// Those that a received TPDU names and that are not there, or that are missing
	// between the first and the last; one that was deleted in between counts too.
	var named, between int64
	err := l.tx.QueryRowContext(ctx, `SELECT (SELECT count(DISTINCT inbound) FROM inbound_raw r WHERE inbound IS NOT NULL AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.seq = r.inbound)),
		coalesce((SELECT max(seq) - min(seq) + 1 - count(*) FROM inbound), 0)`).Scan(&named, &between)
	l.s.Inbound = max(named, between, int64(len(l.orphan["inbound"])))
	return err
}

// eventsGoOn sees to it that no event gets a number that another had, also when that
// was deleted long ago or is lost: by AUTOINCREMENT's own table (fileformat2, 2.6.2),
// and by whom its webhooks were told of.
func (l *loader) eventsGoOn(ctx context.Context) error {
	var last int64
	if root := l.roots["sqlite_sequence"]; root != 0 {
		_, _ = l.in.Tree(root, true, func(r pages.Row) error { // what it does not tell the others may
			if len(r.Values) == 2 && r.Values[0] == "event" {
				if n, ok := r.Values[1].(int64); ok && n < 1<<52 {
					last = max(last, n)
				}
			}
			return nil
		})
	}
	for _, t := range l.tables {
		column := map[string]string{"event": "seq", "webhook": "cursor", "webhook_delivery": "event"}[t.name]
		if column == "" {
			continue
		}
		if err := l.tx.QueryRowContext(ctx, `SELECT max(?, coalesce(max(`+column+`), 0)) FROM `+t.name, last).Scan(&last); err != nil {
			return err
		}
	}
	for _, query := range []string{`DELETE FROM sqlite_sequence WHERE name = 'event'`, `INSERT INTO sqlite_sequence (name, seq) SELECT 'event', ?1 WHERE ?1 > 0`} {
		if _, err := l.tx.ExecContext(ctx, query, last); err != nil {
			return err
		}
	}
	return nil
}
