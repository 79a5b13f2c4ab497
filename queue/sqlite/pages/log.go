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
)

// Log is a WAL (4): which of its frames hold the newest committed pages.
type Log struct {
	file *os.File
	last map[uint32]int64 // page number: where its newest content begins
}

type frame struct {
	page   uint32
	data   int64 // where its page begins
	named  bool  // it is of this log, as its salts say
	good   bool  // and as it was written, as its sum says
	commit bool
}

// openLog reads a WAL of pages of a size; nil when nothing is in it. The sum of a frame goes on from that of the one before, so
// that each can be checked against its neighbour also behind a broken one.
func openLog(path string, size int) (*Log, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	none := func(err error) (*Log, error) {
		if err != nil {
			err = fmt.Errorf("read the WAL: %w", err)
		}
		return nil, errors.Join(err, file.Close())
	}
	head := make([]byte, logHeader)
	if _, err := file.ReadAt(head, 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return none(err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch binary.BigEndian.Uint32(head) {
	case 0x377f0682:
	case 0x377f0683:
		order = binary.BigEndian
	default:
		return none(nil)
	}
	if int(binary.BigEndian.Uint32(head[8:])) != size {
		return none(nil)
	}
	frames, err := readFrames(file, head, size, order)
	if err != nil {
		return none(err)
	}
	log := &Log{file: file, last: map[uint32]int64{}}
	// A commit is flushed before the next one begins. So a broken frame that another
	// commit comes after was whole once; in the last one it may be a power cut's.
	var begin, last int
	for i, fr := range frames {
		if fr.good && fr.commit {
			last = i + 1
		}
	}
	for i := range frames[:last] {
		if !frames[i].good || !frames[i].commit {
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
			if fr.named && fr.page > 0 {
				log.last[fr.page] = fr.data
			}
		}
		begin = i + 1
	}
	return log, nil
}

func readFrames(file *os.File, head []byte, size int, order binary.ByteOrder) (frames []frame, err error) {
	sum := [2]uint32{binary.BigEndian.Uint32(head[24:]), binary.BigEndian.Uint32(head[28:])}
	one := make([]byte, frameHeader+size)
	for at := int64(logHeader); ; at += int64(len(one)) {
		if _, err := file.ReadAt(one[:frameHeader], at); err != nil {
			if errors.Is(err, io.EOF) {
				return frames, nil
			}
			return nil, err
		}
		fr := frame{page: binary.BigEndian.Uint32(one), data: at + frameHeader, commit: binary.BigEndian.Uint32(one[4:]) != 0}
		fr.named = string(one[8:16]) == string(head[16:24])
		if fr.named {
			if _, err := file.ReadAt(one[frameHeader:], at+frameHeader); err != nil {
				if errors.Is(err, io.EOF) {
					return frames, nil
				}
				return nil, err
			}
			want := [2]uint32{binary.BigEndian.Uint32(one[16:]), binary.BigEndian.Uint32(one[20:])}
			fr.good = checksum(checksum(sum, one[:8], order), one[frameHeader:], order) == want
		}
		sum = [2]uint32{binary.BigEndian.Uint32(one[16:]), binary.BigEndian.Uint32(one[20:])}
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
