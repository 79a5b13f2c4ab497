package queue

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"recado/queue/sqlite"
)

// CodeKind says which of a SIM's codes is meant.
type CodeKind string

const (
	CodePIN CodeKind = "pin"
	CodePUK CodeKind = "puk"
)

// CodeState is what became of a code that was sent to a SIM.
type CodeState string

const (
	CodeNew     CodeState = ""        // never sent
	CodeSent    CodeState = "sent"    // on its way, or nobody lived to see the answer
	CodeWorked  CodeState = "worked"  // it opened the SIM the last time
	CodeRefused CodeState = "refused" // for ever
)

// CodeTry is what is on record of a code and its SIM.
type CodeTry struct {
	State CodeState
	// Before is how many tries were left when it was last sent, After how many
	// after it was refused; -1 unknown.
	Before, After int
	// Sends counts how often it was sent since it last worked.
	Sends int
	// Worked: it has opened this SIM at least once.
	Worked bool
	// Failed: since this SIM was last opened with a code of this kind, one was
	// refused, or has an unknown fate.
	Failed bool
}

// ErrSealed: a remembered PIN cannot be read; most likely the key is another.
var ErrSealed = errors.New("the remembered PIN cannot be read with this key")

// KeySize is the size of Options.Key in octets.
const KeySize = 32

// codeKeys are what Options.Key is used for: finding codes again without
// keeping them, and keeping one PIN a SIM that can be read back.
type codeKeys struct {
	mac  []byte
	seal cipher.AEAD
}

// newCodeKeys derives both; without a key it takes one of this run only.
func newCodeKeys(key []byte) (*codeKeys, error) {
	if len(key) == 0 {
		key = make([]byte, KeySize)
		rand.Read(key)
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key for PINs has %d octets instead of %d", len(key), KeySize)
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "recado sim code mac", sha256.Size)
	if err != nil {
		return nil, err
	}
	seal, err := hkdf.Key(sha256.New, key, nil, "recado sim pin seal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &codeKeys{mac: mac, seal: aead}, nil
}

// of is what stands for a code in the database.
func (k *codeKeys) of(sim string, kind CodeKind, code string) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write([]byte(string(kind) + "\x00" + sim + "\x00" + code))
	return h.Sum(nil)
}

// sealedPIN is the length that a PIN is filled up to before it is sealed: how
// many digits it has is nobody's business.
const sealedPIN = 8

func (k *codeKeys) sealPIN(sim, pin string) ([]byte, error) {
	if len(pin) > sealedPIN {
		return nil, errors.New("a PIN has at most 8 digits")
	}
	text := append([]byte(pin), make([]byte, sealedPIN-len(pin))...)
	return k.seal.Seal(nil, nil, text, []byte(sim)), nil
}

func (k *codeKeys) openPIN(sim string, sealed []byte) (string, error) {
	text, err := k.seal.Open(nil, nil, sealed, []byte(sim))
	if err != nil {
		return "", ErrSealed
	}
	return strings.TrimRight(string(text), "\x00"), nil
}

// CodeTried is what is on record of a code and a SIM. sim is the ICCID, or what
// stands for it.
func (s *Store) CodeTried(ctx context.Context, sim string, kind CodeKind, code string) (CodeTry, error) {
	t := CodeTry{Before: -1, After: -1}
	err := s.db.Read().QueryRowContext(ctx, `SELECT state, before, after, sends, worked FROM sim_pin_try
		WHERE sim = ? AND kind = ? AND mac = ?`, sim, kind, s.codes.of(sim, kind, code)).
		Scan(&t.State, &t.Before, &t.After, &t.Sends, &t.Worked)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return CodeTry{}, fmt.Errorf("read what a SIM was sent: %w", err)
	}
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sim_pin_try
		WHERE sim = ? AND kind = ? AND owed = 1 AND state IN ('sent','refused'))`, sim, kind).Scan(&t.Failed)
	if err != nil {
		return CodeTry{}, fmt.Errorf("read what a SIM was sent: %w", err)
	}
	return t, nil
}

// TryCode writes down that a code is about to be sent, with the tries that are
// left (-1 unknown). It is on disk when this returns nil; else it must not be
// sent.
func (s *Store) TryCode(ctx context.Context, sim string, kind CodeKind, code string, left int) error {
	if sim == "" {
		return errors.New("write a try down: no SIM is named")
	}
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO sim_pin_try (sim, kind, mac, state, before, sends, at) VALUES (?1, ?2, ?3, 'sent', ?4, 1, ?5)
			ON CONFLICT (sim, kind, mac) DO UPDATE SET state = 'sent', before = ?4, after = -1, sends = sends + 1, owed = 1, at = ?5`,
			sim, kind, s.codes.of(sim, kind, code), left, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("write a try down: %w", err)
	}
	return nil
}

