package at

import (
	"context"
	"time"
)

const (
	// idleAfter is the silence after which some modems lose the first octet that
	// they are given (BenQ M32, sleeping UARTs), and idleLosses how many commands in a row
	// after such a silence must be lost to say so.
	idleAfter, idleLosses = time.Second, 2
	// wakePause is between the CR that is lost in its place and the command.
	wakePause = 30 * time.Millisecond
	// wakeFirst is how long that is done before the modem is tried without, each
	// time twice as long, up to wakeMost.
	wakeFirst, wakeMost = 10 * time.Minute, 4 * time.Hour
)

// waking is whether the modem loses what comes first after a silence. Guarded by
// line.mu.
type waking struct {
	wroteAt time.Time // the last write
	lost    int       // commands after a silence that were lost, in a row
	until   time.Time // a CR goes in front until then
	pause   time.Duration
}

// idle says that the next octet comes after a silence.
func (w *waking) idle() bool { return !w.wroteAt.IsZero() && time.Since(w.wroteAt) >= idleAfter }

// heard takes note of what became of a command after a silence.
func (w *waking) heard(x *exchange, well bool) {
	switch {
	case !x.idle:
		return
	case well:
		w.lost = 0
	default:
		if w.lost++; w.lost >= idleLosses {
			w.learn()
		}
	}
	x.idle = false
}

func (w *waking) learn() {
	w.pause = min(max(2*w.pause, wakeFirst), wakeMost)
	w.until = time.Now().Add(w.pause)
	w.lost = idleLosses - 1 // then one is enough
}

// Wakes says that this modem is given a CR after each silence, because it has
// turned out to lose what comes first; see Options.
func (c *Channel) Wakes() bool {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	return time.Now().Before(c.line.waking.until)
}

// wake gives the modem a CR to lose, where it needs that. The caller has the turn,
// and no submission is open.
func (c *Channel) wake(ctx context.Context) error {
	if !c.Wakes() {
		return nil
	}
	c.line.mu.Lock()
	idle := c.line.waking.idle()
	c.line.mu.Unlock()
	if !idle {
		return nil
	}
	if err := c.line.sendLoose("\r"); err != nil {
		return err
	}
	return c.wait(ctx, wakePause)
}
