package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"recado/queue/sqlite"
)

// Person is somebody who signs in.
type Person struct {
	ID       string // UUIDv7
	Name     string // unique, whatever the case
	Role     Role
	Language string // "es", "en"; "" takes the browser's
	Disabled bool

	CreatedAt  time.Time
	LastSeenAt time.Time // of the last sign-in; zero: never
}

// Principal is what the person may do.
func (p Person) Principal() Principal {
	return Principal{Kind: KindPerson, ID: p.ID, Name: p.Name, Role: p.Role, Scopes: p.Role.Scopes(), Language: p.Language}
}

const personColumns = `id, name, role, language, disabled, created_at, last_seen_at`

func scanPerson(row interface{ Scan(...any) error }, more ...any) (Person, error) {
	var p Person
	var created, seen int64
	err := row.Scan(append([]any{&p.ID, &p.Name, &p.Role, &p.Language, &p.Disabled, &created, &seen}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Person{}, ErrNoPerson
	}
	p.CreatedAt, p.LastSeenAt = instant(created), instant(seen)
	return p, err
}

// instant turns Unix milliseconds into a time; 0 is the zero time.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func checkName(name string) error {
	switch {
	case name == "" || name != strings.TrimSpace(name):
		return &Invalid{Field: "name", Code: "required", Detail: "give a name, without spaces around it"}
	case utf8.RuneCountInString(name) > 64:
		return &Invalid{Field: "name", Code: "too_long", Detail: "take at most 64 characters"}
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }):
		return &Invalid{Field: "name", Code: "not_text", Detail: "take letters, digits and ordinary signs"}
	}
	return nil
}

// CreatePerson adds somebody. Errors: *Invalid, ErrNameTaken.
func (s *Store) CreatePerson(ctx context.Context, name string, role Role, password string) (Person, error) {
	return s.createPerson(ctx, Console(), name, role, password, "", nil)
}

// CreatePersonBy is CreatePerson with who did it, for the audit trail.
func (s *Store) CreatePersonBy(ctx context.Context, who Principal, name string, role Role, password string) (Person, error) {
	return s.createPerson(ctx, who, name, role, password, "", nil)
}

// createPerson asks allowed, when there is one, inside the transaction. who is
// nobody when the person makes itself (the first administrator).
func (s *Store) createPerson(ctx context.Context, who Principal, name string, role Role, password, language string, allowed func(*sqlite.Tx) error) (Person, error) {
	if err := checkName(name); err != nil {
		return Person{}, err
	}
	if role.Scopes() == nil {
		return Person{}, &Invalid{Field: "role", Code: "unknown", Value: string(role), Detail: "take admin, operator or reader"}
	}
	if err := CheckPassword(password, name); err != nil {
		return Person{}, err
	}
	encoded, err := s.hash(ctx, password)
	if err != nil {
		return Person{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Person{}, err
	}
	p := Person{ID: id.String(), Name: name, Role: role, Language: language, CreatedAt: s.clock.Now().UTC().Truncate(time.Millisecond)}
	by := who.String()
	if who.Nobody() {
		by = p.Principal().String()
	}
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if allowed != nil {
			if err := allowed(tx); err != nil {
				return err
			}
		}
		var taken bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM person WHERE name = ?)`, name).Scan(&taken); err != nil {
			return err
		}
		if taken {
			return ErrNameTaken
		}
		if _, err := tx.Exec(`INSERT INTO person(id, name, role, password, language, created_at) VALUES (?,?,?,?,?,?)`,
			p.ID, p.Name, string(p.Role), encoded, p.Language, p.CreatedAt.UnixMilli()); err != nil {
			return err
		}
		return s.audit(tx, by, "person.create", p.Name, "role "+string(role))
	})
	if err != nil {
		return Person{}, fmt.Errorf("create person: %w", err)
	}
	return p, nil
}

// SetPassword gives a person a new password, and signs that person out
// everywhere. Errors: *Invalid, ErrNoPerson.
func (s *Store) SetPassword(ctx context.Context, name, password string) error {
	return s.SetPasswordBy(ctx, Console(), name, password)
}

// SetPasswordBy is SetPassword with who did it, for the audit trail.
func (s *Store) SetPasswordBy(ctx context.Context, who Principal, name, password string) error {
	if err := CheckPassword(password, name); err != nil {
		return err
	}
	encoded, err := s.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		p, err := scanPerson(tx.QueryRow(`SELECT `+personColumns+` FROM person WHERE name = ?`, name))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE person SET password = ? WHERE id = ?`, encoded, p.ID); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM session WHERE person = ?`, p.ID); err != nil {
			return err
		}
		return s.audit(tx, who.String(), "person.password", p.Name, "")
	})
}

// SetLanguage keeps the language that a person chose; "" takes the browser's.
func (s *Store) SetLanguage(ctx context.Context, id, language string) error {
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE person SET language = ? WHERE id = ?`, language, id)
		return err
	})
}

// Login checks name and password. Five wrong tries in 15 minutes for one name
// from one address and the next ones are refused unread. Errors: ErrBadLogin,
// *Throttled.
func (s *Store) Login(ctx context.Context, name, password, ip string) (Person, error) {
	who := strings.ToLower(name) + "\x00" + ip
	if len(who) > 512 {
		return Person{}, ErrBadLogin
	}
	if wait := s.logins.try(who, s.Steady()); wait > 0 {
		return Person{}, &Throttled{RetryAfter: wait}
	}
	var encoded string
	p, err := scanPerson(s.db.Read().QueryRowContext(ctx,
		`SELECT `+personColumns+`, password FROM person WHERE name = ?`, name), &encoded)
	if err != nil && !errors.Is(err, ErrNoPerson) {
		return Person{}, err
	}
	// An unknown name costs as much as a known one, so that time tells nothing.
	ok, err := s.matches(ctx, password, encoded)
	if err != nil {
		return Person{}, err
	}
	if !ok || p.Disabled {
		s.log.Warn("sign-in refused", "from", ip)
		if p.ID != "" {
			err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
				return s.audit(tx, p.Principal().String(), "login.refused", p.Name, "from "+ip)
			})
		}
		return Person{}, errors.Join(ErrBadLogin, err)
	}
	s.logins.succeeded(who)
	p.LastSeenAt = s.clock.Now().UTC().Truncate(time.Millisecond)
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		if _, err := tx.Exec(`UPDATE person SET last_seen_at = ? WHERE id = ?`, p.LastSeenAt.UnixMilli(), p.ID); err != nil {
			return err
		}
		return s.audit(tx, p.Principal().String(), "login", p.Name, "from "+ip)
	})
	return p, err
}

// Person gives one by id. A disabled one is ErrNoPerson: it may nothing.
func (s *Store) Person(ctx context.Context, id string) (Person, error) {
	return scanPerson(s.db.Read().QueryRowContext(ctx,
		`SELECT `+personColumns+` FROM person WHERE id = ? AND disabled = 0`, id))
}

// People are all persons by name.
func (s *Store) People(ctx context.Context) ([]Person, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT `+personColumns+` FROM person ORDER BY name COLLATE NOCASE`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	people := []Person{}
	for rows.Next() {
		p, err := scanPerson(rows)
		if err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, rows.Err()
}
