package backup

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"filippo.io/age"
)

const (
	// MinPassphrase is how many characters a passphrase must have.
	MinPassphrase = 12
	// maxPassphrase in octets: a file given by mistake is no passphrase.
	maxPassphrase = 1024
	// personWork is scrypt's work factor for passphrases of people, 32 MiB and some
	// tenths of a second: a Pi has little memory. boxWork is for keys that cannot
	// be guessed anyway. maxWork is what is accepted of archives made elsewhere,
	// age's own default: 256 MiB.
	personWork = 15
	boxWork    = 10
	maxWork    = 18
)

// ErrShort: a passphrase that could be guessed.
var ErrShort = fmt.Errorf("the passphrase is too short: take at least %d characters, four or five words that only you would put together", MinPassphrase)

// Secret opens and closes archives. It shows nothing of itself in logs.
type Secret struct {
	text string
	work int
}

// Passphrase is a person's secret. It errs with ErrShort below MinPassphrase
// characters.
func Passphrase(text string) (Secret, error) {
	switch {
	case utf8.RuneCountInString(text) < MinPassphrase:
		return Secret{}, ErrShort
	case len(text) > maxPassphrase:
		return Secret{}, fmt.Errorf("the passphrase has more than %d octets: is it the right file?", maxPassphrase)
	}
	return Secret{text, personWork}, nil
}

// BoxSecret is the secret of a box's automatic copies, made of its key
// (recado.key): the box opens them by itself.
func BoxSecret(key []byte) (Secret, error) {
	if len(key) == 0 {
		return Secret{}, errors.New("no key to encrypt the automatic copies with")
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "recado automatic backup", sha256.Size)
	if err != nil {
		return Secret{}, fmt.Errorf("derive the key of the automatic copies: %w", err)
	}
	return Secret{hex.EncodeToString(derived), boxWork}, nil
}

// String implements fmt.Stringer.
func (Secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return "(secret)" }

func (s Secret) recipient() (age.Recipient, error) {
	r, err := age.NewScryptRecipient(s.text)
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(s.work)
	return r, nil
}

func (s Secret) identity() (age.Identity, error) {
	i, err := age.NewScryptIdentity(s.text)
	if err != nil {
		return nil, err
	}
	i.SetMaxWorkFactor(max(s.work, maxWork))
	return i, nil
}

// Reveal gives the passphrase, for who has to hand it on.
func (s Secret) Reveal() string { return s.text }
