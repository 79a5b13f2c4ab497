package webui

import (
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"recado/webui/auth"
)

// A session ends half an hour after the last request, and after twelve hours
// whatever happens: a working day in an office with the page left open.
const (
	sessionIdle = 30 * time.Minute
	sessionLife = 12 * time.Hour
	sessionSeen = "seen" // Unix s of the last request, to the minute
)

// newSessions does without scs's own idle timeout: that writes at every request,
// and a Pi's card counts writes.
func newSessions(store *auth.Store) *scs.SessionManager {
	// Not by scs.New, which starts a goroutine for a store in memory that nobody stops.
	return &scs.SessionManager{Store: store.Sessions(), Codec: scs.GobCodec{}, Lifetime: sessionLife}
}

// cookieName: on TLS the prefix makes the browser insist on Secure, this host
// and the whole path.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-recado"
	}
	return "recado"
}

// fromSession finds the person of the browser's session; nobody without one. A
// look that is no request of the person's does not touch: it keeps no session
// alive.
func (s *Server) fromSession(c echo.Context, touch bool) (auth.Principal, error) {
	r := c.Request()
	cookie, err := r.Cookie(cookieName(r))
	if err != nil || cookie.Value == "" {
		return auth.Principal{}, nil
	}
	ctx, err := s.sessions.Load(r.Context(), cookie.Value)
	if err != nil {
		return auth.Principal{}, err
	}
	id := s.sessions.GetString(ctx, auth.SessionPerson)
	if id == "" {
		return auth.Principal{}, nil
	}
	now := s.auth.Steady()
	seen := time.Unix(s.sessions.GetInt64(ctx, sessionSeen), 0)
	person, err := s.auth.Person(ctx, id)
	if err == auth.ErrNoPerson || now.Sub(seen) > sessionIdle {
		if !touch {
			return auth.Principal{}, nil
		}
		return auth.Principal{}, s.sessions.Destroy(ctx)
	}
	if err != nil {
		return auth.Principal{}, err
	}
	if touch && now.Sub(seen) >= time.Minute {
		s.sessions.Put(ctx, sessionSeen, now.Unix())
		if _, _, err := s.sessions.Commit(ctx); err != nil {
			// A full disk must not sign everybody out.
			s.log.Warn("a session's last use was not written", "err", err)
		}
	}
	return person.Principal(), nil
}

// signIn begins a session for a person, under a new token, and sets its cookie.
// SameSite is Lax, so that a link to a page works while signed in; that a
// request which changes something comes from our own page is checked by its
// Sec-Fetch-Site or Origin.
func (s *Server) signIn(c echo.Context, p auth.Person) error {
	if err := s.endSession(c); err != nil {
		return err
	}
	ctx, err := s.sessions.Load(c.Request().Context(), "")
	if err != nil {
		return err
	}
	now := s.auth.Steady()
	s.sessions.SetDeadline(ctx, now.Add(sessionLife).UTC())
	s.sessions.Put(ctx, auth.SessionPerson, p.ID)
	s.sessions.Put(ctx, sessionSeen, now.Unix())
	token, _, err := s.sessions.Commit(ctx)
	if err != nil {
		return err
	}
	s.setCookie(c, token, int(sessionLife.Seconds()))
	return nil
}

// signOut ends the session on the server and in the browser.
func (s *Server) signOut(c echo.Context) error {
	s.setCookie(c, "", -1)
	return s.endSession(c)
}

func (s *Server) endSession(c echo.Context) error {
	cookie, err := c.Request().Cookie(cookieName(c.Request()))
	if err != nil || cookie.Value == "" {
		return nil
	}
	ctx, err := s.sessions.Load(c.Request().Context(), cookie.Value)
	if err != nil {
		return err
	}
	return s.sessions.Destroy(ctx)
}

func (s *Server) setCookie(c echo.Context, token string, maxAge int) {
	c.SetCookie(&http.Cookie{Name: cookieName(c.Request()), Value: token, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: c.Request().TLS != nil, SameSite: http.SameSiteLaxMode})
}
