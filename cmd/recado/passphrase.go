package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"recado/queue/backup"
)

// passphraseFlag says where the passphrase of a backup comes from: never from the command
// line, where every process could read it.
type passphraseFlag struct {
	PassphraseFile string `placeholder:"FILE" help:"File with the backup's passphrase on its first line; without it, it is asked for."`
}

// secret reads the passphrase, or asks for it on a terminal: twice when it is a new one.
func (p passphraseFlag) secret(t terminal, fresh bool) (backup.Secret, error) {
	if p.PassphraseFile != "" {
		return readPassphrase(p.PassphraseFile)
	}
	in, ok := t.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return backup.Secret{}, usagef("there is no terminal to ask for the passphrase on: give a file that holds it with --passphrase-file, or in RECADO_PASSPHRASE_FILE")
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(t.Err, prompt)
		text, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(t.Err)
		return string(text), err
	}
	text, err := ask("Passphrase: ")
	if err != nil {
		return backup.Secret{}, fmt.Errorf("read the passphrase: %w", err)
	}
	secret, err := backup.Passphrase(text)
	if err != nil || !fresh {
		return secret, err
	}
	again, err := ask("Once more: ")
	if err != nil {
		return backup.Secret{}, fmt.Errorf("read the passphrase: %w", err)
	}
	if again != text {
		return backup.Secret{}, errors.New("the two passphrases are not the same: nothing was written")
	}
	return secret, nil
}

// readPassphrase takes the first line of a file.
func readPassphrase(name string) (backup.Secret, error) {
	file, err := os.Open(name)
	if err != nil {
		return backup.Secret{}, fmt.Errorf("read the passphrase: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 8<<10))
	if err != nil {
		return backup.Secret{}, fmt.Errorf("read the passphrase: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	secret, err := backup.Passphrase(string(bytes.TrimRight(line, "\r")))
	if err != nil {
		return backup.Secret{}, fmt.Errorf("%s: %w", name, err)
	}
	return secret, nil
}

// backupFlags are serve's for automatic copies.
type backupFlags struct {
	BackupDir            string        `placeholder:"DIR" help:"A second place for the automatic backups: another disk, a USB stick."`
	BackupPassphraseFile string        `placeholder:"FILE" help:"File with the passphrase of the backups in --backup-dir (or systemd's credential recado.backup)."`
	BackupEvery          time.Duration `default:"1h" placeholder:"D" help:"Time between automatic backups (${default})."`
	BackupHourly         int           `default:"24" placeholder:"N" help:"How many of the newest automatic backups to keep (${default})."`
	BackupDaily          int           `default:"14" placeholder:"N" help:"Of how many days to keep one automatic backup (${default})."`
}

// passphrase reads the one for --backup-dir, each time: it may be changed.
func (b backupFlags) passphrase() (backup.Secret, error) {
	if b.BackupPassphraseFile != "" {
		return readPassphrase(b.BackupPassphraseFile)
	}
	if given := os.Getenv("CREDENTIALS_DIRECTORY"); given != "" {
		secret, err := readPassphrase(filepath.Join(given, "recado.backup"))
		if !errors.Is(err, fs.ErrNotExist) {
			return secret, err
		}
	}
	return backup.Secret{}, usagef("--backup-dir: there is no passphrase for the backups in it: give a file that holds it with --backup-passphrase-file, or systemd's credential recado.backup")
}

// check refuses what could never work, before anything is started.
func (b backupFlags) check() error {
	if b.BackupEvery < minBackupEvery {
		return usagef("--backup-every %s: give at least %s", b.BackupEvery, minBackupEvery)
	}
	if b.BackupHourly < 1 || b.BackupDaily < 1 || b.BackupHourly > 1000 || b.BackupDaily > 1000 {
		return usagef("--backup-hourly, --backup-daily: give numbers from 1 to 1000")
	}
	if b.BackupDir == "" {
		return nil
	}
	_, err := b.passphrase()
	return err
}
