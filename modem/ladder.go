package modem

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// rung is a step of the ladder of recovery. Each is taken only when the one
// before did not help, and one that a modem does not have is passed over.
type rung string

const (
	rungResync rung = "L0" // the dialogue is brought back into step
	rungSetup  rung = "L1" // set up again, from identity to AT+CNMI
	rungRadio  rung = "L2" // the radio off and on
	rungModule rung = "L3" // the module is restarted (AT+CFUN=1,1)
	rungReopen rung = "L4" // the port is closed and opened anew
	rungUSB    rung = "L5" // the device is taken off the USB bus and brought back
	rungPower  rung = "L6" // its power is cut for a moment
	rungFault  rung = "L7" // said to be out of order, and looked at again and again
)

// rungWords are the rungs as the history tells them.
var rungWords = map[rung]string{
	rungResync: "resync", rungSetup: "set up again", rungRadio: "radio off and on", rungModule: "module restart",
	rungReopen: "port opened anew", rungUSB: "USB reset", rungPower: "power cut", rungFault: "out of order",
}

// The ladder's thresholds. They bound what is done to a modem, never how often
// it is looked at: a line whose trouble has ended is back within seconds.
const (
	timeoutsToSetup = 3 // commands without an answer, in a row, until L1
	timeoutsToReset = 6 // and until L3
	roundsToRadio   = 5 // set-ups in a row that did not last a minute, until L2
	roundsToReset   = 7 // and until L3

	// searchToRadio and searchToReset are how long a modem with a good SIM may
	// look for a network before L2 and L3, each once.
	searchToRadio = 10 * time.Minute
	searchToReset = 20 * time.Minute

	// disturbances are L3, L5 and L6 together in an hour; of L5 and of L6 there is
	// one in hardwareEvery, and each further one of the same silence waits twice
	// as long as the one before, up to hardwareMost.
	disturbances  = 3
	hardwareEvery = 30 * time.Minute
	hardwareMost  = 24 * time.Hour

	// blindAfter is how long a modem that has answered before must be mute until
	// it is told to restart without being heard. Not sooner: one that only hangs
	// has the command in its buffer, and obeys when it is well again.
	blindAfter = 3 * time.Minute

	// awayAfterUSB and awayAfterPower are how long a modem may take to answer
	// after L5 and L6; for L3 the family says it.
	awayAfterUSB   = 20 * time.Second
	awayAfterPower = 45 * time.Second
	// hardwareLimit is how long the USB reset or the power switch may take.
	hardwareLimit = 2 * time.Minute

	radioPause = 5 * time.Second // between radio off and on
	radioTries = 3               // to switch it on; register goes on with it
	// wellAfter is how long a modem must be ready for the ladder to begin anew.
	wellAfter = 2 * time.Minute
)

// ladder is how far up a modem's trouble has led. Owned by Run's goroutine.
type ladder struct {
	disturbed []time.Time // L3, L5 and L6 of the last hour
	// last is when L5 and L6 were taken, times how often since the modem was well.
	last  map[rung]time.Time
	times map[rung]int
	top   rung      // the highest since the modem was well; "" none
	open  rung      // whose outcome is not known yet; "" none
	began time.Time // of open
	// silent is since when nothing answers; zero: it does.
	silent time.Time
	// spared: another port of the same module had its SIM when this one was heard
	// last. What is done to the module would be done to that one.
	spared bool
}

// errExhausted: every rung that there is has been taken, as often as it may be.
var errExhausted = errors.New("no further means are left for now")

// take notes that a rung is taken, and why, with the dialogue that led to it.
func (m *Modem) take(r rung, why string) {
	m.came("did not help")
	l := &m.life.ladder
	l.open, l.began, l.top = r, time.Now(), max(l.top, r)
	switch r {
	case rungModule, rungUSB, rungPower:
		if l.last == nil {
			l.last, l.times = map[rung]time.Time{}, map[rung]int{}
		}
		l.disturbed = append(l.disturbed, time.Now())
		l.last[r] = time.Now()
		l.times[r]++
	}
	m.note(EntryStep, string(r), rungWords[r]+": "+why, m.dialogue())
}

// came notes what came of the rung that was taken last.
func (m *Modem) came(of string) {
	l := &m.life.ladder
	if l.open == "" {
		return
	}
	m.note(EntryStep, string(l.open), rungWords[l.open]+": "+of, "after "+span(time.Since(l.began)))
	l.open = ""
}

