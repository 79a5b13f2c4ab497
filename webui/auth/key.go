package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"recado/queue"
	"recado/queue/sqlite"
)

// KeyPrefix begins every API key, so that a leaked one is recognised.
const KeyPrefix = "rk_"

// NewKey is what a key shall be able to do.
type NewKey struct {
	Name   string
	Scopes []Scope
	// Class is the only class that it may send; "" any.
	Class string
	// Networks are the CIDRs or addresses that it may come from; none: any.
	Networks  []string
	ExpiresAt time.Time // zero: never
}

// Key is an API key without its secret.
type Key struct {
	ID     string // UUIDv7
	Name   string
	Prefix string // its first characters, to recognise it by
	Scopes []Scope
	Class  string
	// Networks are canonical CIDRs.
	Networks   []string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // to the minute; zero: never
	RevokedAt  time.Time // zero: in use
}

// keyCache holds every key that is not revoked by the SHA-256 of its secret.
// The database is read once; this process is its only writer.
type keyCache struct {
	mu     sync.RWMutex
	loaded bool
	byHash map[[sha256.Size]byte]*cachedKey
}

type cachedKey struct {
	principal Principal
	networks  []netip.Prefix
	expires   time.Time
	// usedAt is the Unix ms that the database knows as last use.
	usedAt atomic.Int64
}

// CreateKey makes a key and returns its secret, which is not kept. Errors:
// *Invalid.
func (s *Store) CreateKey(ctx context.Context, n NewKey) (secret string, key Key, err error) {
	return s.CreateKeyBy(ctx, Console(), n)
}

// CreateKeyBy is CreateKey with who did it, for the audit trail.
func (s *Store) CreateKeyBy(ctx context.Context, who Principal, n NewKey) (secret string, key Key, err error) {
	if err := checkName(n.Name); err != nil {
		return "", Key{}, err
	}
	if err := checkScopes(n.Scopes); err != nil {
		return "", Key{}, err
	}
	switch queue.Class(n.Class) {
	case "", queue.OTP, queue.Alert, queue.Normal, queue.Bulk:
	default:
		return "", Key{}, &Invalid{Field: "class", Code: "unknown", Value: n.Class, Detail: "take otp, alert, normal or bulk"}
	}
	prefixes, err := parseNetworks(n.Networks)
	if err != nil {
		return "", Key{}, err
	}
	now := s.clock.Now().UTC().Truncate(time.Millisecond)
	if !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(now) {
		return "", Key{}, &Invalid{Field: "expires_at", Code: "past", Value: n.ExpiresAt, Detail: "take a time that is still to come"}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", Key{}, err
	}
	secret = KeyPrefix + rand.Text() // 130 bits
	key = Key{ID: id.String(), Name: n.Name, Prefix: secret[:len(KeyPrefix)+6], Scopes: n.Scopes, Class: n.Class,
		Networks: networkStrings(prefixes), CreatedAt: now}
	var expires int64
	if !n.ExpiresAt.IsZero() {
		key.ExpiresAt = n.ExpiresAt.UTC().Truncate(time.Millisecond)
		expires = key.ExpiresAt.UnixMilli()
	}
	if err := s.loadKeys(ctx); err != nil {
		return "", Key{}, err
	}
	sum := sha256.Sum256([]byte(secret))
	err = s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`INSERT INTO api_key(id, name, hash, prefix, scopes, class, networks, created_at, expires_at)
			VALUES (?,?,?,?,?,?,?,?,?)`, key.ID, key.Name, sum[:], key.Prefix, joinScopes(key.Scopes), key.Class,
			strings.Join(key.Networks, ","), now.UnixMilli(), expires)
		if err != nil {
			return err
		}
		return s.audit(tx, who.String(), "key.create", key.Name, "scopes "+joinScopes(key.Scopes))
	})
	if err != nil {
		return "", Key{}, fmt.Errorf("create key: %w", err)
	}
	s.keys.mu.Lock()
	s.keys.byHash[sum] = newCachedKey(key, prefixes)
	s.keys.mu.Unlock()
	return secret, key, nil
}

// RevokeKey ends a key at once. Errors: ErrNoKey, also when it was revoked before.
func (s *Store) RevokeKey(ctx context.Context, id string) error {
	return s.RevokeKeyBy(ctx, Console(), id)
}

