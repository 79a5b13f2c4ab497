package modem

import (
	"context"
	"time"

	"recado/modem/at"
)

const (
	sweepEvery     = time.Minute
	sweepMemsEvery = 5 * time.Minute
	sweepEveryDeaf = 15 * time.Second // the modem does not say when something comes
	// quiet is how long after a submission chores keep still: the next message
	// is usually a commit away.
	quiet = 250 * time.Millisecond
)

// chore is something to be done between sends. It is due when it is wanted, and
// then done as soon as the line has been quiet for a moment; under steady load,
// when its patience is over. Even then sends go in front of each of its
// commands, so that it costs each of them no more than one short command.
type chore struct {
	run   func(context.Context)
	every time.Duration // 0: only when asked for
	// patience and sends bound the wait under load: how long it may be overdue,
	// and for how many submissions (0: any).
	patience time.Duration
	sends    int

	due  time.Time // zero: not wanted
	seen int       // submissions when it was wanted
}

// chores of a ready modem, in the order in which they go when several are due.
type chores struct {
	list []*chore

	acknowledge, hangUp, readHints, delete, sweepHere, sweepMems,
	doUSSD, checkLost, checkHealth, checkUsed, checkSettings, checkOperator, checkSIM, checkLosses, checkWell, checkPace, checkClock, resume, askMissed *chore
}

func (s *session) planChores() {
	c := &s.chores
	c.acknowledge = &chore{run: s.sendAcks, sends: 1}
	c.hangUp = &chore{run: s.refuseCall, sends: 1}
	c.readHints = &chore{run: s.unlessPassive(s.serveHints), patience: 3 * time.Second, sends: 2}
	c.delete = &chore{run: s.unlessPassive(s.deleteKept), patience: 10 * time.Second, sends: 4}
	c.sweepHere = &chore{run: s.unlessPassive(s.sweepCurrent), every: sweepEvery, patience: 15 * time.Second}
	c.sweepMems = &chore{run: s.unlessPassive(s.sweepAll), every: sweepMemsEvery, patience: 2 * time.Minute}
	c.doUSSD = &chore{run: s.serveUSSD, patience: 3 * time.Second}
	c.checkLost = &chore{run: s.stillLost, patience: 5 * time.Second}
	c.checkHealth = &chore{run: s.health, every: 30 * time.Second, patience: 30 * time.Second}
	c.checkUsed = &chore{run: s.unlessPassive(s.usedFalls), patience: time.Minute}
	c.checkSettings = &chore{run: s.unlessPassive(s.verifySettings), every: 5 * time.Minute, patience: 2 * time.Minute}
	c.checkOperator = &chore{run: s.operator, every: 5 * time.Minute, patience: 2 * time.Minute}
	c.checkSIM = &chore{run: s.checkSIMSwap, every: time.Minute, patience: 30 * time.Second}
	c.checkLosses = &chore{run: s.forgetLosses, patience: time.Minute}
	c.checkWell = &chore{run: s.stillWell, patience: time.Second}
	c.checkPace = &chore{run: s.forgetPace, patience: time.Minute}
	c.checkClock = &chore{run: s.unlessPassive(s.readClock), every: clockEvery, patience: time.Minute}
	c.resume = &chore{run: s.resumeSIM}
	c.askMissed = &chore{run: s.unlessPassive(s.makeUp), patience: 10 * time.Second}
	c.list = []*chore{
		c.resume,
		c.acknowledge, c.hangUp, c.readHints, c.delete, c.sweepHere, c.sweepMems,
		c.doUSSD, c.checkLost, c.checkHealth, c.checkUsed, c.checkSettings, c.checkOperator, c.checkSIM, c.checkLosses, c.checkWell, c.checkPace,
		c.checkClock, c.askMissed,
	}
}

// want asks for a chore after some time, or sooner when it is wanted sooner.
func (s *session) want(c *chore, in time.Duration) {
	due := time.Now().Add(in)
	if c.due.IsZero() || due.Before(c.due) {
		c.due, c.seen = due, s.sent
	}
}

// overdue says that a chore has waited long enough behind sends.
func (s *session) overdue(c *chore, now time.Time) bool {
	if c.due.IsZero() || now.Before(c.due) {
		return false
	}
	if s.full && (c == s.sweepHere || c == s.sweepMems || c == s.readHints || c == s.delete) {
		return true // a full memory receives nothing
	}
	if (c == s.readHints || c == s.delete) && s.behind() {
		return true
	}
	return c.patience > 0 && now.Sub(c.due) >= c.patience || c.sends > 0 && s.sent-c.seen >= c.sends
}

// do runs a chore and plans its next time.
func (s *session) do(ctx context.Context, c *chore) {
	c.due = time.Time{}
	if c.every > 0 {
		c.due, c.seen = time.Now().Add(c.every), s.sent
	}
	c.run(ctx)
}

