package auth_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	boxclock "recado/queue/clock"
	"recado/webui/auth"
)

// Somebody sets the clock ten years ahead: nobody is signed out, no session is
// deleted, no key is refused that may still be good.
func TestAWrongClockTakesNobodysRights(t *testing.T) {
	ctx := context.Background()
	wall, up := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), time.Hour
	c := boxclock.New(boxclock.Options{Sources: boxclock.Sources{
		Wall: func() time.Time { return wall }, Boot: func() time.Duration { return up }, BootID: "one",
	}})
	db := open(t, filepath.Join(t.TempDir(), "recado.db"))
	require.NoError(t, c.Load(ctx, db))
	require.NoError(t, c.Trust(ctx, "ana", time.Time{}, false))
	s := auth.New(db, c, auth.Options{})
	secret, _, err := s.CreateKey(ctx, auth.NewKey{Name: "app", Scopes: []auth.Scope{auth.Admin}, ExpiresAt: wall.Add(24 * time.Hour)})
	require.NoError(t, err)

	sessions := s.Sessions().(scs.CtxStore)
	commit(t, s, "a", "id", s.Steady().Add(time.Hour))

	wall = wall.AddDate(10, 0, 0)
	require.False(t, c.Trusted())
	commit(t, s, "b", "id", s.Steady().Add(2*time.Hour)) // sweeps
	_, found, err := sessions.FindCtx(ctx, "a")
	require.NoError(t, err)
	require.True(t, found)
	_, err = s.Verify(ctx, secret, lan)
	require.NoError(t, err)

	// An hour later it is over, whatever the clock shows.
	wall, up = wall.AddDate(-20, 0, 0), up+time.Hour
	_, found, err = sessions.FindCtx(ctx, "a")
	require.NoError(t, err)
	require.False(t, found)

	// The key ends when that is certain: a day has passed since the clock was right.
	up += 23*time.Hour + time.Minute
	_, err = s.Verify(ctx, secret, lan)
	require.ErrorIs(t, err, auth.ErrKeyExpired)
}
