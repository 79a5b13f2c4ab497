package webui

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// livePause is how often an open page is told that something changed, at most.
const livePause = time.Second

// streamLive tells an open page which of its parts to fetch anew: "messages",
// "inbox", "lines"; and "tick" when nothing changed, so that it sees a dead
// connection. What changed within a second is told once. The events carry
// nothing: a page shows only what its own request may see.
func (s *Server) streamLive(c echo.Context) error {
	ctx := c.Request().Context()
	messages, unwatch := s.store.Watch()
	defer unwatch()
	lines, unwatchLines := s.pool.Watch()
	defer unwatchLines()
	seen, err := s.store.LastEvent(ctx)
	if err != nil {
		return err
	}
	out, err := s.startStream(c)
	if err != nil {
		return err
	}
	defer out.end()
	if out.write(liveEvents([]string{"tick"})) != nil {
		return nil
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	pause := time.NewTimer(livePause)
	defer pause.Stop()
	var changed []string // since the page was told last
	note := func(name string) {
		if !slices.Contains(changed, name) {
			changed = append(changed, name)
		}
	}
	resting := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-out.closing:
			return nil
		case <-tick.C:
			if !s.still(c) || out.write(liveEvents([]string{"tick"})) != nil {
				return nil
			}
			continue
		case <-messages:
			note("messages")
		case <-lines:
			note("lines")
		case <-pause.C:
			resting = false
		}
		if resting || len(changed) == 0 {
			continue
		}
		if slices.Contains(changed, "messages") {
			came, err := s.inboundSince(ctx, &seen)
			if err != nil {
				return nil // the browser comes back
			}
			if came {
				note("inbox")
			}
		}
		if out.write(liveEvents(changed)) != nil {
			return nil
		}
		changed, resting = changed[:0], true
		pause.Reset(livePause)
	}
}

// inboundSince tells whether something was received after the event seen, and
// moves seen on.
func (s *Server) inboundSince(ctx context.Context, seen *int64) (bool, error) {
	events, err := s.store.Events(ctx, *seen, eventBatch)
	if err != nil || len(events) == 0 {
		return false, err
	}
	*seen = events[len(events)-1].Seq
	for _, e := range events {
		if strings.HasPrefix(e.Type, "inbound.") {
			return true, nil
		}
	}
	if len(events) < eventBatch {
		return false, nil
	}
	// More than a page needs to look through: it fetches once too often.
	*seen, err = s.store.LastEvent(ctx)
	return true, err
}

// liveEvents is the stream's form of names without data. The data must not be
// empty: a browser drops such an event.
func liveEvents(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("event: " + name + "\ndata: -\n\n")
	}
	return b.String()
}
