package auth_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"recado/queue/sqlite"
	"recado/webui/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the test's own time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
func (c *clock) Trusted() bool { return true }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const good = "correct horse battery"

func open(t *testing.T, file string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), file, sqlite.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func store(t *testing.T) (*auth.Store, *clock, *sqlite.DB) {
	t.Helper()
	c := &clock{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	db := open(t, filepath.Join(t.TempDir(), "recado.db"))
	return auth.New(db, c, auth.Options{Log: slog.New(slog.DiscardHandler)}), c, db
}

func TestSetupCodeMakesTheFirstAdministratorOnce(t *testing.T) {
	s, _, db := store(t)
	ctx := t.Context()

	code, needed, err := s.Setup(ctx)
	require.NoError(t, err)
	require.True(t, needed)
	require.Len(t, code, 26+6, "130 bits, grouped")
	again, _, err := s.Setup(ctx)
	require.NoError(t, err)
	require.Equal(t, code, again, "one code a start")
	other, _, err := auth.New(db, &clock{now: time.Now()}, auth.Options{}).Setup(ctx)
	require.NoError(t, err)
	require.NotEqual(t, code, other, "a new one at the next start")

	_, err = s.Claim(ctx, "AAAA-BBBB", "ana", good, "es")
	require.ErrorIs(t, err, auth.ErrSetupCode)
	_, err = s.Claim(ctx, code, "ana", "short", "es")
	var invalid *auth.Invalid
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "too_short", invalid.Code)

	p, err := s.Claim(ctx, " "+code[:10]+" "+code[10:], "ana", good, "es")
	require.NoError(t, err, "a weak password does not use the code up, and spaces do not matter")
	require.Equal(t, auth.RoleAdmin, p.Role)
	require.Equal(t, "es", p.Language)

	_, needed, err = s.Setup(ctx)
	require.NoError(t, err)
	require.False(t, needed)
	_, err = s.Claim(ctx, code, "eve", good, "")
	require.ErrorIs(t, err, auth.ErrSetupDone)
}

func TestTwoClaimsAtOnceMakeOneAdministrator(t *testing.T) {
	s, _, _ := store(t)
	code, _, err := s.Setup(t.Context())
	require.NoError(t, err)
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Claim(t.Context(), code, string(rune('a'+i)), good, "") })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		}
	}
	require.Equal(t, 1, made)
	people, err := s.People(t.Context())
	require.NoError(t, err)
	require.Len(t, people, 1)
}

func TestWrongSetupCodesAreThrottled(t *testing.T) {
	s, c, _ := store(t)
	for range 10 {
		_, err := s.Claim(t.Context(), "wrong", "ana", good, "")
		require.ErrorIs(t, err, auth.ErrSetupCode)
	}
	var wait *auth.Throttled
	_, err := s.Claim(t.Context(), "wrong", "ana", good, "")
	require.ErrorAs(t, err, &wait)
	require.Positive(t, wait.RetryAfter)
	c.pass(wait.RetryAfter)
	_, err = s.Claim(t.Context(), "wrong", "ana", good, "")
	require.ErrorIs(t, err, auth.ErrSetupCode)
}

func TestLogin(t *testing.T) {
	s, c, _ := store(t)
	ctx := t.Context()
	_, err := s.CreatePerson(ctx, "Ana", auth.RoleOperator, good)
	require.NoError(t, err)
	_, err = s.CreatePerson(ctx, "ana", auth.RoleReader, good)
	require.ErrorIs(t, err, auth.ErrNameTaken, "whatever the case")

	p, err := s.Login(ctx, "ana", good, "10.0.0.1")
	require.NoError(t, err)
	require.Equal(t, "Ana", p.Name)
	require.Equal(t, c.Now(), p.LastSeenAt)

	_, err = s.Login(ctx, "nobody", good, "10.0.0.1")
	require.ErrorIs(t, err, auth.ErrBadLogin)

	for range 5 {
		_, err = s.Login(ctx, "Ana", "wrong password here", "10.0.0.1")
		require.ErrorIs(t, err, auth.ErrBadLogin)
	}
	var wait *auth.Throttled
	_, err = s.Login(ctx, "ANA", good, "10.0.0.1")
	require.ErrorAs(t, err, &wait, "even the right one, until the time is over")
	_, err = s.Login(ctx, "ana", good, "10.0.0.2")
	require.NoError(t, err, "another address is not locked out")
	c.pass(15 * time.Minute)
	_, err = s.Login(ctx, "ana", good, "10.0.0.1")
	require.NoError(t, err, "nobody is locked out for good")
}

