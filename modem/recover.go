package modem

import (
	"context"
	"errors"
	"time"

	"recado/modem/at"
)

const (
	// syncLimit is for one look whether somebody answers, glance for one at a
	// modem that has been mute for a while. Who is heard gets as much again.
	syncLimit = 12 * time.Second
	glance    = 7 * time.Second
	// glances are made, glanceEvery apart, before the port is opened anew: with a
	// hung peer behind TCP every opening leaves a connection behind.
	glances     = 3
	glanceEvery = 2 * time.Second
	// silentPause is between the sessions with a modem that is mute, strangerPause
	// with a port where nobody has ever answered.
	silentPause   = time.Second
	strangerPause = 8 * time.Second
	// resyncLimit is for a dialogue that lost its step.
	resyncLimit = 15 * time.Second
)

// sync finds out whether something answers to AT.
func (s *session) sync(ctx context.Context) error {
	m := s.m
	looks, limit, gap := 2, syncLimit, 50*time.Millisecond
	if m.life.known && m.life.mutes >= 2 {
		looks, limit, gap = glances, glance, glanceEvery
	}
	if m.Snapshot().State != StateFault || m.life.mutes < 2 {
		m.setState(StateSync, m.Snapshot().Reason) // else it is what it was until it answers
	}
	if s.resetBlindly(ctx) {
		return errMute
	}
	for range looks {
		// A half-written message of an earlier program ends with ESC.
		err := s.ch.Escape(ctx)
		if err == nil || errors.Is(err, at.ErrUnsynced) {
			err = s.look(ctx, limit)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, at.ErrGone):
			return at.ErrGone
		case err == nil:
			m.life.known, m.life.ladder.silent = true, time.Time{}
			return s.listenForDeafness(ctx)
		}
		if err := s.wait(ctx, gap); err != nil {
			if d, ok := errors.AsType[*demand](err); !ok || d.step >= stepReset {
				return err
			}
			s.err = nil // a boot message: just what we are waiting for
		}
	}
	return errMute
}

// look is one Resync, with a limit for how long nothing at all may be heard.
func (s *session) look(ctx context.Context, limit time.Duration) error {
	brief, cancel := context.WithCancel(ctx)
	defer cancel()
	heard := s.heard.Load()
	t := time.AfterFunc(limit, func() {
		if s.heard.Load() == heard {
			cancel()
			return
		}
		time.AfterFunc(limit, cancel)
	})
	defer t.Stop()
	return s.ch.Resync(brief)
}

// resetBlindly tells a modem to restart that does not answer, when that is due:
// some hear and cannot speak. On a fresh channel: one that waits for an answer
// writes nothing.
func (s *session) resetBlindly(ctx context.Context) (done bool) {
	m := s.m
	l := &m.life.ladder
	if !m.life.known || l.silent.IsZero() || time.Since(l.silent) < blindAfter || l.times[rungModule] > 0 ||
		time.Now().Before(m.life.away) || !m.may(rungModule) {
		return false
	}
	m.restarting(rungModule, "the modem is mute", m.life.family.ResetWait)
	_, err := s.ch.Command(ctx, s.family().Reset, 5*time.Second)
	if answered(err) {
		m.came("refused (" + err.Error() + ")")
		m.life.away = time.Time{}
	}
	return true
}

// answered says that err is a modem's word.
func answered(err error) bool {
	_, cms := errors.AsType[at.CMSError](err)
	_, cme := errors.AsType[at.CMEError](err)
	_, words := errors.AsType[*at.TextError](err)
	return cms || cme || words || errors.Is(err, at.ErrFailed)
}

// resync is L0; it demands L1 and L3 when it was needed too often.
func (s *session) resync(ctx context.Context, why string) {
	m := s.m
	s.timeouts++
	began, before := time.Now(), m.dialogue()
	if s.serving {
		m.fault(StateRecover, why, nil)
	}
	limited, cancel := context.WithTimeout(ctx, resyncLimit)
	defer cancel()
	err := s.ch.Resync(limited)
	came := "in step"
	if err != nil {
		came = "did not help"
	}
	m.note(EntryStep, string(rungResync), why+": "+rungWords[rungResync]+", "+came, "after "+span(time.Since(began))+"\n"+before)
	switch {
	case ctx.Err() != nil:
		s.err = ctx.Err()
	case errors.Is(err, at.ErrGone):
		s.err = at.ErrGone
	case err != nil:
		s.err = errMute
	case s.timeouts >= timeoutsToReset:
		s.demand(stepReset, why)
	case s.timeouts >= timeoutsToSetup:
		s.demand(stepIdentify, why)
	case s.serving:
		s.becomeReady()
	}
}

// within drops the moments that are longer ago than d.
func within(moments []time.Time, d time.Duration) []time.Time {
	for len(moments) > 0 && time.Since(moments[0]) > d {
		moments = moments[1:]
	}
	return moments
}
