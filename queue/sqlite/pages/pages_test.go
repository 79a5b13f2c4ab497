package pages

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is a database of one table, t(n INTEGER PRIMARY KEY, text), with its root on
// page 2, written by hand: each row has a cell of its own.
func small(rows ...string) []byte {
	file := make([]byte, 2*512)
	copy(file, magic)
	binary.BigEndian.PutUint16(file[16:], 512)
	file[100] = leafTable
	page := file[512:]
	page[0] = leafTable
	binary.BigEndian.PutUint16(page[3:], uint16(len(rows)))
	end := 512
	for i, text := range rows {
		cell := append([]byte{byte(3 + len(text)), byte(i + 1), 3, 0, byte(13 + 2*len(text))}, text...)
		end -= len(cell)
		copy(page[end:], cell)
		binary.BigEndian.PutUint16(page[8+2*i:], uint16(end))
	}
	return file
}

func readAll(t testing.TB, file, log []byte) (texts []string, broken int) {
	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	if log != nil {
		require.NoError(t, os.WriteFile(path+"-wal", log, 0o600))
	}
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	collect := func(r Row) error {
		for _, v := range r.Values {
			if s, ok := v.(string); ok {
				texts = append(texts, s)
			}
		}
		return nil
	}
	broken, err = f.Tree(2, true, collect)
	require.NoError(t, err)
	for root := uint32(1); root <= f.Count(); root++ {
		_, err = f.Tree(root, root%2 == 0, func(Row) error { return nil })
		require.NoError(t, err)
	}
	require.NoError(t, f.Rest(func(bool, []Row) error { return nil }))
	return texts, broken
}

func TestABrokenCellCostsItself(t *testing.T) {
	file := small("uno", "dos", "tres")
	texts, broken := readAll(t, file, nil)
	require.Equal(t, []string{"uno", "dos", "tres"}, texts)
	require.Zero(t, broken)
	binary.BigEndian.PutUint16(file[512+8+2:], 600)
	texts, broken = readAll(t, file, nil)
	require.Equal(t, []string{"uno", "tres"}, texts)
	require.Equal(t, 1, broken)
	file[512] = 0
	texts, broken = readAll(t, file, nil)
	require.Empty(t, texts)
	require.Equal(t, 1, broken)
}

// logged is a WAL of versions of page 2, each a commit.
func logged(pages ...[]byte) []byte {
	log := make([]byte, logHeader)
	binary.BigEndian.PutUint32(log, 0x377f0682)
	binary.BigEndian.PutUint32(log[4:], 3007000)
	binary.BigEndian.PutUint32(log[8:], 512)
	copy(log[16:], "saltsalt")
	sum := checksum([2]uint32{}, log[:24], binary.LittleEndian)
	binary.BigEndian.PutUint32(log[24:], sum[0])
	binary.BigEndian.PutUint32(log[28:], sum[1])
	for _, p := range pages {
		head := make([]byte, frameHeader)
		binary.BigEndian.PutUint32(head, 2)
		binary.BigEndian.PutUint32(head[4:], 2)
		copy(head[8:], "saltsalt")
		sum = checksum(checksum(sum, head[:8], binary.LittleEndian), p, binary.LittleEndian)
		binary.BigEndian.PutUint32(head[16:], sum[0])
		binary.BigEndian.PutUint32(head[20:], sum[1])
		log = append(append(log, head...), p...)
	}
	return log
}

// TestTheLogBehindABrokenFrame: what was flushed after it counts; a last commit that
// is not whole does not.
func TestTheLogBehindABrokenFrame(t *testing.T) {
	file := small("old")
	log := logged(small("one")[512:], small("two")[512:], small("three")[512:])
	last := func(log []byte) string {
		texts, _ := readAll(t, file, log)
		require.Len(t, texts, 1)
		return texts[0]
	}
	const frame = frameHeader + 512
	require.Equal(t, "three", last(log))
	require.Equal(t, "two", last(log[:len(log)-1]), "cut off")
	for at, want := range map[int]string{
		logHeader + frame/2:           "three", // flushed before the third was begun
		logHeader + frame + frame/2:   "one",   // what follows may be of the same commit
		logHeader + 2*frame + frame/2: "two",
		0:                             "old", // no WAL at all
	} {
		torn := append([]byte{}, log...)
		torn[at] ^= 0x10
		require.Equal(t, want, last(torn), at)
	}
}

