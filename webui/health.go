package webui

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"recado/queue/sqlite"
)

// Check is one thing that the box's health depends on.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // Pass, Warn, Fail
	// Detail says what is wrong and what to do; "" when all is well.
	Detail string `json:"detail,omitempty"`
}

// Status of a Check, and of them all: the worst.
const (
	Pass = "pass"
	Warn = "warn" // it works, somebody should look
	Fail = "fail" // it cannot do its work
)

// Health is what /health/ready answers.
type Health struct {
	Status  string  `json:"status"`
	Version string  `json:"version,omitempty"`
	Checks  []Check `json:"checks"`
}

// healthLive says that the program answers, and nothing else.
func (s *Server) healthLive(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(http.StatusOK, struct {
		Status string `json:"status"`
	}{Pass})
}

// healthReady says whether the box can do its work: 503 when a check fails.
// Details are for who is known, or sits at the box.
func (s *Server) healthReady(c echo.Context) error {
	h := s.health(c.Request().Context())
	if who := callerOf(c.Request().Context()); who.principal.Nobody() && !who.own {
		h.Version = ""
		for i := range h.Checks {
			h.Checks[i].Detail = ""
		}
	}
	status := http.StatusOK
	if h.Status == Fail {
		status = http.StatusServiceUnavailable
	}
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.JSON(status, h)
}

// health runs the checks.
func (s *Server) health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	h := Health{Status: Pass, Version: s.version, Checks: []Check{}}
	add := func(c Check) {
		h.Checks = append(h.Checks, c)
		if c.Status == Fail || c.Status == Warn && h.Status == Pass {
			h.Status = c.Status
		}
	}
	database := Check{"database", Pass, ""}
	if _, err := s.store.LastEvent(ctx); err != nil {
		s.log.Error("the database does not answer", "err", err)
		database = Check{"database", Fail, "the database does not answer; see the log"}
	} else if h := s.store.Storage(); h.State == sqlite.HealthReadOnly {
		database = Check{"database", Fail, h.Detail}
	} else if h.Detail != "" && h.State != sqlite.HealthChecking {
		database = Check{"database", Warn, h.Detail}
	}
	add(database)
	lines := Check{"lines", Pass, ""}
	if s.pool.Ready() == 0 {
		lines = Check{"lines", Warn, "no line can send now; see the modems"}
	}
	add(lines)
	sending := Check{"sending", Pass, ""}
	if s.pool.Paused() {
		sending = Check{"sending", Warn, "sending is paused"}
	}
	add(sending)
	clock := Check{"clock", Pass, ""}
	if !s.clock.Trusted() {
		clock = Check{"clock", Warn, "the clock cannot be trusted yet: nothing scheduled is sent"}
	}
	add(clock)
	for _, c := range healthOf(s.pool.Findings(ctx)) {
		add(c)
	}
	if s.checks != nil {
		for _, c := range s.checks(ctx) {
			add(c)
		}
	}
	return h
}
