package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The reserve is room that the database has already: a WAL that is longer than
// it needs to be, and pages in the file that nothing is in. What must be written
// while the disk is full is written there.
const (
	reserveWAL  = 8 << 20
	reserveFree = 8 << 20
	// leastSpare and mostSpare are pages: what more than the least is made, so
	// that it need not be made whole after every few messages.
	leastSpare, mostSpare = 512, 8192
	// step is how much is made at once: a gate may come.
	step = 512 << 10
	// reserveRound is how often a busy writer looks after the reserve.
	reserveRound = 250 * time.Millisecond
	// checkpointAt is the number of frames in the WAL at which the writer itself
	// moves them into the file: just before SQLite would, which tells nobody
	// when it fails.
	checkpointAt = 900
	// framesAStatement is more than what a statement writes, as a rule: a row and its
	// indexes, of which others of the transaction touch the same.
	framesAStatement = 4
)

type reserve struct {
	wal, free int64 // octets, 0: none
	// file is the database, open beside SQLite to lengthen it with. It stays
	// open as long as SQLite has it: closing would take SQLite's locks away.
	file   *os.File
	page   int64
	capped bool
	// held pages are in reserve_room while it is filled; more: the last step was
	// not the last.
	held int64
	more bool
	// overwriting: Scrub holds them, see scrubSome.
	overwriting bool
	// solid are the lengths up to which the files' holes were filled.
	solidFile, solidWAL int64
	looked              time.Time
	// noted: see logWhole; unnoted: that this failed was told.
	noted, unnoted bool
}

// sizes of the database as the writer sees them.
type sizes struct{ pages, unused int64 }

