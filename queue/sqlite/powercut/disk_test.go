package powercut

import (
	"math/rand/v2"
	"strings"

	"recado/queue/sqlite/shim"
)

// Files of a database. Its -shm is made anew by whoever opens it.
const (
	fileDB = iota
	fileWAL
	files
	fileNone
)

// fileOf says which file a record is of.
func fileOf(r shim.Record) int {
	switch {
	case r.Kind == shim.Marker || r.Errno != 0:
		return fileNone
	case strings.HasSuffix(r.File, ".db"):
		return fileDB
	case strings.HasSuffix(r.File, ".db-wal"):
		return fileWAL
	}
	return fileNone
}

// disk is what a disk has for certain of each file, and what it may have beside
// that: the writes and changes of size since the file's last completed flush.
type disk struct {
	sure [files][]byte
	open [files][]shim.Record
}

// play lets the next record happen.
func (d *disk) play(r shim.Record) {
	f := fileOf(r)
	if f == fileNone {
		return
	}
	switch r.Kind {
	case shim.Write, shim.Truncate:
		d.open[f] = append(d.open[f], r)
	case shim.Sync:
		for _, w := range d.open[f] {
			d.sure[f] = apply(d.sure[f], w)
		}
		d.open[f] = d.open[f][:0]
	case shim.Unlink:
		d.sure[f], d.open[f] = nil, nil
	}
}

// apply carries out a write or a change of size.
func apply(b []byte, r shim.Record) []byte {
	end := int(r.At)
	if r.Kind == shim.Truncate {
		if end < len(b) {
			return b[:end]
		}
		return append(b, make([]byte, end-len(b))...)
	}
	if end += len(r.Data); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[r.At:], r.Data)
	return b
}

// sector is what a disk writes whole.
const sector = 512

// Ways in which what was not flushed may be left.
const (
	wayNothing = iota // none of it reached the disk
	wayAll
	wayFront   // what came first did, the last of it torn
	wayAny     // any of it did, in any order
	waySectors // any of its sectors did, in any order
	waySize    // the file has grown to its new size, and is empty there
	ways
)

// after builds a file as the power cut may leave it.
func (d *disk) after(file int, r *rand.Rand) []byte {
	b := append([]byte(nil), d.sure[file]...)
	open := d.open[file]
	switch way := r.IntN(ways); way {
	case wayNothing:
	case wayAll:
		for _, w := range open {
			b = apply(b, w)
		}
	case wayFront:
		n := r.IntN(len(open) + 1)
		for _, w := range open[:n] {
			b = apply(b, w)
		}
		if n < len(open) {
			b = torn(b, open[n], r, true)
		}
	case wayAny, waySectors:
		keep := r.Float64()
		for _, i := range r.Perm(len(open)) {
			switch {
			case r.Float64() > keep:
			case way == waySectors:
				b = torn(b, open[i], r, false)
			default:
				b = apply(b, open[i])
			}
		}
	case waySize:
		for _, w := range open {
			if end := w.At + int64(len(w.Data)); end > int64(len(b)) {
				b = apply(b, shim.Record{Kind: shim.Truncate, At: end})
			}
		}
	}
	return b
}

// torn carries out some sectors of a write: the first ones, or any.
func torn(b []byte, w shim.Record, r *rand.Rand, front bool) []byte {
	if w.Kind == shim.Truncate {
		return apply(b, w)
	}
	until := r.IntN(len(w.Data) + 1)
	for from := 0; from < len(w.Data); {
		// Sectors of the file, not of the write.
		to := min(len(w.Data), from+sector-int(w.At+int64(from))%sector)
		if front && to > until {
			break
		}
		if front || r.IntN(2) == 0 {
			b = apply(b, shim.Record{Kind: shim.Write, At: w.At + int64(from), Data: w.Data[from:to]})
		}
		from = to
	}
	return b
}

// asNormal is the log of the same program under synchronous=NORMAL: the WAL is
// flushed before a checkpoint alone, and when it begins anew.
func asNormal(log []shim.Record) (list []shim.Record) {
	for i, r := range log {
		if r.Kind == shim.Sync && fileOf(r) == fileWAL {
			next := i + 1
			for next < len(log) && fileOf(log[next]) == fileNone {
				next++
			}
			head := i > 0 && log[i-1].Kind == shim.Write && log[i-1].At == 0
			if !head && (next == len(log) || fileOf(log[next]) != fileDB) {
				continue
			}
		}
		list = append(list, r)
	}
	return list
}

// asOff is the log of synchronous=OFF, or of a disk that only says that it has
// flushed: nothing is flushed from its record number from on.
func asOff(log []shim.Record, from int) (list []shim.Record) {
	for i, r := range log {
		if i < from || r.Kind != shim.Sync {
			list = append(list, r)
		}
	}
	return list
}