// span is a duration as people say it.
func span(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// well begins the ladder anew; the limits go on.
func (m *Modem) well() {
	l := &m.life.ladder
	l.top = ""
	clear(l.times)
}

// has says whether the modem has such a rung. The module is not a passive port's
// to disturb, also when it has fallen silent: the port that has the SIM sees to it.
func (m *Modem) has(r rung) bool {
	if m.isSpared() && r >= rungRadio && r != rungReopen && r != rungFault {
		return false
	}
	switch r {
	case rungRadio:
		return m.life.family.RadioOff != "" && m.life.family.RadioOn != ""
	case rungModule:
		return m.life.family.Reset != ""
	case rungUSB:
		return m.c.USBReset != nil
	case rungPower:
		return m.c.PowerCycle != nil
	}
	return true
}

// isSpared says that only this port's own things may be done to it.
func (m *Modem) isSpared() bool {
	l := &m.life.ladder
	l.spared = l.spared || m.isPassive()
	return l.spared
}

// may says whether a rung can be taken now: it exists, the limits allow it, and
// nobody else is disturbed. That no submission's answer is owed is seen to by
// the actor: it listens then, and does nothing else.
func (m *Modem) may(r rung) bool {
	l := &m.life.ladder
	if !m.has(r) {
		return false
	}
	switch r {
	case rungUSB, rungPower:
		wait := min(hardwareEvery<<min(max(l.times[r]-1, 0), 10), hardwareMost)
		if last, ok := l.last[r]; ok && time.Since(last) < wait {
			return false
		}
	case rungModule:
	default:
		return true
	}
	if l.disturbed = within(l.disturbed, time.Hour); len(l.disturbed) >= disturbances {
		return false
	}
	return m.c.Disturb == nil || m.c.Disturb(string(r))
}

// mayReset says whether a restart of the module is allowed now.
func (m *Modem) mayReset() bool { return m.may(rungModule) }

// next is the rung for a modem that answers and yet demands to be restarted:
// the next one up, else the restart again; "" when none is allowed now.
func (m *Modem) next() rung {
	list := []rung{rungModule, rungUSB, rungPower}
	for _, r := range list {
		if r > m.life.ladder.top && m.may(r) {
			return r
		}
	}
	for _, r := range list {
		if m.may(r) {
			return r
		}
	}
	return ""
}

// restarting notes a rung that restarts the modem, which may then be away.
func (m *Modem) restarting(r rung, why string, away time.Duration) {
	m.take(r, why)
	m.life.away = time.Now().Add(away)
	m.log.Info("restarting the modem", "step", r, "why", why)
	m.update(func(n *Snapshot) {
		n.State, n.Reason = StateRecover, "restarting ("+rungWords[r]+"): "+why
		n.LastError = why
		n.Restarts++
	})
}

// reset takes the rung that a demand for a restart leads to. L3 is done here, and
// the port is closed afterwards, as it will vanish with most modems; the others
// need it closed, and between does them. The error is what the session ends with.
func (s *session) reset(ctx context.Context, d *demand) error {
	m := s.m
	switch {
	case d.rung == rungPower: // by an operator
		return d
	case d.step == stepOrderedReset:
		d.rung = rungModule
	default:
		d.rung = m.next()
	}
	if d.rung == "" {
		return fmt.Errorf("%s: %w", d.why, errExhausted)
	}
	if d.rung != rungModule {
		return d
	}
	m.restarting(rungModule, d.why, m.life.family.ResetWait)
	s.err = nil
	if m.life.family.Reset == "" {
		return d // by an operator: the port is opened anew at least
	}
	_, err := s.ch.Command(ctx, s.family().Reset, 15*time.Second)
	if err != nil {
		m.log.Info("the modem did not take the restart", "error", err)
		m.came("not taken (" + err.Error() + ")")
		return d
	}
	// Some go at once, some answer a few more commands first.
	_ = s.wait(ctx, 2*time.Second)
	return d
}

// radio is L2. It says from where to go up again: the SIM is read anew, and
// AT+CNMI is forgotten.
func (s *session) radio(ctx context.Context, why string) (step, error) {
	m := s.m
	m.take(rungRadio, why)
	m.setState(StateRecover, "switching the radio off and on: "+why)
	f := s.family()
	if _, err := s.ask(ctx, f.RadioOff, radioAnswer); s.err == nil && err != nil {
		m.came("refused (" + err.Error() + ")") // or obeyed, and the error was not its answer
	}
	for range radioTries {
		for end := time.Now().Add(radioPause); s.err == nil && time.Now().Before(end); {
			_ = s.wait(ctx, time.Until(end))
		}
		if s.err != nil {
			break
		}
		if _, err := s.ask(ctx, f.RadioOn, radioAnswer); err == nil {
			break
		}
	}
	if d, ok := errors.AsType[*demand](s.err); ok && d.step < stepReset {
		return max(stepSIM, d.step), nil // some restart altogether
	}
	return stepSIM, s.err
}

// jolt is L5 or L6. The port is closed.
func (m *Modem) jolt(ctx context.Context, r rung, why string) {
	do, away := m.c.USBReset, awayAfterUSB
	if r == rungPower {
		do, away = m.c.PowerCycle, awayAfterPower
	}
	m.restarting(r, why, away)
	limited, cancel := context.WithTimeout(ctx, hardwareLimit)
	defer cancel()
	if err := do(limited); err != nil {
		m.log.Warn("the modem could not be restarted", "step", r, "error", err)
		m.came("failed (" + err.Error() + ")")
		m.life.away = time.Time{}
		return
	}
	m.life.away = time.Now().Add(away)
}

// despair is L7: said once, looked at for ever.
func (m *Modem) despair(reason string, err error) {
	if m.life.ladder.top < rungFault {
		m.take(rungFault, reason)
	}
	m.fault(StateFault, reason, err)
}

// muted is what happens after a session in which nothing answered.
func (m *Modem) muted(ctx context.Context) {
	l := &m.life.ladder
	m.life.mutes++
	if l.silent.IsZero() {
		l.silent = time.Now()
	}
	switch {
	case m.isSpared() && m.life.mutes > 1:
		m.fault(StateFault, "this port does not answer any more: the module's other port has its SIM, and goes on without it", errMute)
		m.pause(ctx, silentPause)
	case time.Now().Before(m.life.away):
		m.setState(StateRecover, "waiting for the modem to come back from its restart")
		m.pause(ctx, silentPause)
	case !m.life.known:
		m.fault(StateFault, "nothing on this port answers AT: it is no modem, or the wrong one of a modem's ports", errMute)
		m.pause(ctx, strangerPause)
	case m.life.mutes == 1:
		m.take(rungReopen, "the modem fell silent")
		m.fault(StateRecover, "the modem fell silent: the port is opened anew", errMute)
	default:
		for _, r := range []rung{rungUSB, rungPower} {
			if m.may(r) {
				m.jolt(ctx, r, "the modem does not answer any more")
				return
			}
		}
		m.despair("the modem does not answer any more: unplug it and plug it in again", errMute)
		m.pause(ctx, silentPause)
	}
}
