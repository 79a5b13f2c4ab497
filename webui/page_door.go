package webui

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"recado/webui/auth"
)

// doorPage is what setup.html and login.html show.
type doorPage struct {
	Code, Name, Next string
	Errors           []string
}

func (s *Server) showSetup(c echo.Context) error {
	return s.page(c, http.StatusOK, "setup", "", doorPage{})
}

// doSetup makes the first administrator and signs them in.
func (s *Server) doSetup(c echo.Context) error {
	code, name, password := c.FormValue("code"), c.FormValue("name"), c.FormValue("password")
	again := func(status int, errs ...string) error {
		return s.page(c, status, "setup", "", doorPage{Code: code, Name: name, Errors: errs})
	}
	if password != c.FormValue("again") {
		return again(http.StatusUnprocessableEntity, s.words(c).t("password.differ"))
	}
	lang := languageOf(c.Request(), c.FormValue("lang"))
	p, err := s.auth.Claim(c.Request().Context(), code, name, password, lang)
	if errors.Is(err, auth.ErrSetupDone) {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	if lines, ok := s.explain(c, err); ok {
		return again(http.StatusUnprocessableEntity, lines...)
	}
	if err != nil {
		return err
	}
	if err := s.signIn(c, p); err != nil {
		return err
	}
	return s.done(c, "/", "welcome", 0)
}

func (s *Server) showLogin(c echo.Context) error {
	if !s.person(c).Nobody() {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	if _, needed, err := s.auth.Setup(c.Request().Context()); err != nil {
		return err
	} else if needed {
		return c.Redirect(http.StatusSeeOther, "/setup")
	}
	return s.page(c, http.StatusOK, "login", "", doorPage{Next: localPath(c.QueryParam("next"))})
}

func (s *Server) doLogin(c echo.Context) error {
	name, next := c.FormValue("name"), localPath(c.FormValue("next"))
	p, err := s.auth.Login(c.Request().Context(), name, c.FormValue("password"), remote(c.Request()).String())
	if lines, ok := s.explain(c, err); ok {
		status := http.StatusUnprocessableEntity
		if _, slow := errors.AsType[*auth.Throttled](err); slow {
			status = http.StatusTooManyRequests
		}
		return s.page(c, status, "login", "", doorPage{Name: name, Next: next, Errors: lines})
	}
	if err != nil {
		return err
	}
	if err := s.signIn(c, p); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, next)
}

func (s *Server) doLogout(c echo.Context) error {
	if err := s.signOut(c); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/login")
}
