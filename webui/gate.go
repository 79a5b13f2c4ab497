package webui

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"recado/webui/auth"
)

type (
	localKey  struct{} // marks a request of the control socket
	callerKey struct{} // *caller of the request
)

// caller is who asks for what, for handlers and for the log.
type caller struct {
	principal              auth.Principal
	request, method, route string
	own                    bool // from this machine
}

// policy is the CSP of every answer: nothing inline, nothing from elsewhere.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; " +
	"base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

var hostname = os.Hostname

// gate is the one way to every handler: headers, host, origin, who, whether they
// may; and behind it the net that catches panics.
func (s *Server) gate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		start := time.Now()
		r, h := c.Request(), c.Response().Header()
		who := &caller{request: uuid.NewString(), method: r.Method, route: c.Path(), own: s.ownBox(r)}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
		c.SetRequest(r)
		h.Set(echo.HeaderXRequestID, who.request)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler {
					panic(p)
				}
				s.metrics.panics.Inc()
				s.log.Error("a handler panicked", "panic", p, "request", who.request, "route", who.route, "stack", string(debug.Stack()))
				err = newProblem(http.StatusInternalServerError, "")
			}
			if err != nil { // written here, so that the figures know the status
				s.failed(err, c)
				err = nil
			}
			s.metrics.observe(c, time.Since(start))
			if s.log.Enabled(r.Context(), levelAccess) {
				s.log.Log(r.Context(), levelAccess, "request", "method", who.method, "route", who.route,
					"status", c.Response().Status, "took", time.Since(start), "request", who.request)
			}
		}()
		local := r.Context().Value(localKey{}) != nil
		if !local {
			if !s.hostAllowed(r) {
				return newProblem(http.StatusMisdirectedRequest,
					"this box does not go by that name; use its address, or add the name to its configuration (host)")
			}
			if err := s.csrf.Check(r); err != nil {
				return newProblem(http.StatusForbidden, "a request that changes something must not come from another site's page")
			}
		}
		route := s.routes[routeKey{r.Method, c.Path()}]
		if allow, ok := c.Get(echo.ContextKeyHeaderAllow).(string); ok && route == nil {
			h.Set(echo.HeaderAllow, allow)
			return newProblem(http.StatusMethodNotAllowed, "this address takes "+allow)
		}
		if route == nil {
			return newProblem(http.StatusNotFound, "there is nothing at this address")
		}
		if who.principal, err = s.identify(c, local); err != nil {
			return err
		}
		if err := s.admit(c, route, who); err != nil {
			return err
		}
		return next(c)
	}
}

// levelAccess is below debug: a line a request is for hunting something down.
const levelAccess = -8

func requestID(c echo.Context) string { return c.Response().Header().Get(echo.HeaderXRequestID) }

// person is who asks; nobody on a public route without credentials.
func (s *Server) person(c echo.Context) auth.Principal {
	return callerOf(c.Request().Context()).principal
}

// callerOf is never nil: a context that did not come through the gate has nobody.
func callerOf(ctx context.Context) *caller {
	if who, ok := ctx.Value(callerKey{}).(*caller); ok {
		return who
	}
	return &caller{}
}

// identify finds out who asks: the console, a key, or the person of a session.
// Credentials that are wrong are refused even where none are needed.
func (s *Server) identify(c echo.Context, local bool) (auth.Principal, error) {
	if local {
		return auth.Console(), nil
	}
	r := c.Request()
	if keyInURL(r) {
		return auth.Principal{}, unauthorized("an API key does not belong into an address, where logs keep it; " +
			"revoke this one, and send the key as Authorization: Bearer rk_…")
	}
	if r.Header.Get("Authorization") == "" && r.Header.Get("X-API-Key") == "" {
		return s.fromSession(c, true)
	}
	secret := credentials(r)
	if secret == "" {
		return auth.Principal{}, s.refused(r, "the Authorization header must be: Bearer rk_…")
	}
	p, err := s.auth.Verify(r.Context(), secret, remote(r))
	switch err {
	case nil:
		return p, nil
	case auth.ErrBadKey, auth.ErrKeyExpired:
		return p, s.refused(r, err.Error())
	case auth.ErrKeyNetwork:
		return p, newProblem(http.StatusForbidden, err.Error())
	}
	return p, err
}

// credentials is the API key of a request; "" when there is none.
func credentials(r *http.Request) string {
	header := r.Header.Get("Authorization")
	if header == "" {
		return r.Header.Get("X-API-Key")
	}
	scheme, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(secret)
}

// refused counts a failed authentication; too many from one address are told to
// slow down. A right key is never held up by that.
func (s *Server) refused(r *http.Request, detail string) error {
	s.metrics.refused.Inc()
	if wait := s.failures.add(remote(r)); wait > 0 {
		p := newProblem(http.StatusTooManyRequests, "too many wrong credentials from this address; wait")
		p.RetryAfter = wait
		return p
	}
	return unauthorized(detail)
}

// admit asks the table.
func (s *Server) admit(c echo.Context, r *route, who *caller) error {
	if r.who.setup {
		_, needed, err := s.auth.Setup(c.Request().Context())
		if err != nil {
			return err
		}
		if !needed && who.principal.Kind != auth.KindConsole {
			return newProblem(http.StatusNotFound, "the box is set up already")
		}
		return nil
	}
	if r.who.allows(who.principal, who.own) {
		return nil
	}
	if who.principal.Nobody() {
		return s.stranger(c, r)
	}
	return newProblem(http.StatusForbidden, "this needs "+r.who.String())
}

// stranger answers who has no credentials: a browser is shown the way in.
func (s *Server) stranger(c echo.Context, r *route) error {
	if !wantsPage(c) || r.api != nil {
		return unauthorized("send an API key as Authorization: Bearer rk_…")
	}
	return s.wayIn(c)
}

// ownBox tells whether the request comes from this machine.
func (s *Server) ownBox(r *http.Request) bool {
	return r.Context().Value(localKey{}) != nil || remote(r).IsLoopback()
}

// remote is the address at the other end of the connection. Forwarding headers
// are not believed. The zero address for the control socket.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// hostAllowed guards against DNS rebinding: a name must be one of ours, an
// address must be the one that was connected to.
func (s *Server) hostAllowed(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(strings.ToLower(host), "[]"), ".")
	if s.hosts[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if ip = ip.Unmap().WithZone(""); ip.IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.AddrPort().Addr().Unmap().WithZone("") == ip
}

// keyInURL finds a key in the query, whatever the parameter is called.
func keyInURL(r *http.Request) bool {
	if !strings.Contains(r.URL.RawQuery, "=") {
		return false
	}
	for name, values := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "api_key", "apikey", "api-key", "x-api-key", "access_token", "authorization":
			return true
		}
		for _, value := range values {
			if strings.HasPrefix(value, auth.KeyPrefix) && len(value) >= len(auth.KeyPrefix)+20 {
				return true
			}
		}
	}
	return false
}
