package pool

import (
	"context"
	"time"
)

// Upkeep is the state of the rounds, for tests that make them by hand.
type Upkeep = upkeep

// NewUpkeep begins with a round due.
func NewUpkeep() *Upkeep { return &upkeep{away: map[string]time.Time{}} }

// Round is one round at the given time.
func (p *Pool) Round(ctx context.Context, u *Upkeep, now time.Time) { p.round(ctx, u, now) }
