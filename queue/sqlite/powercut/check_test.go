package powercut

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// What a state is found guilty of.
var (
	errCorrupt = errors.New("corrupt")              // it cannot be opened, or is not whole
	errLost    = errors.New("lost")                 // what was acknowledged is not there
	errSent    = errors.New("sent without a trace") // Ctrl-Z has left, and no attempt is there
	errRules   = errors.New("against the rules")    // the stores' own rules do not hold
	errAlarm   = errors.New("cried wolf")           // nothing is missing, and the log is said to be lost
	errWrote   = errors.New("opening it wrote")     // an unfinished migration: its index is of no state that was
)

// options of the victim and of who opens what is left of its file: less is kept
// for a full disk than the product does.
func options() sqlite.Options {
	return sqlite.Options{Readers: 1, ReserveWAL: 256 << 10, ReserveFree: 256 << 10}
}

// state is one crash state with what the victim had said before the cut.
type state struct {
	at    int // record of the log
	files [files][]byte
	said  []said
	// noted: the WAL was whole before the cut, and a note beside it says so; index
	// is what the WAL's index may be like on the disk, from any time before, nil: gone.
	noted bool
	index []byte
}

// lay writes a state into dir, and the note that the product keeps beside it. What
// it writes by itself, such as the WAL's reserve, is not in the log of its writes.
func (st state) lay(dir string) (path string, err error) {
	path = filepath.Join(dir, "recado.db")
	for file, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(path+suffix, st.files[file], 0o600); err != nil {
			return path, err
		}
	}
	if st.index != nil {
		if err := os.WriteFile(path+"-shm", st.index, 0o600); err != nil {
			return path, err
		}
	}
	if !st.noted {
		return path, nil
	}
	if least := options().ReserveWAL; int64(len(st.files[fileWAL])) < least {
		if err := os.Truncate(path+"-wal", least); err != nil {
			return path, err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return path, err
	}
	note := fmt.Sprintf("%d %d\n", info.Sys().(*syscall.Stat_t).Ino, options().ReserveWAL)
	return path, os.WriteFile(path+".wal-note", []byte(note), 0o600)
}

// check opens a state in dir with the product's own means and looks whether every
// promise was kept.
func (st state) check(dir string) (err error) {
	defer func() { err = errors.Join(err, sweep(dir)) }()
	path, err := st.lay(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, options())
	if err != nil {
		return fmt.Errorf("%w: open: %w", errCorrupt, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l := &left{db: db.Read()}
	l.whole()
	l.count(errRules, `claimable, and its attempt open`, `SELECT count(*) FROM message m WHERE state IN ('queued','sending') AND claimed_by = '' AND not_before = 0
		AND EXISTS (SELECT 1 FROM attempt a WHERE a.message = m.seq AND a.phase = 'prepared')`)
	if l.err != nil {
		return l.err
	}
	q, err := queue.New(ctx, db, queue.Options{})
	if err != nil {
		return fmt.Errorf("%w: recover: %w", errCorrupt, err)
	}
	l.rules()
	l.promises(st.said)
	if why := db.LogLost(); why != "" {
		l.found(errAlarm, "%s", why)
	}
	if l.err == nil {
		l.err = again(q, st.said)
	}
	return l.err
}

// robbed says what the product says of a state whose WAL is gone.
func (st state) robbed(dir string) (why string, err error) {
	defer func() { err = errors.Join(err, sweep(dir)) }()
	path, err := st.lay(dir)
	if err == nil {
		err = os.Remove(path + "-wal")
	}
	if err != nil {
		return "", err
	}
	db, err := sqlite.Open(context.Background(), path, options())
	if err != nil {
		return "", err
	}
	return db.LogLost(), db.Close()
}

// indexOf gives the WAL's index as SQLite makes it for what a disk has for certain;
// errWrote when opening that changes it.
func indexOf(d *disk, dir string) (index []byte, err error) {
	defer func() { err = errors.Join(err, sweep(dir)) }()
	path, err := state{files: d.sure}.lay(dir)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{Readers: 1, ReserveWAL: -1, ReserveFree: -1})
	if err != nil {
		return nil, err
	}
	index, err = os.ReadFile(path + "-shm")
	log, unread := os.ReadFile(path + "-wal")
	err = errors.Join(err, unread, db.Close())
	if sure := d.sure[fileWAL]; err == nil && (!bytes.HasPrefix(log, sure) || len(bytes.Trim(log[len(sure):], "\x00")) > 0) {
		err = errWrote
	}
	return index, err
}

// sweep empties the folder for the next state.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// left is what a state has, as far as nothing was found yet.
type left struct {
	db  *sql.DB
	err error
}

func (l *left) found(what error, format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %s", what, fmt.Sprintf(format, args...))
	}
}

// each gives the rows of a query of two columns.
func (l *left) each(query string, row func(a, b string)) {
	rows, err := l.db.Query(query)
	if err != nil {
		l.found(errCorrupt, "%v", err)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			l.found(errCorrupt, "%v", err)
			return
		}
		row(a, b)
	}
	if err := rows.Err(); err != nil {
		l.found(errCorrupt, "%v", err)
	}
}

// table is a query of two columns.
func (l *left) table(query string) map[string]string {
	m := map[string]string{}
	l.each(query, func(a, b string) { m[a] = b })
	return m
}

// count finds something when the query counts anything.
func (l *left) count(what error, name, query string) {
	l.each(`SELECT n, '' FROM (`+strings.Replace(query, "count(*)", "count(*) AS n", 1)+`)`, func(n, _ string) {
		if n != "0" {
			l.found(what, "%s: %s", name, n)
		}
	})
}

