package modem

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"recado/modem/at"
)

// paces are the pauses between commands, in the order in which they are tried
// on a modem that loses commands which come too soon after its last answer.
var paces = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond}

// paceMargin times the pause with which nothing was lost is kept: it was measured
// once. paceLongest is the longest.
const (
	paceMargin  = 2
	paceLongest = 600 * time.Millisecond
)

// lossesToSlow commands lost by a ready line within lostWindow make a pause longer.
const lossesToSlow = 2

// breath is how long a modem is left alone before a lost command is repeated.
const breath = 300 * time.Millisecond

// hitchesToSlow commands that were lost and answered the second time, in one
// session, make the pause longer though the modem hears AT well.
const hitchesToSlow = 3

// manners are what a modem has turned out to do in its own way.
type manners struct {
	counted *at.Counted // what references it has given, or still owes
	wakes   bool        // loses what comes first after a silence
	counts  string      // the SIM whose messages were counted last
}

// learnManners keeps what the channel has found out for the next one.
func (s *session) learnManners() {
	s.m.life.counted, s.m.life.wakes = s.ch.Counted(), s.ch.Wakes()
}

// countAnew tells the channel when another SIM counts the references.
func (s *session) countAnew() {
	if id := identityOf(s.m.Snapshot().SIM); id != s.m.life.counts {
		s.m.life.counts = id
		s.ch.CountAnew()
	}
}

// optional are commands that a line can do without: one that a modem leaves
// unanswered is given again only after a while, and ever more rarely.
var optional = slices.Concat([]string{
	"E0", "V1", "Q0", "+CMEE", "+CGMI", "+CGMM", "+CGMR", "+CGSN", "+GSN", "+CSCS", "+CSMS", "+COPS", "+CLIP",
	"+CREG", "+CGREG", "+CEREG", "+CSQ",
}, aboutSIM)

// aboutSIM are those of optional that the SIM has a part in: another one, or the
// same one later, may answer them.
var aboutSIM = []string{
	"+CSCA", "+CNUM", "+CCID", "+ICCID", "^ICCID", "+QCCID", "+CRSM", "+CPINR", "+CSIM",
	"^SCID", "#CCID", "!ICCID", "+CICCID", "^CPIN", "^SPIC", "+SPIC", "+CPINC", "+UPINCNT", "+ZPINPUK", "$NWPINR", "#PCT", "+QPINC",
	"+EPINC", "%PINNUM", "*EPIN",
}

// errUnanswered: this modem has left the command unanswered lately.
var errUnanswered = errors.New("this modem leaves the command unanswered")

// hushFirst is how long an unanswered command is left out at first, hushMost in
// the end: trouble that has ended must not cost the line anything for long.
const hushFirst, hushMost = 5 * time.Minute, time.Hour

// hushes are the commands that are left out because they went unanswered.
type hushes struct {
	hushed map[string]*hush
	losses []time.Time // commands of a ready line that were not answered, lately
}

type hush struct {
	until time.Time
	pause time.Duration // the last
}

// hush leaves a command out for a while, each time twice as long.
func (s *session) hush(n string) {
	if s.hushed == nil {
		s.hushed = map[string]*hush{}
	}
	h := s.hushed[n]
	if h == nil {
		h = &hush{}
		s.hushed[n] = h
	}
	h.pause = min(max(2*h.pause, hushFirst), hushMost)
	h.until = time.Now().Add(h.pause)
}

// leftOut says that a command is not worth being given now.
func (s *session) leftOut(cmd string) bool {
	n := name(cmd)
	if s.unanswered[n] < enough(cmd) {
		return false
	}
	if s.hushed[n] == nil {
		s.hush(n)
	}
	return time.Now().Before(s.hushed[n].until)
}

// heardOf takes note of whether a command was answered. One that is left
// unanswered once more says nothing new of the modem.
func (s *session) heardOf(cmd string, err error) {
	n := name(cmd)
	switch {
	case err == nil || answered(err):
		delete(s.unanswered, n)
		delete(s.hushed, n)
	case noAnswer(err) && s.hushed[n] != nil:
		s.unanswered[n] = enough(cmd)
		s.hush(n)
		s.timeouts = 0
	}
}

// askAnew ends the pause of commands that were left out.
func (s *session) askAnew(cmds []string) {
	for _, n := range cmds {
		if h := s.hushed[n]; h != nil {
			h.until = time.Time{}
		}
	}
}

// noAnswer says that the channel has lost step.
func noAnswer(err error) bool { return errors.Is(err, at.ErrTimeout) || errors.Is(err, at.ErrUnsynced) }

