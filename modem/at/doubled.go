package at

import (
	"context"
	"time"
)

// doubling is whether the modem says OK twice to everything. Guarded by line.mu.
type doubling struct {
	on     bool
	second bool // the second OK to the last command has not come
}

// swallows says whether a final result is the second OK to the last command.
func (l *line) swallows(canonical string) bool {
	if !l.doubling.second || canonical != "OK" || time.Since(l.lastEnd) > hush {
		return false
	}
	l.doubling.second = false
	select {
	case l.stray <- struct{}{}:
	default:
	}
	return true
}

// awaitSecond waits for the second OK of a modem that says each twice. When it
// does not come, it is no such modem.
func (c *Channel) awaitSecond(ctx context.Context) error {
	var timer *time.Timer
	for c.line.awaitsSecond() {
		if timer == nil {
			timer = time.NewTimer(hush)
			defer timer.Stop()
		}
		select {
		case <-c.line.stray:
		case <-timer.C:
			c.line.double(false)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.line.gone:
			return c.line.goneErr()
		}
	}
	return nil
}

func (l *line) awaitsSecond() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubling.second
}

func (l *line) double(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubling = doubling{on: on}
}
