package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// argon2id with OWASP's second choice: 12 MiB, so that the two that may run at
// once fit a box with little memory, and three passes.
const (
	argonMemory  = 12 * 1024 // KiB
	argonTime    = 3
	argonThreads = 1
	saltLen      = 16
	hashLen      = 32
)

// MinPassword and MaxPassword are counted in characters.
const (
	MinPassword = 12
	MaxPassword = 256
)

// CheckPassword tells what is wrong with a new password; nil when it will do.
// Length counts, not signs: a sentence is good.
func CheckPassword(password, name string) error {
	refuse := func(code, detail string) error {
		return &Invalid{Field: "password", Code: code, Detail: detail}
	}
	n := utf8.RuneCountInString(password)
	lower := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		return refuse("not_text", "the password is not readable text")
	case n < MinPassword:
		return refuse("too_short", fmt.Sprintf("take at least %d characters; a short sentence is easy to remember", MinPassword))
	case n > MaxPassword:
		return refuse("too_long", fmt.Sprintf("take at most %d characters", MaxPassword))
	case name != "" && strings.ToLower(name) == strings.Trim(lower, "0123456789!.- "):
		return refuse("too_common", "the password is the name; take another")
	case common(lower):
		return refuse("too_common", "this password is one of the first that anybody would try; take another")
	}
	return nil
}

// common tells whether a long password is nevertheless among the first that are
// tried: few signs repeated, a run of the keyboard or the alphabet, or a common
// word with digits around it.
func common(lower string) bool {
	distinct := map[rune]bool{}
	for _, r := range lower {
		distinct[r] = true
	}
	if len(distinct) < 5 {
		return true
	}
	for _, run := range []string{"0123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm",
		"qwertzuiopasdfghjklyxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn", "1q2w3e4r5t6y7u8i9o0p", "9876543210987654321"} {
		if strings.Contains(run+run, lower) {
			return true
		}
	}
	core := strings.Trim(lower, "0123456789!?.,-_*#@$ ")
	for _, word := range []string{"password", "passwort", "contraseña", "contrasena", "administrador", "administrator",
		"admin", "recado", "qwerty", "qwertyuiop", "letmein", "welcome", "bienvenido", "iloveyou", "tequiero", "ayuntamiento",
		"changeme", "cambiame", "secret", "secreto", "raspberry", "raspberrypi", "passwordpassword", "adminadmin", "recadorecado",
		"password123password", "asdfghjkl", "football", "baseball", "sunshine", "princess", "trustno", "superman", "estrella",
		"realmadrid", "barcelona", "default", "test", "testtest", "hola", "holahola", "usuario", "clave", "miclave"} {
		if core == word {
			return true
		}
	}
	return false
}

// hash makes the encoded form that is stored. It waits for one of the slots.
func (s *Store) hash(ctx context.Context, password string) (string, error) {
	if err := s.slot(ctx); err != nil {
		return "", err
	}
	defer func() { <-s.hashing }()
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails (crypto/rand)
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, hashLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// matches compares in constant time. An encoded form that cannot be read matches
// nothing, and costs as much.
func (s *Store) matches(ctx context.Context, password, encoded string) (bool, error) {
	if err := s.slot(ctx); err != nil {
		return false, err
	}
	defer func() { <-s.hashing }()
	var version, memory, time, threads uint32
	salt, want, ok := []byte("nobody's salt 16"), make([]byte, hashLen), false
	if parts := strings.Split(encoded, "$"); len(parts) == 6 && parts[1] == "argon2id" {
		_, errV := fmt.Sscanf(parts[2], "v=%d", &version)
		_, errP := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads)
		s1, errS := base64.RawStdEncoding.DecodeString(parts[4])
		w1, errW := base64.RawStdEncoding.DecodeString(parts[5])
		if errV == nil && errP == nil && errS == nil && errW == nil && version == argon2.Version &&
			memory > 0 && memory <= 64*1024 && time > 0 && time <= 10 && threads > 0 && threads <= 8 && len(w1) >= 16 {
			salt, want, ok = s1, w1, true
		}
	}
	if !ok {
		memory, time, threads = argonMemory, argonTime, argonThreads
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, uint8(threads), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && ok, nil
}

func (s *Store) slot(ctx context.Context) error {
	select {
	case s.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