// CodeWorked notes that a code has opened the SIM. remember, when not empty, is
// the PIN that opens it from now on: it is kept sealed.
func (s *Store) CodeWorked(ctx context.Context, sim string, kind CodeKind, code, remember string) error {
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		if err := s.worked(tx, sim, kind, code, now); err != nil {
			return err
		}
		if remember == "" {
			return nil
		}
		if kind != CodePIN || remember != code { // the PUK has set it
			if err := s.worked(tx, sim, CodePIN, remember, now); err != nil {
				return err
			}
		}
		sealed, err := s.codes.sealPIN(sim, remember)
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO sim_pin (sim, sealed, at) VALUES (?1, ?2, ?3)
			ON CONFLICT (sim) DO UPDATE SET sealed = ?2, at = ?3`, sim, sealed, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that the SIM was opened: %w", err)
	}
	return nil
}

func (s *Store) worked(tx *sqlite.Tx, sim string, kind CodeKind, code string, now int64) error {
	_, err := tx.Exec(`INSERT INTO sim_pin_try (sim, kind, mac, state, before, sends, worked, owed, at) VALUES (?1, ?2, ?3, 'worked', -1, 0, 1, 0, ?4)
		ON CONFLICT (sim, kind, mac) DO UPDATE SET state = 'worked', after = -1, sends = 0, worked = 1, at = ?4`,
		sim, kind, s.codes.of(sim, kind, code), now)
	if err != nil {
		return err
	}
	// The SIM's counter is full again (TS 31.101 9.5.1).
	_, err = tx.Exec(`UPDATE sim_pin_try SET owed = 0 WHERE sim = ? AND kind = ?`, sim, kind)
	return err
}

// CodeRefused notes that the SIM refused a code, for ever; left is how many
// tries it has now, -1 unknown. A remembered PIN that was refused is forgotten.
func (s *Store) CodeRefused(ctx context.Context, sim string, kind CodeKind, code string, left int) error {
	now := ms(s.clock.Now())
	err := s.db.Write(ctx, sqlite.Urgent, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO sim_pin_try (sim, kind, mac, state, before, after, sends, at) VALUES (?1, ?2, ?3, 'refused', -1, ?4, 1, ?5)
			ON CONFLICT (sim, kind, mac) DO UPDATE SET state = 'refused', after = ?4, owed = 1, at = ?5`,
			sim, kind, s.codes.of(sim, kind, code), left, now)
		if err != nil || kind != CodePIN {
			return err
		}
		var sealed []byte
		switch err := tx.QueryRow(`SELECT sealed FROM sim_pin WHERE sim = ?`, sim).Scan(&sealed); {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		if kept, err := s.codes.openPIN(sim, sealed); err != nil || kept != code {
			return nil
		}
		_, err = tx.Exec(`DELETE FROM sim_pin WHERE sim = ?`, sim)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that the SIM refused: %w", err)
	}
	return nil
}

// SIMOpened notes that a SIM asks for nothing: the one code whose answer nobody
// lived to see has opened it. Of several nobody knows which.
func (s *Store) SIMOpened(ctx context.Context, sim string) error {
	var n int
	err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM sim_pin_try WHERE sim = ? AND state = 'sent' AND owed = 1`, sim).Scan(&n)
	if err != nil {
		return fmt.Errorf("note that the SIM is open: %w", err)
	}
	if n != 1 {
		return nil
	}
	now := ms(s.clock.Now())
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE sim_pin_try SET state = 'worked', sends = 0, worked = 1, owed = 0, at = ?
			WHERE sim = ? AND state = 'sent' AND owed = 1`, now, sim)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that the SIM is open: %w", err)
	}
	return nil
}

// RememberedPIN is the PIN that opened the SIM; "" when none is kept. ErrSealed
// when it was kept under another key.
func (s *Store) RememberedPIN(ctx context.Context, sim string) (string, error) {
	var sealed []byte
	err := s.db.Read().QueryRowContext(ctx, `SELECT sealed FROM sim_pin WHERE sim = ?`, sim).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the remembered PIN: %w", err)
	}
	pin, err := s.codes.openPIN(sim, sealed)
	if err != nil {
		return "", fmt.Errorf("read the remembered PIN: %w", err)
	}
	return pin, nil
}

// RemembersPIN says whether a PIN is kept for the SIM.
func (s *Store) RemembersPIN(ctx context.Context, sim string) (bool, error) {
	var is bool
	err := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sim_pin WHERE sim = ?)`, sim).Scan(&is)
	if err != nil {
		return false, fmt.Errorf("look for a remembered PIN: %w", err)
	}
	return is, nil
}

// ForgetPIN forgets the PIN that is kept for a SIM. What was refused stays on
// record.
func (s *Store) ForgetPIN(ctx context.Context, sim string) error {
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`DELETE FROM sim_pin WHERE sim = ?`, sim)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the PIN: %w", err)
	}
	return nil
}
