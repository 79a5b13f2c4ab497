package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// localName is the folder of the automatic copies in the data folder.
const localName = "backups"

// copyName of an automatic copy: a number that only grows, because a box without
// a battery does not always know the day, and the time in UTC.
var copyName = regexp.MustCompile(`^recado-(\d{6,})-(\d{8}-\d{6})\.age$`)

const stamp = "20060102-150405"

// Copy is an automatic copy.
type Copy struct {
	Path string
	// No grows by one with each copy in its folder.
	No int64
	// At is when it was made, as the clock of the box had it then.
	At   time.Time
	Size int64 // octets
}

// LocalFolder is where the automatic copies of a data folder are.
func LocalFolder(data string) string { return filepath.Join(data, localName) }

// Copies lists the automatic copies in a folder, newest first. A folder that is
// not there has none.
func Copies(folder string) ([]Copy, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the automatic backups: %w", err)
	}
	var list []Copy
	for _, e := range entries {
		m := copyName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it went meanwhile
		}
		no, err := strconv.ParseInt(m[1], 10, 64)
		at, err2 := time.Parse(stamp, m[2])
		if errors.Join(err, err2) != nil {
			continue
		}
		list = append(list, Copy{Path: filepath.Join(folder, e.Name()), No: no, At: at, Size: info.Size()})
	}
	slices.SortFunc(list, func(a, b Copy) int { return cmp.Compare(b.No, a.No) })
	return list, nil
}

// surplus are those of a folder's copies that go: all but the newest hourly ones
// and the newest of each of the last daily days, and of those the oldest as far
// as together they have more than most octets (0: any number). The newest two
// always stay.
func surplus(list []Copy, hourly, daily int, most int64) (gone []Copy) {
	days, size := map[string]bool{}, int64(0)
	for i, c := range list {
		day := c.At.Format(time.DateOnly)
		first := !days[day] && len(days) < daily
		if first {
			days[day] = true
		}
		keep := i < hourly || first
		if keep {
			size += c.Size
		}
		if i >= 2 && (!keep || most > 0 && size > most) {
			gone = append(gone, c)
		}
	}
	return gone
}

// into makes the archive of a snapshot in a folder, reads it back and gives it
// its name: under that name is only what was verified.
func (s *snapshot) into(ctx context.Context, folder string, no int64, secret Secret, rename func()) (c Copy, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return c, fmt.Errorf("make the folder for backups: %w", err)
	}
	c = Copy{No: no, At: s.manifest.At}
	c.Path = filepath.Join(folder, fmt.Sprintf("recado-%06d-%s.age", no, s.manifest.At.Format(stamp)))
	part := c.Path + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return c, fmt.Errorf("write the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(part) // the error is told already
		}
	}()
	err = s.write(ctx, file, secret)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return c, err
	}
	if err := VerifyFile(ctx, part, secret, s.manifest); err != nil {
		return c, err
	}
	if rename != nil {
		rename()
	}
	err = os.Rename(part, c.Path)
	if err == nil {
		err = syncFolder(folder)
	}
	if err != nil {
		return c, fmt.Errorf("write the backup: %w", err)
	}
	if info, err := os.Stat(c.Path); err == nil {
		c.Size = info.Size()
	}
	return c, nil
}

// VerifyFile reads an archive back, and compares it with what it should hold.
func VerifyFile(ctx context.Context, name string, secret Secret, want Manifest) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the backup back: %w", err)
	}
	defer file.Close()
	got, err := Verify(ctx, file, secret)
	if err != nil {
		return fmt.Errorf("read the backup back: %w", err)
	}
	if !slices.Equal(got.Files, want.Files) {
		return fmt.Errorf("read the backup back: %w (it is another one)", ErrArchive)
	}
	return nil
}

// globbed is a path as a pattern that matches only itself.
func globbed(path string) string {
	return regexp.MustCompile(`[*?\[\\]`).ReplaceAllString(path, `\$0`)
}
