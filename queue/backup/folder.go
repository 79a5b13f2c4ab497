package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// stagingName is the folder that a restore prepares in; quarantineName holds
	// what was put aside, a folder each time, the last maxQuarantine of them.
	stagingName    = "restore"
	quarantineName = "quarantine"
	maxQuarantine  = 5
	// readyName in the staging folder says that it is complete: from then on the
	// exchange is finished, by whoever comes next; before, it is undone. movedName
	// says that everything old is put aside.
	readyName = "READY"
	movedName = "MOVED"
)

// Folder is a data folder whose database is not open and whose lock its caller
// has.
type Folder struct {
	Path string
	// Log; nil discards.
	Log *slog.Logger

	// died has the tests end at a step; nil otherwise.
	died func(step string) error
}

func (f Folder) in(names ...string) string {
	return filepath.Join(append([]string{f.Path}, names...)...)
}

func (f Folder) database() string { return f.in(DatabaseName) }

func (f Folder) log() *slog.Logger {
	if f.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.Log
}

func (f Folder) step(name string) error {
	if f.died == nil {
		return nil
	}
	return f.died(name)
}

// plan is what READY holds.
type plan struct {
	// Quarantine is the name of the folder that what is there goes into.
	Quarantine string `json:"quarantine"`
	// Files of the staging folder that take the place of what is there.
	Files []string `json:"files"`
}

// belongings are the files of a database beside itself.
func belongings() []string {
	return []string{DatabaseName + "-wal", DatabaseName + "-shm", DatabaseName + "-journal", DatabaseName + ".clean", DatabaseName + ".wal-note", DatabaseName}
}

// Unfinished says that a restore was interrupted after it was decided: Finish
// completes it.
func (f Folder) Unfinished() bool { return exists(f.in(stagingName, readyName)) }

// Clean takes away what a crash left: plain copies half made, a restore that was
// not decided. One that was, it finishes. Call it before the database is opened.
func (f Folder) Clean() error {
	temps, _ := filepath.Glob(globbed(f.Path) + "/" + tempPattern)
	parts, _ := filepath.Glob(globbed(f.in(localName)) + "/*.part")
	var errs []error
	for _, t := range append(temps, parts...) {
		if err := os.Remove(t); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove what an interrupted backup left: %w", err))
		}
	}
	return errors.Join(append(errs, f.Finish())...)
}

// Finish completes or undoes an exchange that was interrupted. It may be
// interrupted itself at any point, and called again.
func (f Folder) Finish() error {
	staging := f.in(stagingName)
	if !exists(staging) {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(staging, readyName))
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.RemoveAll(staging); err != nil {
			return fmt.Errorf("undo an interrupted restore: %w", err)
		}
		return nil
	}
	var p plan
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return fmt.Errorf("finish an interrupted restore: %w", err)
	}
	if err := f.exchange(p); err != nil {
		return fmt.Errorf("put the restored data in place: %w: free room or mend the folder, then start again", err)
	}
	return nil
}

// exchange puts aside what is there and what was prepared in its place. Every
// step is a rename, and leaves something that says whether it is done.
func (f Folder) exchange(p plan) error {
	staging, aside := f.in(stagingName), f.in(quarantineName, p.Quarantine)
	if !exists(filepath.Join(staging, movedName)) {
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return err
		}
		if err := f.step("aside"); err != nil {
			return err
		}
		old := belongings()
		if slices.Contains(p.Files, KeyName) {
			old = append(old, KeyName)
		}
		for _, name := range old {
			if err := moved(f.in(name), filepath.Join(aside, name)); err != nil {
				return err
			}
			if err := f.step("aside " + name); err != nil {
				return err
			}
		}
		if err := errors.Join(syncFolder(aside), syncFolder(f.in(quarantineName)), syncFolder(f.Path)); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(staging, movedName), nil); err != nil {
			return err
		}
		if err := f.step("moved"); err != nil {
			return err
		}
	}
	for _, name := range p.Files {
		if err := moved(filepath.Join(staging, name), f.in(name)); err != nil {
			return err
		}
		if err := f.step("in " + name); err != nil {
			return err
		}
	}
	if err := syncFolder(f.Path); err != nil {
		return err
	}
	// READY goes first: without it what is left is only to be thrown away.
	if err := os.Remove(filepath.Join(staging, readyName)); err != nil {
		return err
	}
	if err := errors.Join(syncFolder(staging), f.step("done")); err != nil {
		return err
	}
	if err := os.RemoveAll(staging); err != nil {
		return err
	}
	f.log().Warn("the data was exchanged; what was there is kept", "folder", filepath.Join(quarantineName, p.Quarantine))
	f.tidyQuarantine(p.Quarantine)
	return nil
}

// plan names a quarantine that is not there yet.
func (f Folder) plan(files []string, at time.Time) plan {
	name := at.UTC().Format(stamp)
	p := plan{Quarantine: name, Files: files}
	there, _ := filepath.Glob(globbed(f.in(quarantineName, name)) + "*")
	last := 0 // of this second; earlier ones may be gone already
	for _, t := range there {
		n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(filepath.Base(t), name), "-"))
		if err != nil {
			n = 1
		}
		last = max(last, n)
	}
	if last > 0 {
		p.Quarantine = fmt.Sprintf("%s-%d", name, last+1)
	}
	return p
}

// decide writes READY: the staging folder is complete and on disk.
func (f Folder) decide(p plan) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := errors.Join(syncFolder(f.in(stagingName)), syncFolder(f.Path), f.step("staged")); err != nil {
		return err
	}
	if err := writeFile(f.in(stagingName, readyName), text); err != nil {
		return err
	}
	return f.step("ready")
}

// tidyQuarantine keeps the newest, whatever its name says of the time, those with
// the latest names, and every one that nobody has taken note of yet: it may be all
// that there is of messages that were acknowledged.
func (f Folder) tidyQuarantine(newest string) {
	entries, err := os.ReadDir(f.in(quarantineName))
	if err != nil {
		return
	}
	a, err := f.Alarm()
	if err != nil {
		f.log().Warn("no old quarantine goes: it is not known which are still to be looked at", "error", err)
		return
	}
	var unseen []string
	if a != nil {
		for _, q := range append(a.Earlier, a.Quarantine) {
			unseen = append(unseen, filepath.Base(q))
		}
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() || e.Name() == newest })
	for _, e := range entries[:max(0, len(entries)-(maxQuarantine-1))] { // ReadDir sorts by name, which is the time
		if slices.Contains(unseen, e.Name()) {
			continue
		}
		if err := os.RemoveAll(f.in(quarantineName, e.Name())); err != nil {
			f.log().Warn("an old quarantine stays", "folder", e.Name(), "error", err)
		}
	}
}

// stage makes an empty staging folder.
func (f Folder) stage() (string, error) {
	staging := f.in(stagingName)
	if f.Unfinished() {
		return "", errors.New("another restore is not finished")
	}
	if err := os.RemoveAll(staging); err != nil {
		return "", err
	}
	return staging, os.Mkdir(staging, 0o700)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// moved renames a file, if it is still there.
func moved(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile writes a small file that is on disk under its name or not at all.
func writeFile(name string, text []byte) error {
	part := name + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

func syncFolder(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
