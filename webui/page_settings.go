package webui

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"recado/webui/auth"
)

// settingsPage is what settings.html shows. Open names the folded part that an
// error or a new key is in.
type settingsPage struct {
	Open   string
	Errors []string

	People []personRow
	Roles  []string
	Person struct{ Name, Role string }

	Keys               []keyRow
	Scopes             []scopeChoice
	Classes            []string
	Key                struct{ Name, Class, Expires string }
	Secret, SecretName string // of a key just made: shown this once

	Care carePage
}

type personRow struct {
	ID, Name, Role string
	Seen           time.Time
}

type keyRow struct {
	ID, Name, Prefix string
	Scopes           []auth.Scope
	Used, Expires    time.Time
}

// scopeChoice is a scope to tick. Key is its name as the word list writes it.
type scopeChoice struct {
	Name, Key string
	On        bool
}

// offered are the scopes whose part of the API exists.
var offered = []auth.Scope{auth.MessagesSend, auth.MessagesRead, auth.InboxRead, auth.InboxWrite, auth.SIMsRead, auth.SIMsControl, auth.Webhooks, auth.Admin}

func (s *Server) showSettings(c echo.Context) error {
	return s.settings(c, http.StatusOK, settingsPage{})
}

// settings shows the page; p has what is special this time.
func (s *Server) settings(c echo.Context, status int, p settingsPage) error {
	ctx := c.Request().Context()
	admin := s.person(c).Role == auth.RoleAdmin
	if err := s.fillCare(c, &p.Care, admin); err != nil {
		return err
	}
	if admin {
		people, err := s.auth.People(ctx)
		if err != nil {
			return err
		}
		for _, one := range people {
			p.People = append(p.People, personRow{one.ID, one.Name, string(one.Role), one.LastSeenAt})
		}
		for _, r := range slices.Backward(auth.Roles()) {
			p.Roles = append(p.Roles, string(r))
		}
		if p.Person.Role == "" {
			p.Person.Role = string(auth.RoleOperator)
		}
		keys, err := s.auth.Keys(ctx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			p.Keys = append(p.Keys, keyRow{k.ID, k.Name, k.Prefix, k.Scopes, k.LastUsedAt, k.ExpiresAt})
		}
		p.Classes = classes
		if p.Scopes == nil {
			p.Scopes = scopeChoices([]string{string(auth.MessagesSend), string(auth.MessagesRead)})
		}
	}
	v := s.view(c, "settings", p)
	v.Path = "/settings"
	return s.write(c, status, "settings", "", v)
}

func scopeChoices(on []string) []scopeChoice {
	list := make([]scopeChoice, len(offered))
	for i, sc := range offered {
		list[i] = scopeChoice{string(sc), strings.ReplaceAll(string(sc), ":", "_"), slices.Contains(on, string(sc))}
	}
	return list
}

func (s *Server) changePassword(c echo.Context) error {
	ctx, l, who := c.Request().Context(), s.words(c), s.person(c)
	again := func(lines ...string) error {
		return s.settings(c, http.StatusUnprocessableEntity, settingsPage{Open: "password", Errors: lines})
	}
	password := c.FormValue("password")
	if password != c.FormValue("again") {
		return again(l.t("password.differ"))
	}
	p, err := s.auth.Login(ctx, who.Name, c.FormValue("current"), remote(c.Request()).String())
	if errors.Is(err, auth.ErrBadLogin) {
		return again(l.t("password.current_wrong"))
	}
	if err == nil {
		err = s.auth.SetPasswordBy(ctx, who, who.Name, password)
	}
	if lines, ok := s.explain(c, err); ok {
		return again(lines...)
	}
	if err != nil {
		return err
	}
	// All sessions of the person have ended, this one among them.
	if err := s.signIn(c, p); err != nil {
		return err
	}
	return s.done(c, "/settings", "password", 0)
}

func (s *Server) addPerson(c echo.Context) error {
	p := settingsPage{Open: "people"}
	p.Person.Name, p.Person.Role = strings.TrimSpace(c.FormValue("name")), c.FormValue("role")
	_, err := s.auth.CreatePersonBy(c.Request().Context(), s.person(c), p.Person.Name, auth.Role(p.Person.Role), c.FormValue("password"))
	if lines, ok := s.explain(c, err); ok {
		p.Errors = lines
		return s.settings(c, http.StatusUnprocessableEntity, p)
	}
	if err != nil {
		return err
	}
	return s.done(c, "/settings", "person", 0)
}

func (s *Server) resetPassword(c echo.Context) error {
	err := s.auth.SetPasswordBy(c.Request().Context(), s.person(c), c.FormValue("name"), c.FormValue("password"))
	if lines, ok := s.explain(c, err); ok {
		return s.settings(c, http.StatusUnprocessableEntity, settingsPage{Open: "people", Errors: lines})
	}
	if err != nil {
		return err
	}
	return s.done(c, "/settings", "reset", 0)
}

// addKey shows the secret in its answer, this once.
func (s *Server) addKey(c echo.Context) error {
	p := settingsPage{Open: "keys"}
	p.Key.Name, p.Key.Class, p.Key.Expires = strings.TrimSpace(c.FormValue("name")), c.FormValue("class"), c.FormValue("expires")
	n := auth.NewKey{Name: p.Key.Name, Class: p.Key.Class}
	p.Scopes = scopeChoices(c.Request().PostForm["scope"])
	for _, sc := range p.Scopes {
		if sc.On {
			n.Scopes = append(n.Scopes, auth.Scope(sc.Name))
		}
	}
	again := func(lines ...string) error {
		p.Errors = lines
		return s.settings(c, http.StatusUnprocessableEntity, p)
	}
	if p.Key.Expires != "" {
		day, err := time.ParseInLocation(time.DateOnly, p.Key.Expires, zoneOf(c.Request()))
		if err != nil {
			return again(s.words(c).t("invalid.expires_at_past"))
		}
		n.ExpiresAt = day.AddDate(0, 0, 1) // through the whole day
	}
	secret, key, err := s.auth.CreateKeyBy(c.Request().Context(), s.person(c), n)
	if lines, ok := s.explain(c, err); ok {
		return again(lines...)
	}
	if err != nil {
		return err
	}
	return s.settings(c, http.StatusOK, settingsPage{Secret: secret, SecretName: key.Name})
}

func (s *Server) dropKey(c echo.Context) error {
	err := s.auth.RevokeKeyBy(c.Request().Context(), s.person(c), c.FormValue("id"))
	if lines, ok := s.explain(c, err); ok {
		return s.settings(c, http.StatusUnprocessableEntity, settingsPage{Open: "keys", Errors: lines})
	}
	if err != nil {
		return err
	}
	return s.done(c, "/settings", "revoked", 0)
}
