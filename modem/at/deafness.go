package at

import (
	"context"
	"errors"
	"time"
)

// deafPatience is how long a modem that has just answered AT at once may take
// for the same again before the command counts as not heard.
const deafPatience = 600 * time.Millisecond

// deafPause is longer than any modem is deaf for.
const deafPause = 300 * time.Millisecond

// Deafness finds out for how long the modem hears nothing after a final result:
// some lose a command that comes too soon. It gives AT again and again, with the
// pauses of gaps in front, which grow, and returns the first with which none was
// lost; 0 when none is needed, and the last of gaps when that is not enough. A
// modem that hears well is asked twice.
//
// Errors are those of Command; ErrUnsynced also when the modem was slow rather
// than deaf: the channel then holds until Resync.
func (c *Channel) Deafness(ctx context.Context, gaps []time.Duration) (time.Duration, error) {
	if err := c.begin(ctx); err != nil {
		return 0, err
	}
	defer c.end()
	strays := c.line.strayCount()
	heard, err := c.hears(ctx, 0)
	if heard || err != nil {
		return 0, err
	}
	found := time.Duration(0)
	for _, gap := range append([]time.Duration{0}, gaps...) { // once more without: it may have been chance
		// What was lost must have left nothing behind, and what comes next must be heard.
		if err := c.wait(ctx, deafPause); err != nil {
			return 0, err
		}
		found = gap
		if heard, err = c.hears(ctx, gap); err != nil {
			return 0, err
		}
		if c.line.strayCount() != strays {
			return 0, ErrUnsynced
		}
		if heard {
			break
		}
	}
	if err := c.wait(ctx, deafPause); err != nil {
		return 0, err
	}
	if c.line.strayCount() != strays {
		return 0, ErrUnsynced
	}
	c.line.settled()
	return found, nil
}

// hears says whether an AT is heard that comes gap after the answer to another.
func (c *Channel) hears(ctx context.Context, gap time.Duration) (bool, error) {
	began := time.Now()
	if _, err := c.run(ctx, "", probeTimeout); err != nil {
		return false, err
	}
	patience := deafPatience + 4*time.Since(began)
	if gap > 0 {
		if err := c.wait(ctx, gap); err != nil {
			return false, err
		}
	}
	_, err := c.run(ctx, "", patience)
	if errors.Is(err, ErrTimeout) && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}