// serve is the life of a ready modem, until an error ends it.
func (s *session) serve(ctx context.Context) error {
	m := s.m
	now := time.Now()
	for _, c := range s.list {
		if c.every > 0 && c.due.IsZero() {
			c.due = now.Add(c.every)
		}
	}
	s.readyAt, s.serving, s.timeouts, s.deviceErrors = now, true, 0, 0
	m.life.mutes = 0
	s.checkWell.due = time.Time{}
	s.want(s.checkWell, wellAfter)
	if m.life.pace > 0 {
		s.want(s.checkPace, m.life.paceAgain)
	}
	if _, ok := m.c.Sink.(TimeSink); ok {
		s.want(s.checkClock, clockSoon)
	} else {
		s.checkClock.due = time.Time{}
	}
	if s.unswept {
		s.unswept = false
		s.want(s.sweepMems, 0)
	}
	if s.missAgain = missFirst; len(s.missed) > 0 {
		s.want(s.askMissed, s.missAgain)
	}
	s.becomeReady()
	for s.err == nil {
		s.turn(ctx)
	}
	return s.err
}

// stillWell ends what the ladder holds against a modem that has been ready for
// a while.
func (s *session) stillWell(context.Context) {
	s.m.well()
}

// leaveReady closes the mailbox for sends.
func (s *session) leaveReady() {
	s.serving = false
	s.m.stopSends()
	s.dropUSSD()
}

// openSends is false when another port has the SIM.
func (m *Modem) openSends() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.passive {
		return false
	}
	if m.closing == nil {
		m.closing = make(chan struct{})
	}
	return true
}

// stopSends lets every waiting Send return.
func (m *Modem) stopSends() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing != nil {
		close(m.closing)
		m.closing = nil
	}
}

// turn does one thing: an order, an overdue chore, a send, a due chore, in this
// order; with nothing to do it waits.
func (s *session) turn(ctx context.Context) {
	s.hear()
	if s.err != nil {
		return
	}
	select {
	case o := <-s.m.orders:
		s.obey(ctx, o)
		return
	case <-s.ch.Gone():
		s.err = at.ErrGone
		return
	default:
	}
	now := time.Now()
	for _, c := range s.list {
		if s.overdue(c, now) {
			s.do(ctx, c)
			return
		}
	}
	select {
	case r := <-s.m.sends:
		s.submit(ctx, r)
		return
	default:
	}
	next := now.Add(time.Hour)
	for _, c := range s.list {
		if c.due.IsZero() {
			continue
		}
		when := c.due
		if calm := s.lastSend.Add(quiet); calm.After(when) {
			when = calm
		}
		if !when.After(now) {
			s.do(ctx, c)
			return
		}
		if when.Before(next) {
			next = when
		}
	}
	s.idle(ctx, next.Sub(now))
}

func (s *session) idle(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case r := <-s.m.sends:
		s.submit(ctx, r)
	case o := <-s.m.orders:
		s.obey(ctx, o)
	case <-s.m.news: // heard by the next turn
	case <-t.C:
	case <-s.ch.Gone():
		s.err = at.ErrGone
	case <-ctx.Done():
		s.err = ctx.Err()
	}
}

// backlog of what is to be read and deleted, from which on one command between
// two submissions is not enough: every message sent brings a report.
const backlog = 4

// behind says that reading and deleting fall behind: a full memory receives
// nothing, and answers are late.
func (s *session) behind() bool { return s.full || len(s.hints)+len(s.deletes) >= backlog }

// holdFor is how long after a submission chores may go on before a waiting
// message, when they are behind.
func (s *session) holdFor() time.Duration {
	switch {
	case !s.behind():
		return 0
	case s.full:
		return 3 * time.Second
	case len(s.hints)+len(s.deletes) >= 3*backlog:
		return time.Second
	}
	return 150 * time.Millisecond
}

// letSendGo submits a waiting message before a chore's next command.
func (s *session) letSendGo(ctx context.Context) {
	if s.err != nil || s.acking || s.pairing {
		return // an acknowledgement goes before everything
	}
	if time.Since(s.lastSend) < s.holdFor() {
		return
	}
	if s.ackKept(ctx); s.err != nil {
		return
	}
	if s.adjacent {
		s.adjacent = false
		return // what was selected just now is read at once
	}
	select {
	case r := <-s.m.sends:
		s.submit(ctx, r)
	default:
	}
}

// refuseCall hangs up: a ringing call keeps many modems from sending.
func (s *session) refuseCall(ctx context.Context) {
	if _, err := s.ask(ctx, "+CHUP", confirmAnswer); err != nil {
		s.ask(ctx, "H", confirmAnswer)
	}
}
