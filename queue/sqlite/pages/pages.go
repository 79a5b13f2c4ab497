// Package pages reads an SQLite file page by page, without SQLite, which gives
// nothing that lies behind a broken page. What it gives is what the file says:
// whoever uses it checks what it is. https://sqlite.org/fileformat2.html is the
// format; sections in comments are its.
package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// usual is the page size when the file's header is gone.
const usual = 4096

// mostPages of a database, as many as are looked at.
const mostPages = 1 << 31

const magic = "SQLite format 3\x00"

// File is a database file with its WAL. One goroutine uses it.
type File struct {
	db   *os.File // nil: only the WAL is there
	log  *Log
	size int    // of a page, octets
	n    uint32 // pages
	seen []bool // that belong to a tree that was read, or are free; by number
	free bool   // the list of free pages could be read
	buf  []byte
}

// Open opens the file at path and reads its WAL; the file may be gone. It errs only
// when one of the two cannot be opened.
func Open(path string) (*File, error) {
	f := &File{size: usual}
	var err error
	if f.db, err = os.Open(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the damaged file: %w", err)
	}
	octets := int64(0)
	if err == nil {
		st, err := f.db.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		octets = st.Size()
		head := make([]byte, 100)
		if _, err := f.db.ReadAt(head, 0); err == nil && string(head[:16]) == magic {
			if size := int(binary.BigEndian.Uint16(head[16:])); size >= 512 && size&(size-1) == 0 {
				f.size = size
			}
		}
	} else {
		f.db = nil
	}
	f.n = uint32(min(octets/int64(f.size), mostPages))
	if f.log, err = openLog(path+"-wal", f.size, f.n); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.Close())
	}
	if f.log != nil {
		for no := range f.log.last {
			f.n = max(f.n, no)
		}
	}
	f.seen = make([]bool, f.n+1)
	f.free = f.readFree()
	return f, nil
}

// Close ends it.
func (f *File) Close() error {
	var err error
	if f.db != nil {
		err = f.db.Close()
	}
	if f.log != nil {
		err = errors.Join(err, f.log.file.Close())
	}
	return err
}

// Count is how many pages there are.
func (f *File) Count() uint32 { return f.n }

// page reads a page, from the WAL when it is there. The slice is good until the
// next call.
func (f *File) page(no uint32) ([]byte, bool) {
	if no == 0 || no > f.n {
		return nil, false
	}
	if f.buf == nil {
		f.buf = make([]byte, f.size)
	}
	if f.log != nil {
		if at, ok := f.log.last[no]; ok {
			_, err := f.log.file.ReadAt(f.buf, at)
			return f.buf, err == nil
		}
	}
	if f.db == nil {
		return nil, false
	}
	_, err := f.db.ReadAt(f.buf, int64(no-1)*int64(f.size))
	return f.buf, err == nil
}

// take marks a page as one of what is read; false when it is one already, and so
// in a place where it cannot be.
func (f *File) take(no uint32) bool {
	if no == 0 || no > f.n || f.seen[no] {
		return false
	}
	f.seen[no] = true
	return true
}

// readFree marks the free pages (1.5), whose old content is nobody's. Nothing is
// marked of a list that does not fit the header.
func (f *File) readFree() bool {
	p, ok := f.page(1)
	if !ok || string(p[:16]) != magic {
		return false
	}
	trunk, total := binary.BigEndian.Uint32(p[32:]), binary.BigEndian.Uint32(p[36:])
	list := map[uint32]bool{}
	for trunk != 0 {
		p, ok := f.page(trunk)
		if !ok || trunk == 1 || list[trunk] || uint32(len(list)) > total {
			return false
		}
		list[trunk] = true
		leaves := binary.BigEndian.Uint32(p[4:])
		if leaves > uint32(f.size)/4-2 {
			return false
		}
		for i := range leaves {
			list[binary.BigEndian.Uint32(p[8+4*i:])] = true
		}
		trunk = binary.BigEndian.Uint32(p)
	}
	if uint32(len(list)) != total {
		return false
	}
	for no := range list {
		if no < 2 || no > f.n {
			return false
		}
	}
	for no := range list {
		f.seen[no] = true
	}
	return true
}
