package auth_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"recado/queue/sqlite"
	"recado/webui/auth"
)

var lan = netip.MustParseAddr("192.168.1.7")

func TestAKeyIsShownOnceAndKeptHashed(t *testing.T) {
	s, c, db := store(t)
	ctx := t.Context()
	secret, key, err := s.CreateKey(ctx, auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.MessagesSend}})
	require.NoError(t, err)
	require.Regexp(t, `^rk_[A-Z2-7]{26}$`, secret)
	require.True(t, strings.HasPrefix(secret, key.Prefix))

	p, err := s.Verify(ctx, secret, lan)
	require.NoError(t, err)
	require.Equal(t, key.ID, p.ID)
	require.True(t, p.May(auth.MessagesSend))
	require.False(t, p.May(auth.MessagesRead))

	var found int
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM api_key WHERE instr(hex(hash)||name||prefix||scopes, ?) > 0`, secret).Scan(&found))
	require.Zero(t, found)
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM audit WHERE instr(detail||object, ?) > 0`, secret).Scan(&found))
	require.Zero(t, found)

	// Another run of the program finds it in the database.
	p, err = auth.New(db, c, auth.Options{}).Verify(ctx, secret, lan)
	require.NoError(t, err)
	require.Equal(t, "crm", p.Name)

	for _, bad := range []string{"", "rk_", secret[:len(secret)-1], secret + "A", strings.ToLower(secret), "rk_" + strings.Repeat("A", 26), strings.Repeat("x", 1000)} {
		_, err = s.Verify(ctx, bad, lan)
		require.ErrorIs(t, err, auth.ErrBadKey, bad)
	}
}

func TestARevokedKeyIsRefusedAtOnce(t *testing.T) {
	s, _, _ := store(t)
	ctx := t.Context()
	secret, key, err := s.CreateKey(ctx, auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin}})
	require.NoError(t, err)
	_, err = s.Verify(ctx, secret, lan)
	require.NoError(t, err)
	require.NoError(t, s.RevokeKey(ctx, key.ID))
	_, err = s.Verify(ctx, secret, lan)
	require.ErrorIs(t, err, auth.ErrBadKey)
	require.ErrorIs(t, s.RevokeKey(ctx, key.ID), auth.ErrNoKey)
	keys, err := s.Keys(ctx)
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestAKeyExpires(t *testing.T) {
	s, c, _ := store(t)
	secret, _, err := s.CreateKey(t.Context(), auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin}, ExpiresAt: c.Now().Add(time.Hour)})
	require.NoError(t, err)
	c.pass(time.Hour - time.Millisecond)
	_, err = s.Verify(t.Context(), secret, lan)
	require.NoError(t, err)
	c.pass(time.Millisecond)
	_, err = s.Verify(t.Context(), secret, lan)
	require.ErrorIs(t, err, auth.ErrKeyExpired)
	_, _, err = s.CreateKey(t.Context(), auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin}, ExpiresAt: c.Now()})
	var invalid *auth.Invalid
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "expires_at", invalid.Field)
}

func TestAKeyComesFromItsNetworks(t *testing.T) {
	s, _, _ := store(t)
	secret, key, err := s.CreateKey(t.Context(), auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin},
		Networks: []string{"192.168.1.99/24", "10.0.0.7", "fd00::/8"}})
	require.NoError(t, err)
	require.Equal(t, []string{"192.168.1.0/24", "10.0.0.7/32", "fd00::/8"}, key.Networks)
	for from, ok := range map[string]bool{"192.168.1.7": true, "::ffff:192.168.1.7": true, "10.0.0.7": true, "fd12::1": true,
		"192.168.2.1": false, "10.0.0.8": false, "::1": false} {
		_, err := s.Verify(t.Context(), secret, netip.MustParseAddr(from))
		if ok {
			require.NoError(t, err, from)
		} else {
			require.ErrorIs(t, err, auth.ErrKeyNetwork, from)
		}
	}
	_, err = s.Verify(t.Context(), secret, netip.Addr{})
	require.ErrorIs(t, err, auth.ErrKeyNetwork)
}

