package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	logHeader   = 32
	frameHeader = 24

	// mostUnread frames of a WAL that the disk cannot read are passed over: each may
	// take it seconds.
	mostUnread = 16
)

// Log is a WAL (4): which of its frames hold the newest committed pages.
type Log struct {
	file *os.File
	last map[uint32]int64 // page number: where its newest content begins
}

type frame struct {
	page   uint32
	data   int64  // where its page begins
	named  bool   // it is of this log, as its salts say
	good   bool   // and as it was written, as its sum says
	commit uint32 // pages of the database after the commit that it ends; 0: it ends none
}

// openLog reads a WAL of pages of a size, of a file of n pages; nil when nothing is
// in it, or nothing can be read of it: the file is there without it too. The sum of a
// frame goes on from that of the one before, so that each can be checked against its
// neighbour also behind a broken one.
func openLog(path string, size int, n uint32) (*Log, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the WAL: %w", err)
	}
	none := func() (*Log, error) { return nil, file.Close() }
	head := make([]byte, logHeader)
	if _, err := file.ReadAt(head, 0); err != nil {
		return none()
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return none()
	}
	if int(binary.BigEndian.Uint32(head[8:])) != size {
		return none()
	}
	st, err := file.Stat()
	if err != nil {
		return none()
	}
	frames := readFrames(io.NewSectionReader(file, 0, st.Size()), head, size, order)
	log := &Log{file: file, last: map[uint32]int64{}}
	// A commit is flushed before the next one begins. So a broken frame that another
	// commit comes after was whole once; in the last one it may be a power cut's.
	var begin, last int
	for i, fr := range frames {
		if fr.good && fr.commit > 0 {
			last = i + 1
			n = max(n, min(fr.commit, mostPages))
		}
	}
	for i := range frames[:last] {
		if !frames[i].good || frames[i].commit == 0 {
			continue
		}
		broken := false
		for _, fr := range frames[begin : i+1] {
			broken = broken || !fr.good
		}
		if broken && i+1 == last {
			break
		}
		for _, fr := range frames[begin : i+1] {
			// A number that nothing speaks for must not make the database larger.
			if fr.named && fr.page > 0 && fr.page <= n {
				log.last[fr.page] = fr.data
			}
		}
		begin = i + 1
	}
	return log, nil
}

// readFrames reads what can be read. A frame that cannot be is not good, as one with
// a wrong sum.
func readFrames(file io.ReaderAt, head []byte, size int, order binary.ByteOrder) (frames []frame) {
	sum := [2]uint32{binary.BigEndian.Uint32(head[24:]), binary.BigEndian.Uint32(head[28:])}
	one := make([]byte, frameHeader+size)
	for at, unread := int64(logHeader), 0; ; at += int64(len(one)) {
		clear(one)
		_, err := file.ReadAt(one[:frameHeader], at)
		fr := frame{page: binary.BigEndian.Uint32(one), data: at + frameHeader, commit: binary.BigEndian.Uint32(one[4:])}
		fr.named = err == nil && string(one[8:16]) == string(head[16:24])
		if fr.named {
			_, err = file.ReadAt(one[frameHeader:], at+frameHeader)
		}
		if err != nil {
			if unread++; errors.Is(err, io.EOF) || unread > mostUnread {
				return frames
			}
		}
		want := [2]uint32{binary.BigEndian.Uint32(one[16:]), binary.BigEndian.Uint32(one[20:])}
		fr.good = fr.named && err == nil && checksum(checksum(sum, one[:8], order), one[frameHeader:], order) == want
		sum = want
		frames = append(frames, fr)
	}
}

// checksum goes on with a sum (4.2).
func checksum(s [2]uint32, data []byte, order binary.ByteOrder) [2]uint32 {
	for ; len(data) >= 8; data = data[8:] {
		s[0] += order.Uint32(data) + s[1]
		s[1] += order.Uint32(data[4:]) + s[0]
	}
	return s
}
