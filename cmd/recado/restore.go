package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"recado/queue/backup"
)

// logger is what package backup logs to; nil discards.
type logger = *slog.Logger

// restoreCmd is `recado restore`.
type restoreCmd struct {
	dataFlag
	passphraseFlag
	File   string `arg:"" optional:"" help:"The backup; - is standard input."`
	Latest bool   `help:"The newest automatic backup of this folder, which needs no passphrase."`
	List   bool   `help:"List this folder's automatic backups and do nothing."`
}

// Run puts the data of a backup in the place of what is there.
func (c *restoreCmd) Run(ctx context.Context, t terminal) error {
	dir := dataDir(c.Data)
	switch {
	case c.List && c.File == "" && !c.Latest:
		return listCopies(t.Out, dir)
	case c.List || c.Latest == (c.File != ""):
		return usagef("restore: name one backup file, or --latest, or --list")
	}
	// Everything that root may read and the folder's owner may not comes first.
	var from io.Reader = t.In
	if c.File != "" && c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("open the backup: %w", err)
		}
		defer file.Close()
		from = file
	}
	own := c.Latest || c.File != "" && within(c.File, backup.LocalFolder(c.Data))
	if c.File == "-" && c.PassphraseFile == "" {
		return usagef("restore -: give the passphrase in a file with --passphrase-file, or in RECADO_PASSPHRASE_FILE")
	}
	var secret backup.Secret
	var err error
	if !own {
		if secret, err = c.secret(t, false); err != nil {
			return err
		}
	}
	if err := dir.create(); err != nil {
		return err
	}
	if err := dir.becomeOwner(); err != nil {
		return err
	}
	lock, err := dir.lock()
	if locked, ok := errors.AsType[*lockedError](err); ok {
		return fmt.Errorf("recado (PID %d) works on %s: stop it first (systemctl stop recado), then restore", locked.pid, dir)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	folder := dir.folder(nil)
	if err := folder.Clean(); err != nil {
		return err
	}
	name := c.File
	if own {
		key, err := dir.secret()
		if err != nil {
			return err
		}
		if secret, err = backup.BoxSecret(key); err != nil {
			return err
		}
	}
	if c.Latest {
		list, err := backup.Copies(backup.LocalFolder(c.Data))
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("there is no automatic backup in %s: name a backup file", dir)
		}
		file, err := os.Open(list[0].Path)
		if err != nil {
			return fmt.Errorf("open the backup: %w", err)
		}
		defer file.Close()
		from, name = file, list[0].Path
	}
	r, err := folder.Restore(ctx, from, secret, backup.RestoreOptions{At: time.Now(), Free: dir.free})
	if own && errors.Is(err, backup.ErrPassphrase) {
		return fmt.Errorf("restore %s: it was made under another %s than is in use now: put that one back (see quarantine), or name another backup", name, secretName)
	}
	if err != nil && !folder.Unfinished() {
		return fmt.Errorf("restore %s: %w; nothing was changed", name, err)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	// Whoever restores by hand has seen what there was to see.
	if err := folder.Acknowledge(); err != nil {
		return err
	}
	return told(t.Out, dir, name, r)
}

// free is the room for the data, in octets.
func (d dataDir) free() (int64, error) {
	room, err := d.room()
	return room.Free, err
}

// within says whether a file lies in a folder.
func within(file, folder string) bool {
	one, err1 := filepath.Abs(file)
	two, err2 := filepath.Abs(folder)
	return errors.Join(err1, err2) == nil && filepath.Dir(one) == two
}

// told prints what was restored, and what to do now.
func told(w io.Writer, dir dataDir, name string, r backup.Restored) error {
	var b strings.Builder
	m := r.Manifest
	fmt.Fprintf(&b, "Restored %s from %s.\n", dir, name)
	fmt.Fprintf(&b, "Made %s by Recado %s on %s: %d messages, %d received.\n",
		m.At.UTC().Format("2006-01-02 15:04 UTC"), m.Version, m.Host, m.Rows["message"], m.Rows["inbound"])
	if r.Key {
		fmt.Fprintf(&b, "Its %s came with it: remembered PINs of SIMs are there.\n", secretName)
	}
	if r.Quarantine != "" {
		fmt.Fprintf(&b, "What was there before is kept in %s.\n", r.Quarantine)
	}
	if r.Open > 0 {
		fmt.Fprintf(&b, "%d messages were not finished then. They are held: they may have been sent since, and nothing of them\n"+
			"leaves before somebody releases them, on the page of held messages or with POST /api/v1/held/release.\n", r.Open)
	} else {
		b.WriteString("No message was waiting in it.\n")
	}
	b.WriteString("People, their passwords and API keys are those of that day: one that was changed or withdrawn since works again\n" +
		"as it was then. Look over both. Everybody has been signed out.\n")
	b.WriteString("Now start Recado: systemctl start recado\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func listCopies(w io.Writer, dir dataDir) error {
	if _, err := os.Stat(string(dir)); err != nil {
		return fmt.Errorf("look at the data folder: %w: name it with --data", err)
	}
	list, err := backup.Copies(backup.LocalFolder(string(dir)))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(w, "There is no automatic backup in %s.\n", dir)
		return err
	}
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range list {
		fmt.Fprintf(out, "%s\t%d KB\t%s\n", c.At.Format("2006-01-02 15:04 UTC"), (c.Size+1023)>>10, c.Path)
	}
	return out.Flush()
}
