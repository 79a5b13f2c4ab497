package pool

import (
	"context"
	"errors"
	"time"

	"recado/modem"
)

const (
	// upkeepRound is how often the pool looks after what nobody tells it.
	upkeepRound = time.Minute
	// goneAfter is how long a SIM is away before what was bound to it, and must
	// not be lost, is sent whole on another.
	goneAfter = 5 * time.Minute
	// reportsWanted accepted segments without any report, the last of them
	// reportsPatience ago, say that reports do not come this way.
	reportsWanted   = 5
	reportsPatience = 10 * time.Minute
)

// upkeep is the state of the rounds; its owner is keepTime.
type upkeep struct {
	last time.Time
	// away is since when a known SIM is in no modem.
	away map[string]time.Time
}

// round does, once a minute, what nobody tells the pool to: claims that no line
// has are given back, SIMs that are gone for good are told to the store, and a
// modem whose reports do not come is told to have them the other way.
func (p *Pool) round(ctx context.Context, u *upkeep, now time.Time) {
	if now.Sub(u.last) < upkeepRound {
		return
	}
	u.last = now
	lines := p.all()
	var held []int64
	present := map[string]bool{}
	for _, l := range lines {
		l.mu.Lock()
		if l.busy && l.seq != 0 {
			held = append(held, l.seq)
		}
		if l.key != "" && holds(l.heard.State) {
			present[l.key] = true
		}
		l.mu.Unlock()
	}
	if n, err := p.store.FreeClaims(ctx, held); err != nil {
		p.complain(ctx, "looking for messages that no line has", err)
	} else if n > 0 {
		p.log.Warn("messages were claimed by no line and are given back", "messages", n)
	}
	for _, key := range p.missing(u, present, now) {
		p.complain(ctx, "freeing what waits for a SIM that is gone", p.store.SIMGone(ctx, key))
	}
	for _, l := range lines {
		l.askForReports(ctx, now)
	}
	p.creditRound(ctx)
}

// missing are the known SIMs that have been away long enough.
func (p *Pool) missing(u *upkeep, present map[string]bool, now time.Time) []string {
	p.simMu.Lock()
	defer p.simMu.Unlock()
	var gone []string
	for key := range p.sims {
		switch since, away := u.away[key]; {
		case present[key]:
			delete(u.away, key)
		case !away:
			u.away[key] = now
		case now.Sub(since) >= goneAfter:
			gone = append(gone, key)
		}
	}
	return gone
}

// reports counts what a line's status reports tell of the way they come;
// guarded by line.mu.
type reports struct {
	accepted int
	last     time.Time // the last acceptance
	came     bool
	asked    bool
}

// askForReports has the modem take its reports another way, once, when the
// first messages got none.
func (l *line) askForReports(ctx context.Context, now time.Time) {
	l.mu.Lock()
	r := &l.reports
	due := !r.came && !r.asked && r.accepted >= reportsWanted && now.Sub(r.last) >= reportsPatience
	r.asked = r.asked || due
	l.mu.Unlock()
	if !due {
		return
	}
	// The modem may be long with a submission: the round does not wait for it.
	l.p.wg.Go(func() {
		err := l.modem.ReportsMissing(ctx)
		if errors.Is(err, modem.ErrNotReady) {
			l.mu.Lock()
			l.reports.asked = false // a later round tries again
			l.mu.Unlock()
			return
		}
		l.p.log.Info("no status report has come; the modem was told to give them another way", "port", l.port.Name, "error", err)
	})
}

func (p *Pool) complain(ctx context.Context, doing string, err error) {
	if err != nil && ctx.Err() == nil {
		p.quietly(doing, err)
	}
}