func (l *left) whole() {
	var line string
	if err := l.db.QueryRow(`PRAGMA integrity_check(1)`).Scan(&line); err != nil || line != "ok" {
		l.found(errCorrupt, "%s %v", line, err)
		return
	}
	l.count(errCorrupt, "rows without their parents", `SELECT count(*) FROM pragma_foreign_key_check`)
}

// rules are what holds after every start, whatever was acknowledged.
func (l *left) rules() {
	for name, query := range map[string]string{
		"an attempt is open":         `SELECT count(*) FROM attempt WHERE phase <> 'done'`,
		"a claim outlived the run":   `SELECT count(*) FROM message WHERE claimed_by <> ''`,
		"accepted twice":             `SELECT count(*) FROM (SELECT 1 FROM attempt WHERE outcome = 'accepted' GROUP BY message, n, edition HAVING count(*) > 1)`,
		"found open, not uncertain":  `SELECT count(*) FROM attempt a JOIN message m ON m.seq = a.message WHERE a.code = 'restart' AND m.state <> 'uncertain'`,
		"the tally is wrong":         `SELECT count(*) FROM (SELECT state, class, count(*) n FROM message GROUP BY state, class EXCEPT SELECT state, class, n FROM tally)`,
		"attempts are miscounted":    `SELECT count(*) FROM message m WHERE attempts <> (SELECT count(*) FROM attempt a WHERE a.message = m.seq)`,
		"messages without segments":  `SELECT count(*) FROM message m WHERE segments <> (SELECT count(*) FROM segment g WHERE g.message = m.seq)`,
		"two events for one message": `SELECT count(*) FROM (SELECT 1 FROM event WHERE type = 'inbound.received' GROUP BY json_extract(data, '$.id') HAVING count(*) > 1)`,
		"one message received twice": `SELECT count(*) FROM (SELECT 1 FROM inbound_raw GROUP BY iccid, raw HAVING count(*) > 1)`,
		"complete, and not told of":  `SELECT count(*) FROM inbound i WHERE complete = 1 AND NOT EXISTS (SELECT 1 FROM event e WHERE e.type = 'inbound.received' AND json_extract(e.data, '$.id') = i.id)`,
	} {
		l.count(errRules, name, query)
	}
}

var outcomes = map[queue.Verdict][]string{
	queue.Accepted: {"accepted", "duplicate"}, queue.Rejected: {"rejected"},
	queue.Ambiguous: {"ambiguous", "accepted", "duplicate"}, // a report may have come
}

// promises looks for everything that the victim was told.
func (l *left) promises(list []said) {
	messages := l.table(`SELECT id, state FROM message`)
	keys := l.table(`SELECT key, CAST(answer AS TEXT) FROM idempotency`)
	attempts := l.table(`SELECT id, outcome FROM attempt`)
	raws := l.table(`SELECT hex(raw), id FROM inbound_raw`)
	reports := l.table(`SELECT hex(raw), coalesce(message, '') FROM report`)
	texts := l.table(`SELECT text, complete FROM inbound`)
	settings := l.table(`SELECT key, value FROM setting`)
	resolved := l.table(`SELECT DISTINCT m.id, '' FROM history h JOIN message m ON m.seq = h.message WHERE h.event = 'resolved'`)
	for _, s := range list {
		there := true
		switch s.What {
		case saidSubmitted:
			for _, id := range s.IDs {
				if _, ok := messages[id]; !ok {
					there = false
				}
			}
			there = there && keys[s.Key] == strings.Join(s.IDs, " ")
		case saidCtrlZ:
			if attempts[strconv.FormatInt(s.Attempt, 10)] == "" {
				l.found(errSent, "%+v", s)
			}
		case saidOutcome:
			there = false
			for _, name := range outcomes[s.Verdict] {
				there = there || attempts[strconv.FormatInt(s.Attempt, 10)] == name
			}
		case saidReport:
			there = reports[strings.ToUpper(fmt.Sprintf("%x", s.Raw))] != ""
		case saidInbound:
			_, there = raws[strings.ToUpper(fmt.Sprintf("%x", s.Raw))]
			there = there && (s.Text == "" || texts[s.Text] == "1")
		case saidResolved:
			_, there = resolved[s.Message]
		case saidCancelled:
			there = messages[s.Message] == string(queue.Cancelled)
		case saidSetting:
			n, err := strconv.Atoi(settings["victim"])
			there = err == nil && n >= s.N
		}
		if !there {
			l.found(errLost, "%+v", s)
		}
	}
}

// again asks the store itself: the last key that was used gives its answer, and
// a line finds work.
func again(q *queue.Store, list []said) error {
	ctx := context.Background()
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		if s.What != saidSubmitted {
			continue
		}
		res, err := q.Submit(ctx, queue.Request{To: []string{"+34600111222"}, Text: "otra vez"},
			&queue.Idempotency{Scope: "victim", Key: s.Key, Hash: []byte(s.Key), Answer: answer})
		if err != nil {
			return fmt.Errorf("%w: submit again: %w", errRules, err)
		}
		if string(res.Replayed) != strings.Join(s.IDs, " ") {
			return fmt.Errorf("%w: the key %s gives %q now, not %q", errLost, s.Key, res.Replayed, s.IDs)
		}
		break
	}
	c, err := q.Claim(ctx, lineOf(0))
	if err != nil {
		return fmt.Errorf("%w: claim: %w", errRules, err)
	}
	if c == nil {
		return nil
	}
	a, err := q.Gate(ctx, lineOf(0), c.Message.Seq, c.Next+1)
	if err == nil {
		_, err = q.Outcome(ctx, a, queue.Outcome{Verdict: queue.Accepted, MR: 1, At: time.Now()}, nil)
	}
	if err != nil {
		return fmt.Errorf("%w: send: %w", errRules, err)
	}
	return nil
}
