package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// scanMost is how much of a WAL is looked through: one that a migration has made
// longer may hold anything up to its end.
const scanMost = 64 << 20

// sector is what a disk writes whole.
const sector = 512

// logScan is what a WAL's file holds (https://sqlite.org/fileformat2.html, 4.1
// and 4.2), read without SQLite and before it, which would begin it anew.
type logScan struct {
	// header: it is a WAL's and its checksum is right; salt names its generation.
	header bool
	salt   [8]byte
	// frames are those up to the last commit that SQLite will find.
	frames int64
	// gap: behind them stands a commit that was begun only after another one, also
	// behind them, was on the disk.
	gap bool
	// whole: it was looked through to its end.
	whole bool
}

// sum is the WAL's running checksum.
type sum struct{ a, b uint32 }

func (s *sum) add(order binary.ByteOrder, data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		s.a += order.Uint32(data) + s.b
		s.b += order.Uint32(data[4:]) + s.a
	}
}

func sumAt(b []byte) sum { return sum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])} }

// scanLog looks a WAL through, most octets of it at most.
func scanLog(log io.Reader, most int64) (s logScan, err error) {
	in := bufio.NewReaderSize(log, 64<<10)
	h := make([]byte, walHeader)
	if _, err := io.ReadFull(in, h); err != nil {
		s.whole = true
		return s, cut(err)
	}
	magic := binary.BigEndian.Uint32(h)
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 == 1 {
		order = binary.BigEndian
	}
	var run sum
	run.add(order, h[:24])
	page := int64(binary.BigEndian.Uint32(h[8:]))
	if magic&^1 != 0x377f0682 || binary.BigEndian.Uint32(h[4:]) != 3007000 || run != sumAt(h[24:]) ||
		page < 512 || page > 65536 || page&(page-1) != 0 {
		return s, nil
	}
	s.header = true
	copy(s.salt[:], h[16:])
	frame := make([]byte, frameHeader+page)
	inside := true   // no frame was missing until here
	before := false  // the frame before is of this generation: run is what it says
	earlier := false // a commit stands before in this unbroken row
	at := int64(walHeader)
	for n := int64(1); at+int64(len(frame)) <= most; n++ {
		if _, err := io.ReadFull(in, frame); err != nil {
			s.whole = true
			return s, cut(err)
		}
		commit := binary.BigEndian.Uint32(frame[4:]) != 0
		own := binary.BigEndian.Uint32(frame) != 0 && string(frame[8:16]) == string(s.salt[:])
		run.add(order, frame[:8])
		run.add(order, frame[frameHeader:])
		linked := own && run == sumAt(frame[16:]) && (inside || before)
		switch {
		case inside && linked:
			if commit {
				s.frames = n
			}
		case !own:
			inside, earlier = false, false
		case linked:
			s.gap = s.gap || commit && earlier
			earlier = earlier || commit
		default:
			// Its head, when it lies in one sector, is as it was written; otherwise
			// half of it may be an older one's.
			inside, earlier = false, commit && at%sector+frameHeader <= sector
		}
		before, run = own, sumAt(frame[16:])
		at += int64(len(frame))
	}
	return s, nil
}

// cut is no error: the file ends there.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// logIndex is what the index of a WAL (-shm) says of it
// (https://sqlite.org/walformat.html#the_wal_index_file_format). SQLite writes
// that only when the commit is on the disk, so that it never promises too much,
// but an old one may have been left by a power cut.
type logIndex struct {
	salt   [8]byte
	frames int64
}

// readIndex reads the index that a killed process has left; false without a
// whole one.
func readIndex(name string) (x logIndex, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return x, false
	}
	defer f.Close()
	const size = 48
	h := make([]byte, 2*size)
	if _, err := f.ReadAt(h, 0); err != nil || string(h[:size]) != string(h[size:]) {
		return x, false
	}
	native := binary.NativeEndian
	var s sum
	for i := 0; i < 40; i += 8 {
		s.a += native.Uint32(h[i:]) + s.b
		s.b += native.Uint32(h[i+4:]) + s.a
	}
	if native.Uint32(h) != 3007000 || h[12] != 1 || s.a != native.Uint32(h[40:]) || s.b != native.Uint32(h[44:]) {
		return x, false
	}
	copy(x.salt[:], h[32:])
	x.frames = int64(native.Uint32(h[16:]))
	return x, true
}
