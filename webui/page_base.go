package webui

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/modem"
	"recado/queue"
	"recado/webui/auth"
)

// notices are what a page may say was just done, as its address asks with
// ?done=; each has words under "notice.".
var notices = map[string]bool{
	"queued": true, "scheduled": true, "already": true, "many": true, "cancelled": true, "resolved": true,
	"replied": true, "saved": true, "restarting": true, "pin": true, "password": true, "person": true, "reset": true,
	"revoked": true, "arriving": true, "welcome": true, "paused": true, "resumed": true, "read": true,
	"puk": true, "power": true, "foreign": true, "forgotten": true, "hook_deleted": true, "hook_replay": true,
	"limits": true, "credit": true, "canary": true, "freed": true, "route": true, "route_gone": true,
	"held_none": true, "released": true, "discarded": true, "clock": true, "backup": true,
}

// view is what the layout needs of this request.
func (s *Server) view(c echo.Context, nav string, it any) view {
	r := c.Request()
	p := s.person(c)
	lang := languageOf(r, p.Language)
	v := view{
		Lang: lang, Theme: themeOf(r), Nav: nav, Path: cleanPath(s.pageOf(r)), It: it, Version: s.version,
		Emulated: s.emulator != nil, Insecure: r.TLS == nil && !s.ownBox(r), now: s.clock.Now(),
		locale: s.pages.locales[lang], zone: zoneOf(r),
	}
	if done := c.QueryParam("done"); notices[done] {
		v.Notice = done
		v.NoticeN, _ = strconv.Atoi(c.QueryParam("n"))
	}
	if !p.Nobody() {
		v.Person = &viewer{ID: p.ID, Name: p.Name, Role: string(p.Role),
			CanSend: rank(p.Role) >= rank(auth.RoleOperator), Admin: p.Role == auth.RoleAdmin}
		v.Paused, v.Pauses = s.pool.Paused(), s.pauses(r.Context(), v.locale)
		v.Alarms = s.alarms(r.Context(), &v)
		if n, err := s.inbox.Unread(r.Context()); err == nil {
			v.Unread = n
		}
	}
	return v
}

// words are the language of this request, outside of templates.
func (s *Server) words(c echo.Context) *locale {
	return s.pages.locales[languageOf(c.Request(), s.person(c).Language)]
}

// page answers with a whole page.
func (s *Server) page(c echo.Context, status int, name, nav string, it any) error {
	return s.write(c, status, name, "", s.view(c, nav, it))
}

// fragment answers with a part of a page, for htmx.
func (s *Server) fragment(c echo.Context, name, block string, it any) error {
	return s.write(c, http.StatusOK, name, block, s.view(c, "", it))
}

func (s *Server) write(c echo.Context, status int, name, block string, v view) error {
	var b bytes.Buffer // whole before the first octet leaves: an error becomes an error page
	if err := s.pages.execute(&b, name, block, v); err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.HTMLBlob(status, b.Bytes())
}

// done leads on after a POST, saying what was done.
func (s *Server) done(c echo.Context, to, notice string, n int) error {
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	q := u.Query()
	q.Set("done", notice)
	if n > 0 {
		q.Set("n", strconv.Itoa(n))
	}
	u.RawQuery = q.Encode()
	return c.Redirect(http.StatusSeeOther, u.String())
}

// cleanPath is the page's own address without what it was told to say.
func cleanPath(u *url.URL) string {
	q := u.Query()
	q.Del("done")
	q.Del("n")
	if len(q) == 0 {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + q.Encode()
}

// localPath keeps a wish where to go next on this box.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return cleanPath(u)
}

// wayIn stops the request of a browser that nobody is signed in with. It must be
// an error: the gate goes on to the handler otherwise. pageProblem makes of it
// the way to the door.
func (s *Server) wayIn(echo.Context) error { return unauthorized("") }

