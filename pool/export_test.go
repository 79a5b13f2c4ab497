package pool

import (
	"context"
	"time"

	"recado/queue"
)

// Upkeep is the state of the rounds, for tests that make them by hand.
type Upkeep = upkeep

// NewUpkeep begins with a round due.
func NewUpkeep() *Upkeep { return &upkeep{away: map[string]time.Time{}} }

// Round is one round at the given time.
func (p *Pool) Round(ctx context.Context, u *Upkeep, now time.Time) { p.round(ctx, u, now) }

// GoOn has the first line commit an outcome by the test's own functions.
func (p *Pool) GoOn(ctx context.Context, then func(early func(queue.Claimed)) (*queue.Claimed, error), alone func() error) (*queue.Claimed, error) {
	c, _, err := p.all()[0].goOn(ctx, "", then, alone)
	return c, err
}

// Health says whether a SIM's line could send, and whether something speaks against it.
func (p *Pool) Health(iccid string) (able, doubtful bool) {
	l := p.lineOfSIM(iccid)
	return l != nil && l.able(), l != nil && l.doubt(time.Now()) > 0
}
