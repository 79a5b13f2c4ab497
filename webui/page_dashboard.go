package webui

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"recado/queue"
	"recado/queue/inbox"
)

// dashboardPage is what dashboard.html shows.
type dashboardPage struct {
	Findings []findingView // about webhooks
	Empty    bool          // nothing was ever sent or received
	Tiles    []tile
	Lines    []simView
	Waiting  bool
	Held     int // messages that wait for somebody's word, not for their turn
	Queue    []queueRow
	Latest   []inbox.Message
	Training *training
	Switches []switchPart // what can be stopped by itself
}

// tile is a figure that leads to what it counts.
type tile struct {
	Key, Href, Icon, Tone string
	N                     int
}

// queueRow is one class's share of what waits.
type queueRow struct {
	Class                  string
	Queued, Sending, Later int
}

func (s *Server) showDashboard(c echo.Context) error {
	ctx := c.Request().Context()
	stats, err := s.store.Stats(ctx)
	if err != nil {
		return err
	}
	depth, err := s.store.Depth(ctx)
	if err != nil {
		return err
	}
	p := dashboardPage{Tiles: tiles(stats, s.clock.Now().In(zoneOf(c.Request())))}
	p.Queue, p.Waiting = queueRows(depth)
	for _, n := range depth[queue.Held] {
		p.Held += n
	}
	if p.Latest, _, err = s.inbox.List(ctx, inbox.Filter{Limit: 5}); err != nil {
		return err
	}
	if p.Lines, err = s.simViews(c); err != nil {
		return err
	}
	p.Switches = switchParts(s.words(c), p.Lines, s.pool.Pauses())
	if len(p.Latest) == 0 {
		first, _, err := s.store.Messages(ctx, queue.Filter{Limit: 1})
		if err != nil {
			return err
		}
		p.Empty = len(first) == 0
	}
	broken, err := WebhookFindings(ctx, s.hooks, s.clock.Now())
	if err != nil {
		return err
	}
	p.Findings = s.about(c, broken)
	if p.Training, err = s.training(c, ""); err != nil {
		return err
	}
	if p.Training != nil {
		p.Training.Open = len(p.Latest) == 0 && !p.Empty
	}
	return s.page(c, http.StatusOK, "dashboard", "dashboard", p)
}

func tiles(stats queue.Stats, now time.Time) []tile {
	today := url.QueryEscape(now.Format(time.DateOnly))
	failed := stats.Today[queue.Failed] + stats.Today[queue.Undelivered] + stats.Today[queue.Expired]
	list := []tile{
		{Key: "sent", Href: "/messages?state=out&since=" + today, Icon: "send", Tone: "info", N: stats.Today[queue.Sent]},
		{Key: "delivered", Href: "/messages?state=delivered&since=" + today, Icon: "check-check", Tone: "ok", N: stats.Today[queue.Delivered]},
		{Key: "failed", Href: "/messages?state=problem&since=" + today, Icon: "circle-x", Tone: "idle", N: failed},
		{Key: "uncertain", Href: "/messages?state=uncertain", Icon: "circle-question-mark", Tone: "idle", N: stats.Uncertain},
	}
	if failed > 0 {
		list[2].Tone = "bad"
	}
	if stats.Uncertain > 0 {
		list[3].Tone = "warn"
	}
	return list
}

// queueRows are the classes that have something waiting.
func queueRows(depth map[queue.State]map[queue.Class]int) (rows []queueRow, waiting bool) {
	for _, class := range []queue.Class{queue.OTP, queue.Alert, queue.Normal, queue.Bulk} {
		row := queueRow{Class: string(class), Queued: depth[queue.Queued][class], Sending: depth[queue.Sending][class],
			Later: depth[queue.Scheduled][class]}
		if row.Queued+row.Sending+row.Later > 0 {
			rows, waiting = append(rows, row), true
		}
	}
	return rows, waiting
}

func (s *Server) pausePage(c echo.Context) error  { return s.turnSending(c, true) }
func (s *Server) resumePage(c echo.Context) error { return s.turnSending(c, false) }

// turnSending throws a kill switch, or takes it back: of everything, or of the
// form's SIM or class. Pausing is said by the banner.
func (s *Server) turnSending(c echo.Context, paused bool) error {
	b := SendingRequest{SIM: c.FormValue("sim"), Class: c.FormValue("class")}
	if _, err := s.turnSwitch(c.Request().Context(), &b, paused); err != nil {
		if bad, is := errors.AsType[*queue.Invalid](err); is {
			return newProblem(http.StatusUnprocessableEntity, bad.Detail)
		}
		return err
	}
	to := "/"
	if next := c.FormValue("next"); next != "" {
		to = localPath(next)
	}
	if paused {
		return c.Redirect(http.StatusSeeOther, to)
	}
	return s.done(c, to, "resumed", 0)
}