// toDoor leads to the first start while there is no administrator, else to the
// sign-in page, which leads back.
func (s *Server) toDoor(c echo.Context) error {
	_, needed, err := s.auth.Setup(c.Request().Context())
	if err != nil {
		return err
	}
	if needed {
		return c.Redirect(http.StatusSeeOther, "/setup")
	}
	to := "/login"
	here := s.pageOf(c.Request())
	if here.Path != "/" && here.Path != "" {
		to += "?next=" + url.QueryEscape(cleanPath(here))
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// pageOf is the address of the page that a request is for; of a form: that of the page
// that it was on, as far as one knows.
func (s *Server) pageOf(r *http.Request) *url.URL {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL
	}
	page, err := url.Parse(r.Referer())
	if err != nil || page.Host != r.Host || !s.isPage(page.Path) {
		return &url.URL{Path: "/"}
	}
	return page
}

// isPage tells what a browser can ask for from an address that takes forms only.
func (s *Server) isPage(address string) bool {
	return slices.ContainsFunc(s.pageRoutes(), func(r route) bool {
		is, _ := path.Match(pathParts.ReplaceAllString(r.path, "*"), address)
		return is && r.method == http.MethodGet && !r.who.public && !r.who.setup
	})
}

// pathParts are what varies in a route's path.
var pathParts = regexp.MustCompile(`\{[^}]*\}`)

// errorPage is what error.html shows.
type errorPage struct {
	Status            int
	Key               string // of the words: "404", … or "unkept", …
	Detail, RequestID string
}

// pageProblem tells a person of an error.
func (s *Server) pageProblem(c echo.Context, p *Problem) error {
	e := errorPage{Status: p.Status, Key: p.words, RequestID: requestID(c)}
	switch {
	case p.Status == 401:
		return s.toDoor(c)
	case e.Key != "":
	case p.Status == 405:
		e.Key = "404"
	case slices.Contains([]int{403, 404, 409, 413, 421, 422, 429, 500, 503, 507}, p.Status):
		e.Key = strconv.Itoa(p.Status)
	default:
		e.Key = "500"
	}
	return s.page(c, p.Status, "error", "", e)
}

// explain says in the reader's language what is wrong with what was entered.
// ok is false for an error that nobody but us can do something about.
func (s *Server) explain(c echo.Context, err error) (lines []string, ok bool) {
	l := s.words(c)
	if f, is := errors.AsType[*queue.Invalid](err); is {
		return []string{l.tor("invalid."+f.Field, f.Detail)}, true
	}
	if f, is := errors.AsType[*auth.Invalid](err); is {
		return []string{l.tor("invalid."+f.Field+"_"+f.Code, f.Detail)}, true
	}
	if f, is := errors.AsType[*auth.Throttled](err); is {
		return []string{l.t("login.throttled", "Span", l.span(f.RetryAfter))}, true
	}
	if p, is := errors.AsType[*Problem](err); is && p.Status == http.StatusUnprocessableEntity && len(p.Errors) > 0 {
		_, field, _ := strings.Cut(p.Errors[0].Location, ".")
		return []string{l.tor("invalid."+field, p.Errors[0].Message)}, true
	}
	for known, key := range map[error]string{
		auth.ErrBadLogin: "login.bad", auth.ErrSetupCode: "setup.bad_code", auth.ErrNameTaken: "people.taken",
		auth.ErrNoPerson: "people.gone", auth.ErrNoKey: "keys.gone", queue.ErrSIMName: "lines.name_taken",
		queue.ErrAllRejected: "write.all_refused", queue.ErrState: "message.state_changed", modem.ErrNotReady: "modem.not_ready",
	} {
		if errors.Is(err, known) {
			return []string{l.t(key)}, true
		}
	}
	return nil, false
}

// staticFile serves what is embedded. An address with its content's hash may be
// kept for ever; any other is asked for anew.
func (s *Server) staticFile(c echo.Context) error {
	name := path.Clean(c.Param("*"))
	b, err := fs.ReadFile(staticFiles, "static/"+name)
	if err != nil {
		return newProblem(http.StatusNotFound, "")
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-cache")
	if _, version, _ := strings.Cut(s.pages.assets[name], "?v="); version != "" && c.QueryParam("v") == version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	kind := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	if kind == "" {
		kind = "text/plain; charset=utf-8"
	}
	return c.Blob(http.StatusOK, kind, b)
}

// setPreferences keeps language and theme in cookies, and the language with the
// person, so that it is the same on another computer.
func (s *Server) setPreferences(c echo.Context) error {
	keep := func(name, value string) {
		c.SetCookie(&http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 365 * 24 * 3600,
			SameSite: http.SameSiteLaxMode, HttpOnly: true, Secure: c.Request().TLS != nil})
	}
	if lang := c.FormValue("lang"); isLanguage(lang) {
		keep(cookieLang, lang)
		if p := s.person(c); p.Kind == auth.KindPerson {
			if err := s.auth.SetLanguage(c.Request().Context(), p.ID, lang); err != nil {
				return err
			}
		}
	}
	if theme := c.FormValue("theme"); theme == "auto" || theme == "light" || theme == "dark" {
		keep(cookieTheme, theme)
	}
	return c.Redirect(http.StatusSeeOther, localPath(c.FormValue("next")))
}