// TestAPageNumberThatABitHasMadeLarge: the database is no larger for it.
func TestAPageNumberThatABitHasMadeLarge(t *testing.T) {
	for _, no := range []uint32{0xffffffff, 0x80000002, 3} {
		log := logged(small("one")[512:], small("two")[512:], small("three")[512:])
		binary.BigEndian.PutUint32(log[logHeader:], no)
		path := filepath.Join(t.TempDir(), "recado.db")
		require.NoError(t, os.WriteFile(path, small("old"), 0o600))
		require.NoError(t, os.WriteFile(path+"-wal", log, 0o600))
		f, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, uint32(2), f.Count(), no)
		require.NoError(t, f.Close())
		texts, _ := readAll(t, small("old"), log)
		require.Equal(t, []string{"three"}, texts)
	}
}

// sick is a file of which some octets cannot be read.
type sick struct {
	*bytes.Reader
	from, to int64
}

func (s sick) ReadAt(p []byte, at int64) (int, error) {
	if at < s.to && at+int64(len(p)) > s.from {
		return 0, syscall.EIO
	}
	return s.Reader.ReadAt(p, at)
}

// TestALogThatTheDiskCannotRead costs what cannot be read, not the file beside it.
func TestALogThatTheDiskCannotRead(t *testing.T) {
	one := small("one")[512:]
	log := logged(slices.Repeat([][]byte{one}, mostUnread+8)...)
	const frame = frameHeader + 512
	good := func(from, to int64) (list []int) {
		for i, fr := range readFrames(sick{bytes.NewReader(log), from, to}, log[:logHeader], 512, binary.LittleEndian) {
			if fr.good {
				list = append(list, i)
			}
		}
		return list
	}
	end := int64(len(log))
	require.Len(t, good(0, 0), mostUnread+8)
	require.Equal(t, []int{0, 1, 3, 4}, good(logHeader+2*frame+frameHeader, logHeader+3*frame)[:4], "a page")
	require.Equal(t, []int{0, 1, 4, 5}, good(logHeader+2*frame, logHeader+2*frame+1)[:4], "a header, with the sum that the next goes on from")
	require.Equal(t, []int{0, 1}, good(logHeader+2*frame, end), "all the rest")
	require.Empty(t, good(logHeader, end))

	path := filepath.Join(t.TempDir(), "recado.db")
	require.NoError(t, os.WriteFile(path, small("old"), 0o600))
	require.NoError(t, os.Mkdir(path+"-wal", 0o700)) // can be opened, and not read
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	broken, err := f.Tree(2, true, func(r Row) error {
		require.Equal(t, "old", r.Values[1])
		return nil
	})
	require.NoError(t, err)
	require.Zero(t, broken)
}

// TestABrokenPointerCostsItsOwnRow, not the page of another table that it leads to,
// nor one that another row goes on in.
func TestABrokenPointerCostsItsOwnRow(t *testing.T) {
	const length, header, more = 600, 4, 3 // of a row that goes on in page 4
	local := (512-12)*32/255 - 23
	local += (length - local) % (512 - 4)
	require.LessOrEqual(t, local, 512-35)
	for name, row := range map[string]struct {
		kind, pointer int // of its text
		rows          int
	}{
		"whole":            {13 + 2*(length-header), 4, 1},
		"another's page":   {13 + 2*(length-header), 2, 0},
		"longer than it":   {13 + 2*length, 4, 0},
		"it leads nowhere": {13 + 2*(length-header), 99, 0},
	} {
		file := append(small("uno"), make([]byte, 2*512)...)
		page := file[2*512 : 3*512]
		page[0] = leafTable
		binary.BigEndian.PutUint16(page[3:], 1)
		binary.BigEndian.PutUint16(page[8:], 100)
		copy(page[100:], []byte{0x80 | length>>7, length & 0x7f, 1, header, 0, byte(0x80 | row.kind>>7), byte(row.kind & 0x7f)})
		binary.BigEndian.PutUint32(page[100+more+local:], uint32(row.pointer))
		path := filepath.Join(t.TempDir(), "recado.db")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		f, err := Open(path)
		require.NoError(t, err)
		defer f.Close()
		count := func(root uint32) (rows int) {
			broken, err := f.Tree(root, true, func(Row) error { rows++; return nil })
			require.NoError(t, err, name)
			require.Equal(t, 1, rows+broken, name)
			return rows
		}
		require.Equal(t, row.rows, count(3), name)
		require.Equal(t, 1, count(2), name)
		require.Equal(t, row.rows == 0, f.take(4), name)
	}
}

// FuzzFile: whatever a file and its WAL are, reading them ends.
func FuzzFile(f *testing.F) {
	f.Add(small("uno", "dos"), logged(small("tres")[512:]))
	f.Add(small("uno"), []byte{})
	interior := small("uno")
	interior[512] = interiorTable
	binary.BigEndian.PutUint32(interior[512+8:], 2) // its own child
	f.Add(interior, []byte{})
	f.Fuzz(func(t *testing.T, file, log []byte) {
		if len(file) > 1<<16 || len(log) > 1<<16 {
			return
		}
		readAll(t, file, log)
	})
}
