// Package backup keeps copies of an appliance's data and brings them back.
//
// An archive is a tar file encrypted with age (age-encryption.org/v1) under a
// passphrase: manifest.json, recado.db, and recado.key when it lies in the data
// folder. `age -d FILE | tar x` opens one without Recado. A copy counts once it
// has been read back, whole, and its database checked; a restore changes nothing
// before that, and puts aside what was there. What was not final when a copy was
// made is held after a restore until somebody releases it.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"recado/queue/sqlite"
)

const (
	manifestName = "manifest.json"
	// DatabaseName and KeyName are the files of an archive, as they are called in
	// the data folder.
	DatabaseName = "recado.db"
	KeyName      = "recado.key"

	manifestFormat = 1
	manifestMost   = 1 << 20
	keyMost        = 4 << 10
	// tempPattern names the plain copies that an archive is made of; they are
	// removed at its end, or by Folder.Clean.
	tempPattern = "backup-*.tmp"
)

// Errors that callers branch on.
var (
	// ErrPassphrase: the archive is not opened by this passphrase.
	ErrPassphrase = errors.New("the passphrase does not open this backup; give the one it was made with")
	// ErrArchive: it is no archive, or not as it was made.
	ErrArchive = errors.New("this is no backup of Recado's, or it is damaged; take another copy")
	// ErrRoom: what is in the archive has no room here.
	ErrRoom = errors.New("there is no room for what is in this backup; free some, or name a folder on another disk")
)

// Manifest says what is in an archive. It holds no secrets.
type Manifest struct {
	Format int `json:"format"`
	// Version of the program that made it, and the box that it ran on.
	Version string    `json:"version"`
	Host    string    `json:"host"`
	At      time.Time `json:"at"`
	// Schema is the number of the database's last migration.
	Schema int64 `json:"schema"`
	// Rows of the database, by table.
	Rows  map[string]int64 `json:"rows"`
	Files []File           `json:"files"`
}

// File is one file of an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // octets
	SHA256 string `json:"sha256"`
}

// Source is what an archive is made of.
type Source struct {
	// Database is the path of recado.db. The plain copy that is made of it lies
	// beside it for as long as an archive is written.
	Database string
	// Extra are small files by name: recado.key. May be empty.
	Extra map[string][]byte
	// Version and Host are for the manifest.
	Version, Host string
}

// Write makes an archive of the source, also while a daemon writes to it, and
// writes it to to. at is the time for the manifest. It needs as much room beside
// the database as that has. What was written counts only when Write gave no
// error and Verify none either.
func Write(ctx context.Context, src Source, to io.Writer, secret Secret, at time.Time) (Manifest, error) {
	s, err := take(ctx, src, at, false)
	if err != nil {
		return Manifest{}, err
	}
	err = errors.Join(s.write(ctx, to, secret), s.close())
	return s.manifest, err
}

// snapshot is a plain, checked copy of a source.
type snapshot struct {
	manifest Manifest
	file     string // of the database's copy
	extra    map[string][]byte
}

// take makes a snapshot; deep has the whole of the copy checked (integrity_check).
func take(ctx context.Context, src Source, at time.Time, deep bool) (s *snapshot, err error) {
	temp, err := os.CreateTemp(filepath.Dir(src.Database), tempPattern) // 0600
	if err != nil {
		return nil, fmt.Errorf("copy the database: %w", err)
	}
	s = &snapshot{file: temp.Name(), extra: src.Extra}
	made := s // on an error s is nil by then
	defer func() {
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}()
	if err := temp.Close(); err != nil {
		return nil, fmt.Errorf("copy the database: %w", err)
	}
	if err := sqlite.Copy(ctx, src.Database, s.file); err != nil {
		return nil, err
	}
	figures, err := sqlite.Inspect(ctx, s.file, deep)
	if err != nil {
		return nil, fmt.Errorf("check the database's copy: %w", err)
	}
	s.manifest = Manifest{Format: manifestFormat, Version: src.Version, Host: src.Host, At: at.UTC().Truncate(time.Second),
		Schema: figures.Schema, Rows: figures.Rows}
	database, err := os.Open(s.file)
	if err != nil {
		return nil, err
	}
	defer database.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, withContext(ctx, database))
	if err != nil {
		return nil, fmt.Errorf("read the database's copy: %w", err)
	}
	s.manifest.Files = []File{{DatabaseName, n, hex.EncodeToString(sum.Sum(nil))}}
	for _, name := range slices.Sorted(maps.Keys(src.Extra)) {
		digest := sha256.Sum256(src.Extra[name])
		s.manifest.Files = append(s.manifest.Files, File{name, int64(len(src.Extra[name])), hex.EncodeToString(digest[:])})
	}
	return s, nil
}

// close takes the plain copy away.
func (s *snapshot) close() error {
	if err := os.Remove(s.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the plain copy: %w", err)
	}
	return nil
}

