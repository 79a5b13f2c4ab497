// Package webui is the appliance's face: the HTTP API for applications and the
// pages for people, from one table of routes (routes.go) that says of each who
// may use it.
//
// Echo and huma stay inside this package. Handlers decode, call one method of
// queue, inbox, pool or auth, and encode; what those return is turned into a
// status and a stable code in one place (errors.go).
package webui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"recado/pool"
	"recado/queue"
	"recado/queue/inbox"
	"recado/queue/webhook"
	"recado/webui/auth"
)

// Options of a Server. Store, Inbox, Pool, Auth and Clock are needed.
type Options struct {
	Store *queue.Store
	Inbox *inbox.Store
	Pool  *pool.Pool
	Auth  *auth.Store
	Clock queue.Clock
	// Log gets errors and what an operator should know; never a body, a full
	// number or a secret. slog.Default when nil.
	Log *slog.Logger
	// Registry is shown at /metrics, and gets this package's own figures. A new
	// one when nil.
	Registry *prometheus.Registry
	Version  string
	// Hosts are the names under which the box may be called besides localhost,
	// its own addresses and its host name; without port.
	Hosts []string
	// Emulator lets a message from a number arrive at an emulated SIM (ICCID,
	// name or number). nil: no emulated modems run.
	Emulator func(ctx context.Context, sim, from, text string) error
	// Checks are what /health/ready reports beside the server's own. May be nil.
	Checks func(ctx context.Context) []Check
	// Findings are what the doctor says beside the pool's. May be nil.
	Findings func(ctx context.Context) []pool.Finding
	// Bundle writes the support bundle, a .tar.gz without texts, numbers and
	// secrets. May be nil: there is none to be had from the pages.
	Bundle func(ctx context.Context, out io.Writer) error
	// Storage tells how much room there is. May be nil: not known.
	Storage func() (Storage, error)
	// Care is for those who look after the data.
	Care Care
	// Webhooks tell other programs what happens. nil: there are none to be had.
	Webhooks *webhook.Outbox
	// Started is when the program did; now when zero.
	Started time.Time
}

// Storage is the room on the data folder's disk, in bytes.
type Storage struct {
	Free, Total, Database int64
}

// Server answers HTTP. Its Handler is safe for concurrent use.
type Server struct {
	store    *queue.Store
	inbox    *inbox.Store
	pool     *pool.Pool
	auth     *auth.Store
	clock    queue.Clock
	log      *slog.Logger
	registry *prometheus.Registry
	version  string
	emulator func(ctx context.Context, sim, from, text string) error
	checks   func(ctx context.Context) []Check
	beside   func(ctx context.Context) []pool.Finding
	bundle   bundleFunc
	bundles  *rate.Limiter // how often
	storage  func() (Storage, error)
	care     Care
	hooks    *webhook.Outbox
	started  time.Time

	echo     *echo.Echo
	api      huma.API
	openapi  []byte // /openapi.json, made once
	routes   map[routeKey]*route
	hosts    map[string]bool
	csrf     *http.CrossOriginProtection
	sessions *scs.SessionManager
	metrics  *metrics
	failures *failures // of authentication, by address
	running  sync.Map  // Idempotency-Keys being worked on
	pages    *views    // templates and words of the pages
	streams  *streams  // live ones

	ussdSeats ussdSeats // whose a SIM's open USSD session is
	// changing is held from reading a setting until its change is kept, so that of
	// two changes at once neither undoes the other.
	changing sync.Mutex
}

// New puts the server together. It starts nothing.
func New(o Options) (*Server, error) {
	if o.Store == nil || o.Inbox == nil || o.Pool == nil || o.Auth == nil || o.Clock == nil {
		return nil, errors.New("webui: Store, Inbox, Pool, Auth and Clock are needed")
	}
	s := &Server{
		store: o.Store, inbox: o.Inbox, pool: o.Pool, auth: o.Auth, clock: o.Clock, log: o.Log, registry: o.Registry,
		version: o.Version, emulator: o.Emulator, checks: o.Checks, beside: o.Findings, bundle: o.Bundle, bundles: newBundleLimit(), storage: o.Storage, started: o.Started, care: o.Care,
		hosts: allowedHosts(o.Hosts), csrf: http.NewCrossOriginProtection(), failures: newFailures(),
		streams: newStreams(), hooks: o.Webhooks,
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	if s.started.IsZero() {
		s.started = s.clock.Now()
	}
	var err error
	if s.metrics, err = newMetrics(s.registry); err != nil {
		return nil, err
	}
	if err := s.registry.Register(simFigures{s}); err != nil {
		return nil, fmt.Errorf("webui: register metrics: %w", err)
	}
	s.sessions = newSessions(o.Auth)
	if s.pages, err = newViews(); err != nil {
		return nil, err
	}
	s.echo = echo.New()
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.IPExtractor = echo.ExtractIPDirect()
	s.echo.HTTPErrorHandler = s.failed
	s.echo.Use(s.gate)
	if err := s.register(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler answers the LAN.
func (s *Server) Handler() http.Handler { return s.echo }

// Local answers the control socket: the same routes, asked by the console, which
// may everything. Who can open the socket is decided by the file's mode.
func (s *Server) Local() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.echo.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, true)))
	})
}

// HTTP is an http.Server around handler with the time and size limits that keep
// slow and greedy clients from holding the box. Shutting it down ends the live
// event streams, which would otherwise never.
func (s *Server) HTTP(handler http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		// Broken handshakes and the like are the clients' business.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(s.Close)
	return srv
}

// Close ends the live event streams and waits for them. Further requests are
// still answered; new streams are not.
func (s *Server) Close() { s.streams.close() }

// allowedHosts are the names in lower case that a request may be addressed to.
// Addresses of the box itself are recognised by the connection.
func allowedHosts(names []string) map[string]bool {
	hosts := map[string]bool{"localhost": true}
	if name, err := hostname(); err == nil && name != "" {
		name = strings.ToLower(name)
		short, _, _ := strings.Cut(name, ".")
		hosts[name], hosts[short], hosts[short+".local"] = true, true, true
	}
	for _, name := range names {
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		hosts[strings.TrimSuffix(strings.ToLower(name), ".")] = true
	}
	return hosts
}
