package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The WAL of a file that nobody closed in order holds what was committed last. When
// it is gone, SQLite opens the file as it was before, and says nothing. So a note
// beside the file says, from the moment when the WAL has its header and its reserve
// until just before it loses them in order, that there is one.

// noteName is the note's.
func noteName(path string) string { return path + ".wal-note" }

// lostMark begins a note that says that the WAL was found wanting, until the
// caller of Open has done what is to be done about that.
const lostMark = "lost: "

// noteOf is what a note says: which file it is of, since another may take its place,
// and how long the WAL is at least.
func noteOf(path string, least int64) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("the file system has no file numbers")
	}
	return fmt.Sprintf("%d %d\n", sys.Ino, least), nil
}

// writeNote replaces the note, wholly or not at all.
func writeNote(path, note string) error {
	if was, err := os.ReadFile(noteName(path)); err == nil && string(was) == note {
		return nil
	}
	part := noteName(path) + ".part"
	if err := os.WriteFile(part, []byte(note), 0o600); err != nil {
		return err
	}
	if err := errors.Join(syncFile(part), os.Rename(part, noteName(path))); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// dropNote is called before the WAL loses its header or its length in order.
func dropNote(path string) error {
	err := os.Remove(noteName(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncFile(filepath.Dir(path)))
}

// dropNote is dropNote, but a loss of which nobody has been told stays said.
func (w *writer) dropNote() error {
	lost, err := saysLost(w.path)
	if err != nil || lost {
		return err
	}
	w.noted = false
	return dropNote(w.path)
}

// saysLost says that the note is of a loss.
func saysLost(path string) (bool, error) {
	was, err := os.ReadFile(noteName(path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.HasPrefix(string(was), lostMark), err
}

// hasLog says that there is a WAL.
func hasLog(path string) bool {
	_, err := os.Stat(path + "-wal")
	return err == nil
}

// logMovedByClosing follows a connection that could not be opened, was the only one
// and had no time to say that the WAL is to stay: SQLite has moved all of it into
// the file and deleted it. What was found missing before stays said.
func logMovedByClosing(path string) error {
	if lost, err := saysLost(path); err != nil || lost {
		return nil
	}
	return dropNote(path)
}

// logLost says what is missing of the WAL of a file that was not closed in order; ""
// nothing, as far as can be told. It looks before SQLite opens the file, which makes
// a new one. What it says stays said until the note is dropped.
func logLost(path string) (why string, err error) {
	was, err := os.ReadFile(noteName(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if why, is := strings.CutPrefix(string(was), lostMark); is {
		return strings.TrimSpace(why), nil
	}
	if _, err := os.Stat(cleanName(path)); err == nil {
		return "", nil // closed in order, or another file was put in its place
	}
	if why, err = wanting(path, string(was)); err != nil || why == "" {
		return "", err
	}
	return why, writeNote(path, lostMark+why+"\n")
}

// wanting compares the WAL with what the note, "" for none, and the index promise.
func wanting(path, note string) (why string, err error) {
	var least, file int64 // promised, when there is a note that is not of another file
	if _, err := fmt.Sscan(note, &file, &least); err == nil {
		if is, err := noteOf(path, least); err != nil || is != note {
			least = 0
		}
	}
	log, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		if least > 0 {
			return "it is missing", nil
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer log.Close()
	// What a killed process had written but not flushed SQLite takes for committed.
	if err := log.Sync(); err != nil {
		return "", err
	}
	st, err := log.Stat()
	if err != nil {
		return "", err
	}
	s, err := scanLog(log, scanMost)
	if err != nil {
		return "", err
	}
	x, ok := readIndex(path + "-shm")
	same := s.header && ok && x.salt == s.salt && s.whole
	switch {
	case least > 0 && st.Size() == 0:
		return "it is empty", nil
	case least > 0 && !s.header:
		return "its header is not valid", nil
	case same && s.frames < x.frames:
		return fmt.Sprintf("it holds %d pages, and held %d", s.frames, x.frames), nil
	case least > 0 && st.Size() < least && !same:
		return fmt.Sprintf("it has %d octets, and had %d at least", st.Size(), least), nil
	case s.gap:
		return fmt.Sprintf("it is damaged after %d pages", s.frames), nil
	}
	return "", nil
}

// logWhole notes, once, that the WAL has its header and its reserve. A note that
// cannot be written is one that says nothing.
func (w *writer) logWhole() {
	r := &w.reserve
	if r.noted || r.wal <= 0 {
		return
	}
	log, err := os.Open(w.path + "-wal")
	if err != nil {
		return
	}
	defer log.Close()
	if s, err := scanLog(log, 0); err != nil || !s.header {
		return // it gets one with the first commit
	}
	note, err := noteOf(w.path, r.wal)
	if err == nil {
		err = writeNote(w.path, note)
	}
	if r.noted = err == nil; !r.noted && !r.unnoted {
		r.unnoted = true
		w.log.Warn("a loss of the database's log would not be noticed", "error", err)
	}
}

// LogLost says what was missing of the log of the last moments (the WAL) when the
// file was opened, which nobody had closed in order; "" when nothing was. What had
// been committed then may be gone: messages that were accepted, and that others
// were sent. Whoever opened the file raises the alarm and has nothing of it sent by
// itself (queue.MarkRestored), and then calls LogLossTold; until then every Open
// says it again.
func (db *DB) LogLost() string { return db.logLost }

// LogLossTold says that what LogLost said was taken care of.
func (db *DB) LogLossTold() error {
	ended := make(chan error, 1)
	db.w.give(func() {
		db.w.noted = false
		ended <- dropNote(db.path)
		db.logTold.Store(true)
	})
	select {
	case err := <-ended:
		return err
	case <-db.w.done:
		return ErrClosed
	}
}