func TestManyWrongLoginsAtOnceAreNoWayAroundTheThrottle(t *testing.T) {
	s, _, _ := store(t)
	_, err := s.CreatePerson(t.Context(), "ana", auth.RoleReader, good)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	tried := 0
	for range 12 {
		wg.Go(func() {
			_, err := s.Login(t.Context(), "ana", "wrong password here", "10.0.0.1")
			if _, throttled := err.(*auth.Throttled); !throttled {
				mu.Lock()
				tried++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 5, tried)
}

func TestPasswordsThatAreRefused(t *testing.T) {
	for password, code := range map[string]string{
		"":                           "too_short",
		"elevenchars":                "too_short",
		"ñññññññññññ":                "too_short", // 11 characters, 22 octets
		"passwordpassword":           "too_common",
		"password1234":               "too_common",
		"aaaaaaaaaaaaaa":             "too_common",
		"123456789012":               "too_common",
		"qwertyuiopas":               "too_common",
		"administrador1!":            "too_common",
		"concejalia2026":             "too_common", // the name
		"\xff\xfe123456789abc":       "not_text",
		string(make([]byte, 300)):    "too_long",
		"una frase corta y buena":    "",
		"correct horse battery":      "",
		"k7#Qp!z0vLm2":               "",
		"ñandúes comen pipas aquí 9": "",
	} {
		err := auth.CheckPassword(password, "concejalia")
		if code == "" {
			require.NoError(t, err, password)
			continue
		}
		var invalid *auth.Invalid
		require.ErrorAs(t, err, &invalid, password)
		require.Equal(t, code, invalid.Code, password)
		require.Nil(t, invalid.Value, "a password is never repeated")
	}
}

func TestNewPasswordEndsSessions(t *testing.T) {
	s, _, db := store(t)
	ctx := t.Context()
	p, err := s.CreatePerson(ctx, "ana", auth.RoleReader, good)
	require.NoError(t, err)
	commit(t, s, "token", p.ID, time.Now().Add(time.Hour))

	require.NoError(t, s.SetPassword(ctx, "ana", "another good phrase"))
	var n int
	require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM session`).Scan(&n))
	require.Zero(t, n)
	_, err = s.Login(ctx, "ana", good, "")
	require.ErrorIs(t, err, auth.ErrBadLogin)
	_, err = s.Login(ctx, "ana", "another good phrase", "")
	require.NoError(t, err)
	require.ErrorIs(t, s.SetPassword(ctx, "nobody", good), auth.ErrNoPerson)
}

func TestPasswordsAreNotStoredReadably(t *testing.T) {
	s, _, db := store(t)
	_, err := s.CreatePerson(t.Context(), "ana", auth.RoleReader, good)
	require.NoError(t, err)
	_, err = s.CreatePerson(t.Context(), "eva", auth.RoleReader, good)
	require.NoError(t, err)
	var one, two string
	require.NoError(t, db.Read().QueryRow(`SELECT password FROM person WHERE name = 'ana'`).Scan(&one))
	require.NoError(t, db.Read().QueryRow(`SELECT password FROM person WHERE name = 'eva'`).Scan(&two))
	require.Contains(t, one, "$argon2id$v=19$m=12288,t=3,p=1$")
	require.NotEqual(t, one, two, "salted")
}

func TestRolesAndScopes(t *testing.T) {
	admin := auth.Person{Role: auth.RoleAdmin}.Principal()
	operator := auth.Person{Role: auth.RoleOperator}.Principal()
	reader := auth.Person{Role: auth.RoleReader}.Principal()
	for _, scope := range auth.Scopes() {
		require.True(t, admin.May(scope), scope)
		require.True(t, auth.Console().May(scope), scope)
		require.False(t, auth.Principal{}.May(scope), scope)
	}
	require.True(t, operator.May(auth.MessagesSend))
	require.False(t, operator.May(auth.Admin))
	require.False(t, operator.May(auth.Webhooks))
	require.True(t, reader.May(auth.MessagesRead))
	require.False(t, reader.May(auth.MessagesSend))
	require.False(t, reader.May(auth.InboxWrite))

	_, err := auth.ParseScopes("messages:send, inbox:read")
	require.NoError(t, err)
	for _, bad := range []string{"", ",", "messages:sent", "ADMIN"} {
		_, err = auth.ParseScopes(bad)
		require.Error(t, err, bad)
	}
}
