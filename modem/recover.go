package modem

import (
	"context"
	"errors"
	"time"

	"recado/modem/at"
)

// The ladder, each rung only when the one before did not help:
//
//	L0  resync: the dialogue is brought back into step
//	L1  the modem is set up again, from identity to AT+CNMI
//	L3  the module is restarted (AT+CFUN=1,1), at most three times an hour
//	L4  the port is closed and opened anew
//	L7  fault: said so, and probed again and again
//
// L2 (radio off and on), L5 (USB) and L6 (power) need to know more of the make
// and the hub than this package does.
const (
	timeoutsToSetup = 3 // in a row
	timeoutsToReset = 6
	resetsPerHour   = 3
	faultProbe      = 10 * time.Second
	syncLimit       = 12 * time.Second // for one look whether somebody answers
)

// sync finds out whether something answers to AT.
func (s *session) sync(ctx context.Context) error {
	m := s.m
	m.setState(StateSync, m.Snapshot().Reason)
	if m.life.mutes >= 2 && m.life.known && m.mayReset() {
		// It was a modem, and a fresh port did not help: restart it blindly.
		m.noteReset("the modem was mute")
		m.life.mutes = 0 // it gets its time to come back
		if _, err := s.ch.Command(ctx, s.family().Reset, 5*time.Second); err != nil && errors.Is(err, at.ErrGone) {
			return at.ErrGone
		}
	}
	for range 2 {
		// A half-written message of an earlier program ends with ESC.
		err := s.ch.Escape(ctx)
		if err == nil || errors.Is(err, at.ErrUnsynced) {
			brief, cancel := context.WithTimeout(ctx, syncLimit)
			err = s.ch.Resync(brief)
			cancel()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, at.ErrGone):
			return at.ErrGone
		case err == nil:
			m.life.known = true
			return nil
		}
		if err := s.wait(ctx, 50*time.Millisecond); err != nil {
			if d, ok := errors.AsType[*demand](err); !ok || d.step >= stepReset {
				return err
			}
			s.err = nil // a boot message: just what we are waiting for
		}
	}
	return errMute
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
	s.timeouts++
	if s.serving {
		s.m.fault(StateRecover, why, nil)
	}
	limited, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	err := s.ch.Resync(limited)
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

// mayReset says whether another restart is allowed within the hour.
func (m *Modem) mayReset() bool {
	m.life.resets = within(m.life.resets, time.Hour)
	return len(m.life.resets) < resetsPerHour
}

func (m *Modem) noteReset(why string) {
	m.life.resets = append(m.life.resets, time.Now())
	m.life.away = time.Now().Add(m.life.family.ResetWait)
	m.log.Info("restarting the modem", "why", why)
	m.update(func(n *Snapshot) {
		n.State, n.Reason = StateRecover, "restarting: "+why
		n.LastError = why
		n.Restarts++
	})
}

// within drops the moments that are longer ago than d.
func within(moments []time.Time, d time.Duration) []time.Time {
	for len(moments) > 0 && time.Since(moments[0]) > d {
		moments = moments[1:]
	}
	return moments
}

// reset restarts the module; the port is closed afterwards, as it will vanish
// with most modems. What the demand asked for is the error to end with.
func (s *session) reset(ctx context.Context, d *demand) error {
	m := s.m
	if d.step != stepOrderedReset && !m.mayReset() {
		return errors.New(d.why + " (restarted three times within the hour already)")
	}
	m.noteReset(d.why)
	s.err = nil
	if cmd := s.family().Reset; cmd != "" {
		_, err := s.ch.Command(ctx, cmd, 15*time.Second)
		if err != nil {
			m.log.Info("the modem did not take the restart", "error", err)
			return d
		}
		// Some go at once, some answer a few more commands first.
		_ = s.wait(ctx, 2*time.Second)
	}
	return d
}

// muted is what happens after a session in which nothing answered.
func (m *Modem) muted(ctx context.Context) {
	m.life.mutes++
	switch {
	case time.Now().Before(m.life.away):
		m.setState(StateRecover, "waiting for the modem to come back from its restart")
		m.pause(ctx, time.Second)
	case m.life.known && m.life.mutes == 1:
		m.fault(StateRecover, "the modem fell silent: the port is opened anew", errMute)
	case m.life.known:
		m.fault(StateFault, "the modem does not answer any more: unplug it and plug it in again", errMute)
		m.pause(ctx, faultProbe)
	default:
		m.fault(StateFault, "nothing on this port answers AT: it is no modem, or the wrong one of a modem's ports", errMute)
		m.pause(ctx, faultProbe)
	}
}