// RevokeKeyBy is RevokeKey with who did it, for the audit trail.
func (s *Store) RevokeKeyBy(ctx context.Context, who Principal, id string) error {
	if err := s.loadKeys(ctx); err != nil {
		return err
	}
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		res, err := tx.Exec(`UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at = 0`, s.now(), id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return cmpErr(err, ErrNoKey)
		}
		var name string
		if err := tx.QueryRow(`SELECT name FROM api_key WHERE id = ?`, id).Scan(&name); err != nil {
			return err
		}
		return s.audit(tx, who.String(), "key.revoke", name, "")
	})
	if err != nil {
		return err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	for sum, k := range s.keys.byHash {
		if k.principal.ID == id {
			delete(s.keys.byHash, sum)
		}
	}
	return nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Keys are those in use, expired ones among them, newest first.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, name, prefix, scopes, class, networks, created_at, expires_at, last_used_at
		FROM api_key WHERE revoked_at = 0 ORDER BY created_at DESC, id DESC`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := []Key{}
	for rows.Next() {
		k, _, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

func scanKey(row interface{ Scan(...any) error }, more ...any) (Key, []netip.Prefix, error) {
	var k Key
	var scopes, networks string
	var created, expires, used int64
	err := row.Scan(append([]any{&k.ID, &k.Name, &k.Prefix, &scopes, &k.Class, &networks, &created, &expires, &used}, more...)...)
	if err != nil {
		return Key{}, nil, err
	}
	if k.Scopes, err = ParseScopes(scopes); err != nil {
		return Key{}, nil, fmt.Errorf("key %s: %w", k.ID, err)
	}
	var prefixes []netip.Prefix
	if networks != "" {
		if prefixes, err = parseNetworks(strings.Split(networks, ",")); err != nil {
			return Key{}, nil, fmt.Errorf("key %s: %w", k.ID, err)
		}
	}
	k.Networks = networkStrings(prefixes)
	k.CreatedAt, k.ExpiresAt, k.LastUsedAt = instant(created), instant(expires), instant(used)
	return k, prefixes, nil
}

// Verify tells whose secret it is. It costs a hash and a look into memory; the
// last use is written at most once a minute. Errors: ErrBadKey, ErrKeyExpired,
// ErrKeyNetwork.
func (s *Store) Verify(ctx context.Context, secret string, ip netip.Addr) (Principal, error) {
	if !strings.HasPrefix(secret, KeyPrefix) || len(secret) > 128 {
		return Principal{}, ErrBadKey
	}
	if err := s.loadKeys(ctx); err != nil {
		return Principal{}, err
	}
	// Looking up the SHA-256 of 130 random bits leaks no useful time.
	sum := sha256.Sum256([]byte(secret))
	s.keys.mu.RLock()
	k := s.keys.byHash[sum]
	s.keys.mu.RUnlock()
	if k == nil {
		return Principal{}, ErrBadKey
	}
	now := s.clock.Now()
	// A key whose time may be over, by a clock that may be wrong, still counts.
	if !k.expires.IsZero() && !s.over().Before(k.expires) {
		return Principal{}, ErrKeyExpired
	}
	if len(k.networks) > 0 && !contains(k.networks, ip) {
		return Principal{}, ErrKeyNetwork
	}
	s.used(ctx, k, now.UnixMilli())
	return k.principal, nil
}

// usedWait is how long a request may wait for its key's last use to be written.
const usedWait = 100 * time.Millisecond

// used writes the last use, at most once a minute. That it could not be written
// (a full disk, a busy writer) is no reason to refuse the key or to hold it up.
func (s *Store) used(ctx context.Context, k *cachedKey, now int64) {
	before := k.usedAt.Load()
	if since := now - before; since < time.Minute.Milliseconds() && since >= 0 || !k.usedAt.CompareAndSwap(before, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, usedWait)
	defer cancel()
	err := s.db.Write(ctx, sqlite.Ordinary, func(tx *sqlite.Tx) error {
		_, err := tx.Exec(`UPDATE api_key SET last_used_at = ? WHERE id = ?`, now, k.principal.ID)
		return err
	})
	if err != nil {
		s.log.Info("an API key's last use was not written", "key", k.principal.Name, "err", err)
	}
}

func (s *Store) loadKeys(ctx context.Context) error {
	s.keys.mu.RLock()
	loaded := s.keys.loaded
	s.keys.mu.RUnlock()
	if loaded {
		return nil
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if s.keys.loaded {
		return nil
	}
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, name, prefix, scopes, class, networks, created_at, expires_at, last_used_at, hash
		FROM api_key WHERE revoked_at = 0`)
	if err != nil {
		return fmt.Errorf("read the API keys: %w", err)
	}
	defer rows.Close()
	byHash := map[[sha256.Size]byte]*cachedKey{}
	for rows.Next() {
		var hash []byte
		k, prefixes, err := scanKey(rows, &hash)
		if err != nil {
			return fmt.Errorf("read the API keys: %w", err)
		}
		if len(hash) != sha256.Size {
			return fmt.Errorf("read the API keys: key %s has a hash of %d octets", k.ID, len(hash))
		}
		byHash[[sha256.Size]byte(hash)] = newCachedKey(k, prefixes)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the API keys: %w", err)
	}
	s.keys.byHash, s.keys.loaded = byHash, true
	return nil
}

func newCachedKey(k Key, networks []netip.Prefix) *cachedKey {
	c := &cachedKey{networks: networks, expires: k.ExpiresAt,
		principal: Principal{Kind: KindKey, ID: k.ID, Name: k.Name, Scopes: k.Scopes, Class: k.Class}}
	if !k.LastUsedAt.IsZero() {
		c.usedAt.Store(k.LastUsedAt.UnixMilli())
	}
	return c
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(ip.Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

func parseNetworks(list []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if addr, errAddr := netip.ParseAddr(text); err != nil && errAddr == nil && addr.Zone() == "" {
			prefix, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		if err != nil || prefix.Addr().Is4In6() {
			return nil, &Invalid{Field: "networks", Code: "not_a_network", Value: text,
				Detail: "write networks as 192.168.1.0/24, an address as 192.168.1.7"}
		}
		networks = append(networks, prefix.Masked())
	}
	return networks, nil
}

func networkStrings(networks []netip.Prefix) []string {
	texts := make([]string, len(networks))
	for i, n := range networks {
		texts[i] = n.String()
	}
	return texts
}