// name is the command without what it asks or sets.
func name(cmd string) string {
	if i := strings.IndexAny(cmd, "=?"); i >= 0 {
		return cmd[:i]
	}
	return cmd
}

// enough is how often a command must go unanswered before it counts as one that
// the modem does not know. Without a registration a line is lost: that is asked
// once more.
func enough(cmd string) int {
	if name(cmd) == "+CREG" {
		return 2
	}
	return 1
}

// askAgain repeats a command that was not answered, after a pause. When it is
// answered now, it may have come too soon the first time: when the modem is found
// to be deaf it is given more time from now on. When it is not, it is the command.
func (s *session) askAgain(ctx context.Context, cmd string, timeout time.Duration) ([]string, error) {
	why := "no answer to AT" + shown(cmd)
	if s.resync(ctx, why); s.err != nil {
		return nil, s.err
	}
	pause := time.NewTimer(breath)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		s.err = ctx.Err()
		return nil, s.err
	}
	lines, err := s.ch.Command(ctx, cmd, min(timeout, shortAnswer))
	switch {
	case err == nil || answered(err):
		s.tooSoon(ctx)
		if s.err != nil {
			return nil, s.err
		}
	case noAnswer(err) && ctx.Err() == nil && (slices.Contains(optional, name(cmd)) || slices.Contains(s.family().Init, cmd)):
		if s.resync(ctx, why); s.err != nil {
			return nil, s.err
		}
		s.timeouts = 0 // it is in step: nothing to recover from
		if s.unanswered[name(cmd)]++; s.unanswered[name(cmd)] >= enough(cmd) {
			s.hush(name(cmd))
		}
		return nil, errUnanswered
	}
	return lines, err
}

// listenForDeafness measures, once for each modem, whether it is deaf for a while
// after its answers. It costs a modem that hears well two AT.
func (s *session) listenForDeafness(ctx context.Context) error {
	m := s.m
	if m.life.quick || max(m.life.pace, s.family().Pace) > 0 {
		return nil
	}
	pause, err := s.ch.Deafness(ctx, paces)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, at.ErrGone):
		return at.ErrGone
	case err != nil:
		s.resync(ctx, "it was asked whether it is deaf") // another time
		return s.err
	case pause == 0:
		m.life.quick = true
		return nil
	}
	s.setPace(paceMargin * pause)
	return nil
}

// tooSoon is what a command leads to that was lost and then answered: a hitch,
// or a modem that is deaf for a while after an answer.
func (s *session) tooSoon(ctx context.Context) {
	s.hitches++
	s.m.life.quick = false
	if s.err = s.listenForDeafness(ctx); s.err != nil {
		return
	}
	if s.hitches >= hitchesToSlow {
		s.hitches = 0
		s.slower()
	}
}

// A pause that was learned is tried to be done without after paceFirst, since
// trouble that has ended may have looked like deafness; and every line is slower
// by it.
const paceFirst, paceMost = 10 * time.Minute, 4 * time.Hour

// forgetPace gives a modem that was well for a while its speed back, and listens
// whether it bears it.
func (s *session) forgetPace(ctx context.Context) {
	m := s.m
	if m.life.pace == 0 {
		return
	}
	m.life.pace, m.life.quick = 0, false
	s.ch.SetPace(s.family().Pace)
	if err := s.listenForDeafness(ctx); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *session) setPace(p time.Duration) {
	l := &s.m.life
	l.pace, l.paceAgain = p, min(max(2*l.paceAgain, paceFirst), paceMost)
	s.want(s.checkPace, l.paceAgain)
	s.ch.SetPace(p)
	s.m.log.Info("the modem loses commands that follow its answer too soon", "pause", p)
}

// slower raises the pause between commands.
func (s *session) slower() {
	m := s.m
	pace := max(m.life.pace, s.family().Pace)
	if pace < paceLongest {
		s.setPace(min(max(paces[0], pace+pace/2), paceLongest))
	}
}

// lostInReady is what a command leads to that a ready line lost: a modem that is
// known to be deaf for a while gets more time, another one is listened to.
func (s *session) lostInReady(ctx context.Context) {
	if s.err != nil || !s.serving {
		return
	}
	s.losses = append(within(s.losses, lostWindow), time.Now())
	slow := s.m.life.pace > 0
	switch n := len(s.losses); {
	case slow && n >= lossesToSlow:
		s.losses = nil
		s.slower()
	case !slow && n >= hitchesToSlow:
		s.losses, s.m.life.quick = nil, false
		s.err = s.listenForDeafness(ctx)
	}
}
