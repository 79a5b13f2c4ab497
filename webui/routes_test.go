package webui

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"recado/webui/auth"
)

// TestEveryRouteAsksWhoMay walks the table: nobody, a key with every scope but
// the needed ones, a key with the needed one, and a person of each role. A route
// added without thought fails here.
func TestEveryRouteAsksWhoMay(t *testing.T) {
	b := newBox(t, 0)
	// The routes that may be public; a new one needs a reason.
	open := map[string]bool{
		"GET /health/live": true, "HEAD /health/live": true, "GET /health/ready": true, "HEAD /health/ready": true,
		"GET /openapi.json": true, "GET /docs": true,
		"GET /login": true, "POST /login": true, "POST /preferences": true, "GET /static/*": true, "HEAD /static/*": true,
	}
	cookies := map[auth.Role]string{}
	for _, role := range auth.Roles() {
		cookies[role] = b.cookie(role)
	}
	secrets := map[string]string{}
	key := func(scopes ...auth.Scope) string {
		name := ""
		for _, s := range scopes {
			name += string(s) + ","
		}
		if secrets[name] == "" {
			secrets[name] = b.key(scopes...)
		}
		return secrets[name]
	}
	for _, r := range b.s.table() {
		path := strings.NewReplacer("{", "nothing-", "}", "", "*", "nothing").Replace(r.path)
		name := r.method + " " + r.path
		ask := func(headers ...string) int {
			// Nothing is half-done by an empty body; streams end by the recorder's context.
			return b.do(r.method, path, nil, append([]string{"Accept", "application/json", "Sec-Fetch-Site", "same-origin"}, headers...)...).StatusCode
		}
		if strings.HasSuffix(r.path, "/events") || r.path == "/live" {
			continue // streams; TestEventsNeedAScope and the pages' tests ask them
		}
		nobody := ask("Authorization", "")
		switch {
		case open[name]:
			require.NotContains(t, []int{401, 403}, nobody, name)
			continue
		case r.who.setup:
			require.Equal(t, 404, nobody, "%s: an administrator exists", name)
			continue
		case r.path == "/metrics":
			require.Equal(t, 200, nobody, "from the box itself")
			continue
		}
		require.Equal(t, 401, nobody, name)
		require.Contains(t, []int{401, 429}, ask("Authorization", "Bearer rk_AAAAAAAAAAAAAAAAAAAAAAAAAA"), name)
		require.Equal(t, 401, ask("Authorization", "", "Cookie", "recado=made-up"), name)
		refused := func(code int) bool { return code == 401 || code == 403 }
		var others []auth.Scope
		for _, s := range auth.Scopes() {
			if s != auth.Admin && !contains(r.who.scopes, s) {
				others = append(others, s)
			}
		}
		require.Equal(t, 403, ask("X-API-Key", key(others...)), "%s with every other scope", name)
		for _, s := range r.who.scopes {
			require.False(t, refused(ask("X-API-Key", key(s))), "%s with %s", name, s)
		}
		for _, role := range auth.Roles() {
			if r.path == "/logout" {
				continue // would end the session for the rest
			}
			may := r.who.allows(auth.Principal{Kind: auth.KindPerson, Role: role, Scopes: role.Scopes()}, false)
			require.Equal(t, !may, refused(ask("Cookie", cookies[role])), "%s as %s", name, role)
		}
	}
}

func contains(scopes []auth.Scope, s auth.Scope) bool {
	for _, one := range scopes {
		if one == s {
			return true
		}
	}
	return false
}

func TestTheConsoleMayEverything(t *testing.T) {
	b := newBox(t, 0)
	for _, r := range b.s.table() {
		who := access(r.who)
		require.True(t, who.setup || who.allows(auth.Console(), false), r.path)
	}
	require.False(t, access{}.allows(auth.Principal{}, false), "the zero access lets nobody in")
	require.False(t, access{}.allows(auth.Principal{Kind: auth.KindKey}, true))
}

func TestLocalIsTheConsole(t *testing.T) {
	b := newBox(t, 0)
	b.http.Config.Handler = b.s.Local()
	a := b.do("GET", v1+"/keys", nil, "Authorization", "", "Host", "recado.sock")
	require.Equal(t, http.StatusOK, a.StatusCode, "%s", a.body)
	a = b.do("POST", v1+"/sending/pause", nil, "Authorization", "", "Host", "whatever")
	require.Equal(t, http.StatusOK, a.StatusCode, "%s", a.body)
	trail, err := b.auth.AuditTrail(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "console", trail[0].Who)
	require.Equal(t, "sending.pause", trail[0].Action)
}
