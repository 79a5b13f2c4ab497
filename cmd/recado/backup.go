package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"recado/queue/backup"
)

// backupCmd is `recado backup`.
type backupCmd struct {
	dataFlag
	passphraseFlag
	File  string `arg:"" help:"Where the backup goes: a file that is not there yet; - is standard output."`
	Force bool   `help:"Replace a file that is there, once the new backup is written and read back."`
}

// Run writes a backup of what the daemon works on, or of a folder that no daemon has, and
// reads it back before it says that there is one.
func (c *backupCmd) Run(ctx context.Context, t terminal) error {
	if c.File == "-" {
		secret, err := c.secret(t, true)
		if err != nil {
			return err
		}
		return c.toStdout(ctx, t, secret)
	}
	name, err := backupTarget(c.File, dataDir(c.Data), c.Force)
	if err != nil {
		return err
	}
	secret, err := c.secret(t, true)
	if err != nil {
		return err
	}
	// Opened before this process may become another user.
	file, err := openBackupFile(name, c.Force)
	if err != nil {
		return err
	}
	m, err := c.toFile(ctx, file.File, secret)
	if err != nil {
		return errors.Join(err, file.drop())
	}
	if err := file.keep(); err != nil {
		return err
	}
	return say(t.Out, c.File, m)
}

// toFile writes, flushes and verifies.
func (c *backupCmd) toFile(ctx context.Context, file *os.File, secret backup.Secret) (m backup.Manifest, err error) {
	if err := c.write(ctx, file, secret); err != nil {
		return m, err
	}
	if err := file.Sync(); err != nil {
		return m, fmt.Errorf("write the backup: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return m, err
	}
	if m, err = backup.Verify(ctx, file, secret); err != nil {
		return m, fmt.Errorf("the backup was not written as it should be, and is removed: %w", err)
	}
	return m, nil
}

// toStdout verifies on the way what it cannot read again.
func (c *backupCmd) toStdout(ctx context.Context, t terminal, secret backup.Secret) error {
	reader, writer := io.Pipe()
	verified := make(chan error, 1)
	var m backup.Manifest
	go func() {
		var err error
		m, err = backup.Verify(ctx, reader, secret)
		_, _ = io.Copy(io.Discard, reader) // the rest of what is no archive
		verified <- err
	}()
	err := c.write(ctx, io.MultiWriter(t.Out, writer), secret)
	writer.CloseWithError(err)
	if bad := <-verified; err == nil {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("what was written is no backup: %w", err)
	}
	return say(t.Err, "standard output", m)
}

// say tells what there is now.
func say(w io.Writer, where string, m backup.Manifest) error {
	size := int64(0)
	for _, f := range m.Files {
		size += f.Size
	}
	_, err := fmt.Fprintf(w, "%s: %d messages, %d received, %d KB, written and read back. Keep the passphrase apart from it: without it nobody opens it.\n",
		where, m.Rows["message"], m.Rows["inbound"], (size+1023)>>10)
	return err
}

// write has the daemon make the archive, or makes it when none runs.
func (c *backupCmd) write(ctx context.Context, to io.Writer, secret backup.Secret) error {
	dir := dataDir(c.Data)
	if daemon := dialDaemon(dir); daemon != nil {
		defer daemon.Close()
		return askBackup(ctx, daemon, to, secret)
	}
	if !dir.exists() {
		return fmt.Errorf("there is no appliance's data in %s: name its folder with --data", dir)
	}
	return dir.asOwner(func() error {
		lock, err := dir.lock()
		if locked, ok := errors.AsType[*lockedError](err); ok {
			return fmt.Errorf("recado (PID %d) has %s but does not answer: it is starting or stopping, try again in a moment", locked.pid, dir)
		}
		if err != nil {
			return err
		}
		defer lock.Close()
		if err := dir.folder(nil).Clean(); err != nil {
			return err
		}
		src, err := dir.source()
		if err != nil {
			return err
		}
		_, err = backup.Write(ctx, src, to, secret, time.Now())
		return err
	})
}

// folder is the data folder as package backup sees it.
func (d dataDir) folder(log logger) backup.Folder { return backup.Folder{Path: string(d), Log: log} }

// source is what there is to back up: the key of the PINs too when it lies in the folder.
func (d dataDir) source() (backup.Source, error) {
	src := backup.Source{Database: d.database(), Version: versionText(), Host: hostname()}
	key, err := os.ReadFile(d.secretFile())
	switch {
	case err == nil:
		src.Extra = map[string][]byte{backup.KeyName: key}
	case !errors.Is(err, os.ErrNotExist):
		return src, fmt.Errorf("read the key for PINs: %w", err)
	}
	return src, nil
}

// wantedBackup asks the daemon for an archive.
type wantedBackup struct {
	Passphrase string `json:"passphrase"`
}

func askBackup(ctx context.Context, daemon *client, to io.Writer, secret backup.Secret) error {
	text, err := json.Marshal(wantedBackup{secret.Reveal()})
	if err != nil {
		return err
	}
	answer, err := daemon.roundTrip(ctx, http.MethodPost, "/control/backup", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(to, answer.Body)
	if _, mine := errors.AsType[*fs.PathError](err); mine {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err != nil {
		return fmt.Errorf("the running recado broke off: %w", err)
	}
	return nil
}

// postBackup answers POST /control/backup with an archive. What goes wrong after its
// beginning breaks the answer off, so that nobody takes it for whole.
func (c *control) postBackup(w http.ResponseWriter, r *http.Request) {
	var in wantedBackup
	if !decode(w, r, &in) {
		return
	}
	secret, err := backup.Passphrase(in.Passphrase)
	if err != nil {
		answerProblem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	src, err := c.ward.dir.source()
	if err != nil {
		answer(w, nil, err)
		return
	}
	// The server's times are for short questions and answers.
	stream := http.NewResponseController(w)
	_, _ = stream.SetReadDeadline(time.Time{}), stream.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &begun{Writer: w}
	_, err = backup.Write(r.Context(), src, out, secret, time.Now())
	switch {
	case err == nil:
	case out.yes:
		panic(http.ErrAbortHandler)
	default:
		answerProblem(w, http.StatusInternalServerError, oneLine(err))
	}
}

// begun knows whether anything was written.
type begun struct {
	io.Writer
	yes bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.yes = true
	return b.Writer.Write(p)
}