func (s *snapshot) write(ctx context.Context, to io.Writer, secret Secret) error {
	recipient, err := secret.recipient()
	if err != nil {
		return fmt.Errorf("encrypt the backup: %w", err)
	}
	sealed, err := age.Encrypt(to, recipient)
	if err != nil {
		return fmt.Errorf("encrypt the backup: %w", err)
	}
	text, err := json.MarshalIndent(s.manifest, "", "  ")
	if err != nil {
		return err
	}
	out := tar.NewWriter(sealed)
	put := func(name string, size int64, from io.Reader) error {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: s.manifest.At}); err != nil {
			return err
		}
		_, err := io.Copy(out, from)
		return err
	}
	if err := put(manifestName, int64(len(text)), strings.NewReader(string(text))); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	for _, f := range s.manifest.Files {
		if f.Name != DatabaseName {
			if err := put(f.Name, f.Size, strings.NewReader(string(s.extra[f.Name]))); err != nil {
				return fmt.Errorf("write the backup: %w", err)
			}
			continue
		}
		database, err := os.Open(s.file)
		if err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
		err = errors.Join(put(f.Name, f.Size, withContext(ctx, database)), database.Close())
		if err != nil {
			return fmt.Errorf("write the backup: %w", err)
		}
	}
	if err := errors.Join(out.Close(), sealed.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// Verify reads an archive to its end: that it was made with this secret, that
// nothing was changed or is missing, that what is in it is as its manifest says.
// The error matches ErrPassphrase or ErrArchive.
func Verify(ctx context.Context, from io.Reader, secret Secret) (Manifest, error) {
	return read(ctx, from, secret, func(File) (io.WriteCloser, error) { return nothing{}, nil })
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// read goes through an archive; what each file holds goes to where into says.
// Nothing of it is to be believed before read has returned without an error.
func read(ctx context.Context, from io.Reader, secret Secret, into func(File) (io.WriteCloser, error)) (m Manifest, err error) {
	identity, err := secret.identity()
	if err != nil {
		return m, ErrPassphrase
	}
	plain, err := age.Decrypt(withContext(ctx, from), identity)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return m, ErrPassphrase
	}
	if err != nil {
		return m, damaged(ctx, err)
	}
	in := tar.NewReader(plain)
	if m, err = readManifest(in); err != nil {
		return m, damaged(ctx, err)
	}
	for _, f := range m.Files {
		h, err := in.Next()
		if err != nil {
			return m, damaged(ctx, err)
		}
		if err := regular(h, f.Name, f.Size); err != nil {
			return m, damaged(ctx, err)
		}
		out, err := into(f)
		if err != nil {
			return m, err
		}
		err = copyWhole(out, in, f)
		if err = errors.Join(err, out.Close()); err != nil {
			return m, damaged(ctx, err)
		}
	}
	if h, err := in.Next(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("there is %q in it, of which its manifest says nothing", h.Name)
		}
		return m, damaged(ctx, err)
	}
	// To the end: only there age knows that nothing was cut off.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return m, damaged(ctx, err)
	}
	return m, nil
}

// outError is an error of where an archive is read to, not of the archive.
type outError struct{ error }

func (e outError) Unwrap() error { return e.error }

func damaged(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if out, ok := errors.AsType[outError](err); ok {
		return out.error
	}
	return fmt.Errorf("%w (%w)", ErrArchive, err)
}

// copyWhole copies a file of an archive and compares it with its manifest.
func copyWhole(to io.Writer, from io.Reader, f File) error {
	sum := sha256.New()
	if _, err := io.Copy(outer{to, sum}, from); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s is not what its manifest says", f.Name)
	}
	return nil
}

// outer tells errors of writing from errors of reading.
type outer struct {
	to  io.Writer
	sum hash.Hash
}

func (o outer) Write(p []byte) (int, error) {
	o.sum.Write(p)
	n, err := o.to.Write(p)
	if err != nil {
		err = outError{err}
	}
	return n, err
}

// readManifest reads the first file of an archive, and believes nothing of it
// that could not be true.
func readManifest(in *tar.Reader) (m Manifest, err error) {
	h, err := in.Next()
	if err != nil {
		return m, err
	}
	if err := regular(h, manifestName, h.Size); err != nil {
		return m, err
	}
	if h.Size > manifestMost {
		return m, fmt.Errorf("its manifest has %d octets", h.Size)
	}
	text, err := io.ReadAll(io.LimitReader(in, manifestMost))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read its manifest: %w", err)
	}
	if m.Format != manifestFormat {
		return m, fmt.Errorf("its format is %d, this program knows %d: install a newer version", m.Format, manifestFormat)
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		known := f.Name == DatabaseName || f.Name == KeyName && f.Size <= keyMost
		if !known || seen[f.Name] || f.Size < 0 {
			return m, fmt.Errorf("its manifest names %q of %d octets", f.Name, f.Size)
		}
		seen[f.Name] = true
	}
	if !seen[DatabaseName] {
		return m, errors.New("its manifest names no database")
	}
	return m, nil
}

// regular refuses what is no plain file of this name and size: no path, no link,
// no sparse file whose size costs nothing to claim.
func regular(h *tar.Header, name string, size int64) error {
	sparse := slices.ContainsFunc(slices.Collect(maps.Keys(h.PAXRecords)), func(k string) bool { return strings.HasPrefix(k, "GNU.sparse") })
	if h.Name != name || h.Size != size || h.Typeflag != tar.TypeReg || sparse {
		return fmt.Errorf("there is %q (type %q, %d octets) where %q of %d octets should be", h.Name, h.Typeflag, h.Size, name, size)
	}
	return nil
}

// withContext ends reading when ctx ends.
func withContext(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