func TestKeysThatAreRefused(t *testing.T) {
	s, _, _ := store(t)
	for field, n := range map[string]auth.NewKey{
		"name":     {Name: " ", Scopes: []auth.Scope{auth.Admin}},
		"scopes":   {Name: "a", Scopes: []auth.Scope{"everything"}},
		"class":    {Name: "a", Scopes: []auth.Scope{auth.Admin}, Class: "urgent"},
		"networks": {Name: "a", Scopes: []auth.Scope{auth.Admin}, Networks: []string{"lan"}},
	} {
		_, _, err := s.CreateKey(t.Context(), n)
		var invalid *auth.Invalid
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
}

// TestLastUseIsWrittenOnceAMinute counts commits: verification is on the path of
// every message.
func TestLastUseIsWrittenOnceAMinute(t *testing.T) {
	s, c, db := store(t)
	secret, _, err := s.CreateKey(t.Context(), auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin}})
	require.NoError(t, err)
	used := func() (at int64) {
		require.NoError(t, db.Read().QueryRow(`SELECT last_used_at FROM api_key`).Scan(&at))
		return at
	}
	first := c.Now().UnixMilli()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := s.Verify(context.Background(), secret, lan)
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, first, used())
	c.pass(59 * time.Second)
	_, err = s.Verify(t.Context(), secret, lan)
	require.NoError(t, err)
	require.Equal(t, first, used())
	c.pass(time.Second)
	_, err = s.Verify(t.Context(), secret, lan)
	require.NoError(t, err)
	require.Equal(t, first+60_000, used())
}

func commit(t *testing.T, s *auth.Store, token, person string, expiry time.Time) {
	t.Helper()
	data, err := scs.GobCodec{}.Encode(expiry, map[string]any{auth.SessionPerson: person})
	require.NoError(t, err)
	require.NoError(t, s.Sessions().(scs.CtxStore).CommitCtx(t.Context(), token, data, expiry))
}

func TestSessionsAreKeptHashedAndExpire(t *testing.T) {
	s, c, db := store(t)
	sessions := s.Sessions().(scs.CtxStore)
	commit(t, s, "the-token", "id", c.Now().Add(time.Hour))
	_, found, err := sessions.FindCtx(t.Context(), "the-token")
	require.NoError(t, err)
	require.True(t, found)
	var raw int
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM session WHERE instr(CAST(token AS TEXT), 'the-token') OR instr(CAST(data AS TEXT), 'the-token')`).Scan(&raw))
	require.Zero(t, raw)
	_, found, err = sessions.FindCtx(t.Context(), "another")
	require.NoError(t, err)
	require.False(t, found)

	c.pass(time.Hour)
	_, found, err = sessions.FindCtx(t.Context(), "the-token")
	require.NoError(t, err)
	require.False(t, found)
	commit(t, s, "next", "id", c.Now().Add(time.Hour))
	var rows int
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM session`).Scan(&rows))
	require.Equal(t, 1, rows, "the expired one is swept out")
	require.NoError(t, sessions.DeleteCtx(t.Context(), "next"))
	_, found, err = sessions.FindCtx(t.Context(), "next")
	require.NoError(t, err)
	require.False(t, found)
}

func TestWhatChangesRightsIsAudited(t *testing.T) {
	s, _, _ := store(t)
	ctx := t.Context()
	code, _, err := s.Setup(ctx)
	require.NoError(t, err)
	ana, err := s.Claim(ctx, code, "ana", good, "")
	require.NoError(t, err)
	_, err = s.Login(ctx, "ana", good, "10.0.0.1")
	require.NoError(t, err)
	_, err = s.Login(ctx, "ana", "wrong password here", "10.0.0.1")
	require.ErrorIs(t, err, auth.ErrBadLogin)
	_, key, err := s.CreateKeyBy(ctx, ana.Principal(), auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin}})
	require.NoError(t, err)
	require.NoError(t, s.RevokeKeyBy(ctx, ana.Principal(), key.ID))
	require.NoError(t, s.SetPassword(ctx, "ana", "another good phrase"))
	trail, err := s.AuditTrail(ctx, 10)
	require.NoError(t, err)
	var seen []string
	for _, e := range trail {
		seen = append(seen, e.Who+" "+e.Action+" "+e.Object)
	}
	require.Equal(t, []string{"console person.password ana", "person:ana key.revoke crm", "person:ana key.create crm",
		"person:ana login.refused ana", "person:ana login ana", "person:ana person.create ana"}, seen)
}

func BenchmarkVerify(b *testing.B) {
	db, err := sqlite.Open(context.Background(), filepath.Join(b.TempDir(), "recado.db"), sqlite.Options{})
	require.NoError(b, err)
	defer db.Close()
	s := auth.New(db, &clock{now: time.Now()}, auth.Options{})
	secret, _, err := s.CreateKey(context.Background(), auth.NewKey{Name: "crm", Scopes: []auth.Scope{auth.Admin}})
	require.NoError(b, err)
	for b.Loop() {
		if _, err := s.Verify(context.Background(), secret, lan); err != nil {
			b.Fatal(err)
		}
	}
}
