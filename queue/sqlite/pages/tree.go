package pages

import (
	"encoding/binary"
	"math"
	"slices"
)

// Row is what one cell of a table's tree holds.
type Row struct {
	// ID is the rowid; 0 in a table without.
	ID int64
	// Values are nil, int64, float64, string or []byte, in the order in which they
	// are stored.
	Values []any
}

const (
	interiorIndex = 2
	interiorTable = 5
	leafIndex     = 10
	leafTable     = 13

	mostDepth   = 20
	mostPayload = 64 << 20
)

// Tree reads the table whose tree has its root at a page; rowid says which kind of
// table that is. It gives every row that can be read to each, until that errs.
// broken is how many pages or rows could not be read.
func (f *File) Tree(root uint32, rowid bool, each func(Row) error) (broken int, err error) {
	w := walk{f: f, rowid: rowid, each: each}
	err = w.node(root, math.MinInt64, math.MaxInt64, 0)
	return w.broken, err
}

// IsRoot says that a page could be the root of such a table.
func (f *File) IsRoot(no uint32, rowid bool) bool {
	p, ok := f.page(no)
	if !ok || no == 1 {
		return false
	}
	if rowid {
		return p[0] == leafTable || p[0] == interiorTable
	}
	return p[0] == leafIndex || p[0] == interiorIndex
}

// ofTree says that a page is a tree's and no row's: the number of a next page, which
// a row's begins with, is none that there is.
func (f *File) ofTree(p []byte) bool {
	return slices.Contains([]byte{leafTable, interiorTable, leafIndex, interiorIndex}, p[0]) && binary.BigEndian.Uint32(p) > f.n
}

// Rest gives the rows of each leaf that belongs to no tree that was read and is not
// free, a page at a time.
func (f *File) Rest(each func(rowid bool, rows []Row) error) error {
	// What it finds may yet be found in its tree.
	before := slices.Clone(f.seen)
	defer func() { f.seen = before }()
	for no := uint32(2); no <= f.n; no++ {
		if f.seen[no] {
			continue
		}
		p, ok := f.page(no)
		if !ok || p[0] != leafTable && p[0] != leafIndex {
			continue
		}
		var rows []Row
		w := walk{f: f, rowid: p[0] == leafTable, each: func(r Row) error {
			rows = append(rows, r)
			return nil
		}}
		if err := w.node(no, math.MinInt64, math.MaxInt64, 0); err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		if err := each(w.rowid, rows); err != nil {
			return err
		}
	}
	return nil
}

type walk struct {
	f      *File
	rowid  bool
	each   func(Row) error
	broken int
}

// node reads a page of a tree (1.6) and what is below it; low and high bound its
// rowids: low < id <= high.
func (w *walk) node(no uint32, low, high int64, depth int) error {
	shared, ok := w.f.page(no)
	if !ok || depth > mostDepth || !w.f.take(no) {
		w.broken++
		return nil
	}
	p := append([]byte{}, shared...)
	head := 0
	if no == 1 {
		head = 100
	}
	leaf, interior := byte(leafIndex), byte(interiorIndex)
	if w.rowid {
		leaf, interior = leafTable, interiorTable
	}
	kind, cells := p[head], int(binary.BigEndian.Uint16(p[head+3:]))
	first := head + 8
	if kind == interior {
		first += 4
	}
	if kind != leaf && kind != interior || first+2*cells > len(p) {
		w.f.seen[no] = false // Rest looks at it
		w.broken++
		return nil
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(p[first+2*i:]))
		if at < first+2*cells || at >= len(p) {
			w.broken++
			continue
		}
		cell := p[at:]
		if kind == interior {
			if len(cell) < 5 {
				w.broken++
				continue
			}
			child := binary.BigEndian.Uint32(cell)
			cell = cell[4:]
			key := high
			if w.rowid {
				v, n := varint(cell)
				if n == 0 || v <= low || v > high {
					w.broken++ // its bounds are not known; those of all others hold
					v = high
				}
				key = v
			}
			if err := w.node(child, low, key, depth+1); err != nil {
				return err
			}
			if w.rowid {
				if key < high {
					low = key
				}
				continue
			}
		}
		row, ok := w.row(cell, low, high)
		if !ok {
			w.broken++
			continue
		}
		if err := w.each(row); err != nil {
			return err
		}
	}
	if kind == interior {
		return w.node(binary.BigEndian.Uint32(p[head+8:]), low, high, depth+1)
	}
	return nil
}

// row reads a cell that holds one.
func (w *walk) row(cell []byte, low, high int64) (r Row, ok bool) {
	length, n := varint(cell)
	if n == 0 || length < 2 || length > mostPayload {
		return r, false
	}
	cell = cell[n:]
	if w.rowid {
		if r.ID, n = varint(cell); n == 0 || r.ID <= low || r.ID > high {
			return r, false
		}
		cell = cell[n:]
	}
	payload, taken, ok := w.payload(cell, int(length))
	if ok {
		r.Values, ok = record(payload)
	}
	if !ok { // a pointer that is broken may lead to what is another's
		for _, no := range taken {
			w.f.seen[no] = false
		}
	}
	return r, ok
}

// payload is the content of a cell, of which the end may lie in other pages,
// taken.
func (w *walk) payload(cell []byte, length int) (data []byte, taken []uint32, ok bool) {
	u := w.f.size
	most, least := u-35, (u-12)*32/255-23
	if !w.rowid {
		most = (u-12)*64/255 - 23
	}
	local := length
	if length > most {
		if local = least + (length-least)%(u-4); local > most {
			local = least
		}
	}
	if local == length {
		if length > len(cell) {
			return nil, nil, false
		}
		return cell[:length], nil, true
	}
	if local+4 > len(cell) {
		return nil, nil, false
	}
	data = append(make([]byte, 0, local), cell[:local]...)
	for next := binary.BigEndian.Uint32(cell[local:]); len(data) < length; {
		p, ok := w.f.page(next)
		if !ok || w.f.ofTree(p) || !w.f.take(next) {
			return nil, taken, false
		}
		taken = append(taken, next)
		data = append(data, p[4:min(u, 4+length-len(data))]...)
		next = binary.BigEndian.Uint32(p)
	}
	return data, taken, true
}