func (w *writer) sizes() (s sizes, err error) {
	for query, into := range map[string]*int64{"PRAGMA page_count": &s.pages, "PRAGMA freelist_count": &s.unused, "PRAGMA page_size": &w.reserve.page} {
		if err := w.one(query, into); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (w *writer) one(query string, into ...any) error {
	tx := Tx{statements: w.stmts}
	return tx.QueryRow(query).Scan(into...)
}

// once runs a statement that is not kept prepared.
func (w *writer) once(query string) error {
	_, err := w.conn.ExecContext(background, query)
	return err
}

// frames says how many the WAL has, and how many of them are in the file too.
func (w *writer) frames() (all, moved int64, err error) {
	var busy int64
	err = w.one("PRAGMA wal_checkpoint(NOOP)", &busy, &all, &moved)
	return all, moved, err
}

// shortenLog moves the WAL into the file when it is long enough. To ask for its
// length costs as much as some statements: that waits for as many as it takes to
// make it so long.
func (w *writer) shortenLog() error {
	if w.ran < w.lookAfter || w.ran == 0 {
		return nil
	}
	all, moved, err := w.frames()
	if err == nil && all-moved >= checkpointAt {
		var locked int64
		err = w.one("PRAGMA wal_checkpoint(PASSIVE)", &locked, &all, &moved)
	}
	w.ran, w.lookAfter = 0, (checkpointAt-(all-moved))/framesAStatement
	return err
}

// upkeep moves the WAL into the file when it is due, and looks after the
// reserve, a step at a time. It says whether there is more to do at once. busy:
// work waits.
func (w *writer) upkeep(busy bool) (more bool) {
	if w.stopped() {
		return false
	}
	if err := w.shortenLog(); err != nil {
		w.trouble(err)
		return false
	}
	var err error
	r := &w.reserve
	now := time.Now()
	if r.wal <= 0 && r.free <= 0 || now.Sub(r.looked) < reserveRound && (busy || !r.more) {
		return r.more && !busy
	}
	r.looked = now
	more, err = w.tend()
	r.more = more && err == nil
	switch {
	case err == nil:
		w.cond.stuck.Store(false)
	case errors.Is(named(err), ErrFull), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		w.cond.stuck.Store(true)
	default:
		w.trouble(err)
	}
	w.cond.refused.Store(false)
	full := w.cond.look().State == HealthFull
	if full && r.held > 0 && !w.stopped() {
		if err := w.giveBack(); err != nil {
			w.trouble(err)
		}
	}
	w.limit(full)
	return r.more
}

// trouble is an error of the upkeep: one that makes the handle doubtful ends it.
func (w *writer) trouble(err error) {
	switch {
	case errors.Is(named(err), ErrFull):
		w.cond.refused.Store(true)
	case doubtful(err):
		w.broke(err)
	default:
		w.log.Warn("looking after the database's reserve", "error", err)
	}
}

// tend makes one step towards a whole reserve.
func (w *writer) tend() (more bool, err error) {
	s, err := w.sizes()
	if err != nil {
		return false, err
	}
	r := &w.reserve
	page := r.page
	lacks, err := r.missing(w.path+"-wal", s)
	if err != nil {
		return false, err
	}
	w.cond.missing.Store(lacks.wal + lacks.pages)
	if lacks.wal == 0 {
		w.logWhole()
	}
	free, total, err := w.cond.room()
	if err != nil {
		return false, err
	}
	soft, hard := roomLimits(total)
	n, target := step/page, r.free/page+r.spare(s, free-soft)
	have := s.unused + r.held
	begin := lacks.pages > 0 || r.held > 0 || have < r.free/page+(target-r.free/page)/4
	switch {
	case r.overwriting && lacks.wal <= 0:
		return false, nil
	case lacks.wal > 0 && free-hard >= step:
		return true, r.lengthenWAL(w.path+"-wal", min(lacks.wal, step))
	case r.free <= 0 || lacks.wal > 0 || !begin:
		return false, nil
	case have >= target, free-hard < step:
		return false, w.giveBack()
	}
	return true, w.hold(s, n)
}

// spare is how many pages more than the least the reserve has when it has just
// been made: the more, the larger the file is, since all of it is written each
// time; free octets can be spent on it.
func (r *reserve) spare(s sizes, free int64) int64 {
	return max(min(max(leastSpare, (s.pages-s.unused-r.held)/2), mostSpare, free/4/r.page), 0)
}

type lack struct{ wal, pages int64 }

// missing says how many octets of the reserve are not there, or not really on
// the disk, after filling the holes that a copy of the files may have.
func (r *reserve) missing(wal string, s sizes) (l lack, err error) {
	if r.wal > 0 {
		size, err := solid(wal, nil, &r.solidWAL)
		if err != nil {
			return l, err
		}
		l.wal = max(r.wal-size, 0)
	}
	if r.free > 0 {
		if _, err := solid(r.file.Name(), r.file, &r.solidFile); err != nil {
			return lack{wal: l.wal, pages: r.free}, err
		}
		l.pages = max(r.free-(s.unused+r.held)*r.page, 0)
	}
	return l, nil
}

// solid gives the length of a file, all of which has its place on the disk: holes
// are filled. done remembers the length for which that was tried, for file
// systems that count in another way.
func solid(name string, open *os.File, done *int64) (size int64, err error) {
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	size = st.Size()
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Blocks*512 >= size || *done == size {
		return size, nil
	}
	if open == nil {
		if open, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
			return size, err
		}
		defer open.Close()
	}
	if err := place(open, size); err != nil {
		return size, fmt.Errorf("fill the holes of %s: %w", name, err)
	}
	*done = size
	return size, nil
}

// lengthenWAL writes n zeros after the WAL's end. No frame is valid there:
// SQLite stops reading where a frame's salt is not the header's. SQLite takes no
// locks on this file, so that it may be closed again.
func (r *reserve) lengthenWAL(name string, n int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		err = zeros(f, st.Size(), n)
	}
	if err == nil && st.Size()+n >= r.wal {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// zeros writes n of them at an offset.
func zeros(f *os.File, at, n int64) error {
	block := make([]byte, min(n, 64<<10))
	for n > 0 {
		k := min(n, int64(len(block)))
		if _, err := f.WriteAt(block[:k], at); err != nil {
			return err
		}
		at, n = at+k, n-k
	}
	return nil
}

// hold takes n pages into a table of their own, unused ones first and then new
// ones at the end of the file, for which the disk gives the place beforehand.
// SQLite lengthens a file only when no page in it is unused; so all are held
// until there are enough, and then given back together.
func (w *writer) hold(s sizes, n int64) error {
	if err := place(w.file, (s.pages+n+1)*w.page); err != nil {
		return err
	}
	if err := w.begin(); err != nil {
		return err
	}
	for _, query := range []string{
		"CREATE TABLE IF NOT EXISTS reserve_room (room BLOB)",
		// 4 octets of a page name the next.
		fmt.Sprintf("INSERT INTO reserve_room VALUES (zeroblob(%d))", n*(w.page-4)),
		"COMMIT",
	} {
		if err := w.once(query); err != nil {
			w.rollback()
			return err
		}
	}
	w.held += n
	return nil
}

// giveBack makes the held pages unused ones. That writes only the list of them.
func (w *writer) giveBack() error {
	if err := w.once("DROP TABLE IF EXISTS reserve_room"); err != nil {
		return err
	}
	w.held = 0
	return nil
}

// foundHeld gives back what an interrupted run held: at once what was a reserve, and
// behind, since that takes long, what was being overwritten.
func (w *writer) foundHeld() error {
	var is bool
	if err := w.conn.QueryRowContext(background, "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'reserve_room')").Scan(&is); err != nil || !is {
		return err
	}
	var rows int64
	if err := w.conn.QueryRowContext(background, "SELECT count(*) FROM reserve_room").Scan(&rows); err != nil {
		return err
	}
	if rows <= keptRows {
		w.overwriting = false
		return w.giveBack()
	}
	w.overwriting, w.held = true, rows*step/w.page
	return nil
}

// place has the disk give a file its place up to a size, and lengthens it.
func place(f *os.File, size int64) (err error) {
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // it gives it when it is written
	}
	return err
}

// limit keeps SQLite from planning with pages that the full disk does not have:
// an insert that finds none fails at once, and the WAL can still be moved into
// the file.
func (w *writer) limit(full bool) {
	if full == w.reserve.capped || w.stopped() {
		return
	}
	most := int64(1<<32 - 2)
	if full {
		if err := w.one("PRAGMA page_count", &most); err != nil {
			w.trouble(err)
			return
		}
	}
	if err := w.once(fmt.Sprintf("PRAGMA max_page_count = %d", most)); err != nil {
		w.trouble(err)
		return
	}
	w.reserve.capped = full
}
