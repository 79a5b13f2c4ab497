package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"recado/queue"
)

// secretName is the file with the key that PINs are kept under: a credential of
// systemd's (systemd.exec(5), LoadCredential=), else in the data folder.
const secretName = "recado.key"

func (d dataDir) secretFile() string { return filepath.Join(string(d), secretName) }

// secret reads the key; the first start of a locked data folder makes one. The
// copy of a database is worth nothing to who has not got this file: back it up
// apart, or enter the PINs again.
func (d dataDir) secret() ([]byte, error) {
	if given := os.Getenv("CREDENTIALS_DIRECTORY"); given != "" {
		key, err := readSecret(filepath.Join(given, secretName))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return key, err
		}
	}
	key, err := readSecret(d.secretFile())
	if errors.Is(err, fs.ErrNotExist) {
		return d.makeSecret()
	}
	if err != nil {
		return nil, err
	}
	// Copied or restored by somebody: nobody else reads it.
	if err := os.Chmod(d.secretFile(), 0o600); err != nil {
		return nil, fmt.Errorf("keep %s from others: %w", d.secretFile(), err)
	}
	return key, nil
}

// readSecret takes 32 octets as they are, or as 64 hex digits on a line.
func readSecret(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the key for PINs: %w", err)
	}
	if len(text) == queue.KeySize {
		return text, nil
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != queue.KeySize {
		return nil, fmt.Errorf("%s is no key: it must have %d octets, or %d hex digits; remove it, and the PINs of the SIMs have to be entered again",
			file, queue.KeySize, 2*queue.KeySize)
	}
	return key, nil
}

// makeSecret writes a new key. It is on disk under its name or not there at all.
func (d dataDir) makeSecret() ([]byte, error) {
	key := make([]byte, queue.KeySize)
	rand.Read(key)
	part := d.secretFile() + ".part"
	err := errors.Join(writeSecret(part, key), os.Rename(part, d.secretFile()), syncFolder(string(d)))
	if err != nil {
		return nil, fmt.Errorf("make the key for PINs: %w", err)
	}
	return key, nil
}

func writeSecret(file string, key []byte) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
