package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"strings"

	"recado/queue/sqlite"
)

// Setup gives the one-time code with which the first administrator is made. It
// is new at each start and is kept in memory only; needed is false, and there is
// no code, as soon as an administrator exists.
func (s *Store) Setup(ctx context.Context) (code string, needed bool, err error) {
	s.setupMu.Lock()
	defer s.setupMu.Unlock()
	var exists bool
	err = s.db.Read().QueryRowContext(ctx,
		`SELECT EXISTS (SELECT 1 FROM person WHERE role = 'admin' AND disabled = 0)`).Scan(&exists)
	if err != nil {
		return "", false, fmt.Errorf("look for an administrator: %w", err)
	}
	if exists {
		s.setupCode = ""
		return "", false, nil
	}
	if s.setupCode == "" {
		s.setupCode = rand.Text() // 26 characters of base32: 130 bits
	}
	return grouped(s.setupCode), true, nil
}

// Claim makes the first administrator of whoever knows the code. The code is
// read without regard to case, spaces and dashes. Errors: ErrSetupDone,
// ErrSetupCode, *Throttled, *Invalid.
func (s *Store) Claim(ctx context.Context, code, name, password, language string) (Person, error) {
	if _, needed, err := s.Setup(ctx); err != nil {
		return Person{}, err
	} else if !needed {
		return Person{}, ErrSetupDone
	}
	if wait := s.claims.try("", s.Steady()); wait > 0 {
		return Person{}, &Throttled{RetryAfter: wait}
	}
	s.setupMu.Lock()
	want := s.setupCode
	s.setupMu.Unlock()
	if want == "" || subtle.ConstantTimeCompare([]byte(plain(code)), []byte(want)) != 1 {
		s.log.Warn("a wrong setup code was entered")
		return Person{}, ErrSetupCode
	}
	s.claims.succeeded("")
	p, err := s.createPerson(ctx, Principal{}, name, RoleAdmin, password, language, func(tx *sqlite.Tx) error {
		var exists bool
		err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM person WHERE role = 'admin' AND disabled = 0)`).Scan(&exists)
		if err == nil && exists {
			return ErrSetupDone
		}
		return err
	})
	if err != nil {
		return Person{}, err
	}
	s.setupMu.Lock()
	s.setupCode = ""
	s.setupMu.Unlock()
	return p, nil
}

// grouped makes a code readable: XXXX-XXXX-…
func grouped(code string) string {
	var b strings.Builder
	for i, r := range code {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// plain is what is compared of what somebody typed.
func plain(code string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "", "\t", "", "\u00a0", "").Replace(code))
}
