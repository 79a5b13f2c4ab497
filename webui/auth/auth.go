// Package auth knows who may do what: people with passwords and roles, API keys
// with scopes, the browser's sessions and the audit trail.
//
// What it promises: no account and no key exists until somebody made one; a
// password is kept as argon2id, a key and a session's token as SHA-256, so that
// neither can be read back; guessing is slowed down; what changes rights leaves
// an audit row in the same transaction.
package auth

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// Sentinels that callers branch on.
var (
	// ErrBadKey: the API key is not known, or was revoked.
	ErrBadKey = errors.New("this API key is not known or was revoked")
	// ErrKeyExpired: the key's time is over; make a new one.
	ErrKeyExpired = errors.New("this API key has expired")
	// ErrKeyNetwork: the key may not be used from this address.
	ErrKeyNetwork = errors.New("this API key may not be used from this address")
	// ErrNoKey: there is no key with that id.
	ErrNoKey = errors.New("no such API key")
	// ErrBadLogin: name or password is wrong; which one is not told.
	ErrBadLogin = errors.New("the name or the password is wrong")
	// ErrNoPerson: there is no person with that name or id.
	ErrNoPerson = errors.New("no such person")
	// ErrNameTaken: another person has that name.
	ErrNameTaken = errors.New("this name is taken")
	// ErrSetupDone: an administrator exists, the setup code is worth nothing.
	ErrSetupDone = errors.New("an administrator exists already")
	// ErrSetupCode: not the code that was printed at this start.
	ErrSetupCode = errors.New("this is not the setup code")
)

// Invalid is a field that cannot be accepted as it is.
type Invalid struct {
	Field  string // JSON name: "name", "scopes", …
	Code   string // stable, for translation: "required", "too_short", …
	Detail string // says what to do
	Value  any    // nil for what must not be repeated
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Detail }

// Throttled says that there were too many wrong tries.
type Throttled struct {
	RetryAfter time.Duration
}

func (e *Throttled) Error() string { return "too many wrong tries; wait and try again" }

// Options of a Store.
type Options struct {
	// Log gets what an operator should know; nothing secret. slog.Default when nil.
	Log *slog.Logger
}

// Store keeps people, keys, sessions and the audit trail. It is safe for
// concurrent use. It counts on being the only writer of its tables.
type Store struct {
	db    *sqlite.DB
	clock queue.Clock
	log   *slog.Logger

	keys    keyCache
	hashing chan struct{} // a slot each running argon2id: a Pi has little memory
	logins  throttle
	claims  throttle

	setupMu   sync.Mutex
	setupCode string // "" until asked for, or when used up
}

// New makes a Store over an open database.
func New(db *sqlite.DB, clock queue.Clock, o Options) *Store {
	s := &Store{
		db: db, clock: clock, log: o.Log,
		hashing: make(chan struct{}, 2),
		logins:  throttle{max: 5, window: 15 * time.Minute},
		claims:  throttle{max: 10, window: time.Minute},
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	return s
}

// now is the wall clock as Unix milliseconds UTC.
func (s *Store) now() int64 { return s.clock.Now().UnixMilli() }

// Steady is the clock that sessions end by and wrong tries are counted by:
// nobody can set it, so that a wrong time of day signs nobody out.
func (s *Store) Steady() time.Time { return queue.SteadyNow(s.clock) }

// over is a time that is certainly over: now, when that is trusted.
func (s *Store) over() time.Time {
	if c, ok := s.clock.(interface{ AtLeast() time.Time }); ok {
		return c.AtLeast()
	}
	return s.clock.Now()
}

// Audit adds a row to the audit trail: who did what to which object. Detail must
// hold nothing secret and no text of a message.
func (s *Store) Audit(ctx context.Context, who Principal, action, object, detail string) error {
	return s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		return s.audit(tx, who.String(), action, object, detail)
	})
}

func (s *Store) audit(tx *sqlite.Tx, who, action, object, detail string) error {
	_, err := tx.Exec(`INSERT INTO audit(at, who, action, object, detail) VALUES (?,?,?,?,?)`,
		s.now(), who, action, object, detail)
	return err
}

// AuditEntry is one row of the audit trail.
type AuditEntry struct {
	At                          time.Time
	Who, Action, Object, Detail string
}

// AuditTrail gives the newest rows first, at most limit.
func (s *Store) AuditTrail(ctx context.Context, limit int) ([]AuditEntry, error) {
	rows, err := s.db.Read().QueryContext(ctx,
		`SELECT at, who, action, object, detail FROM audit ORDER BY id DESC LIMIT ?`, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	trail := []AuditEntry{}
	for rows.Next() {
		var e AuditEntry
		var at int64
		if err := rows.Scan(&at, &e.Who, &e.Action, &e.Object, &e.Detail); err != nil {
			return nil, err
		}
		e.At = time.UnixMilli(at).UTC()
		trail = append(trail, e)
	}
	return trail, rows.Err()
}

// auditDepth is how far back LastAudit looks, in rows.
const auditDepth = 20_000

// LastAudit is the newest row of an action on an object; false when there is none
// among the newest rows.
func (s *Store) LastAudit(ctx context.Context, action, object string) (AuditEntry, bool, error) {
	e := AuditEntry{Action: action, Object: object}
	var at int64
	err := s.db.Read().QueryRowContext(ctx, `SELECT at, who, detail FROM audit WHERE id > (SELECT max(id) FROM audit) - ? AND action = ? AND object = ?
		ORDER BY id DESC LIMIT 1`, auditDepth, action, object).Scan(&at, &e.Who, &e.Detail)
	if errors.Is(err, sql.ErrNoRows) {
		return e, false, nil
	}
	e.At = time.UnixMilli(at).UTC()
	return e, err == nil, err
}
